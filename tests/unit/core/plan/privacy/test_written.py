"""Plans with secure aggregation as manifests: what is written is read again."""

from __future__ import annotations

import pytest
from tests.unit.core.plan.privacy.secure_plans import secure_plan

from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.values.canonical import sha256
from hanse.errors import PlanError

SECTION = {
    "model": {"clip": 1.0, "integers": [-3, 3]},
    "metrics": {"loss": {"range": [0.5, 20], "optional": True}},
}


def manifest() -> Manifest:
    file = CodeFile(path="model.py", sha256="5" * 64, size=1)
    return Manifest(plan=secure_plan(SECTION), files=(file,))


def test_ranges_are_read_as_they_were_written() -> None:
    read = Manifest.from_bytes(manifest().to_bytes(), manifest().digest)

    assert read == manifest()


@pytest.mark.parametrize(("written", "other"), [(b"[-3,3]", b'["-3",3]'), (b"[-3,3]", b"[-3.5,3]")])
def test_a_range_of_something_else_than_numbers_is_refused(written: bytes, other: bytes) -> None:
    altered = manifest().to_bytes().replace(written, other)

    with pytest.raises(PlanError, match="integers"):
        Manifest.from_bytes(altered, sha256(altered))
