"""The SGX extension of a PCK certificate: which platform it is, and which TCB the key was issued for.

Intel SGX PCK Certificate and Certificate Revocation List Profile Specification, section 1.3.5.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509

from hanse.attestation.dcap.der import ENUMERATED, OBJECT, Item, read_items
from hanse.errors import EvidenceError

SGX_EXTENSION = x509.ObjectIdentifier("1.2.840.113741.1.13.1")
COMPONENTS = 16
"""SVNs of components in a TCB, of SGX as of TDX."""
_PREFIX = bytes.fromhex("2a864886f84d010d01")
"""1.2.840.113741.1.13.1 as DER content."""
_NAMES = {1: "PPID", 2: "TCB", 3: "PCE-ID", 4: "FMSPC", 5: "SGX Type", 6: "Platform Instance ID"}
_NAMES[7] = "Configuration"
_REQUIRED = (1, 2, 3, 4, 5)
"""The other two are in certificates of the PCK Platform CA only."""
_SGX_TYPES = ("Standard", "Scalable", "Scalable with Integrity")


@dataclass(frozen=True, slots=True)
class PckIdentity:
    """Statement of a PCK certificate about a platform.

    Attributes:
        ppid: Platform provisioning id: the identity of the platform, 16 bytes.
        components: SVNs of the 16 components of the SGX TCB.
        pce_svn: SVN of the provisioning certification enclave.
        cpu_svn: The SVN as the processor has it, 16 bytes.
        pce_id: 2 bytes.
        fmspc: Family, model, stepping, platform type and custom SKU, 6 bytes: what TCB information is
            published for.
        sgx_type: Kind of memory encryption, in words.
        instance: Identity of a platform of several packages, 16 bytes; empty in certificates of the
            Processor CA.
        configuration: Facts of a platform by name, such as `SMT Enabled`; empty as before.
    """

    ppid: bytes
    components: tuple[int, ...]
    pce_svn: int
    cpu_svn: bytes
    pce_id: bytes
    fmspc: bytes
    sgx_type: str
    instance: bytes
    configuration: dict[str, bool]


def read_pck_identity(certificate: x509.Certificate) -> PckIdentity:
    """Read the SGX extension of a PCK certificate.

    Raises:
        EvidenceError: It is missing, or not as the profile has it.
    """
    try:
        extension = certificate.extensions.get_extension_for_oid(SGX_EXTENSION).value
    except x509.ExtensionNotFound:
        raise EvidenceError("the PCK certificate has no SGX extension 1.2.840.113741.1.13.1") from None
    assert isinstance(extension, x509.UnrecognizedExtension)
    return parse_sgx_extension(extension.value)


def parse_sgx_extension(value: bytes) -> PckIdentity:
    """Read the value of the SGX extension.

    Raises:
        EvidenceError: It is not as the profile has it.
    """
    what = "SGX extension of the PCK certificate"
    outer = read_items(value, what, most=1)
    if not outer:
        raise EvidenceError(f"{what} is empty")
    fields = _fields(outer[0].items(len(_NAMES)), _PREFIX, _NAMES)
    missing = [_NAMES[key] for key in _REQUIRED if key not in fields]
    if missing:
        raise EvidenceError(f"{what} does not state: {', '.join(missing)}")
    components, pce_svn, cpu_svn = _tcb(fields[2])
    return PckIdentity(
        ppid=fields[1].octets(16),
        components=components,
        pce_svn=pce_svn,
        cpu_svn=cpu_svn,
        pce_id=fields[3].octets(2),
        fmspc=fields[4].octets(6),
        sgx_type=_SGX_TYPES[fields[5].number(len(_SGX_TYPES) - 1, ENUMERATED)],
        instance=fields[6].octets(16) if 6 in fields else b"",
        configuration=_configuration(fields[7]) if 7 in fields else {},
    )


def _fields(items: list[Item], prefix: bytes, names: dict[int, str]) -> dict[int, Item]:
    """Values by the last arc of their identifiers, which have to be known, in order, and once each."""
    found: dict[int, Item] = {}
    for item in items:
        pair = item.items(2)
        if len(pair) != 2:
            raise EvidenceError(f"{item.what}: a field should be an identifier and a value")
        identifier = pair[0].of(OBJECT)
        key = identifier[-1] if identifier[:-1] == prefix and len(identifier) == len(prefix) + 1 else 0
        if key not in names:
            raise EvidenceError(f"{item.what}: {identifier.hex()[:40]} is not an identifier of this profile")
        if found and key <= max(found):
            raise EvidenceError(f"{item.what}: {names[key]} stands twice or out of order")
        found[key] = Item(pair[1].tag, pair[1].content, f"{names[key]} of the PCK certificate")
    return found


def _tcb(item: Item) -> tuple[tuple[int, ...], int, bytes]:
    names = {n: f"SGX TCB component {n}" for n in range(1, COMPONENTS + 1)} | {17: "PCESVN", 18: "CPUSVN"}
    fields = _fields(item.items(len(names)), _PREFIX + b"\x02", names)
    if len(fields) != len(names):
        raise EvidenceError(f"{item.what} has {len(fields)} fields, and should have {len(names)}")
    svns = tuple(fields[n].number(255) for n in range(1, COMPONENTS + 1))
    return svns, fields[17].number(0xFFFF), fields[18].octets(16)


def _configuration(item: Item) -> dict[str, bool]:
    names = {1: "Dynamic Platform", 2: "Cached Keys", 3: "SMT Enabled"}
    return {
        names[key]: value.boolean()
        for key, value in _fields(item.items(len(names)), _PREFIX + b"\x07", names).items()
    }
