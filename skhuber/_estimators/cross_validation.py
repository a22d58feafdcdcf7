"""Choosing rho and alpha: fits along a grid, and cross-validation over it.

Both hand the whole grid to `skhuber._grid`, which knows what its fits can share.
Cross-validation does so for each fold, with rows of X picked by their numbers: a
C-ordered X is not copied for it.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from sklearn import get_config
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import Bunch
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    process_routing,
)

from skhuber._common.scale import NORMAL_MAD, weighted_median
from skhuber._common.validation import check_count, check_flag, check_real
from skhuber._estimators.base import (
    Data,
    HuberModel,
    check_rho,
    check_scale,
    linear,
    unchanged_on_error,
)
from skhuber._estimators.callbacks import Tasks, with_callbacks
from skhuber._estimators.regressor import HuberRegressor
from skhuber.metrics import make_huber_scorer

if TYPE_CHECKING:
    from skhuber._fit import Fit, Settings
    from skhuber._fit.grid import Grid

__all__ = ["HuberPath", "HuberRegressorCV", "huber_path"]

# From the edge of where a joint scale exists to where next to nothing is an outlier.
_RHOS = (1.1, 1.2, 1.35, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0)
_ALPHAS = (0.0001,)
# The yardstick of the default scoring: a first fit with this rho, and this threshold in
# robust standard deviations of its residuals. With it the mean Huber error is 95 % as
# precise as the mean squared error would be, were residuals normal.
_FIRST_RHO = 1.35
_YARDSTICK = 1.345
# Residuals below this part of the median deviation of y are rounding errors.
_ROUNDING = 1e-9

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class HuberPath:
    """Fits along a grid of rhos and alphas, as :func:`huber_path` returns them.

    Attributes
    ----------
    rhos : ndarray of shape (n_rhos,)
        Thresholds, in units of the scale.
    alphas : ndarray of shape (n_alphas,)
        Penalties.
    coefs : ndarray of shape (n_rhos, n_alphas, n_features)
        Coefficients.
    intercepts : ndarray of shape (n_rhos, n_alphas)
        Intercepts, in the unit of y.
    scales : ndarray of shape (n_rhos, n_alphas)
        Scales of the residuals, in the unit of y.
    n_outliers : ndarray of int of shape (n_rhos, n_alphas)
        Numbers of samples beyond the threshold.
    outlier_shares : ndarray of shape (n_rhos, n_alphas)
        Shares of the weight beyond the threshold, from 0 to 1.
    objectives : ndarray of shape (n_rhos, n_alphas)
        Values of the objective.
    gaps : ndarray of shape (n_rhos, n_alphas)
        Estimated distances of the objective from its minimum, as fractions of it.
    converged : ndarray of bool of shape (n_rhos, n_alphas)
        Whether the gap is within the tolerance.
    n_sweeps : int
        How often all samples were read, for all fits together.
    """

    rhos: Floats
    alphas: Floats
    coefs: Floats
    intercepts: Floats
    scales: Floats
    n_outliers: NDArray[np.int64]
    outlier_shares: Floats
    objectives: Floats
    gaps: Floats
    converged: NDArray[np.bool_]
    n_sweeps: int


def huber_path(
    X: ArrayLike,
    y: ArrayLike,
    *,
    rhos: Sequence[float] = _RHOS,
    alphas: Sequence[float] = _ALPHAS,
    scale: float | str = "joint",
    fit_intercept: bool = True,
    sample_weight: ArrayLike | None = None,
    max_iter: int = 1000,
    tol: float = 1e-12,
    n_jobs: int | None = None,
) -> HuberPath:
    """Fit :class:`HuberRegressor` along a grid of rhos and alphas.

    The fits are the same as one by one, and share what they can: with many samples the
    whole grid takes two or three times as many sweeps over them as a single fit.

    Parameters
    ----------
    X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
        Features.
    y : array-like of shape (n_samples,)
        Target.
    rhos : sequence of float
        Thresholds in units of the scale; at least 1 with ``scale="joint"``, else
        greater than 0; `numpy.inf` gives ridge regression.
    alphas : sequence of float, default=(0.0001,)
        Weights of the penalty on the squared coefficients; at least 0.
    scale, fit_intercept, max_iter, tol, n_jobs
        As for :class:`HuberRegressor`.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights: a weight of 2 is the same as the sample twice.

    Returns
    -------
    path : HuberPath
        Coefficients, scales, numbers of outliers and gaps, by rho and alpha.

    Raises
    ------
    TypeError, ValueError
        For parameters or data that are not as described.

    Warns
    -----
    ConvergenceWarning
        Where a fit could not be shown to be within `tol` of the optimum.

    See Also
    --------
    HuberRegressorCV : Choose among the fits by cross-validation.
    skhuber.inspection.HuberPathDisplay : A picture of the path.

    Examples
    --------
    >>> import numpy as np
    >>> from skhuber import huber_path
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2))
    >>> y = X @ [1.0, 2.0] + rng.standard_t(2, size=200)
    >>> path = huber_path(X, y, rhos=[1.2, 2.0, 4.0])
    >>> path.coefs.shape
    (3, 1, 2)
    >>> path.n_outliers.ravel()
    array([106,  18,   3])
    """
    from skhuber._fit.grid import fit_grid

    model = HuberRegressor(
        scale=scale,
        fit_intercept=fit_intercept,
        max_iter=max_iter,
        tol=tol,
        n_jobs=n_jobs,
    )
    rhos, alphas = _listed("rhos", rhos), _listed("alphas", alphas)
    grid = _checked_grid(model, rhos, alphas)
    data = model._checked_data(X, y, sample_weight)
    rows = data.rows()
    fits = fit_grid(rows, grid)
    model._check_sums(fits, data)
    shape = (len(rhos), len(alphas))
    failures = _failures(grid, fits)
    complaint = _complaint("huber_path", failures, len(fits))
    if complaint is not None:
        warnings.warn(complaint, ConvergenceWarning, stacklevel=2)

    def table(values: Iterator[Any]) -> Any:
        return np.array(list(values)).reshape(shape)

    total = rows.natural_weight
    coefs = np.array([fit.coef for fit in fits]).reshape(*shape, -1)
    return HuberPath(
        rhos=np.array([float(rho) for rho in rhos]),
        alphas=np.array([float(alpha) for alpha in alphas]),
        coefs=coefs,
        intercepts=table(fit.intercept for fit in fits),
        scales=table(fit.scale for fit in fits),
        n_outliers=table(fit.tally.n_outliers for fit in fits),
        outlier_shares=table(max(1.0 - fit.tally.inlier / total, 0.0) for fit in fits),
        objectives=table(fit.objective for fit in fits),
        gaps=table(fit.gap for fit in fits),
        converged=table(fit.converged for fit in fits),
        n_sweeps=rows.n_sweeps,
    )


class HuberRegressorCV(HuberModel):
    """Robust linear regression that chooses rho and alpha by cross-validation.

    The same as :class:`~sklearn.model_selection.GridSearchCV` over
    :class:`HuberRegressor` with the same scorer and folds, and several times faster:
    the fits of a fold share their sweeps over the samples.

    All candidates are measured with one yardstick (see `scoring`). A candidate's own
    Huber error will not do: the smaller rho, the smaller the error of the very same
    residuals, and the smallest rho would always win.

    Parameters
    ----------
    rhos : sequence of float
        Thresholds to try, in units of the scale; at least 1 with ``scale="joint"``,
        else greater than 0. By default eleven from 1.1 to 10.
    alphas : sequence of float, default=(0.0001,)
        Weights of the penalty to try; at least 0.
    scale, fit_intercept, max_iter, tol, n_jobs
        As for :class:`HuberRegressor`.
    cv : int, splitter, iterable or None, default=None
        The folds: None for five, an integer for so many, a splitter of scikit-learn,
        or pairs of arrays of training and test indices.
    scoring : str, callable or None, default=None
        What is maximised: the name of a scorer, a callable ``(estimator, X, y) →
        float``, or None for minus the mean Huber error at a fixed threshold
        (:func:`~skhuber.metrics.mean_huber_error`). That threshold is 1.345 robust
        standard deviations (median |r| / 0.6745) of the residuals of a first fit to all
        the data, with ``rho=1.35``, a joint scale and the least alpha:
        `scoring_threshold_`. (If that fit meets most targets exactly, the median is
        that of the residuals that are not zero.)
    verbose : bool, default=False
        Whether to print a line for each fold.

    Attributes
    ----------
    rho_ : float
        The best rho.
    alpha_ : float
        The best alpha.
    best_score_ : float
        Its mean score over the folds.
    best_index_ : int
        Its place in `cv_results_`.
    cv_results_ : dict of ndarrays
        One entry for each candidate, ready for ``pandas.DataFrame``: ``param_rho``,
        ``param_alpha``, ``params``, ``split0_test_score`` and so on,
        ``mean_test_score``, ``std_test_score``, ``rank_test_score``.
    n_splits_ : int
        Number of folds.
    scorer_ : callable
        The scorer used.
    scoring_threshold_ : float or None
        Threshold of the default scoring, in the unit of y; None with another one.
    coef_ : ndarray of shape (n_features,)
        Coefficients of the fit to all data with the best rho and alpha. So are all that
        follow; see :class:`HuberRegressor`.
    intercept_ : float
        Intercept.
    scale_ : float
        Scale of the residuals, in the unit of y.
    n_iter_ : int
        Iterations of that fit.
    n_sweeps_ : int
        How often that fit read all samples.
    outliers_ : ndarray of bool of shape (n_samples,)
        Whether the residual of a sample lies beyond the threshold.
    robust_weights_ : ndarray of shape (n_samples,)
        ψ(r)/r.
    objective_ : float
        Value of the objective.
    optimality_gap_ : float
        Estimated distance of the objective from its minimum, as a fraction of it.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where X had names that are all strings.

    See Also
    --------
    huber_path : The fits themselves.
    skhuber.inspection.CVRhoDisplay : A picture of the scores.

    Notes
    -----
    As in scikit-learn's RidgeCV, `sample_weight` counts in the fits and in the scores
    (of scorers that have such an argument). Scorers get arrays, frames or not, and
    models with coefficients and scale, but without what a fit says of each sample.
    With metadata routing switched on, that is requested by ``set_fit_request`` and the
    scorer's ``set_score_request``, and further metadata (groups, say) go to the
    splitter. Without it ``fit(X, y, groups=...)`` does.

    Callbacks of scikit-learn (1.9 and later) see a task for each candidate of each
    fold, and one for the last fit.

    Examples
    --------
    >>> import numpy as np
    >>> from skhuber import HuberRegressorCV
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(300, 3))
    >>> y = X @ [1.0, 2.0, 3.0] + rng.standard_t(1.5, size=300)
    >>> model = HuberRegressorCV(rhos=[1.1, 1.35, 2.0, 8.0]).fit(X, y)
    >>> model.rho_ < 8.0
    True
    >>> sorted(model.cv_results_)[:3]
    ['mean_test_score', 'param_alpha', 'param_rho']
    """

    def __init__(
        self,
        rhos: Sequence[float] = _RHOS,
        *,
        alphas: Sequence[float] = _ALPHAS,
        scale: str | float = "joint",
        fit_intercept: bool = True,
        cv: Any = None,
        scoring: Any = None,
        max_iter: int = 1000,
        tol: float = 1e-12,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.rhos = rhos
        self.alphas = alphas
        self.scale = scale
        self.fit_intercept = fit_intercept
        self.cv = cv
        self.scoring = scoring
        self.max_iter = max_iter
        self.tol = tol
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        **params: Any,
    ) -> Self:
        """Choose rho and alpha, and fit the model to all data with them.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,)
            Target.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights: a weight of 2 is the same as the sample twice (which
            is in one fold then).
        **params
            ``groups`` for the splitter; with metadata routing whatever the splitter or
            the scorer requests.

        Returns
        -------
        self : HuberRegressorCV
            The fitted estimator.

        Raises
        ------
        TypeError, ValueError
            For parameters, data or folds that are not as described; the estimator
            stays as it was.

        Warns
        -----
        ConvergenceWarning
            Where a fit could not be shown to be within `tol` of the optimum.
        UserWarning
            Where a scorer gave scores that are not finite.

        Examples
        --------
        >>> import numpy as np
        >>> from skhuber import HuberRegressorCV
        >>> x = np.linspace(0, 10, 30)
        >>> y = 2 * x + np.cos(5 * x)
        >>> model = HuberRegressorCV([1.35, 2.0], cv=3).fit(x[:, np.newaxis], y)
        >>> model.n_splits_
        3
        """
        with unchanged_on_error(self):
            complaint = self._fit(X, y, sample_weight, params)
        if complaint is not None:
            warnings.warn(complaint, ConvergenceWarning, stacklevel=2)
        bad = np.count_nonzero(~np.isfinite(self.cv_results_["mean_test_score"]))
        if bad:
            n_candidates = len(self.cv_results_["params"])
            warnings.warn(
                f"scoring={self.scoring!r} gave scores that are not finite to {bad} of "
                f"{n_candidates} candidates; those without a number rank last",
                UserWarning,
                stacklevel=2,
            )
        return self

    def get_metadata_routing(self) -> MetadataRouter:
        """Say which metadata go where.

        Returns
        -------
        routing : MetadataRouter
            `sample_weight` to the fits; what the scorer and the splitter request.
        """
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(
                scorer=self._scorer(1.0),
                method_mapping=MethodMapping().add(caller="fit", callee="score"),
            )
            .add(
                # As it is: `check_cv` would use up a generator.
                splitter=self.cv,
                method_mapping=MethodMapping().add(caller="fit", callee="split"),
            )
        )

    @with_callbacks
    def _fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None,
        params: dict[str, Any],
    ) -> str | None:
        """Set the fitted attributes; return what there is to warn of."""
        from skhuber._fit import fit_rows
        from skhuber._fit.grid import Grid

        rhos, alphas = _listed("rhos", self.rhos), _listed("alphas", self.alphas)
        grid = _checked_grid(self, rhos, alphas)
        verbose = check_flag("verbose", self.verbose)
        self._scorer(1.0)  # complains, if there is something to complain of
        data = self._checked_data(X, y, sample_weight)
        routed = self._routed(data.weight, params)
        folds = self._folds(data, routed.splitter.split)
        n_tasks = len(folds) * len(grid) + 1
        tasks = Tasks(self, data.for_callbacks(), n_tasks=n_tasks)

        with tasks.fit():
            failures: list[_Failure] = []
            self.scoring_threshold_ = None
            if self.scoring is None:
                self.scoring_threshold_ = self._yardstick(data, grid)
            self.scorer_ = self._scorer(self.scoring_threshold_)
            shared = Grid(data.rows(), grid)
            scores = np.empty((len(folds), len(grid)))
            for k, (train, test) in enumerate(folds):
                scores[k], failed = self._evaluate(
                    data, train, test, grid, shared, routed.scorer.score, tasks
                )
                failures += failed
                if verbose:
                    best = grid[int(np.argmax(scores[k]))]
                    print(
                        f"fold {k + 1} of {len(folds)}: best score "
                        f"{scores[k].max():.6g} (rho={best.rho:g}, "
                        f"alpha={best.alpha:g})"
                    )
            self._set_results(grid, scores)
            settings = grid[self.best_index_]
            rows = data.rows()
            fit = fit_rows(rows, settings)
            self._check_sums([fit], data)
            self._take(fit, settings, data, rows)
            self.alpha_ = settings.alpha
            tasks.done("refit", self._attributes(fit.coef, fit.intercept, data))
        failures += _failures([settings], [fit])
        return _complaint("HuberRegressorCV", failures, n_tasks)

    def _scorer(self, threshold: float | None) -> Callable[..., float]:
        if self.scoring is None:
            assert threshold is not None
            scorer: Any = make_huber_scorer(rho=threshold)
            if get_config()["enable_metadata_routing"]:
                scorer.set_score_request(sample_weight=True)
            return scorer
        if not (isinstance(self.scoring, str) or callable(self.scoring)):
            raise TypeError(
                "scoring must be None, the name of a scorer or a callable "
                f"(estimator, X, y) -> float, got {self.scoring!r}."
            )
        return check_scoring(self, self.scoring)

    def _routed(self, weight: Floats | None, params: dict[str, Any]) -> Bunch:
        """What of the metadata goes to the scorer and to the splitter."""
        if get_config()["enable_metadata_routing"]:
            if weight is not None:
                params = {**params, "sample_weight": weight}
            return process_routing(self, "fit", **params)
        unknown = sorted(set(params) - {"groups"})
        if unknown:
            raise TypeError(
                f"fit got {unknown[0]!r}, which only metadata routing can pass on: "
                "allowed are X, y, sample_weight and groups, or more with "
                "sklearn.set_config(enable_metadata_routing=True)."
            )
        score = {}
        if weight is not None and _takes_weights(self._scorer(1.0)):
            score["sample_weight"] = weight
        return Bunch(scorer=Bunch(score=score), splitter=Bunch(split=params))

    def _folds(
        self, data: Data, params: dict[str, Any]
    ) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Training and test indices; each fold can be fitted and scored."""
        n = data.X.shape[0]
        splitter = check_cv(self.cv, data.y, classifier=False)
        folds = [
            (_numbers(train, n), _numbers(test, n))
            for train, test in splitter.split(data.X, data.y, **params)
        ]
        if not folds:
            raise ValueError(
                f"cv must give at least one fold, got none of {self.cv!r}."
            )
        for k, (train, test) in enumerate(folds):
            for name, index in (("training", train), ("test", test)):
                weight = None if data.weight is None else data.weight[index]
                if not len(index) or (weight is not None and not weight.any()):
                    raise ValueError(
                        "cv must give folds with at least one training and one test "
                        f"sample of positive weight, got {len(index)} {name} samples "
                        f"in fold {k}, of {n} samples in all."
                    )
        return folds

    def _yardstick(self, data: Data, grid: list[Settings]) -> float:
        """Threshold of the default scoring."""
        from skhuber._fit import fit_rows, residuals_of

        rows = data.rows()
        least = min(settings.alpha for settings in grid)
        first = replace(grid[0], rho=_FIRST_RHO, scale="joint", alpha=least)
        fit = fit_rows(rows, first)
        self._check_sums([fit], data)
        distance = np.abs(residuals_of(rows, fit))
        weight = data.weight
        y = data.y.astype(np.float64)
        deviation = np.abs(y - weighted_median(y, weight))
        spread = _median_beyond(deviation, 0.0, weight)
        # If most targets are met exactly, the median residual is a rounding error. Then
        # those that are not met have a say; if there are none, the targets themselves.
        size = _median_beyond(distance, _ROUNDING * spread, weight) or spread
        return _YARDSTICK * size / NORMAL_MAD if size > 0 else 1.0

    def _evaluate(
        self,
        data: Data,
        train: NDArray[np.intp],
        test: NDArray[np.intp],
        grid: list[Settings],
        shared: Grid,
        params: dict[str, Any],
        tasks: Tasks,
    ) -> tuple[Floats, list[_Failure]]:
        """Scores of all candidates on one fold, and which fits are not certified."""
        fits = shared.fit(data.rows(train))
        self._check_sums(fits, data)
        scores = self._scores(data, test, fits, grid, params)
        if tasks.has_listeners:
            self._tell(tasks, data, train, fits, grid)
        return scores, _failures(grid, fits)

    def _scores(
        self,
        data: Data,
        test: NDArray[np.intp],
        fits: list[Fit],
        grid: list[Settings],
        params: dict[str, Any],
    ) -> Floats:
        X, y = data.X[test], data.y[test]
        n = data.X.shape[0]
        arrays = {name: np.asarray(value) for name, value in params.items()}
        params = {
            name: value[test] if value.shape[:1] == (n,) else params[name]
            for name, value in arrays.items()
        }
        scores = np.empty(len(fits))
        models = [self._attributes(fit.coef, fit.intercept, data) for fit in fits]
        coefs = np.array([model["coef_"] for model in models]).T
        predicted = linear(X, coefs, [model["intercept_"] for model in models])
        for k, (fit, settings) in enumerate(zip(fits, grid, strict=True)):
            model = _Candidate(settings.rho, scale=self.scale, alpha=settings.alpha)
            model.known = X, predicted[:, k]
            attributes = {**models[k], "scale_": fit.scale, "rho_": settings.rho}
            for name, value in attributes.items():
                setattr(model, name, value)
            score: object = self.scorer_(model, X, y, **params)
            if not isinstance(score, Real):
                raise TypeError(
                    "scoring must return a number, got "
                    f"{score!r} of type {type(score).__name__}."
                )
            scores[k] = score
        return scores

    def _attributes(self, coef: Floats, intercept: float, data: Data) -> dict[str, Any]:
        return {
            "coef_": data.like_X(coef, intercept),
            "intercept_": intercept,
            "n_features_in_": data.X.shape[1],
        }

    def _tell(
        self,
        tasks: Tasks,
        data: Data,
        train: NDArray[np.intp],
        fits: list[Fit],
        grid: list[Settings],
    ) -> None:
        """Tell callbacks of the candidates of a fold."""
        listened = data.for_callbacks(train)
        for fit, settings in zip(fits, grid, strict=True):
            attributes = self._attributes(fit.coef, fit.intercept, data)
            attributes |= {"rho_": settings.rho, "alpha_": settings.alpha}
            tasks.done("candidate", attributes, listened)

    def _set_results(self, grid: list[Settings], scores: Floats) -> None:
        mean = scores.mean(axis=0)
        ranked = np.where(np.isnan(mean), -np.inf, mean)
        results: dict[str, Any] = {
            "param_rho": np.array([settings.rho for settings in grid]),
            "param_alpha": np.array([settings.alpha for settings in grid]),
            "params": [
                {"rho": settings.rho, "alpha": settings.alpha} for settings in grid
            ],
        }
        for k, score in enumerate(scores):
            results[f"split{k}_test_score"] = score
        results["mean_test_score"] = mean
        with np.errstate(invalid="ignore"):  # (infinite scores have none)
            results["std_test_score"] = scores.std(axis=0)
        results["rank_test_score"] = rankdata(-ranked, method="min").astype(np.int32)
        self.cv_results_ = results
        self.best_index_ = int(results["rank_test_score"].argmin())
        self.best_score_ = float(mean[self.best_index_])
        self.n_splits_ = len(scores)


