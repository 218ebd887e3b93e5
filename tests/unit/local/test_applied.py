"""How rules are applied: to which tensors, in which order, and that none is left out unseen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hanse.core.values.parameters import UNTRAINED, Array, Parameters
from hanse.core.values.site import DataSources, Site
from hanse.core.values.update import Task, TaskResult
from hanse.errors import TaskError
from hanse.learners.session import LearnerSession
from hanse.learners.sklearn import SklearnLearner
from hanse.local import Clip, ControlVariates, Dynamic, Normalise, Proximal
from hanse.local.applied import rules_of, with_rules
from hanse.local.base import LocalRule

SITE = Site("north", DataSources("north", {}))
MODEL = {"w": np.ones(2), "frozen": np.ones(3), "count": np.array(4)}
CONTROL = {"control": {"w": np.full(2, 5.0), "frozen": np.full(3, 5.0)}}
ZEROS = {"control": {"w": np.zeros(2), "frozen": np.zeros(3)}}

Train = Callable[[Parameters, Task], TaskResult]


class Given:
    """A learner whose training is a function of the test's."""

    def __init__(self, train: Train) -> None:
        self._train = train

    def parameters(self) -> Parameters:
        return MODEL

    def train(self, parameters: Parameters, task: Task) -> TaskResult:
        return self._train(parameters, task)

    def evaluate(self, parameters: Parameters, task: Task) -> TaskResult:
        return TaskResult(1)


def perform(train: Train, folder: Path, *rules: LocalRule, groups: Any = ZEROS) -> TaskResult:
    task = with_rules(Task("train", 1, 1, {}, groups), rules)
    return LearnerSession(lambda site: Given(train), SITE, folder).perform(task, MODEL, sequence=1)


def one_step(gradients: dict[str, Any], parameters: Parameters | None = None) -> Train:
    def train(received: Parameters, task: Task) -> TaskResult:
        corrected = task.correct(gradients, parameters or {name: array + 1 for name, array in MODEL.items()})
        return TaskResult(1, {}, {**received, "w": received["w"] - corrected["w"]})

    return train


def weights(result: TaskResult) -> list[float]:
    assert result.parameters is not None
    return list(result.parameters["w"])


def test_a_task_without_rules_gives_the_gradients_back() -> None:
    gradients = {"anything": object()}

    assert Task("train", 1, 1).correct(gradients, {}) is gradients


def test_rules_are_no_part_of_how_a_task_looks_or_compares() -> None:
    task = Task("train", 1, 1)

    assert with_rules(task, [Proximal(0.1)]) == task
    assert repr(with_rules(task, [Proximal(0.1)])) == repr(task)


@pytest.mark.parametrize(
    "rule",
    [Proximal(0.1), ControlVariates(), Dynamic(0.1), Normalise(), Clip(1.0)],
    ids=lambda rule: rule.name,
)
def test_a_task_that_never_applied_its_rule_fails_and_names_the_rule(tmp_path: Path, rule: LocalRule) -> None:
    def train(received: Parameters, task: Task) -> TaskResult:
        return TaskResult(1, {}, dict(received))

    with pytest.raises(TaskError, match=rf"train never applied the plan's local rule {rule.name}") as caught:
        perform(train, tmp_path, rule)

    assert "task.correct(gradients, parameters)" in caught.value.mend


def test_a_site_without_examples_need_not_apply_rules(tmp_path: Path) -> None:
    def train(received: Parameters, task: Task) -> TaskResult:
        return TaskResult(0, {}, dict(received))

    result = perform(train, tmp_path, ControlVariates(), Normalise(), groups=CONTROL)

    assert weights(result) == [1, 1]
    assert not result.groups["control"]["w"].any()
    assert result.groups["steps"] == 0


def test_the_scikit_learn_learner_is_refused_where_there_is_a_rule(tmp_path: Path) -> None:
    from sklearn.linear_model import SGDClassifier

    data = (np.arange(8.0).reshape(4, 2), [0, 1, 0, 1])
    session = LearnerSession(
        lambda site: SklearnLearner(SGDClassifier(), data, data, classes=[0, 1]), SITE, tmp_path
    )
    model = session.initial_parameters()

    with pytest.raises(TaskError, match="never applied the plan's local rule proximal"):
        session.perform(with_rules(Task("train", 1, 1), [Proximal(0.1)]), model, sequence=1)


