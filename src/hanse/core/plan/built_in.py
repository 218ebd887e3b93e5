"""The workflows that a plan can name without code of its own, and the tasks that each of them asks.

Their functions are in `hanse.algorithms`; a plan is judged by what stands here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from hanse.core.plan.aggregation import Aggregation
from hanse.core.plan.cohort import Cohort
from hanse.core.plan.groups import GroupSpec
from hanse.core.plan.tasks import TaskPlan

Disclosed = Literal["none", "aggregate", "individual"]

_ANY: tuple[Disclosed, ...] = ("aggregate", "individual")
_EACH: tuple[Disclosed, ...] = ("individual",)
_KEPT: tuple[Disclosed, ...] = ("none",)
_NONE: tuple[Disclosed, ...] = ("none", "aggregate", "individual")


@dataclass(frozen=True, slots=True)
class TaskNeeds:
    """A task that a workflow asks.

    Attributes:
        update: The values of `discloses: update` with which the workflow can work.
        groups: The groups that the task has to disclose, combined over the sites.
        rule: The local rule that the task has to have; empty for none.
    """

    update: tuple[Disclosed, ...] = _NONE
    groups: tuple[str, ...] = ()
    rule: str = ""


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A workflow that a plan can name.

    Attributes:
        says: One sentence for the people who judge a plan.
        tasks: The tasks that it asks, by name; a task `evaluate` is asked too where the plan has one.
        streams: Whether it takes updates one by one as they come.
        chooses: Whether it asks single sites of a round's cohort.
        given_model: Whether the plan has to have an `initial_model`.
        gives_model: Whether it gives the first model itself (`initial_model: workflow`).
        averages: Whether it makes a model of the sites' updates as the plan's `aggregation` says.
        optimises: Whether the plan's `server_optimizer`, if there is one, makes the step; where not, a plan
            that has one is refused.
        mean: The only `rule` of `aggregation` with which it is the published algorithm; empty for any.
        prefixes: What stands before the names of a task's metrics where they are committed, by task.
        numbers: What the numbers of a group are that sites send, for the people who judge a plan, by group.
        single: Groups with numbers that may be of a single person.
        all_sites: Whether it computes from the rows of all sites, so that a cohort of some does not do.
        ends_early: Whether it may end before the last round of the plan.
    """

    says: str
    tasks: Mapping[str, TaskNeeds] = field(default_factory=dict)
    streams: bool = False
    chooses: bool = False
    given_model: bool = False
    gives_model: bool = False
    averages: bool = True
    optimises: bool = True
    mean: str = ""
    prefixes: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, str] = field(default_factory=dict)
    single: tuple[str, ...] = ()
    all_sites: bool = False
    ends_early: bool = False


def unfit(
    workflow: str,
    tasks: Mapping[str, TaskPlan],
    aggregation: Aggregation,
    cohort: Cohort,
    *,
    has_model: bool,
) -> Iterator[str]:
    """List what a plan lacks of the needs of its built-in workflow, or says to no effect, a sentence each.

    Args:
        workflow: A name of `BUILT_IN`.
        tasks: The plan's tasks.
        aggregation: The plan's `aggregation`.
        cohort: The plan's `cohort`.
        has_model: Whether the plan has an `initial_model`.
    """
    needs = BUILT_IN[workflow]
    yield from _foreign_rules(workflow, tasks)
    for name, task in needs.tasks.items():
        if name not in tasks:
            yield f"workflow {workflow} needs a task named `{name}` under `tasks`"
        elif tasks[name].discloses.update not in task.update:
            kinds = " or ".join(f"`{kind}`" for kind in task.update)
            what = "no update" if task.update == _KEPT else "an update"
            yield f"workflow {workflow} needs `{name}` to disclose {what}: {kinds}"
        else:
            if task.rule and task.rule not in [rule.name for rule in tasks[name].local]:
                yield f"workflow {workflow} needs `{name}` to have the local rule `{task.rule}`"
            for group in task.groups:
                if tasks[name].discloses.groups.get(group) in (None, "individual"):
                    yield (
                        f"workflow {workflow} needs `{name}` to disclose the group `{group}`, combined over "
                        "the sites"
                    )
    if needs.all_sites and cohort.fraction < 1:
        yield (
            f"workflow {workflow} computes from the rows of all sites, and `cohort: {{fraction: "
            f"{cohort.fraction:g}}}` asks some of them: leave out `fraction`"
        )
    if not needs.averages and aggregation != Aggregation():
        yield f"workflow {workflow} takes no mean of updates: leave out `aggregation`"
    if not needs.optimises and aggregation.server_optimizer is not None:
        yield f"workflow {workflow} makes the step itself: leave out `server_optimizer`"
    if needs.mean and aggregation.rule != needs.mean:
        yield (
            f"workflow {workflow} works with `aggregation: {{rule: {needs.mean}}}` only, and the rule is "
            f"`{aggregation.rule}`"
        )
    if needs.given_model and not has_model:
        yield f"workflow {workflow} needs `initial_model`: the model to evaluate"


