"""Labels of the sealed files of a run, and what keys on their way are bound to."""

from dataclasses import replace
from pathlib import Path

import pytest

from hanse.errors import SealError
from hanse.sealing.header import Label
from hanse.sealing.keys import SealKey, wrap_key
from hanse.sealing.run_files import RunLabels

LABELS = RunLabels("north", "demo-1", "ab" * 32)
SITE, FILE = "cd" * 32, "ef" * 32


def test_files_of_the_run_are_taken_for_their_purpose() -> None:
    LABELS.check(LABELS.of("model", "round 3"), Path("x"), "model", "initial")
    LABELS.check(Label(purpose="initial", federation="north", name="first"), Path("x"), "model", "initial")

    with pytest.raises(SealError, match="should be a file for model"):
        LABELS.check(LABELS.of("group", "means"), Path("x"), "model", "initial")


@pytest.mark.parametrize(
    "other", [{"federation": "south"}, {"run": "demo-2"}, {"plan": "cd" * 32}, {"rehearsal": True}]
)
def test_a_key_on_its_way_opens_for_its_run_alone(other: dict[str, object]) -> None:
    key, to = bytes(32), SealKey(bytes(96))
    wrapped = wrap_key(key, to.public, LABELS.key_info(SITE, FILE))

    assert to.unwrap(wrapped, LABELS.key_info(SITE, FILE)) == key
    with pytest.raises(SealError):
        to.unwrap(wrapped, replace(LABELS, **other).key_info(SITE, FILE))  # type: ignore[arg-type]


@pytest.mark.parametrize(("instance", "file"), [(SITE, SITE), (FILE, FILE)])
def test_a_key_on_its_way_opens_for_its_instance_and_file_alone(instance: str, file: str) -> None:
    to = SealKey(bytes(96))
    wrapped = wrap_key(bytes(32), to.public, LABELS.key_info(SITE, FILE))

    with pytest.raises(SealError):
        to.unwrap(wrapped, LABELS.key_info(instance, file))


def test_the_update_of_each_site_and_exchange_has_a_label_of_its_own() -> None:
    assert len({LABELS.update(n, site) for n in (1, 2, 11) for site in ("a", "b", "1, a")}) == 9
