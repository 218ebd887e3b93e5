"""A run's timeline names whose evidence was accepted, and who may have keys."""

from __future__ import annotations

from tests.evidence_journals import HUB, EvidenceAuthor, Keys, Write
from tests.journals import RUN

from hanse.control.timeline import Timeline
from hanse.core.run.events import read_event
from hanse.core.run.evidence.commands import AdmitInstance


def lines_of(run: EvidenceAuthor) -> list[str]:
    timeline = Timeline()
    records = run.journal.read(RUN, after=0, limit=1_000)
    return [line for each in records for line in timeline.lines_for(read_event(each.kind, each.body))]


def test_each_event_of_evidence_has_a_line(author: Write) -> None:
    run = author()
    run.begin()
    run.appraise("zurich", accepted=False, reason="the policy does not accept PCR 11", differing=("PCR 11",))
    run.do(AdmitInstance("zurich", "ada", "its machine was replaced"))
    run.start(Keys("hub, second start"))

    lines = lines_of(run)

    hub, zurich = HUB.instance[:12], run.instances["zurich"].instance[:12]
    assert f"instance {hub} of the aggregator serves the run; the model's owner signed its keys" in lines
    assert "SNP evidence of zurich is accepted until 2026-05-04 11:00:00Z" in lines
    assert f"instance {zurich} of zurich may have the keys of the model" in lines
    assert (
        "warning: SNP evidence of zurich is refused: the policy does not accept PCR 11; not affirmed: PCR 11"
        in lines
    )
    assert "ada admits another instance of zurich: its machine was replaced" in lines
    assert any(line.startswith("warning: the round is asked again") for line in lines)


def test_a_rehearsal_is_named_in_each_verdict(author: Write) -> None:
    run = author()
    run.start()
    run.accept_plan("zurich")
    run.appraise("zurich", run.claims("zurich", rehearsal=True))

    assert any("is accepted (REHEARSAL) until" in line for line in lines_of(run))
