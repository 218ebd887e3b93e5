"""Pictures that are arranged by hand: the overview, the processes, and the messages of a round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drawing import Box, Picture

# ------------------------------------------------------------------- overview

_SITES = ("Cleveland", "Budapest", "Zurich")


def overview() -> str:
    """Hanse in one picture, as SVG: the plan, the sites, the aggregator, the journal."""
    picture = Picture(
        "Sites with their data, an aggregator that combines, a plan that all accept, a journal to audit",
        640,
        494,
    )
    hub = Box(206, 22, 228, 92)
    picture.shape(hub, "trusted", radius=10)
    picture.text((320, 50), "Aggregator", "large")
    picture.text((320, 84), ("combines the updates,", "keeps the journal"), "medium", leading=20)
    for box, title, lines in (
        (Box(22, 22, 132, 92), "Plan", ("accepted by", "every site")),
        (Box(486, 22, 132, 92), "Journal", ("an auditor", "verifies it")),
    ):
        picture.shape(box, radius=10)
        picture.text((box.centre[0], 50), title, "large")
        picture.text((box.centre[0], 84), lines, "medium", leading=20)
    picture.arrow(((154, 68), (hub.x, 68)))
    picture.arrow(((hub.right, 68), (486, 68)))
    for number, site in enumerate(_SITES):
        _site(picture, Box(22 + 206 * number, 230, 184, 246), site)
    for site_x, hub_x in ((114, 250), (320, 320), (526, 390)):
        picture.upright_arrow(((hub_x - 18, hub.bottom), (site_x - 18, 244)), "trusted")
        picture.upright_arrow(((site_x + 18, 244), (hub_x + 18, hub.bottom)), "trusted")
    picture.text((320 - 26, 204), "model", "medium label end")
    picture.text((320 + 28, 204), "update", "medium label start")
    return picture.svg()


def _site(picture: Picture, box: Box, name: str) -> None:
    picture.shape(box, "frame", radius=12)
    x = box.centre[0]
    parts = (
        ("trusted", "Agent", "enforces the plan"),
        ("untrusted", "Your code", "trains, confined"),
        ("data", "Data", "stay here"),
    )
    for number, (kind, title, told) in enumerate(parts):
        part = Box(box.x + 14, box.y + 14 + 66 * number, box.width - 28, 54)
        picture.shape(part, kind)
        picture.text((x, part.y + 18), title, "strong")
        picture.text((x, part.y + 37), told)
    picture.text((x, box.bottom - 19), name, "medium")


# ------------------------------------------------------------------ processes


def processes() -> str:
    """The processes of a deployment, those trusted with keys, and their connections, as SVG."""
    picture = Picture("Processes: who runs plan code, who holds keys, and who speaks with whom", 720, 400)
    for box, title in (
        (Box(16, 16, 144, 316), "operator's machine"),
        (Box(236, 16, 204, 316), "aggregator's machine"),
        (Box(516, 16, 188, 316), "site"),
    ):
        picture.shape(box, "frame", radius=12)
        picture.text((box.centre[0], box.y + 20), title, "soft")
    command, service, agent = Box(28, 56, 120, 96), Box(248, 56, 180, 96), Box(528, 56, 164, 96)
    run_worker, task_worker = Box(248, 220, 180, 96), Box(528, 220, 164, 96)
    picture.box(command, "hanse run", ("operator's key",), "trusted")
    picture.box(service, "service", ("CA key, own key,", "journal, blobs"), "trusted")
    picture.box(agent, "agent", ("site key, policy,", "disclosure,", "site's journal"), "trusted")
    picture.box(
        run_worker,
        "run worker",
        (
            "one a run:",
            "the plan's workflow",
        ),
        "untrusted",
    )
    picture.box(
        task_worker, "task worker", ("one a run:", "the plan's learner", "or script, data"), "untrusted"
    )
    for start, end in ((command.right, service.x), (agent.x, service.right)):
        picture.arrow(((start, 104), (end, 104)))
        picture.text(((start + end) / 2, 104), ("HTTPS,", "mutual", "TLS 1.3"), "label soft", leading=15)
    for upper, lower in ((service, run_worker), (agent, task_worker)):
        x = upper.centre[0]
        picture.arrow(((x, upper.bottom), (x, lower.y)), both=True)
        picture.text((x, (upper.bottom + lower.y) / 2), "messages, files", "label soft")
    _legend(picture, 366)
    return picture.svg()


def _legend(picture: Picture, y: float) -> None:
    picture.shape(Box(32, y - 8, 16, 16), "trusted", radius=4)
    picture.text((56, y), "trusted: holds keys, never runs plan code", "soft start")
    picture.shape(Box(344, y - 8, 16, 16), "untrusted", radius=4)
    picture.text((368, y), "untrusted: runs plan code, confined, without keys", "soft start")


# -------------------------------------------------------------------- a round

_WORKER, _SERVICE, _AGENT, _TASK = range(4)
_LANES = (
    ("run worker", "the plan's workflow", "untrusted"),
    ("service", "of the aggregator", "trusted"),
    ("agent", "of the collaborator", "trusted"),
    ("task worker", "plan code", "untrusted"),
)


@dataclass(frozen=True, slots=True)
class Message:
    """A message from one lane to another.

    Attributes:
        reply: Whether this answers a request that the receiver has sent.
    """

    sender: int
    receiver: int
    text: str
    reply: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """Work that a lane does by itself, in lines; `code` for names of events."""

    lane: int
    lines: tuple[str, ...]
    code: bool = False


@dataclass(frozen=True, slots=True)
class Optional:
    """Steps that not every round has, and when it has them."""

    condition: str
    steps: tuple[Message | Step, ...]


_ROUND: tuple[Message | Step | Optional, ...] = (
    Message(_AGENT, _SERVICE, "next(known): long poll"),
    Message(_WORKER, _SERVICE, 'sum("train", model)'),
    Step(_SERVICE, ("RoundOpened", "ExchangeOpened"), code=True),
    Message(_SERVICE, _AGENT, "work: assignment", reply=True),
    Message(_AGENT, _SERVICE, "GET model (resumable)"),
    Message(_AGENT, _TASK, "task, model file"),
    Optional(
        "a task of more than a second",
        (
            Message(_AGENT, _SERVICE, "progress, now and then"),
            Step(_SERVICE, ("TaskStarted, once",), code=True),
        ),
    ),
    Message(_TASK, _AGENT, "update file, metrics", reply=True),
    Step(_AGENT, ("check against the", "declared disclosure")),
    Message(_AGENT, _SERVICE, "PUT update (resumable)"),
    Message(_AGENT, _SERVICE, "result, signed"),
    Step(_SERVICE, ("check again",)),
    Step(_SERVICE, ("UpdateAccepted",), code=True),
    Message(_SERVICE, _AGENT, "accepted", reply=True),
    Step(_SERVICE, ("ExchangeClosed",), code=True),
    Step(_SERVICE, ("fold in site order",)),
    Message(_SERVICE, _WORKER, "the sum, and nothing else", reply=True),
    Step(_SERVICE, ("UpdatesAggregated",), code=True),
    Message(_WORKER, _SERVICE, "commit(model, …)"),
    Step(_SERVICE, ("RoundCommitted",), code=True),
)


def round_sequence() -> str:
    """The messages of one round of `fedavg`, from the workflow's request to the commit, as SVG."""
    middle = [90 + 180 * lane for lane in range(len(_LANES))]
    end = 86 + sum(_height(step) for step in _ROUND)
    picture = Picture("Messages of one round, from the workflow's request to the commit", 720, end + 20)
    for x, (title, below, kind) in zip(middle, _LANES, strict=True):
        picture.line((x, 70), (x, end), "life")
        picture.box(Box.around((x, 42), 148, 52), title, (below,), kind)
    y = 86.0
    for step in _ROUND:
        if isinstance(step, Optional):
            _optional(picture, middle, y, step)
        else:
            _step(picture, middle, y, step)
        y += _height(step)
    return picture.svg()


