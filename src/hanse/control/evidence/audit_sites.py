"""Evidence in the journals of sites: which of the aggregator each had accepted, and what it showed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hanse.control.evidence.audit_rules import LATE_MS, problems_of_claims, problems_of_verdict
from hanse.control.evidence_report import AGGREGATOR, WITHOUT_SITES, Appraised, EvidenceReport
from hanse.control.report import AuditReport, Check
from hanse.core.journal.attestation_records import AggregatorAppraised, EvidenceReleased
from hanse.core.journal.chain import Record
from hanse.core.journal.site_records import ResultReleased, SiteRecord
from hanse.core.plan.evidence.section import Attestation
from hanse.core.values.wording import named

_MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class SiteJournal:
    """The journal of a site, whose chain has been verified.

    Attributes:
        site: Name of the site.
        records: Its records about the run.
    """

    site: str
    records: Sequence[tuple[Record, SiteRecord]]


def check_sites(report: AuditReport, journals: Sequence[SiteJournal]) -> None:
    """Add to a report whether sites had accepted the aggregator's instances, and showed what was appraised.

    Args:
        report: Of the run's journal.
        journals: Journals of sites.
    """
    evidence = report.evidence
    if evidence is None or evidence.rules is None or not journals:
        return
    rules = evidence.rules
    check = report.checks[AGGREGATOR] = Check(AGGREGATOR)
    for journal in journals:
        for problem in _Site(report, evidence, rules, journal).problems():
            check.fail(f"journal of {journal.site}: {problem}")
    if WITHOUT_SITES not in report.not_proved:
        return
    given = {journal.site for journal in journals}
    lacking = [site for site, part in sorted(report.sites.items()) if part.disclosed and site not in given]
    place = report.not_proved.index(WITHOUT_SITES)
    report.not_proved[place : place + 1] = (
        [
            "that these sites had accepted evidence of the aggregator, whose journals are not given: "
            f"{named(lacking, _MOST_NAMED)}"
        ]
        if lacking
        else []
    )


class _Site:
    """Goes through the journal of one site."""

    def __init__(
        self, report: AuditReport, evidence: EvidenceReport, rules: Attestation, journal: SiteJournal
    ) -> None:
        self._report, self._evidence, self._rules, self._journal = report, evidence, rules, journal
        self._of_plan = evidence.policy_of_aggregator
        self._nonces: set[str] = set()
        self._accepted: Appraised | None = None

    def problems(self) -> Iterator[str]:
        """Problems of the run's journal, or of what the site did."""
        shown: set[tuple[str, str]] = set()
        for record, read in self._journal.records:
            match read:
                case AggregatorAppraised():
                    yield from self._appraised(record, read)
                case EvidenceReleased():
                    shown.add((read.claims.digest, read.evidence))
                case ResultReleased() if self._rules.aggregator is not None:
                    yield from self._left(record, read)
                case _:
                    pass
        for each in self._evidence.appraised:
            if each.by or each.party != self._journal.site:
                continue
            if (each.claims.digest, each.verdict.evidence) not in shown:
                yield f"it shows no such evidence as {each.what} is of"

    def _appraised(self, record: Record, read: AggregatorAppraised) -> Iterator[str]:
        site, report, claims = self._journal.site, self._report, read.claims
        found = Appraised(record.sequence, record.time_ms, claims.name, site, claims, read.verdict)
        self._evidence.appraised.append(found)
        place = f"record {record.sequence}"
        expected = {
            "purpose": "run",
            "federation": report.federation,
            "role": "aggregator",
            "run": report.run_id,
            "plan": report.plan_digest,
        }
        if report.sealed_by:
            expected["name"] = report.sealed_by.rsplit("/", 1)[-1]
        for text in (
            *problems_of_claims(claims, expected),
            *problems_of_verdict(claims, read.verdict, self._rules, record.time_ms),
        ):
            yield f"{place}: {text}"
        keys = report.sites[site].signed_with if site in report.sites else []
        if keys and claims.verifier not in keys:
            yield f"{place}: its claims name another verifier than the site's signing key"
        if claims.instance not in self._evidence.instances:
            yield f"{place}: the run's journal has no instance {claims.instance[:12]} of the aggregator"
        if claims.nonce in self._nonces:
            yield f"{place}: its nonce was used before"
        self._nonces.add(claims.nonce)
        # Evidence may be held against a policy of the site's own too; the plan's is the one to be held.
        if read.verdict.accepted and self._of_plan in (None, claims.policy):
            self._accepted = found

    def _left(self, record: Record, read: ResultReleased) -> Iterator[str]:
        what = f"record {record.sequence}: the result of exchange {read.exchange} left"
        if self._accepted is None:
            yield f"{what} before evidence of the aggregator was accepted"
        elif record.time_ms > self._accepted.verdict.expires_ms + LATE_MS:
            yield f"{what} after the verdict about the aggregator had ended"
