"""Signing key in a party's folder: made once, put in place of another without a moment in which none counts.

A new key lies beside the one in use as `signing.key.next` until the aggregator has recorded the new key;
then it takes the place of the old one. Whatever a crash leaves, the record decides which of the two counts.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from pydantic import ValidationError

from hanse.core.values.identity import Party
from hanse.core.values.statements import SignedStatement
from hanse.errors import CredentialError, StorageError, TrustError
from hanse.fault_points import FaultPoint, reach
from hanse.files.atomic import move_file, sync_folder, write_file
from hanse.files.errors import file_errors
from hanse.pki.key_statements import check_rotation
from hanse.pki.signing_key import ANOTHER_KEY, SIGNING_KEY_FILE, SigningKey

NEXT_KEY_FILE = "signing.key.next"
ROTATIONS_FILE = "signing.rotations.jsonl"
_MOST_ROTATIONS = 1_000


def is_settled(identity: Path) -> bool:
    """Check if a folder has one signing key, in its place, which was recorded when it was put there."""
    return (identity / SIGNING_KEY_FILE).exists() and not (identity / NEXT_KEY_FILE).exists()


def next_key(identity: Path) -> SigningKey:
    """The key that is to be used next; made where an earlier try has left none that can be read.

    Of processes that make one at the same time, all get the key of the first.

    Raises:
        StorageError: It cannot be written.
    """
    found = _readable(identity, NEXT_KEY_FILE)
    while found is None:
        made = f"{NEXT_KEY_FILE}.{secrets.token_hex(8)}"
        with file_errors(f"write {identity / NEXT_KEY_FILE}"):
            try:
                SigningKey.create().save(identity, made)
                (identity / NEXT_KEY_FILE).hardlink_to(identity / made)
            except FileExistsError:
                pass  # the first one counts
            except OSError:  # a file system without links
                (identity / made).rename(identity / NEXT_KEY_FILE)
            finally:
                (identity / made).unlink(missing_ok=True)
            sync_folder(identity)
        found = _readable(identity, NEXT_KEY_FILE)
        if found is None:  # what is there cannot be used
            drop_next_key(identity)
    note_step("made")
    return found


def drop_next_key(identity: Path) -> None:
    """Delete a key that was to be used next, and that was refused.

    Raises:
        StorageError: It cannot be deleted.
    """
    with file_errors(f"delete {identity / NEXT_KEY_FILE}"):
        (identity / NEXT_KEY_FILE).unlink(missing_ok=True)


def note_step(step: str) -> None:
    """Report to tests of faults how far a change of keys has come."""
    reach(FaultPoint.AFTER_KEY, step=step)


def key_to_use(identity: Path, recorded: str | None) -> SigningKey:
    """The key that counts, by what the aggregator has recorded for the party.

    Args:
        identity: Folder with the party's credentials.
        recorded: Fingerprint of the key that is recorded; None for none.

    Returns:
        The key of that fingerprint. Where none is recorded, the key that is to be recorded; in a folder
        of before 0.2 it is made now.

    Raises:
        CredentialError: The key that is recorded is not here; says how the party gets another.
        StorageError: A new key cannot be written.
    """
    present = SigningKey.load(identity) if (identity / SIGNING_KEY_FILE).exists() else None
    if recorded is None:
        return present or next_key(identity)
    for key in (present, _readable(identity, NEXT_KEY_FILE)):
        if key is not None and key.fingerprint == recorded:
            return key
    lost = "is missing" if present is None else f"is another: {present.fingerprint}"
    raise CredentialError(
        f"the aggregator has recorded the signing key {recorded} for this party, and the one in {identity} "
        f"{lost}",
        mend=ANOTHER_KEY,
    )


def put_in_place(identity: Path, key: SigningKey) -> bool:
    """Use a key that is recorded from now on; nothing happens where it is in place already.

    Returns:
        Whether it was not.

    Raises:
        StorageError: The folder cannot be written; the key that was used stays in place.
    """
    waiting = _readable(identity, NEXT_KEY_FILE)
    if waiting is None or waiting.fingerprint != key.fingerprint:
        return False
    with file_errors(f"put {identity / SIGNING_KEY_FILE} in place"):
        try:
            move_file(identity / NEXT_KEY_FILE, identity / SIGNING_KEY_FILE)
        except FileNotFoundError:  # another process has just done so
            return False
    note_step("in place")
    return True


def note_rotation(identity: Path, statement: SignedStatement) -> None:
    """Keep the statement in which the old key signs the new one; the same twice is kept once.

    Raises:
        StorageError: The file cannot be read or written.
    """
    kept = _rotations(identity)
    if statement not in kept:
        lines = (json.dumps(each.model_dump(mode="json")) for each in [*kept, statement][-_MOST_ROTATIONS:])
        write_file(identity / ROTATIONS_FILE, "".join(f"{line}\n" for line in lines).encode(), mode=0o600)
        note_step("noted")


def own_keys(identity: Path, party: Party) -> frozenset[str]:
    """Fingerprints of a party's signing key and of those that it has replaced; none before 0.2.

    Raises:
        CredentialError: The key is damaged.
        StorageError: The file of the rotations cannot be read.
    """
    if not (identity / SIGNING_KEY_FILE).exists():
        return frozenset()
    key = SigningKey.load(identity)
    replaced: dict[str, str] = {}
    for statement in _rotations(identity):
        try:
            old, new = check_rotation(statement, party)
        except TrustError:
            continue  # of whatever it is, it links no key to this party's
        replaced[new] = old
    found, current = {key.fingerprint}, key.fingerprint
    while (current := replaced.get(current, "")) and current not in found:
        found.add(current)
    return frozenset(found)


def _rotations(identity: Path) -> list[SignedStatement]:
    path = identity / ROTATIONS_FILE
    if not path.exists():
        return []
    try:
        with file_errors(f"read {path}"):
            lines = path.read_text(encoding="utf-8").splitlines()
        return [SignedStatement.model_validate_json(line) for line in lines]
    except (ValidationError, UnicodeDecodeError) as error:
        raise StorageError(f"{path} is damaged", mend="Restore it from a backup, or delete it.") from error


def _readable(identity: Path, file: str) -> SigningKey | None:
    if not (identity / file).exists():
        return None
    try:
        return SigningKey.load(identity, file)
    except CredentialError:
        return None
