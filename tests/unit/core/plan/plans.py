"""A plan and its manifest, to be varied."""

from typing import Any

from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.plan.plan import Plan

DIGEST = "0" * 64
TRAIN = {"train": {"discloses": {"update": "individual"}}}


def plan(**changes: Any) -> Plan:
    return Plan.model_validate(
        {"name": "chest-xray", "code": ["model.py"], "learner": "model:learner", "tasks": TRAIN} | changes
    )


def manifest(**changes: Any) -> Manifest:
    agreed = plan(**changes)
    files = tuple(CodeFile(path=path, sha256=DIGEST, size=1) for path in agreed.code)
    return Manifest(plan=agreed, files=files)
