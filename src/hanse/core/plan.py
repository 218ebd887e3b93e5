"""What all parties agree on: one strict schema, one digest.

A plan as its author writes it is YAML (`hanse.config.load`). A `Manifest` is
the plan with the digests of its code files, in canonical JSON; its SHA-256 is
the plan's name everywhere.
"""

from __future__ import annotations

import json
from typing import Any, Literal, Self

from pydantic import Field, JsonValue, ValidationError, field_validator, model_validator

from hanse.core.canonical import canonical_json, sha256
from hanse.core.digests import Algorithm
from hanse.core.schema import (
    CodePath,
    Digest,
    Duration,
    Fraction,
    Label,
    Name,
    Pattern,
    Reference,
    Rest,
    Strict,
    check_reference,
    problem_of,
)
from hanse.core.transform import Compression
from hanse.errors import PlanError, TamperedError

BUILT_IN_WORKFLOWS = ("fedavg", "evaluate")
INITIALISE = "initialise"
"""The task by which the first model is asked of a site; its name is taken."""
MAX_CODE_BYTES = 50_000_000
"""Largest file of code; it is read whole."""


class Disclosure(Strict):
    """What a task sends out of a site. The number of examples always goes with it."""

    update: Literal["none", "aggregate", "individual"] = Field(
        "none",
        description="What the workflow may see of the trained tensors: nothing, only their sum over the "
        "cohort, or each site's own.",
    )
    aggregated_by: Literal["aggregator", "secure_aggregation"] | None = Field(
        None,
        description="Who sums when only the aggregate is disclosed. `aggregator` trusts the aggregator's "
        "service to show its workflow no more than the sum; the other is not available in this version.",
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

    @field_validator("aggregated_by")
    @classmethod
    def _available(cls, value: str | None) -> str | None:
        # Never served with less than it asks for.
        if value == "secure_aggregation":
            raise ValueError("`secure_aggregation` is not available in this version of Hanse")
        return value

    @model_validator(mode="after")
    def _aggregated_by_whom(self) -> Self:
        if self.update == "aggregate" and self.aggregated_by is None:
            raise ValueError("`update: aggregate` must say who aggregates: add `aggregated_by: aggregator`")
        if self.update != "aggregate" and self.aggregated_by is not None:
            raise ValueError("`aggregated_by` goes with `update: aggregate` only")
        return self


_LEARNER_SETTINGS = ("epochs", "batches", "batch_size", "lr")


class TaskPlan(Strict):
    """One task: the settings its learner gets, and what it discloses."""

    epochs: int | None = Field(None, ge=1, le=100_000, description="Passes over the site's training data.")
    batches: int | None = Field(None, ge=1, description="Local batches instead of whole epochs.")
    batch_size: int | None = Field(None, ge=1, description="Examples a batch.")
    lr: float | None = Field(None, gt=0, description="Local learning rate.")
    settings: dict[str, JsonValue] = Field(
        default_factory=dict, description="Whatever else the learner reads."
    )
    retries: int = Field(1, ge=0, le=10, description="How often a site tries again when the task fails.")
    discloses: Disclosure = Field(default_factory=Disclosure, description="What leaves the site.")

    @model_validator(mode="after")
    def _said_once(self) -> Self:
        if self.epochs is not None and self.batches is not None:
            raise ValueError("a task has `epochs` or `batches`, not both")
        for name in _LEARNER_SETTINGS:
            if name in self.settings:
                raise ValueError(f"`{name}` stands beside `settings`, not in it")
        return self

    def learner_settings(self) -> dict[str, Any]:
        """What the learner finds in `task.settings`."""
        own = {name: getattr(self, name) for name in _LEARNER_SETTINGS}
        return {**{name: value for name, value in own.items() if value is not None}, **self.settings}


class Cohort(Strict):
    """Who is asked in a round and for whom it waits."""

    fraction: Fraction = Field(1.0, description="Part of the population asked in each round.")
    minimum: int = Field(
        1, ge=1, le=1_000_000, description="Fewest sites in a round, asked and answering; fewer is a failure."
    )
    quorum: Fraction = Field(1.0, description="Part of the cohort whose answers are needed.")
    deadline: Duration = Field(3600.0, description="Longest an exchange waits for its cohort.")
    grace: Duration | None = Field(
        None,
        description="Longest wait for the others once the quorum has answered; unset: until the deadline.",
    )
    idle_limit: Duration = Field(
        300.0, description="A site whose task shows no progress for so long is no longer waited for."
    )
    tolerated_missing: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Part of the data known so far, in examples, that may be missing from a round without a "
        "warning; unset: the part of the cohort that `quorum` leaves out.",
    )
    set_aside_after: int = Field(
        3,
        ge=0,
        le=1_000_000,
        description="Rounds in a row in which a site fails, falls silent or lets the deadline pass, after "
        "which it is not asked for a while; 0: never.",
    )
    rest: Rest = Field(
        "10 rounds", description="How long a site that was set aside is not asked, unless taken back before."
    )
    approvals: Duration = Field(86400.0, description="Longest wait for the sites' answers to the plan.")


