"""Settings that each algorithm cannot do without, as examples for messages and pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_BY = {"aggregated_by": "aggregator"}
_ILL = {"column": "ill", "categories": [0, 1]}
_SEX = {"column": "sex", "categories": ["f", "m"]}
_DAYS = {"time": "days", "event": "died", "horizon": 366}

EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "fedadagrad": {"lr": 0.1},
    "fedadam": {"lr": 0.01},
    "fedyogi": {"lr": 0.01},
    "fedprox": {"mu": 0.01},
    "feddyn": {"alpha": 0.1},
    "trimmed_mean": {"trim": 0.2},
    "krum": {"byzantine": 1},
    "norm_bounding": {"norm": 1.0},
    "centred_clipping": {"norm": 1.0},
    "fedbn": {"tensors": ["*.bn*"]},
    "fedper": {"tensors": ["head.*"]},
    "ditto": {"mu": 0.1},
    "ifca": {"models": 2},
    "cross_site": {"sites": 5},
    "summary": {"columns": ["age", "weight"], **_BY},
    "quantiles": {"ranges": {"age": [0, 120]}, **_BY},
    "contingency": {"rows": _SEX, "columns": _ILL, **_BY},
    "standardise_then_train": {"columns": ["age", "weight"], **_BY},
    "pca": {"columns": ["age", "weight", "height"], "components": 2, **_BY},
    "kmeans": {"columns": ["age", "weight"], "centres": [[40, 60], [70, 80]], **_BY},
    "naive_bayes": {"columns": ["age", "weight"], "outcome": _ILL, **_BY},
    "meta_analysis": {"effect": "mean_difference", "outcome": "weight", "group": _SEX, **_BY},
    "linear_regression": {"outcome": "weight", "features": ["age", _SEX], **_BY},
    "logistic_regression": {"outcome": _ILL, "features": ["age", _SEX], **_BY},
    "poisson_regression": {"outcome": "visits", "features": ["age", _SEX], **_BY},
    "kaplan_meier": {**_DAYS, **_BY},
    "log_rank": {**_DAYS, "by": _SEX, **_BY},
    "cox_regression": {**_DAYS, "features": ["age", _SEX], **_BY},
}
"""By the name of the algorithm; those that are missing need none."""


def written(name: str, settings: Mapping[str, Any]) -> str:
    """An algorithm with settings as a plan file has it: `{name: fedprox, mu: 0.01}`."""
    return _flow({"name": name, **settings})


def _flow(value: Any) -> str:
    match value:
        case Mapping():
            return "{" + ", ".join(f"{key}: {_flow(inner)}" for key, inner in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_flow, value)) + "]"
        case str() if not value.replace("_", "").isalnum():
            return f'"{value}"'
        case _:
            return str(value)
