"""The list of transforms in a plan: how it is written, and which orders are lawful."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from hanse.core.plan.transforms import Compression, Stage, Zstd, describe


def read(value: Any) -> Compression:
    return Compression.model_validate(value)


def test_a_list_is_short_for_upload_and_a_name_for_a_mapping() -> None:
    assert read(["int8", "zstd"]) == read({"upload": [{"name": "int8"}, {"name": "zstd", "level": 1}]})


def test_nothing_is_compressed_unless_asked() -> None:
    assert read([]) == Compression()
    assert Compression().upload == ()


def test_what_was_written_down_is_read_again() -> None:
    compression = read([{"name": "top_k", "fraction": 0.02}, "int8", "zstd"])

    assert Compression.model_validate_json(compression.model_dump_json(), strict=True) == compression


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (["zstd", "int8"], "`int8` .quantisation. must stand before `zstd` .lossless compression."),
        (["int8", "top_k"], "`top_k` .sparsification. must stand before `int8`"),
        (["int8", "bf16"], "`int8` and `bf16` are both quantisation: keep one"),
        (["int8", "rotate"], "`rotate` .rotation. must stand before `int8`"),
        (["top_k", "stc"], "`stc` chooses the numbers to send by itself"),
        (["stc", "top_k"], "`stc` chooses the numbers to send by itself"),
        ("int8", "should be a list, such as `.int8.`"),
        (["zstd", "int8"], "the order is sparsification, rotation, quantisation, lossless compression"),
        (["gzip"], "'gzip'"),
        ([{"name": "top_k", "fraction": 0.9}], "less than or equal to 0.5"),
        ([{"name": "int8", "block": 3}], "greater than or equal to 16"),
        ([{"name": "eden", "bits": 3}], "1, 2 or 4"),
        ([{"name": "int8", "blocks": 64}], "Extra inputs"),
        ({"download": ["zstd"]}, "`download` is `.delta, zstd.` or nothing"),
        ({"download": ["int8", "zstd"]}, "'int8'"),
    ],
)
def test_what_cannot_be_is_refused_in_words(value: Any, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        read(value)


@pytest.mark.parametrize(
    "value",
    [
        ["stc", "zstd"],
        ["top_k", "rotate", "int4", "zstd"],
        ["random_k", "eden"],
        {"download": ["delta", "zstd"]},
    ],
)
def test_what_is_lawful_is_read(value: Any) -> None:
    assert read(value)


def test_the_lawful_order_is_clip_noise_compress_mask() -> None:
    assert list(Stage)[:2] == [Stage.CLIP, Stage.NOISE]
    assert list(Stage)[-1] is Stage.MASK


def test_error_feedback_is_told_from_the_list() -> None:
    assert read(["top_k", "int8"]).error_feedback
    assert not read([{"name": "top_k", "error_feedback": False}]).error_feedback
    assert not read(["int8", "zstd"]).error_feedback


def test_a_transform_is_told_without_its_defaults() -> None:
    assert [describe(each) for each in read(["int8", {"name": "zstd", "level": 9}]).upload] == [
        "int8",
        "zstd (level 9)",
    ]
    assert describe(Zstd()) == "zstd"
