"""A federation to test with: its authority, and parties that have joined."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hanse.core.values.identity import Party, Role
from hanse.pki.authority import Authority
from hanse.pki.certificates import pem_of
from hanse.pki.credentials import Credentials
from hanse.pki.keys import PrivateKey, new_key

Enrol = Callable[..., Credentials]


@pytest.fixture(scope="session")
def now() -> datetime:
    """OpenSSL looks at the real clock, so the tests' clock stands where that one is."""
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="session")
def authority(now: datetime) -> Authority:
    return Authority.create("north", now - timedelta(days=30), timedelta(days=3650))


@pytest.fixture(scope="session")
def stranger(now: datetime) -> Authority:
    """An authority that gave itself the same name."""
    return Authority.create("north", now - timedelta(days=30), timedelta(days=3650))


@pytest.fixture
def enrol(tmp_path: Path, authority: Authority, now: datetime) -> Enrol:
    """Let a party join a federation, and return what it then has on its disk."""

    def enrol(
        name: str = "hospital-a",
        role: Role = Role.COLLABORATOR,
        *,
        by: Authority = authority,
        since: datetime = now,
        key: PrivateKey | None = None,
    ) -> Credentials:
        key = key or new_key()
        hosts = ("localhost", "127.0.0.1") if role is Role.AGGREGATOR else ()
        certificate = by.issue(
            key.public_key(), Party("north", role, name), now=since, lifetime=timedelta(days=1), hosts=hosts
        )
        directory = tmp_path / f"{name}-{len(list(tmp_path.iterdir()))}"
        return Credentials.save_new(directory, key, pem_of(certificate), pem_of(by.certificate), since)

    return enrol
