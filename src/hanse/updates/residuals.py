"""What compression left out of a site's updates, until the next one makes up for it."""

from __future__ import annotations

import logging
from pathlib import Path

from hanse.core.values.canonical import sha256
from hanse.core.values.parameters import Parameters
from hanse.errors import HanseError
from hanse.files.errors import file_errors
from hanse.wire.tensors import open_file, write_file

logger = logging.getLogger(__name__)

_KEPT, _PENDING = ".kept.safetensors", ".pending.safetensors"


class Residuals:
    """The error feedback of one run at a site: for each task, what its last update that counts left out.

    What an update leaves out is noted under its exchange, and is pending until it is known
    whether the update counts. So a task that is performed again starts from the same memory
    and gives the same bits, and an update that came too late leaves no trace.

    Args:
        directory: Made when there is something to keep.
        durable: Whether what is noted has to outlast a power failure.
    """

    def __init__(self, directory: Path, *, durable: bool = True) -> None:
        self._directory = directory
        self._durable = durable

    @property
    def empty(self) -> bool:
        """Whether nothing was ever noted; to look takes no time."""
        return not self._directory.is_dir()

    def before(self, task: str) -> Parameters | None:
        """What the task's last update that counts left out, flat tensors; None where nothing is known."""
        kept = self._of(task, _KEPT)
        if not kept:
            return None
        try:
            return open_file(kept[-1])
        except HanseError as error:  # it costs accuracy, and is no reason to end
            logger.error("what compression left out of earlier updates is lost: %s", error)
            return None

    def note(self, task: str, exchange: int, left_out: Parameters) -> None:
        """Write down what the update of an exchange leaves out; durable when this returns, if so asked."""
        with file_errors(f"make {self._directory}"):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Before the outcome is signed: an update that counts must not be without its memory.
        write_file(self._place(task, exchange, _PENDING), left_out, durable=self._durable)

    def apply_acceptance(self, accepted: int, asked: int) -> None:
        """Learn from an assignment which exchange counted last; earlier ones that pend do not.

        Args:
            accepted: The last exchange whose result was accepted.
            asked: The exchange that is asked now; what pends of it still may count.
        """
        self.accept(accepted)
        for path in self._all(_PENDING):
            if _exchange(path) < asked:
                self._drop(path)

    def accept(self, exchange: int) -> None:
        """The update of an exchange counts."""
        for path in self._all(_PENDING):
            if _exchange(path) == exchange:
                task = path.name.partition("-")[0]
                earlier = self._all(_KEPT, task)
                with file_errors(f"keep {path}"):
                    path.replace(path.with_name(path.name.removesuffix(_PENDING) + _KEPT))
                for old in earlier:
                    self._drop(old)

    def refuse(self, exchange: int) -> None:
        """The update of an exchange does not count."""
        for path in self._all(_PENDING):
            if _exchange(path) == exchange:
                self._drop(path)

    def _of(self, task: str, state: str) -> list[Path]:
        return self._all(state, _key(task))

    def _all(self, state: str, key: str = "*") -> list[Path]:
        if self.empty:
            return []
        return sorted(self._directory.glob(f"{key}-*{state}"), key=_exchange)

    def _place(self, task: str, exchange: int, state: str) -> Path:
        return self._directory / f"{_key(task)}-{exchange}{state}"

    def _drop(self, path: Path) -> None:
        with file_errors(f"delete {path}"):
            path.unlink(missing_ok=True)


def _key(task: str) -> str:
    """A task's name as that of a file."""
    return sha256(task.encode())[:16]


def _exchange(path: Path) -> int:
    return int(path.name.partition("-")[2].partition(".")[0])
