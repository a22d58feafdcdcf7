"""Quadratic models of a function, and their minima within bounds.

A model has the Hessian ::

    H = (1 + d)·A + d·B + r·diag(A + B) + D,

with A of the data that curve the function (the inliers of a robust fit), B the
curvature of parabolas that lie above the rest of it (the outliers), D the known
diagonal of a penalty, and d the damping: H with d = 0 is the Hessian, and A + B + D
lies above the function wherever it is (Levenberg and Marquardt's damping with a matrix
that fits the problem). A multiple r of the diagonal makes H definite where A + B is
not, as with more columns than rows.

**Singular models.** A is known up to the rounding of its sums. A direction along which
A is smaller than that has no part of its own in H: the curvature is that of d·B + D,
which is far below the rounding errors of A and would be lost in the sum. `Factor`
therefore finds these directions by a Cholesky factorisation with pivoting (Higham,
Accuracy and Stability of Numerical Algorithms, 2002, section 10.3) and measures d·B + D
along them. A direction that nothing curves is flat: no step is made along it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

# (`scipy.linalg.solve_triangular` takes longer than the algebra of fifty variables.)
from scipy.linalg.lapack import dpstrf, dtrtrs

from skhuber._solver.solution import EPS, Floats, Step

# Least squared pivot of H with a unit diagonal for a factorisation without pivoting:
# at 1e-10 the solution still has six digits.
LEAST_PIVOT = 1e-10
# Rounding error of an entry of H with a unit diagonal, in units of q·ε: a smaller pivot
# is none. (Sums of ten million products are off by up to 1e-14 with blocked sums.)
_PIVOT_ROUNDING = 32
# Rounding error of a curvature WᵀHW, in the same unit.
_ROUNDING = 16
# The most changes of the set of held variables, for each variable; there are fewer than
# one usually.
_MAX_CHANGES = 3
# A whitening needs a definite matrix. These multiples of the unit diagonal are added
# until it is one; 1e-6 makes any Gram matrix of ten million rows definite.
_RIDGES = (0.0, 1e-14, 1e-12, 1e-10, 1e-8, 1e-6)


@dataclass(frozen=True)
class Model:
    """The quadratic model of the module's docstring.

    Attributes
    ----------
    inside : ndarray of shape (q, q)
        A.
    outside : ndarray of shape (q, q) or (q,), or None
        B, or the diagonal of a B that has nothing else; None for zero.
    penalty : ndarray of shape (q,)
        The diagonal of D.
    damping : float
        d.
    noise : float
        Rounding error of the gradient, in variables of unit curvature: a smaller slope
        along a direction that A lacks is none.
    ridge : float
        r.
    """

    inside: Floats
    outside: Floats | None
    penalty: Floats
    damping: float = 0.0
    noise: float = 0.0
    ridge: float = 0.0

    def damped(self, damping: float, ridge: float = 0.0) -> Model:
        """Return the model with this damping and this multiple of the diagonal.

        The last one is kept, with what it has factorised.
        """
        if (damping, ridge) == (self.damping, self.ridge):
            return self
        for other in self._last_damped:
            if (damping, ridge) == (other.damping, other.ridge):
                return other
        other = replace(self, damping=damping, ridge=ridge)
        self._last_damped[:] = [other]
        return other

    @functools.cached_property
    def _last_damped(self) -> list[Model]:
        """The model with the last damping that was asked for."""
        return []

    def scaled(self, factor: float) -> Model:
        """Return the model with the data's curvature multiplied by a factor."""
        outside = None if self.outside is None else factor * self.outside
        return replace(self, inside=factor * self.inside, outside=outside)

    @property
    def _soft(self) -> Soft:
        diagonal, outside = self.penalty, self.outside
        if self.ridge:
            diagonal = diagonal + self.ridge * np.diagonal(self.inside)
        if outside is None:
            return Soft(diagonal)
        if outside.ndim == 1:
            return Soft(diagonal + (self.damping + self.ridge) * outside)
        if self.ridge:
            diagonal = diagonal + self.ridge * np.diagonal(outside)
        return Soft(diagonal, outside if self.damping else None, self.damping)

    @functools.cached_property
    def terms(self) -> tuple[Floats, float, Floats]:
        """A matrix M, a factor c and a vector v with H = c·M + diag(v).

        M is A itself, not a copy, unless B is a matrix that counts.
        """
        soft, growth = self._soft, 1.0 + self.damping
        if soft.outside is None:
            return self.inside, growth, soft.diagonal
        return growth * self.inside + soft.damping * soft.outside, 1.0, soft.diagonal

    @functools.cached_property
    def hessian(self) -> Floats:
        """H."""
        return _sum(*self.terms)

    @functools.cached_property
    def factor(self) -> Factor:
        """H, factorised."""
        return Factor(self.hessian, self._soft, self.noise)

    def factor_of_some(self, index: NDArray[np.intp]) -> Factor:
        """Return H with some variables alone, factorised; the last one is kept."""
        if len(index) == len(self.penalty):
            return self.factor
        if self._last_factor:
            last, factor = self._last_factor[0]
            if np.array_equal(last, index):
                return factor
        matrix, multiple, diagonal = self.terms
        some = matrix.take(index, axis=0).take(index, axis=1)
        hessian = _sum(some, multiple, diagonal[index])
        factor = Factor(hessian, self._soft.of_some(index), self.noise)
        self._last_factor[:] = [(index, factor)]
        return factor

    @functools.cached_property
    def _last_factor(self) -> list[tuple[NDArray[np.intp], Factor]]:
        """The last variables that `factor_of_some` was asked for, and its answer."""
        return []

    def _factor_of(self, free: np.ndarray) -> Factor:
        return self.factor_of_some(np.flatnonzero(free))

    @property
    def whitening(self) -> Whitening:
        """Coordinates in which H is the identity, to rounding."""
        return self.factor.whitening

    @property
    def is_singular(self) -> bool:
        """True if H is singular to rounding."""
        return self.factor.least_pivot <= LEAST_PIVOT

    def gap(self, gradient: Floats, held: np.ndarray) -> float:
        """Return how far the model falls to its minimum if some variables are held."""
        return self._factor_of(~held).gap(gradient[~held])

    def minimise(
        self, gradient: Floats, lowest: Floats, tolerance: float = 0.0
    ) -> Step:
        """Return the step to the minimum among steps ≥ `lowest` ≤ 0, and the fall.

        The minimum is exact, whatever the tolerance: an active-set method (Nocedal and
        Wright, Numerical Optimization, 2006, algorithm 16.3).
        """
        step = np.maximum(lowest, 0.0)  # a point below its bounds is put there
        fixed = (lowest > 0) | ((lowest == 0) & (gradient >= 0))
        for _ in range(_MAX_CHANGES * len(step)):
            free = ~fixed
            right = self._slope_with(gradient, step, fixed)
            target = step.copy()
            if free.any():
                target[free] = -self._factor_of(free).solve(right)
            # Of the way there as much as the bounds allow; they then hold a variable.
            below = target < lowest
            if below.any():
                parts = (lowest - step)[below] / (target - step)[below]
                step = step + parts.min() * (target - step)
                blocking = np.flatnonzero(below)[parts == parts.min()]
                step[blocking] = lowest[blocking]
                fixed[blocking] = True
                continue
            step = target
            if not fixed.any():
                break
            # A variable is let go if the minimum with it held pulls it off its bound.
            ahead = self.hessian @ step
            pull = np.where(fixed, -(gradient + ahead), 0.0)
            noise = _ROUNDING * EPS * len(step) * (np.abs(gradient) + np.abs(ahead))
            released = int(np.argmax(pull - noise))
            if not pull[released] > noise[released]:
                break
            fixed[released] = False
        # The fall along variables at their bounds, and that of the others from there.
        # (Computed from the whole step it would be lost to rounding: parts along weak
        # directions are long.)
        moved = np.where(fixed, step, 0.0)
        fall = self._factor_of(~fixed).gap(self._slope_with(gradient, step, fixed))
        fall -= float(moved @ (gradient + 0.5 * (self.hessian @ moved)))
        return Step(step, max(fall, 0.0))

    def _slope_with(self, gradient: Floats, step: Floats, fixed: np.ndarray) -> Floats:
        """Return the free variables' gradient after the fixed ones' part of a step."""
        right = gradient[~fixed]
        if step[fixed].any():
            right = right + self.hessian[np.ix_(~fixed, fixed)] @ step[fixed]
        return right

    def learnt(self, step: Floats, change: Floats) -> Model:
        """Return the model after a BFGS update: H·step becomes the gradient's change.

        An update that would not keep H positive definite is left out. (Nocedal and
        Wright, Numerical Optimization, 2006, section 6.1.)
        """
        curvature = float(step @ change)
        ahead = self.hessian @ step
        expected = float(step @ ahead)
        if not curvature > 1e-8 * expected > 0:
            return self
        update = np.outer(change, change / curvature)
        update -= np.outer(ahead, ahead / expected)
        return replace(self, inside=self.inside + update / (1.0 + self.damping))

    def stiffened(self, factor: float) -> Model:
        """Return the model with all its curvature multiplied by a factor."""
        return replace(self.scaled(factor), penalty=factor * self.penalty)


