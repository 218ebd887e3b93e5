"""Sealed files: whole and as expected, or no plain byte at all."""

import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.sealed_files import (
    INITIAL,
    MODEL,
    OTHER_SITE,
    RECORDED_CONTENT,
    SITE,
    header_of,
    recorded,
    recorded_owner,
    seal,
    with_header,
)

from hanse.core.values.digests import Algorithm, digest_of_bytes
from hanse.errors import SealError, StorageError
from hanse.sealing.file import (
    PROOF_BYTES,
    SALT_BYTES,
    open_sealed,
    read_segment,
    seal_file,
    seal_signed,
    segment_of,
)
from hanse.sealing.header import Label, associated_with, file_key, info_of, read_header, wrap_file_key
from hanse.sealing.owner import OwnerKey, create_owner
from hanse.sealing.stream import FIRST_PLAIN_BYTES, PLAIN_BYTES, SEGMENT_BYTES, StreamWriter

CANARY = b"the weights of the clinic, which no disk shall have"
AROUND = SALT_BYTES + PROOF_BYTES
CONTENT = secrets.token_bytes(FIRST_PLAIN_BYTES + PLAIN_BYTES + 5_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.sealed"


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> OwnerKey:
    return create_owner("clinic", tmp_path_factory.mktemp("owner"))


def opened(path: Path, key: bytes, expected: Label = MODEL, owner: OwnerKey | None = None) -> bytes:
    target = path.with_name("opened")
    size = open_sealed(path, target, key, expected, owner=None if owner is None else owner.public)
    content = target.read_bytes()
    assert len(content) == size
    return content


def signed(content: bytes, path: Path, owner: OwnerKey, label: Label = INITIAL) -> bytes:
    """Seal bytes as an owner does; the file's key."""
    plain = path.with_name("plain")
    plain.write_bytes(content)
    return seal_signed(plain, path, label, owner, "sha256", randomness=secrets.token_bytes).key


def refused(path: Path, key: bytes, expected: Label = MODEL, owner: OwnerKey | None = None) -> str:
    """What is told of a file that does not open; nothing of it is left."""
    before = {each.name for each in path.parent.iterdir()}
    with pytest.raises(SealError) as caught:
        opened(path, key, expected, owner)
    assert {each.name for each in path.parent.iterdir()} == before
    return str(caught.value)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from((0, FIRST_PLAIN_BYTES, FIRST_PLAIN_BYTES + PLAIN_BYTES)),
    st.one_of(st.integers(-AROUND - 2, 2), st.integers(-2_000, 2_000)),
)
def test_content_of_any_size_comes_back(tmp_path: Path, border: int, more: int) -> None:
    content = CONTENT[: max(0, border + more)]
    made = seal(content, tmp_path / "model.sealed")

    assert opened(tmp_path / "model.sealed", made.key) == content


@pytest.mark.parametrize("algorithm", ["blake3", "sha256"])
def test_the_digest_and_the_size_are_those_of_the_sealed_file(tmp_path: Path, algorithm: Algorithm) -> None:
    (tmp_path / "plain").write_bytes(CANARY)
    made = seal_file(
        tmp_path / "plain",
        tmp_path / "sealed",
        MODEL,
        [SITE.public],
        algorithm,
        randomness=secrets.token_bytes,
    )
    data = (tmp_path / "sealed").read_bytes()

    assert (made.digest, made.size) == (digest_of_bytes(data, algorithm), len(data))


def test_the_recipient_opens_the_file_with_its_private_key(path: Path) -> None:
    seal(CANARY, path, to=(OTHER_SITE, SITE))

    key = file_key(read_header(path), SITE)

    assert key is not None
    assert opened(path, key) == CANARY


def test_no_plain_byte_is_in_the_sealed_file(path: Path) -> None:
    made = seal(CANARY * 100, path)

    data = path.read_bytes()
    assert CANARY[:8] not in data
    assert made.key not in data


