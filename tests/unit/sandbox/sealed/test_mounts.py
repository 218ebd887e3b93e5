from pathlib import Path

from hanse.sandbox.sealed.mounts import mount_of, mounts, writable_disks

LIST = mounts(
    "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
    "28 27 0:30 / /srv/a\\040site/sealed rw,nosuid - tmpfs hanse-7 rw,size=64k,noswap\n"
    "29 27 0:31 / /srv/data ro,relatime - ext4 /dev/vdb rw\n"
    "30 27 0:32 / /srv/shared rw shared:5 - tmpfs tmpfs rw\n"
)


def test_a_mount_is_read_with_the_spaces_of_its_place() -> None:
    assert LIST[1].place == Path("/srv/a site/sealed")
    assert "noswap" in LIST[1].options


def test_a_path_lies_on_the_deepest_mount_above_it() -> None:
    assert mount_of(Path("/srv/a site/sealed/runs"), LIST) == LIST[1]
    assert mount_of(Path("/srv/a site/sealed-not"), LIST) == LIST[0]


def test_of_two_mounts_on_one_place_the_later_counts() -> None:
    twice = [*LIST, *mounts("31 28 0:40 / /srv/a\\040site/sealed rw - ext4 /dev/vdc rw")]

    assert mount_of(Path("/srv/a site/sealed"), twice) == twice[-1]


def test_a_disk_counts_as_writable_unless_its_mount_is_read_only() -> None:
    assert list(writable_disks(LIST)) == [Path("/")]


def test_a_mount_that_is_passed_on_is_shared() -> None:
    assert [mount.shared for mount in LIST] == [False, False, False, True]
