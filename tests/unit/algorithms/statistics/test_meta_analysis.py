"""Random-effects meta-analysis, beside statsmodels on the effects of the sites."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from statsmodels.stats.meta_analysis import combine_effects
from tests.tables import heart, total

from hanse.algorithms.statistics.meta_analysis import (
    MetaAnalysisSettings,
    between,
    local,
    site_effect,
    solve,
)
from hanse.algorithms.table import Table
from hanse.errors import TaskError, WorkflowError

SEX = {"column": "sex", "categories": [0, 1]}
ILL = {"column": "ill", "categories": [0, 1]}
KINDS = [
    {"effect": "mean", "outcome": "age"},
    {"effect": "mean_difference", "outcome": "thalach", "group": {"column": "exang", "categories": [0, 1]}},
    {"effect": "log_odds_ratio", "outcome": ILL, "group": {"column": "exang", "categories": [0, 1]}},
]


def settings(kind: dict[str, Any]) -> MetaAnalysisSettings:
    return MetaAnalysisSettings.model_validate({**kind, "aggregated_by": "aggregator"})


def combined(sites: Any, chosen: MetaAnalysisSettings) -> Any:
    def weights(tau2: float, centre: float) -> Any:
        return total(sites, lambda table: local(table, chosen, tau2, centre))["weights"]

    first = weights(0.0, 0.0)
    centre = float(first["wy"] / first["w"])
    fixed = weights(0.0, centre)
    return solve(fixed, weights(between(fixed)[1], centre), centre)


def test_large_effects_lose_no_digits_of_their_differences() -> None:
    random = np.random.default_rng(1)
    near = {site: {"age": np.round(random.normal(place, 3, 50), 3)} for place, site in enumerate("abcd")}
    far = {site: {"age": columns["age"] + 1e6} for site, columns in near.items()}
    chosen = settings(KINDS[0])

    ours, theirs = combined(far, chosen), combined(near, chosen)

    np.testing.assert_allclose(ours["q"], theirs["q"], rtol=1e-6)
    np.testing.assert_allclose(ours["random_effect"] - 1e6, theirs["random_effect"], rtol=1e-8)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind["effect"])
def test_effects_are_pooled_as_by_dersimonian_and_laird(kind: dict[str, Any]) -> None:
    chosen = settings(kind)
    found = combined(heart(), chosen)

    _, effects, variances = zip(
        *(site_effect(Table(columns), chosen) for columns in heart().values()), strict=True
    )
    theirs = combine_effects(np.array(effects), np.array(variances), method_re="chi2")
    np.testing.assert_allclose(found["tau2"], theirs.tau2, rtol=1e-8)
    np.testing.assert_allclose(found["fixed_effect"], theirs.mean_effect_fe, rtol=1e-10)
    np.testing.assert_allclose(found["fixed_se"], theirs.sd_eff_w_fe, rtol=1e-10)
    np.testing.assert_allclose(found["random_effect"], theirs.mean_effect_re, rtol=1e-8)
    np.testing.assert_allclose(found["random_se"], theirs.sd_eff_w_re, rtol=1e-8)
    np.testing.assert_allclose(found["q"], theirs.q, rtol=1e-8)


def test_an_empty_cell_leaves_a_finite_odds_ratio() -> None:
    table = Table({"ill": [1, 1, 0, 0, 1], "sex": [1, 1, 0, 0, 1]})
    chosen = settings({"effect": "log_odds_ratio", "outcome": ILL, "group": SEX})

    _, effect, variance = site_effect(table, chosen)

    assert effect == pytest.approx(np.log(3.5 * 2.5 / (0.5 * 0.5)))
    assert variance == pytest.approx(1 / 3.5 + 1 / 2.5 + 2 / 0.5)


@pytest.mark.parametrize("columns", [{"ill": [], "sex": []}, {"ill": [1, 0], "sex": [1, 1]}])
def test_a_site_that_lacks_a_group_has_no_odds_ratio(columns: dict[str, list[int]]) -> None:
    with pytest.raises(TaskError, match="needs rows of each group"):
        site_effect(Table(columns), settings({"effect": "log_odds_ratio", "outcome": ILL, "group": SEX}))


@pytest.mark.parametrize("ages", [[1e200, -1e200], [1e-100, 2e-100]])
def test_an_effect_whose_weight_is_not_finite_fails(ages: list[float]) -> None:
    with pytest.raises(TaskError, match="its effect has no weight"):
        site_effect(Table({"age": ages}), settings({"effect": "mean", "outcome": "age"}))


def test_a_site_that_has_all_of_the_weight_is_refused() -> None:
    sites = {"a": {"age": [5.0, 5.0 + 1e-9]}, "b": {"age": [4.0, 6.0]}}
    chosen = settings({"effect": "mean", "outcome": "age"})

    with pytest.raises(WorkflowError, match="one site has all of the weight"):
        between(total(sites, lambda table: local(table, chosen, 0.0, 0.0))["weights"])


def test_a_site_whose_outcome_is_constant_fails() -> None:
    with pytest.raises(TaskError, match="has no variance"):
        site_effect(Table({"age": [5, 5, 5]}), settings({"effect": "mean", "outcome": "age"}))


def test_one_site_is_refused() -> None:
    _, groups = local(Table({"age": [5, 6]}), settings({"effect": "mean", "outcome": "age"}), 0.0, 0.0)

    with pytest.raises(WorkflowError, match="at least two sites"):
        between(groups["weights"])  # type: ignore[arg-type]


def test_an_effect_that_lacks_its_groups_is_refused() -> None:
    with pytest.raises(ValueError, match="goes with each effect but `mean`"):
        settings({"effect": "mean_difference", "outcome": "age"})
