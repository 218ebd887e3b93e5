"""Tasks in the open beside masked ones."""

from __future__ import annotations

from tests.unit.collaborator.aggregators import EVALUATE, Site
from tests.unit.collaborator.sums.cells import MASKED_TRAIN, checked, privacy, published
from tests.unit.collaborator.test_tasks import FakeWorkers, Run, settled

from hanse.errors import TaskError


def test_no_print_out_leaves_which_may_be_of_a_masked_task(site: Site, run: Run) -> None:
    tasks = {"train": MASKED_TRAIN, "evaluate": EVALUATE}
    work = published(site, run, tasks=tasks, privacy=privacy(in_the_open=["evaluate"]))
    workers = FakeWorkers(TaskError("boom", log_tail="812 rows, loss 0.4711"))
    policy = {"accept_digests": [work.plan_digest], "discloses": {"failures": "log"}}

    outcome = settled(
        site, run, work, site.assignment(task="evaluate"), workers, **{**checked(), "policy": policy}
    )

    assert outcome.reason == "boom"
    assert outcome.log_tail == ""
