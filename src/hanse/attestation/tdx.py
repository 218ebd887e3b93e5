"""Verification of TDX quotes, versions 4 and 5, with the event log of the firmware."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography import x509

from hanse.attestation.base import Appraisal, Aspect, Check, Circumstances, Evidence, Kind, Tier, Verifier
from hanse.attestation.comparison import HOST, Row, compared, compared_rows
from hanse.attestation.dcap.checks import platform_checks, platform_values
from hanse.attestation.dcap.reports import TdReport
from hanse.attestation.dcap.root import intel_root
from hanse.attestation.dcap.verification import verify_quote
from hanse.attestation.event_log import SHA384, EventLog, read_event_log
from hanse.attestation.policy.fields import Anything, bits, in_words
from hanse.attestation.policy.tdx import DEBUG_BITS, MIGRATABLE, SEPT_VE_DISABLE, TdxPolicy
from hanse.errors import EvidenceError

EVENT_LOG = "event-log"
"""Part of the evidence: the log of the firmware, as the CCEL table points to it; may be missing."""


@dataclass(frozen=True, slots=True)
class TdxVerifier(Verifier[TdxPolicy]):
    """Verifier of TDX evidence: a quote with its certificates inside, and `EVENT_LOG` where there is one.

    Collateral: see `hanse.attestation.dcap.documents`.

    Attributes:
        root: Root of the certificates; Intel's, but for tests with quotes of their own making.
    """

    root: x509.Certificate = field(default_factory=intel_root)

    def appraise(self, evidence: Evidence, policy: TdxPolicy, given: Circumstances) -> Appraisal:
        """Verify a quote and hold it against a policy; see `Verifier`."""
        genuine = verify_quote(evidence, Kind.TDX, given, self.root, frozenset({EVENT_LOG}))
        report = genuine.quote.report
        assert isinstance(report, TdReport)
        log = None
        if EVENT_LOG in evidence.parts:
            log = read_event_log(evidence.parts[EVENT_LOG])
            check_replay(log, report)
        return Appraisal(
            kind=Kind.TDX,
            checks=(
                *_image(policy, report),
                *_attributes(policy, report),
                *_given_by_host(policy, report),
                *_module(policy, report),
                *platform_checks(policy, genuine),
            ),
            measured=domain_values(report) | platform_values(genuine),
            machine=genuine.pck.ppid.hex(),
            advisories=genuine.standing.advisories,
            not_proven=() if log is None else log.not_proven,
            expires=genuine.expires,
            collateral=genuine.collateral,
        )


def check_replay(log: EventLog, report: TdReport) -> None:
    """Hold that an event log leads to the registers of a report.

    Registers 1 to 4 of the log are RTMR0 to RTMR3 (UEFI specification 2.10, section 38.4.1); MRTD is not
    extended by events.

    Raises:
        EvidenceError: It leads to others, or speaks of registers that there are not.
    """
    replayed = log.replay(SHA384)
    for register in replayed:
        if not 1 <= register <= len(report.rtmrs):
            raise EvidenceError(f"event log: it extends the register {register}, and there are 1 to 4")
    for number, seen in enumerate(report.rtmrs):
        found = replayed.get(number + 1, bytes(48))
        if found != seen:
            raise EvidenceError(
                f"event log: its events lead to {found.hex()} in RTMR{number}, and the quote has "
                f"{seen.hex()}",
                mend="Record log and quote of one start together; where the system extends RTMR2 or RTMR3 "
                "later, leave the log out.",
            )


def domain_values(report: TdReport) -> dict[str, str]:
    """Values that a report states about its trust domain, by component."""
    values = {
        "MRTD": report.mrtd.hex(),
        **{f"RTMR{n}": rtmr.hex() for n, rtmr in enumerate(report.rtmrs)},
        "TDATTRIBUTES": report.attributes.hex(),
        "TDATTRIBUTES others": _other_bits(report),
        "XFAM": report.xfam.hex(),
        "MRCONFIGID": report.mrconfigid.hex(),
        "MROWNER": report.mrowner.hex(),
        "MROWNERCONFIG": report.mrownerconfig.hex(),
        "MRSIGNERSEAM": report.mrsignerseam.hex(),
        "MRSEAM": report.mrseam.hex(),
        "TEE_TCB_SVN": report.tee_tcb_svn.hex(),
    }
    if report.tee_tcb_svn2:
        values |= {"TEE_TCB_SVN_2": report.tee_tcb_svn2.hex(), "MRSERVICETD": report.mrservicetd.hex()}
    return values


def _other_bits(report: TdReport) -> str:
    """The attributes without those that a policy names one by one, as a policy writes them."""
    named = DEBUG_BITS | MIGRATABLE | SEPT_VE_DISABLE
    return (bits(report.attributes.hex()) & ~named).to_bytes(8, "little").hex()


def _image(policy: TdxPolicy, report: TdReport) -> list[Check]:
    rows = [
        Row(
            row.name,
            {
                "MRTD": row.mrtd,
                "RTMR0": row.rtmr0,
                "RTMR1": row.rtmr1,
                "RTMR2": row.rtmr2,
                "RTMR3": row.rtmr3,
            },
        )
        for row in policy.rows
    ]
    seen = domain_values(report)
    return compared_rows(rows, seen, dict.fromkeys(seen, Aspect.EXECUTABLES))


def _attributes(policy: TdxPolicy, report: TdReport) -> list[Check]:
    expected, seen = policy.attributes, bits(report.attributes.hex())
    debug = bool(seen & DEBUG_BITS)
    return [
        compared(
            "TDATTRIBUTES DEBUG",
            Aspect.RUNTIME_OPAQUE,
            expected.debug,
            debug,
            "Start the domain without debugging; no policy accepts one that can be debugged.",
            "The host can read and change the memory of this domain." if debug else "",
        ),
        compared(
            "TDATTRIBUTES MIGRATABLE",
            Aspect.RUNTIME_OPAQUE,
            expected.migratable,
            bool(seen & MIGRATABLE),
            "Start the domain without migration.",
            "A migration domain decides where the memory goes." if seen & MIGRATABLE else "",
        ),
        compared(
            "TDATTRIBUTES SEPT_VE_DISABLE",
            Aspect.CONFIGURATION,
            expected.sept_ve_disable,
            bool(seen & SEPT_VE_DISABLE),
            "Start the domain with SEPT_VE_DISABLE (QEMU: `sept-ve-disable=on`).",
            "" if seen & SEPT_VE_DISABLE else "The host can inject exceptions when memory is accessed.",
        ),
        compared("TDATTRIBUTES others", Aspect.CONFIGURATION, expected.others, _other_bits(report), HOST),
        compared("XFAM", Aspect.CONFIGURATION, policy.xfam, report.xfam.hex(), HOST),
    ]


def _given_by_host(policy: TdxPolicy, report: TdReport) -> list[Check]:
    checks = [
        compared(component, Aspect.CONFIGURATION, expected, seen.hex(), HOST)
        for component, expected, seen in (
            ("MRCONFIGID", policy.mrconfigid, report.mrconfigid),
            ("MROWNER", policy.mrowner, report.mrowner),
            ("MROWNERCONFIG", policy.mrownerconfig, report.mrownerconfig),
        )
    ]
    stated = report.mrservicetd.hex() or "not stated in a TD report 1.0"
    mend = HOST if report.mrservicetd else "Have the machine make quotes of version 5, or accept any."
    return [*checks, compared("MRSERVICETD", Aspect.CONFIGURATION, policy.mrservicetd, stated, mend)]


def _module(policy: TdxPolicy, report: TdReport) -> list[Check]:
    seen, accepted = report.mrseam.hex(), policy.mrseam
    if isinstance(accepted, Anything):
        known, expected = True, in_words(accepted)
    else:
        known = seen in accepted
        expected = accepted[0] if len(accepted) == 1 else f"one of {len(accepted)} modules"
    return [
        compared(
            "MRSIGNERSEAM",
            Aspect.HARDWARE,
            policy.mrsignerseam,
            report.mrsignerseam.hex(),
            "The TDX module is of another signer: ask who has the machine in hand.",
        ),
        Check(
            "MRSEAM",
            Aspect.HARDWARE,
            Tier.AFFIRMING if known else Tier.CONTRAINDICATED,
            expected,
            seen,
            mend="" if known else "Compare it with Intel's release notes of the TDX module, and add it.",
        ),
    ]
