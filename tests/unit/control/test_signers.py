"""An auditor's list of signing keys: a line for each, and each mistake with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hanse.control.signers import read_signers
from hanse.errors import ConfigError, StorageError
from hanse.pki.key_words import NUM_DIGITS
from hanse.pki.signing_key import SigningKey

KEY, OTHER = (SigningKey.of(Ed25519PrivateKey.from_private_bytes(byte * 32)) for byte in (b"k", b"o"))


def read(tmp_path: Path, text: str | bytes) -> object:
    path = tmp_path / "signers.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_signers(path)


def test_names_with_fingerprints_and_with_words_are_read(tmp_path: Path) -> None:
    text = f"# from the sites, by telephone\n\nzurich {KEY.fingerprint}\r\n  budapest\t\t{OTHER.words}  \n"

    assert read(tmp_path, text) == {
        "zurich": (KEY.fingerprint,),
        "budapest": (OTHER.fingerprint[:NUM_DIGITS],),
    }


def test_a_party_may_have_several_keys(tmp_path: Path) -> None:
    text = f"zurich {KEY.fingerprint}\nzurich {OTHER.fingerprint}\n"

    assert read(tmp_path, text) == {"zurich": (KEY.fingerprint, OTHER.fingerprint)}


def test_what_editors_add_is_left_out(tmp_path: Path) -> None:
    text = f"\ufeffzurich: {KEY.fingerprint}\r\n"

    assert read(tmp_path, text) == {"zurich": (KEY.fingerprint,)}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("zurich", "'' is not the fingerprint"),
        ("zurich 1234", "'1234' is not the fingerprint"),
        (f"zürich {KEY.fingerprint}", "'zürich' is not a valid name"),
        (f"zurich {KEY.words} zoo", "is not the fingerprint"),
        (f"zurich {KEY.words.rsplit(' ', 1)[0]} zoom", "word 12 of a fingerprint, 'zoom', is not a word"),
        (KEY.fingerprint, "is not a valid name"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, line: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=f"signers.txt, line 2: .*{problem}"):
        read(tmp_path, f"budapest {KEY.fingerprint}\n{line}\n")


@pytest.mark.parametrize("text", ["", "# nothing yet\n\n"])
def test_a_list_without_a_key_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="has no signing key in it"):
        read(tmp_path, text)


@pytest.mark.parametrize("data", [b"\xff\xfe", b"#" * ((1 << 24) + 1)], ids=["no text", "too large"])
def test_what_is_no_list_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ConfigError, match="is not a list of signing keys"):
        read(tmp_path, data)


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"signers\.txt"):
        read_signers(tmp_path / "signers.txt")
