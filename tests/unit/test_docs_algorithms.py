"""The examples of the page on algorithms run as they are printed."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.pages import ROOT, named_files

import hanse

PAGE = ROOT / "docs" / "algorithms.md"
SITES = ("aachen", "bonn", "celle", "dresden")


def write(file: Path, names: list[str], rows: list[list[Any]]) -> Path:
    with file.open("w", newline="", encoding="utf-8") as text:
        csv.writer(text).writerows([names, *rows])
    return file


def patients(folder: Path) -> dict[str, dict[str, Path]]:
    """Patients with texts as categories, by site."""
    random = np.random.default_rng(1)
    sites = {}
    for site in SITES:
        rows = [
            [
                age,
                "fm"[age % 2],
                ("none", "some", "much")[int(random.integers(3))],
                int(random.random() < 0.4),
            ]
            for age in map(int, random.integers(30, 80, 60))
        ]
        sites[site] = {"patients": write(folder / f"{site}.csv", ["age", "sex", "pain", "ill"], rows)}
    return sites


def linear(folder: Path, slopes: dict[str, list[float]]) -> dict[str, dict[str, Path]]:
    """Two columns and what follows from them, by site."""
    random = np.random.default_rng(2)
    sites = {}
    for site, slope in slopes.items():
        x = random.normal(size=(40, 2))
        rows = np.column_stack([x, x @ slope]).tolist()
        sites[site] = {"rows": write(folder / f"{site}.csv", ["a", "b", "y"], rows)}
    return sites


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A folder with the files that the page shows."""
    for name, text in named_files(PAGE):
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def test_a_table_with_texts_as_categories(page: Path) -> None:
    run = hanse.simulate(page / "table.yaml", patients(page))

    assert run.results["logistic_regression"]["coefficients"].shape == (5,)
    assert run.results["logistic_regression_fit"]["converged"]


def test_ifca_finds_the_sites_that_are_alike(page: Path) -> None:
    slopes = {site: [2.0, 1.0] if site < "c" else [-1.0, -2.0] for site in SITES}

    run = hanse.simulate(page / "ifca.yaml", linear(page, slopes))

    assert run.results["members"].tolist() == [2, 2]
    assert run.model is not None
    np.testing.assert_allclose(run.model["w"], [[-1, -2], [2, 1]], atol=0.01)


def test_training_on_standardised_columns(page: Path) -> None:
    run = hanse.simulate(page / "scaled.yaml", linear(page, {site: [2.0, 1.0] for site in SITES}))

    assert run.results["scaler"]["sd"].shape == (2,)
    assert run.summary()["rounds"][-1]["metrics"]["loss"] < 0.5
