"""Members of a federation come and go, by commands in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from tests.commands import Ended, Hanse

from hanse.assembly import tuning
from hanse.cli.main import run
from hanse.config.settings import load_aggregator
from hanse.files.lock import DirectoryLock

COMMAND = (sys.executable, "-c", "from hanse.cli.main import main; main()")
UNSET = ("HANSE_SITE", "HANSE_FEDERATION", "HANSE_TRACEBACK", "HTTPS_PROXY", "https_proxy")
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in UNSET}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)


def hanse(*arguments: object) -> Ended:
    """One command, in this process."""
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        code = run([str(argument) for argument in arguments])
    return Ended(code, out.getvalue(), err.getvalue())


def program(*arguments: object) -> Ended:
    """One command, in a process of its own."""
    ended = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env=ENVIRONMENT,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def done(*arguments: object, how: Hanse = hanse) -> str:
    """What a command printed that has to succeed."""
    ended = how(*arguments)
    assert ended.code == 0, ended.err
    return ended.out


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
        return port


def create(directory: Path, *options: object, port: int | None = None) -> Path:
    done("federation", "create", directory, "--name", "north", "--port", port or free_port(), *options)
    return directory


def port_of(federation: Path) -> int:
    return load_aggregator(federation).listen.port


@contextmanager
def started(federation: Path) -> Iterator[subprocess.Popen[str]]:
    """The aggregator of a federation, ready."""
    with (
        (federation / "log").open("a") as log,
        subprocess.Popen(
            [*COMMAND, "aggregator", "start", str(federation)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=ENVIRONMENT,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            ready = process.stdout.readline()
            assert "is ready at https://localhost:" in ready, (federation / "log").read_text()
            yield process
        finally:
            process.terminate()
            process.wait(timeout=20)


@contextmanager
def agent(site: Path) -> Iterator[subprocess.Popen[str]]:
    """The agent of a site, connected."""
    command = [*COMMAND, "collaborator", "start", "--site", str(site)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT) as process:
        try:
            assert process.stderr is not None
            assert any("waiting for a run" in line for line in process.stderr)
            yield process
        finally:
            process.terminate()
            process.wait(timeout=20)


def members(directory: Path) -> dict[str, dict[str, object]]:
    listed = json.loads(done("federation", "members", "-d", directory, "--json"))
    return {member["name"]: member for member in listed}


def invitation(federation: Path, name: str, *options: str) -> str:
    return done("federation", "invite", name, "-d", federation, *options).strip()


def grades(directory: Path) -> tuple[int, dict[str, str]]:
    """What the doctor ends with, and what it says of a site, by check."""
    ended = hanse("doctor", "--site", directory, "--json")
    return ended.code, {finding["check"]: finding["grade"] for finding in json.loads(ended.out)}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory of a federation whose aggregator runs."""
    federation = create(tmp_path_factory.mktemp("shared") / "federation")
    with started(federation):
        yield federation


def test_a_site_is_invited_joins_and_is_removed(running: Path, tmp_path: Path) -> None:
    (tmp_path / "xrays").mkdir()
    site, xrays = tmp_path / "site", tmp_path / "xrays"

    token = done("federation", "invite", "hospital-a", "-d", running, how=program).strip()
    joined = done("join", token, "--site", site, "--data", f"xrays={xrays}", how=program)

    assert joined.startswith("hospital-a joined north, whose authority is ")
    assert f"next: say in {site / 'site.yaml'} what is permitted, then" in joined
    assert members(running)["hospital-a"]["role"] == "collaborator"
    code, found = grades(site)
    assert (code, found["membership"], found["data"], found["clock"]) == (0, "ok", "ok", "ok")

    done("federation", "remove", "hospital-a", "-d", running, how=program)

    assert members(running)["hospital-a"]["removed"] is True
    code, found = grades(site)
    assert (code, found["certificate"], found["membership"]) == (1, "ok", "FAIL")


