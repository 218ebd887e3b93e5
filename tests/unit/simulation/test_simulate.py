"""Whole simulations: from a plan or a script on disk to a model."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from hanse.config.load import LoadedPlan, load_plan
from hanse.config.script import script_plan
from hanse.config.write import to_yaml
from hanse.core.run.events import Event
from hanse.core.run.round_events import RoundCommitted, UpdateAccepted
from hanse.core.run.run import Phase, Run
from hanse.errors import ConfigError, MissingDataError, PlanError, QuorumError, WorkflowError
from hanse.simulation.partition import Partition
from hanse.simulation.simulate import Outcome, Settings, VirtualSite, simulate, with_settings

PLAN = """
name: adding
code: [adding.py]
learner: adding:learner
rounds: 2
seed: 3
data: [step]
keep_best: {metric: loss, mode: min}
tasks:
  train: {discloses: {update: aggregate, aggregated_by: aggregator, metrics: [loss]}}
"""
LEARNER = """
import numpy as np
import hanse

def learner(site):
    return Adder(float(site.data["step"].read_text()), site)

class Adder:
    def __init__(self, step, site):
        self.step, self.site = step, site

    def parameters(self):
        return {"w": np.zeros(2, np.float32)}

    def train(self, parameters, task):
        w = parameters["w"] + np.float32(self.step)
        return hanse.TaskResult(len(self.site.share([0] * 6)), {"loss": float(w[0])}, {"w": w})

    def evaluate(self, parameters, task):
        return hanse.TaskResult(1, {})
"""
SCRIPT = """
import numpy as np
import hanse

site = hanse.site()
model = {"w": np.zeros(1, np.float32)}
for round in hanse.rounds(model):
    model["w"] += len(site.share([0] * 6))
    round.report(examples=1, loss=float(model["w"][0]))
(site.data_root / site.name).write_text("ended")
"""


@pytest.fixture
def project(tmp_path: Path) -> LoadedPlan:
    write(tmp_path / "plan.yaml", PLAN)
    write(tmp_path / "adding.py", LEARNER)
    write(tmp_path / "a.txt", "1")
    write(tmp_path / "b.txt", "2")
    return load_plan(tmp_path / "plan.yaml")


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Outcome]:
    def run(
        loaded: LoadedPlan,
        sites: list[VirtualSite],
        partition: Partition | None = None,
        listener: Callable[[Run, Event], None] = lambda run, event: None,
        **changes: Any,
    ) -> Outcome:
        script = loaded.manifest.plan.script is not None
        folder = tmp_path_factory.mktemp("state")
        settings = Settings(folder, 1_000, partition, script_plan=script, **changes)
        return simulate(loaded, sites, settings, listener)

    return run


def write(path: Path, text: str) -> None:
    path.write_text(dedent(text), encoding="utf-8")


def sites_of(loaded: LoadedPlan) -> list[VirtualSite]:
    return [VirtualSite(name, {"step": loaded.root / f"{name}.txt"}) for name in "ab"]


def with_script(folder: Path, text: str = SCRIPT, rounds: int = 2) -> tuple[LoadedPlan, list[VirtualSite]]:
    write(folder / "train.py", text)
    loaded = script_plan(folder / "train.py", rounds=rounds, seed=0, sites=2)
    return loaded, [VirtualSite(name, data_root=folder) for name in ("site-1", "site-2")]


def value(outcome: Outcome) -> float:
    assert outcome.model is not None
    return float(outcome.model["w"][0])


def test_a_plan_runs_at_each_site_on_its_own_data(project: LoadedPlan, run: Callable[..., Outcome]) -> None:
    outcome = run(project, sites_of(project))

    assert outcome.run.phase is Phase.FINISHED
    assert value(outcome) == 3.0  # two rounds of the mean of 1 and 2


THREADS = """
import numpy as np
from threadpoolctl import threadpool_info
import hanse

def threads():
    return max(pool["num_threads"] for pool in threadpool_info())

def learner(site):
    return Counting()

