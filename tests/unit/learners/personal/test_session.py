"""Tensors that stay at a site, around the session of any code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from tests.unit.learners.conftest import Write

from hanse.core.values.parameters import Parameters
from hanse.core.values.site import DataSources, Site
from hanse.core.values.update import Task, TaskResult
from hanse.errors import PlanError, UpdateError
from hanse.learners.agreement import TENSOR, Agreement
from hanse.learners.base import Session
from hanse.learners.personal.session import PersonalSession, learner_session, script_session
from hanse.learners.script import ScriptSession
from hanse.learners.state import StateStore
from hanse.local import ControlVariates, Normalise
from hanse.local.applied import with_rules


class TwoLayers:
    """Adds to its body what the task says, and counts in its head."""

    def __init__(self, site: Site) -> None:
        self.head = np.array(float(site.index))

    def parameters(self) -> Parameters:
        return {"body.w": np.zeros(2), "head.w": self.head}

    def train(self, parameters: Parameters, task: Task) -> TaskResult:
        head = parameters["head.w"] * task.settings.get("factor", 1) + 1
        trained = {"body.w": parameters["body.w"] + head, "head.w": head}
        return TaskResult(1, {"head": parameters["head.w"]}, trained)

    def evaluate(self, parameters: Parameters, task: Task) -> TaskResult:
        return TaskResult(1, {"head": parameters["head.w"]})


BODY = {"body.w": np.zeros(2)}
HEAD = ["head.*"]


def opened(
    folder: Path,
    patterns: list[str] = HEAD,
    factory: Callable[[Site], TwoLayers] = TwoLayers,
    index: int = 0,
) -> Session:
    site = Site("north", DataSources("north", {}), seed=5, index=index)
    return learner_session(factory, site, folder / "kept", patterns, folder / "personal")


def train(round_number: int = 1, **settings: float) -> Task:
    return Task("train", round_number, seed=0, settings=settings)


def head(result: TaskResult) -> float | None:
    return result.metrics["head"]


def test_without_patterns_nothing_stays(tmp_path: Path) -> None:
    assert not isinstance(opened(tmp_path, []), PersonalSession)


def test_what_is_personal_is_in_no_model_that_is_exchanged(tmp_path: Path) -> None:
    session = opened(tmp_path)

    result = session.perform(train(), BODY, sequence=1)

    assert session.initial_parameters().keys() == {"body.w"}
    assert result.parameters is not None
    assert {name: array.tolist() for name, array in result.parameters.items()} == {"body.w": [1, 1]}


def test_what_is_personal_begins_as_the_sites_own_code_makes_it(tmp_path: Path) -> None:
    evaluate = Task("evaluate", 1, seed=0)

    heads = [head(opened(tmp_path / str(n), index=n).perform(evaluate, BODY, sequence=1)) for n in (0, 1)]

    assert heads == [0, 1]


def test_what_a_task_trained_is_there_in_the_next_evaluation_included(tmp_path: Path) -> None:
    for sequence in (1, 2, 3):
        session = opened(tmp_path)  # as in a process that starts for each task
        assert (
            head(session.perform(Task("evaluate", sequence, 0), BODY, sequence=2 * sequence)) == sequence - 1
        )
        assert head(session.perform(train(sequence), BODY, sequence=2 * sequence + 1)) == sequence - 1


def test_what_a_task_trained_that_did_not_count_is_forgotten(tmp_path: Path) -> None:
    session = opened(tmp_path)
    session.perform(train(1), BODY, sequence=1, counted=0)
    session.perform(train(2), BODY, sequence=2, counted=1)

    for again in (session, opened(tmp_path)):
        assert head(again.perform(Task("evaluate", 3, 0), BODY, sequence=3, counted=1)) == 1
    assert head(session.perform(Task("evaluate", 3, 0), BODY, sequence=4, counted=0)) == 0


def test_a_task_without_the_model_has_nothing_to_do_with_what_is_personal(tmp_path: Path) -> None:
    class Counting(TwoLayers):
        def count(self, parameters: Parameters, task: Task) -> TaskResult:
            return TaskResult(len(parameters))

    session = opened(tmp_path, factory=Counting)
    session.perform(train(), BODY, sequence=1)

    assert session.perform(Task("count", 1, 0), {}, sequence=2).num_examples == 0
    assert head(session.perform(Task("evaluate", 1, 0), BODY, sequence=3)) == 1


def test_a_model_with_what_is_personal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UpdateError, match=r"has the tensor 'head\.w', which the plan keeps at each site"):
        opened(tmp_path).perform(train(), {**BODY, "head.w": np.array(7.0)}, sequence=1)


def test_a_pattern_that_fits_no_tensor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"a pattern 'haed\.\*' that no tensor .* 'body\.w' and 'head\.w'"):
        opened(tmp_path, ["head.*", "haed.*"]).initial_parameters()


def test_a_model_of_which_all_stays_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="nothing would be exchanged"):
        opened(tmp_path, ["body.*", "head.*"]).perform(train(), BODY, sequence=1)


def test_what_diverges_at_a_site_fails_its_task(tmp_path: Path) -> None:
    session = opened(tmp_path)

    with pytest.raises(UpdateError, match=r"task train left a NaN or an infinity in the tensor 'head\.w'"):
        session.perform(train(1, factor=float("nan")), BODY, sequence=1)

    assert head(session.perform(Task("evaluate", 1, 0), BODY, sequence=2)) == 0


def test_a_shape_that_changes_in_a_run_is_refused(tmp_path: Path) -> None:
    class Wide(TwoLayers):
        def __init__(self, site: Site) -> None:
            self.head = np.zeros(3)

    opened(tmp_path).perform(train(), BODY, sequence=1)

    with pytest.raises(UpdateError, match="personal tensors that were kept here do not fit the model"):
        opened(tmp_path, factory=Wide).perform(train(), BODY, sequence=2)


def test_what_sites_have_to_agree_on_is_never_personal(tmp_path: Path) -> None:
    class Agreeing(TwoLayers):
        def agreement(self) -> Agreement:
            return Agreement(labels=("left", "right"))

    first = opened(tmp_path, ["h*"], Agreeing).initial_parameters()

    assert first.keys() == {"body.w", TENSOR}


def test_local_state_of_the_learners_own_is_kept_beside(tmp_path: Path) -> None:
    class Keeping(TwoLayers):
        tasks = np.array(0)

        def train(self, parameters: Parameters, task: Task) -> TaskResult:
            self.tasks = self.tasks + 1
            return super().train(parameters, task)

        def evaluate(self, parameters: Parameters, task: Task) -> TaskResult:
            return TaskResult(1, {"head": parameters["head.w"], "tasks": self.tasks})

        def local_state(self) -> Mapping[str, Parameters]:
            return {"count": {"tasks": self.tasks}}

        def restore_local_state(self, state: Mapping[str, Parameters]) -> None:
            self.tasks = np.array(state["count"]["tasks"])

    for sequence in (1, 2):
        opened(tmp_path, factory=Keeping).perform(train(sequence), BODY, sequence=sequence)

    result = opened(tmp_path, factory=Keeping).perform(Task("evaluate", 2, 0), BODY, sequence=3)
    assert result.metrics == {"head": 2, "tasks": 2}


RULED = """
import numpy as np
import hanse