def test_the_same_content_sealed_twice_has_nothing_in_common(tmp_path: Path) -> None:
    one, two = (seal(CANARY, tmp_path / name) for name in ("one", "two"))

    assert one.key != two.key
    assert (tmp_path / "one").read_bytes()[-80:] != (tmp_path / "two").read_bytes()[-80:]


def test_both_files_are_their_owners_only(path: Path) -> None:
    opened(path, seal(CANARY, path).key)

    assert {each.stat().st_mode & 0o777 for each in path.parent.iterdir()} == {0o600}


def test_a_file_key_is_not_printed(path: Path) -> None:
    made = seal(CANARY, path)

    assert str(made.key) not in repr(made)
    assert made.key.hex() not in repr(made)


CUTS = {
    "in the magic": 4,
    "in the header": 400,
    "before the last byte": -1,
    "before the proof": -PROOF_BYTES - 16,
    "after the first segment": SEGMENT_BYTES,
    "in the second segment": SEGMENT_BYTES + 100,
}


@pytest.mark.parametrize("size", CUTS.values(), ids=CUTS)
def test_a_cut_file_is_refused(path: Path, size: int) -> None:
    made = seal(CONTENT, path)
    start = made.size - len(CONTENT) - AROUND - 40 - 3 * 16
    end = size if abs(size) < SEGMENT_BYTES else start + size
    path.write_bytes(path.read_bytes()[:end])

    assert str(path) in refused(path, made.key)


def test_bytes_behind_the_end_are_refused(path: Path) -> None:
    made = seal(CANARY, path)
    path.write_bytes(path.read_bytes() + b"\0")

    assert "altered" in refused(path, made.key)


def test_every_flipped_byte_is_refused(path: Path) -> None:
    made = seal(b"", path)
    data = path.read_bytes()
    for place in range(0, len(data), 37):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(SealError):
            opened(path, _key_by_header(path))
    path.write_bytes(data)

    assert opened(path, made.key) == b""


def _key_by_header(path: Path) -> bytes:
    """The file's key as its recipient finds it."""
    key = file_key(read_header(path), SITE)
    if key is None:
        raise SealError("not for this site")
    return key


def test_another_key_does_not_open_the_file(path: Path) -> None:
    seal(CANARY, path)

    assert "has another key" in refused(path, bytes(32))


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("purpose", "group", "its purpose should be 'group'"),
        ("federation", "banks", "its federation should be 'banks'"),
        ("run", "pneumonia-2", "its run should be 'pneumonia-2'"),
        ("plan", "cd" * 32, "its plan should be"),
        ("name", "round 4", "its name should be 'round 4'"),
        ("rehearsal", True, "its rehearsal should be True"),
    ],
)
def test_another_file_than_expected_is_refused(path: Path, name: str, value: object, told: str) -> None:
    made = seal(CANARY, path)

    assert told in refused(path, made.key, MODEL.model_copy(update={name: value}))


@pytest.mark.parametrize(
    ("name", "value"),
    [("purpose", "group"), ("federation", "banks"), ("run", "r-2"), ("name", "x"), ("rehearsal", True)],
)
def test_a_file_with_another_label_put_on_it_is_refused(path: Path, name: str, value: object) -> None:
    made = seal(CANARY, path)
    header = header_of(path)
    header["label"][name] = value
    with_header(path, header)

    assert "first segment" in refused(path, made.key, MODEL.model_copy(update={name: value}))


def test_a_segment_of_another_file_is_refused(tmp_path: Path) -> None:
    one, two = seal(CONTENT, tmp_path / "one"), seal(CONTENT, tmp_path / "two")
    first, second = (tmp_path / "one").read_bytes(), (tmp_path / "two").read_bytes()
    start = one.size - len(CONTENT) - AROUND - 40 - 3 * 16
    assert one.size == two.size
    border = start + SEGMENT_BYTES
    (tmp_path / "one").write_bytes(
        first[:border] + second[border : border + SEGMENT_BYTES] + first[border + SEGMENT_BYTES :]
    )

    assert "segment 1" in refused(tmp_path / "one", one.key)


