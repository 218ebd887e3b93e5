"""Hold links into other systems against their installed releases: each file is there, with the words.

    python benchmarks/peers/evidence.py docs/compare.md /opt/flower /opt/nvflare /opt/openfl

Each folder is a virtual environment with one release or several. A link is a reference of Markdown to a file
at a tag, with words that stand in its line: `[name]: https://github.com/…/file.py#L12 "words"`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple


class Source(NamedTuple):
    """Where the files of a release stand.

    Attributes:
        version: Of the distribution.
        tags: The start of an address of a file or a folder in the repository, at the tag of the version.
        inside: The folder of the repository that is installed, with a slash at the end, or "".
    """

    version: str
    tags: str
    inside: str


SOURCES = {
    "flwr": Source(
        "1.42.0", r"https://github.com/flwrlabs/flower/(?:blob|tree)/framework-1\.42\.0/", "framework/py/"
    ),
    "nvflare": Source("2.9.0", r"https://github.com/NVIDIA/NVFlare/(?:blob|tree)/2\.9\.0/", ""),
    "openfl": Source("1.9", r"https://github.com/securefederatedai/openfl/(?:blob|tree)/v1\.9/", ""),
}
"""By distribution."""

LINK = re.compile(r"""^\[([\w-]+)\]: (\S+?)(?:#L(\d+))?(?: (["'])(.+)\4)?$""", re.MULTILINE)
"""Name, address, line, quotation mark and words of a reference."""


class Evidence(NamedTuple):
    """One link into a release.

    Attributes:
        name: Of the reference.
        distribution: That has the file.
        path: Below `site-packages`.
        line: Counted from 1; None: the link is to a whole file or folder.
        words: That stand in the line, or "".
    """

    name: str
    distribution: str
    path: str
    line: int | None
    words: str


def links(page: str) -> Iterator[Evidence]:
    """The links of a page that lead into an installed part of a release."""
    for name, address, line, _, words in LINK.findall(page):
        for distribution, source in SOURCES.items():
            if found := re.match(source.tags, address):
                path = address[found.end() :]
                # Documentation and examples are not installed: such a link has no words to look for.
                if path.startswith(source.inside) and words:
                    path = path.removeprefix(source.inside)
                    yield Evidence(name, distribution, path, int(line) if line else None, words)


def problem(link: Evidence, packages: Iterable[Path]) -> str | None:
    """What is wrong with a link, or None, given the folders `site-packages` of the environments."""
    version = SOURCES[link.distribution].version
    installed = [
        folder for folder in packages if (folder / f"{link.distribution}-{version}.dist-info").is_dir()
    ]
    if not installed:
        return f"{link.distribution} {version} is not installed in these environments"
    file = installed[0] / link.path
    if not file.is_file():
        return f"there is no file {link.path} in {link.distribution} {version}"
    lines = file.read_text("utf-8").splitlines()
    line = lines[link.line - 1] if link.line and link.line <= len(lines) else ""
    return None if link.words in line else f"line {link.line} of {link.path} does not have {link.words!r}"


def main(arguments: list[str]) -> int:
    """Print what is wrong with the links of the page."""
    if len(arguments) < 2:
        print(__doc__)
        return 2
    page, *environments = map(Path, arguments)
    packages = [found for place in environments for found in sorted(place.glob("lib/python3*/site-packages"))]
    checked = list(links(page.read_text("utf-8")))
    wrong = [f"{link.name}: {said}" for link in checked if (said := problem(link, packages))]
    for line in wrong:
        print(line)
    print(f"{len(checked)} links into releases, {len(wrong)} of them wrong")
    return 1 if wrong or not checked else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
