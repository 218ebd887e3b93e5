"""What a run does about each command."""

from __future__ import annotations

import pytest
from tests.unit.core.run.runs import MODEL, NEXT_MODEL, UPDATE, Driver, submit

from hanse.core.run.exchange_protocol import MemberState
from hanse.core.run.lifecycle import (
    MAX_RESTARTS,
    AnswerPlan,
    Fail,
    Finish,
    Invite,
    Leave,
    Recover,
    RestartWorker,
    Resume,
    Stop,
)
from hanse.core.run.requests.commands import Commit, OpenExchange, OpenRound, OpenStream, RecordAggregate
from hanse.core.run.run import Phase
from hanse.core.run.run_events import RunStarted
from hanse.core.run.tasks import MAX_REFUSALS, AcceptResult, FailTask, RefuseResult, StartTask
from hanse.core.run.timing import Tick, next_wakeup_ms
from hanse.core.values.model_ref import ModelRef
from hanse.errors import LateResultError, RunError, WorkflowError

MEASURED = {"train": {"discloses": {"update": "individual", "metrics": ["loss", "accuracy"]}}}


class TestPlanAnswers:
    def test_the_run_starts_when_the_last_site_accepts(self) -> None:
        driver = Driver("ab")

        assert driver.do(AnswerPlan("a", accepted=True)) == ["PlanAnswered"]
        assert driver.do(AnswerPlan("b", accepted=True)) == ["PlanAnswered", "RunStarted"]

    def test_a_refusal_is_no_obstacle_while_the_minimum_accepts(self) -> None:
        driver = Driver("ab")
        driver.do(AnswerPlan("a", accepted=False, reasons=("too many rounds",)))

        assert driver.do(AnswerPlan("b", accepted=True))[-1] == "RunStarted"
        assert driver.state.population == ("b",)

    def test_too_many_refusals_fail_the_run_and_say_whose(self) -> None:
        driver = Driver("ab", cohort={"minimum": 2})
        driver.do(AnswerPlan("a", accepted=False, reasons=("too many rounds",)))
        driver.do(AnswerPlan("b", accepted=True))

        assert driver.state.phase is Phase.FAILED
        assert "a refused: too many rounds" in driver.state.reason

    def test_the_approvals_deadline_starts_a_run_with_those_that_accepted(self) -> None:
        driver = Driver("ab")
        driver.do(AnswerPlan("b", accepted=True))

        assert driver.do(Tick(), after_s=499) == []
        assert driver.do(Tick(), after_s=1) == ["RunStarted"]

    def test_the_approvals_deadline_fails_a_run_with_too_few_and_names_the_silent(self) -> None:
        driver = Driver("ab")
        driver.do(Tick(), after_s=500)

        assert driver.state.phase is Phase.FAILED
        assert "no answer from a, b" in driver.state.reason

    def test_a_site_that_has_not_been_connected_holds_the_start_no_longer_than_the_plan_says(self) -> None:
        driver = Driver("abc", cohort={"minimum": 2, "approvals": 500, "absent": 60})
        driver.do(AnswerPlan("a", accepted=True))
        driver.do(AnswerPlan("b", accepted=True))

        assert next_wakeup_ms(driver.state, Tick()) == 60_000
        assert driver.do(Tick(), after_s=59) == []
        assert driver.do(Tick(), after_s=1) == ["RunStarted"]
        assert driver.history[-1][0] == RunStarted(population=("a", "b"), absent=("c",))

    def test_a_connected_site_has_the_whole_time_to_decide(self) -> None:
        driver = Driver("abc", cohort={"approvals": 500, "absent": 60})
        driver.do(AnswerPlan("a", accepted=True))
        decides = Tick(seen_ms={"b": 5_000})

        assert next_wakeup_ms(driver.state, decides) == 500_000
        assert driver.do(decides, after_s=499) == []
        assert driver.do(AnswerPlan("b", accepted=False)) == ["PlanAnswered"]
        assert driver.do(Tick(seen_ms={"b": 5_000})) == ["RunStarted"]

    def test_no_run_starts_with_too_few_because_others_are_absent(self) -> None:
        driver = Driver("abc", cohort={"minimum": 2, "approvals": 500, "absent": 60})
        driver.do(AnswerPlan("a", accepted=True))

        assert next_wakeup_ms(driver.state, Tick()) == 500_000
        assert driver.do(Tick(), after_s=60) == []

    def test_after_a_restart_of_the_aggregator_the_absent_have_their_whole_time_again(self) -> None:
        driver = Driver("ab", cohort={"approvals": 500, "absent": 60})
        driver.do(AnswerPlan("a", accepted=True))
        driver.do(Recover(), after_s=50)

        assert driver.do(Tick(), after_s=59) == []
        assert driver.do(Tick(), after_s=1) == ["RunStarted"]

    def test_a_run_without_any_site_waits_for_one_to_enrol(self) -> None:
        driver = Driver("")

        assert driver.do(Tick(), after_s=1) == []
        assert driver.do(Invite("late")) == ["SiteInvited"]
        assert driver.do(AnswerPlan("late", accepted=True))[-1] == "RunStarted"

    def test_an_answer_given_twice_counts_once(self) -> None:
        driver = Driver("ab")
        driver.do(AnswerPlan("a", accepted=True))

        assert driver.do(AnswerPlan("a", accepted=True)) == []

    def test_a_site_that_was_not_invited_has_no_say(self) -> None:
        with pytest.raises(RunError, match="not invited"):
            Driver("ab").do(AnswerPlan("stranger", accepted=True))

    def test_consent_withdrawn_in_a_round_counts_as_a_failed_task(self) -> None:
        driver = Driver("abc", cohort={"quorum": 0.6}).asked()
        driver.do(AnswerPlan("b", accepted=False, reasons=("changed our mind",)))

        member = driver.state.exchanges[1].members["b"]
        assert member.state is MemberState.FAILED
        assert "changed our mind" in member.reason
        assert driver.state.population == ("a", "c")

    def test_a_site_that_accepts_late_joins_the_next_round(self) -> None:
        driver = Driver("ab").asked()
        driver.do(Invite("c"))
        driver.do(AnswerPlan("c", accepted=True))
        assert "c" not in driver.state.cohort
        driver.do(Commit(1, NEXT_MODEL))

        driver.do(OpenRound(2))

        assert driver.state.cohort == ("a", "b", "c")


