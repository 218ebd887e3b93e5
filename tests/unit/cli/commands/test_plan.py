from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.commands import Hanse

from hanse.collaborator.plan_store import PlanStore
from hanse.config.load import LoadedPlan, load_plan
from hanse.config.settings import SiteSettings, settings_yaml
from hanse.core.values.canonical import sha256
from hanse.files.lock import DirectoryLock

PLAN = """\
name: xrays
code: [federation.py]
learner: federation:learner
rounds: 3
tasks:
  train: {discloses: {update: individual, metrics: [loss]}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The folder of a plan and its code."""
    (tmp_path / "plan.yaml").write_text(PLAN)
    (tmp_path / "federation.py").write_text(
        "def learner(site):\n    ...\n\n\ndef workflow(federation):\n    ...\n"
    )
    return tmp_path


@pytest.fixture
def loaded(project: Path) -> LoadedPlan:
    return load_plan(project / "plan.yaml")


SUMMED = PLAN.replace("update: individual", "update: aggregate, aggregated_by: aggregator")


def test_a_plan_that_sites_refuse_by_default_is_in_order_with_a_warning(project: Path, hanse: Hanse) -> None:
    (project / "plan.yaml").write_text(SUMMED)

    ended = hanse("plan", "check", project / "plan.yaml")

    assert ended.code == 0
    assert ended.err.count("sites refuse this plan by default: train may disclose a sum of 1 site") == 1
    assert "Add to the plan: `cohort: {minimum: 3}`" in ended.err
    (warning,) = json.loads(hanse("plan", "check", project / "plan.yaml", "--json").out)["warnings"]
    assert "`cohort: {minimum: 3}`" in warning


@pytest.mark.parametrize("text", [PLAN, SUMMED + "cohort: {minimum: 3}\n"])
def test_other_plans_have_no_warning(project: Path, hanse: Hanse, text: str) -> None:
    (project / "plan.yaml").write_text(text)

    assert hanse("plan", "check", project / "plan.yaml").err == ""
    assert json.loads(hanse("plan", "check", project / "plan.yaml", "--json").out)["warnings"] == []


@pytest.fixture
def site(tmp_path: Path, loaded: LoadedPlan, join: Callable[[Path, datetime], object]) -> Path:
    """The directory of a site that has seen the plan, on which a person has to decide."""
    directory = tmp_path / "site"
    join(directory, datetime.now(UTC))
    settings = SiteSettings(
        name="hospital-a", federation="north", aggregator="https://localhost:1", proxy=None
    )
    (directory / "site.yaml").write_text(settings_yaml(settings))
    plans = PlanStore(directory / "plans")
    plans.keep(loaded.manifest)
    plans.wait_for_person(loaded.digest, ("no rule of this site decides",))
    bundle = plans.bundle(loaded.digest)
    bundle.mkdir()
    (bundle / "federation.py").write_bytes((tmp_path / "federation.py").read_bytes())
    return directory


def allow_individual_updates(site: Path) -> None:
    settings = site / "site.yaml"
    settings.write_text(settings.read_text().replace("# update: aggregate", "update: individual"))


def test_check_says_what_a_plan_would_run(hanse: Hanse, project: Path, loaded: LoadedPlan) -> None:
    ended = hanse("plan", "check", project / "plan.yaml")

    assert ended.code == 0
    assert f"SHA-256 {loaded.digest}" in ended.out
    assert ended.out.endswith("plan.yaml is in order\n")


def test_check_tells_every_mistake_with_its_line(hanse: Hanse, project: Path) -> None:
    (project / "plan.yaml").write_text(PLAN.replace("rounds: 3", "round: 3") + "seed: -1\n")

    ended = hanse("plan", "check", project / "plan.yaml")

    assert (ended.code, ended.out) == (3, "")
    assert "plan.yaml:4: round: unknown key; did you mean `rounds`?" in ended.err
    assert "plan.yaml:7: seed" in ended.err


def test_check_as_json_holds_digest_and_manifest(hanse: Hanse, project: Path, loaded: LoadedPlan) -> None:
    shown = json.loads(hanse("plan", "check", project / "plan.yaml", "--json").out)

    assert shown["digest"] == loaded.digest
    assert shown["manifest"]["plan"]["rounds"] == 3


def test_show_of_a_file_adds_its_settings(hanse: Hanse, project: Path) -> None:
    out = hanse("plan", "show", project / "plan.yaml").out

    assert "rounds: 3" in out
    assert f"Its code is in {project}" in out


def test_show_at_a_site_takes_the_beginning_of_a_digest(hanse: Hanse, site: Path, loaded: LoadedPlan) -> None:
    out = hanse("plan", "show", loaded.digest[:6], "--site", site).out

    assert "Plan xrays" in out
    assert f"Its code is in {site / 'plans' / loaded.digest / 'bundle'}" in out
    assert out.endswith("This site: waits for a person\n")


def test_show_of_a_misspelt_file_names_the_file(hanse: Hanse, project: Path) -> None:
    ended = hanse("plan", "show", project / "plam.yaml")

    assert ended.code == 3
    assert "plam.yaml: No such file or directory" in ended.err


