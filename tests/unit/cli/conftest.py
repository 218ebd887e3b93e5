"""The command line, called in this process."""

from __future__ import annotations

import pytest
from tests.commands import Ended, Hanse

from hanse.cli.main import run


@pytest.fixture
def hanse(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Hanse:
    for name in ("HANSE_TRACEBACK", "HANSE_SITE", "HANSE_FEDERATION", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: object) -> Ended:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        return Ended(code, *capsys.readouterr())

    return call
