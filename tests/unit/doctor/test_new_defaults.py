"""A site whose settings are of an earlier version hears what is refused by default since."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanse.config.settings import SITE_FILE, SiteSettings, settings_yaml
from hanse.doctor.checks import Grade
from hanse.doctor.new_defaults import check_new_defaults

GIVEN = {"name": "hospital-a", "federation": "north", "aggregator": "https://localhost:8443"}
OF_0_1 = "name: hospital-a\nfederation: north\naggregator: https://localhost:8443\n"


def test_settings_of_0_1_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / SITE_FILE).write_text(OF_0_1)

    failures, sums = check_new_defaults(tmp_path, SiteSettings.model_validate(GIVEN))

    assert (failures.grade, sums.grade) == (Grade.WARN, Grade.WARN)
    assert "states its kind only" in failures.detail
    assert "`failures: message` discloses what 0.1 did" in failures.mend
    assert "a sum of fewer than 3 sites" in sums.detail
    assert "`at_least: 1` permits what 0.1 permitted" in sums.mend


def test_what_settings_of_0_1_say_is_no_default(tmp_path: Path) -> None:
    (tmp_path / SITE_FILE).write_text(OF_0_1 + "policy: {discloses: {failures: message}}\n")
    settings = SiteSettings.model_validate(GIVEN | {"policy": {"discloses": {"failures": "message"}}})

    (sums,) = check_new_defaults(tmp_path, settings)

    assert "at_least" in sums.detail


@pytest.mark.parametrize("text", [OF_0_1 + "policy: {discloses: {at_least: 3}}\n", None])
def test_settings_that_have_the_line_are_in_order(tmp_path: Path, text: str | None) -> None:
    settings = SiteSettings.model_validate(GIVEN)
    (tmp_path / SITE_FILE).write_text(settings_yaml(settings) if text is None else text)

    assert list(check_new_defaults(tmp_path, settings)) == []


def test_a_site_that_discloses_no_update_is_in_no_sum(tmp_path: Path) -> None:
    (tmp_path / SITE_FILE).write_text(OF_0_1)
    settings = SiteSettings.model_validate(
        GIVEN | {"policy": {"discloses": {"update": "none", "failures": "kind"}}}
    )

    assert list(check_new_defaults(tmp_path, settings)) == []
