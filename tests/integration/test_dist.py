"""`make dist`: wheels from which Hanse is installed where there is no network."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("Makefile", "pyproject.toml", "README.md", "LICENSE", "src", "deploy")
NO_INDEX = ("No matching distribution found", "Connection", "connection", "Temporary failure")
"""What pip says where it reaches no index of packages."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def run(*command: object, cwd: Path) -> str:
    """What a command prints, on both streams; it has to succeed."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=500,
        check=False,
    )
    if done.returncode and command[0] == "make" and any(words in done.stdout for words in NO_INDEX):
        pytest.skip("needs an index of packages")
    assert done.returncode == 0, done.stdout[-2000:]
    return done.stdout


def test_hanse_is_installed_from_its_wheels_without_a_network(tmp_path: Path) -> None:
    for name in SOURCES:
        source = ROOT / name
        ignored = shutil.ignore_patterns("__pycache__")
        copied = tmp_path / name
        shutil.copytree(source, copied, ignore=ignored) if source.is_dir() else shutil.copy(source, copied)

    run("make", "dist", f"VENV={sys.prefix}", cwd=tmp_path)

    dist = tmp_path / "dist"
    listed = dict(reversed(line.split(maxsplit=1)) for line in (dist / "SHA256SUMS").read_text().splitlines())
    files = {path.name: path for path in dist.iterdir() if path.name != "SHA256SUMS"}
    assert {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()} == listed
    assert {"hanse-aggregator.service", "hanse-collaborator.service"} < files.keys()
    run(sys.executable, "-m", "venv", "site", cwd=tmp_path)
    python = tmp_path / "site" / "bin" / "python"
    run(python, "-m", "pip", "install", "--no-index", "--find-links", dist, "hanse", cwd=tmp_path)
    assert run(tmp_path / "site" / "bin" / "hanse", "--version", cwd=tmp_path).startswith("hanse ")
