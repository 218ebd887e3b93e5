"""What changed between two plans."""

from collections.abc import Callable
from typing import Any

import pytest

from hanse.config.diff import diff_manifests
from hanse.core.plan.manifest import Manifest
from hanse.core.values.canonical import sha256

Make = Callable[..., Manifest]

TRAIN = {"train": {"discloses": {"update": "individual"}}}


def test_a_plan_does_not_differ_from_itself(manifest: Make) -> None:
    assert diff_manifests(manifest(), manifest()) == []


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ({}, {"rounds": 20}, ["rounds: 1 -> 20"]),
        ({"cohort": {"deadline": 1800}}, {}, ["cohort.deadline: 30m -> 1h"]),
        ({"name": "a"}, {"name": "b", "seed": 3}, ["name: a -> b", "seed: 0 -> 3"]),
        ({"data": ["ct"]}, {"data": ["ct", "mri"]}, ['data: ["ct"] -> ["ct", "mri"]']),
        ({}, {"options": {"depth": 3}}, ["options.depth: added 3"]),
        ({"options": {"depth": {"a": 1}}}, {"options": {"depth": None}}, ['options.depth: {"a": 1} -> null']),
        ({"options": {"depth": None}}, {}, ["options.depth: removed null"]),
        (
            {},
            {"aggregation": {"server_optimizer": {"name": "adam"}}},
            ['aggregation.server_optimizer: null -> {"name": "adam"}'],
        ),
        (
            {},
            {"tasks": TRAIN | {"evaluate": {"discloses": {"metrics": ["loss"]}}}},
            ['tasks.evaluate: added {"discloses": {"metrics": ["loss"]}}'],
        ),
        (
            {},
            {"tasks": {"train": {"epochs": 2, "discloses": {"update": "individual", "metrics": ["loss"]}}}},
            ['tasks.train.discloses.metrics: [] -> ["loss"]', "tasks.train.epochs: null -> 2"],
        ),
    ],
)
def test_a_change_is_told_by_its_place(
    manifest: Make, old: dict[str, Any], new: dict[str, Any], lines: list[str]
) -> None:
    assert sorted(diff_manifests(manifest(**old), manifest(**new))) == lines


def test_files_that_came_went_or_changed_are_told(manifest: Make) -> None:
    old = {"federation.py": b"old", "gone.py": b"x"}
    new = {"federation.py": b"new", "here.py": b"y"}

    lines = diff_manifests(manifest(old), manifest(new))

    assert lines[1:] == [
        f"file federation.py: changed, {sha256(b'old')[:12]} -> {sha256(b'new')[:12]}",
        f"file gone.py: removed, {sha256(b'x')[:12]}",
        f"file here.py: added, {sha256(b'y')[:12]}",
    ]


def test_another_first_model_is_told(manifest: Make) -> None:
    lines = diff_manifests(manifest(), manifest(initial_model="start.safetensors"))

    assert lines == ["initial_model: null -> start.safetensors", f"file start.safetensors: added, {'1' * 12}"]


def test_code_at_hand_is_compared_line_by_line(manifest: Make) -> None:
    old, new = b"def f():\n\treturn 1\n", b"def f():\n\treturn 2  # \x1b[2J\n"
    contents = {sha256(data): data for data in (old, new)}

    lines = diff_manifests(manifest({"federation.py": old}), manifest({"federation.py": new}), contents)

    assert lines[1:] == [
        "--- old/federation.py",
        "+++ new/federation.py",
        "@@ -1,2 +1,2 @@",
        " def f():",
        "-       return 1",
        r"+       return 2  # \x1b[2J",
    ]


def test_code_of_which_one_version_is_not_at_hand_is_told_by_its_digest(manifest: Make) -> None:
    old, new = manifest({"federation.py": b"a"}), manifest({"federation.py": b"b"})

    assert len(diff_manifests(old, new, {sha256(b"a"): b"a"})) == 1


def test_huge_files_are_told_by_their_digest(manifest: Make) -> None:
    old, new = b"a\n" * 200_000, b"b\n" * 200_000
    contents = {sha256(data): data for data in (old, new)}

    assert (
        len(diff_manifests(manifest({"federation.py": old}), manifest({"federation.py": new}), contents)) == 1
    )
