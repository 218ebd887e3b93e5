"""Keys of a device that a verifier has to know before evidence of the device counts."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hanse.core.values.schema import Strict

_PublicArea = Annotated[str, Field(min_length=64, max_length=2048, pattern="^(?:[0-9a-f]{2})+$")]
"""A public area of a TPM (TPMT_PUBLIC), at most 1,024 bytes, hexadecimal."""


class DeviceKeys(Strict):
    """Keys of a TPM, as its machine states them; nothing of it is believed yet.

    A verifier encrypts a secret for both (`hanse.attestation.tpm.activation`), and knows from the answer that
    one TPM holds them. Certificates of the EK come along with the evidence.

    Attributes:
        ek: Public area of the endorsement key, by which the TPM is known.
        ak: Public area of the attestation key of this instance, which signs its evidence.
    """

    ek: _PublicArea
    ak: _PublicArea
