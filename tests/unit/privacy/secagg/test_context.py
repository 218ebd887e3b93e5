"""Context: sites that were not asked exactly the same have different digests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hanse.privacy.secagg.context import SumContext, codec_seed, commitment, path_digest

ASKED = SumContext(
    federation="north",
    run_id="heart-1",
    submitted_ms=1_796_030_639_062,
    plan_digest="aa" * 32,
    round_number=2,
    exchange=4,
    counted=3,
    task="train",
    model="bb" * 32,
    groups={"control": "cc" * 32},
    settings={"epochs": 1},
    cells=None,
    cell="all",
    members=("a", "b", "c"),
    colluders=1,
    layout="dd" * 32,
)


@pytest.mark.parametrize(
    ("what", "other"),
    [
        ("federation", "south"),
        ("run_id", "heart-2"),
        ("submitted_ms", 0),
        ("plan_digest", "ab" * 32),
        ("round_number", 3),
        ("exchange", 5),
        ("counted", 2),
        ("task", "evaluate"),
        ("model", "bc" * 32),
        ("model", None),
        ("groups", {"control": "cd" * 32}),
        ("groups", {}),
        ("settings", {"epochs": 2}),
        ("settings", {"epochs": 1.0}),
        ("cells", ("all",)),
        ("cell", "other"),
        ("members", ("a", "b", "d")),
        ("colluders", 2),
        ("layout", "de" * 32),
    ],
)
def test_each_part_of_a_question_is_in_its_digest(what: str, other: Any) -> None:
    assert replace(ASKED, **{what: other}).digest != ASKED.digest


def test_the_order_in_which_members_are_named_does_not_matter() -> None:
    assert replace(ASKED, members=("c", "a", "b")).digest == ASKED.digest


def test_shared_seeds_follow_from_the_context_and_the_step() -> None:
    digest = ASKED.digest
    seeds = {codec_seed(digest, "random_k"), codec_seed(digest, "rotate"), codec_seed("aa" * 32, "random_k")}

    assert len(seeds) == 3
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_commitment_depends_on_its_salt() -> None:
    assert commitment(bytes(32), "ab" * 32) != commitment(bytes([1] * 32), "ab" * 32)


@pytest.mark.parametrize("salt", [b"", bytes(16), bytes(33)])
def test_a_salt_of_another_length_is_refused(salt: bytes) -> None:
    with pytest.raises(ValueError, match="a salt has 32 bytes"):
        commitment(salt, "ab" * 32)
    with pytest.raises(ValueError, match="a salt has 32 bytes"):
        path_digest(salt, "/data")
