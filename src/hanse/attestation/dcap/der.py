"""Reading of DER (ITU-T X.690), as far as extensions of certificates need it; nothing but canonical forms."""

from __future__ import annotations

from dataclasses import dataclass

from hanse.attestation.reading import Reader
from hanse.errors import EvidenceError

BOOLEAN, INTEGER, OCTETS, OBJECT, ENUMERATED, SEQUENCE = 0x01, 0x02, 0x04, 0x06, 0x0A, 0x30
_TAGS = {
    BOOLEAN: "BOOLEAN",
    INTEGER: "INTEGER",
    OCTETS: "OCTET STRING",
    OBJECT: "OBJECT IDENTIFIER",
    ENUMERATED: "ENUMERATED",
    SEQUENCE: "SEQUENCE",
}


@dataclass(frozen=True, slots=True)
class Item:
    """A value with its tag.

    Attributes:
        tag: The identifier octet.
        content: The content octets.
        what: What it is, for messages.
    """

    tag: int
    content: bytes
    what: str

    def of(self, tag: int) -> bytes:
        """The content of a value that should have a tag.

        Raises:
            EvidenceError: It has another.
        """
        if self.tag != tag:
            raise EvidenceError(f"{self.what} should be a DER {_TAGS[tag]}, and has the tag {self.tag:#04x}")
        return self.content

    def octets(self, size: int) -> bytes:
        """An octet string of exactly so many bytes."""
        content = self.of(OCTETS)
        if len(content) != size:
            raise EvidenceError(f"{self.what} should have {size} bytes, and has {len(content)}")
        return content

    def number(self, most: int, tag: int = INTEGER) -> int:
        """A whole number from 0 to `most`, in its shortest form."""
        content = self.of(tag)
        short = content[:1] != b"\0" or len(content) == 1 or content[1] & 0x80
        if not content or content[0] & 0x80 or not short or len(content) > 8:
            raise EvidenceError(f"{self.what} should be a small number in its shortest DER form")
        value = int.from_bytes(content, "big")
        if value > most:
            raise EvidenceError(f"{self.what} is {value}, more than {most}")
        return value

    def boolean(self) -> bool:
        """A truth value: 0x00 or 0xFF."""
        content = self.of(BOOLEAN)
        if content not in (b"\0", b"\xff"):
            raise EvidenceError(f"{self.what} should be a DER BOOLEAN: 00 or ff")
        return content == b"\xff"

    def items(self, most: int = 64) -> list[Item]:
        """The values in a sequence."""
        return read_items(self.of(SEQUENCE), self.what, most)


def read_items(data: bytes, what: str, most: int = 64) -> list[Item]:
    """Read values that follow each other, up to the end.

    Raises:
        EvidenceError: They are not DER, or there are more than `most`.
    """
    reader = Reader(data, what)
    found: list[Item] = []
    while reader.left:
        if len(found) == most:
            raise EvidenceError(f"{what} has more than {most} values")
        tag = reader.little(1, "tag")
        size = reader.little(1, "length")
        if size & 0x80:
            octets = size & 0x7F
            size = reader.big(octets, "length") if 1 <= octets <= 2 else 0
            if size < (0x80 if octets == 1 else 0x100):
                raise EvidenceError(f"{what}: a length at offset {reader.at} is not in its shortest DER form")
        found.append(Item(tag, reader.take(size, "content"), what))
    return found
