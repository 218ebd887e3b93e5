import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.parties import DAY, NOW, enrolled, new_authority, signing_key
from tests.unit.collaborator.aggregators import Site, manifest_of, until
from tests.unit.core.journal.test_site_history import result

from hanse.collaborator.acknowledgement import Acknowledgement
from hanse.collaborator.agent import Agent
from hanse.collaborator.restored import FILE, find_restore, must_be_whole, restored_note
from hanse.collaborator.site_journal import records_of
from hanse.core.journal.site_history import SiteHistory
from hanse.core.journal.site_records import JournalHead, RestoreAcknowledged, SiteJournalBegun
from hanse.core.values.statements import CertifiedStatement
from hanse.errors import (
    CredentialError,
    HanseError,
    PolicyError,
    ProtocolError,
    StorageError,
    TamperedError,
    TransportError,
    TrustError,
)
from hanse.pki.authority import Authority
from hanse.pki.credentials import Credentials
from hanse.pki.key_statements import rotation_of
from hanse.pki.signatures import sign
from hanse.pki.signing_key import SIGNING_KEY_FILE, SigningKey
from hanse.pki.signing_key_files import note_rotation
from hanse.pki.statements import state
from hanse.wire.messages.sites import (
    TASK_RESULT,
    TASK_RESULT_2,
    JournalHeadReply,
    JournalHeadRequest,
    TaskOutcome,
)

Run = Callable[[Any], Any]

RUN = "demo-1"
LOST = JournalHead(generation=0, sequence=40, digest="e" * 64)
"""A record that the site's journal does not have."""


def outcome_at(head: JournalHead | None) -> TaskOutcome:
    return TaskOutcome(
        federation="north",
        site="hospital-a",
        run_id=RUN,
        plan_digest="1" * 64,
        exchange=1,
        round_number=1,
        task="train",
        model=None,
        outcome="done",
        journal=head,
    )


def signed(
    credentials: Credentials, head: JournalHead, stated: JournalHead | None = None
) -> JournalHeadReply:
    """What an aggregator replies that has heard of a head."""
    statement = state(signing_key(credentials), TASK_RESULT, outcome_at(stated or head))
    return JournalHeadReply(heard=head, statement=statement)


def found(site: Site, run: Run) -> Any:
    return run(find_restore(site.journal(), site.credentials, site.upstream, 7))


def acknowledged(site: Site, run: Run, reason: str = "disk replaced") -> str:
    """What `hanse collaborator acknowledge` says."""
    journal = site.journal()
    by = Acknowledgement(site.directory, journal, site.credentials, site.upstream, "kim", reason, NOW)
    said: str = run(by.record())
    journal.close()
    return said


def test_a_journal_with_all_that_was_heard_of_is_not_restored(site: Site, run: Run) -> None:
    head = site.journal().record(result())
    site.upstream.heard = signed(site.credentials, head)

    assert found(site, run) is None
    assert [request.proof for request in site.upstream.stated] == [False]
    assert site.upstream.stated[0].head == head


def test_a_record_that_the_site_signed_and_its_journal_lacks_is_a_restore(site: Site, run: Run) -> None:
    site.upstream.heard = signed(site.credentials, LOST)

    restored = found(site, run)

    assert (restored.heard, restored.run_id, restored.own.sequence) == (LOST, RUN, 1)


def test_a_record_with_the_same_number_and_another_digest_is_a_restore(site: Site, run: Run) -> None:
    head = site.journal().record(result())
    forked = head.model_copy(update={"digest": "e" * 64})
    site.upstream.heard = signed(site.credentials, forked)

    assert found(site, run).heard == forked


def test_a_statement_of_before_counts_though_its_certificate_has_expired(
    site: Site, run: Run, authority: Authority, tmp_path: Path
) -> None:
    old = enrolled(authority, tmp_path / "old", since=NOW - 9 * DAY)
    body = outcome_at(LOST).model_dump(mode="json", exclude={"roster"})
    statement = CertifiedStatement(body=body, **sign(old, TASK_RESULT_2, body).model_dump())
    site.upstream.heard = JournalHeadReply(heard=LOST, statement=statement)

    assert found(site, run).heard == LOST


def test_a_statement_with_a_signing_key_that_was_replaced_counts(site: Site, run: Run) -> None:
    identity, old, new = site.directory / "pki", signing_key(site.credentials), SigningKey.create()
    site.upstream.heard = signed(site.credentials, LOST)
    note_rotation(identity, rotation_of(old, new, site.credentials.party))
    (identity / SIGNING_KEY_FILE).unlink()
    new.save(identity)

    assert found(site, run).heard == LOST


