"""Fits of several targets to the same rows, and what they share.

Each target has a fit of its own: the one that it would have alone, with its own scale,
outliers and certificate. All of them share X, and with it

- the rows of the samples, and centre and units of the columns;
- every sweep over all rows: a block of X that is read from memory serves all targets.
  One sweep makes the Hessians of all targets at the minima of a sample; descents
  (`skhuber._solver.descent`) then advance together, each sweep answering a step of
  each; a last sweep keeps the residuals. So many targets take hardly more sweeps than
  one.

The minimum on a sample is found for each target by itself: a sample is a small part of
the rows. A sample that lacks rows on which columns rest (`skhuber._fit.levels`) is
replaced for all targets at once.

Targets are taken in groups whose Hessians need a small part of the memory of X. A
target that the shared way does not certify is fitted alone. So is every target if there
is little to share: small data (`skhuber._fit.small`), few rows for each column, working
sets of columns, matrix-free steps, and scales of "mad", which settle one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from skhuber._fit.certificate import may_have_collapsed
from skhuber._fit.fit import fit_rows, is_start
from skhuber._fit.levels import (
    Samples,
    lacks_rows,
    model_of_larger_sample,
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
)
from skhuber._fit.result import Fit, described_without_residuals
from skhuber._fit.settings import Settings
from skhuber._fit.standardise import column_units, objective_of
from skhuber._fit.start import Start, best_start, given_start
from skhuber._rows import RowSource
from skhuber._runtime import one_blas_thread
from skhuber._solver.descent import Descent, Rules, descend, polish, together
from skhuber._solver.quadratic import Model
from skhuber._solver.solution import Solution, Status
from skhuber._sums import Data, Floats, Want

# Steps with one Hessian, after which another one at the point reached leads on in fewer
# sweeps (whatever one Hessian can do, it does in four: on heavy-tailed columns 44 sweeps
# without others), and how many Hessians there are before a target is fitted alone.
_ROUND_STEPS = 4
_ROUNDS = 4


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
    found : Evaluation or None
        At θ, on all rows.
    model : Model or None
        The Hessian there; None if it is of no use.
    """

    problem: Problem
    samples: Samples
    theta: Floats
    is_given: bool
    found: Evaluation | None = None
    model: Model | None = None


