import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from hanse.sandbox.confine import Confined, Confinement, Layers, assess

ALL = Layers(namespaces=True, tree=True, own_processes=True, landlock=7, filter=True, superuser=False)


def test_a_confinement_survives_the_channel() -> None:
    confinement = Confinement(read=(Path("/data"),), memory_bytes=1 << 30, secrets=(Path("/key"),))

    assert Confinement.from_json(json.loads(json.dumps(confinement.as_json()))) == confinement


def test_what_took_effect_survives_the_channel() -> None:
    confined = Confined(
        ("landlock 7",), files=True, network=False, processes=True, gaps=("one",), watched=("a",)
    )

    assert Confined.from_json(json.loads(json.dumps(confined.as_json()))) == confined


def test_all_layers_leave_no_gap() -> None:
    found = assess(Confinement(processes=100), ALL)

    assert (found.files, found.network, found.processes, found.gaps) == (True, True, True, ())


def test_a_network_that_was_granted_is_no_gap() -> None:
    found = assess(Confinement(network=True), ALL)

    assert not found.network
    assert found.gaps == ()


def test_without_any_layer_everything_is_a_gap_and_says_why() -> None:
    found = assess(Confinement(processes=100), Layers(refused=["no Linux"]))

    assert (found.layers, found.files, found.network, found.processes) == ((), False, False, False)
    assert len(found.gaps) == 5
    assert all("no Linux" in gap for gap in found.gaps)


@pytest.mark.parametrize(
    ("layers", "gap"),
    [
        (Layers(landlock=5, filter=True), "signal other processes"),
        (Layers(landlock=8, filter=True), "refused even between processes of the worker"),
        (Layers(namespaces=True, landlock=8), "connect to local sockets of other programs"),
        (Layers(landlock=9), "reach the network"),
        (Layers(landlock=9, filter=True), "no file tree of its own"),
        (Layers(landlock=9, filter=True), "shared memory (/dev/shm) is refused"),
        (Layers(namespaces=True, tree=True), "how other processes were started"),
        (Layers(namespaces=True, tree=True, landlock=9), "cannot read about themselves"),
    ],
)
def test_a_missing_layer_leaves_its_gap(layers: Layers, gap: str) -> None:
    assert any(gap in found for found in assess(Confinement(processes=100), layers).gaps)


LIMITED = Confinement(processes=100, memory_bytes=1 << 30)


def test_limits_that_the_kernel_does_not_hold_are_named_with_the_reason() -> None:
    memory, processes = assess(LIMITED, Layers(), no_group="no cgroup: none was given").watched

    assert "processes together is measured" in memory
    assert "number of a worker's processes" in processes
    assert memory.endswith("(no cgroup: none was given)")


def test_in_a_cgroup_the_kernel_holds_all_limits() -> None:
    found = assess(LIMITED, Layers(group=True))

    assert found.watched == ()
    assert "cgroup" in found.layers


def test_the_kernel_counts_the_processes_of_a_worker_apart_for_all_but_the_superuser() -> None:
    assert len(assess(Confinement(processes=100), ALL).watched) == 0
    assert len(assess(Confinement(processes=100), replace(ALL, superuser=True)).watched) == 1


def test_limits_that_were_not_asked_for_are_not_missed() -> None:
    assert assess(Confinement(), Layers()).watched == ()


def test_a_secret_that_was_read_is_a_gap() -> None:
    found = assess(Confinement(), ALL, readable=[Path("/site/key.pem")])

    assert len(found.gaps) == 1
    assert "/site/key.pem" in found.gaps[0]
    assert not found.locked_in()


@pytest.mark.parametrize(
    "layers",
    [
        Layers(landlock=9, filter=True),
        Layers(namespaces=True, landlock=9, filter=True),
        Layers(namespaces=True, tree=True, filter=True),
        Layers(),
    ],
    ids=["Landlock alone", "no mounts", "the machine's /proc", "nothing"],
)
def test_what_leaves_other_programs_within_reach_is_not_locked_in(layers: Layers) -> None:
    assert not assess(Confinement(), layers).locked_in()


def test_all_layers_lock_in_and_a_network_counts_only_where_it_was_granted() -> None:
    assert assess(Confinement(), ALL).locked_in()

    granted = assess(Confinement(network=True), ALL)
    assert granted.locked_in(network=True)
    assert not granted.locked_in()


def test_local_sockets_are_for_workers_that_reach_none_outside() -> None:
    assert socket.AF_UNIX in ALL.families(network=False)
    assert socket.AF_UNIX in Layers(landlock=9).families(network=False)
    assert socket.AF_UNIX not in Layers(namespaces=True, landlock=8).families(network=False)


def test_internet_sockets_are_for_workers_with_a_network_of_their_own_or_a_granted_one() -> None:
    assert socket.AF_INET in ALL.families(network=False)
    assert socket.AF_INET in Layers().families(network=True)
    assert Layers().families(network=False) == ()


def test_what_keeps_a_worker_from_being_locked_in_whole_is_named() -> None:
    assert assess(Confinement(), ALL).lacking() == ()

    lacking = assess(Confinement(), replace(ALL, landlock=0, disks=(Path("/srv"),))).lacking()

    assert lacking == ("the layer landlock", "the worker can write to a disk at /srv")
