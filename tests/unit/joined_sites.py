"""A fixture for tests of commands and of the doctor: a site that has joined."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from hanse.core.values.identity import Party, Role
from hanse.pki.authority import Authority
from hanse.pki.certificates import pem_of
from hanse.pki.credentials import Credentials
from hanse.pki.keys import new_key
from hanse.pki.signing_key import SigningKey

Join = Callable[[Path, datetime], Credentials]


@pytest.fixture
def join() -> Join:
    """Gives a site's directory the credentials of hospital-a of north, for ten days."""

    def join(site: Path, now: datetime) -> Credentials:
        authority, key = Authority.create("north", now, timedelta(days=100)), new_key()
        party = Party("north", Role.COLLABORATOR, "hospital-a")
        certificate = authority.issue(key.public_key(), party, now=now, lifetime=timedelta(days=10))
        SigningKey.create().save(site / "pki")
        return Credentials.save_new(
            site / "pki", key, pem_of(certificate), pem_of(authority.certificate), now
        )

    return join
