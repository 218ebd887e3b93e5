"""Requests about who belongs to the federation, and what follows for the runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.federations import FederationFixture
from tests.parties import der

from hanse.core.run.exchange_protocol import MemberState
from hanse.core.run.lifecycle import Invite
from hanse.core.values.identity import Party, Role
from hanse.core.values.statements import SignedStatement
from hanse.errors import StorageError
from hanse.pki.enrolment import read_token, request_certificate
from hanse.pki.key_statements import enrolment_of
from hanse.pki.keys import new_key
from hanse.pki.signing_key import SigningKey
from hanse.wire.messages.members import EnrolRequest, InviteRequest, RemoveRequest, RenewRequest, SignRequest
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
