"""Many settings on the same rows: what their fits can share.

The settings differ in rho and alpha. How much can be shared depends on the data:

- Small data (`skhuber._direct`) are standardised once, and each minimum is the start of
  the next.
- Large data are solved at one setting as always. That gives the sample, the
  standardisation, and a minimum near all others. The rest is solved together: on the
  sample first, with one Hessian for each rho; then on all rows, from where the sample's
  minima say that the minima of all rows lie, ::

      θ(k) ≈ θ_sample(k) + θ(first) − θ_sample(first),

  each sweep (`Rows.sums_together`) serving all settings at once. So a grid needs hardly
  more sweeps than a single fit.
- In between they share the standardisation, and each fit starts from the minimum
  before it.

Every fit has the certificate that it would have alone; what the shared ways do not
certify is fitted by `skhuber._fit.fit_rows`. Fits with a scale of "mad" share the
standardisation only: where there are several fixed points, which one is found depends
on the start.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from skhuber._direct import Direct, is_direct_work
from skhuber._fit import (
    Fit,
    Settings,
    Start,
    described,
    fit_rows,
    frame_of,
    has_few_rows,
    minimise_directly,
    natural_tally,
    objective_of,
    solve,
    with_scale_collapsed,
)
from skhuber._minimise import hessian_pays, is_small
from skhuber._numba import one_blas_thread
from skhuber._objective import Frame, HuberObjective
from skhuber._problem import NonFiniteSumsError, Problem
from skhuber._rows import DenseRows, Rows
from skhuber._scale import joint_scale
from skhuber._sketch import Sketch
from skhuber._solver import (
    Solution,
    Status,
    Tolerance,
    Whitening,
    lbfgs_together,
)
from skhuber._sweep import Floats, Sums, Tally

# Settings are solved together in groups whose Hessians (p² numbers each) have at most
# this share of the numbers of X. A group of few gains little.
_GROUP_SHARE = 32
_GROUP_MIN = 3
# A joint fit with about this rho is solved first.
_CENTRAL_RHO = 1.5
# Steps on all rows after which a setting is left to `fit_rows`.
_STEPS = 30
# The most steps on the sample with one Hessian, and the most Hessians.
_ROUND_STEPS = 6
_ROUNDS = 4
# The sample is solved to this part of what separates its minimum from that of all rows:
# about p/(2m) of the objective.
_LOOSE = 1e-4
# The gap asked of fits together, in units of the tolerance. A step of theirs costs
# little, and gains two digits and more; with one step more than certificates need (and
# the one that follows), predictions and scores are known to nine digits.
_TIGHT = 1e-3


@dataclass(frozen=True)
class GridFit:
    """One fit of several."""

    fit: Fit
    tally: Tally
    """In the units of the data."""


# As in `fit_rows`.
@np.errstate(over="ignore", invalid="ignore")
def fit_grid(rows: Rows, grid: Sequence[Settings]) -> list[GridFit]:
    """Fit the model with each of several settings.

    Parameters
    ----------
    rows : Rows
    grid : sequence of Settings
        That differ in rho and alpha only.

    Returns
    -------
    list of GridFit
        In the order of the grid.

    Raises
    ------
    NonFiniteSumsError
        Where X holds NaN or infinity, or values whose sums overflow.
    """
    # From the largest threshold, where the problem is easiest, to the smallest.
    order = sorted(range(len(grid)), key=lambda k: (grid[k].alpha, -grid[k].rho))
    ordered = [grid[k] for k in order]
    found: list[GridFit | None]
    if is_direct_work(rows):
        found = _fit_directly(rows, ordered)
    elif _may_go_together(rows, ordered):
        with one_blas_thread():
            found = _fit_together(rows, ordered)
    elif not has_few_rows(rows):
        with one_blas_thread():
            found = _fit_in_turn(rows, ordered)
    else:
        found = [None] * len(ordered)
    result: dict[int, GridFit] = {}
    last: Fit | None = None
    for k, settings, one in zip(order, ordered, found, strict=True):
        if one is None:
            fit = fit_rows(rows, settings, _start(settings, last))
            one = GridFit(fit, fit.tally())
        result[k], last = one, one.fit
    return [result[k] for k in range(len(grid))]


def _start(settings: Settings, last: Fit | None) -> Start | None:
    """The coefficients of the last fit, and the scale of its residuals."""
    if last is None or settings.scale == "mad" or not last.converged:
        return None
    scale = last.scale
    if settings.scale == "joint":
        scale = _joint_scale(last, settings.rho) or scale
    return Start(last.coef, last.intercept, scale)


def _joint_scale(last: Fit, rho: float) -> float:
    """The joint scale of a fit's residuals with another rho, in the unit of y."""
    distance = np.abs(last.rows.residuals(last.point)) / last.point.y_unit
    return joint_scale(distance, rho, last.rows.weight)


