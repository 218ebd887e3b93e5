import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.collaborator.aggregators import MODEL, TRAIN, manifest_of

from hanse.core.plan.tasks import INITIALISE
from hanse.errors import DisclosureError, UpdateError
from hanse.updates.outgoing import Outgoing, check_outgoing
from hanse.wire.tensors import write_file

HEAD_ONLY = {"train": {"discloses": TRAIN["discloses"] | {"tensors": ["weight"]}}}
MOST = 10_000


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_file(tmp_path / "model", MODEL)
    return tmp_path / "model"


def check(
    model: Path | None,
    update: dict[str, Any] | None,
    *,
    task: str = "train",
    metrics: dict[str, float] | None = None,
    num_examples: int = 10,
    most: int = MOST,
    **plan: Any,
) -> None:
    path = None
    if update is not None and model is not None:
        path = model.with_name("update")
        write_file(path, update)
    outgoing = Outgoing(num_examples, metrics or {}, path)
    check_outgoing(outgoing, manifest_of(**plan).plan, task, "hospital-a", model, most)


def test_what_is_declared_may_leave(model: Path) -> None:
    check(model, MODEL, metrics={"loss": 0.5})
    check(model, {"weight": MODEL["weight"]}, tasks=HEAD_ONLY)
    check(model, None, task="evaluate", metrics={"accuracy": 0.5})


@pytest.mark.parametrize(
    ("update", "problem"),
    [
        (MODEL | {"patients": np.ones(5)}, "'patients' was not expected"),
        ({"weight": MODEL["weight"]}, "'steps' is missing"),
        (MODEL | {"weight": np.ones((3, 3), np.float32)}, r"shape \(3, 3\), expected \(2, 3\)"),
        (MODEL | {"weight": MODEL["weight"].astype(np.float64)}, "dtype float64, expected float32"),
        (None, "sent no update, and the plan declares update: aggregate"),
    ],
)
def test_an_update_that_is_not_as_declared_does_not_leave(
    model: Path, update: dict[str, Any] | None, problem: str
) -> None:
    with pytest.raises(DisclosureError, match=f"task train at hospital-a.*{problem}"):
        check(model, update)


def test_a_tensor_that_the_plan_keeps_at_the_site_does_not_leave(model: Path) -> None:
    with pytest.raises(DisclosureError, match="'steps' was not expected"):
        check(model, MODEL, tasks=HEAD_ONLY)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_does_not_leave(model: Path, bad: float) -> None:
    weight = np.full((2, 3), bad, np.float32)

    with pytest.raises(UpdateError, match="NaN or an infinity in tensor 'weight'"):
        check(model, MODEL | {"weight": weight})
    with pytest.raises(UpdateError, match="reports loss"):
        check(model, MODEL, metrics={"loss": bad})


def test_a_metric_that_is_not_declared_does_not_leave(model: Path) -> None:
    with pytest.raises(DisclosureError, match="metric 'age'; the plan declares: loss"):
        check(model, MODEL, metrics={"age": 41.0})


def test_an_impossible_number_of_examples_does_not_leave(model: Path) -> None:
    with pytest.raises(UpdateError, match="-1 examples"):
        check(model, MODEL, num_examples=-1)


def test_a_task_that_declares_no_update_sends_none(model: Path) -> None:
    with pytest.raises(DisclosureError, match="sent an update, and the plan declares update: none"):
        check(model, MODEL, task="evaluate")


def test_a_file_larger_than_the_aggregator_takes_does_not_leave(model: Path) -> None:
    with pytest.raises(DisclosureError, match="at most 100 are taken"):
        check(model, MODEL, most=100)


def test_text_hidden_in_the_header_does_not_leave(model: Path) -> None:
    data = model.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size]) | {"__metadata__": {"patient": "Jane Doe"}}
    text = json.dumps(header).encode()
    update = model.with_name("update")
    update.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])

    with pytest.raises(DisclosureError, match="holds more than the declared tensors"):
        check_outgoing(Outgoing(1, {}, update), manifest_of().plan, "train", "hospital-a", model, MOST)


def test_the_first_model_may_have_any_tensors_of_finite_numbers(tmp_path: Path) -> None:
    update = tmp_path / "update"
    write_file(update, MODEL)
    check_outgoing(Outgoing(0, {}, update), manifest_of().plan, INITIALISE, "hospital-a", None, MOST)

    write_file(update, {"weight": np.array([np.nan])})
    with pytest.raises(UpdateError, match="NaN"):
        check_outgoing(Outgoing(0, {}, update), manifest_of().plan, INITIALISE, "hospital-a", None, MOST)