def test_an_invitation_is_good_once(running: Path, tmp_path: Path) -> None:
    token = invitation(running, "hospital-b")
    done("join", token, "--site", tmp_path / "first")

    ended = hanse("join", token, "--site", tmp_path / "second")

    assert (ended.code, ended.out) == (8, "")
    assert ended.err.startswith("error: the invitation for hospital-b was used already.")
    assert not (tmp_path / "second").exists()


def test_an_expired_invitation_is_refused(running: Path, tmp_path: Path) -> None:
    token = invitation(running, "hospital-c", "--lifetime", "1ms")

    ended = hanse("join", token, "--site", tmp_path / "site")

    assert ended.code == 8
    assert "the invitation for hospital-c expired on" in ended.err
    assert "hospital-c" not in members(running)


def test_an_altered_invitation_is_refused(running: Path, tmp_path: Path) -> None:
    token = invitation(running, "hospital-d")
    body, signature = token.rsplit(".", 1)

    ended = hanse("join", f"{body}.{'A' * len(signature)}", "--site", tmp_path / "site")

    assert ended.code == 8
    assert "was not signed by the authority of north" in ended.err


def test_with_a_wrong_clock_the_invitation_is_not_used_up(
    running: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = replace(tuning.current, clock=lambda: datetime.now(UTC) - timedelta(minutes=20))
    token = invitation(running, "hospital-l")
    with monkeypatch.context() as wrong:
        wrong.setattr(tuning, "current", slow)
        ended = hanse("join", token, "--site", tmp_path / "site")

    assert ended.code == 3
    assert "this machine's clock is 20 minutes from the aggregator's" in ended.err
    done("join", token, "--site", tmp_path / "site")


def test_a_directory_that_has_joined_is_not_joined_again(running: Path, tmp_path: Path) -> None:
    done("join", invitation(running, "hospital-e"), "--site", tmp_path)
    key = (tmp_path / "pki" / "party.key").read_bytes()
    token = invitation(running, "hospital-f")

    ended = hanse("join", token, "--site", tmp_path)

    assert "already holds the credentials of a party" in ended.err
    assert (tmp_path / "pki" / "party.key").read_bytes() == key
    done("join", token, "--site", tmp_path / "elsewhere")


def test_an_invitation_can_come_on_the_standard_input(
    running: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO(invitation(running, "hospital-g") + "\n"))

    assert done("join", "-", "--site", tmp_path).startswith("hospital-g joined north")


def test_an_operator_elsewhere_administers_the_members(running: Path, tmp_path: Path) -> None:
    done("join", invitation(running, "eve", "--role", "operator"), "--site", tmp_path / "eve")

    token = done("federation", "invite", "hospital-h", "-d", tmp_path / "eve").strip()
    done("join", token, "--site", tmp_path / "site")

    assert members(tmp_path / "eve")["hospital-h"]["removed"] is False


def test_an_aggregator_of_another_federation_is_found_out(running: Path, tmp_path: Path) -> None:
    other = create(tmp_path / "other", "--url", f"https://localhost:{port_of(running)}")

    ended = hanse("join", invitation(other, "hospital-i"), "--site", tmp_path / "site")

    assert ended.code == 8
    assert "showed the authority" in ended.err
    assert not (tmp_path / "site").exists()


def test_a_second_aggregator_on_the_same_directory_is_refused(running: Path) -> None:
    ended = program("aggregator", "start", running)

    assert (ended.code, ended.out) == (7, "")
    assert ended.err.startswith("error: another aggregator (pid ")


def test_a_service_that_starts_is_not_called_another_aggregator(tmp_path: Path) -> None:
    federation = create(tmp_path / "federation")

    with DirectoryLock(federation):  # as a service that does not answer yet
        ended = hanse("federation", "invite", "hospital-j", "-d", federation)

    assert ended.code == 10
    assert f"the aggregator of {federation} is starting, or does not answer: https://" in ended.err
    assert "another aggregator" not in ended.err


def test_an_operators_folder_is_examined_where_the_environment_names_it(
    running: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done("join", invitation(running, "ada", "--role", "operator"), "--site", tmp_path / "ada")
    monkeypatch.setenv("HANSE_FEDERATION", str(tmp_path / "ada"))

    ended = hanse("doctor", "--json")

    found = {finding["check"]: finding for finding in json.loads(ended.out)}
    assert found["membership"]["grade"] == "ok", found
    assert found["runs"]["detail"] == "0 runs; none waits for acceptances"


def test_a_second_aggregator_on_the_same_port_is_refused(running: Path, tmp_path: Path) -> None:
    other = create(tmp_path / "other", port=port_of(running))

    ended = program("aggregator", "start", other)

    assert (ended.code, ended.out) == (3, "")
    assert f"error: cannot listen on port {port_of(running)} of 127.0.0.1" in ended.err


def test_a_second_federation_in_the_same_directory_is_refused(running: Path) -> None:
    ended = hanse("federation", "create", running, "--name", "south")

    assert ended.code == 3
    assert "already holds a federation" in ended.err


def test_a_site_without_a_way_to_the_aggregator_joins_by_files(tmp_path: Path) -> None:
    federation, site = create(tmp_path / "federation"), tmp_path / "site"
    url, request, signed = f"https://localhost:{port_of(federation)}", tmp_path / "a.csr", tmp_path / "a.pem"

    done(
        *("join", "--request", "hospital-a", "--federation", "north", "--url", url),
        *("--output", request, "--site", site),
    )
    done("federation", "sign", request, "--name", "hospital-a", "-o", signed, "-d", federation)
    joined = done("join", "--certificate", signed, "--site", site)

    assert f"next: say in {site / 'site.yaml'} where data is and what is permitted, then" in joined
    with started(federation):
        _, found = grades(site)
    assert (found["certificate"], found["membership"]) == ("ok", "ok")


def test_members_are_administered_while_the_aggregator_is_stopped(tmp_path: Path) -> None:
    federation = create(tmp_path / "federation")
    token = invitation(federation, "hospital-a")
    with started(federation):
        done("join", token, "--site", tmp_path / "site")

    done("federation", "remove", "hospital-a", "-d", federation)

    assert members(federation)["hospital-a"]["removed"] is True
    unknown = hanse("federation", "remove", "hospital-b", "-d", federation)
    assert (unknown.code, unknown.err) == (
        5,
        "error: no party named hospital-b is enrolled; enrolled are: hospital-a, operator. "
        "To void the invitations for hospital-b, add --invited.\n",
    )
    with started(federation):
        assert grades(tmp_path / "site")[1]["membership"] == "FAIL"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_an_aggregator_ends_in_order_when_it_is_asked_to(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    federation = create(tmp_path / "federation")

    with started(federation) as process:
        process.send_signal(number)

        assert process.wait(timeout=20) == code
    told = [line.partition(": ")[2] for line in (federation / "log").read_text().splitlines()]
    assert told == [f"stopping: {number.name} was received", "stopped"]


def test_an_agent_waits_for_work_until_it_is_asked_to_end(running: Path, tmp_path: Path) -> None:
    done("join", invitation(running, "hospital-j"), "--site", tmp_path)

    with agent(tmp_path) as process:
        second = program("collaborator", "start", "--site", tmp_path)
        process.terminate()

        assert process.wait(timeout=20) == 0
    assert second.code == 7
    assert "error: another collaborator (pid " in second.err


def test_an_agent_ends_when_its_site_is_removed_and_its_log_says_why(running: Path, tmp_path: Path) -> None:
    done("join", invitation(running, "hospital-k"), "--site", tmp_path)

    with agent(tmp_path) as process:
        done("federation", "remove", "hospital-k", "-d", running)

        assert process.wait(timeout=20) == 8
    last = (tmp_path / "agent.log").read_text().splitlines()[-1]
    assert "the agent ends: hospital-k was removed from the federation." in last


def test_a_directory_without_a_federation_says_so(tmp_path: Path) -> None:
    ended = hanse("federation", "members", "-d", tmp_path)

    assert ended.code == 3
    assert f"there is neither a federation nor an operator of one in {tmp_path}" in ended.err
