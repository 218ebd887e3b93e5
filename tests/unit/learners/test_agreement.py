"""Labels and feature names that sites have to agree on: by a plan, or by the first model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hanse.core.values.parameters import Parameters
from hanse.core.values.site import DataSources, Site
from hanse.core.values.update import Task, TaskResult
from hanse.errors import TaskError
from hanse.learners.agreement import TENSOR, Agreement, check_stated, plain, sealed, unsealed
from hanse.learners.notices import notices_kept
from hanse.learners.session import LearnerSession

NONE = Agreement()
W = {"w": np.zeros(2)}


class Knowing:
    """A learner that knows its labels and columns."""

    def __init__(self, agreement: Agreement) -> None:
        self._agreement = agreement

    def agreement(self) -> Agreement:
        return self._agreement

    def parameters(self) -> Parameters:
        return W

    def train(self, parameters: Parameters, task: Task) -> TaskResult:
        assert parameters.keys() == {"w"}
        return TaskResult(1, {}, {"w": parameters["w"] + 1})

    def evaluate(self, parameters: Parameters, task: Task) -> TaskResult:
        assert parameters.keys() == {"w"}
        return TaskResult(1)


class Unknowing(Knowing):
    agreement = None  # type: ignore[assignment]


def session(tmp_path: Path, agreement: Agreement, **stated: Any) -> LearnerSession:
    site = Site("north", DataSources("north", {}), **stated)
    return LearnerSession(lambda site: Knowing(agreement), site, tmp_path)


def opened(received: Parameters, own: Agreement | None, stated: Agreement = NONE) -> list[str]:
    """The notices of a model that is opened at a site."""
    with notices_kept() as noted:
        assert unsealed(received, own, stated, "north").keys() == W.keys()
    return noted


def refused(received: Parameters, own: Agreement) -> list[str]:
    """The notices of a model that is refused at a site."""
    with notices_kept() as noted, pytest.raises(TaskError, match=r"at north are not those .*site's log"):
        unsealed(received, own, NONE, "north")
    return noted


@pytest.mark.parametrize(
    "values", [[0, 1], [0.0, 1.0], [False, True], np.array([0, 1], np.float32), np.array([False, True])]
)
def test_a_label_is_the_same_however_a_file_writes_it(values: Any) -> None:
    model = sealed(W, Agreement(plain([0, 1])), NONE)

    assert opened(model, Agreement(plain(values))) == []


@pytest.mark.parametrize(
    "labels",
    [(0, 2), (1, 0), (0, 1, 2), ("0", "1"), ("healthy", "sick"), (0.5, 1)],
)
def test_a_model_that_was_made_for_other_labels_is_refused(labels: Any) -> None:
    model = sealed(W, Agreement((0, 1)), NONE)

    assert any(repr(labels[0]) in line for line in refused(model, Agreement(labels)))


@pytest.mark.parametrize("features", [("sex", "age"), ("age",), ("Age", "sex"), None])
def test_a_model_that_was_made_for_other_columns_is_refused(features: Any) -> None:
    model = sealed(W, Agreement(None, ("age", "sex")), NONE)

    assert opened(model, Agreement(None, ("age", "sex"))) == []
    assert refused(model, Agreement(None, features))


def test_the_error_that_may_travel_names_no_label_and_the_sites_log_does() -> None:
    model = sealed(W, Agreement(("healthy", "sick")), NONE)

    with notices_kept() as noted, pytest.raises(TaskError) as caught:
        unsealed(model, Agreement(("Jane", "Joe")), NONE, "north")

    assert "Jane" not in f"{caught.value}{caught.value.log_tail}"
    assert noted == [
        "labels here: 'Jane' and 'Joe'. The model was made where they are others, or in another order"
    ]


def test_a_plan_that_states_them_leaves_nothing_for_the_model_to_carry() -> None:
    own = Agreement((0, 1), ("age",))

    assert sealed(W, own, Agreement((0, 1), ("age",))).keys() == W.keys()
    assert sealed(W, own, Agreement((0, 1))).keys() == {"w", TENSOR}
    assert sealed(W, Agreement(), NONE).keys() == W.keys()


def test_labels_that_the_code_has_written_need_not_be_carried() -> None:
    written = Agreement((0, 1), None, frozenset({"features"}))

    assert sealed(W, written, NONE).keys() == W.keys()
    assert opened(W, written) == []


def test_what_the_model_carries_holds_for_written_labels_too() -> None:
    model = sealed(W, Agreement((0, 1)), NONE)

    assert refused(model, Agreement((0, 2), None, frozenset()))


@pytest.mark.parametrize(
    ("own", "stated", "named"),
    [
        (Agreement((0, 2)), Agreement((0, 1)), ["0 and 1", "0 and 2"]),
        (Agreement((1, 0)), Agreement((0, 1)), ["in another order", "1 and 0"]),
        (Agreement(None, ("sex", "age")), Agreement(None, ("age", "sex")), ["in another order", "'sex' and"]),
    ],
)
def test_what_a_plan_states_is_held_against_what_is_here_and_both_are_named_in_the_log(
    own: Agreement, stated: Agreement, named: list[str]
) -> None:
    with (
        notices_kept() as noted,
        pytest.raises(TaskError, match="at north are not those that the plan states"),
    ):
        check_stated(own, stated, "north")

    assert all(part in noted[0] for part in named)


def test_a_plan_may_state_what_a_learner_does_not_know() -> None:
    check_stated(Agreement(None, None), Agreement((0, 1), ("age",)), "north")


def test_a_model_that_carries_nothing_is_used_and_the_log_says_what_was_not_compared() -> None:
    (line,) = opened(W, Agreement((0, 1)))

    assert "neither the plan nor the model says which labels" in line
    assert "0 and 1" in line
    assert opened(W, Agreement((0, 1)), Agreement((0, 1))) == []


def test_digests_that_a_workflow_has_changed_are_no_others() -> None:
    model = sealed(W, Agreement((0, 1)), NONE)

    (line,) = opened({**model, TENSOR: model[TENSOR] * 0.9}, Agreement((0, 1)))

    assert "neither the plan nor the model says" in line


def test_what_no_encoding_knows_is_compared_and_said() -> None:
    model = sealed(W, Agreement(("\ud800", "b")), NONE)

    assert opened(model, Agreement(("\ud800", "b"))) == []
    (line,) = refused(model, Agreement(("\ud801", "b")))
    line.encode()


def test_many_are_named_in_part() -> None:
    (line,) = refused(sealed(W, Agreement((0, 1)), NONE), Agreement(tuple(range(1000))))

    assert "and 970 more" in line


def test_a_session_carries_the_digests_past_its_learner(tmp_path: Path) -> None:
    here = session(tmp_path, Agreement((0, 1)))
    start = here.initial_parameters()

    trained = here.perform(Task("train", 1, 0), start, sequence=1).parameters or {}
    here.perform(Task("evaluate", 1, 0), start, sequence=2)

    assert trained[TENSOR].tobytes() == start[TENSOR].tobytes()
    assert trained["w"].tolist() == [1, 1]


def test_a_learner_whose_labels_a_plan_does_not_state_gives_no_first_model(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="labels of the data at north are not those that the plan states"):
        session(tmp_path, Agreement((0, 2)), labels=(0, 1)).initial_parameters()


def test_a_learner_that_does_not_say_gets_the_model_without_the_digests(tmp_path: Path) -> None:
    site = Site("north", DataSources("north", {}), labels=(0, 1))
    here = LearnerSession(lambda site: Unknowing(NONE), site, tmp_path)

    result = here.perform(Task("train", 1, 0), sealed(W, Agreement((3, 4)), NONE), sequence=1)

    assert (result.parameters or {}).keys() == {"w", TENSOR}


def test_a_tensor_of_the_models_own_may_not_have_the_name() -> None:
    with pytest.raises(TaskError, match=r"the model has a tensor 'hanse\.agreed'"):
        sealed({TENSOR: np.zeros(1)}, Agreement((0, 1)), NONE)
