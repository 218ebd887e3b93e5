"""Restores of the aggregator that a journal names, and what they explain of the receipts of sites."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cryptography import x509

from hanse.control.report import AuditReport, ReportedRestore
from hanse.control.signers import Signers
from hanse.core.journal.chain import Record
from hanse.core.journal.receipts import Receipt
from hanse.core.run.run_events import AggregatorRestored
from hanse.core.values.wording import counted, named
from hanse.errors import HanseError
from hanse.pki.receipts import verify_acknowledgement

_MOST_NAMED = 20


def report_restore(
    report: AuditReport,
    event: AggregatorRestored,
    record: Record,
    authority: x509.Certificate,
    signers: Signers | None,
) -> None:
    """Add a restore that a journal names to a report, if an operator signed its acknowledgement.

    Args:
        report: Takes in the restore.
        event: Names it.
        record: The record of the event.
        authority: The certificate of the federation's authority.
        signers: Keys that the auditor got elsewhere; None for none.
    """
    try:
        said, key = verify_acknowledgement(event.statement, authority)
    except HanseError as error:
        report.checks["statements"].fail(f"record {record.sequence}: {error.message}")
        return
    known = (signers or {}).get(said.operator, ())
    own = said.lost.own if said.lost.stream == report.run_id else None
    report.restores.append(
        ReportedRestore(
            time_ms=record.time_ms,
            operator=said.operator,
            signing_key=key,
            listed=any(key.startswith(each) for each in known),
            reason=said.reason,
            lost=str(said.lost),
            own=None if own is None else (own.sequence, own.digest),
            acknowledged_ms=said.time_ms,
            named_by=record.sequence,
            sequence=event.record.sequence,
            digest=event.record.digest,
        )
    )


class Explanations:
    """Judges what restores explain, and keeps what is to be said of it.

    A restore explains what receipts of before it name: those that are not dated later and name no record of
    it. That its operator exists, and that records were lost, is the operator's word; what speaks for it
    besides is said in `not_proved`.

    Attributes:
        explained: Number of records and outcomes that are missing, and that a restore explains.
    """

    def __init__(self, restores: Sequence[ReportedRestore]) -> None:
        self._restores = restores
        self.explained = 0
        self._dated_before = 0
        self._used: dict[tuple[int, str], ReportedRestore] = {}
        self._of_sites: set[tuple[str, tuple[int, str]]] = set()
        self._heard: set[tuple[str, tuple[int, str]]] = set()

    def contradictions(self, run_id: str, digests: Mapping[int, str]) -> Iterator[str]:
        """Say where the journal lacks the record with which it ended, by the operator, when it was restored.

        Args:
            run_id: The run.
            digests: Digest of each record of the journal, by its number.
        """
        for each in self._restores:
            if each.own is None:
                continue
            number, digest = each.own
            if number < each.named_by and digests.get(number) == digest:
                continue
            yield (
                f"record {each.named_by}: {each.operator} signed that the journal of {run_id} ended with "
                f"record {number}, {digest[:12]}, when the restore was noticed, and the journal "
                "does not have that record before it"
            )

    def note(self, receipt: Receipt) -> None:
        """Take in which restore a site has heard of."""
        if receipt.restored is not None:
            self._heard.add((receipt.site, (receipt.restored.sequence, receipt.restored.digest)))

    def explain(self, receipt: Receipt, instead_ms: int | None) -> bool:
        """Check if a restore explains that something is missing which a receipt names.

        Args:
            receipt: The receipt.
            instead_ms: Time of the record that the journal has in place of another; None for none.
        """
        restore = self._after(receipt)
        if restore is None:
            return False
        key = restore.sequence, restore.digest
        self._used[key] = restore
        self._of_sites.add((receipt.site, key))
        self.explained += 1
        # What was written after the restore is later than receipts of before it, by a clock that goes right.
        self._dated_before += instead_ms is not None and instead_ms < receipt.time_ms
        return True

    @property
    def not_proved(self) -> str:
        """Say what is not proved where something was explained."""
        told = [
            f"that {counted(self.explained, 'record')} which receipts name went missing by a restore, and "
            f"were not left out or changed afterwards: {named(self._operators(), _MOST_NAMED)} signed so"
        ]
        if deaf := sorted({site for site, key in self._of_sites if (site, key) not in self._heard}):
            told.append(
                f"no receipt of {named(deaf, _MOST_NAMED)} that is given names the restore, so that its "
                "people have to be asked whether they acknowledged it"
            )
        if self._dated_before:
            told.append(
                f"{counted(self._dated_before, 'record')} of the journal in place of others are dated "
                "before the receipts that name those: times were changed, or the clock of the "
                "aggregator was set back"
            )
        return "; ".join(told)

    def _operators(self) -> list[str]:
        return [
            f"{each.operator} with key {each.signing_key[:16]}"
            + ("" if each.listed else ", which is in no list of signers that was given,")
            for each in self._used.values()
        ]

    def _after(self, receipt: Receipt) -> ReportedRestore | None:
        """The last restore that came after a receipt was signed; None for none."""
        keys = [(each.sequence, each.digest) for each in self._restores]
        known, place = receipt.restored, 0
        if known is not None and (known.sequence, known.digest) in keys:
            place = len(keys) - keys[::-1].index((known.sequence, known.digest))
        later = [
            each
            for each in self._restores[place:]
            if receipt.time_ms <= min(each.time_ms, each.acknowledged_ms)
        ]
        return later[-1] if later else None
