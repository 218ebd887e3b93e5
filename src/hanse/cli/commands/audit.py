"""`hanse audit`: what the exported journal of a run proves, to whoever has the authority's certificate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hanse.cli.audit_evidence import (
    Collateral,
    Endorsements,
    EvidenceFolders,
    PlanFolder,
    conclude_evidence,
    hold_against_evidence,
    say_evidence,
)
from hanse.cli.options import Json
from hanse.cli.output import say, say_json, say_table, warn
from hanse.core.values.wording import and_more, counted, format_time
from hanse.errors import ConfigError, TrustError

if TYPE_CHECKING:
    from hanse.control.report import Account, AuditReport

app = typer.Typer(rich_markup_mode=None, add_completion=False)

Journal = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, help="The journal.jsonl that `hanse run export` wrote.")
]
Authority = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        dir_okay=False,
        metavar="CA.crt",
        help="Certificate of the federation's authority, got from the federation and not with the journal.",
    ),
]


Keys = Annotated[
    Path | None,
    typer.Option(
        "--signers",
        exists=True,
        dir_okay=False,
        metavar="FILE",
        help="Signing keys of the sites, got from the sites: in each line a name, and the fingerprint or the "
        "words that `hanse collaborator signing-key` prints there.",
    ),
]


@app.callback()
def _audit() -> None:
    """Verify and read the exported journal of a run; nothing else is needed, and no network."""


@app.command()
def verify(
    journal: Journal,
    ca: Authority = None,
    model: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            metavar="MODEL.safetensors",
            help="Check too that this file is the run's model, or its best one.",
        ),
    ] = None,
    receipts: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True,
            file_okay=False,
            metavar="FOLDER",
            help="Hold JOURNAL against the receipts in the folder of a site, in a copy of its folder "
            "`receipts`, or in a folder with several of these; may be repeated.",
        ),
    ] = None,
    signers: Keys = None,
    blobs: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            metavar="FOLDER",
            help="Add masked sums again from the vectors in the aggregator's folder, or a copy of `blobs`.",
        ),
    ] = None,
    plan: PlanFolder = None,
    evidence: EvidenceFolders = None,
    collateral: Collateral = None,
    endorsement: Endorsements = None,
    json: Json = False,
) -> None:
    """Verify that JOURNAL is whole, and that each statement in it was signed by its party.

    Ends with 8 where a check fails, and where today's documents refuse evidence that was accepted.
    """
    report = examine(journal, ca, signers, blobs, plan)
    if receipts:
        hold_against_receipts(report, journal, receipts, ca)
    hold_against_evidence(report, evidence, collateral, endorsement)
    if model is not None:
        from hanse.control.audit import check_model

        check_model(report, model)
    if json:
        say_json(report.as_json())
    else:
        say_verdict(report)
    conclude(journal, report)
    conclude_evidence(report)


@app.command()
def show(
    journal: Journal,
    ca: Authority = None,
    site: Annotated[str | None, typer.Option("--site", help="Show this site only.")] = None,
    signers: Keys = None,
    json: Json = False,
) -> None:
    """Show the answers of sites to the plan, and the disclosures of each site, from JOURNAL.

    Ends with 8 where the journal does not pass `hanse audit verify`.
    """
    report = examine(journal, ca, signers)
    if site is not None and site not in report.sites:
        known = ", ".join(sorted(report.sites)) or "none"
        raise ConfigError(f"the run had no site {site!r}; its sites are: {known}")
    accounts = {name: part for name, part in sorted(report.sites.items()) if site in (None, name)}
    if json:
        value = report.as_json()
        say_json(value | {"sites": {name: value["sites"][name] for name in accounts}})
    else:
        say(_about(report))
        _show_restores(report)
        say_evidence(report)
        if site is None:
            _show_exchanges(report)
            _show_attempts(report)
            _show_clipped(report)
        for name, account in accounts.items():
            say(f"\n{name}")
            _show_site(account)
    conclude(journal, report)


def examine(
    journal: Path,
    ca: Path | None,
    signers: Path | None = None,
    blobs: Path | None = None,
    plan: Path | None = None,
) -> AuditReport:
    """Examine a journal; see `hanse.control.audit.verify`.

    Raises:
        TrustError: It is none.
        ConfigError: The list of signers or a file of the plan has a mistake.
    """
    from hanse.control.audit import verify
    from hanse.control.signers import read_signers
    from hanse.errors import TamperedError
    from hanse.pki.certificates import load_certificate

    try:
        authority = None if ca is None else load_certificate(ca)
        known = None if signers is None else read_signers(signers)
        return verify(journal, authority, known, blobs, plan)
    except TamperedError as error:
        raise TrustError(error.message, mend=error.mend) from error


def hold_against_receipts(report: AuditReport, journal: Path, folders: list[Path], ca: Path | None) -> None:
    """Add to a report whether a journal has all that the aggregator signed to sites.

    Raises:
        ConfigError: A folder has no receipts of the run.
    """
    from hanse.control.receipts import check_receipts
    from hanse.pki.certificates import load_certificate

    check_receipts(report, journal, folders, None if ca is None else load_certificate(ca))


def say_verdict(report: AuditReport) -> None:
    """Print what was checked."""
    say(_about(report))
    for check in report.checks.values():
        say(f"  {'FAILED' if check.count else 'ok    '}  {check.name:<10}  {check.claim}")
        for problem in and_more(check.problems, len(check.problems), check.count):
            say(f"          - {problem}")
    _show_restores(report)
    _show_receipts(report)
    say_evidence(report)
    for remark in report.notes:
        say(f"  note: {remark}")
    if not report.failed:
        sealed = f"sealed by {report.sealed_by} {format_time(report.sealed_ms)}"
        say(f"verified: {report.records} records, {sealed}")
        for what in report.not_proved:
            say(f"not proved: {what}")


def _about(report: AuditReport) -> str:
    return (
        f"run {report.run_id} of plan {report.plan_name} ({report.plan_digest[:12]}) in federation "
        f"{report.federation}: {report.phase}, {report.rounds} rounds"
    )


def _show_restores(report: AuditReport) -> None:
    """Restores of the aggregator from a backup, after which records may be missing."""
    for restore in report.restores:
        reason = f": {restore.reason}" if restore.reason else ""
        say(
            f"warning: the aggregator was restored from a backup, as {restore.operator} (signing key "
            f"{restore.signing_key[:16]}) acknowledged {format_time(restore.time_ms)}{reason}"
        )
        say(f"          {restore.lost}")


def _show_receipts(report: AuditReport) -> None:
    if report.receipts is not None:
        counted = [f"{count} of {site}" for site, count in sorted(report.receipts.counted.items())]
        say(f"receipts of this run: {', '.join(counted) or 'none that counts'}")
        for remark in report.receipts.remarks:
            say(f"warning: {remark}")


def _show_exchanges(report: AuditReport) -> None:
    """Who took part in each exchange, and with how much data."""
    if not report.exchanges:
        return
    heads = ("ROUND", "TASK", "ASKED", "ANSWERED", "FAILED", "SILENT", "LATE", "EXAMPLES", "MISSING")
    rows = [
        (
            str(told["round"]),
            told["task"],
            *(str(len(told[name])) for name in ("asked", "answered", "failed", "idle", "late")),
            _examples(told),
            _missing(told),
        )
        for told in report.exchanges
    ]
    say("")
    say_table(heads, rows)
    for told in report.exchanges:
        if told["too_little"]:
            say(f"warning: {told['told']}")


def _examples(told: dict[str, Any]) -> str:
    """Examples of an exchange; no party knows those of a masked sum that does not weigh by them."""
    return "-" if told["num_examples"] is None else str(told["num_examples"])


def _show_attempts(report: AuditReport) -> None:
    """Masked sums that took several attempts, each with why the one before did not end."""
    for found in report.sums:
        if found.reasons:
            what = f"round {found.round_number}, {found.task}: the sum of cell {found.cell}"
            say(f"{what} took {counted(found.attempt, 'attempt')}: {'; '.join(found.reasons)}")


def _show_clipped(report: AuditReport) -> None:
    """Print how many sites had to cut their numbers to the plan's bounds, where that changes."""
    from hanse.control.clipped import ClippedSites

    clipped = ClippedSites()
    for found in report.sums:
        for line in clipped.lines_for(found, f"round {found.round_number}, {found.task}", found.task):
            say(line)


