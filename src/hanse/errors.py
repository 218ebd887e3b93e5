"""Every error this package raises, as one tree.

```text
HanseError
├── ConfigError            a file of settings is wrong: its author fixes it
│   ├── PlanError          the plan is wrong: its author fixes it
│   └── MissingDataError   a data source the plan names is not at this site
├── PolicyError            a party does not permit what the plan asks: never try again
│   └── DisclosureError    something undeclared was about to leave a site
├── RunError               a command or event that the run's phase forbids
│   ├── LateResultError    a result came after its exchange had closed
│   ├── AttemptError       a READY for an attempt that is over or has another one: take the next number
│   ├── QuorumError        too few sites answered
│   └── WorkflowError      the plan's workflow failed or is not deterministic
├── UpdateError            an update is unusable: shape, dtype, NaN, truncated
│   └── DataError          the data of a site permit no result: said of all reasons alike
├── TaskError              a task failed at a site; carries the tail of its log
├── StorageError           disk or journal: full, locked, damaged
│   └── TamperedError      a journal or a blob is not what its hash says
├── TrustError             identity failed: never try again
│   ├── CredentialError    a key or certificate is missing, expired, foreign or revoked
│   ├── TokenError         an invitation is wrong, expired or used
│   ├── EvidenceError      evidence of a machine, or its collateral, is malformed or not genuine
│   └── SealError          a sealed file, or a key to one, is damaged, foreign or not what was expected
├── ProtocolError          the peer answered something this version does not understand
│   └── VersionError       the peer speaks another version of the protocol
└── TransportError         the network: worth trying again
    └── InternalError      an error that was not foreseen, here or at the peer
```

Only `TransportError` is for the retry loop. Every message names the thing,
the place and the mend; a command prints it as one line, without a stack trace.
"""

from __future__ import annotations

from typing import ClassVar


class HanseError(Exception):
    """Base of every error that Hanse raises on purpose.

    Attributes:
        code: Stable name of the kind of error, the same on the wire, in the
            journal and in `--json` output.
        exit_code: What a command ends with.
        mend: What to do about it, one sentence; may be empty.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, mend: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend

    def __str__(self) -> str:
        if not self.mend:
            return self.message
        # What came from elsewhere may end a sentence of its own.
        ends = self.message.endswith((".", "?", "!"))
        return f"{self.message}{'' if ends else '.'} {self.mend}"


class ConfigError(HanseError):
    """A file of settings is wrong; its author fixes it."""

    code = "config"
    exit_code = 3


class PlanError(ConfigError):
    """The plan is wrong; its author fixes it."""

    code = "plan"


class MissingDataError(ConfigError, KeyError):
    """A data source that the plan names does not exist at this site.

    A `KeyError` too, so that `in` and `.get` work on a site's data sources.
    """

    code = "missing_data"


class PolicyError(HanseError):
    """A party does not permit what the plan asks."""

    code = "policy"
    exit_code = 4


class DisclosureError(PolicyError):
    """Something that the plan does not declare was about to leave a site."""

    code = "disclosure"


class RunError(HanseError):
    """A command or an event that the phase of the run forbids."""

    code = "run"
    exit_code = 5


class LateResultError(RunError):
    """A result came after its exchange had closed."""

    code = "late"


class AttemptError(RunError):
    """A READY for an attempt at a sum that is over, or for which the site has sent another one.

    The site takes the number after the highest that it has used.
    """

    code = "attempt"


class QuorumError(RunError):
    """Too few sites answered for the round to count."""

    code = "quorum"


class WorkflowError(RunError):
    """The plan's workflow failed, or did something else after a restart."""

    code = "workflow"


class UpdateError(HanseError):
    """An update or a tensor file that cannot be used."""

    code = "update"
    exit_code = 6


class DataError(UpdateError):
    """A result that is to be masked cannot be used, for a reason that lies in the data of the site.

    All such reasons are one kind to others: which number was not finite may say what a patient has.
    """

    code = "data"


class TaskError(HanseError):
    """A task failed at a site.

    Attributes:
        log_tail: Last lines of what the task printed; may be empty.
    """

    code = "task"
    exit_code = 6

    def __init__(self, message: str, *, mend: str = "", log_tail: str = "") -> None:
        super().__init__(message, mend=mend)
        self.log_tail = log_tail


class StorageError(HanseError):
    """The disk or the journal: full, locked, not writable."""

    code = "storage"
    exit_code = 7


class TamperedError(StorageError):
    """A journal or a blob is not what its hash says."""

    code = "tampered"


class TrustError(HanseError):
    """Identity failed; trying again cannot help."""

    code = "trust"
    exit_code = 8


class CredentialError(TrustError):
    """A key or certificate is missing, expired, foreign or revoked."""

    code = "credential"


class TokenError(TrustError):
    """An invitation is malformed, expired, foreign or already used."""

    code = "token"


class EvidenceError(TrustError):
    """Evidence of a machine, or collateral that it is verified with, is malformed or not genuine."""

    code = "evidence"


class SealError(TrustError):
    """A sealed file, or a key to one, is damaged, foreign or not what was expected."""

    code = "seal"


class ProtocolError(HanseError):
    """The peer said something this version does not understand."""

    code = "protocol"
    exit_code = 9


class VersionError(ProtocolError):
    """The peer speaks another version of the protocol."""

    code = "version"


class TransportError(HanseError):
    """The network or a busy peer; with `InternalError`, the one kind of error worth trying again."""

    code = "transport"
    exit_code = 10


class InternalError(TransportError):
    """An error that was not foreseen: the log of the process that met it has its trace.

    One request, or one run, failed, and the process continues. The party that asked may try again.
    """

    code = "internal"
    exit_code = 1


def _tree(root: type[HanseError]) -> dict[str, type[HanseError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found.update(_tree(child))
    return found


ERRORS: dict[str, type[HanseError]] = _tree(HanseError)
"""Error class by code, to raise at one end what the other end reported."""


def rebuild(code: str, message: str, mend: str = "") -> HanseError:
    """Make the error again that the other end of a connection reported."""
    return ERRORS.get(code, ProtocolError)(message, mend=mend)
