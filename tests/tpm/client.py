"""A client of a TPM 2.0 that writes raw commands to a socket (TPM 2.0 library, part 3)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from hanse.attestation.tpm.activation import Credential
from hanse.attestation.tpm.algorithms import sized

OWNER, NULL, PASSWORD, ENDORSEMENT = 0x40000001, 0x40000007, 0x40000009, 0x4000000B
_RETRY = 0x922
_NO_SESSIONS, _SESSIONS = 0x8001, 0x8002
_EMPTY = struct.pack(">IHBH", PASSWORD, 0, 0, 0)
"""A password session of an object without a password."""


class TpmError(Exception):
    """A command that the TPM refused."""

    def __init__(self, command: int, code: int) -> None:
        super().__init__(f"command {command:#x}: response code {code:#x}")
        self.code = code


@dataclass(frozen=True)
class Key:
    """A key that is loaded: its handle and its public area, TPMT_PUBLIC."""

    handle: int
    public: bytes


class TpmClient:
    """One connection to a TPM."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def start(self, state: bool = False) -> None:
        """TPM2_Startup, with the state of a shutdown or without."""
        self._call(0x144, struct.pack(">H", int(state)))

    def stop(self, state: bool = False) -> None:
        """TPM2_Shutdown."""
        self._call(0x145, struct.pack(">H", int(state)))

    def create_primary(self, public: bytes, hierarchy: int = ENDORSEMENT) -> Key:
        """TPM2_CreatePrimary from a template."""
        sensitive = sized(sized(b"") + sized(b""))
        body = sensitive + sized(public) + sized(b"") + struct.pack(">I", 0)
        answer = self._call(0x131, body, [hierarchy], [_EMPTY], handles=1)
        (handle,) = struct.unpack_from(">I", answer)
        return Key(handle, _first(answer[4:]))

    def quote(
        self, key: Key, qualifying: bytes, registers: Sequence[int], bank: int = 0x000B
    ) -> tuple[bytes, bytes]:
        """TPM2_Quote: TPMS_ATTEST and TPMT_SIGNATURE."""
        body = sized(qualifying) + struct.pack(">H", 0x0010) + _selection(registers, bank)
        answer = self._call(0x158, body, [key.handle], [_EMPTY])
        quoted = _first(answer)
        return quoted, answer[2 + len(quoted) :]

    def extend(self, register: int, digest: bytes) -> None:
        """TPM2_PCR_Extend of the SHA-256 bank."""
        self._call(0x182, struct.pack(">IH", 1, 0x000B) + digest, [register], [_EMPTY])

    def reset(self, register: int) -> None:
        """TPM2_PCR_Reset."""
        self._call(0x13D, b"", [register], [_EMPTY])

    def read_registers(self, registers: Sequence[int]) -> dict[int, bytes]:
        """TPM2_PCR_Read of the SHA-256 bank, one register a command."""
        values = {}
        for register in registers:
            answer = self._call(0x17E, _selection([register]))
            (count,) = struct.unpack_from(">I", answer, 4 + len(_selection([register])))
            assert count == 1
            values[register] = answer[-32:]
        return values

    def activate(self, ak: Key, ek: Key, credential: Credential) -> bytes:
        """TPM2_ActivateCredential; the EK's policy is PolicySecret of the endorsement hierarchy."""
        session = self._policy_session()
        authorisations = [_EMPTY, struct.pack(">IHBH", session, 0, 0, 0)]
        body = credential.blob + credential.encrypted_seed
        return _first(self._call(0x147, body, [ak.handle, ek.handle], authorisations))

    def read_index(self, index: int) -> bytes:
        """TPM2_NV_Read of a whole index that the owner may read, such as a certificate of an EK."""
        public = _first(self._call(0x169, b"", [index], handles=0))
        (size,) = struct.unpack(">H", public[-2:])
        found = b""
        while len(found) < size:
            body = struct.pack(">HH", min(512, size - len(found)), len(found))
            found += _first(self._call(0x14E, body, [OWNER, index], [_EMPTY]))
        return found

    def flush(self, key: Key) -> None:
        """TPM2_FlushContext."""
        self._call(0x165, struct.pack(">I", key.handle))

    def _policy_session(self) -> int:
        nobody = struct.pack(">II", NULL, NULL)
        body = nobody + sized(bytes(16)) + sized(b"") + struct.pack(">BHH", 1, 0x0010, 0x000B)
        (session,) = struct.unpack_from(">I", self._call(0x176, body, handles=1))
        empty = sized(b"") * 3 + struct.pack(">i", 0)
        self._call(0x151, empty, [ENDORSEMENT, session], [_EMPTY])
        return int(session)

    def _call(
        self,
        command: int,
        body: bytes,
        needed: Sequence[int] = (),
        authorisations: Sequence[bytes] = (),
        handles: int = 0,
    ) -> bytes:
        """Send a command; the handles and parameters of its answer."""
        before = b"".join(struct.pack(">I", handle) for handle in needed)
        if authorisations:
            joined = b"".join(authorisations)
            before += struct.pack(">I", len(joined)) + joined
        tag = _SESSIONS if authorisations else _NO_SESSIONS
        answered, answer = self._sent(tag, command, before + body)
        if answered != _SESSIONS:
            return answer
        at = 4 * handles
        (length,) = struct.unpack_from(">I", answer, at)
        return answer[:at] + answer[at + 4 : at + 4 + length]

    def _sent(self, tag: int, command: int, body: bytes) -> tuple[int, bytes]:
        """Send a command until the TPM does not ask for it once more, as it does after a note of its own."""
        for _ in range(5):
            self._connection.sendall(struct.pack(">HII", tag, 10 + len(body), command) + body)
            answered, size, code = struct.unpack(">HII", self._receive(10))
            answer = self._receive(size - 10)
            if code != _RETRY:
                break
        if code:
            raise TpmError(command, code)
        return answered, answer

    def _receive(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            more = self._connection.recv(size - len(found))
            if not more:
                raise EOFError("the TPM has ended")
            found += more
        return found


def _first(data: bytes) -> bytes:
    (size,) = struct.unpack_from(">H", data)
    return data[2 : 2 + size]


def _selection(registers: Sequence[int], bank: int = 0x000B) -> bytes:
    chosen = sum(1 << register for register in registers)
    return struct.pack(">IHB", 1, bank, 3) + chosen.to_bytes(3, "little")
