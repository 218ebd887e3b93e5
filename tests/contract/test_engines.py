"""Promises that every engine keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hanse.core.plan.plan import Plan
from hanse.core.plan.tasks import INITIALISE
from hanse.core.values.lazy import materialize
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.parameters import Parameters
from hanse.core.values.update import Task, TaskResult
from hanse.errors import DisclosureError, HanseError, StorageError, TaskError, UpdateError
from hanse.learners.base import Session
from hanse.simulation.engines.base import Delivered, Engine, SiteAsk
from hanse.simulation.engines.inline import InlineEngine
from hanse.wire.tensors import digest_of

Make = Callable[..., Engine]
MODEL, OTHER = ModelRef("1" * 64), ModelRef("2" * 64)
INPUTS = {MODEL.digest: {"w": np.zeros(4, np.float32)}, OTHER.digest: {"w": np.full(4, 10, np.float32)}}
STEPS = np.array([4.0, 3.0, 2.0, 1.0], np.float32)
TOP_HALF = {"upload": [{"name": "top_k", "fraction": 0.5}], "smallest": 1}


class Code:
    """The user's code at a site: adds a step to the model."""

    def __init__(self, fails: Exception | None = None, **result: Any) -> None:
        self.fails = fails
        self.result = result
        self.closed = False
        self.counted: list[int | None] = []

    def initial_parameters(self) -> Parameters:
        return {"w": STEPS.copy()}

    def perform(
        self, task: Task, parameters: Parameters, *, sequence: int, counted: int | None = None
    ) -> TaskResult:
        self.counted.append(counted)
        if self.fails is not None:
            raise self.fails
        trained = None if task.name == "evaluate" else {"w": parameters["w"] + STEPS}
        return TaskResult(
            **({"num_examples": 7, "metrics": {"loss": 0.5}, "parameters": trained} | self.result)
        )

    def close(self) -> None:
        self.closed = True
        if self.fails is not None:
            raise TaskError("the script did not end")


@pytest.fixture(params=[InlineEngine])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Makes an engine for these sites."""

    def make(sites: Mapping[str, Session], **changes: Any) -> Engine:
        settings = {
            "name": "adding",
            "code": ["adding.py"],
            "learner": "adding:learner",
            "tasks": {
                "train": {"discloses": {"update": "individual", "metrics": ["loss"]}},
                "evaluate": {"discloses": {"metrics": ["loss"]}},
            },
        }
        engine: Engine = request.param(Plan.model_validate(settings | changes), sites, tmp_path / "residuals")
        return engine

    return make


def ask(site: str = "a", exchange: int = 1, task: str = "train", **changes: Any) -> SiteAsk:
    return SiteAsk(site, exchange, 1, task, **({"model": MODEL} | changes))


def tensors(answer: Delivered | HanseError) -> list[float]:
    """Looked at before the next answer is taken."""
    assert isinstance(answer, Delivered)
    assert answer.update is not None
    found: list[float] = materialize(answer.update)["w"].tolist()
    return found


def test_answers_come_in_the_order_of_the_asks(make: Make) -> None:
    engine = make({"a": Code(num_examples=1), "b": Code(num_examples=2)})

    answers = list(engine.perform([ask("b"), ask("a"), ask("b", 2)], INPUTS))

    assert [answer.num_examples for answer in answers if isinstance(answer, Delivered)] == [2, 1, 2]


def test_an_answer_is_what_the_aggregator_would_have(make: Make) -> None:
    (answer,) = make({"a": Code()}).perform([ask()], INPUTS)

    assert isinstance(answer, Delivered)
    assert (answer.num_examples, answer.metrics) == (7, {"loss": 0.5})
    assert answer.digest == digest_of({"w": STEPS}, "blake3")
    assert tensors(answer) == STEPS.tolist()


def test_asks_of_one_call_may_start_from_different_models(make: Make) -> None:
    trained = {"w": np.full(4, 12, np.float32)}
    engine = make({"a": Code(parameters=trained), "b": Code(parameters=trained)})

    answers = engine.perform([ask("a"), ask("b", model=OTHER)], INPUTS)

    assert [tensors(answer) for answer in answers] == [[12.0] * 4, [2.0] * 4]


def test_the_first_model_is_a_sites_own(make: Make) -> None:
    (answer,) = make({"a": Code()}).perform([ask(task=INITIALISE, model=None)], {})

    assert tensors(answer) == STEPS.tolist()


def test_metrics_have_as_many_digits_as_the_plan_declares(make: Make) -> None:
    engine = make({"a": Code(metrics={"loss": 1 / 3})}, metric_digits=4)

    (answer,) = engine.perform([ask()], INPUTS)

    assert isinstance(answer, Delivered)
    assert answer.metrics == {"loss": 0.3333}


def test_a_task_without_an_update_has_none(make: Make) -> None:
    (answer,) = make({"a": Code()}).perform([ask(task="evaluate")], INPUTS)

    assert isinstance(answer, Delivered)
    assert (answer.update, answer.digest, answer.metrics) == (None, None, {"loss": 0.5})


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (Code(TaskError("out of memory", log_tail="Traceback")), TaskError),
        (Code(metrics={"age": 3.0}), DisclosureError),
        (Code(parameters={"w": np.full(4, np.nan, np.float32)}), UpdateError),
    ],
)
def test_a_sites_failure_is_its_answer(make: Make, code: Code, error: type[HanseError]) -> None:
    failed, after = make({"a": code, "b": Code()}).perform([ask("a"), ask("b")], INPUTS)

    assert isinstance(failed, error)
    assert isinstance(after, Delivered)


def test_another_failure_is_raised(make: Make) -> None:
    with pytest.raises(StorageError, match="disk is full"):
        list(make({"a": Code(StorageError("the disk is full"))}).perform([ask()], INPUTS))


def test_an_update_is_compressed_and_expanded(make: Make) -> None:
    (answer,) = make({"a": Code()}, compression=TOP_HALF).perform([ask()], INPUTS)

    assert isinstance(answer, Delivered)
    assert tensors(answer) == [4.0, 3.0, 0.0, 0.0]
    assert answer.digest != digest_of({"w": STEPS}, "blake3")


def test_what_an_update_left_out_is_in_the_next_where_it_counted(make: Make) -> None:
    engine = make({"a": Code()}, compression=TOP_HALF)
    list(engine.perform([ask(exchange=1)], INPUTS))

    counted = [tensors(a) for a in engine.perform([ask(exchange=2, accepted=1)], INPUTS)]
    not_counted = [tensors(a) for a in engine.perform([ask(exchange=3, accepted=1)], INPUTS)]

    assert counted == not_counted == [[4.0, 0.0, 4.0, 0.0]]


def test_a_task_is_told_which_exchange_counted_last(make: Make) -> None:
    code = Code()

    list(make({"a": code}).perform([ask(exchange=3, accepted=1), ask(exchange=4, accepted=3)], INPUTS))

    assert code.counted == [1, 3]


def test_what_is_not_taken_is_not_performed(make: Make) -> None:
    begun: list[str] = []

    def asks() -> Any:
        for site in "ab":
            begun.append(site)
            yield ask(site)

    answers = make({"a": Code(), "b": Code()}).perform(asks(), INPUTS)
    next(iter(answers))
    answers.close()  # type: ignore[attr-defined]  # an iterator that the test knows to be a generator

    assert begun == ["a"]


def test_the_code_of_every_site_ends_with_the_engine(make: Make) -> None:
    sites = {"a": Code(TaskError("broken")), "b": Code()}

    failed = make(sites).close()

    assert list(failed) == ["a"]
    assert all(code.closed for code in sites.values())
