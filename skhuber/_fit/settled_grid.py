"""Settings with a scale of "mad" on the same rows, which settle together.

Each setting starts where it would alone: at the fixed point on the sample to which
iteration from least squares leads. So it finds the same one of several fixed points.
Least squares are shared by the settings with one alpha. From the start on scales and
coefficients settle (`skhuber._fit.equation.settling`), and all settings share

- every sweep: it evaluates a step of each setting, and keeps the residuals of each for
  its median;
- the products of rows: from one rho to the next few rows cross the threshold, so the
  Hessians of all rhos take hardly more than that of one
  (`skhuber._fit.inlier_gram`). If the plan takes the Hessian of a sample instead, each
  setting has its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from skhuber._fit.certificate import may_have_collapsed
from skhuber._fit.equation import Look, Seen, near_fixed_point, settling
from skhuber._fit.fit import Ground, sampled
from skhuber._fit.inlier_gram import InlierGram
from skhuber._fit.levels import lacks_rows, raised, trust_of
from skhuber._fit.problem import (
    Evaluation,
    Problem,
    Trust,
    evaluate_together,
    median_scale_of,
)
from skhuber._fit.result import Fit, described_without_residuals
from skhuber._fit.settings import Settings
from skhuber._fit.standardise import objective_of
from skhuber._fit.start import mad_start
from skhuber._objective import HuberObjective
from skhuber._rows import RowSource
from skhuber._solver.descent import together
from skhuber._solver.quadratic import Model
from skhuber._solver.solution import Solution, Status
from skhuber._sums import Floats


@dataclass
class _Start:
    """A setting at its start on all rows."""

    settings: Settings
    problem: Problem
    found: Evaluation
    model: Model | None = None


class Settled:
    """Settings that settle together.

    Parameters
    ----------
    ground : Ground
        Of rows in memory, with a sample. A sample that lacks rows is replaced by one by
        leverage.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._gram: InlierGram | None = None
        if ground.plan.hessian_rows == 0:
            self._gram = InlierGram(ground.rows)
        # Scale and θ of least squares, by alpha.
        self._least: dict[float, tuple[float, Floats]] = {}

    def fit(self, grid: Sequence[Settings]) -> list[Fit | None]:
        """Return fits of some settings; None if one does not settle."""
        rows = self._ground.rows
        residuals = [rows.new_residuals(double=True) for _ in grid]
        starts = self._starts(grid, residuals)
        numbers = [k for k, one in enumerate(starts) if one.model is not None]
        looks = _Looks(
            rows,
            [residuals[k] for k in numbers],
            [starts[k].found for k in numbers],
        )
        iterations = []
        for k in numbers:
            one = starts[k]
            assert one.model is not None
            problem = one.problem.trusting(trust_of(one.problem, self._ground.plan))
            max_iter = one.settings.max_iter
            iterations.append(settling(problem, one.found.theta, one.model, max_iter))
        fits: list[Fit | None] = [None] * len(grid)
        found = together(iterations, looks)
        for k, end, last in zip(numbers, found, looks.last, strict=True):
            fits[k] = _fit_of(grid[k], *end, last)
        return fits

    def _starts(
        self, grid: Sequence[Settings], residuals: Sequence[Any]
    ) -> list[_Start]:
        """Return the settings at their starts on all rows, with Hessians there.

        The residuals at the starts are filled in.
        """
        samples = self._ground.samples
        while True:
            starts = self._evaluated(grid, residuals)
            assert samples.first is not None
            lacking = [
                one.found
                for one in starts
                if one.model is not None
                and lacks_rows(one.problem, one.found, one.model, samples.first)
            ]
            if samples.shares is not None or not lacking:
                return starts
            samples.resample_by_leverage(lacking[0])

    def _evaluated(
        self, grid: Sequence[Settings], residuals: Sequence[Any]
    ) -> list[_Start]:
        """Evaluate the minima on the sample on all rows, and make the Hessians."""
        samples, rows = self._ground.samples, self._ground.rows
        problems, thetas = [], []
        for settings in grid:
            objective, theta = near_fixed_point(samples, *self._least_squares(settings))
            problems.append(Problem(objective, rows, Trust(settings.tol)))
            thetas.append(theta)
        if self._gram is None:
            found = evaluate_together(problems, thetas, samples.want(), residuals)
        else:
            found = evaluate_together(problems, thetas, residuals=residuals)
        starts = [
            _Start(settings, problem, one)
            for settings, problem, one in zip(grid, problems, found, strict=True)
        ]
        for k in sorted(range(len(grid)), key=lambda k: grid[k].rho):
            starts[k].model = self._model(problems[k], found[k], residuals[k])
        return starts

    def _model(
        self, problem: Problem, found: Evaluation, residuals: Any
    ) -> Model | None:
        """Return the Hessian at an evaluation; None if it is of no use."""
        if not found.is_finite:
            return None
        if self._gram is not None:
            sums = self._gram.sums(
                problem.objective, found.theta, found.sums, residuals
            )
            return problem.whitening_model_of(replace(found, sums=sums))
        model = problem.whitening_model_of(found)
        return model and raised(model, found)

    def _least_squares(self, settings: Settings) -> tuple[HuberObjective, Floats]:
        """Return the objective with the scale from which to start, and θ."""
        ground = self._ground
        objective = objective_of(ground.rows, ground.frame, settings)
        if settings.alpha not in self._least:
            problem = Problem(objective, ground.rows, Trust(settings.tol))
            start, theta = mad_start(sampled(ground, problem))
            self._least[settings.alpha] = start.fixed_scale, theta
        scale, theta = self._least[settings.alpha]
        return objective.with_scale(max(scale, objective.scale_floor)), theta


class _Looks:
    """Answers to several settings that settle, one sweep for a step of each.

    Parameters
    ----------
    rows : RowSource
    residuals : sequence of K arrays
        At the evaluations that are known; they are overwritten.
    known : sequence of Evaluation

    Attributes
    ----------
    last : list of Evaluation
        The last one of each setting.
    """

    def __init__(
        self, rows: RowSource, residuals: Sequence[Any], known: Sequence[Evaluation]
    ) -> None:
        self.last = list(known)
        self._rows = rows
        self._residuals = residuals

    def __call__(self, numbers: list[int], asks: list[Look]) -> list[Seen]:
        """Return evaluations, and the scales of the residuals."""
        left = {
            k: ask
            for k, ask in zip(numbers, asks, strict=True)
            if not self._is_known(k, ask)
        }
        if left:
            found = evaluate_together(
                [ask.problem for ask in left.values()],
                [ask.theta for ask in left.values()],
                residuals=[self._residuals[k] for k in left],
            )
            for k, one in zip(left, found, strict=True):
                self.last[k] = one
        return [Seen(self.last[k], self._scale(k)) for k in numbers]

    def _is_known(self, k: int, ask: Look) -> bool:
        last = self.last[k]
        same = last.objective is ask.problem.objective
        return same and np.array_equal(last.theta, ask.theta)

    def _scale(self, k: int) -> float:
        if not self.last[k].is_finite:
            return np.nan
        return median_scale_of(self._rows, self._residuals[k])


def _fit_of(
    settings: Settings, problem: Problem, solution: Solution, found: Evaluation
) -> Fit | None:
    """Return the fit of a solution that is certified, and its last evaluation."""
    if solution.status is not Status.CONVERGED:
        return None
    if may_have_collapsed(problem.objective, solution):
        return None
    return described_without_residuals(problem, settings, solution, found)