def _height(step: Message | Step | Optional) -> float:
    match step:
        case Message():
            return 40
        case Step():
            return 22 + 16 * len(step.lines)
        case Optional():
            return 38 + sum(map(_height, step.steps))


def _step(picture: Picture, middle: Sequence[float], y: float, step: Message | Step) -> None:
    if isinstance(step, Message):
        start, end = middle[step.sender], middle[step.receiver]
        picture.text(((start + end) / 2, y + 12), step.text, "label")
        picture.arrow(((start, y + 27), (end, y + 27)), "reply" if step.reply else "")
        return
    height = 8 + 16 * len(step.lines)
    box = Box.around((middle[step.lane], y + 5 + height / 2), 150, height)
    picture.shape(box, radius=6)
    picture.text(box.centre, step.lines, "code" if step.code else "", leading=16)


def _optional(picture: Picture, middle: Sequence[float], y: float, part: Optional) -> None:
    frame = Box(middle[_SERVICE] - 88, y + 4, middle[_AGENT] - middle[_SERVICE] + 104, _height(part) - 8)
    picture.shape(frame, "frame")
    picture.text((frame.x + 10, frame.y + 14), part.condition, "soft start label")
    y += 26
    for step in part.steps:
        if not isinstance(step, Optional):
            _step(picture, middle, y, step)
        y += _height(step)
