"""From rows to a fitted model: sample, start, whiten, minimise, certify.

1. **Sample.** Of many rows a small sample is solved first. It gives the
   standardisation (`Frame`), the start, and the Hessian that whitens the full problem.
2. **Start.** Least squares, or the median of y with no coefficients: whichever has the
   lower objective. (Under gross outliers least squares can be worse than nothing.)
3. **Minimise** (`_minimise`). Where the exact Hessian of all rows is cheap, by Newton
   steps. Else by L-BFGS in whitened coordinates: with the Hessian of the inliers of the
   sample, its diagonal raised to that of all rows, which the first sweep over them
   gathers along with value and gradient. (A column that the sample hardly knows, such as
   a rare dummy, gets its curvature from there.) If that ends short of the tolerance, it
   starts again with the Hessian at the point reached, and in the end takes Newton steps.
4. **Certify.** The gap is ½ gᵀH⁻¹g, as the minimisers measure it; a fit is certified when
   it is at most ``tol`` times the objective, or below what rounding makes of residuals.

A scale of "mad" is a fixed point around all that (`_mad_fixed_point`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy.special import ndtri

from skhuber._objective import Frame, HuberObjective, exponent
from skhuber._rows import DenseRows, Rows
from skhuber._solver import (
    Solution,
    Status,
    Whitening,
    newton,
    polish,
    solve_semidefinite,
    whitened_lbfgs,
)
from skhuber._sweep import Floats, Sums

_EPS = float(np.finfo(np.float64).eps)
# The median of |r| of standard normal residuals.
_NORMAL_MAD = float(ndtri(0.75))

# Coefficients of more than two to this power are left at zero: 2^1024 overflows.
_COEFFICIENT_POWER = 980
# A sample has 20 rows for each column: its Hessian is then off by about √(1/20) in its
# worst direction, and each step of L-BFGS on all rows shrinks the error by as much or
# more. Of larger data it has a fiftieth, which costs about what one sweep costs.
_SAMPLE_ROWS_PER_COLUMN = 20
_SAMPLE_SHARE = 50
_SAMPLE_ROWS_MIN = 2000
# A sample of more than half of the rows would save nothing.
_SAMPLE_MOST = 2
# The most iterations on a sample.
_SAMPLE_ITER = 100
# Newton steps with a joint scale that have led nowhere by now never will: exact data
# take 30, others fewer than 15.
_DIRECT_ITER = 40
# n·p² up to which Newton steps on all rows are cheaper than L-BFGS: their Gram matrix
# takes some milliseconds.
_NEWTON_WORK = 2**24
# n·p² up to which they are affordable where L-BFGS got stuck (a minute or so).
_RESCUE_WORK = 2**37
# Data with at most this many rows for each column may have fewer independent rows than
# columns, and are fitted in the basis of their singular vectors if that takes no more
# than this many multiplications (a second or so).
_ROTATION_ROWS_PER_COLUMN = 4
_ROTATION_WORK = 2**32
# Columns beyond which a Hessian is only its diagonal: p² numbers are too many.
_FULL_HESSIAN_MAX = 3000
# A scale of "mad" is found to this relative change of one more iteration.
_MAD_TOL = 1e-10
# And with at most so many; six to fifteen are usual.
_MAD_UPDATES = 100
# Sets of L-BFGS steps, each whitened anew.
_ROUNDS = 4


class NonFiniteSumsError(ArithmeticError):
    """Sums over the data are not finite: bad values in X, or an overflow."""


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
    robust_weights: Floats
    outliers: NDArray[np.bool_]


@dataclass(frozen=True)
class Settings:
    """Parameters of a fit."""

    rho: float
    scale: float | str
    alpha: float
    fit_intercept: bool
    max_iter: int
    tol: float
    may_stay: bool = False
    """Whether a start within the tolerance is the result, to the last bit."""


@dataclass(frozen=True)
class Start:
    """A model to start from, in the units of the data."""

    coef: Floats
    intercept: float
    scale: float


class _Problem:
    """The objective on certain rows, as the minimisers want it."""

    def __init__(self, objective: HuberObjective, rows: Rows) -> None:
        self.objective = objective
        self.rows = rows
        self._last: tuple[Floats, float, Floats] | None = None

    def value_gradient(self, theta: Floats) -> tuple[float, Floats]:
        """Infinity and zeros where a step was so long that sums overflow."""
        if self._last is None or not np.array_equal(self._last[0], theta):
            sums = self.rows.sums(self.objective.point(theta))
            self._last = (theta.copy(), *self._evaluate(theta, sums))
        return self._last[1:]

    def check_finite(self, theta: Floats) -> None:
        """Raise an error if F is not finite where it must be."""
        if not np.isfinite(self.value_gradient(theta)[0]):
            raise NonFiniteSumsError

    def diagonal(self, theta: Floats) -> Floats:
        """Of the Hessian without penalty.

        The same sweep gives value and gradient: to ask for these next is free.
        """
        sums = self.rows.sums(self.objective.point(theta), squares=True)
        if not sums.is_finite:
            raise NonFiniteSumsError
        self._last = (theta.copy(), *self._evaluate(theta, sums))
        return self.objective.diagonal(theta, sums, self.rows.total_weight)

    def hessian(self, theta: Floats) -> tuple[Floats, Floats]:
        """Of the inliers; and that of parabolas that lie above the loss of every row."""
        objective = self.objective
        _, _, scale = objective.split(theta)
        inside, outside = self.rows.grams(objective.point(theta), scale)
        weight = self.rows.total_weight
        outside += inside
        return (
            objective.add_penalty(objective.hessian(theta, inside, weight)),
            objective.add_penalty(objective.hessian(theta, outside, weight)),
        )

    def _evaluate(self, theta: Floats, sums: Sums) -> tuple[float, Floats]:
        with np.errstate(over="ignore", invalid="ignore"):
            value, gradient = self.objective.value_gradient(
                theta, sums, self.rows.total_weight
            )
        if np.isfinite(value) and np.isfinite(gradient).all():
            return value, gradient
        return np.inf, np.zeros_like(gradient)


def fit_rows(rows: Rows, settings: Settings, start: Start | None = None) -> Fit:
    """Fit the model to rows.

    Raises
    ------
    NonFiniteSumsError
        Where X holds NaN or infinity, or values whose sums overflow.
    """
    n, p = rows.n_rows, rows.n_features
    rotatable = n * p * min(n, p) <= _ROTATION_WORK
    if rotatable and n <= _ROTATION_ROWS_PER_COLUMN * p:
        return _fit_rotated(rows, settings, start)
    try:
        fit = _fit_in_frame(rows, settings, start, by_largest=False)
    except NonFiniteSumsError:
        # Finite data can do that where single values are far larger than the sample
        # lets expect. In units of the largest value no square can overflow.
        fit = _fit_in_frame(rows, settings, start, by_largest=True)
    if rotatable and not fit.converged and fit.n_iter > 0:
        again = _fit_rotated(rows, settings, start)
        if again.converged or again.objective < fit.objective:
            return again
    return fit


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
    rank = np.count_nonzero(singular > max(Z.shape) * _EPS * singular.max(initial=0))
    basis = basis[: max(rank, 1)].T
    if start is not None:
        v = basis.T @ np.ldexp(start.coef, power)
        shift = float(moments.centre @ start.coef) if settings.fit_intercept else 0.0
        start = Start(v, start.intercept + shift, start.scale)
    alpha = settings.alpha
    if alpha > 0:
        alpha = float(np.ldexp(alpha, -2 * power[0]))
    rotated = DenseRows(Z @ basis, rows.y, rows.weight, threads=rows.threads)
    fit = _fit_in_frame(rotated, replace(settings, alpha=alpha), start, by_largest=False)
    coef = np.ldexp(basis @ fit.coef, -power)
    shift = float(moments.centre @ coef) if settings.fit_intercept else 0.0
    return replace(fit, coef=coef, intercept=fit.intercept - shift)


def _fit_in_frame(
    rows: Rows, settings: Settings, start: Start | None, *, by_largest: bool
) -> Fit:
    sample = _sample(rows)
    frame = _frame(rows, sample, settings, by_largest=by_largest)

    def objective_at(scale: float | None) -> HuberObjective:
        return HuberObjective(
            frame,
            rho=settings.rho,
            alpha=settings.alpha,
            scale=scale,
            total_weight=rows.total_weight,
            weight_power=rows.weight_power,
        )

    if settings.scale == "mad":
        objective, solution = _mad_fixed_point(
            rows, sample, objective_at, settings, start
        )
    else:
        objective = objective_at(None)
        if settings.scale != "joint":
            scale = float(np.ldexp(settings.scale, -frame.y_power))
            # Below the floor the minimum is no longer another one, to rounding.
            objective = objective_at(max(scale, objective.scale_floor))
        theta = _start(sample, objective, start)
        settings = replace(settings, may_stay=start is not None)
        solution = _minimise(rows, sample, objective, theta, settings)
    u, intercept, scale = objective.split(solution.x)
    point = objective.point(solution.x)
    natural_scale = objective.natural_scale(scale)
    if not isinstance(settings.scale, str):
        natural_scale = settings.scale
        threshold = float(np.ldexp(settings.rho * natural_scale, -frame.y_power))
        point = replace(point, threshold=threshold)
    robust_weights, outliers = rows.robust_weights(point)
    coef, natural_intercept = frame.to_natural(u, intercept)
    return Fit(
        coef=coef,
        intercept=natural_intercept,
        scale=natural_scale,
        objective=objective.natural_value(solution.value),
        gap=solution.gap / solution.value if solution.value > 0 else 0.0,
        # The least-squares start is itself a Newton step over all rows.
        n_iter=max(solution.n_iter, int(start is None and settings.max_iter > 0)),
        n_sweeps=rows.n_sweeps,
        converged=solution.status is Status.CONVERGED,
        message=solution.status.value,
        robust_weights=robust_weights,
        outliers=outliers,
    )


def _sample(rows: Rows) -> Rows:
    """A sample of the rows, or the rows themselves where it would not be far smaller."""
    size = max(
        _SAMPLE_ROWS_PER_COLUMN * rows.n_features,
        rows.n_rows // _SAMPLE_SHARE,
        _SAMPLE_ROWS_MIN,
    )
    return rows if _SAMPLE_MOST * size > rows.n_rows else rows.sample(size)


def _frame(
    rows: Rows, sample: Rows, settings: Settings, *, by_largest: bool
) -> Frame:
    """The standardisation, from the sample; what that does not show, from all rows."""
    if not sample.is_finite:
        raise NonFiniteSumsError
    moments = sample.moments(centred=settings.fit_intercept)
    spread = moments.spread
    if by_largest or (sample is not rows and not spread.all()):
        # Columns that are constant in the sample need not be so elsewhere.
        largest = rows.largest(moments.centre)
        spread = largest if by_largest else np.where(spread > 0, spread, largest)
        if not np.isfinite(spread).all():
            raise NonFiniteSumsError
    y = sample.y.astype(np.float64)
    weight = sample.weight
    y_centre = weighted_median(y, weight) if settings.fit_intercept else 0.0
    distance = np.abs(y - y_centre)
    # The median deviation withstands outliers; where half of y is one value, it is zero.
    y_spread = weighted_median(distance, weight)
    if y_spread == 0 or np.isinf(settings.rho):  # (then squares of outliers count)
        y_spread = _root_mean_square(distance)
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


def _start(
    rows: Rows,
    objective: HuberObjective,
    start: Start | None,
    *,
    least_squares: bool = False,
) -> Floats:
    """θ to start from.

    The model given; else least squares, or the median of y if that is better (unless
    `least_squares` is asked for).
    """
    if start is not None:
        u, intercept = objective.frame.from_natural(start.coef, start.intercept)
        scale = float(np.ldexp(start.scale, -objective.frame.y_power))
        return objective.theta(u, intercept, max(scale, objective.lower_last))
    if rows.n_features > _FULL_HESSIAN_MAX:
        return _median_start(rows, objective)
    candidates = [_least_squares_start(rows, objective)]
    if least_squares:
        return candidates[0]
    candidates.append(_median_start(rows, objective))
    problem = _Problem(objective, rows)
    return min(candidates, key=lambda theta: problem.value_gradient(theta)[0])


def _median_start(rows: Rows, objective: HuberObjective) -> Floats:
    return _with_scale(rows, objective, np.zeros(objective.n_features), 0.0)


def _least_squares_start(rows: Rows, objective: HuberObjective) -> Floats:
    """Ridge regression by the normal equations."""
    p = objective.n_features
    origin = replace(
        objective.point(objective.theta(np.zeros(p), 0.0, 1.0)), threshold=np.inf
    )
    kept = p + objective.frame.fit_intercept
    with np.errstate(over="ignore", invalid="ignore"):
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
        scale = _median_scale(rows, objective, theta)
        # Where most residuals are exactly zero, the floor itself is no place to start:
        # its curvature is all that Newton's method would see.
        theta[-1] = max(scale, np.sqrt(objective.lower_last))
    return theta


def _median_scale(rows: Rows, objective: HuberObjective, theta: Floats) -> float:
    """median|r| / Φ⁻¹(3/4), standardised."""
    distance = np.abs(rows.residuals(objective.point(theta)))
    return weighted_median(distance, rows.weight) / _NORMAL_MAD


def _minimise(
    rows: Rows,
    sample: Rows,
    objective: HuberObjective,
    theta: Floats,
    settings: Settings,
) -> Solution:
    """Minimise the objective on all rows from θ, in the way that suits their number."""
    problem = _Problem(objective, rows)
    if _newton_work(rows) <= _NEWTON_WORK:
        problem.check_finite(theta)
        return _small(
            problem, theta, settings.tol, settings.max_iter, may_stay=settings.may_stay
        )
    part = problem
    if sample is not rows:
        part = _Problem(objective, sample)
        # The sample's minimum lies about p/(2m) from that of all rows, relatively:
        # it is enough to come much nearer to it than that.
        loose = 0.01 * rows.n_features / sample.n_rows
        if _newton_work(sample) <= _NEWTON_WORK:
            theta = _small(part, theta, loose, _SAMPLE_ITER).x
        else:
            theta = _rounds(part, part, theta, loose, _SAMPLE_ITER).x
    return _rounds(problem, part, theta, settings.tol, settings.max_iter)


def _newton_work(rows: Rows) -> int:
    return rows.n_rows * rows.n_features**2


def _newton(
    problem: _Problem,
    theta: Floats,
    tol: float,
    max_iter: int,
    *,
    may_stay: bool = False,
) -> Solution:
    objective = problem.objective
    return newton(
        problem.value_gradient,
        problem.hessian,
        theta,
        lower_last=objective.lower_last,
        tolerance=lambda theta, value: objective.tolerance(theta, value, tol),
        noise=objective.rounding_gap,
        max_iter=max_iter,
        may_stay=may_stay,
    )


def _small(
    problem: _Problem,
    theta: Floats,
    tol: float,
    max_iter: int,
    *,
    may_stay: bool = False,
) -> Solution:
    """Newton's method, along a falling scale where it needs that."""
    joint = problem.objective.joint
    # A fixed scale far below the residuals is a case for following, unless it is a warm
    # start from the minimum itself.
    direct = _DIRECT_ITER if joint or not _is_far(problem, theta) else 0
    first = _newton(problem, theta, tol, min(max_iter, direct), may_stay=may_stay)
    if first.status is Status.CONVERGED or first.n_iter == max_iter:
        return first
    n_iter = first.n_iter
    theta, steps = _follow_scale(problem, theta, max_iter - n_iter)
    n_iter += steps
    solution = _newton(problem, theta, tol, max_iter - n_iter)
    n_iter += solution.n_iter
    if first.value < solution.value:
        solution = first
    return replace(solution, n_iter=n_iter)


