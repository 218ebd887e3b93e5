"""Nonces of a verifier: each for one party and one occasion, and gone at its first presentation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from hanse.core.values.canonical import sha256
from hanse.errors import EvidenceError

T = TypeVar("T")

NONCE_MS = 120_000
"""Life of a nonce."""
MOST_NONCES = 4
"""Nonces that a party has at one time; one more takes the place of the oldest."""
_RANDOM_BYTES = 32


class Nonces(Generic[T]):
    """Nonces that were given out, in memory only: a verifier that starts again knows none.

    Args:
        clock_ms: The time, milliseconds since 1970.
        randomness: Of the operating system; gives as many bytes as are asked for.
    """

    def __init__(self, clock_ms: Callable[[], int], randomness: Callable[[int], bytes]) -> None:
        self._clock_ms = clock_ms
        self._randomness = randomness
        self._given: dict[str, dict[str, tuple[int, T]]] = {}

    def issue(self, party: str, head: str, make: Callable[[str], T]) -> T:
        """Give out a nonce.

        Args:
            party: Who is to show it again.
            head: Digest of the last record of the verifier's journal, so that what is shown is of after it.
            make: Makes of the nonce what it is bound to.

        Returns:
            What the nonce is bound to.
        """
        now_ms = self._clock_ms()
        self._drop_old(now_ms)
        nonce = sha256(self._randomness(_RANDOM_BYTES) + head.encode("ascii"))
        about = make(nonce)
        given = self._given.setdefault(party, {})
        given[nonce] = now_ms + NONCE_MS, about
        while len(given) > MOST_NONCES:
            del given[next(iter(given))]
        return about

    def take(self, party: str, nonce: str) -> T:
        """Take a nonce, and give what it is bound to; it does not count again, whatever follows.

        Raises:
            EvidenceError: It was not given to this party, was presented before, or is too old.
        """
        given = self._given.get(party, {})
        found = given.pop(nonce, None)
        if not given:
            self._given.pop(party, None)
        if found is None or found[0] < self._clock_ms():
            raise EvidenceError(
                f"nonce {nonce[:12]}: it was not given to {party}, was presented before, or is older than "
                f"{NONCE_MS // 1000} s",
                mend="Begin the exchange of evidence again; agents do so by themselves.",
            )
        return found[1]

    def _drop_old(self, now_ms: int) -> None:
        for party, given in list(self._given.items()):
            alive = {nonce: kept for nonce, kept in given.items() if kept[0] >= now_ms}
            if alive:
                self._given[party] = alive
            else:
                del self._given[party]
