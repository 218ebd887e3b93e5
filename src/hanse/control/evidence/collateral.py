"""Collateral checked, and kept in a folder with floors: older after newer is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from hanse.attestation.base import Floors
from hanse.attestation.collateral import intel
from hanse.attestation.dcap.documents import CHAIN, ROOT_LIST
from hanse.attestation.snp import documents as amd
from hanse.attestation.snp.roots import amd_roots
from hanse.control.evidence.files import Collateral, load_collateral
from hanse.control.evidence.floors import FLOORS_FILE, read_floors, write_floors
from hanse.errors import EvidenceError
from hanse.files.atomic import write_file
from hanse.files.errors import file_errors
from hanse.files.lock import DirectoryLock

_AMD = "amd/"
_INTEL = ("pck-crl/", "tcb-info/", "qe-identity/")


@dataclass(frozen=True, slots=True)
class Checked:
    """Collateral that was checked.

    Attributes:
        expires: When each document ends, by name.
        floors: Floors with what these documents have raised.
        unchecked: Documents that nothing but evidence can be held against, such as lists of NVIDIA.
    """

    expires: Mapping[str, datetime]
    floors: Floors
    unchecked: tuple[str, ...]

    @property
    def platforms(self) -> tuple[str, ...]:
        """Families of Intel's platforms that there is TCB information for: kind and FMSPC."""
        return tuple(name.split("/", 1)[1] for name in sorted(self.expires) if name.startswith("tcb-info/"))


def check(collateral: Collateral, at: datetime) -> Checked:
    """Check documents: signatures, chains, dates, and floors.

    Raises:
        EvidenceError: One is malformed, expired, not genuine or older than one that was seen; or there are
            none.
    """
    if not collateral.documents:
        raise EvidenceError("collateral: no document is there", mend="Name a folder or file that has some.")
    intels, amds, others = {}, {}, []
    for name, data in collateral.documents.items():
        if name == ROOT_LIST or name.startswith(_INTEL):
            intels[name] = data
        elif name.startswith(_AMD):
            amds[name] = data
        else:
            others.append(name)
    expires: dict[str, datetime] = {}
    floors = collateral.floors
    if intels:
        of_intel = intel.check_collateral(intels, at, floors)
        expires |= of_intel.expires
        floors = of_intel.floors
    if amds:
        of_amd = amd.check_collateral(amds, at, floors, amd_roots())
        expires |= of_amd.expires
        floors = of_amd.floors
    return Checked(expires, floors, tuple(sorted(others)))


def store(folder: Path, given: Mapping[str, bytes], at: datetime) -> Checked:
    """Check documents and keep them in a folder, with what they raise the floors to.

    The floors are written first: a crash between leaves a store that refuses its older documents, and never
    one that takes them.

    Args:
        folder: The store; made where it is missing.
        given: New documents, by name. Stored ones that vouch for them count too.
        at: The time at which they have to count.

    Raises:
        EvidenceError: See `check`; or a document is one that cannot be checked by itself.
        StorageError: The disk refuses, or another process uses the store.
    """
    with file_errors(f"make {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
    with DirectoryLock(folder, holder="`hanse attest collateral`"):
        stored = load_collateral([folder]).documents
        vouching = {name: stored[name] for name in _vouching(given) if name in stored}
        floors = read_floors(folder / FLOORS_FILE) if (folder / FLOORS_FILE).exists() else Floors()
        checked = check(Collateral({**vouching, **given}, floors), at)
        if checked.unchecked:
            raise EvidenceError(
                f"collateral {checked.unchecked[0]!r} cannot be checked without evidence, and is not stored",
                mend="Name it with --collateral when you verify evidence; it is checked then.",
            )
        write_floors(folder / FLOORS_FILE, checked.floors)
        for name in sorted(given, key=lambda name: (not name.endswith(CHAIN), name)):
            path = folder / name
            with file_errors(f"write {path}"):
                path.parent.mkdir(parents=True, exist_ok=True)
                write_file(path, given[name])
    return checked


def _vouching(given: Mapping[str, bytes]) -> set[str]:
    """Names of documents that some others are checked with."""
    found = {ROOT_LIST for name in given if name.startswith(_INTEL)}
    for name in given:
        if name.startswith(_AMD):
            line = "/".join(name.split("/")[:3])
            found |= {f"{line}/cert_chain", f"{line}/crl"}
    return found
