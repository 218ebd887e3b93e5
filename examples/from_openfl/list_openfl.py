"""Writes what the page on moving has to name: every command of `fx`, and every key of OpenFL's plan.

Run by an environment with OpenFL, and torch so that all classes are there: python list_openfl.py
"""

import importlib
import inspect
from importlib.metadata import version
from pathlib import Path

import click
import openfl
import openfl.component as component
import openfl.pipelines as pipelines
import yaml
from openfl.component.aggregator import straggler_handling
from openfl.transport import AggregatorGRPCClient, AggregatorGRPCServer

HERE = Path(__file__).parent
PACKAGE = Path(openfl.__file__).parent
WORKSPACES = PACKAGE.parent / "openfl-workspace"
STABLE = "openfl.interface"
WORKFLOW = "openfl.experimental.workflow.interface.cli"
CLASSES = {
    "aggregator": [component.Aggregator],
    "assigner": [component.RandomGroupedAssigner, component.StaticGroupedAssigner, component.Assigner],
    "collaborator": [component.Collaborator],
    "compression_pipeline": [getattr(pipelines, name) for name in dir(pipelines) if "Pipeline" in name],
    "network": [AggregatorGRPCClient, AggregatorGRPCServer],
    "straggler_handling_policy": [
        straggler_handling.WaitForAllPolicy,
        straggler_handling.CutoffTimePolicy,
        straggler_handling.PercentagePolicy,
    ],
}
"""The classes that `Plan` builds from the settings of a section."""
FROM_OPENFL = {
    "self", "args", "kwargs", "aggregator_uuid", "federation_uuid", "authorized_cols", "assigner",
    "connector", "compression_pipeline", "straggler_handling_policy", "initial_tensor_dict",
    "collaborator_name", "client", "task_runner", "task_config", "aggregator", "root_certificate",
    "certificate", "private_key", "tasks",
}  # fmt: skip
"""Arguments that `Plan` fills in itself."""
FILLED = {"assigner.rounds_to_train", "collaborator.secure_aggregation"}
"""Likewise, but keys of other sections."""


def commands(module):
    """Every command below the groups of a package of `fx`, with its options."""
    folder = Path(importlib.import_module(module).__file__).parent
    for file in sorted(folder.glob("*.py")):
        if not file.stem.startswith(("__init__", "cli")):
            group = getattr(importlib.import_module(f"{module}.{file.stem}"), file.stem)
            yield from below(group, f"fx {file.stem}")


def below(command, name):
    if isinstance(command, click.Group):
        for word in sorted(command.commands):
            yield from below(command.commands[word], f"{name} {word}")
    else:
        options = [max(param.opts, key=len) for param in command.params]
        yield " ".join([name, *options])


def keys():
    """`section` and `section.key`, of the plans that OpenFL ships and of the classes it builds."""
    found = set()
    for file in [*WORKSPACES.rglob("plan/plan.yaml"), *WORKSPACES.rglob("plan/plans/*/*.yaml")]:
        for section, value in yaml.safe_load(file.read_text("utf-8")).items():
            found.add(section)
            found |= {f"{section}.{key}" for key in (value or {}).get("settings") or {}}
            if section == "tasks":
                tasks = {name: task for name, task in value.items() if isinstance(task, dict)}
                found |= {f"tasks.NAME.{key}" for task in tasks.values() for key in task}
                found |= {
                    f"tasks.NAME.kwargs.{key}" for task in tasks.values() for key in task.get("kwargs") or {}
                }
    for file in WORKSPACES.rglob("plan/defaults/*.yaml"):
        section = file.stem.removesuffix("_flower") if file.stem == "connector_flower" else file.stem
        value = yaml.safe_load(file.read_text("utf-8"))
        if not section.startswith("tasks"):
            found |= {f"{section}.{key}" for key in value.get("settings") or {}}
        else:
            for name, task in value.items():
                if name == "settings":
                    found |= {f"tasks.settings.{key}" for key in task}
                    continue
                found |= {f"tasks.NAME.{key}" for key in task}
                found |= {f"tasks.NAME.kwargs.{key}" for key in task.get("kwargs") or {}}
    for section, classes in CLASSES.items():
        for each in classes:
            names = inspect.signature(each.__init__).parameters
            found |= {f"{section}.{name}" for name in names if name not in FROM_OPENFL}
    for group in ("name", "percentage", "tasks", "collaborators"):
        found.add(f"assigner.task_groups.{group}")
    return found - FILLED


def main():
    head = f"# openfl {version('openfl')}"
    text = "\n".join(
        [head, *commands(STABLE), f"{head}, after `fx experimental activate`", *commands(WORKFLOW)]
    )
    (HERE / "fx-commands.txt").write_text(text + "\n", "utf-8")
    (HERE / "plan-keys.txt").write_text("\n".join([head, *sorted(keys())]) + "\n", "utf-8")


if __name__ == "__main__":
    main()
