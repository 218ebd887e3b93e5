"""The part of a run's status that tells who took part, with how much data, and who is set aside."""

from __future__ import annotations

from hanse.core.schema import Strict


class SetAside(Strict):
    """A site that is not asked at present.

    Attributes:
        back_round: Round from which it is asked again; None where its rest is a time.
        back_ms: When its rest is over; None where it is a number of rounds.
        told: Why, and until when, as a sentence.
    """

    site: str
    reason: str
    round_number: int
    since_ms: int
    back_round: int | None = None
    back_ms: int | None = None
    told: str


class TookPart(Strict):
    """Who took part in a closed exchange, and with how much data.

    The journal names everybody; here the first of a long list stand for it.

    Attributes:
        asked: How many sites were.
        answered: How many did.
        failed: Those that failed, with the reason.
        idle: Those that fell silent.
        unanswered: Those that were still at it at the close.
        late: Those whose answer came after the close, with its examples.
        set_aside: Sites that were not asked because they are set aside.
        num_examples: Sum over those that answered.
        missing_examples: Sum over those that did not, by what they said in earlier rounds.
        missing_share: Part of the data known that is missing.
        unknown: Those that did not answer and never have answered this task.
        tolerated: Part of the data that the plan lets be missing; None where it says nothing.
        too_little: Whether more is missing than that.
        told: Who is missing, as a sentence; empty for nobody.
    """

    exchange: int
    round_number: int
    task: str
    cause: str
    asked: int
    answered: int
    failed: dict[str, str]
    idle: tuple[str, ...]
    unanswered: tuple[str, ...]
    late: dict[str, int]
    set_aside: tuple[str, ...]
    num_examples: int
    missing_examples: int
    missing_share: float
    unknown: tuple[str, ...]
    tolerated: float | None
    too_little: bool
    told: str
