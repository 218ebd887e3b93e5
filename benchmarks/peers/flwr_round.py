"""A round of Flower: SuperLink and SuperNodes as processes over TLS, an app submitted by `flwr run`.

python benchmarks/peers/flwr_round.py --sites 8 --megabytes 1
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from common import (
    JOBS,
    START_S,
    TENSORS,
    Cell,
    DidNotFinishError,
    Figures,
    Group,
    Marks,
    environment,
    group,
    listens,
    version_of,
    wait_for,
    watched,
)
from deployment import free_port

from hanse.core.values.identity import Party, Role
from hanse.pki.authority import Authority
from hanse.pki.certificates import pem_of
from hanse.pki.credentials import AUTHORITY_FILE, CERTIFICATE_FILE, KEY_FILE, Credentials
from hanse.pki.keys import new_key

REQUIREMENTS = ("flwr",)
OFFLINE = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
# The one interval that Flower documents; the others (3 s, 0.5 s) are fixed in its code.
FAST = {"FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1"}


def measure(cell: Cell, system: str = "flwr") -> Figures:
    """One deployment, one run of the app in the folder of a name below `jobs/`."""
    bin_ = environment("flwr", *REQUIREMENTS)
    version = version_of(bin_, "flwr")
    with group(system, bin_, **OFFLINE, **(FAST if cell.tuned else {})) as members:
        try:
            server = start(members, cell, JOBS / system)
        except DidNotFinishError as error:
            return Figures(system, version, [], 0, None, str(error))
        return watched((system, version), cell, members, server, Marks(members.root / "marks"))


def start(members: Group, cell: Cell, job: Path) -> int:
    """Bring everything up and submit the app; process id of the SuperLink."""
    root, port = members.root, free_port()
    tls = certificates(root / "tls")
    address, authority = f"127.0.0.1:{port}", tls / AUTHORITY_FILE
    server = members.start(
        "superlink",
        [
            "flower-superlink",
            *("--host", "127.0.0.1", "--port", str(port), "--disable-runtime-dependency-installation"),
            *("--ssl-ca-certfile", authority, "--ssl-certfile", tls / CERTIFICATE_FILE),
            *("--ssl-keyfile", tls / KEY_FILE),
        ],
        root,
        FLWR_HOME=str(root / "superlink"),
    )
    wait_for("the SuperLink", lambda: listens(port), members, START_S)
    for number in range(cell.sites):
        members.start(
            f"supernode-{number}",
            [
                "flower-supernode",
                *("--superlink", address, "--root-certificates", authority),
                *("--host", "127.0.0.1", "--port", str(free_port())),
            ],
            root,
            FLWR_HOME=str(root / f"supernode-{number}"),
        )
    submit(members, cell, job, address, authority)
    return server


def certificates(directory: Path) -> Path:
    """A folder with an authority's certificate, and a key and certificate for 127.0.0.1."""
    now, key = datetime.now(UTC), new_key()
    authority = Authority.create("bench", now, timedelta(days=1))
    party, lifetime = Party("bench", Role.AGGREGATOR, "superlink"), timedelta(hours=2)
    certificate = authority.issue(
        key.public_key(), party, now=now, lifetime=lifetime, hosts=("127.0.0.1", "localhost")
    )
    Credentials.save_new(directory, key, pem_of(certificate), pem_of(authority.certificate), now)
    return directory


def submit(members: Group, cell: Cell, job: Path, address: str, authority: Path) -> None:
    """`flwr run`, with the app's settings and the address of the SuperLink."""
    app, home = members.root / "app", members.root / "home"
    shutil.copytree(job, app)
    home.mkdir()
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "bench"\n\n[superlink.bench]\naddress = "{address}"\n'
        f'root-certificates = "{authority}"\n'
    )
    settings = {
        "sites": cell.sites,
        "count": cell.count,
        "tensors": TENSORS,
        "rounds": cell.rounds + 1,
        "folder": f'"{members.root}"',
    }
    words = " ".join(f"{name}={value}" for name, value in settings.items())
    members.run(["env", f"FLWR_HOME={home}", "flwr", "run", app, "bench", "--run-config", words])


if __name__ == "__main__":
    from compare import alone

    alone(measure)
