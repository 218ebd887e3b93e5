"""Components of an SEV-SNP machine held against a policy, in words for an administrator."""

from __future__ import annotations

from hanse.attestation.base import Aspect, Check, Tier
from hanse.attestation.comparison import HOST, Row, compared, compared_rows
from hanse.attestation.policy.fields import Anything, in_words
from hanse.attestation.policy.snp import SnpMilan, SnpPolicy, SnpProduct, SnpRow, SnpVlek
from hanse.attestation.snp.endorsement import Endorsement
from hanse.attestation.snp.report import SnpReport
from hanse.attestation.snp.tcb import in_levels, read_tcb

_ROW = {
    "MEASUREMENT": Aspect.EXECUTABLES,
    "HOST_DATA": Aspect.CONFIGURATION,
    "ID_KEY_DIGEST": Aspect.EXECUTABLES,
    "AUTHOR_KEY_DIGEST": Aspect.EXECUTABLES,
    "FAMILY_ID": Aspect.EXECUTABLES,
    "IMAGE_ID": Aspect.EXECUTABLES,
    "GUEST_SVN": Aspect.EXECUTABLES,
}
_GUEST_POLICY = {
    "DEBUG": "debug",
    "MIGRATE_MA": "migrate_ma",
    "SMT": "smt",
    "SINGLE_SOCKET": "single_socket",
    "CXL_ALLOW": "cxl",
    "MEM_AES_256_XTS": "aes_256_xts",
    "RAPL_DIS": "rapl_disabled",
    "CIPHERTEXT_HIDING": "ciphertext_hiding",
    "PAGE_SWAP_DISABLE": "page_swap_disabled",
}
_OPAQUE = ("DEBUG", "MIGRATE_MA")
_MEANING = {
    "DEBUG": "The host can read and change the memory of this guest.",
    "MIGRATE_MA": "A migration agent decides where the memory of this guest goes.",
}
_PLATFORM = {
    "SMT_EN": "smt_enabled",
    "TSME_EN": "tsme_enabled",
    "ECC_EN": "ecc_enabled",
    "RAPL_DIS": "rapl_disabled",
    "CIPHERTEXT_HIDING_EN": "ciphertext_hiding",
    "ALIAS_CHECK_COMPLETE": "alias_check",
    "TIO_EN": "tio_enabled",
}
_MILAN = (
    "Software on a Milan machine has extracted the seed of its VCEK (arXiv:2605.12990): who has had "
    "administrator's rights on it can forge its reports."
)
_UPDATE = "Have the host's firmware and microcode updated and committed; AMD's bulletins name the levels."


def checks_of(policy: SnpPolicy, report: SnpReport, key: Endorsement, listed: bool) -> tuple[Check, ...]:
    """All components, in the order of the policy.

    Args:
        policy: The policy.
        report: The report, verified.
        key: What AMD states of the key that signed it, verified.
        listed: Whether a revocation list was looked at.
    """
    return (
        _machine(policy, report, key),
        _signer(policy, key),
        _revocation(policy, listed),
        *compared_rows([_row(row) for row in policy.rows], row_values(report), _ROW),
        compared("VMPL", Aspect.RUNTIME_OPAQUE, policy.vmpl, report.vmpl, HOST),
        *_guest_policy(policy, report),
        *_platform(policy, report),
        _mitigations(policy, report),
        *_product(policy, report, key),
    )


def row_values(report: SnpReport) -> dict[str, object]:
    """Values that identify the image, by component."""
    return {
        "MEASUREMENT": report.measurement.hex(),
        "HOST_DATA": report.host_data.hex(),
        "ID_KEY_DIGEST": report.id_key_digest.hex(),
        "AUTHOR_KEY_DIGEST": report.author_key_digest.hex(),
        "FAMILY_ID": report.family_id.hex(),
        "IMAGE_ID": report.image_id.hex(),
        "GUEST_SVN": report.guest_svn,
    }


def machine_of(report: SnpReport, key: Endorsement) -> str:
    """The chip's identifier: of the VCEK's certificate, or of the report; empty where neither states it."""
    return key.chip_id.hex() or (report.chip_id.hex() if any(report.chip_id) else "")


def _row(row: SnpRow) -> Row:
    return Row(row.name, {component: getattr(row, component.lower()) for component in _ROW})


def _machine(policy: SnpPolicy, report: SnpReport, key: Endorsement) -> Check:
    seen = machine_of(report, key)
    if policy.machines == "any":
        expected = "any: every machine that AMD certified, in anyone's hands"
        return Check(
            "CHIP_ID", Aspect.INSTANCE_IDENTITY, Tier.AFFIRMING, expected, seen or "masked by the host"
        )
    known = seen in policy.machines
    mend = "Ask who has this machine in hand; add its chip id only if you trust them."
    if not seen:
        mend = "Have the host unset MASK_CHIP_ID: a masked chip looks like all others."
    return Check(
        "CHIP_ID",
        Aspect.INSTANCE_IDENTITY,
        Tier.AFFIRMING if known else Tier.CONTRAINDICATED,
        policy.machines[0] if len(policy.machines) == 1 else f"one of {len(policy.machines)} machines",
        seen or "masked by the host",
        mend="" if known else mend,
    )


