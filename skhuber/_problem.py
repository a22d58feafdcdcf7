"""The objective on certain rows, as the minimisers want it."""

from __future__ import annotations

import numpy as np

from skhuber._objective import HuberObjective
from skhuber._rows import Rows
from skhuber._scale import mad_scale
from skhuber._sweep import Floats, Sums


class NonFiniteSumsError(ArithmeticError):
    """Sums over the data are not finite: bad values in X, or an overflow."""


class Problem:
    """The objective on certain rows, as the minimisers want it."""

    def __init__(self, objective: HuberObjective, rows: Rows) -> None:
        self.objective = objective
        self.rows = rows
        self._last: tuple[Floats, float, Floats] | None = None
        # Of the point last evaluated: the inliers' part of the weight, and the mean c².
        self.inlier_share = 1.0
        self.mean_square = 0.0

    def value_gradient(self, theta: Floats) -> tuple[float, Floats]:
        """Infinity and zeros where a step was so long that sums overflow."""
        if self._last is None or not np.array_equal(self._last[0], theta):
            sums = self.rows.sums(self.objective.point(theta))
            self._last = (theta.copy(), *self._evaluate(theta, sums))
        return self._last[1:]

    def check_finite(self, theta: Floats) -> None:
        """Raise an error if F is not finite where it must be."""
        if not np.isfinite(self.value_gradient(theta)[0]):
            raise NonFiniteSumsError

    def diagonal(self, theta: Floats) -> tuple[Floats, Floats]:
        """Of the Hessian; and Σ s z² of all rows.

        The same sweep gives value and gradient: to ask for these next is free.
        """
        sums = self.rows.sums(self.objective.point(theta), squares=True)
        if not sums.is_finite:
            raise NonFiniteSumsError
        self._last = (theta.copy(), *self._evaluate(theta, sums))
        diagonal = self.objective.diagonal(theta, sums, self.rows.total_weight)
        return self.objective.add_penalty(diagonal), sums.all_squares

    def hessian(self, theta: Floats) -> tuple[Floats, Floats]:
        """Of the inliers; and that of parabolas that lie above every row's loss."""
        objective = self.objective
        _, _, scale = objective.split(theta)
        inside, outside = self.rows.grams(objective.point(theta), scale)
        weight = self.rows.total_weight
        outside += inside
        if not np.isfinite(outside).all():
            raise NonFiniteSumsError
        return (
            objective.add_penalty(objective.hessian(theta, inside, weight)),
            objective.add_penalty(objective.hessian(theta, outside, weight)),
        )

    def rough_hessian(self, theta: Floats, outlier_part: float) -> Floats:
        """Of the first of these, and this part of the second, to a few digits.

        The same sweep gives value and gradient: to ask for these next is free. Not
        finite where only double precision would do.
        """
        objective = self.objective
        _, _, scale = objective.split(theta)
        weight = self.rows.total_weight
        sums, gram = self.rows.sums_and_gram(
            objective.point(theta), scale, outlier_part
        )
        if not sums.is_finite:
            raise NonFiniteSumsError
        self._last = (theta.copy(), *self._evaluate(theta, sums))
        return objective.add_penalty(objective.hessian(theta, gram, weight))

    def sampling_gap(self, theta: Floats, n_rows: int) -> float:
        """How far the minimum on a sample lies above that on all rows, on average.

        At the point last evaluated, with n_rows in the sample. The gradient of a row is
        −(2/σ)·c·z and the Hessian (2/σ)·share·E zzᵀ, so half of the trace of H⁻¹ times
        the covariance of the gradient's mean is p·E c²/(n_rows·σ·share). (Huber and
        Ronchetti, Robust Statistics, 2009, section 7.6.)
        """
        _, _, scale = self.objective.split(theta)
        per_column = self.mean_square / scale / max(self.inlier_share, 1e-300)
        return per_column * self.rows.n_features / n_rows

    def median_scale(self, theta: Floats) -> float:
        """median|r| / Φ⁻¹(3/4), standardised."""
        distance = np.abs(self.rows.residuals(self.objective.point(theta)))
        return mad_scale(distance, self.rows.weight)

    def _evaluate(self, theta: Floats, sums: Sums) -> tuple[float, Floats]:
        self.inlier_share = sums.inlier / self.rows.total_weight
        self.mean_square = sums.cc / self.rows.total_weight
        value, gradient = self.objective.value_gradient(
            theta, sums, self.rows.total_weight
        )
        if np.isfinite(value) and np.isfinite(gradient).all():
            if self.rows.watch is not None:
                self.rows.watch(self.objective, theta, value)
            return value, gradient
        return np.inf, np.zeros_like(gradient)
