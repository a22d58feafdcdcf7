"""An objective on certain rows, as minimisers ask for it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from skhuber._common.scale import NORMAL_MAD
from skhuber._fit.inlier_gram import InlierGram
from skhuber._objective import HuberObjective
from skhuber._rows import Distances, RowSource
from skhuber._solver.composite import best_step
from skhuber._solver.matrix_free import MatrixFreeModel
from skhuber._solver.quadratic import Model
from skhuber._solver.separable import Separable
from skhuber._solver.solution import Answer, Ask
from skhuber._sums import Data, Floats, Sums, Want

# Damping of a Hessian that whitens: directions that only outliers curve get this part
# of their parabolas' curvature.
OUTLIER_DAMPING = 1e-3
# Inliers for each column with which the Hessian of a sample is like that of all rows.
_INLIERS_PER_COLUMN = 5
# Rounding error of a sum of many products, relative to the sum of their sizes: 64 ε.
_SLOPE_ROUNDING = 64 * float(np.finfo(np.float64).eps)
# Least squared pivot (of a Hessian with a unit diagonal) that products in single
# precision, which have seven digits, know to some digits.
_ROUGH_PIVOT = 1e-3

_PLAIN = Want()

# Called with objective, θ and value after each sweep; True stops the fit.
Watch = Callable[[HuberObjective, Floats, float], bool]


@dataclass(frozen=True)
class Trust:
    """How small a gap has to be, and how much of one a model can tell.

    Attributes
    ----------
    tol : float
        The gap that is small enough, as a fraction of the objective.
    n_rows : float
        Rows that the model's Hessian was made of.
    per_column : int
        Inliers for each column with which such a Hessian means anything.
    polished : float
        The gap, as a fraction of the objective, at which polish ends. Zero: where gaps
        are rounding errors. Infinity: polish makes no step beyond the tolerance.
    """

    tol: float
    n_rows: float = np.inf
    per_column: int = 0
    polished: float = 0.0

    def by_sample(self, n_rows: int) -> Trust:
        """Return the trust in the Hessian of a sample.

        It is uncertain, and the gap with it, so half of the tolerance is asked for.
        """
        return replace(
            self, tol=0.5 * self.tol, n_rows=n_rows, per_column=_INLIERS_PER_COLUMN
        )

    def knows(self, found: Evaluation) -> bool:
        """Return whether the Hessian's rows have enough inliers for each column."""
        inliers = self.n_rows * found.inlier_share
        return inliers >= self.per_column * len(found.theta)


@dataclass(frozen=True)
class Evaluation:
    """The objective at a point, and the sums that it was computed from."""

    objective: HuberObjective
    theta: Floats
    value: float
    gradient: Floats
    sums: Sums
    stop: bool

    @property
    def is_finite(self) -> bool:
        """True if no sum overflowed."""
        return bool(np.isfinite(self.value))

    @property
    def inlier_share(self) -> float:
        """The inliers' share of the weight."""
        return self.sums.inlier / self.sums.weight

    @property
    def mean_square(self) -> float:
        """The mean of the squared clipped residuals, standardised."""
        return self.sums.cc / self.sums.weight


class Residuals:
    """The residuals of the last evaluation, which later questions are often about.

    Attributes
    ----------
    array : ndarray of shape (n,), or what these rows have in its place
    found : Evaluation or None
        The evaluation that they are of.
    """

    def __init__(self, rows: RowSource, *, double: bool) -> None:
        self.array = rows.new_residuals(double=double)
        self.found: Evaluation | None = None

    def at(self, objective: HuberObjective, theta: Floats) -> Evaluation | None:
        """Return the last evaluation, if it was of this objective at θ."""
        found = self.found
        if found is None or found.objective is not objective:
            return None
        return found if np.array_equal(found.theta, theta) else None


