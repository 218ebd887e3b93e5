"""Values that show themselves as a table."""

from hanse.interactive.rows import Rows

ROWS = Rows(["north", "<b>"], {"site": str, "length": lambda name: f"{len(name)}"})


def test_rows_are_a_sequence() -> None:
    assert (ROWS[0], list(ROWS[1:]), len(ROWS)) == ("north", ["<b>"], 2)


def test_rows_are_shown_as_a_table() -> None:
    assert repr(ROWS) == "site   length\nnorth  5\n<b>    3"
    assert "<td>&lt;b&gt;</td>" in ROWS._repr_html_()
