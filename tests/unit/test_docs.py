"""What the documentation shows is true: plans load, commands exist, links lead on, pages are current."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml

from hanse.algorithms.presets import ALGORITHM
from hanse.assembly.plan_file import load_plan
from hanse.cli.main import load
from hanse.config.settings import AggregatorSettings, SiteSettings, load_aggregator, load_site
from hanse.core.plan.plan import Plan
from hanse.core.plan.policy import default_refusals
from hanse.wire.tensors import write_file

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "hanse"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
MOVING = [*ROOT.glob("docs/from-*.md"), ROOT / "docs" / "compare.md"]
EXAMPLES = "".join(path.read_text("utf-8") for path in sorted(ROOT.glob("examples/**/*.py")))
CELLS = "\n".join(
    "".join(cell["source"])
    for path in sorted(ROOT.glob("examples/**/*.ipynb"))
    for cell in json.loads(path.read_text("utf-8"))["cells"]
)

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
_MODULE = re.compile(r"`((?:[a-z_]+/)+[a-z_]+\.py)`")
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(?:\w+::)?(\w+)`")
_RESTORES = re.compile(r"^\|.*\|.*\| `(\w+: [^`.]+)`", re.MULTILINE)
"""The first line in the last column of a table."""
_REDIRECTED = re.compile(r" [0-9]?[<>] *\S+| &.*$")
"""What of a command line is for the shell alone."""
_FRAGMENT = re.compile(r"`(\w+: [^`]+)`")
_INLINE = re.compile(r"`(hanse [a-z][^`]*)`")

MINIMAL = {
    Plan: {
        "name": "p",
        "code": ["a.py"],
        "learner": "a:learner",
        "tasks": {"train": {"discloses": {"update": "individual"}}},
    },
    SiteSettings: {"name": "north", "federation": "f", "aggregator": "https://a.example.org:8443"},
    AggregatorSettings: {"federation": "f", "url": "https://a.example.org:8443", "hosts": ["a.example.org"]},
}
"""What a fragment of a file is put into."""


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    language: str
    text: str


def name(path: Path) -> str:
    """A page by its path from the root of the repository."""
    return str(path.relative_to(ROOT))


def blocks(*languages: str) -> list[Any]:
    """Every fenced block in one of these languages, as parameters of a test."""
    found = [Block(page, *match) for page in PAGES for match in _FENCE.findall(page.read_text("utf-8"))]
    return [pytest.param(block, id=name(block.page)) for block in found if block.language in languages]


# ---------------------------------------------------------------------- files


@pytest.mark.parametrize("block", blocks("yaml"))
def test_yaml_that_is_shown_is_accepted(block: Block, tmp_path: Path) -> None:
    shown = yaml.safe_load(block.text)
    schema = next(schema for schema in MINIMAL if shown.keys() - {ALGORITHM} <= schema.model_fields.keys())
    minimal = dict(MINIMAL[schema])
    if "script" in shown or "arguments" in shown:
        minimal |= {"learner": None, "script": "a.py"}
    elif ALGORITHM in shown:  # it may exchange groups, which a script does not
        minimal.pop("script", None)
        minimal["learner"] = "a:learner"
    whole = "name" in shown and ("tasks" in shown or ALGORITHM in shown)
    file = tmp_path / "shown.yaml"
    file.write_text(block.text if whole else yaml.safe_dump(minimal | shown), "utf-8")

    if schema is Plan:
        write_code(yaml.safe_load(file.read_text("utf-8")), tmp_path)
        load_plan(file)
    else:
        (load_site if schema is SiteSettings else load_aggregator)(file)


def fragments() -> Iterator[Any]:
    """The keys of a plan that the pages on moving and comparing name in a line, with the line.

    Those of code are left out, which is of the examples.
    """
    keys = {*Plan.model_fields, ALGORITHM, "rule"} - {"code", "learner"}
    for page in MOVING:
        for line in re.sub(_FENCE, "", page.read_text("utf-8")).splitlines():
            for text in _FRAGMENT.findall(line):
                if text.split(":")[0] in keys and "..." not in text and "flow:" not in text:
                    yield pytest.param(text, line, id=f"{page.name}: {text}")


@pytest.mark.parametrize(("text", "line"), list(fragments()))
def test_a_key_of_a_plan_that_a_line_names_is_accepted_by_default(
    text: str, line: str, tmp_path: Path
) -> None:
    alone, metrics = "update: individual" in line, {"metrics": ["accuracy"]}
    update = {"update": "individual"} if alone else {"update": "aggregate", "aggregated_by": "aggregator"}
    tasks = {"train": {"discloses": update | metrics}, "evaluate": {"discloses": metrics}}
    plan = MINIMAL[Plan] | {"cohort": {"minimum": 3}, "tasks": tasks}
    shown = yaml.safe_load(text)
    plan |= {"aggregation": shown} if "rule" in shown else shown
    if plan.get("workflow") == "evaluate":
        plan |= {"initial_model": "start.safetensors", "tasks": {"evaluate": tasks["evaluate"]}}
    write_code(plan, tmp_path)
    (tmp_path / "plan.yaml").write_text(json.dumps(plan), "utf-8")

    loaded = load_plan(tmp_path / "plan.yaml")

    assert default_refusals(loaded.manifest.plan) == ()


@pytest.mark.parametrize("line", _RESTORES.findall((ROOT / "docs" / "upgrading.md").read_text("utf-8")))
def test_a_line_that_restores_a_default_is_accepted(line: str, tmp_path: Path) -> None:
    test_yaml_that_is_shown_is_accepted(Block(ROOT / "docs" / "upgrading.md", "yaml", line), tmp_path)


def write_code(plan: dict[str, Any], folder: Path) -> None:
    """Write the files that a plan names, with the functions that it names."""
    for name in plan["code"]:
        (folder / name).write_text("", "utf-8")
    for key in ("learner", "workflow"):
        module, _, function = plan.get(key, "").partition(":")
        if function:
            with (folder / f"{module}.py").open("a", encoding="utf-8") as file:
                file.write(f"def {function}(it): ...\n")
    if plan.get("initial_model", "none") not in ("none", "workflow"):
        write_file(folder / plan["initial_model"], {"weight": np.zeros(1, np.float32)})


@pytest.mark.parametrize("block", blocks("python"))
def test_python_that_is_shown_compiles(block: Block) -> None:
    compile(block.text, str(block.page), "exec")


@pytest.mark.parametrize("block", [b for b in blocks("python") if b.values[0].text.startswith("def ")])
def test_workflows_that_are_shown_are_those_of_the_examples(block: Block) -> None:
    assert block.text.strip() in (CELLS if "notebooks" in block.page.parts else EXAMPLES)


# ------------------------------------------------------------------- commands


def command_lines() -> Iterator[Any]:
    """Every command line that a block shows, those inside of `$(...)` too."""
    for param in blocks("bash", "ini"):
        block = param.values[0]
        text = block.text.replace("\\\n", " ")  # a line that goes on in the next
        inner = re.findall(r"\$\((hanse .*?)\)", text)
        outer = re.findall(r"(?:^ *|/|; do )(hanse .*?)(?=; done|$)", re.sub(r"\$\(.*?\)", "IT", text), re.M)
        for line in inner + [_REDIRECTED.sub("", line) for line in outer]:
            yield pytest.param(line, id=f"{block.page.name}: {line}")


def read_line(line: str) -> tuple[Any, set[str], int]:
    """The command of a line, the names of the options that are given, and how many arguments.

    Raises:
        KeyError: There is no such command or option.
    """
    # What follows `--` are arguments of a script.
    words = takewhile("--".__ne__, shlex.split(line, comments=True)[1:])
    command = load(next(words))
    given, arguments = set(), 0
    for word in words:
        if hasattr(command, "commands"):
            command = command.commands[word]
        elif word.startswith("-") and word != "-":
            spelled, _, value = word.partition("=")
            options = {spelling: param for param in command.params for spelling in param.opts}
            given.add(options[spelled].name)
            if not value and not options[spelled].is_flag:
                next(words, "")
        else:
            arguments += 1
    return command, given, arguments


@pytest.mark.parametrize("line", list(command_lines()))
def test_command_that_is_shown_could_be_called(line: str) -> None:
    command, given, arguments = read_line(line)

    options = {param.name for param in command.params if param.param_type_name == "option" and param.required}
    places = [param for param in command.params if param.param_type_name == "argument"]
    assert options <= given
    assert sum(place.required for place in places) <= arguments <= len(places)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_that_the_text_mentions_exist(page: Path) -> None:
    for line in _INLINE.findall(page.read_text("utf-8")):
        read_line(line)


# ---------------------------------------------------------------------- pages


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_to_files(page: Path) -> None:
    links = [link for link in _LINK.findall(page.read_text("utf-8")) if not link.startswith("https://")]

    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_modules_that_the_text_names_exist(page: Path) -> None:
    found = set(_MODULE.findall(page.read_text("utf-8")))

    assert {path for path in found if not any((root / path).is_file() for root in (ROOT, PACKAGE))} == set()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_tests_that_the_text_names_exist(page: Path) -> None:
    named = _TEST.findall(page.read_text("utf-8"))

    assert [test for path, test in named if f"def {test}(" not in (ROOT / path).read_text("utf-8")] == []


def test_each_claim_of_secure_aggregation_names_a_test() -> None:
    text = (ROOT / "docs" / "secure-aggregation.md").read_text("utf-8")
    section = text.partition("## Claims")[2].partition("\n## ")[0]
    claims = re.split(r"^\*\*\d+\. ", section, flags=re.MULTILINE)[1:]

    assert len(claims) == 12
    assert all(_TEST.search(claim.partition("*Held by:*")[2]) for claim in claims)


def test_every_page_has_one_place_in_the_menu() -> None:
    menu = tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]["nav"]
    pages = [str(page.relative_to(ROOT / "docs")) for page in ROOT.glob("docs/**/*.md")]

    assert sorted(pages_of(menu)) == sorted(pages)


def pages_of(menu: Any) -> Iterator[str]:
    """The pages of a menu of the site and of the menus in it."""
    if isinstance(menu, str):
        yield menu
        return
    for item in menu.values() if isinstance(menu, dict) else menu:
        yield from pages_of(item)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_picture_of_a_page_needs_a_script_to_be_drawn(page: Path) -> None:
    assert "```mermaid" not in page.read_text("utf-8"), "draw it in docs/pictures.py"


def test_generated_pages_are_current(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("grimp", reason="comes with import-linter, for the picture of imports")
    monkeypatch.syspath_prepend(ROOT / "docs")
    generate = importlib.import_module("generate")

    assert [name(path) for path in generate.stale_pages()] == [], "run docs/generate.py"
