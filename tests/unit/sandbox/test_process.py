import asyncio
from pathlib import Path

import pytest

from hanse.sandbox.process import WorkerProcess, WorkerSpec, how_it_ended


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "ended"),
        (1, "exited with status 1"),
        (137, "was killed by SIGKILL (out of memory?)"),
        (-9, "was killed by SIGKILL (out of memory?)"),
        (139, "was killed by SIGSEGV"),
        (255, "exited with status 255"),
    ],
)
def test_an_exit_status_is_put_into_words(code: int, words: str) -> None:
    assert how_it_ended(code) == words


def test_only_modules_of_hanse_are_workers() -> None:
    with pytest.raises(ValueError, match="one of hanse's"):
        asyncio.run(WorkerProcess.start(WorkerSpec("os.path", Path("work"), Path("log"))))


def test_a_log_where_the_worker_can_write_is_a_slip() -> None:
    with pytest.raises(ValueError, match="where the worker can write"):
        asyncio.run(WorkerProcess.start(WorkerSpec("hanse.x", Path("/work"), Path("/work/log"))))