class _Candidate(HuberRegressor):
    """A fitted model, as a scorer gets it; its predictions are there already.

    To predict for all candidates at once takes a fraction of the time.
    """

    known: tuple[Any, NDArray[np.floating]]
    """The test samples, and the predictions for them."""

    def predict(self, X: ArrayLike) -> NDArray[np.floating]:
        """Predict the target."""
        samples, predictions = self.known
        return predictions if X is samples else super().predict(X)


def _checked_grid(
    model: HuberRegressor | HuberRegressorCV,
    rhos: list[float],
    alphas: list[float],
) -> list[Settings]:
    """Settings for each rho and alpha, alphas within rhos."""
    from skhuber._fit import Settings

    scale = check_scale(model.scale)
    fit_intercept = check_flag("fit_intercept", model.fit_intercept)
    max_iter = check_count("max_iter", model.max_iter, least=0)
    tol = check_real("tol", model.tol, least=0)
    checked_rhos = [check_rho(f"rhos[{k}]", rho, scale) for k, rho in enumerate(rhos)]
    checked_alphas = [
        check_real(f"alphas[{k}]", alpha, least=0) for k, alpha in enumerate(alphas)
    ]
    return [
        Settings(rho, scale, alpha, fit_intercept, max_iter, tol)
        for rho in checked_rhos
        for alpha in checked_alphas
    ]