def _fit_directly(rows: Rows, grid: list[Settings]) -> list[GridFit | None]:
    assert isinstance(rows, DenseRows)
    direct = Direct(rows, fit_intercept=grid[0].fit_intercept)
    last: tuple[HuberObjective, Solution, Fit] | None = None
    fits: list[GridFit | None] = []
    for settings in grid:
        found = None
        if last is not None:
            objective, solution, fit = last
            start = solution.x.copy()
            scale = _joint_scale(fit, settings.rho) if objective.joint else 0.0
            if scale > 0:
                start[-1] = scale * fit.point.y_unit
            found = minimise_directly(direct, settings, start)
        found = found or minimise_directly(direct, settings)
        if found is None:
            fits.append(None)
            continue
        fit = described(rows, settings, *found, n_iter_least=1)
        fits.append(GridFit(fit, fit.tally()))
        last = (*found, fit)
    return fits


def _fit_in_turn(rows: Rows, grid: list[Settings]) -> list[GridFit | None]:
    fits: list[GridFit | None] = [None] * len(grid)
    try:
        sketch = Sketch(rows)
        frame = frame_of(sketch, _least(grid), by_largest=False)
        last: Fit | None = None
        for k, settings in enumerate(grid):
            start = _start(settings, last)
            objective, solution = solve(sketch, frame, settings, start)
            if solution.status is Status.CONVERGED:
                last = described(rows, settings, objective, solution, n_iter_least=1)
                fits[k] = GridFit(last, last.tally())
    except NonFiniteSumsError:
        return fits  # `fit_rows` knows more ways
    return fits


def _least(grid: list[Settings]) -> Settings:
    """The settings that units are made for.

    (Of a threshold that is infinite, they are made for squares of outliers.)
    """
    return min(grid, key=lambda settings: settings.rho)


def _may_go_together(rows: Rows, grid: list[Settings]) -> bool:
    group = _group_size(rows)
    return (
        grid[0].scale != "mad"
        and not is_small(rows)
        and min(group, len(grid)) >= _GROUP_MIN
    )


def _group_size(rows: Rows) -> int:
    return rows.n_elements // (_GROUP_SHARE * rows.n_features**2)


def _fit_together(rows: Rows, grid: list[Settings]) -> list[GridFit | None]:
    """Fits of large data; None where they are not certified."""
    try:
        sketch = Sketch(rows)
        frame = frame_of(sketch, _least(grid), by_largest=False)
        central = _central(grid)
        _, first = solve(sketch, frame, central, None)
    except NonFiniteSumsError:
        return [None] * len(grid)
    if first.status is not Status.CONVERGED:
        return [None] * len(grid)
    group = _Group(sketch, frame, central, first)
    size = _group_size(rows)
    fits: list[GridFit | None] = []
    for k in range(0, len(grid), size):
        fits += group.fit(grid[k : k + size])
    return fits


