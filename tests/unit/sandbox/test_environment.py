from pathlib import Path

from hanse.sandbox.environment import worker_environment

HOME = Path("/work")


def test_only_listed_variables_are_inherited() -> None:
    inherited = {"LC_ALL": "C", "OMP_NUM_THREADS": "4", "AWS_SECRET_ACCESS_KEY": "s", "https_proxy": "u:p@h"}

    found = worker_environment(inherited, HOME, {})

    assert inherited.items() & found.items() == {("LC_ALL", "C"), ("OMP_NUM_THREADS", "4")}


def test_the_workspace_is_home() -> None:
    found = worker_environment({"HOME": "/home/me"}, HOME, {})

    assert (found["HOME"], found["TMPDIR"]) == ("/work", "/work/tmp")
    assert not found["PYTHONUSERBASE"].startswith("/work")


def test_code_is_not_looked_for_in_the_working_directory() -> None:
    found = worker_environment({"PYTHONPATH": ":lib:/opt/lib", "LD_LIBRARY_PATH": "."}, HOME, {})

    assert found["PYTHONPATH"] == "/opt/lib"
    assert "LD_LIBRARY_PATH" not in found


def test_what_is_asked_for_wins() -> None:
    assert worker_environment({"LANG": "C"}, HOME, {"LANG": "de_DE.UTF-8"})["LANG"] == "de_DE.UTF-8"
