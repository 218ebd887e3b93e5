from hanse.doctor.checks import Grade
from hanse.doctor.sealed_memory import check_sealed_memory


def test_nothing_is_reported_where_no_sealed_run_is_possible() -> None:
    assert list(check_sealed_memory(None)) == []


def test_where_other_programs_leave_core_dumps_is_reported() -> None:
    (finding,) = check_sealed_memory(4 * 10**9, (), "|/usr/lib/systemd/systemd-coredump %P")

    assert finding.grade is Grade.OK
    assert finding.detail.startswith("4GB for files of sealed runs")
    assert "systemd-coredump" in finding.detail


def test_a_swap_area_is_a_warning() -> None:
    warning, _ = check_sealed_memory(4 * 10**9, ("/dev/vdb",), "core")

    assert warning.grade is Grade.WARN
    assert "/dev/vdb" in warning.detail
