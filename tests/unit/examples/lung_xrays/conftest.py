"""The modules of the case of lung X-rays, and the folder of a small clinic."""

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

CASE = Path(__file__).parents[4] / "examples" / "cases" / "lung_xrays"
MODULES = ("clinics", "xrays", "learner", "start", "measures", "tables")


@pytest.fixture(scope="session")
def case() -> SimpleNamespace:
    """The modules by their names, which are not left behind: other examples have a `learner`, too."""
    pytest.importorskip("torch")
    pytest.importorskip("PIL")
    kept = {name: sys.modules.pop(name) for name in MODULES if name in sys.modules}
    sys.path.insert(0, str(CASE))
    try:
        found = {name: importlib.import_module(name) for name in MODULES}
    finally:
        sys.path.remove(str(CASE))
        for name in MODULES:
            sys.modules.pop(name, None)
        sys.modules.update(kept)
    return SimpleNamespace(folder=CASE, **found)


@pytest.fixture
def clinic(case: SimpleNamespace, tmp_path: Path) -> Path:
    """A folder of X-rays, of 12 in each part: noise, brighter with pneumonia."""
    from PIL import Image

    random = np.random.default_rng(0)
    for part in ("train", "test"):
        for label, diagnosis in enumerate(case.xrays.DIAGNOSES):
            folder = tmp_path / "xrays" / part / diagnosis
            folder.mkdir(parents=True)
            for number in range(4 + 4 * label):
                pixels = random.integers(0, 150, (28, 28))
                pixels[8:20, 8:20] += 100 * label
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:04}.png")
    return tmp_path / "xrays"
