"""Which minimiser, from where, with which Hessian.

Where the exact Hessian of all rows is cheap: Newton steps. Else: L-BFGS in whitened
coordinates, after the same problem has been solved on a sample (`skhuber._sketch`). The
Hessian that whitens is one of these:

- That of the inliers of all rows at the sample's minimum, where they are not very many
  for each column. The first sweep gathers it along with value and gradient, in single
  precision, as long as no pivot of its Cholesky factorisation says that columns are
  too much alike for that.
- That of a larger sample. Its diagonal is raised where that of all inliers is far
  larger; the first sweep gathers the latter.

If that ends short of the tolerance, L-BFGS starts again with the exact Hessian at the
point reached, and in the end Newton steps follow. So they do for a fit with so few
inliers, or so small a scale, that no Hessian of a sample means anything.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from skhuber._objective import HuberObjective
from skhuber._problem import Problem
from skhuber._rows import Rows
from skhuber._sketch import Sketch
from skhuber._solver import (
    Solution,
    Status,
    Whitening,
    newton,
    polish,
    whitened_lbfgs,
)
from skhuber._sweep import Floats

# The most iterations on a sample.
_SAMPLE_ITER = 100
# Newton steps with a joint scale that have led nowhere by now never will: exact data
# take 30, others fewer than 15.
_DIRECT_ITER = 40
# n·p² up to which Newton steps on all rows are cheaper than L-BFGS: their Gram matrix
# takes some milliseconds.
_NEWTON_WORK = 2**24
# And for any number of rows, and on a sample, where a few digits will do.
LITTLE_WORK = 2**20
# The most rows that Newton steps are made of: a sample knows the minimum well.
_FEW_ROWS = 2**16
# Where there are no more rows and no more numbers of X than so many, digits of the
# coefficients are worth so many more sweeps: the last ones (ten and more), or eight.
_POLISH_STEPS = ((2**16, 6), (99_999, 3))
_POLISH_ELEMENTS = 2**22
# n·p² up to which they are affordable where L-BFGS got stuck (a minute or so).
_RESCUE_WORK = 2**37
# Columns beyond which a Hessian is only its diagonal: p² numbers are too many.
FULL_HESSIAN_MAX = 3000
# Of sparse data the Hessian is only its diagonal, at first, if it would have more
# numbers than a 32nd of what is stored: its algebra would cost more than the sweeps.
# (With as few columns as these it takes a millisecond.)
_HESSIAN_SHARE = 32
_HESSIAN_CHEAP = 256
# Of fewer inliers for each column a sample's Hessian is not that of all rows.
_INLIERS_PER_COLUMN = 5
# Where a Hessian is only its diagonal, the gap must be smaller by this factor: it comes
# out too small, by the least eigenvalue of the columns' correlations at most.
_DIAGONAL_TRUST = 0.01
# By more than this factor a column is stiffer than a sample of 20 rows for each shows.
_STIFFER = 1.5
# Pivots (of a Hessian with a unit diagonal) that single precision knows to some digits.
_ROUGH_PIVOT = 1e-3
# Directions in which only outliers lie get this part of these rows' curvature.
OUTLIER_PART = 1e-3
# The most steps of polish where minimising got stuck.
_RESCUE_STEPS = 6
# Between the minima on two samples of m rows each lie about p/m of the objective. So
# many times as much is too far for a Newton step.
_NEAR = 3.0
# A sample whose minimum lies so many times farther than chance puts it lacks something.
_FAR = 10.0
# Sets of L-BFGS steps, each whitened anew, and the most steps of all but the last.
_ROUNDS = 4
_ROUND_ITER = 12


def minimise(
    sketch: Sketch,
    objective: HuberObjective,
    theta: Floats,
    *,
    tol: float,
    max_iter: int,
    warm: bool = False,
    may_stay: bool = False,
) -> Solution:
    """Minimise the objective on all rows from θ, in the way that suits their number.

    Parameters
    ----------
    sketch : Sketch
        All rows, and maybe a sample of them.
    objective : HuberObjective
    theta : ndarray
        The start.
    tol : float
        Gap that is small enough, as a fraction of the objective.
    max_iter : int
        The most iterations on all rows.
    warm : bool
        Whether the start is nearer to the minimum than that of the sample.
    may_stay : bool
        Whether a start within the tolerance is the result, to the last bit.

    Raises
    ------
    NonFiniteSumsError
        Where the objective at the start is not finite.
    """
    problem = Problem(objective, sketch.rows)
    if is_small(sketch.rows):
        problem.check_finite(theta)
        return _small(problem, theta, tol, max_iter, may_stay=may_stay)
    if sketch.is_sample and not warm:
        theta = _on_sample(sketch, objective, theta)
    first: Whitening | None = None
    if sketch.is_sample and sketch.has_hessian_of_all and hessian_pays(sketch):
        theta, first = _from_sample_to_all(problem, sketch, theta)
    return _rounds(
        problem,
        sketch,
        theta,
        tol,
        max_iter,
        warm=warm,
        may_stay=may_stay,
        first=first,
    )


def is_small(rows: Rows) -> bool:
    """Whether Newton steps on all rows are the cheapest way."""
    work = _newton_work(rows)
    return work <= _NEWTON_WORK and (rows.n_present <= _FEW_ROWS or work <= LITTLE_WORK)


def hessian_pays(sketch: Sketch) -> bool:
    """Whether a Hessian is worth its algebra (and memory), or only its diagonal is."""
    rows = sketch.rows
    p = rows.n_features
    if p > FULL_HESSIAN_MAX:
        return False
    cheap = p <= _HESSIAN_CHEAP or p**2 * _HESSIAN_SHARE <= rows.n_elements
    return cheap or not sketch.is_sample


def _on_sample(sketch: Sketch, objective: HuberObjective, theta: Floats) -> Floats:
    """The minimum on the sample, loosely."""
    rows = sketch.part
    part = Problem(objective, rows)
    # It lies about p/(2m) from the minimum on all rows, relatively: it is enough to
    # come much nearer to it than that.
    loose = 0.01 * rows.n_features / rows.n_rows
    if _newton_work(rows) <= LITTLE_WORK:
        return _small(part, theta, loose, _SAMPLE_ITER).x
    return _rounds(part, sketch, theta, loose, _SAMPLE_ITER).x


def _is_affordable(rows: Rows) -> bool:
    """Whether the exact Hessian is, where that of a sample did not do."""
    return _newton_work(rows) <= _RESCUE_WORK


def _newton_work(rows: Rows) -> int:
    return rows.n_present * rows.n_features**2


def _newton(
    problem: Problem,
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
    problem: Problem,
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


def _comfortable_scale(problem: Problem, theta: Floats) -> float:
    """A scale at which most residuals lie within the threshold."""
    scale = problem.median_scale(theta)
    return scale * max(1.0, 1.35 / problem.objective.rho)


def _is_far(problem: Problem, theta: Floats) -> bool:
    """Whether the scale lies far below one at which Newton steps do well."""
    _, _, scale = problem.objective.split(theta)
    return 0.3 * _comfortable_scale(problem, theta) > scale


def _follow_scale(problem: Problem, theta: Floats, max_iter: int) -> tuple[Floats, int]:
    """Follow the minimum at a fixed scale while the scale falls to where it belongs.

    Where the scale is far below most residuals, the loss is nearly that of least
    absolute deviations, which has an edge at each row: from afar Newton steps go
    astray. The minimum moves little from one scale to the next and leads there
    (Madsen and Nielsen, A finite smoothing algorithm for linear l1 estimation, SIAM J.
    Optim. 3, 1993).

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
        fixed = Problem(objective.with_scale(scale), rows)
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
        following = Problem(objective.with_scale(next_scale), rows)
        x = min((x, ahead), key=lambda x: following.value_gradient(x)[0])
        scale = next_scale
    return theta, n_iter


