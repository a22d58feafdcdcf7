"""Questions and answers of minimisers, and the solutions that they return."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from skhuber._solver.diagonal import DiagonalModel
    from skhuber._solver.matrix_free import MatrixFreeModel
    from skhuber._solver.quadratic import Model

Floats = NDArray[np.float64]

EPS = float(np.finfo(np.float64).eps)


class Status(enum.Enum):
    """How a minimisation ended, in words for a person, with a remedy in brackets."""

    CONVERGED = "the gap is within the tolerance"
    MAX_ITER = (
        "the limit on the number of iterations was reached (a larger max_iter allows "
        "more)"
    )
    STALLED = (
        "no step decreased the objective any further (a larger alpha or fewer features "
        "make the minimum easier to find; a larger tol accepts this result)"
    )
    STOPPED = "a callback stopped the fit"
    NOT_FINITE = "sums over the data are not finite"
    COLLAPSED = (
        "the scale fell to zero (or was given as next to zero) though residuals did "
        "not; the result is a fit by least absolute deviations (with a larger rho or "
        'alpha, fewer features, or scale="mad" or a number, the scale stays above zero)'
    )
    UNSETTLED = (
        "no scale was found that is the median absolute residual of its own fit (a "
        'larger alpha, fewer features, or scale="joint" or a number may help)'
    )


@dataclass(frozen=True)
class Answer:
    """A function at a point.

    Attributes
    ----------
    value : float
        Infinite if the point is so far away that the function overflows; the gradient
        is then zero.
    gradient : ndarray of shape (q,)
    tolerance : float
        The gap that is small enough there.
    model : Model, MatrixFreeModel or None
        A quadratic model of the function there, if it was asked for.
    stop : bool
        Whether the minimiser has to end here.
    least_gap : float
        The gap at which polish ends: a smaller one is rounding error, or not wanted.
    """

    value: float
    gradient: Floats
    tolerance: float
    model: Model | MatrixFreeModel | None = None
    stop: bool = False
    least_gap: float = 0.0

    @property
    def is_finite(self) -> bool:
        """True if the function did not overflow."""
        return bool(np.isfinite(self.value))


@dataclass(frozen=True)
class Ask:
    """A point to evaluate.

    Attributes
    ----------
    x : ndarray of shape (q,)
    model : bool
        Whether a quadratic model is wanted along with value and gradient.
    """

    x: Floats
    model: bool


@dataclass(frozen=True)
class Solution:
    """Point at which a minimisation ended.

    Attributes
    ----------
    x : ndarray of shape (q,)
    value : float
    gradient : ndarray of shape (q,)
    gap : float
        Estimated excess of the value over the minimum, absolute.
    n_iter : int
    status : Status
    model : Model, MatrixFreeModel, DiagonalModel or None
        The quadratic model that the gap was measured with.
    step : ndarray of shape (q,) or None
        From x to that model's minimum within the bounds.
    is_exact : bool
        Whether the gap is so small that polish ends.
    """

    x: Floats
    value: float
    gradient: Floats
    gap: float
    n_iter: int
    status: Status
    model: Model | MatrixFreeModel | DiagonalModel | None = None
    step: Floats | None = None
    is_exact: bool = False


@dataclass(frozen=True)
class Step:
    """A step to a model's minimum.

    Attributes
    ----------
    x : ndarray of shape (q,)
    fall : float
        How far the model falls.
    """

    x: Floats
    fall: float


def clipped_fall(gradient: Floats, step: Floats, ahead: Floats) -> float:
    """Return how far a model falls along a step with Hessian · step = `ahead`."""
    return max(-float(gradient @ step + 0.5 * (step @ ahead)), 0.0)


def held_variables(x: Floats, lower: Floats, gradient: Floats) -> NDArray[np.bool_]:
    """Return which variables their gradient holds at their lower bounds."""
    return (x <= lower) & (gradient >= 0)


def value_rounding(value: float) -> float:
    """Return the rounding error of a value that is a sum of many positive numbers."""
    return 8 * EPS * abs(value)


def is_lower(value: float, gap: float, than_value: float, than_gap: float) -> bool:
    """Return whether a point is better: by its value, or by its gap if values tie."""
    if abs(value - than_value) <= value_rounding(than_value):
        return gap < than_gap
    return value < than_value
