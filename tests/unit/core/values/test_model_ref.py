"""References to models, within messages and by themselves."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from hanse.core.values.model_ref import ModelRef
from hanse.core.values.schema import BlobDigest, Strict

SHA256 = "a" * 64
BLAKE3 = "b" * 64 + "-blake3"


class Message(Strict):
    model: ModelRef
    base: ModelRef | None = None


class Plain(Strict):
    """The same message, with digests."""

    model: BlobDigest
    base: BlobDigest | None = None


@pytest.mark.parametrize("body", [{"model": SHA256}, {"model": BLAKE3, "base": SHA256}])
def test_in_json_a_reference_is_its_digest(body: dict[str, Any]) -> None:
    message, plain = Message.model_validate(body), Plain.model_validate(body)

    assert message.model_dump_json() == plain.model_dump_json()
    assert message.model_dump(mode="json") == message.model_dump() == plain.model_dump()


@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_the_schema_of_a_reference_is_that_of_a_digest(mode: Any) -> None:
    schema = TypeAdapter(ModelRef).json_schema(mode=mode)

    assert schema == TypeAdapter(BlobDigest).json_schema(mode=mode)


@pytest.mark.parametrize("digest", [SHA256, BLAKE3])
def test_a_reference_is_read_from_json_values_and_references(digest: str) -> None:
    model = ModelRef(digest)

    assert Message.model_validate_json(f'{{"model": "{digest}"}}').model == model
    assert Message.model_validate({"model": digest}).model == model
    assert Message(model=model).model is model


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    "value",
    ["", "a" * 63, "a" * 65, "A" * 64, "g" * 64, f"{SHA256}\n", f"{SHA256}-sha256", "../model", 7, None, {}],
)
def test_what_is_not_a_digest_is_refused(value: Any, strict: bool) -> None:
    with pytest.raises(ValidationError, match="model"):
        Message.model_validate({"model": value}, strict=strict)


def test_the_error_of_a_reference_is_that_of_a_digest() -> None:
    found = []
    for kind in (Message, Plain):
        with pytest.raises(ValidationError) as refused:
            kind.model_validate({"model": "no digest"})
        found.append([(error["loc"], error["msg"]) for error in refused.value.errors()])

    assert found[0] == found[1]


def test_references_to_one_model_are_one_key() -> None:
    assert {ModelRef(SHA256): 1}[ModelRef(SHA256)] == 1
    assert len({ModelRef(SHA256), ModelRef(SHA256), ModelRef(BLAKE3)}) == 2


def test_a_reference_is_not_the_digest_itself() -> None:
    digest: object = SHA256

    assert ModelRef(SHA256) != digest


def test_references_are_in_the_order_of_their_digests() -> None:
    assert sorted([ModelRef(BLAKE3), ModelRef(SHA256)]) == [ModelRef(SHA256), ModelRef(BLAKE3)]


def test_a_reference_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        ModelRef(SHA256).digest = BLAKE3  # type: ignore[misc]  # the point of the test


def test_a_message_names_a_model_by_twelve_characters() -> None:
    assert ModelRef("0123456789abcdef" * 4).short == "0123456789ab"
