"""The page has the figures of results.json, and the plans are those of the case."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import pytest
import yaml

from .conftest import CASE

pytestmark = pytest.mark.torch

PAGE = CASE.parents[2] / "docs" / "cases" / "brain-tumours.md"


def test_the_tables_of_the_page_are_those_of_the_results(case: SimpleNamespace) -> None:
    text, results = PAGE.read_text("utf-8"), json.loads((CASE / "results.json").read_text("utf-8"))

    assert case.tables.page(text, results) == text


def test_the_page_says_first_that_the_scans_are_phantoms() -> None:
    beginning = re.sub(r"\s+", " ", PAGE.read_text("utf-8"))[:400]

    assert "**phantoms**" in beginning


@pytest.mark.parametrize(("plan", "institutions"), [("plan.yaml", 71), ("plan_seven.yaml", 7)])
def test_a_plan_has_every_institution_in_one_cell(
    case: SimpleNamespace, plan: str, institutions: int
) -> None:
    cells = yaml.safe_load((CASE / plan).read_text("utf-8"))["cells"]

    assert sorted(site for members in cells.values() for site in members) == [
        case.phantoms.name(number) for number in range(1, institutions + 1)
    ]


@pytest.mark.parametrize("plan", ["plan.yaml", "plan_seven.yaml"])
def test_a_plan_takes_the_images_that_phantoms_are(case: SimpleNamespace, plan: str) -> None:
    options = yaml.safe_load((CASE / plan).read_text("utf-8"))["options"]

    assert tuple(options["image"]) == case.phantoms.SHAPE
    assert options["voxel_mm"] == case.phantoms.VOXEL_MM
