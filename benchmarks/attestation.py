"""What the verification of recorded evidence takes, by kind: the whole appraisal, from bytes to verdict.

python benchmarks/attestation.py [RUNS]      median of 200 runs each, in time and in processor time
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.dcap import vectors
from tests.dcap.policies import policy_of
from tests.tpm.forge import NONCE
from tests.tpm.logs import kernel_register, kernel_text
from tests.tpm.vectors import rehearsal, swtpm

from hanse.attestation.base import Circumstances, Floors
from hanse.attestation.collateral.intel import check_collateral
from hanse.attestation.event_log import SHA384, read_event_log
from hanse.attestation.policy.sgx import SgxPolicy
from hanse.attestation.sgx import SgxVerifier
from hanse.attestation.tdx import TdxVerifier
from hanse.attestation.tpm.ima import read_ima_log, replay
from hanse.attestation.tpm.verifier import TpmVerifier

RUNS = 200
LIMIT_MS = 10.0
"""Milliseconds that a quote should take at most."""
Case = tuple[str, Callable[[], object]]


def intel() -> Iterator[Case]:
    """Quotes of SGX and TDX, an event log, and the checking of collateral."""
    for vector in (vectors.SGX, vectors.TDX, vectors.TDX_OUTDATED, vectors.production(), vectors.version_5()):
        policy, evidence, given = policy_of(vector), vector.evidence, vector.given()
        if isinstance(policy, SgxPolicy):
            yield vector.name, lambda p=policy, e=evidence, g=given: SgxVerifier().appraise(e, p, g)
        else:
            yield vector.name, lambda p=policy, e=evidence, g=given: TdxVerifier().appraise(e, p, g)
    log = vectors.file("go-tdx-guest/ccel_data.dat")
    yield "go-tdx-guest/ccel_data.dat, log alone", lambda: read_event_log(log).replay(SHA384)
    documents, at = vectors.TDX.collateral, vectors.TDX.at
    yield "dcap-qvl/tdx_quote, its collateral alone", lambda: check_collateral(documents, at, Floors())


def tpm() -> Iterator[Case]:
    """Quotes of software TPMs with both logs, by the kind of their keys; the first with certificates."""
    for name in ("rsa", "pss", "ecc"):
        vector = swtpm(name)
        roots = tuple(sha256(root).hexdigest() for root in vector.evidence.certificates[-1:])
        policy = rehearsal(vector.ek, **({"manufacturers": roots} if roots else {}))
        given = Circumstances(datetime(2027, 1, 1, tzinfo=UTC), NONCE)
        verifier = TpmVerifier(vector.activated)
        yield f"swtpm/{name}", lambda v=verifier, p=policy, e=vector.evidence, g=given: v.appraise(e, p, g)
    files = {f"/usr/lib/{number}": b"file" for number in range(2000)}
    log, value = kernel_text(files), kernel_register(files)
    yield "log of 2,000 files (IMA), alone", lambda: replay(read_ima_log(log), value)


KINDS = (intel, tpm)
"""Each kind of evidence gives its cases."""


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    print(f"{'evidence':<45}{'ms':>8}{'cpu ms':>8}   median of {runs}, limit {LIMIT_MS:g}")
    for kind in KINDS:
        for name, verify in kind():
            verify()
            times, processor = [], []
            for _ in range(runs):
                began, began_cpu = time.perf_counter(), time.process_time()
                verify()
                processor.append(time.process_time() - began_cpu)
                times.append(time.perf_counter() - began)
            print(f"{name:<45}{statistics.median(times) * 1e3:8.2f}{statistics.median(processor) * 1e3:8.2f}")


if __name__ == "__main__":
    main()
