"""The code of the demo's plan, loaded as a site loads it."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from hanse.demo.files import LEARNERS, write_plan
from hanse.learners.bundle import load_function


@pytest.fixture(scope="session")
def plan_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plan")
    for learner in LEARNERS:
        write_plan(folder, learner)
    return folder


@pytest.fixture(scope="module")
def heart_data(plan_folder: Path) -> ModuleType:
    return sys.modules[load_function(plan_folder, "heart_data:load").__module__]


@pytest.fixture(scope="module")
def heart_numpy(plan_folder: Path) -> ModuleType:
    return sys.modules[load_function(plan_folder, "heart_numpy:learner").__module__]
