"""Files of evidence, claims and collateral, read from disk; what they say is not believed here."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from hanse.attestation.base import MAX_CERTIFICATES, MAX_LOG, MAX_QUOTE, Evidence, Floors, Kind
from hanse.attestation.certificates import public_bytes, read_certificate, read_chain
from hanse.attestation.claims import Claims, report_data
from hanse.attestation.collateral.intel import MOST_DOCUMENTS, read_bundle
from hanse.attestation.dcap.strict_json import read_json
from hanse.attestation.evidence_file import MAX_FILE, read_evidence
from hanse.attestation.policy.file import AppraisalPolicy
from hanse.attestation.tpm.activation import Activated
from hanse.attestation.tpm.public_area import read_public_area
from hanse.attestation.tpm.verifier import AK, TpmVerifier
from hanse.control.evidence.floors import FLOORS_FILE, read_floors
from hanse.core.values.canonical import sha256
from hanse.core.values.schema import problem_of
from hanse.errors import ConfigError, EvidenceError
from hanse.files.lock import LOCK_FILE

_MAX_DOCUMENT = 4 << 20
_LOGS = ("event-log", "tcg")
"""Parts that are the log of the firmware: of TDX, and of TPMs."""


@dataclass(frozen=True, slots=True)
class Collateral:
    """Collateral from files, not checked yet.

    Attributes:
        documents: Documents by name.
        floors: What a store has seen before.
    """

    documents: Mapping[str, bytes]
    floors: Floors = field(default_factory=Floors)


def load_evidence(path: Path) -> Evidence:
    """Read a file that `hanse attest pack` or `write_evidence` wrote.

    Raises:
        ConfigError: It cannot be read.
        EvidenceError: It is malformed.
    """
    data = _read(path, MAX_FILE)
    if not data.lstrip()[:1] == b"{":
        raise EvidenceError(
            f"{path} is not a file of evidence",
            mend="If it is a quote or report as a device writes it, make one with `hanse attest pack`.",
        )
    return read_evidence(data)


def pack(kind: Kind, quote: Path, certificates: Sequence[Path], parts: Mapping[str, Path]) -> Evidence:
    """Put what a device and its tools wrote in single files together.

    Args:
        kind: The kind of the device.
        quote: The quote or report, as the device wrote it.
        certificates: PEM or DER; each file may have several as PEM.
        parts: Other files, by the names that the kind's verifier takes.

    Raises:
        ConfigError: A file cannot be read.
        EvidenceError: A certificate is malformed, or something is too large.
    """
    found: list[bytes] = []
    for path in certificates:
        data = _read(path, MAX_CERTIFICATES * MAX_QUOTE)
        pem = b"-----BEGIN" in data
        chain = read_chain(data, str(path)) if pem else (read_certificate(data, str(path)),)
        found += [public_bytes(certificate) for certificate in chain]
    others = {name: _read(path, MAX_LOG) for name, path in parts.items()}
    return Evidence(kind, _read(quote, MAX_QUOTE), tuple(found), others)


def known_tpm(evidence: Evidence, ek: Path) -> TpmVerifier:
    """A verifier for which the AK of evidence was activated with an EK, as the person who calls states.

    Raises:
        ConfigError: The file cannot be read.
        EvidenceError: It is not the public area of an EK, or the evidence has no AK.
    """
    if evidence.kind is not Kind.TPM or AK not in evidence.parts:
        raise EvidenceError(f"{evidence.kind} evidence has no AK that an EK could have activated")
    name = read_public_area(evidence.parts[AK], "AK").name
    return TpmVerifier(Activated(name, read_ek(ek)))


def read_ek(path: Path) -> bytes:
    """Read the public area of an EK.

    Raises:
        ConfigError: The file cannot be read.
        EvidenceError: It is too large, or no public area.
    """
    data = _read(path, MAX_QUOTE)
    read_public_area(data, f"EK {path}")
    return data


def log_of(evidence: Evidence) -> str:
    """SHA-256 of the event log that came with evidence; empty where none did."""
    log = next((evidence.parts[name] for name in _LOGS if name in evidence.parts), None)
    return "" if log is None else sha256(log)


def load_claims(path: Path, policy: AppraisalPolicy, evidence: Evidence) -> bytes:
    """Read claims, and give what the evidence has to be bound to.

    Raises:
        ConfigError: The file cannot be read.
        EvidenceError: It is malformed, or the claims name another policy or event log.
    """
    claims = read_claims(path)
    if claims.policy != policy.digest:
        raise EvidenceError(
            f"claims in {path}: the evidence was made for the policy {claims.policy}, and this one is "
            f"{policy.digest}",
            mend="Take the policy that the claims name; `hanse attest policy` prints the digest of one.",
        )
    seen = log_of(evidence)
    if claims.log != seen:
        raise EvidenceError(
            f"claims in {path}: they name the event log {claims.log or 'none'}, and the evidence has "
            f"{seen or 'none'}"
        )
    return report_data(claims, evidence.kind)


def read_claims(path: Path) -> Claims:
    """Read claims from a file.

    Raises:
        ConfigError: The file cannot be read.
        EvidenceError: It is malformed.
    """
    value = read_json(_read(path, MAX_FILE), str(path))
    try:
        return Claims.model_validate(value)
    except ValidationError as error:
        raise EvidenceError(f"claims in {path}: {problem_of(error)}") from None


def load_collateral(paths: Iterable[Path]) -> Collateral:
    """Read collateral from folders and files.

    A file is JSON with the collateral of one quote, as `dcap-qvl` writes it. A folder has documents below it
    by their names, such as `tcb-info/tdx/50806f000000`, and is or is not a store.

    Raises:
        ConfigError: A file cannot be read, or two differ under one name.
        EvidenceError: A file is malformed.
    """
    documents: dict[str, bytes] = {}
    floors = Floors()
    for path in paths:
        if path.is_dir():
            found = _documents(path)
            floors = floors if not (path / FLOORS_FILE).exists() else read_floors(path / FLOORS_FILE, floors)
        else:
            found = read_bundle(_read(path, _MAX_DOCUMENT))
        for name, data in found.items():
            if documents.setdefault(name, data) != data:
                raise ConfigError(
                    f"{path} has another {name} than what stands before it", mend="Leave one of them out."
                )
    return Collateral(documents, floors)


def _documents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, by their path in it; links are not followed."""
    found: dict[str, bytes] = {}
    for above, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(above, name)
            place = path.relative_to(folder).as_posix()
            if place in (FLOORS_FILE, LOCK_FILE) or path.is_symlink() or name.startswith("."):
                continue
            if len(found) == MOST_DOCUMENTS:
                raise ConfigError(f"{folder} has more than {MOST_DOCUMENTS} documents of collateral")
            found[place] = _read(path, _MAX_DOCUMENT)
    return found


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as problem:
        raise ConfigError(f"cannot read {path}: {problem.strerror}", mend="Check the path.") from None
    if len(data) > most:
        raise EvidenceError(f"{path} has more than {most} bytes")
    return data
