"""The plan of a script that has none, as it shows itself while the script runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from hanse.config.document import Document
from hanse.config.expand import expand
from hanse.config.load import LoadedPlan
from hanse.config.script import with_code
from hanse.core.plan.manifest import Manifest
from hanse.core.plan.plan import Plan
from hanse.core.values.wording import named
from hanse.errors import PlanError
from hanse.learners.script import EVALUATE, TRAIN

_PACKAGE = "__init__.py"


class ScriptPlan:
    """A plan that declares what its script turns out to report, and lists what it turns out to import.

    Args:
        loaded: The plan, as far as it is known before the script runs.
    """

    def __init__(self, loaded: LoadedPlan) -> None:
        self._loaded = loaded
        self._plan = loaded.manifest.plan
        self._imported: set[Path] = set()
        self._opened: set[Path] = set()

    @property
    def plan(self) -> Plan:
        """The plan as known so far."""
        return self._plan

    def add_evaluation(self) -> LoadedPlan:
        """Give the plan a task that evaluates the averaged model; the plan with it."""
        tasks = self._plan.model_dump(mode="json")["tasks"]
        self._change(tasks=tasks | {EVALUATE: {}})
        return self._with_plan(self._loaded)

    def declare(self, task: str, metrics: Iterable[str]) -> Plan:
        """Declare the metrics that a task reports.

        Returns:
            The plan.

        Raises:
            PlanError: A metric has a name that no plan can declare, or there are too many.
        """
        if task not in (TRAIN, EVALUATE):
            return self._plan
        declared = self._plan.tasks[task].discloses.metrics
        new = [name for name in metrics if name not in declared]
        if new:
            tasks = self._plan.model_dump(mode="json")["tasks"]
            tasks[task]["discloses"]["metrics"] = [*declared, *new]
            self._change(tasks=tasks)
        return self._plan

    def note(self, imported: Iterable[str], opened: Iterable[str]) -> None:
        """Note files of modules that the script has imported, and other files beside it that it has read."""
        self._imported |= {Path(file) for file in imported}
        self._opened |= {Path(file) for file in opened}

    def outcome(self) -> LoadedPlan:
        """The plan with everything that was noted.

        Raises:
            PlanError: No plan can list it.
        """
        root = self._loaded.root.resolve()
        inside = {file.relative_to(root) for file in self._imported if file.is_relative_to(root)}
        files = {file.as_posix() for file in inside if (root / file).is_file()}
        for file in inside:
            files |= _of_package(root, file)
        return self._with_plan(with_code(self._loaded, files))

    def elsewhere(self) -> str:
        """A warning of modules that are neither beside the script nor installed, or nothing."""
        root = self._loaded.root.resolve()
        found = sorted(str(file) for file in self._imported if not file.is_relative_to(root))
        if not found:
            return ""
        return (
            f"{self._plan.script} imports {named(found)} from outside of its folder, which no plan can "
            "list: a site has it only where it is installed. Move it beside the script, or install it at "
            "each site"
        )

    def unlisted(self, loaded: LoadedPlan) -> str:
        """A warning of files beside the script that it reads and the plan does not list, or nothing."""
        root = self._loaded.root.resolve()
        read = {file.relative_to(root).as_posix() for file in self._opened if file.is_relative_to(root)}
        found = sorted(read - set(loaded.manifest.plan.code))
        if not found:
            return ""
        return (
            f"{self._plan.script} reads {named(found)} beside it, which no site would have. If that belongs "
            f"to the code, add --code {found[0]!r}; a site's data is found by hanse.site().data[NAME], with "
            "--data NAME=PATH"
        )

    def _change(self, **settings: object) -> None:
        value = {**self._plan.model_dump(mode="json"), **settings}
        script = str(self._loaded.root / (self._plan.script or ""))
        self._plan = Document(script, value, {}, PlanError).check(Plan)

    def _with_plan(self, loaded: LoadedPlan) -> LoadedPlan:
        old = loaded.manifest
        plan = self._plan.model_copy(update={"code": old.plan.code})
        manifest = Manifest(plan=plan, files=old.files, initial_model=old.initial_model)
        return replace(loaded, manifest=manifest, digest=manifest.digest)


def _of_package(root: Path, file: Path) -> set[str]:
    """All modules of the package that a file belongs to: which are imported may depend on the data."""
    if len(file.parts) < 2 or not (root / file.parts[0] / _PACKAGE).is_file():
        return set()
    try:
        return set(expand(root, f"{file.parts[0]}/**/*.py"))
    except PlanError:  # more than a plan can list: those that were imported have to do
        return set()
