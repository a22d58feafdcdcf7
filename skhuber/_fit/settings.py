"""The parameters of a fit."""

from __future__ import annotations

from dataclasses import dataclass

from skhuber._objective import Penalty


@dataclass(frozen=True)
class Settings:
    """Parameters of a fit, validated; as those of HuberRegressor.

    A penalty takes the place of alpha‖w‖².
    """

    rho: float
    scale: float | str
    alpha: float
    fit_intercept: bool
    max_iter: int
    tol: float
    penalty: Penalty | None = None

    @property
    def is_smooth(self) -> bool:
        """True without absolute values and bounds of coefficients."""
        return self.penalty is None or self.penalty.is_smooth
