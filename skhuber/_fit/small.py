"""Small data: the whole minimisation in one compiled call.

`skhuber._kernels.direct` does what is ordinary. What it declines goes the general way
of `skhuber._fit.fit`, and nothing is lost but some microseconds.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from skhuber._common.scale import mad_scale
from skhuber._fit.equation import MAX_UPDATES
from skhuber._fit.problem import Problem, Trust
from skhuber._fit.result import Fit, described, described_small
from skhuber._fit.settings import Settings
from skhuber._fit.standardise import objective_of
from skhuber._kernels import direct
from skhuber._objective import RESIDUAL_ROUNDING, Frame, HuberObjective
from skhuber._rows import DenseRows, RowSource
from skhuber._solver.root import RootSearch
from skhuber._solver.solution import Solution, Status
from skhuber._sums import Floats

# A MAD scale is found to this relative change of one more iteration: minima are known
# to their last digits here.
_SCALE_TOL = 1e-12
# A scale above all residuals, in units of the spread of y.
_ANY_SCALE = 1e6

_NO_START: Floats = np.empty(0)


def fit_small(rows: RowSource, settings: Settings) -> Fit | None:
    """Return the fit, or None if the data are not ordinary."""
    return Small(rows, fit_intercept=settings.fit_intercept).fit(settings)


class Small:
    """Small dense data, standardised, for fits with one setting or several.

    Parameters
    ----------
    rows : DenseRows
        Those of weight zero are left out.
    fit_intercept : bool
    """

    def __init__(self, rows: RowSource, *, fit_intercept: bool) -> None:
        assert isinstance(rows, DenseRows)
        n, p = rows.n_present, rows.n_features
        present: RowSource = rows
        if rows.weight is not None and n < rows.n_rows:
            present = rows.take(np.flatnonzero(rows.weight))
        assert isinstance(present, DenseRows)
        self._rows, self._present = rows, present
        # (A last row for the derivative of a joint scale.)
        self._columns = np.ones((p + fit_intercept + 1, n))
        self._y, self._space = np.empty(n), np.empty((4, n))
        self._r = self._space[0]
        X, y, weight = present.double_precision()
        self._weight = weight * rows.weight_unit if len(weight) else np.ones(n)
        centre, x_power = np.zeros(p), np.zeros(p, np.int64)
        y_centre, y_power, self._is_ordinary = direct.standardise(
            X,
            y,
            self._weight,
            rows.total_weight,
            fit_intercept,
            self._columns,
            self._y,
            centre,
            x_power,
        )
        if self._present is not rows:  # sums over the others do not show bad values
            self._is_ordinary &= rows.is_finite
        rows.n_sweeps += 3
        self._frame = Frame(centre, x_power, y_centre, y_power, fit_intercept)

    def fit(self, settings: Settings, start: Floats = _NO_START) -> Fit | None:
        """Return the certified fit, or None.

        A start is θ of another minimum on these data (`Fit.theta`); with a scale of
        "mad" it is not used.
        """
        if not self._is_ordinary:
            return None
        objective = objective_of(self._rows, self._frame, settings)
        if settings.scale == "mad":
            found = self._mad_fixed_point(objective, settings)
        else:
            solution = self._minimise(objective, settings, settings.max_iter, start)
            if solution is None and not (objective.joint or len(start)):
                solution = self._from_joint_scale(objective, settings)
            found = None if solution is None else (objective, solution)
        if found is None:
            return None
        problem = Problem(found[0], self._rows, Trust(settings.tol), double=True)
        if self._present is not self._rows:
            return described(problem, settings, found[1], n_iter_least=1)
        return described_small(problem, settings, found[1], self._weight, self._r)

    def _from_joint_scale(
        self, objective: HuberObjective, settings: Settings
    ) -> Solution | None:
        """Minimise at a fixed scale from the minimum at a joint scale.

        Beside gross outliers a fixed scale is far below the residuals of least squares.
        """
        joint = objective_of(self._rows, self._frame, replace(settings, scale="joint"))
        near = self._minimise(joint, settings, settings.max_iter, _NO_START)
        if near is None:
            return None
        left = settings.max_iter - near.n_iter
        found = self._minimise(objective, settings, left, near.x[:-1])
        return found and replace(found, n_iter=near.n_iter + found.n_iter)

    def _mad_fixed_point(
        self, objective: HuberObjective, settings: Settings
    ) -> tuple[HuberObjective, Solution] | None:
        """Find the fixed point of `skhuber._fit.equation`, from the same start."""
        # With no threshold this is least squares, whatever the scale.
        least_squares = objective.with_rho(np.inf).with_scale(_ANY_SCALE)
        found = self._minimise(least_squares, settings, settings.max_iter, _NO_START)
        scale = self._median_scale()
        search = RootSearch()
        n_iter = 0
        for _ in range(MAX_UPDATES):
            if found is None or not scale > 0:
                return None
            scaled = objective.with_scale(scale)
            left = settings.max_iter - n_iter
            found = self._minimise(scaled, settings, left, found.x)
            if found is None:
                return None
            n_iter += found.n_iter
            new_scale = self._median_scale()
            if abs(new_scale - scale) <= _SCALE_TOL * scale:
                return scaled, replace(found, n_iter=n_iter)
            if not new_scale > 0:
                return None
            log_scale = search.next(np.log(scale), np.log(new_scale / scale))
            scale = float(np.exp(log_scale))
        return None

    def _median_scale(self) -> float:
        return mad_scale(np.abs(self._r), self._present.weight)

    def _minimise(
        self,
        objective: HuberObjective,
        settings: Settings,
        max_iter: int,
        start: Floats,
    ) -> Solution | None:
        q = len(self._columns) - 1 + objective.joint
        theta = start.copy() if len(start) else np.zeros(q)
        value, gap, n_iter, n_sweeps, is_certified = direct.minimise(
            self._columns,
            self._y,
            self._weight,
            self._rows.total_weight,
            objective.l2,
            objective.rho,
            objective.joint,
            objective.fixed_scale,
            settings.tol,
            RESIDUAL_ROUNDING,
            objective.scale_floor,
            max_iter,
            len(start) > 0,
            theta,
            np.zeros((4, q)),
            np.zeros((q, q)),
            self._space,
        )
        self._rows.n_sweeps += n_sweeps
        if not is_certified:
            return None
        # (Nobody asks for the gradient.)
        gradient = np.zeros_like(theta)
        return Solution(theta, value, gradient, gap, n_iter, Status.CONVERGED)
