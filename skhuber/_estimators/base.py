"""Base class of the estimators: checks, data, fitted attributes, predictions.

Functions import the fitting core, and numba with it, when they are called: importing
the package and predicting need neither.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, ParamSpec, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import check_is_fitted, validate_data

from skhuber._common.validation import (
    check_count,
    check_flag,
    check_n_jobs,
    check_real,
    check_target,
    check_weights,
    naming,
    refuse_bad_values,
    refuse_collections,
    refuse_missing_times,
)
from skhuber._estimators.callbacks import CallbackSupportMixin, Tasks

if TYPE_CHECKING:
    from skhuber._fit import Fit, Model, Settings, Start, WatchModel
    from skhuber._rows import RowSource

P = ParamSpec("P")
R = TypeVar("R")

# Key and number of the format in the state of a pickled model. The number changes if
# the names or the meaning of attributes do, not with every version of the package.
_FORMAT_NAME = "_skhuber_format"
_FORMAT = 1

# Allowed values of `scale`, for error messages.
_SCALES = '"joint", "mad" or a finite number > 0'


def check_scale(value: object) -> float | str:
    """Return a valid `scale`, or raise an error that names it."""
    if isinstance(value, str):
        if value not in ("joint", "mad"):
            raise ValueError(f"scale must be {_SCALES}, got {value!r}.")
        return value
    return check_real("scale", value, above=0, allowed=_SCALES)


def check_rho(name: str, value: object, scale: float | str, allowed: str = "") -> float:
    """Return a valid threshold in units of this scale, or raise an error."""
    rho = check_real(name, value, above=0, finite=False, allowed=allowed)
    if scale == "joint" and rho < 1:
        raise ValueError(
            f'{name} must be a number >= 1 with scale="joint", got {value!r}: below 1 '
            'the joint minimum is always at a scale of zero. With scale="mad" or a '
            "fixed scale any rho > 0 is allowed."
        )
    return rho


def is_single(values: ArrayLike) -> bool:
    """Return whether all values are zero or normal numbers in single precision."""
    size = np.abs(np.asarray(values, dtype=np.float64))
    info = np.finfo(np.float32)
    small = (size < float(info.tiny)) & (size > 0)
    return not (small | (size > float(info.max))).any()


def single_if(
    dtype: DTypeLike, coef: NDArray[np.float64], *others: ArrayLike
) -> NDArray[Any]:
    """Return coefficients in single precision, if X is and if it can hold all numbers.

    Parameters
    ----------
    dtype : dtype
        The type of X.
    coef : ndarray of any shape
    *others : array-like
        Other numbers of the model or of the data.
    """
    if dtype == np.float32 and all(is_single(one) for one in (coef, *others)):
        return coef.astype(np.float32)
    return coef


def linear(X: Any, coef: NDArray[Any], intercept: ArrayLike) -> NDArray[np.floating]:
    """Return Xw + b, in the type of X and w, or in float64 if that type overflows."""
    # The type of the product is not always that of X and w: old versions of SciPy may
    # return float32 for a float32 matrix times float64 coefficients.
    with np.errstate(over="ignore", invalid="ignore"):
        product = safe_sparse_dot(X, coef, dense_output=True)
        result = product + np.asarray(intercept, dtype=product.dtype)
        if result.dtype == np.float32 and not np.isfinite(result).all():
            product = safe_sparse_dot(X.astype(np.float64), coef, dense_output=True)
            result = product + intercept
    return result


class Data(NamedTuple):
    """Validated data of a fit."""

    X: Any
    """Features, shape (n, p), float32 or float64: an array or a CSR matrix."""
    y: NDArray[Any]
    """Target, shape (n,), or targets, shape (n, t) with contiguous columns."""
    weight: NDArray[np.float64] | None
    threads: int

    def rows(self, index: NDArray[np.intp] | None = None) -> RowSource:
        """Return the source of all rows, or of the rows with these indices."""
        from skhuber._rows import make_rows

        rows = make_rows(self.X, self.y, self.weight, self.threads)
        return rows if index is None else rows.take(index)

    def rows_of_targets(self) -> list[RowSource]:
        """Return a source of all rows for each target, which share X and weights."""
        from skhuber._rows import make_rows

        first, *others = self.y.T
        rows = make_rows(self.X, first, self.weight, self.threads)
        return [rows, *(rows.with_target(y) for y in others)]

    def like_X(self, coef: NDArray[np.float64], intercept: ArrayLike) -> NDArray[Any]:
        """Return the coefficients as `coef_`, in float32 or float64.

        They are float32 if X is, and if single precision can hold coefficients,
        intercept and targets.
        """
        if self.X.dtype != np.float32:
            return coef
        size = np.abs(self.y if self.weight is None else self.y[self.weight > 0])
        return single_if(self.X.dtype, coef, intercept, size.max())

    def for_callbacks(self, index: NDArray[np.intp] | None = None) -> dict[str, Any]:
        """Return the data for callbacks: all, or the rows with these indices."""
        X, y, weight = self.X, self.y, self.weight
        if index is not None:
            X, y = X[index], y[index]
            weight = None if weight is None else weight[index]
        metadata = None if weight is None else {"sample_weight": weight}
        return {"X": X, "y": y, "metadata": metadata}


class HuberModel(CallbackSupportMixin, RegressorMixin, BaseEstimator):
    """Base class of the linear models that are fitted with a Huber loss."""

    scale: str | float
    fit_intercept: bool
    max_iter: int
    tol: float
    n_jobs: int | None
    coef_: NDArray[Any]
    # Numbers, or arrays of one for each target.
    intercept_: Any
    scale_: Any
    rho_: Any
    n_iter_: Any
    objective_: Any
    optimality_gap_: Any

    def predict(self, X: ArrayLike) -> NDArray[np.floating]:
        """Predict the target.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Features, with the names and in the order of those of `fit`.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Predictions, in the unit of y, and in one dimension or two as y of `fit`.

        Raises
        ------
        NotFittedError
            If the model is not fitted.
        ValueError
            If X does not match the data of `fit`.

        Examples
        --------
        >>> from skhuber import HuberRegressor
        >>> model = HuberRegressor(alpha=0).fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
        >>> model.predict([[10.0]]).round(6)
        array([21.])
        """
        check_is_fitted(self)
        refuse_missing_times("X", X)
        with naming("X"):
            X = validate_data(
                self,
                X,
                accept_sparse=["csr", "csc", "coo"],
                dtype=[np.float64, np.float32],
                reset=False,
            )
        return linear(X, self.coef_.T, self.intercept_)

    def __sklearn_tags__(self) -> Any:
        """State that X may be sparse."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to pickle, with the number of its format."""
        return {**super().__getstate__(), _FORMAT_NAME: _FORMAT}

    def __setstate__(self, state: Any) -> None:
        """Restore a pickled state; raise an error if it has another format."""
        found = state.get(_FORMAT_NAME) if isinstance(state, dict) else None
        if found != _FORMAT:
            raise ValueError(
                f"This is not a {type(self).__name__} that this version of skhuber can "
                f"read: its state must have format {_FORMAT}, got {found!r}. Load it "
                "with the version that pickled it, or fit it again."
            )
        super().__setstate__({k: v for k, v in state.items() if k != _FORMAT_NAME})

    def _checked_settings(self) -> Settings:
        """Return the checked settings that all fits share, of rho 1 and no penalty."""
        from skhuber._fit import Settings

        return Settings(
            rho=1.0,
            scale=check_scale(self.scale),
            alpha=0.0,
            fit_intercept=check_flag("fit_intercept", self.fit_intercept),
            max_iter=check_count("max_iter", self.max_iter, least=0),
            tol=check_real("tol", self.tol, least=0),
        )

    def _checked_data(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None,
        *,
        reset: bool = True,
        several: bool = False,
        caller: str = "",
    ) -> Data:
        """Return the validated data.

        Bad values in X are not looked for: they show in the sums of the fit. Without
        `reset`, the features must be those that the estimator knows. With `several`, y
        may have two dimensions. Errors name the caller, if it is not the estimator.
        """
        from skhuber._runtime import thread_count

        n_jobs = check_n_jobs(self.n_jobs)
        refuse_collections(type(self).__name__, X=X, y=y, sample_weight=sample_weight)
        refuse_missing_times("X", X)
        with naming("X"):
            data: Any = validate_data(
                self,
                X,
                accept_sparse="csr",
                dtype=[np.float64, np.float32],
                ensure_all_finite=False,
                reset=reset,
            )
        name = caller or type(self).__name__
        target = check_target(y, data.shape[0], name, several=several)
        weight = check_weights(sample_weight, data.shape[0])
        return Data(data, target, weight, thread_count(n_jobs, data.size))

    def _check_sums(self, fits: Sequence[Fit], data: Data) -> None:
        """Raise an error that names the cause if the sums of a fit are not finite."""
        if not all(fit.is_finite for fit in fits):
            self._refuse_sums(data)

    def _refuse_sums(self, data: Data) -> NoReturn:
        """Raise an error that names the cause of sums that are not finite."""
        refuse_bad_values(X=data.X, y=data.y)
        raise ValueError(
            "X or y has values so large that sums over them, times the weights, or the "
            "objective overflow."
        )

    def _watching(
        self,
        tasks: Tasks,
        like_X: Callable[[NDArray[np.float64], float], Any],
        rho: float,
        verbose: bool,
        unit: float = 1.0,
    ) -> WatchModel | None:
        """Return a function that reports each sweep; None if nothing is to be reported.

        `like_X` returns coefficients in their type, from these and the intercept.
        Objectives are printed times a unit.
        """

        def watch(n_sweeps: int, model: Model) -> bool:
            if verbose:
                print(
                    f"sweep {n_sweeps}: objective {unit * model.objective:.10g}, "
                    f"scale {model.scale:.6g}"
                )
            attributes = {
                "coef_": like_X(model.coef, model.intercept),
                "intercept_": model.intercept,
                "scale_": model.scale,
                "rho_": rho,
            }
            return tasks.done("iteration", attributes)

        return watch if verbose or tasks.has_listeners else None

    def _start(self, n_features: int) -> Start | None:
        """Return the last model to start from, or None without one."""
        from skhuber._fit import Start

        if not hasattr(self, "coef_"):
            return None
        self._check_start(n_features, 1)
        coef, intercept, scale = self.coef_.ravel(), self.intercept_, self.scale_
        return Start(coef, np.ravel(intercept)[0], np.ravel(scale)[0])

    def _check_start(self, n_features: int, n_targets: int) -> None:
        """Raise an error if the last model has other features or targets."""
        found = np.atleast_2d(self.coef_).shape
        if found[1] != n_features:
            raise ValueError(
                f"X has {n_features} features, but warm_start=True starts from a "
                f"model of {found[1]} features. Fit with the same features, or with "
                "warm_start=False."
            )
        if found[0] != n_targets:
            raise ValueError(
                f"y has {n_targets} targets, but warm_start=True starts from a model "
                f"of {found[0]} targets. Fit with the same targets, or with "
                "warm_start=False."
            )

    def _not_converged(self, fit: Fit, settings: Settings) -> str:
        """Return the text of a warning about a fit that is not certified."""
        return (
            f"{type(self).__name__} did not converge: {fit.status.value}. After "
            f"{fit.n_iter} iterations the estimated optimality gap is {fit.gap:.1e} "
            f"(tol={settings.tol:g}, max_iter={settings.max_iter})."
        )

    def _take(self, fit: Fit, settings: Settings, data: Data, rows: RowSource) -> None:
        """Set the fitted attributes."""
        from skhuber._fit import robust_weights

        before = rows.n_sweeps
        weights, outliers = robust_weights(rows, fit, rows.dtype)
        self._take_numbers(fit, settings.rho, data.like_X(fit.coef, fit.intercept))
        self.n_sweeps_ += rows.n_sweeps - before
        self.outliers_ = outliers
        self.robust_weights_ = weights

    def _take_features(self, n_features: int, names: Sequence[str] | None) -> None:
        """Set the number of features, and their names if there are any."""
        self.n_features_in_ = n_features
        if names is not None:
            self.feature_names_in_: Any = np.array(names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _take_numbers(self, fit: Fit, rho: float, coef: NDArray[Any]) -> None:
        """Set the fitted attributes that are not numbers of each row."""
        self.coef_ = coef
        self.intercept_ = fit.intercept
        self.scale_ = fit.scale
        self.rho_ = rho
        self.n_iter_ = fit.n_iter
        self.n_sweeps_ = fit.n_sweeps
        self.objective_ = fit.objective
        self.optimality_gap_ = fit.gap


def with_one_blas_thread(method: Callable[P, R]) -> Callable[P, R]:
    """Return the method, with BLAS limited to one thread while it runs.

    The fit and whatever it calls, callbacks and scorers too, then see one number of
    threads in all ways of fitting.
    """

    @functools.wraps(method)
    def limited(*args: P.args, **kwargs: P.kwargs) -> R:
        from skhuber._runtime import one_blas_thread

        return one_blas_thread(method)(*args, **kwargs)

    return limited


@contextlib.contextmanager
def unchanged_on_error(estimator: BaseEstimator) -> Iterator[None]:
    """Restore the estimator's attributes if the block raises.

    scikit-learn's `validate_data` sets attributes before it has checked all data, and
    an interrupt can come at any time.
    """
    before = vars(estimator).copy()
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
