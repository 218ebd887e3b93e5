"""`hanse.connect`: a running federation, for its operators."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hanse.interactive.operator import Operator


def connect(folder: str | PathLike[str] = "federation") -> Operator:
    """Speak to the aggregator of a federation as one of its operators.

    ```python
    with hanse.connect("federation") as operator:
        run = operator.submit("plan.yaml")
        operator.watch(run)
        operator.export(run, "results")
    ```

    Args:
        folder: The folder of the federation, or of an operator who joined it.

    Returns:
        The operator, whose methods are those of `hanse run`: `submit`, `watch`, `status`, `stop`, `resume`,
        `export`, `plot`, `runs`, `sites`. No connection is opened before the first call.

    Raises:
        ConfigError: It is not a path, or there is neither a federation nor an operator in the folder.
    """
    from hanse.files.paths import given_path
    from hanse.interactive.operator import Operator

    return Operator(given_path(folder, "hanse.connect"))
