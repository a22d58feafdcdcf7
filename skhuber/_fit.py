"""From rows to a fitted model: sample, start, minimise, certify.

1. **Sample.** Of many rows a small sample is solved first. It gives the
   standardisation (`Frame`) and the start; another one gives the Hessian that whitens
   the full problem.
2. **Start.** Least squares, or the median of y with no coefficients: whichever has the
   lower objective. (Under gross outliers least squares can be worse than nothing.)
3. **Minimise**: `skhuber._minimise`; for a scale of "mad" within `skhuber._mad`.
4. **Certify.** The gap is ½ gᵀH⁻¹g, as the minimisers measure it; a fit is certified
   when it is at most ``tol`` times the objective, or below what rounding makes of
   residuals.

Small data take `skhuber._direct` instead, which does all that in one compiled call.
Few rows, and rows of very different length, go through all that in the basis of their
singular vectors (`_fit_rotated`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from skhuber._direct import Direct, is_direct_work
from skhuber._mad import mad_fixed_point
from skhuber._minimise import FULL_HESSIAN_MAX, hessian_pays, minimise
from skhuber._numba import one_blas_thread
from skhuber._objective import RESIDUAL_ROUNDING, Frame, HuberObjective, exponent
from skhuber._problem import NonFiniteSumsError, Problem
from skhuber._rows import Data, DenseRows, Rows
from skhuber._scale import weighted_median
from skhuber._sketch import Sketch
from skhuber._solver import Solution, Status, Whitening, solve_semidefinite
from skhuber._sweep import Floats, Point, Tally

_EPS = float(np.finfo(np.float64).eps)
# Coefficients of more than two to this power are left at zero: 2^1024 overflows.
_COEFFICIENT_POWER = 980
# F of an exact fit is about its scale; one of more than so many is none.
_EXACT = 1e3
# Where a scale that fell to zero is held instead, in mean residuals.
_COLLAPSED_SCALE = 1e-9
# From a joint scale below this no way leads up to a larger one: there the loss is so
# stiff that neither steps nor gaps tell more than rounding errors.
_LEAST_START_SCALE = 1e-6
# With a scale (in units of the spread of y) below this, sums of squares overflow.
_LEAST_SCALE_OF_SQUARES = 2.0**-400
# Data with at most this many rows for each column may have fewer independent rows than
# columns, and are fitted in the basis of their singular vectors if that takes no more
# than this many multiplications (a second or so).
_ROTATION_ROWS_PER_COLUMN = 4
_ROTATION_WORK = 2**32
# Their dense copy has at most this many times as many numbers as X stores, or this many
# (32 MB); the decomposition takes two or three times as much for a while.
_ROTATION_SHARE = 16
_ROTATION_ELEMENTS = 2**22
# Iterations kept back for a second attempt, in that basis or with another scale.
_SECOND_ITER = 300


@dataclass(frozen=True)
class Fit:
    """A fitted model, in the units of the data."""

    coef: Floats
    intercept: float
    scale: float
    objective: float
    gap: float
    """Relative to the objective."""
    n_iter: int
    n_sweeps: int
    converged: bool
    message: str
    rows: Rows
    point: Point
    """Of those rows, which need not be in the units of the data."""

    def by_row(self) -> tuple[Data, NDArray[np.bool_]]:
        """The robust weight of every row, and whether it is an outlier.

        No sweep, if the rows have seen none since the fit.
        """
        return self.rows.robust_weights(self.point)

    def distances(self) -> Floats:
        """|r| of every row, in the unit of y.

        No sweep, if the rows have seen none since the fit.
        """
        return np.abs(self.rows.residuals(self.point)) / self.point.y_unit

    def tally(self) -> Tally:
        """How the residuals lie about the threshold, in the units of the data.

        No sweep, if the rows have seen none since the fit.
        """
        return natural_tally(self.rows.tally(self.point), self.rows, self.point)

    @property
    def is_stopped(self) -> bool:
        """Whether who watched the fit asked to stop it."""
        return self.message == Status.STOPPED.value


@dataclass(frozen=True)
class Model:
    """A model on the way to the minimum, in the units of the data."""

    coef: Floats
    intercept: float
    scale: float
    objective: float


# Called with the number of the sweep and the model there; True stops the fit.
Watch = Callable[[int, Model], bool]


class _StoppedError(Exception):
    """Leaves a minimisation that is to be stopped, with where it was."""

    def __init__(self, objective: HuberObjective, theta: Floats) -> None:
        self.objective = objective
        self.theta = theta


def natural_tally(tally: Tally, rows: Rows, point: Point) -> Tally:
    """A tally in the units of the data, of one in standardised units."""
    unit = rows.weight_unit
    norm = tally.norm / np.sqrt(unit) / point.y_unit
    return replace(tally, norm=norm, inlier=tally.inlier / unit)


@dataclass(frozen=True)
class Settings:
    """Parameters of a fit."""

    rho: float
    scale: float | str
    alpha: float
    fit_intercept: bool
    max_iter: int
    tol: float


@dataclass(frozen=True)
class Start:
    """A model to start from, in the units of the data."""

    coef: Floats
    intercept: float
    scale: float


# A step far too long may overflow; it is then not taken. NaN in X shows in the sums.
@np.errstate(over="ignore", invalid="ignore")
def fit_rows(
    rows: Rows,
    settings: Settings,
    start: Start | None = None,
    watch: Watch | None = None,
) -> Fit:
    """Fit the model to rows.

    Who watches sees the model of every sweep. (In rotated coordinates there is nothing
    to be seen.)

    Raises
    ------
    NonFiniteSumsError
        Where X holds NaN or infinity, or values whose sums overflow.
    """
    part = rows.without_empty_columns()
    if part is not None:
        return _fit_some_columns(*part, rows.n_features, settings, start, watch)
    if start is None and watch is None:
        direct_fit = _fit_directly(rows, settings)
        if direct_fit is not None:
            return direct_fit
    with one_blas_thread():
        fit = _fit_by_sweeps(rows, settings, start, watch)
        if fit.is_stopped:
            return fit
        if not fit.converged and _is_zero_to_rounding(rows, settings, fit):
            fit = replace(fit, converged=True, gap=0.0)
        return fit


def _fit_some_columns(
    rows: Rows,
    columns: NDArray[np.intp],
    n_features: int,
    settings: Settings,
    start: Start | None,
    watch: Watch | None,
) -> Fit:
    """Fit the model to rows with these columns of all; other coefficients are zero."""

    def of_all(coef: Floats) -> Floats:
        result = np.zeros(n_features)
        result[columns] = coef
        return result

    def watch_all(n_sweeps: int, model: Model) -> bool:
        assert watch is not None
        return watch(n_sweeps, replace(model, coef=of_all(model.coef)))

    if start is not None:
        start = replace(start, coef=start.coef[columns])
    fit = fit_rows(rows, settings, start, watch and watch_all)
    return replace(fit, coef=of_all(fit.coef))


def _fit_by_sweeps(
    rows: Rows, settings: Settings, start: Start | None, watch: Watch | None
) -> Fit:
    rotatable = _is_rotatable(rows)
    if has_few_rows(rows):
        return _fit_rotated(rows, settings, start)
    first = settings
    if rotatable and settings.max_iter >= 2 * _SECOND_ITER:
        first = replace(settings, max_iter=settings.max_iter - _SECOND_ITER)
    try:
        fit = _fit_in_frame(rows, first, start, by_largest=False, watch=watch)
    except NonFiniteSumsError:
        # Finite data can do that where single values are far larger than the sample
        # lets expect. In units of the largest value no square can overflow.
        fit = _fit_in_frame(rows, first, start, by_largest=True, watch=watch)
    if fit.is_stopped:
        return fit
    left = settings.max_iter - fit.n_iter
    if rotatable and not fit.converged and left > 0:
        try:
            again = _fit_rotated(rows, replace(settings, max_iter=left), start)
        except NonFiniteSumsError:
            return fit
        if again.converged or again.objective < fit.objective:
            fit = replace(
                again,
                n_iter=fit.n_iter + again.n_iter,
                n_sweeps=fit.n_sweeps + again.n_sweeps,
            )
    return fit


def _is_rotatable(rows: Rows) -> bool:
    n, p = rows.n_rows, rows.n_features
    most = max(_ROTATION_SHARE * rows.n_elements, _ROTATION_ELEMENTS)
    return n * p <= most and n * p * min(n, p) <= _ROTATION_WORK


def has_few_rows(rows: Rows) -> bool:
    """Whether the data are fitted in the basis of their singular vectors at once."""
    few = rows.n_rows <= _ROTATION_ROWS_PER_COLUMN * rows.n_features
    return few and _is_rotatable(rows)


def _fit_rotated(rows: Rows, settings: Settings, start: Start | None) -> Fit:
    """Fit in the basis of the singular vectors of X; a dense copy of X is made.

    With X − centre = U S Vᵀ (of the columns in one unit, so that the penalty stays what
    it is) and w = V v, the rows U S have orthogonal columns, as many as X has rank, and
    ‖w‖ = ‖v‖. Two kinds of data need that, whose Hessian in the basis of the columns
    is lost to rounding:

    - Few rows, fitted exactly. The loss is stiff (its curvature is 1/σ) along the rows,
      and across them there is nothing but the penalty.
    - A few rows far longer than the others (leverage points of 1e9, say), along which
      all columns look alike.
    """
    if not rows.is_finite:
        raise NonFiniteSumsError
    moments = rows.moments(centred=settings.fit_intercept)
    power = exponent(moments.spread)
    if settings.alpha > 0:
        power = np.full_like(power, power[moments.spread > 0].max(initial=0))
    Z = rows.standardised(moments.centre, np.ldexp(1.0, -power))
    weighted = Z if rows.weight is None else Z[rows.weight > 0]
    _, singular, basis = scipy.linalg.svd(
        weighted, full_matrices=False, check_finite=False
    )
    # Z has the rounding errors of X, of which the centre was subtracted.
    offset = np.abs(np.ldexp(moments.centre, -power)).max(initial=0)
    size = singular.max(initial=0) + np.sqrt(len(weighted)) * offset
    rank = np.count_nonzero(singular > max(Z.shape) * _EPS * size)
    basis = basis[: max(rank, 1)].T
    if start is not None:
        v = basis.T @ np.ldexp(start.coef, power)
        shift = float(moments.centre @ start.coef) if settings.fit_intercept else 0.0
        start = Start(v, start.intercept + shift, start.scale)
    alpha = settings.alpha
    if alpha > 0:
        alpha = float(np.ldexp(alpha, -2 * power[0]))
    rotated = DenseRows(Z @ basis, rows.y, rows.weight, threads=rows.threads)
    fit = _fit_in_frame(
        rotated, replace(settings, alpha=alpha), start, by_largest=False
    )
    coef = np.ldexp(basis @ fit.coef, -power)
    shift = float(moments.centre @ coef) if settings.fit_intercept else 0.0
    return replace(fit, coef=coef, intercept=fit.intercept - shift)


def _fit_directly(rows: Rows, settings: Settings) -> Fit | None:
    """Fit small and ordinary data; None for others."""
    if not is_direct_work(rows):
        return None
    assert isinstance(rows, DenseRows)
    direct = Direct(rows, fit_intercept=settings.fit_intercept)
    found = minimise_directly(direct, settings)
    return found and described(rows, settings, *found, n_iter_least=1)


def minimise_directly(
    direct: Direct, settings: Settings, start: Floats | None = None
) -> tuple[HuberObjective, Solution] | None:
    """The minimum by `skhuber._direct`, where that finds it.

    A start is the minimum on the same data with other settings.
    """
    if settings.scale == "mad":
        return direct.mad_fixed_point(
            rho=settings.rho,
            alpha=settings.alpha,
            tol=settings.tol,
            max_iter=settings.max_iter,
        )
    return direct.minimise(
        rho=settings.rho,
        scale=None if isinstance(settings.scale, str) else settings.scale,
        alpha=settings.alpha,
        tol=settings.tol,
        max_iter=settings.max_iter,
        **({} if start is None else {"start": start}),
    )


def _fit_in_frame(
    rows: Rows,
    settings: Settings,
    start: Start | None,
    *,
    by_largest: bool,
    watch: Watch | None = None,
) -> Fit:
    sketch = Sketch(rows)
    frame = frame_of(sketch, settings, by_largest=by_largest)
    rows.watch = watch and _watched(rows, watch)
    try:
        objective, solution = solve(sketch, frame, settings, start)
    except _StoppedError as stopped:
        objective, solution = stopped.objective, _stopped_at(sketch, stopped)
    finally:
        rows.watch = None
    del sketch  # its memory is for what comes next
    # The least-squares start is itself a Newton step over all rows.
    n_iter_least = int(start is None and settings.max_iter > 0)
    return described(rows, settings, objective, solution, n_iter_least=n_iter_least)


def _watched(
    rows: Rows, watch: Watch
) -> Callable[[HuberObjective, Floats, float], None]:
    """What a problem on these rows calls after each sweep."""

    def look(objective: HuberObjective, theta: Floats, value: float) -> None:
        u, intercept, scale = objective.split(theta)
        model = Model(
            *objective.frame.to_natural(u, intercept),
            scale=objective.natural_scale(scale),
            objective=objective.natural_value(value),
        )
        if watch(rows.n_sweeps, model):
            raise _StoppedError(objective, theta)

    return look


def _stopped_at(sketch: Sketch, stopped: _StoppedError) -> Solution:
    objective, theta = stopped.objective, stopped.theta
    sketch.rows.watch = None
    value, gradient = Problem(objective, sketch.rows).value_gradient(theta)
    part = Problem(objective, sketch.part)
    if hessian_pays(sketch):
        hessian, _ = part.hessian(theta)
    else:
        hessian, _ = part.diagonal(theta)
    gap = Whitening(hessian).gap(gradient, last_is_held=False)
    return Solution(theta, value, gradient, gap, sketch.rows.n_sweeps, Status.STOPPED)


def objective_of(rows: Rows, frame: Frame, settings: Settings) -> HuberObjective:
    """The objective; for a scale of "mad", the joint one."""
    objective = HuberObjective(
        frame,
        rho=settings.rho,
        alpha=settings.alpha,
        scale=None,
        total_weight=rows.total_weight,
        weight_power=rows.weight_power,
    )
    if isinstance(settings.scale, str):
        return objective
    scale = float(np.ldexp(settings.scale, -frame.y_power))
    # Below the floor neither the minimum nor its value is another one, to rounding. (Of
    # squares the value is: they are divided by the scale.)
    floor = objective.scale_floor
    if np.isinf(settings.rho):
        floor = _LEAST_SCALE_OF_SQUARES
    return objective.with_scale(max(scale, floor))


def solve(
    sketch: Sketch, frame: Frame, settings: Settings, start: Start | None
) -> tuple[HuberObjective, Solution]:
    """The minimum on all rows; and the objective, with the scale of "mad"."""
    objective = objective_of(sketch.rows, frame, settings)
    if start is not None and not _is_start(sketch.part, objective, start):
        start = None
    if settings.scale == "mad":
        objective, theta = _mad_start(sketch, objective, start)
        objective, solution = mad_fixed_point(
            sketch, objective, theta, tol=settings.tol, max_iter=settings.max_iter
        )
    else:
        kept = 0
        if objective.joint and settings.max_iter >= 2 * _SECOND_ITER:
            kept = _SECOND_ITER  # should the scale collapse
        solution = minimise(
            sketch,
            objective,
            _start(sketch, objective, start),
            tol=settings.tol,
            max_iter=settings.max_iter - kept,
            warm=start is not None,
            may_stay=start is not None,
        )
    return with_scale_collapsed(sketch, objective, solution, settings)


def _is_at_a_vertex(rows: Rows, objective: HuberObjective, theta: Floats) -> bool:
    """Whether no more rows are met than needs be, or too many are not."""
    point = objective.point(theta)
    inside = np.abs(rows.residuals(point)) <= point.threshold
    weight = np.ones(rows.n_rows) if rows.weight is None else rows.weight
    inside &= weight > 0
    outside = 1.0 - weight[inside].sum() / weight.sum()
    return bool(
        np.count_nonzero(inside) <= len(theta)
        or outside * objective.rho * objective.rho >= 1.0
    )


def _is_zero_to_rounding(rows: Rows, settings: Settings, fit: Fit) -> bool:
    """Whether F is no more than rounding errors of the residuals would make it.

    So it is where every target is met exactly: nothing then certifies the fit, as it
    has no digits left. A residual has errors of some units in the last place of the
    numbers that it is the difference of.
    """
    weight = rows.weight
    if weight is not None and not weight.all():
        return False  # what stands in absent rows would count in the largest values
    origin, centre = 0.0, np.zeros(rows.n_features)
    if settings.fit_intercept:
        origin, centre = float(rows.y[0]), rows.moments(centred=True).centre
    size = np.abs(rows.y - origin) + np.abs(fit.coef) @ rows.largest(centre)
    error = RESIDUAL_ROUNDING * size
    if settings.scale == "joint":
        loss = (2.0 + 2.0 * settings.rho) * error
    elif fit.scale > 0:
        loss = np.minimum(error / fit.scale, 2.0 * settings.rho) * error
    else:
        loss = 2.0 * settings.rho * error
    total = loss.sum() if weight is None else weight @ loss
    return bool(fit.objective <= np.ldexp(total, -rows.weight_power))


def may_have_collapsed(objective: HuberObjective, solution: Solution) -> bool:
    """Whether the scale is so small that `with_scale_collapsed` has to look at it."""
    u, _, scale = objective.split(solution.x)
    loss = solution.value - float(objective.penalty @ u**2)
    is_exact = loss <= _EXACT * scale
    least = 2 * objective.scale_floor
    if not objective.joint or solution.status is not Status.CONVERGED:
        # (A joint one may be on its way to zero.)
        least = max(least, _collapsed_scale(objective, loss))
    return not (scale > least or is_exact or np.isinf(objective.rho))


def _collapsed_scale(objective: HuberObjective, loss: float) -> float:
    """Where a scale that fell to zero is held, with this loss."""
    return _COLLAPSED_SCALE * loss / (2 * objective.rho)


def with_scale_collapsed(
    sketch: Sketch, objective: HuberObjective, solution: Solution, settings: Settings
) -> tuple[HuberObjective, Solution]:
    """The solution; if its scale fell to zero at a vertex, one that can be trusted.

    If no more than 1/ρ² of the weight has a residual, F falls with the scale to zero,
    where it is 2ρ Σ s|r|, and has its minimum at a vertex. At the least scale a
    residual that should be zero is one of a thousand units in its last place, and the
    slopes at a vertex are as uncertain: nobody can tell the lowest one from its
    neighbours. At 1e-9 of the mean residual one can, and F is higher by no more than
    that part. The same goes for a fixed scale as small as that.

    (Where a majority of the rows is met exactly, the scale is zero, too, but that
    majority determines the fit; where all are, F is zero but for the penalty.)
    """
    if not may_have_collapsed(objective, solution):
        return objective, solution
    u, intercept, scale = objective.split(solution.x)
    loss = solution.value - float(objective.penalty @ u**2)
    floor = _collapsed_scale(objective, loss)
    at_a_vertex = _is_at_a_vertex(sketch.rows, objective, solution.x)
    uncertain = max(solution.gap, RESIDUAL_ROUNDING / scale * loss)
    collapsed = replace(solution, status=Status.COLLAPSED, gap=uncertain)
    if objective.joint:
        raised = objective.with_floor(floor)
    else:
        raised = objective.with_scale(max(floor, scale))
    try:
        again = minimise(
            sketch,
            raised,
            raised.theta(u, intercept, max(floor, scale)),
            tol=settings.tol,
            max_iter=settings.max_iter - solution.n_iter,
            warm=True,
        )
    except NonFiniteSumsError:  # where single targets are 1e300 times the others
        return objective, collapsed if at_a_vertex else solution
    n_iter = solution.n_iter + again.n_iter
    u, intercept, held = raised.split(again.x)
    problem = Problem(objective, sketch.rows)
    lower, _ = problem.value_gradient(objective.theta(u, intercept, scale))
    if lower > solution.value * (1 + _COLLAPSED_SCALE):
        return objective, replace(collapsed if at_a_vertex else solution, n_iter=n_iter)
    if not at_a_vertex and lower > solution.value * (1 - _COLLAPSED_SCALE):
        return objective, replace(solution, n_iter=n_iter)
    again = replace(again, status=Status.COLLAPSED, n_iter=n_iter)
    if not objective.joint:
        theta = objective.theta(u, intercept, scale)
        gap = again.gap + max(again.value - lower, 0.0)
        return objective, replace(again, x=theta, value=lower, gap=gap)
    # F is convex: with a scale of zero it is lower by no more than its slope says.
    gap = again.gap + max(float(again.gradient[-1]), 0.0) * held
    return raised, replace(again, gap=gap)


def described(
    rows: Rows,
    settings: Settings,
    objective: HuberObjective,
    solution: Solution,
    *,
    n_iter_least: int,
) -> Fit:
    """The solution in the units of the data, and what else a fit is asked for."""
    frame = objective.frame
    u, intercept, scale = objective.split(solution.x)
    point = objective.point(solution.x)
    natural_scale = objective.natural_scale(scale)
    if not isinstance(settings.scale, str):
        natural_scale = settings.scale
        threshold = float(np.ldexp(settings.rho * natural_scale, -frame.y_power))
        point = replace(point, threshold=threshold)
    coef, natural_intercept = frame.to_natural(u, intercept)
    return Fit(
        coef=coef,
        intercept=natural_intercept,
        scale=natural_scale,
        objective=objective.natural_value(solution.value),
        gap=solution.gap / solution.value if solution.value > 0 else 0.0,
        n_iter=max(solution.n_iter, n_iter_least),
        n_sweeps=rows.n_sweeps,
        converged=solution.status is Status.CONVERGED and np.isfinite(solution.value),
        message=solution.status.value,
        rows=rows,
        point=point,
    )


def frame_of(sketch: Sketch, settings: Settings, *, by_largest: bool) -> Frame:
    """The standardisation, from the sample; what that does not show, from all rows."""
    rows, sample = sketch.rows, sketch.part
    moments = sample.moments(centred=settings.fit_intercept)
    spread = moments.spread
    if by_largest:
        spread = rows.largest(moments.centre)
    # Columns that are constant in some rows need not be so in others.
    for more in (sample, rows) if sketch.is_sample else ():
        if not spread.all():
            spread = np.where(spread > 0, spread, more.largest(moments.centre))
    if not np.isfinite(spread).all():
        raise NonFiniteSumsError
    y = sample.y.astype(np.float64)
    weight = sample.weight
    y_centre = weighted_median(y, weight) if settings.fit_intercept else 0.0
    distance = np.abs(y - y_centre)
    # The median deviation withstands outliers; if half of y is one value, it is zero.
    y_spread = weighted_median(distance, weight)
    if y_spread == 0 or np.isinf(settings.rho):  # (then squares of outliers count)
        y_spread = _root_mean_square(distance, weight)
    y_power = exponent(y_spread or abs(y_centre))
    x_power = exponent(spread)
    return Frame(
        centre=moments.centre,
        # The coefficient of a column far smaller than y would not be a finite number.
        # In units of one, such a column is constant.
        x_power=np.where(y_power - x_power > _COEFFICIENT_POWER, 0, x_power),
        y_centre=y_centre,
        y_power=int(y_power),
        fit_intercept=settings.fit_intercept,
    )


def _start(sketch: Sketch, objective: HuberObjective, start: Start | None) -> Floats:
    """θ to start from: the model given, or the better of least squares and a median."""
    if start is not None:
        return _given_start(objective, start)
    rows = sketch.part
    candidates = [_median_start(rows, objective)]
    if hessian_pays(sketch):
        candidates.append(_least_squares_start(rows, objective))
    problem = Problem(objective, rows)
    return min(candidates, key=lambda theta: problem.value_gradient(theta)[0])


def _mad_start(
    sketch: Sketch, objective: HuberObjective, start: Start | None
) -> tuple[HuberObjective, Floats]:
    """Scale and θ from which to look for a fixed point.

    Least squares and the scale of its residuals, as in R's rlm: where there are several
    fixed points, the same one should be found.
    """
    rows = sketch.part
    fixed = objective.with_scale(1.0)
    if start is not None:
        scale = float(np.ldexp(start.scale, -objective.frame.y_power))
        scaled = objective.with_scale(max(scale, objective.scale_floor))
        return scaled, _given_start(scaled, start)
    for theta in (_least_squares_start(rows, fixed), _median_start(rows, fixed)):
        scale = Problem(fixed, rows).median_scale(theta)
        scaled = objective.with_scale(max(scale, objective.scale_floor))
        if np.isfinite(Problem(scaled, rows).value_gradient(theta)[0]):
            break  # (it is not, of least squares under outliers of 1e200 and more)
    return scaled, theta


def _is_start(rows: Rows, objective: HuberObjective, start: Start) -> bool:
    """Whether a given model is nearer to the minimum than no coefficients are.

    A model of data in other units is not.
    """
    scale = np.ldexp(start.scale, -objective.frame.y_power)
    if objective.joint and scale < _LEAST_START_SCALE:
        return False
    problem = Problem(objective, rows)
    given, median = (
        problem.value_gradient(theta)[0]
        for theta in (_given_start(objective, start), _median_start(rows, objective))
    )
    return given <= median < np.inf


def _given_start(objective: HuberObjective, start: Start) -> Floats:
    u, intercept = objective.frame.from_natural(start.coef, start.intercept)
    scale = float(np.ldexp(start.scale, -objective.frame.y_power))
    return objective.theta(u, intercept, max(scale, objective.scale_floor))


def _median_start(rows: Rows, objective: HuberObjective) -> Floats:
    return _with_scale(rows, objective, np.zeros(objective.n_features), 0.0)


def _least_squares_start(rows: Rows, objective: HuberObjective) -> Floats:
    """Ridge regression by the normal equations, where these are not too many."""
    p = objective.n_features
    if p > FULL_HESSIAN_MAX:
        return _median_start(rows, objective)
    origin = replace(
        objective.point(objective.theta(np.zeros(p), 0.0, 1.0)), threshold=np.inf
    )
    kept = p + objective.frame.fit_intercept
    gram, _ = rows.grams(origin, 1.0)
    normal = gram[:kept, :kept] * (2.0 / rows.total_weight)
    right = gram[:kept, -1] * (2.0 / rows.total_weight)
    if not (np.isfinite(right).all() and np.isfinite(normal).all()):
        return _median_start(rows, objective)
    solution = solve_semidefinite(objective.add_penalty(normal), right)
    intercept = float(solution[p]) if objective.frame.fit_intercept else 0.0
    return _with_scale(rows, objective, solution[:p], intercept)


def _with_scale(
    rows: Rows, objective: HuberObjective, u: Floats, intercept: float
) -> Floats:
    """θ with these coefficients, and with a joint scale of the median |r|."""
    theta = objective.theta(u, intercept, 1.0)
    if objective.joint:
        scale = Problem(objective, rows).median_scale(theta)
        # Where most residuals are exactly zero, the floor itself is no place to start:
        # its curvature is all that Newton's method would see.
        theta[-1] = max(scale, np.sqrt(objective.lower_last))
    return theta


def _root_mean_square(values: Floats, weight: Floats | None) -> float:
    if weight is not None:
        values, weight = values[weight > 0], weight[weight > 0]
    largest = float(values.max())
    if largest == 0:
        return 0.0
    return largest * float(np.sqrt(np.average((values / largest) ** 2, weights=weight)))
