"""Plan of a run: one strict schema of what all parties agree on.

A plan as its author writes it is YAML (`hanse.config.load`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, JsonValue, field_validator, model_validator

from hanse.core.plan.aggregation import Aggregation
from hanse.core.plan.built_in import BUILT_IN, committed_metrics, unfit
from hanse.core.plan.cohort import Cohort
from hanse.core.plan.evidence.rules import check_evidence
from hanse.core.plan.evidence.section import Attestation, Sealed
from hanse.core.plan.goals import EarlyStop, Goal
from hanse.core.plan.group_rules import Fewest, GroupRules, check_cells, check_robust_groups
from hanse.core.plan.groups import MOST_GROUPS, GroupDeclaration, GroupName, GroupSpec, read_group
from hanse.core.plan.privacy.rules import check_secure, check_workflow, problem_of_first_model
from hanse.core.plan.privacy.section import Privacy
from hanse.core.plan.requirements import Requirement, package_of
from hanse.core.plan.section import PlanSection, new_since
from hanse.core.plan.tasks import INITIALISE, TaskPlan
from hanse.core.plan.transforms import Compression, useless_rotation
from hanse.core.values.digests import Algorithm
from hanse.core.values.schema import (
    CodePath,
    Label,
    Name,
    Pattern,
    PlacedError,
    Reference,
    check_reference,
    parse_size,
)
from hanse.core.values.significant import MOST_DIGITS

MOST_FILES = 500
"""Files of a plan's code."""
_MOST_ARGUMENTS = 200
Argument = Annotated[str, Field(max_length=2_000)]

_LONGEST_NAME = 500
FeatureName = Annotated[str, Field(max_length=_LONGEST_NAME)]
LabelValue = FeatureName | bool | Annotated[int, Field(ge=-(2**53), le=2**53)] | float


_MOST_NAMES = 10_000
_MOST_CHARACTERS = 100_000


def fit_into_a_plan(values: Sequence[str | bool | int | float]) -> bool:
    """Check that a plan, whose text is bounded, can state these labels or features."""
    longest = max((len(str(value)) for value in values), default=0)
    return (
        0 < len(values) <= _MOST_NAMES
        and longest <= _LONGEST_NAME
        and sum(len(str(value)) for value in values) <= _MOST_CHARACTERS
    )


