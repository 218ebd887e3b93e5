"""An instance has keys of its own, says and claims with them, and shows evidence for nothing else."""

from __future__ import annotations

import base64
import copy
import hashlib
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError
from tests.unit.attestation.test_claims import CLAIMS

from hanse.attestation.attesters.base import Attester
from hanse.attestation.base import Evidence, Kind
from hanse.attestation.claims import report_data
from hanse.attestation.instance import Instance, Occasion, check_said
from hanse.core.values.evidence.claims import Claims
from hanse.core.values.evidence.device_keys import DeviceKeys
from hanse.errors import TrustError

OCCASION = Occasion(**{name: CLAIMS[name] for name in Occasion.__dataclass_fields__})
BODY = {"exchange": 3, "update": "ab"}


class Device(Attester):
    """A device that states what it is given."""

    kind = Kind.TPM
    event_log = b"log"

    def keys(self) -> DeviceKeys | None:
        return None

    def activate(self, challenge: bytes) -> bytes:
        return challenge

    def evidence(self, report_data: bytes) -> Evidence:
        return Evidence(Kind.TPM, report_data)

    def close(self) -> None:
        pass


def randomness(seed: bytes) -> Callable[[int], bytes]:
    return lambda size: hashlib.shake_256(seed).digest(size)


def instance(seed: bytes = b"one") -> Instance:
    return Instance.start(randomness(seed))


def test_every_start_is_another_instance() -> None:
    assert instance(b"one").name != instance(b"two").name
    assert instance(b"one").name == instance(b"one").name


def test_claims_name_the_instance_and_the_log_of_its_device() -> None:
    claims = instance().claims(OCCASION, Device())

    assert claims.instance == instance().name
    assert claims.log == hashlib.sha256(b"log").hexdigest()
    assert claims == Claims(
        **CLAIMS
        | {"seal": instance().seal_public, "speak": instance().speak_public}
        | {"log": claims.log, "devices": ()}
    )


def test_a_verifier_builds_the_same_claims_from_what_the_peer_shows() -> None:
    ours = instance().claims(OCCASION, Device())

    assert OCCASION.claims(ours.seal, ours.speak, ours.log) == ours
    with pytest.raises(ValidationError):
        OCCASION.claims("no key", ours.speak, ours.log)


def test_evidence_is_bound_to_the_claims() -> None:
    claims = instance().claims(OCCASION, Device())

    assert instance().show(Device(), claims).quote == report_data(claims, Kind.TPM)


@pytest.mark.parametrize("changed", [{"speak": "5" * 64}, {"log": ""}, {"seal": "4" * 64}])
def test_no_evidence_is_made_for_claims_of_others(changed: dict[str, Any]) -> None:
    claims = instance().claims(OCCASION, Device()).model_copy(update=changed)

    with pytest.raises(ValueError, match="of this instance"):
        instance().show(Device(), claims)


def test_what_an_instance_says_is_checked_with_its_key() -> None:
    said = instance().say("outcome", BODY)

    check_said(instance().speak_public, "outcome", BODY, said)
    for key, purpose, body in (
        (instance(b"two").speak_public, "outcome", BODY),
        (instance().speak_public, "release", BODY),
        (instance().speak_public, "outcome", BODY | {"exchange": 4}),
    ):
        with pytest.raises(TrustError, match="did not say it"):
            check_said(key, purpose, body, said)


@pytest.mark.parametrize("key", ["", "zz", "ab" * 31, "ab" * 33])
def test_a_malformed_key_has_said_nothing(key: str) -> None:
    with pytest.raises(TrustError):
        check_said(key, "outcome", BODY, instance().say("outcome", BODY))


def test_a_signature_has_one_form() -> None:
    said = instance().say("outcome", BODY)
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = said[:-3] + digits[digits.index(said[-3]) + 1] + "=="  # of bits that no byte has
    assert base64.b64decode(other) == base64.b64decode(said)

    for signature in (other, "", "A", said + "\n", said[:-4], said.rstrip("=")):
        with pytest.raises(TrustError):
            check_said(instance().speak_public, "outcome", BODY, signature)


def test_an_instance_is_never_printed_or_copied() -> None:
    ours = instance()

    assert repr(ours) == f"Instance({ours.name[:16]})"
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="never copied"):
            copied(ours)
