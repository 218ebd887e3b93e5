"""What a site sends that it should not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.federations import AGGREGATE, INDIVIDUAL, FederationFixture, signed

from hanse.core.plan.disclosure import MAX_EXAMPLES
from hanse.core.run.exchange_protocol import MemberState
from hanse.core.run.requests.commands import OpenExchange, OpenRound
from hanse.core.run.round_events import ResultRefused
from hanse.errors import (
    DisclosureError,
    HanseError,
    ProtocolError,
    RunError,
    TrustError,
    UpdateError,
)
from hanse.wire.messages.sites import TASK_RESULT, ResultRequest, UpdateFile
from hanse.wire.tensors import encode

Run = Callable[[Any], Any]
Attack = Callable[[FederationFixture, str], Any]


def update(**tensors: Any) -> Attack:
    """Send these tensors instead of the declared ones."""
    return lambda fixture, name: {"update": fixture.bring(name, tensors)}


def says(**changes: Any) -> Attack:
    """Send a sound update with a lie about it."""
    return lambda fixture, name: {"update": fixture.bring(name, {"w": np.ones(3, np.float32)})} | changes


def raw(data: bytes) -> Attack:
    """Send bytes that are no tensors."""
    return lambda fixture, name: {"update": fixture.bring(name, data)}


HOSTILE: dict[str, tuple[Attack, type[HanseError], str]] = {
    "another model": (says(model="f" * 64), ProtocolError, "belongs to another run, plan, model or groups"),
    "another plan": (
        says(plan_digest="f" * 64),
        ProtocolError,
        "belongs to another run, plan, model or groups",
    ),
    "another round": (says(round_number=7), ProtocolError, "round 7"),
    "another task": (says(task="evaluate"), ProtocolError, "answered evaluate"),
    "an exchange to come": (says(exchange=7), RunError, "no exchange 7"),
    "an undeclared metric": (says(metrics={"patients": 3.0}), DisclosureError, "'patients'"),
    "absurdly many examples": (says(num_examples=MAX_EXAMPLES + 1), UpdateError, "examples"),
    "no update": (says(update=None), DisclosureError, "sent no update"),
    "a digest that the plan does not ask for": (
        says(update=UpdateFile(digest="f" * 64, size=1)),
        UpdateError,
        "named by sha256; the plan says blake3",
    ),
    "a blob that is not here": (
        says(update=UpdateFile(digest=f"{'f' * 64}-blake3", size=1)),
        UpdateError,
        "Upload the blob before",
    ),
    "an undeclared tensor": (
        update(w=np.ones(3, np.float32), extra=np.ones(1, np.float32)),
        DisclosureError,
        "'extra'",
    ),
    "a missing tensor": (update(v=np.ones(3, np.float32)), DisclosureError, "'v'"),
    "another shape": (update(w=np.ones(4, np.float32)), DisclosureError, r"shape \(4,\)"),
    "another dtype": (update(w=np.ones(3, np.float64)), DisclosureError, "float64"),
    "a NaN": (update(w=np.full(3, np.nan, np.float32)), UpdateError, "NaN"),
    "an infinity": (update(w=np.full(3, np.inf, np.float32)), UpdateError, "infinity"),
    "no tensors at all": (raw(b"not a safetensors file"), UpdateError, "safetensors"),
    "half of a file": (raw(encode({"w": np.ones(3, np.float32)})[:-4]), UpdateError, "truncated"),
}


class TestHostileSites:
    @pytest.mark.parametrize("name", HOSTILE)
    def test_what_it_sends_does_not_count_and_is_recorded(
        self, name: str, fixture: FederationFixture, run: Run
    ) -> None:
        attack, error, words = HOSTILE[name]

        async def main() -> None:
            async with fixture.serving():
                run_id = await fixture.asked()
                lie = fixture.outcome(run_id, "a", **attack(fixture, "a"))
                with pytest.raises(error, match=words):
                    await fixture.hand_in(lie)
                (refused,) = (e for e in fixture.events(run_id) if isinstance(e, ResultRefused))
                assert (refused.site, refused.error) == ("a", error.code)
                assert not (await fixture.answered(run_id, "a")).duplicate

        run(main())

    @pytest.mark.parametrize(
        ("sender", "signer"), [("b", "a"), ("b", "b"), ("a", "b")], ids=["replayed", "forged", "mixed up"]
    )
    def test_a_result_counts_for_who_sent_and_signed_it_only(
        self, sender: str, signer: str, fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with fixture.serving():
                run_id = await fixture.asked()
                outcome = fixture.outcome(
                    run_id, "a", update=fixture.bring("a", {"w": np.ones(3, np.float32)})
                )
                with pytest.raises(TrustError, match=r"for itself only|was signed with key"):
                    await fixture.hand_in(outcome, sender=sender, signer=signer)
                (refused,) = (e for e in fixture.events(run_id) if isinstance(e, ResultRefused))
                assert refused.site == sender
                assert fixture.run(run_id).exchanges[1].members["a"].state is MemberState.ASSIGNED

        run(main())

    def test_a_statement_that_was_altered_does_not_count(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                run_id = await fixture.asked("evaluate")
                body = fixture.outcome(run_id, "a").model_dump(mode="json")
                statement = signed(fixture.credentials["a"], TASK_RESULT, body)
                altered = statement.model_copy(update={"body": body | {"num_examples": 99}})
                with pytest.raises(TrustError, match="altered"):
                    await service.site_requests.result(fixture.peer("a"), ResultRequest(statement=altered))

        run(main())

    @pytest.mark.parametrize("body", [{}, {"site": "a"}, {"num_examples": -1}, {"outcome": "maybe"}])
    def test_a_malformed_statement_is_refused_by_name(
        self, body: dict[str, Any], fixture: FederationFixture, run: Run
    ) -> None:
        async def main() -> None:
            async with fixture.serving() as service:
                run_id = await fixture.asked("evaluate")
                if body.keys() & {"num_examples", "outcome"}:
                    body.update(fixture.outcome(run_id, "a").model_dump(mode="json") | body)
                statement = signed(fixture.credentials["a"], TASK_RESULT, body)
                with pytest.raises(ProtocolError, match="malformed TaskOutcome"):
                    await service.site_requests.result(fixture.peer("a"), ResultRequest(statement=statement))

        run(main())

    def test_a_first_model_has_to_be_finite_tensors(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving():
                run_id = await fixture.submit()
                await fixture.accepted(run_id)
                await fixture.controller(run_id).execute(OpenRound(0))
                await fixture.controller(run_id).execute(OpenExchange(0, 0, "initialise", None, ("a",)))
                bad = fixture.bring("a", {"w": np.full(3, np.nan, np.float32)})
                with pytest.raises(UpdateError, match="NaN"):
                    await fixture.hand_in(fixture.outcome(run_id, "a", update=bad))
                assert not (await fixture.answered(run_id, "a")).duplicate

        run(main())

    def test_another_runs_result_is_none_of_this_ones(self, fixture: FederationFixture, run: Run) -> None:
        async def main() -> None:
            async with fixture.serving():
                first = await fixture.asked(tasks={"train": {"discloses": AGGREGATE}})
                other = await fixture.asked(tasks={"train": {"discloses": INDIVIDUAL}})
                sound = fixture.outcome(first, "a", update=fixture.bring("a", {"w": np.ones(3, np.float32)}))
                with pytest.raises(ProtocolError, match="another run"):
                    await fixture.hand_in(sound.model_copy(update={"run_id": other}))

        run(main())