class Counting:
    def parameters(self):
        return {"w": np.zeros(2, np.float32)}

    def train(self, parameters, task):
        return hanse.TaskResult(1, {"loss": threads()}, {"w": parameters["w"] + 1})

    evaluate = train

def workflow(federation):
    for round in federation.rounds():
        before, aggregate = threads(), round.sum("train")
        round.commit(round.apply(aggregate), {**aggregate.metrics, "before": before, "after": threads()})
"""


@pytest.mark.parametrize("threads", [1, 3])
def test_sites_have_the_threads_that_they_are_given_and_the_workflow_one(
    tmp_path: Path, run: Callable[..., Outcome], threads: int
) -> None:
    write(tmp_path / "plan.yaml", PLAN.replace("data: [step]", "workflow: adding:workflow"))
    write(tmp_path / "adding.py", THREADS)

    outcome = run(load_plan(tmp_path / "plan.yaml"), [VirtualSite("a"), VirtualSite("b")], threads=threads)

    assert outcome.run.metrics == {"loss": threads, "before": 1, "after": 1}


@pytest.mark.parametrize("count", [2, 9], ids=["a process each", "threads"])
def test_a_scripts_plan_keeps_tensors_at_each_site(
    tmp_path: Path, run: Callable[..., Outcome], count: int
) -> None:
    task = "{discloses: {update: aggregate, aggregated_by: aggregator, metrics: [loss]}}"
    write(
        tmp_path / "plan.yaml",
        f"name: own\ncode: [train.py]\nscript: train.py\nrounds: 3\npersonal: [head]\n"
        f"tasks: {{train: {task}}}",
    )
    write(
        tmp_path / "train.py",
        """
        import numpy as np, hanse

        model = {"w": np.zeros(1, np.float32), "head": np.zeros(1)}
        for round in hanse.rounds(model):
            model["head"] += hanse.site().index
            model["w"] += np.float32(model["head"][0])
            round.report(examples=1, loss=float(model["head"][0]))
        """,
    )

    outcome = run(load_plan(tmp_path / "plan.yaml"), [VirtualSite(f"site-{n}") for n in range(count)])

    mean = sum(range(count)) / count
    assert outcome.model is not None
    assert outcome.model.keys() == {"w"}
    assert value(outcome) == pytest.approx(mean * (1 + 2 + 3))
    assert outcome.run.metrics == {"loss": pytest.approx(3 * mean)}


def test_a_script_runs_at_each_site_to_its_end(tmp_path: Path, run: Callable[..., Outcome]) -> None:
    outcome = run(*with_script(tmp_path))

    assert value(outcome) == 12.0
    assert (tmp_path / "site-2").read_text() == "ended"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("raise Evil", "train failed at adding.py:16: Evil: its message cannot be read"),
        ("return hanse.TaskResult(1, {'loss': Number(1)})", "SystemExit"),
        ("raise GeneratorExit", "adding.py:16: GeneratorExit"),
        ("raise BaseExceptionGroup('x', [SystemExit(0)])", "adding.py:16: BaseExceptionGroup"),
    ],
)
def test_nothing_that_a_plan_raises_ends_a_simulation_without_a_word(
    project: LoadedPlan, run: Callable[..., Outcome], line: str, told: str
) -> None:
    evil = """
    class Evil(Exception):
        def __str__(self): raise SystemExit(0)
    class Number(float):
        def __float__(self): raise SystemExit(0)
    """
    first = 'w = parameters["w"] + np.float32(self.step)'
    plan = PLAN.replace("update: aggregate, aggregated_by: aggregator", "update: individual")
    write(project.root / "plan.yaml", plan)
    write(project.root / "adding.py", LEARNER.replace(first, line) + dedent(evil))

    with pytest.raises(QuorumError) as caught:
        run(load_plan(project.root / "plan.yaml"), sites_of(project))

    assert told in str(caught.value)


def test_the_best_model_is_given_where_the_plan_keeps_it(
    project: LoadedPlan, run: Callable[..., Outcome]
) -> None:
    outcome = run(project, sites_of(project))

    assert outcome.best is not None
    assert float(outcome.best["w"][0]) == 1.5


def test_sites_get_their_shares_of_the_data(tmp_path: Path, run: Callable[..., Outcome]) -> None:
    outcome = run(*with_script(tmp_path), Partition())

    assert value(outcome) == 6.0
    assert outcome.dealt == {"site-1", "site-2"}


def test_code_that_never_asks_for_its_share_is_noticed(tmp_path: Path, run: Callable[..., Outcome]) -> None:
    outcome = run(*with_script(tmp_path, SCRIPT.replace("len(site.share([0] * 6))", "1")), Partition())

    assert outcome.dealt == frozenset()


def test_what_code_does_to_its_options_and_settings_stays_at_its_site(
    tmp_path: Path, run: Callable[..., Outcome]
) -> None:
    changing = (
        LEARNER.replace(
            "def learner(site):", "def learner(site):\n    site.options['seen'].append(site.name)"
        )
        .replace(
            "w = parameters",
            "task.settings['steps'].append(1); self.step += len(task.settings['steps']); w = parameters",
        )
        .replace('{"loss": float(w[0])}', "{\"loss\": float(len(self.site.options['seen']))}")
    )
    write(
        tmp_path / "plan.yaml",
        PLAN.replace("train: {", "train: {settings: {steps: []}, ") + "options: {seen: []}\n",
    )
    write(tmp_path / "adding.py", changing)
    for name in "ab":
        write(tmp_path / f"{name}.txt", "0")
    loaded = load_plan(tmp_path / "plan.yaml")

    outcome = run(loaded, sites_of(loaded))

    assert outcome.run.metrics == {"loss": 1.0}
    assert value(outcome) == 3.0  # 1 of the first round, 2 of the second
    assert loaded.manifest.plan.options == {"seen": []}


def test_a_script_that_trains_a_copy_is_said_to_train_nothing(tmp_path: Path) -> None:
    loaded, sites = with_script(tmp_path, SCRIPT.replace('model["w"] +=', 'dict(model)["w"] = model["w"] +'))
    said: list[str] = []

    simulate(
        loaded,
        sites,
        Settings(tmp_path / "state", 0, say=said.append, script_plan=True),
        lambda run, event: None,
    )

    assert [line.partition(":")[0] for line in said] == ["at site-1", "at site-2"]
    assert "gave back exactly the parameters that it received" in said[0]


def test_a_metric_that_is_not_defined_at_one_site_is_the_mean_of_the_others_and_recorded_as_such(
    tmp_path: Path, project: LoadedPlan, run: Callable[..., Outcome]
) -> None:
    code = LEARNER.replace(
        '{"loss": float(w[0])}', '{"loss": None if self.site.name == "a" else float(w[0])}'
    )
    write(tmp_path / "adding.py", code)
    reported: dict[str, object] = {}

    def listen(_: Run, event: Event) -> None:
        if isinstance(event, UpdateAccepted) and event.metrics:
            reported[event.site] = event.metrics["loss"]

    loaded = load_plan(tmp_path / "plan.yaml")
    outcome = run(loaded, sites_of(loaded), None, listen)

    assert reported == {"a": None, "b": 3.5}
    assert outcome.run.metrics == {"loss": 3.5}


def test_a_run_continues_where_the_metric_that_it_keeps_the_best_by_is_defined_at_no_site(
    tmp_path: Path, project: LoadedPlan, run: Callable[..., Outcome]
) -> None:
    write(tmp_path / "adding.py", LEARNER.replace('{"loss": float(w[0])}', '{"loss": None}'))
    loaded = load_plan(tmp_path / "plan.yaml")

    outcome = run(loaded, sites_of(loaded))

    assert outcome.run.phase is Phase.FINISHED
    assert outcome.best is None


OF_FILES = """
import sys
from pathlib import Path
import numpy as np
import hanse
import helper

