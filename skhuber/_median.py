"""Medians, of which a weight of two counts a value twice, and the scale they give."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

__all__ = ["NORMAL_MAD", "weighted_median"]

Floats = NDArray[np.float64]

_EPS = float(np.finfo(np.float64).eps)
# The median of |r| of standard normal residuals.
NORMAL_MAD = float(ndtri(0.75))


def weighted_median(values: Floats, weight: Floats | None) -> float:
    """Median in which a weight of two counts as the value twice."""
    if weight is None:
        return float(np.median(values))
    kept = weight > 0
    values, weight = values[kept], weight[kept]
    order = np.argsort(values, kind="stable")
    ends = np.cumsum(weight[order])
    half = 0.5 * ends[-1]
    # Where a cumulated weight is just one half, the median is halfway to the next. Just
    # one half is what rounding of the sums may have made of it.
    slack = len(ends) * _EPS * ends[-1]
    lower = values[order[np.searchsorted(ends, half - slack, side="left")]]
    last = min(np.searchsorted(ends, half + slack, side="right"), len(ends) - 1)
    upper = values[order[last]]
    return float(lower + 0.5 * (upper - lower))
