"""The manifest of a plan: what its digest is taken of, and how it is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.unit.core.plan.plans import DIGEST, manifest, plan

from hanse.core.plan.manifest import MAX_CODE_BYTES, CodeFile, Manifest
from hanse.core.values.canonical import canonical_json, sha256
from hanse.errors import PlanError, TamperedError


def test_a_manifest_reads_back_from_its_bytes() -> None:
    agreed = manifest(rounds=20, cohort={"deadline": "30m"}, options={"note": "Grüße", "depth": [1, None]})

    assert Manifest.from_bytes(agreed.to_bytes(), agreed.digest) == agreed


@given(st.integers(1, 10**6), st.floats(0.001, 1.0), st.dictionaries(st.text("ab"), st.floats(-1e9, 1e9)))
def test_the_digest_survives_the_journey(rounds: int, fraction: float, options: dict[str, float]) -> None:
    agreed = manifest(rounds=rounds, cohort={"fraction": fraction}, options=options)

    assert Manifest.from_bytes(agreed.to_bytes(), agreed.digest).digest == agreed.digest


def test_plans_that_differ_have_different_digests() -> None:
    assert manifest(rounds=20).digest != manifest(rounds=21).digest


def test_how_a_number_is_written_does_not_change_the_digest() -> None:
    assert manifest(cohort={"deadline": "30m"}).digest == manifest(cohort={"deadline": 1800}).digest


def test_bytes_that_the_digest_does_not_name_are_refused() -> None:
    agreed = manifest()

    with pytest.raises(TamperedError, match=f"not plan {agreed.digest[:12]}"):
        Manifest.from_bytes(manifest(rounds=2).to_bytes(), agreed.digest)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"rounds":1', b'"rounds":"1"'),  # what it means is clear, but it is written in a second way
        (b'"rounds":1', b'"rounds": 1'),
        (b'"options":{}', b'"options":{"a":1,"a":1}'),
        (b'"options":{}', b'"options":{"a":1e999}'),
        (b'"options":{}', b'"options":{"a":NaN}'),
        (b'"options":{}', b'"options":{"a":"\\ud800"}'),
        (b'"options":{}', b'"options":{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}"),
        (b'"options":{}', b'"options":{"a":' + b"9" * 5_000 + b"}"),
        (b'"rounds":1,', b""),  # a key of 0.1 is written at its default too
        (b'"deadline":3600.0', b'"deadline":3600'),
        (b'"deadline":3600.0', b'"deadline":"1h"'),
        (b'"compression":{"download":[],"smallest":256,"upload":[]}', b'"compression":[]'),
        (b'"rounds":1', b'"rounds":0'),
        (b'"rounds":1', b'"rounds":1,"surprise":1'),
        (b"hanse-plan/1", b"hanse-plan/2"),
        (b"}", b""),
    ],
)
def test_a_manifest_has_one_way_to_be_written(old: bytes, new: bytes) -> None:
    data = manifest().to_bytes()
    assert old in data
    forged = data.replace(old, new)

    with pytest.raises(PlanError, match=sha256(forged)[:12]):
        Manifest.from_bytes(forged, sha256(forged))


def test_a_manifest_from_elsewhere_that_names_the_wrong_place_says_where() -> None:
    data = canonical_json({"format": "hanse-plan/1", "plan": {}, "files": 3})

    with pytest.raises(PlanError, match=r"does not understand plan \w{12}: plan\.name: Field required"):
        Manifest.from_bytes(data, sha256(data))


def test_the_files_of_a_manifest_are_the_plans_code() -> None:
    with pytest.raises(ValidationError, match="not the files that the plan lists"):
        Manifest(plan=plan(), files=(CodeFile(path="other.py", sha256=DIGEST, size=1),))


def test_a_file_of_code_is_small_enough_to_be_read_whole() -> None:
    with pytest.raises(ValidationError, match=r"model\.py is larger than 50 MB"):
        Manifest(plan=plan(), files=(CodeFile(path="model.py", sha256=DIGEST, size=MAX_CODE_BYTES + 1),))


@pytest.mark.parametrize("path", [None, "other.safetensors"])
def test_the_first_model_of_a_manifest_is_the_plans(path: str | None) -> None:
    code = (CodeFile(path="model.py", sha256=DIGEST, size=1),)
    other = CodeFile(path=path, sha256=DIGEST, size=1) if path else None

    with pytest.raises(ValidationError, match="`initial_model` of the manifest is not the one"):
        Manifest(plan=plan(initial_model="start.safetensors"), files=code, initial_model=other)


def test_the_first_model_may_be_larger_than_code() -> None:
    code = (CodeFile(path="model.py", sha256=DIGEST, size=1),)
    start = CodeFile(path="start.safetensors", sha256=DIGEST, size=14_000_000_000)

    agreed = Manifest(plan=plan(initial_model=start.path), files=code, initial_model=start)

    assert agreed.initial_model == start
