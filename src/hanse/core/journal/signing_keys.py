"""Records about the signing keys of parties, and what a party states about its own."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hanse.core.values.identity import Role
from hanse.core.values.schema import Name, Strict
from hanse.core.values.statements import SignedStatement

ENROLMENT = "hanse enrolment 1"
"""Purpose of the statement of a party's signing key, signed with that key: no party enrols another's."""
KEY_ROTATION = "hanse signing key 1"
"""Purpose of the statement in which the old signing key signs the new one."""


class KeyStatement(Strict):
    """A party's statement of its signing key; the body of a signed statement.

    Attributes:
        key: The public key, as statements carry it.
    """

    federation: Name
    role: Role
    name: Name
    key: str = Field(max_length=256)


class SigningKeyRegistered(Strict):
    """A party that had no signing key when it enrolled, before 0.2, stated one.

    Attributes:
        enrolment: The party's statement of its key, signed with that key.
    """

    kind: Literal["SigningKeyRegistered"] = "SigningKeyRegistered"
    name: str
    enrolment: SignedStatement


class SigningKeyRotated(Strict):
    """A party put a new signing key in the place of its old one.

    Attributes:
        rotation: The party's statement of the new key, signed with the old one.
        enrolment: The same, signed with the new key.
    """

    kind: Literal["SigningKeyRotated"] = "SigningKeyRotated"
    name: str
    rotation: SignedStatement
    enrolment: SignedStatement
