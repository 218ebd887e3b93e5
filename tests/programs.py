"""Programs of the examples, run in this process: what they refuse is refused before anything is started."""

from __future__ import annotations

import runpy
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from unittest.mock import patch

from tests.commands import Ended

_EXAMPLES = Path(__file__).parents[1] / "examples"


def called(program: Path, *arguments: object) -> Ended:
    """Run a program with these arguments, as a process of its own would, and leave no module of it behind."""
    path = [str(program.parent), *sys.path]
    with (
        patch.object(sys, "argv", [str(program), *map(str, arguments)]),
        patch.object(sys, "path", path),
        redirect_stdout(StringIO()) as out,
        redirect_stderr(StringIO()) as err,
    ):
        try:
            runpy.run_path(str(program), run_name="__main__")
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        finally:
            _forget()
    return Ended(code, out.getvalue(), err.getvalue())


def _forget() -> None:
    """Have the modules of examples imported anew: several examples have one of the same name."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name != "__main__" and file and Path(file).is_relative_to(_EXAMPLES):
            del sys.modules[name]
