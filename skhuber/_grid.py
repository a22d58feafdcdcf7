"""Many settings on the same rows: what their fits can share.

The settings differ in rho and alpha. How much can be shared depends on the data:

- Small data (`skhuber._direct`) are standardised once, and each minimum is the start of
  the next.
- Large data are solved at one setting as always. That gives the sample, the
  standardisation, and a minimum near all others. The rest is solved together: on the
  larger sample first, with one Hessian for each rho; then on all rows, from where the
  sample's minima say that the minima of all rows lie, ::

      θ(k) ≈ θ_sample(k) + θ(first) − θ_sample(first),

  each sweep (`Rows.sums_together`) serving all settings at once. So a grid needs hardly
  more sweeps than a single fit. Fits to a part of the rows (to a fold) start from the
  same places and whiten with the same Hessians: they need nothing else.
- In between they share the standardisation, and each fit starts from the minimum
  before it.

Every fit has the certificate that it would have alone; what the shared ways do not
certify is fitted by `skhuber._fit.fit_rows`. Fits with a scale of "mad" share the
standardisation only: where there are several fixed points, which one is found depends
on the start.
"""

from __future__ import annotations

import bisect
import functools
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
    may_have_collapsed,
    minimise_directly,
    natural_tally,
    objective_of,
    solve,
)
from skhuber._minimise import OUTLIER_PART, hessian_pays, is_small, trusted_gap
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
# A change of log σ by this much from one alpha to another asks for another Hessian.
_OTHER_SCALE = 0.1
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


def fit_grid(rows: Rows, grid: Sequence[Settings]) -> list[GridFit]:
    """Fit the model with each of several settings; see `Grid`."""
    return Grid(rows, grid).fit(rows)


class Grid:
    """Several settings, to be fitted to rows or to parts of them.

    Parameters
    ----------
    rows : Rows
        All rows.
    grid : sequence of Settings
        That differ in rho and alpha only.
    """

    def __init__(self, rows: Rows, grid: Sequence[Settings]) -> None:
        self._rows = rows
        # From the largest threshold, where the problem is easiest, to the smallest.
        self._order = sorted(
            range(len(grid)), key=lambda k: (grid[k].alpha, -grid[k].rho)
        )
        self._grid = [grid[k] for k in self._order]

    # As in `fit_rows`.
    @np.errstate(over="ignore", invalid="ignore")
    def fit(self, rows: Rows) -> list[GridFit]:
        """Fit the model to all rows, or to a part of them, with each of the settings.

        Returns
        -------
        list of GridFit
            In the order of the grid.

        Raises
        ------
        NonFiniteSumsError
            Where X holds NaN or infinity, or values whose sums overflow.
        """
        found = self._fit(rows)
        result: dict[int, GridFit] = {}
        last: Fit | None = None
        for k, settings, one in zip(self._order, self._grid, found, strict=True):
            if one is None:
                fit = fit_rows(rows, settings, _start(settings, last))
                one = GridFit(fit, fit.tally())
            result[k], last = one, one.fit
        return [result[k] for k in range(len(found))]

    def _fit(self, rows: Rows) -> list[GridFit | None]:
        """What the shared ways certify, in the order of `_grid`; None for the rest."""
        if is_direct_work(rows):
            return _fit_directly(rows, self._grid)
        nothing: list[GridFit | None] = [None] * len(self._grid)
        if has_few_rows(rows) or rows.without_empty_columns() is not None:
            return nothing
        with one_blas_thread():
            if not _may_go_together(rows, self._grid):
                return _fit_in_turn(rows, self._grid)
            surroundings = self._surroundings
            if surroundings is None:
                return nothing
            return surroundings.fit(rows)

    @functools.cached_property
    def _surroundings(self) -> _Surroundings | None:
        """Of the first solution on all rows; None where that is not certified."""
        try:
            sketch = Sketch(self._rows, keep=True)
            frame = frame_of(sketch, _least(self._grid), by_largest=False)
            central = _central(self._grid)
            _, first = solve(sketch, frame, central, None)
        except NonFiniteSumsError:
            return None
        if first.status is not Status.CONVERGED:
            return None
        return _Surroundings(sketch, frame, self._grid, central, first)


def _start(settings: Settings, last: Fit | None) -> Start | None:
    """The coefficients of the last fit, and the scale of its residuals."""
    if last is None or settings.scale == "mad" or not last.converged:
        return None
    scale = last.scale
    if settings.scale == "joint":
        found = joint_scale(last.distances(), settings.rho, last.rows.weight)
        scale = found or scale
    return Start(last.coef, last.intercept, scale)


def _fit_directly(rows: Rows, grid: list[Settings]) -> list[GridFit | None]:
    assert isinstance(rows, DenseRows)
    direct = Direct(rows, fit_intercept=grid[0].fit_intercept)
    start: Floats | None = None
    fits: list[GridFit | None] = []
    for settings in grid:
        # (To look for the scale of these residuals would take longer than a step.)
        found = start is not None and minimise_directly(direct, settings, start)
        found = found or minimise_directly(direct, settings)
        if found is None:
            fits.append(None)
            continue
        start = found[1].x
        fit = described(rows, settings, *found, n_iter_least=1)
        fits.append(GridFit(fit, fit.tally()))
    return fits


