"""Sentences about the records of a site's journal, for `hanse collaborator log`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from hanse.cli.evidence_log import evidence_lines
from hanse.core.journal.attestation_records import AggregatorAppraised, EvidenceReleased
from hanse.core.journal.site_records import (
    AggregatorRestoreAcknowledged,
    ContradictionAcknowledged,
    ExchangeRecord,
    FailureReleased,
    PlanAnswerReleased,
    ReleasedUpdate,
    ReleaseRecovered,
    RestoreAcknowledged,
    ResultReleased,
    SiteJournalBegun,
    SiteRecord,
    SumRecord,
)
from hanse.core.journal.sum_records import (
    CellsAgreed,
    FailuresPermitted,
    ReadyReleased,
    RosterAccepted,
    SumPrepared,
)
from hanse.core.values.groups import contents_in_words
from hanse.core.values.wording import and_more, counted, visible

_MOST_SHOWN = 20
"""Tensors of an update that are shown; `--json` has all that the record has."""


def describe(record: SiteRecord, own: str = "") -> list[str]:
    """A record in lines: the first says what happened, the others what belongs to it.

    Each line begins with words of Hanse's own, and text of others never begins a further line.

    Args:
        record: The record.
        own: Name of the site, whose own key no person there has to check.
    """
    return [visible(line) for line in _lines(record, own)]


def _lines(record: SiteRecord, own: str) -> list[str]:
    match record:
        case SiteJournalBegun():
            return list(_begun(record))
        case PlanAnswerReleased():
            answer = "accepted" if record.accepted else "refused"
            told = f"plan {record.plan_digest[:12]} {answer} by a {record.by}"
            signed = [] if record.signer is None else [f"signed with key {record.signer}"]
            return [f"run {record.run_id}: {told}", *_reasons(record.reasons), *signed]
        case AggregatorAppraised() | EvidenceReleased():
            return list(evidence_lines(record))
        case ResultReleased():
            return list(_result(record))
        case FailureReleased():
            printed = [f"printed: {line}" for line in record.log_tail.splitlines()]
            reasons = _reasons(record.reason.splitlines())
            return [f"{_task(record)} failed", *reasons, *printed, *_roster(record.roster)]
        case ReleaseRecovered():
            return [f"{_task(record)}: {record.outcome}, by an outcome that the site had signed and kept"]
        case SumPrepared() | ReadyReleased() | RosterAccepted() | CellsAgreed() | FailuresPermitted():
            return list(_sum(record, own))
        case RestoreAcknowledged():
            return [
                f"records after {record.own.sequence} are missing, as {record.by} acknowledged; record "
                f"{record.heard.sequence} ({record.heard.digest[:12]}) was heard of",
                *_reasons([record.reason]),
            ]
        case AggregatorRestoreAcknowledged():
            return list(_restored(record))
        case ContradictionAcknowledged():
            first, second = (digest[:12] for digest in record.digests)
            return [
                f"the aggregator has signed {first} and {second} as record {record.sequence} of "
                f"{record.stream}, as {record.by} acknowledged; the receipts are in {record.folder}",
                *_reasons([record.reason]),
            ]


def _sum(record: SumRecord, own: str) -> Iterator[str]:
    match record:
        case SumPrepared():
            yield (
                f"{_task(record)}: {counted(record.words, 'number')} prepared for the sum of cell "
                f"{record.cell}; nothing has left"
            )
            yield f"members: {', '.join(record.members)}"
        case ReadyReleased():
            yield f"run {record.run_id}: READY for attempt {record.attempt} of exchange {record.exchange}"
        case RosterAccepted():
            others = [name for name in record.signers if name != own]
            checked = sum(name in record.checked for name in others)
            where = f"attempt {record.attempt} of exchange {record.exchange}"
            yield (
                f"run {record.run_id}: roster {record.rho[:12]} of {where} accepted; the keys of "
                f"{checked} of {len(others)} peers are checked here"
            )
            for name, key in record.signers.items():
                known = "checked here" if name in record.checked else "not checked here"
                yield f"signing key of {name}: {key}, {'own' if name == own else known}"
        case CellsAgreed():
            yield f"cell {record.cell} of plan {record.plan_digest[:12]} permitted by {record.by}"
            for overlap in record.overlaps:
                yield (
                    f"beside cell {overlap.cell} of plan {overlap.plan_digest[:12]}; may be disclosed: "
                    f"{', '.join(overlap.disclosed)}"
                )
            yield from _reasons([record.reason])
        case FailuresPermitted():
            yield f"run {record.run_id} and others: further tasks permitted by {record.by} after tasks failed"
            yield from _reasons([record.reason])


def _restored(record: AggregatorRestoreAcknowledged) -> Iterator[str]:
    said = "" if record.operator is None else f", as its operator {record.operator} stated"
    yield f"the aggregator was restored from a backup{said}, and {record.by} acknowledged"
    if record.signing_key is not None:
        yield f"signing key of the operator: {record.signing_key}"
    if record.stated:
        yield f"the operator's reason: {record.stated}"
    yield from _reasons([record.reason])


def _begun(record: SiteJournalBegun) -> Iterator[str]:
    yield f"journal of {record.site} in {record.federation} begun by Hanse {record.version}"
    if (before := record.instead_of) is not None:
        yield f"instead of {before.file}, as {before.by} acknowledged: {before.damage}"
        yield from _reasons([before.reason])


def _result(record: ResultReleased) -> Iterator[str]:
    if record.secure_sum is not None:
        place = record.secure_sum
        yield f"{_task(record)}: masked, for attempt {place.attempt} at the sum of cell {place.cell}"
        if record.update is not None:
            vector = record.update
            numbers = counted(sum(math.prod(each.shape) for each in vector.tensors), "number")
            yield f"a vector of {numbers}, {vector.size} bytes, digest {vector.digest}: noise but for the sum"
        yield from _roster(record.roster)
        return
    metrics = [
        f"{name} {'not given' if value is None else f'{value:.6g}'}" for name, value in record.metrics.items()
    ]
    yield f"{_task(record)}: {', '.join([f'{record.num_examples} examples', *metrics])}"
    if record.update is not None:
        yield from _update(record.update)
    yield from _roster(record.roster)


def _update(update: ReleasedUpdate) -> Iterator[str]:
    count = len(update.tensors) + update.more_tensors
    what = contents_in_words((each.name for each in update.tensors), update.size)
    yield f"{what}, digest {update.digest}, with {counted(count, 'tensor')}"
    shown = [f"{each.name} {each.dtype}{list(each.shape)}" for each in update.tensors[:_MOST_SHOWN]]
    if shown:
        yield f"tensors: {', '.join(and_more(shown, len(shown), count))}"


def _task(record: ExchangeRecord) -> str:
    where = f"round {record.round_number}, exchange {record.exchange}"
    return f"run {record.run_id}: {record.task} of {where}"


def _roster(digest: str | None) -> list[str]:
    return [] if digest is None else [f"roster of signing keys {digest}"]


def _reasons(reasons: Iterable[str]) -> list[str]:
    return [f"reason: {reason}" for reason in reasons if reason]
