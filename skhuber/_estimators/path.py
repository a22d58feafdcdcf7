"""Fits along a grid of rhos and alphas."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning

from skhuber._estimators.candidates import (
    ALPHAS,
    RHOS,
    checked_grid,
    failures_of,
    listed,
    warning_about,
)
from skhuber._estimators.regressor import HuberRegressor

__all__ = ["HuberPath", "huber_path"]

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
        Number of samples with a residual beyond the threshold.
    outlier_shares : ndarray of shape (n_rhos, n_alphas)
        Share of the sample weight beyond the threshold, from 0 to 1.
    objectives : ndarray of shape (n_rhos, n_alphas)
        Values of the objective.
    gaps : ndarray of shape (n_rhos, n_alphas)
        Estimated distances of the objective from its minimum, as fractions of it.
    converged : ndarray of bool of shape (n_rhos, n_alphas)
        Whether the gap is within the tolerance.
    n_sweeps : int
        Number of sweeps over all samples, for all fits together.
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
    rhos: Sequence[float] = RHOS,
    alphas: Sequence[float] = ALPHAS,
    scale: float | str = "joint",
    fit_intercept: bool = True,
    sample_weight: ArrayLike | None = None,
    max_iter: int = 1000,
    tol: float = 1e-12,
    n_jobs: int | None = None,
) -> HuberPath:
    """Fit :class:`HuberRegressor` along a grid of rhos and alphas.

    The fits agree with those of one :class:`HuberRegressor` for each candidate. They
    share sweeps over the samples: with many samples the whole grid takes two or three
    times as many sweeps as a single fit.

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
        If parameters or data are not as described.

    Warns
    -----
    ConvergenceWarning
        If a fit could not be shown to be within `tol` of the optimum.

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
    from skhuber._runtime import one_blas_thread

    model = HuberRegressor(
        scale=scale,
        fit_intercept=fit_intercept,
        max_iter=max_iter,
        tol=tol,
        n_jobs=n_jobs,
    )
    rhos, alphas = listed("rhos", rhos), listed("alphas", alphas)
    grid = checked_grid(model, rhos, alphas)
    data = model._checked_data(X, y, sample_weight, caller="huber_path")
    rows = data.rows()
    fits = one_blas_thread(fit_grid)(rows, grid)
    model._check_sums(fits, data)
    shape = (len(rhos), len(alphas))
    failures = failures_of(grid, fits)
    warning = warning_about("huber_path", failures, len(fits))
    if warning is not None:
        warnings.warn(warning, ConvergenceWarning, stacklevel=2)

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