def test_list_tells_what_waits_for_a_person(hanse: Hanse, site: Path, loaded: LoadedPlan) -> None:
    _, line = hanse("plan", "list", "--site", site).out.splitlines()

    assert line.split("  ") == [loaded.digest[:12], "xrays", "waits for a person", "-"]


@pytest.mark.parametrize("by", ["rule", "person"])
def test_a_plan_that_is_asked_again_waits_whatever_was_answered_before(
    hanse: Hanse, site: Path, loaded: LoadedPlan, by: str
) -> None:
    hanse("plan", "reject", loaded.digest, "--site", site, "--reason", "too many rounds")
    plans = PlanStore(site / "plans")
    answer = plans.answer(loaded.digest)
    assert answer is not None
    plans.record(loaded.digest, answer.model_copy(update={"by": by}))
    plans.wait_for_person(loaded.digest, ("no rule of this site decides",))

    (listed,) = json.loads(hanse("plan", "list", "--site", site, "--json").out)
    shown = hanse("plan", "show", loaded.digest, "--site", site).out

    assert (listed["state"], listed["reasons"], listed["decided_ms"]) == ("waits for a person", "", None)
    assert shown.endswith("This site: waits for a person\n")


def test_list_outside_a_site_says_so(hanse: Hanse, tmp_path: Path) -> None:
    ended = hanse("plan", "list", "--site", tmp_path)

    assert ended.code == 3
    assert "there is no site.yaml" in ended.err


def test_approving_signs_the_answer_and_keeps_it(hanse: Hanse, site: Path, loaded: LoadedPlan) -> None:
    allow_individual_updates(site)

    ended = hanse("plan", "approve", loaded.digest[:8], "--site", site, "--reason", "read by Ada")

    assert (ended.code, ended.out) == (0, f"plan {loaded.digest[:12]} is approved\n")
    answer = PlanStore(site / "plans").answer(loaded.digest)
    assert answer is not None
    assert answer.body.accepted
    assert answer.body.reasons == ("a person approved it: read by Ada",)
    (decided,) = json.loads(hanse("plan", "list", "--site", site, "--json").out)
    assert decided["state"] == "accepted by a person"


def test_a_plan_can_be_approved_from_its_file_before_a_run_asks(
    hanse: Hanse, site: Path, project: Path
) -> None:
    (project / "plan.yaml").write_text(SUMMED + "cohort: {minimum: 3}\n")
    digest = load_plan(project / "plan.yaml").digest

    ended = hanse("plan", "approve", project / "plan.yaml", "--site", site)

    assert (ended.code, ended.out) == (0, f"plan {digest[:12]} is approved\n")
    answer = PlanStore(site / "plans").answer(digest)
    assert answer is not None
    assert answer.body.accepted
    assert hanse("plan", "show", digest[:8], "--site", site).out.endswith(
        "accepted by a person (a person approved it)\n"
    )


def test_rejecting_needs_no_permission(hanse: Hanse, site: Path, loaded: LoadedPlan) -> None:
    assert hanse("plan", "reject", loaded.digest, "--site", site).code == 0

    _, line = hanse("plan", "list", "--site", site).out.splitlines()
    assert "refused by a person" in line


def test_what_the_policy_forbids_cannot_be_approved(hanse: Hanse, site: Path, loaded: LoadedPlan) -> None:
    ended = hanse("plan", "approve", loaded.digest, "--site", site)

    assert ended.code == 4
    assert "discloses update: individual; this site permits aggregate" in ended.err
    assert PlanStore(site / "plans").pending() == (loaded.digest,)


def test_a_run_that_cannot_be_told_is_named_and_the_decision_stands(
    hanse: Hanse, site: Path, loaded: LoadedPlan
) -> None:
    PlanStore(site / "plans").note_runs({"xrays-1": loaded.digest}, {})

    ended = hanse("plan", "reject", loaded.digest, "--site", site)

    assert ended.code == 0
    assert ended.err.startswith("warning: xrays-1 was not notified: https://localhost:1 cannot be reached")
    assert PlanStore(site / "plans").answer(loaded.digest) is not None


def test_a_person_does_not_answer_another_run_of_an_earlier_runs_name(
    hanse: Hanse, site: Path, loaded: LoadedPlan
) -> None:
    PlanStore(site / "plans").note_runs({"xrays-1": loaded.digest}, {"xrays-1": 1_000})
    hanse("plan", "reject", loaded.digest, "--site", site)
    PlanStore(site / "plans").note_runs({"xrays-1": loaded.digest}, {"xrays-1": 2_000})

    ended = hanse("plan", "reject", loaded.digest, "--site", site)

    assert (
        "xrays-1 was not notified: run xrays-1, submitted on 1970-01-01 00:00:02Z, is not the run"
        in ended.err
    )
    log = json.loads(hanse("collaborator", "log", "--site", site, "--json").out)
    assert [each["submitted_ms"] for each in log if each["kind"] == "PlanAnswerReleased"] == [1_000]


