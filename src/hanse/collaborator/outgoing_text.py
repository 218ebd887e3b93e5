"""Text as it may leave the site: printable, bounded, and without paths of the site."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hanse.config.settings import SiteSettings
from hanse.core.values.safe_text import last_lines, outgoing_line, without_paths

MOST_REASON_CHARS = 500
"""Characters of one reason of an answer to a plan; there may be a hundred."""


@dataclass(frozen=True, slots=True)
class OutgoingText:
    """Makes text fit to leave a site.

    All that the agent states in words goes through here: what plan code says, and what the agent says
    itself, for its errors name files. The site's own log has the text as it was.

    Attributes:
        roots: Names to show instead of the site's folders, by their paths.
    """

    roots: Mapping[str, str]

    @staticmethod
    def of(directory: Path, settings: SiteSettings) -> OutgoingText:
        """For the site of this folder and these settings."""
        named = {
            **_usual_folders(),
            directory: "<site folder>",
            **{path: f"<data source {name}>" for name, path in settings.data.items()},
        }
        # Not `resolve`, which refuses links in a circle.
        real = {os.path.realpath(path): name for path, name in named.items()}
        known = real | {str(path.absolute()): name for path, name in named.items()}
        return OutgoingText({**_top_folders(), **known})

    def line(self, text: str, most: int) -> str:
        """A sentence, cut after so many characters."""
        return outgoing_line(text, most, self.roots)

    def tail(self, text: str, most: int) -> str:
        """The last lines of a log, so many characters at most."""
        return last_lines(without_paths(text, self.roots), most)

    def reasons(self, reasons: tuple[str, ...], most: int) -> tuple[str, ...]:
        """The reasons of an answer to a plan, the first ones of many."""
        return tuple(self.line(reason, MOST_REASON_CHARS) for reason in reasons[:most])


def _top_folders() -> dict[str, str]:
    """Folders that every path of this machine begins with."""
    with suppress(OSError):
        return {f"/{entry.name}": "<path>" for entry in os.scandir("/") if entry.is_dir()}
    return {}


def _usual_folders() -> dict[Path, str]:
    """Folders that every machine has, where this one has them."""
    found = {}
    with suppress(OSError):
        found[Path(tempfile.gettempdir())] = "<temporary folder>"
    with suppress(RuntimeError):
        found[Path.home()] = "<home>"
    return found