class Plan(PlanSection):
    """What all parties agree on before a run."""

    name: Name = Field(description="Name of the plan, for people.")
    code: tuple[CodePath, ...] = Field(
        (),
        max_length=MOST_FILES,
        description="Files of the plan's code, relative to the plan file. In a plan file also folders and "
        "globs (`models/**/*.py`), which stand for the files that are there when the plan is read.",
    )
    learner: Reference | None = Field(None, description="`module:function` that makes the learner of a site.")
    script: CodePath | None = Field(
        None, description="A training script with `hanse.rounds`, instead of a learner."
    )
    arguments: tuple[Argument, ...] = Field(
        (),
        max_length=_MOST_ARGUMENTS,
        description="Arguments of the script, which it finds in `sys.argv`; each is text.",
        json_schema_extra=new_since("0.2"),
    )
    personal: tuple[Pattern, ...] = Field(
        (),
        max_length=1000,
        description="Patterns (`*.bn*`, `head.*`) of tensors that stay at each site: they are trained there, "
        "kept from task to task, and never exchanged, nor asked for with the first model.",
        json_schema_extra=new_since("0.2"),
    )
    workflow: str = Field(
        "fedavg",
        max_length=200,
        description="A built-in workflow by its name, such as `fedavg`, or `module:function`.",
    )
    rounds: int = Field(1, ge=1, le=1_000_000, description="Rounds of the run.")
    seed: int = Field(0, ge=0, lt=2**53, description="Seed of every random choice of the run.")
    data: tuple[Label, ...] = Field((), max_length=100, description="Data sources that every site must have.")
    requires: tuple[Requirement, ...] = Field(
        (),
        max_length=100,
        description="Packages that have to be installed at every site, with their versions; `python` is "
        "Python itself. A site that lacks one refuses the plan.",
        json_schema_extra=new_since("0.2"),
    )
    labels: tuple[LabelValue, ...] | None = Field(
        None,
        min_length=1,
        max_length=_MOST_NAMES,
        description="All labels of the examples at the sites, in the order in which the model counts them; a "
        "learner whose labels are others refuses to train.",
        json_schema_extra=new_since("0.2"),
    )
    features: tuple[FeatureName, ...] | None = Field(
        None,
        min_length=1,
        max_length=_MOST_NAMES,
        description="Names of the features (columns), in their order; a learner whose data have others "
        "refuses to train.",
        json_schema_extra=new_since("0.2"),
    )
    options: dict[str, JsonValue] = Field(
        default_factory=dict, description="For the plan's own code: `site.options`, `federation.options`."
    )
    digests: Algorithm = Field(
        "blake3",
        description="What names models and updates by their content: `blake3`, or `sha256` where a rule asks "
        "for FIPS 180-4; rounds of large models then take longer.",
    )
    metric_digits: int = Field(
        6,
        ge=1,
        le=MOST_DIGITS,
        description="Significant digits of the metrics that leave a site; 17 leaves them as they are. "
        "Metrics are for people and goals: numbers that a workflow computes with travel as a tensor.",
        json_schema_extra=new_since("0.2"),
    )
    initial_model: CodePath | None = Field(
        None,
        description="A .safetensors file to start from; `workflow`: the workflow gives the first model; "
        "`none`: the run has no model; unset: the first site of the population is asked for the parameters "
        "of its freshly made learner.",
    )
    max_result_bytes: Annotated[int, BeforeValidator(parse_size)] = Field(
        100_000_000,
        ge=1,
        le=1 << 40,
        description="Most bytes of all results of a run together.",
        json_schema_extra={**new_since("0.2"), "format": "size"},
    )
    dimensions: dict[Label, Annotated[int, Field(ge=1, le=1 << 40)]] = Field(
        default_factory=dict,
        max_length=50,
        description="Dimensions of groups that are decided at each ask, and the most that each may be.",
        json_schema_extra=new_since("0.2"),
    )
    cells: dict[Label, tuple[Name, ...]] = Field(
        default_factory=dict,
        max_length=1_000,
        description="Sites by cell: sums are over whole cells. Unset: one cell, everybody.",
        json_schema_extra=new_since("0.2"),
    )
    groups: dict[GroupName, GroupDeclaration] = Field(
        default_factory=dict,
        max_length=MOST_GROUPS,
        description="Arrays that travel beside the model, either way: one array (`{float64: [p, p]}`), a "
        "table of arrays (`{sum: {float64: [p]}, n: {int64: []}}`), `{like: model}`, or binned scores "
        "(`{pooled: binary, bins: 1024}`). `range: [low, high]` bounds every number.",
        json_schema_extra=new_since("0.2"),
    )
    cohort: Cohort = Field(default_factory=Cohort, description="Who is asked, and for whom a round waits.")
    aggregation: Aggregation = Field(default_factory=Aggregation, description="How updates become one model.")
    tasks: dict[Label, TaskPlan] = Field(min_length=1, max_length=50, description="The tasks, by name.")
    keep_best: Goal | None = Field(None, description="Keep the best model too, by this metric.")
    early_stop: EarlyStop | None = Field(None, description="End when a metric no longer improves.")
    privacy: Privacy = Field(
        default_factory=Privacy, description="What protects the sites beyond what the tasks disclose."
    )
    attestation: Attestation | None = Field(
        None, description="Evidence of what the parties run.", json_schema_extra=new_since("0.2")
    )
    sealed: Sealed | None = Field(
        None, description="A model that only its owner can read.", json_schema_extra=new_since("0.2")
    )
    compression: Compression = Field(
        default_factory=Compression, description="How tensors travel; a list is short for `upload`."
    )

    @field_validator("code")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("a file is listed twice")
        return value

    @field_validator("requires")
    @classmethod
    def _each_package_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len({package_of(requirement).lower() for requirement in value}) != len(value):
            raise ValueError('a package is listed twice; write its bounds as one: "torch>=2.4,<3"')
        return value

    @field_validator("labels", "features", "personal")
    @classmethod
    def _each_value_once(cls, value: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        if value is not None and len(set(value)) != len(value):
            raise ValueError("one of them is listed twice")
        return value

    @field_validator("workflow")
    @classmethod
    def _known(cls, value: str) -> str:
        if ":" not in value and value not in BUILT_IN:
            known = ", ".join(BUILT_IN)
            raise ValueError(f"unknown workflow {value!r}; known are {known}, or your own module:function")
        return check_reference(value) if ":" in value else value

    @field_validator("tasks")
    @classmethod
    def _names_free(cls, value: dict[str, TaskPlan]) -> dict[str, TaskPlan]:
        if INITIALISE in value:
            raise ValueError(f"the name {INITIALISE!r} is taken; use `initial_model` to set the first model")
        return value

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        if (self.learner is None) == (self.script is None):
            raise ValueError("a plan has either a `learner` or a `script`")
        if self.script is not None and self.script not in self.code:
            raise ValueError(f"`script: {self.script}` must be listed under `code`")
        if self.arguments and self.script is None:
            raise ValueError("`arguments` go with a `script`; a learner finds `options` in `site.options`")
        for reference in (self.learner, self.workflow):
            if reference is not None and ":" in reference and self.module_file(reference) is None:
                module = reference.partition(":")[0].replace(".", "/")
                raise ValueError(f"{reference!r} needs {module}.py listed under `code`")
        masked = self.privacy.secure_aggregation is not None
        self._check_robust_rule(over_cells=masked)
        if not masked and (problem := useless_rotation(self.compression.upload)):
            raise ValueError(f"`compression`: {problem}")
        known = (self.group_specs, self.dimensions, self.options, self.first_model != "none")
        GroupRules(*known, self.compression.groups, scripted=self.script is not None).check(self.tasks)
        check_cells(self.cells, self.cohort, whole=masked)
        key = "cell_minimum" if self.cells else "minimum"
        fewest = Fewest(key, getattr(self.cohort, key))
        check_robust_groups(self.tasks, None if masked else fewest, self.compression)
        if self.first_model == "none":
            unusable = {
                "keep_best": self.keep_best,
                "download": self.compression.download,
                "personal": self.personal,
            }
            for key, wanted in unusable.items():
                if wanted:
                    raise ValueError(f"`{key}` needs a model, and the run has none (`initial_model: none`)")
        if masked:
            check_workflow(self)
        if self.workflow in BUILT_IN:
            self._check_built_in()
        check_secure(self)
        check_evidence(self)
        return self

    @cached_property
    def group_specs(self) -> Mapping[str, GroupSpec]:
        """Declarations of the groups, by name."""
        return {name: read_group(declared) for name, declared in self.groups.items()}

    @property
    def first_model(self) -> Literal["file", "site", "workflow", "none"]:
        """Where the first model comes from."""
        match self.initial_model:
            case None:
                return "site"
            case "workflow":
                return "workflow"
            case "none":
                return "none"
            case _:
                return "file"

    def _check_robust_rule(self, *, over_cells: bool) -> None:
        rule = self.aggregation.robust
        if rule is None:
            return
        sparse = self.compression.sparse
        if sparse and rule.sparse_problem:
            raise ValueError(
                f"`aggregation: {{rule: {rule.rule}}}` {rule.sparse_problem.format(codec=sparse)}: leave "
                f"`{sparse}` out of `compression`, or take a mean"
            )
        if not over_cells and self.cohort.minimum < rule.fewest:
            raise ValueError(
                f"`aggregation: {rule.shown}` needs the updates of {rule.fewest} sites at least: write "
                f"`cohort: {{minimum: {rule.fewest}}}`"
            )

    def _check_built_in(self) -> None:
        # With masked sums this is reported beside their other problems.
        if self.privacy.secure_aggregation is None and (lacking := problem_of_first_model(self)):
            raise PlacedError([lacking])
        has_model = self.first_model == "file"
        for problem in unfit(self.workflow, self.tasks, self.aggregation, self.cohort, has_model=has_model):
            raise ValueError(problem)
        measured = committed_metrics(self.workflow, self.tasks, self.group_specs)
        for key, goal in (("keep_best", self.keep_best), ("early_stop", self.early_stop)):
            if goal is not None and goal.metric not in measured:
                raise ValueError(f"`{key}` looks at the metric {goal.metric!r}, which no task discloses")

    def module_file(self, reference: str) -> str | None:
        """The file under `code` that holds the module of a `module:function`; None where none does."""
        module = reference.partition(":")[0].replace(".", "/")
        return next((file for file in (f"{module}.py", f"{module}/__init__.py") if file in self.code), None)
