"""Places for the boxes of a graph on given rows, so that few arrows cross."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, pairwise

Edge = tuple[str, str]
Node = str | tuple[str, str, int]
"""A box by its name, or the place where an edge passes a row between those of its ends."""

_SWEEPS = 24


class Layers:
    """A layout in rows after Sugiyama, Tagawa and Toda (1981): orders, then places.

    Attributes:
        x: The middle of each box and of each passage, in pixels from the left.
        routes: For each edge the nodes from its source to its target, one a row.
    """

    def __init__(
        self, rows: Sequence[Sequence[str]], edges: Iterable[Edge], widths: Mapping[str, float], gap: float
    ) -> None:
        """Place the boxes.

        Args:
            rows: Names from the top row to the bottom row; every edge goes down by at least one row.
            edges: Pairs of source and target.
            widths: The width of each box in pixels.
            gap: The least distance between the sides of neighbours, in pixels.
        """
        self._rows: list[list[Node]] = [list(row) for row in rows]
        self._widths = widths
        self._gap = gap
        self.routes = self._routed({name: number for number, row in enumerate(rows) for name in row}, edges)
        self._above: dict[Node, list[Node]] = defaultdict(list)
        self._below: dict[Node, list[Node]] = defaultdict(list)
        for route in self.routes.values():
            for upper, lower in pairwise(route):
                self._below[upper].append(lower)
                self._above[lower].append(upper)
        self._order()
        self.x = self._placed()

    def _routed(self, row_of: Mapping[str, int], edges: Iterable[Edge]) -> dict[Edge, list[Node]]:
        routes: dict[Edge, list[Node]] = {}
        for source, target in edges:
            passages: list[Node] = [
                (source, target, row) for row in range(row_of[source] + 1, row_of[target])
            ]
            for passage in passages:
                self._rows[passage[2]].append(passage)  # type: ignore[index]
            routes[source, target] = [source, *passages, target]
        return routes

    def _order(self) -> None:
        """Order each row by the mean place of the neighbours, down and up, and keep the best order."""
        best = [list(row) for row in self._rows]
        for sweep in range(_SWEEPS):
            down = sweep % 2 == 0
            neighbours = self._above if down else self._below
            rows = range(1, len(self._rows)) if down else range(len(self._rows) - 2, -1, -1)
            for number in rows:
                place = _places(self._rows[number - 1 if down else number + 1])
                own = _places(self._rows[number])
                self._rows[number].sort(
                    key=lambda node: _mean([place[other] for other in neighbours[node]], own[node])
                )
            self._swap_neighbours()
            if self._crossings(self._rows) < self._crossings(best):
                best = [list(row) for row in self._rows]
        self._rows = best

    def _swap_neighbours(self) -> None:
        for number, row in enumerate(self._rows):
            for index in range(len(row) - 1):
                before = self._crossings(self._rows[max(number - 1, 0) : number + 2])
                row[index], row[index + 1] = row[index + 1], row[index]
                if self._crossings(self._rows[max(number - 1, 0) : number + 2]) >= before:
                    row[index], row[index + 1] = row[index + 1], row[index]

    def _crossings(self, rows: Sequence[Sequence[Node]]) -> int:
        count = 0
        for upper, lower in pairwise(rows):
            place = _places(lower)
            lines = [(i, place[other]) for i, node in enumerate(upper) for other in self._below[node]]
            count += sum((a[0] - b[0]) * (a[1] - b[1]) < 0 for a, b in combinations(lines, 2))
        return count

    def _placed(self) -> dict[Node, float]:
        """Move every node towards its neighbours, as far as order and gap permit."""
        x: dict[Node, float] = {}
        for row in self._rows:
            x |= dict(zip(row, self._spread(row, [0.0] * len(row), [1.0] * len(row)), strict=True))
        for _ in range(5 * _SWEEPS):
            for row in [*self._rows, *reversed(self._rows)]:
                aims, weights = zip(*(self._aim(node, x) for node in row), strict=True)
                x |= dict(zip(row, self._spread(row, aims, weights), strict=True))
        left = min(x[node] - self._width(node) / 2 for row in self._rows for node in row)
        return {node: place - left for node, place in x.items()}

    def _aim(self, node: Node, x: Mapping[Node, float]) -> tuple[float, float]:
        """The place that a node should have, and the weight of this wish: long edges run straight."""
        others = [*self._above[node], *self._below[node]]
        pulls = [8.0 if isinstance(node, tuple) and isinstance(other, tuple) else 1.0 for other in others]
        if not others:
            return x[node], 0.1
        return sum(pull * x[other] for pull, other in zip(pulls, others, strict=True)) / sum(pulls), sum(
            pulls
        )

    def _spread(self, row: Sequence[Node], aims: Sequence[float], weights: Sequence[float]) -> list[float]:
        """The places nearest to the aims, by least squares, that keep order and gap."""
        offsets = [0.0]
        for before, after in pairwise(row):
            offsets.append(offsets[-1] + (self._width(before) + self._width(after)) / 2 + self._gap)
        blocks: list[tuple[float, float, int]] = []  # mean, weight, nodes: neighbours that touch
        for aim, offset, weight in zip(aims, offsets, weights, strict=True):
            mean, total, count = aim - offset, weight, 1
            while blocks and blocks[-1][0] > mean:
                other, other_total, other_count = blocks.pop()
                mean = (mean * total + other * other_total) / (total + other_total)
                total, count = total + other_total, count + other_count
            blocks.append((mean, total, count))
        means = [mean for mean, _, count in blocks for _ in range(count)]
        return [mean + offset for mean, offset in zip(means, offsets, strict=True)]

    def _width(self, node: Node) -> float:
        return self._widths[node] if isinstance(node, str) else 0.0


def _places(row: Sequence[Node]) -> dict[Node, int]:
    return {node: place for place, node in enumerate(row)}


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
