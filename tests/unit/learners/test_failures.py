"""Errors of user code, told in one line."""

import errno
import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace

import pytest

from hanse.errors import PlanError, PolicyError, TaskError, WorkflowError
from hanse.learners.failures import MAX_LOG_TAIL, is_library, users_code, users_objects, workflow_failure

Write = Callable[[str, str], Path]


def run(path: Path) -> None:
    """Run a file of user code as a session would."""
    with users_code("train"):
        exec(compile(path.read_text(encoding="utf-8"), path, "exec"), {})


def test_an_error_is_told_with_the_users_own_line_though_it_was_raised_in_a_library(write: Write) -> None:
    path = write("heart.py", "import json\n\njson.loads('no')\n")

    with pytest.raises(
        TaskError, match=r"^train failed at heart\.py:3: JSONDecodeError: Expecting"
    ) as caught:
        run(path)

    assert "json.loads('no')" in caught.value.log_tail


def test_an_error_from_a_library_alone_is_told_with_the_librarys_line() -> None:
    with pytest.raises(TaskError, match=r"failed at test_failures\.py:\d+: TypeError"), users_code("train"):
        json.dumps(object())


def test_an_error_of_a_file_behind_a_link_that_leads_nowhere_names_the_link(
    tmp_path: Path, write: Write
) -> None:
    (tmp_path / "old").symlink_to("/archive/2019")
    path = write("heart.py", f"open('{tmp_path}/old/a.csv')\n")

    with pytest.raises(TaskError, match="FileNotFoundError") as caught:
        run(path)

    assert caught.value.mend.startswith(f"{tmp_path}/old is a link, and leads out of what plan code may read")


def test_an_error_of_a_file_that_is_just_missing_has_no_such_hint(tmp_path: Path, write: Write) -> None:
    with pytest.raises(TaskError, match="FileNotFoundError") as caught:
        run(write("heart.py", f"open('{tmp_path}/a.csv')\n"))

    assert caught.value.mend == ""


def test_who_may_not_write_to_the_usual_temporary_folder_is_told_what_to_ask() -> None:
    with pytest.raises(TaskError) as caught, users_code("train"):
        raise PermissionError(errno.EACCES, "Permission denied", "/tmp/cache.bin")

    assert caught.value.mend.startswith("Ask `tempfile` for a temporary file")


def test_an_exit_is_an_error() -> None:
    with pytest.raises(TaskError, match="SystemExit: 3"), users_code("train"):
        raise SystemExit(3)


def test_a_task_error_of_the_users_is_told_with_its_line_and_keeps_its_mend(write: Write) -> None:
    path = write("heart.py", "from hanse.errors import TaskError\nraise TaskError('no x', mend='Add x.')\n")

    with pytest.raises(TaskError, match=r"^heart\.py:2: no x\. Add x\.$"):
        run(path)


def test_another_error_of_ours_is_left_as_it_is() -> None:
    error = PlanError("a wrong plan")

    with pytest.raises(PlanError) as caught, users_code("train"):
        raise error

    assert caught.value is error


def test_an_interrupt_is_not_the_users_fault() -> None:
    with pytest.raises(KeyboardInterrupt), users_code("train"):
        raise KeyboardInterrupt


def test_the_tail_of_the_log_is_bounded() -> None:
    with pytest.raises(TaskError) as caught, users_code("train"):
        raise ValueError("x" * 3 * MAX_LOG_TAIL)

    assert caught.value.log_tail == "x" * MAX_LOG_TAIL
    assert len(str(caught.value)) < MAX_LOG_TAIL


def test_what_a_terminal_or_a_journal_cannot_take_is_escaped() -> None:
    with pytest.raises(TaskError) as caught, users_code("train"):
        raise ValueError("half a pair \ud800\x1b[2J\nand so on")

    assert caught.value.message.endswith(r"ValueError: half a pair \ud800\x1b[2J and so on")
    assert r"half a pair \ud800\x1b[2J" in caught.value.log_tail


def test_an_error_whose_message_cannot_be_had_is_told_by_its_kind() -> None:
    class Rude(Exception):
        def __str__(self) -> str:
            raise ZeroDivisionError

    with (
        pytest.raises(TaskError, match=r"test_failures\.py:\d+: Rude: its message cannot be read$"),
        users_code("train"),
    ):
        raise Rude


class Evil(Exception):
    def __str__(self) -> str:
        raise SystemExit(0)


class Computed(PolicyError):
    @property
    def message(self) -> str:  # type: ignore[override]
        raise ValueError

    @message.setter
    def message(self, text: str) -> None: ...


