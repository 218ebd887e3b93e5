"""What trying again cannot mend ends at once, at both ends, with the reason."""

from __future__ import annotations

import json
import signal
import ssl
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.integration.deployment import Deployment, Site, done, free_port, hanse
from tests.parties import enrolled

from hanse.config.layout import AUTHORITY, IDENTITY
from hanse.core.run.round_events import UpdateAccepted
from hanse.core.run.run_events import PlanAnswered, RunFailed, SiteLeft
from hanse.errors import CredentialError
from hanse.pki.authority import Authority
from hanse.pki.credentials import CERTIFICATE_FILE, KEY_FILE
from hanse.pki.tls import client_context, pinned_context
from hanse.transport.client.upstream import HttpsUpstream
from hanse.wire.messages.sites import NextRequest

CREDENTIAL, PROTOCOL, STORAGE = 8, 9, 7
"""What commands end with."""


@pytest.fixture
def third(federation: Deployment) -> Iterator[Site]:
    """A site that joins for a test, with its agent."""
    site = federation.join("c")
    agent = federation.start_agent(site.name)
    agent.says("waiting for a run")
    yield site
    hanse("federation", "remove", site.name, "-d", federation.directory)
    agent.ended()
    del federation.sites[site.name]


def test_a_site_that_is_removed_while_it_waits_ends_with_the_reason(
    federation: Deployment, third: Site
) -> None:
    done("federation", "remove", third.name, "-d", federation.directory)

    assert federation.agent(third.name).ended() == CREDENTIAL
    federation.agent(third.name).says(f"{third.name} was removed from the federation")


def test_a_site_that_is_removed_while_it_trains_ends_and_the_others_go_on(
    federation: Deployment, third: Site
) -> None:
    third.hold("train", 1)
    run = federation.submit(cohort={"deadline": "5m", "minimum": 2, "quorum": 0.6})
    third.held(run.run_id, "train", 1)
    federation.agent(third.name).workers()

    done("federation", "remove", third.name, "-d", federation.directory)

    federation.agent(third.name).must_be_gone()
    assert run.until(SiteLeft).reason == "removed from the federation"
    run.finished()
    assert {event.site for event in run.events if isinstance(event, UpdateAccepted)} == {"a", "b"}


def test_a_plan_that_exceeds_a_sites_policy_is_refused_with_the_reason(
    federation: Deployment, third: Site
) -> None:
    federation.agent(third.name).end(signal.SIGTERM)
    third.settings(policy={"accept": ["*"], "discloses": {"update": "none"}})
    federation.start_agent(third.name)
    run = federation.submit(cohort={"minimum": 3})

    ended = hanse("run", "watch", run.run_id, "-d", federation.directory)

    reason = "task train discloses update: aggregate; this site permits none"
    answer = run.until(PlanAnswered, site=third.name)
    assert (answer.accepted, answer.reasons) == (False, (reason,))
    assert run.until(RunFailed).reason.endswith(f"{third.name} refused: {reason}")
    assert ended.code == 5
    assert f"{third.name} refuses: {reason}" in ended.out
    federation.agent(third.name).says(f"refused: {reason}")


def test_a_plan_that_was_altered_at_a_site_is_refused_by_its_digest(
    federation: Deployment, third: Site
) -> None:
    first = federation.submit()
    first.finished()
    file = third.directory / "plans" / first.status.plan_digest / "manifest.json"
    plan = json.loads(file.read_text())
    plan["plan"]["rounds"] = 100
    file.write_text(json.dumps(plan))

    run = federation.submit(cohort={"deadline": "5m"})

    answer = run.until(PlanAnswered, site=third.name)
    assert not answer.accepted
    assert "its SHA-256 differs" in answer.reasons[0]
    federation.agent(third.name).says("its SHA-256 differs")
    run.finished()


def test_code_that_was_altered_at_a_site_is_not_run(federation: Deployment, third: Site) -> None:
    undisturbed = federation.submit()
    model = undisturbed.finished()
    file = third.directory / "plans" / undisturbed.status.plan_digest / "bundle" / "momentum.py"
    file.chmod(0o600)
    file.write_text("raise SystemExit('altered')")

    assert federation.submit().finished() == model


def test_a_second_aggregator_on_the_same_directory_is_refused(federation: Deployment) -> None:
    second = federation.command("aggregator", "start", federation.directory)

    assert second.ended() == STORAGE
    second.says(f"another aggregator (pid {federation.aggregator.pid}) is using {federation.directory}")
    assert federation.submit().finished()


def test_a_second_agent_on_the_same_directory_is_refused(federation: Deployment) -> None:
    site = federation.sites["a"].directory
    second = federation.command("collaborator", "start", "--site", site)

    assert second.ended() == STORAGE
    second.says(f"another collaborator (pid {federation.agent('a').pid}) is using {site}")
    assert federation.agent("a").runs


def test_a_token_is_good_once(federation: Deployment, tmp_path: Path) -> None:
    token = federation.invitation("d")
    done("join", token, "--site", tmp_path / "first")

    again = hanse("join", token, "--site", tmp_path / "second")

    assert again.code == CREDENTIAL
    assert "the invitation for d was used already" in again.err
    assert not (tmp_path / "second").exists()
    done("federation", "remove", "d", "-d", federation.directory)


def test_the_agent_of_another_federation_ends_at_once(federation: Deployment, tmp_path: Path) -> None:
    site = stranger(tmp_path, federation.url)

    agent = federation.command("collaborator", "start", "--site", site)

    assert agent.ended() == CREDENTIAL
    agent.says("its certificate is from another authority than this federation's")


def test_the_certificate_of_another_federation_is_refused(
    federation: Deployment, tmp_path: Path, run: Callable[[Any], Any]
) -> None:
    identity = stranger(tmp_path, federation.url) / IDENTITY
    context = pinned_context((federation.directory / AUTHORITY / "ca.crt").read_text())
    context.load_cert_chain(identity / CERTIFICATE_FILE, identity / KEY_FILE)

    with pytest.raises(CredentialError, match="this party's certificate is from another authority"):
        run(ask(federation.url, context, HttpsUpstream.hello))

    federation.aggregator.says("refused a TLS handshake")


def test_a_certificate_that_was_never_enrolled_is_refused(
    federation: Deployment, tmp_path: Path, run: Callable[[Any], Any]
) -> None:
    forged = enrolled(Authority.load(federation.directory / AUTHORITY), tmp_path, "mallory", since=now())

    with pytest.raises(CredentialError, match="no collaborator named mallory is enrolled here"):
        run(ask(federation.url, client_context(forged), lambda upstream: upstream.next(NextRequest())))

    federation.aggregator.says("no collaborator named mallory is enrolled here")


def stranger(folder: Path, url: str) -> Path:
    """The folder of a site in another federation of the same name, that looks for its aggregator at `url`."""
    other, site = folder / "other", folder / "stranger"
    done("federation", "create", other, "--name", "north", "--port", free_port())
    request = ("--request", "a", "--federation", "north", "--url", url, "-o", folder / "a.csr")
    done("join", *request, "--site", site)
    done("federation", "sign", folder / "a.csr", "--name", "a", "-o", folder / "a.pem", "-d", other)
    done("join", "--certificate", folder / "a.pem", "--site", site)
    return site


async def ask(url: str, context: ssl.SSLContext, call: Callable[[HttpsUpstream], Awaitable[object]]) -> None:
    upstream = HttpsUpstream(url, context, proxy=None)
    try:
        await call(upstream)
    finally:
        await upstream.close()


def now() -> datetime:
    return datetime.now(UTC)
