"""Fits with many settings on the same rows, and what they share.

The settings differ in rho and alpha. How much can be shared depends on the data:

- Small data (`skhuber._fit.small`) are standardised once, and each minimum is the start
  of the next.
- Large data are solved at one setting as always. That gives the sample, the
  standardisation and a minimum near all others. The rest is solved together: on a
  sample first, with one Hessian for each rho; then on all rows, from where the sample's
  minima say that the minima of all rows lie, ::

      θ(k) ≈ θ_sample(k) + θ(first) − θ_sample(first),

  each sweep serving all settings at once. So a grid needs hardly more sweeps than a
  single fit. Fits to a part of the rows (to a fold) start from the same places and
  whiten with the same Hessians: they need nothing else.
- In between they share the standardisation, and each fit starts from the minimum before
  it.

Every fit has the certificate that it would have alone; a setting that the shared ways
do not certify is fitted by `skhuber._fit.fit.fit_rows`. With a scale of "mad" each
setting of large data has a start of its own, which decides which one of several fixed
points is found; from there all settle together (`skhuber._fit.settled_grid`).
"""

from __future__ import annotations

import bisect
import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from skhuber._fit.certificate import may_have_collapsed
from skhuber._fit.fit import Ground, fit_rows, prepare, solve
from skhuber._fit.plan import Plan, plan_of
from skhuber._fit.problem import (
    OUTLIER_DAMPING,
    Evaluation,
    Problem,
    Together,
    Trust,
)
from skhuber._fit.result import (
    Fit,
    described,
    described_without_residuals,
    distances_of,
)
from skhuber._fit.settings import Settings
from skhuber._fit.settled_grid import Settled
from skhuber._fit.small import Small
from skhuber._fit.standardise import objective_of
from skhuber._fit.start import Start
from skhuber._objective import HuberObjective
from skhuber._rows import RowSource
from skhuber._runtime import one_blas_thread
from skhuber._solver.descent import Rules, descend, together
from skhuber._solver.quadratic import Model
from skhuber._solver.solution import Solution, Status
from skhuber._sums import Floats, Want

# A joint fit with about this rho is solved first: less robust ones let outliers move
# the minimum, and the others' starts with it.
_CENTRAL_RHO = 1.5
# Steps on all rows after which a setting is left to `fit_rows`.
_STEPS = 30
# The most steps on the sample with one Hessian, and the most Hessians.
_ROUND_STEPS = 6
_ROUNDS = 4
# A change of log σ by this much from one alpha to another asks for another Hessian.
_OTHER_SCALE = 0.1
# The sample is solved to this part of what separates its minimum from that of all rows:
# about p/(2m) of the objective.
_LOOSE = 1e-4
# The gap asked of fits together, in units of the tolerance. A step of theirs costs
# little and gains two digits or more; with one step more than certificates need (and
# the one that follows), predictions and scores are known to nine digits.
_TIGHT = 1e-3
# Settings with a scale of "mad" that settle together keep their residuals in float64.
# These take at most this part of the memory of X, or 32 MiB if that is more.
_RESIDUALS_SHARE = 0.5
_RESIDUALS_BYTES = 2**25
# Fewer settings gain little from being solved together.
_TOGETHER_MIN = 3


def fit_grid(rows: RowSource, grid: Sequence[Settings]) -> list[Fit]:
    """Fit the model with each of several settings; see `Grid`."""
    return Grid(rows, grid).fit(rows)