@dataclass(frozen=True)
class Soft:
    """The part d·B + r·diag(A + B) + D of H, which is known exactly.

    Attributes
    ----------
    diagonal : ndarray of shape (q,)
        What is added to the diagonal.
    outside : ndarray of shape (q, q) or None
        B; None if d·B is zero or is part of the diagonal.
    damping : float
        d.
    """

    diagonal: Floats
    outside: Floats | None = None
    damping: float = 0.0

    def of_some(self, index: NDArray[np.intp]) -> Soft:
        """Return the part of some variables."""
        outside = self.outside
        if outside is not None:
            outside = outside[np.ix_(index, index)]
        return replace(self, diagonal=self.diagonal[index], outside=outside)

    def matrix(self) -> Floats:
        """Return the part as a matrix."""
        matrix = np.diag(self.diagonal)
        if self.outside is not None:
            matrix += self.damping * self.outside
        return matrix


class Factor:
    """A factorised positive semidefinite matrix H.

    Parameters
    ----------
    hessian : ndarray of shape (q, q)
        H.
    soft : Soft
        The part of H that may be lost beside the rest.
    noise : float
        As for `Model`.

    Attributes
    ----------
    least_pivot : float
        Least squared pivot of the Cholesky factorisation of H with a unit diagonal:
        the part of a variable's curvature that other variables do not explain. 0 if H
        is singular to rounding.
    """

    def __init__(self, hessian: Floats, soft: Soft, noise: float = 0.0) -> None:
        diagonal = np.diagonal(hessian)
        # A variable that nothing curves is left as it is.
        self._root = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
        unit = np.outer(self._root, self._root)
        np.divide(hessian, unit, out=unit)
        np.fill_diagonal(unit, np.where(diagonal > 0, 1.0, 0.0))
        self._unit = unit
        self._triangle, self.least_pivot = _cholesky(unit)
        self._soft, self._noise = soft, noise

    @functools.cached_property
    def _weak(self) -> _Weak | None:
        """H as a singular matrix; None if it is regular."""
        if self.least_pivot > LEAST_PIVOT:
            return None
        soft = self._soft.matrix() / np.outer(self._root, self._root)
        return _Weak(self._unit, soft, self._noise)

    def solve(self, gradient: Floats) -> Floats:
        """Return x with Hx = g, without a part along flat directions."""
        scaled = gradient / self._root
        if self._weak is not None:
            return self._weak.solve(scaled) / self._root
        white, _ = dtrtrs(self._triangle, scaled, trans=1)
        x, _ = dtrtrs(self._triangle, white)
        return x / self._root

    def gap(self, gradient: Floats) -> float:
        """Return ½ gᵀH⁻¹g."""
        if self._weak is None:
            white, _ = dtrtrs(self._triangle, gradient / self._root, trans=1)
            return 0.5 * float(white @ white)
        return self._weak.gap(gradient / self._root)

    @functools.cached_property
    def whitening(self) -> Whitening:
        """Coordinates in which H is the identity, to rounding."""
        triangle = self._triangle
        for ridge in _RIDGES[1:] if triangle is None else ():
            unit = self._unit.copy()
            np.fill_diagonal(unit, 1.0 + ridge)
            triangle, _ = _cholesky(unit)
            if triangle is not None:
                break
        if triangle is None:
            triangle = np.eye(len(self._root), order="F")
        return Whitening(triangle, self._root)