def _comfortable_scale(problem: _Problem, theta: Floats) -> float:
    """A scale at which most residuals lie within the threshold."""
    scale = _median_scale(problem.rows, problem.objective, theta)
    return scale * max(1.0, 1.35 / problem.objective.rho)


def _is_far(problem: _Problem, theta: Floats) -> bool:
    """Whether the scale lies far below one at which Newton steps do well."""
    _, _, scale = problem.objective.split(theta)
    return 0.3 * _comfortable_scale(problem, theta) > scale


def _follow_scale(
    problem: _Problem, theta: Floats, max_iter: int
) -> tuple[Floats, int]:
    """Follow the minimum at a fixed scale while the scale falls to where it belongs.

    Where the scale is far below most residuals, the loss is nearly that of least absolute
    deviations, which has an edge at each row: from afar Newton steps go astray. The
    minimum moves little from one scale to the next and leads there (Madsen and Nielsen,
    A finite smoothing algorithm for linear l1 estimation, SIAM J. Optim. 3, 1993).

    Returns
    -------
    theta : ndarray
        Of the problem's own objective, at its own scale if that is fixed.
    n_iter : int
    """
    objective, rows = problem.objective, problem.rows
    u, intercept, last_scale = objective.split(theta)
    lowest = objective.scale_floor if objective.joint else last_scale
    scale = _comfortable_scale(problem, theta)
    if scale <= lowest:
        return theta, 0
    x = objective.with_scale(scale).theta(u, intercept, scale)
    last: tuple[float, Floats] | None = None
    n_iter = 0
    while n_iter < max_iter:
        fixed = _Problem(objective.with_scale(scale), rows)
        solution = _newton(fixed, x, 1e-6, min(8, max_iter - n_iter))
        n_iter += solution.n_iter
        x = solution.x
        u, intercept, _ = fixed.objective.split(x)
        theta = objective.theta(u, intercept, scale)
        if scale == lowest:
            break
        if objective.joint and problem.value_gradient(theta)[1][-1] < 0:
            break  # the best scale lies above this one
        next_scale = max(0.3 * scale, lowest)
        if not objective.joint and next_scale == lowest:
            break  # what follows are Newton steps at that scale
        ahead = x
        if last is not None:
            # The path is a straight line as long as the same rows lie within the
            # threshold. Without this they would not, at the next scale.
            ahead = x + (x - last[1]) * (next_scale - scale) / (scale - last[0])
        last = (scale, x)
        following = _Problem(objective.with_scale(next_scale), rows)
        x = min((x, ahead), key=lambda x: following.value_gradient(x)[0])
        scale = next_scale
    return theta, n_iter