def _rounds(
    problem: Problem,
    sketch: Sketch,
    theta: Floats,
    tol: float,
    max_iter: int,
    *,
    warm: bool = False,
    may_stay: bool = False,
    first: Whitening | None = None,
) -> Solution:
    """L-BFGS on the problem's rows, whitened by the Hessian on a part, in rounds.

    `first` is the first round's whitening, where there is one already.
    """
    objective = problem.objective
    lower_last = objective.lower_last

    is_exact = problem.rows is sketch.part
    if not is_exact:
        # The Hessian of a sample, and with it the gap, is that much uncertain.
        tol = 0.5 * tol

    def most(theta: Floats) -> float:
        share = problem.inlier_share
        if is_exact:  # it knows all directions unless there are too few inliers
            return trusted_gap(objective, theta, share, problem.rows.n_present, 1)
        return trusted_gap(objective, theta, share, sketch.n_known)

    def tolerance(theta: Floats, value: float) -> float:
        trust = _DIAGONAL_TRUST if whitening.is_diagonal else 1.0
        return objective.tolerance(theta, value, trust * tol, most(theta))

    may_rescue = _is_affordable(problem.rows)
    n_iter = 0
    for k in range(_ROUNDS):
        # If the sample's Hessian did not do in the first round, it is not good enough.
        if k == 0 and first is not None:
            whitening = first
        else:
            theta, whitening = _whitening(
                problem, sketch, theta, exact=k > 0, warm=warm
            )
        is_exact |= k > 0 and may_rescue
        last_round = k == _ROUNDS - 1
        # A round that needs more steps than this is better whitened anew.
        limit = max_iter if last_round else _ROUND_ITER
        steps = min(limit, max_iter - n_iter)
        solution = whitened_lbfgs(
            problem.value_gradient,
            whitening,
            theta,
            lower_last=lower_last,
            tolerance=tolerance,
            max_iter=steps,
        )
        n_iter += solution.n_iter
        if solution.status is Status.CONVERGED and n_iter == 0 and may_stay:
            break
        stalled = solution.status is Status.STALLED
        solution = polish(
            problem.value_gradient,
            whitening,
            solution,
            lower_last=lower_last,
            tolerance=tolerance,
            max_steps=_RESCUE_STEPS if stalled else _polish_steps(problem.rows),
        )
        theta = solution.x
        if solution.status is Status.CONVERGED or n_iter >= max_iter:
            break
        problem.value_gradient(theta)  # `most` asks for the share of inliers there
        if k > 0 and may_rescue and most(theta) < tol * solution.value:
            # So near to least absolute deviations no Hessian leads far.
            solution = replace(solution, status=Status.STALLED)
            break
    solution = replace(solution, n_iter=n_iter)
    if solution.status is Status.STALLED and may_rescue:
        rescued = _small(problem, theta, tol, max_iter - n_iter)
        solution = replace(rescued, n_iter=n_iter + rescued.n_iter)
    return solution