def test_diff_tells_settings_and_lines_of_code(
    hanse: Hanse, site: Path, project: Path, loaded: LoadedPlan
) -> None:
    (project / "plan.yaml").write_text(PLAN.replace("rounds: 3", "rounds: 5"))
    (project / "federation.py").write_text("def learner(site):\n    return None\n")

    out = hanse("plan", "diff", loaded.digest[:10], project / "plan.yaml", "--site", site).out

    assert "rounds: 3 -> 5" in out
    assert "+    return None" in out


def test_diff_of_the_same_plan_is_told(hanse: Hanse, site: Path, project: Path, loaded: LoadedPlan) -> None:
    ended = hanse("plan", "diff", loaded.digest, project / "plan.yaml", "--site", site)

    assert ended.out == "the two plans are the same\n"


SECURE = """
name: xrays
code: [federation.py]
learner: federation:learner
workflow: federation:workflow
initial_model: workflow
cells: {all: [hospital-a, b, c, d]}
cohort: {minimum: 3}
aggregation: {rule: mean}
tasks:
  train: {discloses: {update: aggregate, aggregated_by: secure_aggregation}}
privacy:
  secure_aggregation: {model: {clip: 1.0}}
"""


def check_by_telephone(site: Path, *names: str) -> None:
    settings = site / "site.yaml"
    peers = ", ".join(f"{name}: {sha256(name.encode())}" for name in names)
    settings.write_text(settings.read_text().replace("# peers: {}", f"peers: {{{peers}}}"))


def test_show_and_approve_of_a_plan_with_secure_aggregation_say_who_has_to_be_honest(
    hanse: Hanse, project: Path, site: Path
) -> None:
    (project / "plan.yaml").write_text(SECURE)
    check_by_telephone(site, "b", "c")

    shown = hanse("plan", "show", project / "plan.yaml", "--site", site).out
    approved = hanse("plan", "approve", project / "plan.yaml", "--site", site)

    assert "This site in secure aggregation\n  Masked results of this site are disclosed" in shown
    for told in (shown, approved.out):
        assert "People of this site have checked the signing keys of b and c." in told
        assert "They have not checked d" in told
    assert approved.code == 0, approved.err


def test_approve_says_that_a_running_agent_has_an_older_site_yaml(
    hanse: Hanse, project: Path, site: Path
) -> None:
    allow_individual_updates(site)
    with DirectoryLock(site, holder="collaborator"):
        os.utime(site / "lock", (1, 1))
        ended = hanse("plan", "approve", project / "plan.yaml", "--site", site)
    stopped = hanse("plan", "approve", project / "plan.yaml", "--site", site)

    assert "site.yaml was changed since the agent started" in ended.err
    assert "restart the agent" in ended.err
    assert "restart" not in stopped.err


def test_a_plan_with_secure_aggregation_cannot_be_approved_before_peers_are_checked(
    hanse: Hanse, project: Path, site: Path
) -> None:
    (project / "plan.yaml").write_text(SECURE)
    check_by_telephone(site, "b")

    ended = hanse("plan", "approve", project / "plan.yaml", "--site", site)

    assert ended.code == 4
    assert "2 other members of cell all first" in ended.err


def test_away_from_a_site_show_says_nothing_about_one(hanse: Hanse, project: Path) -> None:
    (project / "plan.yaml").write_text(SECURE)

    assert "This site" not in hanse("plan", "show", project / "plan.yaml", "--site", project).out


def test_cells_are_written_into_the_plan_file(project: Path, hanse: Hanse) -> None:
    sites = project / "sites.txt"
    sites.write_text("\n".join(f"site-{number:02}" for number in range(24)))

    ended = hanse("plan", "cells", project / "plan.yaml", "--sites", sites)

    assert ended.code == 0
    assert ended.out.splitlines()[1].startswith("cell-1  12       site-00, site-01")
    assert (project / "plan.yaml").read_text().startswith(PLAN)
    assert len(load_plan(project / "plan.yaml").manifest.plan.cells["cell-2"]) == 12
    again = hanse("plan", "cells", project / "plan.yaml", "--sites", sites)
    assert (again.code, "the plan has cells" in again.err) == (3, True)
    other = hanse("plan", "cells", project / "plan.yaml", "--sites", sites, "--size", 8, "--again", "--json")
    assert list(json.loads(other.out)["cells"]) == ["cell-1", "cell-2", "cell-3"]


def test_cells_of_a_size_that_the_plan_does_not_permit_are_larger_and_it_is_said(
    project: Path, hanse: Hanse
) -> None:
    sites = project / "sites.txt"
    sites.write_text("\n".join("abcdef"))
    with (project / "plan.yaml").open("a") as plan:
        plan.write("cohort: {minimum: 6}\n")

    ended = hanse("plan", "cells", project / "plan.yaml", "--sites", sites, "--size", 3)

    assert "all   6" in ended.out
    assert "cells of 3 are smaller than the plan permits" in ended.err
    assert "at least 6 members" in ended.err
