"""The TPM2 software stack, imported only here: commands of a TPM, and its errors in words."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from hanse.attestation.devices import TPM, closed, missing
from hanse.attestation.tpm.activation import Credential
from hanse.errors import ConfigError, EvidenceError

_CONNECTIONS = ("device", "swtpm", "tabrmd")
"""Names of TCTI modules that are taken: others start programs, or load libraries by a path."""
_AT_ONCE = 8
"""Registers that a TPM reads with one command (TPML_DIGEST)."""
_NO_HANDLE = 0x18B
"""TPM_RC_HANDLE of the first handle: there is no such index."""
_NV_BLOCK = 512
_MOST_INDEX = 4096
"""Bytes of an index; certificates have less than 2 KiB."""
_AUTH_READ = 1 << 18
"""TPMA_NV_AUTHREAD: the index may be read by its own authorisation, which is empty."""
MEND = "See the kernel's log, and whether another program holds the TPM."


class TpmConnection:
    """A connection to a TPM, open until it is closed.

    Keys are kept as contexts, encrypted by the TPM, and loaded for each use. So a process that is killed
    leaves nothing in the few places that a TPM without resource manager has.

    Args:
        tcti: Kind of the connection and where it goes, such as `device:/dev/tpmrm0`.
    """

    def __init__(self, tcti: str) -> None:
        """Connect.

        Raises:
            ConfigError: The library or the TPM is missing, or the connection is of no kind that is taken.
        """
        _check_place(tcti)
        self._library: Any = _library()
        try:
            self._esapi: Any = self._library.ESAPI(tcti)
        except self._library.TSS2_Exception as error:
            raise ConfigError(
                f"TPM: cannot connect to {tcti}: {error}",
                mend="Check the setting, whether the TPM runs, and that no other program has it alone.",
            ) from None

    def close(self) -> None:
        """Disconnect. The contexts of keys are of no use without this process's memory."""
        self._esapi.close()

    def create_primary(self, template: bytes, password: bytes = b"") -> tuple[bytes, bytes]:
        """Make a key of the endorsement hierarchy.

        Args:
            template: TPMT_PUBLIC.
            password: Authorisation that the key needs.

        Returns:
            Context of the key, and its public area (TPMT_PUBLIC).
        """
        lib = self._library
        area, _ = lib.TPMT_PUBLIC.unmarshal(template)
        secret = lib.TPM2B_SENSITIVE_CREATE(lib.TPMS_SENSITIVE_CREATE(userAuth=password))
        with self._errors("make a key of the endorsement hierarchy"):
            handle, public, *_ = self._esapi.create_primary(
                secret, lib.TPM2B_PUBLIC(publicArea=area), lib.ESYS_TR.ENDORSEMENT
            )
            try:
                context = self._esapi.context_save(handle)
            finally:
                self._esapi.flush_context(handle)
        return bytes(context.marshal()), bytes(public.publicArea.marshal())

    def quote(
        self, context: bytes, password: bytes, qualifying: bytes, registers: Sequence[int]
    ) -> tuple[bytes, bytes]:
        """State registers of the SHA-256 bank: TPMS_ATTEST and TPMT_SIGNATURE."""
        with self._errors("make a quote"), self._loaded(context, password) as key:
            quoted, signature = self._esapi.quote(key, _selection(registers), qualifying)
        return bytes(quoted), bytes(signature.marshal())

    def read_registers(self, registers: Sequence[int]) -> dict[int, bytes]:
        """Values of registers of the SHA-256 bank, by number.

        Raises:
            EvidenceError: The TPM has no such bank or register.
        """
        values: dict[int, bytes] = {}
        for begin in range(0, len(registers), _AT_ONCE):
            asked = registers[begin : begin + _AT_ONCE]
            with self._errors("read registers"):
                _, _, digests = self._esapi.pcr_read(_selection(asked))
                found = [bytes(digest) for digest in digests]
            if [len(value) for value in found] != [32] * len(asked):
                raise EvidenceError(
                    f"TPM: it gave {len(found)} of {len(asked)} registers of the SHA-256 bank",
                    mend="Enable the SHA-256 bank in the firmware of the machine.",
                )
            values |= zip(asked, found, strict=True)
        return values

    def activate(self, ak: bytes, password: bytes, ek: bytes, credential: Credential) -> bytes:
        """Open a secret that was encrypted for an EK and the name of an AK."""
        lib = self._library
        with (
            self._errors("open the credential", "It was made for another TPM, or another key of this one."),
            self._loaded(ak, password) as ak_handle,
            self._loaded(ek, b"") as ek_handle,
            self._endorsement_session() as session,
        ):
            blob, _ = lib.TPM2B_ID_OBJECT.unmarshal(credential.blob)
            seed, _ = lib.TPM2B_ENCRYPTED_SECRET.unmarshal(credential.encrypted_seed)
            secret = self._esapi.activate_credential(
                ak_handle, ek_handle, blob, seed, session1=lib.ESYS_TR.PASSWORD, session2=session
            )
        return bytes(secret)

    def read_index(self, index: int) -> bytes:
        """Read an index that everybody may read; empty where there is none.

        Raises:
            EvidenceError: It cannot be read, or is longer than certificates are.
        """
        try:
            handle = self._esapi.tr_from_tpmpublic(index)
        except self._library.TSS2_Exception as error:
            if int(error.rc) == _NO_HANDLE:
                return b""
            raise EvidenceError(f"TPM: cannot read its index {index:#010x}: {error}", mend=MEND) from None
        with self._errors(f"read its index {index:#010x}"):
            public, _ = self._esapi.nv_read_public(handle)
            size, attributes = int(public.nvPublic.dataSize), int(public.nvPublic.attributes)
            if size > _MOST_INDEX:
                raise EvidenceError(f"TPM: its index {index:#010x} has {size} bytes, more than {_MOST_INDEX}")
            by = handle if attributes & _AUTH_READ else self._library.ESYS_TR.OWNER
            found = b""
            while len(found) < size:
                found += bytes(
                    self._esapi.nv_read(handle, min(_NV_BLOCK, size - len(found)), len(found), auth_handle=by)
                )
            return found

    @contextmanager
    def _loaded(self, context: bytes, password: bytes) -> Iterator[Any]:
        """Handle of a key."""
        saved, _ = self._library.TPMS_CONTEXT.unmarshal(context)
        handle = self._esapi.context_load(saved)
        try:
            self._esapi.tr_set_auth(handle, password)
            yield handle
        finally:
            self._esapi.flush_context(handle)

    @contextmanager
    def _endorsement_session(self) -> Iterator[Any]:
        """A session that satisfies the policy of EKs: PolicySecret of the endorsement hierarchy."""
        lib, none = self._library, self._library.ESYS_TR.NONE
        session = self._esapi.start_auth_session(
            none,
            none,
            lib.TPM2_SE.POLICY,
            lib.TPMT_SYM_DEF(algorithm=lib.TPM2_ALG.NULL),
            lib.TPM2_ALG.SHA256,
        )
        try:
            self._esapi.policy_secret(lib.ESYS_TR.ENDORSEMENT, session, expiration=0)
            yield session
        finally:
            self._esapi.flush_context(session)

    @contextmanager
    def _errors(self, doing: str, mend: str = MEND) -> Iterator[None]:
        try:
            yield
        except self._library.TSS2_Exception as error:
            raise EvidenceError(f"TPM: cannot {doing}: {error}", mend=mend) from None


