"""The network has the shapes that it says, and Dice of a region that nobody has is not given."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

import hanse
from hanse.core.values.update import Task
from hanse.errors import PlanError

from .conftest import CASE

pytestmark = pytest.mark.torch


def without_enhancing(case: SimpleNamespace) -> Any:
    """A patient whose tumour does not enhance."""
    patient = case.study.patient(1, 1, 1)
    patient.regions[2] = False
    return patient


def test_scores_have_the_shape_of_the_image(case: SimpleNamespace) -> None:
    image = case.study.torch.zeros(2, 4, 16, 20, 16)

    assert tuple(case.unet.UNet()(image).shape) == (2, 3, 16, 20, 16)


def test_the_first_model_is_the_same_for_the_same_seed(case: SimpleNamespace) -> None:
    first, again, other = (case.unet.first_model(seed) for seed in (1, 1, 2))

    assert all(bool((first[name] == again[name]).all()) for name in first)
    assert not all(bool((first[name] == other[name]).all()) for name in first)


def test_dice_is_the_mean_over_the_patients_who_have_the_region(case: SimpleNamespace) -> None:
    torch = case.study.torch
    regions = torch.zeros(3, 1, 2, 2, 2)
    regions[0, 0, 0] = 1
    regions[1, 0, 0] = 1
    logits = torch.full_like(regions, -1.0)
    logits[0, 0, 0] = 1  # the first is found as it is, the second not at all, the third has none

    assert case.unet.dice(logits, regions, 0) == pytest.approx(0.5)


def test_dice_of_a_region_that_nobody_has_is_not_given(case: SimpleNamespace) -> None:
    nobody = case.study.torch.zeros(2, 1, 2, 2, 2)

    assert case.unet.dice(nobody - 1, nobody, 0) is None
    assert case.unet.dice(nobody + 1, nobody, 0) is None


def test_a_perfect_answer_has_little_loss_also_without_a_region(case: SimpleNamespace) -> None:
    nobody = case.study.torch.zeros(1, 3, 4, 4, 4)

    assert case.unet.dice_and_entropy(nobody - 20, nobody).item() < 0.01


def test_a_site_whose_validation_has_no_enhancing_tumour_gives_no_dice_for_it(case: SimpleNamespace) -> None:
    learner = case.learner.trainer([case.study.patient(1, 1, 2)], [without_enhancing(case)])

    metrics = learner.evaluate(learner.parameters(), Task("evaluate", 1, 1, {"batch_size": 1})).metrics

    assert metrics["dice_et"] is None
    assert metrics["dice_wt"] is not None


@pytest.mark.parametrize(
    ("key", "wrong", "words"),
    [
        ("image", None, "image: ...}` is three whole numbers above 0, got None"),
        ("image", [24, 24], "image: ...}` is three whole numbers above 0"),
        ("grid", "16", "grid: ...}` is three multiples of 4 above 0, got '16'"),
        ("grid", [16, 20, 18], "grid: ...}` is three multiples of 4 above 0"),
        ("voxel_mm", "7.5 mm", "voxel_mm: ...}` is a number above 0, got '7.5 mm'"),
        ("voxel_mm", float("nan"), "voxel_mm: ...}` is a number above 0, got nan"),
    ],
)
def test_an_option_that_cannot_be_is_refused_by_its_name(
    case: SimpleNamespace, key: str, wrong: Any, words: str
) -> None:
    options = yaml.safe_load((CASE / "plan.yaml").read_text("utf-8"))["options"]
    assert case.learner.layout(options).grid == (16, 20, 16)

    with pytest.raises(PlanError) as refused:
        case.learner.layout(options | {key: wrong})

    assert words in str(refused.value)
    assert refused.value.mend


def masked_round(case: SimpleNamespace, folder: Path, sites: list[Any]) -> Any:
    """The metrics of a round under secure aggregation, of a model that finds every region everywhere."""
    plan = yaml.safe_load((CASE / "plan_seven.yaml").read_text("utf-8"))
    plan["tasks"]["train"] |= {"batches": 1, "lr": 1e-9}
    everywhere = case.unet.first_model()
    everywhere["head.bias"][:] = 30
    case.study.save_file(everywhere, folder / "start.safetensors")
    run = hanse.simulate(
        lambda site: case.learner.trainer(*site.data["scans"]),
        {f"site-{number}": {"scans": pair} for number, pair in enumerate(sites)},
        data=["scans"],
        rounds=1,
        cohort={"minimum": 3},
        cells={"all": [f"site-{number}" for number in range(len(sites))]},
        initial_model=str(folder / "start.safetensors"),
        progress=False,
        **{key: plan[key] for key in ("tasks", "privacy")},
    )
    return run.history


def test_a_masked_mean_is_that_of_the_sites_that_give_dice(case: SimpleNamespace, tmp_path: Path) -> None:
    patient, lacking = case.study.patient(1, 1, 1), without_enhancing(case)
    have, lack = ([patient] * 2, [patient]), ([patient] * 2, [lacking])

    everyone = masked_round(case, tmp_path, [have, have, have])
    one = masked_round(case, tmp_path, [have, lack, lack])

    assert one["dice_et"][0] > 0
    assert one["dice_et"][0] == pytest.approx(everyone["dice_et"][0], abs=1e-4)


def test_a_masked_mean_that_no_site_gives_is_not_given(case: SimpleNamespace, tmp_path: Path) -> None:
    lack = ([case.study.patient(1, 1, 1)] * 2, [without_enhancing(case)])

    metrics = masked_round(case, tmp_path, [lack, lack, lack])

    assert "dice_et" not in metrics
    assert "dice_wt" in metrics
