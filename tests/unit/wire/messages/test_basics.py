"""Messages and errors as they are written for the other end."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.parties import PROGRESS as REQUEST

from hanse.errors import ERRORS, HanseError, ProtocolError
from hanse.wire.messages.basics import MAX_MESSAGE, Hello, report, reported, written


@given(st.sampled_from(sorted(ERRORS.values(), key=str)), st.text(), st.text())
def test_an_error_arrives_as_what_it_was(kind: type[HanseError], message: str, mend: str) -> None:
    arrived = reported(report(kind(message, mend=mend)))

    assert type(arrived) is kind
    assert (arrived.message, arrived.mend) == (message[:8_192], mend[:4_096])


def test_the_report_of_a_long_error_can_still_be_read() -> None:
    assert len(str(reported(report(HanseError("x" * 100_000, mend="y" * 100_000))))) < 15_000


def test_a_message_that_nobody_would_read_is_not_sent() -> None:
    assert json.loads(written(REQUEST)) == {"exchange": 1, "run_id": "demo-1"}
    with pytest.raises(ProtocolError, match=r"Hello of .* bytes is too long to send"):
        written(Hello(version="x" * MAX_MESSAGE, federation="north", time_ms=0))
