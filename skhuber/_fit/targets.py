"""Fits of several targets to the same rows, and what they share.

Each target has a fit of its own: the one that it would have alone, with its own scale,
outliers and certificate. All of them share X, and with it

- the rows of the samples, and centre and units of the columns;
- one Gram matrix of all rows. Times the inliers' share over the scale it is near the
  Hessian of each target, for the first steps;
- every sweep over all rows: a block of X that is read from memory serves all targets.
  Descents (`skhuber._solver.descent`) advance together, each sweep answering a step of
  each.

The minimum on a sample, where a descent begins, is found for each target by itself: a
sample is a small part of the rows. If columns are longer on all rows than the sample
shows, they rest on a few rows, and a sample by leverage takes its place
(`skhuber._fit.levels`).

The shared Gram matrix contains the outliers of each target: in a direction in which
these are far longer than the inliers it would certify what is no minimum. So where a
descent ends, one more sweep makes the Hessian of each target, of its inliers alone.
That decides whether the fit is certified. If not, another round of steps begins there.

Targets are taken in groups whose Hessians need a small part of the memory of X. A
target that the shared way does not certify is fitted alone. So is every target if there
is little to share: small data (`skhuber._fit.small`), few rows for each column, working
sets of columns, matrix-free steps, and scales of "mad", which settle one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from skhuber._fit.certificate import may_have_collapsed
from skhuber._fit.fit import fit_rows, is_start
from skhuber._fit.levels import (
    STIFFER,
    Samples,
    on_sample,
    raised,
    trust_of,
)
from skhuber._fit.plan import Plan, plan_of
from skhuber._fit.problem import (
    Evaluation,
    Problem,
    Together,
    Trust,
    evaluate_together,
    is_too_rough,
    slope_noise,
)
from skhuber._fit.result import Fit, described_without_residuals
from skhuber._fit.settings import Settings
from skhuber._fit.standardise import column_units, objective_of
from skhuber._fit.start import Start, best_start, given_start
from skhuber._rows import RowSource
from skhuber._runtime import one_blas_thread
from skhuber._solver.descent import Rules, descend, polish, together
from skhuber._solver.quadratic import Model
from skhuber._solver.solution import Solution, Status
from skhuber._sums import Data, Floats, Want

# Steps with one Hessian, after which another one, at the point reached, leads on in
# fewer sweeps; and how many rounds of steps there are before a target is fitted alone.
# (On plain data four steps lead to the end.)
_ROUND_STEPS = 5
_ROUNDS = 4
# The least part of the weight that curves the objective along a joint scale.
_LEAST_INSIDE = 1e-3

_PLAIN = Want()


# As in `fit_rows`.
@np.errstate(over="ignore", invalid="ignore")
def fit_targets(
    rows: Sequence[RowSource],
    settings: Settings,
    starts: Sequence[Start | None],
) -> list[Fit]:
    """Fit the model to each target.

    Parameters
    ----------
    rows : sequence of sources in memory
        One for each target; they differ in nothing else. Sweeps that serve several
        targets count for one of these.
    settings : Settings
    starts : sequence of Start or None
        A model to start from for each target.

    Returns
    -------
    list of Fit
        If sums of one fit are not finite, those after it are not fitted.
    """
    found: list[Fit | None] = [None] * len(rows)
    plan = plan_of(rows[0], settings.penalty)
    if plan.targets > 1 and len(rows) > 1 and settings.scale != "mad":
        found = _fit_together(rows, plan, settings, starts)
    fits: list[Fit] = []
    for one, start, fit in zip(rows, starts, found, strict=True):
        if fits and not fits[-1].is_finite:
            fit = Fit.not_finite(one)
        fits.append(fit or fit_rows(one, settings, start))
    return fits


@one_blas_thread
def _fit_together(
    rows: Sequence[RowSource],
    plan: Plan,
    settings: Settings,
    starts: Sequence[Start | None],
) -> list[Fit | None]:
    """Return what the shared way certifies."""
    shared = _Shared(rows[0], plan, settings)
    fits: list[Fit | None] = []
    for k in range(0, len(rows), plan.targets):
        group = slice(k, k + plan.targets)
        fits += shared.fit(rows[group], starts[group])
    return fits


@dataclass
class _Target:
    """One target on its way to the minimum.

    Attributes
    ----------
    problem : Problem
        On all rows.
    samples : Samples
    theta : ndarray
    is_given : bool
        Whether the start is a model that was given.
    n_iter : int
    found : Evaluation or None
        At θ, on all rows.
    model : Model or None
        A Hessian near there; None if there is none of use.
    residuals : ndarray of shape (n,) or None
        At θ, standardised.
    """

    problem: Problem
    samples: Samples
    theta: Floats
    is_given: bool
    n_iter: int = 0
    found: Evaluation | None = None
    model: Model | None = None
    residuals: Data | None = None

    @property
    def may_stay(self) -> bool:
        """True at a given start, which is the result if it is good enough."""
        return self.is_given and self.n_iter == 0

    def gap(self) -> float:
        """Return how far the model falls to its minimum."""
        found, model = self.found, self.model
        if found is None or model is None or not found.is_finite:
            return np.inf
        return self.problem.gap(found, model)

    def solution(self) -> Solution | None:
        """Return θ as a solution, if it is certified."""
        gap = self.gap()
        if self.found is None or not gap < np.inf:
            return None
        if gap > self.problem.told(self.found).tolerance:
            return None
        value, gradient = self.found.value, self.found.gradient
        converged, model = Status.CONVERGED, self.model
        return Solution(self.theta, value, gradient, gap, self.n_iter, converged, model)


class _Shared:
    """Samples, units of the columns and a Gram matrix, which all targets share.

    Parameters
    ----------
    rows : RowSource
        Those of any target.
    plan : Plan
    settings : Settings
    """

    def __init__(self, rows: RowSource, plan: Plan, settings: Settings) -> None:
        # (Data that a fit alone would take as a whole have a sample here: its minimum
        # is a start at hardly any cost.)
        self._plan = replace(plan, sample_rows=plan.sample_rows or plan.grid_rows)
        self._rows = rows
        self._settings = settings
        samples = Samples(rows, self._plan)
        self._columns = column_units(rows, samples.any, settings)
        self._common = self._curvature(samples)
        if self._common is not None and _lacks_rows(samples.any, *self._common):
            found, model = self._common
            point = found.objective.point(found.theta)
            samples.resample(point, 0.5 * np.diagonal(model.inside)[: rows.n_features])
        assert samples.first is not None
        assert samples.picks is not None
        self._sample, self._picks = samples.first, samples.picks
        self._shares = samples.shares

    def fit(
        self, rows: Sequence[RowSource], starts: Sequence[Start | None]
    ) -> list[Fit | None]:
        """Return fits of some targets; None if not certified."""
        targets = [
            self._target(one, start) for one, start in zip(rows, starts, strict=True)
        ]
        left = [one for one in targets if one is not None]
        self._climb(left)
        for _ in range(_ROUNDS):
            left = [one for one in left if one.model is not None]
            if not left:
                break
            self._step(left)
            self._look(left)
            left = [one for one in left if one.solution() is None]
        self._polish([one for one in targets if one is not None])
        return [None if one is None else self._fit_of(one) for one in targets]

    def _target(self, rows: RowSource, start: Start | None) -> _Target | None:
        """Return a target at its start; None if columns need units of its own."""
        samples = self._samples(rows)
        if self._columns is None:
            return None
        frame = self._columns.frame(rows, samples.any, self._settings)
        if not np.array_equal(frame.x_power, self._columns.power):
            return None
        objective = objective_of(rows, frame, self._settings)
        problem = Problem(objective, rows, Trust(self._settings.tol))
        problem = problem.trusting(trust_of(problem, self._plan))
        sampled = Problem(objective, samples.any, Trust(0.0))
        if start is not None and is_start(sampled, start):
            return _Target(problem, samples, given_start(objective, start), True)
        return _Target(problem, samples, best_start(sampled), False)

    def _samples(self, rows: RowSource) -> Samples:
        """Return the samples of a target."""
        first = self._sample.with_target(rows.y[self._picks.index])
        return Samples(rows, self._plan, first, self._shares)

    def _climb(self, targets: Sequence[_Target]) -> None:
        """Take targets to the minima on the sample, and evaluate them on all rows."""
        for one in targets:
            if not one.is_given:
                one.theta = on_sample(one.samples, one.problem.objective, one.theta)
        self._place(targets)

    def _place(self, targets: Sequence[_Target]) -> None:
        """Evaluate targets, and give them the shared Hessian. One sweep."""
        for one, found in zip(targets, _evaluated(targets), strict=True):
            one.found = found
            if self._common is not None and found.is_finite:
                one.model = _adapted(self._common[1], found)

    def _curvature(self, samples: Samples) -> tuple[Evaluation, Model] | None:
        """Return least squares without coefficients: its value and its Hessian.

        At a scale of one and without penalty. One sweep. None if X is not finite.
        """
        if self._columns is None:
            return None
        plain = replace(self._settings, alpha=0.0, penalty=None)
        frame = self._columns.frame(self._rows, samples.any, plain)
        objective = objective_of(self._rows, frame, plain)
        squares = objective.with_rho(np.inf).with_scale(1.0)
        origin = squares.theta(np.zeros(squares.n_features), 0.0, 1.0)
        problem = Problem(squares, self._rows, Trust(0.0))
        if self._plan.hessian_rows:
            found = problem.evaluate(origin, samples.want())
            model = problem.whitening_model_of(found)
            model = model and raised(model, found)
        else:
            found = problem.evaluate(origin, Want(gram=np.float64))
            model = problem.model(found)
        return None if model is None else (found, model)

    def _step(self, targets: Sequence[_Target]) -> None:
        """Make a round of steps with the model that each target has.

        A descent that its model takes for ended makes that model's step.
        """
        known = [one.found for one in targets if one.found is not None]
        answers = Together([one.problem for one in targets], known)
        descents = []
        for one in targets:
            steps = min(_ROUND_STEPS, self._settings.max_iter - one.n_iter)
            rules = Rules(steps, polish=0)
            descents.append(descend(one.theta, one.problem.part, rules, one.model))
        for one, end in zip(targets, together(descents, answers), strict=True):
            one.n_iter += end.n_iter
            one.theta = end.x
            is_end = end.status is Status.CONVERGED and not one.may_stay
            if is_end and end.step is not None:
                part = one.problem.part
                one.theta = part.clip(part.moved(end.x, end.step))

    def _look(self, targets: Sequence[_Target]) -> None:
        """Evaluate targets, and find the Hessian of each, in one sweep for all.

        The Hessians of columns that are much alike take another one.
        """
        for one in targets:
            if one.residuals is None:
                one.residuals = np.empty(self._rows.n_rows, self._rows.dtype)
        if self._plan.hessian_rows:
            # (All targets have the rows of their samples in common.)
            found = _evaluated(targets, targets[0].samples.want())
            for one, at in zip(targets, found, strict=True):
                model = one.problem.whitening_model_of(at)
                self._take(one, at, model and raised(model, at))
            return
        for precision in (np.float32, np.float64):
            found = _evaluated(targets, Want(gram=precision))
            for one, at in zip(targets, found, strict=True):
                self._take(one, at, one.problem.whitening_model_of(at))
            targets = [one for one in targets if is_too_rough(one.model)]

    def _take(self, target: _Target, found: Evaluation, model: Model | None) -> None:
        """Keep an evaluation, and a model that is of use."""
        sums = replace(found.sums, gram=None, squares=None)
        target.found = replace(found, sums=sums)
        is_of_use = model is not None and found.is_finite and not model.is_singular
        target.model = model if is_of_use else None

    def _polish(self, targets: Sequence[_Target]) -> None:
        """Make the plan's steps for the last digits, and find the residuals there."""
        ends = {k: one.solution() for k, one in enumerate(targets)}
        some = {
            k: end
            for k, end in ends.items()
            if end is not None and not targets[k].may_stay
        }
        if not (self._plan.polish and some):
            return
        left = [targets[k] for k in some]
        solutions = together(
            [
                polish(end, one.problem.part, self._plan.polish, 1.0)
                for one, end in zip(left, some.values(), strict=True)
            ],
            Together([one.problem for one in left]),
        )
        for one, end in zip(left, solutions, strict=True):
            one.theta = end.x
        for one, found in zip(left, _evaluated(left), strict=True):
            one.found = found

    def _fit_of(self, target: _Target) -> Fit | None:
        """Return the fit of a target; None if it is not certified."""
        end = target.solution()
        if end is None or may_have_collapsed(target.problem.objective, end):
            return None
        assert target.found is not None
        fit = described_without_residuals(
            target.problem, self._settings, end, target.found
        )
        return replace(fit, residuals=target.residuals)


