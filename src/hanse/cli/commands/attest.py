"""`hanse attest`: evidence of what a machine runs, in files, verified against a policy."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hanse.cli.commands.attest_deny import deny
from hanse.cli.commands.attest_record import record
from hanse.cli.options import Json
from hanse.cli.output import note, say, say_json, say_table
from hanse.errors import ConfigError, TrustError

if TYPE_CHECKING:
    from hanse.attestation.appraise import Verifiers
    from hanse.attestation.base import Evidence
    from hanse.attestation.policy.file import AppraisalPolicy

app = typer.Typer(rich_markup_mode=None, add_completion=False)

_KINDS = ("sgx", "tdx", "snp", "tpm", "gpu")

EvidenceFile = Annotated[
    Path, typer.Argument(metavar="EVIDENCE", exists=True, dir_okay=False, help="The file of evidence.")
]
Collateral = Annotated[
    list[Path] | None,
    typer.Option(
        "--collateral",
        exists=True,
        metavar="FOLDER|FILE",
        help="Documents that the maker of the processor publishes: a store, a folder with documents by name, "
        "or the collateral of one quote as JSON; may be repeated.",
    ),
]
At = Annotated[
    str | None,
    typer.Option(
        "--at", metavar="TIME", help="The time to verify for, such as 2025-07-01T12:00Z; now, if left out."
    ),
]

Ek = Annotated[
    Path | None,
    typer.Option(
        "--ek",
        exists=True,
        dir_okay=False,
        help="Of TPM evidence: the public area of the EK with which you have activated the AK that signed. "
        "Nothing here checks that you have.",
    ),
]


@app.callback()
def _attest() -> None:
    """Make and verify evidence of what a machine runs, in files, and refuse machines."""


app.command()(record)
app.command()(deny)


@app.command()
def pack(
    file: Annotated[Path, typer.Argument(metavar="EVIDENCE", help="The file of evidence to write.")],
    kind: Annotated[str, typer.Option(help=f"The kind of the device: {', '.join(_KINDS)}.")],
    quote: Annotated[
        Path,
        typer.Option(exists=True, dir_okay=False, help="The quote or report, as the device wrote it."),
    ],
    certificate: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="A certificate, or several as PEM, the device's own first; may be repeated.",
        ),
    ] = None,
    part: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FILE", help="Another file, such as event-log=FILE; may be repeated."),
    ] = None,
) -> None:
    """Put the single files that a device and its tools wrote into EVIDENCE. Nothing is verified."""
    from hanse.attestation.base import Kind
    from hanse.attestation.evidence_file import write_evidence
    from hanse.control.evidence.files import pack
    from hanse.files.atomic import write_file
    from hanse.files.errors import file_errors

    if kind not in _KINDS:
        raise typer.BadParameter(f"{kind!r} is none of {', '.join(_KINDS)}", param_hint="--kind")
    parts: dict[str, Path] = {}
    for each in part or ():
        name, equals, path = each.partition("=")
        if not (name and equals and path) or name in parts:
            raise typer.BadParameter(f"{each!r} is not NAME=FILE, or names a part again", param_hint="--part")
        parts[name] = Path(path)
    data = write_evidence(pack(Kind(kind), quote, certificate or (), parts))
    with file_errors(f"write {file}"):
        write_file(file, data)
    note(f"wrote {file}: not verified")


@app.command()
def evidence(file: EvidenceFile, json: Json = False) -> None:
    """Show what EVIDENCE states. Nothing of it is verified, so none of it is to be believed."""
    from hanse.attestation.statement import read_statement
    from hanse.control.evidence.files import load_evidence

    found = load_evidence(file)
    stated = read_statement(found)
    sizes = {name: len(part) for name, part in found.parts.items()}
    if json:
        say_json(
            {
                "verified": False,
                "kind": found.kind.value,
                "bound_to": stated.report_data.hex(),
                "states": dict(stated.values),
                "certificates": len(found.certificates),
                "parts": sizes,
            }
        )
        return
    say(f"{found.kind} evidence. NOT VERIFIED: this is what the file says of itself.")
    say_table(("COMPONENT", "STATED"), [("bound to", stated.report_data.hex()), *stated.values.items()])
    parts = ", ".join(f"{name} ({size:,} bytes)" for name, size in sizes.items())
    say(f"came along: {len(found.certificates)} certificates; parts: {parts or 'none'}")
    say("Verify it with `hanse attest verify`.")


@app.command()
def verify(
    file: EvidenceFile,
    policy: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="The policy to hold the evidence against.")
    ],
    collateral: Collateral = None,
    at: At = None,
    report_data: Annotated[
        str | None,
        typer.Option(
            metavar="HEX", help="What the evidence has to be bound to, exactly: its report data or nonce."
        ),
    ] = None,
    claims: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="Claims as JSON, instead: the report data is computed."
        ),
    ] = None,
    ek: Ek = None,
    rehearsal: Annotated[
        bool, typer.Option("--rehearsal", help="This is a rehearsal: software may play a device.")
    ] = False,
    json: Json = False,
) -> None:
    """Verify EVIDENCE: that it is genuine, bound to what it should be, and as the policy says.

    Ends with 0 where it is affirmed, or accepted with warnings that the policy accepts by name; with 8 where
    it is refused.
    """
    from hanse.attestation.appraise import appraise
    from hanse.attestation.base import Circumstances
    from hanse.attestation.policy.file import load_policy
    from hanse.control.evidence.files import load_collateral, load_evidence
    from hanse.control.evidence.verdict import Verdict

    time = _time(at)
    accepted = load_policy(policy)
    found = load_evidence(file)
    bound_to = _bound_to(found, accepted, report_data, claims)
    documents = load_collateral(collateral or ())
    given = Circumstances(time, bound_to, documents.documents, documents.floors)
    appraisal = appraise(found, accepted, given, rehearsal=rehearsal, verifiers=_verifiers(found, ek))
    verdict = Verdict(appraisal, time, accepted.digest, accepted.rehearsal)
    if json:
        say_json(verdict.as_json())
    else:
        say(f"{found.kind} evidence: genuine, and bound to what it should be")
        say_table(("COMPONENT", "EXPECTED", "SEEN", "VERDICT"), verdict.rows())
        for remark in verdict.remarks():
            say(remark)
        say(verdict.conclusion())
    if not verdict.passed:
        raise TrustError(
            f"{file}: {verdict.conclusion()}",
            mend="Send this machine nothing that the policy protects, until that is repaired.",
        )


@app.command()
def policy(
    file: Annotated[
        Path | None, typer.Argument(metavar="[POLICY]", exists=True, dir_okay=False, help="The policy.")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            exists=True,
            dir_okay=False,
            metavar="EVIDENCE",
            help="Print a draft instead, with the values of this evidence, once it is verified as genuine.",
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="With --from: name of the image.")] = "image",
    collateral: Collateral = None,
    at: At = None,
    ek: Ek = None,
    json: Json = False,
) -> None:
    """Check POLICY, and say in words what it accepts; or draft one from evidence."""
    from hanse.attestation.policy.file import load_policy
    from hanse.attestation.policy.review import review

    if (file is None) == (source is None):
        raise typer.BadParameter("name a policy, or evidence with --from")
    if source is not None:
        found, head = _drafted(source, name, collateral or [], _time(at), ek)
        if not json:
            from hanse.attestation.policy.write import toml_of

            say(toml_of(found, head).rstrip("\n"))
            note("a draft: read every line, and check it with `hanse attest policy`")
            return
    else:
        assert file is not None
        found = load_policy(file)
    if json:
        value = found.model_dump(mode="json", exclude_none=True)
        say_json({"digest": found.digest, "rehearsal": found.rehearsal, "policy": value})
        return
    for line in review(found):
        say(line)
    say(f"digest {found.digest}")


@app.command()
def collateral(
    source: Annotated[
        Path,
        typer.Argument(metavar="FOLDER|FILE", exists=True, help="Collateral, as `verify` takes it."),
    ],
    store: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            metavar="FOLDER",
            help="Keep what was verified in this folder, and refuse what is older than it has seen.",
        ),
    ] = None,
    at: At = None,
    json: Json = False,
) -> None:
    """Verify documents of a processor's maker, and say when they end and for which machines they are."""
    from hanse.control.evidence.collateral import check
    from hanse.control.evidence.collateral import store as keep
    from hanse.control.evidence.files import load_collateral
    from hanse.control.evidence.verdict import time_in_words

    time = _time(at)
    given = load_collateral([source])
    found = check(given, time) if store is None else keep(store, given.documents, time)
    numbers = dict(found.floors.evaluation)
    issued = {name: time_in_words(date) for name, date in found.floors.issued.items()}
    expires = {name: time_in_words(end) for name, end in sorted(found.expires.items())}
    if json:
        floors = {"evaluation": numbers, "issued": issued}
        say_json({"expires": expires, "floors": floors, "unchecked": list(found.unchecked)})
        return
    rows = [(name, end, str(numbers.get(name, "-")), issued.get(name, "-")) for name, end in expires.items()]
    say_table(("DOCUMENT", "ENDS", "LEAST NUMBER", "NOT BEFORE"), rows)
    for name in found.unchecked:
        say(f"not checked: {name}: only evidence says who has to have issued it")
    say(f"TCB information of: {', '.join(found.platforms) or 'no platform'}")
    if expires:
        say(f"the first ends {min(expires.values())}: fetch all of them again before")
    if store is not None:
        say(f"kept in {store}: from now on nothing older is taken there")