@dataclass(frozen=True)
class Whitening:
    """Coordinates v = Rx in which a matrix RᵀR is the identity.

    R is upper triangular, so that a bound on the last variable is a bound on the last
    coordinate.

    Attributes
    ----------
    triangle : ndarray of shape (q, q)
    root : ndarray of shape (q,)
        R = triangle · diag(root).
    """

    triangle: Floats
    root: Floats

    def to_x(self, v: Floats) -> Floats:
        """Return R⁻¹v."""
        return dtrtrs(self.triangle, v)[0] / self.root

    def of_x(self, x: Floats) -> Floats:
        """Return Rx."""
        v: Floats = self.triangle @ (self.root * x)
        return v

    def of_gradient(self, gradient: Floats) -> Floats:
        """Return R⁻ᵀg, the gradient with respect to v."""
        return dtrtrs(self.triangle, gradient / self.root, trans=1)[0]

    def of_last(self, x_last: float) -> float:
        """Return the last coordinate of v, which depends on the last of x alone."""
        return float(x_last * self.root[-1] * self.triangle[-1, -1])


class _Weak:
    """A singular matrix U with a unit diagonal, and the directions that it lacks.

    With pivoting, ``PᵀUP = [R₁ R₂]ᵀ[R₁ R₂]`` to rounding, R₁ of as many rows as U has
    rank. The columns of W = P[−R₁⁻¹R₂; I] span the directions along which U is at most
    the tolerance of the factorisation. The data's part of WᵀUW is kept along directions
    where it clearly exceeds its rounding error; along the others the curvature is that
    of the soft part S alone. With y the solution within the first pivots, less its part
    along W, and N the curvature along W, the minimum is at

        x = y + W N⁻¹(Wᵀg − WᵀU y).
    """

    def __init__(self, unit: Floats, soft: Floats, noise: float) -> None:
        q = len(unit)
        rounding = _ROUNDING * EPS * q
        factor, pivots, rank, _ = dpstrf(unit, tol=_PIVOT_ROUNDING * EPS * q)
        self._order = pivots[:rank] - 1
        self._triangle = np.asfortranarray(factor[:rank, :rank])
        weak = np.zeros((q, q - rank))
        if rank:
            weak[pivots[:rank] - 1] = -dtrtrs(self._triangle, factor[:rank, rank:])[0]
        weak[pivots[rank:] - 1] = np.eye(q - rank)
        weak, _ = np.linalg.qr(weak)
        data = weak.T @ (unit - soft) @ weak
        known, vectors = np.linalg.eigh(data)
        weak = weak @ vectors
        is_lost = known <= 2 * rounding
        curvature = np.where(is_lost, 0.0, known - rounding)
        along = weak.T @ soft @ weak + np.diag(curvature)
        curvature, vectors = np.linalg.eigh(along)
        self._directions = weak @ vectors
        self._coupling = self._directions.T @ (soft if is_lost.all() else unit)
        # A direction along which A is lost and nothing else is known: A may be as small
        # as one rounding error.
        self._curvature = np.maximum(curvature, 0.0)
        self._is_flat = curvature <= _ROUNDING * EPS * q * np.diagonal(soft).max()
        self._curvature[self._is_flat] = EPS * q
        self._noise = noise

    def _parts(self, scaled: Floats) -> tuple[Floats, Floats, Floats]:
        """Return y whitened, y itself, and Wᵀg − WᵀUy."""
        white, y = scaled[self._order], np.zeros_like(scaled)
        if len(white):
            white = dtrtrs(self._triangle, white, trans=1)[0]
            y[self._order] = dtrtrs(self._triangle, white)[0]
        y -= self._directions @ (self._directions.T @ y)
        along = self._directions.T @ scaled - self._coupling @ y
        along[np.abs(along) <= self._noise] = 0.0
        return white, y, along

    def gap(self, scaled: Floats) -> float:
        """Return ½ gᵀU⁻¹g."""
        white, _, along = self._parts(scaled)
        return 0.5 * float(white @ white + np.sum(along**2 / self._curvature))

    def solve(self, scaled: Floats) -> Floats:
        """Return x with Ux = g."""
        _, y, along = self._parts(scaled)
        return y + self._directions @ (along / self._curvature)


def _sum(matrix: Floats, factor: float, diagonal: Floats) -> Floats:
    """Return factor·matrix + diag(diagonal)."""
    total = factor * matrix
    total[np.diag_indices_from(total)] += diagonal
    return total


def _cholesky(unit: Floats) -> tuple[Floats | None, float]:
    """Return the upper triangle and its least squared pivot; None and 0 if singular."""
    try:
        triangle = scipy.linalg.cholesky(unit, check_finite=False)
    except np.linalg.LinAlgError:
        return None, 0.0
    least = float(np.diagonal(triangle).min(initial=1.0) ** 2)
    # A pivot as small as its rounding error is none.
    if least <= _PIVOT_ROUNDING * EPS * len(unit):
        return None, 0.0
    return np.asfortranarray(triangle), least
