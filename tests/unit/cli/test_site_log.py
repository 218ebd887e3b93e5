"""Lines of `hanse collaborator log` with text of others in them."""

from __future__ import annotations

import pytest

from hanse.cli.site_log import describe
from hanse.core.journal.chain import ChainHead
from hanse.core.journal.site_records import (
    AggregatorRestoreAcknowledged,
    ContradictionAcknowledged,
    DamagedJournal,
    FailureReleased,
    JournalHead,
    PlanAnswerReleased,
    ReleasedTensor,
    ReleasedUpdate,
    RestoreAcknowledged,
    ResultReleased,
    SiteJournalBegun,
    SiteRecord,
)
from hanse.core.journal.sum_records import RosterAccepted
from hanse.core.values.sums.place import SumPlace

FORGED = "w\n2026-05-04 10:02:11Z     9  run forged\r\t\x1b[2K\u2028x\u202ey"
HEAD = JournalHead(generation=0, sequence=1, digest="e" * 64)
TASK = {"plan_digest": "1" * 64, "exchange": 2, "round_number": 1, "task": "train", "model": "a" * 64}
OWN_WORDS = (
    "journal of ",
    "instead of ",
    "run ",
    "records after ",
    "reason: ",
    "printed: ",
    "an update of ",
    "a file of ",
    "tensors: ",
    "the aggregator ",
    "signing key of the operator: ",
    "the operator's reason: ",
    "signed with key ",
    "roster of signing keys ",
)


def update(name: str) -> ReleasedUpdate:
    tensors = (ReleasedTensor(name=name, dtype=FORGED, shape=(1,)),)
    return ReleasedUpdate(digest="c" * 64, size=1, tensors=tensors)


RECORDS: dict[str, SiteRecord] = {
    "tensor": ResultReleased(run_id="r", num_examples=1, update=update(FORGED), **TASK),
    "reasons": PlanAnswerReleased(
        run_id="r", plan_digest="1" * 64, accepted=False, reasons=(FORGED,), by="rule", signer="d" * 64
    ),
    "failure": FailureReleased(run_id="r", reason=FORGED, log_tail=FORGED, roster="d" * 64, **TASK),
    "acknowledged": RestoreAcknowledged(heard=HEAD, own=HEAD, by=FORGED, reason=FORGED, generation=1),
    "aggregator": AggregatorRestoreAcknowledged(
        record=ChainHead(sequence=7, digest="d" * 64),
        operator="olga",
        signing_key="f" * 64,
        stated=FORGED,
        by=FORGED,
        reason=FORGED,
    ),
    "contradiction": ContradictionAcknowledged(
        stream=FORGED, sequence=3, digests=("a" * 64, "b" * 64), folder=FORGED, by=FORGED, reason=FORGED
    ),
    "damage": SiteJournalBegun(
        federation="north",
        site="a",
        version=FORGED,
        instead_of=DamagedJournal(damage=FORGED, file=FORGED, heard=None, by=FORGED, reason=FORGED),
    ),
}


@pytest.mark.parametrize("kind", RECORDS)
def test_text_of_others_begins_no_line(kind: str) -> None:
    lines = describe(RECORDS[kind])

    assert all(line.startswith(OWN_WORDS) for line in lines), lines
    assert all(line.isprintable() for line in lines), lines


def test_a_line_break_in_the_name_of_a_tensor_is_shown_escaped() -> None:
    *_, last = describe(ResultReleased(run_id="r", num_examples=1, update=update("a\nb"), **TASK))

    assert last.startswith("tensors: a\\nb ")


def test_a_file_of_groups_is_said_to_be_one_with_their_names() -> None:
    _, line, *_ = describe(
        ResultReleased(run_id="r", num_examples=1, update=update("@survival/events"), **TASK)
    )

    assert line.startswith("a file of 1 bytes with group survival, digest cccc")


def test_an_update_with_groups_names_them_too() -> None:
    tensors = tuple(ReleasedTensor(name=name, dtype="float32", shape=(1,)) for name in ("w", "@control/w"))
    both = ReleasedUpdate(digest="c" * 64, size=160, tensors=tensors)

    _, line, *_ = describe(ResultReleased(run_id="r", num_examples=1, update=both, **TASK))

    assert line.startswith("an update of 160 bytes with group control, digest cccc")


def test_a_masked_vector_is_shown_without_numbers_that_it_does_not_have() -> None:
    vector = ReleasedTensor(name="masked", dtype="uint32", shape=(20,))
    place = SumPlace(cell="all", attempt=2, rho="d" * 64)
    sent = ReleasedUpdate(digest="c" * 64, size=152, tensors=(vector,))

    first, second = describe(
        ResultReleased(run_id="r", num_examples=0, update=sent, secure_sum=place, **TASK)
    )

    assert first.endswith("masked, for attempt 2 at the sum of cell all")
    assert second == f"a vector of 20 numbers, 152 bytes, digest {'c' * 64}: noise but for the sum"


def test_a_roster_is_shown_with_who_is_checked() -> None:
    signers = {"a": "1" * 64, "b": "2" * 64, "c": "3" * 64}
    record = RosterAccepted(
        run_id="r",
        plan_digest="1" * 64,
        exchange=4,
        attempt=1,
        rho="d" * 64,
        signers=signers,
        commitments=signers,
        checked=("b",),
    )

    lines = describe(record, "a")

    assert lines == [
        "run r: roster dddddddddddd of attempt 1 of exchange 4 accepted; the keys of 1 of 2 peers are "
        "checked here",
        f"signing key of a: {'1' * 64}, own",
        f"signing key of b: {'2' * 64}, checked here",
        f"signing key of c: {'3' * 64}, not checked here",
    ]
