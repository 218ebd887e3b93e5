"""Known answers of keys, masks, digests and grid, against a second implementation."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from hanse.core.values.canonical import canonical_json
from hanse.core.values.parameters import TensorSpec
from hanse.core.values.sums.ready import read_ready, rho_of
from hanse.privacy.secagg.context import SumContext, codec_seed, commitment, path_digest
from hanse.privacy.secagg.grid import grid_bits, real_words
from hanse.privacy.secagg.keys import MemberKeys, pair_key, private_key, public_of
from hanse.privacy.secagg.layout import Declared, DeclaredTensor, Examples, Layout, Range, layout_of
from hanse.privacy.secagg.masks import mask_block, stream

VECTORS = json.loads((Path(__file__).parents[3] / "vectors" / "secagg.json").read_text(encoding="utf-8"))
PRIME = 2**255 - 19


def x25519(scalar: bytes, u: int) -> bytes:
    """The Montgomery ladder of RFC 7748, section 5."""
    k = int.from_bytes(scalar, "little") & ~7 & ((1 << 255) - 1) | 1 << 254
    k &= ~(1 << 255)
    x2, z2, x3, z3, swap = 1, 0, u, 1, 0
    for t in reversed(range(255)):
        bit = k >> t & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a % PRIME, b * b % PRIME, d * a % PRIME, c * b % PRIME
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % PRIME, u * (da - cb) ** 2 % PRIME
        x2, z2 = aa * bb % PRIME, e * (aa + 121665 * e) % PRIME
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, PRIME - 2, PRIME) % PRIME).to_bytes(32, "little")


def hkdf(secret: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869 with SHA-256 and without a salt."""
    prk = hmac.new(bytes(32), secret, hashlib.sha256).digest()
    return hmac.new(prk, info + b"\1", hashlib.sha256).digest()[:length]


def counter_mode(key: bytes, first: int, count: int) -> bytes:
    """AES-128 of each counter by itself."""
    encryptor = Cipher(algorithms.AES128(key), modes.ECB()).encryptor()
    return b"".join(encryptor.update((first + i).to_bytes(16, "big")) for i in range(count))


def labelled(label: str, *parts: bytes) -> bytes:
    return hashlib.sha256(label.encode() + b"\0" + b"".join(parts)).digest()


def layout(stated: dict[str, Any]) -> Layout:
    tensors = {
        name: DeclaredTensor(
            TensorSpec(tuple(t["shape"]), t["dtype"]), t["rule"], Range(*t["range"]), t["clipped"]
        )
        for name, t in stated["tensors"].items()
    }
    metrics = {name: Range(*ends) for name, ends in stated["metrics"].items()}
    declared = Declared(tensors, metrics, Examples(*stated["examples"]), tuple(stated["codecs"]))
    return layout_of(declared, ring=stated["ring"], members=stated["members"])


@pytest.mark.parametrize("vector", VECTORS["pairs"], ids=lambda v: v["name"])
def test_the_key_of_a_pair(vector: dict[str, Any]) -> None:
    own, peer = private_key(bytes.fromhex(vector["private"])), vector["peer"]
    mine = MemberKeys(vector["fingerprint"], public_of(own))
    key = pair_key(own, vector["rho"], mine, MemberKeys(peer["fingerprint"], peer["public"]), "peer")

    secret = x25519(bytes.fromhex(vector["private"]), int.from_bytes(bytes.fromhex(peer["public"]), "little"))
    members = sorted([(mine.fingerprint, mine.public), (peer["fingerprint"], peer["public"])])
    order = [vector["rho"], members[0][0], members[1][0], members[0][1], members[1][1]]
    info = b"hanse/secagg/v1/mask\0" + bytes.fromhex("".join(order))
    assert hkdf(secret, info, 16).hex() == vector["key"]
    assert (key.key.hex(), key.sign) == (vector["key"], vector["sign"])


