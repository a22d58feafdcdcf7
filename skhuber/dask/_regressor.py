"""DaskHuberRegressor, HuberRegressor for Dask collections."""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from skhuber._common.validation import check_flag, check_n_jobs
from skhuber._estimators.base import (
    HuberModel,
    linear,
    single_if,
    unchanged_on_error,
    with_one_blas_thread,
)
from skhuber._estimators.callbacks import Tasks, with_callbacks
from skhuber._estimators.regressor import HuberRegressor, ParametersMixin
from skhuber._tuning.efficiency import OutlierShare
from skhuber.dask._chunks import Chunks, chunks_of, is_collection, is_frame

if TYPE_CHECKING:
    from skhuber._fit import Fit, Settings
    from skhuber._rows import RowSource
    from skhuber._rows.block import Block
    from skhuber._tuning.rules import Rule
    from skhuber.dask._rows import Blocks

# Attributes that hold the user's collections, which a pickle leaves out.
_LAZY = ("outliers_", "robust_weights_")


class DaskHuberRegressor(ParametersMixin, HuberModel):
    """HuberRegressor for data larger than memory, or on the workers of a cluster.

    It minimises the objective of :class:`skhuber.HuberRegressor` by the same steps, and
    finds the same coefficients. Each sweep over the rows is one task for each worker,
    of which sums come back; only a sample of the rows is brought to the process that
    fits. Blocks that take no more than 60 % of the memory of all workers are loaded
    once; larger data are read anew in each sweep, one chunk after the other.

    Parameters
    ----------
    rho, scale, alpha, fit_intercept, max_iter, tol, warm_start, n_jobs, verbose
        As for :class:`skhuber.HuberRegressor`. `n_jobs` concerns this process alone:
        workers use the threads that they have.
    client : distributed.Client or None, default=None
        The cluster. None: the current client, or the threads of this process if there
        is none. A clone has the same client; a pickle has none.

    Attributes
    ----------
    coef_, intercept_, scale_, rho_, n_iter_, n_sweeps_, objective_, optimality_gap_
        As for :class:`skhuber.HuberRegressor`.
    outliers_, robust_weights_ : dask array or series
        As for :class:`skhuber.HuberRegressor`, computed when they are asked for, from
        the collections that were fitted. A pickle does not hold them.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X was a dataframe whose names are all strings.

    See Also
    --------
    skhuber.HuberRegressor : For data in memory; its notes have the objective.

    Notes
    -----
    The result has the same bits for any number of workers: sums are added pairwise in
    the order of the chunks. Other chunks give other last digits.

    If a worker leaves, what it held is computed again. Data that were scattered cannot
    be, and the fit raises an error.

    Small data (some thousands of rows times few columns) are gathered and fitted here.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> from skhuber.dask import DaskHuberRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = da.from_array(rng.normal(size=(1000, 2)), chunks=(250, 2))
    >>> noise = da.from_array(rng.standard_t(2, size=1000), chunks=250)
    >>> model = DaskHuberRegressor().fit(X, X @ np.array([1.0, 2.0]) + noise)
    >>> print(model.coef_.round())
    [1. 2.]
    """

    def __init__(
        self,
        rho: float | str | OutlierShare = 1.35,
        *,
        scale: str | float = "joint",
        alpha: float = 0.0001,
        fit_intercept: bool = True,
        max_iter: int = 1000,
        tol: float = 1e-12,
        warm_start: bool = False,
        n_jobs: int | None = None,
        verbose: bool = False,
        client: Any = None,
    ) -> None:
        self.rho = rho
        self.scale = scale
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.client = client

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : dask array or dataframe of shape (n_samples, n_features)
            Features; chunks may be NumPy arrays or CSR matrices, and their lengths
            need not be known.
        y : dask array or series of shape (n_samples,)
            Target, with the chunks of X if their lengths are not known. An array in
            memory is cut like X.
        sample_weight : dask array or series of shape (n_samples,), default=None
            Non-negative weights, like y.

        Returns
        -------
        self : DaskHuberRegressor
            The fitted estimator.

        Raises
        ------
        ValueError, TypeError
            If parameters or data are not as described; the error names the chunk. The
            estimator stays as it was.
        RuntimeError
            If chunks are lost that cannot be computed again.

        Warns
        -----
        ConvergenceWarning
            As for :class:`skhuber.HuberRegressor`.
        UserWarning
            If X has more than one chunk of columns, which have to be put together.

        Examples
        --------
        >>> import dask.array as da
        >>> from skhuber.dask import DaskHuberRegressor
        >>> X = da.from_array([[0.0], [1.0], [2.0], [3.0]], chunks=(2, 1))
        >>> y = da.from_array([0.0, 1.0, 2.0, 9.0], chunks=2)
        >>> DaskHuberRegressor().fit(X, y).n_features_in_
        1
        """
        with unchanged_on_error(self):
            warning = self._fit(X, y, sample_weight)
        if warning is not None:
            warnings.warn(warning, ConvergenceWarning, stacklevel=2)
        return self

    @with_callbacks
    @with_one_blas_thread
    def _fit(self, X: Any, y: Any, sample_weight: Any) -> str | None:
        from skhuber._runtime import thread_count
        from skhuber.dask._engines import client_of
        from skhuber.dask._rows import blocks_of

        rule, settings = self._checked_parameters()
        check_flag("warm_start", self.warm_start)
        check_flag("verbose", self.verbose)
        threads = thread_count(check_n_jobs(self.n_jobs), 2**62)
        chunks = chunks_of(X, y, sample_weight)
        tasks = Tasks(self, {"X": X, "y": y, "metadata": None}, n_tasks=None)
        with tasks.fit(), blocks_of(chunks, client_of(self.client), threads) as blocks:
            self._take_features(blocks.rows.n_features, chunks.names)
            fit, settings, warning = self._fit_blocks(blocks, rule, settings, tasks)
            self._take_fit(fit, settings, blocks.rows, chunks)
        if fit.converged or fit.is_stopped:
            return warning and f"DaskHuberRegressor: {warning}."
        return self._not_converged(fit, settings)

    def _fit_blocks(
        self, blocks: Blocks, rule: Rule | None, settings: Settings, tasks: Tasks
    ) -> tuple[Fit, Settings, str | None]:
        """Return the fit, the settings with the rho in use, and a warning or None."""
        from skhuber._fit import fit_rows
        from skhuber._tuning.rules import fit_by_rule

        rows = blocks.rows
        start, warning = None, None
        if self.warm_start and rule is None:
            start = self._start(rows.n_features)

        watch = self._watching(
            tasks, partial(single_if, rows.dtype), settings.rho, self.verbose
        )
        if rule is None:
            fit = fit_rows(rows, settings, start, watch)
        else:
            settings, fit, warning = fit_by_rule(rows, rule, settings)
        blocks.check(fit)
        return fit, settings, warning

    def _take_fit(
        self, fit: Fit, settings: Settings, rows: RowSource, chunks: Chunks
    ) -> None:
        """Set the fitted attributes."""
        coef = single_if(rows.dtype, fit.coef, fit.intercept)
        self._take_numbers(fit, settings.rho, coef)
        model = (fit.coef, fit.intercept, settings.rho * fit.scale)
        for name, function, dtype in (
            ("outliers_", _outliers, np.dtype(np.bool_)),
            ("robust_weights_", _robust_weights, chunks.dtype),
        ):
            lazy = _by_chunk(function, dtype, chunks.X, chunks.y, model)
            setattr(self, name, lazy)

    def predict(self, X: Any) -> Any:
        """Predict the target.

        Parameters
        ----------
        X : dask array or dataframe, or data in memory, of shape (n_samples, n_features)
            Features, with the names and in the order of those of `fit`.

        Returns
        -------
        y_pred : dask array or series, or ndarray, of shape (n_samples,)
            Predictions, in the unit of y; of a collection they are not computed yet.

        Raises
        ------
        NotFittedError
            If the model is not fitted.
        ValueError
            If X does not match the data of `fit`.

        Examples
        --------
        >>> import dask.array as da
        >>> from skhuber.dask import DaskHuberRegressor
        >>> X = da.from_array([[0.0], [1.0], [2.0]], chunks=(2, 1))
        >>> y = da.from_array([1.0, 3.0, 5.0], chunks=2)
        >>> model = DaskHuberRegressor(alpha=0).fit(X, y)
        >>> model.predict(X).compute().round(6)
        array([1., 3., 5.])
        """
        if not is_collection(X):
            return super().predict(X)
        check_is_fitted(self)
        _check_features(self, X)
        if not is_frame(X) and len(X.chunks[1]) > 1:
            X = X.rechunk({1: -1})
        dtype = np.result_type(self.coef_.dtype, np.float32)
        if is_frame(X) or X.dtype != np.float32:
            dtype = np.dtype(np.float64)
        return _by_chunk(_predicted, dtype, X, None, (self.coef_, self.intercept_))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R², the part of the variance of y that is explained.

        Parameters
        ----------
        X : dask array or dataframe, or data in memory, of shape (n_samples, n_features)
            Features.
        y : dask array or series, or array-like, of shape (n_samples,)
            Target.
        sample_weight : like y, default=None
            Weights.

        Returns
        -------
        score : float
            1 for perfect predictions, 0 for those of the mean of y.

        Examples
        --------
        >>> import dask.array as da
        >>> from skhuber.dask import DaskHuberRegressor
        >>> X = da.from_array([[0.0], [1.0], [2.0]], chunks=(2, 1))
        >>> y = da.from_array([1.0, 3.0, 5.0], chunks=2)
        >>> round(DaskHuberRegressor(alpha=0).fit(X, y).score(X, y), 6)
        1.0
        """
        if not is_collection(X):
            return float(super().score(X, y, sample_weight))
        from skhuber.dask._engines import client_of, streaming

        check_is_fitted(self)
        _check_features(self, X)
        chunks = chunks_of(X, y, sample_weight)
        engine = streaming(chunks, client_of(self.client))
        mass, first = engine.total("huber-score", _target_sums)
        model = (self.coef_, self.intercept_, first / mass)
        left, spread = engine.total("huber-score", _squares, model)
        return float(1.0 - left / spread) if spread > 0 else float(left == 0)

    def to_local(self) -> HuberRegressor:
        """Return a HuberRegressor with the fitted attributes, without collections.

        Returns
        -------
        model : HuberRegressor
            A model for data in memory.

        Raises
        ------
        NotFittedError
            If the model is not fitted.

        Examples
        --------
        >>> import dask.array as da
        >>> from skhuber.dask import DaskHuberRegressor
        >>> X = da.from_array([[0.0], [1.0], [2.0]], chunks=(2, 1))
        >>> y = da.from_array([1.0, 3.0, 5.0], chunks=2)
        >>> DaskHuberRegressor(alpha=0).fit(X, y).to_local().predict([[10.0]]).round(6)
        array([21.])
        """
        check_is_fitted(self)
        parameters = self.get_params(deep=False)
        del parameters["client"]
        model = HuberRegressor(**parameters)
        for name, value in vars(self).items():
            if name.endswith("_") and name not in _LAZY:
                setattr(model, name, value)
        return model

    def __sklearn_clone__(self) -> Self:
        """Return an unfitted copy with the same client, which cannot be copied."""
        parameters = self.get_params(deep=False)
        client = parameters.pop("client")
        copies = {name: clone(value, safe=False) for name, value in parameters.items()}
        return type(self)(**copies, client=client)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to pickle, without client and collections."""
        state = super().__getstate__()
        state = {name: value for name, value in state.items() if name not in _LAZY}
        return {**state, "client": None}


def _check_features(model: Any, X: Any) -> None:
    """Raise a ValueError if a collection has other features than those of fit."""
    n_features = len(X.columns) if is_frame(X) else X.shape[1]
    if n_features != model.n_features_in_:
        raise ValueError(
            f"X has {n_features} features, but {type(model).__name__} is expecting "
            f"{model.n_features_in_} features as input."
        )
    names = getattr(model, "feature_names_in_", None)
    if is_frame(X) and names is not None and list(X.columns) != list(names):
        raise ValueError(
            "X must have the features of fit, in their order: "
            f"{', '.join(names)}; got {', '.join(map(str, X.columns))}."
        )


def _target_sums(block: Block, threads: int) -> Any:
    """Return Σ s and Σ s y."""
    s = np.ones(len(block.y)) if block.weight is None else block.weight
    return np.array([s.sum(), s @ block.y])


def _squares(block: Block, threads: int, model: Any) -> Any:
    """Return Σ s r² and Σ s (y − mean)²."""
    s = np.ones(len(block.y)) if block.weight is None else block.weight
    coef, intercept, mean = model
    residuals = block.y - linear(block.X, coef, intercept)
    return np.array([s @ residuals**2, s @ (block.y - mean) ** 2])


def _by_chunk(function: Any, dtype: Any, X: Any, y: Any, model: Any) -> Any:
    """Return a function of the rows of each chunk, as a lazy collection like X."""
    others = () if y is None else (y,)
    if is_frame(X) and all(is_frame(one) for one in others):
        meta = X._meta.iloc[:, 0].astype(dtype).rename(None)
        return X.map_partitions(function, *others, model=model, kind=dtype, meta=meta)
    if is_frame(X):  # and y an array
        X = X.to_dask_array()
    return X.map_blocks(
        function,
        *(one[:, np.newaxis] for one in others),
        model=model,
        kind=dtype,
        dtype=dtype,
        drop_axis=1,
        meta=np.empty(0, dtype),
    )


def _predicted(part: Any, model: Any, kind: Any) -> Any:
    X = part.to_numpy() if hasattr(part, "to_numpy") else part
    coef, intercept = model
    return _labelled(linear(X, coef, intercept), part, kind)


def _sizes(part: Any, y: Any, model: Any) -> Any:
    X = part.to_numpy() if hasattr(part, "to_numpy") else part
    coef, intercept, _ = model
    return np.abs(np.asarray(y).reshape(X.shape[0]) - linear(X, coef, intercept))


def _outliers(part: Any, y: Any, model: Any, kind: Any) -> Any:
    return _labelled(_sizes(part, y, model) > model[2], part, kind)


def _robust_weights(part: Any, y: Any, model: Any, kind: Any) -> Any:
    sizes = _sizes(part, y, model)
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = np.where(sizes > model[2], model[2] / sizes, 1.0)
    return _labelled(weights, part, kind)


def _labelled(result: Any, part: Any, kind: Any) -> Any:
    """Return an array, or a series with the index of a part of a dataframe."""
    result = result.astype(kind, copy=False)
    if not hasattr(part, "iloc"):
        return result
    import pandas as pd

    return pd.Series(result, index=part.index)
