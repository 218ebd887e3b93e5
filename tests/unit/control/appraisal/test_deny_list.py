"""A deny list refuses what a policy accepts, grows only, and refuses everything where it is damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.tpm.forge import Tpm, appraise

from hanse.attestation.base import Tier
from hanse.control.appraisal.deny_list import DenyEntry, DenyList, DenyOwner, EntryKind, Signed
from hanse.control.appraisal.verdicts import with_checks
from hanse.core.values.statements import SignedStatement
from hanse.errors import TamperedError
from hanse.pki.deny_lists import DENY_LIST, check_own_list
from hanse.pki.signing_key import SigningKey

KEY = SigningKey.create()


def listed(path: Path, key: SigningKey = KEY, name: str = "a") -> DenyList:
    def verify(statement: Signed) -> None:
        check_own_list(statement, lambda: {key.fingerprint})

    return DenyList(path, DenyOwner("north", "collaborator", name, verify))


def entry(value: str, kind: EntryKind = "machine") -> DenyEntry:
    return DenyEntry(kind=kind, value=value, reason="it was stolen", added_ms=0)


def sign(body: dict[str, Any]) -> SignedStatement:
    return KEY.sign(DENY_LIST, body)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "attestation" / "deny.json"


def test_without_a_file_nothing_is_denied(path: Path) -> None:
    assert listed(path).read().entries == ()


@pytest.mark.parametrize(
    ("kind", "value"),
    [("machine", Tpm().machine.upper()), ("measurement", Tpm().registers[11].hex())],
)
def test_what_is_denied_is_contraindicated(path: Path, kind: EntryKind, value: str) -> None:
    denied = listed(path).add([entry(value, kind)], sign)
    appraisal = appraise(Tpm())

    assert appraisal.tier is not Tier.CONTRAINDICATED
    assert with_checks(appraisal, denied.checks(appraisal)).tier is Tier.CONTRAINDICATED


def test_another_machine_is_not_denied(path: Path) -> None:
    assert listed(path).add([entry("1" * 64)], sign).checks(appraise(Tpm())) == ()


def test_entries_are_added_once_and_stay(path: Path) -> None:
    found = listed(path)
    found.add([entry("1" * 64)], sign)
    found.add([entry("1" * 64), entry("2" * 64)], sign)

    assert [each.value for each in listed(path).read().entries] == ["1" * 64, "2" * 64]


def test_a_list_that_lost_an_entry_is_refused(path: Path) -> None:
    found = listed(path)
    found.add([entry("1" * 64)], sign)
    earlier = path.read_bytes()
    found.add([entry("2" * 64)], sign)
    path.write_bytes(earlier)

    with pytest.raises(TamperedError, match="lacks entries that it had"):
        found.read()


def test_a_list_that_was_deleted_is_refused_by_whoever_has_read_it(path: Path) -> None:
    found = listed(path)
    found.add([entry("1" * 64)], sign)
    path.unlink()

    with pytest.raises(TamperedError, match="lacks entries"):
        found.read()


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"body": {}}', b"[" * 100_000, bytes(2 << 20)])
def test_a_damaged_list_is_refused_with_a_mend(path: Path, data: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(data)

    with pytest.raises(TamperedError, match="does not count") as caught:
        listed(path).read()
    assert "Put back a copy" in caught.value.mend


def test_a_list_of_another_key_is_refused(path: Path) -> None:
    listed(path).add([entry("1" * 64)], sign)

    with pytest.raises(TamperedError, match="not this site's"):
        listed(path, SigningKey.create()).read()


def test_a_list_of_another_party_is_refused(path: Path) -> None:
    listed(path).add([entry("1" * 64)], sign)

    with pytest.raises(TamperedError, match="that of collaborator a"):
        listed(path, name="b").read()


def test_an_altered_entry_is_refused(path: Path) -> None:
    listed(path).add([entry("1" * 64)], sign)
    path.write_bytes(path.read_bytes().replace(b"1" * 64, b"2" * 64))

    with pytest.raises(TamperedError, match="was altered"):
        listed(path).read()