model = {"body.w": np.zeros(2), "head.w": np.zeros(())}
for round in hanse.rounds(model):
    gradients = round.correct({"body.w": model["body.w"] - 1, "head.w": np.ones(())}, model)
    for name in model:
        model[name] -= gradients[name]
    round.report(examples=1)
"""


class Ruled(TwoLayers):
    """The same as `RULED`."""

    def train(self, parameters: Parameters, task: Task) -> TaskResult:
        gradients = {"body.w": parameters["body.w"] - 1, "head.w": np.ones(())}
        corrected = task.correct(gradients, parameters)
        return TaskResult(1, {}, {name: parameters[name] - corrected[name] for name in parameters})


@pytest.mark.parametrize("kind", ["learner", "script"])
def test_the_state_of_local_rules_rolls_back_with_what_is_personal(
    kind: str, write: Write, site: Site, tmp_path: Path
) -> None:
    script = write("train.py", RULED)

    def begun(folder: Path) -> Session:
        if kind == "script":
            return script_session(ScriptSession(script, site, folder / "kept"), HEAD, folder / "personal")
        return opened(folder, factory=Ruled)

    def perform(session: Session, sequence: int, counted: int) -> list[object]:
        task = Task("train", sequence, 1, groups={"control": {"body.w": np.full(2, 5.0)}})
        task = with_rules(task, [ControlVariates(), Normalise()], HEAD)
        result = session.perform(
            task, {"body.w": np.full(2, float(sequence))}, sequence=sequence, counted=counted
        )
        control = result.groups["control"]
        return [arrays["body.w"].tolist() for arrays in (result.parameters or {}, control)]

    def heads(folder: Path) -> list[float]:
        store = StateStore(folder / "personal")
        return [store.load(sequence)["personal"]["head.w"].item() for sequence in (1, 3)]

    late, without = begun(tmp_path / "late"), begun(tmp_path / "without")
    for session in (late, without):
        perform(session, 1, 0)
    perform(late, 2, 1)

    assert perform(late, 3, 1) == perform(without, 3, 1)
    assert heads(tmp_path / "late") == heads(tmp_path / "without") == [-1, -2]
    for session in (late, without):
        session.close()


SCRIPT = """
import numpy as np
import hanse

