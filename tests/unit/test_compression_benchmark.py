"""The table of compression: which images it is measured on, and where it goes."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "compression.py"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("compression_benchmark", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_of_a_file_sorted_by_digit_all_digits_are_drawn(benchmark: ModuleType) -> None:
    labels = np.repeat(np.arange(10), 600)

    images, drawn = benchmark.drawn(labels * 10, labels, 1000)

    assert (images == drawn * 10).all()
    assert np.bincount(drawn).min() > 70


@pytest.mark.parametrize("part", [np.repeat([0, 1], 500), np.repeat(np.arange(10), [1, *[100] * 9])])
def test_images_without_enough_of_a_digit_are_refused(benchmark: ModuleType, part: np.ndarray) -> None:
    with pytest.raises(SystemExit, match="too few of some digits"):
        benchmark.refuse_missing(np.repeat(np.arange(10), 50), part)


def test_the_table_replaces_what_stood_between_the_marks_and_nothing_else(
    benchmark: ModuleType, tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- measured: benchmarks/compression.py -->\nold\n<!-- end -->\nafter\n")
    row = {"ratio": 4.0, "error": 0.01, "heart": [0.7, 0.8]}

    benchmark.write(page, benchmark.table({"int8": row}))

    text = page.read_text()
    assert "| `int8` | 4.0 x | 0.01 | 0.750 ± 0.071 |" in text
    assert text.startswith("before\n<!-- measured")
    assert text.endswith("<!-- end -->\nafter\n")
    assert "old" not in text


def test_a_page_without_marks_is_left_alone(benchmark: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing")

    with pytest.raises(SystemExit, match="has no part between"):
        benchmark.write(page, "table")

    assert page.read_text() == "nothing"
