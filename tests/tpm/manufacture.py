"""Manufacture of a software TPM with a certificate of its EK, by swtpm_setup and an authority of its own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

SWTPM_SETUP = shutil.which("swtpm_setup")
_LOCALCA = Path("/usr/share/swtpm/swtpm-localca")
EK_CERTIFICATE = 0x01C00002
"""NV index of the certificate of the RSA 2048 EK (TCG EK Credential Profile, section 2.2.1.4)."""


def can_manufacture() -> bool:
    """Whether the tools are there."""
    return SWTPM_SETUP is not None and _LOCALCA.exists() and shutil.which("certtool") is not None


def manufacture(folder: Path, authority: Path) -> tuple[bytes, bytes]:
    """Make the state of a TPM in a folder, and its maker's certificates in another.

    Returns:
        Certificates of the maker, DER: the one that issues those of EKs, and its root.
    """
    (authority / "ca.conf").write_text(
        f"statedir = {authority}\nsigningkey = {authority}/sign.pem\n"
        f"issuercert = {authority}/issuer.pem\ncertserial = {authority}/serial\n"
    )
    (authority / "ca.options").write_text(
        "--platform-manufacturer Hanse\n--platform-version 1\n--platform-model rehearsal\n"
    )
    (authority / "setup.conf").write_text(
        f"create_certs_tool = {_LOCALCA}\ncreate_certs_tool_config = {authority}/ca.conf\n"
        f"create_certs_tool_options = {authority}/ca.options\nactive_pcr_banks = sha256\n"
    )
    arguments = ["--tpm2", "--tpmstate", str(folder), "--create-ek-cert", "--overwrite"]
    arguments += ["--config", str(authority / "setup.conf"), "--logfile", str(authority / "log")]
    subprocess.run([str(SWTPM_SETUP), *arguments], check=True, capture_output=True, timeout=100)
    issuer, root = authority / "issuer.pem", authority / "swtpm-localca-rootca-cert.pem"
    return _der(issuer), _der(root)


def _der(path: Path) -> bytes:
    return x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)