def _missing(told: dict[str, Any]) -> str:
    from hanse.core.values.wording import percent

    if told["tolerated"] is None:
        return "-"
    some = [percent(told["missing_share"])] if told["missing_examples"] else []
    count = len(told["unknown"])
    unknown = [f"{count} site{'s' if count != 1 else ''} of unknown size"] if count else []
    return " and ".join([*some, *unknown]) or "-"


def _show_site(account: Account) -> None:
    from hanse.pki.key_words import words_of

    for key in account.signed_with:
        say(f"  signed with key {key}")
        say(f"    in words: {words_of(key)}")
    for answer in account.answers:
        word = "accepted" if answer.accepted else "refused"
        say(f"  {format_time(answer.time_ms)}  {word} the plan: {'; '.join(answer.reasons)}")
    if not account.answers:
        say("  gave no answer to the plan")
    for failed in account.failed:
        what = f"round {failed.round_number}, {failed.task} failed"
        say(f"  {format_time(failed.time_ms)}  {what}: {failed.reason}")
    for missed in account.missed:
        what = f"round {missed.round_number}, {missed.task}: not in it"
        say(f"  {format_time(missed.time_ms)}  {what}: {missed.how}")
    for spared in account.sparing:
        say(f"  {format_time(spared.time_ms)}  {spared.told}")
    if account.sums or account.attempts:
        _show_sums(account)
    if not account.disclosed:
        say("  disclosed nothing")
        return
    say(f"  disclosed, in {len(account.disclosed)} messages that it signed:")
    rows: list[tuple[Any, ...]] = [
        (
            f"  {format_time(sent.time_ms)}",
            str(sent.round_number),
            sent.task,
            "in the sum" if sent.masked else str(sent.num_examples),
            "in the sum" if sent.masked else ", ".join(sent.metrics) or "-",
            "-" if sent.update is None else f"{sent.update[:12]} ({sent.update_bytes:,} bytes)",
        )
        for sent in account.disclosed
    ]
    say_table(("  TIME", "ROUND", "TASK", "EXAMPLES", "METRICS", "UPDATE"), rows)


def _show_sums(account: Account) -> None:
    """The masked sums that a site was in."""
    stated = counted(account.attempts, "READY")
    say(f"  was in {counted(len(account.sums), 'masked sum')}, and stated {stated}, one for each attempt:")
    rows = [
        (
            f"  {format_time(found.time_ms)}",
            str(found.round_number),
            found.task,
            found.cell,
            ", ".join(found.members),
            str(found.attempt),
            found.rho[:12],
        )
        for found in account.sums
    ]
    say_table(("  TIME", "ROUND", "TASK", "CELL", "MEMBERS", "ATTEMPT", "ROSTER"), rows)


def conclude(journal: Path, report: AuditReport) -> None:
    """Say how far the journal can be believed.

    Raises:
        TrustError: Not at all.
    """
    if report.failed:
        names = ", ".join(check.name for check in report.failed)
        raise TrustError(
            f"{journal} is not what it claims to be: {names} failed",
            mend="Do not rely on it; ask the federation for another export, and for an explanation.",
        )
    if not report.authority_given:
        warn(
            f"the signatures were judged by the authority that the journal itself names, {report.authority}. "
            "That proves that the journal is of one piece, not whose it is: get ca.crt from the federation, "
            "and add --ca."
        )
