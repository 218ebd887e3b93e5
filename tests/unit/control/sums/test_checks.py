"""Masked sums in a journal, genuine and with one piece of evidence altered in each test."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.masked_sums import member
from tests.unit.control.sums.masked_run import (
    EXCHANGE,
    RUN,
    SITES,
    Events,
    MaskedRun,
    outcome,
    replaced,
)
from tests.unit.core.plan.privacy.secure_plans import secure_plan

from hanse.control.sums.checks import SumChecks
from hanse.core.run.run_events import RunResumed
from hanse.core.run.sums.events import SiteReady
from hanse.core.values.canonical import sha256
from hanse.core.values.sums.ready import READY
from hanse.wire.messages.sites import TASK_RESULT

LEAVES_OUT: dict[str, Any] = {"incomplete": "leave_out"}
COHORT = {"minimum": 3, "quorum": 0.5}
PLAIN = {"discloses": {"metrics": ["loss"]}}


@pytest.fixture
def run() -> MaskedRun:
    return MaskedRun()


def only(problems: list[str]) -> str:
    """The one problem that an audit finds."""
    assert len(problems) == 1, problems
    return problems[0]


def test_a_sum_of_a_whole_cell_passes(run: MaskedRun) -> None:
    assert run.problems(run.whole()) == []


def test_a_sum_at_the_second_attempt_passes(run: MaskedRun) -> None:
    assert run.problems(run.again()) == []


def test_a_cell_that_is_left_out_by_the_plan_passes() -> None:
    cells = {"north": ("a", "b", "c"), "south": ("d", "e", "f")}
    plan = secure_plan(
        LEAVES_OUT | {"examples": {"least": 200, "most": 300, "max_share": 0.7}}, cells=cells, cohort=COHORT
    )
    run = MaskedRun(plan, {"north": ("a", "b", "c"), "south": ("d", "e", "f")})
    ready = [run.ready(site) for site in "abc"]
    answers = [run.answer(site) for site in "abc"]
    south = run.left_out(cell="south", missing=("d", "e", "f"))
    end = [run.sum(cell="north"), run.aggregated(sites=("a", "b", "c"))]

    events: Events = [run.opened(), *ready, *answers, south, run.closed(), *end]

    assert run.problems(events) == []


def test_a_sum_of_a_run_that_was_resumed_keeps_what_stood(run: MaskedRun) -> None:
    events = run.whole()

    assert run.problems([*events[:7], run.opened(), *events[7:]]) == []


def test_a_cell_that_was_left_out_comes_back_where_its_run_is_resumed() -> None:
    run = MaskedRun(secure_plan(LEAVES_OUT, cohort=COHORT))
    events = run.whole()

    assert run.problems([*events[:8], run.left_out(), RunResumed(by="operator"), *events[8:]]) == []


def test_a_cell_that_is_not_asked_again_is_not_missed() -> None:
    cells = {"north": ("a", "b", "c"), "south": ("d", "e", "f")}
    plan = secure_plan(
        LEAVES_OUT | {"examples": {"least": 200, "most": 300, "max_share": 0.7}}, cells=cells, cohort=COHORT
    )
    run = MaskedRun(plan, cells)
    again = run.opened(members={"north": ("a", "b", "c")})
    north = [*(run.ready(site) for site in "abc"), *(run.answer(site) for site in "abc")]
    end = [run.closed(), run.sum(cell="north"), run.aggregated(sites=("a", "b", "c"))]

    assert run.problems([run.opened(), again, *north, *end]) == []


def test_readys_of_keys_that_were_replaced_do_not_stand_where_a_run_is_resumed() -> None:
    run = MaskedRun()
    other = member("d", key="the new one")
    first = [run.opened(), *(run.ready(site) for site in SITES)]
    run.run = replace(run.run, roster=run.run.roster.including("d", other.fingerprint))

    problems = run.problems([*first, run.opened(), run.ready("d", by=other, signer=other.fingerprint)])

    assert not any("second of attempt" in text for text in problems)


# ------------------------------------------------- cells


def test_other_members_than_those_of_the_plan_are_found(run: MaskedRun) -> None:
    problems = run.problems([run.opened(members={"all": ("a", "b", "c")})])

    assert "has the members a, b and c in cell 'all', and the plan a, b, c and d" in only(problems)


def test_a_cell_that_the_plan_lacks_is_found(run: MaskedRun) -> None:
    problems = run.problems([run.opened(members={"west": ("a", "b")})])

    assert "and the plan has no such cell" in only(problems)


def test_a_masked_task_without_cells_is_found(run: MaskedRun) -> None:
    assert "without cells, and the plan has it masked" in only(run.problems([run.opened(members={})]))


def test_other_cells_than_those_that_are_asked_are_found(run: MaskedRun) -> None:
    problems = run.problems([run.opened(cells=("north",))])

    assert only(problems) == "exchange 4 is asked of cells north, and sums all"


def test_cells_of_a_task_that_is_not_masked_are_found() -> None:
    tasks = {"train": secure_plan().model_dump(mode="json")["tasks"]["train"], "evaluate": PLAIN}
    run = MaskedRun(secure_plan({"in_the_open": ["evaluate"]}, tasks=tasks))

    assert "the plan does not mask 'evaluate'" in only(run.problems([run.opened(task="evaluate")]))


# ------------------------------------------------- READYs


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"suite": "another"}, "suite"),
        ({"federation": "south"}, "federation"),
        ({"run_id": "r2"}, "run_id"),
        ({"exchange": 5}, "exchange"),
        ({"cell": "others"}, "cell"),
    ],
)
def test_a_ready_of_another_sum_is_found(run: MaskedRun, changes: dict[str, Any], what: str) -> None:
    problems = run.problems(replaced(run.whole(), run.ready("b", **changes)))

    assert f"the READY of b is signed with {what}" in problems[0]


def test_a_ready_in_the_name_of_another_member_is_found(run: MaskedRun) -> None:
    event = run.ready("b").model_copy(update={"statement": run.ready("c").statement})

    assert "the READY of b is signed with site 'c'" in run.problems(replaced(run.whole(), event))[0]


def test_a_ready_that_was_altered_after_it_was_signed_is_found(run: MaskedRun) -> None:
    ready = run.ready("b")
    altered = ready.statement.model_copy(update={"body": run.body("b", context=sha256(b"another"))})
    event = ready.model_copy(update={"statement": altered})

    assert "was altered" in run.problems(replaced(run.whole(), event))[0]


def test_a_ready_in_another_form_is_found(run: MaskedRun) -> None:
    body = run.body("b") | {"attempt": 1.0}
    event = run.ready("b").model_copy(update={"statement": member("b").key.sign(READY, body)})

    assert "the READY of b" in run.problems(replaced(run.whole(), event))[0]


def test_a_ready_that_was_signed_with_another_key_is_found(run: MaskedRun) -> None:
    other = member("b", key="the operator")
    event = run.ready("b", by=other, signer=other.fingerprint)

    problems = run.problems(replaced(run.whole(), event))

    assert f"by the run's roster its key is {member('b').fingerprint[:16]}" in problems[0]


def test_a_ready_that_names_another_key_is_found(run: MaskedRun) -> None:
    problems = run.problems(replaced(run.whole(), run.ready("b", signer=member("c").fingerprint)))

    assert "names signing key" in problems[0]


def test_a_public_key_of_low_order_is_found(run: MaskedRun) -> None:
    problems = run.problems(replaced(run.whole(), run.ready("b", public="0" * 64)))

    assert "of low order" in problems[0]


def test_one_public_key_of_two_members_is_found(run: MaskedRun) -> None:
    problems = run.problems(replaced(run.whole(), run.ready("b", public=run.body("a")["public"])))

    assert "the READY of b states the public key of a" in problems[0]


def test_a_second_ready_of_one_attempt_is_found(run: MaskedRun) -> None:
    events = run.whole()

    assert "is the second of attempt 1" in only(run.problems([*events[:5], run.ready("d"), *events[5:]]))


def test_a_ready_of_a_stranger_is_found(run: MaskedRun) -> None:
    ready = run.ready("a")
    stranger = SiteReady.model_validate({**ready.model_dump(), "site": "eve"})

    assert "eve is not a member of cell all" in only(run.problems([run.opened(), stranger]))


def test_a_ready_of_an_attempt_that_has_not_begun_is_found(run: MaskedRun) -> None:
    assert "and attempt 1 of the cell had begun" in only(run.problems([run.opened(), run.ready("a", 2)]))


def test_other_numbers_in_a_later_attempt_are_found(run: MaskedRun) -> None:
    events = replaced(run.again(), run.ready("b", 2, commitment=sha256(b"another q")), 1)

    assert f"commits to other numbers than its first of exchange {EXCHANGE}" in run.problems(events)[0]


def test_an_attempt_that_does_not_rise_is_found(run: MaskedRun) -> None:
    events = run.again()
    begun = events[6]

    assert "attempt 2 of cell all begins after attempt 2" in only(
        run.problems([*events[:7], begun, *events[7:]])
    )


# ------------------------------------------------- answers


def test_a_plain_answer_to_a_masked_task_is_found(run: MaskedRun) -> None:
    plain = run.answer("b", num_examples=5, metrics={"loss": 0.5}, statement=outcome("b", None))

    problems = run.problems(replaced(run.whole(), plain))

    assert problems[0] == "the answer of b to 'train' is not masked, and the plan says that it is"


def test_a_masked_answer_that_states_metrics_is_found(run: MaskedRun) -> None:
    problems = run.problems(replaced(run.whole(), run.answer("b", metrics={"loss": 0.5})))

    assert "states numbers beside it" in only(problems)


def test_a_masked_answer_that_states_examples_is_found(run: MaskedRun) -> None:
    problems = run.problems(replaced(run.whole(), run.answer("b", num_examples=200)))

    assert "states numbers beside it" in only(problems)


def test_an_answer_for_another_roster_is_found(run: MaskedRun) -> None:
    problems = run.problems(replaced(run.whole(), run.answer("b", place={"rho": sha256(b"another")})))

    assert "b masked for another roster than that of the READYs" in only(problems)


def test_an_answer_for_another_cell_is_found(run: MaskedRun) -> None:
    problems = run.problems(replaced(run.whole(), run.answer("b", place={"cell": "others"})))

    assert "b masked for cell 'others', of which it is not a member" in problems[0]


def test_an_answer_for_an_attempt_without_all_readys_is_found(run: MaskedRun) -> None:
    events = run.whole()

    assert "of which not all READYs are there" in only(run.problems([*events[:4], run.answer("a")]))


def test_two_vectors_for_one_roster_are_found(run: MaskedRun) -> None:
    events = run.whole()
    second = run.answer("a", update=sha256(b"another y"))

    assert "a masked two vectors for one roster" in only(run.problems([*events[:9], second, *events[9:]]))


def test_a_masked_answer_to_a_task_in_the_open_is_found() -> None:
    tasks = {"train": secure_plan().model_dump(mode="json")["tasks"]["train"], "evaluate": PLAIN}
    run = MaskedRun(secure_plan({"in_the_open": ["evaluate"]}, tasks=tasks))

    problems = run.problems([run.opened(task="evaluate", members={}), run.answer("a")])

    assert only(problems) == "the answer of a is masked, and the plan does not say so"


# ------------------------------------------------- sums


def test_other_contexts_among_members_are_found(run: MaskedRun) -> None:
    events = replaced(run.whole(), run.ready("b", context=sha256(b"another question")))

    assert any("the READY of b has another context than that of a" in text for text in run.problems(events))


def test_a_context_that_is_not_that_of_the_journal_is_found(run: MaskedRun) -> None:
    problems = run.problems(run.whole(), layout=sha256(b"another layout"))

    assert "they computed on something else than the journal says" in only(problems)


def test_without_a_layout_contexts_are_compared_with_each_other_alone(run: MaskedRun) -> None:
    checks = SumChecks(RUN)

    assert list(run.found(run.whole(), checks)) == []
    assert checks.without_layout == [EXCHANGE]


def test_another_model_than_the_sites_computed_on_is_found(run: MaskedRun) -> None:
    opened = run.opened(model="b" * 64)

    assert "computed on something else" in only(run.problems(replaced(run.whole(), opened)))


def test_a_sum_for_another_roster_is_found(run: MaskedRun) -> None:
    problems = run.problems(replaced(run.whole(), run.sum(rho=sha256(b"another"))))

    assert "and its READYs give" in only(problems)


def test_a_sum_without_a_ready_of_a_member_is_found(run: MaskedRun) -> None:
    events = [
        event for event in run.whole() if (event.kind, getattr(event, "site", "")) != ("SiteReady", "d")
    ]

    assert any("of which no READY is there from d" in text for text in run.problems(events))


def test_a_sum_of_a_cell_that_the_plan_lacks_is_found(run: MaskedRun) -> None:
    closed = [run.opened(members={"west": ("a", "b")}), run.closed()]

    problems = run.problems([*closed, run.sum(cell="all").model_copy(update={"cell": "west"})])

    assert any("of which no READY is there from any member" in text for text in problems)


def test_a_vector_that_its_site_did_not_sign_is_found(run: MaskedRun) -> None:
    masked = run.sum().masked | {"b": sha256(b"another y")}

    assert "and by what b signed it is" in only(run.problems(replaced(run.whole(), run.sum(masked=masked))))


def test_a_sum_without_a_member_is_found(run: MaskedRun) -> None:
    masked = {site: digest for site, digest in run.sum().masked.items() if site != "d"}

    assert "vector none of d" in only(run.problems(replaced(run.whole(), run.sum(masked=masked))))


def test_a_sum_with_a_stranger_is_found(run: MaskedRun) -> None:
    masked = run.sum().masked | {"eve": sha256(b"another y")}

    assert "by what eve signed it is none" in only(
        run.problems(replaced(run.whole(), run.sum(masked=masked)))
    )


def test_a_sum_of_an_earlier_attempt_is_found(run: MaskedRun) -> None:
    problems = run.problems(replaced(run.again(), run.sum(1)))

    assert "is of attempt 1, and attempt 2 had begun" in problems[0]


def test_a_sum_that_is_opened_twice_is_found(run: MaskedRun) -> None:
    events = run.whole()

    assert "is opened for the second time" in only(run.problems([*events[:-1], run.sum(), events[-1]]))


def test_a_sum_before_the_close_is_found(run: MaskedRun) -> None:
    events = [event for event in run.whole() if event.kind != "ExchangeClosed"]

    assert "where the exchange is not closed" in only(run.problems(events))


def test_a_sum_that_the_plan_does_not_mask_is_found(run: MaskedRun) -> None:
    assert "which the plan does not have masked" in only(run.problems([run.sum()]))


@pytest.mark.parametrize("examples", [399, 1201, None])
def test_examples_that_the_sites_cannot_have_are_found(run: MaskedRun, examples: int | None) -> None:
    events = replaced(run.whole(), run.sum(num_examples=examples))

    assert f"states {examples} examples" in run.problems(events)[0]


# ------------------------------------------------- cells that are left out, and the sum of all cells


def test_a_cell_that_is_left_out_against_the_plan_is_found(run: MaskedRun) -> None:
    events = [*run.whole()[:8], run.left_out()]

    assert "by the plan the round fails" in only(run.problems(events))


def test_a_cell_that_is_left_out_though_it_is_complete_is_found() -> None:
    run = MaskedRun(secure_plan(LEAVES_OUT, cohort=COHORT))

    assert "all of its members have answered" in only(run.problems([*run.whole()[:9], run.left_out()]))


def test_other_missing_members_than_those_without_a_vector_are_found() -> None:
    run = MaskedRun(secure_plan(LEAVES_OUT, cohort=COHORT))

    problems = run.problems([*run.whole()[:8], run.left_out(missing=("c",))])

    assert "cell all lacks d, and not c" in only(problems)


def test_a_sum_of_all_cells_without_that_of_one_is_found(run: MaskedRun) -> None:
    events = [event for event in run.whole() if event.kind != "SumOpened"]

    assert "is summed without cell all, which was not left out" in run.problems(events)[0]


def test_a_sum_of_all_cells_of_other_sites_is_found(run: MaskedRun) -> None:
    events = replaced(run.whole(), run.aggregated(sites=SITES[:3]))

    assert "is said to sum a, b and c with 800 examples" in only(run.problems(events))


def test_a_sum_of_all_cells_with_other_examples_is_found(run: MaskedRun) -> None:
    events = replaced(run.whole(), run.aggregated(num_examples=900))

    assert "by its sums these are a, b, c and d with 800" in only(run.problems(events))


def test_a_member_that_started_from_another_local_state_is_found(run: MaskedRun) -> None:
    place = {"cell": "all", "attempt": 1, "rho": run.rho()}
    statement = member("b").key.sign(TASK_RESULT, {"secure_sum": place, "counted": 2})
    altered = replaced(run.whole(), run.answer("b", statement=statement))

    assert "b masked what it computed from the state of exchange 2" in only(run.problems(altered))
