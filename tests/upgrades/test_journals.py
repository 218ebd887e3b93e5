"""Journals of earlier versions are read: exported ones verified, those in a federation's folder replayed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.commands import Hanse
from tests.upgrades.kept import VERSIONS, copied, items, named, read

from hanse.core.values.model_ref import ModelRef
from hanse.storage.journal_sql import SqlJournal
from hanse.storage.journaled_run import JournaledRun

PROSE = ("claim", "told")
"""Sentences for people, which each version words in its own way."""
RENAMED = {"set_aside": "suspended"}
"""Names of 0.1 in what `--json` prints, and what they are now."""


def as_far_as(stored: Any, found: Any) -> Any:
    """Those parts of `found` that `stored` has too, without prose: a later version may say more."""
    match stored, found:
        case dict(), dict():
            return {
                RENAMED.get(name, name): as_far_as(value, found[RENAMED.get(name, name)])
                for name, value in stored.items()
                if name not in PROSE and RENAMED.get(name, name) in found
            }
        case list(), list():
            return [as_far_as(before, now) for before, now in zip(stored, found, strict=False)] + found[
                len(stored) :
            ]
        case _:
            return found


def present(stored: Any) -> Any:
    """A stored verdict in the names of this version."""
    match stored:
        case dict():
            return {RENAMED.get(name, name): present(value) for name, value in stored.items()}
        case list():
            return [present(value) for value in stored]
        case _:
            return stored


@pytest.mark.parametrize("folder", items("export"), ids=named)
def test_an_exported_journal_is_verified_with_the_verdict_that_it_had(folder: Path, hanse: Hanse) -> None:
    verdict = json.loads((folder / "verify.json").read_text())
    model = folder / "model.safetensors"

    ended = hanse(
        "audit",
        "verify",
        folder / "journal.jsonl",
        "--ca",
        folder.parent / "ca.crt",
        "--model",
        model,
        "--json",
    )

    assert ended.code == 0, ended.err
    assert as_far_as(verdict, json.loads(ended.out)) == as_far_as(verdict, present(verdict))
    assert all(check["holds"] for check in verdict["checks"].values())


@pytest.mark.parametrize("folder", items("export"), ids=named)
def test_an_exported_journal_with_an_altered_record_is_not_verified(
    folder: Path, tmp_path: Path, hanse: Hanse
) -> None:
    altered = tmp_path / "journal.jsonl"
    altered.write_text((folder / "journal.jsonl").read_text().replace('"site":"visby"', '"site":"wismar"', 1))

    ended = hanse("audit", "verify", altered, "--ca", folder.parent / "ca.crt", "--json")

    assert ended.code == 8
    assert json.loads(ended.out)["checks"]["chain"]["holds"] is False


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def journal(version: str, tmp_path: Path) -> Iterator[SqlJournal]:
    folder = copied(version, tmp_path / "federation") / "aggregator"
    with closing(SqlJournal(folder / "journal.sqlite")) as journal:
        yield journal


def test_each_run_in_a_federations_folder_stands_where_it_stood(version: str, journal: SqlJournal) -> None:
    expected = read(version, "expected.json")

    ledgers = {run_id: JournaledRun(journal, run_id) for run_id in expected}

    for run_id, stored in expected.items():
        run = ledgers[run_id].run
        assert run.phase.value == stored["phase"], run_id
        assert run.model == (stored["model"] and ModelRef(stored["model"])), run_id
        assert max(run.committed, 0) == stored["rounds_committed"], run_id
        assert ledgers[run_id].events == stored["records"], run_id


def test_the_members_of_a_federation_are_the_ones_that_joined(
    version: str, tmp_path: Path, hanse: Hanse
) -> None:
    folder = copied(version, tmp_path / "federation") / "aggregator"

    ended = hanse("federation", "members", "-d", folder, "--json")

    assert ended.code == 0, ended.err
    members = read(version, "members.json")
    assert as_far_as(members, json.loads(ended.out)) == members
