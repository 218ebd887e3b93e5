"""A worker that does what it is told, to see what comes of it."""

import ctypes
import fcntl
import importlib
import mmap
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import Any

from hanse.errors import TaskError
from hanse.learners.adapters.torch_loaders import refuse_loader_processes


def main(channel: Any, confined: Any, arguments: tuple[str, ...]) -> None:
    print("ready", *arguments)
    if confined.not_shared:
        refuse_loader_processes(confined.not_shared)
    while order := channel.receive():
        try:
            result = globals()[order["call"]](*order["with"])
        except (OSError, MemoryError) as error:
            result = type(error).__name__
        except TaskError as error:
            result = str(error)
        channel.send({"result": result})


def read(path: str) -> str:
    with Path(path).open("rb") as file:
        return file.read(1000).decode()


def open_device(path: str) -> str:
    os.close(os.open(path, os.O_RDONLY))
    return "opened"


def write(path: str, size: int = 4) -> int:
    return Path(path).write_bytes(b"x" * size)


def imported(name: str) -> str:
    return str(importlib.import_module(name).__file__)


def load_by_processes() -> list[int]:
    import torch
    from torch.utils.data import DataLoader

    return [int(batch) for batch in DataLoader(torch.arange(4), num_workers=2)]


def python(code: str) -> str:
    """What another process of the same Python prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return done.stdout.strip() or done.stderr


def read_in_a_thread(path: str) -> str:
    results = []

    def run() -> None:
        try:
            results.append(read(path))
        except OSError as error:
            results.append(type(error).__name__)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return results[0]


def read_in_a_subprocess(path: str) -> str:
    return subprocess.run(["/bin/cat", path], capture_output=True, text=True).stdout or "PermissionError"


def processes() -> list[int]:
    try:
        return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    except PermissionError:
        return []


def status_of_itself_in_a_thread() -> str:
    results = []
    thread = threading.Thread(target=lambda: results.append(Path("/proc/thread-self/status").read_text()))
    thread.start()
    thread.join()
    return results[0] + Path("/proc/self/status").read_text()


def make_ipc(kind: str) -> int:
    """Make something that the processes of a machine share by a key or a name."""
    libc = ctypes.CDLL(None, use_errno=True)
    result = {
        "shmget": lambda: libc.shmget(0, 4096, 0o600),
        "msgget": lambda: libc.msgget(0, 0o600),
        "semget": lambda: libc.semget(0, 1, 0o600),
        "mq_open": lambda: libc.mq_open(b"/hanse-test", os.O_CREAT | os.O_RDWR, 0o600, None),
    }[kind]()
    if result < 0:
        raise OSError(ctypes.get_errno(), kind)
    return int(result)


def open_files() -> list[str]:
    return [str(Path(f"/proc/self/fd/{number}").readlink()) for number in range(1000) if is_open(number)]


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def environment() -> dict[str, str]:
    return dict(os.environ)


def connect(family: int, address: Any) -> str:
    with socket.socket(family) as connection:
        connection.connect(tuple(address) if isinstance(address, list) else address)
        return "connected"


def send_datagram(port: int) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"leak", ("127.0.0.1", port))
        return "sent"


def talk_over_a_local_socket() -> str:
    with Listener(family="AF_UNIX") as listener, Client(listener.address) as client, listener.accept() as end:
        client.send_bytes(b"hello")
        return end.recv_bytes().decode()


def kill(pid: int) -> str:
    os.kill(pid, 0)
    return "signalled"


def unshare_user() -> str:
    if ctypes.CDLL(None, use_errno=True).unshare(0x10000000):
        raise OSError(ctypes.get_errno(), "unshare")
    return "unshared"


def hide_from_others() -> str:
    if ctypes.CDLL(None, use_errno=True).prctl(4, 0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    return "hidden"


def let_others_look() -> str:
    if ctypes.CDLL(None, use_errno=True).prctl(4, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    return "shown"


def can_be_dumped() -> int:
    return int(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))


def leaves_a_core(starts_a_program: bool) -> bool:
    """Say whether a child that crashes leaves a core dump, itself or as another program."""
    child = os.fork()
    if child == 0:
        if starts_a_program:
            os.execv(sys.executable, [sys.executable, "-c", "import os; os.abort()"])
        os.abort()
    status = os.waitpid(child, 0)[1]
    return os.WIFSIGNALED(status) and os.WCOREDUMP(status)


def places_to_write() -> dict[str, str]:
    """The kind of file system of each mount that can be written to, by its place."""
    found = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, after = line.split(" - ")
        if "rw" in before.split()[5].split(","):
            found[before.split()[4]] = after.split()[0]
    return found


def leave_everywhere(marker: str) -> list[str]:
    """Write and print a marker wherever that is possible; the folders where it was."""
    print(marker, flush=True)
    print(marker, file=sys.stderr, flush=True)
    held.append(marker)
    left = []
    for folder in (
        ".",
        "/tmp",
        "/var/tmp",
        "/dev/shm",
        "/dev",
        "/",
        "/usr",
        "/proc",
        "/sys",
        Path(tempfile.__file__).parent,
    ):
        try:
            Path(folder, "marker").write_text(marker)
        except OSError:
            continue
        left.append(folder)
    return left


def capabilities() -> str:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith("CapEff"))


def numpy_in_the_workspace() -> float:
    import numpy as np

    np.save("ones.npy", np.ones((100, 100)))
    array = np.load("ones.npy", mmap_mode="r")
    return float((array @ array).sum())


def allocate(size: int) -> int:
    return len(bytearray(size))


held: list[Any] = []
"""What is held until the worker ends."""


def hold(kind: str, size: int) -> str:
    """Take memory in a way that the limit on a single process's own memory does not see."""
    HOLDERS[kind](size)
    return "held"


