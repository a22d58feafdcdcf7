"""Scales, medians and quantiles of given residuals.

A weight of two counts a residual twice.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

__all__ = [
    "NORMAL_MAD",
    "between",
    "joint_scale",
    "mad_scale",
    "upper_quantile",
    "weighted_median",
]

Floats = NDArray[np.float64]

_EPS = float(np.finfo(np.float64).eps)
# Φ⁻¹(3/4) = 0.6745, the median of |r| for standard normal residuals r.
NORMAL_MAD = float(ndtri(0.75))
# Values from which bounds of a median are taken, and by how many of their standard
# errors the bounds lie apart from it. (3: one median in 400 lies beyond.)
_SAMPLE, _STANDARD_ERRORS = 10_000, 3.0


def weighted_median(values: Floats, weight: Floats | None) -> float:
    """Return the weighted median of the values."""
    if weight is None:
        below, near, _ = _near_median(values, None)
        n = len(values)
        first, second = (n - 1) // 2 - int(below), n // 2 - int(below)
        if not 0 <= first <= second < len(near):
            return float(np.median(values))
        ordered = np.partition(near, [first, second])
        return float(0.5 * ordered[first] + 0.5 * ordered[second])
    if not weight.all():
        values, weight = values[weight > 0], weight[weight > 0]
    # If a cumulated weight is exactly one half, the median is halfway to the next
    # value. `slack` bounds the rounding error of the cumulated weights.
    total = float(weight.sum())
    half, slack = 0.5 * total, len(values) * _EPS * total
    start, near, mass = _near_median(values, weight)
    if not start + slack < half < start + mass.sum() - slack:
        start, near, mass = 0.0, values, weight
    order = np.argsort(near)
    ends = start + np.cumsum(mass[order])
    lower = near[order[np.searchsorted(ends, half - slack, side="left")]]
    last = int(np.searchsorted(ends, half + slack, side="right"))
    upper = near[order[min(last, len(ends) - 1)]]
    return float(lower + 0.5 * (upper - lower))


def _near_median(values: Floats, weight: Floats | None) -> tuple[float, Floats, Any]:
    """Return the weight below some values, these values, and their weights.

    The median is most likely among them: a sample of the values tells where it is.
    """
    if len(values) <= 2 * _SAMPLE:
        return 0.0, values, weight
    step = len(values) // _SAMPLE
    sample = values[::step]
    # (Of a sample of m, the weight below the median is uncertain by about ½/√m.)
    reach = 0.5 * _STANDARD_ERRORS / np.sqrt(len(sample))
    shares = np.array([0.5 - reach, 0.5 + reach])
    if weight is None:
        ranks = np.ceil(shares * len(sample)).astype(np.intp) - 1
        low, high = np.partition(sample, ranks)[ranks]
    else:
        order = np.argsort(sample)
        ends = np.cumsum(weight[::step][order])
        low, high = sample[order[np.searchsorted(ends, shares * ends[-1])]]
    below, inside = between(values, weight, low, high)
    near = np.flatnonzero(inside)
    return below, values[near], None if weight is None else weight[near]


def between(
    values: Floats, weight: Floats | None, low: float, high: float
) -> tuple[float, NDArray[np.bool_]]:
    """Return the weight of the values below two bounds, and which are within them."""
    is_below, inside = values < low, (values >= low) & (values <= high)
    if weight is None:
        return float(np.count_nonzero(is_below)), inside
    return float(weight @ is_below), inside


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
