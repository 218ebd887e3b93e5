"""What the programs of the cases do with folders, files and early ends."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).parents[3] / "examples" / "cases" / "program.py"


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = spec_from_file_location("cases_program", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_error_of_the_file_system_is_one_line(
    program: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended, program.one_line():
        raise PermissionError(13, "Permission denied", "model.bin")

    assert ended.value.code == 1
    assert capsys.readouterr().err == "model.bin: Permission denied\n"


def test_a_full_disk_is_one_line(program: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, program.one_line():
        raise OSError(28, "No space left on device")

    assert ended.value.code == 1
    assert capsys.readouterr().err == "a file cannot be read or written: No space left on device\n"


def test_other_errors_are_not_hidden(program: ModuleType) -> None:
    with pytest.raises(ZeroDivisionError), program.one_line():
        print(1 / 0)


def test_a_folder_is_made_with_its_parents(program: ModuleType, tmp_path: Path) -> None:
    program.make_folder(tmp_path / "a" / "b")

    assert (tmp_path / "a" / "b").is_dir()


def test_a_folder_with_something_in_it_may_be_wanted(program: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()

    program.make_folder(tmp_path, empty=False)
    with pytest.raises(SystemExit) as ended:
        program.make_folder(tmp_path)

    assert ended.value.code == 2


@pytest.mark.skipif(sys.platform != "linux", reason="a file system in which nothing can be made")
def test_a_folder_that_cannot_be_made(program: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        program.make_folder(Path("/proc/nowhere"))

    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("the folder /proc/nowhere cannot be used (")


@pytest.mark.parametrize("value", [None, float("nan")])
def test_a_figure_that_is_not_defined_is_not_given(program: ModuleType, value: float | None) -> None:
    assert program.figure(value, 3) == "not given"
    assert program.figure(0.25, 3) == "0.250"
