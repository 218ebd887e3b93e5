"""A script driven round by round."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

import hanse
from hanse.core.values.site import DataSources, Site
from hanse.core.values.update import Task, TaskResult
from hanse.errors import PlanError, StorageError, TaskError, UpdateError
from hanse.learners.notices import notices_kept
from hanse.learners.script import ScriptSession

Write = Callable[[str, str], Path]
Open = Callable[..., ScriptSession]

START = {"w": np.zeros(2), "b": np.zeros(())}

ADDING = """
import random
import numpy as np
import hanse

model = {"w": np.random.random(2), "b": np.zeros(())}
w, b = model["w"], model["b"]
velocity = {"v": np.zeros(2)}
for round in hanse.rounds(model KEEP):
    velocity["v"] += round.number + random.random() + np.random.random()
    w += velocity["v"]
    model["b"] = model["b"] + 1   # a NumPy scalar: not the array that was there
    round.report(examples=3, loss=float(b), accuracy=np.float32(0.5))
"""


@pytest.fixture
def open_session(write: Write, tmp_path: Path) -> Iterator[Open]:
    """Opens a session on a script's text; all end with the test."""
    opened = []

    def open_one(text: str, site: str = "north", **options: object) -> ScriptSession:
        place = Site(site, DataSources(site, {}), seed=5)
        opened.append(ScriptSession(write("train.py", text), place, tmp_path / "state" / site, **options))
        return opened[-1]

    yield open_one
    for session in opened:
        session.close()


def train(round_number: int) -> Task:
    return Task("train", round_number, seed=100 + round_number)


def bits(result: TaskResult) -> bytes:
    assert result.parameters is not None
    return result.parameters["w"].tobytes() + result.parameters["b"].tobytes()


def one_round(session: ScriptSession) -> TaskResult:
    return session.perform(train(1), START, sequence=1)


def test_the_loop_gives_the_first_model_and_then_trains_it(open_session: Open) -> None:
    session = open_session(ADDING.replace("KEEP", ""))

    first = session.initial_parameters()
    result = session.perform(train(1), START, sequence=1)

    assert {name: array.shape for name, array in first.items()} == {"w": (2,), "b": ()}
    assert (result.num_examples, result.metrics) == (3, {"loss": 0.0, "accuracy": 0.5})
    assert result.parameters is not None
    assert (result.parameters["w"] > 1).all()
    assert result.parameters["b"] == 1


def test_the_first_model_is_the_callers_own(open_session: Open) -> None:
    session = open_session(ADDING.replace("KEEP", ""))
    first = session.initial_parameters()
    before = first["w"].copy()

    one_round(session)

    assert (first["w"] == before).all()


def test_sites_take_turns_in_one_process_and_share_nothing(open_session: Open) -> None:
    text = ADDING.replace("KEEP", "")
    alone = open_session(text, "alone")
    expected = [bits(alone.perform(train(r), START, sequence=r)) for r in (1, 2, 3)]

    together = [open_session(text, name) for name in ("south", "west")]

    for r in (1, 2, 3):
        for session in together:
            assert bits(session.perform(train(r), START, sequence=r)) == expected[r - 1]


def test_a_module_of_the_scripts_is_each_sites_own(open_session: Open, write: Write) -> None:
    write("helper.py", "count = 0\n")
    text = """
        import numpy as np, hanse
        model = {"w": np.zeros(2), "b": np.zeros(())}
        for round in hanse.rounds(model):
            import helper
            helper.count += 1
            round.report(examples=helper.count)
    """
    sessions = [open_session(text, name) for name in "ab"]

    assert [one_round(session).num_examples for session in sessions] == [1, 1]
    assert [session.perform(train(2), START, sequence=2).num_examples for session in sessions] == [2, 2]
    assert "helper" not in sys.modules


