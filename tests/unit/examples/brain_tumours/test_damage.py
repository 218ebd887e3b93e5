"""A damaged scan is refused, or it gives the image that it gave before."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from hanse.errors import ConfigError

pytestmark = pytest.mark.torch


def test_no_byte_of_a_compressed_scan_can_be_changed_so_that_it_gives_another_image(
    case: SimpleNamespace, phantom: Path, layout: object
) -> None:
    file = phantom / f"{phantom.name}_t2.nii.gz"
    whole = file.read_bytes()
    before = case.brats.read(phantom, layout)
    places = [*range(10), *range(10, len(whole), 97), *range(len(whole) - 8, len(whole))]

    accepted = []
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 0x55
        file.write_bytes(damaged)
        with suppress(ConfigError):
            accepted.append(case.brats.read(phantom, layout))

    assert len(accepted) <= 7  # time, level and system in the header of gzip, which nothing depends on
    assert all(bool((patient.image == before.image).all()) for patient in accepted)


@pytest.mark.parametrize("missing", [1, 4, 8, 9, 1000])
def test_a_compressed_scan_without_its_end_is_refused(
    case: SimpleNamespace, phantom: Path, layout: object, missing: int
) -> None:
    file = phantom / f"{phantom.name}_t2.nii.gz"
    file.write_bytes(file.read_bytes()[:-missing])

    with pytest.raises(ConfigError, match="cut off or damaged"):
        case.brats.read(phantom, layout)