class TestExchanges:
    def test_an_exchange_closes_with_the_last_answer(self) -> None:
        driver = Driver("ab").asked()

        assert driver.accept("b") == ["UpdateAccepted"]
        assert driver.accept("a") == ["UpdateAccepted", "ExchangeClosed"]

    def test_a_result_delivered_twice_counts_once(self) -> None:
        driver = Driver("ab").asked()
        driver.accept("a")

        assert driver.accept("a") == []

    def test_a_result_delivered_again_after_the_round_gets_the_same_answer(self) -> None:
        driver = Driver("ab").asked()
        driver.accept("a")
        driver.accept("b")
        driver.do(Commit(1, NEXT_MODEL))

        assert driver.accept("a") == []

    def test_the_deadline_closes_an_exchange_that_has_its_quorum(self) -> None:
        driver = Driver("abc", cohort={"quorum": 0.6, "deadline": 100, "idle_limit": 1000}).asked()
        driver.accept("a")
        driver.accept("b")

        assert driver.do(Tick(), after_s=99) == []
        assert driver.do(Tick(), after_s=1) == ["ExchangeClosed"]
        assert driver.state.exchanges[1].closed == "deadline"

    def test_a_late_answer_is_refused_with_its_reason(self) -> None:
        driver = Driver("abc", cohort={"quorum": 0.6, "deadline": 100, "idle_limit": 1000}).asked()
        driver.accept("a")
        driver.accept("b")
        driver.do(Tick(), after_s=100)

        with pytest.raises(LateResultError, match="closed"):
            driver.accept("c")

    def test_the_deadline_without_a_quorum_fails_the_run_and_names_who_is_missing(self) -> None:
        driver = Driver("abc", cohort={"deadline": 100, "idle_limit": 1000}).asked()
        driver.accept("a")
        driver.do(Tick(), after_s=100)

        assert driver.state.phase is Phase.FAILED
        assert "1 of 3 sites answered" in driver.state.reason
        assert "b: had not begun" in driver.state.reason

    def test_grace_bounds_the_wait_once_the_quorum_has_answered(self) -> None:
        driver = Driver("abc", cohort={"quorum": 0.6, "grace": 10, "idle_limit": 1000}).asked()
        driver.accept("a")
        driver.accept("b")

        assert driver.do(Tick(), after_s=9) == []
        assert driver.do(Tick(), after_s=1) == ["ExchangeClosed"]
        assert driver.state.exchanges[1].closed == "grace"

    def test_a_silent_site_is_no_longer_waited_for_but_may_still_answer(self) -> None:
        driver = Driver("abc", cohort={"quorum": 0.6, "idle_limit": 30}).asked()
        driver.accept("a")
        driver.do(Tick({(1, "b"): 25_000}), after_s=30)
        assert driver.state.exchanges[1].members["c"].state is MemberState.IDLE
        assert driver.state.exchanges[1].members["b"].state is MemberState.ASSIGNED

        assert driver.accept("c") == ["UpdateAccepted"]

    def test_an_exchange_closes_when_only_idle_sites_are_left(self) -> None:
        driver = Driver("abc", cohort={"quorum": 0.6, "idle_limit": 30}).asked()
        driver.accept("a")
        driver.accept("b")

        assert driver.do(Tick(), after_s=30) == ["SiteIdle", "ExchangeClosed"]

    def test_the_next_exchange_does_not_wait_again_for_a_silent_site(self) -> None:
        driver = Driver("abc", cohort={"quorum": 0.6, "idle_limit": 30}).asked()
        driver.accept("a")
        driver.accept("b")
        driver.do(Tick(), after_s=30)
        driver.do(OpenExchange(1, 1, "evaluate", NEXT_MODEL))

        driver.accept("a", exchange=2)

        assert driver.accept("b", exchange=2)[-1] == "ExchangeClosed"

    def test_a_silent_site_that_starts_again_is_waited_for(self) -> None:
        driver = Driver("abc", cohort={"quorum": 0.6, "idle_limit": 30}).asked()
        driver.do(Tick({(1, "a"): 30_000, (1, "b"): 30_000}), after_s=30)

        driver.do(StartTask(1, "c"))

        assert driver.state.exchanges[1].awaited == ("a", "b", "c")

    def test_failures_fail_the_run_as_soon_as_the_quorum_is_out_of_reach(self) -> None:
        driver = Driver("ab").asked()

        events = driver.do(FailTask(1, "a", "out of memory"))

        assert events == ["TaskFailed", "RunFailed"]
        assert "a: out of memory" in driver.state.reason

    def test_the_same_request_finds_its_exchange_again(self) -> None:
        driver = Driver("ab").asked()

        assert driver.do(OpenExchange(1, 0, "train", MODEL)) == []

    def test_another_request_at_the_same_place_is_refused(self) -> None:
        driver = Driver("ab").asked()

        with pytest.raises(WorkflowError, match="something else"):
            driver.do(OpenExchange(1, 0, "train", NEXT_MODEL))

    def test_sites_that_the_workflow_chose_need_no_quorum(self) -> None:
        driver = Driver("ab").in_round()
        driver.do(OpenExchange(1, 0, "train", MODEL, sites=("a",)))

        assert driver.do(FailTask(1, "a", "no")) == ["TaskFailed", "ExchangeClosed"]

    @pytest.mark.parametrize(
        ("command", "words"),
        [
            (OpenExchange(1, 0, "segment", MODEL), "tasks are"),
            (OpenExchange(1, 1, "train", MODEL), "before its turn"),
            (OpenExchange(2, 0, "train", MODEL), "not open"),
            (OpenExchange(1, 0, "train", MODEL, sites=("z",)), "population"),
            (OpenRound(3), "next round"),
        ],
    )
    def test_a_request_out_of_place_is_refused(self, command: OpenExchange | OpenRound, words: str) -> None:
        with pytest.raises(WorkflowError, match=words):
            Driver("ab").in_round().do(command)

    def test_a_sum_is_recorded_once(self) -> None:
        driver = Driver("a").asked()
        driver.accept("a")
        record = RecordAggregate(1, ("a",), 10, UPDATE)

        assert driver.do(record) == ["UpdatesAggregated"]
        assert driver.do(record) == []

    def test_an_open_exchange_has_no_sum(self) -> None:
        with pytest.raises(RunError, match="not closed"):
            Driver("ab").asked().do(RecordAggregate(1, ("a",), 10, UPDATE))

    @pytest.mark.parametrize(("site", "exchange"), [("z", 1), ("a", 7)])
    def test_a_result_from_nowhere_is_refused(self, site: str, exchange: int) -> None:
        with pytest.raises(RunError):
            Driver("ab").asked().accept(site, exchange)

    def test_a_site_that_leaves_is_not_waited_for(self) -> None:
        driver = Driver("abc", cohort={"quorum": 0.6}).asked()
        driver.accept("a")
        driver.accept("b")

        assert driver.do(Leave("c", "removed")) == ["SiteLeft", "ExchangeClosed"]

    @pytest.mark.parametrize("gone", [Leave("c", "removed"), AnswerPlan("c", accepted=False)])
    def test_a_site_that_is_gone_is_not_waited_for_in_the_rest_of_the_round(
        self, gone: Leave | AnswerPlan
    ) -> None:
        driver = Driver("abc", cohort={"quorum": 0.6}).asked()
        for site in "abc":
            driver.accept(site)
        driver.do(gone)

        driver.do(OpenExchange(1, 1, "evaluate", MODEL))

        assert driver.state.exchanges[2].awaited == ("a", "b")
        assert driver.state.exchanges[2].failed == ("c",)

    def test_a_site_that_is_gone_is_not_waited_for_when_a_run_is_resumed(self) -> None:
        driver = Driver("abc", cohort={"quorum": 0.6}).asked()
        driver.do(Leave("c", "removed"))
        driver.do(Stop("operator"))

        driver.do(Resume("operator"))

        assert driver.state.exchanges[1].awaited == ("a", "b")

    def test_a_site_that_comes_back_is_asked_again_once_it_has_accepted_the_plan_anew(self) -> None:
        driver = Driver("abc", cohort={"quorum": 0.6}).asked()
        driver.do(Leave("c", "removed"))
        driver.do(Invite("c"))
        driver.do(OpenExchange(1, 1, "evaluate", MODEL))

        assert driver.state.unanswered == ("c",)
        assert driver.state.exchanges[2].awaited == ("a", "b")
        assert driver.do(AnswerPlan("c", accepted=True)) == ["PlanAnswered"]
        assert driver.state.population == ("a", "b", "c")

    def test_a_workflow_may_name_a_site_that_left_since_the_round_began(self) -> None:
        driver = Driver("ab").in_round()
        driver.do(Leave("b", "removed"))

        assert driver.do(OpenExchange(1, 0, "train", MODEL, sites=("b",))) == [
            "ExchangeOpened",
            "ExchangeClosed",
        ]

    def test_refused_results_are_recorded_up_to_a_bound(self) -> None:
        driver = Driver("a").asked()
        refusal = RefuseResult(1, "a", "update", "NaN")

        told = sum(len(driver.do(refusal)) for _ in range(MAX_REFUSALS + 5))

        assert told == MAX_REFUSALS


