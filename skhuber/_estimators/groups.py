"""A fit for each group of samples."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning

from skhuber._estimators.base import Data
from skhuber._estimators.regressor import HuberRegressor

if TYPE_CHECKING:
    from skhuber._fit import Fit
    from skhuber._tuning.efficiency import OutlierShare

__all__ = ["HuberGroups", "huber_groups"]

Floats = NDArray[np.float64]

# Labels that a warning names.
_NAMED = 5


@dataclass(frozen=True)
class HuberGroups:
    """Fits of groups, as :func:`huber_groups` returns them: a row for each group.

    Attributes
    ----------
    groups : ndarray of shape (n_groups,)
        Labels, in ascending order.
    n_samples : ndarray of int of shape (n_groups,)
        Numbers of samples.
    coefs : ndarray of shape (n_groups, n_features)
        Coefficients.
    intercepts : ndarray of shape (n_groups,)
        Intercepts, in the unit of y.
    scales : ndarray of shape (n_groups,)
        Scales of the residuals, in the unit of y.
    rhos : ndarray of shape (n_groups,)
        Thresholds, in units of the scale.
    n_outliers : ndarray of int of shape (n_groups,)
        Numbers of samples with a residual beyond the threshold.
    objectives : ndarray of shape (n_groups,)
        Values of the objective.
    gaps : ndarray of shape (n_groups,)
        Estimated distances of the objective from its minimum, as fractions of it.
    converged : ndarray of bool of shape (n_groups,)
        Whether the gap is within the tolerance.
    """

    groups: NDArray[Any]
    n_samples: NDArray[np.int64]
    coefs: Floats
    intercepts: Floats
    scales: Floats
    rhos: Floats
    n_outliers: NDArray[np.int64]
    objectives: Floats
    gaps: Floats
    converged: NDArray[np.bool_]


def huber_groups(
    X: ArrayLike,
    y: ArrayLike,
    groups: ArrayLike,
    *,
    rho: float | str | OutlierShare = 1.35,
    scale: float | str = "joint",
    alpha: float = 0.0001,
    fit_intercept: bool = True,
    sample_weight: ArrayLike | None = None,
    max_iter: int = 1000,
    tol: float = 1e-12,
    n_jobs: int | None = None,
) -> HuberGroups:
    """Fit a :class:`HuberRegressor` to each group of samples.

    The numbers are those of one fit after another. They take less time, since the data
    are checked once, and nothing is computed that is not returned.

    Parameters
    ----------
    X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
        Features.
    y : array-like of shape (n_samples,)
        Target.
    groups : array-like of shape (n_samples,)
        Labels of the samples' groups: numbers, strings, or anything else that can be
        sorted. Samples of a group need not lie together.
    rho, scale, alpha, fit_intercept, max_iter, tol, n_jobs
        As for :class:`HuberRegressor`.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights: a weight of 2 is the same as the sample twice.

    Returns
    -------
    fits : HuberGroups
        Arrays with a row for each group.

    Raises
    ------
    TypeError, ValueError
        If parameters or data are not as described, or if all weights of a group are
        zero.

    Warns
    -----
    ConvergenceWarning
        If a fit could not be shown to be within `tol` of the optimum. `converged` says
        which. With a joint scale these are mostly groups with few samples for each
        feature, in which the scale falls to zero.

    Notes
    -----
    A group with fewer samples than features, or with features that depend on each
    other, has the fit of the least penalty, as a single fit has it; with ``alpha=0``,
    one of many fits.

    Examples
    --------
    >>> import numpy as np
    >>> from skhuber import huber_groups
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(300, 1))
    >>> shop = np.repeat(["Aachen", "Bonn", "Celle"], 100)
    >>> slope = np.repeat([1.0, 2.0, 3.0], 100)
    >>> y = slope * X[:, 0] + 0.1 * rng.standard_t(2, size=300)
    >>> fits = huber_groups(X, y, shop)
    >>> fits.groups
    array(['Aachen', 'Bonn', 'Celle'], dtype='<U6')
    >>> fits.coefs.round(1)
    array([[1.],
           [2.],
           [3.]])
    """
    from skhuber._runtime import one_blas_thread

    model = HuberRegressor(
        rho=rho,
        scale=scale,
        alpha=alpha,
        fit_intercept=fit_intercept,
        max_iter=max_iter,
        tol=tol,
        n_jobs=n_jobs,
    )
    model._checked_parameters()
    data = model._checked_data(X, y, sample_weight)
    labels, code = _checked_groups(groups, data.X.shape[0])
    counts = np.bincount(code, minlength=len(labels))
    _refuse_groups_without_weight(labels, code, data.weight)
    found = list(one_blas_thread(_fits)(model, data, code, counts))
    fits = [fit for _, fit in found]
    failed = labels[[not fit.converged for fit in fits]]
    if len(failed):
        message = _warning(failed, fits)
        warnings.warn(message, ConvergenceWarning, stacklevel=2)
    return HuberGroups(
        groups=labels,
        n_samples=counts,
        coefs=np.array([fit.coef for fit in fits]),
        intercepts=np.array([fit.intercept for fit in fits]),
        scales=np.array([fit.scale for fit in fits]),
        rhos=np.array([rho for rho, _ in found]),
        n_outliers=np.array([fit.tally.n_outliers for fit in fits]),
        objectives=np.array([fit.objective for fit in fits]),
        gaps=np.array([fit.gap for fit in fits]),
        converged=np.array([fit.converged for fit in fits]),
    )


def _checked_groups(
    groups: ArrayLike, n_samples: int
) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the sorted labels, and the place of each sample's label among them."""
    array = np.asarray(groups)
    if array.shape != (n_samples,):
        raise ValueError(
            "groups must be a 1D array with one label for each sample of X, shape "
            f"({n_samples},), got shape {array.shape}."
        )
    missing = array != array  # NaN, NaT
    if array.dtype == object:
        missing = missing | np.array([label is None for label in array], np.bool_)
    if np.any(missing):
        raise ValueError(
            "groups must have a label for each sample, got a missing value at index "
            f"{int(np.argmax(missing))}. Leave such samples out, or give them a label."
        )
    try:
        labels, code = np.unique(array, return_inverse=True)
    except TypeError as error:
        raise TypeError(
            "groups must have labels that can be sorted, such as numbers or strings, "
            f"got labels of several types: {error}."
        ) from error
    return labels, code


