"""Decoders of evidence and collateral of SGX and TDX, and of event logs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache

from tests.dcap.policies import policy_of
from tests.dcap.vectors import FOLDER, SGX, TDX, TDX_OUTDATED, Vector, bundle_of, version_5
from tests.fuzz.target import JSON, Target

from hanse.attestation.base import Appraisal, Circumstances, Evidence, Floors
from hanse.attestation.collateral.intel import check_collateral, read_bundle
from hanse.attestation.dcap.chains import read_pem_chain
from hanse.attestation.dcap.pck import SGX_EXTENSION, parse_sgx_extension
from hanse.attestation.dcap.quote import read_quote
from hanse.attestation.dcap.root import intel_root
from hanse.attestation.dcap.strict_json import read_json
from hanse.attestation.dcap.tcb_info import EnclaveIdentity, TcbInfo, read_published
from hanse.attestation.event_log import read_event_log
from hanse.attestation.policy.sgx import SgxPolicy
from hanse.attestation.sgx import SgxVerifier
from hanse.attestation.tdx import TdxVerifier

_WHAT = "PCK certificate chain"


def appraise(vector: Vector) -> Callable[[bytes], Appraisal]:
    """Verification of what may be the quote of a vector, with everything that belongs to it."""

    @cache
    def prepared() -> tuple[object, Circumstances]:
        return policy_of(vector), vector.given()

    def run(data: bytes) -> Appraisal:
        policy, circumstances = prepared()
        evidence = Evidence(vector.kind, data)
        if isinstance(policy, SgxPolicy):
            return SgxVerifier().appraise(evidence, policy, circumstances)
        return TdxVerifier().appraise(evidence, policy, circumstances)  # type: ignore[arg-type]

    return run


def document(vector: Vector, name: str) -> Callable[[bytes], object]:
    """Checking of what may be a document, before it is stored beside those of a vector."""
    return lambda data: check_collateral({**vector.collateral, name: data}, vector.at, Floors())


def log(data: bytes) -> None:
    found = read_event_log(data)
    for algorithm in found.algorithms:
        if algorithm in (0x04, 0x0B, 0x0C, 0x0D):
            found.replay(algorithm)
    assert len(found.not_proven) <= len(found.events)


def logs() -> Sequence[bytes]:
    """A log without most of its padding."""
    return [(FOLDER / "go-tdx-guest" / "ccel_data.dat").read_bytes().rstrip(b"\xff") + b"\xff" * 8]


def chains() -> Sequence[bytes]:
    return [read_quote(TDX.quote, TDX.kind).chain, TDX.collateral["qe-identity/tdx.chain"]]


def chain(data: bytes) -> None:
    read_pem_chain(data, 3 if data.count(b"BEGIN") == 3 else 2, intel_root(), _WHAT)


def extensions() -> Sequence[bytes]:
    found = []
    for vector in (SGX, TDX):
        pck = read_pem_chain(read_quote(vector.quote, vector.kind).chain, 3, intel_root(), _WHAT)[0]
        found.append(pck.extensions.get_extension_for_oid(SGX_EXTENSION).value.public_bytes())
    return found


def body(bundle: str) -> Callable[[], Sequence[bytes]]:
    return lambda: [str(bundle_of(vector)[bundle]).encode() for vector in (SGX, TDX)]


TARGETS = (
    Target("sgx-quote", appraise(SGX), lambda: [SGX.quote]),
    Target("tdx-quote", appraise(TDX), lambda: [TDX.quote]),
    Target("tdx-quote-5", appraise(version_5()), lambda: [version_5().quote]),
    Target(
        "tdx-quote-layout", lambda data: read_quote(data, TDX.kind), lambda: [TDX.quote, TDX_OUTDATED.quote]
    ),
    Target("event-log", log, logs),
    Target("pck-chain", chain, chains),
    Target("sgx-extension", parse_sgx_extension, extensions),
    Target(
        "tcb-info", lambda data: read_published(TcbInfo, read_json(data, "it"), "it"), body("tcb_info"), JSON
    ),
    Target(
        "qe-identity",
        lambda data: read_published(EnclaveIdentity, read_json(data, "it"), "it"),
        body("qe_identity"),
        JSON,
    ),
    Target(
        "signed-tcb-info",
        document(TDX, "tcb-info/tdx/b0c06f000000"),
        lambda: [TDX.collateral["tcb-info/tdx/b0c06f000000"]],
    ),
    Target("revocation-list", document(TDX, "root-crl"), lambda: [TDX.collateral["root-crl"]]),
    Target(
        "collateral-file",
        read_bundle,
        lambda: [json.dumps(bundle_of(vector)).encode() for vector in (SGX, TDX)],
        JSON,
    ),
)