def _rounds(
    problem: _Problem, part: _Problem, theta: Floats, tol: float, max_iter: int
) -> Solution:
    """L-BFGS on all rows, whitened by the Hessian on a part of them, round by round."""
    objective = problem.objective
    lower_last = objective.lower_last

    def tolerance(theta: Floats, value: float) -> float:
        return objective.tolerance(theta, value, tol)

    n_iter = 0
    for k in range(_ROUNDS):
        whitening = _whitening(problem, part, theta)
        last_round = k == _ROUNDS - 1
        # A round that needs more steps than this is better whitened anew.
        steps = max_iter - n_iter if last_round else min(15, max_iter - n_iter)
        solution = whitened_lbfgs(
            problem.value_gradient,
            whitening,
            theta,
            lower_last=lower_last,
            tolerance=tolerance,
            max_iter=steps,
        )
        n_iter += solution.n_iter
        if solution.status is Status.STALLED or _is_cheap(problem.rows):
            solution = polish(
                problem.value_gradient,
                whitening,
                solution,
                lower_last=lower_last,
                tolerance=tolerance,
                max_steps=3,
            )
        theta = solution.x
        if solution.status is Status.CONVERGED or n_iter >= max_iter:
            break
    solution = replace(solution, n_iter=n_iter)
    if solution.status is Status.STALLED and _newton_work(problem.rows) <= _RESCUE_WORK:
        rescued = _newton(problem, theta, tol, max_iter - n_iter)
        solution = replace(rescued, n_iter=n_iter + rescued.n_iter)
    return solution