def test_a_script_finds_what_python_would_give_it(open_session: Open) -> None:
    text = """
        import pickle, sys
        from pathlib import Path
        import numpy as np, hanse

        class Own:
            pass

        assert __name__ == "__main__"
        assert Path(__file__).name == "train.py"
        assert sys.argv[1:] == ["--fast"]
        assert type(pickle.loads(pickle.dumps(Own()))) is Own
        for round in hanse.rounds({"w": np.zeros(2), "b": np.zeros(())}):
            assert sys.argv[1:] == ["--fast"]
            round.report(examples=1, name=len(hanse.site().name))
    """
    main, argv, path = sys.modules["__main__"], sys.argv, list(sys.path)

    result = one_round(open_session(text, "north", argv=["--fast"]))

    assert result.metrics == {"name": 5.0}
    assert (sys.modules["__main__"], sys.argv, sys.path) == (main, argv, path)


def test_the_plans_settings_reach_the_loop(open_session: Open) -> None:
    text = """
        import numpy as np, hanse
        for round in hanse.rounds({"w": np.zeros(2), "b": np.zeros(())}):
            round.report(examples=round.settings["epochs"] * round.number)
    """

    result = open_session(text).perform(Task("train", 3, 0, {"epochs": 4}), START, sequence=1)

    assert result.num_examples == 12


def test_what_is_kept_survives_a_restart_to_the_bit(open_session: Open) -> None:
    text = ADDING.replace("KEEP", ', keep={"optimizer": velocity}')
    undisturbed = open_session(text, "a")
    expected = [bits(undisturbed.perform(train(r), START, sequence=r)) for r in (1, 2, 3)]

    restarted = [bits(open_session(text, "b").perform(train(r), START, sequence=r)) for r in (1, 2, 3)]

    assert restarted == expected


def test_what_a_round_kept_that_did_not_count_is_forgotten(open_session: Open) -> None:
    text = ADDING.replace("KEEP", ', keep={"optimizer": velocity}')
    undisturbed = open_session(text, "a")
    expected = [bits(undisturbed.perform(train(r), START, sequence=r)) for r in (1, 3)]

    session = open_session(text, "b")
    first = bits(session.perform(train(1), START, sequence=1, counted=0))
    session.perform(train(2), START, sequence=2, counted=1)
    third = bits(session.perform(train(3), START, sequence=3, counted=1))

    assert [first, third] == expected


def test_an_exchange_performed_again_starts_from_what_was_kept_before_it(open_session: Open) -> None:
    session = open_session(ADDING.replace("KEEP", ', keep={"optimizer": velocity}'))

    results = [bits(session.perform(train(r), START, sequence=r)) for r in (1, 1, 2, 2)]

    assert results[0] == results[1]
    assert results[2] == results[3]


def test_a_script_goes_on_after_the_loop_and_then_ends(open_session: Open, tmp_path: Path) -> None:
    text = (
        ADDING.replace("KEEP", "")
        + f"from pathlib import Path\nPath({str(tmp_path / 'saved')!r}).write_text(str(b))\n"
    )
    session = open_session(text)
    one_round(session)
    assert not (tmp_path / "saved").exists()

    session.close()
    session.close()

    assert (tmp_path / "saved").read_text() == "0.0"
    assert not [thread for thread in threading.enumerate() if "train.py" in thread.name]