@pytest.mark.parametrize("vector", VECTORS["streams"], ids=lambda v: v["name"])
def test_the_stream_of_a_block(vector: dict[str, Any]) -> None:
    key = bytes.fromhex(vector["key"])

    assert counter_mode(key, 65_536 * vector["block"], 4).hex() == vector["begins"]
    assert stream(key, vector["block"], 64).hex() == vector["begins"]


def test_the_last_counter_of_a_block_is_followed_by_the_first_of_the_next() -> None:
    key = bytes(range(16))

    assert stream(key, 0, 1 << 20)[-16:] == counter_mode(key, 65_535, 1)
    assert stream(key, 1, 16) == counter_mode(key, 65_536, 1)


def test_the_ready_and_its_roster() -> None:
    bodies = VECTORS["roster"]["bodies"]
    ordered = sorted(bodies, key=lambda body: body["signer"])
    hashed = canonical_json({"label": "hanse/secagg/v1/roster", "bodies": ordered})

    assert hashlib.sha256(hashed).hexdigest() == VECTORS["roster"]["rho"]
    assert rho_of([read_ready(body) for body in bodies]) == VECTORS["roster"]["rho"]


def test_the_context_and_the_seed_that_follows_from_it() -> None:
    vector = VECTORS["context"]
    parts = {key: tuple(part) if isinstance(part, list) else part for key, part in vector["parts"].items()}
    digest = SumContext(**parts).digest

    stated = vector["parts"] | {
        "label": "hanse/secagg/v1/context",
        "suite": "x25519-hkdf-sha256-aes128ctr-1",
    }
    assert hashlib.sha256(canonical_json(stated)).hexdigest() == vector["digest"] == digest
    seed = (
        int.from_bytes(labelled("hanse/secagg/v1/codec", bytes.fromhex(digest), b"random_k")[:8], "big") >> 1
    )
    assert codec_seed(digest, "random_k") == seed == vector["seed_of_random_k"]


def test_the_commitment_and_the_digest_of_a_path() -> None:
    vector = VECTORS["commitment"]
    salt, words = bytes.fromhex(vector["salt"]), vector["words"]

    assert labelled("hanse/secagg/v1/q", salt, bytes.fromhex(words)).hex() == vector["commitment"]
    assert commitment(salt, words) == commitment(salt, f"{words}-blake3") == vector["commitment"]
    path = labelled("hanse/secagg/v1/path", salt, b"/data/heart.csv").hex()
    assert path_digest(salt, "/data/heart.csv") == path == vector["path"]


def test_the_layout() -> None:
    vector = VECTORS["layout"]
    made = layout(vector["declared"])

    assert hashlib.sha256(canonical_json(vector["hashed"])).hexdigest() == vector["digest"] == made.digest
    assert made.words == vector["hashed"]["words"]


@pytest.mark.parametrize("vector", VECTORS["grid"], ids=lambda v: v["name"])
def test_a_number_on_the_grid(vector: dict[str, Any]) -> None:
    bits = grid_bits(vector["ring"], vector["members"])
    word = real_words(
        np.array([vector["value"]]),
        vector["low"],
        vector["high"],
        ring=vector["ring"],
        bits=bits,
        weight=vector["weight"],
        randomness=lambda _: bytes.fromhex(vector["random"]),
    )

    assert (bits, word.tobytes().hex()) == (vector["bits"], vector["word"])


def test_a_masked_vector() -> None:
    vector = VECTORS["masked"]
    keys = [pair_key(private_key(bytes.fromhex(p["private"])), p["rho"], MemberKeys(*p["own"]),
                     MemberKeys(*p["peer"]), "peer") for p in vector["pairs"]]  # fmt: skip
    y = list(vector["q"])
    for key in keys:
        words = np.frombuffer(counter_mode(key.key, 0, len(y) // 4), "<u4").tolist()
        y = [(word + key.sign * mask) % 2**32 for word, mask in zip(y, words, strict=True)]

    assert y == vector["y"]
    assert mask_block(np.array(vector["q"], "<u4"), 0, keys).tolist() == vector["y"]
