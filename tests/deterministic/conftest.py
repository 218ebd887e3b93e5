"""What the services' worlds need of pytest."""

from __future__ import annotations

import gc
import logging
import warnings
from collections.abc import Iterator

import pytest
from tests.deterministic.service_fixture import forget_fixture


@pytest.fixture(autouse=True)
def the_dead_leave_files_open() -> Iterator[None]:
    """A process that was killed closed nothing, and logs of thousands of retries help nobody."""
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            yield
            gc.collect()
    finally:
        logging.disable(logging.NOTSET)


@pytest.fixture(scope="session", autouse=True)
def no_folder_is_left() -> Iterator[None]:
    yield
    forget_fixture()
