"""A quadratic model whose Hessian is diagonal but for one variable, an intercept.

For many columns that are nearly uncorrelated once they are centred, as sparse columns
of independent entries are. With μ the columns' means, b' = b + μ·w is the intercept of
centred columns, and the Hessian in (w, b') is close to a diagonal matrix:

    H ≈ TᵀDT,    T(w, b, σ) = (w, b + μ·w, σ).

No matrix is stored or factorised.

**Two gaps.** ½ gᵀ(TᵀDT)⁻¹g estimates the gap as well as the diagonal stands for H. How
well it does is not known, so it does not certify a minimum. The penalty's curvature P
does: with H ≥ P, no convex function falls farther than ½ Σ g_j²/P_j. For variables
without penalty (intercept and scale), the share `LEAST_SHARE` of their own curvature
takes its place, as in `skhuber._solver.matrix_free`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skhuber._solver.matrix_free import LEAST_SHARE
from skhuber._solver.solution import Floats, Step


@dataclass(frozen=True)
class DiagonalModel:
    """A diagonal Hessian of centred columns; it whitens by itself.

    Attributes
    ----------
    diagonal : ndarray of shape (q,)
        D, all positive.
    penalty : ndarray of shape (q,)
        P, zero for intercept and scale.
    mean : ndarray of shape (p,)
        μ.
    intercept : int or None
        Which variable is the intercept; None if there is none.
    is_certain : bool
        Whether the gap is the penalty's bound; else it is the diagonal's estimate.
    """

    diagonal: Floats
    penalty: Floats
    mean: Floats
    intercept: int | None
    is_certain: bool = False

    @property
    def damping(self) -> float:
        """0: what damps the model is part of the diagonal."""
        return 0.0

    @property
    def is_singular(self) -> bool:
        """False: all of D is positive."""
        return False

    def damped(self, damping: float) -> DiagonalModel:
        """Return the model, as it is."""
        return self

    @property
    def whitening(self) -> DiagonalModel:
        """Coordinates v = D^½·T·x in which H is the identity."""
        return self

    def to_x(self, v: Floats) -> Floats:
        """Return T⁻¹D^−½·v."""
        x = v / np.sqrt(self.diagonal)
        if self.intercept is not None:
            x[self.intercept] -= self.mean @ x[: len(self.mean)]
        return x

    def of_x(self, x: Floats) -> Floats:
        """Return D^½·T·x."""
        v = x.copy()
        if self.intercept is not None:
            v[self.intercept] += self.mean @ x[: len(self.mean)]
        return v * np.sqrt(self.diagonal)

    def of_gradient(self, gradient: Floats) -> Floats:
        """Return D^−½T⁻ᵀ·g, the gradient with respect to v."""
        return self._centred(gradient) / np.sqrt(self.diagonal)

    def of_last(self, x_last: float) -> float:
        """Return the last coordinate of v, which depends on the last of x alone.

        (An intercept, which depends on others, has no bound to be looked at.)
        """
        return float(x_last * np.sqrt(self.diagonal[-1]))

    def gap(self, gradient: Floats, held: NDArray[np.bool_]) -> float:
        """Return how far the function falls if some variables are held."""
        least = self.diagonal
        if self.is_certain:
            least = np.where(self.penalty > 0, self.penalty, LEAST_SHARE * least)
        slope = np.where(held, 0.0, self._centred(gradient))
        return 0.5 * float(np.sum(slope**2 / least))

    def minimise(self, gradient: Floats, lowest: Floats, tolerance: float) -> Step:
        """Return the step to the model's minimum among steps ≥ `lowest`, and the gap.

        Only the last variable may have a bound, and only if it is no intercept.
        """
        step = np.maximum(self.to_x(-self.of_gradient(gradient)), lowest)
        return Step(step, self.gap(gradient, (lowest >= 0) & (gradient >= 0)))

    def _centred(self, gradient: Floats) -> Floats:
        """Return T⁻ᵀ·g."""
        if self.intercept is None:
            return gradient
        centred = gradient.copy()
        centred[: len(self.mean)] -= self.mean * gradient[self.intercept]
        return centred
