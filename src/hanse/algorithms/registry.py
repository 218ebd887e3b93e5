"""Every algorithm by its name, and every built-in workflow by the name that a plan gives it."""

from __future__ import annotations

from hanse.algorithms.base import Algorithm, Workflow
from hanse.algorithms.evaluation.cross_site import CROSS_SITE, cross_site
from hanse.algorithms.evaluation.evaluate import EVALUATE, evaluate
from hanse.algorithms.optimisation.cyclic import CYCLIC, cyclic
from hanse.algorithms.optimisation.fedavg import FEDAVG, fedavg
from hanse.algorithms.optimisation.fedavgm import FEDAVGM
from hanse.algorithms.optimisation.fedbuff import FEDBUFF, fedbuff
from hanse.algorithms.optimisation.feddyn import FEDDYN, feddyn
from hanse.algorithms.optimisation.fednova import FEDNOVA, fednova
from hanse.algorithms.optimisation.fedopt import FEDADAGRAD, FEDADAM, FEDYOGI
from hanse.algorithms.optimisation.fedprox import FEDPROX
from hanse.algorithms.optimisation.one_shot import ONE_SHOT
from hanse.algorithms.optimisation.scaffold import SCAFFOLD, scaffold
from hanse.algorithms.personalisation.ditto import DITTO, ditto
from hanse.algorithms.personalisation.fedbn import FEDBN
from hanse.algorithms.personalisation.fedper import FEDPER
from hanse.algorithms.personalisation.fine_tuning import FINE_TUNING, fine_tuning
from hanse.algorithms.personalisation.ifca import IFCA, ifca
from hanse.algorithms.regression.linear import LINEAR_REGRESSION, linear_regression
from hanse.algorithms.regression.logistic import LOGISTIC_REGRESSION, logistic_regression
from hanse.algorithms.regression.poisson import POISSON_REGRESSION, poisson_regression
from hanse.algorithms.robust.centred_clipping import CENTRED_CLIPPING
from hanse.algorithms.robust.geometric_median import RFA
from hanse.algorithms.robust.krum import KRUM
from hanse.algorithms.robust.median import MEDIAN
from hanse.algorithms.robust.norm_bounding import NORM_BOUNDING
from hanse.algorithms.robust.trimmed_mean import TRIMMED_MEAN
from hanse.algorithms.statistics.contingency import CONTINGENCY, contingency
from hanse.algorithms.statistics.kmeans import KMEANS, kmeans
from hanse.algorithms.statistics.meta_analysis import META_ANALYSIS, meta_analysis
from hanse.algorithms.statistics.naive_bayes import NAIVE_BAYES, naive_bayes
from hanse.algorithms.statistics.pca import PCA, pca
from hanse.algorithms.statistics.quantiles import QUANTILES, quantiles
from hanse.algorithms.statistics.standardise import STANDARDISE, standardise_then_train
from hanse.algorithms.statistics.summary import SUMMARY, summary
from hanse.algorithms.survival.cox import COX_REGRESSION, cox_regression
from hanse.algorithms.survival.kaplan_meier import KAPLAN_MEIER, kaplan_meier
from hanse.algorithms.survival.log_rank import LOG_RANK, log_rank

_ALL = (
    FEDAVG,
    FEDAVGM,
    FEDADAGRAD,
    FEDADAM,
    FEDYOGI,
    FEDPROX,
    SCAFFOLD,
    FEDNOVA,
    FEDDYN,
    CYCLIC,
    ONE_SHOT,
    FEDBUFF,
    MEDIAN,
    TRIMMED_MEAN,
    RFA,
    KRUM,
    NORM_BOUNDING,
    CENTRED_CLIPPING,
    FEDBN,
    FEDPER,
    DITTO,
    FINE_TUNING,
    IFCA,
    EVALUATE,
    CROSS_SITE,
    SUMMARY,
    QUANTILES,
    CONTINGENCY,
    STANDARDISE,
    PCA,
    KMEANS,
    NAIVE_BAYES,
    META_ANALYSIS,
    LINEAR_REGRESSION,
    LOGISTIC_REGRESSION,
    POISSON_REGRESSION,
    KAPLAN_MEIER,
    LOG_RANK,
    COX_REGRESSION,
)

ALGORITHMS: dict[str, Algorithm] = {algorithm.name: algorithm for algorithm in _ALL}
"""Algorithms by the name under `algorithm` in a plan file."""

WORKFLOWS: dict[str, Workflow] = {
    "fedavg": fedavg,
    "evaluate": evaluate,
    "cyclic": cyclic,
    "fedbuff": fedbuff,
    "scaffold": scaffold,
    "fednova": fednova,
    "feddyn": feddyn,
    "ditto": ditto,
    "fine_tuning": fine_tuning,
    "ifca": ifca,
    "cross_site": cross_site,
    "summary": summary,
    "quantiles": quantiles,
    "contingency": contingency,
    "standardise_then_train": standardise_then_train,
    "pca": pca,
    "kmeans": kmeans,
    "naive_bayes": naive_bayes,
    "meta_analysis": meta_analysis,
    "linear_regression": linear_regression,
    "logistic_regression": logistic_regression,
    "poisson_regression": poisson_regression,
    "kaplan_meier": kaplan_meier,
    "log_rank": log_rank,
    "cox_regression": cox_regression,
}
"""Workflows by the name under `workflow` in a plan; see `hanse.core.plan.built_in.BUILT_IN`."""
