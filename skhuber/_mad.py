"""A scale that is the median absolute residual of the fit that it gives.

With r(σ) the residuals of the minimum at the fixed scale σ, find

    σ = median|r(σ)| / Φ⁻¹(3/4),

what R's rlm and statsmodels' RLM compute. There may be several such σ. This one is
where iteration from the start leads.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from skhuber._minimise import minimise
from skhuber._objective import HuberObjective
from skhuber._problem import Problem
from skhuber._sketch import Sketch
from skhuber._solver import Solution, Status
from skhuber._sweep import Floats

# The scale is found to this relative change of one more iteration.
_SCALE_TOL = 1e-10
# And with at most so many; six to fifteen are usual.
MAX_UPDATES = 100


def mad_fixed_point(
    sketch: Sketch,
    objective: HuberObjective,
    theta: Floats,
    *,
    tol: float,
    max_iter: int,
) -> tuple[HuberObjective, Solution]:
    """Find the fixed point to which iteration from a start leads.

    Parameters
    ----------
    sketch : Sketch
        All rows, and maybe a sample of them.
    objective : HuberObjective
        With the scale to start from.
    theta : ndarray
        The start.
    tol, max_iter
        As for `skhuber._minimise.minimise`; max_iter is for all minimisations together.

    Returns
    -------
    objective : HuberObjective
        With the scale found.
    solution : Solution
        Its minimum on all rows.
    """
    if sketch.is_sample:  # come close where sweeps cost little
        part = Sketch(sketch.part)
        near = _iterate(part, objective, theta, tol=1e-8, max_iter=100, scale_tol=1e-4)
        objective, theta = near[0], near[1].x
    return _iterate(
        sketch, objective, theta, tol=tol, max_iter=max_iter, scale_tol=_SCALE_TOL
    )


def _iterate(
    sketch: Sketch,
    objective: HuberObjective,
    theta: Floats,
    *,
    tol: float,
    max_iter: int,
    scale_tol: float,
) -> tuple[HuberObjective, Solution]:
    """Iterate σ → median|r(σ)| / Φ⁻¹(3/4) until it changes by less than scale_tol."""
    search = RootSearch()
    n_iter = 0
    for _ in range(MAX_UPDATES):
        _, _, scale = objective.split(theta)
        solution = minimise(
            sketch,
            objective,
            theta,
            tol=tol,
            max_iter=max_iter - n_iter,
            warm=True,
        )
        theta = solution.x
        n_iter += solution.n_iter
        solution = replace(solution, n_iter=n_iter)
        floor = objective.scale_floor
        new_scale = max(Problem(objective, sketch.rows).median_scale(theta), floor)
        # Below the floor residuals are rounding errors, and so is their median.
        if abs(new_scale - scale) <= scale_tol * scale + floor:
            return objective, solution
        minimised = objective
        if n_iter >= max_iter:
            break
        log_scale = search.next(np.log(scale), np.log(new_scale / scale))
        objective = objective.with_scale(max(float(np.exp(log_scale)), floor))
    return minimised, replace(solution, status=Status.MAX_ITER)


class RootSearch:
    """Where the change by which an iteration moves a number is zero.

    Two changes of one sign in a row are extrapolated, by at most three times the last
    one; two signs enclose the zero, and regula falsi (the Illinois variant) closes in.
    """

    def __init__(self) -> None:
        self._ends: dict[bool, tuple[float, float]] = {}  # rising? → place, change
        self._last: tuple[float, float] | None = None

    def next(self, place: float, change: float) -> float:
        """The next place to try."""
        rising = bool(change > 0)
        last, self._last = self._last, (place, change)
        self._ends[rising] = (place, change)
        if len(self._ends) == 2:
            if last is not None and (last[1] > 0) == rising:
                # The same end moved twice: the weight of the other one is halved.
                other, other_change = self._ends[not rising]
                self._ends[not rising] = (other, other_change / 2)
            (low, d_low), (high, d_high) = self._ends[True], self._ends[False]
            return low + (high - low) * d_low / (d_low - d_high)
        step = change
        if last is not None and 0 < change / last[1] < 1:
            newton = change * (place - last[0]) / (last[1] - change)
            step = np.sign(change) * min(abs(newton), 3 * abs(change))
        return place + step
