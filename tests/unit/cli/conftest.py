"""The command line, called in this process; and a site that has joined."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tests.commands import Ended, Hanse

from hanse.cli.main import run
from hanse.core.identity import Party, Role
from hanse.pki.authority import Authority
from hanse.pki.certificates import pem_of
from hanse.pki.credentials import Credentials
from hanse.pki.keys import new_key

Join = Callable[[Path, datetime], Credentials]


@pytest.fixture
def hanse(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Hanse:
    for name in ("HANSE_TRACEBACK", "HANSE_SITE", "HANSE_FEDERATION", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: object) -> Ended:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        return Ended(code, *capsys.readouterr())

    return call


@pytest.fixture
def join() -> Join:
    """Gives a site's directory the credentials of hospital-a of north, for ten days."""

    def join(site: Path, now: datetime) -> Credentials:
        authority, key = Authority.create("north", now, timedelta(days=100)), new_key()
        party = Party("north", Role.COLLABORATOR, "hospital-a")
        certificate = authority.issue(key.public_key(), party, now=now, lifetime=timedelta(days=10))
        return Credentials.save_new(
            site / "pki", key, pem_of(certificate), pem_of(authority.certificate), now
        )

    return join
