"""Thresholds in units that people think in.

The efficiency of an estimate at the normal distribution is the variance of least
squares over its own, for many normal residuals. Of Huber's estimate with the threshold
ρ, in units of the true scale, it is ::

    e(ρ) = (E ψ′)² / E ψ²,    ψ(z) = clip(z, −ρ, ρ),  z standard normal,
    E ψ′ = 2Φ(ρ) − 1,         E ψ² = 2Φ(ρ) − 1 − 2ρφ(ρ) + 2ρ²Φ(−ρ)

(P. J. Huber, "Robust Estimation of a Location Parameter", The Annals of Mathematical
Statistics 35 (1964), section 6). It rises from 2/π, the efficiency of the median, at
ρ = 0, to 1 at ρ = ∞.
"""

from __future__ import annotations

import math

from scipy.optimize import brentq
from scipy.special import log_ndtr
from scipy.stats import norm

from skhuber._validation import check_real

__all__ = ["efficiency_of_rho", "rho_for_efficiency"]

_LEAST_EFFICIENCY = 2.0 / math.pi
# From here on the efficiency is 1 to the last digit.
_LARGEST_RHO = 9.0


def efficiency_of_rho(rho: float) -> float:
    """Efficiency of Huber's estimate at the normal distribution.

    Parameters
    ----------
    rho : float
        Threshold in units of the scale of the residuals; > 0, `numpy.inf` allowed.

    Returns
    -------
    efficiency : float
        Variance of least squares over that of the estimate where residuals are
        normal: between 2/π, that of the median, and 1.

    Raises
    ------
    TypeError, ValueError
        If `rho` is not a number greater than zero.

    See Also
    --------
    rho_for_efficiency : The inverse.

    Notes
    -----
    It is that at a known scale, and of many residuals.

    Source: P. J. Huber, "Robust Estimation of a Location Parameter", The Annals of
    Mathematical Statistics 35 (1964), pp. 73-101, section 6.

    Examples
    --------
    >>> from skhuber import efficiency_of_rho
    >>> round(efficiency_of_rho(1.345), 4)
    0.95
    >>> round(efficiency_of_rho(1.35), 4)
    0.9505
    """
    return _efficiency(check_real("rho", rho, above=0, finite=False))


def rho_for_efficiency(efficiency: float) -> float:
    """Threshold with which Huber's estimate has a given efficiency.

    Parameters
    ----------
    efficiency : float
        Variance of least squares over that of the estimate where residuals are
        normal; greater than 2/π = 0.6366, that of the median, and at most 1.

    Returns
    -------
    rho : float
        Threshold in units of the scale of the residuals; infinite for 1.

    Raises
    ------
    TypeError, ValueError
        If `efficiency` is not a number in that range.

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
    """
    allowed = "a number > 2/pi (0.6366, the median's efficiency) and <= 1"
    value = check_real(
        "efficiency", efficiency, above=_LEAST_EFFICIENCY, allowed=allowed
    )
    if value > 1:
        raise ValueError(f"efficiency must be {allowed}, got {efficiency!r}.")
    if value >= _efficiency(_LARGEST_RHO):
        return math.inf
    return float(brentq(lambda rho: _efficiency(rho) - value, 1e-12, _LARGEST_RHO))


def _efficiency(rho: float) -> float:
    if math.isinf(rho):
        return 1.0
    if rho < 1e-5:  # where the sum below cancels; to first order in rho
        return _LEAST_EFFICIENCY * (1.0 + 4.0 * rho / (3.0 * math.sqrt(2.0 * math.pi)))
    inside = math.erf(rho / math.sqrt(2.0))
    outside = 2.0 * rho**2 * math.exp(log_ndtr(-rho))
    return float(inside**2 / (inside - 2.0 * rho * norm.pdf(rho) + outside))
