"""Workers of sealed runs leave nothing on a disk: real processes try it, as root and as an ordinary user."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from hanse.sandbox import kernel, usage

PROGRAM = Path(__file__).parent / "sandbox" / "sealed_site.py"
ORDINARY = 65_534
"""A user without any privilege."""
ANOTHER: dict[str, Any] = {"user": ORDINARY, "group": ORDINARY, "extra_groups": []}

Do = Callable[..., list[Any]]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not kernel.supported(), reason="there are no memory folders here"),
]


@dataclass(frozen=True)
class User:
    """A user of this machine, and a Python that the user can run, with the packages of this one."""

    number: int
    python: str
    path: str

    def run(self, *arguments: str, cwd: Path = Path("/")) -> subprocess.Popen[str]:
        other = {} if self.number == os.getuid() else ANOTHER
        return subprocess.Popen(
            [self.python, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
            env=os.environ | ({"PYTHONPATH": self.path} if self.path else {}),
            **other,
        )

    @property
    def can_run(self) -> bool:
        try:
            with self.run("-c", "import hanse, numpy") as trial:
                trial.communicate()
        except OSError:
            return False
        return trial.returncode == 0


@pytest.fixture(scope="module", params=["as it is", "ordinary user"])
def user(request: pytest.FixtureRequest) -> User:
    if request.param == "as it is":
        return User(os.getuid(), sys.executable, "")
    if os.getuid() != 0:
        pytest.skip("the tests run as an ordinary user already")
    # The interpreter of the tests may lie in the home of root.
    system = f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"
    found = filter(None, map(find_spec, ("hanse", "numpy", "torch")))
    packages = os.pathsep.join({str(Path(each.origin).parents[1]) for each in found if each.origin})
    for each in (User(ORDINARY, sys.executable, ""), User(ORDINARY, system, packages)):
        if each.can_run:
            return each
    pytest.skip("an ordinary user cannot read this checkout or its Python")


def start(site: Path, user: User) -> subprocess.Popen[str]:
    return user.run(str(PROGRAM), str(site), cwd=site)


@pytest.fixture
def site(user: User) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="hanse-sealed-"))
    os.chown(folder, user.number, -1)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def do(site: Path, user: User) -> Do:
    """Have a worker of a sealed run perform calls; the results, and last what is known of its output."""

    def do(*calls: list[Any], **orders: Any) -> list[Any]:
        with start(site, user) as process:
            try:
                told, errors = process.communicate(json.dumps({"calls": calls, **orders}) + "\n", timeout=60)
            finally:
                process.kill()
        assert process.returncode == 0, errors
        found: list[Any] = json.loads(told)
        if len(found) == 1 and "no memory folder can be made" in str(found[0]):
            pytest.skip(str(found[0]))
        return found

    return do


def test_a_worker_writes_in_memory_alone_and_is_not_heard(do: Do, site: Path) -> None:
    places, left, output = do(["places_to_write"], ["leave_everywhere", "a marker"])

    assert set(places.values()) <= {"tmpfs", "devtmpfs"}
    assert left == [".", "/tmp", "/var/tmp", "/dev/shm"]
    assert output == ""
    assert [path.name for path in site.rglob("*")] == ["sealed"]


def test_a_worker_cannot_be_dumped_or_have_itself_dumped(do: Do) -> None:
    found = do(["can_be_dumped"], ["let_others_look"], ["leaves_a_core", False], ["leaves_a_core", True])

    assert found[:4] == [0, "PermissionError", False, False]


@pytest.mark.torch
def test_a_data_loader_with_processes_works(do: Do) -> None:
    assert do(["load_by_processes"])[0] == [0, 1, 2, 3]


def test_a_worker_makes_no_files_that_no_folder_holds(do: Do) -> None:
    assert do(["hold", "files in memory", 1 << 20])[0] == "PermissionError"


@pytest.mark.parametrize("kind", ["mappings put away", "children"])
def test_a_worker_that_cannot_be_looked_into_is_held_to_its_memory(do: Do, kind: str) -> None:
    result = do(["hold", kind, 400 << 20], ["hang"], confinement={"memory_bytes": 200 << 20})[:-1]

    assert "more than the 210 MB" in result[-1]


def test_shared_memory_of_a_worker_counts(do: Do) -> None:
    call = ["write", "/dev/shm/shared", 150 << 20]
    hold = ["hold", "mappings", 150 << 20]

    assert "more than the 210 MB" in do(call, hold, ["hang"], confinement={"memory_bytes": 200 << 20})[-2]


@pytest.mark.parametrize(
    ("refused", "layer"),
    [
        ("landlock_create_ruleset", "the layer landlock"),
        ("mount_setattr", "the layer own file tree"),
    ],
)
def test_a_worker_is_refused_where_a_layer_is_missing_which_is_named(
    do: Do, refused: str, layer: str
) -> None:
    (refusal,) = do(["print_lines", 1], refused=refused)

    assert refusal.startswith("PolicyError")
    assert layer in refusal


def test_a_worker_with_a_network_is_refused(do: Do) -> None:
    (refusal,) = do(confinement={"network": True})

    assert "gets no network" in refusal


def test_a_worker_whose_home_is_on_a_disk_is_refused(do: Do, site: Path) -> None:
    (refusal,) = do(outside=True)

    assert f"is to write in {site}/work, which is not in memory" in refusal


def test_nothing_is_left_when_all_processes_are_killed(site: Path, user: User) -> None:
    marker, began = secrets.token_hex(16), time.time()
    with start(site, user) as process:
        try:
            assert process.stdin
            assert process.stdout
            process.stdin.write(json.dumps({"calls": [["leave_everywhere", marker], ["wait"]]}) + "\n")
            process.stdin.flush()
            left = json.loads(process.stdout.readline())
            seen_inside = list(Path(f"/proc/{process.pid}/root{site}").rglob("marker"))
        finally:
            for number in usage.threads_below(process.pid):
                with suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)

    assert left == [[".", "/tmp", "/var/tmp", "/dev/shm"]]
    assert seen_inside  # the marker was there
    assert list(holding(marker, began, site)) == []


def holding(marker: str, since: float, *folders: Path) -> Iterator[Path]:
    """Files that were changed since a time and hold a marker, where a worker could leave some."""
    usual = map(Path, ("/tmp", "/var/tmp", "/dev/shm", "/var/lib/systemd/coredump", "/var/crash"))
    places = [str(place) for place in (*folders, *usual, Path.cwd()) if place.exists()]
    changed = subprocess.run(
        [
            "find",
            *places,
            "-xdev",
            "-maxdepth",
            "4",
            "-type",
            "f",
            "-newermt",
            f"@{since:.0f}",
            "-size",
            "-64M",
            "-print0",
        ],
        capture_output=True,
        check=False,
    ).stdout
    for name in filter(None, changed.split(b"\0")):
        path = Path(os.fsdecode(name))
        with suppress(OSError):
            if marker.encode() in path.read_bytes():
                yield path
