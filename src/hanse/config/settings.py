"""Who a party is and what it allows: `site.yaml`, `aggregator.yaml`, `operator.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, model_validator

from hanse.config.document import Document
from hanse.config.evidence.settings import EvidenceSettings, Owner, Required
from hanse.config.site_peers import SitePeers
from hanse.config.units import FilePath, format_duration
from hanse.config.write import commented
from hanse.core.plan.policy import Policy
from hanse.core.values.schema import Duration, Label, Name, Size, Strict
from hanse.errors import ConfigError

SITE_FILE = "site.yaml"
AGGREGATOR_FILE = "aggregator.yaml"
OPERATOR_FILE = "operator.yaml"

_LEAST_SEALED_MEMORY = 64 * 10**6
_COMMENTED = "A line that is commented out shows a default: remove its # to change it."


def _split(value: str, scheme: str) -> SplitResult:
    if "://" not in value and set(value) & {".", ":"} and value.isprintable():
        raise ValueError(f"{value[:80]!r} lacks its beginning: write {scheme}://{value[:80]}")
    parts = urlsplit(value)
    if not parts.hostname or parts.port == 0 or not value.isprintable() or " " in value:
        raise ValueError(f"{value[:80]!r} names no host")
    return parts


def _service(value: str) -> str:
    parts = _split(value, "https")
    if (
        parts.scheme != "https"
        or parts.path not in ("", "/")
        or "@" in value
        or parts.query
        or parts.fragment
    ):
        raise ValueError(f"{value[:80]!r} should be like https://aggregator.example.org:8443")
    return value.rstrip("/")


def _proxy(value: str) -> str:
    if value != "env" and _split(value, "http").scheme not in ("http", "https"):
        raise ValueError(f"{value[:80]!r} should be `env`, null, or like http://proxy.example.org:3128")
    return value


def _worth_a_start(value: float) -> float:
    if value < 1:
        raise ValueError(
            f"{format_duration(value)} is too short: a worker takes that long to start; write 1s or more"
        )
    return value


def _worth_a_folder(value: int) -> int:
    if value < _LEAST_SEALED_MEMORY:
        raise ValueError("a sealed run takes more memory for its files: write 64MB or more")
    return value


SealedMemory = Annotated[Size, AfterValidator(_worth_a_folder)]
Service = Annotated[
    str, Field(max_length=300, json_schema_extra={"format": "https URL"}), AfterValidator(_service)
]
Proxy = Annotated[str, Field(max_length=300, json_schema_extra={"format": "URL"}), AfterValidator(_proxy)]
Sandbox = Literal["required", "preferred"]

_SANDBOX = (
    "Whether plan code may run where this machine cannot lock it in: `required` refuses, `preferred` "
    "locks in what it can."
)
_SEALED_MEMORY = (
    "Memory for the files of sealed runs, 64MB at least, which no disk and no other program sees; null: no "
    "sealed run is possible here."
)
_RESERVE = "Disk space that is left free; what would take more is refused."
_PROXY = "`env` follows HTTPS_PROXY and NO_PROXY, null connects directly, else the proxy's URL."


class Worker(Strict):
    """The process that plan code runs in."""

    memory: Size | None = Field(
        None, description="Most memory that it may take, with all that it starts; null for no limit."
    )
    processes: int | None = Field(
        None,
        ge=16,
        le=1_000_000,
        description="Most processes and threads that it may have; null for 64 a core, and 512 at least.",
    )
    network: bool = Field(False, description="Whether plan code may reach the network.")
    threads: int | None = Field(
        None, ge=1, le=4096, description="Threads for arithmetic; null for all cores."
    )


class SiteWorker(Worker):
    """The process that plan code runs in, at a site."""

    idle: Annotated[Duration, AfterValidator(_worth_a_start)] | None = Field(
        None,
        description="How long a run's worker may be without a task before it is ended, 1s at least; the "
        "run's next task starts another. Null keeps it until its run ends. The worker of a script is not "
        "ended for that.",
    )


class Log(Strict):
    """What is logged."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe level to log."
    )


class SiteSettings(Strict):
    """A site: what it is called, where its data is, what it permits."""

    name: Name = Field(description="This site's name in the federation.")
    federation: Name = Field(description="The federation's name.")
    aggregator: Service = Field(description="Where the aggregator is.")
    proxy: Proxy | None = Field("env", description=_PROXY)
    data: dict[Label, FilePath] = Field(
        default_factory=dict,
        max_length=1000,
        description="Data sources by the names that plans use, such as `xrays: /srv/xrays`; a relative path "
        "starts at this file's folder.",
    )
    policy: Policy = Field(default_factory=Policy, description="What this site permits a plan.")
    sandbox: Sandbox = Field("preferred", description=_SANDBOX)
    worker: SiteWorker = Field(default_factory=SiteWorker, description="The process that plan code runs in.")
    disk_reserve: Size = Field(10**9, description=_RESERVE)
    sealed_memory: SealedMemory | None = Field(None, description=_SEALED_MEMORY)
    retention: SiteRetention = Field(
        default_factory=lambda: SiteRetention(), description="How long what ended runs leave is kept."
    )
    secure_aggregation: SitePeers = Field(
        default_factory=SitePeers, description="Whom this site masks its numbers with, in secure aggregation."
    )
    attestation: EvidenceSettings = Field(
        default_factory=EvidenceSettings,
        description="Evidence that this site shows, and asks for.",
    )
    require: Required = Field(
        default_factory=Required, description="Evidence that this site requires of the aggregator."
    )
    renew_at: float = Field(
        0.33, gt=0, lt=1, description="Part of the certificate's lifetime that is left when it is renewed."
    )
    log: Log = Field(default_factory=Log, description="What is logged.")


