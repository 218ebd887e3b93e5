"""A script in a process of its own, driven from outside."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from hanse.core.values.site import DataSources, Site
from hanse.core.values.update import Task
from hanse.errors import TaskError, UpdateError
from hanse.local import ControlVariates, Normalise
from hanse.local.applied import with_rules
from hanse.simulation.partition import Partition
from hanse.simulation.script_process.session import ModelFile, ProcessSession
from hanse.simulation.shares import Shares

Open = Callable[..., ProcessSession]
START = {"w": np.zeros(1)}

ONCE_ONLY = """
import multiprocessing, signal, threading
import numpy as np, hanse

multiprocessing.set_start_method("spawn")
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
assert threading.current_thread() is threading.main_thread()
model = {"w": np.zeros(1)}
for round in hanse.rounds(model):
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    if hanse.site().name == "failing" and not (hanse.site().state_dir / "tried").exists():
        (hanse.site().state_dir / "tried").touch()
        raise RuntimeError("the first time")
    model["w"] += 1
    round.report(examples=3, loss=float("nan"))
"""
LOOP = """
import os, sys, time
import numpy as np, hanse
model = {"w": np.zeros(1)}
for round in hanse.rounds(model):
"""


@pytest.fixture
def open_session(tmp_path: Path) -> Iterator[Open]:
    """Opens a session on a script's text; the processes of all end with the test."""
    opened = []
    model = ModelFile(tmp_path / "model.safetensors")

    def open_one(
        text: str, name: str = "north", partition: Partition | None = None, arguments: tuple[str, ...] = ()
    ) -> ProcessSession:
        script = tmp_path / "code" / "train.py"
        script.parent.mkdir(exist_ok=True)
        script.write_text(dedent(text))
        folder = tmp_path / name
        (folder / "own").mkdir(parents=True, exist_ok=True)
        shares = Shares(partition, ["a", "b"], 1, lambda line: None)
        site = Site(
            name,
            DataSources(name, {}),
            seed=5,
            count=2,
            state_dir=folder / "own",
            partition=shares.share(name, 0),
        )
        opened.append(ProcessSession(script, site, folder, arguments, model=model, shares=shares))
        return opened[-1]

    yield open_one
    for session in opened:
        session.close()


def train(session: ProcessSession, number: int = 1) -> dict[str, object]:
    result = session.perform(Task("train", number, 7), START, sequence=number)
    assert result.parameters is not None
    return {"examples": result.num_examples, "w": result.parameters["w"].tolist(), **result.metrics}


def test_what_a_process_can_do_once_and_in_its_main_thread_alone_works_at_each_site(
    open_session: Open,
) -> None:
    sessions = [open_session(ONCE_ONLY, name) for name in ("a", "b")]

    for number in (1, 2):
        for session in sessions:
            done = train(session, number)
            assert (done["examples"], done["w"]) == (3, [1.0])
            assert np.isnan(done["loss"])


@pytest.mark.slow
@pytest.mark.torch
def test_what_torch_sets_once_a_process_is_each_sites_own(open_session: Open) -> None:
    text = """
        import torch, hanse
        torch.set_num_interop_threads(1)
        if hanse.site().name == "a":
            torch.set_default_dtype(torch.float64)
        model = {"w": torch.zeros(1, dtype=torch.float64)}
        for round in hanse.rounds(model):
            round.report(examples=1, bits=torch.finfo(torch.get_default_dtype()).bits)
    """
    sessions = [open_session(text, name) for name in ("a", "b")]

    assert [train(session)["bits"] for session in sessions] == [64.0, 32.0]


def test_a_script_that_failed_is_tried_again_in_a_process_of_its_own(open_session: Open) -> None:
    session = open_session(ONCE_ONLY, "failing")
    with pytest.raises(TaskError, match=r"round 1 of train\.py failed .*the first time") as failed:
        train(session)

    assert "RuntimeError: the first time" in failed.value.log_tail
    assert train(session)["examples"] == 3


def test_what_a_script_prints_is_shown_before_its_result_is_there(
    open_session: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        LOOP
        + "    print('ä', round.number)\n    print('odd', file=sys.stderr)\n    round.report(examples=1)\n"
    )

    train(open_session(text), 2)

    assert capsys.readouterr() == ("ä 2\n", "odd\n")