model = {"body.w": np.zeros(2), "head.w": np.zeros(())}
def evaluate(model):
    return {"examples": 1, "head": float(model["head.w"])}
for round in hanse.rounds(model, evaluate=evaluate):
    model["head.w"] += 1
    model["body.w"] += model["head.w"]
    round.report(examples=1, head=float(model["head.w"]))
"""


def test_a_script_keeps_tensors_at_its_site(write: Write, site: Site, tmp_path: Path) -> None:
    def session() -> Session:
        script = ScriptSession(write("train.py", SCRIPT), site, tmp_path / "kept")
        return script_session(script, HEAD, tmp_path / "personal")

    for sequence in (1, 2):
        one = session()
        result = one.perform(train(sequence), BODY, sequence=sequence, counted=sequence - 1)
        assert result.parameters is not None
        assert result.parameters.keys() == {"body.w"}
        one.close()
    last = session()

    assert head(last.perform(Task("evaluate", 2, 0), BODY, sequence=3, counted=2)) == 2
    assert head(last.perform(Task("evaluate", 2, 0), BODY, sequence=4, counted=1)) == 1
    last.close()


@pytest.mark.sklearn
def test_an_estimator_keeps_its_intercept_at_the_site(site: Site, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    from sklearn.linear_model import SGDClassifier

    from hanse.learners.sklearn import SklearnLearner

    x = np.linspace(-1, 3, 40).reshape(20, 2)
    y = (x.sum(axis=1) > 1).astype(int)

    def session() -> Session:
        def made(_: Site) -> SklearnLearner:
            return SklearnLearner(SGDClassifier(), (x, y), (x, y), classes=[0, 1])

        return learner_session(made, site, tmp_path / "kept", ["intercept_"], tmp_path / "personal")

    start = session().initial_parameters()
    result = session().perform(train(), start, sequence=1)

    assert result.parameters is not None
    assert result.parameters.keys() == start.keys() == {"coef_"}
    whole = learner_session(
        lambda _: SklearnLearner(SGDClassifier(), (x, y), (x, y), classes=[0, 1]),
        *(site, tmp_path / "whole", [], tmp_path / "none"),
    )
    expected = whole.perform(train(), whole.initial_parameters(), sequence=1).parameters or {}
    evaluate = Task("evaluate", 1, seed=0)
    loss = whole.perform(evaluate, expected, sequence=2).metrics
    assert session().perform(evaluate, {"coef_": expected["coef_"]}, sequence=2).metrics == loss