class _Shared:
    """What all targets share: samples, units of the columns, sweeps.

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
        self._picks = rows.pick(self._plan.sample_rows)
        self._sample = rows.sample(self._picks)
        self._columns = column_units(rows, self._sample, settings)
        self._shares: Floats | None = None

    def fit(
        self, rows: Sequence[RowSource], starts: Sequence[Start | None]
    ) -> list[Fit | None]:
        """Return fits of some targets; None if not certified."""
        fits: list[Fit | None] = [None] * len(rows)
        targets = {}
        for k, (one, start) in enumerate(zip(rows, starts, strict=True)):
            target = self._target(one, start)
            if target is not None:
                targets[k] = target
        self._climb(list(targets.values()))
        ready = [k for k, one in targets.items() if one.model is not None]
        solutions = self._descend([targets[k] for k in ready])
        ends = {
            k: solution
            for k, solution in zip(ready, solutions, strict=True)
            if solution is not None and _is_end(targets[k].problem, solution)
        }
        found = self._finish([targets[k] for k in ends], list(ends.values()))
        for k, fit in zip(ends, found, strict=True):
            fits[k] = fit
        return fits

    def _target(self, rows: RowSource, start: Start | None) -> _Target | None:
        """Return a target at its start; None if columns need units of its own."""
        samples = self._samples(rows)
        if self._columns is None:
            return None
        frame = self._columns.frame(rows, samples.any, self._settings)
        if not np.array_equal(frame.x_power, self._columns.power):
            return None
        frame = replace(frame, x_power=self._columns.power)
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
        """Take targets to the minima on the sample, and look at all rows there.

        As `skhuber._fit.levels.climb` does with one target.
        """
        new = [one for one in targets if not one.is_given]
        for one in new:
            one.theta = on_sample(one.samples, one.problem.objective, one.theta)
        self._look(targets)
        lacking = [one for one in new if _lacks_rows(one)]
        if not lacking:
            return
        self._resample(lacking[0].found)
        again = []
        for one in lacking:
            samples = self._samples(one.samples.rows)
            theta = on_sample(samples, one.problem.objective, one.theta)
            again.append(replace(one, samples=samples, theta=theta))
        self._look(again)
        for one, other in zip(lacking, again, strict=True):
            assert one.found is not None
            assert other.found is not None
            if other.model is not None and other.found.value < one.found.value:
                one.theta, one.found, one.model = other.theta, other.found, other.model

    def _resample(self, found: Evaluation | None) -> None:
        """Take samples that contain the rows on which columns rest."""
        assert found is not None
        samples = Samples(self._rows, self._plan, self._sample)
        samples.resample_by_leverage(found)
        assert samples.first is not None
        assert samples.picks is not None
        self._sample, self._picks = samples.first, samples.picks
        self._shares = samples.shares

    def _look(self, targets: Sequence[_Target]) -> None:
        """Evaluate targets, and find their Hessians, in one sweep for all of them.

        The Hessians of columns that are much alike take another one.
        """
        if self._plan.hessian_rows:
            self._look_with_samples(targets)
            return
        for precision in (np.float32, np.float64):
            for one, found in zip(
                targets, _evaluated(targets, Want(gram=precision)), strict=True
            ):
                model = one.problem.whitening_model_of(found)
                one.model = None if model is None or model.is_singular else model
                one.found = replace(found, sums=replace(found.sums, gram=None))
            targets = [one for one in targets if is_too_rough(one.model)]

    def _look_with_samples(self, targets: Sequence[_Target]) -> None:
        """Evaluate targets, and find the Hessians of a larger sample."""
        for one, found in zip(
            targets, _evaluated(targets, Want(squares=True)), strict=True
        ):
            one.found = found
            model = model_of_larger_sample(one.samples, found)
            one.model = None
            if model is not None and found.is_finite:
                model = raised(model, found)
                one.model = None if model.is_singular else model

    def _descend(self, targets: Sequence[_Target]) -> list[Solution | None]:
        """Return the minima on all rows, each sweep a step of all targets.

        None for a target of which no Hessian is of use.
        """
        ends: list[Solution | None] = [None] * len(targets)
        left = list(range(len(targets)))
        for k in range(_ROUNDS):
            if k:
                self._look([targets[i] for i in left])
            left = [i for i in left if targets[i].model is not None]
            self._round(targets, left, ends)
            left = [i for i in left if not _is_done(ends[i])]
        return ends

    def _round(
        self, targets: Sequence[_Target], left: list[int], ends: list[Solution | None]
    ) -> None:
        """Make steps with one Hessian of each target that is left."""
        some = [targets[i] for i in left]
        known = [one.found for one in some if one.found is not None]
        answers = Together([one.problem for one in some], known)
        descents = []
        for i, one in zip(left, some, strict=True):
            last = ends[i]
            n_iter = 0 if last is None else last.n_iter
            steps = min(_ROUND_STEPS, self._settings.max_iter - n_iter)
            descents.append(self._descent(one, Rules(steps, polish=0)))
        for i, end in zip(left, together(descents, answers), strict=True):
            last = ends[i]
            n_iter = end.n_iter + (0 if last is None else last.n_iter)
            ends[i] = replace(end, n_iter=n_iter)
            targets[i].theta = end.x

    def _descent(self, target: _Target, rules: Rules) -> Descent:
        part = target.problem.part
        end = yield from descend(target.theta, part, rules, target.model)
        may_stay = target.is_given and end.n_iter == 0
        if end.status is not Status.CONVERGED or may_stay:
            return end
        return (yield from polish(end, part, self._plan.polish, 1.0))

    def _finish(
        self, targets: Sequence[_Target], ends: Sequence[Solution]
    ) -> list[Fit | None]:
        """Return the fits, moved by a last step, with the residuals there. One sweep.

        A target whose last step leads off its minimum is left out.
        """
        if not targets:
            return []
        problems = [one.problem for one in targets]
        moved = []
        for one, end in zip(targets, ends, strict=True):
            part, x = one.problem.part, end.x
            if end.step is not None and not (one.is_given and end.n_iter == 0):
                x = part.clip(part.moved(x, end.step))
            moved.append(x)
        residuals: Data = np.empty((len(moved), self._rows.n_rows), self._rows.dtype)
        found = evaluate_together(problems, moved, residuals=residuals)
        fits: list[Fit | None] = []
        for problem, end, at, r in zip(problems, ends, found, residuals, strict=True):
            assert isinstance(end.model, Model)
            gap = problem.gap(at, end.model) if at.is_finite else np.inf
            if not gap <= problem.told(at).tolerance:
                fits.append(None)
                continue
            end = replace(
                end, x=at.theta, value=at.value, gradient=at.gradient, gap=gap
            )
            fit = described_without_residuals(problem, self._settings, end, at)
            fits.append(replace(fit, residuals=r))
        return fits


def _evaluated(targets: Sequence[_Target], want: Want) -> list[Evaluation]:
    if not targets:
        return []
    return evaluate_together(
        [one.problem for one in targets], [one.theta for one in targets], want
    )


def _is_done(end: Solution | None) -> bool:
    """Return whether another Hessian is of no use."""
    return end is None or end.status not in (Status.STALLED, Status.MAX_ITER)


def _is_end(problem: Problem, solution: Solution) -> bool:
    """Return whether a solution is certified."""
    is_there = solution.status is Status.CONVERGED
    return is_there and not may_have_collapsed(problem.objective, solution)


def _lacks_rows(target: _Target) -> bool:
    """Return whether the sample of a target lacks rows on which columns rest."""
    found, model, sample = target.found, target.model, target.samples.first
    if found is None or model is None or sample is None or not found.is_finite:
        return False
    return lacks_rows(target.problem, found, model, sample)