class Problem:
    """An objective on certain rows.

    Parameters
    ----------
    objective : HuberObjective
    rows : RowSource
    trust : Trust
    watch : callable, optional
    double : bool
        Whether residuals are kept in double precision, not in that of X.
    matrix_free : bool
        Whether the Hessian is known by its products with vectors.
    kept : Residuals, optional
        Shared by the problems on the same rows.
    gram : InlierGram, optional
        What makes the Hessian of these rows; their residuals are then kept in double
        precision.
    """

    def __init__(
        self,
        objective: HuberObjective,
        rows: RowSource,
        trust: Trust,
        watch: Watch | None = None,
        *,
        double: bool = False,
        matrix_free: bool = False,
        kept: Residuals | None = None,
        gram: InlierGram | None = None,
    ) -> None:
        self.objective = objective
        self.rows = rows
        self.trust = trust
        self.matrix_free = matrix_free
        self._watch = watch
        self._gram = gram
        # The number of changes of the inliers' matrix, and the model with it.
        self._last_model: tuple[int, Model | None] = 0, None
        self._kept = kept or Residuals(rows, double=double)

    @functools.cached_property
    def part(self) -> Separable:
        """The absolute values and bounds that the objective has."""
        objective = self.objective
        positive = np.zeros(len(objective.lower), dtype=np.bool_)
        positive[-1:] = objective.joint
        return Separable(objective.theta_l1, objective.lower, objective.upper, positive)

    def gap(self, found: Evaluation, model: Model) -> float:
        """Return how far a model falls from an evaluation to its minimum."""
        part, tolerance = self.part, self.told(found).tolerance
        if self.objective.is_smooth:
            return model.gap(found.gradient, found.theta <= part.lower)
        step = best_step(model, found.gradient, found.theta, part, tolerance)
        return step.fall

    def evaluate(self, theta: Floats, want: Want = _PLAIN) -> Evaluation:
        """Return value and gradient at θ, from one sweep or from the last one.

        Infinity and zeros if θ is so far away that sums overflow.
        """
        last = self._kept.at(self.objective, theta)
        if last is not None and want == _PLAIN:
            return last
        self._kept.found = None
        point = self.objective.point(theta)
        (sums,) = self.rows.sweep([point], want, self._kept.array)
        found = self._kept.found = self.evaluated(theta, sums)
        return found

    def evaluated(self, theta: Floats, sums: Sums) -> Evaluation:
        """Return value and gradient at θ from sums that a sweep has returned."""
        value, gradient = self.objective.value_gradient(theta, sums)
        stop = False
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            value, gradient = np.inf, np.zeros_like(gradient)
        elif self._watch is not None:
            stop = self._watch(self.objective, theta, value)
        return Evaluation(self.objective, theta, value, gradient, sums, stop)

    def residuals(self, theta: Floats) -> Any:
        """Return the standardised residuals at θ; they are valid until the next sweep.

        No sweep if the last one was there.
        """
        self.evaluate(theta)
        return self._kept.array

    def median_scale(self, theta: Floats) -> float:
        """Return median|r| / Φ⁻¹(3/4) at θ, standardised."""
        return median_scale_of(self.rows, self.residuals(theta))

    def distances(self, theta: Floats) -> Distances:
        """Return the standardised |r| at θ, valid until the next sweep."""
        return self.rows.distances(self.residuals(theta))

    def at(self, theta: Floats) -> Answer:
        """Return value and gradient at θ as minimisers want them."""
        return self.told(self.evaluate(theta))

    def answer(self, ask: Ask) -> Answer:
        """Return what a descent asks for."""
        if not ask.model:
            return self.told(self.evaluate(ask.x))
        if self.matrix_free:
            return self._matrix_free_answer(ask.x)
        if self._gram is not None:
            found = self.evaluate(ask.x)
            if not found.is_finite:
                return self.told(found)
            return self.told(found, self._followed_model(self._gram, found))
        found = self.evaluate(ask.x, Want(gram=np.float64))
        return self.told(found, self.model(found))

    def _followed_model(self, gram: InlierGram, found: Evaluation) -> Model | None:
        """Return the model of an evaluation with a matrix that follows the inliers.

        With a fixed scale it is the last one if no row has crossed the threshold since.
        """
        r = self._kept.array
        sums = gram.sums(self.objective, found.theta, found.sums, r)
        if self.objective.joint or self._last_model[0] != gram.n_changes:
            self._last_model = gram.n_changes, self.model(replace(found, sums=sums))
        return self._last_model[1]

    def told(
        self, found: Evaluation, model: Model | MatrixFreeModel | None = None
    ) -> Answer:
        """Return an evaluation as minimisers want it."""
        theta, objective = found.theta, self.objective
        most = np.inf
        if self.trust.per_column:
            most = trusted_gap(objective, found, self.trust)
        tolerance = objective.tolerance(theta, found.value, self.trust.tol, most)
        least = objective.tolerance(theta, found.value, self.trust.polished)
        return Answer(
            found.value,
            found.gradient,
            tolerance,
            model,
            found.stop,
            min(least, tolerance),
        )

    def model(self, found: Evaluation) -> Model | None:
        """Return the quadratic model of an evaluation with a Gram matrix."""
        gram = found.sums.gram
        assert gram is not None
        if not np.isfinite(gram).all():
            return None
        inside, *others = (
            self.objective.hessian(found.theta, part, found.sums.weight)
            for part in gram
        )
        outside = others[0] if others else None
        if outside is None:  # (With an l1 its diagonal will do.)
            _, outside = self.objective.diagonals(found.theta, found.sums)
        penalty = self.objective.penalty_curvature
        return Model(inside, outside, penalty, noise=slope_noise(found.value))

    def whitening_model(self, theta: Floats) -> tuple[Evaluation, Model | None]:
        """Return an evaluation and the Hessian of all rows there, to some digits.

        In single precision, unless columns are too much alike for that. (Products of
        sparse rows are in double precision in either case.)
        """
        is_sparse = self.rows.layout == "csr"
        for precision in (np.float64,) if is_sparse else (np.float32, np.float64):
            found = self.evaluate(theta, Want(gram=precision))
            model = self.whitening_model_of(found)
            if not is_too_rough(model) or (found.stop and model is not None):
                break
        return found, model

    def whitening_model_of(self, found: Evaluation) -> Model | None:
        """Return the Hessian of an evaluation with a Gram matrix, damped."""
        model = self.model(found)
        return model and model.damped(OUTLIER_DAMPING)

    def _matrix_free_answer(self, theta: Floats) -> Answer:
        """Return an evaluation, and the Hessian as its products with vectors."""
        found = self.evaluate(theta, Want(squares=True))
        if not found.is_finite:
            return self.told(found)
        point = self.objective.point(theta)

        def product(v: Floats, damping: float) -> Floats:
            want = Want(direction=self.objective.widened(v), damping=damping)
            (sums,) = self.rows.sweep([point], want)
            return self.objective.product(theta, sums)

        inside, outside = self.objective.diagonals(theta, found.sums)
        penalty = self.objective.penalty_curvature
        return self.told(found, MatrixFreeModel(product, inside, outside, penalty))

    def with_objective(self, objective: HuberObjective) -> Problem:
        """Return another objective on these rows."""
        return self._with(objective, self.trust, self._watch)

    def trusting(self, trust: Trust) -> Problem:
        """Return the problem with another tolerance."""
        return self._with(self.objective, trust, self._watch)

    def unwatched(self) -> Problem:
        """Return the problem without its callable `watch`."""
        return self._with(self.objective, self.trust, None)

    def _with(
        self, objective: HuberObjective, trust: Trust, watch: Watch | None
    ) -> Problem:
        return Problem(
            objective,
            self.rows,
            trust,
            watch,
            matrix_free=self.matrix_free,
            kept=self._kept,
            gram=self._gram,
        )


