"""Keys of an owner: made once, kept private, and verified by those who have the public ones."""

import base64
import json
from pathlib import Path

import pytest

from hanse.core.values.canonical import canonical_json
from hanse.errors import CredentialError, SealError, StorageError
from hanse.sealing.keys import wrap_key
from hanse.sealing.owner import OwnerKey, create_owner, load_owner, load_owner_key, read_owner


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("owner") / "keys"
    create_owner("clinic", made)
    return made


@pytest.fixture(scope="module")
def key(folder: Path) -> OwnerKey:
    return load_owner_key(folder / "owner.key")


def test_the_files_of_an_owner_have_the_same_keys(folder: Path, key: OwnerKey) -> None:
    owner = load_owner(folder / "owner.json")

    assert owner == key.public
    assert key.seal.unwrap(wrap_key(bytes(32), owner.seal_key, b""), b"") == bytes(32)


def test_the_private_file_is_its_owners_only(folder: Path) -> None:
    assert (folder / "owner.key").stat().st_mode & 0o777 == 0o600
    assert (folder / "owner.json").stat().st_mode & 0o777 == 0o644
    assert "/owner.key" in (folder / ".gitignore").read_text()


def test_the_public_file_has_nothing_of_the_private_one(folder: Path) -> None:
    private = json.loads((folder / "owner.key").read_text())
    public = (folder / "owner.json").read_text()

    assert not {private["seal"], private["sign"]} & {*json.loads(public).values()}
    assert private["seal"][:40] not in public


@pytest.mark.parametrize("there", ["owner.key", "owner.json"])
def test_keys_are_never_written_over(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("mine")

    with pytest.raises(SealError, match=f"{there} exists already"):
        create_owner("clinic", tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "mine"


def test_a_gitignore_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*.tmp\n")

    create_owner("clinic", tmp_path)

    assert (tmp_path / ".gitignore").read_text() == "*.tmp\n"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StorageError, match="file/keys"):
        create_owner("clinic", tmp_path / "file" / "keys")


def test_a_private_file_open_to_others_is_refused(tmp_path: Path) -> None:
    create_owner("clinic", tmp_path)
    (tmp_path / "owner.key").chmod(0o640)

    with pytest.raises(CredentialError, match="chmod 600"):
        load_owner_key(tmp_path / "owner.key")


def test_a_missing_private_file_says_what_is_lost(tmp_path: Path) -> None:
    with pytest.raises(SealError, match=r"owner\.key does not exist.*backup"):
        load_owner_key(tmp_path / "owner.key")


def test_a_damaged_private_file_is_refused_without_its_content(folder: Path, tmp_path: Path) -> None:
    stored = json.loads((folder / "owner.key").read_text())
    damaged = tmp_path / "owner.key"
    damaged.write_bytes(canonical_json(stored | {"seal": stored["seal"][:-4]}))
    damaged.chmod(0o600)

    with pytest.raises(SealError, match="is damaged") as caught:
        load_owner_key(damaged)

    assert stored["seal"][:20] not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_private_key_is_not_printed(folder: Path, key: OwnerKey) -> None:
    stored = json.loads((folder / "owner.key").read_text())

    assert stored["seal"] not in repr(key)
    assert stored["sign"] not in repr(key)


def test_a_signature_verifies_for_its_purpose(key: OwnerKey) -> None:
    key.public.verify(key.sign("release", {"run": "r-1"}), "release")


def test_a_signature_for_one_purpose_does_not_serve_another(key: OwnerKey) -> None:
    with pytest.raises(SealError, match="did not sign it"):
        key.public.verify(key.sign("release", {"run": "r-1"}), "sealed file")


def test_an_altered_statement_is_refused(key: OwnerKey) -> None:
    statement = key.sign("release", {"run": "r-1"})

    with pytest.raises(SealError, match="altered"):
        key.public.verify(statement.model_copy(update={"body": {"run": "r-2"}}), "release")


@pytest.mark.parametrize("signature", ["", "not base64", base64.b64encode(bytes(64)).decode()])
def test_a_wrong_signature_is_refused(key: OwnerKey, signature: str) -> None:
    statement = key.sign("release", {}).model_copy(update={"signature": signature})

    with pytest.raises(SealError, match="altered"):
        key.public.verify(statement, "release")


def test_another_owner_of_the_same_name_is_refused(tmp_path: Path, key: OwnerKey) -> None:
    other = create_owner("clinic", tmp_path)

    with pytest.raises(SealError, match="another key"):
        key.public.verify(other.sign("release", {}), "release")
    assert other.public.fingerprint != key.public.fingerprint


@pytest.mark.parametrize("field", ["seal", "sign"])
def test_the_fingerprint_is_of_both_keys(key: OwnerKey, tmp_path: Path, field: str) -> None:
    other = create_owner("clinic", tmp_path).public
    mixed = key.public.model_copy(update={field: getattr(other, field)})

    assert mixed.fingerprint not in {key.public.fingerprint, other.fingerprint}


@pytest.mark.parametrize(
    "change",
    [
        {"format": "hanse-owner-2"},
        {"name": "Not a name"},
        {"seal": "AAAA"},
        {"sign": "AAAA"},
        {"note": "more"},
    ],
)
def test_a_malformed_public_file_is_refused(key: OwnerKey, change: dict[str, str]) -> None:
    data = canonical_json(key.public.model_dump(mode="json") | change)

    with pytest.raises(SealError, match=f"owner.json does not have the public keys.*{next(iter(change))}"):
        read_owner(data, "owner.json")


@pytest.mark.parametrize("data", [b"", b"\xff", b"[" * 10_000, b"[]", b"1" * 20_000])
def test_anything_else_is_no_public_file(data: bytes) -> None:
    with pytest.raises(SealError, match=r"owner\.json"):
        read_owner(data, "owner.json")


def test_a_signing_key_that_is_not_ed25519_is_refused(key: OwnerKey) -> None:
    x25519 = bytearray(base64.b64decode(key.public.sign))
    x25519[8] = 0x6E  # the last byte of the OID: X25519 instead of Ed25519
    owner = key.public.model_copy(update={"sign": base64.b64encode(x25519).decode()})
    statement = key.sign("release", {}).model_copy(update={"key": owner.sign})

    with pytest.raises(SealError, match="not Ed25519"):
        owner.verify(statement, "release")
