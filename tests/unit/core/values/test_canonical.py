"""One way to write a value as bytes."""

import json
from base64 import b64decode
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.core.journal.chain import Record, check_chain
from hanse.core.plan.manifest import Manifest
from hanse.core.values.canonical import canonical_json, digest_of, sha256
from hanse.core.values.roster import Roster, RosterProof, check_place
from hanse.core.values.statements import Signature, SignedStatement, signed_bytes
from hanse.pki.certificates import key_of, read_certificate
from hanse.pki.key_words import words_of
from hanse.pki.keys import check_signature
from hanse.pki.signatures import verify
from hanse.pki.signing_key import verify_statement

VECTORS = json.loads((Path(__file__).parents[3] / "vectors" / "canonical.json").read_text("utf-8"))

LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10
)

ESCAPES = {chr(code): f"\\u{code:04x}" for code in range(0x20)}
ESCAPES |= {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


def as_specified(value: Any) -> str:
    """Write a value by the rules of `docs/canonical-json.md`, without the json module."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return f"{value:d}"
        case float():
            return float_as_specified(value)
        case str():
            return '"' + "".join(ESCAPES.get(char, char) for char in value) + '"'
        case list():
            return "[" + ",".join(map(as_specified, value)) + "]"
        case _:
            keys = sorted(value, key=lambda key: key.encode("utf-8"))
            return "{" + ",".join(f"{as_specified(key)}:{as_specified(value[key])}" for key in keys) + "}"


def float_as_specified(value: float) -> str:
    # repr gives the shortest digits; where the point and the exponent stand is written here anew.
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits)).lstrip("0")
    point = len(text) + exponent
    text = text.rstrip("0")
    front = "-" if sign else ""
    if not text:
        return f"{front}0.0"
    if point > 16 or point < -3:
        mantissa = f"{text[0]}.{text[1:]}".rstrip(".")
        return f"{front}{mantissa}e{'-' if point < 1 else '+'}{abs(point - 1):02d}"
    whole = text[: max(point, 0)].ljust(point, "0") or "0"
    return f"{front}{whole}.{'0' * -point}{text[max(point, 0) :] or ('0' if point >= 0 else '')}"


@pytest.mark.parametrize("vector", VECTORS["values"], ids=lambda vector: vector["name"])
def test_a_value_is_written_as_its_vector_says(vector: dict[str, str]) -> None:
    written = canonical_json(json.loads(vector["input"]))

    assert written == vector["canonical"].encode("utf-8")
    assert sha256(written) == vector["sha256"]


@pytest.mark.parametrize("vector", VECTORS["values"], ids=lambda vector: vector["name"])
def test_canonical_bytes_read_back_and_written_again_are_the_same(vector: dict[str, str]) -> None:
    assert canonical_json(json.loads(vector["canonical"])) == vector["canonical"].encode("utf-8")


def test_a_text_with_a_repeated_key_differs_from_what_is_written_of_it() -> None:
    (vector,) = (vector for vector in VECTORS["values"] if "a key twice" in vector["name"])

    assert canonical_json(json.loads(vector["input"])) != vector["input"].encode("utf-8")


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda vector: vector["name"])
def test_a_value_without_canonical_form_is_refused(vector: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"not JSON compliant|surrogates not allowed"):
        canonical_json(json.loads(vector["input"]))


@given(VALUES)
def test_the_rules_of_the_specification_give_the_same_bytes(value: Any) -> None:
    assert canonical_json(value) == as_specified(value).encode("utf-8")


@given(st.integers(-(10**17), 10**17), st.integers(-340, 290))
def test_the_rules_of_the_specification_give_the_same_floats_of_all_sizes(digits: int, exponent: int) -> None:
    value = float(f"{digits}e{exponent}")

    assert canonical_json(value) == float_as_specified(value).encode("utf-8")


def test_an_integer_of_more_than_4300_digits_is_refused() -> None:
    assert len(canonical_json(10**4299)) == 4300
    with pytest.raises(ValueError, match="4300 digits"):
        canonical_json(10**4300)


def test_the_digest_of_a_manifest_is_that_of_its_vector() -> None:
    vector = VECTORS["manifest"]

    manifest = Manifest.from_bytes(vector["bytes"].encode("utf-8"), vector["sha256"])

    assert manifest.to_bytes() == vector["bytes"].encode("utf-8")
    assert manifest.digest == vector["sha256"]


def test_the_digest_of_a_record_is_that_of_its_vector() -> None:
    vector = VECTORS["record"]
    record = Record(**json.loads(vector["line"]))

    content = {key: value for key, value in record.as_json().items() if key != "digest"}

    assert canonical_json(record.as_json()) == vector["line"].encode("utf-8")
    assert canonical_json(content) == vector["hashed"].encode("utf-8")
    assert check_chain([record], record.previous, record.sequence - 1) == (record.sequence, vector["sha256"])


def test_a_statement_is_signed_over_the_bytes_of_its_vector() -> None:
    vector = VECTORS["statement"]
    at = datetime.fromtimestamp(vector["time_ms"] / 1000, UTC)
    signature = Signature(certificate=vector["certificate"], signature=vector["signature"])
    signed = vector["signed"].encode("utf-8")

    party = verify(signature, vector["purpose"], vector["body"], read_certificate(vector["authority"]), at)
    check_signature(key_of(read_certificate(vector["certificate"])), b64decode(vector["signature"]), signed)

    assert party.uri == "hanse://north/collaborator/bergen"
    assert canonical_json({"purpose": vector["purpose"], "body": vector["body"]}) == signed
    assert sha256(signed) == vector["sha256"]


def test_a_statement_with_a_signing_key_is_signed_over_the_bytes_of_its_vector() -> None:
    vector = VECTORS["signed_statement"]
    statement = SignedStatement.model_validate({name: vector[name] for name in ("body", "key", "signature")})

    signer = verify_statement(statement, vector["purpose"])

    assert signer == vector["fingerprint"] == sha256(b64decode(vector["key"]))
    assert words_of(signer) == vector["words"]
    assert signed_bytes(vector["purpose"], vector["body"]) == vector["signed"].encode("utf-8")
    assert sha256(vector["signed"].encode("utf-8")) == vector["sha256"]


def test_the_digest_of_a_roster_is_that_of_its_vector() -> None:
    vector = VECTORS["roster"]
    roster, site = Roster(vector["keys"]), vector["site"]

    proof = RosterProof.model_validate({name: vector[name] for name in ("place", "size", "path")})

    assert roster.digest == vector["digest"]
    assert roster.proof(site) == proof
    check_place(proof, vector["digest"], site, vector["keys"][site])


@given(VALUES)
def test_a_value_reads_back_as_it_was(value: Any) -> None:
    assert json.loads(canonical_json(value)) == value


@given(st.dictionaries(st.text(), LEAVES))
def test_the_order_of_keys_does_not_matter(value: dict[str, Any]) -> None:
    assert digest_of(dict(reversed(value.items()))) == digest_of(value)


def test_a_digest_is_sha_256_in_hexadecimal() -> None:
    assert sha256(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
