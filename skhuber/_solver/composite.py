"""The minimum of a quadratic model plus a separable part: p × p work, without data.

Coordinate descent finds the face: the variables that are neither zero under an l1 > 0
nor at a bound. On the face the minimum of the model is that of a linear system. A step
towards it stops variables at zeros and bounds (a projected Newton step); if that gains
too little, it ends where the first of them stops. So the value never rises, and
coordinate descent alone would converge. (Where signs are known this is a semismooth
Newton method: Hintermüller, Ito and Kunisch, SIAM J. Optim. 13, 2002.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from skhuber._kernels.coordinate import add_rows, coordinate_descent
from skhuber._solver.diagonal import DiagonalModel
from skhuber._solver.matrix_free import MatrixFreeModel
from skhuber._solver.quadratic import Model
from skhuber._solver.separable import Separable
from skhuber._solver.solution import EPS, Floats, Step

# Parts of how far the model falls, and of the gap that is small enough, to which a
# minimum is found. (A step of the descent gains two to six digits.)
_OF_FALL, _OF_TOLERANCE = 1e-6, 1e-3
# Rounds of coordinate descent before each step on the face: few while the faces change
# much, then more. And the most steps on faces.
_FIRST_ROUNDS, _FIRST = 3, 3
_MORE_ROUNDS = 10
_MAX_FACES = 20
# The most halvings of a step that crosses zeros or bounds, and the least part of what
# the model falls to the minimum on the face that such a step has to gain.
_MAX_HALVINGS = 6
_ENOUGH_FALL = 1e-3
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
    model: Model | MatrixFreeModel | DiagonalModel,
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
        matrix, self._factor, self._added = model.terms
        self._matrix = np.ascontiguousarray(matrix)
        self._diagonal = self._factor * np.diagonal(matrix) + self._added
        self._model = model
        self._gradient = gradient
        self._start = start
        self._part = part
        self._is_penalised = part.l1 > 0

    def run(self, least: float) -> tuple[_Place, float]:
        """Return the minimum, and an estimate of how far the model falls from it."""
        at = self._start_place()
        left, last = 0.0, -np.inf
        for k in range(_MAX_FACES):
            if k or self._is_penalised.any():
                self._descend(at, _FIRST_ROUNDS if k < _FIRST else _MORE_ROUNDS)
            face = self._face(at)
            at, promise = self._step_on_face(at, face)
            left = self._outside(at, face) + promise
            # (Rounding errors may hide which variables are zero at the minimum.)
            stalls = k >= _FIRST and at.fall <= last + _FALL_ROUNDING * abs(last)
            if left <= max(_OF_FALL * at.fall, least) or stalls:
                break
            last = at.fall
        return at, left

    def _start_place(self) -> _Place:
        inside = self._part.clip(self._start).copy()
        step = inside - self._start
        slope = self._gradient + self._times(step)
        return _Place(inside, slope, self._fall(inside, slope))

    def _descend(self, at: _Place, n_rounds: int) -> None:
        """Move to where some rounds of coordinate descent lead."""
        part = self._part
        coordinate_descent(
            self._matrix,
            self._factor,
            self._added,
            at.slope,
            at.x,
            part.l1,
            part.lower,
            part.upper,
            n_rounds,
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

    def _step_on_face(
        self, at: _Place, face: NDArray[np.bool_]
    ) -> tuple[_Place, float]:
        """Return where a step on the face leads, and how far it could still fall.

        Zero, if the step reached the minimum on the face.
        """
        if not face.any():
            return at, 0.0
        index = np.flatnonzero(face)
        factor = self._model.factor_of_some(index)
        right = -(at.slope[index] + self._part.l1[index] * np.sign(at.x[index]))
        step = np.zeros_like(at.x)
        step[index] = factor.solve(right)
        # (Parts of the step along weak directions are long, and the fall along them is
        # lost to rounding in differences: `Factor` knows it.)
        promise = factor.gap(right)
        first = self._first_stop(at.x, step)
        if first >= 1.0:
            place = self._at(at, at.x + step)
            return replace(place, fall=max(place.fall, at.fall + promise)), 0.0
        length = 1.0
        for _ in range(_MAX_HALVINGS):
            place = self._at(at, self._projected(at.x, at.x + length * step))
            if place.fall > at.fall + _ENOUGH_FALL * promise:
                return place, promise
            length *= 0.5
            if length <= first:
                break
        # The model falls all the way to where the first variable stops.
        return self._at(at, self._projected(at.x, at.x + first * step)), promise

    def _first_stop(self, x: Floats, step: Floats) -> float:
        """Return the part of a step after which a variable is zero or at a bound."""
        part = self._part
        end = x + step
        stop = np.where(end > part.upper, part.upper, np.nan)
        stop = np.where(end < part.lower, part.lower, stop)
        stop = np.where(self._is_penalised & (x * end < 0), 0.0, stop)
        stops = np.flatnonzero(~np.isnan(stop))
        if not len(stops):
            return 1.0
        shares = (stop[stops] - x[stops]) / step[stops]
        first = float(shares.min())
        # (Rounding must not let it stop short of where it is to stop.)
        return first * (1.0 + 4.0 * EPS)

    def _projected(self, x: Floats, end: Floats) -> Floats:
        """Return the end of a step, with variables at zeros and bounds on their way."""
        stopped = np.where(self._is_penalised & (x * end < 0), 0.0, end)
        return self._part.clip(stopped)

    def _at(self, at: _Place, x: Floats) -> _Place:
        slope = at.slope + self._times(x - at.x)
        return _Place(x, slope, self._fall(x, slope))

    def _times(self, step: Floats) -> Floats:
        """Return H·step, of which many entries may be zero."""
        product = self._added * step
        add_rows(self._matrix, np.flatnonzero(step), self._factor * step, product)
        return product

    def _outside(self, at: _Place, face: NDArray[np.bool_]) -> float:
        """Return how far the model falls if the other variables move, one by one."""
        slopes = self._part.least_slopes(at.x, at.slope)
        others = ~face & (self._diagonal > 0)
        return 0.5 * float(np.sum(slopes[others] ** 2 / self._diagonal[others]))
