"""Keys that are new since 0.1: absent from the manifest at their default, so that digests stay."""

import json
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, JsonValue
from tests.unit.core.plan.plans import DIGEST, manifest, plan

from hanse.core.plan.cohort import Cohort
from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.plan.plan import Plan
from hanse.core.plan.section import PlanSection, new_since
from hanse.core.plan.tasks import Disclosure, TaskPlan
from hanse.core.values.canonical import canonical_json, sha256
from hanse.core.values.schema import Digest, Duration, Strict
from hanse.errors import PlanError

NEW_KEYS: dict[str, tuple[str, Any]] = {
    "Aggregation.byzantine": ("0.2", None),
    "Aggregation.iterations": ("0.2", 5),
    "Aggregation.keep": ("0.2", 1),
    "Aggregation.norm": ("0.2", None),
    "Aggregation.smoothing": ("0.2", 1e-6),
    "Aggregation.untrained": (
        "0.2",
        ["*running_mean", "*running_var", "*batch_stats*", "*moving_mean", "*moving_variance"],
    ),
    "Aggregation.weights": ("0.2", "examples"),
    "Cohort.absent": ("0.2", 3600.0),
    "Cohort.cell_minimum": ("0.2", 3),
    "Compression.groups": ("0.2", []),
    "Disclosure.groups": ("0.2", {}),
    "Plan.attestation": ("0.2", None),
    "Plan.sealed": ("0.2", None),
    "Plan.arguments": ("0.2", []),
    "Plan.cells": ("0.2", {}),
    "Plan.dimensions": ("0.2", {}),
    "Plan.features": ("0.2", None),
    "Plan.groups": ("0.2", {}),
    "Plan.labels": ("0.2", None),
    "Plan.max_result_bytes": ("0.2", 100_000_000),
    "Plan.metric_digits": ("0.2", 6),
    "Plan.personal": ("0.2", []),
    "Plan.requires": ("0.2", []),
    "Privacy.secure_aggregation": ("0.2", None),
    "Privacy.differential_privacy": ("0.2", None),
    "TaskPlan.exchanges": ("0.2", 1),
    "TaskPlan.last_batch": ("0.2", None),
    "TaskPlan.receives": ("0.2", ["model"]),
    "TaskPlan.varies": ("0.2", {}),
    "TaskPlan.local": ("0.2", []),
}
"""`Section.key`: version and default of every key since 0.1. Entries are added, never changed: a
manifest that lacks the key means that default for ever."""

NEW = new_since("0.2")


class Extra(PlanSection):
    """A section that is new as a whole, with a key that was added to it later still."""

    kind: Literal["extra"] = "extra"
    depth: int = 1
    width: int | None = Field(None, json_schema_extra=new_since("0.3"))


class Other(PlanSection):
    """Another kind of section, for a choice between two."""

    kind: Literal["other"] = "other"
    share: float = Field(0.5, json_schema_extra=NEW)


class NewerCohort(Cohort):
    """A section of 0.1 with a new key."""

    patience: Duration = Field(60.0, json_schema_extra=NEW)


class NewerDisclosure(Disclosure):
    """A section two levels down with a new key."""

    digits: int = Field(6, json_schema_extra=NEW)


class NewerTask(TaskPlan):
    """A section by name with new keys."""

    discloses: NewerDisclosure = Field(default_factory=NewerDisclosure)
    notes: tuple[str, ...] = Field((), json_schema_extra=NEW)


class NewerPlan(Plan):
    """A plan of a later version."""

    cohort: NewerCohort = Field(default_factory=NewerCohort)
    tasks: dict[str, NewerTask]
    level: int = Field(0, json_schema_extra=NEW)
    weight: float = Field(0.0, json_schema_extra=NEW)
    free: JsonValue = Field(1, json_schema_extra=NEW)
    extra: Extra = Field(default_factory=Extra, json_schema_extra=NEW)
    maybe: Extra | None = Field(None, json_schema_extra=NEW)
    either: Extra | Other = Field(default_factory=Other, json_schema_extra=NEW)
    several: tuple[Annotated[Extra | Other, Field(discriminator="kind")], ...] = Field(
        (), json_schema_extra=NEW
    )
    named: dict[str, Extra] = Field(default_factory=dict, json_schema_extra=NEW)