class Coded(PolicyError):
    code = "\ud800"


class Task(TaskError):
    def __getattribute__(self, name: str) -> object:
        if name == "message":
            raise SystemExit(0)
        return super().__getattribute__(name)


class Kind(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise SystemExit(0)


class Named(Exception, metaclass=Kind):
    pass


@pytest.mark.parametrize(
    "error",
    [
        Evil(),
        Computed("x"),
        Coded("x"),
        Task("x"),
        Named("x"),
        GeneratorExit(),
        StopIteration(),
        BaseExceptionGroup("x", [SystemExit(0)]),
        SyntaxError("no", (Evil(), 3, 1, "x")),
    ],
    ids=lambda error: type(error).__qualname__,
)
@pytest.mark.parametrize("edge", [users_code, users_objects])
def test_whatever_an_error_is_it_fails_the_task_in_words(
    error: BaseException, edge: Callable[[str], AbstractContextManager[None]]
) -> None:
    with pytest.raises(TaskError) as caught, edge("train"):
        raise error

    assert type(caught.value) is TaskError
    assert caught.value.code == "task"
    assert caught.value.message


def test_an_error_that_a_task_has_told_is_not_told_again() -> None:
    with pytest.raises(TaskError, match=r"^train failed at test_failures\.py:\d+: ValueError: no$"):  # noqa: SIM117
        with users_objects("train"), users_code("train"):
            raise ValueError("no")


def test_a_kind_of_ours_with_more_than_its_words_is_made_plain() -> None:
    error = PlanError("a wrong plan", mend="Mend it.")
    error.code = "\ud800"  # type: ignore[misc]

    with pytest.raises(PlanError, match=r"^a wrong plan\. Mend it\.$") as caught, users_code("train"):
        raise error

    assert caught.value.code == "plan"


@pytest.mark.parametrize("error", [Evil(), SystemExit(0), Computed("x"), GeneratorExit()])
def test_whatever_ends_a_workflow_is_told(error: BaseException) -> None:
    told = workflow_failure(error)

    assert type(told) is WorkflowError
    assert str(told).startswith("the workflow failed at ")


@pytest.mark.parametrize("file", [3, "\ud800.py"])
def test_a_syntax_error_of_the_users_own_making_has_a_place(file: object) -> None:
    with pytest.raises(TaskError, match=r"failed at .*: SyntaxError"), users_code("train"):
        raise SyntaxError("no", (file, 3, 1, "x"))  # type: ignore[arg-type]


def test_installed_packages_are_no_user_code() -> None:
    import numpy

    assert is_library(json.__file__)
    assert is_library(numpy.__file__)
    assert not is_library(__file__)


class Shell:
    """As much of IPython as names cells."""

    compile = SimpleNamespace(_filename_map={"/tmp/ipykernel_7/42.py": 3})


@pytest.mark.parametrize(("number", "place"), [("42", r"Cell In\[3\], line 2"), ("43", "a cell, line 2")])
def test_an_error_in_a_notebook_is_told_with_the_line_of_its_cell(
    number: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: Shell))
    code = compile("\n1 / 0", f"/tmp/ipykernel_7/{number}.py", "exec")

    with pytest.raises(TaskError, match=f"train failed at {place}: ZeroDivisionError"), users_code("train"):
        exec(code, {})


def test_what_a_person_types_is_their_own_code() -> None:
    code = compile("import json\njson.loads('no')", "<stdin>", "exec")

    with pytest.raises(TaskError, match="train failed at <stdin>:2: JSONDecodeError"), users_code("train"):
        exec(code, {})


def test_an_error_in_a_package_that_was_installed_elsewhere_is_told_with_the_users_own_line(
    write: Write,
) -> None:
    write("lib/site-packages/theirs.py", "def fail(): raise KeyError('ill')\n")
    path = write("heart.py", "import runpy\n\nrunpy.run_path('lib/site-packages/theirs.py')['fail']()\n")
    text = path.read_text().replace("lib/", f"{path.parent}/lib/")
    path.write_text(text)

    with pytest.raises(TaskError, match=r"failed at heart\.py:3: KeyError: 'ill'"):
        run(path)


def test_what_hanse_finds_wrong_with_data_is_told_with_the_users_line_alone(write: Write) -> None:
    path = write("heart.py", "import hanse\nhanse.TableLearner({'a': [1], 'b': []}, {})\n")

    with pytest.raises(TaskError, match=r"^heart\.py:2: the columns of a table are not of one") as caught:
        run(path)

    assert caught.value.log_tail == ""
