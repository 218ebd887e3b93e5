"""The pages on moving from other systems name every command of these, and show the examples as they are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]


class Move(NamedTuple):
    """A page, and the list of the other system's commands."""

    page: str
    commands: str

    @property
    def text(self) -> str:
        return (ROOT / "docs" / self.page).read_text("utf-8")

    @property
    def listed(self) -> list[str]:
        return (ROOT / "examples" / self.commands).read_text("utf-8").splitlines()[1:]


MOVES = [
    Move("from-flower.md", "from_flower/flwr-commands.txt"),
    Move("from-nvflare.md", "from_nvflare/nvflare-commands.txt"),
]
moves = pytest.mark.parametrize("move", MOVES, ids=lambda move: move.page)


def mapped(page: str) -> list[str]:
    """What stands between backticks in the first cells of the tables of the section on commands."""
    section = re.split(r"^## ", page.partition("\n## Commands\n")[2], flags=re.MULTILINE)[0]
    first = [row.split(" | ")[0] for row in section.splitlines() if row.startswith("| `")]
    return [command for cell in first for command in re.findall(r"`([^`]+)`", cell)]


@moves
def test_every_command_of_the_list_has_its_place_on_the_page_once(move: Move) -> None:
    listed = [command.removeprefix("admin ") for command in move.listed]

    assert len(listed) == len(set(listed))
    assert sorted(mapped(move.text)) == sorted(listed)


@moves
def test_the_page_names_the_version_that_the_list_is_of(move: Move) -> None:
    name, version = re.findall(
        r"^# (\w+) ([\d.]+\d): ", (ROOT / "examples" / move.commands).read_text("utf-8")
    )[0]

    assert f"{name} {version}" in move.text


@moves
def test_code_and_plan_of_the_page_are_those_of_the_example(move: Move) -> None:
    folder = (ROOT / "examples" / move.commands).parent
    files = [path.read_text("utf-8") for path in (*folder.glob("*/**/*.py"), *folder.glob("*/*.yaml"))]
    shown = re.findall(r"^```(?:python|yaml)\n(.*?)^```$", move.text, re.MULTILINE | re.DOTALL)

    assert shown
    assert [block for block in shown if not any(block.strip("\n") in text for text in files)] == []


@moves
def test_accuracies_of_the_page_are_those_that_the_other_system_printed(move: Move) -> None:
    results = ((ROOT / "examples" / move.commands).parent / "before" / "results.txt").read_text("utf-8")
    printed = dict(re.findall(r"^round (\d+): .*accuracy ([\d.]+)$", results, re.MULTILINE))
    rows = re.findall(r"^\| (\d+) \| ([\d.]+) \| ([\d.]+) \|$", move.text, re.MULTILINE)

    assert len(rows) >= 5
    assert {number: theirs for number, theirs, _ in rows}.items() <= printed.items()
    assert all(abs(float(theirs) - float(ours)) < 0.001 for _, theirs, ours in rows)
