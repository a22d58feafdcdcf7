"""A quadratic model whose Hessian is known by its products with vectors.

For problems of so many variables that a q × q matrix, or its factorisation, costs more
than many sweeps over the (sparse) data. The model's minimum is found by conjugate
gradients, preconditioned with the diagonal (Nocedal and Wright, Numerical Optimization,
2006, sections 5.1 and 7.1).

**The gap is certified.** After k steps the residual r bounds what the model can still
fall: by ½ rᵀH⁻¹r ≤ ½ Σ r_j²/D_j with the penalty's curvature D_j, since H ≥ D. So weak
directions, which only the penalty curves, cannot hide. A variable without penalty (the
intercept, the scale) is taken to have at least `LEAST_SHARE` of its own curvature left
when all others are free.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from skhuber._solver.solution import Floats, Step, clipped_fall

# The first steps of Newton's method need two digits of the model's minimum: the squared
# norm of the residual falls by this factor.
_LOOSE = 1e-4
# A gap that exceeds the tolerance by this factor shows that there is no convergence.
_CLEARLY = 10.0
# The least curvature of an unpenalised variable with all others free, as a share of its
# diagonal element.
LEAST_SHARE = 1e-4
# The most changes of the set of variables that their bounds hold.
_MAX_CHANGES = 10
# The most products for one minimum.
_MAX_PRODUCTS = 500


@dataclass(frozen=True)
class MatrixFreeModel:
    """A quadratic model known by its products.

    Attributes
    ----------
    product : callable
        (v, damping) → H·v, without the penalty.
    inside, outside, penalty : ndarray of shape (q,)
        Diagonals of A, B and D, as in `skhuber._solver.quadratic`.
    damping : float
    """

    product: Callable[[Floats, float], Floats]
    inside: Floats
    outside: Floats
    penalty: Floats
    damping: float = 0.0

    @property
    def is_singular(self) -> bool:
        """True: H may be singular to rounding, which is not known."""
        return True

    def damped(self, damping: float) -> MatrixFreeModel:
        """Return the model with this damping."""
        return replace(self, damping=damping) if damping != self.damping else self

    def minimise(self, gradient: Floats, lowest: Floats, tolerance: float) -> Step:
        """Return the step to the minimum among steps ≥ `lowest`, and the fall."""
        fixed = (lowest >= 0) & (gradient >= 0)
        x = np.zeros_like(gradient)
        for _ in range(_MAX_CHANGES):
            x, residual = self._solve(gradient, x, fixed, tolerance)
            below = ~fixed & (x < lowest)
            x[below] = lowest[below]
            # A variable is let go if the minimum with it held pulls it off its bound.
            released = fixed & (residual > 0)
            if below.any():
                residual = -gradient - self._times(x)
            elif not released.any():
                break
            fixed = (fixed | below) & ~released
        # The residual is −(g + Hx), so Hx = −g − residual.
        fall = clipped_fall(gradient, x, -gradient - residual)
        return Step(
            x, fall + self._left(np.where(fixed & (residual <= 0), 0.0, residual))
        )

    def _times(self, v: Floats) -> Floats:
        return self.product(v, self.damping) + self.penalty * v

    def _diagonal(self) -> Floats:
        diagonal = (1.0 + self.damping) * self.inside
        diagonal += self.damping * self.outside + self.penalty
        return np.where(diagonal > 0, diagonal, 1.0)

    def _left(self, residual: Floats) -> float:
        """Return a bound of ½ rᵀH⁻¹r."""
        least = np.where(self.penalty > 0, self.penalty, LEAST_SHARE * self._diagonal())
        return 0.5 * float(np.sum(residual**2 / least))

    def _solve(
        self, gradient: Floats, x: Floats, fixed: np.ndarray, tolerance: float
    ) -> tuple[Floats, Floats]:
        """Return the minimum with some variables fixed, and −(g + Hx)."""
        diagonal = self._diagonal()
        residual = -gradient - (self._times(x) if x.any() else 0.0)
        direction = np.zeros_like(x)
        last = first = 0.0
        for k in range(_MAX_PRODUCTS):
            free = np.where(fixed, 0.0, residual)
            norm = float(free @ (free / diagonal))
            if k == 0:
                first = norm
            if norm <= _LOOSE * first:
                fall = clipped_fall(gradient, x, -gradient - residual)
                is_far = fall > _CLEARLY * tolerance
                if norm == 0 or is_far or self._left(free) <= 0.5 * tolerance:
                    break
            direction = free / diagonal + (norm / last if k else 0.0) * direction
            ahead = self._times(direction)
            length = norm / float(direction @ ahead)
            x = x + length * direction
            residual = residual - length * ahead
            last = norm
        return x, residual