def median_scale_of(rows: RowSource, residuals: Any) -> float:
    """Return median|r| / Φ⁻¹(3/4) of the residuals that a sweep has filled."""
    return rows.distances(residuals).median() / NORMAL_MAD


def is_too_rough(model: Model | None) -> bool:
    """Return whether a model is not known well enough from single precision."""
    return model is None or model.factor.least_pivot <= _ROUGH_PIVOT


def slope_noise(value: float) -> float:
    """Return the rounding error of a derivative, its variable of unit curvature.

    By Cauchy and Schwarz the sizes of what it is the sum of add up to √(2F) at most.
    """
    return _SLOPE_ROUNDING * float(np.sqrt(2.0 * abs(value)))


def evaluate_together(
    problems: Sequence[Problem],
    thetas: Sequence[Floats],
    want: Want = _PLAIN,
    residuals: Sequence[Data] | None = None,
) -> list[Evaluation]:
    """Return an evaluation of each of several problems. One sweep.

    Parameters
    ----------
    problems : sequence of K problems
        On one source of rows, or on sources that differ in the target alone.
    thetas : sequence of ndarrays
    want : Want
    residuals : sequence of K ndarrays of shape (n,) or None
        Takes the standardised residuals.
    """
    points = [
        problem.objective.point(theta)
        for problem, theta in zip(problems, thetas, strict=True)
    ]
    rows = problems[0].rows
    is_one = all(problem.rows is rows for problem in problems)
    if is_one and want == _PLAIN and residuals is None:
        found = rows.sweep(points)
    else:
        targets = [rows.y] if is_one else [problem.rows.y for problem in problems]
        found = rows.sweep_targets(targets, points, want, residuals)
    return [
        problem.evaluated(theta, sums)
        for problem, theta, sums in zip(problems, thetas, found, strict=True)
    ]


