import numpy as np
import pytest

from hanse.core.plan.plan import Plan
from hanse.core.plan.tasks import INITIALISE
from hanse.core.values.parameters import Parameters
from hanse.core.values.seeds import derive
from hanse.core.values.update import Task, TaskResult
from hanse.errors import DisclosureError, TaskError
from hanse.learners.notices import notices_kept
from hanse.learners.perform import Ask, perform, setup_seed

MODEL = {"head": np.ones(2, np.float32), "body": np.ones(3, np.float32)}

PLAN = Plan.model_validate(
    {
        "name": "demo",
        "code": ["federation.py"],
        "learner": "federation:learner",
        "seed": 7,
        "tasks": {
            "train": {
                "lr": 0.1,
                "discloses": {"update": "individual", "tensors": ["head"], "metrics": ["loss"]},
            },
            "evaluate": {"discloses": {"metrics": ["loss"]}},
        },
    }
)


class FakeSession:
    """Gives back what a test has it give back, and keeps what it was asked."""

    def __init__(self, result: TaskResult | None = None) -> None:
        self.result = result or TaskResult(5)
        self.asked: list[tuple[Task, int]] = []

    def initial_parameters(self) -> Parameters:
        return MODEL

    def perform(
        self, task: Task, parameters: Parameters, *, sequence: int, counted: int | None = None
    ) -> TaskResult:
        self.asked.append((task, sequence))
        return self.result

    def close(self) -> None:
        pass


class Exiting(FakeSession):
    def perform(
        self, task: Task, parameters: Parameters, *, sequence: int, counted: int | None = None
    ) -> TaskResult:
        raise SystemExit(0)


def test_what_would_end_the_process_fails_the_task() -> None:
    with pytest.raises(TaskError, match=r"train failed at .*SystemExit"):
        perform(Exiting(), PLAN, "north", Ask(2, 1, "train"), MODEL)


def test_a_model_without_tensors_has_nothing_to_train() -> None:
    with pytest.raises(TaskError, match="has nothing to train: the model has no tensors"):
        perform(FakeSession(TaskResult(5, {}, {})), PLAN, "north", Ask(2, 1, "train"), {})


def test_only_the_declared_tensors_become_the_update() -> None:
    trained = {name: array * 3 for name, array in MODEL.items()}
    session = FakeSession(TaskResult(5, {"loss": 0.5}, trained))

    performed = perform(session, PLAN, "north", Ask(2, 1, "train"), MODEL)

    assert (performed.num_examples, performed.metrics) == (5, {"loss": 0.5})
    assert performed.update is not None
    assert list(performed.update) == ["head"]
    assert np.asarray(performed.update["head"]).tolist() == [2.0, 2.0]


@pytest.mark.parametrize(("digits", "loss"), [(6, 0.333333), (2, 0.33), (17, 1 / 3)])
@pytest.mark.parametrize("task", ["train", "evaluate"])
def test_metrics_are_rounded_where_they_are_made(task: str, digits: int, loss: float) -> None:
    session = FakeSession(TaskResult(5, {"loss": 1 / 3}, MODEL))
    plan = Plan.model_validate(PLAN.model_dump() | {"metric_digits": digits})

    assert perform(session, plan, "north", Ask(1, 1, task), MODEL).metrics == {"loss": loss}


def test_the_learner_is_told_settings_place_and_a_seed_of_its_own() -> None:
    session = FakeSession()

    perform(session, PLAN, "north", Ask(4, 2, "evaluate"), MODEL)
    perform(session, PLAN, "south", Ask(4, 2, "evaluate"), MODEL)

    (north, sequence), (south, _) = session.asked
    assert (north.name, north.round_number, sequence) == ("evaluate", 2, 4)
    assert north.seed == derive(7, "task", "north", 2, "evaluate")
    assert north.seed != south.seed


@pytest.mark.parametrize(
    ("task", "result", "remarked"),
    [
        ("train", TaskResult(5, {}, MODEL), True),
        ("train", TaskResult(5, {}, {**MODEL, "body": MODEL["body"] + 1}), True),  # `head` alone is federated
        ("train", TaskResult(5, {}, {**MODEL, "head": MODEL["head"] + 1}), False),
        ("train", TaskResult(0, {}, MODEL), False),
        ("train", TaskResult(5, {}, MODEL, converged=True), False),
        ("evaluate", TaskResult(5), False),
        ("evaluate", TaskResult(5, {}, MODEL), False),
    ],
    ids=["nothing", "the rest", "something", "no examples", "converged", "evaluation", "no update"],
)
def test_training_that_changes_nothing_of_what_is_federated_is_remarked_on(
    task: str, result: TaskResult, remarked: bool
) -> None:
    with notices_kept() as noted:
        perform(FakeSession(result), PLAN, "north", Ask(1, 1, task), MODEL)

    assert len(noted) == remarked
    assert all("task train gave back exactly the parameters that it received" in line for line in noted)


def test_statistics_that_every_pass_changes_are_no_training() -> None:
    model = {"head": np.zeros(3), "head.running_mean": np.zeros(3), "head.num_batches_tracked": np.array(1)}
    after = {**model, "head.running_mean": np.ones(3), "head.num_batches_tracked": np.array(9)}
    tasks = {"train": {"discloses": {"update": "individual"}}}
    whole = Plan.model_validate({**PLAN.model_dump(mode="json"), "tasks": tasks})
    with notices_kept() as noted:
        perform(FakeSession(TaskResult(5, {}, after)), whole, "north", Ask(1, 1, "train"), model)

    assert len(noted) == 1


def test_settings_of_the_plan_reach_the_learner() -> None:
    session = FakeSession(TaskResult(5, {}, MODEL))

    perform(session, PLAN, "north", Ask(1, 1, "train"), MODEL)

    assert session.asked[0][0].settings == {"lr": 0.1}


def test_what_a_task_trains_without_disclosing_it_stays() -> None:
    session = FakeSession(TaskResult(5, {"loss": 1.0}, MODEL))

    assert perform(session, PLAN, "north", Ask(1, 1, "evaluate"), MODEL).update is None


def test_the_first_model_is_sent_as_it_is() -> None:
    performed = perform(FakeSession(), PLAN, "north", Ask(1, 0, INITIALISE), None)

    assert performed.update is MODEL
    assert performed.num_examples == 0


def test_a_task_that_trains_nothing_where_an_update_is_due_fails() -> None:
    with pytest.raises(TaskError, match="gave no parameters"):
        perform(FakeSession(), PLAN, "north", Ask(1, 1, "train"), MODEL)


def test_a_task_that_the_plan_lacks_is_refused() -> None:
    with pytest.raises(DisclosureError, match="no task 'spy'"):
        perform(FakeSession(), PLAN, "north", Ask(1, 1, "spy"), MODEL)


def test_only_the_first_model_is_asked_without_one() -> None:
    with pytest.raises(TaskError, match="without a model"):
        perform(FakeSession(), PLAN, "north", Ask(1, 1, "train"), None)


def test_learners_are_made_alike_at_every_site() -> None:
    assert setup_seed(PLAN) == derive(7, "setup")