class Listen(Strict):
    """Where the aggregator takes connections."""

    host: str = Field(
        "0.0.0.0",  # noqa: S104  mutual TLS guards it, and sites have to reach it
        max_length=255,
        description="Address to listen at; `::` is every address of this machine, of IPv6 and of IPv4.",
    )
    port: int = Field(8443, ge=0, le=65535, description="TCP port; 0 for any that is free.")


class Lifetimes(Strict):
    """How long certificates are valid; agents and services renew their own before they end."""

    collaborators: Duration = Field(7 * 86400.0, description="Of sites.")
    operators: Duration = Field(30 * 86400.0, description="Of operators.")
    aggregator: Duration = Field(30 * 86400.0, description="Of the aggregator itself.")


class Limits(Strict):
    """What a party may ask of the aggregator."""

    max_blob: Size = Field(20 * 10**9, description="Largest file that is taken: a model, an update, code.")
    connections: int = Field(2000, ge=1, le=1_000_000, description="Most connections of members at a time.")


class AggregatorRetention(Strict):
    """Times for which an aggregator keeps what ended runs leave."""

    models: Duration | None = Field(
        None,
        description="How long after the end of a run its models are kept; null for ever. The journal, plans "
        "and code stay. A run whose models were deleted can be neither resumed nor exported whole.",
    )


class SiteRetention(Strict):
    """Times for which a site keeps what ended runs leave; `hanse collaborator prune` deletes it by hand."""

    runs: Duration | None = Field(
        None,
        description="How long after the end of a run its folder in runs/ is kept, with the local state of "
        "its code; null for ever.",
    )
    plans: Duration | None = Field(
        None,
        description="How long after its last run a plan is kept in plans/; null for ever. Of a plan that a "
        "person has decided on, only the code is deleted.",
    )


class AggregatorSettings(Strict):
    """The service that coordinates and combines."""

    federation: Name = Field(description="The federation's name.")
    name: Name = Field("aggregator", description="The aggregator's own name in the federation.")
    url: Service = Field(description="Where sites reach it; invitations carry this.")
    hosts: tuple[Annotated[str, Field(min_length=1, max_length=253)], ...] = Field(
        min_length=1, max_length=100, description="Host names and IP addresses that its certificate states."
    )
    listen: Listen = Field(default_factory=Listen, description="Where it takes connections.")
    certificates: Lifetimes = Field(default_factory=Lifetimes, description="How long certificates are valid.")
    limits: Limits = Field(default_factory=Limits, description="What a party may ask of it.")
    sandbox: Sandbox = Field("preferred", description=_SANDBOX)
    worker: Worker = Field(
        default_factory=Worker, description="The processes that plans' own workflows run in."
    )
    disk_reserve: Size = Field(10**9, description=_RESERVE)
    attestation: EvidenceSettings = Field(
        default_factory=EvidenceSettings, description="Evidence that it shows, and holds against policies."
    )
    owner: Owner | None = Field(
        None, description="The owner of sealed models, where the owner operates this aggregator."
    )
    sealed_memory: SealedMemory | None = Field(None, description=_SEALED_MEMORY)
    retention: AggregatorRetention = Field(
        default_factory=AggregatorRetention, description="How long what ended runs leave is kept."
    )
    log: Log = Field(default_factory=Log, description="What is logged.")

    @model_validator(mode="after")
    def _certified(self) -> Self:
        host = urlsplit(self.url).hostname
        if host not in {name.lower() for name in self.hosts}:
            raise ValueError(
                f"the host of `url`, {host}, has to be among `hosts`: its certificate states these"
            )
        return self


class OperatorSettings(Strict):
    """Somebody who submits and watches runs."""

    name: Name = Field(description="The operator's name in the federation.")
    federation: Name = Field(description="The federation's name.")
    aggregator: Service = Field(description="Where the aggregator is.")
    proxy: Proxy | None = Field("env", description=_PROXY)


S = TypeVar("S", SiteSettings, AggregatorSettings, OperatorSettings)


def load_site(path: Path) -> SiteSettings:
    """Read a site's settings.

    Args:
        path: The file, or the folder that `site.yaml` is in.

    Returns:
        The settings, with every path absolute.

    Raises:
        ConfigError: There is no such file, or something in it is wrong; tells every problem, a line each.
    """
    mend = "Run `hanse join TOKEN` first, or name the site's folder with --site."
    return _load(SiteSettings, path, SITE_FILE, mend)


def load_aggregator(path: Path) -> AggregatorSettings:
    """Read an aggregator's settings; as `load_site`, from `aggregator.yaml`."""
    mend = "Run `hanse federation create` first, or name the folder that it wrote."
    return _load(AggregatorSettings, path, AGGREGATOR_FILE, mend)


def load_operator(path: Path) -> OperatorSettings:
    """Read an operator's settings; as `load_site`, from `operator.yaml`."""
    mend = "Run `hanse join TOKEN` with an operator's token first, or name the folder that it wrote."
    return _load(OperatorSettings, path, OPERATOR_FILE, mend)


def settings_yaml(settings: SiteSettings | AggregatorSettings | OperatorSettings) -> str:
    """Write settings with all that can be set, described; reading it gives back the same settings."""
    what = (type(settings).__doc__ or "").partition("\n")[0]
    return commented(settings, f"{what} {_COMMENTED}")


def _load(schema: type[S], path: Path, name: str, mend: str) -> S:
    file = path / name if path.is_dir() else path
    if not file.exists():
        raise ConfigError(f"there is no {file.name} in {file.parent.absolute()}", mend=mend)
    return Document.load(file, ConfigError).check(schema, {"root": file.parent.absolute()})
