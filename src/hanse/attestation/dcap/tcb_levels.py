"""Levels that a platform, its quoting enclave and its TDX module reach, by Intel's rules.

Intel SGX and Intel TDX Provisioning Certification Service API, version 4, "Get TCB Info: TCB level
determination"; Intel SGX and TDX DCAP Quote Verification Library, 4.1.2.4.17 and 4.1.2.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hanse.attestation.dcap.pck import COMPONENTS, PckIdentity
from hanse.attestation.dcap.reports import EnclaveReport, TdReport
from hanse.attestation.dcap.tcb_info import (
    Component,
    EnclaveIdentity,
    IsvLevel,
    TcbInfo,
    TcbLevel,
    TdxModule,
    TdxModuleIdentity,
)
from hanse.attestation.dcap.tcb_status import Status, needs_configuration, worst
from hanse.errors import EvidenceError


@dataclass(frozen=True, slots=True)
class Level:
    """The level that a part reaches.

    Attributes:
        part: The part, in words: `platform`, `quoting enclave` or `TDX module`.
        status: The status of that level; `NOT_SUPPORTED` where none is reached.
        date: The date of the level, as Intel writes it; empty where none is reached.
        advisories: Advisories that concern it.
        behind: SVNs below those of the newest level, in words.
    """

    part: str
    status: Status
    date: str = ""
    advisories: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """Standing of a whole machine.

    Attributes:
        levels: Of its parts.
        status: The worst of its parts, or that a trust domain should be started again.
    """

    levels: tuple[Level, ...]
    status: Status

    @property
    def advisories(self) -> tuple[str, ...]:
        """Advisories that concern any part, each once, in order."""
        return tuple(sorted({advisory for level in self.levels for advisory in level.advisories}))


def check_enclave_identity(report: EnclaveReport, identity: EnclaveIdentity) -> Level:
    """Hold the quoting enclave's report against Intel's identity of it.

    Raises:
        EvidenceError: It is not Intel's quoting enclave, or one that can be debugged.
    """
    masked = (
        ("MISCSELECT", report.misc_select, identity.miscselect, identity.miscselectMask),
        ("ATTRIBUTES", report.attributes, identity.attributes, identity.attributesMask),
    )
    for name, seen, value, mask in masked:
        if _masked(seen.hex(), mask) != _masked(value, mask):
            raise EvidenceError(
                f"quoting enclave: its {name} is {seen.hex()}, and should be {value} where the mask "
                f"{mask} has ones"
            )
    if report.mrsigner.hex() != identity.mrsigner:
        raise EvidenceError(
            f"quoting enclave: its MRSIGNER is {report.mrsigner.hex()}, and Intel's is {identity.mrsigner}"
        )
    if report.product != identity.isvprodid:
        raise EvidenceError(
            f"quoting enclave: its ISVPRODID is {report.product}, and should be {identity.isvprodid}"
        )
    return _isv_level("quoting enclave", report.svn, identity.tcbLevels)


def sgx_standing(pck: PckIdentity, info: TcbInfo, quoting_enclave: Level) -> Standing:
    """The standing of a machine that runs an enclave."""
    reached = next((level for level in info.tcbLevels if _reaches_sgx(pck, level)), None)
    levels = (_platform("platform", reached, _all_behind(pck, info, None)), quoting_enclave)
    return Standing(levels, worst(level.status for level in levels))


def tdx_standing(pck: PckIdentity, report: TdReport, info: TcbInfo, quoting_enclave: Level) -> Standing:
    """The standing of a machine that runs a trust domain.

    TD reports 1.5 state the SVNs of the launch and those of now. As in Intel's library (`checkTcbLevel`,
    4.1.2.5.1.20), a domain whose launch alone is outdated should be started again. Otherwise the worse of
    both counts here, where Intel's library takes the launch: what runs now may be worse too.

    Raises:
        EvidenceError: The TDX module is not Intel's.
    """
    _check_module(report, info)
    levels = [*_tdx_levels(pck, report.tee_tcb_svn, info, ""), quoting_enclave]
    status = worst(level.status for level in levels)
    if report.tee_tcb_svn2 and report.tee_tcb_svn2 != report.tee_tcb_svn:
        now = _tdx_levels(pck, report.tee_tcb_svn2, info, " of now")
        current = worst(level.status for level in (*now, quoting_enclave))
        status = _relaunch(status, current)
        levels += now
    return Standing(tuple(levels), status)


def _relaunch(launch: Status, current: Status) -> Status:
    """The status of a domain by those of its launch and of now (`checkForRelaunch`)."""
    current_enough = (
        Status.UP_TO_DATE,
        Status.SW_HARDENING,
        Status.CONFIGURATION,
        Status.CONFIGURATION_AND_SW_HARDENING,
    )
    if launch in (Status.OUT_OF_DATE, Status.OUT_OF_DATE_CONFIGURATION) and current in current_enough:
        both = needs_configuration(launch) or needs_configuration(current)
        return Status.RELAUNCH_CONFIGURATION if both else Status.RELAUNCH
    return worst((launch, current))


def _tdx_levels(pck: PckIdentity, svns: bytes, info: TcbInfo, when: str) -> list[Level]:
    """Levels of the platform and, where it has a major version, of the TDX module."""
    reached = next(
        (level for level in info.tcbLevels if _reaches_sgx(pck, level) and _reaches_tdx(svns, level)), None
    )
    platform = _platform(f"platform{when}", reached, _all_behind(pck, info, svns))
    minor, major = svns[0], svns[1]
    if not major:
        return [platform]
    identity = _module_identity(info, major)
    part = f"TDX module{when}"
    if identity is None:
        return [platform, Level(part, Status.NOT_SUPPORTED)]
    return [platform, _isv_level(part, minor, identity.tcbLevels)]


def _reaches_sgx(pck: PckIdentity, level: TcbLevel) -> bool:
    least = level.tcb.sgxtcbcomponents
    return pck.pce_svn >= level.tcb.pcesvn and all(
        svn >= component.svn for svn, component in zip(pck.components, least, strict=True)
    )


def _reaches_tdx(svns: bytes, level: TcbLevel) -> bool:
    least = level.tcb.tdxtcbcomponents
    if least is None:
        return False
    # With a major version of the module, its SVNs are held against its identity instead.
    first = 2 if svns[1] else 0
    return all(svns[n] >= least[n].svn for n in range(first, COMPONENTS))


def _platform(part: str, reached: TcbLevel | None, behind: tuple[str, ...]) -> Level:
    if reached is None:
        return Level(part, Status.NOT_SUPPORTED, behind=behind)
    return Level(part, reached.status, reached.tcbDate[:10], tuple(reached.advisoryIDs), behind)


def _all_behind(pck: PckIdentity, info: TcbInfo, svns: bytes | None) -> tuple[str, ...]:
    """SVNs of a platform below those of the newest level, in words."""
    if not info.tcbLevels:
        return ()
    newest = info.tcbLevels[0].tcb
    behind = _behind("SGX component", pck.components, newest.sgxtcbcomponents, 0)
    if pck.pce_svn < newest.pcesvn:
        behind.append(f"PCE: {pck.pce_svn}, newest {newest.pcesvn}")
    if svns is not None and newest.tdxtcbcomponents:
        behind += _behind("TDX component", svns, newest.tdxtcbcomponents, 2 if svns[1] else 0)
    return tuple(behind)


def _behind(what: str, svns: Sequence[int], newest: Sequence[Component], first: int) -> list[str]:
    found = []
    for n in range(first, COMPONENTS):
        if svns[n] < newest[n].svn:
            named = ", ".join(text for text in (newest[n].type, newest[n].category) if text)
            found.append(f"{what} {n + 1}{f' ({named})' if named else ''}: {svns[n]}, newest {newest[n].svn}")
    return found


def _isv_level(part: str, svn: int, levels: Sequence[IsvLevel]) -> Level:
    newest = levels[0].tcb.isvsvn if levels else 0
    behind = (f"{part}: SVN {svn}, newest {newest}",) if svn < newest else ()
    for level in levels:
        if svn >= level.tcb.isvsvn:
            return Level(part, level.status, level.tcbDate[:10], tuple(level.advisoryIDs), behind)
    return Level(part, Status.NOT_SUPPORTED, behind=behind)


def _check_module(report: TdReport, info: TcbInfo) -> None:
    """Hold signer and attributes of the TDX module against Intel's identity of it."""
    major = report.tee_tcb_svn[1]
    identity = _module_identity(info, major) if major else None
    expected: TdxModule | None = identity or info.tdxModule
    if expected is None:
        raise EvidenceError(f"TDX module: the TCB information of {info.fmspc} states no identity of it")
    seen, mask = report.seam_attributes.hex(), expected.attributesMask
    if report.mrsignerseam.hex() != expected.mrsigner:
        raise EvidenceError(
            f"TDX module: its signer MRSIGNERSEAM is {report.mrsignerseam.hex()}, and Intel's is "
            f"{expected.mrsigner}"
        )
    if _masked(seen, mask) != _masked(expected.attributes, mask):
        raise EvidenceError(
            f"TDX module: its SEAMATTRIBUTES are {seen}, and should be {expected.attributes} where the mask "
            f"{mask} has ones"
        )


def _module_identity(info: TcbInfo, major: int) -> TdxModuleIdentity | None:
    name = f"TDX_{major:02X}"
    return next((each for each in info.tdxModuleIdentities if each.id.upper() == name), None)


def _masked(value: str, mask: str) -> int:
    return int(value, 16) & int(mask, 16)
