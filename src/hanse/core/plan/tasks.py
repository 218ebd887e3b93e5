"""Tasks of a plan: what each does, and what it discloses."""

from __future__ import annotations

import difflib
from copy import deepcopy
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, JsonValue, ValidationError, field_validator, model_validator

from hanse.core.plan.groups import MODEL, MOST_GROUPS, GroupName
from hanse.core.plan.local_rules import LocalRule, order_problem
from hanse.core.plan.robust_rules import RULES, AnyRobustRule, RobustRule
from hanse.core.plan.section import PlanSection, new_since
from hanse.core.values.schema import Label, Pattern, problem_of

INITIALISE = "initialise"
"""The task by which the first model is asked of a site; its name is taken."""

SCRIPT_TASKS = ("train", "evaluate")
"""The tasks that a script with `hanse.rounds` can perform."""

_PLAIN_RULES = ("total", "mean", "weighted_mean", "individual")


def _known_rule(value: Any) -> Any:
    """Refuse what is not a rule in words: pydantic would list each kind of rule that the value is not."""
    name = value.get("rule") if isinstance(value, dict) else value
    if isinstance(value, AnyRobustRule) or value in _PLAIN_RULES:
        return value
    if not isinstance(name, str) or name not in RULES:
        known = [*_PLAIN_RULES, *RULES]
        close = difflib.get_close_matches(str(name)[:100], known, n=1)
        hint = f"did you mean `{close[0]}`?" if close else f"known are {', '.join(known)}"
        raise ValueError(f"`{str(name)[:100]}` is not a rule for groups; {hint}")
    try:
        RULES[name].model_validate(value if isinstance(value, dict) else {"rule": name}, strict=True)
    except ValidationError as error:
        raise ValueError(f"the rule `{name}`: {problem_of(error)}") from None
    return value


GroupRule = Annotated[
    Literal["total", "mean", "weighted_mean", "individual"] | RobustRule, BeforeValidator(_known_rule)
]
"""Rule by which a group is combined: a sum, a robust rule of `aggregation`, or none."""


class Disclosure(PlanSection):
    """What a task sends out of a site. The number of examples always goes with it."""

    update: Literal["none", "aggregate", "individual"] = Field(
        "none",
        description="What the workflow may see of the trained tensors: nothing, only their sum over the "
        "cohort, or each site's own.",
    )
    aggregated_by: Literal["aggregator", "secure_aggregation"] | None = Field(
        None,
        description="Who sums, once for all that is disclosed in sums. `aggregator` trusts the aggregator's "
        "service to show its workflow no more than the sum. With `secure_aggregation` no party sees the "
        "numbers of one site; `privacy: secure_aggregation` has their bounds.",
    )
    tensors: tuple[Pattern, ...] = Field(
        ("*",),
        min_length=1,
        max_length=1000,
        description="Patterns (`encoder.*`) of the tensors that are sent.",
    )
    metrics: tuple[Label, ...] = Field(
        (), max_length=100, description="Metrics that are sent, each site's own, to aggregator and operators."
    )
    groups: dict[GroupName, GroupRule] = Field(
        default_factory=dict,
        max_length=MOST_GROUPS,
        description="Groups that are sent, and how each is combined: `total` (whole numbers exactly, others "
        "in float64), `mean` (sites alike), `weighted_mean` (by number of examples), a robust rule as in "
        "`aggregation` (`median`, `{rule: krum, byzantine: 1}`), or `individual`: each site's own.",
        json_schema_extra=new_since("0.2"),
    )

    @model_validator(mode="after")
    def _aggregated_by_whom(self) -> Self:
        if self.update == "aggregate" and self.aggregated_by is None:
            raise ValueError("`update: aggregate` must say who aggregates: add `aggregated_by: aggregator`")
        if self.combined and self.aggregated_by is None:
            raise ValueError(
                f"the group `{self.combined[0]}` is combined: say who aggregates, `aggregated_by: aggregator`"
            )
        if not self.in_sums and self.aggregated_by is not None:
            raise ValueError(
                "`aggregated_by` goes with `update: aggregate` or combined groups only: leave it out, or "
                "write `update: aggregate`"
            )
        return self

    @property
    def combined(self) -> tuple[str, ...]:
        """Groups of which no site's own is disclosed."""
        return tuple(group for group, rule in self.groups.items() if rule != "individual")

    @property
    def individual_groups(self) -> tuple[str, ...]:
        """Groups of which each site's own is disclosed."""
        return tuple(group for group, rule in self.groups.items() if rule == "individual")

    @property
    def in_sums(self) -> bool:
        """True if anything is disclosed combined: then no site's whole answer is disclosed."""
        return self.update == "aggregate" or bool(self.combined)

    @property
    def robust_groups(self) -> dict[str, AnyRobustRule]:
        """Groups that are combined by a robust rule, with the rule."""
        return {group: rule for group, rule in self.groups.items() if not isinstance(rule, str)}

    @property
    def weighs(self) -> bool:
        """True if anything that is disclosed is weighed by the number of examples."""
        return self.update != "none" or "weighted_mean" in self.groups.values()

    @property
    def individually(self) -> bool:
        """True if arrays of single sites are disclosed."""
        return self.update == "individual" or bool(self.individual_groups)

    @property
    def sends_arrays(self) -> bool:
        """True if a file goes with the answer: an update, groups, or both."""
        return self.update != "none" or bool(self.groups)