def _time(text: str | None) -> datetime:
    from hanse.assembly.tuning import now

    if text is None:
        return now()
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a time such as 2025-07-01T12:00Z", param_hint="--at"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _bound_to(
    evidence: Evidence, policy: AppraisalPolicy, report_data: str | None, claims: Path | None
) -> bytes:
    from hanse.attestation.base import Kind
    from hanse.control.evidence.files import load_claims

    if (report_data is None) == (claims is None):
        raise typer.BadParameter("say what the evidence has to be bound to: --report-data or --claims")
    if claims is not None:
        return load_claims(claims, policy, evidence)
    assert report_data is not None
    size = 32 if evidence.kind in (Kind.TPM, Kind.GPU) else 64
    try:
        data = bytes.fromhex(report_data)
    except ValueError:
        data = b""
    if len(data) != size:
        raise ConfigError(
            f"--report-data should be {size} bytes for {evidence.kind}, as {2 * size} hexadecimal digits"
        )
    return data


def _drafted(
    source: Path, name: str, collateral: list[Path], at: datetime, ek: Path | None
) -> tuple[AppraisalPolicy, list[str]]:
    from hanse.attestation.base import Circumstances
    from hanse.attestation.draft import draft
    from hanse.attestation.statement import read_statement
    from hanse.control.evidence.files import load_collateral, load_evidence

    found = load_evidence(source)
    documents = load_collateral(collateral)
    bound_to = read_statement(found).report_data
    given = Circumstances(at, bound_to, documents.documents, documents.floors)
    head = [
        f"DRAFT from genuine evidence ({found.kind}): read every line. The evidence shows what a machine "
        "runs, not whether that is right: compare the row with what the image's build gives. What the "
        "evidence is bound to was not checked."
    ]
    return draft(found, name, given, _verifiers(found, ek)), head


def _verifiers(evidence: Evidence, ek: Path | None) -> Verifiers | None:
    from hanse.attestation.appraise import Verifiers
    from hanse.control.evidence.files import known_tpm

    return None if ek is None else Verifiers(tpm=known_tpm(evidence, ek))
