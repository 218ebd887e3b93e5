"""Firmware of a rehearsal, played by the tests: it measures interpreter and Hanse before they start."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.tpm import templates
from tests.tpm.logs import IPL, Event, firmware_log, registers_of
from tests.tpm.swtpm import connected, served

import hanse

PCR = 11
"""Register of the parts of an image."""
_ALLOWED = frozenset({"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR"})
_MOST_FILES = 4_000


@dataclass(frozen=True)
class Tree:
    """An interpreter with Hanse, as an image would have both.

    Other packages come from where the tests have them, and stay unmeasured: a rehearsal is warned of that.

    Attributes:
        root: Where it lies.
    """

    root: Path

    @property
    def package(self) -> Path:
        """The folder of Hanse's code."""
        return self.root / "lib" / _VERSION / "site-packages" / "hanse"

    @cached_property
    def events(self) -> tuple[Event, ...]:
        """Measurements by the firmware: the interpreter, then each file of Hanse's code by its path."""
        python = (self.root / "bin" / "python").resolve()
        files = sorted(self.package.rglob("*.py"))
        assert len(files) < _MOST_FILES
        named = [
            ("python", python),
            *((path.relative_to(self.package.parent).as_posix(), path) for path in files),
        ]
        return tuple((PCR, IPL, f"{name} {_digest(path)}".encode()) for name, path in named)

    @property
    def register(self) -> str:
        """Value of the register that the measurements lead to, hexadecimal."""
        return registers_of(self.events)[PCR].hex()

    def execute(self, log: Path, arguments: list[str]) -> subprocess.Popen[bytes]:
        """Start a command of this tree in a clean environment, as `tests.integration.deployment.Start`."""
        environment = {name: value for name, value in os.environ.items() if name in _ALLOWED}
        command = [str(self.root / "bin" / "python"), "-I", "-m", "hanse", *arguments]
        with log.open("wb") as output:
            return subprocess.Popen(command, stdout=output, stderr=output, env=environment, cwd=log.parent)


_VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"


def make_tree(root: Path) -> Tree:
    """Make a tree with Hanse as the tests have it."""
    tree = Tree(root)
    packages = tree.package.parent
    # With their times, so that compiled code counts that is there already.
    shutil.copytree(Path(hanse.__file__).parent, tree.package)
    others = [entry for entry in sys.path if Path(entry).name == "site-packages"]
    (packages / "others.pth").write_text("\n".join(others))
    (root / "bin").mkdir()
    interpreter = Path(sys.executable).resolve()
    (root / "bin" / "python").symlink_to(interpreter)
    (root / "pyvenv.cfg").write_text(f"home = {interpreter.parent}\ninclude-system-site-packages = false\n")
    return tree


def change(tree: Tree) -> Path:
    """Change a byte of Hanse in a tree, whose version stays what it was; the file."""
    path = tree.package / "collaborator" / "agent.py"
    path.write_bytes(path.read_bytes().replace(b'"""', b'"""!', 1))
    return path


@dataclass(frozen=True)
class Machine:
    """A machine that has started, with its TPM.

    Attributes:
        tree: What runs on it.
        socket: Of its TPM.
        log: Of its firmware.
        ek: SHA-256 of the public area of its endorsement key, hexadecimal.
    """

    tree: Tree
    socket: Path
    log: Path
    ek: str

    @property
    def settings(self) -> dict[str, object]:
        """`attestation` of the settings of a party that runs here."""
        own = {
            "device": "tpm",
            "tpm": f"swtpm:path={self.socket}",
            "registers": [PCR],
            "ek": "ecc",
            "event_log": str(self.log),
        }
        return {"own": own, "rehearsal": True}


@contextmanager
def started(tree: Tree) -> Iterator[Machine]:
    """Start a machine: its firmware measures what is there, before anything of it runs."""
    # Sockets need a short path.
    folder = Path(tempfile.mkdtemp(prefix="reh-", dir="/tmp"))
    try:
        with served(folder) as socket:
            with connected(socket) as tpm:
                for register, _, data in tree.events:
                    tpm.extend(register, hashlib.sha256(data).digest())
                key = tpm.create_primary(templates.EK_ECC)
                tpm.flush(key)
            log = folder / "firmware.log"
            log.write_bytes(firmware_log(tree.events))
            yield Machine(tree, socket, log, hashlib.sha256(key.public).hexdigest())
    finally:
        shutil.rmtree(folder)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
