"""Which checks `hanse doctor` makes of what: a check that needs what another found missing is left out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from hanse.aggregator.blobs.retention import KeptModels
from hanse.aggregator.members.own_certificates import RENEW_AT
from hanse.assembly.tuning import now
from hanse.config.layout import AUTHORITY, IDENTITY, JOURNAL, OPERATOR, PLANS
from hanse.config.settings import (
    AGGREGATOR_FILE,
    OPERATOR_FILE,
    SITE_FILE,
    OperatorSettings,
    SiteSettings,
    load_aggregator,
    load_operator,
    load_site,
)
from hanse.core.values.identity import Party, Role
from hanse.doctor.attestation_devices import check_attestation_devices
from hanse.doctor.checks import (
    Finding,
    Grade,
    Way,
    check_aggregator,
    check_authority,
    check_credentials,
    check_data,
    check_disk,
    check_journal,
    check_machine,
    check_membership,
    check_plans,
    check_port,
    check_proxy,
    check_sandbox,
    check_site_journal,
    check_writable,
    failed,
)
from hanse.doctor.data_links import check_data_links
from hanse.doctor.key_checks import check_recorded_key, check_signing_key
from hanse.doctor.limits import check_connections, check_worker_limits, check_worker_settings
from hanse.doctor.new_defaults import check_new_defaults
from hanse.doctor.peer_checks import check_cells, check_listed_peers, check_peer_entries
from hanse.doctor.receipt_checks import check_receipts, check_restore
from hanse.doctor.run_checks import check_blobs, check_waiting_runs
from hanse.doctor.sealed_memory import check_sealed_memory
from hanse.errors import HanseError, StorageError
from hanse.files.lock import DirectoryLock
from hanse.pki.certificates import load_certificate, pem_of
from hanse.pki.credentials import AUTHORITY_FILE, Credentials
from hanse.sandbox.confine import Confined
from hanse.sandbox.probe import available
from hanse.transport.server.open_files import most_files

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ExaminedPaths:
    """The directories to examine."""

    sites: tuple[Path, ...] = ()
    federations: tuple[Path, ...] = ()
    operators: tuple[Path, ...] = ()

    @staticmethod
    def named(site: Path | None, federation: Path | None, operator: Path | None) -> ExaminedPaths:
        """Those that are named or, where none is, those that are found here."""
        if site or federation or operator:
            named = [place for place in (site, federation, operator) if place is not None]
            operators = [place for place in named if place == operator or _is_operators(place)]
            return ExaminedPaths(
                sites=() if site is None or site in operators else (site,),
                federations=() if federation is None or federation in operators else (federation,),
                operators=tuple(dict.fromkeys(operators)),
            )
        here = (Path(), Path("federation"))
        return ExaminedPaths(
            sites=tuple(place for place in here[:1] if (place / SITE_FILE).exists()),
            federations=tuple(place for place in here if (place / AGGREGATOR_FILE).exists()),
            operators=tuple(place for place in here[:1] if (place / OPERATOR_FILE).exists()),
        )


def _is_operators(place: Path) -> bool:
    """Check if a directory is an operator's, who joined a federation, and nothing else."""
    others = (place / SITE_FILE, place / AGGREGATOR_FILE)
    return (place / OPERATOR_FILE).exists() and not any(other.exists() for other in others)


async def examine(
    places: ExaminedPaths, probe: Callable[[], Awaitable[Confined]] = available
) -> list[Finding]:
    """Examine the machine and some directories of parties.

    Args:
        places: The directories.
        probe: Finds out how far workers can be confined on this machine.
    """
    machine = Examination("")
    machine.look("machine", check_machine)
    machine.look("attestation", check_attestation_devices)
    parts = [
        *[await _site(directory) for directory in places.sites],
        *[await _federation(directory) for directory in places.federations],
        *[await _operator(directory) for directory in places.operators],
    ]
    required = any(part.sandbox_required for part in parts)
    confined = await machine.ask("sandbox", probe())
    if confined is not None:
        machine.look("sandbox", lambda: check_sandbox(confined, required=required))
        machine.look("limits", lambda: check_worker_limits(confined))
    return [*machine.findings, *(finding for part in parts for finding in part.findings)]


