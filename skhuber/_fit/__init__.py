"""Fits: from rows to a fitted model.

`fit` has the way of a single fit, `grid` that of many settings on the same rows,
`targets` that of many targets, `elastic_net` that of fits with absolute values and
bounds, and `stream` that of rows that come in batches.
"""

from skhuber._fit.elastic_net import Net, NetFit, fit_net, fit_net_targets
from skhuber._fit.fit import WatchModel, fit_rows, is_small, sample_size
from skhuber._fit.result import (
    Fit,
    Model,
    Tally,
    at_model,
    distances_of,
    residuals_of,
    robust_weights,
)
from skhuber._fit.settings import Settings
from skhuber._fit.start import Start
from skhuber._fit.targets import fit_targets

__all__ = [
    "Fit",
    "Model",
    "Net",
    "NetFit",
    "Settings",
    "Start",
    "Tally",
    "WatchModel",
    "at_model",
    "distances_of",
    "fit_net",
    "fit_net_targets",
    "fit_rows",
    "fit_targets",
    "is_small",
    "residuals_of",
    "robust_weights",
    "sample_size",
]
