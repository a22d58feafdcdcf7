"""Paths of elastic nets: fits with falling alphas, which share sweeps.

As in `skhuber._fit.grid`, how much can be shared depends on the data:

- Many columns: one working set serves several alphas, and one sweep checks them
  (`skhuber._fit.working_set`).
- Large data with few columns: the path is followed on a sample, each minimum the start
  of the next. The Hessians of all rows at a few of these minima then serve all alphas,
  which are solved at once: a sweep evaluates each of them. Folds of the data start from
  the same minima, with the same Hessians.
- Other data: one fit after another, each from the minimum before it.

A fit that the shared ways do not certify is repeated alone. The path ends where a joint
scale falls to zero: beyond that the model meets most rows exactly.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from skhuber._fit.certificate import may_have_collapsed
from skhuber._fit.columns import ColumnStatistics
from skhuber._fit.elastic_net import (
    Net,
    NetFit,
    net_statistics,
    relative_dual_gap,
)
from skhuber._fit.fit import Ground, fit_rows, prepare, solve
from skhuber._fit.plan import plan_of
from skhuber._fit.problem import OUTLIER_DAMPING, Problem, Together, Trust
from skhuber._fit.result import Fit, described, described_without_residuals
from skhuber._fit.settings import Settings
from skhuber._fit.standardise import objective_of
from skhuber._fit.start import Start, median_start
from skhuber._fit.wide import fit_wide
from skhuber._rows import RowSource
from skhuber._runtime import one_blas_thread
from skhuber._solver.descent import Rules, descend, drive, together
from skhuber._solver.quadratic import Model
from skhuber._solver.solution import Solution, Status
from skhuber._sums import Floats, Want

# The minima on the sample are found to this part of what separates them from those of
# all rows, in at most so many steps.
_LOOSE = 0.01
_SAMPLE_STEPS = 30
# Minima of the path at which there is a Hessian of all rows.
_ANCHORS = 6
# Steps on all rows after which an alpha is left to a fit alone.
_STEPS = 30


@dataclass(frozen=True)
class _Near:
    """A minimum on the sample, and a Hessian of all rows near there."""

    theta: Floats
    scale: float
    model: Model


class NetPath:
    """Elastic nets with falling alphas, to be fitted to rows or to parts of them.

    Parameters
    ----------
    rows : RowSource
        All rows.
    settings : Settings
        With the threshold and the scale; its alpha does not count.
    nets : sequence of Net
        From the largest alpha to the smallest; they differ in nothing else.
    statistics : ColumnStatistics
        Of all rows, with these settings.
    """

    def __init__(
        self,
        rows: RowSource,
        settings: Settings,
        nets: Sequence[Net],
        statistics: ColumnStatistics,
    ) -> None:
        self._rows = rows
        self._statistics = statistics
        self._settings = settings
        self._nets = list(nets)

    @np.errstate(over="ignore", invalid="ignore")
    @one_blas_thread
    def fit(self, rows: RowSource) -> list[NetFit]:
        """Return the fits to rows, of which there are fewer if the path ends."""
        statistics = self._statistics
        if rows is not self._rows:
            statistics = net_statistics(rows, self._settings, self._nets[0])
        if not statistics.is_finite:
            return [NetFit(Fit.not_finite(rows), np.nan)]
        grid = self._grid(rows, statistics)
        return [
            NetFit(fit, relative_dual_gap(fit, statistics))
            for fit in self._fit(rows, grid)
        ]

    def _grid(self, rows: RowSource, statistics: ColumnStatistics) -> list[Settings]:
        weight = rows.natural_weight
        return [
            net.settings(self._settings, net.penalty(weight, statistics))
            for net in self._nets
        ]

    def _fit(self, rows: RowSource, grid: list[Settings]) -> list[Fit]:
        plan = plan_of(rows, grid[0].penalty)
        if plan.working_set:
            return fit_wide(rows, grid)
        if plan.group and plan.sample_rows and self._settings.scale != "mad":
            nears = self._nears
            if nears is not None:
                size = plan.group
                fits: list[Fit] = []
                for k in range(0, len(grid), size):
                    some = slice(k, k + size)
                    fits += self._fit_together(rows, grid[some], nears[some])
                return fits
        return _fit_in_turn(rows, grid)

    @functools.cached_property
    def _ground(self) -> Ground | None:
        return prepare(
            self._rows, plan_of(self._rows, self._all[0].penalty), self._all[0]
        )

    @functools.cached_property
    def _all(self) -> list[Settings]:
        """The settings of fits to all rows."""
        return self._grid(self._rows, self._statistics)

    @functools.cached_property
    def _nears(self) -> list[_Near] | None:
        """The path on the sample, with Hessians of all rows."""
        ground, grid = self._ground, self._all
        if ground is None:
            return None
        thetas = self._on_sample(ground, grid)
        if len(thetas) < len(grid):
            return None
        places = np.linspace(0, len(grid) - 1, min(_ANCHORS, len(grid)))
        anchors = {}
        for k in np.unique(places.round().astype(int)):
            problem = self._problem(self._rows, grid[k])
            _, model = problem.whitening_model(thetas[k])
            if model is None:
                return None
            anchors[int(k)] = model
        nears = []
        for k, theta in enumerate(thetas):
            at = min(anchors, key=lambda anchor: abs(anchor - k))
            objective = self._problem(self._rows, grid[k]).objective
            _, _, scale = objective.split(theta)
            _, _, other = objective.split(thetas[at])
            model = anchors[at].scaled(other / scale)
            model = replace(model, penalty=objective.penalty_curvature)
            nears.append(_Near(theta, scale, model))
        return nears

    def _problem(self, rows: RowSource, settings: Settings) -> Problem:
        assert self._ground is not None
        trust = Trust(settings.tol, rows.n_present, 1)
        return Problem(objective_of(rows, self._ground.frame, settings), rows, trust)

    def _on_sample(self, ground: Ground, grid: list[Settings]) -> list[Floats]:
        """Return the minima on the sample, each the start of the next."""
        rows = self._rows.sample(ground.samples.larger(ground.plan.grid_rows))
        trust = Trust(_LOOSE * rows.n_features / rows.n_rows)
        thetas: list[Floats] = []
        model: Model | None = None
        for settings in grid:
            objective = objective_of(self._rows, ground.frame, settings)
            problem = Problem(objective, rows, trust)
            if not thetas:
                theta = median_start(problem)
            if model is None:
                found = problem.evaluate(theta, Want(gram=np.float64))
                model = problem.model(found)
                if model is None:
                    break
                model = model.damped(OUTLIER_DAMPING)
            model = replace(model, penalty=objective.penalty_curvature)
            rules = Rules(_SAMPLE_STEPS, polish=0)
            solution = drive(descend(theta, problem.part, rules, model), problem.answer)
            theta = solution.x
            thetas.append(theta)
            learnt = solution.model
            is_learnt = solution.status is Status.CONVERGED and isinstance(
                learnt, Model
            )
            model = learnt if is_learnt and isinstance(learnt, Model) else None
        return thetas

    def _fit_together(
        self, rows: RowSource, grid: list[Settings], nears: list[_Near]
    ) -> list[Fit]:
        problems = [self._problem(rows, settings) for settings in grid]
        answers = Together(problems)
        rules = Rules(min(_STEPS, grid[0].max_iter), polish=0)
        solutions = together(
            [
                descend(near.theta, problem.part, rules, near.model)
                for problem, near in zip(problems, nears, strict=True)
            ],
            answers,
        )
        fits: list[Fit] = []
        for k, (problem, settings) in enumerate(zip(problems, grid, strict=True)):
            solution, one = solutions[k], answers.best[k]
            is_there = np.array_equal(one.theta, solution.x)
            if is_there and _is_certified(problem, solution):
                fit = described_without_residuals(problem, settings, solution, one)
            else:
                fit = fit_rows(rows, settings, _start(fits[-1] if fits else None))
            fits.append(fit)
        return fits


def _is_certified(problem: Problem, solution: Solution) -> bool:
    collapsed = may_have_collapsed(problem.objective, solution)
    return solution.status is Status.CONVERGED and not collapsed


def _start(last: Fit | None) -> Start | None:
    """Return the last fit as the start of the next."""
    if last is None or not last.converged:
        return None
    return Start(last.coef, last.intercept, last.scale, may_stay=False)


def _fit_in_turn(rows: RowSource, grid: list[Settings]) -> list[Fit]:
    fits: list[Fit] = []
    if grid[0].penalty is None:
        return [fit_rows(rows, settings) for settings in grid]
    ground = prepare(rows, plan_of(rows, grid[0].penalty), grid[0])
    last: Fit | None = None
    for settings in grid:
        fit = None
        if ground is not None:
            problem, solution = solve(ground, settings, _start(last))
            if solution.status is Status.CONVERGED:
                fit = described(problem, settings, solution, n_iter_least=1)
                fit = replace(fit, residuals=None)
        fits.append(fit or fit_rows(rows, settings))
        last = fits[-1]
        if not last.is_finite or last.status is Status.COLLAPSED:
            break
    return fits
