"""What `import hanse` gives, and what it does not cost."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import hanse

FRAMEWORKS = ("torch", "sklearn", "jax", "tensorflow", "pydantic", "sqlalchemy", "aiohttp", "typer", "numpy")


def modules_after(code: str) -> set[str]:
    """Names of the modules that a fresh interpreter has imported after running `code`."""
    program = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_public_names_are_these() -> None:
    assert set(hanse.__all__) == {
        "Aggregate",
        "Federation",
        "HanseError",
        "Learner",
        "Round",
        "Site",
        "TableLearner",
        "Task",
        "TaskResult",
        "Update",
        "add",
        "binned_scores",
        "connect",
        "ifca_answer",
        "load",
        "mean_metrics",
        "pooled_metrics",
        "rounds",
        "simulate",
        "site",
        "standardised",
        "weighted_mean",
        "zeros_like",
    }


@pytest.mark.parametrize("name", hanse.__all__)
def test_every_public_name_can_be_had_and_is_documented(name: str) -> None:
    assert getattr(hanse, name).__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="stratgey"):
        _ = hanse.stratgey  # type: ignore[attr-defined]


def test_importing_hanse_imports_no_framework() -> None:
    assert not modules_after("import hanse") & set(FRAMEWORKS)


def test_the_names_of_a_script_import_no_framework() -> None:
    imported = modules_after("import hanse; hanse.rounds; hanse.site; hanse.Site; hanse.TaskResult")

    assert not imported & {"torch", "sklearn", "sqlalchemy", "aiohttp", "typer"}


def test_an_agent_imports_neither_frameworks_nor_what_only_aggregators_and_operators_need() -> None:
    imported = modules_after("import hanse.assembly.site, hanse.collaborator.agent, hanse.cli.service")

    assert not imported & {"torch", "sklearn", "jax", "tensorflow"}
    assert not imported & {"hanse.wire.messages.runs", "hanse.aggregator", "hanse.transport.server.server"}


def test_the_names_of_a_workflow_import_no_state_machine() -> None:
    imported = modules_after("from hanse import *")

    assert not {name for name in imported if name.startswith(("hanse.core.run", "hanse.aggregator"))}