class Together:
    """Answers to the descents of several problems, which share sweeps.

    For `skhuber._solver.descent.together`.

    Parameters
    ----------
    problems : sequence of Problem
        As for `evaluate_together`.
    known : sequence of Evaluation, optional
        Of each problem where its descent begins.

    Attributes
    ----------
    best : dict of int to Evaluation
        The evaluation of the least value of each problem so far.
    """

    def __init__(
        self, problems: Sequence[Problem], known: Sequence[Evaluation] = ()
    ) -> None:
        self._problems = problems
        self.best = dict(enumerate(known))

    def __call__(self, numbers: list[int], asks: list[Ask]) -> list[Answer]:
        """Return value and gradient at the points that some problems are asked for."""
        points = {k: ask.x for k, ask in zip(numbers, asks, strict=True)}
        found = {
            k: self.best[k]
            for k, x in points.items()
            if k in self.best and np.array_equal(self.best[k].theta, x)
        }
        left = [k for k in numbers if k not in found]
        if left:
            answers = evaluate_together(
                [self._problems[k] for k in left], [points[k] for k in left]
            )
            found.update(zip(left, answers, strict=True))
        for k, one in found.items():
            if k not in self.best or one.value < self.best[k].value:
                self.best[k] = one
        return [self._problems[k].told(found[k]) for k in numbers]


def trusted_gap(objective: HuberObjective, found: Evaluation, trust: Trust) -> float:
    """Return the largest gap that a Hessian of certain rows can certify.

    It is zero if too few of these rows are inliers.
    """
    if not trust.knows(found):
        return 0.0
    return objective.parabola_gap(found.theta, found.inlier_share)


def sampling_gap(found: Evaluation, m: int) -> float:
    """Return the expected gap, on all rows, of the minimum on a sample of m rows.

    The gradient of a row is −(2/σ)·c·z and the Hessian (2/σ)·share·E zzᵀ, so half of
    the trace of H⁻¹ times the covariance of the gradient's mean is
    p·E c²/(m·σ·share). (Huber and Ronchetti, Robust Statistics, 2009, section 7.6.)
    """
    _, _, scale = found.objective.split(found.theta)
    share = max(found.inlier_share, 1e-300)
    return found.mean_square / scale / share * found.objective.n_features / m