class TestCommits:
    def test_committing_the_same_again_changes_nothing(self) -> None:
        driver = Driver("a").asked()
        driver.accept("a")
        driver.do(Commit(1, NEXT_MODEL))

        assert driver.do(Commit(1, NEXT_MODEL)) == []

    def test_a_round_cannot_be_skipped(self) -> None:
        with pytest.raises(WorkflowError, match="next to commit is 1"):
            Driver("a").in_round().do(Commit(2, NEXT_MODEL))

    def test_the_best_model_is_kept_by_its_metric(self) -> None:
        driver = Driver("a", keep_best={"metric": "accuracy"}, rounds=3, tasks=MEASURED).in_round()
        for number, accuracy in ((1, 0.7), (2, 0.9), (3, 0.8)):
            driver.do(OpenRound(number))
            driver.do(Commit(number, ModelRef(str(number) * 64), {"accuracy": accuracy}))

        assert driver.state.best is not None
        assert (driver.state.best.round_number, driver.state.best.model) == (2, ModelRef("2" * 64))

    def test_a_commit_without_the_metric_of_keep_best_is_refused(self) -> None:
        with pytest.raises(WorkflowError, match="accuracy"):
            Driver("a", keep_best={"metric": "accuracy"}, tasks=MEASURED).in_round().do(Commit(1, NEXT_MODEL))

    def test_early_stop_ends_a_run_that_no_longer_improves(self) -> None:
        rule = {"metric": "loss", "mode": "min", "patience": 2}
        driver = Driver("a", early_stop=rule, rounds=50, tasks=MEASURED).in_round()
        for number, loss in ((1, 0.5), (2, 0.6), (3, 0.5)):
            assert not driver.state.complete
            driver.do(OpenRound(number))
            driver.do(Commit(number, ModelRef(str(number) * 64), {"loss": loss}))

        assert driver.state.complete


