"""TCB information (version 3) and identities of quoting enclaves (version 2), as Intel publishes them.

Intel SGX and Intel TDX Provisioning Certification Service API, version 4: "Get TCB Info" and "Get Quoting
Enclave Identity". What Intel adds to a version is ignored, as its own library does.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from hanse.attestation.dcap.pck import COMPONENTS
from hanse.attestation.dcap.tcb_status import COMPUTED, Status
from hanse.core.values.schema import problem_of
from hanse.errors import EvidenceError

_MOST_LEVELS = 256


class _Published(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


def _bytes(size: int) -> AfterValidator:
    def read(value: str) -> str:
        if len(value) != 2 * size:
            raise ValueError(f"should have {2 * size} hexadecimal digits")
        return value.lower()

    return AfterValidator(read)


def _time(value: str) -> str:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f"{value[:30]!r} should be a time such as 2025-06-19T10:56:11Z") from None
    return value


def _status(value: str) -> str:
    if value not in _STATUSES:
        raise ValueError(f"{value[:40]!r} should be one of {', '.join(_STATUSES)}")
    return value


_STATUSES = [status.value for status in Status if status not in COMPUTED]

_HEX = Field(pattern="^[0-9a-fA-F]*$", max_length=128)
_Hex = Annotated[str, _HEX]
_Hex2 = Annotated[str, _HEX, _bytes(2)]
_Hex4 = Annotated[str, _HEX, _bytes(4)]
_Hex6 = Annotated[str, _HEX, _bytes(6)]
_Hex8 = Annotated[str, _HEX, _bytes(8)]
_Hex16 = Annotated[str, _HEX, _bytes(16)]
_Hex32 = Annotated[str, _HEX, _bytes(32)]
_Hex48 = Annotated[str, _HEX, _bytes(48)]
_Time = Annotated[
    str, Field(pattern="^[0-9]{4}(-[0-9]{2}){2}T[0-9]{2}(:[0-9]{2}){2}Z$"), AfterValidator(_time)
]
_Svn = Annotated[int, Field(ge=0, le=255)]
_Svn16 = Annotated[int, Field(ge=0, le=0xFFFF)]
_Advisories = Annotated[
    list[Annotated[str, Field(max_length=64, pattern=r"^[\w.\-]+$")]], Field(max_length=256)
]


class Component(_Published):
    """Least SVN of a component.

    Attributes:
        svn: The SVN.
        category: Who updates it: `BIOS` or `OS/VMM`; empty where the component is not used.
        type: Its name, such as `SEAMLDR ACM`; may be empty.
    """

    svn: _Svn
    category: Annotated[str, Field(max_length=64)] = ""
    type: Annotated[str, Field(max_length=64)] = ""


_Components = Annotated[list[Component], Field(min_length=COMPONENTS, max_length=COMPONENTS)]


class Tcb(_Published):
    """Least SVNs of a level of a platform."""

    sgxtcbcomponents: _Components
    pcesvn: _Svn16
    tdxtcbcomponents: _Components | None = None


class _Level(_Published):
    tcbDate: _Time  # noqa: N815  names of Intel's documents
    tcbStatus: Annotated[str, AfterValidator(_status)]  # noqa: N815
    advisoryIDs: _Advisories = []  # noqa: N815

    @property
    def status(self) -> Status:
        """The status of what reaches this level."""
        return Status(self.tcbStatus)


class TcbLevel(_Level):
    """A level of a platform, with the status of a platform that reaches it."""

    tcb: Tcb


class IsvTcb(_Published):
    """Least SVN of an enclave or module."""

    isvsvn: _Svn16


class IsvLevel(_Level):
    """A level of a quoting enclave or of a TDX module."""

    tcb: IsvTcb


class TdxModule(_Published):
    """Signer and attributes that a TDX module has to have."""

    mrsigner: _Hex48
    attributes: _Hex8
    attributesMask: _Hex8  # noqa: N815


class TdxModuleIdentity(TdxModule):
    """The same for a major version of the module, with its levels."""

    id: Annotated[str, Field(max_length=16)]
    tcbLevels: Annotated[list[IsvLevel], Field(max_length=_MOST_LEVELS)]  # noqa: N815


class _Document(_Published):
    issueDate: _Time  # noqa: N815
    nextUpdate: _Time  # noqa: N815
    tcbEvaluationDataNumber: Annotated[int, Field(ge=0, le=0xFFFFFFFF)]  # noqa: N815

    @property
    def issued(self) -> datetime:
        """The time from which the document counts."""
        return datetime.fromisoformat(self.issueDate)

    @property
    def expires(self) -> datetime:
        """The time until which the document counts."""
        return datetime.fromisoformat(self.nextUpdate)

    @property
    def evaluation(self) -> int:
        """The number that Intel raises with each recovery of a TCB."""
        return self.tcbEvaluationDataNumber


class TcbInfo(_Document):
    """TCB information of a family of platforms.

    Attributes:
        id: For which kind of evidence.
        version: Of the structure.
        fmspc: Of the family, hexadecimal in small letters.
        pceId: Of the provisioning certification enclave.
        tcbType: How SVNs compare; 0 is defined.
        tdxModule: What a module of major version 0 has to have.
        tdxModuleIdentities: What modules of other major versions have to have.
        tcbLevels: Levels, best first.
    """

    id: Literal["SGX", "TDX"]
    version: Literal[3]
    fmspc: _Hex6
    pceId: _Hex2  # noqa: N815
    tcbType: Literal[0]  # noqa: N815
    tdxModule: TdxModule | None = None  # noqa: N815
    tdxModuleIdentities: Annotated[list[TdxModuleIdentity], Field(max_length=64)] = []  # noqa: N815
    tcbLevels: Annotated[list[TcbLevel], Field(max_length=_MOST_LEVELS)]  # noqa: N815


class EnclaveIdentity(_Document):
    """Identity of a quoting enclave.

    Attributes:
        id: `QE` for SGX, `TD_QE` for TDX.
        version: Of the structure.
        miscselect, miscselectMask: Value and mask of its MISCSELECT.
        attributes, attributesMask: Value and mask of its attributes.
        mrsigner: Digest of its signer's key.
        isvprodid: Its product.
        tcbLevels: Levels, best first.
    """

    id: Literal["QE", "TD_QE"]
    version: Literal[2]
    miscselect: _Hex4
    miscselectMask: _Hex4  # noqa: N815
    attributes: _Hex16
    attributesMask: _Hex16  # noqa: N815
    mrsigner: _Hex32
    isvprodid: _Svn16
    tcbLevels: Annotated[list[IsvLevel], Field(max_length=_MOST_LEVELS)]  # noqa: N815


D = TypeVar("D", TcbInfo, EnclaveIdentity)


def read_published(kind: type[D], value: Any, what: str) -> D:
    """Check a JSON value against the schema of a document.

    Raises:
        EvidenceError: It does not fit; names the place.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise EvidenceError(f"{what} is not as Intel specifies it: {problem_of(error)}") from None