def test_the_target_stays_as_it_was_where_a_file_is_refused(path: Path) -> None:
    made = seal(CONTENT, path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    path.with_name("opened").write_bytes(b"before")

    refused(path, made.key)

    assert path.with_name("opened").read_bytes() == b"before"


@pytest.mark.parametrize(
    "inside",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(bytes(31), id="less than a salt"),
        pytest.param(bytes(32), id="a salt alone"),
        pytest.param(bytes(63), id="a short proof"),
        pytest.param(bytes(64), id="a wrong proof"),
        pytest.param(bytes(PLAIN_BYTES + 10), id="a wrong proof over a border"),
    ],
)
def test_a_stream_without_salt_and_proof_is_refused(path: Path, inside: bytes) -> None:
    made = seal(CANARY, path)
    forge(path, made.key, MODEL, inside)

    assert "another program" in refused(path, made.key)


def forge(path: Path, key: bytes, label: Label, inside: bytes) -> None:
    """Put another encrypted part behind the header of a file, as any of its recipients can."""
    start = read_header(path).to_bytes()
    with path.open("wb") as file:
        file.write(start)
        stream = StreamWriter(file, key, associated_with(label), secrets.token_bytes)
        stream.write(inside)
        stream.finish()


def test_a_full_disk_leaves_no_sealed_file(
    tmp_path: Path, largest_file: Callable[[int], AbstractContextManager[None]]
) -> None:
    (tmp_path / "plain").write_bytes(CONTENT)
    with largest_file(SEGMENT_BYTES), pytest.raises(StorageError, match="cannot seal"):
        seal_file(
            tmp_path / "plain",
            tmp_path / "sealed",
            MODEL,
            [SITE.public],
            "blake3",
            randomness=secrets.token_bytes,
        )

    assert [each.name for each in tmp_path.iterdir()] == ["plain"]


def test_a_full_disk_leaves_no_plain_file(
    path: Path, largest_file: Callable[[int], AbstractContextManager[None]]
) -> None:
    made = seal(CONTENT, path)
    with largest_file(SEGMENT_BYTES), pytest.raises(StorageError, match=r"model\.sealed"):
        opened(path, made.key)

    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_missing_content_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"gone"):
        seal_file(
            tmp_path / "gone", tmp_path / "x", MODEL, [SITE.public], "blake3", randomness=secrets.token_bytes
        )


@pytest.mark.parametrize(
    ("recipients", "told"),
    [([], "at least 1 item"), ([SITE.public] * 2, "named twice"), ([b"x"], "1 bytes instead of 1216")],
)
def test_recipients_that_no_file_can_have_are_refused(
    tmp_path: Path, recipients: list[bytes], told: str
) -> None:
    (tmp_path / "plain").write_bytes(CANARY)
    with pytest.raises(SealError, match=told):
        seal_file(
            tmp_path / "plain", tmp_path / "x", MODEL, recipients, "blake3", randomness=secrets.token_bytes
        )


def test_an_initial_file_cannot_be_sealed_without_its_owner(tmp_path: Path) -> None:
    with pytest.raises(SealError, match="its owner's signature"):
        seal(CANARY, tmp_path / "x", INITIAL)


def test_an_initial_file_opens_for_those_who_know_its_owner(path: Path, owner: OwnerKey) -> None:
    key = signed(CONTENT, path, owner)

    assert opened(path, key, INITIAL, owner) == CONTENT
    assert file_key(read_header(path), owner.seal) == key


def test_an_initial_file_never_opens_without_its_owner(path: Path, owner: OwnerKey) -> None:
    key = signed(CANARY, path, owner)

    with pytest.raises(ValueError, match="owner's signature"):
        opened(path, key, INITIAL)


def test_another_owners_file_is_refused(path: Path, owner: OwnerKey, tmp_path: Path) -> None:
    other = create_owner("clinic", tmp_path / "other")
    key = signed(CANARY, path, other)

    assert "another key than the one of the owner clinic" in refused(path, key, INITIAL, owner)


