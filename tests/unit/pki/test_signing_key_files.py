"""A new signing key takes the place of another without a moment in which none counts."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hanse.core.values.identity import Party, Role
from hanse.errors import CredentialError, StorageError
from hanse.pki.key_statements import rotation_of
from hanse.pki.keys import GITIGNORE
from hanse.pki.signing_key import SIGNING_KEY_FILE, SigningKey
from hanse.pki.signing_key_files import (
    NEXT_KEY_FILE,
    ROTATIONS_FILE,
    drop_next_key,
    is_settled,
    key_to_use,
    next_key,
    note_rotation,
    own_keys,
    put_in_place,
)

PARTY = Party("north", Role.COLLABORATOR, "hospital-a")


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    return tmp_path / "pki"


def present(identity: Path) -> SigningKey:
    """A key in its place."""
    key = SigningKey.create()
    key.save(identity)
    return key


def waiting(identity: Path) -> SigningKey:
    """A key that waits to be recorded."""
    identity.mkdir(mode=0o700, exist_ok=True)
    return next_key(identity)


class TestTheKeyThatCounts:
    def test_the_key_in_place_counts_where_it_is_the_one_recorded(self, identity: Path) -> None:
        key = present(identity)
        waiting(identity)

        assert key_to_use(identity, key.fingerprint).fingerprint == key.fingerprint

    def test_a_waiting_key_counts_once_it_is_recorded(self, identity: Path) -> None:
        present(identity)
        key = waiting(identity)

        assert key_to_use(identity, key.fingerprint).fingerprint == key.fingerprint

    def test_where_none_is_recorded_the_key_in_place_is_to_be(self, identity: Path) -> None:
        key = present(identity)

        assert key_to_use(identity, None).fingerprint == key.fingerprint

    def test_a_folder_without_a_key_gets_one_and_the_same_the_next_time(self, identity: Path) -> None:
        first = key_to_use(identity, None)

        assert key_to_use(identity, None).fingerprint == first.fingerprint
        assert (identity / NEXT_KEY_FILE).stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize(("make", "how"), [(present, "is another"), (waiting, "is missing")])
    def test_a_recorded_key_that_is_not_here_is_named_with_the_way_to_another(
        self, identity: Path, make: Callable[[Path], SigningKey], how: str
    ) -> None:
        make(identity)

        with pytest.raises(
            CredentialError, match=rf"recorded the signing key {'5' * 64} .* {how}.*hanse federation remove"
        ):
            key_to_use(identity, "5" * 64)

    def test_a_damaged_key_in_place_is_named(self, identity: Path) -> None:
        key = present(identity)
        (identity / SIGNING_KEY_FILE).write_bytes(b"?")

        with pytest.raises(CredentialError, match=r"signing\.key is damaged"):
            key_to_use(identity, key.fingerprint)

    def test_a_damaged_waiting_key_is_no_obstacle(self, identity: Path) -> None:
        key = present(identity)
        (identity / NEXT_KEY_FILE).write_bytes(b"?")

        assert key_to_use(identity, key.fingerprint).fingerprint == key.fingerprint
        assert next_key(identity).fingerprint != key.fingerprint


class TestPuttingInPlace:
    def test_a_waiting_key_takes_the_place_of_the_one_before(self, identity: Path) -> None:
        present(identity)
        key = waiting(identity)

        assert put_in_place(identity, key)

        assert SigningKey.load(identity).fingerprint == key.fingerprint
        assert is_settled(identity)

    def test_a_key_in_place_stays_there(self, identity: Path) -> None:
        key = present(identity)

        assert not put_in_place(identity, key)

        assert SigningKey.load(identity).fingerprint == key.fingerprint

    def test_another_waiting_key_is_not_put_in_place(self, identity: Path) -> None:
        key = present(identity)
        waiting(identity)

        assert not put_in_place(identity, key)

        assert SigningKey.load(identity).fingerprint == key.fingerprint
        assert not is_settled(identity)

    def test_a_key_that_was_refused_is_dropped(self, identity: Path) -> None:
        present(identity)
        waiting(identity)

        drop_next_key(identity)

        assert is_settled(identity)

    def test_all_that_make_a_key_at_the_same_time_get_the_same_one(self, identity: Path) -> None:
        identity.mkdir()
        with ThreadPoolExecutor(8) as threads:
            made = list(threads.map(lambda _: next_key(identity).fingerprint, range(32)))

        assert len({*made}) == 1
        assert {path.name for path in identity.iterdir()} == {NEXT_KEY_FILE, GITIGNORE}

    def test_a_file_system_without_links_will_do(
        self, identity: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        identity.mkdir()
        monkeypatch.setattr(Path, "hardlink_to", refuse)

        key = next_key(identity)

        assert SigningKey.load(identity, NEXT_KEY_FILE).fingerprint == key.fingerprint


class TestOwnKeys:
    def test_a_folder_of_before_has_none(self, identity: Path) -> None:
        assert own_keys(identity, PARTY) == frozenset()

    def test_keys_that_were_replaced_one_after_another_are_own(self, identity: Path) -> None:
        first, second, last = SigningKey.create(), SigningKey.create(), present(identity)
        note_rotation(identity, rotation_of(first, second, PARTY))
        note_rotation(identity, rotation_of(second, last, PARTY))

        assert own_keys(identity, PARTY) == {key.fingerprint for key in (first, second, last)}

    def test_a_rotation_that_was_never_recorded_makes_no_key_own(self, identity: Path) -> None:
        key, refused = present(identity), SigningKey.create()
        note_rotation(identity, rotation_of(key, refused, PARTY))

        assert own_keys(identity, PARTY) == {key.fingerprint}

    def test_a_rotation_of_another_party_or_by_another_key_makes_no_key_own(self, identity: Path) -> None:
        key, other = present(identity), SigningKey.create()
        note_rotation(identity, rotation_of(other, key, Party("north", Role.COLLABORATOR, "hospital-b")))
        forged = rotation_of(other, key, PARTY).model_copy(update={"key": SigningKey.create().public})
        note_rotation(identity, forged)

        assert own_keys(identity, PARTY) == {key.fingerprint}

    def test_keys_that_replace_each_other_in_a_circle_come_to_an_end(self, identity: Path) -> None:
        key, other = present(identity), SigningKey.create()
        note_rotation(identity, rotation_of(key, other, PARTY))
        note_rotation(identity, rotation_of(other, key, PARTY))

        assert own_keys(identity, PARTY) == {key.fingerprint, other.fingerprint}

    def test_the_same_rotation_is_kept_once(self, identity: Path) -> None:
        rotation = rotation_of(SigningKey.create(), present(identity), PARTY)

        note_rotation(identity, rotation)
        note_rotation(identity, rotation)

        assert len((identity / ROTATIONS_FILE).read_text().splitlines()) == 1

    def test_a_damaged_file_of_rotations_is_named(self, identity: Path) -> None:
        present(identity)
        (identity / ROTATIONS_FILE).write_bytes(b"\xff")

        with pytest.raises(StorageError, match=r"rotations\.jsonl is damaged"):
            own_keys(identity, PARTY)
