"""Text as it may leave a site."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.parties import NOW
from tests.unit.collaborator.aggregators import Site, manifest_of

from hanse.collaborator.outgoing_text import MOST_REASON_CHARS, OutgoingText
from hanse.collaborator.review import Reviewer, decide_plan
from hanse.config.settings import settings_yaml

Run = Callable[[Any], Any]


@pytest.fixture
def text(site: Site, tmp_path: Path) -> OutgoingText:
    """Of a site with one data source, whose path has a space."""
    place = tmp_path / "my scans"
    place.mkdir()
    (tmp_path / "link").symlink_to(place)
    settings = site.context(data={"xrays": str(tmp_path / "link")}).settings
    return OutgoingText.of(site.directory, settings)


def test_folders_of_the_site_are_named_and_all_others_are_not(
    text: OutgoingText, site: Site, tmp_path: Path
) -> None:
    said = f"{site.directory}/runs/demo-1 {Path.home()}/notes {tempfile.gettempdir()}/x /mnt/pacs/17"

    assert text.line(said, 500) == "<site folder> <home> <temporary folder> <path>"


def test_a_machine_without_home_and_temporary_folder_and_a_link_in_a_circle_keep_no_text_back(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> str:
        raise FileNotFoundError("no usable temporary directory found")

    def homeless() -> Path:
        raise RuntimeError("could not determine home directory")

    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    monkeypatch.setattr(tempfile, "gettempdir", missing)
    monkeypatch.setattr(Path, "home", homeless)
    settings = site.context(data={"xrays": str(tmp_path / "circle")}).settings

    text = OutgoingText.of(site.directory, settings)

    assert text.line(f"no {tmp_path}/circle", 500) == "no <data source xrays>"


@pytest.mark.parametrize("name", ["link", "my scans"])
def test_a_data_source_is_named_by_whichever_path_it_is_reached(
    text: OutgoingText, tmp_path: Path, name: str
) -> None:
    assert text.line(f"no {tmp_path / name}/17.dcm, sorry", 500) == "no <data source xrays>, sorry"


def test_the_end_of_a_log_loses_its_paths_before_it_is_cut(text: OutgoingText, tmp_path: Path) -> None:
    log = f"begin\n'{tmp_path / 'my scans'}/John Smith.csv'\nend"

    assert text.tail(log, 30) == "'<data source xrays>'\nend"
    assert text.tail(log, 20) == "end"


def test_reasons_are_bounded_in_length_and_number(text: OutgoingText) -> None:
    reasons = text.reasons(("x" * 5_000, "\ud800", "/srv/x"), 2)

    assert [len(reason) for reason in reasons] == [MOST_REASON_CHARS, 6]
    assert reasons[1] == r"\ud800"


def test_a_persons_reason_is_signed_as_it_can_be_printed(site: Site, run: Run) -> None:
    """A terminal may hand over any bytes: what is not UTF-8 comes as half of a surrogate pair."""
    context = site.context(policy={})
    work = site.publish(manifest_of())
    run(Reviewer(context).review(work))
    (site.directory / "site.yaml").write_text(settings_yaml(context.settings))

    answer, _ = decide_plan(
        site.directory, work.plan_digest, approve=True, reason="vot\udce9 17, see /srv/votes/17.pdf", now=NOW
    )

    assert answer.body.reasons == (r"a person approved it: vot\udce9 17, see <path>",)
