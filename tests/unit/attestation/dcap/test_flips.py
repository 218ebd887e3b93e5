"""No byte of a quote or of its collateral can be changed: all of them are covered."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest
from tests.dcap.policies import policy_of
from tests.dcap.vectors import SGX, TDX, TDX_OUTDATED, Vector, file, version_5
from tests.thorough import THOROUGH

from hanse.attestation.base import Appraisal, Circumstances, Evidence
from hanse.attestation.event_log import read_event_log
from hanse.attestation.policy.sgx import SgxPolicy
from hanse.attestation.sgx import SgxVerifier
from hanse.attestation.tdx import TdxVerifier, check_replay
from hanse.errors import EvidenceError

VECTORS = [SGX, TDX, TDX_OUTDATED, version_5()]
DOCUMENTS = [(vector, name) for vector in (SGX, TDX) for name in sorted(vector.collateral)]
SAMPLE = 150
EACH = 1 if THOROUGH else 9
"""Of how many bytes one is flipped: all of them, as everything is verified for each, take minutes."""
UNUSED = ("pck-crl/platform.chain", "pck-crl/processor.chain")
"""Only for documents that are stored: a quote has the certificate itself."""


def verifier(vector: Vector) -> Callable[[bytes, dict[str, bytes]], Appraisal]:
    policy, bound_to = policy_of(vector), vector.bound_to

    def appraise(quote: bytes, collateral: dict[str, bytes]) -> Appraisal:
        circumstances = Circumstances(vector.at, bound_to, collateral)
        if isinstance(policy, SgxPolicy):
            return SgxVerifier().appraise(Evidence(vector.kind, quote), policy, circumstances)
        return TdxVerifier().appraise(Evidence(vector.kind, quote), policy, circumstances)

    return appraise


def flipped(data: bytes, places: Iterator[int] | range | list[int]) -> Iterator[bytes]:
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        yield bytes(changed)


def sample(data: bytes) -> list[int]:
    return random.Random(1).sample(range(len(data)), min(SAMPLE, len(data)))


def hold_quote(vector: Vector, places: range | list[int]) -> None:
    appraise = verifier(vector)
    appraise(vector.quote, vector.collateral)
    for place, changed in zip(places, flipped(vector.quote, places), strict=True):
        try:
            appraise(changed, vector.collateral)
        except EvidenceError:
            continue
        pytest.fail(f"a flip of byte {place} of {vector.name} is taken")


def hold_document(vector: Vector, name: str, places: range | list[int]) -> None:
    appraise, data = verifier(vector), vector.collateral[name]
    for place, changed in zip(places, flipped(data, places), strict=True):
        try:
            appraise(vector.quote, {**vector.collateral, name: changed})
        except EvidenceError:
            continue
        pytest.fail(f"a flip of byte {place} of {name} is taken")


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_a_flip_in_a_quote_is_refused(vector: Vector) -> None:
    hold_quote(vector, sample(vector.quote))


@pytest.mark.parametrize(("vector", "name"), [pair for pair in DOCUMENTS if pair[1] not in UNUSED])
def test_a_flip_in_collateral_is_refused(vector: Vector, name: str) -> None:
    hold_document(vector, name, sample(vector.collateral[name])[:40])


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_no_flip_in_a_quote_is_taken(vector: Vector) -> None:
    hold_quote(vector, range(0, len(vector.quote), EACH))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("vector", "name"), [pair for pair in DOCUMENTS if pair[1] not in UNUSED])
def test_no_flip_in_collateral_is_taken(vector: Vector, name: str) -> None:
    hold_document(vector, name, range(0, len(vector.collateral[name]), EACH))


def test_a_flip_in_a_digest_of_an_event_log_leads_elsewhere() -> None:
    from hanse.attestation.base import Kind
    from hanse.attestation.dcap.quote import read_quote
    from hanse.attestation.dcap.reports import TdReport

    data = file("go-tdx-guest/ccel_data.dat")
    report = read_quote(file("go-tdx-guest/cos-113-tdx-quote.dat"), Kind.TDX).report
    assert isinstance(report, TdReport)
    places = [
        data.index(event.digests[0x0C]) + n
        for event in read_event_log(data).events
        for n in (0, 47)
        if event.kind != 3
    ]
    for changed in flipped(data, places):
        with pytest.raises(EvidenceError, match=r"event log: its events lead to"):
            check_replay(read_event_log(changed), report)
