"""The demo's federation: a directory for each party, and the ways by which a real one comes about."""

from __future__ import annotations

import asyncio
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

from hanse.assembly.federation import create_federation
from hanse.assembly.joining import join_with_token
from hanse.assembly.operator import administration
from hanse.config.layout import AUTHORITY
from hanse.config.settings import (
    SITE_FILE,
    AggregatorSettings,
    Listen,
    SiteSettings,
    Worker,
    settings_yaml,
)
from hanse.core.plan.policy import Policy
from hanse.demo.files import HEART_DISEASE, HOSPITALS
from hanse.files.atomic import write_file
from hanse.files.errors import file_errors
from hanse.wire.messages.members import InviteRequest

HOST = "127.0.0.1"
FEDERATION = "heart-demo"


@dataclass(frozen=True, slots=True)
class DemoPaths:
    """Where things stand in the demo's directory."""

    root: Path

    @property
    def federation(self) -> Path:
        """The aggregator's directory."""
        return self.root / "federation"

    @property
    def plan(self) -> Path:
        """The folder of the plan and its code."""
        return self.root / "plan"

    @property
    def results(self) -> Path:
        """What is brought home from the run."""
        return self.root / "results"

    @property
    def authority(self) -> Path:
        """The certificate of the federation's authority."""
        return self.federation / AUTHORITY / "ca.crt"

    @property
    def signers(self) -> Path:
        """Signing keys of the hospitals, as an auditor has them from the hospitals."""
        return self.root / "signers.txt"

    @property
    def sites(self) -> Path:
        """The folder with the directories of all hospitals."""
        return self.root / "sites"

    def site(self, hospital: str) -> Path:
        """A hospital's directory."""
        return self.sites / hospital

    def log(self, name: str) -> Path:
        """What a party's process tells."""
        return self.root / "logs" / f"{name}.log"


def found(places: DemoPaths) -> AggregatorSettings:
    """Make the federation, at a port that is free now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    settings = AggregatorSettings(
        federation=FEDERATION,
        url=f"https://{HOST}:{port}",
        hosts=(HOST,),
        listen=Listen(host=HOST, port=port),
        disk_reserve=0,
    )
    create_federation(places.federation, settings)
    return settings


def open_hospital(places: DemoPaths, hospital: str, settings: AggregatorSettings, plan_name: str) -> None:
    """Give a hospital its directory: its own patients, and what it permits."""
    directory = places.site(hospital)
    patients = directory / "patients.csv"
    with file_errors(f"write {patients}"):
        directory.mkdir(parents=True)
        shutil.copyfile(HEART_DISEASE / HOSPITALS[hospital], patients)
    site = SiteSettings(
        name=hospital,
        federation=settings.federation,
        aggregator=settings.url,
        proxy=None,
        data={"heart": Path(patients.name)},
        policy=Policy(accept=(plan_name,)),
        worker=Worker(threads=1),  # the hospitals share one machine
        disk_reserve=0,
    )
    write_file(directory / SITE_FILE, settings_yaml(site).encode())


async def enrol(places: DemoPaths, hospitals: list[str]) -> None:
    """Invite the hospitals, and let each join with its one-time token."""
    async with administration(places.federation) as members:
        tokens = [(await members.invite(InviteRequest(name=name))).token for name in hospitals]
    joining = (
        asyncio.to_thread(join_with_token, places.site(hospital), token, (), None)
        for hospital, token in zip(hospitals, tokens, strict=True)
    )
    joined = await asyncio.gather(*joining)
    lines = (f"{each.party.name} {each.key.fingerprint}\n" for each in joined)
    write_file(places.signers, "".join(lines).encode())
