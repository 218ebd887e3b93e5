"""A site to test with."""

from pathlib import Path

import pytest
from tests.parties import new_authority
from tests.unit.collaborator.aggregators import Site, joined

from hanse.pki.authority import Authority


@pytest.fixture(scope="session")
def authority() -> Authority:
    return new_authority()


@pytest.fixture
def site(tmp_path: Path, authority: Authority) -> Site:
    directory = tmp_path / "site"
    directory.mkdir()
    return joined(directory, authority)
