"""Notices of a task."""

from __future__ import annotations

import threading
import warnings

import pytest

from hanse.learners.notices import LONGEST, MOST, notice, notices_kept


def test_a_notice_is_kept_once_a_task() -> None:
    with notices_kept() as first:
        notice("the optimiser")
        notice("the optimiser")
    with notices_kept() as second:
        notice("the optimiser")

    assert (first, second) == (["the optimiser"], ["the optimiser"])


def test_outside_of_a_task_it_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    notice("100 % of it")

    assert caplog.messages == ["100 % of it"]


@pytest.mark.filterwarnings("always")
def test_a_warning_of_a_library_is_a_notice_from_whichever_thread() -> None:
    def warn() -> None:
        warnings.warn_explicit("it did not converge", RuntimeWarning, "/env/sklearn/linear/_logistic.py", 469)

    with notices_kept() as kept:
        warn()
        thread = threading.Thread(target=warn)
        thread.start()
        thread.join()

    assert kept == ["RuntimeWarning of linear/_logistic.py:469: it did not converge"]


@pytest.mark.filterwarnings("always")
def test_a_line_that_warns_with_another_text_each_time_is_noted_a_few_times() -> None:
    with notices_kept() as kept:
        for number in range(10):
            warnings.warn(f"loss {number}", UserWarning, stacklevel=1)

    assert [text[-6:] for text in kept] == ["loss 0", "loss 1", "loss 2"]


def test_after_a_task_warnings_are_shown_as_before() -> None:
    shown = warnings.showwarning

    with notices_kept():
        assert warnings.showwarning is not shown

    assert warnings.showwarning is shown


def test_notices_are_bounded_and_can_be_encoded() -> None:
    with notices_kept() as kept:
        for number in range(100):
            notice(f"{number}\ud800" + "x" * 10_000)

    assert len(kept) == MOST
    assert all(len(text) == LONGEST and text.encode() for text in kept)
