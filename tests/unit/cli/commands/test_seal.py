"""`hanse owner`, `hanse seal` and `hanse unseal`: one clear line for each mistake."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from tests.commands import Ended, Hanse
from tests.sealed_files import MODEL, header_of, seal, with_header

from hanse.pki.key_words import read_fingerprint
from hanse.sealing.owner import load_owner, load_owner_key
from hanse.wire.tensors import write_file


@pytest.fixture
def folder(tmp_path: Path, hanse: Hanse) -> Path:
    """A folder with an owner's keys and a model."""
    assert hanse("owner", "create", "clinic", "-d", tmp_path / "owner").code == 0
    write_file(tmp_path / "start.safetensors", {"w": np.arange(1_000, dtype=np.float32)})
    return tmp_path


@pytest.fixture
def sealed(folder: Path, hanse: Hanse) -> Path:
    assert _seal(hanse, folder, "--federation", "hospitals").code == 0
    return folder / "start.safetensors.sealed"


def _seal(hanse: Hanse, folder: Path, *options: object) -> Ended:
    return hanse("seal", folder / "start.safetensors", "--owner", folder / "owner" / "owner.key", *options)


def _unseal(hanse: Hanse, folder: Path, file: Path, *options: object) -> Ended:
    return hanse("unseal", file, "--key", folder / "owner" / "owner.key", "-o", folder / "opened", *options)


def _of_a_run(folder: Path, name: str = "result.sealed", **changes: object) -> Path:
    """A file as the aggregator seals it for the owner."""
    key = load_owner_key(folder / "owner" / "owner.key").seal
    seal(b"the result", folder / name, MODEL.model_copy(update=changes), to=(key,))
    return folder / name


def test_an_owner_is_shown_with_words_for_the_telephone(folder: Path, hanse: Hanse) -> None:
    owner = load_owner(folder / "owner" / "owner.json")

    shown = hanse("owner", "show", folder / "owner" / "owner.json").out
    told = json.loads(hanse("owner", "show", folder / "owner" / "owner.json", "--json").out)

    assert owner.fingerprint in shown
    assert told["fingerprint"] == owner.fingerprint
    assert owner.fingerprint.startswith(read_fingerprint(told["words"]))
    assert told["words"] in shown


def test_the_keys_of_an_owner_are_never_written_over(folder: Path, hanse: Hanse) -> None:
    before = (folder / "owner" / "owner.key").read_bytes()

    ended = hanse("owner", "create", "clinic", "-d", folder / "owner")

    assert ended.code == 8
    assert "owner.key exists already" in ended.err
    assert (folder / "owner" / "owner.key").read_bytes() == before


def test_an_owner_has_a_name_of_the_kind_that_parties_have(tmp_path: Path, hanse: Hanse) -> None:
    ended = hanse("owner", "create", "Our Clinic", "-d", tmp_path / "owner")

    assert ended.code == 3
    assert not (tmp_path / "owner").exists()


def test_a_sealed_model_comes_back(folder: Path, sealed: Path, hanse: Hanse) -> None:
    ended = _unseal(hanse, folder, sealed)

    assert ended.code == 0, ended.err
    assert "initial 'start' in federation hospitals" in ended.out
    assert "signed by its owner" in ended.out
    assert (folder / "opened").read_bytes() == (folder / "start.safetensors").read_bytes()


def test_a_script_learns_what_was_sealed_and_opened(folder: Path, hanse: Hanse) -> None:
    made = json.loads(
        _seal(hanse, folder, "--federation", "hospitals", "--name", "v1", "-o", folder / "s", "--json").out
    )
    told = json.loads(_unseal(hanse, folder, folder / "s", "--json").out)

    assert (made["purpose"], made["federation"], made["name"]) == ("initial", "hospitals", "v1")
    assert made["bytes"] == (folder / "s").stat().st_size
    assert (told["name"], told["signed"]) == ("v1", True)
    assert made["sha256"] in told["digests"]


def test_what_is_not_safetensors_is_no_first_model(folder: Path, hanse: Hanse) -> None:
    (folder / "start.safetensors").write_bytes(b"PK\x03\x04, a pickle in a zip")

    ended = _seal(hanse, folder, "--federation", "hospitals")

    assert ended.code == 6
    assert "--purpose file" in ended.err
    assert not (folder / "start.safetensors.sealed").exists()
    assert _seal(hanse, folder, "--federation", "hospitals", "--purpose", "file").code == 0


