"""A site in a cell to test with."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.collaborator.sums.cells import CellSite, cell_site

from hanse.pki.authority import Authority


@pytest.fixture
def cell(tmp_path: Path, authority: Authority, run: Callable[[Any], Any]) -> Iterator[CellSite]:
    found = cell_site(tmp_path / "site", authority, run)
    yield found
    for journal in found.site.opened:
        journal.close()
