"""Thresholds given by an efficiency or by a share of outliers.

The efficiency of an estimate at the normal distribution is the asymptotic variance of
least squares over that of the estimate, for normal residuals. The efficiency of Huber's
estimate with the threshold ρ, in units of the true scale, is ::

    e(ρ) = (E ψ′)² / E ψ²,    ψ(z) = clip(z, −ρ, ρ),  z standard normal,
    E ψ′ = 2Φ(ρ) − 1,         E ψ² = 2Φ(ρ) − 1 − 2ρφ(ρ) + 2ρ²Φ(−ρ)

(P. J. Huber, "Robust Estimation of a Location Parameter", The Annals of Mathematical
Statistics 35 (1964), section 6). It rises from 2/π, the efficiency of the median, at
ρ = 0, to 1 at ρ = ∞.

A joint scale is not the standard deviation. For normal residuals with a standard
deviation of one it is the σ with E min(z², ρ²σ²) = σ². The estimate with the threshold
t, in standard deviations, thus has ρ = t/σ with a joint scale, and ρ = t with a scale
that is the standard deviation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.optimize import brentq
from scipy.special import log_ndtr

from skhuber._common.validation import check_choice, check_real

__all__ = ["OutlierShare", "efficiency_of_rho", "rho_for_efficiency"]

# The strings allowed as `rho`. `skhuber._tuning.rules` has the rules.
RULES = ("auto", "adaptive")
# Efficiency of the median at the normal distribution, the limit of e(ρ) at ρ = 0.
_LEAST_EFFICIENCY = 2.0 / math.pi
# Threshold ρ from which on e(ρ) is 1 in float64: 1 − e(9) ≤ 4Φ(−9) < 1e-18.
_LARGEST_RHO = 9.0


def efficiency_of_rho(rho: float, *, scale: str = "joint") -> float:
    """Return the efficiency of Huber's estimate at the normal distribution.

    Parameters
    ----------
    rho : float
        Threshold in units of the scale of the residuals; > 0, `numpy.inf` allowed.
        Greater than 1 with ``scale="joint"``.
    scale : {"joint", "mad"}, default="joint"
        Scale that the estimate uses; the default is that of :class:`HuberRegressor`.
        For normal residuals the scale of "mad" is the standard deviation, as a known
        scale is. A joint scale is smaller.

    Returns
    -------
    efficiency : float
        Variance of least squares over that of the estimate, for normal residuals:
        between 2/π, the efficiency of the median, and 1.

    Raises
    ------
    TypeError, ValueError
        If `rho` is not a number in its range, or `scale` is not one of the choices.

    See Also
    --------
    rho_for_efficiency : The inverse function.

    Notes
    -----
    The efficiency is asymptotic, the limit for many residuals.

    Source: P. J. Huber, "Robust Estimation of a Location Parameter", The Annals of
    Mathematical Statistics 35 (1964), pp. 73-101, section 6.

    Examples
    --------
    >>> from skhuber import efficiency_of_rho
    >>> round(efficiency_of_rho(1.35), 4)
    0.8888
    >>> round(efficiency_of_rho(1.35, scale="mad"), 4)
    0.9505
    """
    joint = check_choice("scale", scale, ("mad", "joint")) == "joint"
    value = check_real("rho", rho, above=1 if joint else 0, finite=False)
    return _efficiency(threshold_of_joint(value) if joint else value)


def rho_for_efficiency(efficiency: float, *, scale: str = "joint") -> float:
    """Return the threshold with which Huber's estimate has a given efficiency.

    Parameters
    ----------
    efficiency : float
        Variance of least squares over that of the estimate, for normal residuals;
        greater than 2/π = 0.6366, the efficiency of the median, and at most 1.
    scale : {"joint", "mad"}, default="joint"
        Scale that the estimate uses; the default is that of :class:`HuberRegressor`.
        The efficiency of a given rho differs between the two.

    Returns
    -------
    rho : float
        Threshold in units of the scale of the residuals; infinite for an efficiency
        of 1.

    Raises
    ------
    TypeError, ValueError
        If `efficiency` is not a number in its range, or `scale` is not one of the
        choices.

    See Also
    --------
    efficiency_of_rho : The inverse function, with the source of the formula.

    Examples
    --------
    >>> from skhuber import HuberRegressor, rho_for_efficiency
    >>> model = HuberRegressor(rho=rho_for_efficiency(0.95))
    >>> round(model.rho, 4)
    1.596

    The textbook's 1.345 is for the standard deviation, which the MAD estimates:

    >>> round(rho_for_efficiency(0.95, scale="mad"), 4)
    1.345
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
    # An efficiency within rounding of 2/π gives 0, which is no threshold.
    threshold = max(threshold, math.ulp(1.0))
    return float(threshold / _joint_scale(threshold) if joint else threshold)


@dataclass(frozen=True)
class OutlierShare:
    """Value of `rho` that makes a given share of the samples outliers.

    Pass it as `rho` to :class:`HuberRegressor`. The threshold is the quantile 1 − share
    of the absolute residuals of the fit with that threshold.

    Parameters
    ----------
    share : float
        Share of the sample weight that lies beyond the threshold, to the weight of one
        sample; at least 0 (no outliers: least squares) and at most 0.5. If ties make
        the share impossible, there is a ConvergenceWarning.

    Raises
    ------
    TypeError, ValueError
        If `share` is not a number in its range.

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
        """Raise an error if `share` is not a number from 0 to 0.5."""
        allowed = "a number >= 0 and <= 0.5"
        value = check_real("share", self.share, least=0, allowed=allowed)
        if value > 0.5:
            raise ValueError(f"share must be {allowed}, got {self.share!r}.")


def _mean_clipped_square(threshold: float) -> float:
    """Return E min(z², t²) for standard normal z."""
    if threshold < 1e-4:  # the sum below would cancel; the series to third order in t
        cubic = 4.0 * threshold**3 / (3.0 * math.sqrt(2.0 * math.pi))
        return threshold**2 - cubic
    inside = math.erf(threshold / math.sqrt(2.0))
    outside = 2.0 * threshold**2 * math.exp(log_ndtr(-threshold))
    density = math.exp(-0.5 * threshold**2) / math.sqrt(2.0 * math.pi)
    return float(inside - 2.0 * threshold * density + outside)


def _joint_scale(threshold: float) -> float:
    """Return the joint scale of standard normal residuals at the threshold ρσ."""
    if threshold >= 2.0 * _LARGEST_RHO:
        return 1.0
    return math.sqrt(_mean_clipped_square(threshold))


def threshold_of_joint(rho: float) -> float:
    """Return the threshold t = ρσ of a joint scale σ, for standard normal residuals."""
    if rho >= _LARGEST_RHO:
        return rho
    return float(brentq(lambda t: t - rho * _joint_scale(t), 1e-16, 2.0 * _LARGEST_RHO))


def _efficiency(rho: float) -> float:
    """Return e(ρ) of the module's docstring."""
    if rho > _LARGEST_RHO:
        return 1.0
    if rho < 1e-5:  # the quotient below would lose digits; the series to first order
        return _LEAST_EFFICIENCY * (1.0 + 4.0 * rho / (3.0 * math.sqrt(2.0 * math.pi)))
    return math.erf(rho / math.sqrt(2.0)) ** 2 / _mean_clipped_square(rho)