class ServerOptimizer(Strict):
    """Optimiser at the aggregator (Reddi et al. 2021, arXiv 2003.00295, Algorithm 2)."""

    name: Literal["sgd", "adagrad", "adam", "yogi"] = Field(description="Which one.")
    lr: float = Field(1.0, gt=0, description="Server learning rate.")
    momentum: float = Field(0.0, ge=0, lt=1, description="Momentum of `sgd`.")
    beta1: float = Field(0.9, ge=0, lt=1, description="Decay of the first moment.")
    beta2: float = Field(0.999, ge=0, lt=1, description="Decay of the second moment (`adam`, `yogi`).")
    tau: float = Field(1e-8, gt=0, description="Degree of adaptivity.")


class Aggregation(Strict):
    """How updates become one model."""

    rule: Literal["weighted_mean", "mean", "median", "trimmed_mean"] = Field(
        "weighted_mean",
        description="`weighted_mean` weighs by number of examples (McMahan et al. 2017), the others weigh "
        "all updates alike. `median` and `trimmed_mean` are taken number by number, and a few bad updates "
        "cannot move them far (Yin et al. 2018, arXiv 1803.01498).",
    )
    trim: float | None = Field(
        None,
        ge=0,
        lt=0.5,
        description="Of `trimmed_mean`: part of the updates whose values are left out at each end, rounded "
        "down to whole updates; at 0.1, fewer than 10 updates leave none out.",
    )
    server_optimizer: ServerOptimizer | None = Field(
        None, description="Takes the mean update as a gradient; unset: it is added as it is."
    )

    @model_validator(mode="after")
    def _trim_of_its_rule(self) -> Self:
        if (self.rule == "trimmed_mean") != (self.trim is not None):
            raise ValueError("`trim` and `rule: trimmed_mean` go together: `{rule: trimmed_mean, trim: 0.1}`")
        return self

    @property
    def needs(self) -> Literal["sums", "individual updates"]:
        """What whoever aggregates has to see: a sum can be made of masked updates, an order cannot."""
        return "individual updates" if self.rule in ("median", "trimmed_mean") else "sums"


class Goal(Strict):
    """A metric and which way it is better."""

    metric: Label = Field(description="Metric of the committed round.")
    mode: Literal["min", "max"] = Field("max", description="Whether higher or lower is better.")


class EarlyStop(Goal):
    """When to end before the last round."""

    patience: int = Field(5, ge=1, description="Rounds without improvement after which the run ends.")
    min_delta: float = Field(0.0, ge=0, description="Smallest change that counts as improvement.")


