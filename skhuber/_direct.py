"""Small data: the whole minimisation in compiled code.

`skhuber._kernels.direct` does what is ordinary. What it declines (see there) is for
the general way of `skhuber._fit`, and nothing is lost but some microseconds.
"""

from __future__ import annotations

import numpy as np

from skhuber._kernels import direct
from skhuber._numba import IS_COMPILED
from skhuber._objective import RESIDUAL_ROUNDING, Frame, HuberObjective
from skhuber._rows import DenseRows, Rows
from skhuber._solver import Solution, Status

# n·p² up to which the data lie in the cache, and Python calls would take longer than
# the work.
_WORK = 2**20
# The kernel's sums are over columns, its algebra over pairs of them: it is made for
# long columns, few of them.
_COLUMNS = 64
_ROWS_PER_COLUMN = 5


def is_direct_work(rows: Rows) -> bool:
    """Whether the data are small enough, and dense; and kernels are compiled."""
    n, p = rows.n_rows, rows.n_features
    return (
        IS_COMPILED
        and isinstance(rows, DenseRows)
        and n * p**2 <= _WORK
        and p <= _COLUMNS
        and n >= _ROWS_PER_COLUMN * p
    )


def minimise_directly(
    rows: DenseRows,
    *,
    rho: float,
    scale: float | None,
    alpha: float,
    fit_intercept: bool,
    tol: float,
    max_iter: int,
) -> tuple[HuberObjective, Solution] | None:
    """The minimum, certified, and the objective it is the minimum of; or None.

    Parameters
    ----------
    rows : DenseRows
    rho, alpha, fit_intercept, tol, max_iter
        As in `skhuber._fit.Settings`.
    scale : float or None
        The fixed scale in the unit of y; None for a joint one.
    """
    n, p = rows.n_rows, rows.n_features
    A = np.empty((p + 2, n))
    t, s, r = np.empty(n), np.empty(n), np.empty(n)
    centre, x_power, y_centre, y_power, ordinary = direct.standardise(
        *rows.double_precision(), rows.weight_unit, fit_intercept, A, t, s
    )
    rows.n_sweeps += 3
    if not ordinary:
        return None
    objective = HuberObjective(
        Frame(centre, x_power, y_centre, y_power, fit_intercept),
        rho=rho,
        alpha=alpha,
        scale=None if scale is None else float(np.ldexp(scale, -y_power)),
        total_weight=rows.total_weight,
        weight_power=rows.weight_power,
    )
    theta, value, gap, n_iter, n_sweeps, certified = direct.minimise(
        A,
        t,
        s,
        objective.penalty,
        rho,
        scale is None,
        1.0 if scale is None else objective.fixed_scale,
        fit_intercept,
        tol,
        RESIDUAL_ROUNDING,
        objective.scale_floor,
        max_iter,
        r,
    )
    rows.n_sweeps += n_sweeps
    if not certified:
        return None
    rows.remember(objective.point(theta), r)
    # (No caller asks for the gradient.)
    gradient = np.zeros_like(theta)
    solution = Solution(theta, value, gradient, gap, n_iter, Status.CONVERGED)
    return objective, solution
