"""Recorded evidence of Intel's machines, with the time and collateral at which each counts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from hanse.attestation.base import Circumstances, Evidence, Floors, Kind
from hanse.attestation.collateral.intel import read_bundle
from hanse.attestation.dcap.documents import CHAIN
from hanse.attestation.dcap.quote import read_quote

FOLDER = Path(__file__).parents[1] / "data" / "attestation" / "intel"


@dataclass(frozen=True)
class Vector:
    """A recorded quote.

    Attributes:
        name: The file, from `FOLDER`.
        kind: SGX or TDX.
        at: A time at which its collateral counts.
        quote: The quote, without what a strict parser refuses after its end.
        collateral: Documents by name.
    """

    name: str
    kind: Kind
    at: datetime
    quote: bytes
    collateral: dict[str, bytes]

    @property
    def evidence(self) -> Evidence:
        return Evidence(self.kind, self.quote)

    @property
    def bound_to(self) -> bytes:
        return read_quote(self.quote, self.kind).report.report_data

    def given(self, at: datetime | None = None, floors: Floors | None = None) -> Circumstances:
        return Circumstances(at or self.at, self.bound_to, self.collateral, floors or Floors())


def file(name: str) -> bytes:
    return (FOLDER / name).read_bytes()


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@cache
def phala(name: str, kind: Kind, at: str) -> Vector:
    """A vector of dcap-qvl, whose collateral is complete."""
    bundle = read_bundle(file(f"dcap-qvl/{name}_collateral.json"))
    return Vector(f"dcap-qvl/{name}", kind, day(at), file(f"dcap-qvl/{name}"), bundle)


SGX = phala("sgx_quote", Kind.SGX, "2025-07-01")
TDX = phala("tdx_quote", Kind.TDX, "2025-07-01")
TDX_OUTDATED = phala("tdx_quote_outdated", Kind.TDX, "2026-03-01")


@cache
def production() -> Vector:
    """A quote of version 4 of 2023, without the text that was put after its end."""
    name = "go-tdx-guest/tdx_prod_quote_SPR_E4.dat"
    chain = file("go-tdx-guest/tcb_signing_chain.pem")
    documents = {
        "root-crl": file("go-tdx-guest/rootcrl.der"),
        "pck-crl/platform": file("go-tdx-guest/pckcrl"),
        "tcb-info/tdx/50806f000000": file("go-tdx-guest/sample_tcbInfo_response"),
        "tcb-info/tdx/50806f000000" + CHAIN: chain,
        "qe-identity/tdx": file("go-tdx-guest/sample_qeIdentity_response"),
        "qe-identity/tdx" + CHAIN: chain,
    }
    quote = file(name)
    return Vector(name, Kind.TDX, day("2023-07-01"), quote[: quote.index(b"\nextra bytes")], documents)


@cache
def version_5() -> Vector:
    """A quote of version 5, with its TCB information; identity and revocation lists are of the same weeks."""
    name = "tcb-info/tdx/90c06f000000"
    documents = TDX_OUTDATED.collateral | {
        name: file("go-tdx-guest/sample_tcbinfo_response_v5").rstrip(b"\n")
    }
    return Vector(
        "go-tdx-guest/quote_v5_sample.dat",
        Kind.TDX,
        day("2026-02-25"),
        file("go-tdx-guest/quote_v5_sample.dat"),
        documents,
    )


def bundle_of(vector: Vector) -> dict[str, object]:
    """The recorded collateral as dcap-qvl takes it."""
    found: dict[str, object] = json.loads(file(f"{vector.name}_collateral.json"))
    return found
