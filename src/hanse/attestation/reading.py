"""Reading of binary structures: bounded, every field by its name, nothing left unread unseen."""

from __future__ import annotations

from dataclasses import dataclass, field

from hanse.errors import EvidenceError


@dataclass(slots=True)
class Reader:
    """A cursor over bytes that a stranger has sent.

    Attributes:
        data: The bytes.
        what: What they are, for messages: `TDX quote`.
        at: Offset of the next byte.
    """

    data: bytes
    what: str
    at: int = field(default=0)

    @property
    def left(self) -> int:
        """Bytes that were not read yet."""
        return len(self.data) - self.at

    def take(self, size: int, name: str) -> bytes:
        """The next bytes.

        Raises:
            EvidenceError: There are fewer.
        """
        if not 0 <= size <= self.left:
            raise EvidenceError(
                f"{self.what}: its {name} takes {size} bytes at offset {self.at}, and {self.left} are left",
                mend="The file is cut off or damaged: record it again.",
            )
        taken = self.data[self.at : self.at + size]
        self.at += size
        return taken

    def little(self, size: int, name: str) -> int:
        """The next bytes as an unsigned number, least byte first."""
        return int.from_bytes(self.take(size, name), "little")

    def big(self, size: int, name: str) -> int:
        """The next bytes as an unsigned number, greatest byte first."""
        return int.from_bytes(self.take(size, name), "big")

    def zeros(self, size: int, name: str) -> None:
        """Skip a field that is reserved.

        Raises:
            EvidenceError: It is not zero.
        """
        at = self.at
        if any(self.take(size, name)):
            raise EvidenceError(f"{self.what}: its {name} at offset {at} is reserved, and is not zero")

    def rest(self) -> bytes:
        """All that was not read yet."""
        return self.take(self.left, "rest")

    def end(self, padding: bytes = b"\0") -> None:
        """Hold that nothing but padding follows.

        Args:
            padding: The byte that may follow, any number of times; empty for none.

        Raises:
            EvidenceError: Something else follows.
        """
        at, rest = self.at, self.rest()
        if rest.strip(padding) if padding else rest:
            raise EvidenceError(
                f"{self.what}: {len(rest)} bytes after its end at offset {at} are not padding",
                mend="Only zeros may follow a quote.",
            )
