"""Outlier-robust linear regression: right on data in its natural units, and fast."""

from skhuber import losses, metrics
from skhuber._estimators.cross_validation import HuberRegressorCV
from skhuber._estimators.elastic_net import HuberElasticNet
from skhuber._estimators.groups import HuberGroups, huber_groups
from skhuber._estimators.net_cv import HuberElasticNetCV
from skhuber._estimators.net_path import (
    HuberNetPath,
    huber_enet_path,
    pivotal_alpha,
)
from skhuber._estimators.path import HuberPath, huber_path
from skhuber._estimators.regressor import HuberRegressor
from skhuber._tuning.efficiency import (
    OutlierShare,
    efficiency_of_rho,
    rho_for_efficiency,
)
from skhuber.metrics import d2_huber_score, make_huber_scorer, mean_huber_error

__version__ = "0.1.0"

for _public in (
    HuberElasticNet,
    HuberElasticNetCV,
    HuberGroups,
    HuberNetPath,
    HuberPath,
    HuberRegressor,
    HuberRegressorCV,
    OutlierShare,
    efficiency_of_rho,
    huber_enet_path,
    huber_groups,
    huber_path,
    pivotal_alpha,
    rho_for_efficiency,
):
    # Pickles and tracebacks then name the place that users import from.
    _public.__module__ = __name__

__all__ = [
    "HuberElasticNet",
    "HuberElasticNetCV",
    "HuberGroups",
    "HuberNetPath",
    "HuberPath",
    "HuberRegressor",
    "HuberRegressorCV",
    "OutlierShare",
    "d2_huber_score",
    "efficiency_of_rho",
    "huber_enet_path",
    "huber_groups",
    "huber_path",
    "losses",
    "make_huber_scorer",
    "mean_huber_error",
    "metrics",
    "pivotal_alpha",
    "rho_for_efficiency",
]