def test_a_file_of_a_run_has_no_signature_of_an_owner(path: Path, owner: OwnerKey) -> None:
    made = seal(CANARY, path)

    assert "no signature" in refused(path, made.key, MODEL, owner)


def test_a_recipient_more_breaks_the_signature(path: Path, owner: OwnerKey) -> None:
    key = signed(CANARY, path, owner)
    header = header_of(path)
    seal(CANARY, path.with_name("other"))
    header["recipients"] += header_of(path.with_name("other"))["recipients"]
    with_header(path, header)

    assert "altered" in refused(path, key, INITIAL, owner)


def test_a_recipient_cannot_put_other_content_behind_the_signature(path: Path, owner: OwnerKey) -> None:
    key = signed(CANARY, path, owner)
    salt, content = bytes(SALT_BYTES), b"a backdoor"
    forge(path, key, INITIAL, salt + content + blake3(content, key=salt).digest())

    assert "not the one that its owner signed" in refused(path, key, INITIAL, owner)


def test_a_file_that_changes_while_it_is_sealed_is_not_signed(tmp_path: Path, owner: OwnerKey) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(CANARY)
    calls: list[int] = []

    def randomness(size: int) -> bytes:
        calls.append(size)
        if (
            len(calls) == 3
        ):  # the file's key and the inner salt are made; the content is about to be encrypted
            plain.write_bytes(b"something else")
        return secrets.token_bytes(size)

    with pytest.raises(SealError, match="written to while it was sealed"):
        seal_signed(plain, tmp_path / "sealed", INITIAL, owner, "blake3", randomness=randomness)

    assert [each.name for each in tmp_path.iterdir()] == ["plain"]


@pytest.mark.parametrize("offset", [0, FIRST_PLAIN_BYTES - 33, FIRST_PLAIN_BYTES - 32, len(CONTENT) - 1])
def test_a_byte_of_the_content_is_found_in_its_segment(path: Path, offset: int) -> None:
    made = seal(CONTENT, path)

    number, place = segment_of(offset)

    assert read_segment(path, made.key, MODEL, number)[place] == CONTENT[offset]


def test_files_of_the_format_as_it_was_first_written_open(path: Path) -> None:
    path.write_bytes(recorded("model"))
    for key in (SITE, OTHER_SITE):
        found = file_key(read_header(path), key)
        assert found is not None
        assert opened(path, found) == RECORDED_CONTENT


def test_a_signed_file_of_the_format_as_it_was_first_written_opens(path: Path) -> None:
    path.write_bytes(recorded("initial"))
    owner = recorded_owner(path.parent)
    found = file_key(read_header(path), owner.seal)
    assert found is not None

    assert opened(path, found, INITIAL, owner) == RECORDED_CONTENT


def test_a_segment_is_read_where_the_end_of_the_file_is_missing(path: Path) -> None:
    made = seal(CONTENT, path)
    path.write_bytes(path.read_bytes()[:-10])

    assert read_segment(path, made.key, MODEL, 1)[:100] == CONTENT[FIRST_PLAIN_BYTES - 32 :][:100]
    with pytest.raises(SealError, match=r"cannot open .*model\.sealed.*last segment, 2"):
        read_segment(path, made.key, MODEL, 2)


def test_a_segment_of_another_file_than_expected_is_refused(path: Path) -> None:
    made = seal(CANARY, path)

    with pytest.raises(SealError, match="its run should be"):
        read_segment(path, made.key, MODEL.model_copy(update={"run": "pneumonia-2"}), 0)


def test_a_sealed_file_opens_for_one_who_was_given_its_key_later(path: Path) -> None:
    made = seal(CANARY, path)

    wrapped = wrap_file_key(made.key, OTHER_SITE.public, MODEL)

    assert opened(path, OTHER_SITE.unwrap(wrapped, info_of(MODEL))) == CANARY
