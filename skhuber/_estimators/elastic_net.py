"""HuberElasticNet, a single fit with an elastic net and bounds."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning

from skhuber._common.validation import check_flag, check_real
from skhuber._estimators.base import (
    Data,
    HuberModel,
    check_rho,
    unchanged_on_error,
    with_one_blas_thread,
)
from skhuber._estimators.callbacks import Tasks, with_callbacks
from skhuber._estimators.net_parameters import check_l1_ratio, check_net
from skhuber._estimators.targets import TargetsMixin

if TYPE_CHECKING:
    from skhuber._fit import Net, NetFit, Settings, Start
    from skhuber._rows import RowSource


class HuberNetModel(HuberModel):
    """Base class of the models with an elastic net."""

    dual_gap_: Any  # a number, or an array of one for each target

    @property
    def sparse_coef_(self) -> Any:
        """Coefficients as a sparse matrix of shape (n_targets, n_features)."""
        return sp.csr_matrix(self.coef_)

    def _take_net(
        self, found: NetFit, settings: Settings, data: Data, rows: RowSource
    ) -> None:
        """Set the fitted attributes."""
        self._take(found.fit, settings, data, rows)
        # (The objective is a mean over samples.)
        self.objective_ = found.fit.objective / (2.0 * rows.natural_weight)
        self.dual_gap_ = found.dual_gap


class HuberElasticNet(TargetsMixin, HuberNetModel):
    """Sparse linear regression that outliers cannot pull away.

    The loss is that of :class:`HuberRegressor`, with a threshold in units of a scale
    that is estimated along with the coefficients. The penalty is that of
    :class:`~sklearn.linear_model.ElasticNet`, so that coefficients of columns that
    explain little are zero, also with more columns than samples. Coefficients may have
    bounds.

    Parameters
    ----------
    alpha : float, default=1.0
        Weight of the penalty; at least 0. The objective is a mean over samples, so
        alpha keeps its meaning if there are more of them. With ``alpha=0`` and bounds
        the fit is a bounded regression.
    l1_ratio : float, default=1.0
        Share of absolute values in the penalty, from 0 (squares alone) to 1 (absolute
        values alone, the lasso).
    rho : float, default=1.35
        Threshold in units of the scale, as for :class:`HuberRegressor`; ``numpy.inf``
        gives squared loss.
    scale : {"joint", "mad"} or float, default="joint"
        Estimate or value of the scale of the residuals, as for
        :class:`HuberRegressor`.
    standardize : bool, default=True
        Whether the penalty counts each coefficient in units of one over the standard
        deviation of its column, so that the units of the columns do not matter.
        Without an intercept the root mean square takes the place of the standard
        deviation. X is not copied, and `coef_` is in the units of the data.
    fit_intercept : bool, default=True
        Whether to fit an intercept. It is neither penalised nor bounded.
    bounds : pair (lower, upper) or None, default=None
        Bounds of the coefficients, in the units of the data: each of the two None (no
        bound), a number, or an array of shape (n_features,).
    positive : bool, default=False
        Whether coefficients have to be at least 0, besides other bounds.
    max_iter : int, default=1000
        The most iterations over all samples; at least 0.
    tol : float, default=1e-12
        The fit has converged when its objective lies above the minimum by no more than
        about this fraction of itself (`optimality_gap_`), or by no more than the
        rounding of the residuals explains. At least 0.
    warm_start : bool, default=False
        Whether `fit` starts from the coefficients of the last fit, if there was one.
    n_jobs : int or None, default=None
        The most threads to use, as for :class:`HuberRegressor`.
    verbose : bool, default=False
        Whether to print a line for each evaluation of the objective on all samples.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Coefficients w, with zeros. float32 if X is and single precision can hold the
        model, else float64. With a two-dimensional y (see Notes) the shape is
        (n_targets, n_features).
    sparse_coef_ : sparse matrix of shape (n_targets, n_features)
        `coef_` in CSR format, with one row for a one-dimensional y.
    intercept_ : float
        Intercept b; 0.0 without one.
    scale_ : float
        Scale σ of the residuals, in the unit of `y`.
    rho_ : float
        The threshold, in units of the scale.
    n_iter_ : int
        Iterations over all samples.
    n_sweeps_ : int
        Number of sweeps over all samples.
    outliers_ : ndarray of bool of shape (n_samples,)
        Whether the residual of a sample lies beyond the threshold.
    robust_weights_ : ndarray of shape (n_samples,)
        ψ(r)/r: 1 up to the threshold, ``rho_ * scale_ / |r|`` beyond it.
    objective_ : float
        Value of the objective, a mean over samples.
    optimality_gap_ : float
        Estimated distance of the objective from its minimum, as a fraction of it: how
        far a quadratic model of the loss can still fall. It decides convergence.
    dual_gap_ : float
        Proven upper bound of that distance, as a fraction of the objective: the
        objective less that of a feasible point of the dual problem. It falls with the
        root of `optimality_gap_`. A coefficient with neither penalty nor bounds can
        make it as large as 1.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X had names that are all strings.

    See Also
    --------
    HuberRegressor : The same loss with a squared penalty, and rules for rho.
    sklearn.linear_model.ElasticNet : Squared loss.

    Notes
    -----
    With residuals r_i = y_i − x_i·w − b, sample weights s_i, W = Σ s_i, and

    ::

        H(z) = z² if |z| ≤ rho, else 2 rho |z| − rho²

    the fit minimises, over w, b and with ``scale="joint"`` also over σ,

    ::

        joint           1/(2W) Σ s_i (σ + σ H(r_i/σ)) + penalty
        fixed and mad   1/(2W) Σ s_i σ H(r_i/σ) + penalty
        penalty         alpha (l1_ratio Σ d_j |w_j| + (1 − l1_ratio)/2 Σ d_j² w_j²)

    with d_j = 1, or with ``standardize=True`` the standard deviation of column j. With
    ``rho=numpy.inf``, ``scale=1.0`` and ``standardize=False`` it is the objective of
    scikit-learn's ElasticNet.

    With the joint scale and ``l1_ratio=1``, ``y → c·y`` multiplies coefficients,
    intercept and scale by c at one alpha (Owen 2007): the alpha that suits the data
    does not depend on the level of the noise.

    With a y of shape (n_samples, n_targets) each column has the fit that it would have
    alone: the zeros of one target are not those of another, as in ElasticNet and unlike
    MultiTaskElasticNet. The shapes of the attributes, and what the fits share, are
    those of :class:`HuberRegressor`; `dual_gap_` has shape (n_targets,).

    References
    ----------
    Owen, A. B. (2007). A robust hybrid of lasso and ridge regression. Contemporary
    Mathematics 443, 59-72.

    Zou, H. and Hastie, T. (2005). Regularization and variable selection via the elastic
    net. Journal of the Royal Statistical Society B 67, 301-320.

    Examples
    --------
    Two of fifty columns matter, and one target in ten is far off:

    >>> import numpy as np
    >>> from skhuber import HuberElasticNet
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(40, 50))
    >>> y = 3.0 * X[:, 0] - 2.0 * X[:, 1] + 0.1 * rng.normal(size=40)
    >>> y[::10] += 100.0
    >>> model = HuberElasticNet(alpha=0.5).fit(X, y)
    >>> np.flatnonzero(model.coef_)
    array([0, 1])
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        l1_ratio: float = 1.0,
        rho: float = 1.35,
        scale: str | float = "joint",
        standardize: bool = True,
        fit_intercept: bool = True,
        bounds: Any = None,
        positive: bool = False,
        max_iter: int = 1000,
        tol: float = 1e-12,
        warm_start: bool = False,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.rho = rho
        self.scale = scale
        self.standardize = standardize
        self.fit_intercept = fit_intercept
        self.bounds = bounds
        self.positive = positive
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Features. Arrays of float32 and float64 of any layout, and CSR matrices,
            are used as they are; anything else is converted.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Target, or one target in each column.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights: a weight of 2 is the same as the sample twice.

        Returns
        -------
        self : HuberElasticNet
            The fitted estimator.

        Raises
        ------
        ValueError, TypeError
            If parameters or data are not as described. The estimator stays as it was.

        Warns
        -----
        ConvergenceWarning
            If the fit could not be shown to be within `tol` of the optimum.

        Examples
        --------
        >>> from skhuber import HuberElasticNet
        >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 1, 2, 9]
        >>> model = HuberElasticNet(alpha=0.0, bounds=(None, 0.5)).fit(X, y)
        >>> model.coef_
        array([0.5])
        """
        with unchanged_on_error(self):
            warning = self._fit(X, y, sample_weight)
        if warning is not None:
            warnings.warn(warning, ConvergenceWarning, stacklevel=2)
        return self

    @with_callbacks
    @with_one_blas_thread
    def _fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None
    ) -> str | None:
        """Set the fitted attributes; return the text of a warning, or None."""
        from skhuber._fit import fit_net

        settings = self._checked_settings()
        rho = check_rho("rho", self.rho, settings.scale)
        settings = replace(settings, rho=rho)
        alpha = check_real("alpha", self.alpha, least=0)
        l1_ratio = check_l1_ratio("l1_ratio", self.l1_ratio)
        warm_start = check_flag("warm_start", self.warm_start)
        verbose = check_flag("verbose", self.verbose)
        data = self._checked_data(X, y, sample_weight, several=True)
        n_features = data.X.shape[1]
        net = check_net(
            alpha=alpha,
            l1_ratio=l1_ratio,
            standardize=self.standardize,
            bounds=self.bounds,
            positive=self.positive,
            n_features=n_features,
        )
        if data.y.ndim == 2:
            return self._fit_targets(data, net, settings, warm_start, verbose)
        start = self._start(n_features) if warm_start else None
        tasks = Tasks(self, data.for_callbacks(), n_tasks=None)
        rows = data.rows()
        unit = 0.5 / rows.natural_weight
        watch = self._watching(tasks, data.like_X, rho, verbose, unit)
        with tasks.fit():
            found = fit_net(rows, settings, net, start, watch)
            self._check_sums([found.fit], data)
            self._take_net(found, settings, data, rows)
        if found.fit.converged or found.fit.is_stopped:
            return None
        return self._not_converged(found.fit, settings)

    def _fit_targets(
        self, data: Data, net: Net, settings: Settings, warm_start: bool, verbose: bool
    ) -> str | None:
        """Set the fitted attributes of several targets; return a warning, or None."""
        from skhuber._fit import fit_net_targets

        rows = data.rows_of_targets()
        starts: list[Start | None] = [None] * len(rows)
        if warm_start:
            starts = self._starts(data)
        unit = 0.5 / rows[0].natural_weight
        with Tasks(self, data.for_callbacks(), n_tasks=None).fit():
            found = fit_net_targets(rows, settings, net, starts)
            fits = [one.fit for one in found]
            self._check_sums(fits, data)
            self._take_targets(fits, [settings.rho] * len(rows), data, rows)
            self.objective_ = self.objective_ * unit
            self.dual_gap_ = np.array([one.dual_gap for one in found])
        if verbose:
            self._report(fits, unit)
        return self._targets_not_converged(fits, settings)