class Plan(Strict):
    """What all parties agree on before a run."""

    name: Name = Field(description="Name of the plan, for people.")
    code: tuple[CodePath, ...] = Field(
        (), max_length=500, description="Files of the plan's code, relative to the plan file."
    )
    learner: Reference | None = Field(None, description="`module:function` that makes the learner of a site.")
    script: CodePath | None = Field(
        None, description="A training script with `hanse.rounds`, instead of a learner."
    )
    workflow: str = Field("fedavg", max_length=200, description="`fedavg`, `evaluate`, or `module:function`.")
    rounds: int = Field(1, ge=1, le=1_000_000, description="Rounds of the run.")
    seed: int = Field(0, ge=0, lt=2**53, description="Seed of every random choice of the run.")
    data: tuple[Label, ...] = Field((), max_length=100, description="Data sources that every site must have.")
    options: dict[str, JsonValue] = Field(
        default_factory=dict, description="For the plan's own code: `site.options`, `federation.options`."
    )
    digests: Algorithm = Field(
        "blake3",
        description="What names models and updates by their content: `blake3`, or `sha256` where a rule asks "
        "for FIPS 180-4; rounds of large models then take longer.",
    )
    initial_model: CodePath | None = Field(
        None,
        description="A .safetensors file to start from; unset: the first site of the population is asked for "
        "the parameters of its freshly made learner.",
    )
    cohort: Cohort = Field(default_factory=Cohort, description="Who is asked, and for whom a round waits.")
    aggregation: Aggregation = Field(default_factory=Aggregation, description="How updates become one model.")
    tasks: dict[Label, TaskPlan] = Field(min_length=1, max_length=50, description="The tasks, by name.")
    keep_best: Goal | None = Field(None, description="Keep the best model too, by this metric.")
    early_stop: EarlyStop | None = Field(None, description="End when a metric no longer improves.")
    privacy: dict[str, JsonValue] = Field(
        default_factory=dict, description="Not available in this version; a plan that asks for it is refused."
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

    @field_validator("workflow")
    @classmethod
    def _known(cls, value: str) -> str:
        if ":" not in value and value not in BUILT_IN_WORKFLOWS:
            known = ", ".join(BUILT_IN_WORKFLOWS)
            raise ValueError(f"unknown workflow {value!r}; known are {known}, or your own module:function")
        return check_reference(value) if ":" in value else value

    @field_validator("tasks")
    @classmethod
    def _names_free(cls, value: dict[str, TaskPlan]) -> dict[str, TaskPlan]:
        if INITIALISE in value:
            raise ValueError(f"the name {INITIALISE!r} is taken; use `initial_model` to set the first model")
        return value

    @field_validator("privacy")
    @classmethod
    def _available(cls, value: Any) -> Any:
        # Never served with less than it asks for.
        if value:
            raise ValueError(f"{', '.join(sorted(value))}: not available in this version of Hanse")
        return value

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        if (self.learner is None) == (self.script is None):
            raise ValueError("a plan has either a `learner` or a `script`")
        if self.script is not None and self.script not in self.code:
            raise ValueError(f"`script: {self.script}` must be listed under `code`")
        for reference in (self.learner, self.workflow):
            if reference is not None and ":" in reference and self.module_file(reference) is None:
                module = reference.partition(":")[0].replace(".", "/")
                raise ValueError(f"{reference!r} needs {module}.py listed under `code`")
        for name, task in self.tasks.items():
            if task.discloses.aggregated_by == "secure_aggregation" and self.aggregation.needs != "sums":
                raise ValueError(
                    f"`aggregation: {{rule: {self.aggregation.rule}}}` needs {self.aggregation.needs}, which "
                    f"nobody sees of {name!r} where `aggregated_by` is secure_aggregation"
                )
        sparse = self.compression.sparse
        if sparse and self.aggregation.needs != "sums":
            raise ValueError(
                f"`aggregation: {{rule: {self.aggregation.rule}}}` of updates that `{sparse}` leaves mostly "
                f"zero is zero: leave `{sparse}` out of `compression`, or take a mean"
            )
        if self.workflow in BUILT_IN_WORKFLOWS:
            self._check_built_in()
        return self

    def _check_built_in(self) -> None:
        task = {"fedavg": "train", "evaluate": "evaluate"}[self.workflow]
        if task not in self.tasks:
            raise ValueError(f"workflow {self.workflow} needs a task named `{task}` under `tasks`")
        if self.workflow == "fedavg" and self.tasks["train"].discloses.update == "none":
            raise ValueError(
                "workflow fedavg needs `train` to disclose an update: `aggregate` or `individual`"
            )
        if self.workflow == "evaluate" and self.initial_model is None:
            raise ValueError("workflow evaluate needs `initial_model`: the model to evaluate")
        measured = {metric for task in self.tasks.values() for metric in task.discloses.metrics}
        for key, goal in (("keep_best", self.keep_best), ("early_stop", self.early_stop)):
            if goal is not None and goal.metric not in measured:
                raise ValueError(f"`{key}` looks at the metric {goal.metric!r}, which no task discloses")

    def module_file(self, reference: str) -> str | None:
        """The file under `code` that holds the module of a `module:function`; None where none does."""
        module = reference.partition(":")[0].replace(".", "/")
        return next((file for file in (f"{module}.py", f"{module}/__init__.py") if file in self.code), None)


class CodeFile(Strict):
    """One file of a plan's bundle: of its code, or the model it starts from."""

    path: CodePath
    sha256: Digest
    size: int = Field(ge=0, le=1 << 40)


class Manifest(Strict):
    """A plan with its exact code: what the plan's digest is the SHA-256 of."""

    format: Literal["hanse-plan/1"] = "hanse-plan/1"
    plan: Plan
    files: tuple[CodeFile, ...] = Field(max_length=500)
    initial_model: CodeFile | None = None

    @model_validator(mode="after")
    def _files_are_the_code(self) -> Self:
        if sorted(file.path for file in self.files) != sorted(self.plan.code):
            raise ValueError("the files of the manifest are not the files that the plan lists under `code`")
        for file in self.files:
            if file.size > MAX_CODE_BYTES:
                raise ValueError(f"{file.path} is larger than {MAX_CODE_BYTES // 10**6} MB")
        if (self.initial_model.path if self.initial_model else None) != self.plan.initial_model:
            raise ValueError("the `initial_model` of the manifest is not the one that the plan names")
        return self

    def to_bytes(self) -> bytes:
        """The canonical form."""
        return canonical_json(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """The plan's digest: SHA-256 of the canonical form."""
        return sha256(self.to_bytes())

    @staticmethod
    def from_bytes(data: bytes, digest: str) -> Manifest:
        """Read a manifest that somebody else sent.

        Raises:
            TamperedError: The bytes are not those that `digest` names.
            PlanError: They are no manifest in canonical form.
        """
        if sha256(data) != digest:
            raise TamperedError(f"the plan received is not plan {digest[:12]}: its SHA-256 differs")
        try:
            # Strict: read leniently, "20" and 20 would be two plans that mean the same.
            manifest = Manifest.model_validate_json(data, strict=True)
            # Held at the level of JSON: a later version may know more fields, with defaults.
            canonical = canonical_json(json.loads(data))
        except ValidationError as error:
            raise PlanError(
                f"this version of Hanse does not understand plan {digest[:12]}: {problem_of(error)}"
            ) from None
        except ValueError as error:
            raise PlanError(f"plan {digest[:12]} holds what no plan can hold: {error}") from None
        if canonical != data:
            raise PlanError(f"plan {digest[:12]} is not in canonical form")
        return manifest
