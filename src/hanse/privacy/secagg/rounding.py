"""Random bytes for the rounding of a vector, from a key for each tensor."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from hanse.privacy.secagg.grid import Randomness
from hanse.privacy.secagg.layout import Layout

_KEY_BYTES = 16
_BYTES_A_NUMBER = 4
_ZEROS = memoryview(bytes(1 << 20))
_SLACK = 15
"""Bytes that the cipher wants behind what it writes."""


class RoundingStreams:
    """Gives `hanse.privacy.secagg.vector.encode` its random bytes: AES-128-CTR under a fresh key a tensor.

    Several times faster than the operating system's generator, which gives the keys. A tensor that is
    another one by a second name gets the stream of that one, so that both stay the same bits in the sum.

    Args:
        layout: Of the vector.
        randomness: Gives the keys.
        ties: Names of tensors that are another one by a second name, with the name of that one.
    """

    def __init__(self, layout: Layout, randomness: Randomness, ties: Mapping[str, str]) -> None:
        self._ties = ties
        self._randomness = randomness
        self._keys: dict[str, bytes] = {}
        self._entries = deque(entry for entry in layout.entries if entry.kind == "real" and entry.size)
        self._left = 0
        self._stream: Any = None

    def __call__(self, size: int) -> bytes:
        """The next bytes; never of two tensors at once.

        Raises:
            ValueError: More are asked for than the tensor has numbers.
        """
        if not self._left:
            entry = self._entries.popleft()
            self._left = entry.size * _BYTES_A_NUMBER
            self._stream = Cipher(algorithms.AES128(self._key(entry.name)), modes.CTR(bytes(16))).encryptor()
        if size > self._left:
            raise ValueError(f"{size} random bytes are asked for where {self._left} are left for the tensor")
        self._left -= size
        out = bytearray(size + _SLACK)
        for begin in range(0, size, len(_ZEROS)):
            part = min(len(_ZEROS), size - begin)
            self._stream.update_into(_ZEROS[:part], memoryview(out)[begin:])
        return bytes(memoryview(out)[:size])

    def _key(self, name: str) -> bytes:
        first = self._ties.get(name, name)
        return self._keys.setdefault(first, self._keys.get(first) or self._randomness(_KEY_BYTES))
