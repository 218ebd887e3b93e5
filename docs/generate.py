"""Writes the pages and pictures that are made from code; with --check, only compares them."""

from __future__ import annotations

import html
import inspect
import json
import re
import sys
import tomllib
import types
import typing
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import grimp
from algorithm_pages import algorithm_tables, method_table, settings_tables
from diagrams import import_diagram, member_diagram, run_diagram
from notebook_pages import notebook_pages
from pictures import overview, processes, round_sequence
from python_reference import python_reference

import hanse.errors
from hanse.cli.main import COMMANDS, load
from hanse.config.reference import plan_reference, settings_reference
from hanse.core.values.digests import DIGEST_PATTERN
from hanse.errors import ERRORS
from hanse.transport.api.openapi import openapi
from hanse.transport.api.route import AnyRoute, Bulk
from hanse.transport.api.routes import ROUTES
from hanse.wire.messages.basics import Empty
from hanse.wire.protocol import PROTOCOL_HEADER, RANGE_HEADER, SPOKEN

DOCS = Path(__file__).resolve().parent
VECTORS = DOCS.parent / "tests" / "vectors" / "canonical.json"
_WITH_PARTS = ("canonical-json.md", "algorithms.md")
_MARKED = re.compile(r"(<!-- generated: ([a-z ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main(arguments: list[str]) -> int:
    """Write the pages, or with --check compare them; what the process ends with."""
    stale = stale_pages()
    names = ", ".join(str(path.relative_to(DOCS.parent)) for path in stale)
    if not stale:
        print("all generated pages and pictures are current")
    elif "--check" in arguments:
        print(f"not what the code says: {names}. Run `python docs/generate.py`.", file=sys.stderr)
        return 1
    else:
        for path, data in stale.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        print(f"wrote {names}")
    return 0


def stale_pages() -> dict[Path, bytes]:
    """Pages and pictures that are not as they should be, as they should be."""
    made = {path: page.encode() if isinstance(page, str) else page for path, page in pages().items()}
    return {path: data for path, data in made.items() if not path.exists() or path.read_bytes() != data}


def pages() -> dict[Path, str | bytes]:
    """Every page and picture that is made from code, wholly or between marks, as it should be."""
    reference = DOCS / "reference"
    return {
        reference / "plan.md": plan_reference().rstrip() + "\n",
        reference / "settings.md": settings_reference().rstrip() + "\n",
        reference / "cli.md": cli_reference(),
        reference / "http.md": http_reference(),
        reference / "openapi.json": json.dumps(openapi(), indent=1, sort_keys=True) + "\n",
        reference / "errors.md": error_reference(),
        **{DOCS / page: with_generated_parts((DOCS / page).read_text("utf-8")) for page in _WITH_PARTS},
        reference / "python.md": python_reference(_table),
        **notebook_pages(DOCS / "notebooks"),
        **{DOCS / "assets" / "diagrams" / f"{name}.svg": svg for name, svg in diagrams().items()},
    }


# ------------------------------------------------------------------- diagrams


def diagrams() -> dict[str, str]:
    """Every picture by the name of its file, as SVG."""
    return {
        "overview": overview(),
        "processes": processes(),
        "round": round_sequence(),
        "run-states": run_diagram(),
        "member-states": member_diagram(),
        "imports": import_diagram(floors(), imports()),
    }


def floors() -> list[list[str]]:
    """The packages on their floors, from the top floor to the bottom floor, as import-linter holds them."""
    settings = tomllib.loads((DOCS.parent / "pyproject.toml").read_text("utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    return [[name.strip().removeprefix("hanse.") for name in layer.split("|")] for layer in layers]


def imports() -> Iterator[tuple[str, str]]:
    """Imports from package to package, without those that a longer way along other arrows implies."""
    graph = grimp.build_graph("hanse")
    tops = sorted(graph.find_children("hanse") - {"hanse.__main__"})
    imports = {
        top: {
            other
            for other in tops
            if other != top and graph.direct_import_exists(importer=top, imported=other, as_packages=True)
        }
        for top in tops
    }

    def reached(top: str) -> set[str]:
        return imports[top].union(*(reached(other) for other in imports[top]))

    for top in tops:
        for other in sorted(imports[top] - set().union(*(reached(between) for between in imports[top]))):
            yield top.removeprefix("hanse."), other.removeprefix("hanse.")


# ------------------------------------------------------------- canonical JSON


_DIGESTS = ("manifest", "record", "statement", "signed_statement")


def with_generated_parts(text: str) -> str:
    """A page with the parts between its marks made again."""
    parts: dict[str, Callable[[], str]] = {
        "canonical vectors": vector_tables,
        "algorithms": lambda: algorithm_tables(_table),
        "algorithm settings": lambda: settings_tables(_table),
        "methods": lambda: method_table(_table),
    }
    return _MARKED.sub(lambda mark: f"{mark[1]}\n{parts[mark[2]]()}\n\n{mark[3]}", text)


def vector_tables() -> str:
    """The test vectors of canonical JSON: values with their bytes, and texts that are refused."""
    vectors = json.loads(VECTORS.read_text("utf-8"))
    values = (
        (vector["name"], f"`{vector['input']}`", f"`{_visible(vector['canonical'])}`", vector["sha256"][:16])
        for vector in vectors["values"]
    )
    refused = ((vector["name"], f"`{vector['input']}`") for vector in vectors["refused"])
    tables = (
        _table(("value", "input", "canonical", "SHA-256 begins"), values),
        _table(("refused", "input"), refused),
    )
    digests = ((f"`{name}`", f"`{vectors[name]['sha256']}`") for name in _DIGESTS)
    return "\n".join([*tables, _table(("bytes", "SHA-256"), digests)]).rstrip()


def _visible(text: str) -> str:
    """A text with each character that has no glyph of its own as its code point."""
    return "".join(
        char if char.isprintable() and not unicodedata.combining(char) else f"<U+{ord(char):04X}>"
        for char in text
    )


# --------------------------------------------------------------- command line


def cli_reference() -> str:
    """Write the page of every command, from its `--help`."""
    intro = (
        "# Command line\n\n"
        "What `hanse COMMAND --help` says, for every command. Every command ends with 0 when it did what was "
        "asked, with 2 for wrong arguments, with 130 after Ctrl-C, and else with the exit code of its "
        "[error](errors.md). Results go to the standard output; errors, warnings and the log to the standard "
        "error. `HANSE_TRACEBACK=1` in the environment adds to an error where in the code it arose.\n"
    )
    parts = [intro]
    for name in COMMANDS:
        parts += _command(f"hanse {name}", load(name))
    return "\n".join(parts)


def _command(path: str, command: Any) -> Iterator[str]:
    yield f"## {path}\n\n{_prose(command.help)}\n"
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            if not inner.hidden:
                yield from (part.replace("## ", "### ", 1) for part in _command(f"{path} {name}", inner))
        return
    hints = typing.get_type_hints(inspect.unwrap(command.callback))
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    options = [param for param in command.params if param.name in hints and param not in arguments]
    words = [_usage(argument, hints) for argument in arguments]
    yield f"```text\n{' '.join([path, *words, *(['[OPTIONS]'] if options else [])])}\n```\n"
    rows = [(f"`{_value(argument, hints)}`", _meaning(argument)) for argument in arguments]
    rows += [(f"`{_spelled(option, hints)}`", _meaning(option)) for option in options]
    if rows:
        yield _table(("", ""), rows)


def _usage(argument: Any, hints: dict[str, Any]) -> str:
    value = _value(argument, hints)
    return value if argument.required else f"[{value}]"


def _spelled(option: Any, hints: dict[str, Any]) -> str:
    value = "" if option.is_flag else f" {_value(option, hints)}"
    return ", ".join([*sorted(option.opts, key=len, reverse=True), *option.secondary_opts]) + value


def _value(param: Any, hints: dict[str, Any]) -> str:
    """Name the placeholder of a parameter's value; versions of Typer write it in different ways."""
    if param.metavar:
        return str(param.metavar)
    if param.param_type_name == "argument":
        return str(param.name).upper()
    kind = hints[param.name]
    inner = [choice for choice in typing.get_args(kind) if choice is not types.NoneType]
    kind = inner[0] if inner else kind
    if issubclass(kind, Enum):
        return "|".join(choice.value for choice in kind)
    return {int: "N", Path: "PATH"}.get(kind, "TEXT")


def _meaning(param: Any) -> str:
    said = [_prose(param.help or "")]
    default = getattr(param.default, "value", param.default)
    if param.required and param.param_type_name == "option":
        said.append("Required.")
    elif default is True:
        said.append(f"Default: `{param.opts[0]}`.")
    elif default not in (None, False, ""):
        said.append(f"Default: `{default}`.")
    if param.envvar:
        said.append(f"In the environment: `{param.envvar}`.")
    return " ".join(said)


def _prose(text: str) -> str:
    """Help text as Markdown: its file names and words in capitals are not markup."""
    return inspect.cleandoc(text).replace("<", "&lt;")


# ------------------------------------------------------------------- HTTP API


def http_reference() -> str:
    """Every request of the API, and every message."""
    intro = (
        "# HTTP API\n\n"
        "One HTTPS port, TLS 1.3. Requests and replies are JSON, unless said otherwise, and every one states "
        f"the version of the protocol that it is written in, `{PROTOCOL_HEADER}: {SPOKEN.newest}`, and may "
        f"state all that its sender speaks, as in `{RANGE_HEADER}: 1-3`; this version of Hanse speaks "
        f"{SPOKEN}. A version that is not spoken is refused with status 426, and the reply says which are: "
        "see [upgrading](../aggregator.md#upgrading). The certificate of the connection says who asks. What "
        "is not described here is refused, "
        "unknown fields too. A refusal has a status of 400 or above and an [ErrorReply](#errorreply); go by "
        "its `error`, which is a code of [these errors](errors.md), not by the status. Only `transport` and "
        "`internal` are worth trying again.\n\n"
        "The same as [OpenAPI 3.1](openapi.json); a running aggregator serves it to its members as "
        "`/v1/openapi.json`.\n\n"
        "## Requests\n"
    )
    rows = ((f"`{route.method} {route.path}`", _who(route), _moves(route), route.summary) for route in ROUTES)
    heads = ("request", "for", "asks → replies", "")
    schemas = openapi()["components"]["schemas"]
    messages = (_message(name, schema) for name, schema in schemas.items() if name != Empty.__name__)
    return "\n".join([intro, _table(heads, rows), "## Messages\n", *messages])


def _who(route: AnyRoute) -> str:
    return ", ".join(sorted(route.roles)) or "anyone"


def _moves(route: AnyRoute) -> str:
    if isinstance(route, Bulk):
        return f"`{route.media}`"
    asked, replied = (
        "–" if kind is Empty else f"[{kind.__name__}](#{kind.__name__.lower()})"
        for kind in (route.request, route.reply)
    )
    if not route.has_body and route.request is not Empty:
        asked = "query: " + ", ".join(f"`{name}`" for name in route.request.model_fields)
    return f"{asked} → {replied}"


def _message(name: str, schema: dict[str, Any]) -> str:
    told, _, attributes = schema.get("description", "").partition("\n\nAttributes:\n")
    notes = dict(re.findall(r"^ +(\w+): (.*(?:\n {8,}.*)*)", attributes, re.MULTILINE))
    heading = f"### {name}\n\n{told}\n"
    if "enum" in schema:
        return f"{heading}\nOne of {', '.join(f'`{value}`' for value in schema['enum'])}.\n"
    required = schema.get("required", ())
    rows = [
        (f"`{field}`", _kind(spec), "required" if field in required else _default(spec), notes.get(field, ""))
        for field, spec in schema["properties"].items()
    ]
    return f"{heading}\n{_table(('field', 'value', 'default', ''), rows)}"


def _kind(spec: dict[str, Any]) -> str:
    """Describe the values of a field."""
    match spec:
        case {"$ref": reference}:
            name = reference.rpartition("/")[2]
            return f"[{name}](#{name.lower()})"
        case {"anyOf": choices}:
            return " or ".join(_kind(choice) for choice in choices)
        case {"type": "array", "items": items}:
            return f"list of {_kind(items)}"
        case {"enum": values}:
            return ", ".join(f"`{value}`" for value in values)
        case {"const": value}:
            return f"`{value}`"
        case {"pattern": "^[0-9a-f]{64}$"}:
            return "SHA-256"
        case {"pattern": pattern} if pattern == f"^{DIGEST_PATTERN}$":
            return "digest"
        case _:
            return str(spec["type"])


def _default(spec: dict[str, Any]) -> str:
    return f"`{json.dumps(spec['default'])}`" if "default" in spec else ""


# --------------------------------------------------------------------- errors


def error_reference() -> str:
    """The tree of errors, and the codes that go with them."""
    # The tree stands in the docstring of the module as it should stand here.
    told = inspect.cleandoc(hanse.errors.__doc__ or "").partition("\n\n")[2]
    rows = (
        (
            f"`{code}`",
            f"`{error.__name__}`",
            str(error.exit_code),
            inspect.cleandoc(error.__doc__ or "").split("\n")[0],
        )
        for code, error in ERRORS.items()
    )
    return (
        f"# Errors\n\n{told}\n\n"
        "The code is the same in replies, in the journal and in `--json`; the exit code is what a command "
        "ends with.\n\n" + _table(("code", "class", "exit code", ""), rows)
    )


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    lines = [list(heads)]
    lines += [["---"] * len(lines[0])]
    lines += [[_cell(" ".join(cell.split())) for cell in row] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(text: str) -> str:
    """Text whose bars do not end the cell of a table: programs disagree about a backslash inside of code."""
    code = re.sub(
        r"`([^`]*\|[^`]*)`", lambda found: f"<code>{html.escape(found[1], quote=False)}</code>", text
    )
    return code.replace("|", "&#124;")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
