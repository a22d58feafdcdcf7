"""The duality gap of a fit: an upper bound of its distance from the minimum.

With φ_j(w) = l1_j |w| + l2_j w² within the bounds, and H the loss of
`skhuber._objective.huber`, σ H(r/σ) is the maximum of v r − σ v²/4 over |v| ≤ 2ρ,
reached at v = 2c/σ. Minimised over the model, the sum over rows becomes the dual

    joint   max Σ s v y + σ₀ (W − Σ s v²/4) − Σ φ_j*(q_j),   Σ s v² ≤ 4W
    fixed   max Σ s v y − σ Σ s v²/4 − Σ φ_j*(q_j)

over |v| ≤ 2ρ, with Σ s v = 0 if there is an intercept, q = Σ s v x, φ* the conjugate of
φ and σ₀ the floor of a joint scale. (Conjugates: Boyd and Vandenberghe, Convex
Optimization, 2004, section 3.3. Gaps of the lasso with a scale: Ndiaye, Fercoq,
Gramfort, Leclère and Salmon, Efficient smoothed concomitant lasso estimation, 2017.)

Any feasible v bounds the minimum from below. That of a model, v = 2c/σ, is made
feasible by centring it and by a factor τ: v' = τ(v − v̄). The gap is then, per unit of
weight and with means over the rows,

    [2(1 − τ) m(cr) − (1 − τ²) m(cc)]/σ + τ v̄ r̄ − σ τ² v̄²/4        loss
    + (σ − σ₀)(1 − τ² m((v − v̄)²)/4)                                joint scale
    + Σ_j [φ_j(w_j) + φ_j*(τ q_j) − τ q_j w_j]                       penalty

of parts that are all at least zero, so that no digit is lost to cancellation; and they
are made of the sums of one sweep. The gap is convex in τ.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from skhuber._fit.columns import ColumnStatistics
from skhuber._fit.problem import Evaluation
from skhuber._objective import HuberObjective
from skhuber._sums import Floats

# Part of the gap that a better τ may take off, and the most steps towards it: Newton's
# method visits a few of the parabolas that the gap is made of.
_ENOUGH, _MAX_STEPS = 1e-2, 30
# Rounding error of a q that is at l1.
_ROUNDING = 4 * float(np.finfo(np.float64).eps)


def dual_gap(found: Evaluation, statistics: ColumnStatistics) -> float:
    """Return the gap at an evaluation, in the units of its value.

    A coefficient with neither penalty nor bounds makes the dual infinite as soon as its
    derivative is not zero to the last bit; the gap is then as large as the value.
    """
    return _Dual.of(found, statistics).gap()


@dataclass(frozen=True)
class _Dual:
    """The numbers of the module's docstring, in standardised variables."""

    objective: HuberObjective
    u: Floats
    scale: float
    cr: float
    cc: float
    q: Floats
    v_mean: float
    r_mean: float

    @classmethod
    def of(cls, found: Evaluation, statistics: ColumnStatistics) -> _Dual:
        objective, sums = found.objective, found.sums
        if objective.joint:  # (A raised floor would be another problem.)
            objective = objective.with_floor(0.0)
        u, intercept, scale = objective.split(found.theta)
        q = 2.0 / (scale * sums.weight) * sums.gradient
        v_mean = r_mean = 0.0
        if objective.frame.fit_intercept:
            z_mean, y_mean = statistics.standardised_means(objective.frame)
            v_mean = 2.0 / (scale * sums.weight) * sums.c
            r_mean = y_mean - intercept - float(z_mean @ u)
            q = q - v_mean * z_mean
        cr, cc = sums.cr / sums.weight, sums.cc / sums.weight
        return cls(objective, u, scale, cr, cc, q, v_mean, r_mean)

    @property
    def v_variance(self) -> float:
        """The mean of (v − v̄)²."""
        return max(4.0 * self.cc / self.scale**2 - self.v_mean**2, 0.0)

    def gap(self) -> float:
        """Return the least gap of all τ, by Newton's method within an interval."""
        low, high = 0.0, self._largest_factor()
        factor, least = high, np.inf
        for _ in range(_MAX_STEPS):
            gap, slope, curvature = self._at(factor)
            least = min(least, gap)
            low, high = (low, factor) if slope > 0 else (factor, high)
            # (A convex function lies above its tangents.)
            if abs(slope) * (high - low) <= _ENOUGH * least:
                break
            following = factor - slope / curvature if curvature > 0 else low
            if not low < following < high:
                following = (low + high) / 2
            if following == factor:
                break
            factor = following
        return least

    def _largest_factor(self) -> float:
        """Return the largest τ ≤ 1 for which the dual point is feasible."""
        objective, largest = self.objective, 1.0
        if np.isfinite(objective.rho):
            most = 2.0 * objective.rho
            largest = most / (most + abs(self.v_mean))
        if objective.joint and self.v_variance > 4.0:
            largest = min(largest, 2.0 / np.sqrt(self.v_variance))
        # The conjugate is finite beyond l1 with a quadratic part or a bound alone.
        p = objective.n_features
        size = np.abs(self.q)
        bound = np.where(self.q > 0, objective.upper[:p], -objective.lower[:p])
        is_held = (objective.l2 == 0) & np.isinf(bound) & (size > objective.l1)
        if is_held.any():
            largest = min(largest, float((objective.l1[is_held] / size[is_held]).min()))
        return largest

    def _at(self, factor: float) -> tuple[float, float, float]:
        """Return the gap with this τ, and its first two derivatives."""
        sigma, joint = self.scale, self.objective.joint
        drift = sigma * self.v_mean**2 / 2
        gap = (1 - factor) * (2 * self.cr - (1 + factor) * self.cc) / sigma
        gap += factor * self.v_mean * self.r_mean
        gap -= factor**2 * drift / 2
        slope = 2 * (factor * self.cc - self.cr) / sigma
        slope += self.v_mean * self.r_mean - factor * drift
        curvature = 2 * self.cc / sigma - drift
        if joint:
            above = sigma - self.objective.scale_floor
            gap += above * max(1 - factor**2 * self.v_variance / 4, 0.0)
            slope -= above * factor * self.v_variance / 2
            curvature -= above * self.v_variance / 2
        more = self._of_penalty(factor)
        return gap + more[0], slope + more[1], curvature + more[2]

    @functools.cached_property
    def _columns(self) -> tuple[Floats, ...]:
        """u, q, l1, l2 and bounds of columns whose part of the gap may not be zero.

        φ_j* is zero where |q_j| ≤ l1_j and zero lies within the bounds.
        """
        objective, p = self.objective, self.objective.n_features
        l1, lower, upper = objective.l1, objective.lower[:p], objective.upper[:p]
        counts = (self.u != 0) | (np.abs(self.q) > l1) | (lower > 0) | (upper < 0)
        arrays = self.u, self.q, l1, objective.l2, lower, upper
        return tuple(array[counts] for array in arrays)

    def _of_penalty(self, factor: float) -> tuple[float, float, float]:
        """Return Σ_j φ_j(u_j) + φ_j*(τ q_j) − τ q_j u_j, and its derivatives.

        The derivative of φ_j*(τ q_j) with respect to τ is q_j times its maximiser.
        """
        u, slope, l1, l2, lower, upper = self._columns
        q = factor * slope
        beyond = np.abs(q) - l1
        with np.errstate(divide="ignore", invalid="ignore"):
            free = np.where(beyond > 0, np.sign(q) * beyond / (2 * l2), 0.0)
        free = np.where((l2 == 0) & (beyond <= _ROUNDING * l1), 0.0, free)
        best = np.clip(free, lower, upper)
        # φ(u) − φ(best) − q(u − best): a product if u and the maximiser have one sign.
        one_sign = (np.sign(best) == np.sign(u)) & (u != 0)
        product = (u - best) * (l2 * (u + best) - q + l1 * np.sign(u))
        apart = l1 * (np.abs(u) - np.abs(best)) + l2 * (u**2 - best**2)
        apart -= q * (u - best)
        gap = float(np.sum(np.maximum(np.where(one_sign, product, apart), 0.0)))
        moves = (l2 > 0) & (beyond > 0) & (best == free)
        curvature = float(np.sum(slope[moves] ** 2 / (2 * l2[moves])))
        return gap, float(slope @ (best - u)), curvature
