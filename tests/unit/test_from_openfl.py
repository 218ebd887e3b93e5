"""The page on moving from OpenFL names all that there is to move, and shows the files of the example."""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "from_openfl"
PAGE = (ROOT / "docs" / "from-openfl.md").read_text("utf-8")
ROWS = [
    re.findall(r"`([^`]+)`", line.split(" | ")[0]) for line in PAGE.splitlines() if line.startswith("| `")
]
"""What the first column of each row of a table names."""


def listed(name: str) -> list[str]:
    """The lines of a list that was made from the installed OpenFL."""
    lines = (EXAMPLE / name).read_text("utf-8").splitlines()
    assert lines[0] == "# openfl 1.9"
    return [line for line in lines if not line.startswith("#")]


def lines_of(name: str) -> list[str]:
    """A file of the example."""
    return (EXAMPLE / name).read_text("utf-8").splitlines()


@pytest.mark.parametrize("line", listed("fx-commands.txt"))
def test_each_command_has_a_row_with_all_its_options(line: str) -> None:
    command, *options = re.split(r" (?=--)", line)

    rows = [row for row in ROWS if row[0] == command]
    assert rows, f"{command} has no row"
    assert set(rows[0][1:]) == set(options)


@pytest.mark.parametrize("key", listed("plan-keys.txt"))
def test_each_key_of_a_plan_has_a_row(key: str) -> None:
    assert [key] in ROWS


def test_no_row_names_a_command_or_a_key_that_openfl_lacks() -> None:
    commands = {re.split(r" (?=--)", line)[0] for line in listed("fx-commands.txt")}
    named = {row[0] for row in ROWS if row[0].startswith("fx ")}

    assert named == commands


@pytest.mark.parametrize(
    ("before", "after"), [("src/dataloader.py", "dataloader.py"), ("src/taskrunner.py", "taskrunner.py")]
)
def test_changed_lines_that_are_shown_are_those_of_the_files(before: str, after: str) -> None:
    changes = difflib.unified_diff(
        lines_of(f"before/{before}"), lines_of(f"after/{after}"), lineterm="", n=1000
    )
    shown = "\n".join(list(changes)[3:])

    assert f"```diff\n{shown}\n```" in PAGE


@pytest.mark.parametrize(
    "name", ["before/plan/plan.yaml", "after/plan.yaml", "after/short.py", "after/flow.py"]
)
def test_files_that_are_shown_are_those_of_the_example(name: str) -> None:
    assert "\n" + "\n".join(lines_of(name)) + "\n```" in PAGE


def test_numbers_of_openfl_are_those_that_it_wrote() -> None:
    rounds = [json.loads(line) for line in lines_of("before/aggregator_metrics.txt")]
    table = re.findall(r"^\| (\d+) \| ([\d.]+) \| [\d.]+ \| ([\d.]+|not measured) \|", PAGE, re.MULTILINE)

    losses = [f"{each['aggregator/train/loss']:.4f}" for each in rounds]
    key = "aggregator/aggregated_model_validation/accuracy"
    accuracies = [f"{each[key]:.4f}" for each in rounds[1:]] + ["not measured"]
    assert [(loss, accuracy) for _, loss, accuracy in table] == list(zip(losses, accuracies, strict=True))
