"""The demo's federation: a directory for each party, and the ways by which a real one comes about."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import Iterable, Mapping
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
    SiteWorker,
    settings_yaml,
)
from hanse.config.site_peers import SitePeers
from hanse.core.plan.policy import Policy
from hanse.demo.files import HEART_DISEASE, HOSPITALS
from hanse.files.atomic import write_file
from hanse.files.errors import file_errors
from hanse.wire.messages.members import InviteRequest

HOST = "127.0.0.1"
FEDERATION = "heart-demo"
_PATIENTS = "patients.csv"


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
    def seen(self) -> Path:
        """Blobs of the aggregator that are kept, so that masked sums can be looked at and added again."""
        return self.root / "seen"

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


@dataclass(frozen=True, slots=True)
class Hospital:
    """A hospital's directory, and what its people set there.

    Attributes:
        name: Name of the site.
        directory: Its directory.
        settings: Those of the aggregator.
        plan_name: Name of the plans that it accepts.
    """

    name: str
    directory: Path
    settings: AggregatorSettings
    plan_name: str

    def open(self) -> None:
        """Make the directory: with its own patients, and what it permits."""
        patients = self.directory / _PATIENTS
        with file_errors(f"write {patients}"):
            self.directory.mkdir(parents=True)
            shutil.copyfile(HEART_DISEASE / HOSPITALS[self.name], patients)
        self.write(SitePeers())

    def write(self, peers: SitePeers) -> None:
        """Write `site.yaml`.

        Args:
            peers: Keys of the other hospitals that were checked.
        """
        site = SiteSettings(
            name=self.name,
            federation=self.settings.federation,
            aggregator=self.settings.url,
            proxy=None,
            data={"heart": Path(_PATIENTS)},
            policy=Policy(accept=(self.plan_name,)),
            worker=SiteWorker(threads=1),  # the hospitals share one machine
            disk_reserve=0,
            secure_aggregation=peers,
        )
        write_file(self.directory / SITE_FILE, settings_yaml(site).encode())


async def enrol(places: DemoPaths, hospitals: list[str]) -> dict[str, str]:
    """Invite the hospitals, and let each join with its one-time token.

    Returns:
        Fingerprint of the signing key of each, by name.
    """
    async with administration(places.federation) as members:
        tokens = [(await members.invite(InviteRequest(name=name))).token for name in hospitals]
    joining = (
        asyncio.to_thread(join_with_token, places.site(hospital), token, (), None)
        for hospital, token in zip(hospitals, tokens, strict=True)
    )
    joined = await asyncio.gather(*joining)
    keys = {each.party.name: each.key.fingerprint for each in joined}
    write_file(places.signers, "".join(f"{name} {key}\n" for name, key in keys.items()).encode())
    return keys


def check_each_other(hospitals: Iterable[Hospital], keys: Mapping[str, str]) -> None:
    """Enter the key of each hospital at all others, as their people do once they have telephoned.

    Args:
        hospitals: All of them.
        keys: Fingerprints of their signing keys, from their own folders and not from the aggregator.
    """
    for hospital in hospitals:
        others = {name: key for name, key in keys.items() if name != hospital.name}
        hospital.write(SitePeers(peers=others))
