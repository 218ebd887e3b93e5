"""Evidence in `hanse audit`: files that it is held against, and what is printed of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hanse.cli.output import say, say_table, warn
from hanse.core.values.wording import format_time, named
from hanse.errors import ConfigError, TamperedError, TrustError

if TYPE_CHECKING:
    from hanse.control.evidence.audit_sites import SiteJournal
    from hanse.control.evidence_report import Appraised
    from hanse.control.report import AuditReport

PlanFolder = Annotated[
    Path | None,
    typer.Option(
        "--plan",
        exists=True,
        file_okay=False,
        metavar="FOLDER",
        help="The folder of the plan as it was submitted: evidence is held against the policies in it.",
    ),
]
EvidenceFolders = Annotated[
    list[Path] | None,
    typer.Option(
        "--evidence",
        exists=True,
        file_okay=False,
        metavar="FOLDER",
        help="Appraise again the evidence in the folder of an aggregator or of a site, or in a copy of its "
        "`attestation`; of a site, its journal is held against JOURNAL too; may be repeated.",
    ),
]
Collateral = Annotated[
    list[Path] | None,
    typer.Option(
        "--collateral",
        exists=True,
        metavar="FOLDER|FILE",
        help="Appraise the evidence for the present time too, with today's documents of the processors' "
        "makers, as `hanse attest verify` takes them; may be repeated.",
    ),
]
Endorsements = Annotated[
    list[Path] | None,
    typer.Option(
        "--endorsement",
        exists=True,
        dir_okay=False,
        metavar="FILE",
        help="Public area of the EK of a TPM, got from the person who pinned it; may be repeated.",
    ),
]


def hold_against_evidence(
    report: AuditReport,
    folders: list[Path] | None,
    collateral: list[Path] | None,
    endorsements: list[Path] | None,
) -> None:
    """Add to a report what evidence in files shows.

    Raises:
        ConfigError: The plan asks for no evidence, or a file has a mistake.
        TrustError: The journal of a site is damaged.
    """
    if not (folders or collateral or endorsements):
        return
    if report.evidence is None:
        raise ConfigError(
            "the plan of this run asks for no evidence, so that there is none to appraise",
            mend="Leave --evidence, --collateral and --endorsement out.",
        )
    if not folders:
        raise ConfigError(
            "evidence is in files beside the journals, and none are given",
            mend="Add --evidence, with the aggregator's folder or a copy of its `attestation`.",
        )
    from hanse.assembly.tuning import now
    from hanse.attestation.appraise import Verifiers
    from hanse.control.evidence.audit_appraisals import GivenFiles, check_appraisals
    from hanse.control.evidence.audit_sites import check_sites
    from hanse.control.evidence.files import load_collateral, read_ek
    from hanse.control.evidence.side_files import SideFiles

    check_sites(report, [found for folder in folders for found in _journals(folder, report.run_id)])
    today = load_collateral(collateral) if collateral else None
    eks = tuple(read_ek(path) for path in endorsements or ())
    check_appraisals(report, GivenFiles(SideFiles(folders), eks, today, now(), Verifiers()))


def say_evidence(report: AuditReport) -> None:
    """Print what was appraised, and what an appraisal gives."""
    evidence = report.evidence
    if evidence is None:
        return
    if evidence.appraised:
        rows = [_row(found) for found in evidence.appraised]
        say_table(("EVIDENCE OF", "BY", "KIND", "VERDICT", "AT", "AGAIN"), rows)
    for found in evidence.appraised:
        if found.today:
            say(f"today: {found.what} {found.today}")
    for remark in evidence.remarks:
        say(f"note: {remark}")


def conclude_evidence(report: AuditReport) -> None:
    """Refuse what today's documents refuse.

    Raises:
        TrustError: Evidence that was accepted does not pass any more.
    """
    fallen = () if report.evidence is None else report.evidence.fallen
    if fallen:
        parties = named(sorted({found.party for found in fallen}))
        raise TrustError(
            f"the journal is what it claims to be, and by today's documents evidence of {parties} does not "
            "pass any more",
            mend="Find out what it had when; keys and updates that were given away cannot be called back.",
        )


def _row(found: Appraised) -> tuple[str, ...]:
    verdict = found.verdict
    word = "refused" if not verdict.accepted else "accepted" + " (rehearsal)" * found.claims.rehearsal
    at = format_time(verdict.at_ms)
    return found.party, found.by or "aggregator", verdict.kind, word, at, found.standing or "-"


def _journals(folder: Path, run_id: str) -> list[SiteJournal]:
    """The journal of a site, where the folder is one of a site."""
    from hanse.collaborator.site_journal import records_of
    from hanse.config.layout import JOURNAL
    from hanse.config.settings import SITE_FILE
    from hanse.control.evidence.audit_sites import SiteJournal
    from hanse.core.journal.site_history import SiteHistory
    from hanse.core.journal.site_records import SiteJournalBegun

    if not ((folder / JOURNAL).exists() and (folder / SITE_FILE).exists()):
        return []
    site, records = "", []
    try:
        for record, read in records_of(folder, SiteHistory()):
            if isinstance(read, SiteJournalBegun):
                site = read.site
            elif getattr(read, "run_id", None) == run_id:
                records.append((record, read))
    except TamperedError as error:
        raise TrustError(error.message, mend=error.mend) from error
    if not records:
        warn(f"the journal of {site} in {folder} has nothing of run {run_id}")
    return [SiteJournal(site, records)]
