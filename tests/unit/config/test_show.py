"""A plan in plain words."""

from collections.abc import Callable
from typing import Any

import pytest

from hanse.config.show import describe
from hanse.core.plan.manifest import Manifest

Make = Callable[..., Manifest]

AGGREGATE = {"update": "aggregate", "aggregated_by": "aggregator", "metrics": ["loss", "accuracy"]}


def told(manifest: Manifest) -> str:
    return describe(manifest, manifest.digest)


def section(text: str, heading: str) -> list[str]:
    """The lines under a heading."""
    return next(block.splitlines()[1:] for block in text.split("\n\n") if block.startswith(heading))


def test_a_plan_is_told_by_name_and_digest(manifest: Make) -> None:
    assert told(manifest()).startswith(f"Plan chest-xray\n  SHA-256 {manifest().digest}\n")


def test_what_stays_at_a_site_is_told(manifest: Make) -> None:
    text = told(manifest(personal=["*.bn*", "head.*"], tasks={"train": {"discloses": AGGREGATE}}))

    stays = "  These tensors of the model stay here, and are never sent: *.bn*, head.*."
    assert stays in section(text, "What runs at a site")
    assert "(all tensors without *.bn*, head.*), to the aggregator" in text
    assert "all tensors, that site's own, without *.bn*, head.*." in text


def test_the_code_and_the_data_it_needs_are_named(manifest: Make) -> None:
    plan = manifest(
        data=["xrays"], options={"depth": 3}, tasks={"train": {"epochs": 2, "discloses": AGGREGATE}}
    )

    assert section(told(plan), "What runs at a site") == [
        "  The learner federation:learner, next to the site's data.",
        "  Its code is these files, byte for byte, and no others of the plan:",
        f"    federation.py  (23 B, SHA-256 {plan.files[0].sha256[:12]})",
        "  It reads the data that site.yaml calls xrays, and no other.",
        '  Options of its code: {"depth": 3}',
        "  Its tasks:",
        "    train: epochs 2",
    ]


def test_local_rules_are_named_with_their_task(manifest: Make) -> None:
    rules = [{"name": "proximal", "mu": 0.5}, {"name": "clip", "norm": 2.0}]
    plan = manifest(tasks={"train": {"epochs": 2, "local": rules, "discloses": AGGREGATE}})

    assert section(told(plan), "What runs at a site")[-2:] == [
        "    train: epochs 2",
        "      with the local rules: proximal (mu 0.5), then clip (norm 2.0)",
    ]


def test_a_script_is_named_as_one(manifest: Make) -> None:
    plan = manifest({"train.py": b""}, learner=None, script="train.py")

    assert "The script train.py, next to the site's data." in told(plan)


def test_the_arguments_of_a_script_are_shown(manifest: Make) -> None:
    plan = manifest({"train.py": b""}, learner=None, script="train.py", arguments=["--lr", "0.1"])

    assert 'Its arguments: ["--lr", "0.1"]' in told(plan)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "The built-in workflow fedavg: each round it averages"),
        (
            {"workflow": "evaluate", "tasks": {"evaluate": {}}, "initial_model": "m.safetensors"},
            "The built-in workflow evaluate: it measures the plan's model and changes nothing.",
        ),
        ({"workflow": "federation:go"}, "The plan's own workflow federation:go; it decides which tasks"),
        ({"rounds": 20, "cohort": {"minimum": 3}}, "20 rounds at most, each with all sites, at least 3."),
        ({"cohort": {"fraction": 0.3}}, "1 round, with 30% of the sites, drawn at random"),
        ({"cohort": {"deadline": 1800}}, "A round waits for its sites 30m at most."),
    ],
)
def test_what_the_aggregator_runs_is_told(manifest: Make, changes: dict[str, Any], words: str) -> None:
    assert words in "\n".join(section(told(manifest(**changes)), "What runs at the aggregator"))


def test_the_number_of_examples_always_leaves(manifest: Make) -> None:
    plan = manifest(tasks={"train": {"discloses": AGGREGATE}, "evaluate": {}})

    assert told(plan).count("- the number of examples it worked on") == 2


