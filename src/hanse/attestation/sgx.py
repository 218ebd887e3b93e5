"""Verification of SGX quotes, version 3 and later."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography import x509

from hanse.attestation.base import Appraisal, Aspect, Check, Circumstances, Evidence, Kind, Tier, Verifier
from hanse.attestation.comparison import HOST, IMAGE, Row, compared, compared_rows
from hanse.attestation.dcap.checks import platform_checks, platform_values
from hanse.attestation.dcap.reports import EnclaveReport
from hanse.attestation.dcap.root import intel_root
from hanse.attestation.dcap.verification import verify_quote
from hanse.attestation.policy.fields import bits
from hanse.attestation.policy.sgx import DEBUG, MeasuredEnclave, SgxPolicy, SignedEnclave


@dataclass(frozen=True, slots=True)
class SgxVerifier(Verifier[SgxPolicy]):
    """Verifier of SGX evidence: a quote with its certificates inside, and no parts.

    Collateral: see `hanse.attestation.dcap.documents`.

    Attributes:
        root: Root of the certificates; Intel's, but for tests with quotes of their own making.
    """

    root: x509.Certificate = field(default_factory=intel_root)

    def appraise(self, evidence: Evidence, policy: SgxPolicy, given: Circumstances) -> Appraisal:
        """Verify a quote and hold it against a policy; see `Verifier`."""
        genuine = verify_quote(evidence, Kind.SGX, given, self.root, frozenset())
        report = genuine.quote.report
        assert isinstance(report, EnclaveReport)
        return Appraisal(
            kind=Kind.SGX,
            checks=(
                *_enclave(policy, report),
                *_attributes(policy, report),
                *platform_checks(policy, genuine),
            ),
            measured=enclave_values(report) | platform_values(genuine),
            machine=genuine.pck.ppid.hex(),
            advisories=genuine.standing.advisories,
            expires=genuine.expires,
            collateral=genuine.collateral,
        )


def enclave_values(report: EnclaveReport) -> dict[str, str]:
    """Values that a report states about its enclave, by component."""
    return {
        "MRENCLAVE": report.mrenclave.hex(),
        "MRSIGNER": report.mrsigner.hex(),
        "ISVPRODID": str(report.product),
        "ISVSVN": str(report.svn),
        "flags": report.attributes[:8].hex(),
        "XFRM": report.attributes[8:].hex(),
        "MISCSELECT": report.misc_select.hex(),
        "CET_ATTRIBUTES": report.cet_attributes.hex(),
        "CONFIGID": report.config_id.hex(),
        "CONFIGSVN": str(report.config_svn),
        "ISVEXTPRODID": report.ext_product.hex(),
        "ISVFAMILYID": report.family.hex(),
        "CPUSVN": report.cpu_svn.hex(),
    }


def _enclave(policy: SgxPolicy, report: EnclaveReport) -> list[Check]:
    """Checks of the row that fits; else of the signer's row, if the signer is known, or of the first."""
    mrenclave, mrsigner = report.mrenclave.hex(), report.mrsigner.hex()
    measured = [row for row in policy.rows if isinstance(row, MeasuredEnclave)]
    signed = [row for row in policy.rows if isinstance(row, SignedEnclave)]
    fitting = any(row.mrenclave == mrenclave for row in measured)
    if measured and (fitting or not any(row.mrsigner == mrsigner for row in signed)):
        rows = [Row(row.name, {"MRENCLAVE": row.mrenclave}) for row in measured]
        return compared_rows(rows, {"MRENCLAVE": mrenclave}, {"MRENCLAVE": Aspect.EXECUTABLES})

    def differing(row: SignedEnclave) -> int:
        return sum(
            (2 * (row.mrsigner != mrsigner), row.product != report.product, row.least_svn > report.svn)
        )

    row = min(signed, key=differing)
    note = f"Held against the row {row.name!r}."
    enough = report.svn >= row.least_svn
    return [
        compared("MRSIGNER", Aspect.EXECUTABLES, row.mrsigner, mrsigner, IMAGE, note),
        compared("ISVPRODID", Aspect.EXECUTABLES, row.product, report.product, IMAGE, note),
        Check(
            "ISVSVN",
            Aspect.EXECUTABLES,
            Tier.AFFIRMING if enough else Tier.CONTRAINDICATED,
            f"{row.least_svn} or more",
            str(report.svn),
            note,
            "" if enough else "Have the machine start a later version of the enclave.",
        ),
    ]


def _attributes(policy: SgxPolicy, report: EnclaveReport) -> list[Check]:
    expected = policy.attributes
    flags = bits(report.attributes[:8].hex())
    debug = bool(flags & DEBUG)
    others = (flags & ~DEBUG).to_bytes(8, "little").hex()
    values = enclave_values(report)
    configuration = (
        ("XFRM", expected.xfrm),
        ("MISCSELECT", policy.misc_select),
        ("CET_ATTRIBUTES", policy.cet_attributes),
        ("CONFIGID", policy.config_id),
        ("ISVEXTPRODID", policy.ext_product),
        ("ISVFAMILYID", policy.family),
    )
    return [
        compared(
            "DEBUG",
            Aspect.RUNTIME_OPAQUE,
            expected.debug,
            debug,
            "Start the enclave without debugging; no policy accepts one that can be debugged.",
            "The host can read and change the memory of this enclave." if debug else "",
        ),
        compared("flags", Aspect.CONFIGURATION, expected.flags, others, HOST),
        *(
            compared(component, Aspect.CONFIGURATION, value, values[component], HOST)
            for component, value in configuration
        ),
        compared("CONFIGSVN", Aspect.CONFIGURATION, policy.config_svn, report.config_svn, HOST),
    ]