def _fit_in_turn(rows: Rows, grid: list[Settings]) -> list[GridFit | None]:
    fits: list[GridFit | None] = [None] * len(grid)
    try:
        sketch = Sketch(rows, keep=True)
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


class _Surroundings:
    """Where the minima of all settings lie, seen from that of one of them.

    Parameters
    ----------
    sketch : Sketch
        Of all rows, with the sample that the first solution has found good.
    frame : Frame
    grid : list of Settings
    first : Settings
    solution : Solution
        Of the first settings, on all rows.
    """

    def __init__(
        self,
        sketch: Sketch,
        frame: Frame,
        grid: list[Settings],
        first: Settings,
        solution: Solution,
    ) -> None:
        self._sketch = sketch
        self._frame = frame
        self._grid = grid
        self._first = first
        self._theta = solution.x
        self._objective = self._objective_of(first)
        self._part = sketch.larger_sample()
        self._n_known = self._part.n_rows
        self._loose = _LOOSE * sketch.rows.n_features / self._n_known
        near = self._near([first], self._objective, solution.x)[0]
        self._on_sample = near.theta
        size = _group_size(sketch.rows)
        self._groups = [grid[k : k + size] for k in range(0, len(grid), size)]
        # One group is kept for further rows; the Hessians of more would be too many.
        self._only: list[_Near] | None = None
        if len(self._groups) == 1:
            self._only = self._chain(grid)
            del self._part  # it may be a copy

    def fit(self, rows: Rows) -> list[GridFit | None]:
        """Fits of all rows, or of a part of them; None where they are not certified."""
        fits: list[GridFit | None] = []
        for group in self._groups:
            near = self._chain(group) if self._only is None else self._only
            fits += self._fit_group(rows, group, near)
        return fits

    def _fit_group(
        self, rows: Rows, grid: list[Settings], near: list[_Near]
    ) -> list[GridFit | None]:
        objectives = [objective_of(rows, self._frame, settings) for settings in grid]
        sums: dict[int, Sums] = {}
        solutions = _minimise(
            rows,
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
            _certified(rows, settings, objective, solution, sums.get(k), self._n_known)
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
        part = self._part
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
            solutions = _minimise(
                part, objectives, whitenings, starts, self._loose, _ROUND_STEPS
            )
            starts = [solution.x for solution in solutions]
            start = starts[0]
            if all(solution.status is Status.CONVERGED for solution in solutions):
                break
        near = []
        for objective, theta, whitening in zip(
            objectives, starts, whitenings, strict=True
        ):
            # A penalty that changes the scale changes the Hessian, too.
            if objective.joint and abs(np.log(theta[-1] / start[-1])) > _OTHER_SCALE:
                hessian = self._hessian(loss, theta)
                whitening = Whitening(objective.add_penalty(hessian))
            near.append(_Near(theta, whitening))
        return near

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
        problem = Problem(objective, self._part)
        if not hessian_pays(self._sketch):
            return problem.diagonal(theta)[0]
        hessian, above = problem.hessian(theta)
        return hessian + OUTLIER_PART * above


def _minimise(
    rows: Rows,
    objectives: list[HuberObjective],
    whitenings: list[Whitening],
    starts: list[Floats],
    tol: float,
    max_iter: int,
    sums: dict[int, Sums] | None = None,
) -> list[Solution]:
    """The minima on these rows; `sums` takes the last sums of each."""

    def function(
        numbers: list[int], thetas: list[Floats]
    ) -> list[tuple[float, Floats]]:
        points = [
            objectives[k].point(theta) for k, theta in zip(numbers, thetas, strict=True)
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
    rows: Rows,
    settings: Settings,
    objective: HuberObjective,
    solution: Solution,
    sums: Sums | None,
    n_known: int,
) -> GridFit | None:
    if sums is None:
        return None
    x, value = solution.x, solution.value
    most = trusted_gap(objective, x, sums.inlier / rows.total_weight, n_known)
    # (As in a fit alone, half of the tolerance: the Hessian of a sample is uncertain.)
    close = solution.gap <= objective.tolerance(x, value, 0.5 * settings.tol, most)
    if not close or may_have_collapsed(objective, solution):
        return None
    is_last = solution.status is Status.CONVERGED
    solution = replace(solution, status=Status.CONVERGED)
    fit = described(rows, settings, objective, solution, n_iter_least=1)
    if not is_last:
        return GridFit(fit, fit.tally())
    assert sums.n_outliers is not None
    tally = Tally(float(np.sqrt(sums.cc)), sums.inlier, sums.n_outliers)
    return GridFit(fit, natural_tally(tally, rows, fit.point))


def _tolerance(objective: HuberObjective, tol: float) -> Tolerance:
    return lambda theta, value: objective.tolerance(theta, value, tol)