@pytest.mark.parametrize(
    ("digits", "words"),
    [(1, "own figures, rounded to 1 significant digit, to"), (17, "own figures, to the aggregator")],
)
def test_the_digits_of_metrics_are_told(manifest: Make, digits: int, words: str) -> None:
    plan = manifest(metric_digits=digits, tasks={"train": {"discloses": AGGREGATE}})

    assert words in "\n".join(section(told(plan), "What leaves a site"))


def test_an_aggregate_says_who_sees_the_sites_own_update(manifest: Make) -> None:
    leaves = section(told(manifest(tasks={"train": {"discloses": AGGREGATE}})), "What leaves a site")

    assert (
        "    - loss, accuracy: the site's own figures, rounded to 6 significant digits, to the "
        "aggregator, the operators and the workflow" in leaves
    )
    assert (
        "    - how training changed the model (all tensors), to the aggregator, which promises to show "
        "the workflow only the sum over all sites, 1 at least"
    ) in leaves


def test_a_sum_says_how_many_sites_it_is_of_at_least(manifest: Make) -> None:
    plan = manifest(cohort={"minimum": 5}, tasks={"train": {"discloses": AGGREGATE}})

    assert "only the sum over all sites, 5 at least" in told(plan)


def test_a_robust_rule_is_told_as_what_the_workflow_sees(manifest: Make) -> None:
    krum = {"rule": "krum", "byzantine": 1}
    plan = manifest(cohort={"minimum": 5}, aggregation=krum, tasks={"train": {"discloses": AGGREGATE}})

    assert (
        "the workflow only one result of all sites, 5 at least: the one update closest to most others "
        "(Krum), as if 1 site could send anything"
    ) in told(plan)


def test_each_task_says_how_often_a_site_may_be_asked(manifest: Make) -> None:
    tasks = {"train": {"discloses": AGGREGATE, "exchanges": 3}, "evaluate": {}}

    leaves = section(told(manifest(rounds=20, tasks=tasks)), "What leaves a site")

    assert "  Each time it does train, at most in 3 exchanges of a round, in 60 exchanges of a run:" in leaves
    assert (
        "  Each time it does evaluate, at most in 1 exchange of a round, in 20 exchanges of a run:" in leaves
    )


def test_a_task_that_may_be_streamed_has_a_limit_of_the_run_alone(manifest: Make) -> None:
    tasks = {"train": {"discloses": {"update": "individual"}}}
    plan = manifest(workflow="federation:asynchronous", rounds=20, tasks=tasks)

    assert "Each time it does train, at most in 20 exchanges of a run:" in told(plan)


def test_an_individual_update_of_some_tensors_says_which(manifest: Make) -> None:
    discloses = {"update": "individual", "tensors": ["head.*", "norm.*"]}

    assert (
        "- how training changed the model (the tensors head.*, norm.*), to the aggregator and the workflow"
    ) in told(manifest(tasks={"train": {"discloses": discloses}}))


def test_the_first_model_leaves_one_site_unless_the_plan_brings_it(manifest: Make) -> None:
    words = "Before round 1, from one site, the first by name:"

    assert words in told(manifest())
    assert words not in told(manifest(initial_model="start.safetensors"))


def test_what_leaves_with_a_failure_is_told(manifest: Make) -> None:
    assert "only as far as `failures` in site.yaml lets them" in told(manifest())


def test_an_author_cannot_write_lines_of_the_report(manifest: Make) -> None:
    trick = "head\n  - nothing else\x1b[2J\u202e"
    plan = manifest(tasks={"train": {"discloses": {"update": "individual", "tensors": [trick]}}})

    text = told(plan)

    assert "\n  - nothing else" not in text
    assert all(line.isprintable() for line in text.splitlines())


def test_the_packages_that_have_to_be_installed_are_named(manifest: Make) -> None:
    plan = manifest(requires=["torch>=2.4", "python>=3.12"])

    assert "  These have to be installed here: torch>=2.4, python>=3.12." in told(plan)
