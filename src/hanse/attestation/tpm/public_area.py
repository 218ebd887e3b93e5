"""Public areas of keys in a TPM (TPMT_PUBLIC; TPM 2.0 library, part 2, section 12.2.4), and their names."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from hanse.attestation.reading import Reader
from hanse.attestation.tpm.algorithms import (
    AES,
    CFB,
    ECC,
    ECDSA,
    NULL,
    OAEP,
    P256,
    P384,
    RSA,
    RSAES,
    RSAPSS,
    RSASSA,
    digest,
    in_words,
    read_sized,
)
from hanse.errors import EvidenceError

MAX_PUBLIC = 1024
"""Bytes of a public area; one of RSA 4096 takes some 600."""
_RSA_BITS = range(2048, 4097)
_CURVES: dict[int, tuple[type[ec.SECP256R1] | type[ec.SECP384R1], int]] = {
    P256: (ec.SECP256R1, 32),
    P384: (ec.SECP384R1, 48),
}


class Attributes(IntFlag):
    """TPMA_OBJECT (part 2, section 8.3)."""

    FIXED_TPM = 1 << 1
    ST_CLEAR = 1 << 2
    FIXED_PARENT = 1 << 4
    SENSITIVE_DATA_ORIGIN = 1 << 5
    USER_WITH_AUTH = 1 << 6
    ADMIN_WITH_POLICY = 1 << 7
    NO_DA = 1 << 10
    ENCRYPTED_DUPLICATION = 1 << 11
    RESTRICTED = 1 << 16
    DECRYPT = 1 << 17
    SIGN = 1 << 18
    X509_SIGN = 1 << 19


NAMES = {
    Attributes.FIXED_TPM: "fixedTPM",
    Attributes.ST_CLEAR: "stClear",
    Attributes.FIXED_PARENT: "fixedParent",
    Attributes.SENSITIVE_DATA_ORIGIN: "sensitiveDataOrigin",
    Attributes.USER_WITH_AUTH: "userWithAuth",
    Attributes.ADMIN_WITH_POLICY: "adminWithPolicy",
    Attributes.NO_DA: "noDA",
    Attributes.ENCRYPTED_DUPLICATION: "encryptedDuplication",
    Attributes.RESTRICTED: "restricted",
    Attributes.DECRYPT: "decrypt",
    Attributes.SIGN: "sign",
    Attributes.X509_SIGN: "x509sign",
}
"""Attributes as the specification writes them."""
_KNOWN = sum(NAMES)
_IN_THE_TPM = Attributes.FIXED_TPM | Attributes.FIXED_PARENT | Attributes.SENSITIVE_DATA_ORIGIN
ATTESTING = _IN_THE_TPM | Attributes.RESTRICTED | Attributes.SIGN
"""Attributes of a key that signs what a TPM states: made in it, never outside, for its own words alone."""
ENDORSING = _IN_THE_TPM | Attributes.RESTRICTED | Attributes.DECRYPT
"""Attributes of a key that a TPM is known by."""

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


@dataclass(frozen=True, slots=True)
class PublicArea:
    """Public area of a key.

    Attributes:
        data: The TPMT_PUBLIC, without a size before it.
        name_hash: Algorithm of its name.
        attributes: What the TPM lets the key do.
        scheme: Signature scheme that the key is bound to; `NULL` for none.
        scheme_hash: Hash of that scheme; `NULL` for none.
        symmetric_bits: Bits of the AES key that protects what lies under this key; 0 for none.
        key: The key: RSA of 2048 to 4096 bits, P-256 or P-384.
    """

    data: bytes
    name_hash: int
    attributes: Attributes
    scheme: int
    scheme_hash: int
    symmetric_bits: int
    key: PublicKey

    @property
    def name(self) -> bytes:
        """Its name: algorithm and digest of the public area (part 1, section 16)."""
        return self.name_hash.to_bytes(2, "big") + digest(self.name_hash, self.data, "hash of a name")

    @property
    def kind(self) -> str:
        """Kind of the key in words."""
        if isinstance(self.key, rsa.RSAPublicKey):
            return f"RSA {self.key.key_size}"
        return "P-256" if self.key.curve.name == "secp256r1" else "P-384"

    @property
    def properties(self) -> str:
        """Its attributes in words."""
        return ", ".join(name for attribute, name in NAMES.items() if attribute in self.attributes)


def read_public_area(data: bytes, what: str) -> PublicArea:
    """Read a TPMT_PUBLIC, or a TPM2B_PUBLIC, which is the same with its size before it.

    Raises:
        EvidenceError: It is malformed, or a key of a kind that is not taken.
    """
    if len(data) > MAX_PUBLIC:
        raise EvidenceError(f"{what} has {len(data)} bytes, more than {MAX_PUBLIC}")
    if int.from_bytes(data[:2], "big") == len(data) - 2:  # types are 1 and 35, and no key is so short
        data = data[2:]
    reader = Reader(data, what)
    kind, name_hash = reader.big(2, "type"), reader.big(2, "hash of the name")
    digest(name_hash, b"", f"{what}: hash of its name")
    flags = reader.big(4, "attributes")
    if flags & ~_KNOWN:
        raise EvidenceError(f"{what}: its attributes {flags:#010x} have bits that are reserved")
    read_sized(reader, 64, "authorisation policy")
    if kind not in (RSA, ECC):
        raise EvidenceError(f"{what}: its type is {in_words(kind)}, and RSA and ECC are taken")
    bits = _read_symmetric(reader)
    scheme, scheme_hash = _read_scheme(reader, kind)
    key = _read_rsa(reader) if kind == RSA else _read_ecc(reader)
    reader.end(b"")
    return PublicArea(data, name_hash, Attributes(flags), scheme, scheme_hash, bits, key)


def check_attesting(area: PublicArea) -> None:
    """Hold that a key signs only what its TPM says, and never was outside of it.

    Raises:
        EvidenceError: It is another kind of key.
    """
    _check_attributes(
        area,
        "AK",
        ATTESTING,
        Attributes.DECRYPT | Attributes.X509_SIGN | Attributes.ENCRYPTED_DUPLICATION,
        "Make an attestation key with `tpm2_createak`, or another that is restricted.",
    )
    if area.scheme == NULL:
        raise EvidenceError("AK: it is bound to no signature scheme, as restricted keys are")
    if area.symmetric_bits:
        raise EvidenceError("AK: it has a symmetric key, which only keys that decrypt have")


def check_endorsing(area: PublicArea) -> None:
    """Hold that a key can stand for a TPM: it decrypts, for that TPM alone.

    Raises:
        EvidenceError: It is another kind of key.
    """
    _check_attributes(
        area,
        "EK",
        ENDORSING,
        Attributes.SIGN | Attributes.X509_SIGN | Attributes.ENCRYPTED_DUPLICATION,
        "Take the key of the endorsement hierarchy that `tpm2_createek` makes.",
    )
    if not area.symmetric_bits:
        raise EvidenceError("EK: it has no symmetric key, as keys that decrypt in a TPM have")
    if area.scheme != NULL:
        raise EvidenceError(f"EK: it is bound to the scheme {in_words(area.scheme)}, and none is taken")


def _check_attributes(
    area: PublicArea, what: str, needed: Attributes, forbidden: Attributes, mend: str
) -> None:
    missing = [name for attribute, name in NAMES.items() if attribute & needed & ~area.attributes]
    if missing:
        raise EvidenceError(f"{what}: its attributes lack {', '.join(missing)}", mend=mend)
    excess = [name for attribute, name in NAMES.items() if attribute & forbidden & area.attributes]
    if excess:
        raise EvidenceError(f"{what}: its attributes have {', '.join(excess)}", mend=mend)


def _read_symmetric(reader: Reader) -> int:
    """Bits of the symmetric key (TPMT_SYM_DEF_OBJECT): AES in CFB mode, or none."""
    algorithm = reader.big(2, "symmetric algorithm")
    if algorithm == NULL:
        return 0
    bits, mode = reader.big(2, "bits of the symmetric key"), reader.big(2, "symmetric mode")
    if algorithm != AES or bits not in (128, 256) or mode != CFB:
        raise EvidenceError(
            f"{reader.what}: its symmetric key is {in_words(algorithm)} of {bits} bits in mode "
            f"{in_words(mode)}, and AES of 128 or 256 bits in mode CFB is taken"
        )
    return bits


def _read_scheme(reader: Reader, kind: int) -> tuple[int, int]:
    """Scheme and its hash (TPMT_RSA_SCHEME, TPMT_ECC_SCHEME)."""
    scheme = reader.big(2, "scheme")
    if scheme == NULL or (kind == RSA and scheme == RSAES):
        return scheme, NULL
    if scheme not in ((RSASSA, RSAPSS, OAEP) if kind == RSA else (ECDSA,)):
        raise EvidenceError(f"{reader.what}: its scheme is {in_words(scheme)}, which is not taken")
    return scheme, reader.big(2, "hash of the scheme")


def _read_rsa(reader: Reader) -> rsa.RSAPublicKey:
    bits, exponent = reader.big(2, "bits of the key"), reader.big(4, "exponent") or 65537
    modulus = int.from_bytes(read_sized(reader, 512, "modulus"), "big")
    if bits not in _RSA_BITS or modulus.bit_length() != bits:
        raise EvidenceError(
            f"{reader.what}: its RSA key has {modulus.bit_length()} bits and states {bits}; 2048 to 4096 "
            "are taken"
        )
    try:
        return rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError as error:
        raise EvidenceError(f"{reader.what}: its RSA key is not one: {error}") from None


def _read_ecc(reader: Reader) -> ec.EllipticCurvePublicKey:
    number, derivation = reader.big(2, "curve"), reader.big(2, "key derivation")
    if number not in _CURVES or derivation != NULL:
        raise EvidenceError(
            f"{reader.what}: its curve is {number:#06x} with key derivation {in_words(derivation)}; P-256 "
            "and P-384 without one are taken"
        )
    curve, size = _CURVES[number]
    x = int.from_bytes(read_sized(reader, size, "x coordinate"), "big")
    y = int.from_bytes(read_sized(reader, size, "y coordinate"), "big")
    try:
        return ec.EllipticCurvePublicNumbers(x, y, curve()).public_key()
    except ValueError:
        raise EvidenceError(f"{reader.what}: its point is not on the curve") from None
