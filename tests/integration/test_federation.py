"""A federation from its creation to the verified journal, by the commands that people type."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.integration.deployment import AGGREGATE, Deployment, deployed, done
from tests.processes import VISIBLE, until

from hanse.core.run.round_events import RoundCommitted, RoundOpened, UpdateAccepted
from hanse.core.run.run_events import PlanAnswered, SiteInvited

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not VISIBLE, reason="processes are found by /proc"),
]


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """With sites `a` and `b`."""
    with deployed(tmp_path_factory.mktemp("federation"), "a", "b") as deployment:
        yield deployment


def test_a_plan_is_submitted_watched_exported_and_verified(federation: Deployment, tmp_path: Path) -> None:
    directory = ("-d", federation.directory)
    plan = federation.plan(keep_best={"metric": "loss", "mode": "min"})

    checked = done("plan", "check", plan)
    run_id = done("run", "submit", plan, *directory).strip()
    watching = federation.command("run", "watch", run_id, *directory)
    code = watching.ended()
    exported = json.loads(done("run", "export", run_id, *directory, "-o", tmp_path, "--json"))
    ca = federation.directory / "ca" / "ca.crt"
    verdict = done("audit", "verify", tmp_path / "journal.jsonl", "--ca", ca)
    told = done("audit", "show", tmp_path / "journal.jsonl", "--ca", ca, "--site", "a")
    runs = json.loads(done("run", "list", *directory, "--json"))

    assert "trial" in checked
    assert code == 0
    lines = watching.log.read_text().splitlines()
    assert [line.split()[0] for line in lines if "/2 " in line] == ["1/2", "2/2"]
    assert lines[-1] == "finished after 2 rounds; the best was round 2"
    assert set(exported) == {"journal", "plan", "model", "best"}
    assert "verified: " in verdict
    assert "accepted the plan: its name matches the rule 'trial*'" in told
    assert {run["run_id"]: run["phase"] for run in runs}[run_id] == "finished"
    model = federation.run(run_id).model(tmp_path / "again")
    assert (model["weight"].shape, model["weight"].dtype, int(model["steps"])) == ((4,), np.float32, 2)


def test_several_runs_go_on_at_the_same_time(federation: Deployment) -> None:
    for site in federation.sites.values():
        site.hold("train", 1)
    runs = [federation.submit(seed=seed) for seed in range(3)]
    for run in runs:
        for site in federation.sites.values():
            site.held(run.run_id, "train", 1)

    federation.release()
    models = [run.finished() for run in runs]

    assert len(set(models)) == 3
    assert federation.submit(seed=1).finished() == models[1]


def test_a_site_that_joins_while_a_run_is_under_way_takes_part_from_the_next_round(
    federation: Deployment,
) -> None:
    federation.sites["a"].hold("train", 1)
    run = federation.submit(cohort={"deadline": "5m"})
    federation.sites["a"].held(run.run_id, "train", 1)

    federation.join("late")
    federation.start_agent("late")
    run.until(PlanAnswered, site="late")
    federation.release()

    run.finished()
    cohorts = {event.round_number: event.cohort for event in run.events if isinstance(event, RoundOpened)}
    assert (cohorts[1], cohorts[2]) == (("a", "b"), ("a", "b", "late"))
    federation.agent("late").end(signal.SIGTERM)
    done("federation", "remove", "late", "-d", federation.directory)


def test_a_site_that_is_removed_and_joins_again_takes_part_once_it_has_agreed_again(
    federation: Deployment,
) -> None:
    agent = federation.agent("b")
    federation.sites["b"].hold("train", 1)
    run = federation.submit(cohort={"deadline": "5m", "quorum": 0.5})
    federation.sites["b"].held(run.run_id, "train", 1)
    federation.sites["a"].hold("evaluate", 1)

    done("federation", "remove", "b", "-d", federation.directory)
    agent.ended()
    federation.sites["a"].held(run.run_id, "evaluate", 1)
    federation.join("b")
    federation.start_agent("b")
    run.until(SiteInvited, site="b")
    until(lambda: run.status.answers["b"] == "accepted", "the second answer of b")
    federation.release()

    run.finished()
    answered = {(event.exchange, event.site) for event in run.events if isinstance(event, UpdateAccepted)}
    assert answered == {(1, "a"), (2, "a"), (3, "a"), (4, "a"), (4, "b"), (5, "a"), (5, "b")}


def test_every_dtype_comes_through_unchanged(federation: Deployment, tmp_path: Path) -> None:
    run = federation.submit(
        code=["dtypes.py"],
        learner="dtypes:learner",
        data=[],
        aggregation={},
        tasks={"train": {"discloses": {"update": "individual"}}},
    )

    run.finished()

    model = run.model(tmp_path)
    names = {name for name in model if "." not in name}
    assert {"float16", "bfloat16", "float32", "float64", "int64", "uint8", "bool"} <= names
    for name in names:
        assert [model[name + part].dtype.name for part in ("", ".scalar", ".empty")] == [name] * 3
        assert [model[name + part].shape for part in ("", ".scalar", ".empty")] == [(2, 3), (), (0, 3)]
        expected = {"b": False, "i": 2, "u": 2}.get(model[name].dtype.kind, 1)
        assert np.all(model[name] == expected), name
        assert model[f"{name}.scalar"] == expected, name
        if model[name].dtype.name.endswith(("float16", "float32", "float64")):
            assert model[f"{name}.mask"].astype(float).tolist() == [-np.inf, 1]


@pytest.mark.parametrize("labels", [None, ["healthy", "sick"]], ids=["by the model", "by the plan"])
def test_a_site_with_other_labels_is_refused_and_they_stay_in_its_own_log(
    federation: Deployment, tmp_path: Path, labels: Any
) -> None:
    run = federation.submit(
        name="trial-labels",
        code=["labelled.py"],
        learner="labelled:learner",
        data=[],
        aggregation={},
        tasks={"train": {"discloses": AGGREGATE, "retries": 0}},
        **({} if labels is None else {"labels": labels}),
    )

    status = run.over()

    assert status.phase == "failed"
    assert "the labels of the data at b are not those that" in status.reason
    assert "'Jane Doe' and 'sick'" in federation.agent("b").says("abels here: 'Jane Doe'")
    journal = run.export(tmp_path) / "journal.jsonl"
    assert "Jane Doe" not in journal.read_text()
    assert "gave back exactly the parameters" in federation.agent("a").says(
        "of round 1: task train gave back"
    )


def test_a_plans_own_workflow_gets_each_sites_update_and_keeps_its_state(federation: Deployment) -> None:
    run = federation.submit(**own("median"))

    run.finished()

    assert [event.metrics for event in run.events if isinstance(event, RoundCommitted)][1:] == [
        {"answers": 2.0},
        {"answers": 4.0},
    ]


def test_a_workflow_that_fails_ends_the_run_with_the_place_and_the_reason(federation: Deployment) -> None:
    run = federation.submit(**own("broken"))

    ended = run.over()

    assert ended.phase == "failed"
    assert "workflow.py" in ended.reason
    assert "no idea what to do in round 1" in ended.reason


def own(workflow: str) -> dict[str, Any]:
    """A plan with a workflow of its own."""
    train = {"lr": 0.1, "discloses": {"update": "individual", "metrics": ["loss"]}}
    return {
        "code": ["momentum.py", "workflow.py"],
        "workflow": f"workflow:{workflow}",
        "tasks": {"train": train},
    }