def _refuse_groups_without_weight(
    labels: NDArray[Any], code: NDArray[np.intp], weight: Floats | None
) -> None:
    if weight is None:
        return
    total = np.bincount(code, weights=weight > 0, minlength=len(labels))
    if not total.all():
        raise ValueError(
            "sample_weight must have at least one positive weight in each group, got "
            f"zeros only in group {labels[int(np.argmin(total))]}."
        )


def _fits(
    model: HuberRegressor,
    data: Data,
    code: NDArray[np.intp],
    counts: NDArray[np.intp],
) -> Iterator[tuple[float, Fit]]:
    """Yield rho and the fit of each group."""
    from skhuber._fit import fit_rows
    from skhuber._tuning.rules import fit_by_rule

    rule, settings = model._checked_parameters()
    order = np.argsort(code, kind="stable")
    X, y = data.X[order], data.y[order]
    weight = None if data.weight is None else data.weight[order]
    end = 0
    for count in counts:
        part = slice(end, end + count)
        end = part.stop
        part_weight = None if weight is None else weight[part]
        group = Data(X[part], y[part], part_weight, data.threads)
        rows = group.rows()
        if rule is None:
            fit = fit_rows(rows, settings)
        else:
            settings, fit, _ = fit_by_rule(rows, rule, settings)
        model._check_sums([fit], group)
        yield settings.rho, fit


def _warning(failed: NDArray[Any], fits: list[Fit]) -> str:
    """Return the text of a warning about the groups that are not certified."""
    first = next(fit for fit in fits if not fit.converged)
    names = ", ".join(str(label) for label in failed[:_NAMED])
    more = ", …" if len(failed) > _NAMED else ""
    return (
        f"huber_groups: the fits of {len(failed)} of {len(fits)} groups did not "
        f"converge ({names}{more}). Of the first one: {first.status.value}; the "
        f"estimated optimality gap is {first.gap:.1e}."
    )