def test_a_script_that_was_never_run_closes_at_once(open_session: Open, tmp_path: Path) -> None:
    open_session(f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n").close()

    assert not (tmp_path / "ran").exists()


MODEL = "import sys, numpy as np, hanse\nmodel = {'w': np.zeros(2), 'b': np.zeros(())}\n"
LOOP = MODEL + "for round in hanse.rounds(model):\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1 / 0\n", r"set-up of train\.py failed at train\.py:1: ZeroDivisionError"),
        ("def f(:\n", r"set-up of train\.py failed at train\.py:1: SyntaxError"),
        (
            "import sys\nsys.exit('no GPU')\n",
            r"set-up of train\.py failed at train\.py:2: SystemExit: no GPU",
        ),
        ("x = 1\n", r"train\.py ended without a loop over hanse\.rounds\(model\)"),
        ("import sys\nsys.exit(0)\n", r"train\.py ended without a loop"),
        (
            MODEL + "hanse.rounds(model)\nhanse.rounds(model)\n",
            r"train\.py:4: hanse\.rounds\(\) was called twice",
        ),
        (
            MODEL + "hanse.rounds([1])\n",
            r"train\.py:3: hanse\.rounds\(\) was given a list\. It takes",
        ),
        (MODEL + "hanse.rounds({})\n", r"train\.py:3: hanse\.rounds\(\) was given a model without any array"),
        (MODEL + "hanse.rounds({'w': [0]})\n", r"train\.py:3: the model's entry 'w' is a list"),
        (LOOP + "    1 / 0\n", r"round 1 of train\.py failed at train\.py:4: ZeroDivisionError"),
        (LOOP + "    sys.exit(2)\n", r"round 1 of train\.py failed at train\.py:4: SystemExit: 2"),
        (LOOP + "    pass\n", r"train\.py:3: round 1 ended without a report\. Call round\.report"),
        (
            LOOP + "    for _ in 'ab': round.report(examples=1)\n",
            r"train\.py:4: round 1 was reported twice",
        ),
        (
            LOOP + "    round.report(examples=1, loss='low')\n",
            r"train\.py:4: the report of round 1: metric 'loss' must be a number, got a str",
        ),
        (
            LOOP + "    round.report(examples=1)\n    break\n",
            r"train\.py left its loop over hanse\.rounds\(\) in round 1.*`break`",
        ),
        (
            LOOP + "    model['w'] = [0]\n    round.report(examples=1)\n",
            r"train\.py:3: the model's entry 'w' is a list",
        ),
        (
            LOOP + "    round.report(examples=1)\n    model['w'] = np.zeros(3)\n",
            r"train\.py:3: round 1 gave back another model than it got: tensor 'w' has shape \(3,\)",
        ),
        (
            MODEL + "for round in hanse.rounds(model, keep={'x': 3}):\n    pass\n",
            r"train\.py:3: hanse\.rounds\(\) cannot keep an int\. It keeps torch optimisers",
        ),
    ],
)
def test_a_script_that_goes_wrong_is_told_with_its_line(open_session: Open, text: str, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        one_round(open_session(text))


def test_an_error_after_the_loop_is_told_at_the_end(open_session: Open) -> None:
    session = open_session(LOOP + "    round.report(examples=1)\nopen('/no/such')\n")
    one_round(session)

    with pytest.raises(
        TaskError, match=r"the end of train\.py failed at train\.py:5: FileNotFoundError"
    ) as caught:
        session.close()

    assert "open('/no/such')" in caught.value.log_tail


def test_leaving_by_exit_after_the_loop_is_the_usual_end(open_session: Open) -> None:
    session = open_session(LOOP + "    round.report(examples=1)\nsys.exit(0)\n")
    one_round(session)

    session.close()


def test_a_script_that_does_not_end_is_not_waited_for(open_session: Open) -> None:
    session = open_session(
        LOOP + "    round.report(examples=1)\nimport time\ntime.sleep(0.3)\n",
        end_limit_s=0.01,
    )
    one_round(session)

    with pytest.raises(TaskError, match=r"train\.py has not ended 0\.01 s after the run's last round"):
        session.close()


def test_a_round_that_failed_is_tried_again_from_the_start_of_the_script(
    open_session: Open, tmp_path: Path
) -> None:
    session = open_session(f"""
        from pathlib import Path
        import numpy as np, hanse
        for round in hanse.rounds({{"w": np.zeros(2), "b": np.zeros(())}}):
            marker = Path({str(tmp_path / "tried")!r})
            if not marker.exists():
                marker.touch()
                raise RuntimeError("the first time")
            round.report(examples=7)
    """)
    with pytest.raises(TaskError, match="the first time"):
        one_round(session)

    assert one_round(session).num_examples == 7


def test_an_interrupted_round_is_not_waited_for(open_session: Open) -> None:
    session = open_session(LOOP + "    import time\n    time.sleep(0.5)\n    round.report(examples=1)\n")
    # Whatever shell or test came before: Ctrl-C is to interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main = threading.main_thread().ident
    threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt):
        one_round(session)
    begin = time.monotonic()
    session.close()

    assert time.monotonic() - begin < 0.2