here = Path(__file__).parent
settings = (here / "settings.txt").read_text()

def test(model):
    return {"examples": 1, "score": float(model["w"][0])}

model = {"w": np.zeros(1, np.float32)}
for round in hanse.rounds(model, evaluate=test):
    from lib import late
    metrics = {"loss": 1.0 / round.number, f"at_{hanse.site().name}": float(sys.argv[1])}
    model["w"] += helper.STEP
    round.report(examples=1, **metrics)
"""


@pytest.fixture
def script_of_files(tmp_path: Path) -> Path:
    """A script with modules, a package and a file of settings beside it."""
    (tmp_path / "lib").mkdir()
    write(tmp_path / "train.py", OF_FILES)
    write(
        tmp_path / "helper.py", "import importlib\nSTEP = importlib.import_module('found' + 'ation').STEP\n"
    )
    write(tmp_path / "foundation.py", "STEP = 1\n")
    for name in ("__init__", "late", "later"):
        write(tmp_path / "lib" / f"{name}.py", "")
    write(tmp_path / "settings.txt", "x")
    return tmp_path / "train.py"


def two_sites() -> list[VirtualSite]:
    return [VirtualSite(name) for name in ("site-1", "site-2")]


def test_the_plan_of_a_script_lists_what_it_imports_and_declares_what_it_reports(
    script_of_files: Path, run: Callable[..., Outcome]
) -> None:
    loaded = script_plan(script_of_files, rounds=2, seed=0, sites=2, code=["*.txt"], arguments=["3"])

    plan = run(loaded, two_sites()).loaded.manifest.plan

    package = ("lib/__init__.py", "lib/late.py", "lib/later.py")
    assert plan.code == ("train.py", "foundation.py", "helper.py", *package, "settings.txt")
    assert plan.tasks["train"].discloses.metrics == ("loss", "at_site-1", "at_site-2")
    assert plan.tasks["evaluate"].discloses.metrics == ("score",)
    assert plan.arguments == ("3",)


def test_the_plan_of_a_script_gives_the_same_model_from_its_bundle(
    script_of_files: Path, tmp_path: Path, run: Callable[..., Outcome]
) -> None:
    loaded = script_plan(script_of_files, rounds=2, seed=0, sites=2, code=["*.txt"], arguments=["3"])
    first = run(loaded, two_sites())
    (script_of_files.parent / "plan.yaml").write_text(to_yaml(first.loaded.manifest.plan))
    planned = load_plan(script_of_files.parent / "plan.yaml")

    second = simulate(planned, two_sites(), Settings(tmp_path / "state", 0), lambda run, event: None)

    assert second.run.model == first.run.model
    assert second.loaded.digest == first.loaded.digest
    assert second.run.metrics["score"] == 2.0


def test_a_plans_script_has_no_file_that_the_plan_does_not_list(
    script_of_files: Path, tmp_path: Path, run: Callable[..., Outcome]
) -> None:
    loaded = script_plan(script_of_files, rounds=2, seed=0, sites=2, arguments=["3"])
    settings = Settings(tmp_path / "state", 0)

    with pytest.raises(WorkflowError, match="could give a first model"):
        simulate(loaded, two_sites(), settings, lambda run, event: None)


def test_a_metric_whose_name_no_plan_can_declare_is_refused(
    tmp_path: Path, run: Callable[..., Outcome]
) -> None:
    loaded, sites = with_script(tmp_path, SCRIPT.replace('loss=float(model["w"][0])', "**{'my loss': 1}"))

    with pytest.raises(PlanError, match=r"tasks\.train\.discloses\.metrics\[0\]: 'my loss' is not a name"):
        run(loaded, sites)


def test_many_sites_of_a_script_share_a_process_and_are_said_to(tmp_path: Path) -> None:
    write(tmp_path / "train.py", SCRIPT.replace("site.data_root / site.name", "site.state_dir / 'x'"))
    loaded = script_plan(tmp_path / "train.py", rounds=1, seed=0, sites=9)
    sites = [VirtualSite(f"site-{number}") for number in range(9)]
    said: list[str] = []

    outcome = simulate(
        loaded,
        sites,
        Settings(tmp_path / "state", 0, say=said.append, script_plan=True),
        lambda run, event: None,
    )

    assert value(outcome) == 6.0
    assert outcome.loaded.manifest.plan.tasks["train"].discloses.metrics == ("loss",)
    assert said[0].startswith("the script runs at 9 sites in threads of one process")


def test_a_file_that_a_script_reads_and_its_plan_does_not_list_is_warned_of(
    script_of_files: Path, tmp_path: Path
) -> None:
    loaded = script_plan(script_of_files, rounds=1, seed=0, sites=2, arguments=["3"])
    said: list[str] = []

    simulate(
        loaded,
        two_sites(),
        Settings(tmp_path / "state", 0, say=said.append, script_plan=True),
        lambda run, event: None,
    )

    assert [line for line in said if line.startswith("train.py reads settings.txt beside it")]


def test_a_plans_script_runs_in_a_folder_of_its_site(project: LoadedPlan, tmp_path: Path) -> None:
    text = SCRIPT.replace("(site.data_root / site.name)", "site.state_dir.joinpath('ended')")
    write(
        project.root / "train.py",
        text.replace("examples=1", "examples=1 + (site.state_dir.parent == Path.cwd())"),
    )
    write(project.root / "train.py", "from pathlib import Path\n" + (project.root / "train.py").read_text())
    write(
        project.root / "plan.yaml",
        PLAN.replace("adding.py", "train.py")
        .replace("learner: adding:learner", "script: train.py")
        .replace("data: [step]\n", ""),
    )
    counted = []

    def listen(_: Run, event: Event) -> None:
        if isinstance(event, UpdateAccepted):
            counted.append(event.num_examples)

    loaded = load_plan(project.root / "plan.yaml")
    simulate(loaded, two_sites(), Settings(tmp_path / "state", 0), listen)

    assert counted[-2:] == [2, 2]


def test_a_data_source_that_is_missing_in_a_simulation_is_given_on_the_command_line(
    tmp_path: Path, run: Callable[..., Outcome]
) -> None:
    text = SCRIPT.replace("model = {", "site.data['heart']\nmodel = {")

    with pytest.raises(MissingDataError, match="Add --data NAME=PATH"):
        run(*with_script(tmp_path, text))


def test_a_module_from_elsewhere_is_warned_of(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "common.py").touch()
    loaded, sites = with_script(
        tmp_path, f"import sys; sys.path.append({str(elsewhere)!r}); import common\n" + SCRIPT
    )
    said: list[str] = []

    simulate(
        loaded,
        sites,
        Settings(tmp_path / "state", 0, say=said.append, script_plan=True),
        lambda run, event: None,
    )

    assert [line for line in said if "common.py from outside of its folder" in line]


def test_the_listener_sees_every_round(project: LoadedPlan, run: Callable[..., Outcome]) -> None:
    rounds = []

    def listen(_: Run, event: Event) -> None:
        if isinstance(event, RoundCommitted):
            rounds.append(event.round_number)

    run(project, sites_of(project), None, listen)

    assert rounds == [0, 1, 2]


def test_the_same_plan_and_seed_give_the_same_model_again(
    project: LoadedPlan, run: Callable[..., Outcome]
) -> None:
    first, second = (run(project, sites_of(project)).run.model for _ in range(2))

    assert first == second


def test_a_plan_can_run_with_another_seed_and_fewer_rounds(project: LoadedPlan) -> None:
    changed = with_settings(project, rounds=1, seed=9)

    assert (changed.manifest.plan.rounds, changed.manifest.plan.seed) == (1, 9)
    assert changed.digest == changed.manifest.digest != project.digest
    assert with_settings(project) == project


def test_a_data_source_that_no_plan_can_name_is_refused(project: LoadedPlan) -> None:
    with pytest.raises(PlanError, match=r"plan adding: data\[0\]: '1st' is not a name"):
        with_settings(project, data=["1st"])


def test_a_site_without_the_plans_data_is_told_before_anything_runs(
    project: LoadedPlan, run: Callable[..., Outcome]
) -> None:
    with pytest.raises(MissingDataError, match=r"needs a data source named 'step', and site b has none"):
        run(project, [sites_of(project)[0], VirtualSite("b")])


def test_too_few_sites_for_the_plan_are_told_at_once(
    project: LoadedPlan, run: Callable[..., Outcome]
) -> None:
    write(project.root / "plan.yaml", PLAN + "cohort: {minimum: 3}\n")

    with pytest.raises(QuorumError, match="needs at least 3 sites, and there are 2"):
        run(load_plan(project.root / "plan.yaml"), sites_of(project))


def test_two_sites_of_one_name_are_a_slip(project: LoadedPlan, run: Callable[..., Outcome]) -> None:
    with pytest.raises(ValueError, match="a name of its own"):
        run(project, [sites_of(project)[0]] * 2)


def test_code_that_is_imported_and_not_listed_is_refused_before_anything_runs(project: LoadedPlan) -> None:
    write(project.root / "helper.py", "")
    write(project.root / "adding.py", "import helper\n" + LEARNER)

    with pytest.raises(PlanError, match=r"adding\.py:1 imports helper\.py, which is not listed under `code`"):
        load_plan(project.root / "plan.yaml")


def test_a_plans_own_workflow_drives_the_run(project: LoadedPlan, run: Callable[..., Outcome]) -> None:
    write(project.root / "plan.yaml", PLAN.replace("rounds", "workflow: adding:once\nrounds"))
    write(
        project.root / "adding.py",
        LEARNER
        + """
