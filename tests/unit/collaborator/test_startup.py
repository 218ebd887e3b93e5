"""Checks of an agent before it connects."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from tests.unit.collaborator.aggregators import Site

from hanse.collaborator.startup import check_settings, unusable_sources
from hanse.errors import ConfigError


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


def test_an_agent_does_not_start_with_a_peer_whose_words_are_no_key(site: Site) -> None:
    context = site.context(secure_aggregation={"peers": {"oslo": "abandon ability"}})

    with pytest.raises(ConfigError, match=r"`secure_aggregation: peers: oslo`: .* is not the fingerprint"):
        check_settings(context.directory, context.settings, context.identity.credentials)