def test_what_cannot_be_kept_fails_the_round_and_is_tried_again(
    open_session: Open, largest_file: Callable[[int], AbstractContextManager[None]]
) -> None:
    text = ADDING.replace("KEEP", ', keep={"optimizer": velocity}')
    session = open_session(text, "a")
    with largest_file(0), pytest.raises(StorageError):
        one_round(session)

    assert bits(one_round(session)) == bits(one_round(open_session(text, "b")))


@pytest.mark.parametrize(
    ("task", "why"),
    [
        ("evaluate", r"has no task 'evaluate': .* Write hanse\.rounds\(model, evaluate=function\)"),
        ("segment", "has no task 'segment': a script has only the tasks 'train' and 'evaluate'"),
    ],
)
def test_what_is_no_task_of_a_script_is_refused(open_session: Open, task: str, why: str) -> None:
    with pytest.raises(TaskError, match=rf"train\.py {why}"):
        open_session(ADDING.replace("KEEP", "")).perform(Task(task, 1, 0), START, sequence=1)


def test_parameters_that_do_not_fit_leave_the_script_as_it_is(open_session: Open) -> None:
    session = open_session(ADDING.replace("KEEP", ""))

    with pytest.raises(UpdateError, match=r"do not fit the model of train\.py: tensor 'b' is missing"):
        session.perform(train(1), {"w": np.zeros(2)}, sequence=1)

    assert one_round(session).num_examples == 3


def test_a_script_that_is_not_there_is_refused(site: Site, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"there is no script .*train\.py"):
        ScriptSession(tmp_path / "train.py", site, tmp_path)


