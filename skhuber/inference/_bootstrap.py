"""Refits to resampled rows, many at a time.

A resample is a vector of counts, how often each row was drawn. The coefficients and the
scale of its fit solve Σ s g = 0 (`skhuber.inference._covariance`) with the counts times
the sample weights for s. From the fit to all rows, steps with that fit's own J,

    θ ← θ + J⁻¹ Σ s g(θ),

come closer by a constant factor each, about the sampling error of a Gram matrix,
2√(p/n): three to eight steps reach far less than a standard error of the resample. They
need no matrix but J, and one read of X serves a group of resamples: predictions of all
and sums of all are two matrix products. A scale "mad" is set to that of the residuals
before each step.

What does not come closer (few rows for each coefficient) is fitted by itself, from the
same start.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from skhuber._common.scale import NORMAL_MAD
from skhuber._kernels import resample
from skhuber._runtime import run_blocks
from skhuber.inference._checks import ModelFacts
from skhuber.inference._covariance import Bread, form_of
from skhuber.inference._sums import Form, Sample

Floats = NDArray[np.float64]

# Resamples that share a read of X: enough for matrix products, and no more counts than
# this in all.
_TOGETHER = 32
_COUNTS = 2**21
# The last step is no longer than this part of a standard error, and what is left is
# shorter by the factor that steps gain.
_STEP = 1e-3
_MAX_STEPS = 25
# A resample of which a step is longer than this part of the one before is left to a fit
# by itself.
_GAIN = 0.7
# So is one of which the scale falls to this part of the fit's: it may fall to zero.
_LEAST_SCALE = 0.1


def bootstrap(
    sample: Sample,
    fitted: ModelFacts,
    bread: Bread,
    *,
    n_resamples: int,
    random_state: Any,
    verbose: bool,
) -> Floats:
    """Return the coefficients γ of each resample, (n_resamples, rank)."""
    group = int(np.clip(_COUNTS // sample.n_rows, 1, _TOGETHER))
    starts = range(0, n_resamples, group)
    generators = _generator(random_state).spawn(len(starts))
    result = np.empty((n_resamples, bread.space.rank))
    done = _progress(n_resamples) if verbose else None

    def work(first: int, last: int) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            for k in range(first, last):
                size = min(group, n_resamples - starts[k])
                part = _Group(sample, fitted, bread, generators[k], size)
                result[starts[k] : starts[k] + size] = part.solve()
                if done is not None:
                    done(size)

    elements = sample.n_rows * sample.n_features * n_resamples
    run_blocks(work, len(starts), elements, sample.threads, ())
    return result


def _generator(random_state: Any) -> np.random.Generator:
    if isinstance(random_state, np.random.RandomState):
        random_state = random_state.randint(2**31 - 1)
    return np.random.default_rng(random_state)


def _progress(n_resamples: int) -> Callable[[int], None]:
    """Return a function that prints a line for every tenth of the resamples."""
    finished = 0

    def done(size: int) -> None:
        nonlocal finished
        before, finished = finished, finished + size
        if 10 * before // n_resamples != 10 * finished // n_resamples:
            print(f"bootstrap: {finished} of {n_resamples} resamples", flush=True)

    return done


class _Group:
    """Some resamples that are solved together."""

    def __init__(
        self,
        sample: Sample,
        fitted: ModelFacts,
        bread: Bread,
        generator: np.random.Generator,
        size: int,
    ) -> None:
        self.sample = sample
        self.fitted = fitted
        self.bread = bread
        n = sample.n_rows
        self.weight = np.zeros(0)
        rows = None
        if sample.weight is not None:
            self.weight = sample.weight * sample.unit_weight
            if not sample.weight.all():
                rows = np.flatnonzero(sample.weight)
        self.counts = np.empty((n, size), dtype=np.uint16 if n < 2**16 else np.uint32)
        drawn = n if rows is None else len(rows)
        for j in range(size):
            picks = generator.integers(0, drawn, drawn)
            if rows is not None:
                picks = rows[picks]
            self.counts[:, j] = np.bincount(picks, minlength=n)
        totals = self.counts.sum(axis=0, dtype=np.float64)
        if len(self.weight):
            totals = self.weight @ self.counts
        self.totals = totals
        self.has_scale = fitted.kind == "joint"
        jacobian = bread.jacobian if self.has_scale else bread.curvature
        self.inverse = np.linalg.inv(jacobian)
        # Lengths of steps in standard errors: those of least squares would be the
        # lengths of W¹ᐟ²θ in units of the scale.
        self.factor = np.linalg.cholesky(bread.curvature).T

    def solve(self) -> Floats:
        """(size, rank)."""
        k, size = self.bread.space.rank, len(self.totals)
        start = self._coordinates(self.fitted.coef, self.fitted.intercept)
        # γ and the scale, of each resample, in units of the fit's scale.
        gamma = np.repeat(start[:, np.newaxis], size, axis=1)
        scale = np.ones(size)
        active = np.arange(size)
        failed: list[int] = []
        last = np.full(size, np.inf)
        for _ in range(_MAX_STEPS):
            step, new_scale = self._step(gamma[:, active], scale[active], active)
            length = np.sqrt(np.mean((self.factor @ step[:k]) ** 2, axis=0))
            change = np.abs(new_scale / scale[active] - 1.0)
            near = (length <= _STEP) & (change * np.sqrt(self.bread.count) <= _STEP)
            bad = ~(length <= _GAIN * last[active]) | ~(new_scale > _LEAST_SCALE)
            bad &= ~(length <= _STEP)
            good = active[~bad]
            failed += list(active[bad])
            gamma[:, good] += step[:k, ~bad]
            scale[good] = new_scale[~bad]
            last[active] = length
            active = active[~bad & ~near]
            if not len(active):
                break
        for j in [*failed, *active]:
            gamma[:, j] = self._alone(j)
        return gamma.T * self.fitted.scale

    def _coordinates(self, coef: Floats, intercept: float) -> Floats:
        """γ of a model, in units of the fit's scale."""
        space = self.bread.space
        result = np.zeros(space.rank)
        result[: len(space.kept)] = space.reduced(coef * space.spread)
        if space.fit_intercept:
            result[-1] = intercept + float(space.mean @ coef)
        return result / self.fitted.scale

    def _step(
        self, gamma: Floats, scale: Floats, active: NDArray[np.intp]
    ) -> tuple[Floats, Floats]:
        """J⁻¹Σ s g of some resamples, and their scales after it."""
        sample, fitted, bread = self.sample, self.fitted, self.bread
        everything = len(active) == len(self.totals)
        counts = self.counts if everything else self.counts[:, active]
        form = form_of(bread.from_rows, gamma)
        squares = np.zeros(len(active))
        score = np.zeros((sample.n_features + 1, len(active)))
        if fitted.kind == "mad":
            scale = self._mad(form, counts, scale)
        threshold = fitted.rho * scale
        for block, y in sample.blocks(fitted.scale):
            t = block.form(form)
            weight = self.weight[block.rows] if len(self.weight) else self.weight
            drawn = counts[block.rows]
            resample.clip_resamples(y, weight, drawn, threshold, t, squares)
            score += block.dot(t)
        k = bread.space.rank
        right = np.empty((k + self.has_scale, len(active)))
        right[:k] = bread.from_rows.T @ score
        if bread.penalty.any():
            right[:k] -= scale * (bread.penalty @ gamma)
        if self.has_scale:
            right[k] = 0.5 * (squares / scale - self.totals[active] * scale)
        step = self.inverse @ (right * (bread.count / self.totals[active]))
        return step, scale + step[k] if self.has_scale else scale

    def _mad(self, form: Form, counts: Any, scale: Floats) -> Floats:
        sizes = np.empty((len(scale), self.sample.n_rows))
        for block, y in self.sample.blocks(self.fitted.scale):
            resample.store_sizes(y, block.form(form), sizes[:, block.rows])
        medians = np.empty(len(scale))
        resample.medians(sizes, self.weight, counts, scale * NORMAL_MAD, medians)
        return medians / NORMAL_MAD

    def _alone(self, j: int) -> Floats:
        """γ of one resample, in units of the fit's scale, by a fit of its own."""
        fitted = self.fitted
        model = fitted.regressor(warm_start=True, n_jobs=1)
        model.coef_, model.intercept_ = fitted.coef, fitted.intercept
        model.scale_, model.rho_ = fitted.scale, fitted.rho
        weight = self.counts[:, j].astype(np.float64)
        if len(self.weight):
            weight *= self.weight
        with warnings.catch_warnings():
            # (Of a resample that is fitted exactly, the scale is zero.)
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(self.sample.X, self.sample.y, weight)
        return self._coordinates(model.coef_.astype(np.float64), model.intercept_)
