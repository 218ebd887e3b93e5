"""Record evidence of software TPMs: `python -m tests.tpm.record`, which needs swtpm and swtpm-tools.

Each run makes new keys, and so other files.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.tpm import templates
from tests.tpm.forge import NONCE
from tests.tpm.machine import Machine, start
from tests.tpm.manufacture import EK_CERTIFICATE, manufacture
from tests.tpm.swtpm import running
from tests.tpm.vectors import FOLDER

RECORDINGS = {
    "rsa": (templates.EK_RSA, templates.AK_RSA),
    "pss": (templates.EK_RSA, templates.AK_PSS),
    "ecc": (templates.EK_ECC, templates.AK_ECC),
}


def main() -> None:
    """Write one folder for each kind of keys."""
    for name, (ek, ak) in RECORDINGS.items():
        with tempfile.TemporaryDirectory() as state, tempfile.TemporaryDirectory() as authority:
            maker = manufacture(Path(state), Path(authority))
            with running(Path(state)) as tpm:
                machine = start(tpm, ek, ak)
                certificates = (tpm.read_index(EK_CERTIFICATE), *maker) if name == "rsa" else ()
                write(FOLDER / name, machine, certificates)


def write(folder: Path, machine: Machine, certificates: tuple[bytes, ...]) -> None:
    """Write the evidence of a machine, and its EK."""
    folder.mkdir(parents=True, exist_ok=True)
    evidence = machine.evidence(NONCE)
    for part, data in (("quote", evidence.quote), ("ek", machine.ek.public), *evidence.parts.items()):
        (folder / part).write_bytes(data)
    for number, certificate in enumerate(certificates, 1):
        (folder / f"ek-certificate-{number}.der").write_bytes(certificate)


if __name__ == "__main__":
    main()