def _evaluated(targets: Iterable[_Target], want: Want = _PLAIN) -> list[Evaluation]:
    """Return an evaluation of each target, with residuals of all that keep them."""
    some = list(targets)
    if not some:
        return []
    kept = [one.residuals for one in some if one.residuals is not None]
    return evaluate_together(
        [one.problem for one in some], [one.theta for one in some], want, kept or None
    )


def _adapted(common: Model, found: Evaluation) -> Model:
    """Return the shared Hessian as that of a target.

    As if inliers and outliers had the same columns: times the inliers' share, over the
    scale. Along a joint scale it is that of the residuals within the threshold.
    """
    objective = found.objective
    _, _, scale = objective.split(found.theta)
    share = found.inlier_share
    inside = np.zeros((len(found.theta), len(found.theta)))
    m = len(common.inside)
    inside[:m, :m] = common.inside * (share / scale)
    if objective.joint:
        outliers = objective.rho**2 * (1.0 - share) if share < 1.0 else 0.0
        square = found.mean_square / scale**2 - outliers
        inside[-1, -1] = 2.0 / scale * max(square, _LEAST_INSIDE)
    penalty = objective.penalty_curvature
    return Model(inside, None, penalty, noise=slope_noise(found.value))


def _lacks_rows(sample: RowSource, found: Evaluation, model: Model) -> bool:
    """Return whether a sample lacks rows on which columns rest.

    Columns are stiffer on all rows then than it shows.
    """
    (sums,) = sample.sweep([found.objective.point(found.theta)], Want(squares=True))
    p = len(sums.gradient)
    known = 2.0 * sums.all_squares / sums.weight
    return bool((np.diagonal(model.inside)[:p] > STIFFER * known).any())
