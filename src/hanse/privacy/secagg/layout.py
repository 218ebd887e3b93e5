"""Layout of a vector: which number of a result is at which coordinate, on which grid.

The same at every member and at the aggregator, since it follows from the plan, the task, the headers of
what was received and the size of the largest cell. Its digest is in the context of each exchange.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hanse.core.values.canonical import digest_of
from hanse.core.values.parameters import TensorSpec
from hanse.privacy.secagg.grid import Ring, check_range, grid_bits, largest_sum
from hanse.privacy.secagg.masks import LARGEST_VECTOR

Kind = Literal["real", "whole"]
Rule = Literal["total", "mean", "weighted_mean"]

EXAMPLES = "#examples"
CLIPPED = "#clipped"
OUT_OF_RANGE = "#out_of_range"
_METRIC, _GIVEN = "#metric/", "#given/"
_LABEL = "hanse/secagg/v1/layout"


@dataclass(frozen=True, slots=True)
class Entry:
    """Consecutive coordinates of one tensor or number.

    Attributes:
        name: Of the tensor, as in a file; `#...` of numbers beside the tensors.
        shape: Of the tensor.
        kind: `whole`: one unit a word. `real`: on the grid.
        rule: What is made of the sum.
        low: Least number, of one member; what is below is clipped.
        high: Largest number.
        integer: The opened number is rounded to the nearest integer.
    """

    name: str
    shape: tuple[int, ...]
    kind: Kind
    rule: Rule
    low: float
    high: float
    integer: bool = False

    @property
    def size(self) -> int:
        """Number of words."""
        return math.prod(self.shape)

    @property
    def bound(self) -> float:
        """C, the largest absolute value of one member's number."""
        return max(abs(self.low), abs(self.high))

    @property
    def stated(self) -> dict[str, Any]:
        """The entry as the digest of the layout has it."""
        ends = {"low": self.low, "high": self.high}
        # Adding 0.0 turns -0.0 into 0.0, which canonical JSON writes in another way.
        written = {key: float(end) + 0.0 if self.kind == "real" else int(end) for key, end in ends.items()}
        return {
            "name": self.name,
            "shape": list(self.shape),
            "kind": self.kind,
            "rule": self.rule,
            **written,
        }


@dataclass(frozen=True, slots=True)
class Range:
    """Declared range of the numbers of a metric, a group or whole numbers.

    Attributes:
        low: Least number.
        high: Largest number.
        optional: A metric may be missing at a site.
    """

    low: float
    high: float
    optional: bool = False


@dataclass(frozen=True, slots=True)
class DeclaredTensor:
    """One tensor that a task discloses in sums.

    Attributes:
        spec: Shape and dtype.
        rule: What is made of the sum.
        range: Declared range of its numbers.
        clipped: A floating-point tensor of the update, which the agent clips to the plan's bound.
    """

    spec: TensorSpec
    rule: Rule
    range: Range
    clipped: bool = False


@dataclass(frozen=True, slots=True)
class Examples:
    """Declared numbers of examples of a site, before any filter of an ask.

    Attributes:
        least: A site with fewer does not take part.
        most: More count as this many.
    """

    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Declared:
    """Numbers that a task discloses in sums, with their ranges.

    Attributes:
        tensors: Of update and groups, by the name that they have in a file.
        metrics: Ranges of the metrics, by name.
        examples: Where anything is weighed by examples, else None.
        counted: Most examples of a site, where they are summed though nothing is weighed; else None.
        codecs: Steps of compression with their numbers, such as `{"name": "random_k", "k": 200}`.
    """

    tensors: Mapping[str, DeclaredTensor] = field(default_factory=dict)
    metrics: Mapping[str, Range] = field(default_factory=dict)
    examples: Examples | None = None
    codecs: tuple[Mapping[str, Any], ...] = ()
    counted: int | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """All coordinates of a vector, in order.

    Attributes:
        ring: Bits of a word.
        members: Of the largest cell.
        entries: In the order of the coordinates.
        examples: Where anything is weighed, else None.
        codecs: See `Declared`.
    """

    ring: Ring
    members: int
    entries: tuple[Entry, ...]
    examples: Examples | None = None
    codecs: tuple[Mapping[str, Any], ...] = ()

    @property
    def bits(self) -> int:
        """b of the grid."""
        return grid_bits(self.ring, self.members)

    @property
    def words(self) -> int:
        """m, the number of coordinates."""
        return sum(entry.size for entry in self.entries)

    @property
    def digest(self) -> str:
        """SHA-256, 64 hexadecimal characters; two layouts that code a number in two ways have two."""
        return digest_of(
            {
                "label": _LABEL,
                "ring": self.ring,
                "bits": self.bits,
                "most": self.examples.most if self.examples else None,
                "words": self.words,
                "codecs": [dict(step) for step in self.codecs],
                "entries": [entry.stated for entry in self.entries],
            }
        )

    def places(self) -> dict[str, tuple[Entry, int]]:
        """Each entry by its name, with the place of its first word."""
        found: dict[str, tuple[Entry, int]] = {}
        begin = 0
        for entry in self.entries:
            found[entry.name] = (entry, begin)
            begin += entry.size
        return found


