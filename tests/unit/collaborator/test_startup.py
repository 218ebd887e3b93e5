"""Checks of an agent before it connects."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from tests.unit.collaborator.aggregators import Site

from hanse.collaborator.startup import check_settings, unusable_sources


def test_a_data_source_that_is_not_there_is_named_when_the_agent_starts(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "there").mkdir()
    context = site.context(data={"xrays": tmp_path / "there", "notes": tmp_path / "gone"})

    with caplog.at_level(logging.WARNING):
        check_settings(context.directory, context.settings, context.identity.credentials)

    (record,) = caplog.records
    assert record.getMessage().startswith(
        f"data source notes: cannot find {tmp_path / 'gone'}: No such file or directory; tasks that need it "
    )


def test_data_sources_that_are_there_are_no_trouble(tmp_path: Path) -> None:
    assert list(unusable_sources({"xrays": tmp_path})) == []
