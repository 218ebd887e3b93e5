"""`hanse collaborator log` and `acknowledge`, without a network."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.commands import Hanse

from hanse.collaborator.restored import Restored
from hanse.collaborator.run_folder import RunFolder
from hanse.collaborator.site_journal import SiteJournal
from hanse.config.settings import SiteSettings, settings_yaml
from hanse.core.journal.site_records import (
    FailureReleased,
    JournalHead,
    PlanAnswerReleased,
    ReleasedTensor,
    ReleasedUpdate,
    ResultReleased,
)
from hanse.core.values.identity import Party, Role
from hanse.files.lock import DirectoryLock

NOW = datetime(2026, 5, 4, 10, 2, 11, tzinfo=UTC)
PLAN, DIGEST = "1" * 64, "c" * 64
HEAD = JournalHead(generation=0, sequence=40, digest="e" * 64)
TASK = {"plan_digest": PLAN, "exchange": 2, "round_number": 1, "task": "train", "model": "a" * 64}


@pytest.fixture
def site(tmp_path: Path, join: Callable[[Path, datetime], object]) -> Path:
    """The folder of a site whose agent has run."""
    directory = tmp_path / "site"
    join(directory, datetime.now(UTC))
    settings = SiteSettings(
        name="hospital-a", federation="north", aggregator="https://localhost:1", proxy=None
    )
    (directory / "site.yaml").write_text(settings_yaml(settings))
    tensors = (ReleasedTensor(name="w", dtype="float32", shape=(2, 3)),)
    with closing(
        SiteJournal(directory, Party("north", Role.COLLABORATOR, "hospital-a"), lambda: NOW)
    ) as journal:
        journal.record(
            PlanAnswerReleased(
                run_id="xrays-1", plan_digest=PLAN, accepted=True, reasons=("vote 17",), by="person"
            )
        )
        journal.record(
            ResultReleased(
                run_id="xrays-1",
                num_examples=1234,
                metrics={"loss": 0.25},
                update=ReleasedUpdate(digest=DIGEST, size=45_678, tensors=tensors, more_tensors=2),
                **TASK,
            )
        )
        journal.record(
            FailureReleased(run_id="xrays-2", reason="no disk", log_tail="Traceback\nboom", **TASK)
        )
    return directory


def test_the_log_says_when_what_left_for_whom(hanse: Hanse, site: Path) -> None:
    ended = hanse("collaborator", "log", "--site", site)

    assert ended.code == 0, ended.err
    assert ended.out == (
        "2026-05-04 10:02:11Z     1  journal of hospital-a in north begun by Hanse 0.2.0.dev0\n"
        "2026-05-04 10:02:11Z     2  run xrays-1: plan 111111111111 accepted by a person\n"
        "                            reason: vote 17\n"
        "2026-05-04 10:02:11Z     3  run xrays-1: train of round 1, exchange 2: 1234 examples, loss 0.25\n"
        f"                            an update of 45,678 bytes, digest {DIGEST}, with 3 tensors\n"
        "                            tensors: w float32[2, 3], and 2 more\n"
        "2026-05-04 10:02:11Z     4  run xrays-2: train of round 1, exchange 2 failed\n"
        "                            reason: no disk\n"
        "                            printed: Traceback\n"
        "                            printed: boom\n"
    )


def test_the_log_for_scripts_has_every_field_of_each_record(hanse: Hanse, site: Path) -> None:
    begun, answer, result, failure = json.loads(hanse("collaborator", "log", "--site", site, "--json").out)

    assert (begun["sequence"], begun["kind"], begun["site"]) == (1, "SiteJournalBegun", "hospital-a")
    assert answer["time_ms"] == 1_777_888_931_000
    assert result["update"]["tensors"] == [{"name": "w", "dtype": "float32", "shape": [2, 3]}]
    assert failure["log_tail"] == "Traceback\nboom"


@pytest.mark.parametrize(
    ("options", "sequences"),
    [
        (["--run", "xrays-1"], [2, 3]),
        (["--last", "1"], [4]),
        (["--run", "xrays-1", "--last", "1"], [3]),
        (["--run", "xrays-9"], []),
    ],
)
def test_the_log_can_be_narrowed(hanse: Hanse, site: Path, options: list[str], sequences: list[int]) -> None:
    found = json.loads(hanse("collaborator", "log", "--site", site, "--json", *options).out)

    assert [each["sequence"] for each in found] == sequences


def test_a_log_of_nothing_says_so(hanse: Hanse, site: Path) -> None:
    ended = hanse("collaborator", "log", "--site", site, "--run", "x")

    assert ended.code == 0
    assert ended.out == (
        "the journal of this site records nothing for x; it begins at 2026-05-04 10:02:11Z\n"
    )


def test_the_log_of_a_site_whose_agent_has_never_started_says_so(hanse: Hanse, site: Path) -> None:
    (site / "journal.sqlite").unlink()

    ended = hanse("collaborator", "log", "--site", site)

    assert ended.code == 7
    assert "has no journal yet" in ended.err


def test_a_noticed_restore_is_acknowledged_though_the_aggregator_is_away(hanse: Hanse, site: Path) -> None:
    restored = Restored(heard=HEAD, own=HEAD, run_id="xrays-1", noticed_ms=1)
    (site / "journal.restored.json").write_text(restored.model_dump_json())

    ended = hanse("collaborator", "acknowledge", "--site", site, "--reason", "a new disk")

    assert ended.code == 0, ended.err
    assert "record 5 of the journal acknowledges" in ended.out
    (last,) = json.loads(hanse("collaborator", "log", "--site", site, "--json", "--last", "1").out)
    assert (last["kind"], last["reason"], last["heard"]["sequence"]) == (
        "RestoreAcknowledged",
        "a new disk",
        40,
    )
    assert "reason: a new disk" in hanse("collaborator", "log", "--site", site).out


def test_a_damaged_journal_is_acknowledged_though_the_aggregator_is_away(hanse: Hanse, site: Path) -> None:
    (site / "journal.sqlite").write_bytes(b"?" * 4096)
    assert hanse("collaborator", "log", "--site", site).code == 7

    ended = hanse("collaborator", "acknowledge", "--site", site, "--reason", "why")

    assert ended.code == 0, ended.err
    assert "could not be asked" in ended.out
    told = hanse("collaborator", "log", "--site", site).out
    assert "instead of journal.damaged-" in told


def test_while_the_agent_runs_nothing_is_acknowledged(hanse: Hanse, site: Path) -> None:
    with DirectoryLock(site, holder="collaborator"):
        ended = hanse("collaborator", "acknowledge", "--site", site, "--reason", "why")

    assert ended.code == 7
    assert "another collaborator" in ended.err


def test_a_reason_and_a_user_of_any_length_and_bytes_are_cut_and_cleaned(
    hanse: Hanse, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restored = Restored(heard=HEAD, own=HEAD, run_id="xrays-1", noticed_ms=1)
    (site / "journal.restored.json").write_text(restored.model_dump_json())
    monkeypatch.setenv("LOGNAME", "k" * 300)

    ended = hanse("collaborator", "acknowledge", "--site", site, "--reason", "\udcff" + "x" * 5_000)

    assert ended.code == 0, ended.err
    (last,) = json.loads(hanse("collaborator", "log", "--site", site, "--json", "--last", "1").out)
    assert last["by"] == "k" * 254 + "…"
    assert last["reason"] == "?" + "x" * 4_094 + "…"


def test_a_damaged_journal_is_acknowledged_with_such_a_reason_too(hanse: Hanse, site: Path) -> None:
    (site / "journal.sqlite").write_bytes(b"?" * 4096)

    ended = hanse("collaborator", "acknowledge", "--site", site, "--reason", "\udcff" * 5_000)

    assert ended.code == 0, ended.err


@pytest.mark.parametrize("options", [{"name": "hospital-b"}, {"federation": "south"}])
def test_the_log_of_another_sites_journal_is_refused(
    hanse: Hanse, site: Path, options: dict[str, str]
) -> None:
    told = {"name": "hospital-a", "federation": "north", "aggregator": "https://localhost:1", **options}
    (site / "site.yaml").write_text(settings_yaml(SiteSettings.model_validate(told)))

    ended = hanse("collaborator", "log", "--site", site)

    assert ended.code == 7
    assert "is the journal of hospital-a in north" in ended.err


def test_the_log_leaves_an_empty_journal_empty(hanse: Hanse, site: Path) -> None:
    (site / "journal.sqlite").write_bytes(b"")

    ended = hanse("collaborator", "log", "--site", site)

    assert ended.code == 7
    assert "hanse collaborator acknowledge" in ended.err
    assert (site / "journal.sqlite").read_bytes() == b""


def test_runs_that_ended_long_ago_are_pruned(site: Path, hanse: Hanse) -> None:
    folder = site / "runs" / "old-1"
    RunFolder(folder).mark_ended()
    os.utime(folder / "ended", (0, 0))

    tried = hanse("collaborator", "prune", "--site", site, "--runs", "30d", "--dry-run")
    assert tried.out.startswith("would delete run old-1, 0.0 MB, not used for ")
    assert folder.exists()

    done = hanse("collaborator", "prune", "--site", site, "--runs", "30d", "--json")
    assert [each["path"] for each in json.loads(done.out)] == [str(folder)]
    assert not folder.exists()
    assert (
        hanse("collaborator", "prune", "--site", site, "--runs", "30d").out == "there is nothing to delete\n"
    )


def test_pruning_without_an_age_is_refused(site: Path, hanse: Hanse) -> None:
    ended = hanse("collaborator", "prune", "--site", site)

    assert ended.code == 2
    assert "give --runs or --plans, or set `retention` in site.yaml" in ended.err
