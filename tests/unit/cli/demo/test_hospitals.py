"""The demo's hospitals, and whose keys they have checked."""

from __future__ import annotations

from pathlib import Path

from hanse.cli.demo.hospitals import DemoPaths, Hospital, check_each_other
from hanse.config.settings import AggregatorSettings, Listen, load_site

KEYS = {"budapest": "b" * 64, "cleveland": "c" * 64, "zurich": "d" * 64}


def hospitals(root: Path) -> list[Hospital]:
    """Three hospitals with their directories."""
    settings = AggregatorSettings(
        federation="heart-demo",
        url="https://127.0.0.1:5000",
        hosts=("127.0.0.1",),
        listen=Listen(host="127.0.0.1", port=5000),
    )
    found = [Hospital(name, DemoPaths(root).site(name), settings, "heart-disease") for name in KEYS]
    for hospital in found:
        hospital.open()
    return found


def test_a_new_hospital_has_checked_no_peer(tmp_path: Path) -> None:
    first, *_ = hospitals(tmp_path)

    settings = load_site(first.directory)
    assert settings.secure_aggregation.peers == {}
    assert settings.data["heart"].is_file()


def test_hospitals_that_have_checked_each_other_know_all_keys_but_their_own(tmp_path: Path) -> None:
    found = hospitals(tmp_path)

    check_each_other(found, KEYS)

    for hospital in found:
        settings = load_site(hospital.directory)
        others = {name: key for name, key in KEYS.items() if name != hospital.name}
        assert settings.secure_aggregation.peers == others
        assert settings.policy.accept == ("heart-disease",)
