"""Diagrams that follow from the code: the state machines of a run, and the imports between packages."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import TypeVar

from drawing import Box, Picture, Point
from layers import Edge, Layers

from hanse.core.run.evolve import PHASE_TABLE
from hanse.core.run.exchange import MEMBER_TABLE
from hanse.core.run.exchange_protocol import MemberState
from hanse.core.run.run import TERMINAL, Phase

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E")

_STATE = (104, 40)  # width and height of a state


# ------------------------------------------------------------- state machines


@dataclass(frozen=True, slots=True)
class Group:
    """States in a frame: an arrow that all of them have is drawn once, from the frame.

    Attributes:
        members: The states.
        frame: Where the frame is.
        label: What is written at the left upper corner.
    """

    members: frozenset[str]
    frame: Box
    label: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """Places of a state machine's parts; what has none gets one that may look worse.

    Attributes:
        places: The middle of each state.
        groups: Frames around states; inner ones after outer ones.
        bends: How far an arrow passes the straight line from state to state, to its left if above 0.
        routes: Corners of an arrow that goes along straight lines, from its start to its end; a
            group is named by the place in `groups`, as in `group 0`.
        ended: States with a second frame.
        start: The event with which everything begins, its arrow, and the first state.
    """

    title: str
    size: tuple[float, float]
    places: Mapping[str, Point]
    start: tuple[str, Sequence[Point], str]
    groups: Sequence[Group] = ()
    bends: Mapping[Edge, float] = field(default_factory=dict)
    routes: Mapping[Edge, Sequence[Point]] = field(default_factory=dict)
    ended: frozenset[str] = frozenset()


_RUN = Layout(
    title="States of a run, and the events that lead from one to the next",
    size=(720, 312),
    places={
        Phase.SUBMITTED: (190, 50),
        Phase.RUNNING: (430, 50),
        Phase.FINISHED: (644, 50),
        Phase.FAILED: (282, 190),
        Phase.STOPPED: (586, 190),
    },
    start=("RunSubmitted", ((20, 50), (138, 50)), Phase.SUBMITTED),
    bends={
        (Phase.RUNNING, Phase.FAILED): -20,
        (Phase.FAILED, Phase.RUNNING): -20,
        (Phase.RUNNING, Phase.STOPPED): -20,
        (Phase.STOPPED, Phase.RUNNING): -20,
    },
    routes={(Phase.SUBMITTED, Phase.STOPPED): ((166, 70), (166, 262), (586, 262), (586, 210))},
    ended=TERMINAL,
)

_MEMBER = Layout(
    title="States of a site within an exchange, and the events that lead from one to the next",
    size=(720, 372),
    places={
        MemberState.ASSIGNED: (96, 186),
        MemberState.STARTED: (382, 116),
        MemberState.IDLE: (382, 256),
        MemberState.ANSWERED: (650, 116),
        MemberState.FAILED: (650, 256),
    },
    start=("ExchangeOpened", ((96, 12), (96, 166)), MemberState.ASSIGNED),
    groups=(
        Group(
            frozenset({MemberState.ASSIGNED, MemberState.STARTED, MemberState.IDLE}),
            Box(24, 36, 468, 276),
            "the exchange waits for the site",
        ),
        Group(frozenset({MemberState.STARTED, MemberState.IDLE}), Box(288, 74, 188, 224)),
    ),
    bends={
        (MemberState.ASSIGNED, MemberState.STARTED): 30,
        (MemberState.ASSIGNED, MemberState.IDLE): -30,
        (MemberState.STARTED, MemberState.IDLE): -40,
        (MemberState.IDLE, MemberState.STARTED): -40,
    },
    routes={
        ("group 0", MemberState.ANSWERED): ((492, 116), (598, 116)),
        ("group 0", MemberState.FAILED): ((492, 256), (598, 256)),
        ("group 1", MemberState.ASSIGNED): ((288, 186), (148, 186)),
        (MemberState.FAILED, MemberState.ASSIGNED): ((650, 276), (650, 348), (96, 348), (96, 206)),
    },
)


def run_diagram() -> str:
    """The phases of a run, as SVG."""
    return machine_diagram(_RUN, list(Phase), transitions(PHASE_TABLE))


def member_diagram() -> str:
    """The states of a site within an exchange, as SVG."""
    return machine_diagram(_MEMBER, list(MemberState), transitions(MEMBER_TABLE))


def transitions(table: Mapping[type[E], Mapping[S, S]]) -> dict[Edge, tuple[str, ...]]:
    """The events of each pair of states; those that leave the state as it is are not in it."""
    events: defaultdict[Edge, list[str]] = defaultdict(list)
    for event, moves in table.items():
        for before, after in moves.items():
            if before is not after:
                events[before.value, after.value].append(event.__name__)
    return {edge: tuple(names) for edge, names in events.items()}


def machine_diagram(layout: Layout, states: Sequence[str], arrows: Mapping[Edge, tuple[str, ...]]) -> str:
    """A state machine as SVG: states in their places, and an arrow for each pair of states in `arrows`."""
    width, height = layout.size
    unplaced = [state for state in states if state not in layout.places]
    below = {state: (80 + 120 * number, height + 30) for number, state in enumerate(unplaced)}
    picture = Picture(layout.title, width, height + (70 if unplaced else 0))
    boxes = {state: Box.around({**below, **layout.places}[state], *_STATE) for state in states}
    for number, group in enumerate(layout.groups):
        boxes[f"group {number}"] = group.frame
        picture.shape(group.frame, "frame", radius=12)
        picture.text((group.frame.right - 12, group.frame.y + 17), group.label, "soft end")
    event, way, first = layout.start
    picture.arrow(way, name=f"→ {first}: {event}")
    picture.text(_middle(*way), event, "label code")
    for edge, events in _grouped(layout.groups, arrows).items():
        _draw(picture, layout, boxes, edge, events)
    for state in states:
        picture.shape(boxes[state], "trusted", radius=20)
        if state in layout.ended:
            box = boxes[state]
            picture.shape(Box(box.x + 3, box.y + 3, box.width - 6, box.height - 6), "trusted", radius=17)
        picture.text(boxes[state].centre, state, "strong")
    if layout.ended:
        picture.text((16, height - 14), "Double frame: the run has ended.", "soft start")
    return picture.svg()


def _grouped(groups: Sequence[Group], arrows: Mapping[Edge, tuple[str, ...]]) -> dict[Edge, tuple[str, ...]]:
    """The arrows, those that every member of a group has alike as one of the group."""
    left = dict(arrows)
    for number, group in enumerate(groups):
        for target in sorted({target for _, target in left} - group.members):
            found = {left.get((member, target)) for member in group.members}
            events = found.pop()
            if not found and events is not None:
                left = {
                    edge: value
                    for edge, value in left.items()
                    if edge[0] not in group.members or edge[1] != target
                }
                left[f"group {number}", target] = events
    return left


def _draw(
    picture: Picture, layout: Layout, boxes: Mapping[str, Box], edge: Edge, events: tuple[str, ...]
) -> None:
    source, target = edge
    named = (
        " or ".join(sorted(layout.groups[int(source[6:])].members)) if source.startswith("group ") else source
    )
    name = f"{named} → {target}: {', '.join(events)}"
    if (points := layout.routes.get(edge)) is None:
        picture.bent_arrow(boxes[source], boxes[target], layout.bends.get(edge, 0), events, name)
        return
    picture.arrow(points, name=name)
    x, y = _middle(*max(pairwise(points), key=lambda ends: math.dist(*ends)))
    picture.text((x, y - 3 - 7.5 * len(events)), events, "label code", leading=15)


def _middle(one: Point, other: Point) -> Point:
    return (one[0] + other[0]) / 2, (one[1] + other[1]) / 2


# -------------------------------------------------------------------- imports

_FLOOR = 68  # from floor to floor
_LEFT = 78  # beside the boxes, for the names of the floors


def import_diagram(floors: Sequence[Sequence[str]], arrows: Iterable[Edge]) -> str:
    """The packages on their floors, and which package imports which, as SVG.

    Args:
        floors: The packages, from the top floor to the bottom floor.
        arrows: Pairs of a package and one that it imports.
    """
    arrows = sorted(arrows)
    widths = {name: 22 + 7.4 * len(name) for floor in floors for name in floor}
    layers = Layers(floors, arrows, widths, gap=14)
    right = max(layers.x[name] + widths[name] / 2 for floor in floors for name in floor)
    outermost = max((layers.x[node] for route in layers.routes.values() for node in route), default=0)
    width = _LEFT + max(right, outermost) + 24
    picture = Picture("Packages on their floors, and which imports which", width, len(floors) * _FLOOR + 16)
    middle = {
        name: (_LEFT + layers.x[name], 8 + _FLOOR * (row + 0.5))
        for row, floor in enumerate(floors)
        for name in floor
    }
    for row in range(len(floors)):
        picture.shape(Box(8, 11 + _FLOOR * row, width - 16, _FLOOR - 6), "band")
        picture.text((18, 8 + _FLOOR * (row + 0.5)), f"floor {len(floors) - row}", "soft start")
    leaves, enters = _ports(layers, widths)
    for (source, target), route in layers.routes.items():
        first = middle[source][1]
        passages = [(_LEFT + layers.x[node], first + _FLOOR * step) for step, node in enumerate(route)][1:-1]
        # Upright beside the boxes of a floor, so that no arrow goes behind a box.
        points = [(x, y + side) for x, y in passages for side in (-14, 14)]
        start = (_LEFT + leaves[source, target], first + 14)
        end = (_LEFT + enters[source, target], middle[target][1] - 14)
        picture.upright_arrow([start, *points, end], name=f"{source} → {target}")
    for name, centre in middle.items():
        picture.shape(Box.around(centre, widths[name], 28), "trusted")
        picture.text(centre, name, "code")
    return picture.svg()


def _ports(layers: Layers, widths: Mapping[str, float]) -> tuple[dict[Edge, float], dict[Edge, float]]:
    """The x at which each arrow leaves its source and enters its target: side by side, without crossing."""
    ports: tuple[dict[Edge, float], dict[Edge, float]] = ({}, {})
    for end in (0, 1):
        at: defaultdict[str, list[Edge]] = defaultdict(list)
        # Beside the end of a route, its next node says from which side the arrow comes.
        for edge in sorted(layers.routes, key=lambda edge: layers.x[layers.routes[edge][(1, -2)[end]]]):
            at[edge[end]].append(edge)
        for name, edges in at.items():
            step = min(16, (widths[name] - 20) / len(edges))
            for number, edge in enumerate(edges):
                ports[end][edge] = layers.x[name] + (number - (len(edges) - 1) / 2) * step
    return ports
