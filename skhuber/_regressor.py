"""HuberRegressor: parameters, validation and fitted attributes.

It knows scikit-learn's conventions and nothing of how a fit is computed; that (and
with it numba) is imported at the first fit, so that importing the package and
predicting stay light.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import assert_all_finite
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import check_is_fitted, validate_data

from skhuber._validation import (
    check_count,
    check_flag,
    check_n_jobs,
    check_real,
    check_target,
    check_weights,
    naming,
)

if TYPE_CHECKING:
    from skhuber._fit import Start

_SCALES = '"joint", "mad" or a finite number > 0'


# What a pickled model says of itself. The number changes with the names or the meaning
# of the attributes, not with every version of the package.
_FORMAT_NAME = "_skhuber_format"
_FORMAT = 1


class HuberRegressor(RegressorMixin, BaseEstimator):
    """Linear regression that outliers cannot pull away.

    Residuals count by their square up to a threshold and by their size beyond it.
    The threshold is `rho` times the scale of the residuals, and that scale is
    estimated along with the coefficients, so `rho` has no unit. The fit is right on
    columns in any units, without scaling them first.

    Parameters
    ----------
    rho : float, default=1.35
        Threshold in units of the scale: residuals beyond ``rho * scale_`` are
        outliers. At 1.35 the estimate has 95 % of the efficiency of least squares
        where the noise is normal. At least 1 with ``scale="joint"``, else greater
        than 0; ``numpy.inf`` gives ridge regression. It is scikit-learn's `epsilon`.
    scale : {"joint", "mad"} or float, default="joint"
        Where the scale σ of the residuals comes from.

        - ``"joint"``: minimised together with the coefficients (Huber's concomitant
          scale, the objective of scikit-learn's HuberRegressor). The objective is
          convex.
        - ``"mad"``: the median of the absolute residuals over Φ⁻¹(3/4) ≈ 0.6745, of the
          very fit that it gives: what R's ``rlm`` and statsmodels' ``RLM`` compute
          (with ``alpha=0``). It withstands more outliers than the joint scale.
        - a number > 0: fixed, in the unit of `y`. With 1.0, `rho` is a threshold in
          the unit of `y`.
    alpha : float, default=0.0001
        Weight of the penalty ‖w‖² on the squared coefficients; at least 0. It
        stands against a sum over samples, not a mean, and depends on the units of
        the columns.
    fit_intercept : bool, default=True
        Whether to fit an intercept. It is not penalised.
    max_iter : int, default=1000
        The most iterations over all samples; at least 0.
    tol : float, default=1e-12
        The fit has converged when its objective lies above the minimum by no more than
        about this fraction of itself (`optimality_gap_`), or by no more than the
        rounding of the residuals explains. At least 0.
    warm_start : bool, default=False
        Whether `fit` starts from the fitted model where there is one.
    n_jobs : int or None, default=None
        The most threads to use; negative numbers count back from all, as in joblib.
        None: as many as numba's own setting and joblib's limits for its workers
        allow. The result has the same bits for any number of threads.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Coefficients w. float32 if X is, else float64.
    intercept_ : float
        Intercept b; 0.0 without one.
    scale_ : float
        Scale σ of the residuals, in the unit of `y`.
    rho_ : float
        The threshold in use, in units of the scale.
    n_iter_ : int
        Iterations over all samples (of L-BFGS, or on small data of Newton's method).
    n_sweeps_ : int
        How often all samples were read.
    outliers_ : ndarray of bool of shape (n_samples,)
        Whether the residual of a sample lies beyond the threshold.
    robust_weights_ : ndarray of shape (n_samples,)
        ψ(r)/r: 1 up to the threshold, ``rho_ * scale_ / |r|`` beyond it. Weighted least
        squares with these weights (times `sample_weight`) gives the same fit. In the
        type of X.
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
    skhuber.make_huber_scorer : Scorer with a threshold of its own, for grid searches.
    sklearn.linear_model.HuberRegressor : The same objective.

    Notes
    -----
    With residuals r_i = y_i − x_i·w − b, sample weights s_i, and

    ::

        H(z) = z² if |z| ≤ rho, else 2 rho |z| − rho²

    the fit minimises, over w, b and with ``scale="joint"`` also over σ,

    ::

        joint           Σ s_i (σ + σ H(r_i/σ)) + alpha ‖w‖²
        fixed and mad   Σ s_i σ H(r_i/σ) + alpha ‖w‖²

    With several fixed points of ``scale="mad"``, the fit is the one to which iteration
    from the scale of the least-squares residuals leads.

    Of data that the model fits exactly, the scale comes out as the smallest number
    that rounding errors allow, about 1e-12 of the spread of y.

    References
    ----------
    Huber, P. J. and Ronchetti, E. M. (2009). Robust Statistics, 2nd edition, sections
    7.7 and 7.8. Wiley.

    Owen, A. B. (2007). A robust hybrid of lasso and ridge regression. Contemporary
    Mathematics 443, 59-72.

    Examples
    --------
    A trend of 2 a year, with one measurement in ten far off:

    >>> import numpy as np
    >>> from skhuber import HuberRegressor
    >>> rng = np.random.default_rng(0)
    >>> year = np.arange(1920, 2020)
    >>> level = 2.0 * year + rng.normal(size=100)
    >>> level[::10] += 500
    >>> model = HuberRegressor().fit(year[:, np.newaxis], level)
    >>> print(model.coef_.round(2), model.outliers_[::10].all())
    [2.] True
    """

    _doc_link_module = "skhuber"
    _doc_link_template = (
        "https://skhuber.readthedocs.io/en/stable/generated/"
        "{estimator_module}.{estimator_name}.html"
    )

    def __init__(
        self,
        rho: float = 1.35,
        *,
        scale: str | float = "joint",
        alpha: float = 0.0001,
        fit_intercept: bool = True,
        max_iter: int = 1000,
        tol: float = 1e-12,
        warm_start: bool = False,
        n_jobs: int | None = None,
    ) -> None:
        self.rho = rho
        self.scale = scale
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.n_jobs = n_jobs

    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Features. Arrays of float32 and float64 of any layout, and CSR matrices,
            are used as they are; anything else is converted.
        y : array-like of shape (n_samples,)
            Target.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights: a weight of 2 is the same as the sample twice.

        Returns
        -------
        self : HuberRegressor
            The fitted estimator.

        Raises
        ------
        ValueError, TypeError
            For parameters or data that are not as described; the estimator stays as
            it was.

        Warns
        -----
        ConvergenceWarning
            Where the fit could not be shown to be within `tol` of the optimum; and
            where a joint scale fell to zero though residuals did not, since more than
            1/rho² of the weight are outliers (with ``rho=1`` it always does). A larger
            `rho`, or another `scale`, then says more.

        Examples
        --------
        >>> from skhuber import HuberRegressor
        >>> model = HuberRegressor().fit([[0.0], [1.0], [2.0], [3.0]], [0, 1, 2, 9])
        >>> model.n_features_in_
        1
        """
        with _unchanged_on_error(self):
            complaint = self._fit(X, y, sample_weight)
        if complaint is not None:
            warnings.warn(complaint, ConvergenceWarning, stacklevel=2)
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.floating]:
        """Predict the target.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Features, with the names and in the order of those of `fit`.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
            Predictions, in the unit of y.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            For data that do not fit those of `fit`.

        Examples
        --------
        >>> from skhuber import HuberRegressor
        >>> model = HuberRegressor(alpha=0).fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
        >>> model.predict([[10.0]]).round(6)
        array([21.])
        """
        check_is_fitted(self)
        with naming("X"):
            X = validate_data(
                self,
                X,
                accept_sparse=["csr", "csc", "coo"],
                dtype=[np.float64, np.float32],
                reset=False,
            )
        return safe_sparse_dot(X, self.coef_, dense_output=True) + self.intercept_

    def __sklearn_tags__(self) -> Any:
        """State that X may be sparse."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled, with a mark of its format."""
        return {**super().__getstate__(), _FORMAT_NAME: _FORMAT}

    def __setstate__(self, state: Any) -> None:
        """Take what was pickled; what was not pickled as this is refused."""
        found = state.get(_FORMAT_NAME) if isinstance(state, dict) else None
        if found != _FORMAT:
            raise ValueError(
                "This is not a HuberRegressor that this version of skhuber can read: "
                f"its state must have format {_FORMAT}, got {found!r}. Load it with "
                "the version that pickled it, or fit it again."
            )
        super().__setstate__({k: v for k, v in state.items() if k != _FORMAT_NAME})

    def _fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None
    ) -> str | None:
        """Set the fitted attributes; return what there is to warn of."""
        from skhuber._fit import Settings, fit_rows
        from skhuber._numba import thread_count
        from skhuber._problem import NonFiniteSumsError
        from skhuber._rows import make_rows

        settings = Settings(**self._checked_parameters())
        warm_start = check_flag("warm_start", self.warm_start)
        n_jobs = check_n_jobs(self.n_jobs)
        with naming("X"):
            data: Any = validate_data(
                self,
                X,
                accept_sparse="csr",
                dtype=[np.float64, np.float32],
                # Bad values show in the sums of the fit: no sweep of their own.
                ensure_all_finite=False,
            )
        target = check_target(y, data.shape[0])
        weight = check_weights(sample_weight, data.shape[0])
        start = self._start(data.shape[1]) if warm_start else None
        threads = thread_count(n_jobs, data.size)
        rows = make_rows(data, target, weight, threads)
        try:
            result = fit_rows(rows, settings, start)
            before = result.rows.n_sweeps
            robust_weights, outliers = result.by_row()
        except NonFiniteSumsError:
            assert_all_finite(data, estimator_name="HuberRegressor", input_name="X")
            raise ValueError(
                "X or y has values so large that sums over them overflow."
            ) from None
        self.coef_ = result.coef.astype(data.dtype, copy=False)
        self.intercept_ = result.intercept
        self.scale_ = result.scale
        self.rho_ = settings.rho
        self.n_iter_ = result.n_iter
        self.n_sweeps_ = result.n_sweeps + result.rows.n_sweeps - before
        self.outliers_ = outliers
        self.robust_weights_ = robust_weights
        self.objective_ = result.objective
        self.optimality_gap_ = result.gap
        if result.converged:
            return None
        return (
            f"HuberRegressor did not converge: {result.message}. After "
            f"{result.n_iter} iterations the estimated optimality gap is "
            f"{result.gap:.1e} (tol={settings.tol:g}, max_iter={settings.max_iter})."
        )

    def _checked_parameters(self) -> dict[str, Any]:
        joint = isinstance(self.scale, str) and self.scale == "joint"
        if isinstance(self.scale, str):
            if self.scale not in ("joint", "mad"):
                raise ValueError(f"scale must be {_SCALES}, got {self.scale!r}.")
            scale: str | float = self.scale
        else:
            scale = check_real("scale", self.scale, above=0, allowed=_SCALES)
        rho = check_real("rho", self.rho, above=0, finite=False)
        if joint and rho < 1:
            raise ValueError(
                f'rho must be a number >= 1 with scale="joint", got {self.rho!r}: '
                "below 1 the joint minimum is always at a scale of zero. With "
                'scale="mad" or a fixed scale any rho > 0 is allowed.'
            )
        return {
            "rho": rho,
            "scale": scale,
            "alpha": check_real("alpha", self.alpha, least=0),
            "fit_intercept": check_flag("fit_intercept", self.fit_intercept),
            "max_iter": check_count("max_iter", self.max_iter, least=0),
            "tol": check_real("tol", self.tol, least=0),
        }

    def _start(self, n_features: int) -> Start | None:
        from skhuber._fit import Start

        if not hasattr(self, "coef_"):
            return None
        if self.coef_.shape != (n_features,):
            raise ValueError(
                f"X has {n_features} features, but warm_start=True starts from a "
                f"model of {self.coef_.shape[0]} features. Fit with the same features, "
                "or with warm_start=False."
            )
        return Start(self.coef_, self.intercept_, self.scale_)


@contextlib.contextmanager
def _unchanged_on_error(estimator: BaseEstimator) -> Iterator[None]:
    """Take back every change to the estimator's attributes if the block is left early.

    scikit-learn's `validate_data` sets attributes before it has looked at all data, and
    an interrupt can come at any time.
    """
    before = vars(estimator).copy()
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