def _is_cheap(rows: Rows) -> bool:
    """Whether sweeps cost so little that the last digits are worth three more."""
    return rows.n_rows * rows.n_features <= 2**22


def _whitening(problem: _Problem, part: _Problem, theta: Floats) -> Whitening:
    """From the Hessian on a part of the rows, and its diagonal on all of them."""
    objective = problem.objective
    if objective.n_features > _FULL_HESSIAN_MAX:
        return Whitening(objective.add_penalty(problem.diagonal(theta)))
    hessian, above = part.hessian(theta)
    # Directions in which only outliers lie get a little curvature from these.
    hessian += 1e-3 * above
    if part is not problem:
        diagonal = objective.add_penalty(problem.diagonal(theta))
        index = np.arange(len(diagonal))
        hessian[index, index] = np.maximum(hessian[index, index], diagonal)
    return Whitening(hessian)


def _mad_fixed_point(
    rows: Rows,
    sample: Rows,
    objective_at: Callable[[float], HuberObjective],
    settings: Settings,
    start: Start | None,
) -> tuple[HuberObjective, Solution]:
    """Find σ = median|r| / Φ⁻¹(3/4), r the residuals of the minimum at that very σ.

    There may be several such σ. This one is where iteration from the start leads: from
    the scale of the least-squares residuals, as in R's rlm, or from a given model's.

    Parameters
    ----------
    objective_at : callable
        Standardised scale → the objective with that fixed scale.
    """
    trial = objective_at(1.0)
    floor = trial.scale_floor
    theta = _start(sample, trial, start, least_squares=True)
    scale = _median_scale(sample, trial, theta)
    far = _Problem(objective_at(max(scale, floor)), sample)
    if not np.isfinite(far.value_gradient(theta)[0]):  # outliers of 1e200 and more
        theta = _median_start(sample, trial)
        scale = _median_scale(sample, trial, theta)
    if start is not None:
        scale = float(np.ldexp(start.scale, -trial.frame.y_power))
    if sample is not rows:  # come close where sweeps cost little
        sample_settings = replace(settings, tol=1e-8)
        _, scale, solution = _iterate_scale(
            sample, sample, objective_at, sample_settings, theta, max(scale, floor), 1e-4
        )
        theta = solution.x
    objective, _, solution = _iterate_scale(
        rows, sample, objective_at, settings, theta, max(scale, floor), _MAD_TOL
    )
    return objective, solution


