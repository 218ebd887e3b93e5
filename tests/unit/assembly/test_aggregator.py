import asyncio
import dataclasses
import socket
from pathlib import Path

import pytest

from hanse.assembly import aggregator as module
from hanse.assembly.aggregator import aggregator
from hanse.assembly.federation import create_federation
from hanse.config.settings import AggregatorSettings, Listen
from hanse.errors import ConfigError
from hanse.sandbox.confine import Confined

ALL = Confined(("namespaces",), files=True, network=True, processes=True, gaps=())


@pytest.fixture
def federation(tmp_path: Path) -> Path:
    with socket.create_server(("127.0.0.1", 0)) as trial:
        port = trial.getsockname()[1]
    settings = AggregatorSettings(
        federation="north",
        url="https://localhost:8443",
        hosts=("localhost",),
        listen=Listen(host="127.0.0.1", port=port),
        sandbox="required",
    )
    create_federation(tmp_path / "federation", settings)
    return tmp_path / "federation"


async def started(directory: Path) -> None:
    async with aggregator(directory) as running:
        assert running.sites == 0


@pytest.mark.parametrize("lacking", ["files", "network", "processes"])
def test_an_aggregator_does_not_start_where_a_required_sandbox_lacks_anything(
    federation: Path, lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    confined = dataclasses.replace(ALL, **{lacking: False}, gaps=(f"no {lacking}",))

    async def available() -> Confined:
        return confined

    monkeypatch.setattr(module, "available", available)

    with pytest.raises(ConfigError, match=f"requires a sandbox, which this machine lacks: no {lacking}"):
        asyncio.run(started(federation))


def test_an_aggregator_starts_where_the_required_sandbox_is_whole(
    federation: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def available() -> Confined:
        return ALL

    monkeypatch.setattr(module, "available", available)

    asyncio.run(started(federation))
