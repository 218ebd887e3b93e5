"""A learner driven task by task."""

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hanse.core.values.parameters import Parameters
from hanse.core.values.site import Site
from hanse.core.values.update import Task, TaskResult
from hanse.errors import PlanError, StorageError, TaskError
from hanse.learners.session import LearnerSession

START = {"w": np.zeros(2)}


class Counting:
    """Adds a number from each source of randomness, and how many tasks it has done."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.first = np.random.random(2)
        self.tasks = np.array(0)

    def parameters(self) -> Parameters:
        return {"w": self.first}

    def train(self, parameters: Parameters, task: Task) -> TaskResult:
        self.tasks = self.tasks + 1
        trained = parameters["w"] + self.tasks + random.random() + np.random.random()
        return TaskResult(1, {"loss": 1}, {"w": trained})

    def evaluate(self, parameters: Parameters, task: Task) -> TaskResult:
        return TaskResult(1, {"tasks": self.tasks})

    def local_state(self) -> Mapping[str, Parameters]:
        return {"count": {"tasks": self.tasks}}

    def restore_local_state(self, state: Mapping[str, Parameters]) -> None:
        self.tasks = np.array(state["count"]["tasks"])


class Forgetful(Counting):
    """Keeps nothing."""

    def local_state(self) -> Mapping[str, Parameters]:
        return {}


@pytest.fixture
def session(site: Site, tmp_path: Path) -> LearnerSession:
    return LearnerSession(Counting, site, tmp_path / "state")


def train(round_number: int, **settings: Any) -> Task:
    return Task("train", round_number, seed=100 + round_number, settings=settings)


def weight(result: TaskResult) -> bytes:
    assert result.parameters is not None
    return result.parameters["w"].tobytes()


def broken(site: Site) -> Counting:
    learner = Counting(site)
    learner.parameters = lambda: 1 / 0
    return learner


def test_learners_of_one_seed_begin_alike(site: Site, tmp_path: Path) -> None:
    one, two = (LearnerSession(Counting, site, tmp_path / name).initial_parameters() for name in "ab")

    assert one["w"].tobytes() == two["w"].tobytes()


def test_the_first_model_is_the_callers_own(session: LearnerSession) -> None:
    session.initial_parameters()["w"][:] = 9

    assert (session.initial_parameters()["w"] < 1).all()


def test_a_task_gives_the_same_whatever_was_drawn_before(
    session: LearnerSession, site: Site, tmp_path: Path
) -> None:
    first = weight(session.perform(train(1), START, sequence=1))
    random.random()
    np.random.random()

    assert (
        weight(LearnerSession(Counting, site, tmp_path / "b").perform(train(1), START, sequence=1)) == first
    )


def test_parameters_are_given_read_only_and_the_callers_stay_writable(site: Site, tmp_path: Path) -> None:
    class Careless(Counting):
        def train(self, parameters: Parameters, task: Task) -> TaskResult:
            parameters["w"][:] = 1

    with pytest.raises(TaskError, match=r"ValueError: assignment destination is read-only"):
        LearnerSession(Careless, site, tmp_path).perform(train(1), START, sequence=1)

    assert START["w"].flags.writeable
    assert not START["w"].any()


def test_an_exchange_performed_again_gives_the_same_bits(session: LearnerSession) -> None:
    results = [weight(session.perform(train(r), START, sequence=r)) for r in (1, 1, 2, 3, 3, 3)]

    assert results[0] == results[1]
    assert results[3] == results[4] == results[5]
    assert len(set(results)) == 3


def test_a_fresh_process_goes_on_where_the_one_before_stopped(site: Site, tmp_path: Path) -> None:
    def sessions(name: str) -> LearnerSession:
        return LearnerSession(Counting, site, tmp_path / name)

    undisturbed = sessions("a")
    expected = [weight(undisturbed.perform(train(r), START, sequence=r)) for r in (1, 2, 3)]

    assert [weight(sessions("b").perform(train(r), START, sequence=r)) for r in (1, 2, 2, 3)] == [
        expected[0],
        expected[1],
        expected[1],
        expected[2],
    ]


def test_what_a_task_left_that_did_not_count_is_forgotten(site: Site, tmp_path: Path) -> None:
    undisturbed = LearnerSession(Counting, site, tmp_path / "a")
    expected = [weight(undisturbed.perform(train(r), START, sequence=r)) for r in (1, 3)]

    session = LearnerSession(Counting, site, tmp_path / "b")
    first = session.perform(train(1), START, sequence=1, counted=0)
    session.perform(train(2), START, sequence=2, counted=1)

    third = session.perform(train(3), START, sequence=3, counted=1)
    assert [weight(first), weight(third)] == expected


def test_a_fresh_process_forgets_what_did_not_count_too(site: Site, tmp_path: Path) -> None:
    def session() -> LearnerSession:
        return LearnerSession(Counting, site, tmp_path / "a")

    session().perform(train(1), START, sequence=1, counted=0)
    for sequence, round_number in ((2, 2), (3, 3), (4, 4)):
        session().perform(train(round_number), START, sequence=sequence, counted=1)
    evaluated = session().perform(Task("evaluate", 4, seed=0), START, sequence=5, counted=1)

    assert evaluated.metrics == {"tasks": 1.0}


def test_where_nothing_counted_the_learner_is_as_it_was_made(session: LearnerSession) -> None:
    first = weight(session.perform(train(1), START, sequence=1, counted=0))

    assert session.perform(Task("evaluate", 1, seed=0), START, sequence=2, counted=0).metrics == {"tasks": 0}
    assert weight(session.perform(train(1), START, sequence=3, counted=0)) == first


def test_tasks_without_training_are_exchanges_too(session: LearnerSession) -> None:
    session.perform(train(1), START, sequence=1)
    session.perform(Task("evaluate", 1, seed=0), START, sequence=2)

    assert session.perform(Task("evaluate", 2, seed=0), START, sequence=3).metrics == {"tasks": 1.0}


def test_what_a_failed_task_left_behind_is_forgotten(site: Site, tmp_path: Path) -> None:
    class Failing(Counting):
        def train(self, parameters: Parameters, task: Task) -> TaskResult:
            result = super().train(parameters, task)
            if task.settings.get("fail"):
                raise OSError("no data")
            return result

    session = LearnerSession(Failing, site, tmp_path / "a")
    session.perform(train(1), START, sequence=1)
    with pytest.raises(TaskError, match=r"train failed at test_session\.py:\d+: OSError: no data"):
        session.perform(train(2, fail=True), START, sequence=2)

    assert session.perform(Task("evaluate", 2, seed=0), START, sequence=3).metrics == {"tasks": 1.0}


def test_a_learner_without_state_writes_nothing(site: Site, tmp_path: Path) -> None:
    session = LearnerSession(Forgetful, site, tmp_path / "state")
    session.perform(train(1), START, sequence=1)

    assert session.perform(Task("evaluate", 1, seed=0), START, sequence=2).metrics == {"tasks": 1.0}
    assert not (tmp_path / "state").exists()


def test_a_state_that_cannot_be_written_fails_the_task(
    session: LearnerSession, largest_file: Callable[[int], Any]
) -> None:
    first = weight(session.perform(train(1), START, sequence=1))

    with largest_file(0), pytest.raises(StorageError):
        session.perform(train(2), START, sequence=2)

    assert weight(session.perform(train(1), START, sequence=1)) == first


@pytest.mark.parametrize(
    "name", ["fit", "parameters", "local_state", "__init__", "site", "not a name", "__class__"]
)
def test_a_task_that_does_not_exist_is_refused_with_those_that_do(session: LearnerSession, name: str) -> None:
    with pytest.raises(TaskError, match=r"Counting has no task '.*'; it has: evaluate, train"):
        session.perform(Task(name, 1, seed=0), START, sequence=1)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (lambda site: {}, "returned a dict, which is not a learner: it lacks parameters, train, evaluate"),
        (lambda site: 1 / 0, r"making the learner failed at test_session\.py:\d+: ZeroDivisionError"),
        (broken, r"parameters failed at test_session\.py:\d+: ZeroDivisionError"),
        (lambda site: site.data["xrays"], "site north has no data source named 'xrays'"),
    ],
)
def test_a_learner_that_cannot_be_made_is_told_with_its_place(
    site: Site, tmp_path: Path, factory: Any, message: str
) -> None:
    with pytest.raises(Exception, match=message):
        LearnerSession(factory, site, tmp_path).initial_parameters()


def test_a_wrong_setting_stays_the_plans_error(site: Site, tmp_path: Path) -> None:
    class Strict(Counting):
        def train(self, parameters: Parameters, task: Task) -> TaskResult:
            raise PlanError("task train has a setting 'epoch'")

    with pytest.raises(PlanError, match="a setting 'epoch'"):
        LearnerSession(Strict, site, tmp_path).perform(train(1), START, sequence=1)


def test_a_learner_that_lacks_a_method_is_refused_with_the_workflow_that_asks_it(
    site: Site, tmp_path: Path
) -> None:
    needs = {"parameters": "a site gives it", "personalise": "workflow ditto asks the task `personalise`"}

    with pytest.raises(TaskError) as refused:
        LearnerSession(Counting, site, tmp_path, needs).initial_parameters()

    assert str(refused.value) == (
        "the plan's learner function returned a Counting, which is not a learner: it lacks personalise. "
        "Write the method `personalise`: workflow ditto asks the task `personalise`."
    )
