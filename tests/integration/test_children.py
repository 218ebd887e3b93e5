"""Commands in processes of their own: ready, dead, and ended with the block that started them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hanse.cli.demo.processes import Children
from hanse.errors import RunError


def test_the_first_line_tells_that_a_child_is_ready(tmp_path: Path) -> None:
    async def start() -> str:
        async with Children() as children:
            child = await children.start("hanse", ["--version"], tmp_path / "log")
            return await child.first_line(60)

    assert asyncio.run(start()).startswith("hanse ")


def test_a_child_that_ends_before_it_is_ready_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    async def start() -> None:
        async with Children() as children:
            child = await children.start("the plan", ["plan", "check", "none.yaml"], tmp_path / "log")
            await child.first_line(60)

    with pytest.raises(RunError, match=r"(?s)process of the plan ended with 3; the end of .*none\.yaml"):
        asyncio.run(start())


def test_work_ends_with_an_error_where_a_child_dies_meanwhile(tmp_path: Path) -> None:
    async def start() -> None:
        async with Children() as children:
            await children.start("hanse", ["--version"], tmp_path / "log")
            await children.while_all_live(asyncio.sleep(60))

    with pytest.raises(RunError, match=r"the process of hanse ended with 0; .*log is empty"):
        asyncio.run(start())


def test_work_that_is_done_gives_its_result(tmp_path: Path) -> None:
    async def start() -> str:
        async with Children() as children:
            await children.start("hanse", ["join", "-"], tmp_path / "log")  # waits for its standard input
            return await children.while_all_live(asyncio.sleep(0, "done"))

    assert asyncio.run(start()) == "done"
