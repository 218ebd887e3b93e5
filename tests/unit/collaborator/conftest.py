"""A site to test with."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.parties import new_authority
from tests.unit.collaborator.aggregators import Site, joined

from hanse.pki.authority import Authority


@pytest.fixture(scope="session")
def authority() -> Authority:
    return new_authority()


@pytest.fixture
def site(tmp_path: Path, authority: Authority) -> Iterator[Site]:
    directory = tmp_path / "site"
    directory.mkdir()
    site = joined(directory, authority)
    yield site
    for journal in site.opened:
        journal.close()
