"""Text of others, made fit to be kept, sent and shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.core.values.canonical import canonical_json
from hanse.core.values.safe_text import is_safe, last_lines, one_line, outgoing_line, without_paths

ANY = st.text(st.characters(exclude_categories=()), max_size=60) | st.sampled_from(
    ["\ud800", "\udfff\ud800", "a\x1b[2J", "\u202e"]
)


@given(ANY, st.integers(0, 20))
def test_a_line_can_be_written_down_and_printed_whatever_it_was_made_of(text: str, most: int) -> None:
    line = one_line(text, most)

    canonical_json(line)
    assert line.isprintable()
    assert len(line) <= most


@given(ANY, ANY, st.integers(0, 20))
def test_lines_can_be_written_down_and_printed_whatever_they_were_made_of(
    first: str, second: str, most: int
) -> None:
    text = last_lines(f"{first}\n{second}", most)

    canonical_json(text)
    assert is_safe(text)
    assert len(text) <= most


@pytest.mark.parametrize(
    "text", ["", "two\nlines", "Zürich \N{NO-BREAK SPACE}", "\U000fffff", "not assigned: \u0378"]
)
def test_text_that_only_shows_something_is_safe_also_where_it_is_not_known(text: str) -> None:
    assert is_safe(text)


@pytest.mark.parametrize(
    "text", ["\x1b[2J", "a\rb", "\t", "\u202e", "\ud800", "a\u2028b", "\x85", "fine\n\x07"]
)
def test_text_that_does_more_is_not(text: str) -> None:
    assert not is_safe(text)


def test_what_is_not_printable_is_escaped_so_that_a_person_can_tell_what_it_was() -> None:
    assert one_line("caf\udce9 \x1b[31mred\n\tand so  on") == r"caf\udce9 \x1b[31mred and so on"


def test_a_long_line_loses_its_end_and_a_long_log_its_beginning() -> None:
    assert one_line("abcdefgh", 5) == "abcd…"
    assert last_lines("first\nsecond\nthird\n", 14) == "second\nthird"


def test_half_of_a_line_is_not_shown_for_it_may_be_half_of_a_path() -> None:
    assert last_lines("/srv/patients/x.csv is missing\nand so on", 20) == "and so on"


def test_the_end_of_a_single_line_is_better_than_nothing() -> None:
    assert last_lines("x" * 50 + "end", 5) == "xxend"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[Errno 2] No such file or directory: '/srv/x/John Smith.csv'", "… directory: '<path>'"),
        ("cannot read /srv/x/smith.csv: Is a directory", "cannot read <path>: Is a directory"),
        ("PosixPath('/srv/x')", "PosixPath('<path>')"),
        ('"/srv/it\'s x/y.csv" is gone', '"<path>" is gone'),
        ("error:/srv/x, file:///srv/y, //srv/z", "error:<path>, <path>, <path>"),
        ("neither ~/x nor ~op/x", "neither <path> nor <path>"),
        ("--data=/srv/x (/srv/y) [/srv/z].", "--data=<path> (<path>) [<path>]."),
        ('File "/srv/plans/ab/heart.py", line 3, in train', 'File "<path>/heart.py", line 3, in train'),
        ("failed at /srv/plans/ab/heart.py:42: ValueError", "failed at <path>/heart.py:42: ValueError"),
    ],
)  # fmt: skip
def test_a_path_is_not_shown_and_code_is_by_its_name_and_line(text: str, shown: str) -> None:
    assert without_paths(text).endswith(shown.removeprefix("…"))


@pytest.mark.parametrize(
    "path",
    [
        "sqlite:////mnt/patients/miller.db",
        "zip:///mnt/patients/miller.zip",
        "FILE:///mnt/patients/miller.csv",
        "nfs://fileserver/export/miller",
        "unix:///run/miller.sock",
        "http:///mnt/patients/miller",
        "/mnt/patients/<miller>/x.csv",
        "/mnt/a>miller/b",
        '/mnt/a"miller"/b',
        "/mnt/patients/Maria Miller/scan.nii",
        "'/mnt/patients/O'Miller/x.csv'",
        "'sqlite:////mnt/Maria Miller.db'",
        "/mnt/patients/miller.py",
        "'/mnt/patients/Maria/miller.py'",
        "%2Fmnt%2Fpatients%2Fmiller",
        "C:\\Users\\miller\\scan.nii",
        r"\\fileserver\patients\miller.dcm",
        "$HOME/miller/x",
        "${DATA}/miller/x",
    ],
)
@pytest.mark.parametrize("form", ["{}", "cannot open {}: gone", "x={}, y", "({})", "jar:{}", "a->{}"])
def test_a_path_is_not_shown_in_whatever_form(form: str, path: str) -> None:
    shown = without_paths(form.format(path))

    assert "iller" not in shown
    assert "<path>" in shown


@pytest.mark.parametrize(
    "before", ["-I", "-L", "é", "2", "x[0]", "f()", "{a}", "./../..", "@", "error:", "…"]
)
def test_a_path_below_a_usual_folder_is_not_shown_whatever_stands_before_it(before: str) -> None:
    assert without_paths(f"{before}/mnt/patients/miller") == f"{before}<path>"


@pytest.mark.parametrize(
    "text",
    [
        "train failed at heart.py:42: ValueError: and/or 1/2, n/a, (a+b)/2, a / b",
        "https://aggregator.example.org:8443/v1/runs answered 403",
        "encoder/layer.0/weight has shape (2, 3)",
        "",
    ],
)
def test_what_is_no_path_stays(text: str) -> None:
    assert without_paths(text) == text


ROOTS = {
    "/srv/My Data": "<data source xrays>",
    "/srv": "<disk>",
    "/var/lib/hanse/visby": "<site folder>",
    "/": "?",
}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no /srv/My Data/x.csv, nor /srv/My Data.", "no <data source xrays>, nor <data source xrays>."),
        ("'/srv/My Data/John Smith.csv'", "'<data source xrays>'"),
        ("/srv/My Database/x", "<disk>"),
        ("the disk of /var/lib/hanse/visby has 3 bytes free", "the disk of <site folder> has 3 bytes free"),
        ("/var/lib/hanse/visby/plans/ab/heart.py:3", "<site folder>/heart.py:3"),
        ("/var/lib/hanse/visby2", "<path>"),
    ],
)
def test_a_path_that_is_known_is_shown_by_its_name(text: str, shown: str) -> None:
    assert without_paths(text, ROOTS) == shown


NAMES = st.text(st.characters(codec="utf-8", categories=["L", "Nd"]), min_size=3, max_size=8)
FORMS = ["{}", "'{}'", '"{}"', "({})", "no {}: gone", "a={},", "PosixPath('{}')", "x\n{}\ny", "[{}]", "{}."]


@given(st.lists(NAMES, min_size=1, max_size=4), NAMES, st.sampled_from(FORMS))
def test_nothing_of_a_path_below_a_known_folder_is_left(below: list[str], root: str, form: str) -> None:
    folder = f"/{root} {root}"
    path = "/".join([folder, *below])

    shown = outgoing_line(form.format(path), roots={folder: "<data>"})

    assert shown == " ".join(form.format("<data>").split())
