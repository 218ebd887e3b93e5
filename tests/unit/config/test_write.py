"""Plans as text for people."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.thorough import examples

from hanse.config.document import Document
from hanse.config.write import to_yaml
from hanse.core.plan.plan import Plan
from hanse.errors import PlanError

LABELS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.\-]{0,8}", fullmatch=True).filter(
    lambda name: name != "initialise"
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBERS = st.floats(0.001, 1000)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
FREE = st.dictionaries(TEXT, JSON, max_size=3)
# Hypothesis draws words that stand in the code too: a task has these beside its `settings`.
SETTINGS = st.dictionaries(
    TEXT.filter(lambda name: name not in ("epochs", "batches", "batch_size", "lr")), JSON, max_size=3
)
DISCLOSURES = st.fixed_dictionaries(
    {"update": st.just("individual")},
    optional={
        "metrics": st.lists(LABELS, max_size=3),
        "tensors": st.lists(TEXT.filter(bool), min_size=1, max_size=3),
    },
)
TASKS = st.fixed_dictionaries(
    {"discloses": DISCLOSURES},
    optional={
        "epochs": st.integers(1, 9),
        "batch_size": st.integers(1, 999),
        "lr": NUMBERS,
        "retries": st.integers(0, 9),
        "settings": SETTINGS,
    },
)
COHORTS = st.fixed_dictionaries(
    {},
    optional={
        "fraction": st.floats(0.01, 1),
        "minimum": st.integers(1, 9),
        "deadline": NUMBERS,
        "grace": st.integers(1, 10**7),
        "idle_limit": st.sampled_from(["90s", "1.5h", "2d", "250ms"]),
    },
)
OPTIMIZERS = st.fixed_dictionaries({"name": st.sampled_from(["sgd", "adam"])}, optional={"lr": NUMBERS})
UPLOADS = st.sampled_from(
    [
        ["int8"],
        [{"name": "int4", "block": 64}, "zstd"],
        [{"name": "bf16", "rounding": "stochastic"}],
        ["rotate", "int8"],
        [{"name": "eden", "bits": 2}, {"name": "zstd", "level": 9}],
    ]
)
COMPRESSIONS = UPLOADS | st.fixed_dictionaries(
    {}, optional={"upload": UPLOADS, "download": st.just(["delta", "zstd"]), "smallest": st.integers(1, 999)}
)
PLANS = st.fixed_dictionaries(
    {
        "name": st.just("chest-xray"),
        "code": st.just(["federation.py"]),
        "learner": st.just("federation:learner"),
        "tasks": st.dictionaries(LABELS, TASKS, max_size=3).flatmap(
            lambda others: TASKS.map(
                lambda train: {"train": train, **{k: v for k, v in others.items() if k != "train"}}
            )
        ),
    },
    optional={
        "rounds": st.integers(1, 10**6),
        "seed": st.integers(0, 2**53 - 1),
        "data": st.lists(LABELS, max_size=3),
        "options": FREE,
        "initial_model": st.just("start.safetensors"),
        "cohort": COHORTS,
        "compression": COMPRESSIONS,
        "aggregation": st.fixed_dictionaries({"server_optimizer": st.none() | OPTIMIZERS})
        | st.fixed_dictionaries({"rule": st.just("trimmed_mean"), "trim": st.floats(0, 0.49)})
        | st.fixed_dictionaries(
            {"rule": st.just("geometric_median")},
            optional={"iterations": st.integers(1, 9), "weights": st.sampled_from(["examples", "alike"])},
        )
        | st.fixed_dictionaries({"rule": st.just("centred_clipping"), "norm": st.floats(1e-9, 1e9)}),
    },
)


def read(text: str) -> Plan:
    return Document.of(text, "plan.yaml", PlanError).check(Plan)


@settings(max_examples=examples(40), deadline=None)
@given(PLANS)
def test_a_plan_that_is_written_reads_back_as_it_was(choices: dict[str, Any]) -> None:
    plan = Plan.model_validate(choices)

    assert read(to_yaml(plan)) == plan


def test_a_plan_is_written_as_its_author_would() -> None:
    text = """\
name: chest-xray
code: [federation.py]
learner: federation:learner
rounds: 20
cohort: {fraction: 0.5, deadline: 30m}
tasks:
  train:
    epochs: 1
    lr: 1.0e-05
    discloses:
      update: aggregate
      aggregated_by: aggregator
      metrics: [loss]
  evaluate: {}
"""

    assert to_yaml(read(text)) == text


def test_what_is_default_is_left_out() -> None:
    text = "name: a\ncode: [m.py]\nlearner: m:f\ntasks:\n  train:\n    discloses: {update: individual}\n"
    explicit = text + "rounds: 1\nworkflow: fedavg\ncohort: {quorum: 1.0, approvals: 24h}\nkeep_best: null\n"

    assert to_yaml(read(explicit)) == text


def test_what_an_entry_of_a_list_is_stands_there_though_the_rest_is_default() -> None:
    text = """name: a
code: [m.py]
learner: m:f
tasks:
  train:
    discloses: {update: individual}
compression:
  upload:
  - {name: top_k}
  - {name: int8, block: 64}
"""

    assert to_yaml(read(text)) == text
