"""The number of threads of linear algebra."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from threadpoolctl import threadpool_info

from hanse.simulation.arithmetic import limited


def pools() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info()]


def test_libraries_that_are_loaded_use_this_many_threads_and_then_as_many_as_before() -> None:
    before = pools()

    with limited(3):
        inside = pools()
        with limited(1):
            nested = pools()

    assert before
    assert set(inside) == {3}
    assert set(nested) == {1}
    assert pools() == before


def test_processes_that_are_started_use_this_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    code = "import numpy, threadpoolctl; print(*{p['num_threads'] for p in threadpoolctl.threadpool_info()})"

    with limited(1):
        printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert printed.stdout == "1\n"
    assert os.environ["OMP_NUM_THREADS"] == "2"
    assert "OPENBLAS_NUM_THREADS" not in os.environ


@pytest.mark.torch
def test_torch_uses_this_many_threads() -> None:
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()

    with limited(1):
        assert torch.get_num_threads() == 1

    assert torch.get_num_threads() == before
