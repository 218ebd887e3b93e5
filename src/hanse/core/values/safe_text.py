"""Text of others as it may be kept, sent and shown: valid Unicode, printable, bounded, without paths."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from unicodedata import category

from hanse.core.values.wording import bounded, visible

MOST_REASON_CHARS = 4_096
"""Characters of a reason that a party states."""

_TOP = (
    "Applications|Library|System|Users|Volumes|app|bin|boot|content|data|datasets|dev|etc|export|gpfs|home|lib|"
    "lib64|local|lustre|media|mnt|net|nfs|nix|opt|private|proc|root|run|sbin|scratch|srv|storage|sys|tmp|usr|"
    "var|work|workspace|workspaces"
)
"""Folders that an absolute path usually begins with: after these it is one whatever stands before it."""
_SCHEME = r"(?<![A-Za-z0-9+.-])(?!(?i:https?)://[^\s/])[A-Za-z][A-Za-z0-9+.-]*://"
"""An address that is not of the web: of a file, a folder, a database, a socket or a bucket."""
_QUOTED = (
    r"""(?P<quote>['"`])(?P<path>(?:(?i:file):|[\w+.:-]*://)?(?:~[\w.-]*)?/"""
    r"""(?:(?!(?P=quote))[^\n]|(?<=\w)(?P=quote)(?=\w))*)(?P=quote)"""
)
_BEGINNING = "|".join(
    [
        r"(?i:file):/",
        _SCHEME,
        r"(?<![\w./~:)\]}])/",
        r"(?<=:)/(?!/)",
        r"(?<=\s-[A-Za-z])/",
        rf"/(?=(?:{_TOP})/)",
        r"(?<![\w./])~[\w.-]*/",
        r"\$\{?\w+\}?/",
        r"(?<!\w)[A-Za-z]:[\\/]",
        r"\\\\(?=[\w.-]+\\)",
        r"(?i:%2f)",
    ]
)
_REST = (
    r"""(?:[^\s'"`<>|]"""
    # Within a name that a slash follows: what else would end the path.
    r"""|['"`<>|](?=[^\s/]+/)|(?<![\s,;:.!?)\]}'"`])[ \t\xa0](?=[^\s/(\[{'"`<][^\s/]*/(?!/)))"""
)
_AFTER_ROOT = rf"""(?:/{_REST}*|(?![\w-]|\.\w))"""
_SOURCE = re.compile(r"[^/]*/(?:.*/)?(\w[\w-]*\.py)(:\d+)?")
_IN_TRACEBACK = "File "
_PUNCTUATION = ".,;:!?)]}"
_ACTED_ON = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode categories: control, format, surrogate, line and paragraph separator."""


def one_line(text: str, most: int = MOST_REASON_CHARS) -> str:
    """A text in one line: white space as single spaces, what is not printable escaped, cut at its end."""
    # Cut before it is escaped, too, which makes no text shorter: a stranger's may be long.
    return bounded(visible(" ".join(text.split())[: most + 1]), most) if most else ""


def outgoing_line(text: str, most: int = MOST_REASON_CHARS, roots: Mapping[str, str] | None = None) -> str:
    """A text in one line, as `one_line`, without paths, as `without_paths`."""
    return one_line(without_paths(text, roots), most)


def last_lines(text: str, most: int) -> str:
    """The last lines of a text, whole ones where possible: what is not printable is escaped."""
    kept = _cut(text.rstrip("\n"), most)
    return _cut("\n".join(visible(line.expandtabs()) for line in kept.splitlines()), most)


def is_safe(text: str) -> bool:
    """Check that a text of one or several lines has nothing that a terminal acts on or a file cannot hold.

    Characters that this version of Python does not know pass: a later one may have printed them.
    """
    return all(
        line.isprintable() or not any(category(char) in _ACTED_ON for char in line)
        for line in text.split("\n")
    )


def without_paths(text: str, roots: Mapping[str, str] | None = None) -> str:
    """A text without absolute paths, and without those that begin in the home of a user.

    Of a file of Python code the name and the line stay, where the line is given as an error gives it. A
    path that is not in quotes ends at a space after which no slash follows in the next word, unless it is
    one of `roots`.

    Args:
        text: The text.
        roots: Names to show instead of files and folders that are known, and of all in them, by their
            absolute paths; other paths are shown as `<path>`.
    """
    known = {root: name for root, name in (roots or {}).items() if len(root) > 1}

    def replaced(match: re.Match[str]) -> str:
        if match["quote"]:
            in_traceback = text.endswith(_IN_TRACEBACK, 0, match.start())
            return f"{match['quote']}{_shown(match['path'], known, in_traceback)}{match['quote']}"
        path = match[0].rstrip(_PUNCTUATION)
        return _shown(path, known) + match[0][len(path) :]

    return _paths(tuple(sorted(known, key=len, reverse=True))).sub(replaced, text)


@functools.lru_cache(maxsize=32)
def _paths(roots: tuple[str, ...]) -> re.Pattern[str]:
    """Paths in quotes, those that begin with a root, and all others."""
    known = [f"{re.escape(root)}{_AFTER_ROOT}" for root in roots]
    return re.compile("|".join([_QUOTED, *known, f"(?:{_BEGINNING}){_REST}+"]))


def _shown(path: str, known: Mapping[str, str], in_traceback: bool = False) -> str:
    """The name that stands for a path."""
    parents = [root for root in known if path == root or path.startswith(f"{root.rstrip('/')}/")]
    name = known[max(parents, key=len)] if parents else "<path>"
    source = _SOURCE.fullmatch(path)
    if source is None or not (source[2] or in_traceback):
        return name
    return f"{name}/{source[1]}{source[2] or ''}"


def _cut(text: str, most: int) -> str:
    """The end of a text, without the rest of a line before it, which may be half of a word or a path."""
    if len(text) <= most:
        return text
    end = text[-most:] if most else ""
    _, _, rest = end.partition("\n")
    return rest or end
