"""Data loaders whose processes could not pass on what they read."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from hanse.errors import TaskError
from hanse.learners.adapters.torch_loaders import refuse_loader_processes

pytestmark = pytest.mark.torch

REASON = "local sockets are refused"


@pytest.fixture
def refusing() -> Iterator[None]:
    from torch.utils.data import DataLoader

    loop = DataLoader.__iter__
    refuse_loader_processes(REASON)
    yield
    DataLoader.__iter__ = loop  # type: ignore[method-assign]


@pytest.mark.usefixtures("refusing")
def test_a_loop_over_a_loader_with_processes_fails_at_once_with_the_reason() -> None:
    from torch.utils.data import DataLoader

    with pytest.raises(TaskError, match=f"num_workers=2 cannot work here: {REASON}") as caught:
        iter(DataLoader([1, 2], num_workers=2))  # type: ignore[arg-type]

    assert caught.value.mend.startswith("Use num_workers=0")


@pytest.mark.usefixtures("refusing")
def test_a_loader_without_processes_works() -> None:
    from torch.utils.data import DataLoader

    assert [batch.tolist() for batch in DataLoader([1, 2], batch_size=2)] == [[1, 2]]  # type: ignore[arg-type]


def test_torch_that_is_imported_later_refuses_too() -> None:
    code = (
        "from hanse.learners.adapters.torch_loaders import refuse_loader_processes as refuse\n"
        f"refuse({REASON!r})\n"
        "import sys; assert 'torch' not in sys.modules\n"
        "from torch.utils.data import DataLoader\n"
        "try: iter(DataLoader([1], num_workers=1))\n"
        "except Exception as error: print(error)\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert REASON in done.stdout
