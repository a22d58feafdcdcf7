"""Tests of hypotheses: what they return, and the tests of linear forms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skhuber.inference._distributions import (
    quadratic_tail,
    two_sided,
    two_sided_quantile,
)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ContrastResult:
    """Estimates of linear forms of the coefficients, and a test of each.

    Attributes
    ----------
    effect : ndarray of shape (m,)
        Lβ.
    sd : ndarray of shape (m,)
        Standard errors.
    statistic : ndarray of shape (m,)
        (Lβ − r)/sd.
    pvalue : ndarray of shape (m,)
        Two-sided.
    df : float or None
        Degrees of freedom of Student's t; None: the normal distribution.
    """

    effect: Floats
    sd: Floats
    statistic: Floats
    pvalue: Floats
    df: float | None

    def conf_int(self, alpha: float = 0.05) -> Floats:
        """Return intervals that cover with probability 1 − alpha, (m, 2)."""
        half = two_sided_quantile(1.0 - alpha, self.df) * self.sd
        return np.column_stack([self.effect - half, self.effect + half])


@dataclass(frozen=True)
class HypothesisResult:
    """A test of several restrictions.

    Attributes
    ----------
    test : str
        "wald", "deviance" or "score".
    statistic : float
        F, or chi-squared where `df_denom` is None.
    pvalue : float
    df_num : int
        Number of restrictions.
    df_denom : float or None
        Of F; None: chi-squared.
    """

    test: str
    statistic: float
    pvalue: float
    df_num: int
    df_denom: float | None

    def __str__(self) -> str:
        """One line: the test, its statistic and its p-value."""
        if self.df_denom is None:
            law = f"chi2({self.df_num})"
        else:
            law = f"F({self.df_num}, {self.df_denom:g})"
        return f"{self.test} test: {law} = {self.statistic:.4g}, p = {self.pvalue:.4g}"


def contrasts(
    effect: Floats, null: Floats, sd: Floats, df: float | None
) -> ContrastResult:
    """Return the tests of single forms."""
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = (effect - null) / sd
    return ContrastResult(effect, sd, statistic, two_sided(statistic, df), df)


def f_result(name: str, mean: float, q: int, df: float | None) -> HypothesisResult:
    """Return the result of a quadratic form over q that is F, or chi-squared/q."""
    pvalue = quadratic_tail(mean, q, df)
    return HypothesisResult(name, mean if df is not None else q * mean, pvalue, q, df)
