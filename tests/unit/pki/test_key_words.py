"""Words for a fingerprint, and the way back to its first 132 bits."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.errors import ConfigError
from hanse.pki.key_words import NUM_DIGITS, read_fingerprint, words_of

FINGERPRINTS = st.binary(min_size=32, max_size=32).map(bytes.hex)


# The first 11 words are those of the test vectors of BIP-39; their 12th word carries a checksum.
@pytest.mark.parametrize(
    ("entropy", "words"),
    [
        ("00" * 16, "abandon " * 11),
        ("7f" * 16, "legal winner thank year wave sausage worth useful legal winner thank "),
        ("80" * 16, "letter advice cage absurd amount doctor acoustic avoid letter advice cage "),
        ("ff" * 16, "zoo " * 11),
    ],
)
def test_words_are_those_of_bip_39(entropy: str, words: str) -> None:
    found = words_of(entropy + "0" * 32)

    assert found.startswith(words)
    assert len(found.split()) == 12


@given(FINGERPRINTS)
def test_words_give_the_first_132_bits_of_the_fingerprint(fingerprint: str) -> None:
    assert read_fingerprint(words_of(fingerprint)) == fingerprint[:NUM_DIGITS]


@given(FINGERPRINTS)
def test_a_fingerprint_in_hexadecimal_digits_is_read_whole(fingerprint: str) -> None:
    assert read_fingerprint(f" {fingerprint.upper()}\n") == fingerprint


@pytest.mark.parametrize("between", ["  \t", ", ", ",", ". "])
def test_case_and_what_stands_between_words_do_not_matter(between: str) -> None:
    words = words_of(hashlib.sha256(b"key").hexdigest())

    assert read_fingerprint(words.upper().replace(" ", between)) == read_fingerprint(words)


def test_too_few_words_are_counted() -> None:
    with pytest.raises(ConfigError, match="signing key; 11 words, and 12 are needed"):
        read_fingerprint("abandon " * 11)


@pytest.mark.parametrize("text", ["", "abandon", "abandon " * 11, "abandon " * 13, "ab" * 31, "x" * 64])
def test_what_is_no_fingerprint_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not the fingerprint of a signing key"):
        read_fingerprint(text)


def test_a_word_outside_the_list_is_named_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match=r"word 3 .*'abandn', is not .* Is it `abandon`\?"):
        read_fingerprint("abandon abandon abandn" + " abandon" * 9)
