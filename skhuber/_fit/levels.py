"""Levels: a sample of the rows, a larger one, all rows.

The minimum on a sample is the start on all rows; the Hessian of a larger sample, or of
all rows, whitens the steps from there. Both samples depend on the shape of the data
alone, so fits of the same data in another layout take the same steps.

A uniform sample tells little of columns that rest on a few rows: rare dummies, or
columns with leverage points (rows far longer than the others). One test finds it
wanting, once: on all rows its minimum then lies much farther from theirs than chance
puts it (`skhuber._fit.problem.sampling_gap`). Another sample takes its place, half of
it picked uniformly and half in proportion to

    ℓ_i = Σ_j z_ij² / mean_i z_ij²,

the leverage of a row if the columns were uncorrelated (Drineas and Mahoney, RandNLA,
Communications of the ACM 59(6), 2016, on sampling by leverage). Rows on which a column
rests are then all in it.

With absolute values or bounds that sample is the first one if columns are constant in a
uniform one: of other rare columns that has a row or two, to which their coefficients
are fitted even if these are outliers, and steps with one Hessian lead slowly back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import chdtri

from skhuber._fit.continuation import newton
from skhuber._fit.diagonal import minimise_by_diagonal, near_minimum
from skhuber._fit.eliminated import eliminate
from skhuber._fit.plan import Plan
from skhuber._fit.problem import (
    Evaluation,
    Problem,
    Trust,
    sampling_gap,
)
from skhuber._objective import HuberObjective
from skhuber._rows import RowSource
from skhuber._solver.descent import Rules, descend, drive, polish
from skhuber._solver.lbfgs import whitened_lbfgs
from skhuber._solver.quadratic import Model
from skhuber._solver.solution import Solution, Status
from skhuber._sums import Floats, Picks, Point, Want

# The most iterations on a sample.
_SAMPLE_ITER = 100
# A sample is solved to this part of what separates its minimum from that of all rows,
# about p/(2m) of the objective.
_SAMPLE_TOL = 0.01
# Probability with which chance alone puts the minimum on a sample so far from that on
# all rows that the sample is taken to lack rows. (The gap over its expectation is
# χ²_p/p: 0.5 to 1.9 on 18 sets that lack none, 3.3 to 12,000 on 9 that do.)
_LACKING = 1e-6
# L-BFGS steps after which another Hessian is the better way, and how many Hessians.
_ROUND_ITER = 12
_ROUNDS = 4
# The most steps of polish; a fit whose steps stalled may take them all.
_MOST_POLISH = 6
# A column is stiffer on all rows than a sample shows: by more than chance.
STIFFER = 1.5


@dataclass
class Samples:
    """All rows, and the samples that stand for them.

    Attributes
    ----------
    rows : RowSource
        All rows.
    plan : Plan
    first : RowSource or None
        The sample that is solved first.
    shares : ndarray of shape (n,), or what these rows have in its place, or None
        Of every row in samples by leverage; None for uniform ones.
    picks : Picks or None
        The rows of the first sample, if they were picked here.
    """

    rows: RowSource
    plan: Plan
    first: RowSource | None = None
    shares: Any = None
    picks: Picks | None = None

    def __post_init__(self) -> None:
        """Take the first sample, unless it is given."""
        if self.first is None and self.plan.sample_rows:
            self._take(self.rows.pick(self.plan.sample_rows))

    @property
    def any(self) -> RowSource:
        """The first sample, or all rows if there is none."""
        return self.rows if self.first is None else self.first

    def resample_by_leverage(self, found: Evaluation) -> None:
        """Take samples that contain the rows on which columns rest."""
        point, sums = found.objective.point(found.theta), found.sums
        if sums.squares is None:
            (sums,) = self.rows.sweep([point], Want(squares=True))
        self.resample(point, sums.all_squares / sums.weight)

    def resample_for_rare(self, objective: HuberObjective) -> None:
        """Take these samples if columns are constant in the first one. One sweep.

        The first sample tells the mean squares of other columns. Of a rare column no
        row was picked: the mean square is taken for that of one row a unit long, which
        is half of its largest value or more.
        """
        assert self.first is not None
        p = self.rows.n_features
        point = objective.point(objective.theta(np.zeros(p), 0.0, 1.0))
        (sums,) = self.first.sweep([point], Want(squares=True))
        mean_square = sums.all_squares / sums.weight
        least = 1.0 / self.first.n_rows
        mean_square = np.where(mean_square > 0, mean_square, least)
        # (Half of the picks are uniform: as many as there were.)
        self.resample(point, mean_square, 2 * self.plan.sample_rows)

    def resample(self, point: Point, mean_square: Floats, n_rows: int = 0) -> None:
        """Take these samples if the mean square of each column is known.

        The first one has about `n_rows` rows; by default as many as the plan says.
        """
        self.shares = self.rows.leverage_shares(point, mean_square)
        self._take(self.larger(n_rows or self.plan.sample_rows))

    def _take(self, picks: Picks) -> None:
        self.picks, self.first = picks, self.rows.sample(picks)

    def want(self) -> Want:
        """Return what a sweep over all rows is asked for the Hessian of the plan.

        It is that of the larger sample, of which all rows show how stiff columns are.
        """
        picks = self.larger(self.plan.hessian_rows).scaled_to(self.rows.total_weight)
        return Want(squares=True, gram=np.float64, picks=picks)

    def larger(self, n_rows: int) -> Picks:
        """Return the picks of a larger sample."""
        if self.shares is None:
            return self.rows.pick(n_rows)
        return self.rows.pick_by(self.shares, n_rows)


def minimise(
    problem: Problem,
    samples: Samples,
    theta: Floats,
    *,
    max_iter: int,
    warm: bool = False,
    may_stay: bool = False,
) -> Solution:
    """Minimise on all rows, by the way that the plan says.

    Parameters
    ----------
    problem : Problem
        The objective on all rows.
    samples : Samples
    theta : ndarray
        The start.
    max_iter : int
        The most iterations on all rows.
    warm : bool
        Whether the start is nearer to the minimum than that of a sample is.
    may_stay : bool
        Whether a start within the tolerance is the result, to the last bit.
    """
    plan, rules = samples.plan, Rules(max_iter, may_stay=may_stay)
    if plan.way == "eliminated":
        return eliminate(problem, theta, rules)
    if plan.diagonal_first:
        return _by_diagonal_first(problem, samples, theta, rules, warm=warm)
    return _in_plans_way(problem, samples, theta, rules, warm=warm)


def _by_diagonal_first(
    problem: Problem, samples: Samples, theta: Floats, rules: Rules, *, warm: bool
) -> Solution:
    """Minimise by the diagonal; if it is not enough, in the plan's way from there."""
    sample = samples.first
    if sample is not None and not warm:
        start = _near_by_diagonal(sample, problem.objective, theta)
        if start.status is not Status.CONVERGED:
            return _in_plans_way(problem, samples, theta, rules, warm=warm)
        theta = start.x
    polished = replace(rules, polish=samples.plan.polish)
    solution = minimise_by_diagonal(problem, sample, theta, polished)
    n_iter = 0
    if solution is not None:
        theta, n_iter = solution.x, solution.n_iter
        is_final = solution.status in (Status.CONVERGED, Status.STOPPED)
        if is_final or n_iter >= rules.max_iter:
            return solution
    rest = replace(rules, max_iter=rules.max_iter - n_iter)
    solution = _in_plans_way(problem, samples, theta, rest, warm=True)
    return replace(solution, n_iter=n_iter + solution.n_iter)


