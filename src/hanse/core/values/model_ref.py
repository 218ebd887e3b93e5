"""References to models: how events, commands, state and messages name one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, ValidatorFunctionWrapHandler
from pydantic_core import CoreSchema, core_schema

from hanse.core.values.digests import DIGEST_PATTERN

_SHORT = 12


@dataclass(frozen=True, slots=True, order=True)
class ModelRef:
    """Names a model that lies among the blobs.

    In JSON a reference is its digest. A sealed model will add here what opens the model, and a
    reference to a sealed model will be an object in JSON. Schemas refuse what is not a digest;
    the constructor takes digests that were made or checked before.

    Attributes:
        digest: Digest of the model's file; see `hanse.core.values.digests`.
    """

    digest: str

    @property
    def short(self) -> str:
        """The first characters of the digest, for messages."""
        return self.digest[:_SHORT]

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        """The schema of a reference within messages and events."""
        digest = core_schema.str_schema(pattern=f"^{DIGEST_PATTERN}$")
        return core_schema.no_info_wrap_validator_function(
            cls._read,
            digest,
            serialization=core_schema.plain_serializer_function_ser_schema(_digest_of, return_schema=digest),
        )

    @classmethod
    def _read(cls, value: Any, digest: ValidatorFunctionWrapHandler) -> ModelRef:
        return value if isinstance(value, cls) else cls(digest(value))


def _digest_of(model: ModelRef) -> str:
    return model.digest
