"""Key of a sealed file, on its way to the one instance that may open it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hanse.core.values.schema import Strict

Base64 = Annotated[str, Field(max_length=4_096, pattern=r"^[A-Za-z0-9+/]*={0,2}$")]
Said = Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z0-9+/]*={0,2}$")]
"""Ed25519 signature by the `speak` key of an instance, base64."""


class WrappedKey(Strict):
    """The key of a sealed file, encrypted for an instance.

    Attributes:
        wrapped: The key, encrypted by HPKE for the instance's `seal` key, base64.
        said: Signature of the instance that gives the key, over the digest of the file, the name of the
            receiving instance and `wrapped`.
    """

    wrapped: Base64
    said: Said