def _iterate_scale(
    rows: Rows,
    sample: Rows,
    objective_at: Callable[[float], HuberObjective],
    settings: Settings,
    theta: Floats,
    scale: float,
    tol: float,
) -> tuple[HuberObjective, float, Solution]:
    """Iterate σ → median|r(σ)| / Φ⁻¹(3/4) until it changes by less than tol, relatively.

    The change d(log σ) of one iteration has a zero at the fixed point. Two changes of
    one sign in a row are extrapolated, by at most three times the last; two signs
    enclose the zero, and regula falsi (the Illinois variant) closes in on it.
    """
    ends: dict[bool, tuple[float, float]] = {}  # rising? → log σ, change
    last: tuple[float, float] | None = None
    n_iter = 0
    updates = 0
    while True:
        objective = objective_at(scale)
        left = settings.max_iter - n_iter
        solution = _minimise(
            rows, sample, objective, theta, replace(settings, max_iter=left)
        )
        n_iter += solution.n_iter
        theta = solution.x
        floor = objective.scale_floor
        new_scale = max(_median_scale(rows, objective, theta), floor)
        log_scale, change = np.log(scale), np.log(new_scale / scale)
        solution = replace(solution, n_iter=n_iter)
        # Below the floor residuals are rounding errors, and so is their median.
        if abs(new_scale - scale) <= tol * scale + floor:
            return objective, scale, solution
        updates += 1
        if n_iter >= settings.max_iter or updates >= _MAD_UPDATES:
            status = Status.MAX_ITER
            return objective, scale, replace(solution, status=status)
        rising = bool(change > 0)
        step = change
        ends[rising] = (log_scale, change)
        if len(ends) == 2:
            (low, d_low), (high, d_high) = ends[True], ends[False]
            if last is not None and (last[1] > 0) == rising:
                # The same end moved twice: halve the weight of the other one.
                if rising:
                    d_high /= 2
                    ends[False] = (high, d_high)
                else:
                    d_low /= 2
                    ends[True] = (low, d_low)
            next_log = low + (high - low) * d_low / (d_low - d_high)
        else:
            if last is not None and 0 < change / last[1] < 1:
                slope = (change - last[1]) / (log_scale - last[0])
                step = min(abs(change / slope), 3 * abs(change)) * np.sign(change)
            next_log = log_scale + step
        last = (log_scale, change)
        scale = max(float(np.exp(next_log)), floor)


def weighted_median(values: Floats, weight: Floats | None) -> float:
    """Median in which a weight of two counts as the value twice."""
    if weight is None:
        return float(np.median(values))
    kept = weight > 0
    values, weight = values[kept], weight[kept]
    order = np.argsort(values, kind="stable")
    ends = np.cumsum(weight[order])
    half = 0.5 * ends[-1]
    # Where a cumulated weight is just one half, the median is halfway to the next. Just
    # one half is what rounding of the sums may have made of it.
    slack = len(ends) * _EPS * ends[-1]
    lower = values[order[np.searchsorted(ends, half - slack, side="left")]]
    last = min(np.searchsorted(ends, half + slack, side="right"), len(ends) - 1)
    upper = values[order[last]]
    return float(lower + 0.5 * (upper - lower))


def _root_mean_square(values: Floats) -> float:
    largest = float(values.max(initial=0.0))
    if largest == 0:
        return 0.0
    return largest * float(np.sqrt(np.mean((values / largest) ** 2)))
