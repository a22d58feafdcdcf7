"""Thresholds in units that people think in: efficiencies and shares of outliers.

The efficiency of an estimate at the normal distribution is the variance of least
squares over its own, for many normal residuals. Of Huber's estimate with the threshold
ρ, in units of the true scale, it is ::

    e(ρ) = (E ψ′)² / E ψ²,    ψ(z) = clip(z, −ρ, ρ),  z standard normal,
    E ψ′ = 2Φ(ρ) − 1,         E ψ² = 2Φ(ρ) − 1 − 2ρφ(ρ) + 2ρ²Φ(−ρ)

(P. J. Huber, "Robust Estimation of a Location Parameter", The Annals of Mathematical
Statistics 35 (1964), section 6). It rises from 2/π, the efficiency of the median, at
ρ = 0, to 1 at ρ = ∞.

A joint scale is not the standard deviation: of normal residuals with a standard
deviation of one it is the σ with E min(z², ρ²σ²) = σ². So the same estimate has another
rho there, ρ = t/σ with t the threshold in standard deviations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.optimize import brentq
from scipy.special import log_ndtr

from skhuber._validation import check_choice, check_real

__all__ = ["OutlierShare", "efficiency_of_rho", "rho_for_efficiency"]

# What `rho` may be, beside a number and an OutlierShare: see `skhuber._rho`.
RULES = ("auto", "adaptive")
_LEAST_EFFICIENCY = 2.0 / math.pi
# From here on the efficiency is 1 to the last digit.
_LARGEST_RHO = 9.0


def efficiency_of_rho(rho: float, *, scale: str = "mad") -> float:
    """Efficiency of Huber's estimate at the normal distribution.

    Parameters
    ----------
    rho : float
        Threshold in units of the scale of the residuals; > 0, `numpy.inf` allowed.
        With ``scale="joint"`` greater than 1.
    scale : {"mad", "joint"}, default="mad"
        The scale that the estimate uses. The one of "mad" is the standard deviation,
        where residuals are normal; so would a known scale be. A joint scale is larger.

    Returns
    -------
    efficiency : float
        Variance of least squares over that of the estimate where residuals are
        normal: between 2/π, that of the median, and 1.

    Raises
    ------
    TypeError, ValueError
        If `rho` is not a number in that range, or `scale` none of the choices.

    See Also
    --------
    rho_for_efficiency : The inverse.

    Notes
    -----
    It is that of many residuals.

    Source: P. J. Huber, "Robust Estimation of a Location Parameter", The Annals of
    Mathematical Statistics 35 (1964), pp. 73-101, section 6.

    Examples
    --------
    >>> from skhuber import efficiency_of_rho
    >>> round(efficiency_of_rho(1.345), 4)
    0.95
    >>> round(efficiency_of_rho(1.35), 4)
    0.9505
    >>> round(efficiency_of_rho(1.35, scale="joint"), 4)
    0.8888
    """
    joint = check_choice("scale", scale, ("mad", "joint")) == "joint"
    value = check_real("rho", rho, above=1 if joint else 0, finite=False)
    return _efficiency(threshold_of_joint(value) if joint else value)


def rho_for_efficiency(efficiency: float, *, scale: str = "mad") -> float:
    """Threshold with which Huber's estimate has a given efficiency.

    Parameters
    ----------
    efficiency : float
        Variance of least squares over that of the estimate where residuals are
        normal; greater than 2/π = 0.6366, that of the median, and at most 1.
    scale : {"mad", "joint"}, default="mad"
        The scale that the estimate uses.

    Returns
    -------
    rho : float
        Threshold in units of the scale of the residuals; infinite for 1.

    Raises
    ------
    TypeError, ValueError
        If `efficiency` is not a number in that range, or `scale` none of the choices.

    See Also
    --------
    efficiency_of_rho : The inverse.

    Examples
    --------
    >>> from skhuber import HuberRegressor, rho_for_efficiency
    >>> round(rho_for_efficiency(0.95), 4)
    1.345
    >>> model = HuberRegressor(rho=rho_for_efficiency(0.99), scale="mad")
    >>> round(model.rho, 3)
    2.01
    >>> round(rho_for_efficiency(0.95, scale="joint"), 4)
    1.596
    """
    joint = check_choice("scale", scale, ("mad", "joint")) == "joint"
    allowed = "a number > 2/pi (0.6366, the median's efficiency) and <= 1"
    value = check_real(
        "efficiency", efficiency, above=_LEAST_EFFICIENCY, allowed=allowed
    )
    if value > 1:
        raise ValueError(f"efficiency must be {allowed}, got {efficiency!r}.")
    if value >= _efficiency(_LARGEST_RHO):
        return math.inf
    threshold = brentq(lambda rho: _efficiency(rho) - value, 0.0, _LARGEST_RHO)
    threshold = max(threshold, math.ulp(1.0))  # of an efficiency a rounding error off
    return float(threshold / _joint_scale(threshold) if joint else threshold)


@dataclass(frozen=True)
class OutlierShare:
    """A `rho` that makes a given share of the samples outliers.

    For the parameter `rho` of :class:`HuberRegressor`: the threshold is the
    corresponding quantile of the absolute residuals of the fit that it gives.

    Parameters
    ----------
    share : float
        Share of the weight that lies beyond the threshold, to the weight of one sample;
        at least 0 (no outliers: least squares) and at most 0.5. Where ties make it
        impossible, there is a ConvergenceWarning.

    Raises
    ------
    TypeError, ValueError
        If `share` is not a number in that range.

    Examples
    --------
    >>> import numpy as np
    >>> from skhuber import HuberRegressor, OutlierShare
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2))
    >>> y = X @ [1.0, 2.0] + rng.standard_t(2, size=200)
    >>> model = HuberRegressor(rho=OutlierShare(0.1)).fit(X, y)
    >>> int(model.outliers_.sum())
    20
    """

    share: float

    def __post_init__(self) -> None:
        """Refuse what is not a share."""
        allowed = "a number >= 0 and <= 0.5"
        value = check_real("share", self.share, least=0, allowed=allowed)
        if value > 0.5:
            raise ValueError(f"share must be {allowed}, got {self.share!r}.")


def _mean_clipped_square(threshold: float) -> float:
    """E min(z², t²) of standard normal z."""
    if threshold < 1e-4:  # where the sum below cancels; to third order in t
        cubic = 4.0 * threshold**3 / (3.0 * math.sqrt(2.0 * math.pi))
        return threshold**2 - cubic
    inside = math.erf(threshold / math.sqrt(2.0))
    outside = 2.0 * threshold**2 * math.exp(log_ndtr(-threshold))
    density = math.exp(-0.5 * threshold**2) / math.sqrt(2.0 * math.pi)
    return float(inside - 2.0 * threshold * density + outside)


def _joint_scale(threshold: float) -> float:
    """The joint scale of standard normal residuals, at an absolute threshold."""
    return 1.0 if math.isinf(threshold) else math.sqrt(_mean_clipped_square(threshold))


def threshold_of_joint(rho: float) -> float:
    """The absolute threshold of a joint scale's rho, where residuals are normal."""
    if rho >= _LARGEST_RHO:
        return rho
    return float(brentq(lambda t: t - rho * _joint_scale(t), 1e-16, 2.0 * _LARGEST_RHO))


def _efficiency(rho: float) -> float:
    if math.isinf(rho):
        return 1.0
    if rho < 1e-5:  # where the sum below cancels; to first order in rho
        return _LEAST_EFFICIENCY * (1.0 + 4.0 * rho / (3.0 * math.sqrt(2.0 * math.pi)))
    return math.erf(rho / math.sqrt(2.0)) ** 2 / _mean_clipped_square(rho)
