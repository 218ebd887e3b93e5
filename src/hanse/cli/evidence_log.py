"""Records of evidence in a site's journal, in words."""

from __future__ import annotations

from collections.abc import Iterator

from hanse.core.journal.attestation_records import AggregatorAppraised, EvidenceReleased
from hanse.core.values.wording import named


def evidence_lines(record: AggregatorAppraised | EvidenceReleased) -> Iterator[str]:
    """A record in lines: the first says what happened."""
    if isinstance(record, EvidenceReleased):
        yield (
            f"run {record.run_id}: {record.device.upper()} evidence of this machine was shown, digest "
            f"{record.evidence}"
        )
        yield f"to the party with key {record.claims.verifier}"
        return
    verdict = record.verdict
    found = "passes" if verdict.accepted else "does not pass"
    yield (
        f"run {record.run_id}: {verdict.kind.upper()} evidence of the aggregator {found} policy "
        f"{verdict.policy[:12]}"
    )
    if verdict.reason:
        yield f"reason: {verdict.reason}"
    if verdict.differing:
        yield f"not affirmed: {named(list(verdict.differing))}"
