"""Attacks of a dishonest operator and of members on a masked sum, each refused in words or without a use.

The rosters here are what an operator could make of the READYs that came; the sites are those that mask.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.federations import FederationFixture
from tests.masked_sums import member
from tests.masking_sites import MaskingSite
from tests.unit.aggregator.sums.cells import PLAN, Sums, asked, counted

from hanse.core.run.lifecycle import Stop
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound
from hanse.core.values.canonical import sha256
from hanse.core.values.statements import SignedStatement
from hanse.core.values.sums.ready import READY
from hanse.errors import TrustError
from hanse.privacy.secagg.site_steps import AskPerson, Fail, Instruction, WriteMasked

Run = Callable[[Any], Any]
Forge = Callable[[Sums, tuple[SignedStatement, ...]], tuple[SignedStatement, ...]]

PRIME = 2**255 - 19
OF_ORDER_EIGHT = "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"


def in_sums(run: Run, fixture: FederationFixture, body: Callable[[Sums], Any], **plan: Any) -> None:
    async def main() -> None:
        async with asked(fixture, **plan) as sums:
            await body(sums)

    run(main())


def refused(made: tuple[Instruction, ...]) -> str:
    """Why a site masks nothing."""
    assert not any(isinstance(instruction, WriteMasked) for instruction in made)
    (fail,) = (instruction for instruction in made if isinstance(instruction, Fail))
    return fail.reason


def by_impostor(statement: SignedStatement, **changes: Any) -> SignedStatement:
    """The READY of a site, made by an operator who has certified a key of its own in that name."""
    own = member(statement.body["site"], "a key of the operator")
    return own.key.sign(READY, statement.body | {"signer": own.fingerprint} | changes)


def resigned(sums: Sums, statement: SignedStatement, **changes: Any) -> SignedStatement:
    """A READY with another body, signed by its colluding site."""
    return sums.sites[statement.body["site"]].sign(statement.body | changes)


ROSTERS: dict[str, tuple[Forge, str]] = {
    "without a member": (lambda sums, ready: ready[:2], "the roster has no READY of c"),
    "with a stranger more": (
        lambda sums, ready: (*ready, by_impostor(ready[2], site="d")),
        "the roster has a READY of 'd', which is not a member of the cell",
    ),
    "with a member twice": (lambda sums, ready: (*ready, ready[2]), "the roster has two READYs of c"),
    "with a key of the operator in a member's name": (
        lambda sums, ready: (*ready[:2], by_impostor(ready[2])),
        "the READY of c is signed with key",
    ),
    "with one public key twice": (
        lambda sums, ready: (*ready[:2], resigned(sums, ready[2], public=ready[1].body["public"])),
        "b and c state one and the same public key",
    ),
    "with this site's own public key": (
        lambda sums, ready: (*ready[:2], resigned(sums, ready[2], public=ready[0].body["public"])),
        "a and c state one and the same public key",
    ),
    "with a copied key whose top bit is set": (
        lambda sums, ready: (*ready[:2], resigned(sums, ready[2], public=top_bit(ready[1]))),
        "the public key in the READY of c is not written in its one form",
    ),
    "with a copied key above the prime": (
        lambda sums, ready: (*ready[:2], resigned(sums, ready[2], public=number(PRIME + 9))),
        "the public key in the READY of c is not written in its one form",
    ),
    "with a key of order one": (
        lambda sums, ready: (*ready[:2], resigned(sums, ready[2], public=number(1))),
        "the public key",
    ),
    "with a key of order eight": (
        lambda sums, ready: (*ready[:2], resigned(sums, ready[2], public=OF_ORDER_EIGHT)),
        "the public key",
    ),
    "with an old READY": (
        lambda sums, ready: (*ready[:2], resigned(sums, ready[2], attempt=2)),
        "the READY of c has another attempt than that of a",
    ),
    "with a READY of another exchange": (
        lambda sums, ready: (*ready[:2], resigned(sums, ready[2], exchange=2)),
        "the READY of c has another exchange than that of a",
    ),
    "with a READY of another run": (
        lambda sums, ready: (*ready[:2], resigned(sums, ready[2], run_id="demo-9")),
        "the READY of c has another run_id than that of a",
    ),
    "with a member that was asked something else": (
        lambda sums, ready: (*ready[:2], resigned(sums, ready[2], context=sha256(b"another"))),
        "the READY of c has another context than that of a",
    ),
    "with an altered READY of this site": (
        lambda sums, ready: (resigned(sums, ready[0], public=number(9)), *ready[1:]),
        "the roster has another READY of a than the one that this site sent last",
    ),
}


def number(value: int) -> str:
    return value.to_bytes(32, "little").hex()


def top_bit(statement: SignedStatement) -> str:
    public = bytearray.fromhex(statement.body["public"])
    public[31] |= 0x80
    return public.hex()


@pytest.mark.parametrize("name", ROSTERS)
def test_a_site_that_is_shown_another_roster_masks_nothing(
    name: str, fixture: FederationFixture, run: Run
) -> None:
    forge, problem = ROSTERS[name]

    async def body(sums: Sums) -> None:
        await sums.ready()
        a = sums.sites["a"]
        shown = forge(sums, await a.roster())
        assert problem in refused(await a.shown(shown))

    in_sums(run, fixture, body)


class TestReadyTwice:
    def test_one_ready_in_two_rosters_masks_for_the_first_alone(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def body(sums: Sums) -> None:
            await sums.ready()
            a, c = sums.sites["a"], sums.sites["c"]
            roster = await a.roster()
            first = await a.masked()
            other = (*roster[:2], c.sign(roster[2].body | {"public": number(9)}))
            assert await a.shown(other) == ()
            assert first.secure_sum is not None
            assert [*(await a.present()).state.history.masked] == [first.secure_sum.rho]

        in_sums(run, fixture, body)

    def test_a_member_with_other_numbers_in_the_next_attempt_is_refused_by_all(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def body(sums: Sums) -> None:
            await sums.ready()
            a, c = sums.sites["a"], sums.sites["c"]
            await a.hand_in(await a.masked())
            c.lose_key()
            await c._see_to(await c.work(), await c.asked())
            await sums.ready("a", "b")
            roster = await a.roster()
            shown = (*roster[:2], c.sign(roster[2].body | {"commitment": sha256(b"another q")}))
            assert "c commits to other numbers than in the first roster" in refused(await a.shown(shown))

        in_sums(run, fixture, body)


class TestAnotherQuestion:
    @pytest.mark.parametrize(
        "changes",
        [
            {"settings": {"scale": 2.0}},
            {"groups": {"edges": sha256(b"other edges")}},
            {"model": sha256(b"another model")},
            {"layout": sha256(b"another layout")},
            {"cells": ("all",)},
            {"round_number": 2},
            {"plan_digest": sha256(b"another plan")},
            {"submitted_ms": 7},
            {"colluders": 2},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_a_site_that_was_sent_something_else_is_refused_before_it_masks(
        self, changes: dict[str, Any], fixture: FederationFixture, run: Run
    ) -> None:
        async def body(sums: Sums) -> None:
            a = sums.sites["a"]
            a.changes = changes
            statement = await a.ready()
            with pytest.raises(TrustError, match="the READY of a has another context than this exchange"):
                await a.send(statement, sums.run_id)

        in_sums(run, fixture, body)

    def test_a_site_that_masks_something_else_makes_noise_of_the_sum(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        """Where the operator has the site state the context of the others, its masks do not cancel."""

        async def body(sums: Sums) -> None:
            await sums.ready()
            a, roster = sums.sites["a"], await sums.sites["a"].roster()
            await sums.masked("b", "c")
            # As if a had been shown another READY of c.
            other = (*roster[:2], sums.sites["c"].sign(roster[2].body | {"public": number(9)}))
            (write,) = (made for made in await a.shown(other) if isinstance(made, WriteMasked))
            send = a._write(await a.work(), await a.asked(), write)
            assert send.rho != sums.cell.rho
            part = await a.present()
            vectors = [part.vector(send.rho)] + [
                (await sums.sites[name].present()).vector(str(sums.cell.rho)) for name in "bc"
            ]
            total = np.sum(vectors, axis=0, dtype=np.uint32)
            assert total[-4:].tolist() != [111, 222, 333, 444]
            assert int(total[-4:].max()) > 2**20

        in_sums(run, fixture, body)


class TestFamilies:
    """Sums that could be subtracted down to one site."""

    @pytest.mark.parametrize(
        ("first", "second", "disclosed"),
        [
            ("abcd", "abc", ("d",)),
            ("abc", "abcd", ("d",)),
            ("abcd", "abce", ("d", "e")),
        ],
    )
    def test_a_second_plan_without_one_party_waits_for_a_person(
        self, first: str, second: str, disclosed: tuple[str, ...], fixture: FederationFixture, run: Run
    ) -> None:
        fixture.credentials |= {name: fixture.enrolled(name) for name in "de"}

        async def main() -> None:
            async with asked(fixture, cells={"all": [*first]}) as sums:
                sites = {name: MaskingSite(fixture, name, counted(i)) for i, name in enumerate("abcde")}
                sums.sites = sites
                await sums.ready(*first)
                await sums.masked(*first)
                await fixture.controller(sums.run_id).execute(Stop("operator", "enough"))
                run_id = await fixture.submit(**PLAN | {"cells": {"all": [*second]}})
                await fixture.accepted(run_id)
                controller = fixture.controller(run_id)
                await controller.execute(Commit(0, None), OpenRound(1), OpenExchange(1, 0, "count", None))
                again = Sums(fixture, run_id)
                again.sites = sites
                await again.ready(*second)
                (made,) = await sites["a"].shown(await sites["a"].roster())
                assert isinstance(made, AskPerson)
                assert [overlap.disclosed for overlap in made.overlaps] == [disclosed]

        run(main())

    def test_the_same_roster_again_passes(self, fixture: FederationFixture, run: Run) -> None:
        async def body(sums: Sums) -> None:
            await sums.ready()
            await sums.masked()
            controller = fixture.controller(sums.run_id)
            await controller.execute(Commit(1, None), OpenRound(2), OpenExchange(2, 0, "count", None))
            await sums.ready()
            await sums.masked()
            assert sums.exchange.closed == "all"
            assert len(sums.sites["a"].rosters) == 2

        in_sums(run, fixture, body)

    def test_an_impostor_under_a_members_name_is_another_member(
        self, fixture: FederationFixture, run: Run
    ) -> None:
        async def body(sums: Sums) -> None:
            a = sums.sites["a"]
            await sums.ready()
            # Of the sites that a has not checked, it knows the key that it saw first.
            roster = await a.roster()
            part = await a.present()
            pins = part.state.plan.pins
            first = {name: key for name, key in pins.checked.items() if name != "c"}
            seen = {"c": pins.checked["c"]}
            part.state = replace(
                part.state, plan=replace(part.state.plan, pins=replace(pins, checked=first, seen=seen))
            )
            assert "c is known here by" in refused(await a.shown((*roster[:2], by_impostor(roster[2]))))

        in_sums(run, fixture, body)