@pytest.mark.parametrize(
    "options", [("--federation", "No Name"), ("--federation", "hospitals", "--name", "")]
)
def test_a_label_that_cannot_be_is_refused(folder: Path, hanse: Hanse, options: tuple[str, ...]) -> None:
    ended = _seal(hanse, folder, *options)

    assert ended.code == 3
    assert options[-2].lstrip("-") in ended.err


def test_a_missing_file_is_named(folder: Path, hanse: Hanse) -> None:
    ended = _unseal(hanse, folder, folder / "gone.sealed")

    assert ended.code == 2
    assert "gone.sealed" in ended.err


def test_the_key_of_another_owner_is_named(folder: Path, sealed: Path, hanse: Hanse) -> None:
    hanse("owner", "create", "clinic", "-d", folder / "other")

    ended = hanse("unseal", sealed, "--key", folder / "other" / "owner.key", "-o", folder / "opened")

    assert ended.code == 8
    assert "is not sealed to the owner clinic" in ended.err
    assert not (folder / "opened").exists()


def test_public_keys_open_nothing(folder: Path, sealed: Path, hanse: Hanse) -> None:
    public = folder / "owner" / "owner.json"

    ended = hanse("unseal", sealed, "--key", public, "-o", folder / "opened")

    assert ended.code == 8
    assert "is not the private key of an owner" in ended.err


def test_a_cut_file_is_refused(folder: Path, sealed: Path, hanse: Hanse) -> None:
    sealed.write_bytes(sealed.read_bytes()[:-1])

    ended = _unseal(hanse, folder, sealed)

    assert ended.code == 8
    assert "altered or cut" in ended.err
    assert not (folder / "opened").exists()


def test_a_file_of_another_federation_is_refused(folder: Path, sealed: Path, hanse: Hanse) -> None:
    ended = _unseal(hanse, folder, sealed, "--federation", "banks")

    assert ended.code == 8
    assert "in federation hospitals" in ended.err
    assert "not in federation banks" in ended.err


def test_a_full_disk_is_named(
    folder: Path, sealed: Path, hanse: Hanse, largest_file: Callable[[int], AbstractContextManager[None]]
) -> None:
    with largest_file(1_000):
        ended = _unseal(hanse, folder, sealed)

    assert ended.code == 7
    assert "start.safetensors.sealed" in ended.err
    assert not (folder / "opened").exists()


def test_a_file_is_not_sealed_onto_itself(folder: Path, hanse: Hanse) -> None:
    ended = _seal(hanse, folder, "--federation", "hospitals", "-o", folder / "start.safetensors")

    assert ended.code == 3
    assert "is the file itself" in ended.err


def test_a_result_of_a_run_says_which(folder: Path, hanse: Hanse) -> None:
    ended = _unseal(hanse, folder, _of_a_run(folder))

    assert ended.code == 0, ended.err
    assert "of run pneumonia-1" in ended.out
    assert (folder / "opened").read_bytes() == b"the result"


def test_a_result_of_a_run_is_not_said_to_be_signed(folder: Path, hanse: Hanse) -> None:
    ended = _unseal(hanse, folder, _of_a_run(folder))

    assert "nothing in the file says who sealed it" in ended.out
    assert "signed by its owner" not in ended.out


def test_a_file_of_a_rehearsal_opens_only_where_that_is_said(folder: Path, hanse: Hanse) -> None:
    rehearsed = _of_a_run(folder, rehearsal=True)

    refused = _unseal(hanse, folder, rehearsed)

    assert refused.code == 4
    assert "--rehearsal" in refused.err
    assert "(rehearsal)" in _unseal(hanse, folder, rehearsed, "--rehearsal").out


def test_a_mark_of_a_rehearsal_cannot_be_taken_off(folder: Path, hanse: Hanse) -> None:
    rehearsed = _of_a_run(folder, rehearsal=True)
    header = header_of(rehearsed)
    header["label"]["rehearsal"] = False
    with_header(rehearsed, header)

    ended = _unseal(hanse, folder, rehearsed)

    assert ended.code == 8
    assert "cannot open" in ended.err
    assert "result.sealed" in ended.err


def test_another_file_than_a_sealed_one_is_refused(folder: Path, hanse: Hanse) -> None:
    ended = _unseal(hanse, folder, folder / "start.safetensors")

    assert ended.code == 8
    assert "is not a sealed file" in ended.err
