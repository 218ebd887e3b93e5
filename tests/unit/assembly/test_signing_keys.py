"""Rotation of a site's signing key: killed at any point, the key that counts is found again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.parties import new_authority
from tests.unit.collaborator.aggregators import SITE, Site, joined

from hanse import fault_points
from hanse.assembly import signing_keys
from hanse.assembly.signing_keys import rotate, site_signing_key
from hanse.collaborator.rosters import settle_signing_key
from hanse.config.settings import SiteSettings, settings_yaml
from hanse.errors import CredentialError, RunError, StorageError, TransportError
from hanse.fault_points import Facts, FaultPoint
from hanse.files.lock import DirectoryLock
from hanse.pki.signing_key import SIGNING_KEY_FILE, SigningKey
from hanse.pki.signing_key_files import NEXT_KEY_FILE, is_settled, own_keys

STEPS = ("made", "noted", "recorded", "in place")


class Killed(BaseException):
    """As a kill: no handler of the product takes it."""


class KillAt:
    """Kills at a step of the change of keys."""

    def __init__(self, step: str) -> None:
        self.step = step

    def reached(self, point: FaultPoint, facts: Facts) -> None:
        if point is FaultPoint.AFTER_KEY and facts["step"] == self.step:
            raise Killed

    async def reached_async(self, point: FaultPoint, facts: Facts) -> None:
        self.reached(point, facts)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    directory = tmp_path / "site"
    directory.mkdir()
    site = joined(directory, new_authority())
    settings = SiteSettings(
        name="hospital-a", federation="north", aggregator="https://localhost:1", proxy=None
    )
    (directory / "site.yaml").write_text(settings_yaml(settings))
    monkeypatch.setattr(signing_keys, "site_upstream", lambda *_: site.upstream)
    return site


def killed_at(step: str, call: Callable[[], object]) -> None:
    """Call, and be killed at a step."""
    fault_points.observer = KillAt(step)
    try:
        with pytest.raises(Killed):
            call()
    finally:
        fault_points.observer = None


def pki(site: Site) -> Path:
    return site.directory / "pki"


def served(site: Site) -> SigningKey:
    """The key with which an agent signs that starts now."""
    identity = site.context().identity
    asyncio.run(settle_signing_key(site.directory, identity, site.upstream))
    return identity.signing_key


def test_a_new_key_takes_the_place_of_the_old_one_which_stays_known_as_the_sites_own(site: Site) -> None:
    old = site_signing_key(site.directory)

    rotation = asyncio.run(rotate(site.directory))

    assert rotation.old == old.fingerprint
    assert site.upstream.recorded == rotation.key.fingerprint == served(site).fingerprint
    assert own_keys(pki(site), SITE) == {old.fingerprint, rotation.key.fingerprint}
    assert is_settled(pki(site))


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_the_next_agent_signs_with_the_key_that_is_recorded(site: Site, step: str) -> None:
    old = site_signing_key(site.directory)
    killed_at(step, lambda: asyncio.run(rotate(site.directory)))

    key = served(site)

    assert site.upstream.recorded == key.fingerprint == SigningKey.load(pki(site)).fingerprint
    assert (key.fingerprint == old.fingerprint) == (step in ("made", "noted"))
    assert own_keys(pki(site), SITE) >= {key.fingerprint}


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_the_next_rotation_finishes(site: Site, step: str) -> None:
    old = site_signing_key(site.directory)
    killed_at(step, lambda: asyncio.run(rotate(site.directory)))

    rotation = asyncio.run(rotate(site.directory))

    assert site.upstream.recorded == rotation.key.fingerprint == served(site).fingerprint
    assert rotation.key.fingerprint != old.fingerprint
    assert old.fingerprint in own_keys(pki(site), SITE)
    assert is_settled(pki(site))


@pytest.mark.parametrize("lost", ["record_signing_key", "record_signing_key reply"])
def test_an_answer_that_does_not_come_is_asked_for_again(site: Site, lost: str) -> None:
    site.upstream.fail(lost, TransportError("reset"))
    with pytest.raises(TransportError):
        asyncio.run(rotate(site.directory))

    rotation = asyncio.run(rotate(site.directory))

    # Where only the reply was lost, the first rotation is finished and no further key is made.
    assert (rotation.old is None) == (lost == "record_signing_key reply")
    assert site.upstream.recorded == rotation.key.fingerprint == served(site).fingerprint


def test_a_rotation_that_is_refused_leaves_all_as_it_was(site: Site) -> None:
    old = site_signing_key(site.directory)
    site.upstream.fail("record_signing_key", RunError("hospital-a takes part in run demo-1"))

    with pytest.raises(RunError, match="takes part"):
        asyncio.run(rotate(site.directory))

    assert site_signing_key(site.directory).fingerprint == old.fingerprint == served(site).fingerprint
    assert not (pki(site) / NEXT_KEY_FILE).exists()


def test_a_key_is_not_rotated_while_the_agent_runs(site: Site) -> None:
    with (
        DirectoryLock(site.directory, holder="collaborator"),
        pytest.raises(StorageError, match="Stop the agent first"),
    ):
        asyncio.run(rotate(site.directory))


def test_a_lost_key_cannot_be_rotated(site: Site) -> None:
    (pki(site) / SIGNING_KEY_FILE).unlink()

    with pytest.raises(CredentialError, match=r"is missing\. .*hanse federation remove NAME"):
        asyncio.run(rotate(site.directory))


def test_a_folder_of_before_has_no_key_to_rotate(site: Site) -> None:
    (pki(site) / SIGNING_KEY_FILE).unlink()
    site.upstream.recorded = None

    with pytest.raises(CredentialError, match="Start the agent once"):
        asyncio.run(rotate(site.directory))


@pytest.mark.parametrize("step", ["made", "recorded", "in place"])
def test_killed_while_the_first_key_is_made_the_next_agent_has_one_that_is_recorded(
    site: Site, step: str
) -> None:
    (pki(site) / SIGNING_KEY_FILE).unlink()
    site.upstream.recorded = None
    killed_at(step, lambda: served(site))

    key = served(site)

    assert site.upstream.recorded == key.fingerprint == SigningKey.load(pki(site)).fingerprint
