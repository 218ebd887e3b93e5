"""The list of words that pages and messages avoid."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).parents[3] / "tools"


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(TOOLS)
    return importlib.import_module("check_words")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("the upload goes on at byte 3", "'goes on'"),
        ("that is no file of settings", "'is no file'"),
        ("Nobody waits", "'Nobody'"),
        ("a line\nbreak: it was handed\nin", "'handed in'"),
    ],
)
def test_a_word_to_avoid_is_found_in_a_text(words: ModuleType, text: str, found: str) -> None:
    assert [finding.problem.partition(":")[0] for finding in words.in_text(text, "page.md")] == [found]


@pytest.mark.parametrize(
    "text",
    ["there is no file", "it is no longer there", "it is no larger than that", "`tell()`", "a dropout"],
)
def test_plain_words_and_code_are_left_alone(words: ModuleType, text: str) -> None:
    assert list(words.in_text(text, "page.md")) == []


def test_a_heading_begins_with_a_noun_or_a_verb(words: ModuleType) -> None:
    page = "# Faults\n\n## What is promised\n\n```bash\n# What a comment says\n```\n"

    assert [(finding.line, finding.problem[:26]) for finding in words.in_page(page, "page.md")] == [
        (3, "heading 'What is promised'")
    ]


def test_messages_are_checked_apart_from_docstrings_and_names(words: ModuleType) -> None:
    source = '"""Tell."""\nraise ValueError(f"{it} is no file")\nnames["told"]\n'

    assert [finding.line for finding in words.in_messages(source, "a.py")] == [2]
    assert [finding.line for finding in words.in_comments(source, "a.py")] == [1]
