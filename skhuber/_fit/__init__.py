"""Fits: from rows to a fitted model.

`fit` has the way of a single fit, `grid` that of many settings on the same rows, and
`stream` that of rows that come in batches.
"""

from skhuber._fit.fit import fit_rows, is_small
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

__all__ = [
    "Fit",
    "Model",
    "Settings",
    "Start",
    "Tally",
    "at_model",
    "distances_of",
    "fit_rows",
    "is_small",
    "residuals_of",
    "robust_weights",
]
