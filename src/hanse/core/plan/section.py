"""Sections of a plan, and the rule for keys that are new since version 0.1.

A plan's digest is that of its manifest, in which every key of version 0.1 is written. A key that is
new since then is written only where it differs from its default, so that plans that do not use the
key keep their digests. For the same reason the default of such a key never changes.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

from pydantic import JsonValue, SerializerFunctionWrapHandler, TypeAdapter, model_serializer

from hanse.core.values.canonical import canonical_json
from hanse.core.values.schema import Strict

SINCE = "since"
"""Keyword in the JSON schema of a key: the version that added the key."""


def new_since(version: str) -> dict[str, JsonValue]:
    """Mark a plan key as new in a version: `Field(0, json_schema_extra=new_since("0.2"))`."""
    return {SINCE: version}


class PlanSection(Strict):
    """Base of the plan, of each section in it, and of the manifest around it.

    Writing a section (`model_dump`, `model_dump_json`), by itself or inside of another model,
    leaves out each key that is new since 0.1 and has its default.
    """

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a new key without a fixed default: a plan that lacks the key would have no meaning."""
        super().__pydantic_init_subclass__(**kwargs)
        for name in _new_keys(cls):
            field = cls.model_fields[name]
            if field.is_required() or field.default_factory_takes_validated_data:
                raise TypeError(f"{cls.__name__}.{name} is new since 0.1 and needs a fixed default")

    @model_serializer(mode="wrap")
    def _without_new_defaults(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        for name in _new_keys(type(self)):
            if name in written and _is_default(type(self), name, getattr(self, name)):
                del written[name]
        return written


def _new_keys(section: type[PlanSection]) -> list[str]:
    extras = {name: field.json_schema_extra for name, field in section.model_fields.items()}
    return [name for name, extra in extras.items() if isinstance(extra, dict) and SINCE in extra]


def _is_default(section: type[PlanSection], name: str, value: Any) -> bool:
    # As bytes: in Python 1, 1.0 and True are equal, in a manifest they are three values.
    writer, default = _writer_and_default(section, name)
    return _canonical(writer, value) == default


@cache
def _writer_and_default(section: type[PlanSection], name: str) -> tuple[TypeAdapter[Any], bytes]:
    field = section.model_fields[name]
    kind: Any = Annotated[field.annotation, field]
    writer: TypeAdapter[Any] = TypeAdapter(kind)
    return writer, _canonical(writer, field.get_default(call_default_factory=True))


def _canonical(writer: TypeAdapter[Any], value: Any) -> bytes:
    return canonical_json(writer.dump_python(value, mode="json"))