class NewerManifest(Manifest):
    """The manifest of a later version."""

    plan: NewerPlan


class Submitted(Strict):
    """An event that holds a manifest, as that of a submission does."""

    kind: Literal["Submitted"] = "Submitted"
    plan_digest: Digest
    manifest: NewerManifest


def newer(**changes: Any) -> NewerManifest:
    agreed = NewerPlan.model_validate(plan().model_dump() | changes)
    return NewerManifest(plan=agreed, files=(CodeFile(path="model.py", sha256=DIGEST, size=1),))


EXTRAS = st.fixed_dictionaries(
    {"kind": st.just("extra"), "depth": st.integers(0, 2), "width": st.none() | st.just(3)}
)
OTHERS = st.fixed_dictionaries({"kind": st.just("other"), "share": st.sampled_from([0.25, 0.5])})
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "rounds": st.integers(1, 3),
        "level": st.integers(-1, 1),
        "weight": st.sampled_from([0.0, -0.0, 1.0]),
        "free": st.sampled_from([1, 1.0, True, None, [1], {"a": 1}]),
        "extra": EXTRAS,
        "maybe": st.none() | EXTRAS,
        "either": EXTRAS | OTHERS,
        "several": st.lists(EXTRAS | OTHERS, max_size=2),
        "named": st.dictionaries(st.sampled_from("ab"), EXTRAS),
        "cohort": st.fixed_dictionaries({"patience": st.sampled_from(["1m", 60, 61])}),
        "tasks": st.fixed_dictionaries(
            {
                "train": st.fixed_dictionaries(
                    {
                        "discloses": st.fixed_dictionaries(
                            {"update": st.just("individual"), "digits": st.integers(5, 7)}
                        ),
                        "notes": st.lists(st.just("one"), max_size=1),
                    }
                )
            }
        ),
    },
)


@given(st.integers(1, 10**6), st.floats(0.001, 1.0), st.dictionaries(st.text("ab"), st.floats(-1e9, 1e9)))
def test_a_plan_that_does_not_use_new_keys_keeps_its_bytes(
    rounds: int, fraction: float, options: dict[str, float]
) -> None:
    changes: dict[str, Any] = {"rounds": rounds, "cohort": {"fraction": fraction}, "options": options}

    assert newer(**changes).to_bytes() == manifest(**changes).to_bytes()


@given(CHANGES)
def test_what_was_written_reads_back_the_same(changes: dict[str, Any]) -> None:
    agreed = newer(**changes)

    found = NewerManifest.from_bytes(agreed.to_bytes(), agreed.digest)

    assert found == agreed
    assert found.digest == agreed.digest


@given(CHANGES, CHANGES)
def test_plans_have_one_digest_exactly_if_they_say_the_same(one: dict[str, Any], two: dict[str, Any]) -> None:
    first, second = newer(**one), newer(**two)

    # repr tells 1, 1.0 and True apart, and 0.0 from -0.0, as a manifest does.
    assert (first.digest == second.digest) == (repr(first) == repr(second))


@given(CHANGES)
def test_an_event_holds_the_manifest_that_the_digest_is_of(changes: dict[str, Any]) -> None:
    agreed = newer(**changes)
    event = Submitted(plan_digest=agreed.digest, manifest=agreed)

    assert canonical_json(event.model_dump(mode="json")["manifest"]) == agreed.to_bytes()
    assert canonical_json(json.loads(event.model_dump_json())["manifest"]) == agreed.to_bytes()


