"""The settings of a machine choose its attester."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hanse.assembly.attested.attester import open_attester, secret_places
from hanse.config.evidence.settings import OwnEvidence
from hanse.errors import ConfigError


@pytest.mark.parametrize(
    ("own", "complaint"),
    [
        ({}, "its settings name no device"),
        ({"device": "tpm", "tpm": "device:/none"}, "no TPM: there is no /none"),
        ({"device": "tpm", "ima_log": Path("/log")}, "leads to PCR 10"),
        ({"device": "tpm", "registers": (7, 4)}, "each once, ascending"),
        ({"device": "tdx"}, "no configfs-tsm"),
        ({"device": "snp"}, "no configfs-tsm"),
        ({"device": "sgx"}, "no Gramine"),
    ],
)
def test_what_is_missing_is_said_of_the_device_that_is_named(own: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        open_attester(OwnEvidence(**own), bytes)


@pytest.mark.parametrize(
    ("own", "places"),
    [
        ({}, ()),
        ({"device": "tdx"}, ()),
        ({"device": "tpm", "tpm": "swtpm:host=localhost,port=2321"}, ()),
        ({"device": "tpm"}, ("/dev/tpmrm0", "/dev/tpmrm0.ctrl")),
        ({"device": "tpm", "tpm": "swtpm:path=/run/tpm,x=y"}, ("/run/tpm", "/run/tpm.ctrl")),
    ],
)
def test_places_of_the_device_are_named_for_sandboxes(own: dict[str, Any], places: tuple[str, ...]) -> None:
    assert secret_places(OwnEvidence(**own)) == tuple(map(Path, places))
