"""The parameters of a fit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Parameters of a fit, validated; as those of HuberRegressor."""

    rho: float
    scale: float | str
    alpha: float
    fit_intercept: bool
    max_iter: int
    tol: float
