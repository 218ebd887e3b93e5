"""The README and the quickstart, typed block by block into one shell, print what they say."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.pages import ROOT, Block, blocks_of, followed, missing_lines, named_files
from tests.thorough import sample

pytestmark = [pytest.mark.slow, pytest.mark.torch, pytest.mark.timeout(600)]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the pages need of a checkout."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "examples" / "script", folder / "examples" / "script")
    data = Path("src", "hanse", "data", "heart_disease")
    shutil.copytree(ROOT / data, folder / data)
    return folder


@pytest.mark.parametrize("page", sample(["README.md", "docs/quickstart.md"], 1))
def test_page_can_be_followed_block_by_block(page: str, checkout: Path) -> None:
    blocks = blocks_of(ROOT / page)

    printed = followed(blocks, checkout, timeout_s=500)

    missing = {
        block.commands: lines
        for block, text in zip(blocks, printed, strict=True)
        if (lines := list(missing_lines(block.shown, text)))
    }
    assert missing == {}
    assert sum(len(block.shown) for block in blocks) >= 10, "the page shows what its commands print"


def test_the_plan_of_the_page_on_plans_runs_as_it_is_printed(tmp_path: Path) -> None:
    page = ROOT / "docs" / "plan.md"
    project = tmp_path / "project"
    project.mkdir()
    for name, text in named_files(page):
        (project / name).write_text(text, "utf-8")

    ((block, text),) = zip(blocks_of(page), followed(blocks_of(page), project, timeout_s=500), strict=True)

    assert list(missing_lines(block.shown, text)) == []


def test_what_was_not_printed_is_found() -> None:
    shown = ["round loss", "1/5 0.626", "authority ab12cd34…", "finished at 2026-11-30 21:45:51Z"]
    printed = "round  loss\n  1/5  0.631\nauthority 0123456789abcdef\nfinished at 2027-01-01 00:00:00Z"

    assert list(missing_lines(shown, printed)) == []
    assert list(missing_lines(shown, printed.replace("0.631", "0.731"))) == ["1/5 0.626"]
    assert list(missing_lines(shown[::-1], printed)) != []


def test_lines_that_set_a_machine_up_are_left_to_it(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```bash\npip install .\nhanse demo\n```\n\n```text\nready\n…\n```\n", "utf-8")

    assert blocks_of(page) == [Block("hanse demo", ["ready"])]
