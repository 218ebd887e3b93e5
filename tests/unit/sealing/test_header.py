"""Headers of sealed files: one form, bounded, and refused in words."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.sealed_files import INITIAL, MODEL, OTHER_SITE, SITE, header_of, seal, with_header

from hanse.core.values.canonical import canonical_json
from hanse.errors import SealError, StorageError
from hanse.sealing.header import MAGIC, MOST_HEADER_BYTES, Header, Label, file_key, read_header


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    seal(b"weights", tmp_path / "model.sealed")
    return tmp_path / "model.sealed"


def test_a_header_comes_back_as_it_was_written(sealed: Path) -> None:
    header = read_header(sealed)

    assert header.label == MODEL
    assert [each.to for each in header.recipients] == [SITE.fingerprint]
    assert sealed.read_bytes().startswith(header.to_bytes())


def test_a_header_says_in_words_what_the_file_is() -> None:
    rehearsal = MODEL.model_copy(update={"rehearsal": True})

    assert str(MODEL) == "model 'round 3' of run pneumonia-1, plan abababababab, in federation hospitals"
    assert str(rehearsal).endswith("(rehearsal)")
    assert str(INITIAL) == "initial 'pretrained' in federation hospitals"


def test_a_file_that_is_not_sealed_to_a_key_has_no_file_key_for_it(sealed: Path) -> None:
    assert file_key(read_header(sealed), OTHER_SITE) is None


def test_each_recipient_gets_the_same_file_key(tmp_path: Path) -> None:
    made = seal(b"weights", tmp_path / "model.sealed", to=(SITE, OTHER_SITE))
    header = read_header(tmp_path / "model.sealed")

    assert file_key(header, SITE) == file_key(header, OTHER_SITE) == made.key


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("purpose", "group"),
        ("federation", "banks"),
        ("run", "pneumonia-2"),
        ("plan", "cd" * 32),
        ("name", "round 4"),
        ("rehearsal", True),
    ],
)
def test_the_file_key_does_not_open_below_another_label(sealed: Path, name: str, value: object) -> None:
    header = header_of(sealed)
    header["label"][name] = value
    with_header(sealed, header)

    with pytest.raises(SealError, match="for another file"):
        file_key(read_header(sealed), SITE)


def test_a_wrapped_key_of_another_file_does_not_open(tmp_path: Path, sealed: Path) -> None:
    seal(b"other", tmp_path / "other.sealed", MODEL.model_copy(update={"name": "round 4"}))
    header = header_of(sealed)
    header["recipients"] = header_of(tmp_path / "other.sealed")["recipients"]
    with_header(sealed, header)

    with pytest.raises(SealError, match="for another file"):
        file_key(read_header(sealed), SITE)


def _without(header: Any, name: str) -> Any:
    return {key: value for key, value in header.items() if key != name}


MALFORMED = {
    "another format": lambda header: header | {"format": "hanse-sealed-2"},
    "a field more": lambda header: header | {"note": ""},
    "a field less": lambda header: _without(header, "signature"),
    "no label": lambda header: _without(header, "label"),
    "an unknown purpose": lambda header: header | {"label": header["label"] | {"purpose": "gift"}},
    "a run that is a path": lambda header: header | {"label": header["label"] | {"run": "../../run"}},
    "a plan that is not a digest": lambda header: header | {"label": header["label"] | {"plan": "x"}},
    "a name that moves the cursor": lambda header: header | {"label": header["label"] | {"name": "\x1b[2J"}},
    "no name": lambda header: header | {"label": header["label"] | {"name": ""}},
    "a long name": lambda header: header | {"label": header["label"] | {"name": "x" * 201}},
    "no recipient": lambda header: header | {"recipients": []},
    "17 recipients": lambda header: header | {"recipients": header["recipients"] * 17},
    "a recipient twice": lambda header: header | {"recipients": header["recipients"] * 2},
    "a short wrapped key": lambda header: (
        header | {"recipients": [header["recipients"][0] | {"wrapped": "AAAA"}]}
    ),
    "base64 in another form": lambda header: (
        header
        | {
            "recipients": [
                header["recipients"][0] | {"wrapped": header["recipients"][0]["wrapped"][:-3] + "/=="}
            ]
        }
    ),
    "a rehearsal that is a number": lambda header: header | {"label": header["label"] | {"rehearsal": 1}},
    "a list": lambda header: [header],
    "nothing": lambda header: None,
}


@pytest.mark.parametrize("change", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_header_is_refused(sealed: Path, change: Any) -> None:
    with_header(sealed, change(header_of(sealed)))

    with pytest.raises(SealError, match=r"the header of .*model\.sealed"):
        read_header(sealed)


@pytest.mark.parametrize("data", [b"\xff", b"{", b"[" * 60_000, b"NaN"])
def test_a_header_that_is_not_json_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "model.sealed"
    path.write_bytes(MAGIC + len(data).to_bytes(4, "big") + data)

    with pytest.raises(SealError, match="the header of"):
        read_header(path)


def test_a_header_in_another_form_is_refused(sealed: Path) -> None:
    data = canonical_json(header_of(sealed)).replace(b'":', b'": ', 1)
    sealed.write_bytes(MAGIC + len(data).to_bytes(4, "big") + data)

    with pytest.raises(SealError, match="not in its one form"):
        read_header(sealed)


def test_a_huge_header_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.sealed"
    path.write_bytes(MAGIC + (1 << 31).to_bytes(4, "big"))

    with pytest.raises(SealError, match=f"more than {MOST_HEADER_BYTES} bytes"):
        read_header(path)


def test_a_header_of_sixteen_recipients_fits(tmp_path: Path, sealed: Path) -> None:
    header = header_of(sealed)
    first = header["recipients"][0]
    header["recipients"] = [first | {"to": f"{number:064x}"} for number in range(16)]

    assert len(Header.model_validate(header).to_bytes()) < MOST_HEADER_BYTES


@pytest.mark.parametrize("data", [b"", b"HANSE", b"HANSESL2" + bytes(100), b"PK\x03\x04" + bytes(100)])
def test_another_file_is_not_a_sealed_file(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(data)

    with pytest.raises(SealError, match=r"weights\.safetensors is not a sealed file"):
        read_header(path)


@pytest.mark.parametrize("size", [8, 10, 12, 500])
def test_a_cut_header_is_refused(sealed: Path, size: int) -> None:
    sealed.write_bytes(sealed.read_bytes()[:size])

    with pytest.raises(SealError, match="header"):
        read_header(sealed)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"gone\.sealed"):
        read_header(tmp_path / "gone.sealed")


@pytest.mark.parametrize(
    "label",
    [
        {"purpose": "model", "federation": "hospitals", "name": "x"},
        {"purpose": "model", "federation": "hospitals", "name": "x", "run": "r-1"},
        {"purpose": "initial", "federation": "hospitals", "name": "x", "run": "r-1"},
        {"purpose": "file", "federation": "hospitals", "name": "x", "plan": "ab" * 32},
    ],
)
def test_a_label_has_run_and_plan_or_neither_as_its_purpose_is(label: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"of (a run and a|no run and no) plan"):
        Label.model_validate(label)


def test_an_initial_file_without_a_signature_is_malformed(sealed: Path) -> None:
    header = header_of(sealed)
    header["label"] = INITIAL.model_dump(mode="json")
    with_header(sealed, header)

    with pytest.raises(SealError, match="has its owner's signature"):
        read_header(sealed)
