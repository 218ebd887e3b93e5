"""Receipts of sites against an exported journal: what the aggregator signed to them has to be in it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from pydantic import ValidationError

from hanse.config.layout import NOTED_RESTORE
from hanse.config.layout import RECEIPTS as FOLDER
from hanse.control.report import (
    MOST_PROBLEMS,
    RECEIPTS,
    WITHOUT_RECEIPTS,
    AuditReport,
    Check,
    UsedReceipts,
)
from hanse.control.restores import Explanations
from hanse.core.journal.chain import ChainHead
from hanse.core.journal.membership import STREAM
from hanse.core.journal.receipts import Receipt
from hanse.core.values.canonical import digest_of
from hanse.core.values.statements import CertifiedStatement
from hanse.core.values.wording import format_time, named
from hanse.errors import ConfigError, HanseError, TamperedError
from hanse.files.errors import file_errors
from hanse.pki.certificates import read_certificate
from hanse.pki.receipts import verify_acknowledgement, verify_receipt
from hanse.wire.journal_file import Header, read_lines
from hanse.wire.receipt_file import (
    EARLIER_SUFFIX,
    SUFFIX,
    KeptReceipt,
    UnreadableLine,
    read_receipts,
    receipt_files,
)

_MOST_NAMED = 20
_OUTCOMES = ("UpdateAccepted", "TaskFailed")


def check_receipts(
    report: AuditReport, journal: Path, folders: Sequence[Path], authority: x509.Certificate | None = None
) -> None:
    """Add to a report whether a journal has all that the aggregator signed to sites.

    A receipt that the aggregator did not sign proves nothing, and is left out with a remark. A record that a
    receipt of before a restore names may be missing, where the journal names the restore: a remark and a
    line of what is not proved say so. Nor is the journal held against receipts of after a restore that an
    operator acknowledged when the journal was sealed already.

    Args:
        report: Of the journal.
        journal: The exported journal.
        folders: Folders of sites, copies of their `receipts`, or folders that hold several of these.
        authority: The certificate of the federation's authority; None to take the journal's own.

    Raises:
        ConfigError: A folder has no receipts of this run.
        StorageError: A file cannot be read.
    """
    _Comparison(report, _indexed(journal), authority or _own_authority(journal)).read(folders)


@dataclass(slots=True)
class _Index:
    """A journal as receipts are held against it.

    Attributes:
        digests: Digest of each record, by its number.
        times_ms: Time of each record, milliseconds since 1970, by its number.
        outcomes: Number of the record, by site, exchange and digest of what the site stated.
        members: The last record of the membership when the run was submitted; None where that is not known.
    """

    digests: dict[int, str] = field(default_factory=dict)
    times_ms: dict[int, int] = field(default_factory=dict)
    outcomes: dict[tuple[str, int, str], int] = field(default_factory=dict)
    members: ChainHead | None = None

    @property
    def recorded(self) -> Counter[str]:
        """Number of outcomes of each site."""
        return Counter(site for site, _, _ in self.outcomes)

    def add(self, line: dict[str, Any]) -> None:
        """Take in a line of a journal, which other checks have read strictly."""
        number, kind, body = line.get("sequence"), line.get("kind"), line.get("body")
        if not isinstance(number, int) or not isinstance(body, dict):
            return
        self.digests[number] = str(line.get("digest"))
        self.times_ms[number] = int(line.get("time_ms", 0))
        if kind == "RunSubmitted" and body.get("members") is not None:
            self.members = ChainHead.model_validate(body["members"])
        statement = body.get("statement")
        if kind in _OUTCOMES and isinstance(statement, dict):
            stated = digest_of(statement.get("body"))
            self.outcomes.setdefault((str(body.get("site")), body.get("exchange", 0), stated), number)


class _Comparison:
    """Goes through receipts, and fills in the report."""

    def __init__(self, report: AuditReport, index: _Index, authority: x509.Certificate) -> None:
        self._report = report
        self._index = index
        self._authority = authority
        self._check = report.checks[RECEIPTS] = Check(RECEIPTS)
        self._used = report.receipts = UsedReceipts()
        self._unused = self._last_named = self._later = 0
        self._acknowledged: set[ChainHead] = set()
        self._borne_out: Counter[str] = Counter()
        self._seen: set[str] = set()
        self._named: dict[tuple[ChainHead | None, int], tuple[str, str]] = {}
        self._restores = Explanations(report.restores)
        for problem in self._restores.contradictions(report.run_id, index.digests):
            self._check.fail(problem)

    def read(self, folders: Sequence[Path]) -> None:
        """Hold the journal against all receipts in these folders."""
        for folder in folders:
            self._acknowledged |= self._restores_after_seal(folder)
        for folder in folders:
            files = list(_files_of(folder, self._report.run_id))
            if not files:
                raise ConfigError(
                    f"{folder} has no receipts of run {self._report.run_id}",
                    mend="Name the folder of a site that took part, or a copy of its folder `receipts`.",
                )
            for line in (line for path in files for line in read_receipts(path)):
                if isinstance(line, KeptReceipt):
                    self._compare(line)
                elif not line.torn:
                    self._leave_out(line, line.problem)
        if self._used.counted and WITHOUT_RECEIPTS in self._report.not_proved:
            place = self._report.not_proved.index(WITHOUT_RECEIPTS)
            self._report.not_proved[place : place + 1] = self._left_open()
        if self._unused > MOST_PROBLEMS:
            self._used.remarks.append(f"{self._unused - MOST_PROBLEMS} more receipts prove nothing")
        if self._restores.explained:
            self._used.remarks.append(
                f"{self._restores.explained} records that receipts name are missing, from before a restore "
                "of the aggregator that an operator acknowledged; ask the operator what was lost"
            )
            self._report.not_proved.append(self._restores.not_proved)
        if self._later:
            self._used.remarks.append(
                f"{self._later} receipts are not held against this journal: they are of after a restore of "
                "the aggregator that an operator acknowledged later than the journal was sealed, and a run "
                "may have continued from a backup since; ask for an export that is made now"
            )

    def _left_open(self) -> list[str]:
        """Name what receipts of some sites, or of the time before the end, do not prove."""
        recorded = self._index.recorded
        given, report = self._borne_out, self._report
        agreed = {name for name, site in report.sites.items() if any(each.accepted for each in site.answers)}
        lacking = [
            f"{site} ({given.get(site, 0)} receipts and {recorded.get(site, 0)} outcomes)"
            for site in sorted(agreed | recorded.keys())
            if given.get(site, 0) < recorded.get(site, 0) or site not in given
        ]
        found = []
        if lacking:
            found.append(
                "that the aggregator recorded every outcome that it confirmed to these sites, not all of "
                f"whose receipts are given: {named(lacking, _MOST_NAMED)}"
            )
        last = max(self._index.digests, default=0)
        if self._last_named < last:
            found.append(
                f"that the end is as the aggregator wrote it: no receipt names a record after number "
                f"{self._last_named}, and the journal ends with {last}"
            )
        return found

    def _restores_after_seal(self, folder: Path) -> set[ChainHead]:
        """Restores that a site has noted with an operator's signature of after the seal of the journal."""
        found = set()
        for path in _folder_of(folder).rglob(NOTED_RESTORE):
            with file_errors(f"read {path}"):
                data = path.read_bytes()
            try:
                note = json.loads(data)
                record = ChainHead.model_validate(note["record"])
                statement = CertifiedStatement.model_validate(note["statement"])
                said, _ = verify_acknowledgement(statement, self._authority)
            except (HanseError, ValueError, TypeError, KeyError, RecursionError):
                continue  # receipts of after it are held against the journal then
            if said.federation == self._report.federation and said.time_ms > self._report.sealed_ms:
                found.add(record)
        return found

    def _compare(self, kept: KeptReceipt) -> None:
        try:
            receipt = verify_receipt(kept.statement, self._authority)
        except HanseError as error:
            self._leave_out(kept, error.message)
            return
        if receipt.federation != self._report.federation:
            self._leave_out(kept, f"it is of the federation {receipt.federation}")
            return
        if kept.statement.signature in self._seen:
            return  # one that names a new head of the membership lies in two files
        self._seen.add(kept.statement.signature)
        self._restores.note(receipt)
        of_run = receipt.received is not None and receipt.received.run_id == self._report.run_id
        if receipt.restored in self._acknowledged:
            self._later += of_run
            return
        self._compare_members(kept.place, receipt)
        if of_run:
            explained = self._restores.explained
            self._compare_outcome(kept.place, receipt)
            if self._restores.explained == explained:  # else it may be of a run of this name that was lost
                self._used.counted[receipt.site] = self._used.counted.get(receipt.site, 0) + 1

    def _compare_outcome(self, place: str, receipt: Receipt) -> None:
        received = receipt.received
        assert received is not None
        signed = f"{place}: on {format_time(receipt.time_ms)} the aggregator signed to {receipt.site} that"
        # A journal that has the record which the receipt names has all that the aggregator had until then.
        kept = self._index.digests.get(received.journal.sequence) == received.journal.digest
        if kept:
            self._last_named = max(self._last_named, received.journal.sequence)
            self._borne_out[receipt.site] += 1
        fail = self._fail_all if kept else self._fail
        for head in (received.known, received.journal):
            if head is not None and self._index.digests.get(head.sequence) != head.digest:
                what = f"record {head.sequence} of the run is {head.digest[:12]}"
                problem = f"{signed} {what}, and the journal {self._instead(head, receipt)}"
                fail(receipt, problem, self._index.times_ms.get(head.sequence))
        number = self._index.outcomes.get((receipt.site, received.exchange, received.outcome))
        if number is None or number > received.journal.sequence:
            what = f"it has an outcome of exchange {received.exchange}"
            fail(receipt, f"{signed} {what}, and the journal lacks that outcome")

    def _instead(self, head: ChainHead, receipt: Receipt) -> str:
        if head.sequence in self._index.digests:
            return "has another one"
        if receipt.time_ms > self._report.sealed_ms:
            return "ends before it, sealed earlier: ask for an export that is made now"
        return "ends before it, though it was sealed later"

    def _compare_members(self, place: str, receipt: Receipt) -> None:
        """Hold the membership in receipts against that of other receipts, and of the run's first record."""
        for (stream, number), digest in receipt.records():
            if stream != STREAM:
                continue
            # After a restore, the numbers of the lost records are given again.
            before, named = self._named.setdefault((receipt.restored, number), (place, digest))
            if named != digest:
                self._fail(
                    receipt, f"{place}: it names another record {number} of the membership than {before}"
                )
        members = self._index.members
        if members is not None and dict(receipt.records()).get((STREAM, members.sequence)) not in (
            None,
            members.digest,
        ):
            self._fail(
                receipt,
                f"{place}: it names another record {members.sequence} of the membership than the journal",
            )

    def _fail(self, receipt: Receipt, problem: str, instead_ms: int | None = None) -> None:
        """Note a problem, unless a restore that the journal names explains it.

        Args:
            receipt: The receipt that shows it.
            problem: The problem, in words.
            instead_ms: Time of the record that the journal has in place of another; None for none.
        """
        if not self._restores.explain(receipt, instead_ms):
            self._fail_all(receipt, problem)

    def _fail_all(self, receipt: Receipt, problem: str, instead_ms: int | None = None) -> None:
        """Note a problem that no restore explains."""
        self._check.fail(problem)

    def _leave_out(self, line: KeptReceipt | UnreadableLine, why: str) -> None:
        self._unused += 1
        if self._unused <= MOST_PROBLEMS:
            self._used.remarks.append(f"{line.place} proves nothing: {why}")


def _indexed(journal: Path) -> _Index:
    index = _Index()
    try:
        for line in read_lines(journal):
            index.add(line)
    except (TamperedError, ValidationError, ValueError, TypeError):
        pass  # the checks of the journal itself say so
    return index


def _own_authority(journal: Path) -> x509.Certificate:
    header = Header.model_validate(next(read_lines(journal), {}), strict=True)
    return read_certificate(header.authority)


def _folder_of(folder: Path) -> Path:
    inner = folder / FOLDER
    return inner if inner.is_dir() else folder


def _files_of(folder: Path, run_id: str) -> Iterator[Path]:
    """Files with receipts of a run, and of the membership; none where there are none of the run."""
    files = receipt_files(_folder_of(folder))
    of_run = [path for path in files if path.name in (f"{run_id}{SUFFIX}", f"{run_id}{EARLIER_SUFFIX}")]
    if of_run:
        yield from of_run
        yield from (path for path in files if path.name in (f"{STREAM}{SUFFIX}", f"{STREAM}{EARLIER_SUFFIX}"))
