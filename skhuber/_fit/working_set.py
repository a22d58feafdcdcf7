"""Sparse models of many columns, by working sets.

Most coefficients of a sparse model are zero. A working set is the columns whose
coefficients are not, and those that are the likeliest to follow. It is itself a source
of rows, so that the fit to it is one like any other. A sweep over all columns then says
which others have to join, and certifies: a coefficient outside the set is zero at the
minimum if its derivative is no larger than its l1. By how much the minimum is missed is

    Σ (|∂F/∂u_j| − l1_j)²/(2 H_jj)

over the columns outside, with H_jj the curvature of the loss (from Σ s z_j² and the
scale; to second order, and columns one by one).

One set serves some settings of a path, and one sweep checks them all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from skhuber._fit.continuation import newton
from skhuber._fit.inlier_gram import InlierGram
from skhuber._fit.problem import (
    Evaluation,
    Problem,
    Residuals,
    Trust,
    Watch,
    evaluate_together,
)
from skhuber._fit.settings import Settings
from skhuber._fit.standardise import objective_of
from skhuber._objective import Frame, HuberObjective
from skhuber._rows import RowSource
from skhuber._solver.composite import best_step
from skhuber._solver.descent import Rules
from skhuber._solver.quadratic import Model
from skhuber._solver.solution import Solution, Status
from skhuber._sums import Floats, Want

# The least columns of a set, of a single fit and of a path, and the most, unless the
# model itself has more. (In a path, 50 columns instead of 200 save no time, since a
# Hessian takes less of it than a sweep does, and cost two sweeps over all columns.)
_LEAST_ALONE, _LEAST = 50, 200
_MOST = 3000
# Columns of a set for each coefficient that is not zero: in a path, and of a single
# fit, which need not be ahead of smaller alphas. (On 500 × 5,000 with 255 nonzeros 1.5
# takes four fifths of the time that 1 and 2 take.)
_PER_NONZERO, _PER_NONZERO_ALONE = 3, 1.5
# Settings of a path that one set serves, and rounds after which a setting is given up.
_BLOCK = 10
_MAX_ROUNDS = 50
# Steps of polish: the first one leads to the minimum if no row crosses the threshold.
_POLISH = 1
# The share of the inliers in a curvature: enough are inliers for any use of the fit.
_INLIER_SHARE = 0.7
# What the fit to a set and the columns outside may each lack of the tolerance.
_SHARE = 0.5
# The gap of a fit to a set while columns are missing: a part of what they may gain, and
# of the objective at most.
_ROUGH_PART, _ROUGH_TOL = 1e-3, 1e-3
# The gap of a fit at a floor of its scale, as a part of what the floor itself costs.
_FLOOR_PART = 0.1
# A block of a path ends, and another set follows, if this part of a set is in use.
_FULL = 0.6


@dataclass(frozen=True)
class Found:
    """A minimum over all columns, the objective there, and its problem."""

    problem: Problem
    solution: Solution
    found: Evaluation


@dataclass(frozen=True)
class _Model:
    """A model in standardised variables."""

    u: Floats
    intercept: float
    scale: float

    @classmethod
    def of(cls, objective: HuberObjective, theta: Floats) -> _Model:
        return cls(*objective.split(theta))

    def theta(self, objective: HuberObjective) -> Floats:
        return objective.theta(self.u, self.intercept, self.scale)


def is_held(found: Evaluation) -> bool:
    """Return whether a joint scale is at its floor."""
    objective = found.objective
    is_least = found.theta[-1] <= objective.scale_floor
    return bool(objective.joint and found.is_finite and is_least)


def floor_cost(found: Evaluation) -> float:
    """Return by how much F may be lower with a scale below its floor.

    F is convex: with a scale of zero it is lower by no more than its slope says.
    """
    if not is_held(found):
        return 0.0
    return max(float(found.gradient[-1]), 0.0) * float(found.theta[-1])


def is_at_a_vertex(found: Evaluation) -> bool:
    """Return whether a fit meets the rows that take a joint scale to zero.

    They are as many as there are coefficients, or all but 1/ρ² of the weight.
    """
    sums, rho = found.sums, found.objective.rho
    outside = 1.0 - sums.inlier / sums.weight
    few = sums.n_inliers <= np.count_nonzero(found.theta)
    return bool(few or outside * rho * rho >= 1.0)


class WorkingSets:
    """Fits of several settings, each with a penalty, to rows of many columns.

    Parameters
    ----------
    rows : RowSource
    frame : Frame
    grid : sequence of Settings
        From the largest alpha to the smallest. No scale is "mad".
    watch : callable, optional
        Sees the sweeps over all columns.
    floor : float
        Least joint scale, standardised.
    """

    def __init__(
        self,
        rows: RowSource,
        frame: Frame,
        grid: Sequence[Settings],
        watch: Watch | None = None,
        floor: float = 0.0,
    ) -> None:
        self._rows = rows
        self._grid = list(grid)
        self._problems = []
        for one in grid:
            objective = objective_of(rows, frame, one)
            if objective.joint:
                objective = objective.with_floor(floor)
            self._problems.append(Problem(objective, rows, Trust(one.tol), watch))
        self._part: _Part | None = None
        self._n_iter = [0] * len(grid)
        # (In a path the first set is nearly complete, and a check serves several fits.)
        self._rough_tol = _ROUGH_TOL if len(grid) == 1 else 0.0

    def fit(
        self, start: Floats, may_go_on: Callable[[Found], bool] = lambda found: True
    ) -> list[Found]:
        """Return the minima, from the first setting's θ on.

        The list ends with the first one after which it may not go on.
        """
        first = self._problems[0]
        at = first.evaluate(first.part.clip(start), Want(squares=True))
        self._squares = np.maximum(at.sums.all_squares / at.sums.weight, 1e-300)
        model = _Model.of(first.objective, at.theta)
        done: list[Found] = []
        guesses: dict[int, _Model] = {}
        extra = np.zeros(0, dtype=np.intp)
        rounds = 0
        while len(done) < len(self._grid):
            k = len(done)
            if not at.is_finite or at.stop:
                return [*done, self._ended(k, at)]
            self._choose(k, model, at.gradient, extra)
            solved = self._solve_block(k, model, guesses)
            answers = self._check(k, solved)
            extra = np.zeros(0, dtype=np.intp)
            rounds += 1
            is_open = False
            for j, (solution, found) in enumerate(answers, start=k):
                outside, missing = self._outside(j, found)
                allowed = _SHARE * self._problems[j].told(found).tolerance
                allowed = max(allowed, _FLOOR_PART * floor_cost(found))
                is_there = max(outside, solution.gap) <= allowed
                # (A fit that is to stay has the digits of a polish.)
                is_rough = self._rough_tol > self._grid[j].tol
                is_there &= is_held(found) or not is_rough
                # (More columns would not mend a fit that failed with these.)
                has_failed = solution.status is not Status.CONVERGED
                is_vertex = is_held(found) and is_at_a_vertex(found)
                has_failed |= is_vertex and not is_rough
                is_last = has_failed or found.stop or rounds >= _MAX_ROUNDS
                if not is_open and (is_there or is_last):
                    at = found
                    model = _Model.of(found.objective, found.theta)
                    done.append(self._found(j, solution, found, outside, allowed))
                    rounds = 0
                    if not may_go_on(done[-1]) or found.stop:
                        return done
                else:
                    self._set_rough_tol(found, max(outside, allowed))
                    extra = np.union1d(extra, missing)
                    if not is_open:
                        at, is_open = found, True
                        model = _Model.of(found.objective, found.theta)
        return done

    def _set_rough_tol(self, at: Evaluation, outside: float) -> None:
        """Set how much a single fit may lack while columns are missing."""
        if len(self._grid) == 1:
            self._rough_tol = min(_ROUGH_PART * outside / at.value, _ROUGH_TOL)

    def _choose(
        self, k: int, model: _Model, gradient: Floats, extra: NDArray[np.intp]
    ) -> None:
        """Take the columns that are, or may come to be, in the model."""
        p = len(model.u)
        part = self._problems[k].part
        support = np.flatnonzero(model.u)
        ratio = np.abs(gradient[:p]) / np.maximum(part.l1[:p], 1e-300)
        size, end = self._size(k, len(support), ratio)
        likely = np.argpartition(-ratio, size - 1)[:size]
        # (A coefficient that bounds hold away from zero is in the model, too.)
        held = np.flatnonzero((part.lower[:p] > 0) | (part.upper[:p] < 0))
        wanted = np.union1d(np.union1d(support, held), extra).astype(np.intp)
        last = self._part
        is_full = last is not None and len(self._grid) > 1 and last.is_full(model, k)
        if last is None or is_full or not np.isin(wanted, last.index).all():
            self._part = _Part(self._rows, np.union1d(wanted, likely), end)

    def _size(self, k: int, n_nonzero: int, ratio: Floats) -> tuple[int, int]:
        """Return how many columns a set has, and up to which setting it should do.

        Parameters
        ----------
        k : int
            The first setting.
        n_nonzero : int
        ratio : ndarray of shape (p,)
            Of derivatives, at the minimum before setting k, to l1 there.
        """
        p, grid = len(ratio), self._grid
        if len(grid) == 1:
            size = max(_LEAST_ALONE, int(_PER_NONZERO_ALONE * n_nonzero))
            return min(size, _MOST, p), k
        size = min(max(_LEAST, _PER_NONZERO * n_nonzero), _MOST, p)
        # On the way to a smaller alpha a derivative rarely changes by more than l1 does
        # (the strong rule of Tibshirani and others, J. R. Stat. Soc. B 74, 2012).
        last = min(k + _BLOCK, len(grid)) - 1
        least = 2 * grid[last].alpha - grid[max(k - 1, 0)].alpha
        needed = int(np.count_nonzero(ratio * grid[k].alpha >= least))
        if needed > size:
            return size, k
        return min(max(needed, _LEAST_ALONE), size), last

    def _solve_block(
        self, k: int, model: _Model, guesses: dict[int, _Model]
    ) -> list[Solution]:
        """Return the minima on the set, for some settings from number k on."""
        part = self._part
        assert part is not None
        solved = []
        for j in range(k, min(k + _BLOCK, len(self._grid))):
            problem = self._problems[j]
            start, settings = guesses.get(j, model), self._grid[j]
            left = replace(settings, max_iter=settings.max_iter - self._n_iter[j])
            solution = part.minimise(problem, left, start, self._rough_tol)
            self._n_iter[j] += solution.n_iter
            solved.append(solution)
            model = guesses[j] = _Model.of(problem.objective, solution.x)
            if solution.status is not Status.CONVERGED:
                break
            if part.is_full(model, j + 1):
                break
        return solved

    def _check(
        self, k: int, solved: list[Solution]
    ) -> list[tuple[Solution, Evaluation]]:
        """Return the objective over all columns at each minimum. One sweep."""
        problems = self._problems[k : k + len(solved)]
        if len(solved) == 1:
            return [(solved[0], problems[0].evaluate(solved[0].x))]
        found = evaluate_together(problems, [one.x for one in solved])
        return list(zip(solved, found, strict=True))

    def _outside(self, j: int, found: Evaluation) -> tuple[float, NDArray[np.intp]]:
        """Return how much the columns outside the set may gain, and the likeliest."""
        assert self._part is not None
        p = len(self._squares)
        _, _, scale = found.objective.split(found.theta)
        slopes = self._problems[j].part.least_slopes(found.theta, found.gradient)[:p]
        curvature = 2.0 * _INLIER_SHARE / scale * self._squares
        gains = slopes**2 / (2.0 * curvature)
        gains[self._part.index] = 0.0
        missing = np.flatnonzero(gains)
        size = max(_LEAST_ALONE, int(np.count_nonzero(found.theta[:p])))
        return float(gains.sum()), missing[np.argsort(-gains[missing])[:size]]

    def _found(
        self,
        j: int,
        solution: Solution,
        found: Evaluation,
        outside: float,
        allowed: float,
    ) -> Found:
        gap, status = solution.gap + outside, solution.status
        if found.stop:
            status = Status.STOPPED
        elif outside > allowed and status is Status.CONVERGED:
            status = Status.MAX_ITER
        solution = replace(
            solution,
            value=found.value,
            gradient=found.gradient,
            gap=gap,
            n_iter=self._n_iter[j],
            status=status,
        )
        return Found(self._problems[j], solution, found)

    def _ended(self, k: int, at: Evaluation) -> Found:
        status = Status.STOPPED if at.is_finite else Status.NOT_FINITE
        solution = Solution(at.theta, at.value, at.gradient, np.inf, 0, status)
        return Found(self._problems[k], solution, at)


class _Part:
    """Rows with some columns alone.

    Parameters
    ----------
    rows : RowSource
    index : ndarray of int
        The columns.
    end : int
        Number of the setting up to which they should do.
    """

    def __init__(self, rows: RowSource, index: NDArray[np.intp], end: int) -> None:
        self.index = index
        self._end = end
        self.rows = rows.columns(index)
        self._gram = InlierGram(self.rows)
        self._kept = Residuals(self.rows, double=True)
        # The last minimum here, and its objective.
        self._last: tuple[Solution, HuberObjective] | None = None

    def is_full(self, model: _Model, k: int) -> bool:
        """Return whether columns of the model of setting k are likely missing."""
        in_use = np.count_nonzero(model.u)
        return k > self._end and bool(
            _FULL * len(self.index) < in_use and len(self.index) < len(model.u)
        )

    def minimise(
        self, whole: Problem, settings: Settings, model: _Model, rough_tol: float
    ) -> Solution:
        """Return the minimum with the other coefficients zero, over all columns."""
        objective = whole.objective.of_columns(self.index)
        tol = max(_SHARE * settings.tol, rough_tol)
        problem = Problem(
            objective, self.rows, Trust(tol), kept=self._kept, gram=self._gram
        )
        theta = objective.theta(model.u[self.index], model.intercept, model.scale)
        start = self._ahead(problem, theta)
        polish = 0 if tol == rough_tol else _POLISH
        is_near = start is not theta
        rules = Rules(settings.max_iter, polish, is_near=is_near)
        found = newton(problem, start, rules, is_near=True)
        self._last = found, objective
        u, intercept, scale = objective.split(found.x)
        wide = np.zeros(whole.objective.n_features)
        wide[self.index] = u
        x = whole.objective.theta(wide, intercept, scale)
        return replace(found, x=x, model=None, step=None)

    def _ahead(self, problem: Problem, theta: Floats) -> Floats:
        """Return where the model of a path's last minimum θ has the next one.

        That saves the evaluation at θ, with a Hessian that is known. It is θ itself if
        no minimum was there, or if the objective is no lower ahead.
        """
        if self._last is None or not np.array_equal(self._last[0].x, theta):
            return theta
        (last, other), objective = self._last, problem.objective
        if not isinstance(last.model, Model):
            return theta
        curvature = objective.penalty_curvature
        gradient = last.gradient + (curvature - other.penalty_curvature) * theta
        u, _, _ = objective.split(theta)
        value = last.value + objective.penalty_value(u) - other.penalty_value(u)
        tolerance = objective.tolerance(theta, value, problem.trust.tol)
        model = last.model  # with what it has factorised
        if not np.array_equal(curvature, model.penalty):
            model = replace(model, penalty=curvature)
        part = problem.part.guarded(theta)
        step = best_step(model, gradient, theta, part, tolerance)
        ahead = problem.part.moved(theta, step.x)
        return ahead if problem.evaluate(ahead).value < value else theta
