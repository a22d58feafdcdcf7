"""Fits to one-hot columns of many levels, whose coefficients are eliminated.

Of columns apart (no row stores two of them) each coefficient has a problem of its own
once the other variables are given: a convex function of one variable. So F is minimised
over the others, v, with the coefficients apart, w, at their minima,

    G(v) = min_w F(v, w),

a convex function whose gradient is ∂F/∂v and whose Hessian is the Schur complement

    C − Bᵀ D⁻¹ B,       with H = [[D, B], [Bᵀ, C]] and D diagonal

(variable projection: Golub and Pereyra, Separable nonlinear least squares, Inverse
Problems 19, 2003). The minima over w are found by Newton's method in brackets, one
sweep for a step of all of them. So a level of a few rows, whose loss has edges, does
not stop the steps of all others, and the matrix to factorise is as small as C.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from skhuber._fit.continuation import newton
from skhuber._fit.problem import (
    Evaluation,
    Problem,
    Trust,
    slope_noise,
    trusted_gap,
)
from skhuber._rows import CSRRows
from skhuber._solver.descent import LEAST_DAMPING, Rules
from skhuber._solver.lbfgs import whitened_lbfgs
from skhuber._solver.quadratic import Model
from skhuber._solver.separable import Separable
from skhuber._solver.solution import Answer, Solution, Status
from skhuber._sums import Floats, Want

# Coefficients apart are settled if F can fall by no more than this part of the
# tolerance along them, or of the gap at the last point.
_OF_TOLERANCE, _OF_GAP = 0.1, 1e-3
# The most sweeps that settle them. (One-hot data with two to ten rows for each level
# take 5 to 25.)
_MAX_SETTLING = 60
# The first step along one of them goes no farther than these thresholds; each next one
# that would go farther twice as far.
_FIRST_REACH = 4.0
# L-BFGS steps with one Hessian, and how many Hessians.
_ROUND_ITER = 12
_ROUNDS = 10


@dataclass(frozen=True)
class _Settled:
    """F at v with the coefficients apart near their minima.

    Attributes
    ----------
    found : Evaluation
        At the whole of θ.
    gap : float
        How far F can fall along the coefficients apart, as Newton steps tell.
    curvature : ndarray of shape (k,)
        D.
    """

    found: Evaluation
    gap: float
    curvature: Floats


@dataclass(frozen=True)
class _Place:
    """The last point, and what it tells about the next one.

    Attributes
    ----------
    theta : ndarray of shape (q,)
    best : _Settled or None
        The point of the least value so far.
    gap : float
        The least gap so far, by the models at hand.
    model : Model or None
        The last Hessian of G.
    response : ndarray of shape (k, q − k)
        D⁻¹B there: how the coefficients apart follow the others.
    """

    theta: Floats
    best: _Settled | None
    gap: float
    model: Model | None
    response: Floats


class Eliminated:
    """The function G of the module's docstring.

    Parameters
    ----------
    problem : Problem
        On the rows of a CSR matrix.
    theta : ndarray
        The start.
    """

    def __init__(self, problem: Problem, theta: Floats) -> None:
        rows, objective = problem.rows, problem.objective
        assert isinstance(rows, CSRRows)
        self._problem, self._rows = problem, rows
        apart = rows.columns_apart
        self._apart = apart[objective.frame.centre[apart] == 0]
        self._others = np.delete(np.arange(len(theta)), self._apart)
        response = np.zeros((len(self._apart), len(self._others)))
        self._place = _Place(theta, None, np.inf, None, response)
        self.part = Separable.below(objective.lower[self._others])

    @property
    def v(self) -> Floats:
        """The other variables at the last point."""
        return self._place.theta[self._others]

    def at(self, v: Floats) -> Answer:
        """Return value and gradient of G."""
        return self._told(self._settle(v))

    def with_model(self, v: Floats) -> Answer:
        """Return value and gradient of G, and its Hessian."""
        settled = self._settle(v)
        if not settled.found.is_finite:
            return self._told(settled)
        objective, theta = self._problem.objective, settled.found.theta
        residuals = self._problem.residuals(theta)
        point = objective.point(theta)
        gram, cross = self._rows.split_gram(point, residuals, self._apart)
        factor = 2.0 / (point.scale * settled.found.sums.weight)
        kept = np.ones(len(gram), dtype=np.bool_)
        kept[-2:] = objective.frame.fit_intercept, objective.joint
        inside = factor * gram[np.ix_(kept, kept)]
        cross = factor * cross[:, kept]
        response = cross / settled.curvature[:, np.newaxis]
        model = Model(
            inside - cross.T @ response,
            None,
            objective.penalty_curvature[self._others],
            noise=slope_noise(settled.found.value),
        )
        gap = self._gap(settled.found, model)
        self._place = replace(self._place, gap=gap, model=model, response=response)
        return self._told(settled, model)

    def solution(self, end: Solution) -> Solution:
        """Return where a descent of G ended as a solution of the whole problem."""
        settled = self._place.best
        if settled is None or (settled.found.theta[self._others] != end.x).any():
            settled = self._settle(end.x)
        found = settled.found
        return Solution(
            found.theta,
            found.value,
            found.gradient,
            end.gap + settled.gap,
            end.n_iter,
            end.status,
        )

    def _settle(self, v: Floats) -> _Settled:
        """Return F at v with the coefficients apart near their minima.

        Each has a bracket, within which a Newton step that leaves it is halved.
        """
        last = self._place
        theta = last.theta.copy()
        w = theta[self._apart] - last.response @ (v - theta[self._others])
        theta[self._others] = v
        low, high = np.full(len(w), -np.inf), np.full(len(w), np.inf)
        threshold = self._problem.objective.point(theta).threshold
        reach = np.full(len(w), _FIRST_REACH * threshold)
        for _ in range(_MAX_SETTLING):
            theta[self._apart] = w
            settled, slope = self._look(theta.copy())
            found = settled.found
            if not found.is_finite:
                return settled
            # (F is not negative, so its own gap is not larger.)
            gap = min(last.gap, found.value)
            enough = max(_OF_TOLERANCE * self._tolerance(found), _OF_GAP * gap)
            if settled.gap <= enough or found.stop:
                break
            high = np.where(slope > 0, w, high)
            low = np.where(slope < 0, w, low)
            step = -slope / settled.curvature
            new = w + np.clip(step, -reach, reach)
            reach = np.where(np.abs(step) > reach, 2.0 * reach, reach)
            is_out = ((new <= low) | (new >= high)) & np.isfinite(high - low)
            new[is_out] = 0.5 * (low[is_out] + high[is_out])
            w = new
        best = last.best
        if best is None or found.value <= best.found.value:
            best = settled
        gap = self._gap(found, last.model)
        self._place = replace(last, theta=found.theta, best=best, gap=gap)
        return settled

    def _look(self, theta: Floats) -> tuple[_Settled, Floats]:
        """Return F at θ, and its slopes along the coefficients apart."""
        objective, apart = self._problem.objective, self._apart
        found = self._problem.evaluate(theta, Want(squares=True))
        slope = found.gradient[apart]
        if not found.is_finite:
            return _Settled(found, np.inf, np.ones(len(apart))), slope
        inside, outside = objective.diagonals(theta, found.sums)
        curvature = inside + LEAST_DAMPING * outside + objective.penalty_curvature
        curvature = np.where(curvature > 0, curvature, 1.0)[apart]
        gap = 0.5 * float(np.sum(slope**2 / curvature))
        return _Settled(found, gap, curvature), slope

    def _tolerance(self, found: Evaluation) -> float:
        objective, tol = self._problem.objective, self._problem.trust.tol
        trust = Trust(tol, self._rows.n_present, 1)
        most = trusted_gap(objective, found, trust)
        return objective.tolerance(found.theta, found.value, tol, most)

    def _gap(self, found: Evaluation, model: Model | None) -> float:
        """Return the gap at a point, or the least one so far."""
        if model is None:
            return self._place.gap
        held = self.part.lower >= found.theta[self._others]
        return min(self._place.gap, model.gap(found.gradient[self._others], held))

    def _told(self, settled: _Settled, model: Model | None = None) -> Answer:
        found = settled.found
        gradient = found.gradient[self._others]
        if not found.is_finite:
            return Answer(np.inf, gradient, 0.0, None, found.stop)
        # Both gaps together may be as large as the tolerance.
        tolerance = self._tolerance(found) - settled.gap
        return Answer(found.value, gradient, tolerance, model, found.stop)


def eliminate(problem: Problem, theta: Floats, rules: Rules) -> Solution:
    """Minimise with the coefficients apart eliminated, or, failing that, without."""
    reduced = Eliminated(problem, theta)
    solution = reduced.solution(_descend(reduced, rules.max_iter))
    left = rules.max_iter - solution.n_iter
    ends = (Status.CONVERGED, Status.STOPPED, Status.NOT_FINITE)
    if solution.status in ends or left <= 0:
        return solution
    rest = newton(problem, solution.x, replace(rules, max_iter=left))
    return replace(rest, n_iter=solution.n_iter + rest.n_iter)


def _descend(reduced: Eliminated, max_iter: int) -> Solution:
    """Return the minimum of G, or the point from which no step leads on."""
    v, n_iter = reduced.v, 0
    solution = Solution(v, np.inf, v, np.inf, 0, Status.NOT_FINITE)
    for _ in range(_ROUNDS):
        first = reduced.with_model(v)
        if first.model is None:
            break
        assert isinstance(first.model, Model)
        # (In one round a joint scale falls to a part of itself at most.)
        lower = reduced.part.guarded(v).lower
        limit = min(_ROUND_ITER, max_iter - n_iter)
        last = solution.value
        solution = whitened_lbfgs(reduced.at, first.model, v, first, lower, limit)
        n_iter += solution.n_iter
        v = solution.x
        is_cut = bool(((v <= lower) & (lower > reduced.part.lower)).any())
        # (A Hessian of where a round began does not certify where it ended.)
        is_done = solution.status is Status.CONVERGED and solution.n_iter == 0
        leads_on = is_cut or solution.value < last
        if is_done or solution.status is Status.STOPPED or not leads_on:
            break
        if n_iter >= max_iter:
            break
    if solution.status is Status.CONVERGED and is_cut:  # not of the whole problem
        solution = replace(solution, status=Status.STALLED)
    return replace(solution, n_iter=n_iter)
