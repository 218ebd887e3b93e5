"""What can be told of Python code by reading it."""

import pytest

from hanse.config.code import defines, parse_code
from hanse.errors import PlanError


@pytest.mark.parametrize(
    "source",
    [
        "def learner(site): ...",
        "async def learner(site): ...",
        "class learner: ...",
        "learner = print",
        "learner: object = print",
        "learner, other = print, print",
        "import learner",
        "import learner.deep",
        "from lib import x as learner",
        "from lib import *",
        "try:\n    from lib import learner\nexcept ImportError:\n    learner = None",
        "if True:\n    def learner(site): ...",
        "with open('x') as learner: ...",
        "(learner := print)",
    ],
)
def test_a_name_bound_at_the_top_level_is_found(source: str) -> None:
    assert defines(parse_code(source.encode(), "x.py"), "learner")


@pytest.mark.parametrize(
    "source",
    [
        "",
        "learner(1)",
        "def other():\n    learner = 1",
        "def other():\n    def learner(): ...",
        "class Other:\n    def learner(self): ...",
        "x.learner = 1",
        "import lib.learner",
        "from learner import x",
        "from lib import learner as x",
    ],
)
def test_a_name_bound_elsewhere_or_only_used_is_not(source: str) -> None:
    assert not defines(parse_code(source.encode(), "x.py"), "learner")


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (b"x = 1\nif x\n", r"^train\.py:2: expected ':'"),
        (b"x = 1\n  y = 2", r"^train\.py:2: unexpected indent"),
        (b"x = \0", r"^train\.py:\d+: source code .*null bytes"),
        (b"# coding: nonsense\n", r"^train\.py:\d+: .*nonsense"),
        (b"x = '\xff'", r"^train\.py:\d+: .*(utf-8|encoding)"),
        (b"(" * 10_000, r"^train\.py:\d+: "),
        (b"x" + b"+x" * 100_000, r"^train\.py:\d+: "),
        (b"-" * 100_000 + b"x", r"^train\.py:\d+: "),
    ],
)
def test_what_is_no_python_is_refused_with_its_line(source: bytes, problem: str) -> None:
    with pytest.raises(PlanError, match=problem):
        parse_code(source, "train.py")


def test_an_odd_escape_is_the_authors_business() -> None:
    parse_code(rb"pattern = '\d'", "train.py")


def test_nothing_is_run_by_reading() -> None:
    parse_code(b"raise SystemExit\nimport no_such_module", "train.py")
