"""What an exported journal proves, to somebody who was not there: who agreed, and what left each site."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryptography import x509
from pydantic import ValidationError

from hanse.control.consent import beyond_round, undeclared
from hanse.control.evidence.audit import EvidenceChecks
from hanse.control.recount import Problems, Recount
from hanse.control.report import (
    MODEL,
    Account,
    AuditReport,
    Check,
    Disclosed,
    Failed,
    Missed,
    ReportedAnswer,
    Sparing,
    participation_json,
)
from hanse.control.restores import report_restore
from hanse.control.signers import Signers
from hanse.control.signing_keys import KeyChecks
from hanse.control.statements import StatementContext, check_answer, check_outcome, check_seal
from hanse.control.sums.account import SumReport
from hanse.control.sums.checks import SumChecks
from hanse.control.sums.evidence import RunName
from hanse.control.sums.files import SumFiles
from hanse.core.journal.chain import GENESIS, Record, check_chain
from hanse.core.run.events import Event, read_event
from hanse.core.run.evolve import evolve
from hanse.core.run.exchange import Exchange
from hanse.core.run.round_events import (
    ExchangeClosed,
    ExchangeOpened,
    ResultRefused,
    RoundOpened,
    TaskFailed,
    UpdateAccepted,
    UpdatesAggregated,
)
from hanse.core.run.run import Run
from hanse.core.run.run_events import AggregatorRestored, PlanAnswered, RunSubmitted
from hanse.core.run.site_events import SiteReinstated, SiteSuspended, SuspensionWaived
from hanse.core.values.canonical import digest_of
from hanse.core.values.schema import problem_of
from hanse.errors import CredentialError, HanseError, TamperedError
from hanse.files.copying import is_whole
from hanse.files.errors import file_errors
from hanse.pki.certificates import federation_of, fingerprint, read_certificate
from hanse.wire.journal_file import Header, Seal, read_lines
from hanse.wire.messages.runs import JournalRecord


def verify(
    path: Path,
    authority: x509.Certificate | None = None,
    signers: Signers | None = None,
    blobs: Path | None = None,
    plan: Path | None = None,
) -> AuditReport:
    """Examine an exported journal.

    Args:
        path: The file.
        authority: The certificate of the federation's authority; None to take the journal's own.
        signers: The sites' signing keys, got from the sites; None for none.
        blobs: Folder of an aggregator, or copies of its blobs, of which masked sums are added again; None
            for none.
        plan: Folder of the plan's files, whose policies evidence is held against; None for none.

    Returns:
        The verdict of every check (look at `AuditReport.failed` first), and each site's account.

    Raises:
        TamperedError: The file is no exported journal.
        StorageError: It cannot be read.
        CredentialError: `authority` is not the certificate of one.
    """
    lines = read_lines(path)
    try:
        header = Header.model_validate(next(lines, {}), strict=True)
        own = read_certificate(header.authority)
    except (ValidationError, CredentialError) as error:
        raise TamperedError(
            f"{path} is not a journal as `hanse run export` writes it: its first line is not a header"
        ) from error
    trusted = authority or own
    federation = federation_of(trusted)
    report = AuditReport(header.federation, header.run_id, fingerprint(trusted), authority is not None)
    check = report.checks["authority"]
    if own != trusted:
        check.fail(f"the journal names another authority, {fingerprint(own)[:16]}, as its own")
    if header.federation != federation or header.first != GENESIS:
        check.fail(f"its header is not one of the federation {federation}")
    evidence = EvidenceChecks(report, plan)
    _Examination(report, trusted, signers, SumFiles(blobs), evidence).read(lines)
    return report


def check_model(report: AuditReport, path: Path) -> None:
    """Add to a report whether a file is the run's model, or its best one.

    Raises:
        StorageError: The file cannot be read.
    """
    check = report.checks[MODEL] = Check(MODEL)
    with file_errors(f"read {path}"):
        if not any(is_whole(path, digest) for digest in report.models):
            named = " or ".join(report.models) or "no model"
            check.fail(f"{path} is another file: the journal names {named}")


class _Examination:
    """Goes once through what follows the header, and fills in the report."""

    def __init__(
        self,
        report: AuditReport,
        authority: x509.Certificate,
        signers: Signers | None,
        files: SumFiles,
        evidence: EvidenceChecks,
    ) -> None:
        self._report, self._evidence = report, evidence
        self._keys, self._signers = KeyChecks(report, signers), signers
        self._checks = report.checks
        self._setting = StatementContext(report.federation, report.run_id, "", authority)
        self._last = (0, GENESIS)
        self._time_ms = 0
        self._exchanges: dict[int, ExchangeOpened] = {}
        self._masked = SumChecks(RunName(report.federation, report.run_id), files.digest_of_layout)
        self._sums = SumReport(report, self._masked, files)
        self._recount = Recount(self._sums.metrics_of)
        self._run: Run | None = None
        self._recounted: ExchangeClosed | None = None
        self._closed: dict[int, dict[str, Any]] = {}
        self._replays = True

    def read(self, lines: Iterator[dict[str, Any]]) -> None:
        """Read to the end, or to what cannot be read."""
        sealed = False
        try:
            for line in lines:
                if sealed:
                    self._checks["seal"].fail("something follows the seal")
                elif sealed := "seal" in line:
                    self._seal(Seal.model_validate(line, strict=True))
                else:
                    self._record(Record(**JournalRecord.model_validate(line, strict=True).model_dump()))
        except TamperedError as error:
            self._checks["chain"].fail(str(error))
        except ValidationError as error:
            self._checks["chain"].fail(
                f"the line after record {self._last[0]} is not a record: {problem_of(error)}"
            )
        self._keys.conclude()
        self._sums.conclude()
        self._evidence.conclude()
        if not sealed:
            self._checks["seal"].fail(f"no seal follows record {self._last[0]}, the last that was read")
        self._report.notes.extend(self._recount.notes)
        if self._run is not None:
            self._report.phase, self._report.rounds = self._run.phase.value, max(self._run.committed, 0)
            best = self._run.best.model if self._run.best else None
            self._report.models = tuple(dict.fromkeys(m.digest for m in (self._run.model, best) if m))

    def _record(self, record: Record) -> None:
        where = f"record {record.sequence}"
        try:
            check_chain([record], previous=self._last[1], sequence=self._last[0])
        except TamperedError as error:
            self._checks["chain"].fail(str(error))
        if record.stream != self._setting.run_id:
            self._checks["chain"].fail(f"{where} is of {record.stream}")
        if record.time_ms < self._time_ms:
            self._checks["history"].fail(f"{where}: it is from before the record before it")
        self._last, self._time_ms = (record.sequence, record.digest), record.time_ms
        self._report.records += 1
        try:
            event = read_event(record.kind, record.body)
        except ValueError:
            self._checks["history"].fail(f"{where} is not an event that this version knows: {record.kind}")
            return
        self._examine(event, record, where)
        if self._run is not None:
            self._note(self._recount.of_event(self._run, event), where)
        self._replay(event, record.time_ms, where)
        self._took_part(event, record.time_ms)

    def _note(self, problems: Problems, where: str) -> None:
        for name, problem in problems:
            self._checks[name].fail(f"{where}: {problem}")

    def _examine(self, event: Event, record: Record, where: str) -> None:
        self._keys.examine(event, self._run, where)
        self._sums.examine(event, self._run, where, record.time_ms)
        self._evidence.examine(event, self._run, record)
        match event:
            case RunSubmitted():
                self._submitted(event, record, where)
            case PlanAnswered():
                self._answered(event, record.time_ms, where)
            case ExchangeOpened():
                self._exchanges[event.exchange] = event
                self._consented(beyond_round(self._run, event), event.task, where)
            case UpdateAccepted() | TaskFailed():
                self._told(event, record.time_ms, where)
            case ExchangeClosed() | UpdatesAggregated():
                self._counted(event, where)
            case RoundOpened():
                self._consented(event.cohort, f"round {event.round_number}", where)
            case SiteSuspended() | SuspensionWaived() | SiteReinstated():
                self._account(event.site).sparing.append(Sparing(record.time_ms, _told(event)))
            case AggregatorRestored():
                report_restore(self._report, event, record, self._setting.authority, self._signers)
            case _:
                pass

    def _submitted(self, event: RunSubmitted, record: Record, where: str) -> None:
        report, plan = self._report, event.manifest.plan
        if digest_of(record.body["manifest"]) != event.plan_digest:
            self._checks["plan"].fail(f"{where}: the plan is not the one of digest {event.plan_digest[:12]}")
        if event.run_id != self._setting.run_id:
            self._checks["history"].fail(f"{where}: submits {event.run_id}")
        report.plan_name, report.plan_digest = plan.name, event.plan_digest
        self._setting = replace(self._setting, plan_digest=event.plan_digest)
        report.sites.update({site: Account() for site in event.invited})

    def _answered(self, event: PlanAnswered, time_ms: int, where: str) -> None:
        try:
            check_answer(event, self._setting, time_ms)
        except HanseError as error:
            self._checks["statements"].fail(f"{where}: {error.message}")
        self._account(event.site).answers.append(ReportedAnswer(event.accepted, event.reasons, time_ms))

    def _told(self, event: UpdateAccepted | TaskFailed, time_ms: int, where: str) -> None:
        """A site's word on its task."""
        opened = self._exchanges.get(event.exchange)
        if opened is None:
            return  # the replay says so
        size = 0
        try:
            key = self._keys.expected(event, self._run)
            stated = check_outcome(event, opened, self._setting, time_ms, key)
            size = 0 if stated.update is None else stated.update.size
            if self._run is not None:
                self._note(self._recount.of_outcome(self._run, event, opened), where)
        except HanseError as error:
            self._checks["statements"].fail(f"{where}: {error.message}")
        account, place = (
            self._account(event.site),
            (opened.round_number, event.exchange, opened.task, time_ms),
        )
        if isinstance(event, TaskFailed):
            account.failed.append(Failed(*place, event.reason))
            return
        values = event.metrics
        metrics = tuple(
            name if values[name] is not None else f"{name} (not given)" for name in sorted(values)
        )
        masked = self._masked.masked(event.exchange)
        account.disclosed.append(Disclosed(*place, event.num_examples, metrics, event.update, size, masked))
        if self._run is None:
            return
        agreed = self._agreed(event.site)
        if problem := undeclared(event, self._run.plan, opened.task, agreed=agreed, masked=masked):
            self._checks["consent"].fail(f"{where}: {problem}")

    def _counted(self, event: ExchangeClosed | UpdatesAggregated, where: str) -> None:
        """Hold what is told of the cohort's answers against the answers."""
        exchange = None if self._run is None else self._run.exchanges.get(event.exchange)
        if exchange is None:
            return  # the replay says so
        answers = [member.answer for member in exchange.members.values() if member.answer is not None]
        match event:
            case ExchangeClosed():
                told = event in self._closings(exchange, event)
            case UpdatesAggregated() if self._masked.masked(event.exchange):
                told = True  # held against the sums of the cells
                self._closed.get(event.exchange, {}).update(
                    num_examples=self._masked.examples_of(event), masked=True
                )
            case UpdatesAggregated():
                examples = sum(answer.num_examples for answer in answers)
                told = (event.sites, event.num_examples) == (exchange.answered, examples)
        if not told:
            self._checks["history"].fail(f"{where}: {event.kind} does not say who answered")

    def _closings(self, exchange: Exchange, event: ExchangeClosed) -> tuple[ExchangeClosed, ...]:
        """What can be told truly of an exchange that closes, by this version and by earlier ones."""
        if self._run is None:
            return ()
        rules = self._run.plan.cohort
        now = self._run.attendance.close(exchange, event.cause, self._run.without, rules)
        self._recounted = now
        return now, now.model_copy(update={"idle": (), "suspended": (), "data": None})

    def _took_part(self, event: Event, time_ms: int) -> None:
        """Keep who took part in an exchange, and who did not, once the event is replayed."""
        if self._run is None or not isinstance(event, ExchangeClosed | ResultRefused):
            return
        found = self._run.attendance.closed.get(event.exchange)
        if found is None:
            return
        place = (found.round_number, found.exchange, found.task, time_ms)
        if isinstance(event, ExchangeClosed):
            now = self._recounted or event  # what an earlier version did not tell can be counted still
            found = replace(found, suspended=now.suspended, data=now.data)
            self._closed[event.exchange] = participation_json(found)
            self._report.exchanges.append(self._closed[event.exchange])
            for site in event.missing:
                how = "it had fallen silent" if site in found.idle else f"it had not answered ({event.cause})"
                self._account(site).missed.append(Missed(*place, how))
        elif event.num_examples is not None:
            self._closed[event.exchange]["late"] = dict(found.late)
            how = f"it answered after the close; its {event.num_examples} examples are not in it"
            self._account(event.site).missed.append(Missed(*place, how))

    def _replay(self, event: Event, time_ms: int, where: str) -> None:
        if not self._replays:
            return
        try:
            self._run = evolve(self._run, event, time_ms)
        except TamperedError as error:
            # What comes after has no state to be held against.
            self._checks["history"].fail(f"{where}: {error.message}")
            _stopped(self._report, self._run, where)
            self._run, self._replays = None, False
            self._sums.stop()

    def _seal(self, seal: Seal) -> None:
        check, head = self._checks["seal"], seal.seal
        if (head.records, head.head) != self._last or head.run_id != self._setting.run_id:
            check.fail(
                f"the seal is over {head.records} records of {head.run_id}, the last of them "
                f"{head.head[:12]}; here are {self._last[0]}, the last of them {self._last[1][:12]}"
            )
        try:
            self._report.sealed_by = check_seal(seal, self._setting).uri
        except HanseError as error:
            check.fail(error.message)
        self._report.sealed_ms = head.sealed_ms

    def _consented(self, sites: Sequence[str], what: str, where: str) -> None:
        """Hold that sites that are asked have accepted the plan."""
        if strangers := [site for site in sites if not self._agreed(site)]:
            self._checks["consent"].fail(
                f"{where}: {what} was asked of {', '.join(strangers)} without consent to the plan"
            )

    def _agreed(self, site: str) -> bool:
        """Whether a site takes part now; where nothing can be replayed, that is not held against it."""
        return not self._replays or (self._run is not None and site in self._run.population)

    def _account(self, site: str) -> Account:
        return self._report.sites.setdefault(site, Account())


def _stopped(report: AuditReport, run: Run | None, where: str) -> None:
    report.notes.append(f"what comes after {where} was held against signatures and the chain only")
    if run is not None:
        report.phase, report.rounds = run.phase.value, max(run.committed, 0)


def _told(event: SiteSuspended | SuspensionWaived | SiteReinstated) -> str:
    match event:
        case SiteSuspended():
            return f"suspended: {event.reason}"
        case SuspensionWaived():
            return f"asked on: {event.reason}"
        case SiteReinstated():
            return f"reinstated by {event.by}" if event.by else f"reinstated: {event.reason}"