def test_more_output_than_a_pipe_holds_stops_no_script(
    open_session: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    text = LOOP + "    sys.stdout.write('x' * 1_000_000)\n    round.report(examples=1)\n"

    train(open_session(text))

    assert len(capsys.readouterr().out) == 1_000_000


def test_arguments_and_share_and_kept_state_are_those_of_the_site(open_session: Open) -> None:
    text = """
        import sys
        import numpy as np, hanse
        assert sys.argv[1:] == ["--lr", "0.1"]
        mine = hanse.site().share(np.arange(10))
        model, count = {"w": np.zeros(1)}, {"n": np.zeros(1)}
        for round in hanse.rounds(model, keep={"count": count}):
            count["n"] += 1
            round.report(examples=len(mine), first=float(mine[0]), count=float(count["n"][0]))
    """
    first = open_session(text, partition=Partition(), arguments=("--lr", "0.1"))
    share = Partition().share(0, 2, 1)(np.arange(10))

    done = train(first)
    first.close()
    restarted = open_session(text, partition=Partition(), arguments=("--lr", "0.1"))

    assert (done["examples"], done["first"], done["count"]) == (len(share), float(share[0]), 1.0)
    assert train(restarted, 2)["count"] == 2.0
    assert first.dealt


def test_modules_of_the_user_are_known_where_they_lie(open_session: Open, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    for module in (tmp_path / "code" / "helper.py", tmp_path / "elsewhere" / "common.py"):
        module.parent.mkdir(exist_ok=True)
        module.touch()
    text = f"""
        import sys
        sys.path.append({str(tmp_path / "elsewhere")!r})
        import common
        import numpy as np, hanse
        for round in hanse.rounds({{"w": np.zeros(1)}}):
            import helper
            round.report(examples=1)
    """
    session = open_session(text)

    train(session)

    assert {Path(file).name for file in session.imported} >= {"helper.py", "common.py"}
    assert str(tmp_path / "code" / "helper.py") in session.imported


def test_files_beside_the_script_that_it_reads_are_known_and_its_own_are_not(
    open_session: Open, tmp_path: Path
) -> None:
    for name in ("config.json", "plots/old.txt", ".cache/x", "helper.py"):
        (tmp_path / "code" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "code" / name).write_text("")
    (tmp_path / "outside.txt").write_text("")
    text = """
        import os
        from pathlib import Path
        import numpy as np, hanse
        here = Path(__file__).parent
        for round in hanse.rounds({"w": np.zeros(1)}):
            import helper
            (here / "config.json").read_text()
            os.close(os.open(here / "plots" / "old.txt", os.O_RDONLY))
            (here / "written.txt").write_text("")
            (here / ".cache" / "x").read_text()
            (here.parent / "outside.txt").read_text()
            round.report(examples=1)
    """
    session = open_session(text)

    train(session)

    assert {Path(file).name for file in session.opened} == {"config.json", "old.txt"}


def test_scripts_start_side_by_side(open_session: Open, tmp_path: Path) -> None:
    text = f"""
        import time
        from pathlib import Path
        import numpy as np, hanse
        here = Path({str(tmp_path)!r})
        (here / f"{{hanse.site().name}}-started").touch()
        while len(list(here.glob("*-started"))) < 2:
            time.sleep(0.01)
        for round in hanse.rounds({{"w": np.zeros(1)}}):
            round.report(examples=1)
    """
    sessions = [open_session(text, name) for name in ("a", "b")]

    for session in sessions:
        session.prepare()

    assert [train(session)["examples"] for session in sessions] == [1, 1]


def test_a_set_up_that_failed_side_by_side_is_told_when_the_site_is_asked(open_session: Open) -> None:
    session = open_session("1 / 0\n")

    session.prepare()

    with pytest.raises(TaskError, match=r"set-up of train\.py failed at train\.py:1: ZeroDivisionError"):
        train(session)


def test_a_site_that_was_never_asked_runs_no_end(open_session: Open, tmp_path: Path) -> None:
    text = LOOP + f"    round.report(examples=1)\nopen({str(tmp_path / 'ended')!r}, 'w')\n"
    session = open_session(text)
    session.prepare()

    session.close()

    assert not (tmp_path / "ended").exists()


def test_an_error_keeps_its_kind(open_session: Open) -> None:
    session = open_session(LOOP + "    round.report(examples=1)\n")

    with pytest.raises(UpdateError, match="do not fit the model"):
        session.perform(Task("train", 1, 7), {"v": np.zeros(1)}, sequence=1)


@pytest.mark.parametrize(
    ("line", "how"),
    [("os._exit(3)", "exited with status 3"), ("os.kill(os.getpid(), 9)", "was killed by SIGKILL")],
)
def test_a_process_that_dies_is_told_and_started_again(
    open_session: Open, line: str, how: str, tmp_path: Path
) -> None:
    marker = tmp_path / "died"
    text = LOOP + (
        f"    if not os.path.exists({str(marker)!r}):\n        open({str(marker)!r}, 'w')\n        {line}\n"
        "    round.report(examples=1)\n"
    )
    session = open_session(text)

    with pytest.raises(TaskError, match=rf"the process of train\.py {how}.* during train"):
        train(session)

    assert train(session)["examples"] == 1


def test_an_error_at_the_end_of_the_script_is_raised_by_closing(open_session: Open) -> None:
    session = open_session(LOOP + "    round.report(examples=1)\nopen('/no/such')\n")
    train(session)

    with pytest.raises(TaskError, match=r"the end of train\.py failed at train\.py:\d+: FileNotFoundError"):
        session.close()


def test_an_interrupted_round_ends_the_process_and_what_it_started(
    open_session: Open, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    text = (
        LOOP
        + f"""    import subprocess
    child = subprocess.Popen(["sleep", "600"])
    with open({str(pids) + ".new"!r}, "w") as file:
        file.write(f"{{os.getpid()}} {{child.pid}}")
    os.rename({str(pids) + ".new"!r}, {str(pids)!r})
    time.sleep(600)
"""
    )
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        while not pids.exists():
            time.sleep(0.01)
        signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    session = open_session(text)

    with pytest.raises(KeyboardInterrupt):
        train(session)

    for pid in map(int, pids.read_text().split()):
        assert is_gone(pid)


def is_gone(pid: int) -> bool:
    """Whether a process has ended, within a while; one that no parent has waited for counts as ended."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.01)
    return False


def test_local_rules_and_their_groups_pass_to_the_process_and_back(open_session: Open) -> None:
    text = """
        import numpy as np, hanse
        model = {"w": np.zeros(1)}
        for round in hanse.rounds(model):
            gradients = round.correct({"w": np.ones(1)}, model)
            model["w"] -= gradients["w"]
            round.report(examples=1)
    """
    session = open_session(text)
    rules = [ControlVariates(), Normalise()]

    found = []
    for number in (1, 2):
        task = with_rules(Task("train", number, 7, {}, {"control": {"w": np.full(1, 5.0)}}), rules)
        result = session.perform(task, START, sequence=number)
        assert result.parameters is not None
        found.append((result.parameters["w"].item(), result.groups["control"]["w"].item()))
        assert result.groups["steps"] == 1

    assert found == [(-6, 1), (-5, 0)]  # the gradient plus c, then less what the site has kept


def test_personal_tensors_pass_the_local_rules_in_the_process(open_session: Open) -> None:
    text = """
        import numpy as np, hanse
        model = {"w": np.zeros(1), "head": np.zeros(1)}
        for round in hanse.rounds(model):
            gradients = round.correct({"w": np.ones(1), "head": np.ones(1)}, model)
            for name in model:
                model[name] -= gradients[name]
            round.report(examples=1)
    """
    task = Task("train", 1, 7, {}, {"control": {"w": np.full(1, 5.0)}})
    start = {"w": np.zeros(1), "head": np.zeros(1)}

    task = with_rules(task, [ControlVariates()], ["head"])
    result = open_session(text).perform(task, start, sequence=1)

    assert result.parameters is not None
    assert {name: array.item() for name, array in result.parameters.items()} == {"w": -6, "head": -1}
    assert result.groups["control"].keys() == {"w"}