def _in_plans_way(
    problem: Problem, samples: Samples, theta: Floats, rules: Rules, *, warm: bool
) -> Solution:
    """Minimise on all rows by Newton's method, or with a Hessian that whitens."""
    plan = samples.plan
    if plan.way != "whitened":
        return newton(problem, theta, rules)
    if samples.first is None or warm:
        found, model = _hessian_there(problem, samples, theta)
        model = model and raised(model, found)
    else:
        found, model = climb(problem, samples, theta)
    return _rounds(problem, plan, found, model, rules)


def trust_of(problem: Problem, plan: Plan) -> Trust:
    """Return how far the plan's Hessian is trusted."""
    if plan.hessian_rows == 0:
        return _trust_of_all(problem)
    return problem.trust.by_sample(plan.hessian_rows)


def _trust_of_all(problem: Problem) -> Trust:
    """Return how far the Hessian of all rows is trusted."""
    # (It knows all directions, unless there are too few inliers.)
    return replace(problem.trust, n_rows=problem.rows.n_present, per_column=1)


def climb(
    problem: Problem, samples: Samples, theta: Floats
) -> tuple[Evaluation, Model | None]:
    """Return the start on all rows, evaluated there, and the Hessian that whitens."""
    objective = problem.objective
    best: tuple[Evaluation, Model | None] | None = None
    while True:
        assert samples.first is not None
        theta = on_sample(samples, objective, theta)
        found, model = _hessian_there(problem, samples, theta)
        if found.stop or not found.is_finite or model is None:
            return found, model
        if best is not None and best[0].value < found.value:
            return best
        if best is not None or not lacks_rows(problem, found, model, samples.first):
            return found, raised(model, found)
        best = found, raised(model, found)
        samples.resample_by_leverage(found)


