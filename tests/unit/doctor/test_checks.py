"""What the doctor's checks find on this machine; those over the network have tests of their own."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hanse.collaborator.restored import Restored
from hanse.collaborator.site_journal import SiteJournal
from hanse.config.settings import AggregatorSettings, Listen, SiteSettings
from hanse.core.journal.site_records import JournalHead, RestoreAcknowledged
from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.plan.plan import Plan
from hanse.core.values.canonical import sha256
from hanse.core.values.identity import Party, Role
from hanse.doctor import checks
from hanse.doctor.checks import Finding, Grade, Way
from hanse.errors import CredentialError, StorageError, TamperedError
from hanse.pki.authority import Authority
from hanse.pki.credentials import Credentials
from hanse.sandbox.confine import Confined
from hanse.storage.journal_sql import SqlJournal
from hanse.wire.messages.basics import Hello

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
CODE = b"def learner(site): ...\n"
CONFINED = Confined(("namespaces",), files=True, network=True, processes=True, gaps=())
OPEN = Confined((), files=False, network=False, processes=False, gaps=("it can reach every file",))


@pytest.fixture
def credentials(tmp_path: Path, join: Callable[[Path, datetime], Credentials]) -> Credentials:
    return join(tmp_path, NOW)


@pytest.fixture
def plans(tmp_path: Path) -> tuple[Path, Manifest]:
    """The `plans` folder of a site that has seen one plan, with its code."""
    plan = Plan(
        name="xrays",
        code=("federation.py",),
        learner="federation:learner",
        tasks={"train": {"discloses": {"update": "individual"}}},
    )
    manifest = Manifest(
        plan=plan, files=(CodeFile(path="federation.py", sha256=sha256(CODE), size=len(CODE)),)
    )
    folder = tmp_path / "plans" / manifest.digest
    (folder / "bundle").mkdir(parents=True)
    (folder / "bundle" / "federation.py").write_bytes(CODE)
    (folder / "manifest.json").write_bytes(manifest.to_bytes())
    return tmp_path / "plans", manifest


def site(**settings: object) -> SiteSettings:
    given = {"name": "hospital-a", "federation": "north", "aggregator": "https://localhost:8443"}
    return SiteSettings.model_validate(given | settings)


def only(found: object) -> Finding:
    (finding,) = found  # type: ignore[misc]
    return finding


def grades(found: object) -> list[Grade]:
    return [finding.grade for finding in found]  # type: ignore[attr-defined]


def hello(time: datetime) -> Hello:
    return Hello(version="1", federation="north", time_ms=round(time.timestamp() * 1000))


def test_a_certificate_that_lasts_is_in_order(credentials: Credentials) -> None:
    finding = only(checks.check_credentials(credentials, "hospital-a", 0.33, NOW))

    assert finding.grade is Grade.OK
    assert "hanse://north/collaborator/hospital-a, good until 2026-05-14" in finding.detail


def test_a_certificate_that_nobody_renews_is_noticed_before_it_ends(credentials: Credentials) -> None:
    finding = only(checks.check_credentials(credentials, "hospital-a", 0.33, NOW + timedelta(days=9)))

    assert finding.grade is Grade.WARN
    assert "should have been renewed" in finding.detail


def test_settings_in_another_name_than_the_certificate_are_told(credentials: Credentials) -> None:
    finding = only(checks.check_credentials(credentials, "hospital-b", 0.33, NOW))

    assert finding.grade is Grade.FAIL
    assert finding.detail == "it is that of hospital-a, and the settings say `name: hospital-b`"


@pytest.mark.parametrize(
    ("ahead", "grade", "detail"),
    [
        (timedelta(seconds=59), Grade.OK, "59 s from the aggregator's"),
        (timedelta(seconds=90), Grade.WARN, "it is 90 s ahead of the aggregator's"),
        (-timedelta(minutes=4), Grade.WARN, "it is 4 minutes behind the aggregator's"),
        (timedelta(hours=6), Grade.FAIL, "it is 6 hours ahead of the aggregator's"),
        (-timedelta(days=365), Grade.FAIL, "it is 365 days behind the aggregator's"),
    ],
)
def test_a_clock_is_graded_by_how_far_it_is_off(ahead: timedelta, grade: Grade, detail: str) -> None:
    finding = only(checks.check_clock(hello(NOW), NOW + ahead))

    assert (finding.grade, finding.detail) == (grade, detail)


def test_each_data_source_is_looked_for(tmp_path: Path) -> None:
    (tmp_path / "xrays").mkdir()
    settings = site(data={"xrays": tmp_path / "xrays", "notes": tmp_path / "gone"})

    found = list(checks.check_data(settings))

    assert grades(found) == [Grade.OK, Grade.FAIL]
    assert found[1].detail == f"notes: cannot find {tmp_path / 'gone'}: No such file or directory"
    assert "`notes` under `data:`" in found[1].mend


def test_a_site_without_data_is_warned() -> None:
    assert only(checks.check_data(site())).grade is Grade.WARN


def test_a_directory_and_its_folders_are_written_in(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()

    assert only(checks.check_writable(tmp_path, ("runs", "blobs"))).grade is Grade.OK
    assert [path.name for path in tmp_path.rglob("*")] == ["runs"]


def test_a_file_where_a_folder_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")

    with pytest.raises(StorageError, match=r"cannot write in .*runs"):
        list(checks.check_writable(tmp_path, ("runs",)))


def test_a_disk_that_takes_no_byte_is_told(
    tmp_path: Path, largest_file: Callable[[int], AbstractContextManager[None]]
) -> None:
    with largest_file(0), pytest.raises(StorageError, match="cannot write in"):
        list(checks.check_writable(tmp_path, ()))


@pytest.mark.parametrize(("part", "grade"), [(0.2, Grade.OK), (0.8, Grade.WARN), (1.5, Grade.FAIL)])
def test_the_free_space_is_held_against_the_reserve(tmp_path: Path, part: float, grade: Grade) -> None:
    free = shutil.disk_usage(tmp_path).free

    assert only(checks.check_disk(tmp_path, round(free * part))).grade is grade


def test_plans_that_are_what_their_digests_say_are_counted(plans: tuple[Path, Manifest]) -> None:
    assert only(checks.check_plans(plans[0])).detail == "1 are what their digests say"


def test_a_site_that_has_seen_no_plan_is_in_order(tmp_path: Path) -> None:
    assert only(checks.check_plans(tmp_path / "plans")).grade is Grade.OK


def test_an_altered_plan_is_found(plans: tuple[Path, Manifest]) -> None:
    directory, manifest = plans
    file = directory / manifest.digest / "manifest.json"
    file.write_bytes(file.read_bytes().replace(b'"rounds":1', b'"rounds":9'))

    finding = next(iter(checks.check_plans(directory)))

    assert finding.grade is Grade.FAIL
    assert "its SHA-256 differs" in finding.detail
    assert str(directory / manifest.digest) in finding.mend


@pytest.mark.parametrize("file", ["federation.py", "added.py"])
def test_altered_code_of_a_plan_is_found(plans: tuple[Path, Manifest], file: str) -> None:
    directory, manifest = plans
    (directory / manifest.digest / "bundle" / file).write_text("import os\n")

    finding = next(iter(checks.check_plans(directory)))

    assert finding.grade is Grade.FAIL
    assert f"is not that of plan xrays ({manifest.digest[:12]})" in finding.detail


def test_an_intact_journal_is_followed_to_its_end(tmp_path: Path) -> None:
    with closing(SqlJournal(tmp_path / "journal.sqlite")) as journal:
        journal.append("federation", [("PartyRemoved", {"name": "a"})] * 1_001, time_ms=1)
        journal.append("xrays-1", [("RunStopped", {})], time_ms=2)

    finding = only(checks.check_journal(tmp_path / "journal.sqlite"))

    assert (finding.grade, finding.detail) == (Grade.OK, "1002 records in 2 intact chains")


def test_an_altered_journal_is_found(tmp_path: Path) -> None:
    with closing(SqlJournal(tmp_path / "journal.sqlite")) as journal:
        journal.append("federation", [("PartyRemoved", {"name": "a"})], time_ms=1)
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as database:
        database.execute("UPDATE records SET body = ?", (json.dumps({"name": "b"}),))
        database.commit()

    with pytest.raises(TamperedError, match="was altered"):
        list(checks.check_journal(tmp_path / "journal.sqlite"))


def test_a_missing_journal_is_told_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot read"):
        list(checks.check_journal(tmp_path / "journal.sqlite"))

    assert list(tmp_path.iterdir()) == []


def test_an_authority_that_has_expired_fails(tmp_path: Path) -> None:
    Authority.create("north", NOW, timedelta(days=1)).save(tmp_path)

    assert only(checks.check_authority(tmp_path, NOW)).grade is Grade.OK
    assert only(checks.check_authority(tmp_path, NOW + timedelta(days=2))).grade is Grade.FAIL


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    Authority.create("north", NOW, timedelta(days=1)).save(tmp_path)
    (tmp_path / "ca.key").chmod(0o644)

    with pytest.raises(CredentialError, match="others than its owner may touch it"):
        list(checks.check_authority(tmp_path, NOW))


def test_a_taken_port_is_found_and_a_free_one_too() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        settings = AggregatorSettings(
            federation="north",
            url="https://localhost:8443",
            hosts=("localhost",),
            listen=Listen(host="127.0.0.1", port=port),
        )
        taken = only(checks.check_port(settings))
    free = only(checks.check_port(settings))

    assert (taken.grade, free.grade) == (Grade.FAIL, Grade.OK)
    assert f"port {port} of 127.0.0.1: Address already in use" in taken.detail


@pytest.mark.parametrize(
    ("confined", "required", "grade"),
    [
        (CONFINED, True, Grade.OK),
        (OPEN, False, Grade.WARN),
        (OPEN, True, Grade.FAIL),
    ],
)
def test_a_sandbox_is_graded_by_what_is_missing_and_required(
    confined: Confined, required: bool, grade: Grade
) -> None:
    finding = only(checks.check_sandbox(confined, required=required))

    assert finding.grade is grade
    assert all(gap in finding.detail for gap in confined.gaps)


@pytest.mark.parametrize(
    ("setting", "environment", "detail"),
    [
        (None, "http://proxy:1", "none: the aggregator is reached directly"),
        ("env", None, "none: the aggregator is reached directly"),
        ("env", "http://proxy:1", "proxy:1, as HTTPS_PROXY says"),
        ("http://me:secret@proxy:2", None, "proxy:2, as the settings say"),
    ],
)
def test_the_proxy_in_use_is_told_without_its_password(
    monkeypatch: pytest.MonkeyPatch, setting: str | None, environment: str | None, detail: str
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    if environment:
        monkeypatch.setenv("https_proxy", environment)

    finding = only(checks.check_proxy(Way("https://agg.example.org:8443", setting, "north")))

    assert finding.detail == detail


def test_an_exemption_from_the_proxy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy:1")
    monkeypatch.setenv("no_proxy", "agg.example.org")

    finding = only(checks.check_proxy(Way("https://agg.example.org:8443", "env", "north")))

    assert finding.detail == "none: NO_PROXY exempts the aggregator from HTTPS_PROXY"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SiteJournal]:
    party = Party("north", Role.COLLABORATOR, "hospital-a")
    with closing(SiteJournal(tmp_path, party, lambda: NOW)) as journal:
        yield journal


HEAD = JournalHead(generation=0, sequence=40, digest="e" * 64)


def test_a_site_that_has_never_started_has_no_journal_yet(tmp_path: Path) -> None:
    (finding,) = checks.check_site_journal(tmp_path)

    assert finding.grade is Grade.OK
    assert "none yet" in finding.detail
    assert list(tmp_path.iterdir()) == []


def test_the_records_of_a_sites_journal_and_its_acknowledged_restores_are_counted(
    tmp_path: Path, journal: SiteJournal
) -> None:
    own = journal.open().head
    assert own is not None
    journal.append(RestoreAcknowledged(heard=HEAD, own=own, by="kim", reason="", generation=1))

    (finding,) = checks.check_site_journal(tmp_path)

    assert finding.grade is Grade.OK
    assert finding.detail == "2 records in an intact chain; 1 acknowledged restore of a backup"


def test_a_restore_that_no_person_has_acknowledged_is_a_failure(tmp_path: Path, journal: SiteJournal) -> None:
    own = journal.open().head
    assert own is not None
    restored = Restored(heard=HEAD, own=own, run_id="demo-1", noticed_ms=7)
    (tmp_path / "journal.restored.json").write_text(restored.model_dump_json())

    _, finding = checks.check_site_journal(tmp_path)

    assert finding.grade is Grade.FAIL
    assert "nothing leaves this site" in finding.detail
    assert "hanse collaborator acknowledge" in finding.mend


def test_a_damaged_journal_of_a_site_is_named_with_the_ways_out(tmp_path: Path, journal: SiteJournal) -> None:
    journal.open()
    journal.close()
    (tmp_path / "journal.sqlite").write_bytes(b"?" * 4096)

    with pytest.raises(TamperedError, match="is not a journal") as raised:
        list(checks.check_site_journal(tmp_path))

    assert "hanse collaborator acknowledge" in raised.value.mend


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_whatever_stands_in_the_place_of_a_sites_journal_is_told_with_both_ways_out(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "journal.sqlite"
    path.mkdir() if kind == "folder" else path.symlink_to("nowhere")

    with pytest.raises(TamperedError, match=r"put back a copy of the file.*hanse collaborator acknowledge"):
        list(checks.check_site_journal(tmp_path))


def test_a_sites_journal_that_is_another_sites_is_refused(tmp_path: Path) -> None:
    with closing(SiteJournal(tmp_path, Party("north", Role.COLLABORATOR, "b"), lambda: NOW)) as journal:
        journal.open()

    with pytest.raises(TamperedError, match="is the journal of b in north"):
        list(checks.check_site_journal(tmp_path, Party("north", Role.COLLABORATOR, "a")))
