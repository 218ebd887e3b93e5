"""The owner's release policy."""

import os
from pathlib import Path

import pytest

from hanse.aggregator.sealed.release_policy import ReleasePolicyFile, read_release_policy
from hanse.errors import ConfigError, StorageError

PLAN, KEY, OTHER = "ab" * 32, "cd" * 32, "ef" * 32
TEXT = f"""
format = "hanse-release-1"
plans = ["{PLAN}"]

[[sites]]
name = "a"
key = "{KEY}"
"""


@pytest.mark.parametrize(
    ("plan", "site", "key", "refusal"),
    [
        (PLAN, "a", KEY, ""),
        (OTHER, "a", KEY, "the owner's release policy does not list plan efefefefefef"),
        (PLAN, "b", KEY, "the owner's release policy does not list the site b"),
        (PLAN, "a", OTHER, "lists a with the signing key cdcdcdcdcdcdcdcd, and the site signs with efef"),
        (PLAN, "a", None, "the site signs with none"),
    ],
)
def test_a_site_gets_keys_if_plan_and_signing_key_are_listed(
    plan: str, site: str, key: str | None, refusal: str
) -> None:
    found = read_release_policy(TEXT.encode(), "release.toml").refusal(plan, site, key)

    assert found == refusal if not refusal else refusal in found


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("plans = []", "format"),
        (TEXT.replace(KEY, "short"), r"release\.toml:7"),
        (TEXT + "[[site]]\n", "site"),
        ("plans = [", "not TOML"),
    ],
)
def test_what_is_no_policy_is_refused_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        read_release_policy(text.encode(), "release.toml")


def test_what_is_withdrawn_counts_from_then_on(tmp_path: Path) -> None:
    path = tmp_path / "release.toml"
    path.write_text(TEXT)
    file = ReleasePolicyFile(path)
    assert not file.now().refusal(PLAN, "a", KEY)

    path.write_text(TEXT.replace(f'"{PLAN}"', ""))
    os.utime(path, ns=(1, 1))

    assert file.now().refusal(PLAN, "a", KEY)


def test_a_policy_that_is_gone_releases_nothing(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot read .*release\.toml"):
        ReleasePolicyFile(tmp_path / "release.toml").now()
