"""`hanse attest record`: evidence of this machine, in a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hanse.cli.options import Json
from hanse.cli.output import note, say, say_json
from hanse.errors import ConfigError

if TYPE_CHECKING:
    from hanse.control.evidence.record import Recorded


def record(
    file: Annotated[Path, typer.Argument(metavar="EVIDENCE", help="The file of evidence to write.")],
    device: Annotated[str, typer.Option(help="The device that makes the evidence: tpm, tdx, snp or sgx.")],
    tpm: Annotated[
        str, typer.Option(metavar="TCTI", help="Where the TPM is, as in `attestation: {own: {tpm: ...}}`.")
    ] = "device:/dev/tpmrm0",
    register: Annotated[
        list[int] | None,
        typer.Option(
            metavar="NUMBER",
            help="A register (PCR) that the TPM quotes; may be repeated. 4, 7, 11, 12 if left out.",
        ),
    ] = None,
    event_log: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Log of the firmware, to go along.")
    ] = None,
    ima_log: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Log of the kernel, to go along.")
    ] = None,
    report_data: Annotated[
        str | None, typer.Option(metavar="HEX", help="What to bind it to; random bytes if left out.")
    ] = None,
    claims: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Claims as JSON to bind it to, instead.")
    ] = None,
    ek_out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Of a TPM: write the public area of its EK, for `verify --ek`."),
    ] = None,
    json: Json = False,
) -> None:
    """Make evidence of this machine, as an agent or service would show it, and write it to EVIDENCE.

    Of a TPM, a new key is made and activated with the EK first, so that a failure of either is seen here.
    """
    from hanse.assembly.attested.attester import open_attester
    from hanse.attestation.evidence_file import write_evidence
    from hanse.control.evidence import record as recording
    from hanse.files.atomic import write_file
    from hanse.files.errors import file_errors

    if report_data is not None and claims is not None:
        raise typer.BadParameter("name --report-data or --claims, not both")
    wanted = None if report_data is None else _bytes(report_data)
    attester = open_attester(_settings(device, tpm, register, event_log, ima_log), os.urandom)
    try:
        if claims is not None:
            wanted = recording.claimed(claims, attester)
        found = recording.record(attester, wanted, os.urandom)
    finally:
        attester.close()
    with file_errors(f"write {file}"):
        write_file(file, write_evidence(found.evidence))
    if ek_out is not None and found.ek:
        with file_errors(f"write {ek_out}"):
            write_file(ek_out, found.ek)
    _tell(found, json)
    note(f"wrote {file}: verify it with `hanse attest verify`")


def _tell(found: Recorded, json: bool) -> None:
    kind = found.evidence.kind.value
    if json:
        say_json({"kind": kind, "bound_to": found.bound_to.hex(), "machine": found.machine or None})
        return
    say(f"{kind} evidence of this machine, bound to {found.bound_to.hex()}")
    if found.machine:
        say(f"its key was activated with the EK {found.machine}, by which policies name this machine")


def _settings(
    device: str, tpm: str, registers: list[int] | None, event_log: Path | None, ima_log: Path | None
) -> Any:
    from pydantic import ValidationError

    from hanse.config.evidence.settings import OwnEvidence
    from hanse.core.values.schema import problem_of

    given: dict[str, Any] = {"device": device, "tpm": tpm, "event_log": event_log, "ima_log": ima_log}
    if registers:
        given["registers"] = tuple(sorted(registers))
    try:
        return OwnEvidence.model_validate(given)
    except ValidationError as error:
        raise ConfigError(f"what the device is to show: {problem_of(error)}") from None


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ConfigError("--report-data should be hexadecimal digits, two for each byte") from None
