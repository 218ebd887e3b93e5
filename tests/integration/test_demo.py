"""`hanse demo` in real processes: what it shows, what it leaves, and how it ends when it is disturbed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hanse.control.audit import verify
from hanse.demo.files import HOSPITALS
from hanse.pki.certificates import load_certificate
from hanse.wire.tensors import open_file

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found by /proc"),
]

DEADLINE_S = 20.0


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "hanse", "demo", *map(str, arguments)]


@contextmanager
def amid_a_round(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """A demo that would go on for long, once it has done its first round."""
    process = subprocess.Popen(
        command("--directory", directory, "--rounds", 5_000),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert any(line.split()[:1] == ["1/5000"] for line in process.stdout), process.communicate()[1]
        yield process
    finally:
        process.kill()
        process.communicate()


def descendants(pid: int) -> dict[int, str]:
    """The command lines of all processes that a process has started, by process id."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        parents[int(stat.parent.name)] = int(fields[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return {child: _command_line(child) for child in found - {pid}}


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def still_running(processes: dict[int, str]) -> dict[int, str]:
    """Those that still do what they did; a zombie has no command line."""
    return {pid: line for pid, line in processes.items() if line and _command_line(pid) == line}


def must_end(processes: dict[int, str]) -> None:
    assert len(processes) > len(HOSPITALS) + 1, "an aggregator, four agents, and a worker"
    deadline = time.monotonic() + DEADLINE_S
    while still_running(processes):
        assert time.monotonic() < deadline, still_running(processes)
        time.sleep(0.1)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    directory = tmp_path_factory.mktemp("demo") / "here"
    ended = subprocess.run(
        command("--directory", directory, "--rounds", 2), capture_output=True, text=True, timeout=100
    )
    return directory, ended


def test_it_ends_with_the_comparison_and_the_verdict(
    demo: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    directory, ended = demo

    assert (ended.returncode, ended.stderr) == (0, "")
    rows = [line.split()[0] for line in ended.stdout.splitlines() if "/2 " in line]
    assert rows == ["1/2", "2/2"]
    assert "all patients pooled" in ended.stdout
    assert "Accuracy" in ended.stdout
    assert "AUC" in ended.stdout
    assert f"model: {directory / 'results' / 'model.safetensors'}" in ended.stdout
    assert "FAILED" not in ended.stdout
    assert "verified: " in ended.stdout


def test_with_secure_aggregation_it_shows_noise_of_one_hospital(tmp_path: Path) -> None:
    directory = tmp_path / "secure"

    ended = subprocess.run(
        command("--secure", "--directory", directory, "--rounds", 2),
        capture_output=True,
        text=True,
        timeout=100,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert "What the aggregator saw of cleveland is noise" in ended.stdout
    assert "ok      sums" in ended.stdout
    assert "FAILED" not in ended.stdout
    report = verify(directory / "results" / "journal.jsonl", blobs=directory / "seen")
    assert all(len(found.members) == len(HOSPITALS) for found in report.sums)
    assert any(found.added for found in report.sums)
    assert all(sent.masked for site in report.sites.values() for sent in site.disclosed)


def test_model_and_journal_are_good(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    directory, _ = demo

    report = verify(
        directory / "results" / "journal.jsonl", load_certificate(directory / "federation" / "ca" / "ca.crt")
    )

    assert report.failed == ()
    assert {name for name, site in report.sites.items() if site.disclosed} == set(HOSPITALS)
    assert open_file(directory / "results" / "model.safetensors")["weight"].shape == (13,)


def test_each_party_has_a_key_of_its_own_and_each_hospital_its_own_patients_only(
    demo: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    directory, _ = demo
    parties = [directory / "federation", *(directory / "sites" / name for name in HOSPITALS)]

    keys = {(party / "pki" / "party.key").read_bytes() for party in parties}
    tables = {name: list((directory / "sites" / name).rglob("*.csv")) for name in HOSPITALS}

    assert len(keys) == len(parties)
    assert all(len(files) == 1 for files in tables.values())
    assert len({files[0].read_bytes() for files in tables.values()}) == len(HOSPITALS)


def test_json_is_one_object_and_nothing_is_kept_where_nothing_is_to_be(tmp_path: Path) -> None:
    directory = tmp_path / "here"

    ended = subprocess.run(
        command("--directory", directory, "--rounds", 1, "--no-keep", "--json"),
        capture_output=True,
        text=True,
        timeout=100,
    )

    value = json.loads(ended.stdout)
    assert value["verified"] is True
    assert set(value["rounds"][0]["sites"]) == set(HOSPITALS)
    assert not directory.exists()


def test_ctrl_c_leaves_no_process(tmp_path: Path) -> None:
    with amid_a_round(tmp_path / "here") as process:
        processes = descendants(process.pid)

        process.send_signal(signal.SIGINT)

        assert process.wait(DEADLINE_S) == 130
        must_end(processes)


def test_a_demo_that_is_killed_leaves_no_process(tmp_path: Path) -> None:
    with amid_a_round(tmp_path / "here") as process:
        processes = descendants(process.pid)

        process.kill()

        must_end(processes)


def test_a_hospital_that_dies_is_named_and_the_others_end(tmp_path: Path) -> None:
    with amid_a_round(tmp_path / "here") as process:
        processes = descendants(process.pid)
        zurich = next(pid for pid, line in processes.items() if line.rstrip().endswith("sites/zurich"))

        os.kill(zurich, signal.SIGKILL)

        _, errors = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 5
        assert "the process of zurich was ended by signal 9; the end of" in errors
        must_end(processes)