def lacks_rows(
    problem: Problem, found: Evaluation, model: Model, sample: RowSource
) -> bool:
    """Return whether the minimum on a sample lies farther off than chance puts it."""
    q = len(found.theta)
    most = chdtri(q, _LACKING) / q * sampling_gap(found, sample.n_rows)
    return problem.gap(found, model) > most


def raised(model: Model, found: Evaluation) -> Model:
    """Return the model, as stiff in each column as all rows show it to be.

    Columns that agree are left as they are: among strongly correlated ones a little
    more on the diagonal would hide the direction in which they differ.
    """
    if found.sums.squares is None:
        return model  # it is of all rows
    inside, _ = found.objective.diagonals(found.theta, found.sums)
    known = np.diagonal(model.inside)
    stiffer = np.where(inside > STIFFER * known, inside - known, 0.0)
    if not stiffer.any():
        return model
    return replace(model, inside=model.inside + np.diag(stiffer))


def near_on_sample(
    samples: Samples,
    objective: HuberObjective,
    theta: Floats,
    model: Model | None = None,
) -> Solution:
    """Return the minimum on the first sample, loosely, by the diagonal if that does.

    A Hessian that is given, of nearly this objective, whitens the first steps.
    """
    plan = samples.plan
    if plan.diagonal_first:
        assert samples.first is not None
        found = _near_by_diagonal(samples.first, objective, theta)
        if found.status is Status.CONVERGED or plan.is_matrix_free:
            return found
    return _solved_on_sample(samples, objective, theta, model)


def _near_by_diagonal(
    sample: RowSource, objective: HuberObjective, theta: Floats
) -> Solution:
    return near_minimum(Problem(objective, sample, _sample_trust(sample)), theta)


def on_sample(samples: Samples, objective: HuberObjective, theta: Floats) -> Floats:
    """Return the minimum on the first sample, loosely."""
    return _solved_on_sample(samples, objective, theta).x


def _solved_on_sample(
    samples: Samples,
    objective: HuberObjective,
    theta: Floats,
    model: Model | None = None,
) -> Solution:
    rows = samples.first
    assert rows is not None
    part = Problem(objective, rows, _sample_trust(rows))
    if samples.plan.sample_way == "newton":
        return newton(part, theta, Rules(_SAMPLE_ITER))
    plan = replace(samples.plan, hessian_rows=0, polish=0)
    if model is None:
        found, model = part.whitening_model(theta)
    else:
        found = part.evaluate(theta)
        model = replace(model, penalty=objective.penalty_curvature)
    return _rounds(part, plan, found, model, Rules(_SAMPLE_ITER))


