"""Records of masked sums in a site's journal."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hanse.core.values.ask_inputs import StatedInputs
from hanse.core.values.schema import BlobDigest, Digest, Label, Name, Strict
from hanse.core.values.sums.ready import MOST_ATTEMPTS, MOST_MEMBERS

_RunId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]
_Signers = Annotated[dict[Name, Digest], Field(max_length=MOST_MEMBERS)]


class SumPrepared(StatedInputs):
    """A result was rounded to the vector that every attempt of the exchange masks; nothing has left.

    Attributes:
        submitted_ms: As in `PlanAnswerReleased`.
        members: Of the cell, in site order.
        colluders: c, as it holds at this site.
        data: Names of the data sources.
        paths: Salted digests of their resolved paths.
        context: Digest of all that decides what the numbers mean.
        layout: Digest of the layout of the vector.
        commitment: Salted, to the vector.
        words: Number of words of the vector.
    """

    kind: Literal["SumPrepared"] = "SumPrepared"
    run_id: _RunId
    submitted_ms: Annotated[int | None, Field(ge=0, le=2**53)] = None
    plan_digest: Digest
    exchange: int = Field(ge=1)
    round_number: int = Field(ge=0)
    task: Label
    model: BlobDigest | None
    cell: Label
    members: tuple[Name, ...] = Field(max_length=MOST_MEMBERS)
    colluders: int = Field(ge=1)
    data: tuple[Label, ...] = Field((), max_length=1_000)
    paths: tuple[Digest, ...] = Field((), max_length=1_000)
    context: Digest
    layout: Digest
    commitment: Digest
    words: int = Field(ge=0)


class ReadyReleased(Strict):
    """A READY was about to leave; its private key is in the memory of the agent only."""

    kind: Literal["ReadyReleased"] = "ReadyReleased"
    run_id: _RunId
    plan_digest: Digest
    exchange: int = Field(ge=1)
    attempt: int = Field(ge=1, le=MOST_ATTEMPTS)
    public: Digest
    context: Digest
    commitment: Digest


class RosterAccepted(Strict):
    """The roster of an attempt was checked and accepted; the vector is masked for it.

    Attributes:
        rho: Digest of the roster.
        signers: Fingerprint of each member's signing key.
        commitments: Commitment of each member.
        checked: Members whose keys people of this site have checked.
    """

    kind: Literal["RosterAccepted"] = "RosterAccepted"
    run_id: _RunId
    plan_digest: Digest
    exchange: int = Field(ge=1)
    attempt: int = Field(ge=1, le=MOST_ATTEMPTS)
    rho: Digest
    signers: _Signers
    commitments: _Signers
    checked: tuple[Name, ...] = Field((), max_length=MOST_MEMBERS)


class AgreedOverlap(Strict):
    """An earlier roster beside which a person permitted a new one.

    Attributes:
        disclosed: Members of one of the two alone, any single one of which may be disclosed.
    """

    plan_digest: Digest
    cell: Label
    signers: _Signers
    disclosed: tuple[Name, ...] = Field(max_length=2 * MOST_MEMBERS)


class CellsAgreed(Strict):
    """A person permitted a roster that overlaps earlier ones over the same data, and for these data alone.

    Attributes:
        data: Names of the data sources.
        paths: Salted digests of their resolved paths.
        by: User of the operating system.
        reason: How the sites that may be disclosed have agreed.
    """

    kind: Literal["CellsAgreed"] = "CellsAgreed"
    plan_digest: Digest
    cell: Label
    signers: _Signers
    data: tuple[Label, ...] = Field((), max_length=1_000)
    paths: tuple[Digest, ...] = Field((), max_length=1_000)
    by: Annotated[str, Field(max_length=255)]
    overlaps: tuple[AgreedOverlap, ...] = Field(max_length=1_000)
    reason: Annotated[str, Field(min_length=1, max_length=4_096)]


class FailuresPermitted(Strict):
    """A person permitted further tasks where too many, of all runs, failed for what may be reasons of data.

    Attributes:
        run_id: The run that waited for it.
        by: User of the operating system.
        reason: Why the failures disclose nothing that matters.
    """

    kind: Literal["FailuresPermitted"] = "FailuresPermitted"
    run_id: _RunId
    plan_digest: Digest
    by: Annotated[str, Field(max_length=255)]
    reason: Annotated[str, Field(min_length=1, max_length=4_096)]