def test_tensors_without_a_gradient_and_tensors_that_were_not_received_pass(tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    def train(received: Parameters, task: Task) -> TaskResult:
        own = np.ones(7)
        gradients = {"w": np.zeros(2), "frozen": None, "personal": own}
        seen.update(task.correct(gradients, {"w": received["w"], "frozen": received["frozen"]}))
        assert seen["personal"] is own
        return TaskResult(1, {}, dict(received))

    result = perform(train, tmp_path, ControlVariates(), groups=CONTROL)

    assert seen["w"].tolist() == [5, 5]
    assert seen["frozen"] is None
    assert result.groups["control"]["frozen"].tolist() == [0, 0, 0]


def test_rules_act_in_their_order(tmp_path: Path) -> None:
    pulled_first = perform(one_step({"w": np.ones(2)}), tmp_path / "a", Proximal(3), Clip(1.0))
    alone = perform(one_step({"w": np.ones(2)}), tmp_path / "b", Proximal(3))

    assert weights(alone) == [-3, -3]  # gradient 1, and 3 times the distance of 1
    np.testing.assert_allclose(weights(pulled_first), 1 - np.sqrt([0.5, 0.5]))


def test_gradients_are_not_changed_in_place(tmp_path: Path) -> None:
    gradients = {"w": np.ones(2)}

    perform(one_step(gradients), tmp_path, ControlVariates(), Proximal(2), groups=CONTROL)

    assert gradients["w"].tolist() == [1, 1]


def test_a_gradient_that_is_written_over_afterwards_is_summed_as_it_was(tmp_path: Path) -> None:
    def train(received: Parameters, task: Task) -> TaskResult:
        buffer = np.ones(2)
        for value in (1.0, 3.0):
            buffer[:] = value
            task.correct({"w": buffer}, received)
        buffer[:] = 100
        return TaskResult(1, {}, dict(received))

    result = perform(train, tmp_path, ControlVariates())

    assert result.groups["control"]["w"].tolist() == [2, 2]


def test_half_precision_is_summed_in_single(tmp_path: Path) -> None:
    model = {"w": np.zeros(1, np.float16)}

    def train(received: Parameters, task: Task) -> TaskResult:
        for _ in range(3_000):
            task.correct({"w": np.ones(1, np.float16)}, received)
        return TaskResult(1, {}, dict(received))

    task = with_rules(Task("train", 1, 1, {}, {"control": model}), [ControlVariates()])
    result = LearnerSession(lambda site: Given(train), SITE, tmp_path).perform(task, model, sequence=1)

    assert result.groups["control"]["w"].dtype == np.float16
    assert result.groups["control"]["w"] == 1


def test_a_single_step_is_one_however_many_calls_it_is_told_in(tmp_path: Path) -> None:
    def train(received: Parameters, task: Task) -> TaskResult:
        for name in ("w", "frozen"):
            task.correct({name: received[name]}, received)
        return TaskResult(1, {}, dict(received))

    assert perform(train, tmp_path, Normalise()).groups["steps"] == 1


@pytest.mark.parametrize(
    ("gradients", "parameters", "message"),
    [
        ({"layer": np.ones(2)}, None, r"gradients of 'layer': not one is of a tensor that it received"),
        ({"w": np.ones(3)}, None, r"the gradient of 'w' has shape \(3,\), expected \(2,\)"),
        ({"w": np.ones(2)}, {"b": np.ones(2)}, r"a gradient of 'w' without the parameter's value"),
        ({"w": np.ones(2)}, {"w": np.ones(1)}, r"the parameter of 'w' has shape \(1,\), expected \(2,\)"),
        ({"w": np.ones(2, int)}, None, r"the gradient of 'w' has dtype int64, expected floating-point"),
        ({"w": [1.0, 1.0]}, None, r"the gradient of 'w' is a builtins.list"),
    ],
    ids=["name", "shape", "no parameter", "parameter's shape", "integers", "list"],
)
def test_what_cannot_be_corrected_is_refused_by_name(
    tmp_path: Path, gradients: Any, parameters: Any, message: str
) -> None:
    with pytest.raises(TaskError, match=message):
        perform(one_step(gradients, parameters), tmp_path, Proximal(1))


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({}, "control_variates needs the group `control`"),
        ({"control": {"w": np.zeros(2)}}, "the group `control` lacks the tensor 'frozen'"),
    ],
)
def test_control_variates_without_their_group_are_refused(tmp_path: Path, groups: Any, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        perform(one_step({"w": np.ones(2)}), tmp_path, ControlVariates(), groups=groups)


def test_a_group_of_a_rules_is_not_the_learners_to_give(tmp_path: Path) -> None:
    def train(received: Parameters, task: Task) -> TaskResult:
        task.correct({"w": np.ones(2)}, received)
        return TaskResult(1, {}, dict(received), groups={"steps": np.array(1.0), "other": np.array(1.0)})

    with pytest.raises(TaskError, match="gave the group 'steps', which the local rule normalise gives"):
        perform(train, tmp_path, Normalise())


def test_dynamic_regularisation_of_a_task_without_parameters_is_refused(tmp_path: Path) -> None:
    def train(received: Parameters, task: Task) -> TaskResult:
        task.correct({"w": np.ones(2)}, received)
        return TaskResult(1)

    with pytest.raises(TaskError, match="dynamic needs the trained parameters"):
        perform(train, tmp_path, Dynamic(0.1))


def test_tasks_keep_their_rules_state_apart_and_an_evaluation_leaves_it(tmp_path: Path) -> None:
    def train(received: Parameters, task: Task) -> TaskResult:
        task.correct({"w": np.ones(2)}, received)
        return TaskResult(1, {}, dict(received))

    session = LearnerSession(lambda site: Given(train), SITE, tmp_path)
    rules, changes = [ControlVariates()], []
    for sequence in (1, 3):
        task = with_rules(Task("train", sequence, 1, {}, ZEROS), rules)
        changes.append(session.perform(task, MODEL, sequence=sequence).groups["control"])
        session.perform(Task("evaluate", sequence, 1), MODEL, sequence=sequence + 1)

    assert [change["w"].tolist() for change in changes] == [[1, 1], [0, 0]]


def test_a_task_performed_again_gives_the_same_bits(tmp_path: Path) -> None:
    def train(received: Parameters, task: Task) -> TaskResult:
        corrected = task.correct({"w": received["w"] / 3}, received)
        return TaskResult(1, {}, {**received, "w": received["w"] - corrected["w"]})

    session = LearnerSession(lambda site: Given(train), SITE, tmp_path)
    task = with_rules(Task("train", 1, 1, {}, CONTROL), [ControlVariates(), Dynamic(0.3)])

    answers = [session.perform(task, MODEL, sequence=sequence) for sequence in (1, 2, 2)]

    assert weights(answers[1]) == weights(answers[2]) != weights(answers[0])


def test_a_state_of_the_learners_under_a_rules_name_is_refused(tmp_path: Path) -> None:
    class Stateful(Given):
        def local_state(self) -> dict[str, dict[str, Array]]:
            return {"@local/train/dynamic": {"w": np.ones(2)}}

        def restore_local_state(self, state: object) -> None: ...

    def train(received: Parameters, task: Task) -> TaskResult:
        return TaskResult(1, {}, dict(received))

    with pytest.raises(TaskError, match="names that begin with '@local/' are taken"):
        LearnerSession(lambda site: Stateful(train), SITE, tmp_path).perform(
            Task("train", 1, 1), MODEL, sequence=1
        )


def test_an_infinity_that_training_left_as_it_was_stays(tmp_path: Path) -> None:
    model = {"mask": np.array([-np.inf, 0.0]), "w": np.zeros(2)}

    def train(received: Parameters, task: Task) -> TaskResult:
        task.correct({"w": np.ones(2)}, received)
        return TaskResult(1, {}, {"mask": received["mask"], "w": np.full(2, 4.0)})

    task = with_rules(Task("train", 1, 1), [Normalise(), Clip(1.0)])
    result = LearnerSession(lambda site: Given(train), SITE, tmp_path).perform(task, model, sequence=1)

    assert result.parameters is not None
    assert result.parameters["mask"].tolist() == [-np.inf, 0]
    np.testing.assert_allclose(result.parameters["w"], np.sqrt([0.5, 0.5]))


@pytest.mark.parametrize(
    "make",
    [lambda: Proximal(-1), lambda: Dynamic(0), lambda: Normalise(1), lambda: Clip(0), lambda: Clip(np.inf)],
)
def test_settings_out_of_their_range_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        make()


def test_a_step_of_personal_tensors_alone_counts_as_applied(tmp_path: Path) -> None:
    def train(received: Parameters, task: Task) -> TaskResult:
        corrected = task.correct({"w": np.ones(2)}, received)
        return TaskResult(1, {}, {**received, "w": received["w"] - corrected["w"]})

    rules = [ControlVariates(), Dynamic(0.1), Normalise(0.5), Clip(0.1)]
    task = with_rules(Task("train", 1, 1, {}, {"control": {"frozen": np.zeros(3)}}), rules, ["w"])
    result = LearnerSession(lambda site: Given(train), SITE, tmp_path).perform(task, MODEL, sequence=1)

    assert weights(result) == [0, 0]
    assert not result.groups["control"]["frozen"].any()


def test_personal_tensors_are_received_and_pass_all_the_same() -> None:
    own, received = np.ones(7), {"w": np.zeros(2), "head": np.zeros(7)}
    task = with_rules(Task("train", 1, 1), [Normalise()], ["head"])
    rules = rules_of(task)
    assert rules is not None
    rules.begin(task, received, {})
    for _ in range(2):
        corrected = task.correct({"w": np.ones(2), "head": own}, received)

    result, _ = rules.end(TaskResult(1, {}, {"w": np.full(2, 4.0), "head": np.full(7, 6.0)}))

    assert corrected["head"] is own
    assert result.parameters is not None
    assert {name: array.tolist() for name, array in result.parameters.items()} == {
        "w": [2, 2],
        "head": [6] * 7,
    }


COUNTED = {"w": np.zeros(2), "bn.running_var": np.ones(2), "usage": np.zeros(2), "tied": np.zeros(2)}


def counting(**after: list[float]) -> Train:
    """Four steps of `w`, and what becomes of the other tensors."""

    def train(received: Parameters, task: Task) -> TaskResult:
        for _ in range(4):
            task.correct({"w": np.ones(2)}, {"w": received["w"]})
        made = {name.replace("__", "."): np.array(values) for name, values in after.items()}
        return TaskResult(1, {}, {**received, **made})

    return train


def of_counted(train: Train, folder: Path, *untrained: str) -> Parameters:
    task = with_rules(Task("train", 1, 1, {}), [Normalise()], (), untrained or UNTRAINED)
    made = LearnerSession(lambda site: Given(train), Site("a", DataSources("a", {})), folder)
    found = made.perform(task, COUNTED, sequence=1).parameters
    assert found is not None
    return found


def test_running_statistics_are_not_divided_by_steps(tmp_path: Path) -> None:
    found = of_counted(counting(w=[4.0, 8.0], bn__running_var=[0.1, 0.2]), tmp_path)

    assert found["w"].tolist() == [1.0, 2.0]
    assert found["bn.running_var"].tolist() == [0.1, 0.2]


def test_a_tied_weight_is_divided_under_each_of_its_names(tmp_path: Path) -> None:
    found = of_counted(counting(w=[4.0, 8.0], tied=[4.0, 8.0]), tmp_path)

    assert found["tied"].tolist() == found["w"].tolist() == [1.0, 2.0]


def test_what_changes_without_a_gradient_is_refused_until_the_plan_says_so(tmp_path: Path) -> None:
    train = counting(w=[4.0, 8.0], usage=[3.0, 5.0])

    with pytest.raises(TaskError, match=r"changed 'usage', of which it corrected no gradient.*untrained"):
        of_counted(train, tmp_path / "first")

    assert of_counted(train, tmp_path / "second", "usage")["usage"].tolist() == [3.0, 5.0]


def test_a_gradient_of_what_no_gradient_trains_by_the_plan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="corrected a gradient of 'w', which by the plan no gradient trains"):
        of_counted(counting(w=[4.0, 8.0]), tmp_path, "w")