def claims(site: Site, authority: Authority, tmp_path: Path) -> dict[str, JournalHeadReply]:
    other = enrolled(authority, tmp_path / "other", "hospital-b")
    foreign = enrolled(new_authority(), tmp_path / "foreign")
    sound = signed(site.credentials, LOST)
    assert sound.statement is not None
    altered = sound.statement.model_copy(update={"body": {**sound.statement.body, "num_examples": 9}})
    return {
        "without a statement": JournalHeadReply(heard=LOST),
        "another site's": signed(other, LOST),
        "another federation's": signed(foreign, LOST),
        "altered": JournalHeadReply(heard=LOST, statement=altered),
        "about another record": signed(site.credentials, LOST, LOST.model_copy(update={"sequence": 2})),
        "no outcome": JournalHeadReply(
            heard=LOST, statement=sound.statement.model_copy(update={"body": {"journal": None}})
        ),
        "no key": JournalHeadReply(heard=LOST, statement=sound.statement.model_copy(update={"key": ""})),
    }


@pytest.mark.parametrize(
    "claim",
    [
        "without a statement",
        "another site's",
        "another federation's",
        "altered",
        "about another record",
        "no outcome",
        "no key",
    ],
)
def test_a_claim_without_the_sites_own_signature_stops_nothing(
    site: Site,
    run: Run,
    authority: Authority,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    claim: str,
) -> None:
    site.upstream.heard = claims(site, authority, tmp_path)[claim]

    assert found(site, run) is None

    assert "claims record 40 of this site's journal, and its proof does not hold" in caplog.text


async def served_nothing(site: Site) -> None:
    """Start an agent that holds everything back, and stop it."""
    context = replace(site.context(), remind_s=0.02)
    agent = Agent(context)
    running = asyncio.create_task(agent.run())
    site.upstream.want(site.publish(manifest_of()))
    await until(lambda: (site.directory / FILE).exists())
    await asyncio.sleep(0.2)
    await agent.stop()
    await running
    context.journal.close()


