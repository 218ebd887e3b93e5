"""TCB statuses: what they mean, which is worst of several, and what an administrator does.

Meanings as Intel's Provisioning Certification Service API, version 4, gives them ("TCB Info", `tcbStatus`);
those of a relaunch as Intel SGX and TDX DCAP Quote Verification Library has them (`checkForRelaunch`).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple


class Status(StrEnum):
    """Status of a TCB level, as Intel writes it."""

    UP_TO_DATE = "UpToDate"
    SW_HARDENING = "SWHardeningNeeded"
    CONFIGURATION = "ConfigurationNeeded"
    CONFIGURATION_AND_SW_HARDENING = "ConfigurationAndSWHardeningNeeded"
    RELAUNCH = "TDRelaunchAdvised"
    RELAUNCH_CONFIGURATION = "TDRelaunchAdvisedConfigurationNeeded"
    OUT_OF_DATE = "OutOfDate"
    OUT_OF_DATE_CONFIGURATION = "OutOfDateConfigurationNeeded"
    REVOKED = "Revoked"
    NOT_SUPPORTED = "NotSupported"
    """No level fits: older than all that Intel states something about."""


COMPUTED = (Status.RELAUNCH, Status.RELAUNCH_CONFIGURATION, Status.NOT_SUPPORTED)
"""Statuses that a verifier comes to, and no document states."""


class Meaning(NamedTuple):
    """Meaning of a status, and what to do."""

    note: str
    mend: str


_UPDATE = (
    "update BIOS and microcode of the host (and the TDX module and its loader, where the host runs trust "
    "domains), restart it, and register it again if its maker says so"
)
_CONFIGURE = "change the BIOS settings that the advisories name (hyper-threading is the usual one)"
_HARDEN = "build the enclave or the guest with the mitigations that the advisories name"
_PROVIDER = "Where a provider has the machine, ask the provider."
MEANINGS = {
    Status.UP_TO_DATE: Meaning("The platform has all security updates that Intel has published.", ""),
    Status.SW_HARDENING: Meaning(
        "The platform has all updates, and is affected by flaws that only software inside can mitigate.",
        f"Read the advisories, and {_HARDEN}; then accept this status and its advisories in the policy.",
    ),
    Status.CONFIGURATION: Meaning(
        "The platform has all updates, and its configuration may leave it open to flaws.",
        f"On the host, {_CONFIGURE}. {_PROVIDER}",
    ),
    Status.CONFIGURATION_AND_SW_HARDENING: Meaning(
        "The platform has all updates; its configuration may leave it open to flaws, and it is affected by "
        "others that only software inside can mitigate.",
        f"On the host, {_CONFIGURE}; {_HARDEN}; then accept what is left in the policy. {_PROVIDER}",
    ),
    Status.RELAUNCH: Meaning(
        "The host has been updated, and the trust domain was started before that, under an older TDX module.",
        "Start the trust domain again: shut the virtual machine down and start it, on the same host.",
    ),
    Status.RELAUNCH_CONFIGURATION: Meaning(
        "The host has been updated, and the trust domain was started before that, under an older TDX module; "
        "the configuration of the host may also leave it open to flaws.",
        f"On the host, {_CONFIGURE}; then shut the virtual machine down and start it. {_PROVIDER}",
    ),
    Status.OUT_OF_DATE: Meaning(
        "The platform lacks security updates that Intel has published.",
        f"On the host, {_UPDATE}. {_PROVIDER}",
    ),
    Status.OUT_OF_DATE_CONFIGURATION: Meaning(
        "The platform lacks security updates that Intel has published, and its configuration may leave it "
        "open to flaws.",
        f"On the host, {_UPDATE}; then {_CONFIGURE}. {_PROVIDER}",
    ),
    Status.REVOKED: Meaning(
        "Intel has revoked this level: what it reports is not to be trusted.",
        f"No policy can accept it. On the host, {_UPDATE}. {_PROVIDER}",
    ),
    Status.NOT_SUPPORTED: Meaning(
        "No published level fits: the platform is older than all that Intel states a status for.",
        f"No policy can accept it. On the host, {_UPDATE}. {_PROVIDER}",
    ),
}

_OUT, _CONF, _HARD, _AGAIN, _GONE, _NONE = "out", "configuration", "hardening", "relaunch", "revoked", "none"
_FLAWS: dict[Status, frozenset[str]] = {
    Status.UP_TO_DATE: frozenset(),
    Status.SW_HARDENING: frozenset({_HARD}),
    Status.CONFIGURATION: frozenset({_CONF}),
    Status.CONFIGURATION_AND_SW_HARDENING: frozenset({_CONF, _HARD}),
    Status.RELAUNCH: frozenset({_AGAIN}),
    Status.RELAUNCH_CONFIGURATION: frozenset({_AGAIN, _CONF}),
    Status.OUT_OF_DATE: frozenset({_OUT}),
    Status.OUT_OF_DATE_CONFIGURATION: frozenset({_OUT, _CONF}),
    Status.REVOKED: frozenset({_GONE}),
    Status.NOT_SUPPORTED: frozenset({_NONE}),
}
_BY_FLAWS = {flaws: status for status, flaws in _FLAWS.items()}


def needs_configuration(status: Status) -> bool:
    """Decide whether a status says that the configuration of the host needs a change."""
    return _CONF in _FLAWS[status]


def worst(statuses: Iterable[Status]) -> Status:
    """The status of a whole whose parts have these statuses.

    As in Intel's library (`convergeTcbStatuses`): an outdated part makes the whole outdated and keeps its
    need for configuration; a revoked part revokes the whole. Needs of all parts add up.
    """
    flaws = frozenset[str]().union(*(_FLAWS[status] for status in statuses))
    for final in (_GONE, _NONE):
        if final in flaws:
            return _BY_FLAWS[frozenset({final})]
    if _OUT in flaws:
        return _BY_FLAWS[flaws - {_HARD, _AGAIN}]
    if _AGAIN in flaws:
        return _BY_FLAWS[flaws - {_HARD}]
    return _BY_FLAWS[flaws]
