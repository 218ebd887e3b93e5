"""What a task gives, on its way out of a site."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.collaborator.aggregators import MODEL, TRAIN, manifest_of

from hanse.compression.update import UpdateCodec
from hanse.core.plan.group_tensors import Received
from hanse.core.plan.plan import Plan
from hanse.core.plan.tasks import INITIALISE
from hanse.core.values.parameters import Parameters, specs
from hanse.errors import DisclosureError, UpdateError
from hanse.updates.drafts import FileDraft, MemoryDraft
from hanse.updates.origin import Origin
from hanse.updates.outgoing import Check, Compress, Outgoing, release, steps_of
from hanse.updates.residuals import Residuals
from hanse.wire.messages.sites import UpdateFile
from hanse.wire.tensors import digest_of, open_file, read_specs, write_file

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
    check_file(path, manifest_of(**plan).plan, task, model, Outgoing(num_examples, metrics or {}, None), most)


def check_file(
    path: Path | None, plan: Plan, task: str, model: Path | None, result: Outgoing, most: int = MOST
) -> None:
    """Check a result whose update is a file."""
    origin = Origin(plan, task, "hospital-a", 3, Received(None if model is None else read_specs(model)))
    draft = None
    if path is not None:
        file = UpdateFile(digest="0" * 64, size=path.stat().st_size)
        draft = FileDraft(path, file, str(origin), most)
    outgoing = Outgoing(result.num_examples, result.metrics, draft)
    (step,) = steps_of(plan, task)
    step.apply(outgoing, origin, Residuals(Path("/nowhere")))


NO_UPDATE = Outgoing(1, {}, None)


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
        check_file(update, manifest_of().plan, "train", model, NO_UPDATE)


def test_the_first_model_may_have_any_tensors_of_finite_numbers(tmp_path: Path) -> None:
    update = tmp_path / "update"
    write_file(update, MODEL)
    check_file(update, manifest_of().plan, INITIALISE, None, NO_UPDATE)

    write_file(update, {"weight": np.array([np.nan])})
    with pytest.raises(UpdateError, match="NaN"):
        check_file(update, manifest_of().plan, INITIALISE, None, NO_UPDATE)


COMPRESSION = {"upload": [{"name": "top_k", "fraction": 0.3}, "fp16"], "smallest": 1}
UPDATES = [{"w": np.array([3.0, 2.0, 1.0], np.float32)}, {"w": np.array([0.5, 0.5, 0.5], np.float32)}]


def released(update: Parameters, exchange: int, directory: Path, place: Path | None) -> Parameters:
    """What travels of an update, in a file or in memory; the one of the exchange before counts."""
    origin = Origin(
        manifest_of(compression=COMPRESSION).plan, "train", "hospital-a", exchange, Received(specs(update))
    )
    residuals = Residuals(directory)
    residuals.apply_acceptance(exchange - 1, exchange)
    draft: FileDraft | MemoryDraft = MemoryDraft(update)
    if place is not None:
        write_file(place, update)
        file = UpdateFile(digest=digest_of(update, "sha256"), size=place.stat().st_size)
        draft = FileDraft(place, file, str(origin), MOST)
    release(Outgoing(1, {}, draft), origin, residuals)
    if isinstance(draft, FileDraft) and place is not None:
        assert draft.file == UpdateFile(
            digest=digest_of(open_file(place), "sha256"), size=place.stat().st_size
        )
    return draft.tensors()


def test_a_plans_steps_are_to_check_and_then_to_compress() -> None:
    compressed = manifest_of(compression=COMPRESSION).plan

    assert steps_of(manifest_of().plan, "train") == (Check(),)
    assert steps_of(compressed, INITIALISE) == (Check(),)
    first, second = steps_of(compressed, "train")
    assert first == Check()
    assert isinstance(second, Compress)


def test_the_same_travels_from_a_file_as_from_memory(tmp_path: Path) -> None:
    travelled = [
        [
            released(update, exchange, tmp_path / kind, tmp_path / "update" if kind == "file" else None)
            for exchange, update in enumerate(UPDATES, start=1)
        ]
        for kind in ("file", "memory")
    ]

    for on_disk, in_memory in zip(*travelled, strict=True):
        assert [(n, a.tobytes()) for n, a in on_disk.items()] == [
            (n, a.tobytes()) for n, a in in_memory.items()
        ]


def test_what_one_update_leaves_out_is_in_the_next(tmp_path: Path) -> None:
    plan = manifest_of(compression=COMPRESSION).plan
    codec = UpdateCodec(plan.compression)

    found = []
    for exchange, update in enumerate(UPDATES, start=1):
        origin = Origin(plan, "train", "hospital-a", exchange, Received(specs(update)))
        travelled = released(update, exchange, tmp_path / "residuals", None)
        found.append(np.asarray(codec.decode(travelled, origin.expected, origin.seed)["w"]).tolist())

    assert found == [[3.0, 0.0, 0.0], [0.0, 2.5, 0.0]]


def test_what_is_refused_is_not_compressed(tmp_path: Path) -> None:
    update = {"w": np.array([np.nan], np.float32)}

    with pytest.raises(UpdateError, match="NaN or an infinity in tensor 'w'"):
        released(update, 1, tmp_path / "residuals", None)
    assert not (tmp_path / "residuals").exists()
