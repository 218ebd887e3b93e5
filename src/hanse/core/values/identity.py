"""Names of parties, and how a certificate states them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from hanse.errors import ConfigError

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")


class Role(StrEnum):
    """What a party may do in a federation."""

    AGGREGATOR = "aggregator"
    COLLABORATOR = "collaborator"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Party:
    """One enrolled party, as the URI in its certificate names it.

    Attributes:
        federation: Name of the federation.
        role: What the party may do.
        name: The party's own name, unique within its federation.
    """

    federation: str
    role: Role
    name: str

    @property
    def uri(self) -> str:
        """The party as the URI subject alternative name of its certificate."""
        return f"hanse://{self.federation}/{self.role}/{self.name}"

    @staticmethod
    def from_uri(uri: str) -> Party:
        """Read a party back from its URI.

        Raises:
            ConfigError: The text is not such a URI.
        """
        parts = uri.removeprefix("hanse://").split("/")
        if not uri.startswith("hanse://") or len(parts) != 3 or parts[1] not in list(Role):
            raise ConfigError(f"{uri!r} names no party of a federation")
        return Party(check_name(parts[0]), Role(parts[1]), check_name(parts[2]))


def check_name(name: str) -> str:
    """Return a party's, federation's or plan's name if it is one.

    Names are 1 to 63 characters of a-z, 0-9, dot, underscore and hyphen, and begin and
    end with a letter or digit, so that they are safe as folder and host names.

    Raises:
        ConfigError: It is not.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise ConfigError(
            f"{name[:80]!r} is not a valid name",
            mend="Use 1 to 63 of a-z, 0-9, ., _ and -, beginning and ending with a letter or digit.",
        )
    return name
