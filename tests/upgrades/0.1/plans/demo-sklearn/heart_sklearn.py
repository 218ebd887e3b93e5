"""Logistic regression with scikit-learn, one learner a hospital."""

from __future__ import annotations

from heart_data import load
from sklearn.linear_model import SGDClassifier

import hanse
from hanse.learners.sklearn import SklearnLearner


def learner(site: hanse.Site) -> SklearnLearner:
    """Make the learner of one hospital."""
    train, held_out = load(site.data["heart"])
    return SklearnLearner(SGDClassifier(loss="log_loss"), train, held_out, classes=[0, 1])
