"""On a full disk nothing is half-written or lost, and the run goes on when there is room again."""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.integration.deployment import Deployment, Run, Running, deployed

from hanse.core.run.round_events import TaskFailed
from hanse.files.copying import is_whole

STORAGE = 7
"""What commands end with."""
MODEL_BYTES = 8_000_000
LARGE = {"size": MODEL_BYTES // 4}
"""The plan's options for a model of that size."""
DISK_BYTES = 12 * MODEL_BYTES


@pytest.fixture(scope="module")
def undisturbed(shared: Deployment) -> str:
    """The model of a run whose disks have room."""
    return shared.submit(options=LARGE).finished()


@contextmanager
def largest_file(of: Running, size: int) -> Iterator[None]:
    """As long as this lasts, a process can write no file beyond this size, as on a disk that is full."""
    before = resource.prlimit(of.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(of.pid, resource.RLIMIT_FSIZE, (size, before[1]))
    yield
    resource.prlimit(of.pid, resource.RLIMIT_FSIZE, before)


def training(federation: Deployment) -> Run:
    """A run of a large model, whose sites train."""
    for site in federation.sites.values():
        site.hold("train", 1)
    run = federation.submit(options=LARGE)
    for site in federation.sites.values():
        site.held(run.run_id, "train", 1)
    return run


def assert_blobs_are_whole(federation: Deployment) -> None:
    assert list((federation.directory / "uploads").iterdir()) == []
    for path in (federation.directory / "blobs").glob("*/*"):
        with suppress(FileNotFoundError):  # those of a run that is over go meanwhile
            assert is_whole(path, path.name)


def test_updates_wait_until_the_aggregator_can_take_them(
    federation: Deployment, undisturbed: str, tmp_path: Path
) -> None:
    run = training(federation)

    with largest_file(federation.aggregator, MODEL_BYTES // 2):
        federation.release()
        for name in federation.sites:
            assert "File too large" in federation.agent(name).says("try 2 failed: cannot write")

    assert run.finished() == undisturbed
    assert_blobs_are_whole(federation)
    run.export(tmp_path)


def test_a_site_without_room_says_so_and_can_make_up_for_it(federation: Deployment, undisturbed: str) -> None:
    run = training(federation)

    with largest_file(federation.agent("b"), MODEL_BYTES // 2):
        federation.release()
        failed = run.until(TaskFailed)
        ended = run.over()

    assert failed.site == "b"
    assert "File too large" in failed.reason
    assert failed.reason.removesuffix(".") in ended.reason
    run.resume()
    assert run.finished() == undisturbed


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Deployment]:
    """A federation of `a` and `b` whose aggregator has a small disk of its own."""
    disk = tmp_path / "federation"
    disk.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", disk)
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only the superuser can mount a file system")
    try:
        with deployed(tmp_path, "a", "b") as deployment:
            yield deployment
    finally:
        subprocess.run(("umount", disk), check=True)


def test_an_aggregator_that_dies_on_a_full_disk_goes_on_when_there_is_room(
    small_disk: Deployment, undisturbed: str, tmp_path: Path
) -> None:
    run = training(small_disk)
    filler = small_disk.directory / "filler"
    fill(filler)
    small_disk.release()
    for name in small_disk.sites:
        small_disk.agent(name).says("try 2 failed: the aggregator's disk has ")
    phase = run.status.phase

    small_disk.aggregator.end(signal.SIGKILL)
    too_early = small_disk.command("aggregator", "start", small_disk.directory)
    code = too_early.ended()
    filler.unlink()
    small_disk.start_aggregator()

    assert (phase, code) == ("running", STORAGE)
    assert "No space left on device" in too_early.says("error: ")
    assert run.finished() == undisturbed
    assert_blobs_are_whole(small_disk)
    run.export(tmp_path / "export")


def fill(filler: Path) -> None:
    """Write until nothing more fits."""
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