class TestStreams:
    def streaming(self) -> Driver:
        driver = Driver("ab").started()
        driver.do(OpenRound(0))
        driver.do(Commit(0, MODEL))
        driver.do(OpenStream("train", MODEL))
        return driver

    def test_every_free_site_is_asked(self) -> None:
        assert [e.members.keys() for e in self.streaming().state.stream()] == [{"a"}, {"b"}]

    def test_a_site_is_asked_again_once_its_update_was_taken(self) -> None:
        driver = self.streaming()
        driver.accept("b", exchange=2)
        assert driver.do(OpenStream("train", MODEL)) == []

        assert driver.do(OpenStream("train", MODEL, frozenset({2}))) == ["ExchangeOpened"]

    def test_an_exchange_outlives_the_commits_of_others(self) -> None:
        driver = self.streaming()
        driver.accept("b", exchange=2)
        driver.do(Commit(1, NEXT_MODEL, consumed=(2,)))

        assert driver.accept("a", exchange=1) == ["UpdateAccepted", "ExchangeClosed"]

    def test_a_stream_in_which_every_site_fails_ends_the_run(self) -> None:
        driver = self.streaming()
        driver.do(FailTask(1, "a", "broken"))
        driver.do(FailTask(2, "b", "broken too"))

        assert driver.do(OpenStream("train", MODEL)) == ["RunFailed"]
        assert "broken too" in driver.state.reason


