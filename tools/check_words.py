"""Hold the language of pages, messages, docstrings and comments: words to avoid, with words to use instead.

Pages and messages have none of these words. Docstrings and comments that had some before the list
was made are counted for each file in `words_baseline.json`; a count may only become smaller.

    python tools/check_words.py                     # pages, messages, and counts that have grown
    python tools/check_words.py --all [FILE...]     # every finding, docstrings and comments too
    python tools/check_words.py --write             # count again; refused if there are more in all
"""

from __future__ import annotations

import ast
import io
import json
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
BASELINE = ROOT / "tools" / "words_baseline.json"
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/**/*.md")
CODE = ("src/**/*.py", "tools/*.py", "docs/*.py")

_COMPARED = "longer|more|less|fewer|later|need"

WORDS = {
    r"(?:go|goes|going|gone|went) on\b(?! the\b)": "continue, resume",
    r"bring|brings|bringing|brought": "fetch, upload, submit, add, copy",
    r"(?:hand|hands|handed|handing) in\b": "submit",
    r"drop|drops|dropped|dropping": "discard, delete, leave out",
    r"tell|tells|telling|told": "say, state, report, show",
    # "there is no file" and "is no longer than" are plain; a message may end before the noun in braces.
    rf"(?<!there )(?:is|are|was|were|be) no(?: (?!{_COMPARED})\w+(?! than)|\s*$)": "is not a",
    r"be it": "name the cases",
    r"nobody|nobody's": "no party, no site, no person",
    r"whoever|whomever": "the party that, a site that",
    r"anew": "again, from the start, new",
    r"to mend|mended|mends|mending": "fix, repair",
    r"(?:take|takes|taken|took|taking) (?:(?:it|them) up|up (?:a|again)\b)": "resume, continue",
    r"(?:take|takes|taken|took|taking) back": "reinstate, undo",
    r"(?:set|sets|setting) aside": "suspend",
    r"(?:come|comes|came|coming) through": "survive, succeed",
    r"(?:look|looks|looked|looking) on": "observe, wait",
    r"(?:is|are|was|were) wanted of": "pending work of",
}
"""What to avoid, as regular expressions of whole words, and what to write instead."""

HEADLINE = re.compile(r"(?:What|Which|Whether|Who|Whose|How)\b")
CODE_IN_TEXT = re.compile(r"^```.*?^```|`[^`\n]+`|\]\([^)\n]*\)|<!--.*?-->", re.MULTILINE | re.DOTALL)
_WORDS = {re.compile(rf"(?<![\w-])(?:{word})(?![\w-])", re.IGNORECASE): WORDS[word] for word in WORDS}


class Finding(NamedTuple):
    """A phrase to avoid: the file by its path from the root, the line, and what is wrong."""

    path: str
    line: int
    problem: str


def in_text(text: str, path: str, line: int = 1) -> Iterator[Finding]:
    """Find the words to avoid in a text whose first line is line `line` of a file."""
    prose = _without_code(text)
    flat = prose.replace("\n", " ")
    for word, instead in _WORDS.items():
        for found in word.finditer(flat):
            yield Finding(path, line + prose.count("\n", 0, found.start()), f"{found[0]!r}: write {instead}")


def _without_code(text: str) -> str:
    # Blanked out and not taken away, so that lines keep their numbers.
    return CODE_IN_TEXT.sub(lambda code: re.sub(r"[^\n]", "·", code[0]), text)


def in_page(text: str, path: str) -> Iterator[Finding]:
    """Find what to avoid in a page of Markdown, its headings included."""
    yield from in_text(text, path)
    for number, line in enumerate(_without_code(text).splitlines(), 1):
        if (heading := re.match(r"#+ (?:\d{4} )?(.*)", line)) and HEADLINE.match(heading[1]):
            yield Finding(path, number, f"heading {heading[1]!r}: begin with a noun or a verb")


def in_messages(source: str, path: str) -> Iterator[Finding]:
    """Find what to avoid in the strings of a file of code that are not docstrings."""
    tree = ast.parse(source)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in docstrings:
            continue
        if not node.value.isidentifier() or node.value == "nobody":  # the rest are names of keys
            yield from in_text(node.value, path, node.lineno)


def in_comments(source: str, path: str) -> Iterator[Finding]:
    """Find what to avoid in the docstrings and comments of a file of code."""
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            text = node.value.value
            yield from in_text(text, path, node.lineno)
            if HEADLINE.match(text):
                yield Finding(
                    path, node.lineno, f"headline {text.splitlines()[0]!r}: begin with a noun or a verb"
                )
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield from in_text(token.string, path, token.start[0])


def files(*patterns: str) -> list[Path]:
    """The files that patterns name, in order."""
    return sorted({path for pattern in patterns for path in ROOT.glob(pattern)})


def name(path: Path) -> str:
    """A file by its path from the root of the repository."""
    return str(path.relative_to(ROOT))


def main(arguments: list[str]) -> int:
    """Print what to avoid; the exit code is 1 where there is something."""
    strict: list[Finding] = []
    for page in files(*PAGES):
        strict += in_page(page.read_text("utf-8"), name(page))
    lax: list[Finding] = []
    for file in files(*CODE):
        source = file.read_text("utf-8")
        if file != Path(__file__).resolve():
            strict += in_messages(source, name(file))
        lax += in_comments(source, name(file))
    if "--all" in arguments:
        chosen = [argument for argument in arguments if argument != "--all"]
        for finding in sorted(strict + lax):
            if not chosen or any(finding.path.startswith(path) for path in chosen):
                print(f"{finding.path}:{finding.line}: {finding.problem}")
        return 1 if strict else 0
    return _hold(strict, lax, write="--write" in arguments)


def _hold(strict: list[Finding], lax: list[Finding], *, write: bool) -> int:
    counts = Counter(finding.path for finding in lax)
    allowed: dict[str, int] = json.loads(BASELINE.read_text("utf-8"))
    if write and counts.total() <= sum(allowed.values()):
        BASELINE.write_text(json.dumps(counts, indent=1, sort_keys=True) + "\n", "utf-8")
        allowed = counts
    grown = {path for path, count in counts.items() if count > allowed.get(path, 0)}
    for finding in sorted(strict + [finding for finding in lax if finding.path in grown]):
        print(f"{finding.path}:{finding.line}: {finding.problem}")
    for path in sorted(grown):
        print(f"{path}: {counts[path]} in docstrings and comments, at most {allowed.get(path, 0)}")
    return 1 if strict or grown else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