def _listed(name: str, values: object) -> list[Any]:
    """The numbers of a sequence that is not empty."""
    allowed = "a sequence of at least one number"
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        raise TypeError(f"{name} must be {allowed}, got {values!r}.")
    if isinstance(values, np.ndarray) and values.ndim == 0:
        raise TypeError(f"{name} must be {allowed}, got {values!r}.")
    listed = list(values)
    if not listed:
        raise ValueError(f"{name} must be {allowed}, got {values!r}.")
    return listed


def _median_beyond(sizes: Floats, least: float, weight: Floats | None) -> float:
    """Median of all sizes, or, if that is too small, of those beyond `least`.

    Zero if there are none.
    """
    median = weighted_median(sizes, weight)
    if median > least:
        return median
    beyond = sizes > least
    if weight is not None:
        beyond &= weight > 0
        weight = weight[beyond]
    return weighted_median(sizes[beyond], weight) if beyond.any() else 0.0


def _takes_weights(scorer: Callable[..., float]) -> bool:
    """Whether a scorer has an argument for weights, as those of scikit-learn have."""
    try:
        parameters = inspect.signature(scorer).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(
        parameter.name == "sample_weight" or parameter.kind is parameter.VAR_KEYWORD
        for parameter in parameters
    )


def _numbers(index: ArrayLike, n: int) -> NDArray[np.intp]:
    """Numbers of samples, of an index that may be a mask."""
    array = np.asarray(index)
    try:
        return np.arange(n)[array if array.size else array.astype(np.intp)]
    except IndexError as error:
        raise ValueError(
            f"cv must give numbers or masks of the {n} samples, got {array!r}: {error}."
        ) from error


class _Failure(NamedTuple):
    """A fit that is not certified; the fit itself would hold on to its rows."""

    settings: Settings
    message: str
    gap: float


def _failures(grid: list[Settings], fits: Iterable[Fit]) -> list[_Failure]:
    return [
        _Failure(settings, fit.status.value, fit.gap)
        for settings, fit in zip(grid, fits, strict=True)
        if not fit.converged
    ]


def _complaint(who: str, failures: list[_Failure], n_fits: int) -> str | None:
    """What there is to warn of."""
    if not failures:
        return None
    settings, message, gap = failures[0]
    return (
        f"{who}: {len(failures)} of {n_fits} fits did not converge. Of the first one "
        f"(rho={settings.rho:g}, alpha={settings.alpha:g}): {message}; the estimated "
        f"optimality gap is {gap:.1e} (tol={settings.tol:g}, "
        f"max_iter={settings.max_iter})."
    )
