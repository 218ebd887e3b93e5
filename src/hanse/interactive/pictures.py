"""Figures of matplotlib in notebooks, without its global state."""

from __future__ import annotations

import sys
from typing import Any


def show_in_notebooks() -> None:
    """Have a notebook show a figure that a cell ends with, whether or not pyplot was imported."""
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if getattr(shell, "kernel", None) is None:
        return
    from IPython.core.pylabtools import select_figure_formats
    from matplotlib.figure import Figure

    formatter = shell.display_formatter.formatters["image/png"]
    if not any(kind is Figure for kind in formatter.type_printers):
        select_figure_formats(shell, {"png"})  # type: ignore[no-untyped-call]
