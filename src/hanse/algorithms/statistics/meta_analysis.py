"""Random-effects meta-analysis (DerSimonian and Laird 1986, doi 10.1016/0197-2456(86)90046-2).

Each site has an effect y and its variance v. With w = 1 / v (equations 6 to 8 of the paper):

    mean = S(w y) / S(w)                                      fixed effect
    Q = S(w y^2) - S(w y)^2 / S(w)
    tau2 = max(0, (Q - (k - 1)) / (S(w) - S(w^2) / S(w)))     variance between sites
    w* = 1 / (v + tau2),   mean* = S(w* y) / S(w*),   variance* = 1 / S(w*)

All are sums over the sites, in three exchanges: the fixed effect is sent in the second, around which effects
are taken from then on, so that no digits of Q are lost; tau2 in the third. No site's effect is seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from hanse.algorithms.base import Algorithm, Keys
from hanse.algorithms.own_task import OwnTask, arrays, own_keys
from hanse.algorithms.pooled_rows import CENTRE, check_same, sample
from hanse.algorithms.table import Categories, Feature, Table, TableSettings, column_names
from hanse.algorithms.tails import chi_square, normal_two_sided
from hanse.core.values.groups import Group
from hanse.core.values.parameters import Array
from hanse.errors import TaskError, WorkflowError
from hanse.workflow.federation import Federation

NAME = "meta_analysis"
TASK = "effect"

_LEAST_SPREAD = 1e-12
"""Of S(w) - S(w^2) / S(w) beside S(w): below it, rounding is all that is left of the difference."""
_LEAVE_OUT = "Leave this site out of the run, or choose groups that it has."


class MetaAnalysisSettings(TableSettings):
    """Settings of a random-effects meta-analysis."""

    effect: Literal["mean", "mean_difference", "log_odds_ratio"] = Field(
        description="The effect at a site: the mean of the outcome; the difference of its means between the "
        "second and the first category of `group`; or the logarithm of the odds ratio of the second category "
        "of the outcome between the two."
    )
    outcome: Feature = Field(description="A column of numbers; of `log_odds_ratio`, one with two categories.")
    group: Categories | None = Field(None, description="The column with the two groups that are compared.")

    @model_validator(mode="after")
    def _of_its_kind(self) -> Self:
        two = self.group is not None and len(self.group.categories) == 2
        if (self.effect == "mean") != (self.group is None) or (self.group is not None and not two):
            raise ValueError("`group` with two categories goes with each effect but `mean`")
        odds = not isinstance(self.outcome, str) and len(self.outcome.categories) == 2
        if (self.effect == "log_odds_ratio") != odds:
            raise ValueError("an `outcome` with two categories goes with the effect `log_odds_ratio` only")
        return self


def site_effect(table: Table, settings: MetaAnalysisSettings) -> tuple[int, float, float]:
    """Number of rows, effect and its variance at one site.

    Raises:
        TaskError: There are too few rows, they are all alike, so that the variance is not above 0, or their
            numbers are too large or too small for an effect with a weight.
    """
    columns = column_names([settings.outcome, *([settings.group] if settings.group else [])])
    rows = table.complete(columns, settings.missing)
    codes = rows.codes(settings.group) if settings.group else np.zeros(len(rows), np.int64)
    if not isinstance(settings.outcome, str):
        cells = np.zeros((2, 2))
        np.add.at(cells, (codes, rows.codes(settings.outcome)), 1)
        if not cells.sum(axis=1).all():
            # The half rows below would make it a study with an effect that no row has.
            raise TaskError("an odds ratio needs rows of each group at a site", mend=_LEAVE_OUT)
        if not cells.all():
            cells += 0.5  # Haldane and Anscombe: one empty cell leaves no finite odds ratio
        return len(rows), _log_odds_ratio(cells), float((1 / cells).sum())
    values = rows.numbers([settings.outcome])[:, 0]
    parts = [values[codes == code] for code in range(2 if settings.group else 1)]
    if min(map(len, parts)) < 2:
        raise TaskError("an effect needs at least two rows of each group at a site", mend=_LEAVE_OUT)
    with np.errstate(over="ignore", invalid="ignore"):  # of what is refused below
        variance = sum(float(part.var(ddof=1)) / len(part) for part in parts)
        first, last = float(parts[0].mean()), float(parts[-1].mean())
    if not variance:
        raise TaskError("the outcome is the same in all rows of a site, and its effect has no variance")
    effect = last - first if settings.group else first
    sums = (variance, 1 / variance / variance, effect * effect / variance)
    if not all(map(math.isfinite, sums)):
        raise TaskError(
            "the outcome is too large or too nearly the same in all rows of a site: its effect has no weight",
            mend="Look at the column, or give it in another unit.",
        )
    return len(rows), effect, variance


def local(
    table: Table, settings: MetaAnalysisSettings, tau2: float, centre: float
) -> tuple[int, dict[str, Group]]:
    """Compute one site's part of the sums, with the variance between sites as found so far; 0 at first.

    Args:
        table: The rows.
        settings: The plan's.
        tau2: The variance between sites.
        centre: What is subtracted from the effect; 0 at first.

    Returns:
        The number of rows, and the group `weights` of sums, all of shape (): `count` of sites, `w`, `wy`,
        `wyy`, `ww`.
    """
    rows, effect, variance = site_effect(table, settings)
    effect, w = effect - centre, 1 / (variance + tau2)
    sums = {"w": w, "wy": w * effect, "wyy": w * effect**2, "ww": w * w}
    weights = {name: np.array(value, np.float64) for name, value in sums.items()}
    return rows, {"weights": {"count": np.array(1, np.int64), **weights}}


def between(weights: Mapping[str, Any]) -> tuple[float, float]:
    """Q and the variance between sites, from sums with `tau2` 0.

    Raises:
        WorkflowError: There are fewer than two sites, or one has all of the weight.
    """
    k, w = int(weights["count"]), float(weights["w"])
    if k < 2:
        raise WorkflowError("a meta-analysis needs at least two sites")
    spread = w - float(weights["ww"]) / w
    if not spread > _LEAST_SPREAD * w:
        raise WorkflowError(
            "one site has all of the weight in the meta-analysis: the variance of its effect is nothing "
            "beside that of the others, and a variance between sites cannot be computed",
            mend="Look at that site's outcome: is it nearly the same in all rows?",
        )
    q = max(float(weights["wyy"]) - float(weights["wy"]) ** 2 / w, 0.0)
    return q, max(0.0, (q - (k - 1)) / spread)


def solve(fixed: Mapping[str, Any], random: Mapping[str, Any], centre: float) -> dict[str, Array]:
    """The pooled effects.

    Args:
        fixed: Sums over all sites with `tau2` 0.
        random: Sums over all sites with the `tau2` of `between(fixed)`.
        centre: What the effects of both are around.

    Returns:
        `fixed_effect`, `random_effect`, their standard errors `fixed_se` and `random_se`, `z` and `p_value`
        of the random effect, `tau2`, `q`, `q_p_value`, `i2` (from 0 to 1), all of shape ().
    """
    q, tau2 = between(fixed)
    degrees = int(fixed["count"]) - 1
    effect, se = centre + float(random["wy"] / random["w"]), math.sqrt(1 / random["w"])
    found = {
        "fixed_effect": centre + float(fixed["wy"] / fixed["w"]),
        "fixed_se": math.sqrt(1 / fixed["w"]),
        "random_effect": effect,
        "random_se": se,
        "z": effect / se,
        "p_value": normal_two_sided(effect / se),
        "tau2": tau2,
        "q": q,
        "q_p_value": chi_square(q, degrees),
        "i2": max(0.0, (q - degrees) / q) if q else 0.0,
    }
    return {name: np.array(value) for name, value in found.items()}


def meta_analysis(federation: Federation) -> None:
    """Random-effects meta-analysis over the sites, in three exchanges of one round."""
    for round in federation.rounds():
        first = round.sum(TASK, groups={"tau2": np.zeros(()), CENTRE: np.zeros(())})
        centre = np.array(arrays(first, "weights")["wy"] / arrays(first, "weights")["w"])
        second = round.sum(TASK, groups={"tau2": np.zeros(()), CENTRE: centre})
        check_same(first.sites, second.sites)
        fixed = arrays(second, "weights")
        third = round.sum(TASK, groups={"tau2": np.array(between(fixed)[1]), CENTRE: centre})
        check_same(first.sites, third.sites)
        found = solve(fixed, arrays(third, "weights"), float(centre))
        round.commit(results={NAME: found, f"{NAME}_sample": sample(third)})


def _log_odds_ratio(cells: Any) -> float:
    return math.log(cells[1, 1] * cells[0, 0] / (cells[1, 0] * cells[0, 1]))


def _keys(settings: MetaAnalysisSettings) -> Keys:
    weights: Keys = {"count": {"int64": []}, **{name: {"float64": []} for name in ("w", "wy", "wyy", "ww")}}
    sent: Keys = {"tau2": {"float64": []}, CENTRE: {"float64": []}}
    task = OwnTask(TASK, {"weights": weights}, sent=sent, exchanges=3)
    return own_keys(NAME, settings, [task])


META_ANALYSIS = Algorithm(
    name=NAME,
    field="statistics",
    paper="DerSimonian and Laird 1986, doi 10.1016/0197-2456(86)90046-2",
    travels="The fixed effect and the variance between sites to the sites; weights and weighted effects, "
    "over all sites.",
    sums_suffice=True,
    stays="The rows; the site's own effect.",
    settings=MetaAnalysisSettings,
    keys=_keys,
    results="`meta_analysis`: `random_effect`, `random_se`, `z`, `p_value`, `fixed_effect`, "
    "`fixed_se`, `tau2`, `q`, `q_p_value`, `i2`",
)
