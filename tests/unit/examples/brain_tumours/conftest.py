"""The modules of the case of brain tumours, and the folder of a patient."""

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

CASE = Path(__file__).parents[4] / "examples" / "cases" / "brain_tumours"
MODULES = ("phantoms", "brats", "unet", "learner", "study", "rates", "tables")


@pytest.fixture(scope="session")
def case() -> SimpleNamespace:
    """The modules by their names, which are not left behind: other examples have a `learner`, too."""
    pytest.importorskip("torch")
    kept = {name: sys.modules.pop(name) for name in MODULES if name in sys.modules}
    sys.path.insert(0, str(CASE))
    try:
        found = {name: importlib.import_module(name) for name in MODULES}
    finally:
        sys.path.remove(str(CASE))
        for name in MODULES:
            sys.modules.pop(name, None)
        sys.modules.update(kept)
    return SimpleNamespace(**found)


@pytest.fixture
def layout(case: SimpleNamespace) -> object:
    return case.brats.Layout((24, 24, 20), 7.5, (16, 20, 16))


@pytest.fixture
def phantom(case: SimpleNamespace, tmp_path: Path) -> Path:
    """The folder of one phantom, `scans/Phantom-01-001`."""
    folder = tmp_path / "scans" / "Phantom-01-001"
    case.phantoms.write_phantom(folder, *case.phantoms.phantom(1, 1, 1))
    return folder
