"""What a party has on its disk is checked when written, when read and when renewed."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from hanse.core.values.identity import Party, Role
from hanse.errors import CredentialError
from hanse.pki.authority import Authority
from hanse.pki.certificates import pem_of
from hanse.pki.credentials import Credentials
from hanse.pki.keys import PrivateKey, new_key, save_key

HOSPITAL = Party("north", Role.COLLABORATOR, "hospital-a")
DAY = timedelta(days=1)


def _renewed(authority: Authority, key: PrivateKey, now: datetime, party: Party = HOSPITAL) -> str:
    return pem_of(authority.issue(key.public_key(), party, now=now, lifetime=DAY))


def _same(one: Credentials, other: Credentials) -> bool:
    return one.certificate == other.certificate and one.key.public_key() == other.key.public_key()


def test_credentials_load_as_they_were_saved(enrol, now: datetime) -> None:
    saved = enrol()

    loaded = Credentials.load(saved.directory, now)

    assert _same(loaded, saved)
    assert loaded.party == HOSPITAL
    assert loaded.not_after == now + DAY


def test_the_life_that_is_left_runs_from_one_to_zero(enrol, now: datetime) -> None:
    credentials = enrol()

    left = [credentials.fraction_left(now + part * DAY) for part in (-1, 0, 0.25, 1, 2)]

    assert left == pytest.approx([1, 1, 0.75, 0, 0])


def test_an_empty_directory_says_how_to_join(tmp_path: Path, now: datetime) -> None:
    with pytest.raises(CredentialError, match="hanse join TOKEN"):
        Credentials.load(tmp_path, now)


def test_credentials_are_never_overwritten_by_new_ones(enrol, authority: Authority, now: datetime) -> None:
    first = enrol()
    key = new_key()

    with pytest.raises(CredentialError, match="already holds the credentials"):
        Credentials.save_new(
            first.directory, key, _renewed(authority, key, now), pem_of(authority.certificate), now
        )

    assert _same(Credentials.load(first.directory, now), first)


def test_a_certificate_for_another_key_is_not_saved(
    tmp_path: Path, authority: Authority, now: datetime
) -> None:
    pem = _renewed(authority, new_key(), now)

    with pytest.raises(CredentialError, match="not the key of the certificate"):
        Credentials.save_new(tmp_path / "own", new_key(), pem, pem_of(authority.certificate), now)

    assert not (tmp_path / "own").exists()


def test_a_key_swapped_on_the_disk_is_noticed(enrol, now: datetime) -> None:
    credentials = enrol()
    save_key(credentials.directory / "party.key", new_key())

    with pytest.raises(CredentialError, match=r"party\.key is not the key of the certificate beside it"):
        Credentials.load(credentials.directory, now)


def test_an_authority_swapped_on_the_disk_is_noticed(enrol, stranger: Authority, now: datetime) -> None:
    credentials = enrol()
    (credentials.directory / "ca.crt").write_text(pem_of(stranger.certificate))

    with pytest.raises(CredentialError, match="signed by another federation's authority"):
        Credentials.load(credentials.directory, now)


def test_a_damaged_file_is_named(enrol, now: datetime) -> None:
    credentials = enrol()
    (credentials.directory / "party.crt").write_text("oops")

    with pytest.raises(CredentialError, match=r"party\.crt: this is not a readable certificate"):
        Credentials.load(credentials.directory, now)


def test_expired_credentials_do_not_load(enrol, now: datetime) -> None:
    credentials = enrol()

    with pytest.raises(CredentialError, match="expired on"):
        Credentials.load(credentials.directory, now + 2 * DAY)


def test_a_renewed_certificate_is_there_after_a_restart(enrol, authority: Authority, now: datetime) -> None:
    old = enrol()
    later = now + DAY / 2

    new = old.replace_certificate(_renewed(authority, old.key, later), later)

    assert new.not_after == later + DAY
    assert _same(Credentials.load(old.directory, later), new)


def test_a_renewal_may_bring_a_new_key(enrol, authority: Authority, now: datetime) -> None:
    old, key = enrol(), new_key()

    new = old.replace_certificate(_renewed(authority, key, now), now, key)

    assert _same(Credentials.load(old.directory, now), new)
    kept = {path.name for path in old.directory.iterdir()}
    assert kept == {".gitignore", "ca.crt", "party.crt", "party.key"}


@pytest.mark.parametrize("crash_before", ["certificate", "key"])
def test_a_crash_during_a_renewal_leaves_the_old_pair_or_the_new(
    enrol, authority: Authority, now: datetime, monkeypatch: pytest.MonkeyPatch, crash_before: str
) -> None:
    old, key = enrol(), new_key()
    step = {"certificate": "write_file", "key": "move_file"}[crash_before]

    class CrashError(Exception):
        pass

    def crash(*_: object) -> None:
        raise CrashError

    with monkeypatch.context() as patch:
        patch.setattr(f"hanse.pki.credentials.{step}", crash)
        with pytest.raises(CrashError):
            old.replace_certificate(_renewed(authority, key, now), now, key)

    survivor = Credentials.load(old.directory, now)
    assert survivor.key.public_key() == (old.key if crash_before == "certificate" else key).public_key()


def test_a_renewal_in_another_name_is_refused(enrol, authority: Authority, now: datetime) -> None:
    credentials = enrol()
    other = Party("north", Role.OPERATOR, "hospital-a")

    with pytest.raises(CredentialError, match="that of hanse://north/operator/hospital-a, not of"):
        credentials.replace_certificate(_renewed(authority, credentials.key, now, other), now)

    assert _same(Credentials.load(credentials.directory, now), credentials)


def test_a_renewal_for_another_key_is_refused(enrol, authority: Authority, now: datetime) -> None:
    credentials = enrol()

    with pytest.raises(CredentialError, match="not the key of the certificate"):
        credentials.replace_certificate(_renewed(authority, new_key(), now), now)


def test_credentials_work_from_where_they_are_moved_to(enrol, tmp_path: Path, now: datetime) -> None:
    credentials = enrol()
    shutil.move(credentials.directory, tmp_path / "elsewhere")

    assert Credentials.load(tmp_path / "elsewhere", now).party == HOSPITAL
