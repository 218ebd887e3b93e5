"""Tables of models beside each other."""

from __future__ import annotations

import pytest

from hanse.cli.comparison import show
from hanse.learners.comparison import Comparison


def test_what_is_not_known_is_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    show(
        Comparison({"a": 3, "b": 1}, {"federated": {"a": {"auc": 0.5}, "b": {}}, "b alone": {}}),
        {"auc": "AUC"},
    )

    shown = capsys.readouterr().out
    assert "│ federated           │ 0.500 │   - │ 0.500 │" in shown
    assert "│ b alone             │     - │   - │     - │" in shown


def test_in_a_file_no_figure_of_many_sites_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    sites = {f"site-{number:02}": 1000 + number for number in range(20)}
    scores = {site: {"loss": number / 100} for number, site in enumerate(sites)}

    show(Comparison(sites, {"federated": scores}), {"loss": "loss"})

    (row,) = (line for line in capsys.readouterr().out.splitlines() if "federated" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")][1:-1] == [f"{n / 100:.3f}" for n in range(20)]
