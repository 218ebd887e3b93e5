"""The runner of the cases: a federation of real processes by one program, of which none stays."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.processes import PATIENCE_S, VISIBLE, Process, below, until
from tests.programs import called
from tests.thorough import sample

from hanse.assembly.demo import write_demo_plan
from hanse.demo.files import HEART_DISEASE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not VISIBLE, reason="processes are found by /proc"),
]

RUNNER = Path(__file__).parents[2] / "examples" / "cases" / "local_federation.py"
SITES = ("cleveland", "hungarian", "va")
PROCESSES = 2 + len(SITES)
"""The aggregator, the command that watches the run, and the agents, without their workers."""


def command(folder: Path, **options: Any) -> list[str]:
    return [sys.executable, str(RUNNER), *arguments_in(folder, **options)]


def arguments_in(folder: Path, *, rounds: int = 2, data: str = "{site}.csv") -> list[str]:
    """What the runner is told: a plan in the folder, and what it makes beside that."""
    plan = folder / "plan"
    if not plan.exists():
        write_demo_plan(plan, "numpy", rounds)
        text = (plan / "plan.yaml").read_text("utf-8")
        assert "minimum: 4" in text
        (plan / "plan.yaml").write_text(text.replace("minimum: 4", f"minimum: {len(SITES)}"), "utf-8")
    sites = [word for site in SITES for word in ("--site", site)]
    rest = ["--data", f"heart={HEART_DISEASE / data}", "--directory", str(folder / "here")]
    return [str(plan / "plan.yaml"), *sites, *rest]


def refusal(arguments: list[str]) -> str:
    """What the runner says of its arguments, in this process; the signals show it as one of its own."""
    ended = called(RUNNER, *arguments)
    assert (ended.code, ended.out) == (2, ""), ended
    return ended.err


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, timeout=200, check=False)


@contextmanager
def amid_a_round(folder: Path) -> Iterator[tuple[subprocess.Popen[str], list[Process]]]:
    """A federation that would go on for long, once it has done its first round, and its processes."""
    with (folder / "output").open("w") as output:
        process = subprocess.Popen(
            command(folder, rounds=5_000), stdout=output, stderr=subprocess.PIPE, text=True
        )
    try:
        read = (folder / "output").read_text
        until(lambda: "\n   1/5000 " in read() or process.poll() is not None, "the first round", 150)
        assert process.poll() is None, process.communicate()[1]
        yield process, below(process.pid)
    finally:
        process.kill()
        process.communicate()


def must_end(processes: list[Process]) -> None:
    assert len(processes) > PROCESSES, "workers too"
    until(lambda: not any(process.runs for process in processes), f"the end of {processes}")


def test_a_plan_is_run_and_verified_and_measured(tmp_path: Path) -> None:
    ended = run(command(tmp_path))

    assert ended.returncode == 0, ended.stderr
    assert "$ hanse run submit" in ended.stdout
    assert "\nverified: " in ended.stdout
    measured = json.loads((tmp_path / "here" / "measured.json").read_text())
    assert measured["sites"] == len(SITES)
    assert [each["round"] for each in measured["rounds"]] == [1, 2]
    assert measured["most_mib"] >= max(measured["most_by_kind_mib"].values()) > 10
    assert measured["update_bytes"] > 0


@pytest.mark.parametrize(("number", "code"), sample([(signal.SIGTERM, 143), (signal.SIGKILL, -9)], 1))
def test_a_signal_leaves_no_process(number: signal.Signals, code: int, tmp_path: Path) -> None:
    with amid_a_round(tmp_path) as (process, started):
        process.send_signal(number)

        assert process.wait(PATIENCE_S) == code
        must_end(started)


def test_an_agent_that_dies_is_named_and_the_others_end(tmp_path: Path) -> None:
    with amid_a_round(tmp_path) as (process, started):
        next(each for each in started if each.command.rstrip().endswith("sites/va")).send(signal.SIGKILL)

        _, errors = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 1
        assert "the process of va was ended by signal 9; the end of " in errors
        must_end(started)


def test_an_interrupt_ends_an_agent_that_stands_still_and_the_others(tmp_path: Path) -> None:
    with amid_a_round(tmp_path) as (process, started):
        next(each for each in started if each.command.rstrip().endswith("sites/va")).send(signal.SIGSTOP)

        process.send_signal(signal.SIGINT)

        assert process.wait(PATIENCE_S) == 130
        must_end(started)


class TestRefused:
    """What cannot work is refused in words before anything is started."""

    def test_a_folder_with_a_federation(self, tmp_path: Path) -> None:
        (tmp_path / "here" / "sites").mkdir(parents=True)

        told = refusal(arguments_in(tmp_path))

        assert told == (f"{tmp_path / 'here'} has a federation already: remove it, or name another folder\n")

    def test_data_that_is_not_there(self, tmp_path: Path) -> None:
        told = refusal(arguments_in(tmp_path, data="{site}.xls"))

        place = HEART_DISEASE / "cleveland.xls"
        assert told == f"there is no data of cleveland: its source 'heart' should be at {place}\n"
        assert not (tmp_path / "here").exists()

    def test_a_port_that_is_taken(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]

            told = refusal([*arguments_in(tmp_path), "--port", str(port)])

        assert told.startswith(f"port {port} cannot be used (Address already in use): choose another")

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("--port", "99999"), "--port must be 1 to 65535, got 99999"),
            (("--site", "va"), "--site names va twice"),
            (("--site", "a b"), "'a b' is not a valid name"),
            (("--directory", __file__), f"{__file__} is not a folder"),
        ],
    )
    def test_an_argument(self, arguments: tuple[str, str], words: str, tmp_path: Path) -> None:
        told = refusal([*arguments_in(tmp_path), *arguments])

        assert words in told.splitlines()[-1]
        assert not (tmp_path / "here").exists()

    def test_a_plan_that_is_none(self, tmp_path: Path) -> None:
        arguments = arguments_in(tmp_path)
        (tmp_path / "plan" / "plan.yaml").write_text("rounds: [")

        told = refusal(arguments)

        assert "plan.yaml" in told
        assert "Traceback" not in told
        assert not (tmp_path / "here").exists()

    def test_a_plan_that_no_site_may_accept(self, tmp_path: Path) -> None:
        arguments = command(tmp_path)
        plan = tmp_path / "plan" / "plan.yaml"
        plan.write_text(plan.read_text().replace("data: [heart]", "data: [lungs]"))

        ended = run(arguments)

        assert ended.returncode == 1
        assert "the plan needs a data source 'lungs' that site.yaml does not name" in ended.stdout