def hold_in_a_file_in_memory(size: int) -> None:
    held.append(os.memfd_create("held"))
    for _ in range(size >> 20):
        os.write(held[-1], bytes(1 << 20))


def hold_in_a_mapping(size: int) -> None:
    held.append(mmap.mmap(-1, size))
    for start in range(0, size, 1 << 20):
        held[-1][start : start + (1 << 20)] = b"x" * (1 << 20)


def hold_in_a_mapping_that_is_put_away(size: int) -> None:
    hold_in_a_mapping(size)
    held[-1].madvise(mmap.MADV_DONTNEED)


def hold_in_a_file_in_memory_that_is_only_mapped(size: int) -> None:
    hold_in_a_file_in_memory(size)
    held.append(mmap.mmap(held[-1], size))
    os.close(held[-2])


def hold_in_a_file_in_memory_that_is_mapped_by_one_page(size: int) -> None:
    hold_in_a_file_in_memory(size)
    map_one_page(held.pop())


def map_one_page(descriptor: int) -> None:
    """Map the beginning of a file and close it; Python's own mappings keep a descriptor."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.mmap(None, 4096, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
    os.close(descriptor)


def hold_in_children(size: int) -> None:
    for _ in range(8):
        if os.fork() == 0:
            held.append(b"x" * (size // 8))
            time.sleep(60)
            os._exit(0)


HOLDERS = {
    "files in memory": hold_in_a_file_in_memory,
    "mappings": hold_in_a_mapping,
    "mappings put away": hold_in_a_mapping_that_is_put_away,
    "mapped files in memory": hold_in_a_file_in_memory_that_is_only_mapped,
    "files in memory mapped by one page": hold_in_a_file_in_memory_that_is_mapped_by_one_page,
    "children": hold_in_children,
}


def fork_after_allocating(size: int, children: int) -> str:
    """Have what is allocated in common with children that only read it."""
    held.append(b"x" * size)
    for _ in range(children):
        if os.fork() == 0:
            held[-1].count(b"y")
            time.sleep(60)
            os._exit(0)
    time.sleep(1)
    return "in common"


def write_files(folder: str, size: int, count: int) -> str:
    for number in range(count):
        Path(folder, f"{number}").write_bytes(b"x" * size)
    return "written"


def write_deleted_files(size: int, count: int) -> str:
    for number in range(count):
        held.append(Path(f"{number}").open("wb"))  # noqa: SIM115
        Path(f"{number}").unlink()
        held[-1].write(b"x" * size)
        held[-1].flush()
    return "written"


def write_mapped_files(size: int, count: int) -> str:
    for number in range(count):
        file = os.open(f"{number}", os.O_CREAT | os.O_RDWR)
        Path(f"{number}").unlink()
        os.write(file, b"x" * size)
        map_one_page(file)
    return "written"


def hold_secret_memory() -> int:
    descriptor = ctypes.CDLL(None, use_errno=True).syscall(447, 0)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "memfd_secret")
    return int(descriptor)


def open_a_folder_that_no_path_names() -> int:
    here = Path.cwd()
    os.chdir(tempfile.gettempdir())
    for _ in range(25):
        Path("d" * 200).mkdir()
        os.chdir("d" * 200)
    held.append(os.open(".", os.O_RDONLY))
    os.chdir(here)
    return len(held)


def hold_unseen(kind: str, size: int) -> str:
    open_a_folder_that_no_path_names()
    return hold(kind, size)


def open_too_many_files(processes: int, count: int) -> str:
    for _ in range(processes):
        if os.fork() == 0:
            null = os.open("/dev/null", os.O_RDONLY)
            held.extend(os.dup(null) for _ in range(count))
            time.sleep(60)
            os._exit(0)
    return "opened"


def leave_in_deep_folders() -> str:
    open_a_folder_that_no_path_names()
    Path(f"/proc/self/fd/{held[-1]}/left").write_bytes(b"x")
    return tempfile.gettempdir()


def leave_in_the_temporary_directory() -> str:
    folder = Path(tempfile.gettempdir())
    (folder / "left").write_bytes(b"x")
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b").chmod(0)
    return str(folder)


def size_of_shared_memory() -> int:
    found = os.statvfs("/dev/shm")
    return found.f_blocks * found.f_frsize


def open_file_limit() -> tuple[int, int]:
    import resource

    return resource.getrlimit(resource.RLIMIT_NOFILE)


def faults_of_the_second_use(blocks: int, size: int) -> int:
    """Pages that are new to the process when it allocates and fills the same again."""
    import resource

    before = 0
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        filled = [bytes([1]) * size for _ in range(blocks)]
        del filled
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def fork(count: int) -> int:
    for _ in range(count):
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
    return count


HOLDER = """
import fcntl, os, sys, time
fcntl.flock(os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY), fcntl.LOCK_EX)
print("locked", flush=True)
time.sleep(600)
"""


def leave_children_with_locks(directory: str) -> str:
    """Start processes, in the worker's group and out of it, that hold a lock for as long as they live."""
    for name, apart in (("near", False), ("far", True)):
        child = subprocess.Popen(
            [sys.executable, "-S", "-c", HOLDER, f"{directory}/{name}"],
            stdout=subprocess.PIPE,
            start_new_session=apart,
        )
        assert child.stdout is not None
        child.stdout.readline()
    take_lock(f"{directory}/own")
    return "locked"


def flee(path: str) -> str:
    """Start a process that holds a lock and forks and ends all the time, out of the worker's group."""
    if os.fork() == 0:
        os.setsid()
        take_lock(path)
        while True:
            if os.fork():
                os._exit(0)
    while not Path(path).exists():
        time.sleep(0.01)
    return "fled"


def take_lock(path: str) -> None:
    fcntl.flock(os.open(path, os.O_CREAT | os.O_WRONLY), fcntl.LOCK_EX)


def print_lines(count: int) -> int:
    for line in range(count):
        print("line", line)
    return count


def exit_with(status: int) -> None:
    sys.exit(status)


def die_of(number: int) -> None:
    os.kill(os.getpid(), number)


def hang() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
