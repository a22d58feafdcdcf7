"""Grids of rhos and alphas: defaults, checks, and the warning about failed fits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from skhuber._common.validation import check_real
from skhuber._estimators.base import HuberModel, check_rho

if TYPE_CHECKING:
    from skhuber._fit import Fit, Settings

# Default thresholds, in units of the scale. A joint scale is zero for rho <= 1; beyond
# rho = 10 next to no residual is an outlier.
RHOS = (1.1, 1.2, 1.35, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0)
# Default weights of the penalty: the default of HuberRegressor.
ALPHAS = (0.0001,)
# rho of the first fit, whose residuals give the threshold of the default scoring.
FIRST_RHO = 1.35
# Threshold of the default scoring, in robust standard deviations of the residuals of
# the first fit: the rho at which Huber's estimate has 95 % of the efficiency of least
# squares at the normal distribution, if the scale is known (Huber 1964).
SCORING_RHO = 1.345


def checked_grid(
    model: HuberModel, rhos: list[float], alphas: list[float]
) -> list[Settings]:
    """Return the settings of each candidate, by rho first and then by alpha."""
    shared = model._checked_settings()
    checked_rhos = [
        check_rho(f"rhos[{k}]", rho, shared.scale) for k, rho in enumerate(rhos)
    ]
    checked_alphas = [
        check_real(f"alphas[{k}]", alpha, least=0) for k, alpha in enumerate(alphas)
    ]
    return [
        replace(shared, rho=rho, alpha=alpha)
        for rho in checked_rhos
        for alpha in checked_alphas
    ]


def listed(name: str, values: object) -> list[Any]:
    """Return the entries of a non-empty sequence, or raise an error."""
    allowed = "a sequence of at least one number"
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        raise TypeError(f"{name} must be {allowed}, got {values!r}.")
    if isinstance(values, np.ndarray) and values.ndim == 0:
        raise TypeError(f"{name} must be {allowed}, got {values!r}.")
    entries = list(values)
    if not entries:
        raise ValueError(f"{name} must be {allowed}, got {values!r}.")
    return entries


class Failure(NamedTuple):
    """Details of a fit that is not certified, for a warning.

    Attributes
    ----------
    settings : Settings
    message : str
        How the fit ended, in words.
    gap : float
        Estimated optimality gap, as a fraction of the objective.
    """

    settings: Settings
    message: str
    gap: float


def failures_of(grid: list[Settings], fits: Iterable[Fit]) -> list[Failure]:
    """Return the details of the fits that are not certified."""
    return [
        Failure(settings, fit.status.value, fit.gap)
        for settings, fit in zip(grid, fits, strict=True)
        if not fit.converged
    ]


def warning_about(caller: str, failures: list[Failure], n_fits: int) -> str | None:
    """Return the text of a warning about failures, or None without any."""
    if not failures:
        return None
    settings, message, gap = failures[0]
    return (
        f"{caller}: {len(failures)} of {n_fits} fits did not converge. Of the first "
        f"one (rho={settings.rho:g}, alpha={settings.alpha:g}): {message}; the "
        f"estimated optimality gap is {gap:.1e} (tol={settings.tol:g}, "
        f"max_iter={settings.max_iter})."
    )
