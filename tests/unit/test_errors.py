"""Sentences of errors."""

import pytest

from hanse.errors import HanseError


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("the disk is full", "the disk is full. Free some space."),
        ("the code said: no such column.", "the code said: no such column. Free some space."),
        ("which disk?", "which disk? Free some space."),
    ],
)
def test_an_error_is_sentences_with_one_full_stop_each(message: str, told: str) -> None:
    assert str(HanseError(message, mend="Free some space.")) == told


def test_an_error_without_a_mend_is_its_message() -> None:
    assert str(HanseError("the disk is full")) == "the disk is full"
