"""Verification of TPM 2.0 quotes, with registers, certificates of the EK, and logs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from hanse.attestation.base import Appraisal, Check, Circumstances, Evidence, Kind, Verifier
from hanse.attestation.event_log import EventLog, read_event_log
from hanse.attestation.policy.tpm import IMA, ImaReference, TpmPolicy, TpmRow
from hanse.attestation.tpm.activation import Activated
from hanse.attestation.tpm.checks import (
    differing,
    implementation_check,
    machine_checks,
    memory_check,
    quote_checks,
    register_checks,
)
from hanse.attestation.tpm.endorsement import Endorsement, check_endorsement
from hanse.attestation.tpm.firmware_log import check_log, first_difference
from hanse.attestation.tpm.ima import Measured, read_ima_log, replay
from hanse.attestation.tpm.ima_checks import ima_checks
from hanse.attestation.tpm.public_area import PublicArea, check_attesting, read_public_area
from hanse.attestation.tpm.quote import Quote, Started, read_quote
from hanse.attestation.tpm.registers import check_registers, read_registers
from hanse.attestation.tpm.signature import check_signature, read_signature
from hanse.errors import EvidenceError

SIGNATURE = "signature"
"""Part of the evidence: the TPMT_SIGNATURE of the quote."""
AK = "ak"
"""Part: public area of the key that signed, TPMT_PUBLIC or TPM2B_PUBLIC."""
PCRS = "pcrs"
"""Part: values of the registers; see `hanse.attestation.tpm.registers`."""
TCG = "tcg"
"""Part: log of the firmware (`binary_bios_measurements`); may be missing."""
IMA_LOG = "ima"
"""Part: log of the kernel (`ascii_runtime_measurements` or `binary_runtime_measurements`); may be missing
where the policy does not take `ima` for PCR 10."""
REFERENCE_LOG = "tcg-log/"
"""Collateral: `tcg-log/ROW` is a firmware log of the image of that row, to say which event differs. It has to
lead to the row's own values, and decides nothing; may be missing."""
BINDING_BYTES = 32
_NEEDED = frozenset({SIGNATURE, AK, PCRS})
_TAKEN = _NEEDED | {TCG, IMA_LOG}


@dataclass(frozen=True, slots=True)
class Quoted:
    """A quote whose signature and registers were verified; whose key it is, is not.

    Attributes:
        quote: What the TPM states.
        ak: The key that signed.
        values: Values of the registers.
    """

    quote: Quote
    ak: PublicArea
    values: Mapping[int, bytes]

    @property
    def measured(self) -> dict[str, str]:
        """Values that the quote states, by component."""
        quote = self.quote
        return {f"PCR {number}": value.hex() for number, value in self.values.items()} | {
            "TPM firmware": quote.firmware.hex(),
            "reset count": str(quote.started.resets),
            "restart count": str(quote.started.restarts),
            "clock": f"{quote.clock_ms} ms",
            "clock safe": "yes" if quote.safe else "no",
            "AK": f"{self.ak.kind} ({self.ak.properties})",
            "AK name": self.ak.name.hex(),
        }


@dataclass(frozen=True, slots=True)
class Held:
    """A quote held against a policy, whosever key signed it.

    Attributes:
        checks: All components but those of the EK.
        not_proven: As in `Appraisal`.
        collateral: As in `Appraisal`.
    """

    checks: tuple[Check, ...]
    not_proven: tuple[str, ...]
    collateral: dict[str, str]


@dataclass(frozen=True, slots=True)
class TpmVerifier(Verifier[TpmPolicy]):
    """Verifier of TPM evidence: a TPMS_ATTEST, and the parts `signature`, `ak`, `pcrs`, maybe `tcg`, `ima`.

    Certificates of the evidence are those of the EK, its own first and its root last. Collateral: `ek-crl/1`
    and further, `tcg-log/ROW`; see `hanse.attestation.tpm.endorsement.REVOKED` and `REFERENCE_LOG`. Nothing
    else of a quote expires: only the nonce makes it fresh.

    Attributes:
        activated: What this verifier knows of the key that signed: its activation with an EK. Quotes of
            others are refused.
        started: Counters of the instance, where it was appraised before; None for a new one.
    """

    activated: Activated | None
    started: Started | None = None

    def appraise(self, evidence: Evidence, policy: TpmPolicy, given: Circumstances) -> Appraisal:
        """Verify a quote and hold it against a policy; see `Verifier`."""
        quoted = verify_quote(evidence, given.report_data)
        ek = self._endorsement_key(quoted.ak)
        endorsement = check_endorsement(evidence.certificates, ek.key, policy.manufacturers, given)
        machine = hashlib.sha256(ek.data).hexdigest()
        held = hold_against(policy, quoted, evidence, given, self.started)
        return Appraisal(
            kind=Kind.TPM,
            checks=(
                *machine_checks(policy, machine, endorsement),
                implementation_check(policy, quoted.quote, endorsement),
                *held.checks,
            ),
            measured=quoted.measured | {"EK": machine} | _certified(endorsement),
            machine=machine,
            not_proven=(*endorsement.not_proven, *held.not_proven),
            expires=endorsement.expires,
            collateral=endorsement.collateral | held.collateral,
        )

    def _endorsement_key(self, ak: PublicArea) -> PublicArea:
        """The EK of the TPM that the AK is in.

        Raises:
            EvidenceError: No activation says which it is.
        """
        if self.activated is None or self.activated.ak_name != ak.name:
            known = "none was" if self.activated is None else f"{self.activated.ak_name.hex()} was"
            raise EvidenceError(
                f"AK: {ak.name.hex()} was not activated with an EK, and {known}; every program can make such "
                "a key",
                mend="Send it a credential, and appraise its quotes after it has answered.",
            )
        return read_public_area(self.activated.ek, "EK")


