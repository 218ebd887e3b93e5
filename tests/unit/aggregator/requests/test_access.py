"""Which blobs a party may have, and which it may bring."""

from __future__ import annotations

import pytest
from tests.unit.core.run.runs import MODEL, NEXT_MODEL, UPDATE, Driver

from hanse.aggregator.requests.access import check_may_read, upload_limit
from hanse.aggregator.run.site_work import HEADER_SLACK
from hanse.core.run.lifecycle import AnswerPlan, Finish, Leave
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound
from hanse.core.values.identity import Party, Role
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.peer import Peer
from hanse.errors import PolicyError

CODE = "0" * 64
A, STRANGER = (Peer(Party("north", Role.COLLABORATOR, name), "1" * 64, 0) for name in ("a", "z"))
OPERATOR = Peer(Party("north", Role.OPERATOR, "operator"), "2" * 64, 0)


def may_read(peer: Peer, digest: str, driver: Driver) -> bool:
    try:
        check_may_read(peer, digest, [driver.state])
    except PolicyError:
        return False
    return True


class TestReading:
    def test_a_site_that_is_asked_about_a_plan_may_have_it_and_its_code(self) -> None:
        driver = Driver("ab")

        assert may_read(A, driver.state.plan_digest, driver)
        assert may_read(A, CODE, driver)

    def test_a_site_may_have_the_model_of_its_task_until_it_has_answered(self) -> None:
        driver = Driver("ab").asked()
        before = may_read(A, MODEL.digest, driver)
        driver.accept("a")

        assert (before, may_read(A, MODEL.digest, driver)) == (True, False)

    def test_a_site_may_not_have_a_committed_model_without_a_task(self) -> None:
        assert not may_read(A, MODEL.digest, Driver("ab").in_round())

    @pytest.mark.parametrize("peer", [A, OPERATOR])
    def test_nobody_may_have_a_sites_update(self, peer: Peer) -> None:
        driver = Driver("ab").asked()
        driver.accept("b")

        assert not may_read(peer, UPDATE, driver)

    def test_a_site_that_was_not_asked_may_have_nothing(self) -> None:
        driver = Driver("ab").asked()

        assert not any(
            may_read(STRANGER, digest, driver) for digest in (driver.state.plan_digest, CODE, MODEL.digest)
        )

    def test_a_site_that_left_may_have_nothing_any_more(self) -> None:
        driver = Driver("abc").asked()
        driver.do(Leave("a", "removed"))

        assert not any(
            may_read(A, digest, driver) for digest in (driver.state.plan_digest, CODE, MODEL.digest)
        )

    def test_an_operator_may_have_the_models_of_a_run_that_is_over(self) -> None:
        measured = {"train": {"discloses": {"update": "individual", "metrics": ["loss"]}}}
        driver = Driver("a", keep_best={"metric": "loss", "mode": "min"}, tasks=measured).in_round()
        driver.do(Commit(1, NEXT_MODEL, {"loss": 1.0}))
        driver.do(OpenRound(2))
        driver.do(Commit(2, ModelRef("f" * 64), {"loss": 2.0}))
        driver.do(Finish())

        assert may_read(OPERATOR, NEXT_MODEL.digest, driver)
        assert may_read(OPERATOR, "f" * 64, driver)
        assert not may_read(OPERATOR, MODEL.digest, driver)


class TestUploading:
    def limit(self, peer: Peer, driver: Driver) -> int:
        return upload_limit(peer, [driver.state], lambda digest: 1_000, 10**9)

    def test_an_update_may_be_as_large_as_its_model(self) -> None:
        assert self.limit(A, Driver("ab").asked()) == 1_000 + HEADER_SLACK

    def test_a_first_model_may_be_as_large_as_any_blob(self) -> None:
        driver = Driver("ab").started()
        driver.do(OpenRound(0))
        driver.do(OpenExchange(0, 0, "initialise", None, ("a",)))

        assert self.limit(A, driver) == 10**9

    def test_an_operator_may_bring_any_blob_at_any_time(self) -> None:
        assert self.limit(OPERATOR, Driver("ab")) == 10**9

    @pytest.mark.parametrize(
        "driver",
        [Driver("ab").in_round(), Driver("ab").asked("evaluate"), Driver("ab")],
        ids=["no task", "a task without an update", "a run that has not begun"],
    )
    def test_a_site_that_is_not_asked_for_an_update_may_bring_nothing(self, driver: Driver) -> None:
        with pytest.raises(PolicyError, match="no open task asks a for an update"):
            self.limit(A, driver)

    def test_a_site_that_withdrew_may_bring_nothing(self) -> None:
        driver = Driver("ab", cohort={"quorum": 0.5}).asked()
        driver.do(AnswerPlan("a", accepted=False))

        with pytest.raises(PolicyError):
            self.limit(A, driver)
