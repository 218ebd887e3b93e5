"""A round of NVFlare: a provisioned project, server and clients as processes, a job over mutual TLS.

python benchmarks/peers/nvflare_round.py --sites 8 --megabytes 1
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

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
    version_of,
    wait_for,
    watched,
)
from deployment import free_port

REQUIREMENTS = ("nvflare",)
OURS = ["trivial.Zeros", "trivial.AddOne"]


def measure(cell: Cell) -> Figures:
    """One deployment, one job."""
    bin_ = environment("nvflare", *REQUIREMENTS)
    version = version_of(bin_, "nvflare")
    with group("nvflare", bin_) as members:
        try:
            kits = provision(members, cell.sites, free_port())
            server = members.start(
                "server", [kits / "localhost" / "startup" / "sub_start.sh", "--once"], members.root
            )
            wait_for("the server", lambda: (kits / "localhost" / "log.txt").exists(), members, START_S)
            for name in sites(cell):
                members.start(name, [kits / name / "startup" / "sub_start.sh", "--once"], members.root)
            admin = kits / "admin@bench.org"
            submit = [bin_ / "python", JOBS / "nvflare" / "submit.py", admin, job(members.root, cell)]
            members.run([*submit, str(cell.sites), "60"])
        except DidNotFinishError as error:
            return Figures("nvflare", version, [], 0, None, str(error))
        return watched(("nvflare", version), cell, members, server, Marks(members.root / "marks"))


def sites(cell: Cell) -> list[str]:
    return [f"site-{number}" for number in range(cell.sites)]


def provision(members: Group, count: int, port: int) -> Path:
    """Keys, certificates and configuration of all parties, made by NVFlare's own command."""
    clients = [{"name": f"site-{n}", "type": "client", "org": "bench"} for n in range(count)]
    impl = "nvflare.lighter.impl"
    project = {
        "api_version": 3,
        "name": "bench",
        "participants": [
            {"name": "localhost", "type": "server", "org": "bench", "fed_learn_port": port},
            *clients,
            {"name": "admin@bench.org", "type": "admin", "org": "bench", "role": "project_admin"},
        ],
        "builders": [
            {
                "path": f"{impl}.workspace.WorkspaceBuilder",
                "args": {"template_file": ["master_template.yml"]},
            },
            {"path": f"{impl}.static_file.StaticFileBuilder", "args": {"config_folder": "config"}},
            {"path": f"{impl}.cert.CertBuilder"},
            {"path": f"{impl}.signature.SignatureBuilder"},
        ],
    }
    (members.root / "project.yml").write_text(json.dumps(project))
    members.run(["nvflare", "provision", "-p", "project.yml", "-w", "workspace", "--force"], cwd=members.root)
    kits = members.root / "workspace" / "bench" / "prod_00"
    for kit in kits.iterdir():
        allow(kit / "local")
    return kits


def allow(local: Path) -> None:
    """Let a party load the task's two classes; by default it loads NVFlare's alone."""
    settings = json.loads((local / "resources.json.default").read_text())
    if "class_allow_list" in settings:
        settings["class_allow_list"] += OURS
        (local / "resources.json").write_text(json.dumps(settings))


def job(root: Path, cell: Cell) -> Path:
    """The job's folder: FedAvg as NVFlare has it, over the trivial task."""
    folder = root / "job"
    config, custom = folder / "app" / "config", folder / "app" / "custom"
    config.mkdir(parents=True)
    custom.mkdir()
    shutil.copy(JOBS / "nvflare" / "trivial.py", custom)
    fedavg: dict[str, Any] = {"num_clients": cell.sites, "num_rounds": cell.rounds + 1}
    server: dict[str, Any] = {}
    if cell.tuned:
        fedavg["task_check_period"] = 0.05
        server = {"server": {"task_request_interval": 0.05}}
    persistor = {"count": cell.count, "tensors": TENSORS, "folder": str(root)}
    server |= {
        "format_version": 2,
        "workflows": [{"id": "fedavg", "path": "nvflare.app_common.workflows.fedavg.FedAvg", "args": fedavg}],
        "components": [{"id": "persistor", "path": "trivial.Zeros", "args": persistor}],
    }
    client = {
        "format_version": 2,
        "executors": [{"tasks": ["train"], "executor": {"path": "trivial.AddOne", "args": {}}}],
    }
    (config / "config_fed_server.json").write_text(json.dumps(server))
    (config / "config_fed_client.json").write_text(json.dumps(client))
    meta = {"name": "trivial", "min_clients": cell.sites, "deploy_map": {"app": ["@ALL"]}}
    (folder / "meta.json").write_text(json.dumps(meta))
    return folder


if __name__ == "__main__":
    from compare import alone

    alone(measure)