def verify_quote(evidence: Evidence, qualifying: bytes) -> Quoted:
    """Verify what evidence says of itself: a TPM's words, bound to qualifying data, signed by the AK.

    Whose AK it is, this does not show.

    Raises:
        EvidenceError: It is malformed, bound to something else, or not signed by such a key.
    """
    if evidence.kind is not Kind.TPM:
        raise EvidenceError(f"TPM quote: the evidence is of the kind {evidence.kind}")
    if missing := sorted(_NEEDED - evidence.parts.keys()):
        raise EvidenceError(f"TPM evidence: it has no part {', '.join(missing)}")
    if unknown := sorted(evidence.parts.keys() - _TAKEN):
        raise EvidenceError(f"TPM evidence: its part {unknown[0][:40]!r} is not known")
    if len(qualifying) != BINDING_BYTES:
        raise EvidenceError(f"TPM quote: it is to be bound to {len(qualifying)} bytes, not {BINDING_BYTES}")
    quote = read_quote(evidence.quote)
    if quote.qualifying != qualifying:
        raise EvidenceError(
            f"TPM quote: its qualifying data is {quote.qualifying.hex()}, not {qualifying.hex()}",
            mend="The evidence was made for another nonce, party, run or purpose: ask for evidence again.",
        )
    ak = read_public_area(evidence.parts[AK], "AK")
    check_attesting(ak)
    signature = read_signature(evidence.parts[SIGNATURE])
    check_signature(signature, evidence.quote, ak)
    values = read_registers(evidence.parts[PCRS])
    check_registers(values, quote, signature.hash)
    return Quoted(quote, ak, values)


def hold_against(
    policy: TpmPolicy,
    quoted: Quoted,
    evidence: Evidence,
    given: Circumstances,
    started: Started | None = None,
) -> Held:
    """Hold a verified quote and its logs against a policy, but for the EK.

    An auditor can do this much: that the AK is in a TPM, only who has activated it knows.

    Args:
        policy: The policy.
        quoted: The quote, from `verify_quote`.
        evidence: What it came with.
        given: Time and collateral.
        started: Counters of the instance, where it was appraised before.

    Raises:
        EvidenceError: A log is malformed, or does not lead to the registers.
    """
    log = read_event_log(evidence.parts[TCG]) if TCG in evidence.parts else None
    if log is not None:
        check_log(log, quoted.values)
    entries, later = _kernel_log(evidence, quoted.values)
    row = _nearest(policy.rows, quoted.values, entries)
    notes, used = _differences(log, row, given)
    checks = (
        *quote_checks(policy, quoted.quote, started),
        *register_checks(policy.rows, row, quoted.values, notes),
        *_files(row, entries),
        memory_check(),
    )
    return Held(checks, (*(() if log is None else log.not_proven), *later), used)


def _kernel_log(
    evidence: Evidence, values: Mapping[int, bytes]
) -> tuple[tuple[Measured, ...] | None, tuple[str, ...]]:
    """Entries of the log that lead to the quoted PCR 10, and in words what follows them."""
    if IMA_LOG not in evidence.parts:
        return None, ()
    entries = read_ima_log(evidence.parts[IMA_LOG])
    if IMA not in values:
        return None, (f"IMA log: the quote does not have PCR {IMA}",)
    count = replay(entries, values[IMA])
    after = len(entries) - count
    return entries[:count], (f"IMA log: its last {after} entries came after the quote",) if after else ()


def _nearest(
    rows: tuple[TpmRow, ...], values: Mapping[int, bytes], entries: tuple[Measured, ...] | None
) -> TpmRow:
    """The row from which fewest registers differ; of several, that from which fewest files do."""
    counts = [differing(row, values) for row in rows]
    best = [row for row, count in zip(rows, counts, strict=True) if count == min(counts)]
    if len(best) == 1 or entries is None:
        return best[0]
    return min(best, key=lambda row: sum(bool(check.mend) for check in _files(row, entries)))


def _files(row: TpmRow, entries: tuple[Measured, ...] | None) -> list[Check]:
    """Files held against a row whose PCR 10 is `ima`."""
    if not isinstance(row.ima, ImaReference):
        return []
    if entries is None:
        raise EvidenceError(
            f"IMA log: the policy holds PCR {IMA} against the files of the kernel's log, and none came along",
            mend="Send the log as the part `ima`, and quote PCR 10.",
        )
    return ima_checks(row.ima, entries, row.name)


def _differences(
    log: EventLog | None, row: TpmRow, given: Circumstances
) -> tuple[dict[int, str], dict[str, str]]:
    """Events that differ from the log of a row, in words, by register; digest of that log, by name."""
    name = REFERENCE_LOG + row.name
    if log is None or name not in given.collateral:
        return {}, {}
    reference = read_event_log(given.collateral[name])
    own = {
        int(key): bytes.fromhex(value)
        for key, value in row.pcrs.items()
        if isinstance(value, str) and value != "ima"
    }
    check_log(reference, own, name)
    notes = {register: first_difference(reference, log, register) for register in own}
    return notes, {name: hashlib.sha256(given.collateral[name]).hexdigest()}


def _certified(endorsement: Endorsement) -> dict[str, str]:
    if not endorsement.digest:
        return {}
    return {"EK certificate": endorsement.digest} | endorsement.facts