def _foreign_rules(workflow: str, tasks: Mapping[str, TaskPlan]) -> Iterator[str]:
    """List local rules that are a part of another built-in workflow: without it, of no algorithm."""
    for name, task in tasks.items():
        for rule in task.local:
            home = PARTS.get(rule.name, workflow)
            if home != workflow:
                yield (
                    f"the local rule `{rule.name}` of task `{name}` is one half of the algorithm {home}, "
                    f"whose other half workflow {workflow} lacks: write `algorithm: {{name: {home}}}`, or a "
                    "workflow of your own"
                )


def _sums(
    says: str,
    task: str,
    numbers: Mapping[str, str],
    *,
    single: tuple[str, ...] = (),
    iterates: bool = False,
) -> BuiltIn:
    """A workflow that asks one task for sums over the sites; the first group it cannot do without.

    One that iterates sends its numbers as a model, gives the first one, and ends where they settle.
    """
    needs = {task: TaskNeeds(groups=(next(iter(numbers)),))}
    return BuiltIn(
        says,
        needs,
        averages=False,
        numbers=numbers,
        single=single,
        all_sites=True,
        gives_model=iterates,
        ends_early=iterates,
    )


def committed_metrics(
    workflow: str, tasks: Mapping[str, TaskPlan], specs: Mapping[str, GroupSpec]
) -> set[str]:
    """Names of the metrics that a built-in workflow may commit.

    Args:
        workflow: A name of `BUILT_IN`.
        tasks: The plan's tasks.
        specs: The plan's groups.
    """
    names = set()
    for task, plan in tasks.items():
        prefix = BUILT_IN[workflow].prefixes.get(task, "")
        names |= {f"{prefix}{metric}" for metric in plan.discloses.metrics}
        for group in plan.discloses.groups:
            if specs[group].pooled:
                names |= {f"{group}.{metric}{end}" for metric in POOLED_METRICS for end in ("", "_bound")}
    return names


POOLED_METRICS = ("auc", "average_precision", "calibration_error")
"""Metrics that built-in workflows read from binned scores, named after the group: `scores.auc`."""

_CURVATURE = "log-likelihood, gradient and information of the model at the coefficients that were sent"
_BY_TIME = "numbers of events and of rows that leave observation, by time"
PARTS: Mapping[str, str] = {
    "control_variates": "scaffold",
    "dynamic": "feddyn",
    "normalise": "fednova",
}
"""Local rules whose algorithm has a part at the aggregator too, with the workflow that has it."""

