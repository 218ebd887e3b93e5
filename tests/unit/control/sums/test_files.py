"""Masked sums added up again: vectors of four sites, as an aggregator has them, and what may be wrong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.masked_sums import masked_all, random_bytes
from tests.unit.control.sums.masked_run import MODEL, SITES, Events, MaskedRun
from tests.unit.control.sums.test_account import report_of

from hanse.control.report import SUMS
from hanse.control.sums.checks import SumChecks
from hanse.control.sums.evidence import MaskedExchange, RunName
from hanse.control.sums.files import AddedSum, SumFiles
from hanse.core.plan.group_tensors import Received
from hanse.core.values.model_ref import ModelRef
from hanse.core.values.parameters import specs
from hanse.privacy.secagg.grid import Words
from hanse.privacy.secagg.vector import Result, encode
from hanse.updates.secure_sums.layout import sum_layout
from hanse.updates.secure_sums.vector_file import write_vector
from hanse.wire.tensors import write_hashed

PARAMETERS = {"w": np.zeros((3, 2), np.float32), "b": np.zeros(2, np.float32)}


@dataclass
class Sum:
    """A masked sum with its files in a folder of blobs."""

    run: MaskedRun
    folder: Path
    event: Any
    exchange: MaskedExchange

    def files(self) -> SumFiles:
        return SumFiles(self.folder)

    def events(self, **changes: Any) -> Events:
        """The events of the sum."""
        ready = [self.run.ready(site) for site in SITES]
        answers = [self.run.answer(site, update=self.event.masked[site]) for site in SITES]
        end = [self.run.closed(), self.event, self.run.aggregated(**changes)]
        return [self.exchange.opened, *ready, *answers, *end]

    def blob(self, digest: str) -> Path:
        return self.folder / "blobs" / digest[:2] / digest


@pytest.fixture
def masked(tmp_path: Path) -> Sum:
    """The sum of 200 examples at each of four sites, each of which moved every parameter by 0.25."""
    run = MaskedRun()
    model = _stored(tmp_path, lambda path: write_hashed(path, PARAMETERS, "sha256")[0])
    opened = run.opened(model=ModelRef(model))
    list((checks := SumChecks(RunName("north", "r1"))).examine(opened, run.run))
    layout = sum_layout(run.plan, "train", Received(specs(PARAMETERS)))
    result = Result(
        {name: array + np.float32(0.25) for name, array in PARAMETERS.items()}, {"loss": 0.5}, 200
    )
    q = {
        site: np.concatenate(list(encode(layout, result, random_bytes(number))))
        for number, site in enumerate(SITES)
    }
    y = masked_all(q)

    def vector(words: Words) -> str:
        return _stored(tmp_path, lambda path: write_vector(path, layout, [words], "sha256").digest)

    total = sum(y.values(), np.zeros(layout.words, np.uint32))
    digests = {site: vector(words) for site, words in y.items()}
    error = 2.0**-layout.bits * 2 / (2 * 800 / 200)
    event = run.sum(masked=digests, sum=vector(total), error=error, clipped=0, out_of_range=0)
    exchange = checks.exchanges[4]
    for ready in (run.ready(site) for site in SITES):
        list(checks.examine(ready, run.run))
    exchange.cells["all"].opened = event
    return Sum(run, tmp_path, event, exchange)


def _stored(folder: Path, write: Any) -> str:
    digest: str = write(folder / "new")
    place = folder / "blobs" / digest[:2] / digest
    place.parent.mkdir(parents=True, exist_ok=True)
    (folder / "new").rename(place)
    return digest


def test_vectors_that_are_at_hand_are_added(masked: Sum) -> None:
    assert masked.files().add_up(masked.exchange, masked.event) == AddedSum(added=True)


def test_another_sum_than_that_of_the_vectors_is_found(masked: Sum) -> None:
    event = masked.event.model_copy(update={"sum": "b" * 64})

    (problem,) = masked.files().add_up(masked.exchange, event).problems

    assert "the vectors add up to" in problem


def test_other_examples_than_those_of_the_sum_are_found(masked: Sum) -> None:
    event = masked.event.model_copy(update={"num_examples": 801})

    (problem,) = masked.files().add_up(masked.exchange, event).problems

    assert problem == "the sum has 800 examples, and the journal says 801"


def test_another_error_than_that_of_the_sum_is_found(masked: Sum) -> None:
    event = masked.event.model_copy(update={"error": 1e-12})

    (problem,) = masked.files().add_up(masked.exchange, event).problems

    assert "the standard error of the sum is" in problem


def test_a_vector_in_place_of_another_does_not_cancel_the_masks(masked: Sum) -> None:
    vectors = masked.event.masked
    event = masked.event.model_copy(update={"masked": {**vectors, "b": vectors["a"]}})

    problems = masked.files().add_up(masked.exchange, event).problems

    assert "the vectors add up to" in problems[0]


def test_a_vector_that_was_altered_is_not_at_hand(masked: Sum) -> None:
    path = masked.blob(masked.event.masked["b"])
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")

    files = masked.files()

    assert not files.add_up(masked.exchange, masked.event).added
    assert files.damaged == [path]


def test_a_vector_that_was_altered_is_named_in_the_report(masked: Sum) -> None:
    path = masked.blob(masked.event.masked["b"])
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")

    report = report_of(masked.run, masked.events(), masked.folder)

    assert str(path) in "".join(text for text in report.notes if text.startswith("damaged or altered"))


def test_a_copy_of_the_files_without_folders_is_enough(masked: Sum, tmp_path: Path) -> None:
    flat = tmp_path / "copy"
    flat.mkdir()
    for path in (masked.folder / "blobs").glob("??/*"):
        path.rename(flat / path.name)

    assert SumFiles(flat).add_up(masked.exchange, masked.event).added


def test_without_the_model_no_layout_is_known(masked: Sum) -> None:
    assert masked.exchange.opened.model is not None
    masked.blob(masked.exchange.opened.model.digest).unlink()

    files = masked.files()

    assert files.digest_of_layout(masked.exchange) is None
    assert not files.add_up(masked.exchange, masked.event).added


def test_the_layout_follows_from_the_plan_and_the_header_of_the_model(masked: Sum) -> None:
    layout = sum_layout(masked.run.plan, "train", Received(specs(PARAMETERS)))

    assert masked.files().digest_of_layout(masked.exchange) == layout.digest
    assert masked.exchange.opened.model != MODEL


def test_without_a_folder_nothing_is_at_hand(masked: Sum) -> None:
    files = SumFiles()

    assert files.find(masked.event.sum) is None
    assert files.layout_of(masked.exchange) is None


def test_the_aggregate_is_made_again_from_the_vectors(masked: Sum) -> None:
    found = masked.files().aggregate(masked.exchange)

    assert found is not None
    assert found.num_examples == 800
    assert found.metrics == {"loss": pytest.approx(0.5)}
    assert found.aggregate is not None


def test_without_a_vector_there_is_no_aggregate(masked: Sum) -> None:
    masked.blob(masked.event.masked["b"]).unlink()

    assert masked.files().aggregate(masked.exchange) is None


def test_another_aggregate_than_that_of_the_vectors_is_found(masked: Sum) -> None:
    report = report_of(masked.run, masked.events(aggregate="b" * 64), masked.folder)

    assert "the sum of all cells in exchange 4 is" in report.checks[SUMS].problems[-1]


def test_the_aggregate_of_the_vectors_passes(masked: Sum) -> None:
    found = masked.files().aggregate(masked.exchange)
    assert found is not None

    report = report_of(masked.run, masked.events(aggregate=found.aggregate), masked.folder)

    assert not any("the sum of all cells" in text for text in report.checks[SUMS].problems)
    assert [each.added for each in report.sums] == [True]
