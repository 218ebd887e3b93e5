"""The reference pages of plan and settings."""

import pytest
from pydantic import Field
from tests.unit.core.plan.test_section import NEW_KEYS

from hanse.config.reference import plan_reference, settings_reference, tables_of
from hanse.config.schema import Node
from hanse.config.settings import AggregatorSettings, OperatorSettings, SiteSettings
from hanse.core.plan.plan import Plan
from hanse.core.plan.section import new_since
from hanse.core.values.schema import Duration


def test_every_key_of_a_plan_is_told_with_kind_range_default_and_meaning() -> None:
    rows = plan_reference().splitlines()

    assert "| `name` | name | required | Name of the plan, for people. |" in rows
    assert "| `rounds` | whole number from 1 to 1,000,000 | `1` | Rounds of the run. |" in rows
    assert (
        "| `fraction` | number above 0 to 1 | `1.0` | Part of the population asked in each round. |" in rows
    )
    assert "| `beta1` | number from 0 below 1 | `0.9` | Decay of the first moment. |" in rows
    assert "| `mode` | `min`, `max` | `max` | Whether higher or lower is better. |" in rows
    assert "| `tasks` | by name: table, below | required | The tasks, by name. |" in rows
    assert "### tasks.NAME.discloses" in rows


def test_durations_and_sizes_are_shown_as_people_write_them() -> None:
    assert "| `deadline` | duration (`90s`, `30m`, `1.5h`) | `1h` |" in plan_reference()
    assert "| `max_blob` | size (`512MB`, `8GB`, `1GiB`) | `20GB` |" in settings_reference()


@pytest.mark.parametrize("schema", [Plan, SiteSettings, AggregatorSettings, OperatorSettings])
def test_every_key_has_a_description(schema: type[Plan]) -> None:
    for loc, table in Node.of(schema).tables():
        for key, node in table.keys.items():
            assert node.spec.get("description"), (*loc, key)


def test_each_file_of_settings_has_its_part() -> None:
    headings = [line for line in settings_reference().splitlines() if line.startswith("## ")]

    assert headings == ["## site.yaml", "## aggregator.yaml", "## operator.yaml"]


def test_every_row_of_a_table_has_four_cells() -> None:
    rows = [line for line in (plan_reference() + settings_reference()).splitlines() if line.startswith("|")]

    assert {row.replace("\\|", "").count("|") for row in rows} == {5}


class NewerPlan(Plan):
    """A plan of a later version."""

    wait: Duration = Field(60.0, json_schema_extra=new_since("0.2"), description="Longest wait.")


def test_a_key_that_is_new_is_marked_with_its_version() -> None:
    rows = tables_of("plan.yaml", NewerPlan).splitlines()

    assert "| `wait` | duration (`90s`, `30m`, `1.5h`) | `1m` | Longest wait. Since 0.2. |" in rows
    assert sum("Since" in row for row in rows) == 1 + len(NEW_KEYS)
