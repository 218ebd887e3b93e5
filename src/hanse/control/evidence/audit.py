"""Evidence in a run's journal: whose was accepted, what came from whom afterwards, and who got keys."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path

from hanse.attestation.instance import check_said
from hanse.control.evidence.audit_rules import (
    check_owned,
    keeps_memory_secret,
    problems_of_claims,
    problems_of_verdict,
)
from hanse.control.evidence.instances import Instances
from hanse.control.evidence.plan_files import PlanFiles, read_plan_files
from hanse.control.evidence_report import (
    EVIDENCE,
    FORGED,
    WITHOUT_FILES,
    WITHOUT_PLAN,
    WITHOUT_SITES,
    WITHOUT_TODAY,
    Appraised,
    EvidenceReport,
)
from hanse.control.report import AuditReport, Check
from hanse.core.journal.chain import Record
from hanse.core.plan.plan import Plan
from hanse.core.run.events import Event
from hanse.core.run.evidence.events import (
    AnswersLost,
    EvidenceEvent,
    InstanceAdmitted,
    InstanceStarted,
    KeysReleased,
    SiteAppraised,
)
from hanse.core.run.round_events import ExchangeOpened, TaskFailed, UpdateAccepted
from hanse.core.run.run import Run
from hanse.core.run.run_events import RunSubmitted
from hanse.core.values.evidence.claims import instance_name
from hanse.core.values.roster import Roster
from hanse.core.values.wording import counted
from hanse.errors import HanseError
from hanse.sealing.run_files import RunLabels
from hanse.wire.messages.evidence import OUTCOME_SAID

_MOST_ROSTERS = 64
"""Rosters of before that evidence may name: it may have been asked for before a site came or left."""

Problems = Iterator[str]


class EvidenceChecks:
    """Follows evidence and keys through a journal, and fills in the report.

    Args:
        report: Takes in what is found.
        folder: The plan's folder; None where it is not at hand.
    """

    def __init__(self, report: AuditReport, folder: Path | None) -> None:
        self._report, self._folder = report, folder
        self._plan: Plan | None = None
        self._files: PlanFiles | None = None
        self._found = EvidenceReport()
        self._current: InstanceStarted | None = None
        self._instances = Instances()
        self._admitted: set[str] = set()
        self._rosters: deque[Roster] = deque(maxlen=_MOST_ROSTERS)
        self._tasks: dict[int, ExchangeOpened] = {}
        self._must_lose = False

    def examine(self, event: Event, run: Run | None, record: Record) -> None:
        """Hold an event against the evidence that came before.

        Args:
            event: The event.
            run: The run before the event; None where it cannot be replayed.
            record: The record of the event.
        """
        if isinstance(event, RunSubmitted):
            self._submitted(event)
            return
        if self._plan is None or (self._plan.attestation is None and self._plan.sealed is None):
            if isinstance(event, EvidenceEvent):
                self._report.checks["history"].fail(
                    f"record {record.sequence}: {event.kind} in a run whose plan asks for no evidence"
                )
            return
        if run is not None and (not self._rosters or self._rosters[-1] is not run.roster):
            self._rosters.append(run.roster)
        for problem in self._problems(event, run, record):
            self._check.fail(f"record {record.sequence}: {problem}")

    def conclude(self) -> None:
        """Say what is not proved."""
        plan = self._plan
        if plan is None or self._report.evidence is None:
            return
        not_proved = self._report.not_proved
        if self._files is None:
            not_proved.append(WITHOUT_PLAN)
        not_proved.append(WITHOUT_FILES)
        if plan.attestation is not None and plan.attestation.aggregator is not None:
            not_proved.append(WITHOUT_SITES)
        not_proved += [WITHOUT_TODAY, FORGED]
        if self._found.rehearsal:
            self._found.remarks.append(
                "REHEARSAL: software may have played the devices; nothing here says anything about a machine"
            )

    @property
    def _check(self) -> Check:
        return self._report.checks[EVIDENCE]

    def _submitted(self, event: RunSubmitted) -> None:
        self._plan = plan = event.manifest.plan
        if plan.attestation is None and plan.sealed is None:
            return
        self._report.checks[EVIDENCE] = Check(EVIDENCE)
        self._report.evidence = self._found
        self._found.rules = plan.attestation
        self._found.rehearsal = plan.attestation is not None and plan.attestation.rehearsal
        if self._folder is not None:
            self._files = read_plan_files(self._folder, event.manifest)
            policies = self._files.policies
            self._found.policies = {policy.digest: policy for policy in policies.values()}
            if plan.attestation is not None and plan.attestation.aggregator is not None:
                self._found.policy_of_aggregator = policies[plan.attestation.aggregator].digest

    def _problems(self, event: Event, run: Run | None, record: Record) -> Problems:
        if self._must_lose and not isinstance(event, AnswersLost):
            self._must_lose = False
            yield "the updates of the round were sealed to an instance that has ended, and stood all the same"
        match event:
            case InstanceStarted():
                yield from self._started(event, run)
            case SiteAppraised():
                yield from self._appraised(event, run, record)
            case KeysReleased():
                yield from self._released(event, record.time_ms)
            case InstanceAdmitted():
                if event.site not in self._found.released:
                    yield f"another instance of {event.site} is admitted, and none has the keys"
                self._admitted.add(event.site)
            case AnswersLost():
                yield from self._lost(run)
            case ExchangeOpened():
                self._tasks[event.exchange] = event
            case UpdateAccepted() | TaskFailed():
                yield from self._told(event, record.time_ms)
            case _:
                pass

    def _started(self, event: InstanceStarted, run: Run | None) -> Problems:
        """An instance of the aggregator is new, named by its keys, and signed by a sealed model's owner."""
        if event.instance != instance_name(event.seal, event.speak):
            yield f"the instance {event.instance[:12]} has other keys than its name says"
        if event.instance in self._found.instances:
            yield f"the instance {event.instance[:12]} starts again: its keys live as long as one process"
        sealed = self._plan is not None and self._plan.sealed is not None
        if sealed:
            yield from self._owned(event)
        elif event.owner:
            yield "an owner signed an instance in a run without a sealed model"
        self._must_lose = sealed and run is not None and run.instance is not None and bool(run.exchanges)
        self._found.instances.append(event.instance)
        self._current = event

    def _owned(self, event: InstanceStarted) -> Problems:
        if not event.owner:
            yield f"no owner signed the instance {event.instance[:12]}"
        elif self._files is not None and self._files.owner is not None:
            report = self._report
            of_run = RunLabels(report.federation, report.run_id, report.plan_digest, self._found.rehearsal)
            body = of_run.instance_body(event.seal, event.speak)
            try:
                check_owned(self._files.owner, body, event.owner)
            except HanseError as error:
                yield f"the owner did not sign the instance {event.instance[:12]}: {error.message}"

    def _appraised(self, event: SiteAppraised, run: Run | None, record: Record) -> Problems:
        claims, verdict = event.claims, event.verdict
        found = Appraised(record.sequence, record.time_ms, event.site, "", claims, verdict)
        self._found.appraised.append(found)
        plan = self._plan
        rules = None if plan is None else plan.attestation
        if rules is None or rules.collaborators is None:
            yield f"evidence of {event.site} was appraised, and the plan has no policy for sites"
            return
        for text in (
            *self._problems_of_claims(found, run),
            *problems_of_verdict(claims, verdict, rules, record.time_ms),
            *self._instances.add(found),
        ):
            yield f"evidence of {event.site}: {text}"

    def _problems_of_claims(self, found: Appraised, run: Run | None) -> Problems:
        claims, report = found.claims, self._report
        expected: dict[str, str | None] = {
            "purpose": "run",
            "federation": report.federation,
            "role": "collaborator",
            "name": found.party,
            "run": report.run_id,
            "plan": report.plan_digest,
        }
        if run is not None:
            expected["signer"] = run.roster.get(found.party)
        if self._files is not None and self._plan is not None and self._plan.attestation is not None:
            of_sites = self._plan.attestation.collaborators or ""
            expected["policy"] = self._files.policies[of_sites].digest
        yield from problems_of_claims(claims, expected)
        if len({each.claims.policy for each in self._found.appraised}) > 1:
            yield "its claims name another policy than other evidence of sites"
        known = [roster for roster in reversed(self._rosters) if roster]
        if run is not None and not any(claims.roster == roster.digest for roster in known):
            yield f"its claims name the roster {claims.roster[:12]}, which the run did not have"

    def _released(self, event: KeysReleased, time_ms: int) -> Problems:
        site, instance = event.site, event.instance
        if self._plan is None or self._plan.sealed is None:
            yield f"keys were released to {site} in a run without a sealed model"
        yield from self._instances.problems(site, instance, time_ms, "got keys")
        found = self._instances.last(site, instance)
        if found is not None and not keeps_memory_secret(found.claims, found.verdict):
            yield (
                f"instance {instance[:12]} of {site} got keys, and its evidence does not say that its memory "
                "is confidential"
            )
        before = self._found.released.get(site)
        if before is not None and before != instance and site not in self._admitted:
            yield (
                f"instance {instance[:12]} of {site} got keys, which {before[:12]} has, and no operator "
                "admitted another"
            )
        self._admitted.discard(site)
        self._found.released[site] = instance

    def _told(self, event: UpdateAccepted | TaskFailed, time_ms: int) -> Problems:
        """An outcome names the site's instance and is signed by it; a sealed update names who can open it."""
        statement, site, plan = event.statement, event.site, self._plan
        if statement is None or plan is None:
            return  # another check says so
        body = statement.body
        if plan.attestation is not None and plan.attestation.collaborators is not None:
            instance = body.get("instance")
            if not isinstance(instance, str):
                yield f"{site} answered exchange {event.exchange} without naming its instance"
                return
            yield from self._instances.problems(
                site, instance, time_ms, f"answered exchange {event.exchange}"
            )
            found = self._instances.last(site, instance)
            if found is not None:
                try:
                    check_said(found.claims.speak, OUTCOME_SAID, body, event.spoken or "")
                except HanseError as error:
                    yield f"instance {instance[:12]} of {site} did not sign its outcome: {error.message}"
            has_keys = self._found.released.get(site) == instance
            if isinstance(event, UpdateAccepted) and self._needs_keys(event.exchange) and not has_keys:
                yield f"instance {instance[:12]} of {site} has no keys of the model that it worked with"
        yield from self._sealed_to(event, body.get("sealed_to"))

    def _needs_keys(self, exchange: int) -> bool:
        opened = self._tasks.get(exchange)
        sealed = self._plan is not None and self._plan.sealed is not None
        return sealed and opened is not None and opened.model is not None

    def _sealed_to(self, event: UpdateAccepted | TaskFailed, sealed_to: object) -> Problems:
        sealed = self._plan is not None and self._plan.sealed is not None
        if not sealed or isinstance(event, TaskFailed) or event.update is None:
            if sealed_to is not None and not sealed:
                yield f"the update of {event.site} is sealed, in a run without a sealed model"
            return
        now = None if self._current is None else self._current.instance
        if sealed_to != now:
            name = sealed_to[:12] if isinstance(sealed_to, str) else "no instance"
            own = "none" if now is None else now[:12]
            yield f"the update of {event.site} is sealed to {name}, and the aggregator's instance is {own}"

    def _lost(self, run: Run | None) -> Problems:
        """Answers are lost once, with the instance that could open them; what comes next is asked again."""
        if not self._must_lose and run is not None:
            yield "answers are said to be lost, and no instance that could open them has ended"
        self._must_lose = False
        if run is None:
            return
        lost = {exchange.number for exchange in run.exchanges.values()}
        self._report.exchanges[:] = [each for each in self._report.exchanges if each["exchange"] not in lost]
        self._found.remarks.append(
            "the aggregator started again, and could not open answers any more: "
            f"{counted(len(lost), 'exchange')} of the open round may be asked again, each under its number, "
            "and each counts once"
        )
