"""Cells written into a plan file: all else in it stays as it is."""

from pathlib import Path

import pytest

from hanse.config.secure_sums.cells import read_sites, with_cells, write_cells
from hanse.errors import ConfigError, PlanError

CELLS = {"all": ("a", "b", "c")}
PLAN = """\
# A plan of the heart study.
name: hearts  # for people
cells:
  north: [x, y]   # others
  south:
    - z
# The tasks.
tasks:
  train: {}
"""


def files(tmp_path: Path, plan: str, sites: str) -> tuple[Path, Path]:
    (tmp_path / "plan.yaml").write_text(plan)
    (tmp_path / "sites.txt").write_text(sites)
    return tmp_path / "plan.yaml", tmp_path / "sites.txt"


def test_cells_are_added_at_the_end() -> None:
    assert with_cells("name: hearts  # mine", CELLS) == "name: hearts  # mine\ncells:\n  all: [a, b, c]\n"


def test_cells_are_put_in_the_place_of_others_and_comments_around_them_stay() -> None:
    assert with_cells(PLAN, CELLS) == (
        "# A plan of the heart study.\nname: hearts  # for people\ncells:\n  all: [a, b, c]\n# The tasks.\n"
        "tasks:\n  train: {}\n"
    )


def test_the_line_ends_of_windows_stay() -> None:
    assert with_cells("name: hearts\r\n", CELLS) == "name: hearts\r\ncells:\r\n  all: [a, b, c]\r\n"


def test_a_table_in_braces_is_left_alone() -> None:
    assert with_cells("{name: hearts}", CELLS) is None


def test_a_list_of_sites_is_lines_or_yaml(tmp_path: Path) -> None:
    for text in ("a\nb  # the university\n\n# c\nc\n", "- a\n- b\n- c\n", "[a, b, c]"):
        assert read_sites(files(tmp_path, "", text)[1]) == ("a", "b", "c")


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "names no site"), ("a\nb\na\n", "names a twice"), ("University Hospital\n", "not a valid name")],
)
def test_a_list_with_what_is_not_a_site_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        read_sites(files(tmp_path, "", text)[1])


def test_a_plan_that_has_cells_keeps_them_unless_others_are_asked_for(tmp_path: Path) -> None:
    plan, sites = files(tmp_path, PLAN, "a\nb\nc\n")
    with pytest.raises(PlanError, match=r"plan\.yaml:3: cells: the plan has cells"):
        write_cells(plan, sites)
    assert plan.read_text() == PLAN
    assert write_cells(plan, sites, again=True).replaced
    assert "all: [a, b, c]" in plan.read_text()


def test_cells_have_as_many_members_as_the_plan_wants(tmp_path: Path) -> None:
    wanted = "name: hearts\ncohort: {minimum: 5}\n"
    plan, sites = files(tmp_path, wanted, "\n".join(f"s{number}" for number in range(9)))
    assert list(write_cells(plan, sites, 3).cells) == ["all"]
    wanted = "name: hearts\nprivacy: {secure_aggregation: {colluders: 8}}\n"
    plan, sites = files(tmp_path, wanted, "\n".join(f"s{number}" for number in range(9)))
    with pytest.raises(PlanError, match="9 sites are fewer than a cell needs, 10"):
        write_cells(plan, sites)


def test_a_plan_that_cannot_be_changed_says_what_to_write(tmp_path: Path) -> None:
    plan, sites = files(tmp_path, "{name: hearts}", "a\nb\nc\n")
    with pytest.raises(PlanError, match="cannot change") as refused:
        write_cells(plan, sites)
    assert "all: [a, b, c]" in refused.value.mend