def test_a_script_alone_does_one_round_and_says_so(write: Write, tmp_path: Path) -> None:
    path = write(
        "train.py", ADDING.replace("KEEP", "") + "print(hanse.site().name, hanse.site().data_root)\n"
    )

    def output(environment: dict[str, str]) -> list[str]:
        return subprocess.run(
            [sys.executable, str(path)],
            cwd=path.parent,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()

    assert output({}) == [
        "hanse: no federation, so one round alone: examples 3, loss 0, accuracy 0.5",
        f"local {path.parent}",
    ]
    assert output({"HANSE_DATA": str(tmp_path)})[1] == f"local {tmp_path}"


def test_a_script_alone_has_to_report_too() -> None:
    with pytest.raises(TaskError, match="round 1 ended without a report"):
        list(hanse.rounds({"w": np.zeros(1)}))


ALIASED = """
    import numpy as np, hanse
    one = np.zeros(2)
    for round in hanse.rounds({"w": one, "v": one}):
        round.report(examples=1)
"""
COPYING = """
    import numpy as np, hanse

    class Copying(dict):
        def __getitem__(self, name):
            return super().__getitem__(name).copy()

        def items(self):
            return [(name, self[name]) for name in self]

    for round in hanse.rounds(Copying(w=np.zeros(2), v=np.zeros(2))):
        round.report(examples=1)
"""


@pytest.mark.parametrize("text", [ALIASED, COPYING], ids=["one array twice", "copies"])
def test_a_dictionary_that_does_not_take_what_is_written_is_refused(open_session: Open, text: str) -> None:
    session = open_session(text)

    with pytest.raises(UpdateError, match=r"did not reach the dictionary given to hanse\.rounds\(\)"):
        session.perform(train(1), {"w": np.ones(2), "v": np.full(2, 2.0)}, sequence=1)


def test_masked_numbers_are_refused(open_session: Open) -> None:
    text = LOOP + "    model['w'] = np.ma.array(model['w'], mask=[0, 1])\n    round.report(examples=1)\n"

    with pytest.raises(TaskError, match="the model's entry 'w' has masked numbers"):
        one_round(open_session(text))


@pytest.mark.torch
@pytest.mark.parametrize(
    ("definition", "message"),
    [
        (
            "def state_dict(self, *a, **k):\n"
            "        return {n: v.clone() for n, v in self.inner.state_dict().items()}",
            r"tensor 'weight' did not reach the torch model",
        ),
        (
            "def get_extra_state(self):\n        return {'steps': 3}",
            r"'_extra_state' of the model's state_dict is a dict, .* hanse\.rounds\(\) a dictionary",
        ),
    ],
    ids=["copies", "extra state"],
)
def test_a_module_that_is_not_reached_by_what_is_received_is_refused(
    open_session: Open, definition: str, message: str
) -> None:
    text = f"""
import torch, hanse

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(2, 1)

    {definition}

for round in hanse.rounds(Model()):
    round.report(examples=1)
"""
    received = {"weight": np.full((1, 2), 0.5, np.float32), "bias": np.ones(1, np.float32)}

    with pytest.raises((UpdateError, TaskError), match=message):
        open_session(text).perform(train(1), received, sequence=1)


@pytest.mark.torch
def test_an_optimiser_that_does_not_take_back_its_state_is_remarked_on(open_session: Open) -> None:
    text = """
        import torch, hanse
        class Forgetful(torch.optim.SGD):
            def load_state_dict(self, state):
                pass

        model = torch.nn.Linear(2, 1)
        optimizer = Forgetful(model.parameters(), lr=0.1, momentum=0.9)
        for round in hanse.rounds(model, keep={"optimizer": optimizer}):
            model(torch.ones(4, 2)).square().mean().backward()
            optimizer.step()
            round.report(examples=4)
    """

    def remarks(sequence: int) -> list[str]:
        session = open_session(text)
        with notices_kept() as noted:
            session.perform(train(sequence), session.initial_parameters(), sequence=sequence)
        return noted

    assert remarks(1) == []
    (line,) = remarks(2)
    assert "what is kept as 'optimizer' has another state after a restart than before" in line


@pytest.mark.torch
@pytest.mark.parametrize("given", ["model", "model.state_dict()"])
def test_a_torch_model_is_trained_in_place_and_its_optimiser_kept(open_session: Open, given: str) -> None:
    text = f"""
        import torch, hanse
        model = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.BatchNorm1d(1))
        weight = model[0].weight
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
        for round in hanse.rounds({given}, keep={{"optimizer": optimizer, "schedule": schedule}}):
            assert model[0].weight is weight
            optimizer.zero_grad()
            loss = model(torch.rand(4, 2)).square().mean() + weight.square().sum()
            loss.backward()
            optimizer.step()
            schedule.step()
            round.report(examples=4, loss=loss, lr=schedule.get_last_lr()[0])
    """

    def three_rounds(session_of: Callable[[], ScriptSession]) -> list[tuple[list[bytes], float]]:
        parameters = session_of().initial_parameters()
        results = []
        for r in (1, 2, 3):
            result = session_of().perform(train(r), parameters, sequence=r)
            parameters = {name: array.copy() for name, array in result.parameters.items()}
            results.append(([array.tobytes() for array in parameters.values()], result.metrics["lr"]))
        return results

    undisturbed = open_session(text, "a")
    expected = three_rounds(lambda: undisturbed)

    assert [lr for _, lr in expected] == [0.05, 0.025, 0.0125]
    assert three_rounds(lambda: open_session(text, "b")) == expected


@pytest.mark.parametrize("name", ["base", "session", "script", "bundle"])
def test_no_framework_is_imported_for_it(name: str) -> None:
    program = (
        f"import sys, hanse.learners.{name}; print({{'torch', 'sklearn', 'pydantic'}} & set(sys.modules))"
    )

    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout

    assert output == "set()\n"
