"""Pages of the documentation as a reader follows them: each command runs, each output is compared."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isclose
from pathlib import Path

ROOT = Path(__file__).parents[1]

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ELSEWHERE = re.compile(r"^(pip install|python3 -m venv|\. \.venv|make test)")
"""What a reader does once on a machine, and the tests have done."""
_MASKS = (
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ"), "TIME"),
    (re.compile(r"\b[0-9a-f]{8,64}(?:-blake3)?\b…?"), "DIGEST"),
    (re.compile(r"(localhost|127\.0\.0\.1):\d+"), r"\1:PORT"),
    (re.compile(r"in words: .*"), "in words: WORDS"),
    (re.compile(r"\b\d+ (?=records|of )"), "COUNT "),
    (re.compile(r"\b(after number|ends with) \d+"), r"\1 COUNT"),
    (re.compile(r"\b(after|was round) \d+"), r"\1 COUNT"),  # where training stops early
    (re.compile(r"\s+"), " "),
)
_NUMBER = re.compile(r"\d+\.\d+")
_FLOAT_TOLERANCE = 0.05
"""How far a loss or an accuracy may be from the page's: other versions of torch and other processors round
otherwise."""


@dataclass
class Block:
    """Commands of a page, and what the page says that they print.

    Attributes:
        commands: As the page shows them.
        shown: Lines of the `text` block that follows, without those that stand for others.
    """

    commands: str
    shown: Sequence[str] = ()


def blocks_of(page: Path) -> list[Block]:
    """The commands of a page in their order, those left out that set a machine up."""
    found: list[Block] = []
    for language, text in _FENCE.findall(page.read_text("utf-8")):
        if language == "bash":
            lines = [line for line in text.splitlines() if not _ELSEWHERE.match(line)]
            found.append(Block("\n".join(lines)))
        elif language == "text" and found and not found[-1].shown:
            lines = [line for line in text.splitlines() if line.strip() not in ("", "…")]
            found[-1].shown = lines
    return [block for block in found if block.commands.strip()]


def named_files(page: Path) -> Iterator[tuple[str, str]]:
    """The blocks of a page whose first line is the name of a file, `# plan.yaml`: name and text."""
    for _, text in _FENCE.findall(page.read_text("utf-8")):
        if match := re.match(r"# (\w+\.\w+)\n", text):
            yield match[1], text


def followed(blocks: Sequence[Block], folder: Path, timeout_s: float) -> list[str]:
    """Type a page's blocks into one shell, one after the other; an aggregator gets a free port.

    Args:
        blocks: Of the page.
        folder: What the reader's checkout is; the shell begins there.
        timeout_s: How long all of it may take.

    Returns:
        What each block printed, on both streams together.

    Raises:
        AssertionError: A command failed, or a block did not end.
    """
    mark = "== the next block =="
    commands = f"\necho '{mark}'\n".join(block.commands for block in blocks)
    commands = commands.replace("make demo", "hanse demo")
    commands = commands.replace("federation create ", f"federation create --port {_free_port()} ")
    unset = ("HANSE_SITE", "HANSE_FEDERATION", "HANSE_TRACEBACK", "HTTPS_PROXY", "https_proxy")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment["PATH"] = f"{_own_commands(folder.parent / 'bin')}{os.pathsep}{environment['PATH']}"
    output = folder.parent / "output.txt"
    with output.open("wb") as out:
        shell = subprocess.Popen(
            ["bash", "-e", "-o", "pipefail", "-c", commands],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code: int | str = shell.wait(timeout_s)
        except subprocess.TimeoutExpired:
            code = f"still at work after {timeout_s} s"
        finally:
            _end_all(shell.pid)
    printed = output.read_text("utf-8")
    assert code == 0, f"{code}: {printed[-4000:]}"
    return printed.split(f"{mark}\n")


def missing_lines(shown: Sequence[str], printed: str) -> Iterator[str]:
    """The lines of a page that were not printed, in the page's order; lines between them are of no matter."""
    rest = iter([masked(line) for line in printed.splitlines()])
    for line in shown:
        if not any(_same(masked(line), each) for each in rest):
            yield line
            rest = iter([masked(line) for line in printed.splitlines()])


def masked(line: str) -> str:
    """A line without what differs from one run to the next: times, digests, ports, the width of columns."""
    for pattern, instead in _MASKS:
        line = pattern.sub(instead, line)
    return line.strip()


def _same(shown: str, printed: str) -> bool:
    if _NUMBER.sub("N", shown) != _NUMBER.sub("N", printed):
        return False
    pairs = zip(_NUMBER.findall(shown), _NUMBER.findall(printed), strict=True)
    return all(isclose(float(a), float(b), abs_tol=_FLOAT_TOLERANCE) for a, b in pairs)


def _free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
        return port


def _own_commands(folder: Path) -> Path:
    """A folder with `hanse` and `python`, of this interpreter."""
    folder.mkdir()
    for name, start in (("hanse", "-m hanse "), ("python", "")):
        command = folder / name
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" {start}"$@"\n', "utf-8")
        command.chmod(0o755)
    return folder


def _end_all(group: int) -> None:
    """End the services that a page has started, if it has not ended them itself."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(group, number)
        except ProcessLookupError:
            return