class Grid:
    """Several settings, to be fitted to rows or to parts of them.

    Parameters
    ----------
    rows : RowSource
        All rows.
    grid : sequence of Settings
        Settings that differ in rho and alpha only.
    """

    def __init__(self, rows: RowSource, grid: Sequence[Settings]) -> None:
        self._rows = rows
        # From the largest threshold, where the problem is easiest, to the smallest.
        self._order = sorted(
            range(len(grid)), key=lambda k: (grid[k].alpha, -grid[k].rho)
        )
        self._grid = [grid[k] for k in self._order]

    # As in `fit_rows`.
    @np.errstate(over="ignore", invalid="ignore")
    def fit(self, rows: RowSource) -> list[Fit]:
        """Fit the model to all rows, or to a part of them, with each of the settings.

        Returns
        -------
        list of Fit
            In the order of the grid. If sums are not finite, so is every fit.
        """
        found = self._fit(rows)
        result: dict[int, Fit] = {}
        last: Fit | None = None
        for k, settings, fit in zip(self._order, self._grid, found, strict=True):
            if fit is None:
                fit = fit_rows(rows, settings, _start(rows, settings, last))
            result[k] = last = fit
        return [result[k] for k in range(len(found))]

    def _fit(self, rows: RowSource) -> list[Fit | None]:
        """Return what the shared ways certify, in the order of `_grid`."""
        plan = plan_of(rows)
        nothing: list[Fit | None] = [None] * len(self._grid)
        if plan.way == "compiled":
            return _fit_small(rows, self._grid)
        if plan.basis == "first":
            return nothing
        return self._fit_large(rows, plan)

    @one_blas_thread
    def _fit_large(self, rows: RowSource, plan: Plan) -> list[Fit | None]:
        if plan.group == 0 or len(self._grid) < _TOGETHER_MIN:
            return _fit_in_turn(rows, self._grid)
        if self._grid[0].scale == "mad":
            return _fit_settled(rows, plan, self._grid)
        surroundings = self._surroundings
        if surroundings is None:
            return [None] * len(self._grid)
        return surroundings.fit(rows)

    @functools.cached_property
    def _surroundings(self) -> _Surroundings | None:
        """Surroundings of the first solution on all rows; None if it is uncertified."""
        plan = plan_of(self._rows)
        ground = prepare(self._rows, plan, _least(self._grid))
        if ground is None:
            return None
        central = _central(self._grid)
        _, first = solve(ground, central)
        if first.status is not Status.CONVERGED:
            return None
        return _Surroundings(ground, self._grid, central, first)


def _start(rows: RowSource, settings: Settings, last: Fit | None) -> Start | None:
    """Return the coefficients of the last fit, and the scale of its residuals."""
    if last is None or settings.scale == "mad" or not last.converged:
        return None
    scale = last.scale
    if settings.scale == "joint":
        distances, unit = distances_of(rows, last)
        scale = unit * distances.joint_scale(settings.rho) or scale
    return Start(last.coef, last.intercept, scale, may_stay=False)


def _fit_small(rows: RowSource, grid: list[Settings]) -> list[Fit | None]:
    small = Small(rows, fit_intercept=grid[0].fit_intercept)
    last: Fit | None = None
    fits: list[Fit | None] = []
    for settings in grid:
        fit = None
        # (To look for the scale of these residuals would take longer than a step.)
        if last is not None and last.theta is not None:
            fit = small.fit(settings, last.theta)
        fit = fit or small.fit(settings)
        fits.append(fit)
        last = fit or last
    return fits


def _fit_in_turn(rows: RowSource, grid: list[Settings]) -> list[Fit | None]:
    fits: list[Fit | None] = [None] * len(grid)
    ground = prepare(rows, plan_of(rows), _least(grid))
    if ground is None:
        return fits
    last: Fit | None = None
    for k, settings in enumerate(grid):
        problem, solution = solve(ground, settings, _start(rows, settings, last))
        if solution.status is Status.CONVERGED:
            fits[k] = last = described(problem, settings, solution, n_iter_least=1)
    return fits


