"""Policy files for tests: one with a section of each kind, and ways to change it."""

from __future__ import annotations

from typing import Any

from tests.dcap.policies import sgx_table, tdx_table
from tests.gpu import vectors as gpu
from tests.snp import vectors as snp
from tests.tpm import forge as tpm

from hanse.attestation.policy.file import FORMAT, AppraisalPolicy
from hanse.attestation.policy.write import toml_of


def whole_policy(**sections: Any) -> AppraisalPolicy:
    """A policy with a section of each kind, or with those that are named."""
    found = sections or {
        "sgx": sgx_table(),
        "tdx": tdx_table(),
        "snp": snp.policy_values(),
        "tpm": tpm.policy(tpm.Tpm()),
        "gpu": gpu.policy(),
    }
    return AppraisalPolicy.model_validate({"format": FORMAT, **found})


def whole_text(**sections: Any) -> str:
    """The same as a file."""
    return toml_of(whole_policy(**sections))
