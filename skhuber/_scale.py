"""Scales of given residuals. A weight of two counts a residual twice."""

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


def mad_scale(distance: Floats, weight: Floats | None) -> float:
    """median|r| / Φ⁻¹(3/4), of residuals of these sizes."""
    return weighted_median(distance, weight) / NORMAL_MAD


def upper_quantile(values: Floats, share: float, weight: Floats | None) -> float:
    """A number that this share of the weight exceeds, amid those that do so."""
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
    """The joint scale of residuals of these sizes.

    It is the σ at which the derivative of the objective by σ is zero,
    Σ s min(|r|/σ, ρ)² = Σ s; zero, where at most 1/ρ² of the weight has a residual.
    """
    unit = distance.max()
    if not 0 < unit < np.inf:
        return 0.0
    order = np.argsort(distance)
    a = distance[order] / unit  # whose squares do not overflow
    mass = np.ones(len(a)) if weight is None else weight[order]
    total = mass.sum()
    inside = np.cumsum(mass * a**2)
    if np.isinf(rho):
        return float(unit * np.sqrt(inside[-1] / total))
    outside = total - np.cumsum(mass)
    outside[-1] = 0.0  # to the last digit, which a large rho would multiply
    part = total / rho / rho  # (the square of a large rho overflows)
    if not mass[a > 0].sum() > part:
        return 0.0
    # With the threshold t = ρσ at a_k the equation's left side less its right side is
    # inside/t² + outside − total/ρ². It falls as t grows, from above zero.
    excess = inside + (outside - part) * a**2
    last = np.nonzero((excess >= 0) & (a > 0))[0][-1]
    square = inside[last] / (total - rho * (rho * outside[last]))  # of σ
    return float(unit * np.sqrt(square))
