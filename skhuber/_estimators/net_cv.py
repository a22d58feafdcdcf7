"""HuberElasticNetCV: alpha, l1_ratio and rho chosen by folds or by a criterion.

All candidates of one rho and one l1_ratio are a path (`skhuber._fit.net_path`), on all
samples and on the training samples of each fold.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning

from skhuber._common.validation import check_choice, check_flag
from skhuber._estimators.base import (
    Data,
    check_rho,
    unchanged_on_error,
    with_one_blas_thread,
)
from skhuber._estimators.callbacks import Tasks, with_callbacks
from skhuber._estimators.candidates import (
    FIRST_RHO,
    failures_of,
    listed,
    warning_about,
)
from skhuber._estimators.elastic_net import HuberElasticNet, HuberNetModel
from skhuber._estimators.folds import checked_folds
from skhuber._estimators.net_parameters import check_l1_ratio, check_net
from skhuber._estimators.net_path import (
    alpha_sequence,
    checked_alphas,
    ebic,
    pivotal_alpha,
)
from skhuber._estimators.scoring import (
    Candidate,
    ScoredSearch,
    scores_of,
    scoring_threshold,
)

if TYPE_CHECKING:
    from skhuber._fit import Net, NetFit, Settings
    from skhuber._fit.columns import ColumnStatistics
    from skhuber._fit.net_path import NetPath
    from skhuber._rows import RowSource

Floats = NDArray[np.float64]


# Attributes that a fit with a criterion does not have.
_NOT_WITH = {
    "ebic": ("errors_", "scoring_threshold_", "scorer_", "n_splits_"),
    "cv": ("ebics_",),
}


class _Candidates(NamedTuple):
    """The candidates of one rho and one l1_ratio."""

    settings: Settings
    nets: list[Net]
    path: NetPath

    @property
    def alphas(self) -> Floats:
        return np.array([net.alpha for net in self.nets])


class HuberElasticNetCV(ScoredSearch, HuberNetModel):
    """Sparse robust regression that chooses its penalty from the data.

    Candidates are the paths of :func:`huber_enet_path`, one for each rho and l1_ratio.
    They are compared by cross-validation, with one threshold of the errors for all of
    them, or by an information criterion. The model with the chosen penalty is fitted to
    all samples.

    Parameters
    ----------
    l1_ratio : float or sequence of float, default=1.0
        Shares of absolute values in the penalty to try; greater than 0 unless `alphas`
        are given.
    n_alphas : int, default=100
        Number of alphas for each l1_ratio and rho.
    alphas : sequence of float, default=None
        Alphas to try, in place of a sequence from the data.
    eps : float, default=1e-3
        The last alpha of the sequence, as a share of the first.
    rho : float or sequence of float, default=1.35
        Thresholds to try, in units of the scale.
    cv : int, splitter, iterable or None, default=None
        The folds, as for :class:`HuberRegressorCV`; None stands for five.
    scoring : str, callable or None, default=None
        What is maximised on the test samples with ``criterion="cv"``, as for
        :class:`HuberRegressorCV`. None stands for minus the mean Huber error with the
        threshold `scoring_threshold_`.
    criterion : {"cv", "ebic"}, default="cv"
        ``"cv"``: the mean score of the test samples. ``"ebic"``: the extended Bayesian
        information criterion of :func:`huber_enet_path`, which selects fewer columns
        and needs no folds. It compares alphas and l1_ratios at one rho only.
    rule : {"min", "1se"}, default="min"
        With ``criterion="cv"``, whether the least mean error is taken, or the largest
        alpha whose error is above it by no more than its standard error over the folds
        (with the rho and the l1_ratio of the least).
    scale, standardize, fit_intercept, bounds, positive, max_iter, tol, n_jobs
        As for :class:`HuberElasticNet`.
    verbose : bool, default=False
        Whether to print a line for each fold.

    Attributes
    ----------
    alpha_, l1_ratio_, rho_ : float
        The chosen values.
    alphas_ : ndarray of shape (n_rhos, n_l1_ratios, n_alphas)
        The alphas that were tried, from the largest to the smallest.
    errors_ : ndarray of shape (n_rhos, n_l1_ratios, n_alphas, n_folds)
        Mean Huber errors of the folds, or with `scoring` the scores with their signs
        changed; with ``criterion="cv"`` only. Beyond the end of a path the errors are
        those of its last model.
    ebics_ : ndarray of shape (n_rhos, n_l1_ratios, n_alphas)
        Values of the criterion; with ``criterion="ebic"`` only.
    scoring_threshold_ : float or None
        Threshold of the errors, in the unit of y: 1.345 robust standard deviations of
        the residuals at the pivotal alpha, with ``rho=1.35`` and the joint scale (of
        those that are not zero, if most are). None if `scoring` is given; with
        ``criterion="cv"`` only.
    scorer_ : callable
        The scorer used; with ``criterion="cv"`` only.
    n_splits_ : int
        Number of folds; with ``criterion="cv"`` only.
    coef_, sparse_coef_, intercept_, scale_, n_iter_, n_sweeps_, outliers_
        As of :class:`HuberElasticNet`, of the final fit.
    robust_weights_, objective_, optimality_gap_, dual_gap_
        As of :class:`HuberElasticNet`, of the final fit.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X had names that are all strings.

    See Also
    --------
    huber_enet_path : The fits along a path.
    pivotal_alpha : An alpha that theory suggests.
    sklearn.linear_model.ElasticNetCV : Squared loss.

    Notes
    -----
    Weights, metadata, scorers and their models are as for :class:`HuberRegressorCV`.
    Callbacks of scikit-learn (1.9 and later) see a task for each candidate of each
    fold, or with ``criterion="ebic"`` of the fit to all samples, and one for the final
    fit. A path that ends early has fewer candidates.

    Examples
    --------
    >>> import numpy as np
    >>> from skhuber import HuberElasticNetCV
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(120, 10))
    >>> y = X[:, 0] - 2.0 * X[:, 1] + rng.standard_t(2, size=120)
    >>> model = HuberElasticNetCV(criterion="ebic", n_alphas=20).fit(X, y)
    >>> print(model.coef_[:2].round())
    [ 1. -2.]
    """

    def __init__(
        self,
        l1_ratio: float | Sequence[float] = 1.0,
        *,
        n_alphas: int = 100,
        alphas: Sequence[float] | None = None,
        eps: float = 1e-3,
        rho: float | Sequence[float] = 1.35,
        cv: Any = None,
        scoring: Any = None,
        criterion: str = "cv",
        rule: str = "min",
        scale: str | float = "joint",
        standardize: bool = True,
        fit_intercept: bool = True,
        bounds: Any = None,
        positive: bool = False,
        max_iter: int = 1000,
        tol: float = 1e-12,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.l1_ratio = l1_ratio
        self.n_alphas = n_alphas
        self.alphas = alphas
        self.eps = eps
        self.rho = rho
        self.cv = cv
        self.scoring = scoring
        self.criterion = criterion
        self.rule = rule
        self.scale = scale
        self.standardize = standardize
        self.fit_intercept = fit_intercept
        self.bounds = bounds
        self.positive = positive
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
        """Choose the penalty, and fit the model to all data with it.

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
        self : HuberElasticNetCV
            The fitted estimator.

        Raises
        ------
        TypeError, ValueError
            If parameters, data or folds are not as described. The estimator stays as it
            was.

        Warns
        -----
        ConvergenceWarning
            If the final fit could not be shown to be within `tol` of the optimum.
        UserWarning
            If a scorer gave scores that are not finite.

        Examples
        --------
        >>> import numpy as np
        >>> from skhuber import HuberElasticNetCV
        >>> x = np.linspace(0, 10, 30)
        >>> X = np.column_stack([x, np.cos(x)])
        >>> model = HuberElasticNetCV(n_alphas=5, cv=3).fit(X, 2 * x + np.cos(5 * x))
        >>> model.errors_.shape
        (1, 1, 5, 3)
        """
        with unchanged_on_error(self):
            warning = self._fit(X, y, sample_weight, params)
        if warning is not None:
            warnings.warn(warning, ConvergenceWarning, stacklevel=2)
        if self.criterion == "cv":
            self._warn_about_scores(self._mean_errors(), stacklevel=2)
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
        criterion = check_choice("criterion", self.criterion, ("cv", "ebic"))
        rule = check_choice("rule", self.rule, ("min", "1se"))
        check_flag("verbose", self.verbose)
        self._scorer(1.0)  # raises an error for a bad `scoring`, before any work
        pairs = self._checked_pairs()
        data = self._checked_data(X, y, sample_weight)
        net = self._checked_net(data)
        routed = self._routed(data.weight, params)
        folds = []
        if criterion == "cv":
            folds = checked_folds(self.cv, data, routed.splitter.split)
        n_alphas = (
            self.n_alphas if self.alphas is None else len(listed("alphas", self.alphas))
        )
        n_tasks = max(len(folds), 1) * len(pairs) * n_alphas + 1
        tasks = Tasks(self, data.for_callbacks(), n_tasks=n_tasks)
        with tasks.fit():
            rows = data.rows()
            tables = self._tables(data, rows, pairs, net)
            for name in _NOT_WITH[criterion]:
                if hasattr(self, name):
                    delattr(self, name)
            shape = *self._shape, -1
            self.alphas_ = np.array([one.alphas for one in tables]).reshape(shape)
            if criterion == "ebic":
                ebics = self._by_criterion(data, rows, tables, tasks)
                self.ebics_ = ebics.reshape(shape)
                best = self._least(self.ebics_)
            else:
                self.scoring_threshold_ = None
                if self.scoring is None:
                    self.scoring_threshold_ = self._threshold(data, rows, net)
                self.scorer_ = self._scorer(self.scoring_threshold_)
                self.n_splits_ = len(folds)
                score = routed.scorer.score
                errors = self._by_folds(data, folds, tables, score, tasks)
                self.errors_ = errors.reshape(*self.alphas_.shape, -1)
                best = self._chosen(rule)
            return self._refit(data, tables, best, tasks)

    def _tables(
        self,
        data: Data,
        rows: RowSource,
        pairs: Sequence[tuple[Settings, float]],
        net: Net,
    ) -> list[_Candidates]:
        """Return the alphas of each pair of settings and l1_ratio, and their path."""
        from skhuber._fit.elastic_net import net_statistics

        statistics = net_statistics(rows, pairs[0][0], net)
        return [
            self._candidates(
                data, rows, settings, replace(net, l1_ratio=ratio), statistics
            )
            for settings, ratio in pairs
        ]

    @property
    def _shape(self) -> tuple[int, int]:
        """The numbers of rhos and of l1_ratios."""
        return len(self._listed("rho")), len(self._listed("l1_ratio"))

    def _by_folds(
        self,
        data: Data,
        folds: Sequence[tuple[Any, Any]],
        tables: list[_Candidates],
        score: Any,
        tasks: Tasks,
    ) -> Floats:
        """Return the errors of each table's alphas on each fold, which come last."""
        errors = []
        for k, (train, test) in enumerate(folds):
            found = self._errors(data, train, test, tables, score, tasks)
            errors.append(found)
            if self.verbose:
                least = np.nanmin(found, initial=np.inf)
                print(f"fold {k + 1} of {len(folds)}: least error {least:.6g}")
        return np.stack(errors, axis=-1)

    def _refit(
        self,
        data: Data,
        tables: list[_Candidates],
        best: tuple[int, int, int],
        tasks: Tasks,
    ) -> str | None:
        """Fit the model of the best candidate to all rows."""
        from skhuber._fit import fit_net

        table = tables[best[0] * self._shape[1] + best[1]]
        chosen, settings = table.nets[best[2]], table.settings
        rows = data.rows()
        last = fit_net(rows, settings, chosen)
        self._check_sums([last.fit], data)
        self._take_net(last, settings, data, rows)
        self.alpha_, self.l1_ratio_ = chosen.alpha, chosen.l1_ratio
        tasks.done("refit", self._attributes(last, settings, chosen, data))
        failures = failures_of([replace(settings, alpha=chosen.alpha)], [last.fit])
        return warning_about("HuberElasticNetCV", failures, 1)

    def _listed(self, name: str) -> list[Any]:
        """Return the values of a parameter that may be a number or a sequence."""
        value = getattr(self, name)
        return listed(name, value) if np.ndim(value) or value == [] else [value]

    def _checked_pairs(self) -> list[tuple[Settings, float]]:
        """Return settings and l1_ratio of each path."""
        shared = self._checked_settings()
        checked_alphas(self.alphas, self.n_alphas, self.eps)
        above = 0.0 if self.alphas is None else None
        rhos = [check_rho("rho", rho, shared.scale) for rho in self._listed("rho")]
        ratios = [
            check_l1_ratio("l1_ratio", ratio, above=above)
            for ratio in self._listed("l1_ratio")
        ]
        if self.criterion == "ebic" and len(rhos) > 1:
            raise ValueError(
                f'rho must be one number with criterion="ebic", got {self.rho!r}: the '
                "losses of different thresholds cannot be compared."
            )
        return [(replace(shared, rho=rho), ratio) for rho in rhos for ratio in ratios]

    def _checked_net(self, data: Data) -> Net:
        return check_net(
            alpha=0.0,
            l1_ratio=1.0,
            standardize=self.standardize,
            bounds=self.bounds,
            positive=self.positive,
            n_features=data.X.shape[1],
        )

    def _candidates(
        self,
        data: Data,
        rows: RowSource,
        settings: Settings,
        net: Net,
        statistics: ColumnStatistics,
    ) -> _Candidates:
        from skhuber._fit.net_path import NetPath

        alphas = checked_alphas(self.alphas, self.n_alphas, self.eps)
        if alphas is None:
            alphas = alpha_sequence(
                self, data, rows, settings, net, self.n_alphas, self.eps, statistics
            )
        nets = [replace(net, alpha=float(alpha)) for alpha in alphas]
        return _Candidates(settings, nets, NetPath(rows, settings, nets, statistics))

    def _by_criterion(
        self, data: Data, rows: RowSource, tables: list[_Candidates], tasks: Tasks
    ) -> Floats:
        """Return the criterion of each candidate; infinite beyond a path's end."""
        values = []
        for one in tables:
            fits = one.path.fit(rows)
            found = [ebic(fit, one.settings, rows.natural_weight) for fit in fits]
            values.append(found + [np.inf] * (len(one.nets) - len(found)))
            self._tell(tasks, data, None, one, fits)
        return np.array(values)

    def _threshold(self, data: Data, rows: RowSource, net: Net) -> float:
        """Return the threshold of the errors, in the unit of y."""
        from skhuber._fit import fit_net, residuals_of

        n = max(int(rows.natural_weight), 1)
        alpha = pivotal_alpha(n, rows.n_features)
        first = replace(self._checked_settings(), rho=FIRST_RHO, scale="joint")
        found = fit_net(rows, first, replace(net, alpha=alpha, standardize=True))
        self._check_sums([found.fit], data)
        return scoring_threshold(residuals_of(rows, found.fit), data)

    def _errors(
        self,
        data: Data,
        train: NDArray[np.intp],
        test: NDArray[np.intp],
        tables: list[_Candidates],
        params: dict[str, Any],
        tasks: Tasks,
    ) -> Floats:
        """Return minus the scores of all candidates on a fold, (paths, alphas)."""
        errors = []
        for one in tables:
            fits = one.path.fit(data.rows(train))
            self._check_sums([found.fit for found in fits], data)
            candidates = [
                self._candidate(found, one.settings, net, data)
                for found, net in zip(fits, one.nets, strict=False)
            ]
            scores = scores_of(self.scorer_, candidates, data, test, params)
            errors.append(np.pad(-scores, (0, len(one.nets) - len(fits)), mode="edge"))
            self._tell(tasks, data, train, one, fits)
        return np.array(errors)

    def _candidate(
        self, found: NetFit, settings: Settings, net: Net, data: Data
    ) -> _NetCandidate:
        """Return a model for scorers."""
        model = _NetCandidate(net.alpha, l1_ratio=net.l1_ratio, rho=settings.rho)
        shared = set(model.get_params()) & set(self.get_params()) - {"l1_ratio", "rho"}
        model.set_params(**{name: getattr(self, name) for name in shared})
        for name, value in self._attributes(found, settings, net, data).items():
            setattr(model, name, value)
        return model

    def _attributes(
        self, found: NetFit, settings: Settings, net: Net, data: Data
    ) -> dict[str, Any]:
        """Return the attributes of a model without those of single samples."""
        fit = found.fit
        return {
            "coef_": data.like_X(fit.coef, fit.intercept),
            "intercept_": fit.intercept,
            "scale_": fit.scale,
            "rho_": settings.rho,
            "alpha_": net.alpha,
            "l1_ratio_": net.l1_ratio,
            "n_features_in_": data.X.shape[1],
        }

    def _tell(
        self,
        tasks: Tasks,
        data: Data,
        train: NDArray[np.intp] | None,
        one: _Candidates,
        fits: list[NetFit],
    ) -> None:
        """Report the candidates of a path to callbacks."""
        if not tasks.has_listeners:
            return
        listened = data.for_callbacks(train)
        for found, net in zip(fits, one.nets, strict=False):
            attributes = self._attributes(found, one.settings, net, data)
            tasks.done("candidate", attributes, listened)

    def _mean_errors(self) -> Floats:
        with np.errstate(invalid="ignore"):  # NaN if errors of both infinities meet
            mean: Floats = self.errors_.mean(axis=-1)
        return mean

    def _chosen(self, rule: str) -> tuple[int, int, int]:
        """Return the indices of the chosen rho, l1_ratio and alpha."""
        mean = self._mean_errors()
        mean[np.isnan(mean)] = np.inf
        i, j, k = self._least(mean)
        if rule == "1se":
            n = self.errors_.shape[-1]
            spread = 0.0
            if n > 1 and np.isfinite(mean[i, j, k]):
                spread = self.errors_[i, j, k].std(ddof=1)
            most = mean[i, j, k] + spread / np.sqrt(n)
            k = int(np.argmax(mean[i, j] <= most))
        return i, j, k

    @staticmethod
    def _least(values: Floats) -> tuple[int, int, int]:
        i, j, k = np.unravel_index(int(np.argmin(values)), values.shape)
        return int(i), int(j), int(k)


class _NetCandidate(Candidate, HuberElasticNet):
    """Candidate of HuberElasticNetCV."""
