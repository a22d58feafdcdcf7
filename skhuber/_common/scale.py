"""Scales, medians and quantiles of given residuals.

A weight of two counts a residual twice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

__all__ = [
    "NORMAL_MAD",
    "joint_scale",
    "mad_scale",
    "upper_quantile",
    "weighted_median",
]

Floats = NDArray[np.float64]

_EPS = float(np.finfo(np.float64).eps)
# Φ⁻¹(3/4) = 0.6745, the median of |r| for standard normal residuals r.
NORMAL_MAD = float(ndtri(0.75))


def weighted_median(values: Floats, weight: Floats | None) -> float:
    """Return the weighted median of the values."""
    if weight is None:
        return float(np.median(values))
    kept = weight > 0
    values, weight = values[kept], weight[kept]
    order = np.argsort(values, kind="stable")
    ends = np.cumsum(weight[order])
    half = 0.5 * ends[-1]
    # If a cumulated weight is exactly one half, the median is halfway to the next
    # value. `slack` bounds the rounding error of the cumulated weights.
    slack = len(ends) * _EPS * ends[-1]
    lower = values[order[np.searchsorted(ends, half - slack, side="left")]]
    last = min(np.searchsorted(ends, half + slack, side="right"), len(ends) - 1)
    upper = values[order[last]]
    return float(lower + 0.5 * (upper - lower))


def mad_scale(distance: Floats, weight: Floats | None) -> float:
    """Return median|r| / Φ⁻¹(3/4), with `distance` = |r|."""
    return weighted_median(distance, weight) / NORMAL_MAD


def upper_quantile(values: Floats, share: float, weight: Floats | None) -> float:
    """Return a threshold that values with `share` of the weight exceed.

    It is the middle between two neighbouring values. The weight above it falls short of
    `share` by less than the weight of one value.
    """
    if weight is not None:
        values, weight = values[weight > 0], weight[weight > 0]
    order = np.argsort(values, kind="stable")
    mass = np.ones(len(values)) if weight is None else weight[order]
    ends = np.cumsum(mass)
    slack = len(ends) * _EPS * ends[-1]
    k = np.searchsorted(ends, (1.0 - share) * ends[-1] - slack, side="left")
    last = len(ends) - 1
    lower, upper = values[order[min(k, last)]], values[order[min(k + 1, last)]]
    return float(lower + 0.5 * (upper - lower))


def joint_scale(distance: Floats, rho: float, weight: Floats | None) -> float:
    """Return the joint scale of residuals r, with `distance` = |r|.

    The joint scale is the σ at which the derivative of the objective by σ is zero,
    Σ s min(|r|/σ, ρ)² = Σ s. It is zero if at most 1/ρ² of the weight has a nonzero
    residual.
    """
    if weight is not None:
        distance, weight = distance[weight > 0], weight[weight > 0]
    unit = distance.max()
    if not 0 < unit < np.inf:
        return 0.0
    order = np.argsort(distance)
    a = distance[order] / unit  # squares of a do not overflow
    mass = np.ones(len(a)) if weight is None else weight[order]
    total = mass.sum()
    inside = np.cumsum(mass * a**2)
    if np.isinf(rho):
        return float(unit * np.sqrt(inside[-1] / total))
    outside = total - np.cumsum(mass)
    # Exactly zero: a large rho would multiply a rounding error.
    outside[-1] = 0.0
    part = total / rho / rho  # not rho**2, which may overflow
    if not mass[a > 0].sum() > part:
        return 0.0
    # With the threshold t = ρσ at a_k the equation's left side less its right side is
    # inside/t² + outside − total/ρ². It falls as t grows, from above zero.
    excess = inside + (outside - part) * a**2
    last = np.nonzero((excess >= 0) & (a > 0))[0][-1]
    squared_scale = inside[last] / (total - rho * (rho * outside[last]))
    return float(unit * np.sqrt(squared_scale))
