"""Immutable maps and sets whose changes cost little, and which iterate in the order of their keys.

A change makes a new value that shares all but a path of the old one: its cost grows with the
logarithm of the size. The order of iteration does not depend on how the interpreter hashes strings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any, Protocol, TypeVar, overload

from rpds import HashTrieMap, HashTrieSet


class Key(Protocol):
    """A value that can be hashed and sorted."""

    def __hash__(self) -> int: ...
    def __lt__(self, other: Any, /) -> bool: ...


K = TypeVar("K", bound=Key)
V = TypeVar("V")
D = TypeVar("D")


class SortedMap(Mapping[K, V]):
    """An immutable map; iterates in the order of its keys.

    The sorted keys are kept once they have been asked for, and passed on to the maps that have
    the same keys, so that iterating over a map costs no sort after each change of a value.
    """

    __slots__ = ("_keys", "_trie")

    def __init__(self, items: Mapping[K, V] | Iterable[tuple[K, V]] = ()) -> None:
        self._trie: HashTrieMap[K, V] = HashTrieMap(dict(items))
        self._keys: tuple[K, ...] | None = None

    def set(self, key: K, value: V) -> SortedMap[K, V]:
        """The map with one more key, or with another value at a key."""
        return self._like(self._trie.insert(key, value), self._keys if key in self._trie else None)

    def update(self, items: Mapping[K, V]) -> SortedMap[K, V]:
        """The map with all of these items."""
        trie = self._trie
        for key, value in items.items():
            trie = trie.insert(key, value)
        return self._like(trie, self._keys if len(trie) == len(self._trie) else None)

    def without(self, key: K) -> SortedMap[K, V]:
        """The map without a key; the map itself where the key is not in it."""
        return self._like(self._trie.remove(key), None) if key in self._trie else self

    def __getitem__(self, key: K) -> V:
        return self._trie[key]

    @overload
    def get(self, key: K, /) -> V | None: ...
    @overload
    def get(self, key: K, /, default: V | D) -> V | D: ...
    def get(self, key: K, /, default: V | D | None = None) -> V | D | None:
        """The value of a key; `default` where the key is not in the map."""
        return self._trie.get(key, default)

    def __contains__(self, key: object) -> bool:
        return key in self._trie

    def __len__(self) -> int:
        return len(self._trie)

    def __iter__(self) -> Iterator[K]:
        if self._keys is None:
            self._keys = tuple(sorted(self._trie))
        return iter(self._keys)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({dict(self)!r})"

    def _like(self, trie: HashTrieMap[K, V], keys: tuple[K, ...] | None) -> SortedMap[K, V]:
        made: SortedMap[K, V] = SortedMap.__new__(SortedMap)
        made._trie, made._keys = trie, keys
        return made


class SortedSet(Set[K]):
    """An immutable set; iterates in the order of its elements, which are kept once they are sorted."""

    __slots__ = ("_sorted", "_trie")

    def __init__(self, elements: Iterable[K] = ()) -> None:
        self._trie: HashTrieSet[K] = HashTrieSet(elements)
        self._sorted: tuple[K, ...] | None = None

    def including(self, element: K) -> SortedSet[K]:
        """The set with an element; the set itself where the element is in it."""
        return self if element in self._trie else self._like(self._trie.insert(element))

    def without(self, element: K) -> SortedSet[K]:
        """The set without an element; the set itself where the element is not in it."""
        return self._like(self._trie.remove(element)) if element in self._trie else self

    def in_order(self) -> tuple[K, ...]:
        """The elements, sorted."""
        if self._sorted is None:
            self._sorted = tuple(sorted(self._trie))
        return self._sorted

    def __contains__(self, element: object) -> bool:
        return element in self._trie

    def __len__(self) -> int:
        return len(self._trie)

    def __iter__(self) -> Iterator[K]:
        return iter(self.in_order())

    def __hash__(self) -> int:
        return self._hash()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self)!r})"

    def _like(self, trie: HashTrieSet[K]) -> SortedSet[K]:
        made: SortedSet[K] = SortedSet.__new__(SortedSet)
        made._trie, made._sorted = trie, None
        return made
