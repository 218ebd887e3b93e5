"""Defaults of a site's policy that are new since the version that wrote its `site.yaml`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hanse.config.settings import SITE_FILE, SiteSettings
from hanse.core.values.wording import counted
from hanse.doctor.checks import Finding, Grade
from hanse.files.errors import file_errors

_KEY = "at_least"
"""A key that each `site.yaml` of this version has, in a comment at least, and none of 0.1."""


def check_new_defaults(directory: Path, settings: SiteSettings) -> Iterator[Finding]:
    """Say what is refused by default since the settings of a site were written.

    Args:
        directory: The site's folder.
        settings: As the folder has them.
    """
    path = directory / SITE_FILE
    with file_errors(f"read {path}"):
        if _KEY in path.read_text(encoding="utf-8"):
            return
    discloses = settings.policy.discloses
    if "failures" not in discloses.model_fields_set:
        yield Finding(
            "policy",
            Grade.WARN,
            f"{SITE_FILE} is of 0.1 and sets no `failures`: a failed task now states its kind only, and "
            "with 0.1 it sent the message of its error",
            f"Add `failures: {discloses.failures}` under `policy: discloses:` if that is meant; "
            "`failures: message` discloses what 0.1 did.",
        )
    if discloses.update == "none" or "at_least" in discloses.model_fields_set:
        return
    yield Finding(
        "policy",
        Grade.WARN,
        f"{SITE_FILE} has no line for `{_KEY}`, which is new since 0.1: the site refuses plans that may "
        f"disclose a sum of fewer than {counted(discloses.at_least, 'site')}, accepted ones too",
        f"Add `{_KEY}: {discloses.at_least}` under `policy: discloses:` if that is meant; `{_KEY}: 1` "
        "permits what 0.1 permitted.",
    )
