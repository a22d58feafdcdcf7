"""Probabilities and quantiles of t, normal, F and chi-squared, from `scipy.special`.

(`scipy.stats` takes longer to import than a fit.) Both tails of t come as one
incomplete beta function, with all digits down to the smallest numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, chdtrc, fdtrc, ndtr, ndtri, stdtrit

Floats = NDArray[np.float64]


def two_sided(statistic: ArrayLike, df: float | None) -> Floats:
    """P(|T| > |statistic|), T of Student's t or, without df, normal."""
    size = np.abs(np.asarray(statistic, dtype=np.float64))
    if df is None:
        return np.asarray(2.0 * ndtr(-size))
    with np.errstate(over="ignore"):
        return np.asarray(betainc(df / 2.0, 0.5, df / (df + size * size)))


def two_sided_quantile(level: float, df: float | None) -> float:
    """Return the number that |T| stays below with this probability."""
    upper = 0.5 * (1.0 + level)
    return float(ndtri(upper) if df is None else stdtrit(df, upper))


def quadratic_tail(statistic: float, q: int, df: float | None) -> float:
    """P(F > statistic), F of q and df degrees of freedom; without df chi-squared/q."""
    if df is None:
        return float(chdtrc(q, q * statistic))
    return float(fdtrc(q, df, statistic))