def _library() -> ModuleType:
    # The library writes each refusal of the TPM to standard error; here it becomes an error in words.
    os.environ.setdefault("TSS2_LOG", "all+NONE")
    try:
        import tpm2_pytss
    except ImportError:
        raise ConfigError(
            "evidence of a TPM needs tpm2-pytss, which is not installed, or its C library is missing",
            mend="Install the C library with its headers (Debian: libtss2-dev), a C compiler and pkg-config, "
            "then run: pip install 'hanse[tpm]'.",
        ) from None
    module: ModuleType = tpm2_pytss
    return module


def file_of(tcti: str) -> Path | None:
    """The device or socket that a connection leads to; None where it leads elsewhere."""
    path = re.match(r"[^:]*:(?:path=)?(/[^,]*)", tcti)
    return None if path is None else Path(path[1])


def _check_place(tcti: str) -> None:
    """Look whether there is something to connect to, before the library says less.

    Raises:
        ConfigError: There is not.
    """
    if tcti.partition(":")[0] not in _CONNECTIONS:
        raise ConfigError(
            f"TPM: {tcti[:80]!r} is not a connection that is taken",
            mend="Write `device:/dev/tpmrm0`, or for a software TPM `swtpm:path=SOCKET`.",
        )
    if (file := file_of(tcti)) is None:
        return
    if not file.exists():
        raise missing(TPM, file)
    if not os.access(file, os.R_OK | os.W_OK):
        raise closed(TPM, file)


def _selection(registers: Sequence[int]) -> str:
    return "sha256:" + ",".join(map(str, registers))
