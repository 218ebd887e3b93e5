"""What an agent and its task worker say to each other."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from hanse.core.values.safe_text import MOST_REASON_CHARS, last_lines, one_line
from hanse.core.values.schema import Name, Strict
from hanse.learners.notices import LONGEST, MOST
from hanse.wire.messages.basics import decode_value
from hanse.wire.messages.sites import MAX_LOG_TAIL

# Plan code writes these texts, and runs in the process that sends them: they are made safe at both ends.
_Reason = Annotated[str, AfterValidator(partial(one_line, most=MOST_REASON_CHARS))]
_Tail = Annotated[str, AfterValidator(partial(last_lines, most=MAX_LOG_TAIL))]
_Notice = Annotated[str, AfterValidator(partial(one_line, most=LONGEST))]


class Setup(Strict):
    """What a worker is started with.

    Attributes:
        manifest: File with the plan.
        digest: The plan's digest.
        bundle: Folder with the plan's code.
        site: The site's name.
        data: Paths of the site's data sources, by name.
    """

    manifest: str
    digest: str
    bundle: str
    site: Name
    data: dict[str, str]


class Order(Strict):
    """One task for the worker.

    Attributes:
        counted: The site's last exchange whose result counted, 0 for none: the task starts from the local
            state that it left.
        model: File with the parameters to start from; None for the first model.
        update: File to write update and groups to, where there is something.
        groups: Files with the groups that the task receives.
        settings: Settings that the workflow chose, of those that vary by the plan.
    """

    exchange: int
    round_number: int
    task: str
    counted: int
    model: str | None
    update: str
    groups: tuple[str, ...] = ()
    settings: dict[str, int | float] = Field(default_factory=dict)


class TaskReport(Strict):
    """A worker's word on an order; nobody has checked it.

    Attributes:
        error: Code of the error that the task failed with; empty where it is done.
        reason: The error's message, in one line.
        mend: What to do about it, in one line.
        log_tail: End of the traceback, printable.
        notices: For the log of the agent alone, a line each.
    """

    error: str = Field("", max_length=64)
    reason: _Reason = ""
    mend: _Reason = ""
    log_tail: _Tail = ""
    notices: list[_Notice] = Field(default_factory=list, max_length=MOST)
    num_examples: int = 0
    # A NaN passes here, so that the check on what leaves can name it.
    metrics: dict[str, Annotated[float, Field(allow_inf_nan=True)] | None] = Field(default_factory=dict)


def read_report(message: dict[str, Any]) -> TaskReport:
    """Read what a worker, whom nobody trusts, says of an order.

    Raises:
        ProtocolError: It is no report; says where.
    """
    return decode_value(TaskReport, message)
