"""Layout: the order of the coordinates, what its digest says, and declarations that cannot be coded."""

from __future__ import annotations

from typing import Any

import pytest

from hanse.core.values.parameters import TensorSpec
from hanse.privacy.secagg.layout import Declared, DeclaredTensor, Examples, Layout, Range, layout_of

UPDATE = DeclaredTensor(TensorSpec((2, 3), "float32"), "weighted_mean", Range(-1.0, 1.0), clipped=True)
COUNTS = DeclaredTensor(TensorSpec((4,), "int64"), "total", Range(0, 500))
EXAMPLES = Examples(200, 1200)


def layout(**parts: Any) -> Layout:
    stated = {
        "tensors": {"w": UPDATE, "@counts": COUNTS},
        "metrics": {"loss": Range(0, 20)},
        "examples": EXAMPLES,
    }
    return layout_of(Declared(**(stated | parts)), ring=32, members=10)


def test_numbers_beside_the_tensors_come_first_and_all_are_by_name() -> None:
    made = layout(metrics={"loss": Range(0, 20), "auc": Range(0, 1, optional=True)})

    assert [entry.name for entry in made.entries] == [
        "#examples", "#clipped", "#out_of_range", "#metric/auc", "#given/auc", "#metric/loss", "@counts", "w",
    ]  # fmt: skip
    assert made.words == 6 + 4 + 6
    assert made.places()["w"][1] == 10


def test_nothing_is_counted_that_nothing_needs() -> None:
    plain = DeclaredTensor(UPDATE.spec, "mean", UPDATE.range, clipped=True)

    assert [e.name for e in layout(tensors={"w": plain}, metrics={}, examples=None).entries] == [
        "#clipped",
        "w",
    ]
    assert [e.name for e in layout(tensors={"@counts": COUNTS}, metrics={}, examples=None).entries] == [
        "#out_of_range",
        "@counts",
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"codecs": ({"name": "random_k", "k": 200, "m": 10_000},)},
        {"metrics": {"loss": Range(0, 21)}},
        {"metrics": {"loss": Range(0, 20, optional=True)}},
        {"examples": Examples(200, 1201)},
        {"tensors": {"w": UPDATE}},
        {"tensors": {"w": DeclaredTensor(TensorSpec((3, 2), "float32"), *(UPDATE.rule, UPDATE.range, True))}},
    ],
)
def test_what_codes_numbers_in_another_way_has_another_digest(other: dict[str, Any]) -> None:
    assert layout(**other).digest != layout().digest


def test_codecs_of_other_sizes_have_other_digests() -> None:
    few, many = ({"name": "random_k", "k": k, "m": 10_000} for k in (200, 201))

    assert layout(codecs=(few,)).digest != layout(codecs=(many,)).digest


def test_one_range_has_one_digest_however_its_ends_are_written() -> None:
    assert layout(metrics={"loss": Range(-0.0, 20)}).digest == layout(metrics={"loss": Range(0, 20.0)}).digest


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"metrics": {"loss": Range(1.0, 1.0)}}, "range of #metric/loss"),
        ({"metrics": {"loss": Range(0.0, 1e300)}}, "range of #metric/loss"),
        ({"examples": None}, "#metric/loss|w is weighed by examples"),
        (
            {"tensors": {"@n": DeclaredTensor(TensorSpec((), "int64"), "total", Range(0, 2**28))}},
            "10 numbers @n of up to 268435456 do not fit; use `ring: 64`",
        ),
        (
            {"tensors": {"@n": DeclaredTensor(TensorSpec((), "int64"), "total", Range(0, 0.5))}},
            "has to be two whole numbers",
        ),
        (
            {"tensors": {"@n": DeclaredTensor(TensorSpec((2**32,), "float32"), "total", Range(0, 1))}},
            "more than one masked sum can have",
        ),
    ],
)
def test_what_cannot_be_coded_is_refused_by_name(parts: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        layout(**parts)
