"""Copies of a plan with other settings, such as fewer rounds: another plan, with a digest of its own."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml


def changed(plan: Path, folder: Path, changes: Mapping[str, Any]) -> Path:
    """Write a plan with changes into a folder, with the files that it needs.

    Args:
        plan: File of the plan.
        folder: Where to; made.
        changes: Values by plan key; of a section, the keys in it that change. None leaves a key as it is.

    Returns:
        The file of the changed plan.
    """
    told = yaml.safe_load(plan.read_text("utf-8"))
    for key, value in changes.items():
        if isinstance(value, Mapping):
            told[key] = {**told.get(key, {}), **value}
        elif value is not None:
            told[key] = value
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*told["code"], told.get("initial_model", "")):
        if (plan.parent / name).is_file():
            shutil.copyfile(plan.parent / name, folder / name)
    copy = folder / plan.name
    copy.write_text(yaml.safe_dump(told, sort_keys=False), "utf-8")
    return copy
