"""Sealed runs with software TPMs: no key for a site that differs by a byte, or for a copy of a site."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.integration.deployment import Run, done, hanse
from tests.processes import until
from tests.rehearsal.federation import Rehearsal, rehearsed
from tests.tpm.swtpm import SWTPM

from hanse.core.run.events import Event
from hanse.core.run.evidence.events import AnswersLost, InstanceStarted, KeysReleased, SiteAppraised
from hanse.core.run.round_events import (
    ExchangeClosed,
    RoundCommitted,
    TaskStarted,
    UpdateAccepted,
    UpdatesAggregated,
)
from hanse.sealing.header import read_header

HERE = SWTPM is not None and importlib.util.find_spec("tpm2_pytss") is not None
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not HERE, reason="swtpm or tpm2-pytss (the extra `tpm`) is not installed"),
]


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    """Sites `a` and `b` as the policy says, `changed` by a byte, and `lying` with the log of `a`."""
    with rehearsed(tmp_path_factory.mktemp("rehearsal")) as found:
        yield found


@dataclass(frozen=True)
class Interrupted:
    """A run of two rounds, whose aggregator was killed when one of two sites had answered.

    Attributes:
        run: The run, finished.
        events: All that happened.
        update: The update of `b` of the first round, as the aggregator had it on its disk.
        folder: Its export.
        plan: Folder of its plan.
    """

    run: Run
    events: list[Event]
    update: Path
    folder: Path
    plan: Path


@pytest.fixture(scope="module")
def interrupted(rehearsal: Rehearsal, tmp_path_factory: pytest.TempPathFactory) -> Interrupted:
    deployment, folder = rehearsal.deployment, tmp_path_factory.mktemp("interrupted")
    deployment.sites["a"].hold("train", 1)
    plan = rehearsal.released_plan()
    run = deployment.submit_file(plan)
    answered = run.until(UpdateAccepted, site="b")
    assert answered.update is not None
    (blob,) = (deployment.directory / "blobs").rglob(answered.update)
    update = Path(shutil.copy(blob, folder / "update.sealed"))
    for name in ("changed", "lying"):
        deployment.agent(name).says("waits for evidence")
    deployment.aggregator.end(signal.SIGKILL)
    deployment.aggregator.must_be_gone()
    deployment.start_aggregator()
    deployment.release()
    run.finished()
    done("run", "export", run.run_id, "-d", deployment.directory, "-o", folder)
    return Interrupted(run, run.events, update, folder, plan.parent)


def released(interrupted: Interrupted) -> set[str]:
    return {event.site for event in interrupted.events if isinstance(event, KeysReleased)}


def fingerprint(public: str) -> str:
    return hashlib.sha256(bytes.fromhex(public)).hexdigest()


def appraised(interrupted: Interrupted, site: str) -> list[SiteAppraised]:
    return [each for each in interrupted.events if isinstance(each, SiteAppraised) and each.site == site]


def test_the_sites_that_are_as_the_policy_says_train(interrupted: Interrupted) -> None:
    closed = [event.answered for event in interrupted.events if isinstance(event, ExchangeClosed)]

    assert closed == [("a", "b"), ("a", "b")]


def test_the_owner_opens_what_came_of_it(rehearsal: Rehearsal, interrupted: Interrupted) -> None:
    model = rehearsal.opened(interrupted.folder / "model.sealed")

    assert model["weight"].tolist() == [1.125, 1.5, 2.25, 3]
    assert model["mark"].tobytes() == rehearsal.mark.tobytes()


def test_an_update_opens_for_the_instance_of_the_aggregator_alone(
    rehearsal: Rehearsal, interrupted: Interrupted
) -> None:
    (to,) = read_header(interrupted.update).recipients
    first = next(event for event in interrupted.events if isinstance(event, InstanceStarted))
    sites = {fingerprint(each.claims.seal) for each in appraised(interrupted, "a")}
    options = ("--key", rehearsal.owner / "owner.key", "--rehearsal", "-o", interrupted.folder / "x")
    refused = hanse("unseal", interrupted.update, *options)

    assert to.to == fingerprint(first.seal)
    assert to.to not in sites
    assert "is not sealed to the owner hospital" in refused.err


@pytest.mark.parametrize("site", ["changed", "lying"])
def test_a_site_with_a_byte_of_hanse_changed_is_asked_nothing(interrupted: Interrupted, site: str) -> None:
    started = {event.site for event in interrupted.events if isinstance(event, TaskStarted)}

    assert {event.verdict.accepted for event in appraised(interrupted, site)} == {False}
    assert started == released(interrupted) == {"a", "b"}


def test_a_site_with_a_byte_of_hanse_changed_is_told_which_file(
    rehearsal: Rehearsal, interrupted: Interrupted
) -> None:
    line = rehearsal.deployment.agent("changed").says("waits for evidence")

    assert "PCR 11 differs" in line
    assert "'hanse/collaborator/agent.py " in line


def test_the_log_of_another_machine_does_not_help(rehearsal: Rehearsal, interrupted: Interrupted) -> None:
    line = rehearsal.deployment.agent("lying").says("waits for evidence")

    assert "its events lead to" in line
    assert "in PCR 11" in line


def test_the_version_that_a_site_states_counts_for_nothing(
    rehearsal: Rehearsal, interrupted: Interrupted
) -> None:
    sites = rehearsal.deployment.sites
    stated = {
        name: json.loads(done("collaborator", "log", "--site", sites[name].directory, "--json"))[0]["version"]
        for name in ("a", "changed")
    }

    assert stated["a"] == stated["changed"]


def test_a_killed_aggregator_is_another_instance_and_the_run_has_its_rounds(interrupted: Interrupted) -> None:
    instances = [event.instance for event in interrupted.events if isinstance(event, InstanceStarted)]
    rounds = [event.round_number for event in interrupted.events if isinstance(event, RoundCommitted)]

    assert len(set(instances)) == 2
    assert rounds == [0, 1, 2]


def test_an_answer_to_the_killed_instance_is_asked_again_and_counts_once(interrupted: Interrupted) -> None:
    answers = [
        (event.exchange, event.site) for event in interrupted.events if isinstance(event, UpdateAccepted)
    ]
    summed = [event.num_examples for event in interrupted.events if isinstance(event, UpdatesAggregated)]

    assert sum(isinstance(event, AnswersLost) for event in interrupted.events) == 1
    assert sorted(answers) == [(1, "a"), (1, "b"), (1, "b"), (2, "a"), (2, "b")]
    assert summed == [2, 2]


def test_an_auditor_reaches_three_verdicts(rehearsal: Rehearsal, interrupted: Interrupted) -> None:
    deployment = rehearsal.deployment
    found = json.loads(
        done(
            *("audit", "verify", interrupted.folder / "journal.jsonl", "--json"),
            *("--ca", deployment.directory / "ca" / "ca.crt", "--plan", interrupted.plan),
            *("--evidence", deployment.directory, "--evidence", deployment.sites["a"].directory),
            *("--collateral", deployment.directory / "attestation" / "collateral"),
        )
    )

    evidence = found["evidence"]["appraised"]
    assert [found["checks"][name]["holds"] for name in ("evidence", "aggregator", "appraisal")] == [True] * 3
    assert {each["standing"] for each in evidence} == {"as recorded"}
    assert {each["party"] for each in evidence if each["passes_today"]} == {"a", "b"}


def test_a_copy_of_a_site_and_a_restarted_agent_get_keys_once_an_operator_has_admitted_them(
    rehearsal: Rehearsal, tmp_path: Path
) -> None:
    deployment = rehearsal.deployment
    site = deployment.sites["b"]
    for held in ("a", "b"):
        deployment.sites[held].hold("train", 1)
    run = deployment.submit_file(rehearsal.released_plan())
    first = run.until(KeysReleased, site="b").instance
    run.until(TaskStarted, site="b")
    deployment.agent("b").end(signal.SIGKILL)
    deployment.agent("b").must_be_gone()
    copied = Path(shutil.copytree(site.directory, tmp_path / "copied"))

    copy = deployment.command(
        *("collaborator", "start", "--site", copied), start=rehearsal.machines["b"].tree.execute
    )
    refused = deployment.aggregator.says("b gets no keys")
    copy.end()
    copy.must_be_gone()
    rehearsal.start_agent("b")
    log = deployment.aggregator.log
    until(lambda: log.read_text().count("b gets no keys") == 2, "a second refusal")
    before = [event.instance for event in run.events if isinstance(event, KeysReleased) and event.site == "b"]
    done("run", "admit", run.run_id, "b", "--reason", "restarted", "-d", deployment.directory)
    deployment.release()
    run.finished()
    after = [event.instance for event in run.events if isinstance(event, KeysReleased) and event.site == "b"]

    assert f"hanse run admit {run.run_id} b" in refused
    assert before == [first]
    assert len(after) == len(set(after)) == 2


@pytest.mark.parametrize("register", [16, 23])
def test_a_policy_of_a_register_that_software_can_reset_is_refused(
    rehearsal: Rehearsal, tmp_path: Path, register: int
) -> None:
    path = tmp_path / "sites.toml"
    path.write_text(rehearsal.policy().replace("selection = [11]", f"selection = [11, {register}]"))

    refused = hanse("attest", "policy", path)

    assert refused.code != 0
    assert f"PCR {register} proves nothing" in refused.err