def _central(grid: list[Settings]) -> Settings:
    """Settings whose minimum tells most about the others'."""
    if grid[0].scale == "joint":
        # With less robust ones outliers would move it, and the others' starts with it.
        return min(grid, key=lambda settings: abs(np.log(settings.rho / _CENTRAL_RHO)))
    return grid[len(grid) // 2]


@dataclass(frozen=True)
class _Near:
    """A minimum on the sample, and coordinates for steps from there."""

    theta: Floats
    whitening: Whitening


class _Group:
    """Settings that are solved together, near the minimum of one of them.

    Parameters
    ----------
    sketch : Sketch
        With the sample that the first solution has found good.
    frame : Frame
    first : Settings
    solution : Solution
        Of the first settings, on all rows.
    """

    def __init__(
        self, sketch: Sketch, frame: Frame, first: Settings, solution: Solution
    ) -> None:
        self._sketch = sketch
        self._frame = frame
        self._first = first
        self._theta = solution.x
        self._objective = self._objective_of(first)
        self._loose = _LOOSE * sketch.rows.n_features / sketch.part.n_rows
        near = self._near([first], self._objective, solution.x)[0]
        self._on_sample = near.theta

    def fit(self, grid: list[Settings]) -> list[GridFit | None]:
        """Fits of all rows; None where they are not certified."""
        near = self._chain(grid)
        objectives = [self._objective_of(settings) for settings in grid]
        sums: dict[int, Sums] = {}
        solutions = self._minimise(
            self._sketch.rows,
            objectives,
            [one.whitening for one in near],
            [
                self._moved(objective, one.theta)
                for objective, one in zip(objectives, near, strict=True)
            ],
            _TIGHT * grid[0].tol,
            min(_STEPS, grid[0].max_iter),
            sums,
        )
        return [
            self._certified(settings, objective, solution, sums.get(k))
            for k, (settings, objective, solution) in enumerate(
                zip(grid, objectives, solutions, strict=True)
            )
        ]

    def _chain(self, grid: list[Settings]) -> list[_Near]:
        """The minima on the sample: from rho to rho, away from the first one."""
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
        """The minima on the sample of settings that differ in alpha alone.

        From the minimum θ of another objective, and with one Hessian: alpha changes the
        penalty, and hardly who is an outlier.
        """
        part = self._sketch.part
        objectives = [self._objective_of(settings) for settings in grid]
        loss = self._objective_of(replace(grid[0], alpha=0.0))
        u, intercept, scale = last.split(theta)
        if loss.joint:
            distance = np.abs(part.residuals(last.point(theta)))
            scale = joint_scale(distance, loss.rho, part.weight)
            scale = max(scale, loss.scale_floor)
        start = loss.theta(u, intercept, scale)
        starts = [start] * len(grid)
        for _ in range(_ROUNDS):
            hessian = self._hessian(loss, start)
            whitenings = [
                Whitening(objective.add_penalty(hessian.copy()))
                for objective in objectives
            ]
            solutions = self._minimise(
                part, objectives, whitenings, starts, self._loose, _ROUND_STEPS
            )
            starts = [solution.x for solution in solutions]
            start = starts[0]
            if all(solution.status is Status.CONVERGED for solution in solutions):
                break
        return [
            _Near(theta, whitening)
            for theta, whitening in zip(starts, whitenings, strict=True)
        ]

    def _moved(self, objective: HuberObjective, theta: Floats) -> Floats:
        """A minimum on the sample, moved as the first setting's was by all rows."""
        moved = theta + (self._theta - self._on_sample)
        if objective.joint:
            moved[-1] = theta[-1] * self._theta[-1] / self._on_sample[-1]
            moved[-1] = max(moved[-1], objective.scale_floor)
        return moved

    def _objective_of(self, settings: Settings) -> HuberObjective:
        return objective_of(self._sketch.rows, self._frame, settings)

    def _hessian(self, objective: HuberObjective, theta: Floats) -> Floats:
        """Of the sample, or its diagonal."""
        problem = Problem(objective, self._sketch.part)
        if not hessian_pays(self._sketch):
            return problem.diagonal(theta)[0]
        hessian, above = problem.hessian(theta)
        return hessian + 1e-3 * above

    def _minimise(
        self,
        rows: Rows,
        objectives: list[HuberObjective],
        whitenings: list[Whitening],
        starts: list[Floats],
        tol: float,
        max_iter: int,
        sums: dict[int, Sums] | None = None,
    ) -> list[Solution]:
        def function(
            numbers: list[int], thetas: list[Floats]
        ) -> list[tuple[float, Floats]]:
            points = [
                objectives[k].point(theta)
                for k, theta in zip(numbers, thetas, strict=True)
            ]
            answers = rows.sums_together(points)
            if sums is not None:
                sums.update(zip(numbers, answers, strict=True))
            return [
                objectives[k].value_gradient(theta, answer, rows.total_weight)
                for k, theta, answer in zip(numbers, thetas, answers, strict=True)
            ]

        return lbfgs_together(
            function,
            whitenings,
            starts,
            lower_last=[objective.lower_last for objective in objectives],
            tolerances=[_tolerance(objective, tol) for objective in objectives],
            max_iter=max_iter,
        )

    def _certified(
        self,
        settings: Settings,
        objective: HuberObjective,
        solution: Solution,
        sums: Sums | None,
    ) -> GridFit | None:
        if solution.status is not Status.CONVERGED:
            return None
        rows = self._sketch.rows
        kept = with_scale_collapsed(self._sketch, objective, solution, settings)
        if kept[1] is not solution:
            return None
        assert sums is not None
        assert sums.n_outliers is not None
        fit = described(rows, settings, objective, solution, n_iter_least=1)
        tally = Tally(sums.cc, sums.inlier, sums.n_outliers)
        return GridFit(fit, natural_tally(tally, rows, fit.point))


def _tolerance(objective: HuberObjective, tol: float) -> Tolerance:
    return lambda theta, value: objective.tolerance(theta, value, tol)
