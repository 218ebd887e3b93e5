from pathlib import Path

from hanse.sandbox.allowed import Access, Allowed, Grant, system_grants


def test_grants_on_one_path_are_taken_together(tmp_path: Path) -> None:
    allowed = Allowed.of([Grant(tmp_path, Access.READ), Grant(tmp_path, Access.WRITE)])

    assert allowed.grants == (Grant(tmp_path, Access.READ | Access.WRITE),)


def test_symbolic_links_are_followed_and_kept(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "data").symlink_to("disk")

    allowed = Allowed.of([Grant(tmp_path / "data", Access.READ)])

    assert allowed.grants == (Grant(tmp_path / "disk", Access.READ),)
    assert allowed.links == {tmp_path / "data": tmp_path / "disk"}


def test_the_system_is_granted_without_its_keys_and_without_the_disk() -> None:
    granted = {grant.path for grant in system_grants()}

    assert not granted & set(map(Path, ("/", "/etc", "/home", "/root", "/tmp", "/var", "/run", "/etc/ssl")))


def test_nothing_of_the_system_is_writable_but_devices() -> None:
    writable = [grant.path for grant in system_grants() if Access.WRITE in grant.access]

    assert Path("/dev/null") in writable
    assert all(path.is_relative_to("/dev") for path in writable)


def test_reports_that_attest_the_machine_are_not_granted() -> None:
    reports = Path("/sys/kernel/config/tsm/report")

    assert not any(reports.is_relative_to(grant.path) for grant in system_grants())
