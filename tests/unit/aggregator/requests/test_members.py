"""Requests about who belongs to the federation, and what follows for the runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.federations import FederationFixture
from tests.parties import der, signing_key

from hanse.aggregator.requests import members as members_module
from hanse.core.journal.membership import PartyEnrolled
from hanse.core.run.exchange_protocol import MemberState
from hanse.core.run.lifecycle import Invite, Stop
from hanse.core.values.identity import Party, Role
from hanse.core.values.peer import Peer
from hanse.core.values.statements import SignedStatement
from hanse.errors import RunError, StorageError
from hanse.pki.enrolment import read_token, request_certificate
from hanse.pki.key_statements import enrolment_of, rotation_of
from hanse.pki.keys import new_key
from hanse.pki.signing_key import SigningKey
from hanse.wire.messages.members import (
    EnrolRequest,
    InviteRequest,
    PeersQuery,
    RemoveRequest,
    RenewRequest,
    SigningKeyRequest,
    SignRequest,
)
from hanse.wire.messages.runs import StopRequest

Run = Callable[[Any], Any]


def request(name: str) -> str:
    return request_certificate(new_key(), Party("north", Role.COLLABORATOR, name))


def enrolment(name: str, role: Role = Role.COLLABORATOR, key: SigningKey | None = None) -> SignedStatement:
    return enrolment_of(key or SigningKey.create(), Party("north", role, name))


def test_a_site_joins_with_an_invitation(fixture: FederationFixture, run: Run) -> None:
    async def main() -> None:
        async with fixture.serving() as service:
            reply = await service.member_requests.invite(fixture.operator, InviteRequest(name="d"))
            assert read_token(reply.token).url == fixture.options.url
            await service.member_requests.enrol(
                EnrolRequest(token=reply.token, csr=request("d"), enrolment=enrolment("d"))
            )
            assert "d" in [
                member.name for member in (await service.member_requests.members(fixture.operator)).members
            ]

    run(main())


def test_sites_see_each_others_signing_keys_and_no_operator_and_nobody_who_was_removed(
    fixture: FederationFixture, run: Run
) -> None:
    async def main() -> None:
        async with fixture.serving() as service:
            members = service.member_requests
            await members.remove(fixture.operator, "b", RemoveRequest())
            listed = await members.peers(fixture.peer("a"), PeersQuery())
            assert [peer.name for peer in listed.peers] == ["a", "c"]
            assert listed.peers[0].signing_key == signing_key(fixture.credentials["a"]).fingerprint
            assert not listed.more

    run(main())


def test_the_list_of_sites_goes_on_after_the_last_name_of_its_first_part(
    fixture: FederationFixture, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members_module, "MOST_PEERS", 2)

    async def main() -> None:
        async with fixture.serving() as service:
            members = service.member_requests
            first = await members.peers(fixture.peer("a"), PeersQuery())
            rest = await members.peers(fixture.peer("a"), PeersQuery(after="b"))
            assert ([peer.name for peer in first.peers], first.more) == (["a", "b"], True)
            assert ([peer.name for peer in rest.peers], rest.more) == (["c"], False)

    run(main())


def test_a_site_that_joins_is_asked_about_the_runs_under_way(fixture: FederationFixture, run: Run) -> None:
    async def main() -> None:
        async with fixture.serving() as service:
            run_id = await fixture.submit()
            await service.member_requests.sign(
                fixture.operator, SignRequest(name="d", csr=request("d"), enrolment=enrolment("d"))
            )
            assert "d" in fixture.run(run_id).invited

    run(main())


def test_an_operator_that_joins_is_not(fixture: FederationFixture, run: Run) -> None:
    async def main() -> None:
        async with fixture.serving() as service:
            run_id = await fixture.submit()
            signing = SignRequest(
                name="olga",
                role=Role.OPERATOR,
                csr=request("olga"),
                enrolment=enrolment("olga", Role.OPERATOR),
            )
            await service.member_requests.sign(fixture.operator, signing)
            assert "olga" not in fixture.run(run_id).invited

    run(main())


def test_a_site_gets_its_certificate_though_a_run_cannot_be_told(
    fixture: FederationFixture, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with fixture.serving() as service:
            run_id = await fixture.submit()
            execute = fixture.controller(run_id).execute

            async def full(command: Any) -> Any:
                if isinstance(command, Invite):
                    raise StorageError("the disk is full")
                return await execute(command)

            monkeypatch.setattr(fixture.controller(run_id), "execute", full)
            issued = await service.member_requests.sign(
                fixture.operator, SignRequest(name="d", csr=request("d"), enrolment=enrolment("d"))
            )
            assert issued.certificate
            await fixture.restart()
            assert "d" in fixture.run(run_id).invited

    run(main())


def test_a_removed_site_leaves_the_round_that_it_was_asked_in(fixture: FederationFixture, run: Run) -> None:
    async def main() -> None:
        async with fixture.serving() as service:
            run_id = await fixture.asked(cohort={"quorum": 0.6})
            removed = await service.member_requests.remove(fixture.operator, "c", RemoveRequest())
            member = fixture.run(run_id).exchanges[1].members["c"]
            assert (member.state, member.reason) == (MemberState.FAILED, "removed from the federation")
            assert [member.name for member in removed.members if member.removed] == ["c"]

    run(main())


def test_who_was_removed_while_the_service_was_down_leaves_at_the_next_start(
    fixture: FederationFixture, run: Run
) -> None:
    async def main() -> None:
        async with fixture.serving():
            run_id = await fixture.asked(cohort={"quorum": 0.6})
            await fixture.close()
            fixture.open()
            fixture.registry.remove("c", "operator")
            await fixture.service.start()
            assert "c" in fixture.run(run_id).left

    run(main())


def test_who_was_removed_while_a_run_was_stopped_leaves_when_it_is_resumed(
    fixture: FederationFixture, run: Run
) -> None:
    async def main() -> None:
        async with fixture.serving() as service:
            run_id = await fixture.asked(cohort={"quorum": 0.6})
            await service.run_requests.stop(fixture.operator, run_id, StopRequest())
            await service.member_requests.remove(fixture.operator, "c", RemoveRequest())
            await service.run_requests.resume(fixture.operator, run_id)
            assert "c" in fixture.run(run_id).left

    run(main())


def test_a_certificate_is_renewed_for_who_asks(fixture: FederationFixture, run: Run) -> None:
    async def main() -> None:
        async with fixture.serving() as service:
            credentials = fixture.credentials["a"]
            party = service.admit(der(credentials))
            issued = await service.member_requests.renew(party, RenewRequest(csr=request("a")))
            assert issued.certificate
            (member,) = (
                m for m in (await service.member_requests.members(fixture.operator)).members if m.name == "a"
            )
            assert member.seen_ms is not None

    run(main())


def rotation(fixture: FederationFixture, name: str, new: SigningKey) -> SigningKeyRequest:
    party = fixture.party(name)
    stated = rotation_of(signing_key(fixture.credentials[name]), new, party)
    return SigningKeyRequest(enrolment=enrolment_of(new, party), rotation=stated)


def test_a_party_is_told_which_signing_key_is_recorded_for_it(fixture: FederationFixture, run: Run) -> None:
    async def main() -> None:
        async with fixture.serving() as service:
            reply = await service.member_requests.signing_key(fixture.peer("a"))
            assert reply.fingerprint == signing_key(fixture.credentials["a"]).fingerprint

    run(main())


def test_a_signing_key_is_rotated_while_the_site_takes_part_in_no_run(
    fixture: FederationFixture, run: Run
) -> None:
    async def main() -> None:
        async with fixture.serving() as service:
            new, asked = SigningKey.create(), service.member_requests
            run_id = await fixture.submit()
            reply = await asked.record_signing_key(fixture.peer("a"), rotation(fixture, "a", new))
            assert reply.fingerprint == new.fingerprint
            assert (await asked.signing_key(fixture.peer("a"))).fingerprint == new.fingerprint
            listed = {member.name: member for member in (await asked.members(fixture.operator)).members}
            assert (listed["a"].signing_key, listed["a"].key_at_enrolment) == (new.fingerprint, True)
            assert fixture.run(run_id).unanswered == ("a", "b", "c")

    run(main())


def test_no_signing_key_changes_within_a_run(fixture: FederationFixture, run: Run) -> None:
    async def main() -> None:
        async with fixture.serving() as service:
            asked, request = service.member_requests, rotation(fixture, "a", SigningKey.create())
            run_id = await fixture.submit()
            await fixture.answer(run_id, "a")
            with pytest.raises(RunError, match=f"a takes part in run {run_id}"):
                await asked.record_signing_key(fixture.peer("a"), request)

            await fixture.controller(run_id).execute(Stop("operator"))
            await asked.record_signing_key(fixture.peer("a"), request)

    run(main())


def test_a_rotation_whose_reply_was_lost_is_repeated_without_an_error(
    fixture: FederationFixture, run: Run
) -> None:
    async def main() -> None:
        async with fixture.serving() as service:
            asked, new = service.member_requests, SigningKey.create()
            request = rotation(fixture, "a", new)
            await asked.record_signing_key(fixture.peer("a"), request)
            run_id = await fixture.submit()
            exchanged(fixture, "a", new)
            await fixture.answer(run_id, "a")

            reply = await asked.record_signing_key(fixture.peer("a"), request)

            assert reply.fingerprint == new.fingerprint
            assert fixture.run(run_id).taking_part == {"a"}

    run(main())


def test_an_operator_that_states_its_key_late_is_asked_about_no_plan(
    fixture: FederationFixture, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with fixture.serving() as service:
            run_id, key = await fixture.submit(), SigningKey.create()
            body = {"name": "olga", "role": "operator", "certificate": "0" * 64, "not_after_ms": 5}
            fixture.registry._append(PartyEnrolled.model_validate(body))
            olga = Peer(Party("north", Role.OPERATOR, "olga"), "0" * 64, 5)
            request = SigningKeyRequest(enrolment=enrolment("olga", Role.OPERATOR, key))

            reply = await service.member_requests.record_signing_key(olga, request)

            assert reply.fingerprint == key.fingerprint
            assert key.words in caplog.text
            assert "olga" not in fixture.run(run_id).invited

    run(main())


def test_a_site_that_was_enrolled_again_meanwhile_is_asked_for_its_consent_with_the_new_key(
    fixture: FederationFixture, run: Run
) -> None:
    async def main() -> None:
        run_id = ""
        async with fixture.serving():
            run_id = await fixture.asked("evaluate", cohort={"quorum": 0.5})
        fixture.open()
        fixture.registry.remove("a", "operator")
        fixture.credentials["a"] = fixture.enrolled("a")  # by hand, while the service does not run
        async with fixture.serving():
            run_ = fixture.run(run_id)
            assert ("a" in run_.taking_part, "a" in run_.roster, run_.unanswered) == (False, False, ("a",))
            assert run_.exchanges[1].members["a"].state is MemberState.FAILED
            await fixture.answer(run_id, "a")
            assert fixture.run(run_id).roster["a"] == signing_key(fixture.credentials["a"]).fingerprint

    run(main())


def exchanged(fixture: FederationFixture, name: str, key: SigningKey) -> None:
    """Give a site a folder with another signing key."""
    old = fixture.credentials[name]
    folder = old.directory.with_name(f"{old.directory.name}-rotated")
    key.save(folder)
    fixture.credentials[name] = replace(old, directory=folder)