BUILT_IN: dict[str, BuiltIn] = {
    "fedavg": BuiltIn(
        "each round it averages what the sites send into one model.", {"train": TaskNeeds(_ANY)}
    ),
    "evaluate": BuiltIn(
        "it measures the plan's model and changes nothing.", {"evaluate": TaskNeeds()}, given_model=True
    ),
    "cyclic": BuiltIn(
        "the model goes from site to site, and each trains what the one before it gave.",
        {"train": TaskNeeds(_EACH)},
        chooses=True,
        averages=False,
    ),
    "fedbuff": BuiltIn(
        "it adds the sites' updates to the model, some at a time, as they come.",
        {"train": TaskNeeds(_EACH)},
        streams=True,
        averages=False,
    ),
    "scaffold": BuiltIn(
        "each round it averages what the sites send into one model and one control variate.",
        {"train": TaskNeeds(_ANY, ("control",))},
        numbers={"control": "how training changed the site's control variate, a mean of its gradients"},
        mean="mean",
    ),
    "fednova": BuiltIn(
        "each round it averages what the sites send, divided by their numbers of steps, into one model.",
        {"train": TaskNeeds(_ANY, ("steps",))},
        numbers={"steps": "the number of steps of the site's training"},
        mean="weighted_mean",
    ),
    "feddyn": BuiltIn(
        "each round it averages what the sites send into one model, less a sum of what they sent before.",
        {"train": TaskNeeds(_ANY, rule="dynamic")},
        optimises=False,
        mean="mean",
    ),
    "ditto": BuiltIn(
        "it averages what the sites send into one model, and has each site train one of its own.",
        {"train": TaskNeeds(_ANY), "personalise": TaskNeeds(_KEPT)},
        prefixes={"personalise": "personal_"},
    ),
    "fine_tuning": BuiltIn(
        "it averages what the sites send into one model, which each site trains further for itself.",
        {"train": TaskNeeds(_ANY), "finetune": TaskNeeds(_KEPT)},
        prefixes={"finetune": "finetuned_"},
    ),
    "ifca": BuiltIn(
        "it averages what the sites send into several models, of which each site picks one.",
        {"train": TaskNeeds(_NONE, ("clusters", "members"))},
        averages=False,
        numbers={
            "clusters": "how training changed the model that the site picked, and zeros for the others",
            "members": "which model the site picked",
        },
    ),
    "cross_site": BuiltIn(
        "it has each site train a model, and sends each of these models to all sites to be measured.",
        {"train": TaskNeeds(_EACH), "evaluate": TaskNeeds()},
        averages=False,
    ),
    "summary": _sums(
        "it computes counts, means, variances and histograms of all rows.",
        "summarise",
        {
            "moments": "numbers of rows, and sums and sums of squares or products of the columns",
            "histogram": "numbers of rows by bin of a column",
        },
        single=("histogram",),
    ),
    "quantiles": _sums(
        "it finds quantiles of all rows, by counts in bins that it chooses.",
        "locate",
        {"located": "numbers of rows by bin of a column"},
        single=("located",),
    ),
    "contingency": _sums(
        "it counts all rows by their categories.",
        "tabulate",
        {"counts": "numbers of rows by category"},
        single=("counts",),
    ),
    "standardise_then_train": BuiltIn(
        "it computes mean and standard deviation of all rows, and then averages what the sites send into one "
        "model.",
        {"measure": TaskNeeds(groups=("columns",)), "train": TaskNeeds(_ANY)},
        numbers={"columns": "the number of rows, and sums and sums of squares of the columns"},
        all_sites=True,
    ),
    "pca": _sums(
        "it computes principal components of all rows.",
        "moments",
        {"moments": "the number of rows, and sums and sums of products of the columns"},
    ),
    "kmeans": _sums(
        "it finds centres of clusters of all rows, which it sends in each round.",
        "assign",
        {"clusters": "numbers of rows by nearest centre, and sums of the columns over these rows"},
        single=("clusters",),
        iterates=True,
    ),
    "naive_bayes": _sums(
        "it computes means and variances of all rows by class.",
        "class_moments",
        {"classes": "numbers of rows by class, and sums and sums of squares of the columns over these rows"},
        single=("classes",),
    ),
    "meta_analysis": _sums(
        "it combines an effect of each site into one.",
        "effect",
        {"weights": "the weight of the site's effect, and the effect times the weight"},
    ),
    "linear_regression": _sums(
        "it fits a linear model to all rows.",
        "gram",
        {"gram": "the number of rows, and sums and sums of products of inputs and outcome"},
    ),
    "logistic_regression": _sums(
        "it fits a logistic model to all rows, whose coefficients it sends in each round.",
        "logistic_curvature",
        {"curvature": _CURVATURE},
        iterates=True,
    ),
    "poisson_regression": _sums(
        "it fits a Poisson model to all rows, whose coefficients it sends in each round.",
        "poisson_curvature",
        {"curvature": _CURVATURE},
        iterates=True,
    ),
    "kaplan_meier": _sums(
        "it counts events and rows at risk by time.",
        "survival",
        {"survival": _BY_TIME},
        single=("survival",),
    ),
    "log_rank": _sums(
        "it counts events and rows at risk by time and category.",
        "survival_by_group",
        {"survival": _BY_TIME},
        single=("survival",),
    ),
    "cox_regression": _sums(
        "it fits a Cox model to all rows, whose coefficients it sends in each round.",
        "risk_sets",
        {"risk": "numbers of events by time, and sums of the inputs over the rows at risk then"},
        single=("risk",),
        iterates=True,
    ),
}
"""Workflows by the names that a plan gives them."""
