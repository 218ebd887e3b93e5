"""A plan of an earlier version is the same plan: text and code give the same bytes and the same digest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from tests.commands import Hanse
from tests.upgrades.kept import VERSIONS, copied, items, named, read


@pytest.mark.parametrize("folder", items("plans"), ids=named)
def test_a_plans_text_gives_the_manifest_and_the_digest_that_it_gave(folder: Path, hanse: Hanse) -> None:
    manifest = (folder / "manifest.json").read_bytes()
    digest = (folder / "digest.txt").read_text().strip()

    ended = hanse("plan", "check", folder / "plan.yaml", "--json")

    assert ended.code == 0, ended.err
    # The digest is that of the canonical bytes: the same digest, the same bytes.
    assert hashlib.sha256(manifest).hexdigest() == digest
    found = json.loads(ended.out)
    assert (found["digest"], found["manifest"]) == (digest, json.loads(manifest))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_site_knows_the_plans_that_it_has_seen_and_what_was_decided(
    version: str, tmp_path: Path, hanse: Hanse
) -> None:
    sites = copied(version, tmp_path / "federation") / "sites"

    listed = {site.name: hanse("plan", "list", "--site", site, "--json") for site in sorted(sites.iterdir())}

    found = {name: json.loads(ended.out) for name, ended in listed.items()}
    assert {name: facts(plans) for name, plans in found.items()} == {
        name: facts(plans) for name, plans in read(version, "decisions.json").items()
    }


def facts(plans: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """What a site knows of its plans, without the words in which each version says it."""
    return [
        (plan["digest"], plan["name"], plan["state"].split()[0], plan["decided_ms"], plan["runs"])
        for plan in plans
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_site_can_show_each_plan_that_it_has_seen(version: str, tmp_path: Path, hanse: Hanse) -> None:
    sites = copied(version, tmp_path / "federation") / "sites"

    for name, plans in read(version, "decisions.json").items():
        for plan in plans:
            ended = hanse("plan", "show", plan["digest"][:12], "--site", sites / name, "--json")

            assert ended.code == 0, ended.err
            assert json.loads(ended.out)["digest"] == plan["digest"]
            assert json.loads(ended.out)["manifest"]["plan"]["name"] == plan["name"]
