"""The question that a plan's cell will raise beside earlier sums, from the journal of a site."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.parties import NOW, new_authority
from tests.unit.collaborator.aggregators import joined
from tests.unit.core.plan.plans import plan
from tests.unit.core.plan.privacy.secure_plans import secure_plan

from hanse.assembly.peers import overlap_question
from hanse.collaborator.site_journal import SiteJournal
from hanse.config.settings import SiteSettings
from hanse.core.journal.sum_records import RosterAccepted, SumPrepared
from hanse.core.plan.plan import Plan
from hanse.core.values.canonical import sha256
from hanse.core.values.identity import Party, Role
from hanse.pki.signing_key import SigningKey
from hanse.privacy.secagg.context import path_digest

KEYS = {name: sha256(name.encode()) for name in "bcde"}
SALT = bytes(range(32))


def settings(site: Path) -> SiteSettings:
    return SiteSettings.model_validate(
        {
            "name": "hospital-a",
            "federation": "north",
            "aggregator": "https://localhost:1",
            "data": {"hearts": str(site / "data"), "lungs": str(site / "other")},
            "secure_aggregation": {"peers": {name: KEYS[name] for name in "bc"}},
        }
    )


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The folder of hospital-a, which was summed with b, c and d over its data `hearts`."""
    directory = tmp_path / "site"
    directory.mkdir()
    joined(directory, new_authority())
    own = SigningKey.load(directory / "pki").fingerprint
    (directory / "sums.salt").write_bytes(SALT)
    told = {"run_id": "hearts-1", "plan_digest": "1" * 64, "exchange": 1}
    prepared = SumPrepared(
        round_number=1,
        task="train",
        model=None,
        cell="all",
        members=("b", "c", "d", "hospital-a"),
        colluders=1,
        data=("hearts",),
        paths=(path_digest(SALT, str(directory / "data")),),
        context="2" * 64,
        layout="3" * 64,
        commitment="4" * 64,
        words=10,
        **told,
    )
    signers = {name: KEYS[name] for name in "bcd"} | {"hospital-a": own}
    journal = SiteJournal(directory, Party("north", Role.COLLABORATOR, "hospital-a"), lambda: NOW)
    journal.record(prepared)
    journal.record(
        RosterAccepted(
            attempt=1,
            rho="5" * 64,
            signers=signers,
            commitments=dict.fromkeys(signers, "4" * 64),
            checked=("b", "c"),
            **told,
        )
    )
    journal.close()
    return directory


def asked(site: Path, members: str, data: str) -> str:
    wanted: Plan = secure_plan(cells={"all": [*members, "hospital-a"]}, data=[data])
    return "\n".join(overlap_question(site, settings(site), wanted))


def test_a_cell_with_another_member_is_asked_about_when_its_plan_is_read(site: Path) -> None:
    text = asked(site, "bcde", "hearts")

    assert "Cell all overlaps cell all of plan 111111111111" in text
    assert "since sums that this site cannot see may be known to others: e." in text


def test_the_same_cell_and_other_data_raise_no_question(site: Path) -> None:
    assert asked(site, "bcd", "hearts") == ""
    assert asked(site, "bcde", "lungs") == ""


def test_the_same_data_under_another_name_is_recognised_by_its_path(site: Path) -> None:
    (site / "other").symlink_to(site / "data")

    assert "may be known to others: e." in asked(site, "bcde", "lungs")


def test_other_plans_and_a_site_that_was_never_summed_raise_no_question(site: Path) -> None:
    assert overlap_question(site, settings(site), plan()) == ()
    assert overlap_question(site, settings(site), secure_plan()) == ()  # of other sites
    (site / "journal.sqlite").unlink()
    assert asked(site, "bcde", "hearts") == ""


def test_a_journal_that_cannot_be_read_is_not_taken_for_an_empty_one(site: Path) -> None:
    (site / "journal.sqlite").write_bytes(b"?" * 4096)

    assert asked(site, "bcde", "hearts").startswith("Earlier sums over the same data are not known: ")
