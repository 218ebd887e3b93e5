"""Receipts as values: what they name, and when two cannot both be true."""

from typing import Any

import pytest
from tests.receipts import head

from hanse.core.journal.receipts import Receipt, ReceivedOutcome, read_receipt
from hanse.errors import ProtocolError


def receipt(journal: Any = None, members: Any = None, **changes: Any) -> Receipt:
    received = ReceivedOutcome(
        run_id="demo-1", exchange=1, outcome="0" * 64, journal=journal or head(9), **changes
    )
    return Receipt(federation="north", site="a", members=members or head(3), received=received, time_ms=5)


def test_a_receipt_names_records_of_the_membership_and_of_the_run() -> None:
    found = receipt(known=head(7, "b")).records()

    assert dict(found) == {("federation", 3): "a" * 64, ("demo-1", 9): "a" * 64, ("demo-1", 7): "b" * 64}


def test_the_restore_that_a_receipt_names_is_a_record_of_the_membership() -> None:
    found = receipt().model_copy(update={"restored": head(2, "c")}).records()

    assert ("federation", 2) in dict(found)


def test_a_receipt_is_read_back_as_it_was_written() -> None:
    assert read_receipt(receipt().model_dump(mode="json")) == receipt()


def test_a_receipt_of_a_run_with_the_name_of_the_membership_is_refused() -> None:
    body = receipt().model_dump(mode="json")
    body["received"]["run_id"] = "federation"

    with pytest.raises(ProtocolError, match="that is the membership"):
        read_receipt(body)


@pytest.mark.parametrize("body", [{}, {"site": "a"}, {"members": 3}])
def test_what_is_not_a_receipt_is_refused_by_name(body: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match="malformed receipt"):
        read_receipt(body)