def trusted_gap(
    objective: HuberObjective,
    theta: Floats,
    inlier_share: float,
    n_rows: int,
    per_column: int = _INLIERS_PER_COLUMN,
) -> float:
    """The largest gap that a Hessian made of so many rows can certify.

    None, if fewer than so many for each column are inliers.
    """
    if n_rows * inlier_share < per_column * len(theta):
        return 0.0
    return objective.parabola_gap(theta, inlier_share)


def _polish_steps(rows: Rows) -> int:
    """How many steps the last digits are worth."""
    n = rows.n_present
    if n * rows.n_features > _POLISH_ELEMENTS:
        return 0
    return next((steps for most, steps in _POLISH_STEPS if n <= most), 0)


def _whitening(
    problem: Problem, sketch: Sketch, theta: Floats, *, exact: bool, warm: bool
) -> tuple[Floats, Whitening]:
    """The start, maybe another one, and coordinates for steps from there.

    `exact`: those of the Hessian on all rows, if that is affordable. `warm`: the start
    is better than what samples know.
    """
    objective = problem.objective
    if objective.n_features > FULL_HESSIAN_MAX or not (exact or hessian_pays(sketch)):
        return theta, Whitening(problem.diagonal(theta)[0])
    if exact and _is_affordable(problem.rows):
        return theta, Whitening(_hessian(problem, theta))
    if problem.rows is sketch.part:
        return theta, _rough_whitening(problem, theta)
    theta, hessian = _on_larger_sample(sketch, objective, theta, warm=warm)
    diagonal, squares = problem.diagonal(theta)
    if sketch.improve(objective.point(theta), squares):
        theta = _on_sample(sketch, objective, theta)
        theta, hessian = _on_larger_sample(sketch, objective, theta, warm=False)
        diagonal, _ = problem.diagonal(theta)
    # Columns that all rows show to be stiffer than the sample does are made so. (The
    # others stay as they are: among strongly correlated columns a little more on the
    # diagonal would hide the direction in which they differ. Nor is the whole matrix
    # scaled: that would turn the direction in which columns add up to nothing, as
    # dummies of all levels do, into a steep one.)
    known = np.diagonal(hessian)
    index = np.nonzero(diagonal > _STIFFER * known)[0]
    hessian[index, index] = diagonal[index]
    return theta, Whitening(hessian)


