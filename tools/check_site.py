"""Hold the built documentation to what it promises: links lead on, and nothing is fetched from elsewhere.

    python tools/check_site.py site

The generator checks links between pages of Markdown; this looks at what a browser gets: links, anchors,
pictures, styles and scripts of every page. The pages have to work from a folder, without a server.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

NOT_A_PAGE = "404.html"
"""A server shows this page at any address, so that its links begin at the root of the server."""

# What a browser fetches by itself, by element and attribute; `a` and a canonical address wait for a reader.
_FETCHED = {("img", "src"), ("script", "src"), ("link", "href"), ("iframe", "src"), ("source", "src")}
_FETCHED |= {("object", "data"), ("video", "src"), ("audio", "src"), ("embed", "src")}
_IN_STYLE = re.compile(r"""url\(\s*["']?(https?:|//)|@import""")


class Page(HTMLParser):
    """References of a page of the site, and the places in it that others may refer to.

    Attributes:
        anchors: The names that a fragment may have.
        links: Addresses that a reader may follow.
        fetched: Addresses that a browser fetches by itself.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the addresses and names of an element."""
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "link" and values.get("rel") in ("canonical", "next", "prev"):
            self.links.append(values["href"])
            return
        self.fetched += [value for name, value in values.items() if (tag, name) in _FETCHED]


def problems(site: Path) -> list[str]:
    """Describe each address of the site that leads nowhere, or that a browser would fetch from elsewhere."""
    pages = {path: Page(path.read_text("utf-8")) for path in sorted(site.rglob("*.html"))}
    if not pages:
        return [f"{site}: there are no pages; build the documentation first"]
    found: dict[str, list[Path]] = {}
    for path, page in pages.items():
        if path.name == NOT_A_PAGE:
            continue
        wrong = [f"fetches {address}" for address in page.fetched if urlsplit(address).netloc]
        wrong += [_problem(path, address, site, pages) for address in [*page.fetched, *page.links]]
        for problem in filter(None, dict.fromkeys(wrong)):
            found.setdefault(problem, []).append(path)
    for path in sorted([*site.rglob("*.css"), *site.rglob("*.svg")]):
        if _IN_STYLE.search(path.read_text("utf-8")):
            found.setdefault("its style fetches from elsewhere", []).append(path)
    return [f"{_named(paths, site)}: {problem}" for problem, paths in found.items()]


def _named(paths: Sequence[Path], site: Path) -> str:
    # The menu is on every page: one line is enough for what is wrong in it.
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"{paths[0].relative_to(site)}{more}"


def _problem(path: Path, address: str, site: Path, pages: Mapping[Path, Page]) -> str:
    """Say what is wrong with an address on a page; nothing if it leads on, or out of the site."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return ""
    if parts.path.startswith("/"):
        return f"{address} begins at the root of a server"
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    name = target.relative_to(site) if target.is_relative_to(site) else target
    if not target.is_relative_to(site) or not target.is_file():
        return f"{name} does not exist in the site"
    if parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
        return f"{name} has no place #{parts.fragment}"
    return ""


def main(arguments: list[str]) -> int:
    """Print each problem of the site in a folder; the exit code is 1 where there is one."""
    site = Path(arguments[0] if arguments else "site").resolve()
    found = problems(site)
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
