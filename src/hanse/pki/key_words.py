"""Words for a fingerprint, which two people can compare by telephone."""

from __future__ import annotations

import difflib
import functools
import re
from pathlib import Path

from hanse.core.values.wording import counted
from hanse.errors import ConfigError

NUM_WORDS = 12
NUM_DIGITS = 33
"""Hexadecimal digits of a fingerprint that the words stand for: 12 words of 11 bits each."""

_BITS = 11
_LIST = Path(__file__).parents[1] / "data" / "bip39" / "english.txt"
_BETWEEN = re.compile(r"[\s,;.]+")
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


def words_of(fingerprint: str) -> str:
    """The words of a fingerprint: its first 132 bits in words of the English list of BIP-39.

    Args:
        fingerprint: 64 hexadecimal digits.

    Returns:
        12 words with blanks between them.
    """
    number = int(fingerprint[:NUM_DIGITS], 16)
    places = (number >> _BITS * (NUM_WORDS - 1 - place) for place in range(NUM_WORDS))
    return " ".join(_words()[place & (1 << _BITS) - 1] for place in places)


def read_fingerprint(text: str) -> str:
    """Read a fingerprint that a person wrote, in hexadecimal digits or in words.

    Case does not matter, nor do space, commas and full stops between words.

    Returns:
        The fingerprint, 64 hexadecimal digits; of words the first 33, for those are all that words say.

    Raises:
        ConfigError: It is neither; says which word is not in the list.
    """
    words = _BETWEEN.sub(" ", text.lower()).split()
    if len(words) == 1 and _FINGERPRINT.fullmatch(words[0]):
        return words[0]
    if len(words) != NUM_WORDS:
        known = sum(word in _places() for word in words)
        counts = known > len(words) // 2  # words they are then, and not digits or a file's name
        given = f"; {counted(len(words), 'word')}, and {NUM_WORDS} are needed" if counts else ""
        raise ConfigError(
            f"{text.strip()[:80]!r} is not the fingerprint of a signing key{given}",
            mend=f"Write its 64 hexadecimal digits, or its {NUM_WORDS} words with blanks between them, as "
            "`hanse collaborator signing-key` prints them.",
        )
    number = 0
    for place, word in enumerate(words, start=1):
        number = number << _BITS | _place(word, place)
    return f"{number:0{NUM_DIGITS}x}"


def _place(word: str, place: int) -> int:
    found = _places().get(word)
    if found is None:
        close = difflib.get_close_matches(word[:20], _words(), n=1)
        raise ConfigError(
            f"word {place} of a fingerprint, {word[:20]!r}, is not a word of the list",
            mend=f"Is it `{close[0]}`?" if close else "Compare it with what `hanse join` printed.",
        )
    return found


@functools.cache
def _words() -> tuple[str, ...]:
    return tuple(_LIST.read_text(encoding="ascii").split())


@functools.cache
def _places() -> dict[str, int]:
    return {word: place for place, word in enumerate(_words())}