def metric_entry(name: str) -> str:
    """Name of the entry of a metric."""
    return _METRIC + name


def given_entry(name: str) -> str:
    """Name of the entry that counts who gave an optional metric."""
    return _GIVEN + name


def metric_of(entry: str) -> str | None:
    """The metric of an entry; None for every other entry."""
    return entry.removeprefix(_METRIC) if entry.startswith(_METRIC) else None


def layout_of(declared: Declared, *, ring: Ring, members: int) -> Layout:
    """Lay out what a task discloses.

    Args:
        declared: Tensors, metrics and numbers of examples, with their ranges.
        ring: Bits of a word.
        members: Of the largest cell.

    Raises:
        ValueError: A range cannot be coded, or its sum does not fit into the ring; names it.
    """
    metric_rule: Rule = "weighted_mean" if declared.examples else "mean"
    entries = [*_counts(declared)]
    for name, declared_range in sorted(declared.metrics.items()):
        low, high = declared_range.low, declared_range.high
        entries.append(Entry(metric_entry(name), (), "real", metric_rule, low, high))
        if declared_range.optional:
            most = declared.examples.most if declared.examples else 1
            entries.append(Entry(given_entry(name), (), "whole", "total", 0, most))
    entries += [_tensor(name, tensor) for name, tensor in sorted(declared.tensors.items())]
    for entry in entries:
        _check(entry, ring, members, declared.examples)
    made = Layout(ring, members, tuple(entries), declared.examples, declared.codecs)
    if made.words * ring // 8 > LARGEST_VECTOR:
        raise ValueError(f"{made.words:,} numbers are more than one masked sum can have")
    return made


def _counts(declared: Declared) -> list[Entry]:
    entries = []
    most = declared.examples.most if declared.examples else declared.counted
    if most is not None:
        entries.append(Entry(EXAMPLES, (), "whole", "total", 0, most))
    if any(tensor.clipped for tensor in declared.tensors.values()):
        entries.append(Entry(CLIPPED, (), "whole", "total", 0, 1))
    counted_alone = most is not None and declared.examples is None
    if declared.metrics or counted_alone or any(not tensor.clipped for tensor in declared.tensors.values()):
        entries.append(Entry(OUT_OF_RANGE, (), "whole", "total", 0, 1))
    return entries


def _tensor(name: str, tensor: DeclaredTensor) -> Entry:
    integer = not tensor.spec.dtype.startswith(("float", "bfloat"))
    kind: Kind = "whole" if integer and tensor.rule == "total" else "real"
    return Entry(name, tensor.spec.shape, kind, tensor.rule, tensor.range.low, tensor.range.high, integer)


def _check(entry: Entry, ring: Ring, members: int, examples: Examples | None) -> None:
    if entry.rule == "weighted_mean" and examples is None:
        raise ValueError(
            f"{entry.name} is weighed by examples, and the plan does not state how many there are"
        )
    check_range(entry.low, entry.high, entry.name)
    if entry.kind == "whole":
        if entry.low != int(entry.low) or entry.high != int(entry.high):
            raise ValueError(f"the range of the whole numbers {entry.name} has to be two whole numbers")
        if members * int(entry.bound) > largest_sum(ring):
            mend = "; use `ring: 64`" if ring == 32 else ""
            raise ValueError(f"{members} numbers {entry.name} of up to {int(entry.bound)} do not fit{mend}")
