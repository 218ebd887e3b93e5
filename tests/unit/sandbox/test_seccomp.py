import errno
import socket

import pytest

from hanse.sandbox import kernel, seccomp
from hanse.sandbox.seccomp import program

if not kernel.supported():
    pytest.skip("needs Linux on x86_64 or aarch64", allow_module_level=True)

ALLOW = 0x7FFF0000


def decide(
    number: int, argument: int = 0, *, families: tuple[int, ...] = (), architecture: int | None = None
) -> int:
    """Run the filter as the kernel would: 0 where the call goes through, else the error it gets."""
    steps = program(families)
    data = {0: number, 4: architecture or kernel.architecture(), 16: argument}
    at = loaded = 0
    while True:
        operation, if_true, if_false, operand = steps[at]
        at += 1
        match operation:
            case 0x20:
                loaded = data[operand]
            case 0x06:
                return 0 if operand == ALLOW else operand & 0xFFFF
            case 0x15:
                at += if_true if loaded == operand else if_false
            case 0x35:
                at += if_true if loaded >= operand else if_false
            case 0x45:
                at += if_true if loaded & operand else if_false


def test_most_calls_go_through() -> None:
    assert all(decide(kernel.number(name)) == 0 for name in ("prctl", "mount", "clone", "capset"))


@pytest.mark.parametrize(
    "name",
    [
        "ptrace",
        "process_vm_readv",
        "keyctl",
        "unshare",
        "io_uring_setup",
        "memfd_secret",
        "shmget",
        "mq_open",
    ],
)
def test_calls_that_lead_out_are_refused(name: str) -> None:
    assert decide(kernel.number(name)) == errno.EPERM


def test_the_call_that_cannot_be_checked_seems_absent() -> None:
    assert decide(kernel.number("clone3")) == errno.ENOSYS


def test_a_process_goes_through_but_no_user_namespace_with_it() -> None:
    new_user, child_signal = 0x10000000, 17

    assert decide(kernel.number("clone"), child_signal) == 0
    assert decide(kernel.number("clone"), new_user | child_signal) == errno.EPERM


def test_a_process_cannot_be_hidden_from_who_counts_what_it_holds() -> None:
    assert decide(kernel.number("prctl"), kernel.PR_SET_DUMPABLE) == errno.EPERM
    assert decide(kernel.number("prctl"), kernel.PR_SET_PDEATHSIG) == 0


@pytest.mark.parametrize("families", [(), (socket.AF_UNIX,), (socket.AF_INET, socket.AF_INET6)])
def test_only_the_named_families_of_sockets_are_opened(families: tuple[int, ...]) -> None:
    opened = [
        family for family in range(50) if decide(kernel.number("socket"), family, families=families) == 0
    ]

    assert opened == sorted(families)


def test_calls_of_another_architecture_are_refused() -> None:
    i386, x32 = 0x40000003, 0x40000000

    assert decide(kernel.number("prctl"), architecture=i386) == errno.EPERM
    assert decide(kernel.number("socket") | x32) == errno.EPERM


def test_only_a_worker_whose_open_files_are_not_seen_gets_none_outside_of_folders() -> None:
    assert set(seccomp.refused(in_memory=True)) - set(seccomp.refused(in_memory=False)) == {"memfd_create"}
