"""Outlier-robust linear regression: right on data in its natural units, and fast."""

from skhuber import losses, metrics
from skhuber._model_selection import HuberPath, HuberRegressorCV, huber_path
from skhuber._regressor import HuberRegressor
from skhuber._tuning import OutlierShare, efficiency_of_rho, rho_for_efficiency
from skhuber.metrics import d2_huber_score, make_huber_scorer, mean_huber_error

__version__ = "0.1.0"

__all__ = [
    "HuberPath",
    "HuberRegressor",
    "HuberRegressorCV",
    "OutlierShare",
    "d2_huber_score",
    "efficiency_of_rho",
    "huber_path",
    "losses",
    "make_huber_scorer",
    "mean_huber_error",
    "metrics",
    "rho_for_efficiency",
]
