"""What a run worker asks of its service, and what it gets back; tensors pass as files.

Names of files are those in the two folders of the run's `Workspace`: the
worker reads its inbox and writes its outbox.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from hanse.core.plan.groups import MOST_GROUPS
from hanse.core.values.groups import RESULT_NAME
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.safe_text import one_line
from hanse.core.values.schema import Strict, problem_of
from hanse.errors import ProtocolError

MAX_REASON = 8_192

FileName = Annotated[str, Field(pattern=r"^[0-9a-z][0-9a-z.-]{0,99}$")]

# Plan code writes this text, and runs in the process that sends it: it is made safe at both ends.
_Reason = Annotated[str, AfterValidator(partial(one_line, most=MAX_REASON))]


class WorkerModel(Strict):
    """Parameters that a worker refers to: a model that the run has, or a new file in the outbox."""

    ref: ModelRef | None = None
    file: FileName | None = None


class StandingCall(Strict):
    """Where does the run stand?"""

    call: Literal["standing"] = "standing"


class OpenRoundCall(Strict):
    """Begin a round, or find it open."""

    call: Literal["open_round"] = "open_round"
    round_number: int = Field(ge=0)


class ExchangeCall(Strict):
    """Ask a task and wait; `sum` for the aggregate alone."""

    call: Literal["ask", "sum"]
    round_number: int = Field(ge=0)
    index: int = Field(ge=0)
    task: str
    model: WorkerModel
    sites: tuple[str, ...] | None = None
    groups: dict[str, FileName] = Field(default_factory=dict, max_length=MOST_GROUPS)
    settings: dict[str, int | float] = Field(default_factory=dict, max_length=50)
    cells: tuple[str, ...] | None = None


class NextCall(Strict):
    """Wait for the next update of a stream."""

    call: Literal["next"] = "next"
    task: str
    taken: tuple[int, ...]


class CommitCall(Strict):
    """Make a round's outcome durable."""

    call: Literal["commit"] = "commit"
    round_number: int = Field(ge=0)
    model: WorkerModel
    metrics: dict[Annotated[str, Field(max_length=200)], float] = Field(max_length=1_000)
    state: FileName | None
    consumed: tuple[int, ...]
    results: dict[Annotated[str, Field(pattern=RESULT_NAME)], FileName] = Field(
        default_factory=dict, max_length=1_000
    )


class FinishCall(Strict):
    """The workflow's function returned."""

    call: Literal["finish"] = "finish"


class FailCall(Strict):
    """The workflow's function raised."""

    call: Literal["fail"] = "fail"
    error: str = Field(pattern=r"^[a-z_]{1,64}$")
    reason: _Reason


Call = StandingCall | OpenRoundCall | ExchangeCall | NextCall | CommitCall | FinishCall | FailCall

_ANY: TypeAdapter[Call] = TypeAdapter(Annotated[Call, Field(discriminator="call")])


def read_call(message: dict[str, Any]) -> Call:
    """Read what a worker, whom nobody trusts, asks.

    Raises:
        ProtocolError: It is no call; says where.
    """
    try:
        return _ANY.validate_python(message)
    except ValidationError as error:
        raise ProtocolError(
            f"the run worker sent an unknown or malformed call: {problem_of(error)}"
        ) from None


class StandingReply(Strict):
    """Where the run stands.

    Attributes:
        ref: The model: the last committed one, before the first the plan's own.
        model: The file with it.
        state: The file with the workflow's state.
        results: The files with the run's results, by name.
    """

    committed: int
    ref: ModelRef | None
    model: FileName | None
    state: FileName | None
    complete: bool
    population: tuple[str, ...]
    results: dict[str, FileName] = Field(default_factory=dict)


class CohortReply(Strict):
    """Who is asked in a round, and who took part when it began."""

    cohort: tuple[str, ...]
    population: tuple[str, ...]


class AnswerReply(Strict):
    """One site's answer; `update` is a file."""

    exchange: int
    site: str
    num_examples: int
    metrics: dict[str, float]
    update: FileName | None
    staleness: int = 0


class AnswersReply(Strict):
    """The answers of an exchange, in site order.

    Attributes:
        model: The model that was asked with.
    """

    answers: tuple[AnswerReply, ...]
    model: ModelRef | None = None


class SumReply(Strict):
    """The aggregate of an exchange; its tensors are a file.

    Attributes:
        file: Tensors of update and groups; see `hanse.updates.aggregate_file`.
        updated: Whether the file has an update.
        model: The model that was asked with.
        clipped: As in `Aggregate`.
        out_of_range: As in `Aggregate`.
    """

    num_examples: int
    metrics: dict[str, float]
    file: FileName | None
    updated: bool
    sites: tuple[str, ...]
    model: ModelRef | None = None
    clipped: int = 0
    out_of_range: int = 0


class Reply(Strict):
    """The answer to a call, or the error that it ended in."""

    ok: dict[str, Any] | None = None
    error: str = ""
    message: str = ""
    mend: str = ""