class Examination:
    """Collects findings about one place; an error is one of them.

    Attributes:
        sandbox_required: Whether the settings of the place require a sandbox.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self.findings: list[Finding] = []
        self.sandbox_required = False

    def look(self, check: str, findings: Callable[[], Iterable[Finding]]) -> None:
        """Make a check; what it finds before it fails counts too."""
        try:
            for finding in findings():
                self._note(finding)
        except HanseError as error:
            self._note(failed(check, error))

    def get(self, check: str, read: Callable[[], T]) -> T | None:
        """Read something that further checks need; None where that fails."""
        try:
            return read()
        except HanseError as error:
            self._note(failed(check, error))
            return None

    async def ask(self, check: str, asked: Awaitable[T]) -> T | None:
        """Wait for something that further checks need; None where it fails."""
        try:
            return await asked
        except HanseError as error:
            self._note(failed(check, error))
            return None

    async def ask_aggregator(
        self, directory: Path, settings: SiteSettings | OperatorSettings, credentials: Credentials | None
    ) -> None:
        """Check the way to a party's aggregator, and whether it is welcome there."""
        way = Way(settings.aggregator, settings.proxy, settings.federation)
        self.look("proxy", lambda: check_proxy(way))
        try:
            authority = load_certificate(directory / IDENTITY / AUTHORITY_FILE)
        except HanseError:
            return  # the credentials' own check has said so
        found = await self.ask("aggregator", check_aggregator(way, pem_of(authority), now))
        self.look("aggregator", lambda: found or ())
        if credentials and found and found[0].grade is Grade.OK:
            known = await self.ask("membership", check_membership(way, credentials))
            self.look("membership", lambda: known or ())
            recorded = await self.ask("signing key", check_recorded_key(way, credentials))
            self.look("signing key", lambda: recorded or ())
            if isinstance(settings, SiteSettings):
                peers = await self.ask("peers", check_listed_peers(way, credentials, settings))
                self.look("peers", lambda: peers or ())
            if credentials.party.role is Role.OPERATOR:
                runs = await self.ask("runs", check_waiting_runs(way, credentials))
                self.look("runs", lambda: runs or ())

    def _note(self, finding: Finding) -> None:
        self.findings.append(replace(finding, place=self._place))


async def _site(directory: Path) -> Examination:
    site = Examination(f"site {directory.absolute()}")
    settings = site.get("settings", lambda: load_site(directory))
    if settings is None:
        return site
    site.sandbox_required = settings.sandbox == "required"
    credentials = _credentials(site, directory, settings.name, settings.renew_at)
    await site.ask_aggregator(directory, settings, credentials)
    site.look("policy", lambda: check_new_defaults(directory, settings))
    site.look("peers", lambda: check_peer_entries(directory, settings))
    site.look("data", lambda: check_data(settings))
    site.look("data", lambda: check_data_links(settings))
    folders = (IDENTITY, "blobs", "uploads", PLANS, "runs")
    site.look("directory", lambda: check_writable(directory, folders))
    site.look("disk", lambda: check_disk(directory, settings.disk_reserve))
    site.look("memory", lambda: check_worker_settings(settings.worker))
    site.look("sealed memory", lambda: check_sealed_memory(settings.sealed_memory))
    party = Party(settings.federation, Role.COLLABORATOR, settings.name)
    site.look("journal", lambda: check_site_journal(directory, party))
    site.look("receipts", lambda: check_receipts(directory))
    site.look("plans", lambda: check_plans(directory / PLANS))
    site.look("peers", lambda: check_cells(settings, directory / PLANS))
    return site


async def _operator(directory: Path) -> Examination:
    operator = Examination(f"operator {directory.absolute()}")
    settings = operator.get("settings", lambda: load_operator(directory))
    if settings is not None:
        credentials = _credentials(operator, directory, settings.name, RENEW_AT)
        await operator.ask_aggregator(directory, settings, credentials)
    return operator


async def _federation(directory: Path) -> Examination:
    federation = Examination(f"federation {directory.absolute()}")
    settings = federation.get("settings", lambda: load_aggregator(directory))
    if settings is None:
        return federation
    federation.sandbox_required = settings.sandbox == "required"
    federation.look("authority", lambda: check_authority(directory / AUTHORITY, now()))
    federation.look("journal", lambda: check_journal(directory / JOURNAL))
    federation.look("blobs", lambda: check_blobs(directory, KeptModels(settings.retention.models), now()))
    federation.look("restore", lambda: check_restore(directory))
    folders = (IDENTITY, OPERATOR, "blobs", "uploads", "runs")
    federation.look("directory", lambda: check_writable(directory, folders))
    federation.look("disk", lambda: check_disk(directory, settings.disk_reserve))
    federation.look("memory", lambda: check_worker_settings(settings.worker))
    federation.look("sealed memory", lambda: check_sealed_memory(settings.sealed_memory))
    federation.look("connections", lambda: check_connections(settings, most_files()))
    if _is_running(directory):
        home = await _operator(directory / OPERATOR)
        federation.findings += home.findings
    else:
        federation.look("port", lambda: check_port(settings))
    return federation


def _credentials(place: Examination, directory: Path, name: str, renew_at: float) -> Credentials | None:
    place.look("signing key", lambda: check_signing_key(directory / IDENTITY))
    credentials = place.get("certificate", lambda: Credentials.load(directory / IDENTITY, now()))
    if credentials is not None:
        place.look("certificate", lambda: check_credentials(credentials, name, renew_at, now()))
    return credentials


def _is_running(directory: Path) -> bool:
    try:
        DirectoryLock(directory).release()
    except StorageError:
        return True
    return False
