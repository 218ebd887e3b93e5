"""Program: a machine with stand-ins for devices that attest it, and a worker that tries to open each."""

import asyncio
import json
import os
import socket
import sys
from pathlib import Path

from hanse.sandbox import kernel, namespaces
from hanse.sandbox.confine import Confinement
from hanse.sandbox.process import WorkerProcess, WorkerSpec
from hanse.sandbox.sealed.secret_paths import attestation_devices

SUPPORT = Path(__file__).parent
NEW_MOUNTS, BIND, RECURSIVE, MOVE, PRIVATE = 0x20000, 1 << 12, 1 << 14, 1 << 13, 1 << 18
STAND_INS = ("tpm0", "tpmrm0", "sev-guest", "tdx_guest", "tdx-guest", "attestation/quote")


def mount(source: Path, target: Path, flags: int) -> None:
    kernel.call("mount", bytes(source), bytes(target), None, flags, None)


def begin(folder: Path) -> None:
    """Have a tree of mounts in which the devices stand, which no other program sees."""
    if os.getuid() == 0:
        kernel.call("unshare", NEW_MOUNTS)
    else:
        namespaces._enter_user_namespace(NEW_MOUNTS)
    kernel.call("mount", b"none", b"/", None, RECURSIVE | PRIVATE, None)
    devices, settings = folder / "dev", folder / "kernel"
    devices.mkdir()
    settings.mkdir()
    namespaces._mount_new("tmpfs", devices)
    kernel.call("mount_setattr", -100, bytes(devices), 0, bytes(32), 32)
    for path in Path("/dev").iterdir():
        place = devices / path.name
        if path.is_symlink():
            place.symlink_to(path.readlink())
            continue
        place.mkdir() if path.is_dir() else place.touch()
        mount(path, place, BIND | RECURSIVE)
    for name in STAND_INS:
        (devices / name).parent.mkdir(exist_ok=True)
        if not (devices / name).exists():
            (devices / name).write_text("evidence")
    mount(devices, Path("/dev"), MOVE)
    if not Path("/sys/kernel/config/tsm").exists():
        report = settings / "config" / "tsm" / "report" / "hanse"
        report.mkdir(parents=True)
        (report / "outblob").write_text("evidence")
        mount(settings, Path("/sys/kernel"), BIND)


async def attempts(folder: Path, refused: str) -> dict[str, str]:
    """What comes of opening each device, by its path, and in the end the gaps that are told."""
    (folder / "tpm.socket").unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as software:
        software.bind(str(folder / "tpm.socket"))
        software.listen()
        worker = await WorkerProcess.start(
            WorkerSpec(
                module="hanse.trials",
                workspace=folder / "work",
                log=folder / "log",
                confinement=Confinement(secrets=(folder / "tpm.socket",)),
                environment={"PYTHONPATH": str(SUPPORT), "TRIAL_REFUSED": refused},
            )
        )
        found = {}
        for path in attestation_devices():
            await worker.channel.send({"call": "open_device", "with": [str(path)]})
            answer = await worker.channel.receive()
            found[str(path)] = answer and answer["result"]
        await worker.channel.send({"call": "connect", "with": [socket.AF_UNIX, str(folder / "tpm.socket")]})
        answer = await worker.channel.receive()
        found["socket"] = answer and answer["result"]
        await worker.stop()
        found["gaps"] = "; ".join(worker.confined.gaps)
        return found


if __name__ == "__main__":
    place = Path(sys.argv[1])
    begin(place)
    print(json.dumps([asyncio.run(attempts(place, refused)) for refused in sys.argv[2:]]))
