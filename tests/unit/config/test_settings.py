"""Who a party is and what it allows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hanse.config.settings import (
    AggregatorSettings,
    OperatorSettings,
    SiteSettings,
    load_aggregator,
    load_operator,
    load_site,
    settings_yaml,
)
from hanse.errors import ConfigError

SITE = "name: cleveland\nfederation: hearts\naggregator: https://aggregator.example.org:8443\n"
AGGREGATOR = "federation: hearts\nurl: https://a.example.org:8443\nhosts: [a.example.org]\n"


def test_a_site_with_the_least_it_needs_asks_a_person_and_shows_no_more_than_sums(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(SITE)

    site = load_site(tmp_path)

    assert (site.name, site.federation, site.proxy) == ("cleveland", "hearts", "env")
    assert (site.policy.otherwise, site.policy.discloses.update) == ("ask", "aggregate")
    assert (site.worker.network, site.sandbox, site.disk_reserve) == (False, "preferred", 10**9)


def test_a_site_says_all_it_can(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(
        SITE
        + """
proxy: http://proxy.example.org:3128
data:
  xrays: /srv/xrays
  tables: data/tables.csv
policy:
  accept: [chest-*]
  discloses: {update: none, metrics: [loss]}
sandbox: required
worker: {memory: 8GB, threads: 4}
disk_reserve: 20GiB
renew_at: 0.5
log: {level: debug}
"""
    )

    site = load_site(tmp_path / "site.yaml")

    assert site.data == {"xrays": Path("/srv/xrays"), "tables": tmp_path / "data/tables.csv"}
    assert site.policy.accept == ("chest-*",)
    assert (site.worker.memory, site.disk_reserve) == (8 * 10**9, 20 * 2**30)


def test_paths_are_absolute_wherever_the_command_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site.yaml").write_text(SITE + "data: {xrays: xrays}\n")
    monkeypatch.chdir(tmp_path)

    assert load_site(Path()).data == {"xrays": tmp_path / "xrays"}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("agregator: https://a", "site.yaml:4: agregator: unknown key; did you mean `aggregator`?"),
        ("policy: {acept: [x]}", "site.yaml:4: policy.acept: unknown key; did you mean `accept`?"),
        ("proxy: socks5://p:1", "site.yaml:4: proxy: 'socks5://p:1' should be `env`, null, or like http://"),
        ("proxy: none", "site.yaml:4: proxy: 'none' names no host"),
        ("proxy: p:3128", "site.yaml:4: proxy: 'p:3128' lacks its beginning: write http://p:3128"),
        ("proxy: http://p:99999", "site.yaml:4: proxy: "),
        ("worker: {memory: lots}", "site.yaml:4: worker.memory: 'lots' is not a size"),
        ("worker: {idle: 100ms}", "site.yaml:4: worker.idle: 100ms is too short: a worker takes that"),
        ("worker: {idle: soon}", "site.yaml:4: worker.idle: 'soon' is not a duration; write for example 90s"),
        ("renew_at: 1", "site.yaml:4: renew_at: should be less than 1, is 1"),
        ("data: {xrays: ~/xrays}", "site.yaml:4: data.xrays: '~/xrays' should be a path, absolute or from"),
        ('data: {xrays: "a\\0b"}', "site.yaml:4: data.xrays: "),
        ("data: {my xrays: /srv}", "site.yaml:4: data.my xrays: 'my xrays' is not a name"),
    ],
)
def test_a_problem_is_told_with_its_place(tmp_path: Path, line: str, problem: str) -> None:
    (tmp_path / "site.yaml").write_text(f"{SITE}{line}\n")

    with pytest.raises(ConfigError) as refused:
        load_site(tmp_path)

    assert str(refused.value).startswith(f"{tmp_path}/{problem}")


@pytest.mark.parametrize(
    "url",
    [
        *[
            "http://a.example.org",
            "a.example.org:8443",
            "https://",
            "https://a/path",
            "https://a?x=1",
            "https://a#x",
        ],
        *["https://user:secret@a", "https://a b", "https://a:0", "https://a:99999", "https://[::1", ""],
    ],
)
def test_an_aggregator_is_named_by_its_https_address_alone(tmp_path: Path, url: str) -> None:
    (tmp_path / "operator.yaml").write_text(f"name: ann\nfederation: hearts\naggregator: '{url}'\n")

    with pytest.raises(ConfigError, match=r"operator.yaml:3: aggregator: "):
        load_operator(tmp_path)


def test_workers_are_kept_when_idle_unless_a_site_says_how_long(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(SITE + "worker: {memory: 8GB}\n")
    assert load_site(tmp_path).worker.idle is None

    (tmp_path / "site.yaml").write_text(SITE + "worker: {idle: 1.5m}\n")
    assert load_site(tmp_path).worker.idle == 90.0


def test_the_workers_of_an_aggregator_are_not_ended_when_idle(tmp_path: Path) -> None:
    (tmp_path / "aggregator.yaml").write_text(AGGREGATOR + "worker: {idle: 60s}\n")

    with pytest.raises(ConfigError, match=r"aggregator.yaml:4: worker\.idle: unknown key"):
        load_aggregator(tmp_path)


def test_an_address_has_one_form(tmp_path: Path) -> None:
    (tmp_path / "operator.yaml").write_text("name: ann\nfederation: hearts\naggregator: https://a:8443/\n")

    assert load_operator(tmp_path).aggregator == "https://a:8443"


def test_an_aggregator_has_defaults_for_all_but_its_address(tmp_path: Path) -> None:
    (tmp_path / "aggregator.yaml").write_text(AGGREGATOR)

    aggregator = load_aggregator(tmp_path)

    assert (aggregator.name, aggregator.listen.port) == ("aggregator", 8443)
    assert aggregator.certificates.collaborators == 7 * 86400
    assert (aggregator.limits.max_blob, aggregator.limits.connections) == (20 * 10**9, 2000)


def test_an_aggregators_address_is_one_that_its_certificate_states(tmp_path: Path) -> None:
    (tmp_path / "aggregator.yaml").write_text(AGGREGATOR.replace("[a.example.org]", "[b.example.org]"))

    with pytest.raises(ConfigError, match=r"the host of `url`, a\.example\.org, has to be among `hosts`"):
        load_aggregator(tmp_path)


@pytest.mark.parametrize(
    ("load", "file", "mend"),
    [
        (load_site, "site.yaml", "Run `hanse join TOKEN` first, or name the site's folder with --site."),
        (load_aggregator, "aggregator.yaml", "Run `hanse federation create` first"),
        (load_operator, "operator.yaml", "Run `hanse join TOKEN` with an operator's token first"),
    ],
)
def test_a_file_that_is_missing_says_which_command_makes_it(
    tmp_path: Path, load: Callable[[Path], object], file: str, mend: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        load(tmp_path)

    assert refused.value.message == f"there is no {file} in {tmp_path}"
    assert refused.value.mend.startswith(mend)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"data": {"xrays": "/srv/x: y #1"}, "proxy": None, "log": {"level": "debug"}},
        {"policy": {"accept": ["a-*"], "discloses": {"first_model": False}}, "worker": {"memory": 2**33}},
    ],
)
def test_a_sites_file_that_is_written_reads_back_as_it_was(tmp_path: Path, changes: dict[str, Any]) -> None:
    address = {"name": "cleveland", "federation": "hearts", "aggregator": "https://a.example.org"}
    site = SiteSettings.model_validate(address | changes)
    (tmp_path / "site.yaml").write_text(settings_yaml(site))

    assert load_site(tmp_path) == site


def test_an_aggregators_and_an_operators_file_read_back_as_they_were(tmp_path: Path) -> None:
    aggregator = AggregatorSettings(
        federation="hearts", url="https://10.0.0.1:9000", hosts=("10.0.0.1", "localhost"), disk_reserve=0
    )
    operator = OperatorSettings(name="ann", federation="hearts", aggregator="https://10.0.0.1:9000")
    (tmp_path / "aggregator.yaml").write_text(settings_yaml(aggregator))
    (tmp_path / "operator.yaml").write_text(settings_yaml(operator))

    assert load_aggregator(tmp_path) == aggregator
    assert load_operator(tmp_path) == operator


def test_a_file_that_is_written_shows_all_that_can_be_set() -> None:
    site = SiteSettings(name="cleveland", federation="hearts", aggregator="https://a.example.org")

    lines = settings_yaml(site).splitlines()

    assert "name: cleveland" in lines
    assert "# disk_reserve: 1GB" in lines
    assert "policy:" in lines
    assert "  # otherwise: ask" in lines
    assert "  # Plans that no rule accepts: wait for `hanse plan approve`, or refuse." in lines


def test_an_address_without_https_is_told_how_to_write_it(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text("name: a\nfederation: hearts\naggregator: localhost:9443\n")

    with pytest.raises(
        ConfigError, match="'localhost:9443' lacks its beginning: write https://localhost:9443"
    ):
        load_site(tmp_path)


def test_memory_for_sealed_runs_that_holds_no_model_is_refused() -> None:
    with pytest.raises(ValueError, match="64MB or more"):
        SiteSettings.model_validate(
            {"name": "a", "federation": "f", "aggregator": "https://a", "sealed_memory": "1MB"}
        )
