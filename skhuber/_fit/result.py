"""Results of a fit, in the units of the data."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhuber._fit.problem import Evaluation, Problem
from skhuber._fit.settings import Settings
from skhuber._objective import HuberObjective, exponent
from skhuber._rows import Distances, RowSource
from skhuber._solver.solution import Solution, Status
from skhuber._sums import Data, Floats, Point, Sums


@dataclass(frozen=True)
class Model:
    """A model on the way to the minimum, in the units of the data."""

    coef: Floats
    intercept: float
    scale: float
    objective: float

    @classmethod
    def at(cls, objective: HuberObjective, theta: Floats, value: float) -> Model:
        """Return the model of a point."""
        u, intercept, scale = objective.split(theta)
        coef, natural_intercept = objective.frame.to_natural(u, intercept)
        return cls(
            coef,
            natural_intercept,
            objective.natural_scale(scale),
            objective.natural_value(value),
        )


@dataclass(frozen=True)
class Tally:
    """How the residuals of a fit lie about its threshold, in the units of the data.

    Attributes
    ----------
    norm : float
        √(Σ s c²).
    inlier : float
        Σ s over the rows with |r| ≤ threshold.
    n_outliers : int
    """

    norm: float
    inlier: float
    n_outliers: int

    @classmethod
    def of(
        cls, rows: RowSource, point: Point, cc: float, inlier: float, n_outliers: int
    ) -> Tally:
        """Return the tally of a fit from the sums of a sweep at its point."""
        unit = rows.weight_unit
        return cls(math.sqrt(cc / unit) / point.y_unit, inlier / unit, n_outliers)


@dataclass(frozen=True)
class Fit:
    """A fitted model, in the units of the data.

    Attributes
    ----------
    coef : ndarray of shape (p,)
    intercept, scale, objective : float
    gap : float
        Relative to the objective.
    n_iter, n_sweeps : int
    status : Status
    tally : Tally
    theta : ndarray or None
        The solution in standardised variables.
    point : Point
        Where the residuals are those of the fit; of rows in the basis of singular
        vectors, if the fit was made there.
    residuals : ndarray of shape (n,), or what the rows have in its place, or None
        Standardised residuals there, if they were kept.
    found : Evaluation or None
        The objective at the solution, without squares and Gram matrix.
    """

    coef: Floats
    intercept: float
    scale: float
    objective: float
    gap: float
    n_iter: int
    n_sweeps: int
    status: Status
    point: Point
    tally: Tally
    theta: Floats | None = None
    residuals: Any = None
    found: Evaluation | None = None

    @property
    def converged(self) -> bool:
        """True if the fit is certified."""
        return self.status is Status.CONVERGED

    @property
    def is_finite(self) -> bool:
        """True if sums over the data were finite."""
        return self.status is not Status.NOT_FINITE

    @property
    def is_stopped(self) -> bool:
        """True if a callback stopped the fit."""
        return self.status is Status.STOPPED

    def as_model(self) -> Model:
        """Return the fitted model alone."""
        return Model(self.coef, self.intercept, self.scale, self.objective)

    @classmethod
    def not_finite(cls, rows: RowSource) -> Fit:
        """Return what a fit to rows with bad values is."""
        nothing = np.full(rows.n_features, np.nan)
        point = Point(nothing, nothing, np.nan, np.nan, nothing, np.nan, np.nan, np.nan)
        return cls(
            coef=nothing,
            intercept=np.nan,
            scale=np.nan,
            objective=np.nan,
            gap=np.nan,
            n_iter=0,
            n_sweeps=rows.n_sweeps,
            status=Status.NOT_FINITE,
            point=point,
            tally=Tally(np.nan, np.nan, 0),
        )


def described(
    problem: Problem, settings: Settings, solution: Solution, *, n_iter_least: int
) -> Fit:
    """Return a solution in the units of the data, and what else a fit is asked for.

    The fit owns its residuals; a sweep finds them if the last one was elsewhere.
    """
    if solution.status is Status.NOT_FINITE:
        return Fit.not_finite(problem.rows)
    if solution.status is Status.STOPPED:
        problem = problem.unwatched()
    residuals = problem.residuals(solution.x)
    found = problem.evaluate(solution.x)
    tally = _tally(problem, solution, found.sums)
    fit = _fit(problem, settings, solution, tally, residuals, n_iter_least)
    sums = replace(found.sums, squares=None, gram=None)
    return replace(fit, found=replace(found, sums=sums))


def described_without_residuals(
    problem: Problem, settings: Settings, solution: Solution, found: Evaluation
) -> Fit:
    """Return a solution of which only an evaluation is known."""
    tally = _tally(problem, solution, found.sums)
    fit = _fit(problem, settings, solution, tally, None, 1)
    return replace(fit, found=found)


def _tally(problem: Problem, solution: Solution, sums: Sums) -> Tally:
    """Return the tally of a solution from its sums."""
    point = problem.objective.point(solution.x)
    return Tally.of(problem.rows, point, sums.cc, sums.inlier, sums.n_outliers)


def _fit(
    problem: Problem,
    settings: Settings,
    solution: Solution,
    tally: Tally,
    residuals: Any,
    n_iter_least: int,
) -> Fit:
    objective, rows = problem.objective, problem.rows
    point = objective.point(solution.x)
    model = Model.at(objective, solution.x, solution.value)
    if not isinstance(settings.scale, str):
        model = replace(model, scale=settings.scale)
        power = -objective.frame.y_power
        threshold = float(np.ldexp(settings.rho * settings.scale, power))
        point = replace(point, threshold=threshold)
    numbers = model.intercept, model.scale, model.objective
    if not (np.isfinite(model.coef).all() and all(map(math.isfinite, numbers))):
        return Fit.not_finite(rows)
    return Fit(
        coef=model.coef,
        intercept=model.intercept,
        scale=model.scale,
        objective=model.objective,
        gap=solution.gap / solution.value if solution.value > 0 else 0.0,
        n_iter=max(solution.n_iter, n_iter_least),
        n_sweeps=rows.n_sweeps,
        status=solution.status,
        point=point,
        tally=tally,
        theta=solution.x,
        residuals=residuals,
    )


def described_small(
    problem: Problem, settings: Settings, solution: Solution, s: Floats, r: Floats
) -> Fit:
    """Return a solution on rows of which all weights and residuals are known."""
    point = problem.objective.point(solution.x)
    size = np.abs(r)
    is_inlier = size <= point.threshold
    c = np.minimum(size, point.threshold)
    n_outliers = len(r) - int(np.count_nonzero(is_inlier))
    tally = Tally.of(
        problem.rows, point, float(s @ (c * c)), float(s @ is_inlier), n_outliers
    )
    return _fit(problem, settings, solution, tally, r.copy(), 1)


def residuals_of(rows: RowSource, fit: Fit) -> Floats:
    """Return the residuals of a fit to these rows in float64, in the unit of y.

    One sweep, unless the fit kept them.
    """
    return np.asarray(_standardised(rows, fit), np.float64) / fit.point.y_unit


def distances_of(rows: RowSource, fit: Fit) -> tuple[Distances, float]:
    """Return the |r| of a fit in a unit of its own, and that unit.

    One sweep, unless the fit kept the residuals in float64.
    """
    return rows.distances(_standardised(rows, fit)), 1.0 / fit.point.y_unit


def _standardised(rows: RowSource, fit: Fit) -> Any:
    """Return the standardised residuals of a fit to these rows in float64."""
    if fit.residuals is not None and fit.residuals.dtype == np.float64:
        return fit.residuals
    residuals = rows.new_residuals(double=True)
    rows.sweep([fit.point], residuals=residuals)
    return residuals


def robust_weights(
    rows: RowSource, fit: Fit, dtype: np.dtype
) -> tuple[Data, NDArray[np.bool_]]:
    """Return ψ(r)/r of every row, in the type of X, and whether it is an outlier.

    One sweep, unless the fit kept its residuals, which are overwritten.
    """
    if fit.residuals is None:
        residuals: Data = np.empty(rows.n_rows, dtype)
        rows.sweep([fit.point], residuals=residuals)
    else:
        residuals = fit.residuals.astype(dtype, copy=False)
    if rows.weight is not None:
        # In absent rows, products that overflow with either sign.
        residuals[np.isnan(residuals)] = np.inf
    return rows.robust_weights(residuals, fit.point.threshold)


def at_model(
    rows: RowSource, model: Model, rho: float
) -> tuple[Data, NDArray[np.bool_]]:
    """Return ψ(r)/r of every row at a model, in the type of X, and the outliers.

    One sweep.
    """
    moments = rows.moments(centred=True)
    spread = np.where(moments.spread > 0, moments.spread, 1.0)
    power = exponent(spread)
    y_power = int(exponent(model.scale))
    centre = float(moments.centre @ model.coef)
    point = Point(
        centre=moments.centre,
        unit=np.ldexp(1.0, -power),
        y_centre=model.intercept + centre,
        y_unit=float(np.ldexp(1.0, -y_power)),
        u=np.ldexp(model.coef, power - y_power),
        intercept=0.0,
        threshold=rho * float(np.ldexp(model.scale, -y_power)),
        scale=1.0,
    )
    residuals: Data = np.empty(rows.n_rows, rows.dtype)
    rows.sweep([point], residuals=residuals)
    if rows.weight is not None:
        residuals[np.isnan(residuals)] = np.inf
    return rows.robust_weights(residuals, point.threshold)