def _from_sample_to_all(
    problem: Problem, sketch: Sketch, theta: Floats
) -> tuple[Floats, Whitening]:
    """A start on all rows, and coordinates for steps from there.

    Where the minimum on the sample, θ, lies far from that on all rows, the sample
    lacked rows that matter, and another one is tried. In the end there is none.
    """
    n_sampled = sketch.part.n_rows
    sketch.drop_part()
    whitening = _rough_whitening(problem, theta)
    value, gradient = problem.value_gradient(theta)
    gap = whitening.gap(gradient, last_is_held=False)
    if gap <= _FAR * problem.sampling_gap(theta, n_sampled):
        return theta, whitening
    point = problem.objective.point(theta)
    sketch.take_influential(point, problem.diagonal(theta)[1])
    other = _on_sample(sketch, problem.objective, theta)
    sketch.drop_part()
    if problem.value_gradient(other)[0] < value:
        return other, _rough_whitening(problem, other)
    return theta, whitening


def _rough_whitening(problem: Problem, theta: Floats) -> Whitening:
    """By the Hessian on the problem's rows, in single precision if that will do."""
    whitening = Whitening(problem.rough_hessian(theta, OUTLIER_PART))
    if whitening.least_pivot > _ROUGH_PIVOT:
        return whitening
    return Whitening(_hessian(problem, theta))


def _hessian(problem: Problem, theta: Floats) -> Floats:
    """Of the inliers, and a little of the outliers, in double precision."""
    hessian, above = problem.hessian(theta)
    return hessian + OUTLIER_PART * above


def _on_larger_sample(
    sketch: Sketch, objective: HuberObjective, theta: Floats, *, warm: bool
) -> tuple[Floats, Floats]:
    """θ, and the Hessian on the larger sample.

    A θ that is the minimum on the smaller sample is moved by a Newton step to that on
    the larger one. (Where the step promises more than lies between two samples, the
    function is no parabola there, and θ stays.)
    """
    value = total = 0.0
    gradient, hessian = np.zeros(()), np.zeros(())
    for rows in sketch.larger_sample_in_pieces():
        # In double precision, so that it does not matter how many pieces there are.
        problem, weight = Problem(objective, rows), rows.natural_weight
        value_here, gradient_here = problem.value_gradient(theta)
        value += weight * value_here
        gradient = gradient + weight * gradient_here
        hessian = hessian + weight * _hessian(problem, theta)
        total += weight
    value, gradient, hessian = value / total, gradient / total, hessian / total
    if sketch.has_larger_sample and not warm:
        whitening = Whitening(hessian)
        moved = theta - whitening.unwhiten(whitening.whiten_gradient(gradient))
        gap = whitening.gap(gradient, last_is_held=False)
        is_near = gap <= _NEAR * objective.n_features / sketch.part.n_rows * value
        lowest = -np.inf
        if objective.joint:
            lowest = max(0.5 * theta[-1], objective.lower_last)
        if is_near and moved[-1] >= lowest:
            theta = moved
    return theta, hessian
