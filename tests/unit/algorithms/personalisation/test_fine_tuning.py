"""Local fine-tuning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.unit.algorithms.runs import AGGREGATE, SITES, close, descended, examples, loss, rows, run

from hanse.core.run.round_events import ExchangeOpened
from hanse.errors import WorkflowError

CODE = """
class Tuned(Linear):
    def finetune(self, parameters, task):
        w = self.descended(parameters["w"], task)
        return hanse.TaskResult(len(self.y), {"loss": loss(w, self.x, self.y)})


def learner(site):
    return Tuned(site.name)
"""
TASKS = {
    "train": {"lr": 0.05, "epochs": 2, "discloses": AGGREGATE},
    "finetune": {"lr": 0.05, "epochs": 7},
}


def test_after_the_last_round_each_site_trains_the_model_by_itself(tmp_path: Path) -> None:
    outcome, events = run(tmp_path, CODE, algorithm="fine_tuning", metric_digits=17, tasks=TASKS)

    w, weights = np.zeros(3), [examples(site) for site in SITES]
    for _ in range(4):
        w = np.average([descended(w, site, 0.05, 2) for site in SITES], axis=0, weights=weights)
    tuned = [loss(descended(w, site, 0.05, 7), *rows(site)) for site in SITES]
    assert outcome.model is not None
    close(outcome.model["w"], w)
    close(outcome.run.metrics["finetuned_loss"], np.average(tuned, weights=weights))
    asked = [event.task for event in events if isinstance(event, ExchangeOpened)]
    assert asked == ["initialise", *["train"] * 4, "finetune"]


def test_an_early_stop_which_could_leave_it_out_is_refused(tmp_path: Path) -> None:
    early_stop = {"metric": "loss", "mode": "min"}

    with pytest.raises(WorkflowError, match="`early_stop` could end the run before"):
        run(tmp_path, CODE, algorithm="fine_tuning", tasks=TASKS, early_stop=early_stop)
