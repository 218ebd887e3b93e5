"""User modules, imported from their bundle."""

import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from hanse.errors import PlanError
from hanse.learners.bundle import load_factory, load_function, modules_kept

Write = Callable[[str, str], Path]


def bundle(folder: Path, **files: str) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return folder


def test_a_function_is_loaded_with_the_modules_it_imports(tmp_path: Path) -> None:
    code = bundle(
        tmp_path / "a", federation="import helper\ndef make(): return helper.NAME", helper="NAME = 'a'"
    )

    assert load_function(code, "federation:make")() == "a"


def test_a_module_in_a_package_is_loaded(write: Write) -> None:
    write("models/__init__.py", "")
    path = write("models/heart.py", "from . import parts\nlearner = parts.make")
    write("models/parts.py", "def make(site): return 'made'")

    assert load_factory(path.parents[1], "models.heart:learner")(None) == "made"


def test_what_a_function_imports_later_comes_from_its_bundle(tmp_path: Path) -> None:
    code = bundle(
        tmp_path / "a",
        federation="def make():\n    import helper\n    return helper.NAME",
        helper="NAME = 'a'",
    )

    assert load_function(code, "federation:make")() == "a"


def test_two_bundles_do_not_mix(tmp_path: Path) -> None:
    text = "import helper\ndef make(): return helper.NAME"
    first = load_function(bundle(tmp_path / "a", federation=text, helper="NAME = 'a'"), "federation:make")
    second = load_function(bundle(tmp_path / "b", federation=text, helper="NAME = 'b'"), "federation:make")

    assert (first(), second()) == ("a", "b")
    assert str(tmp_path / "a") not in sys.path


def test_a_bundle_leaves_no_trace_in_a_session_with_modules_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = ModuleType("federation")
    mine.__file__ = str(tmp_path / "mine" / "federation.py")
    monkeypatch.setitem(sys.modules, "federation", mine)
    code = bundle(
        tmp_path / "a", federation="import helper\ndef make(): return helper.NAME", helper="NAME = 1"
    )
    path = list(sys.path)

    with modules_kept(["federation.py", "helper.py"]):
        assert load_function(code, "federation:make")() == 1

    assert sys.modules["federation"] is mine
    assert "helper" not in sys.modules
    assert sys.path == path


def test_a_changed_file_is_read_anew_and_nothing_is_written_beside_it(tmp_path: Path) -> None:
    code = bundle(tmp_path / "a", federation="def make(): return 1")
    load_function(code, "federation:make")
    (code / "federation.py").write_text("def make(): return 2", encoding="utf-8")

    assert load_function(code, "federation:make")() == 2
    assert [path.name for path in code.iterdir()] == ["federation.py"]


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("federation", "must be written as module:function"),
        ("../federation:make", "must be written as module:function"),
        ("os:getcwd", r"no module 'os'; it has: federation\.py"),
        ("federation:mke", r"federation\.py has no function 'mke'\. Did you mean 'make'\?"),
        ("federation:x", r"has no function 'x'\. It has: make\."),
    ],
)
def test_what_is_not_in_the_bundle_is_refused(tmp_path: Path, reference: str, message: str) -> None:
    code = bundle(tmp_path / "a", federation="x = 3\ndef make(): pass")

    with pytest.raises(PlanError, match=message):
        load_function(code, reference)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\ndef make(:\n", r"federation\.py:2: SyntaxError"),
        (
            "\nimport a_module_that_is_not_there",
            r"federation\.py:2: ModuleNotFoundError: No module named 'a_mod",
        ),
        ("def load():\n    raise OSError('no file')\nload()", r"federation\.py:2: OSError: no file"),
        ("import sys\nsys.exit('stop')", r"federation\.py:2: SystemExit: stop"),
    ],
)
def test_a_module_that_cannot_be_imported_is_told_with_its_line(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(PlanError, match=f"cannot import federation: {message}"):
        load_function(bundle(tmp_path / "a", federation=text), "federation:make")


def test_a_file_with_the_name_of_a_known_module_is_refused(tmp_path: Path) -> None:
    code = bundle(tmp_path / "a", random="def make(): pass")

    with pytest.raises(PlanError, match=r"random\.py has the name of another module"):
        load_function(code, "random:make")

    assert sys.modules["random"] is random
