"""Pictures of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hanse.core.run.round_events import ExchangeOpened, RoundCommitted, UpdateAccepted
from hanse.errors import ConfigError, StorageError
from hanse.plots.figure import MOST_SITES, draw, write
from hanse.plots.record import RunRecord

matplotlib = pytest.importorskip("matplotlib")

DIGEST = "a" * 64


def record_of(*sites: str, rounds: int = 3) -> RunRecord:
    record = RunRecord()
    for number in range(1, rounds + 1):
        record.take(
            ExchangeOpened(
                exchange=number,
                round_number=number,
                index=0,
                task="train",
                model=DIGEST,
                cohort=sites,
                needed=1,
            )
        )
        for place, site in enumerate(sites, 1):
            record.take(
                UpdateAccepted(
                    exchange=number,
                    site=site,
                    num_examples=10 * place,
                    metrics={"loss": place / number, "auc": None},
                    update=None,
                )
            )
        record.take(RoundCommitted(round_number=number, model=DIGEST, metrics={"loss": 1.5 / number}))
    return record


def test_a_record_has_a_column_of_means_and_one_of_each_site() -> None:
    record = record_of("a", "b")

    assert record.columns() == {"round": [1, 2, 3], "loss": [1.5, 0.75, 0.5]}
    assert record.columns_of_site("b")["loss"] == [2.0, 1.0, pytest.approx(2 / 3)]
    assert record.examples == {"train": {"a": 10, "b": 20}}


def test_all_parts_are_drawn() -> None:
    figure = draw(record_of("a", "b"))

    assert [axis.get_title() for axis in figure.axes] == ["loss", "a", "b", ""]


def test_small_pictures_have_a_line_of_the_site_and_one_of_the_mean() -> None:
    mean, own = draw(record_of("a", "b"), "sites").axes[1].get_lines()

    assert list(mean.get_ydata()) == [1.5, 0.75, 0.5]
    assert list(own.get_ydata()) == [2.0, 1.0, pytest.approx(2 / 3)]


def test_bars_are_as_long_as_the_sites_have_examples() -> None:
    (axis,) = draw(record_of("a", "b"), "examples").axes

    assert [bar.get_width() for bar in axis.patches] == [10, 20]


def test_examples_that_were_dealt_are_drawn_by_label() -> None:
    record = record_of("a", "b")
    record.held = {"a": {"cat": 3, "dog": 1}, "b": {"cat": 0, "dog": 4}}

    (axis,) = draw(record, "examples").axes

    assert [[bar.get_width() for bar in bars] for bars in axis.containers] == [[3, 0], [1, 4]]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["cat", "dog"]


def test_sites_that_have_no_room_are_counted() -> None:
    sites = [f"site-{number:02}" for number in range(MOST_SITES + 3)]

    figure = draw(record_of(*sites), "sites")

    assert len(figure.axes) == MOST_SITES
    assert "3 more sites are left out" in figure.subfigs[0].get_suptitle()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pie",), r"no picture 'pie' of a run. There are all, curves, sites, results, examples"),
        (("sites", "f1"), r"no metric 'f1'. It has: loss, auc"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        draw(record_of("a"), *arguments)


def test_a_run_without_a_round_has_no_picture() -> None:
    with pytest.raises(ConfigError, match="no committed round to draw yet"):
        draw(RunRecord())


@pytest.mark.parametrize(("name", "begin"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.pdf", b"%PDF")])
def test_the_same_run_gives_the_same_file(tmp_path: Path, name: str, begin: bytes) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write(draw(record_of("a")), tmp_path / folder / name)

    one, two = ((tmp_path / folder / name).read_bytes() for folder in ("one", "two"))
    assert one.startswith(begin)
    assert one == two


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a\.gif has none of the endings"):
        write(draw(record_of("a")), tmp_path / "a.gif")


def test_a_picture_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write"):
        write(draw(record_of("a")), tmp_path / "nowhere" / "a.png")
