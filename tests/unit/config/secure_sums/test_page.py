"""The example of secure aggregation in the page on plans."""

import re

from tests.pages import ROOT

from hanse.config.document import Document
from hanse.config.secure_sums.sentences import learned
from hanse.core.plan.plan import Plan
from hanse.errors import PlanError

PAGE = (ROOT / "docs" / "plan.md").read_text("utf-8")
SECTION = PAGE[PAGE.index("## Secure aggregation") : PAGE.index("## In fewer bytes")]


def example() -> Plan:
    found = re.search(r"```yaml\n(.*?)```", SECTION, re.DOTALL)
    assert found is not None
    return Document.of(found[1], "plan.yaml", PlanError).check(Plan)


def test_the_example_is_a_plan() -> None:
    assert example().cells == {"all": ("aachen", "bonn", "celle", "dresden")}


def test_the_page_shows_what_plan_check_says_of_it() -> None:
    assert f"\n  {learned(example())[0]}\n" in SECTION
