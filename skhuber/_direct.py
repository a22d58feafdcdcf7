"""Small data: the whole minimisation in compiled code.

`skhuber._kernels.direct` does what is ordinary. What it declines (see there) is for
the general way of `skhuber._fit`, and nothing is lost but some microseconds.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from skhuber._kernels import direct
from skhuber._mad import MAX_UPDATES, RootSearch
from skhuber._minimise import LITTLE_WORK
from skhuber._runtime import IS_COMPILED
from skhuber._objective import RESIDUAL_ROUNDING, Frame, HuberObjective
from skhuber._rows import DenseRows, Rows
from skhuber._common.scale import mad_scale
from skhuber._solver import Solution, Status
from skhuber._sweep import Floats

# The kernel's sums are over columns, its algebra over pairs of them: it is made for
# long columns, few of them.
_COLUMNS = 64
_ROWS_PER_COLUMN = 5
# A MAD scale is found to this relative change of one more iteration: minima are known
# to their last digits here.
_SCALE_TOL = 1e-12
# A scale above all residuals, in units of the spread of y.
_ANY_SCALE = 1e6

_NO_START: Floats = np.empty(0)
_Found = tuple[HuberObjective, Solution] | None


def is_direct_work(rows: Rows) -> bool:
    """Whether the data are small enough, and dense; and kernels are compiled.

    They lie in the cache then, and Python calls would take longer than the work.
    """
    n, p = rows.n_rows, rows.n_features
    return (
        IS_COMPILED
        and isinstance(rows, DenseRows)
        and n * p**2 <= LITTLE_WORK
        and p <= _COLUMNS
        and n >= _ROWS_PER_COLUMN * p
    )


class Direct:
    """Small data, standardised, and the minima of objectives on them.

    Parameters
    ----------
    rows : DenseRows
    fit_intercept : bool
    """

    def __init__(self, rows: DenseRows, *, fit_intercept: bool) -> None:
        n, p = rows.n_rows, rows.n_features
        self._rows = rows
        self._columns = np.empty((p + 2, n))
        self._y, self._weight, self._r = np.empty(n), np.empty(n), np.empty(n)
        centre, x_power, y_centre, y_power, self._is_ordinary = direct.standardise(
            *rows.double_precision(),
            rows.weight_unit,
            fit_intercept,
            self._columns,
            self._y,
            self._weight,
        )
        rows.n_sweeps += 3
        self._frame = Frame(centre, x_power, y_centre, y_power, fit_intercept)

    def minimise(
        self,
        *,
        rho: float,
        scale: float | None,
        alpha: float,
        tol: float,
        max_iter: int,
        start: Floats = _NO_START,
    ) -> _Found:
        """The minimum with this scale, in the unit of y; with a joint one for None.

        The result is the objective and its minimum, certified; or None. A start is θ
        of another minimum on these data.
        """
        objective = self._objective(rho, alpha)
        if scale is not None:
            scale = float(np.ldexp(scale, -self._frame.y_power))
            objective = objective.with_scale(scale)
        found = self._minimise(objective, tol, max_iter, start)
        if found is None:
            return None
        self._rows.remember(objective.point(found.x), self._r)
        return objective, found

    def mad_fixed_point(
        self, *, rho: float, alpha: float, tol: float, max_iter: int
    ) -> _Found:
        """The same at the fixed point of `skhuber._mad`, from the same start."""
        # With no threshold this is least squares, whatever the scale.
        least_squares = self._objective(np.inf, alpha).with_scale(_ANY_SCALE)
        found = self._minimise(least_squares, tol, max_iter, _NO_START)
        if found is None:
            return None
        scale = self._median_scale()
        search = RootSearch()
        n_iter = 0
        for _ in range(MAX_UPDATES):
            objective = self._objective(rho, alpha).with_scale(scale)
            found = self._minimise(objective, tol, max_iter - n_iter, found.x)
            if found is None:
                return None
            n_iter += found.n_iter
            new_scale = self._median_scale()
            if abs(new_scale - scale) <= _SCALE_TOL * scale:
                self._rows.remember(objective.point(found.x), self._r)
                return objective, replace(found, n_iter=n_iter)
            if not new_scale > 0:
                return None
            log_scale = search.next(np.log(scale), np.log(new_scale / scale))
            scale = float(np.exp(log_scale))
        return None

    def _objective(self, rho: float, alpha: float) -> HuberObjective:
        return HuberObjective(
            self._frame,
            rho=rho,
            alpha=alpha,
            scale=None,
            total_weight=self._rows.total_weight,
            weight_power=self._rows.weight_power,
        )

    def _median_scale(self) -> float:
        return mad_scale(np.abs(self._r), self._rows.weight)

    def _minimise(
        self, objective: HuberObjective, tol: float, max_iter: int, start: Floats
    ) -> Solution | None:
        if not self._is_ordinary:
            return None
        scale = objective.fixed_scale
        if objective.joint and len(start):
            scale = start[-1]
        theta, value, gap, n_iter, n_sweeps, is_certified = direct.minimise(
            self._columns,
            self._y,
            self._weight,
            objective.penalty,
            objective.rho,
            objective.joint,
            scale,
            objective.frame.fit_intercept,
            tol,
            RESIDUAL_ROUNDING,
            objective.scale_floor,
            max_iter,
            start,
            self._r,
        )
        self._rows.n_sweeps += n_sweeps
        if not is_certified:
            return None
        # (No caller asks for the gradient.)
        gradient = np.zeros_like(theta)
        return Solution(theta, value, gradient, gap, n_iter, Status.CONVERGED)