def test_an_agent_with_a_restored_journal_serves_nothing_and_says_so_again_and_again(
    site: Site, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    site.upstream.heard = signed(site.credentials, LOST)

    run(served_nothing(site))

    assert site.upstream.answers == []
    assert site.upstream.fetched == []
    told = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert len(told) > 1
    assert "names record 40 of the site's journal" in told[0]
    assert "acknowledge the restore by: hanse collaborator acknowledge" in told[0]
    with pytest.raises(StorageError, match="nothing leaves this site"):
        must_be_whole(site.directory)


def test_an_agent_that_holds_back_renews_its_certificate_all_the_same(site: Site, run: Run) -> None:
    site.upstream.heard = signed(site.credentials, LOST)
    site.clock = lambda: NOW + timedelta(hours=20)

    run(served_nothing(site))

    assert site.upstream.renewed


async def served(site: Site) -> None:
    """Start an agent, and stop it once it has answered."""
    agent = Agent(site.context())
    running = asyncio.create_task(agent.run())
    site.upstream.want(site.publish(manifest_of()))
    await until(lambda: site.upstream.answers)
    await agent.stop()
    await running


def test_once_a_person_has_acknowledged_the_restore_the_agent_serves_again(site: Site, run: Run) -> None:
    site.upstream.heard = signed(site.credentials, LOST)
    run(served_nothing(site))

    said = acknowledged(site, run)
    run(served(site))

    assert "the aggregator had seen record 40" in said
    assert restored_note(site.directory) is None
    recorded = site.journal().open()
    assert recorded.restores == 1
    assert recorded.head is not None
    assert recorded.head.place > LOST.place


def test_what_was_acknowledged_says_who_and_why(site: Site, run: Run) -> None:
    site.upstream.heard = signed(site.credentials, LOST)

    acknowledged(site, run, "the disk was replaced")

    assert found(site, run) is None
    (begun, _), (_, last) = records_of(site.directory, SiteHistory())
    own = JournalHead(generation=0, sequence=1, digest=begun.digest)
    assert last == RestoreAcknowledged(
        heard=LOST, own=own, by="kim", reason="the disk was replaced", generation=1
    )


def test_a_noticed_restore_can_be_acknowledged_without_the_aggregator(site: Site, run: Run) -> None:
    site.upstream.heard = signed(site.credentials, LOST)
    run(served_nothing(site))
    site.upstream.fail("journal_head", TransportError("cannot be reached"))

    assert "acknowledges" in acknowledged(site, run)


def test_where_a_later_copy_was_put_back_nothing_is_to_be_acknowledged(site: Site, run: Run) -> None:
    first = site.journal()
    head = first.record(result())
    first.close()
    later = shutil.copy(site.directory / "journal.sqlite", site.directory / "later")
    (site.directory / "journal.sqlite").unlink()
    site.upstream.heard = signed(site.credentials, head)
    run(served_nothing(site))
    Path(later).replace(site.directory / "journal.sqlite")

    assert "nothing to acknowledge" in acknowledged(site, run)
    run(served(site))
    assert restored_note(site.directory) is None


def damage(site: Site) -> bytes:
    """Garble the site's journal, which has a record; what is then in the file."""
    journal = site.journal()
    journal.record(result())
    journal.close()
    path = site.directory / "journal.sqlite"
    path.write_bytes(b"?" * path.stat().st_size)
    return path.read_bytes()


def test_an_agent_does_not_start_on_a_damaged_journal(site: Site, run: Run) -> None:
    damage(site)

    with pytest.raises(TamperedError, match="is not a journal") as raised:
        run(Agent(site.context()).run())

    assert "hanse collaborator acknowledge" in str(raised.value)


def test_a_damaged_journal_is_kept_and_the_next_says_so(site: Site, run: Run) -> None:
    garbled = damage(site)
    site.upstream.heard = signed(site.credentials, LOST)

    said = acknowledged(site, run, "a bad disk")

    begun = site.journal().open().begun
    assert isinstance(begun, SiteJournalBegun)
    assert begun.instead_of is not None
    assert (begun.instead_of.by, begun.instead_of.reason) == ("kim", "a bad disk")
    assert "is not a journal" in begun.instead_of.damage
    assert (begun.instead_of.heard, begun.generation) == (LOST, 1)
    assert (site.directory / begun.instead_of.file).read_bytes() == garbled
    assert begun.instead_of.file in said
    run(served(site))


def test_damage_that_is_acknowledged_without_the_aggregator_leaves_the_restore_to_be_noticed(
    site: Site, run: Run
) -> None:
    damage(site)
    site.upstream.heard = signed(site.credentials, LOST)
    site.upstream.fail("journal_head", TransportError("cannot be reached"))

    said = acknowledged(site, run)

    assert "could not be asked" in said
    assert found(site, run).heard == LOST


@pytest.mark.parametrize("kind", ["folder", "link", "table"])
def test_whatever_stands_in_the_place_of_the_journal_is_kept_beside_the_next(
    site: Site, run: Run, kind: str
) -> None:
    journal = site.journal()
    journal.open()
    journal.close()
    path = site.directory / "journal.sqlite"
    if kind == "table":
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("DROP TABLE records")
    else:
        path.unlink()
        path.mkdir() if kind == "folder" else path.symlink_to("nowhere")

    acknowledged(site, run)

    begun = site.journal().open().begun
    assert begun is not None
    assert begun.instead_of is not None
    kept = site.directory / begun.instead_of.file
    assert {"folder": kept.is_dir(), "link": kept.is_symlink(), "table": kept.is_file()}[kind]
    run(served(site))


REFUSALS = {
    "refused": PolicyError("no"),
    "not found": ProtocolError("404"),
    "tampered, as the aggregator says": TamperedError("is damaged"),
    "removed": TrustError("no member"),
    "anything": HanseError("500"),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refusal_to_say_what_was_heard_of_stops_no_site(
    site: Site, run: Run, caplog: pytest.LogCaptureFixture, refusal: str
) -> None:
    site.upstream.fail("journal_head", REFUSALS[refusal])

    run(served(site))

    told = "the aggregator does not say which record of this site's journal it has seen last: "
    assert [each.levelname for each in caplog.records if told in each.message] == ["WARNING"]


def test_a_refusal_of_the_proof_stops_no_site(site: Site, run: Run) -> None:
    site.upstream.heard = signed(site.credentials, LOST)
    asked = site.upstream.journal_head

    async def refusing(request: JournalHeadRequest) -> JournalHeadReply:
        if request.proof:
            raise ProtocolError("404")
        return await asked(request)

    site.upstream.journal_head = refusing  # type: ignore[method-assign]

    run(served(site))


def test_a_full_disk_at_the_aggregator_is_waited_for(site: Site, run: Run) -> None:
    site.upstream.fail("journal_head", StorageError("the disk is full"), StorageError("the disk is full"))

    run(served(site))

    assert len(site.upstream.stated) == 1


def test_a_credential_that_is_refused_ends_the_agent_as_elsewhere(site: Site, run: Run) -> None:
    site.upstream.fail("journal_head", CredentialError("revoked"))

    with pytest.raises(CredentialError, match="revoked"):
        run(Agent(site.context()).run())


def test_an_aggregator_that_says_nothing_does_not_end_a_restore_that_was_noticed(
    site: Site, run: Run
) -> None:
    site.upstream.heard = signed(site.credentials, LOST)
    run(served_nothing(site))
    site.upstream.fail("journal_head", ProtocolError("404"))

    run(served_nothing(site))

    assert site.upstream.answers == []


def test_nothing_is_acknowledged_where_the_aggregator_says_nothing(site: Site, run: Run) -> None:
    site.upstream.fail("journal_head", PolicyError("no"))

    with pytest.raises(ProtocolError, match="does not say which record"):
        acknowledged(site, run)