def once(federation):
    for round in federation.rounds():
        updates = round.sum("train")
        round.commit(round.apply(updates), metrics=updates.metrics)
        return
""",
    )

    outcome = run(load_plan(project.root / "plan.yaml"), sites_of(project))

    assert outcome.run.committed == 1


def test_a_workflow_that_fails_is_told_by_its_line(project: LoadedPlan, run: Callable[..., Outcome]) -> None:
    write(project.root / "plan.yaml", PLAN.replace("rounds", "workflow: adding:wrong\nrounds"))
    write(project.root / "adding.py", LEARNER + "\ndef wrong(federation):\n    return 1 / 0\n")

    with pytest.raises(WorkflowError, match=r"the workflow failed at adding.py:\d+: ZeroDivisionError"):
        run(load_plan(project.root / "plan.yaml"), sites_of(project))


def test_no_thread_is_left_when_a_script_fails(tmp_path: Path, run: Callable[..., Outcome]) -> None:
    threads = set(threading.enumerate())

    with pytest.raises(QuorumError, match=r"train.py:8: ZeroDivisionError"):
        run(*with_script(tmp_path, SCRIPT.replace("len(site", "1 / 0 * len(site")))

    assert set(threading.enumerate()) == threads


def test_no_thread_is_left_when_the_user_interrupts(tmp_path: Path, run: Callable[..., Outcome]) -> None:
    threads = set(threading.enumerate())

    def interrupt(_: Run, event: Event) -> None:
        if isinstance(event, RoundCommitted) and event.round_number == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(*with_script(tmp_path, rounds=50), None, interrupt)

    assert set(threading.enumerate()) == threads


def test_a_script_that_fails_after_its_loop_does_not_cost_the_model(
    tmp_path: Path, run: Callable[..., Outcome]
) -> None:
    text = SCRIPT.replace('.write_text("ended")', ".no_such_thing()")

    outcome = run(*with_script(tmp_path, text))

    assert value(outcome) == 12.0
    assert "AttributeError" in str(outcome.failed_ends["site-1"])


def test_a_package_that_the_plan_requires_and_is_missing_is_told_before_anything_runs(
    project: LoadedPlan, run: Callable[..., Outcome]
) -> None:
    loaded = with_settings(project, requires=["no-such-package"])

    with pytest.raises(ConfigError, match=r"no-such-package is not installed, in .* -m pip install no-such"):
        run(loaded, sites_of(loaded))