def _sample_trust(sample: RowSource) -> Trust:
    return Trust(_SAMPLE_TOL * sample.n_features / sample.n_rows)


def _hessian_there(
    problem: Problem, samples: Samples, theta: Floats
) -> tuple[Evaluation, Model | None]:
    """Return all rows' value and gradient at θ, and the plan's Hessian there."""
    if samples.plan.hessian_rows == 0:
        return problem.whitening_model(theta)
    found = problem.evaluate(theta, samples.want())
    return found, problem.whitening_model_of(found)


def _by_model(
    problem: Problem, found: Evaluation, model: Model, rules: Rules
) -> Solution:
    """Minimise from an evaluation with one Hessian, and what the steps teach."""
    if not problem.objective.is_smooth:
        rules = replace(rules, polish=0)
        return drive(descend(found.theta, problem.part, rules, model), problem.answer)
    return whitened_lbfgs(
        problem.at,
        model,
        found.theta,
        problem.told(found),
        problem.objective.lower,
        rules.max_iter,
    )


def _rounds(
    problem: Problem,
    plan: Plan,
    found: Evaluation,
    model: Model | None,
    rules: Rules,
) -> Solution:
    """Minimise with one Hessian, or with another one if it does not lead to the end."""
    part, tol = problem.part, problem.trust.tol
    trusting = problem.trusting(trust_of(problem, plan))
    solution = Solution(
        found.theta, found.value, found.gradient, np.inf, 0, Status.NOT_FINITE
    )
    n_iter = 0
    for k in range(_ROUNDS):
        if model is None or not found.is_finite:
            return replace(solution, n_iter=n_iter)
        may_go_on = plan.may_rescue and k < _ROUNDS - 1
        limit = _ROUND_ITER if may_go_on else rules.max_iter
        limit = min(limit, rules.max_iter - n_iter)
        solution = _by_model(trusting, found, model, replace(rules, max_iter=limit))
        n_iter += solution.n_iter
        if solution.status is Status.STOPPED:
            break
        if solution.status is Status.CONVERGED and n_iter == 0 and rules.may_stay:
            break
        stalled = solution.status is Status.STALLED
        steps = _MOST_POLISH if stalled else plan.polish
        solution = drive(polish(solution, part, steps, 1.0), trusting.answer)
        is_final = solution.status in (Status.CONVERGED, Status.STOPPED)
        if is_final or n_iter >= rules.max_iter:
            break
        if not may_go_on:
            break
        if plan.basis == "rescue" and model.is_singular:
            # Another basis is the better way than another Hessian that rounding hides.
            return replace(solution, n_iter=n_iter, status=Status.STALLED)
        trusting = problem.trusting(_trust_of_all(problem))
        found, model = trusting.whitening_model(solution.x)
        if trusting.told(found).tolerance < tol * found.value:
            # So near to least absolute deviations no Hessian leads far.
            solution = replace(solution, status=Status.STALLED)
            break
    return _rescued(problem, plan, replace(solution, n_iter=n_iter), rules)


def _rescued(
    problem: Problem, plan: Plan, solution: Solution, rules: Rules
) -> Solution:
    """Return the minimum by Newton's method if a whitened fit stalled."""
    left = rules.max_iter - solution.n_iter
    if solution.status is not Status.STALLED or not plan.may_rescue or left <= 0:
        return solution
    trusting = problem.trusting(replace(problem.trust, n_rows=np.inf, per_column=0))
    rescued = newton(trusting, solution.x, Rules(left, rules.polish))
    return replace(rescued, n_iter=solution.n_iter + rescued.n_iter)
