"""Decoders of evidence of AMD's machines and NVIDIA's GPUs, and valid examples of it."""

from __future__ import annotations

from uuid import UUID

from cryptography.hazmat.primitives.serialization import Encoding
from tests.gpu import vectors as gpu
from tests.snp import vectors as snp

from hanse.attestation.certificates import read_certificate
from hanse.attestation.gpu.report import read_report as read_gpu
from hanse.attestation.snp.certificate_table import read_certificate_table
from hanse.attestation.snp.documents import check_issuer
from hanse.attestation.snp.endorsement import read_endorsement
from hanse.attestation.snp.report import read_report as read_snp


def snp_report(data: bytes) -> None:
    """Read an SNP report, whose signed part comes back the same."""
    assert read_snp(data).signed == data[:0x2A0]


def snp_reports() -> list[bytes]:
    """Recorded reports."""
    return [snp.report_of(name) for name in snp.NAMES]


def endorsement(data: bytes) -> None:
    """Read the certificate of a chip's key."""
    read_endorsement(read_certificate(data, "certificate"), "VCEK")


def endorsements() -> list[bytes]:
    """Recorded certificates."""
    return [snp.recorded(name).certificates[0] for name in snp.NAMES]


def snp_issuer(data: bytes) -> None:
    """Read the certificate of an issuer of chips' keys."""
    check_issuer(read_certificate(data, "certificate"), "VCEK", "Milan", "certificate")


def snp_issuers() -> list[bytes]:
    """A recorded certificate, as PEM and DER."""
    pem = (
        snp.COLLATERAL["amd/vcek/Milan/cert_chain"].split(b"-----END", 1)[0] + b"-----END CERTIFICATE-----\n"
    )
    return [pem, read_certificate(pem, "certificate").public_bytes(Encoding.DER)]


def gpu_report(data: bytes) -> None:
    """Read a GPU report, whose signed part comes back the same."""
    report = read_gpu(data)
    assert data.startswith(report.signed)
    assert isinstance(report.vbios + report.driver + report.feature, str)


def gpu_reports() -> list[bytes]:
    """A recorded report."""
    return [gpu.REPORT]


def certificate_table(data: bytes) -> None:
    """Read a host's table of certificates."""
    assert len(read_certificate_table(data, "VCEK")) <= 3


def certificate_tables() -> list[bytes]:
    """A table with a recorded certificate."""
    guid = UUID("63da758d-e664-4564-adc5-f4b93be8accd").bytes
    data = endorsements()[0]
    return [guid + (48).to_bytes(4, "little") + len(data).to_bytes(4, "little") + bytes(24) + data]