def _signer(policy: SnpPolicy, key: Endorsement) -> Check:
    mend = "Ask which key the provider's machines sign with, and name it in the policy."
    expected: object = policy.signer
    seen = key.signer
    if isinstance(policy.signer, SnpVlek):
        provider = policy.signer.vlek
        expected = f"VLEK of {provider}" if isinstance(provider, str) else f"VLEK of {in_words(provider)}"
        if key.signer == "VLEK" and isinstance(provider, Anything):
            expected, note = provider, f"A VLEK of {key.provider}."
            return compared("SIGNING_KEY", Aspect.INSTANCE_IDENTITY, expected, seen, mend, note)
    if key.signer == "VLEK":
        seen = f"VLEK of {key.provider}"
    return compared("SIGNING_KEY", Aspect.INSTANCE_IDENTITY, expected, seen, mend)


def _revocation(policy: SnpPolicy, listed: bool) -> Check:
    enough = listed or isinstance(policy.revocation, Anything)
    return Check(
        "revocation",
        Aspect.INSTANCE_IDENTITY,
        Tier.AFFIRMING if enough else Tier.CONTRAINDICATED,
        "a current list" if policy.revocation == "required" else in_words(policy.revocation),
        "not revoked" if listed else "no list",
        "AMD's list revokes issuers (ASK, ASVK), not single chips.",
        "" if enough else "Fetch AMD's revocation list, and give it as collateral.",
    )


def _guest_policy(policy: SnpPolicy, report: SnpReport) -> list[Check]:
    expected = policy.guest_policy
    checks = [
        compared(
            f"POLICY {bit}",
            Aspect.RUNTIME_OPAQUE if bit in _OPAQUE else Aspect.CONFIGURATION,
            getattr(expected, name),
            report.policy.bits[bit],
            "Start the guest with the policy that is expected.",
            _MEANING.get(bit, "") if report.policy.bits[bit] else "",
        )
        for bit, name in _GUEST_POLICY.items()
    ]
    seen = ".".join(map(str, report.policy.abi))
    least = expected.least_abi
    fits = isinstance(least, Anything) or report.policy.abi >= tuple(map(int, least.split(".")))
    words = in_words(least) if isinstance(least, Anything) else f"{least} or later"
    mend = "" if fits else "Start the guest with a policy that asks for a later ABI."
    tier = Tier.AFFIRMING if fits else Tier.CONTRAINDICATED
    return [*checks, Check("POLICY ABI", Aspect.CONFIGURATION, tier, words, seen, mend=mend)]


def _platform(policy: SnpPolicy, report: SnpReport) -> list[Check]:
    return [
        compared(
            f"PLATFORM_INFO {bit}",
            Aspect.HARDWARE,
            getattr(policy.platform, name),
            report.platform[bit],
            "Have the machine's settings and firmware changed to what is expected.",
            "Memory modules may lie about their size (BadRAM, CVE-2024-21944)."
            if bit == "ALIAS_CHECK_COMPLETE" and not report.platform[bit]
            else "",
        )
        for bit, name in _PLATFORM.items()
    ]


def _mitigations(policy: SnpPolicy, report: SnpReport) -> Check:
    needed, has = policy.mitigations, 0
    seen = f"not stated in a report of version {report.version}"
    if stated := report.mitigations:
        seen, has = f"{stated.launch:#x} at launch, {stated.current:#x} now", stated.launch & stated.current
    fits = isinstance(needed, Anything) or needed & ~has == 0
    return Check(
        "mitigation vectors",
        Aspect.HARDWARE,
        Tier.AFFIRMING if fits else Tier.CONTRAINDICATED,
        in_words(needed) if isinstance(needed, Anything) else f"all bits of {needed:#x}",
        seen,
        mend="" if fits else _UPDATE,
    )


def _product(policy: SnpPolicy, report: SnpReport, key: Endorsement) -> list[Check]:
    accepted: dict[str, SnpProduct] = {product.product: product for product in policy.products}
    expected, note = " or ".join(accepted), _MILAN if key.line == "Milan" else ""
    product = accepted.get(key.line)
    if product is None:
        mend = "Use a machine of another product, or add the product and its least levels to the policy."
        seen = f"{key.line} ({key.product})"
        return [Check("product", Aspect.HARDWARE, Tier.CONTRAINDICATED, expected, seen, note, mend)]
    tier, mend = Tier.AFFIRMING, ""
    if isinstance(product, SnpMilan):
        tier, mend = Tier.WARNING, "Plan to move to Genoa or Turin."
        note += f" Accepted: {product.reason}"
    return [
        Check("product", Aspect.HARDWARE, tier, expected, f"{key.line} ({key.product})", note, mend),
        _levels("COMMITTED_TCB", product.least_committed.model_dump(), report.committed_tcb, key.line),
        _levels("REPORTED_TCB", product.least_reported.model_dump(), report.reported_tcb, key.line),
        _levels("LAUNCH_TCB", product.least_launch.model_dump(), report.launch_tcb, key.line),
    ]


def _levels(component: str, least: dict[str, int], raw: bytes, line: str) -> Check:
    seen = read_tcb(raw, line, component)
    behind = [name for name, level in seen.items() if level < least[name]]
    return Check(
        component,
        Aspect.HARDWARE,
        Tier.CONTRAINDICATED if behind else Tier.AFFIRMING,
        f"{in_levels({name: least[name] for name in seen})} or more",
        in_levels(seen),
        f"Behind: {', '.join(behind)}." if behind else "",
        _UPDATE if behind else "",
    )