def _fit_settled(rows: RowSource, plan: Plan, grid: list[Settings]) -> list[Fit | None]:
    """Fit settings with a scale of "mad": together if residuals of them may be kept."""
    most = _RESIDUALS_SHARE * rows.n_elements * rows.dtype.itemsize
    each = rows.n_rows * np.dtype(np.float64).itemsize
    n_kept = int(max(most, _RESIDUALS_BYTES) / each)
    n_groups = -(-len(grid) // max(min(plan.group, n_kept), 1))
    size = -(-len(grid) // n_groups)
    if size < _TOGETHER_MIN or plan.sample_rows == 0:
        return _fit_in_turn(rows, grid)
    ground = prepare(rows, plan, _least(grid))
    if ground is None:
        return [None] * len(grid)
    settled = Settled(ground)
    fits: list[Fit | None] = []
    for k in range(0, len(grid), size):
        fits += settled.fit(grid[k : k + size])
    return fits


def _least(grid: list[Settings]) -> Settings:
    """Return the settings that units are made for.

    (With an infinite threshold they would be made for squares of outliers.)
    """
    return min(grid, key=lambda settings: settings.rho)


def _central(grid: list[Settings]) -> Settings:
    """Return the settings whose minimum tells most about the others'."""
    if grid[0].scale == "joint":
        return min(grid, key=lambda settings: abs(np.log(settings.rho / _CENTRAL_RHO)))
    return grid[len(grid) // 2]


@dataclass(frozen=True)
class _Near:
    """A minimum on the sample, and a quadratic model there."""

    theta: Floats
    model: Model


class _Surroundings:
    """Positions of the minima of all settings, relative to that of one setting.

    Parameters
    ----------
    ground : Ground
        Of all rows, with the sample that the first solution has found good.
    grid : list of Settings
    first : Settings
    solution : Solution
        Of the first settings, on all rows.
    """

    def __init__(
        self, ground: Ground, grid: list[Settings], first: Settings, solution: Solution
    ) -> None:
        self._ground = ground
        self._grid = grid
        self._first = first
        self._theta = solution.x
        self._objective = self._objective_of(first)
        plan, rows = ground.plan, ground.rows
        self._part = rows.sample(ground.samples.larger(plan.grid_rows))
        self._known = Trust(0.0).by_sample(self._part.n_rows)
        self._loose = _LOOSE * rows.n_features / self._part.n_rows
        self._on_sample = self._near([first], self._objective, solution.x)[0].theta
        size = plan.group
        self._groups = [grid[k : k + size] for k in range(0, len(grid), size)]
        # One group is kept for further rows; the Hessians of more would be too many.
        self._only = self._chain(grid) if len(self._groups) == 1 else None

    def fit(self, rows: RowSource) -> list[Fit | None]:
        """Return fits of all rows, or of a part of them; None if not certified."""
        fits: list[Fit | None] = []
        for group in self._groups:
            near = self._chain(group) if self._only is None else self._only
            fits += self._fit_group(rows, group, near)
        return fits

    def _fit_group(
        self, rows: RowSource, grid: list[Settings], near: list[_Near]
    ) -> list[Fit | None]:
        tol = grid[0].tol
        problems = [
            Problem(objective_of(rows, self._ground.frame, settings), rows, self._known)
            for settings in grid
        ]
        starts = [
            self._moved(problem.objective, one.theta)
            for problem, one in zip(problems, near, strict=True)
        ]
        models = [one.model for one in near]
        max_iter = min(_STEPS, grid[0].max_iter)
        solutions, found = _minimise(problems, models, starts, _TIGHT * tol, max_iter)
        return [
            self._certified(*one)
            for one in zip(problems, grid, solutions, found, strict=True)
        ]

    def _certified(
        self,
        problem: Problem,
        settings: Settings,
        solution: Solution,
        found: Evaluation,
    ) -> Fit | None:
        """Return the fit, if a sample's Hessian shows that its gap is small enough."""
        trust = Trust(settings.tol).by_sample(self._part.n_rows)
        is_close = solution.gap <= problem.trusting(trust).told(found).tolerance
        if not is_close or may_have_collapsed(problem.objective, solution):
            return None
        solution = replace(solution, status=Status.CONVERGED)
        return described_without_residuals(problem, settings, solution, found)

    def _chain(self, grid: list[Settings]) -> list[_Near]:
        """Return the minima on the sample: from rho to rho, away from the first one."""
        by_rho: dict[float, list[int]] = {}
        for k, settings in enumerate(grid):
            by_rho.setdefault(settings.rho, []).append(k)
        rhos = sorted(by_rho)
        split = bisect.bisect_left(rhos, self._first.rho)
        found: dict[int, _Near] = {}
        for side in (rhos[split:], rhos[:split][::-1]):
            objective, theta = self._objective, self._on_sample
            for rho in side:
                numbers = by_rho[rho]
                near = self._near([grid[k] for k in numbers], objective, theta)
                found.update(zip(numbers, near, strict=True))
                objective = self._objective_of(grid[numbers[0]])
                theta = near[0].theta
        return [found[k] for k in range(len(grid))]

    def _near(
        self, grid: list[Settings], last: HuberObjective, theta: Floats
    ) -> list[_Near]:
        """Return the minima on the sample of settings that differ in alpha alone.

        From the minimum θ of another objective, and with one Hessian: alpha changes the
        penalty, and hardly which rows are outliers.
        """
        problems = [
            Problem(self._objective_of(settings), self._part, Trust(0.0))
            for settings in grid
        ]
        start = self._moved_to(problems[0].objective, last, theta)
        starts = [start] * len(grid)
        for _ in range(_ROUNDS):
            model = self._model(problems[0], start)
            models = [
                replace(model, penalty=problem.objective.penalty_curvature)
                for problem in problems
            ]
            solutions, _ = _minimise(
                problems, models, starts, self._loose, _ROUND_STEPS
            )
            starts = [solution.x for solution in solutions]
            start = starts[0]
            if all(solution.status is Status.CONVERGED for solution in solutions):
                break
        near = []
        for problem, theta, model in zip(problems, starts, models, strict=True):
            # A penalty that changes the scale changes the Hessian, too.
            other = problem.objective.joint
            if other and abs(np.log(theta[-1] / start[-1])) > _OTHER_SCALE:
                model = self._model(problem, theta)
            near.append(_Near(theta, model))
        return near

    def _moved_to(
        self, objective: HuberObjective, last: HuberObjective, theta: Floats
    ) -> Floats:
        """Return the minimum θ of another objective, with the scale of this one."""
        u, intercept, scale = last.split(theta)
        if objective.joint:
            distances = Problem(last, self._part, Trust(0.0)).distances(theta)
            scale = distances.joint_scale(objective.rho)
            scale = max(scale, objective.scale_floor)
        return objective.theta(u, intercept, scale)

    def _moved(self, objective: HuberObjective, theta: Floats) -> Floats:
        """Return a minimum on the sample, moved as all rows moved the first one."""
        moved = theta + (self._theta - self._on_sample)
        if objective.joint:
            moved[-1] = theta[-1] * self._theta[-1] / self._on_sample[-1]
            moved[-1] = max(moved[-1], objective.scale_floor)
        return moved

    def _objective_of(self, settings: Settings) -> HuberObjective:
        return objective_of(self._ground.rows, self._ground.frame, settings)

    def _model(self, problem: Problem, theta: Floats) -> Model:
        model = problem.model(problem.evaluate(theta, Want(gram=np.float64)))
        assert model is not None
        return model.damped(OUTLIER_DAMPING)


def _minimise(
    problems: list[Problem],
    models: list[Model],
    starts: list[Floats],
    tol: float,
    max_iter: int,
) -> tuple[list[Solution], list[Evaluation]]:
    """Return the minima on the problems' rows, and their evaluations.

    A solution that converged is moved by its model's step, of which F is not asked: it
    changes F by no more than about the gap, and gains another digit of θ.
    """
    answers = Together([problem.trusting(Trust(tol)) for problem in problems])
    rules = Rules(max_iter, polish=0)
    descents = [
        descend(start, problem.part, rules, model)
        for start, problem, model in zip(starts, problems, models, strict=True)
    ]
    solutions = []
    found = together(descents, answers)
    for solution, problem in zip(found, problems, strict=True):
        if solution.status is Status.CONVERGED and solution.step is not None:
            moved = problem.part.moved(solution.x, solution.step)
            solution = replace(solution, x=problem.part.clip(moved))
        solutions.append(solution)
    return solutions, [answers.best[k] for k in range(len(problems))]
