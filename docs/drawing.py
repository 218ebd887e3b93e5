"""Pictures as SVG: boxes, arrows and text, in colours that follow the reader's light or dark scheme.

A picture needs no script, no font of its own and no network. Lengths are pixels of the picture; x
runs to the right and y down.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

Point = tuple[float, float]

# The picture has a ground of its own: where a browser does not pass the page's scheme on to an
# image, the image keeps to the scheme of the system and stays readable.
_STYLE = """
:root { color-scheme: light dark; --ground: #f8fafc; --edge: #dde3ea; --ink: #1c2733; --soft: #586776;
  --line: #7b8997; --band: #eef2f6; --trusted: #e4eefb; --trusted-edge: #3f74c4; --code: #fcefd6;
  --code-edge: #b77c1c; --data: #def3e6; --data-edge: #2b8a5c; --plain: #ffffff; --plain-edge: #8b99a7 }
@media (prefers-color-scheme: dark) {
  :root { --ground: #14181f; --edge: #2a313c; --ink: #e6ebf1; --soft: #a3b0bd; --line: #8593a2;
    --band: #1b212a; --trusted: #1a2c49; --trusted-edge: #78a7ee; --code: #3a2c12; --code-edge: #dcaa57;
    --data: #12352a; --data-edge: #5fc49a; --plain: #1f2630; --plain-edge: #74818f } }
text { font: 13px Inter, system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  fill: var(--ink); text-anchor: middle }
.strong { font-weight: 600; font-size: 14px } .large { font-weight: 600; font-size: 17px }
.medium { font-size: 15px } .soft { fill: var(--soft); font-size: 12px }
.start { text-anchor: start } .end { text-anchor: end }
.code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: 12px }
.label { paint-order: stroke; stroke: var(--ground); stroke-width: 5px; stroke-linejoin: round }
.shape { fill: var(--plain); stroke: var(--plain-edge); stroke-width: 1.25 }
.trusted { fill: var(--trusted); stroke: var(--trusted-edge) }
.untrusted { fill: var(--code); stroke: var(--code-edge) }
.data { fill: var(--data); stroke: var(--data-edge) }
.frame { fill: none; stroke: var(--line); stroke-dasharray: 5 4 } .band { fill: var(--band); stroke: none }
.arrow { fill: none; stroke: var(--line); stroke-width: 1.4 } .tip { fill: var(--line) }
.arrow.trusted { fill: none; stroke: var(--trusted-edge) }
.tip.trusted { fill: var(--trusted-edge); stroke: none }
.arrow.reply { stroke-dasharray: 5 4 } .life { stroke: var(--line); stroke-dasharray: 2 4 }
"""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle by its left upper corner and its size."""

    x: float
    y: float
    width: float
    height: float

    @classmethod
    def around(cls, centre: Point, width: float, height: float) -> Box:
        """A rectangle by its centre."""
        return cls(centre[0] - width / 2, centre[1] - height / 2, width, height)

    @property
    def centre(self) -> Point:
        """The point in the middle."""
        return self.x + self.width / 2, self.y + self.height / 2

    @property
    def bottom(self) -> float:
        """The y of the lower side."""
        return self.y + self.height

    @property
    def right(self) -> float:
        """The x of the right side."""
        return self.x + self.width

    def border_towards(self, point: Point) -> Point:
        """The point of the border that lies on the way from the centre to a point outside."""
        (x, y), (dx, dy) = self.centre, (point[0] - self.centre[0], point[1] - self.centre[1])
        scale = min(
            self.width / 2 / abs(dx) if dx else math.inf, self.height / 2 / abs(dy) if dy else math.inf
        )
        return x + dx * scale, y + dy * scale


class Picture:
    """An SVG image that grows by what is drawn, the later above the earlier."""

    def __init__(self, title: str, width: float, height: float) -> None:
        self._title = title
        self._size = (width, height)
        self._parts: list[str] = []

    def svg(self) -> str:
        """The image as the text of a file."""
        width, height = map(_number, self._size)
        ground = Box(0.5, 0.5, self._size[0] - 1, self._size[1] - 1)
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
                f'height="{height}" role="img">',
                f"<title>{escape(self._title)}</title>",
                f"<style>{_STYLE}</style>",
                f'<rect {_corners(ground)} rx="10" style="fill: var(--ground); stroke: var(--edge)"/>',
                *self._parts,
                "</svg>\n",
            ]
        )

    def shape(self, box: Box, kind: str = "", *, radius: float = 7) -> None:
        """A rectangle; its kind is a class of the style."""
        self._parts.append(f'<rect class="{_words("shape", kind)}" {_corners(box)} rx="{_number(radius)}"/>')

    def text(self, at: Point, lines: str | Sequence[str], kind: str = "", *, leading: float = 17) -> None:
        """Lines of text whose middle is a point, or whose left middle, with the kind `start`."""
        lines = [lines] if isinstance(lines, str) else lines
        # A baseline is about a third of the size of the type below the middle of a line.
        first = at[1] - (len(lines) - 1) * leading / 2 + 4.5
        for number, line in enumerate(lines):
            y = _number(first + number * leading)
            chosen = f' class="{kind}"' if kind else ""
            self._parts.append(
                f'<text{chosen} x="{_number(at[0])}" y="{y}">{escape(line, quote=False)}</text>'
            )

    def box(self, box: Box, title: str, below: Sequence[str] = (), kind: str = "") -> None:
        """A rectangle with a title in its middle, and smaller lines below the title."""
        self.shape(box, kind)
        x, y = box.centre
        self.text((x, y - 8 * len(below)), title, "strong")
        self.text((x, y + 9), below, "soft", leading=16)

    def line(self, start: Point, end: Point, kind: str) -> None:
        """A straight line without a tip."""
        self._parts.append(f'<path class="{kind}" d="M{_pair(start)}L{_pair(end)}"/>')

    def arrow(self, points: Sequence[Point], kind: str = "", *, both: bool = False, name: str = "") -> None:
        """An arrow along straight lines through points; `both` gives the start a tip too."""
        way = "M" + "L".join(map(_pair, points))
        self._arrow(way, [(points[-2], points[-1])] + ([(points[1], points[0])] if both else []), kind, name)

    def bent_arrow(self, source: Box, target: Box, bend: float, label: Sequence[str], name: str) -> None:
        """An arrow from box to box that passes the straight line at a distance, to its left if above 0.

        The label stands at the middle of the arrow; the name is for readers that do not see it.
        """
        (x1, y1), (x2, y2) = source.centre, target.centre
        length = math.hypot(x2 - x1, y2 - y1)
        # A quadratic curve passes its control point at half the distance.
        control = (
            (x1 + x2) / 2 + 2 * bend * (y2 - y1) / length,
            (y1 + y2) / 2 - 2 * bend * (x2 - x1) / length,
        )
        start, end = source.border_towards(control), target.border_towards(control)
        self._arrow(f"M{_pair(start)}Q{_pair(control)} {_pair(end)}", [(control, end)], "", name)
        middle = tuple(a / 4 + b / 2 + c / 4 for a, b, c in zip(start, control, end, strict=True))
        self.text((middle[0], middle[1]), label, "label code", leading=15)

    def upright_arrow(self, points: Sequence[Point], kind: str = "", name: str = "") -> None:
        """A smooth arrow up or down through points, upright at each of them."""
        way = f"M{_pair(points[0])}"
        for (x1, y1), (x2, y2) in pairwise(points):
            half = (y1 + y2) / 2
            way += (
                f"L{_pair((x2, y2))}"
                if x1 == x2
                else f"C{_pair((x1, half))} {_pair((x2, half))} {_pair((x2, y2))}"
            )
        end, before = points[-1], points[-2]
        self._arrow(way, [((end[0], before[1]), end)], kind, name)

    def _arrow(self, way: str, tips: Iterable[tuple[Point, Point]], kind: str, name: str) -> None:
        title = f"<title>{escape(name, quote=False)}</title>" if name else ""
        self._parts.append(f'<path class="{_words("arrow", kind)}" d="{way}">{title}</path>')
        for before, end in tips:
            self._parts.append(f'<path class="{_words("tip", kind)}" d="{_tip(before, end)}"/>')


def _tip(before: Point, end: Point) -> str:
    """A triangle whose point is the end of an arrow."""
    angle = math.atan2(end[1] - before[1], end[0] - before[0])
    sides = [
        (end[0] - 9 * math.cos(angle + turn), end[1] - 9 * math.sin(angle + turn)) for turn in (0.42, -0.42)
    ]
    return f"M{_pair(end)}L{_pair(sides[0])}L{_pair(sides[1])}Z"


def _corners(box: Box) -> str:
    sides = {"x": box.x, "y": box.y, "width": box.width, "height": box.height}
    return " ".join(f'{side}="{_number(length)}"' for side, length in sides.items())


def _pair(point: Point) -> str:
    return f"{_number(point[0])},{_number(point[1])}"


def _number(value: float) -> str:
    # One decimal, so that the file is the same on every machine. The sum turns -0.0 into 0.0.
    return f"{round(value, 1) + 0.0:.1f}".removesuffix(".0")


def _words(*words: str) -> str:
    return " ".join(word for word in words if word)
