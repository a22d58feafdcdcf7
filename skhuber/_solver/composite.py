"""The minimum of a quadratic model plus a separable part: p × p work, without data.

Coordinate descent finds the face: the variables that are neither zero under an l1 > 0
nor at a bound. On the face the minimum of the model is that of a linear system. A step
towards it stops at zeros and bounds and is shortened until the model falls, so the
value never rises, and coordinate descent alone would converge. (Where signs are known
this is a semismooth Newton method: Hintermüller, Ito and Kunisch, SIAM J. Optim. 13,
2002.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skhuber._kernels.coordinate import coordinate_descent
from skhuber._solver.matrix_free import MatrixFreeModel
from skhuber._solver.quadratic import Model
from skhuber._solver.separable import Separable
from skhuber._solver.solution import Floats, Step

# Parts of how far the model falls, and of the gap that is small enough, to which a
# minimum is found. (A step of the descent gains two to six digits.)
_OF_FALL, _OF_TOLERANCE = 1e-6, 1e-3
# Rounds of coordinate descent before each step on the face: few while the faces change
# much, then more. And the most steps on faces.
_FIRST_ROUNDS, _FIRST = 3, 3
_MORE_ROUNDS = 10
_MAX_FACES = 60
# The shortest part of a step on the face that is tried.
_LEAST_PART = 1e-4
# Rounding error of a fall, relative to itself.
_FALL_ROUNDING = 1e-13


@dataclass
class _Place:
    """A point of the model.

    Attributes
    ----------
    x : ndarray of shape (q,)
    slope : ndarray of shape (q,)
        Gradient of the quadratic part there.
    fall : float
        How far the model has fallen since the start.
    """

    x: Floats
    slope: Floats
    fall: float


def best_step(
    model: Model | MatrixFreeModel,
    gradient: Floats,
    x: Floats,
    part: Separable,
    tolerance: float,
) -> Step:
    """Return the step from x to the minimum of model and P, and the fall.

    Lower bounds alone leave a quadratic programme, which a model solves itself.
    """
    if part.is_below:
        return model.minimise(gradient, part.lower - x, tolerance)
    assert isinstance(model, Model)
    return minimise_composite(model, gradient, x, part, tolerance)


def minimise_composite(
    model: Model, gradient: Floats, x: Floats, part: Separable, tolerance: float
) -> Step:
    """Return the step from x to the minimum of model and P, and the fall.

    Parameters
    ----------
    model : Model
    gradient : ndarray of shape (q,)
        Of the smooth part, at x.
    x : ndarray of shape (q,)
    part : Separable
        P.
    tolerance : float
        A gap that is small enough: what the step leaves of the fall is a small part of
        it, or of the fall itself, of which an estimate is added.
    """
    at, left = _Minimiser(model, gradient, x, part).run(_OF_TOLERANCE * tolerance)
    return Step(at.x - x, max(at.fall, 0.0) + left)


class _Minimiser:
    """The model at x, and its minimisation."""

    def __init__(
        self, model: Model, gradient: Floats, start: Floats, part: Separable
    ) -> None:
        self._hessian = np.ascontiguousarray(model.hessian)
        self._diagonal = np.diagonal(model.hessian).copy()
        self._model = model
        self._gradient = gradient
        self._start = start
        self._part = part
        self._is_penalised = part.l1 > 0

    def run(self, least: float) -> tuple[_Place, float]:
        """Return the minimum, and an estimate of how far the model falls from it."""
        at = self._start_place()
        left = 0.0
        for k in range(_MAX_FACES):
            if k or self._is_penalised.any():
                self._descend(at, _FIRST_ROUNDS if k < _FIRST else _MORE_ROUNDS)
            face = self._face(at)
            at, is_free = self._step_on_face(at, face)
            left = self._outside(at, face)
            if is_free and left <= max(_OF_FALL * at.fall, least):
                break
        return at, left

    def _start_place(self) -> _Place:
        inside = self._part.clip(self._start).copy()
        step = inside - self._start
        slope = self._gradient + self._hessian @ step
        return _Place(inside, slope, self._fall(inside, slope))

    def _descend(self, at: _Place, n_rounds: int) -> None:
        """Move to where some rounds of coordinate descent lead."""
        part = self._part
        coordinate_descent(
            self._hessian, at.slope, at.x, part.l1, part.lower, part.upper, n_rounds
        )
        at.fall = self._fall(at.x, at.slope)

    def _fall(self, x: Floats, slope: Floats) -> float:
        step = x - self._start
        quadratic = 0.5 * float((self._gradient + slope) @ step)
        return -(quadratic + self._part.change(self._start, step))

    def _face(self, at: _Place) -> NDArray[np.bool_]:
        """Return which variables are neither zero under an l1 > 0 nor held."""
        x, part = at.x, self._part
        # (A variable at a bound is let go if the model falls off it.)
        up = at.slope + np.where(x >= 0, part.l1, -part.l1)
        down = at.slope + np.where(x > 0, part.l1, -part.l1)
        held = ((x <= part.lower) & (up >= 0)) | ((x >= part.upper) & (down <= 0))
        is_zero = self._is_penalised & (x == 0)
        return ~held & ~is_zero & (self._diagonal > 0)

    def _step_on_face(self, at: _Place, face: NDArray[np.bool_]) -> tuple[_Place, bool]:
        """Return where a step on the face leads, and whether it changed no face."""
        if not face.any():
            return at, True
        part, index = self._part, np.flatnonzero(face)
        factor = self._model.factor_of_some(index)
        right = -(at.slope[index] + part.l1[index] * np.sign(at.x[index]))
        step = factor.solve(right)
        length = 1.0
        while length > _LEAST_PART:
            x = at.x.copy()
            x[index] += length * step
            crossed = self._is_penalised & (x * at.x < 0)
            x[crossed] = 0.0
            inside = part.clip(x)
            is_free = length == 1.0 and not crossed.any() and bool((inside == x).all())
            slope = at.slope + self._times(inside - at.x)
            fall = self._fall(inside, slope)
            if is_free:
                # (Parts of the step along weak directions are long, and the fall along
                # them is lost to rounding: `Factor` knows it.)
                fall = max(fall, at.fall + factor.gap(right))
            if fall >= at.fall - _FALL_ROUNDING * abs(at.fall):
                return _Place(inside, slope, fall), is_free
            length *= 0.5
        return at, False

    def _times(self, step: Floats) -> Floats:
        """Return H·step, of which many entries may be zero."""
        index = np.flatnonzero(step)
        if 2 * len(index) > len(step):
            return self._hessian @ step
        return step[index] @ self._hessian[index]

    def _outside(self, at: _Place, face: NDArray[np.bool_]) -> float:
        """Return how far the model falls if the other variables move, one by one."""
        slopes = self._part.least_slopes(at.x, at.slope)
        others = ~face & (self._diagonal > 0)
        return 0.5 * float(np.sum(slopes[others] ** 2 / self._diagonal[others]))
