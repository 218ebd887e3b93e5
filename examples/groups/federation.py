"""A survival curve from counts: a task without a model, whose sums over sites are all that is seen."""

from __future__ import annotations

import csv

import numpy as np

import hanse


class Survival:
    """Counts, for each day, the patients whose observation ended, and those who died.

    The data source `patients` is a table with the columns `days` and `died`.
    """

    def __init__(self, site: hanse.Site) -> None:
        with site.data["patients"].open(newline="") as file:
            rows = [(int(row["days"]), row["died"] == "1") for row in csv.DictReader(file)]
        self.days = np.array([days for days, _ in rows])
        self.died = np.array([died for _, died in rows])
        self.bins = site.options["days"]

    def count(self, parameters: object, task: hanse.Task) -> hanse.TaskResult:
        """Give both counts; `parameters` is empty, since the task receives no model."""
        deaths = np.bincount(self.days[self.died], minlength=self.bins)
        leaving = np.bincount(self.days, minlength=self.bins)
        return hanse.TaskResult(len(self.days), groups={"survival": {"deaths": deaths, "leaving": leaving}})


def learner(site: hanse.Site) -> Survival:
    """Make the learner of one site."""
    return Survival(site)


def kaplan_meier(federation: hanse.Federation) -> None:
    """Estimate the survival curve of all patients (Kaplan and Meier 1958)."""
    for round in federation.rounds():
        counts = round.sum("count").groups["survival"]
        at_risk = counts["leaving"][::-1].cumsum()[::-1]
        survival = np.cumprod(1 - counts["deaths"] / np.maximum(at_risk, 1))
        round.commit(results={"curve": {"at_risk": at_risk, "survival": survival}})