@pytest.mark.parametrize(
    ("changes", "written"),
    [
        ({"level": 1}, {"level": 1}),
        ({"weight": -0.0}, {"weight": -0.0}),
        ({"free": True}, {"free": True}),
        ({"extra": {"depth": 2}}, {"extra": {"kind": "extra", "depth": 2}}),
        ({"extra": {"width": 4}}, {"extra": {"kind": "extra", "depth": 1, "width": 4}}),
        ({"maybe": {}}, {"maybe": {"kind": "extra", "depth": 1}}),
        ({"either": {"kind": "extra"}}, {"either": {"kind": "extra", "depth": 1}}),
        ({"several": [{"kind": "other"}]}, {"several": [{"kind": "other"}]}),
        ({"named": {"a": {"width": 1}}}, {"named": {"a": {"kind": "extra", "depth": 1, "width": 1}}}),
    ],
)
def test_a_new_key_is_written_where_it_differs_from_its_default(
    changes: dict[str, Any], written: dict[str, Any]
) -> None:
    assert newer(**changes).plan.model_dump(mode="json") == plan().model_dump(mode="json") | written


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        (b'"learner":', b'"level":0,"learner":', "plan.level"),
        (b'"quorum":', b'"patience":60.0,"quorum":', "plan.cohort.patience"),
        (b'"epochs":', b'"notes":[],"epochs":', "plan.tasks.train.notes"),
        (b'"metrics":', b'"digits":6,"metrics":', "plan.tasks.train.discloses.digits"),
    ],
)
def test_a_manifest_that_spells_out_the_default_of_a_new_key_is_refused(
    old: bytes, new: bytes, place: str
) -> None:
    data = newer().to_bytes()
    assert old in data
    spelled = canonical_json(json.loads(data.replace(old, new)))

    with pytest.raises(
        PlanError, match=rf"plan {sha256(spelled)[:12]} does not write `{place}` as a manifest does"
    ):
        NewerManifest.from_bytes(spelled, sha256(spelled))


def test_a_version_without_the_key_refuses_a_plan_that_uses_it_by_name() -> None:
    agreed = newer(level=1)

    with pytest.raises(PlanError, match=r"does not understand plan \w{12}: plan\.level: Extra inputs"):
        Manifest.from_bytes(agreed.to_bytes(), agreed.digest)


def test_an_author_may_spell_out_the_default_of_a_new_key() -> None:
    assert newer(level=0, extra={"kind": "extra", "depth": 1, "width": None}).digest == newer().digest


def test_a_new_key_without_a_fixed_default_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Unsafe\.level is new since 0\.1 and needs a fixed default"):

        class Unsafe(PlanSection):
            level: int = Field(json_schema_extra=NEW)


def test_every_section_of_a_plan_follows_the_rule() -> None:
    sections = {kind.__name__ for kind in models_in(Manifest)}

    assert sections >= {
        "Manifest",
        "Plan",
        "CodeFile",
        "Cohort",
        "TaskPlan",
        "Disclosure",
        "TopK",
        "Zstd",
        "Delta",
    }
    assert [kind.__name__ for kind in models_in(Manifest) if not issubclass(kind, PlanSection)] == []


def test_the_default_of_a_new_key_never_changes() -> None:
    found = {
        f"{kind.__name__}.{name}": (extra["since"], json.loads(canonical_json(default_of(kind, name))))
        for kind in models_in(Manifest)
        for name, field in kind.model_fields.items()
        if isinstance(extra := field.json_schema_extra, dict) and "since" in extra
    }

    assert found == NEW_KEYS


def default_of(kind: type[BaseModel], name: str) -> Any:
    default = kind.model_fields[name].get_default(call_default_factory=True)
    return default.model_dump(mode="json") if isinstance(default, BaseModel) else default


def models_in(kind: Any) -> set[type[BaseModel]]:
    """A model, and every model that its fields can hold."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {kind}.union(*(models_in(field.annotation) for field in kind.model_fields.values()))
    return set().union(*(models_in(inner) for inner in getattr(kind, "__args__", ())))