_LEARNER_SETTINGS = ("epochs", "batches", "batch_size", "lr", "last_batch")
REAL_SETTINGS = frozenset({"lr"})
"""Keys of a task that are real numbers, also where they vary between whole ones: `{lr: [0, 2]}`."""


class TaskPlan(PlanSection):
    """One task: the settings its learner gets, and what it discloses."""

    epochs: int | None = Field(None, ge=1, le=100_000, description="Passes over the site's training data.")
    batches: int | None = Field(None, ge=1, description="Local batches instead of whole epochs.")
    batch_size: int | None = Field(None, ge=1, description="Examples a batch.")
    lr: float | None = Field(None, gt=0, description="Local learning rate.")
    last_batch: Literal["keep", "drop", "merge"] | None = Field(
        None,
        description="What becomes of the last batch of a pass where it has fewer examples than the others: "
        "kept, left out, or put together with the batch before it. It is kept unless this says otherwise.",
        json_schema_extra=new_since("0.2"),
    )
    settings: dict[str, JsonValue] = Field(
        default_factory=dict, description="Whatever else the learner reads."
    )
    varies: dict[Label, tuple[int | float, int | float]] = Field(
        default_factory=dict,
        max_length=50,
        description="Settings that the workflow may set at each ask, and between which numbers; whole ones "
        "where both are, but for `lr`, which is a real number always.",
        json_schema_extra=new_since("0.2"),
    )
    receives: tuple[GroupName, ...] = Field(
        (MODEL,),
        max_length=MOST_GROUPS + 1,
        description="Groups that the task is sent: `model`, and names under `groups`; `[]` for none.",
        json_schema_extra=new_since("0.2"),
    )
    retries: int = Field(1, ge=0, le=10, description="How often a site tries again when the task fails.")
    exchanges: int = Field(
        1,
        ge=1,
        le=1_000_000,
        description="In how many exchanges of this task a site may be asked in one round; of a stream, "
        "`rounds` times this number in the run.",
        json_schema_extra=new_since("0.2"),
    )
    local: tuple[LocalRule, ...] = Field(
        (),
        max_length=5,
        description="What acts at a site between the gradients and the optimiser's step, in this order: "
        "`[{name: proximal, mu: 0.01}]`.",
        json_schema_extra=new_since("0.2"),
    )
    discloses: Disclosure = Field(default_factory=Disclosure, description="What leaves the site.")

    @field_validator("varies", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        bounds = value.values() if isinstance(value, dict) else ()
        if any(isinstance(each, bool) for pair in bounds if isinstance(pair, list | tuple) for each in pair):
            raise ValueError("what varies is a number between two, such as `{lr: [0.001, 0.1]}`")
        if not isinstance(value, dict):
            return value
        # Read strictly, JSON's lists would not pass for tuples once they went through here.
        return {name: tuple(pair) if isinstance(pair, list) else pair for name, pair in value.items()}

    @model_validator(mode="after")
    def _said_once(self) -> Self:
        if self.epochs is not None and self.batches is not None:
            raise ValueError("a task has `epochs` or `batches`, not both")
        for name in _LEARNER_SETTINGS:
            # A plan of 0.1 may have a setting of its own that is called like a key which is new since then.
            new = name == "last_batch" and self.last_batch is None
            if name in self.settings and not new:
                raise ValueError(f"`{name}` stands beside `settings`, not in it")
        if problem := order_problem(self.local):
            raise ValueError(f"`local`: {problem}")
        return self

    def learner_settings(self) -> dict[str, Any]:
        """What the learner finds in `task.settings`."""
        own = {name: getattr(self, name) for name in _LEARNER_SETTINGS}
        # The learner's own, for it may change them: the plan stays as it is for other tasks and sites.
        settings = deepcopy(self.settings)
        return {**{name: value for name, value in own.items() if value is not None}, **settings}
