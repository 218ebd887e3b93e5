"""The page shows what the study found."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.torch

PAGE = (Path(__file__).parents[4] / "docs" / "cases" / "lung-x-rays.md").read_text("utf-8")


@pytest.fixture(scope="module")
def results(case: SimpleNamespace) -> Any:
    return json.loads((case.folder / "results.json").read_text("utf-8"))


def test_tables_of_the_page_are_those_of_the_results(case: SimpleNamespace, results: Any) -> None:
    missing = {name for name, table in case.tables.tables(results).items() if table not in PAGE}

    assert missing == set(), "python tables.py results.json prints them"


def test_means_are_those_of_the_seeds(results: Any) -> None:
    aucs = [seed["models"]["federated"]["all"]["auc"] for seed in results["seeds"]]

    assert len(aucs) == 5
    assert results["models"]["federated"]["all"]["auc"]["mean"] == pytest.approx(sum(aucs) / 5, abs=5e-4)


def test_study_had_the_rounds_of_the_plan(case: SimpleNamespace, results: Any) -> None:
    plan = yaml.safe_load((case.folder / "plan.yaml").read_text("utf-8"))

    assert results["passes"] == plan["rounds"] * plan["tasks"]["train"]["epochs"]


def test_auc_of_masked_sums_is_that_of_the_scores_within_its_bound(results: Any) -> None:
    for seed in results["seeds"]:
        masked, bound = (seed["rounds"][name][-1] for name in ("auc", "auc_bound"))
        exact = seed["models"]["federated"]["all"]["auc"]
        assert abs(masked - exact) <= bound + 2e-4  # rounded to four digits


def test_answer_at_the_head_of_the_page_is_that_of_the_results(results: Any) -> None:
    head = PAGE.split("## ")[0]
    models, gains = results["models"], results["gains"]
    alone = max(models[f"{name} alone"]["all"]["auc"]["mean"] for name in gains)
    told = [f"{gain['mean']:+.3f} at the {name}" for name, gain in gains.items()]
    told += [f"model reaches {models['federated']['all']['auc']['mean']:.3f}", f"at most {alone:.3f}"]
    told += [f"in one place {models['pooled']['all']['auc']['mean']:.3f}"]
    told += [f"at the island, {models['fine_tuned']['island']['auc']['mean']:.3f}"]
    told += [f"had alone, {models['island alone']['island']['auc']['mean']:.3f}"]

    assert [words for words in told if words not in head] == []
    assert gains["island"]["mean"] < 0, "the page says that the island loses in every seed"


def test_interval_of_the_island_on_the_page_is_that_of_the_results(results: Any) -> None:
    low, high = results["seeds"][0]["intervals_of_gain"]["island"]

    assert f"island's gain reaches from {low:+.3f} to {high:+.3f} in seed 1" in PAGE


def test_first_model_of_fedbn_has_no_tensor_that_stays(
    case: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.numpy import load_file

    file = tmp_path / "fedbn.safetensors"
    monkeypatch.setattr("sys.argv", ["start.py", str(file), "--without", "norm"])

    case.start.main()

    assert {name.split(".")[0] for name in load_file(file)} == {"conv1", "conv2", "conv3", "head"}
