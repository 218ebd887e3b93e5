"""Keys of a device travel as bounded hexadecimal text."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from hanse.core.values.evidence.device_keys import DeviceKeys


def test_keys_are_read_as_they_were_written() -> None:
    keys = DeviceKeys(ek="ab" * 314, ak="cd" * 86)

    assert DeviceKeys.model_validate_json(keys.model_dump_json()) == keys


@pytest.mark.parametrize("area", ["", "ab" * 31, "ab" * 1025, "ab" * 40 + "a", "AB" * 40, "ab" * 40 + "\n"])
def test_what_is_no_public_area_is_refused(area: str) -> None:
    with pytest.raises(ValidationError):
        DeviceKeys(ek="ab" * 314, ak=area)
