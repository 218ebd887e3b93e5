from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.plan.plan import Plan
from hanse.core.values.canonical import sha256


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    """A folder with a plan and its code; gives the path of the plan."""

    def write(plan: str, **code: str) -> Path:
        for name, text in code.items():
            (tmp_path / f"{name}.py").write_text(text)
        (tmp_path / "plan.yaml").write_text(plan)
        return tmp_path / "plan.yaml"

    return write


@pytest.fixture
def manifest() -> Callable[..., Manifest]:
    """A manifest: a small plan with some changes, and what is in its files of code."""

    def make(code: dict[str, bytes] | None = None, **changes: Any) -> Manifest:
        contents = {"federation.py": b"def learner(site): ...\n"} if code is None else code
        settings = {
            "name": "chest-xray",
            "code": list(contents),
            "learner": "federation:learner",
            "tasks": {"train": {"discloses": {"update": "individual"}}},
        }
        files = tuple(
            CodeFile(path=path, sha256=sha256(data), size=len(data)) for path, data in contents.items()
        )
        start = None
        if changes.get("initial_model") not in (None, "none", "workflow"):
            start = CodeFile(path=changes["initial_model"], sha256="1" * 64, size=1)
        return Manifest(plan=Plan.model_validate(settings | changes), files=files, initial_model=start)

    return make
