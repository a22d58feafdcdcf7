"""Outlier-robust linear regression: right on data in its natural units, and fast."""

from skhuber import losses, metrics
from skhuber._regressor import HuberRegressor
from skhuber.metrics import d2_huber_score, make_huber_scorer, mean_huber_error

__version__ = "0.1.0"

__all__ = [
    "HuberRegressor",
    "d2_huber_score",
    "losses",
    "make_huber_scorer",
    "mean_huber_error",
    "metrics",
]