class TestEnds:
    def test_a_run_can_be_stopped_in_any_phase_that_goes_on(self) -> None:
        for driver in (Driver("ab"), Driver("ab").started(), Driver("ab").asked()):
            assert driver.do(Stop("operator")) == ["RunStopped"]
            assert driver.do(Stop("operator")) == []

    def test_a_finished_run_cannot_be_stopped_or_resumed(self) -> None:
        driver = Driver("a").in_round()
        driver.do(Finish())

        for command in (Stop("operator"), Resume("operator")):
            with pytest.raises(RunError, match="finished"):
                driver.do(command)

    def test_a_stopped_run_resumes_in_the_round_where_it_was(self) -> None:
        driver = Driver("ab").asked()
        driver.accept("a")
        driver.do(Stop("operator"))
        driver.do(Resume("operator"))

        assert driver.state.phase is Phase.RUNNING
        assert driver.state.exchanges[1].answered == ("a",)
        assert driver.accept("b")[-1] == "ExchangeClosed"

    def test_a_run_that_never_started_resumes_waiting_for_answers(self) -> None:
        driver = Driver("ab")
        driver.do(Stop("operator"))

        driver.do(Resume("operator"))

        assert driver.state.phase is Phase.SUBMITTED

    def test_a_failed_run_asks_the_failed_sites_again_when_resumed(self) -> None:
        driver = Driver("ab").asked()
        driver.accept("a")
        driver.do(FailTask(1, "b", "out of memory"))
        driver.do(Resume("operator"))

        assert driver.state.exchanges[1].awaited == ("b",)

    def test_recovery_gives_open_exchanges_their_time_again(self) -> None:
        driver = Driver("ab", cohort={"deadline": 100, "idle_limit": 100}).asked()
        driver.do(Recover(), after_s=1_000)

        assert driver.do(Tick(), after_s=99) == []

    def test_a_workflow_that_keeps_dying_fails_the_run(self) -> None:
        driver = Driver("a").asked()
        for _ in range(MAX_RESTARTS):
            assert driver.do(RestartWorker("was killed by SIGKILL")) == ["WorkerRestarted"]

        assert driver.do(RestartWorker("was killed by SIGKILL")) == ["RunFailed"]

    def test_a_workflow_that_commits_nothing_fails_the_run(self) -> None:
        driver = Driver("ab").started()
        driver.do(Finish())

        assert driver.state.phase is Phase.FAILED
        assert "ended before it had begun" in driver.state.reason

    def test_nothing_is_accepted_after_the_end(self) -> None:
        driver = Driver("ab").asked()
        driver.do(Fail("workflow", "boom"))

        with pytest.raises(LateResultError, match="failed"):
            driver.do(AcceptResult(1, "a", 1, {}, UPDATE))

    def test_a_run_is_submitted_once(self) -> None:
        with pytest.raises(RunError, match="already"):
            Driver("a").do(submit("a"))


def test_a_tick_at_the_next_wakeup_always_changes_something() -> None:
    driver = Driver("ab", cohort={"quorum": 0.5, "grace": 10, "deadline": 100, "idle_limit": 30}).asked()
    driver.accept("a")

    wakeup = next_wakeup_ms(driver.state, Tick())

    assert wakeup == 10_000
    assert driver.do(Tick(), after_s=10) == ["ExchangeClosed"]
