"""Checks of the signing keys in a journal: the key of each site, and the same keys for all sites."""

from __future__ import annotations

from hanse.control.report import (
    ROSTER,
    SIGNERS,
    WITHOUT_RECEIPTS,
    WITHOUT_RECEIPTS_OF_BEFORE,
    AuditReport,
    Check,
)
from hanse.control.signers import Signers
from hanse.core.journal.restores import read_acknowledgement
from hanse.core.run.events import Event
from hanse.core.run.round_events import ExchangeOpened, TaskFailed, UpdateAccepted
from hanse.core.run.run import Run
from hanse.core.run.run_events import AggregatorRestored, PlanAnswered, RunStarted
from hanse.core.run.sums.events import SiteReady
from hanse.core.values.statements import CertifiedStatement, SignedStatement
from hanse.core.values.wording import and_more, named
from hanse.errors import ProtocolError

_MOST_NAMED = 20

Stated = PlanAnswered | UpdateAccepted | TaskFailed | SiteReady


class KeyChecks:
    """Follows the signing keys through a journal.

    Args:
        report: Takes in what is found.
        signers: Keys that the auditor got elsewhere; None for none.
    """

    def __init__(self, report: AuditReport, signers: Signers | None) -> None:
        self._report = report
        self._roster = report.checks[ROSTER]
        self._signers = signers
        if signers is not None:
            report.checks[SIGNERS] = Check(SIGNERS)
        self._first_signed = ""
        self._rosters: dict[int, str | None] = {}
        self._certified: set[str] = set()
        self._told: set[tuple[str, str | None]] = set()
        self._unlisted: set[str] = set()
        self._unconfirmed: list[str] = []

    def examine(self, event: Event, run: Run | None, where: str) -> None:
        """Hold an event against the keys that are known.

        Args:
            event: The event.
            run: The run before the event; None where it cannot be replayed.
            where: Names the record.
        """
        match event:
            case RunStarted() | ExchangeOpened():
                self._states(event, run, where)
            case PlanAnswered() | SiteReady():
                self._signed(event, where)
            case UpdateAccepted() | TaskFailed():
                self._signed(event, where)
                self._repeats(event, where)
            case AggregatorRestored():
                self._acknowledged(event, where)
            case _:
                pass

    def expected(self, event: UpdateAccepted | TaskFailed, run: Run | None) -> str | None:
        """Fingerprint of the key with which a site has to have signed its outcome; None for none known."""
        if run is None:  # nothing can be replayed, and another check has said so
            statement = event.statement
            return statement.claimed_signer if isinstance(statement, SignedStatement) else None
        exchange = run.exchanges.get(event.exchange)
        roster = run.roster if exchange is None or exchange.roster is None else exchange.roster
        return roster.get(event.site)

    def conclude(self) -> None:
        """Say what is not proved, and what is odd about the list of signers."""
        self._look_through_the_list()
        if self._certified:
            self._not_proved(
                "that the sites themselves made the statements of before 0.2 "
                f"({_named(self._certified)}): they were signed with keys that the federation's authority "
                "certified, and a party that has the authority's key could have made them"
            )
        if self._unconfirmed:
            self._not_proved(
                "that these saw the same signing keys as the other sites, since their tasks failed before "
                f"they confirmed the roster: {'; '.join(and_more(self._unconfirmed, _MOST_NAMED))}"
            )
        if self._certified and not self._first_signed:
            found = self._report.not_proved
            found[:] = [WITHOUT_RECEIPTS_OF_BEFORE if what == WITHOUT_RECEIPTS else what for what in found]
        elif self._signers is None:
            self._not_proved(
                "that the signing keys are those of the sites: a party that has the whole aggregator could "
                "have made all of them. Get the fingerprint or the words of each key from the site itself "
                "(`hanse collaborator signing-key`), and add --signers FILE"
            )
        elif self._unlisted:
            self._not_proved(
                f"that the signing keys of these are their own: {_named(self._unlisted)}; the list of "
                "signers does not have them"
            )

    def _states(self, event: RunStarted | ExchangeOpened, run: Run | None, where: str) -> None:
        """A roster has to be the one that follows from the answers of the sites that take part."""
        if isinstance(event, ExchangeOpened):
            self._rosters[event.exchange] = event.roster
        if event.roster is not None:
            self._first_signed = self._first_signed or where
        if run is not None and event.roster != run.stated_roster:
            self._roster.fail(
                f"{where}: {event.kind} states roster {_short(event.roster)}, and the answers of the sites "
                f"give {_short(run.stated_roster)}"
            )

    def _signed(self, event: Stated, where: str) -> None:
        statement, site = event.statement, event.site
        if statement is None:
            return  # another check says so
        if isinstance(statement, CertifiedStatement):
            self._certified.add(site)
            if self._first_signed:
                self._roster.fail(
                    f"{where}: {site} signed without its signing key, as before 0.2; signing keys are used "
                    f"since {self._first_signed}"
                )
            self._listed(site, None, where)
            return
        self._first_signed = self._first_signed or where
        key = statement.claimed_signer
        account = self._report.sites.get(site)
        if account is not None and key not in account.signed_with:
            account.signed_with.append(key)
        self._listed(site, key, where)

    def _acknowledged(self, event: AggregatorRestored, where: str) -> None:
        """Hold the key of an operator who acknowledged a restore against the auditor's list."""
        try:
            said, signed = read_acknowledgement(event.statement)
        except ProtocolError:
            return  # another check says so
        self._listed(said.operator, signed.claimed_signer, where)

    def _listed(self, site: str, key: str | None, where: str) -> None:
        """Hold a key against the auditor's list, once for each site and key."""
        if self._signers is None or (site, key) in self._told:
            return
        self._told.add((site, key))
        listed = self._signers.get(site)
        if listed is None:
            self._unlisted.add(site)
        elif key is None:
            self._report.checks[SIGNERS].fail(
                f"{where}: a statement of {site} was made before 0.2 and not signed with its signing key"
            )
        elif not any(key.startswith(known) for known in listed):
            self._report.checks[SIGNERS].fail(
                f"{where}: {site} signed with key {key}, and by the list its key is {' or '.join(listed)}; "
                "if the site has replaced its key since, the list needs a line for the key of then too"
            )

    def _repeats(self, event: UpdateAccepted | TaskFailed, where: str) -> None:
        """Each outcome has to repeat the roster of its exchange."""
        if event.exchange not in self._rosters or not isinstance(event.statement, SignedStatement):
            return
        roster, stated = self._rosters[event.exchange], event.statement.body.get("roster")
        if stated == roster:
            return
        if isinstance(event, TaskFailed) and stated is None:
            self._unconfirmed.append(f"{event.site} in exchange {event.exchange} ({where})")
            return
        self._roster.fail(
            f"{where}: {event.site} saw roster {_short(stated)} in exchange {event.exchange}, and the "
            f"journal has {_short(roster)}: the signing key of at least one site is another in the two"
        )

    def _look_through_the_list(self) -> None:
        """Note parties of the list that signed nothing here, and keys that it has for several parties."""
        listed = self._signers or {}
        told = {site for site, _ in self._told}
        if absent := sorted(listed.keys() - told):
            self._report.notes.append(
                "of the list of signers, these have signed nothing in this journal: "
                f"{named(absent, _MOST_NAMED)}"
            )
        owners: dict[str, set[str]] = {}
        for name, keys in listed.items():
            for key in keys:
                owners.setdefault(key, set()).add(name)
        for names in sorted(sorted(shared) for shared in owners.values() if len(shared) > 1):
            self._report.notes.append(
                f"the list of signers has the same key for {named(names, _MOST_NAMED)}: ask each for its own"
            )

    def _not_proved(self, what: str) -> None:
        self._report.not_proved.append(what)


def _short(digest: object) -> str:
    return "none" if digest is None else str(digest)[:12]


def _named(sites: set[str]) -> str:
    return named(sorted(sites), _MOST_NAMED)
