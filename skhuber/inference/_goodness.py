"""Robust R².

O. Renaud and M.-P. Victoria-Feser, "A robust coefficient of determination for
regression", Journal of Statistical Planning and Inference 140 (2010).
"""

from __future__ import annotations

import math

from scipy.special import erf, expi

from skhuber.inference._checks import ModelFacts


def robust_rsquared(
    scalars: dict[str, float], fitted: ModelFacts, normal_scale: float
) -> float:
    """Robust R², with the constant of normal noise at this threshold."""
    if not scalars:
        return math.nan
    mean = scalars["wy"] / scalars["w"] if fitted.fit_intercept else 0.0
    total = scalars["wyy"] - mean * scalars["wy"]
    error = scalars["wrr"]
    threshold = fitted.rho * fitted.scale / normal_scale if normal_scale > 0 else 0.0
    constant = _consistency(threshold)
    return (total - error) / (total + error * (constant - 1.0))


def _consistency(threshold: float) -> float:
    """E w/E zψ of standard normal z, w = ψ/z and ψ clipped at the threshold."""
    t = threshold
    if not math.isfinite(t):
        return 1.0
    inside = float(erf(t / math.sqrt(2.0)))
    # E w = P(|z| ≤ t) + 2t ∫_t^∞ φ(z)/z dz, and the integral is E₁(t²/2)/(2√(2π)).
    weight = inside - t * float(expi(-0.5 * t * t)) / math.sqrt(2.0 * math.pi)
    return weight / inside if inside > 0 else math.nan
