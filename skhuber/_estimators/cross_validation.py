"""Choice of rho and alpha by cross-validation.

`skhuber._fit.grid` fits all candidates of a fold together. The training samples of a
fold are picked from X by their indices, so a C-ordered X is not copied.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from sklearn.exceptions import ConvergenceWarning

from skhuber._common.validation import check_flag
from skhuber._estimators.base import (
    Data,
    unchanged_on_error,
    with_one_blas_thread,
)
from skhuber._estimators.callbacks import Tasks, with_callbacks
from skhuber._estimators.candidates import (
    ALPHAS,
    FIRST_RHO,
    RHOS,
    Failure,
    checked_grid,
    failures_of,
    listed,
    warning_about,
)
from skhuber._estimators.folds import checked_folds
from skhuber._estimators.regressor import HuberRegressor
from skhuber._estimators.scoring import (
    Candidate,
    ScoredSearch,
    scores_of,
    scoring_threshold,
)

if TYPE_CHECKING:
    from skhuber._fit import Fit, Settings
    from skhuber._fit.grid import Grid

__all__ = ["HuberRegressorCV"]

Floats = NDArray[np.float64]


class HuberRegressorCV(ScoredSearch):
    """Robust linear regression that chooses rho and alpha by cross-validation.

    The scores are those of :class:`~sklearn.model_selection.GridSearchCV` over
    :class:`HuberRegressor` with equal scorer and folds. The search is several times
    faster, since the fits of a fold share their sweeps over the samples.

    All candidates are scored with one threshold (see `scoring`). If each were scored
    with its own rho, the smallest rho would always win: the smaller rho, the smaller
    the Huber error of given residuals.

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
        The folds: their number (None stands for five), a splitter of scikit-learn, or
        pairs of arrays of training and test indices.
    scoring : str, callable or None, default=None
        What is maximised: the name of a scorer, a callable ``(estimator, X, y) →
        float``, or None for minus the mean Huber error at a fixed threshold
        (:func:`~skhuber.metrics.mean_huber_error`). That threshold is 1.345 robust
        standard deviations (median |r| / 0.6745) of the residuals of a first fit to all
        the data, with ``rho=1.35``, a joint scale and the least alpha:
        `scoring_threshold_`. (If that fit meets most targets exactly, the median is
        taken over the residuals that are not zero.)
    verbose : bool, default=False
        Whether to print a line for each fold.

    Attributes
    ----------
    rho_ : float
        The best rho.
    alpha_ : float
        The best alpha.
    best_score_ : float
        Mean score of the best candidate over the folds.
    best_index_ : int
        Index of the best candidate in `cv_results_`.
    cv_results_ : dict of ndarrays
        One entry for each candidate, ready for ``pandas.DataFrame``: ``param_rho``,
        ``param_alpha``, ``params``, ``split0_test_score`` and so on,
        ``mean_test_score``, ``std_test_score``, ``rank_test_score``.
    n_splits_ : int
        Number of folds.
    scorer_ : callable
        The scorer used.
    scoring_threshold_ : float or None
        Threshold of the default scoring, in the unit of y; None if `scoring` is given.
    coef_ : ndarray of shape (n_features,)
        Coefficients of the final fit: to all data, with the best rho and alpha.
    intercept_ : float
        Intercept of the final fit.
    scale_ : float
        Scale of the residuals of the final fit, in the unit of y.
    n_iter_ : int
        Iterations of the final fit.
    n_sweeps_ : int
        Number of sweeps over all samples in the final fit.
    outliers_ : ndarray of bool of shape (n_samples,)
        Whether the residual of a sample in the final fit lies beyond the threshold.
    robust_weights_ : ndarray of shape (n_samples,)
        ψ(r)/r of the final fit: 1 up to the threshold, ``rho_ * scale_ / |r|`` beyond
        it.
    objective_ : float
        Objective of the final fit.
    optimality_gap_ : float
        Estimated distance of `objective_` from its minimum, as a fraction of it.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X had names that are all strings.

    See Also
    --------
    huber_path : Fits along a grid, without a choice.
    skhuber.inspection.CVRhoDisplay : A picture of the scores.

    Notes
    -----
    As in scikit-learn's RidgeCV, `sample_weight` counts in the fits, and in the scores
    if the scorer has such an argument. A scorer gets X as an array or a sparse matrix,
    never as a frame, and a model with coefficients and scale, but without attributes
    that have one value for each sample.

    With metadata routing switched on, ``set_fit_request`` and the scorer's
    ``set_score_request`` request weights, and further metadata (groups, say) go to the
    splitter. With routing switched off, groups are an argument of `fit`.

    Callbacks of scikit-learn (1.9 and later) see a task for each candidate of each
    fold, and one for the final fit.

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
        rhos: Sequence[float] = RHOS,
        *,
        alphas: Sequence[float] = ALPHAS,
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
            Non-negative weights: a weight of 2 is the same as the sample twice, with
            both copies in one fold.
        **params
            ``groups`` for the splitter; with metadata routing all that the splitter or
            the scorer requests.

        Returns
        -------
        self : HuberRegressorCV
            The fitted estimator.

        Raises
        ------
        TypeError, ValueError
            If parameters, data or folds are not as described. The estimator stays as it
            was.

        Warns
        -----
        ConvergenceWarning
            If a fit could not be shown to be within `tol` of the optimum.
        UserWarning
            If a scorer gave scores that are not finite.

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
            warning = self._fit(X, y, sample_weight, params)
        if warning is not None:
            warnings.warn(warning, ConvergenceWarning, stacklevel=2)
        self._warn_about_scores(self.cv_results_["mean_test_score"], stacklevel=2)
        return self

    @with_callbacks
    @with_one_blas_thread
    def _fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None,
        params: dict[str, Any],
    ) -> str | None:
        """Set the fitted attributes; return the text of a warning, or None."""
        from skhuber._fit import fit_rows
        from skhuber._fit.grid import Grid

        rhos, alphas = listed("rhos", self.rhos), listed("alphas", self.alphas)
        grid = checked_grid(self, rhos, alphas)
        verbose = check_flag("verbose", self.verbose)
        self._scorer(1.0)  # raises an error for a bad `scoring`, before any work
        data = self._checked_data(X, y, sample_weight)
        routed = self._routed(data.weight, params)
        folds = checked_folds(self.cv, data, routed.splitter.split)
        n_tasks = len(folds) * len(grid) + 1
        tasks = Tasks(self, data.for_callbacks(), n_tasks=n_tasks)

        with tasks.fit():
            failures: list[Failure] = []
            self.scoring_threshold_ = None
            if self.scoring is None:
                self.scoring_threshold_ = self._scoring_threshold(data, grid)
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
        failures += failures_of([settings], [fit])
        return warning_about("HuberRegressorCV", failures, n_tasks)

    def _scoring_threshold(self, data: Data, grid: list[Settings]) -> float:
        """Return the threshold of the default scoring, in the unit of y."""
        from skhuber._fit import fit_rows, residuals_of

        rows = data.rows()
        least = min(settings.alpha for settings in grid)
        first = replace(grid[0], rho=FIRST_RHO, scale="joint", alpha=least)
        fit = fit_rows(rows, first)
        self._check_sums([fit], data)
        return scoring_threshold(residuals_of(rows, fit), data)

    def _evaluate(
        self,
        data: Data,
        train: NDArray[np.intp],
        test: NDArray[np.intp],
        grid: list[Settings],
        shared: Grid,
        params: dict[str, Any],
        tasks: Tasks,
    ) -> tuple[Floats, list[Failure]]:
        """Return the scores of all candidates on one fold, and the failed fits."""
        fits = shared.fit(data.rows(train))
        self._check_sums(fits, data)
        scores = self._scores(data, test, fits, grid, params)
        if tasks.has_listeners:
            self._tell(tasks, data, train, fits, grid)
        return scores, failures_of(grid, fits)

    def _scores(
        self,
        data: Data,
        test: NDArray[np.intp],
        fits: list[Fit],
        grid: list[Settings],
        params: dict[str, Any],
    ) -> Floats:
        candidates = []
        for fit, settings in zip(fits, grid, strict=True):
            model = _Candidate(settings.rho, scale=self.scale, alpha=settings.alpha)
            attributes = self._attributes(fit.coef, fit.intercept, data)
            attributes |= {"scale_": fit.scale, "rho_": settings.rho}
            for name, value in attributes.items():
                setattr(model, name, value)
            candidates.append(model)
        return scores_of(self.scorer_, candidates, data, test, params)

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
        """Report the candidates of a fold to callbacks."""
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
        with np.errstate(invalid="ignore"):  # NaN if a score is infinite
            results["std_test_score"] = scores.std(axis=0)
        results["rank_test_score"] = rankdata(-ranked, method="min").astype(np.int32)
        self.cv_results_ = results
        self.best_index_ = int(results["rank_test_score"].argmin())
        self.best_score_ = float(mean[self.best_index_])
        self.n_splits_ = len(scores)


class _Candidate(Candidate, HuberRegressor):
    """Candidate of HuberRegressorCV."""
