"""A fit for each group of samples."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning

from skhuber._estimators.base import Data, with_one_blas_thread
from skhuber._estimators.regressor import HuberRegressor

if TYPE_CHECKING:
    from skhuber._tuning.efficiency import OutlierShare

__all__ = ["HuberGroups", "huber_groups"]

Floats = NDArray[np.float64]

# The most labels that a warning names.
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

    The numbers are, bit for bit, those of one fit after another. They take a third of
    the time if the groups are small, since the data are checked once, and nothing is
    computed that is not returned.

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
        If fits could not be shown to be within `tol` of the optimum (`converged` says
        which), or if a rule for rho does not apply to some groups. With a joint scale
        these are mostly groups with few samples for each feature, in which the scale
        falls to zero. One warning names the groups of each kind.

    See Also
    --------
    HuberRegressor : A single fit.

    Notes
    -----
    If X is of float32, `coefs` has the digits that `HuberRegressor.coef_` rounds to
    single precision.

    A group with fewer samples than features, or with features that depend on each
    other, has the fit of the least penalty; with ``alpha=0``, one of many fits.

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
    _refuse_groups_without_weight(labels, code, data.weight)
    fits, notes = _fitted(model, data, labels, code)
    for note in notes:
        warnings.warn(note, ConvergenceWarning, stacklevel=2)
    return fits


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
    if array.dtype == object:
        missing = np.array([_is_missing(label) for label in array], np.bool_)
    else:
        missing = array != array  # NaN, NaT
    if missing.any():
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


def _is_missing(label: Any) -> bool:
    """Return whether a label stands for a missing value, such as pandas.NA."""
    try:
        return label is None or bool(label != label)
    except TypeError:  # (pandas.NA does not say whether it equals itself)
        return True


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


@with_one_blas_thread
def _fitted(
    model: HuberRegressor, data: Data, labels: NDArray[Any], code: NDArray[np.intp]
) -> tuple[HuberGroups, list[str]]:
    """Return the fits of all groups, and texts of warnings about some of them."""
    from skhuber._fit import fit_rows
    from skhuber._tuning.rules import fit_by_rule

    rule, settings = model._checked_parameters()
    n_samples = np.bincount(code, minlength=len(labels))
    fits = _empty(labels, n_samples, data.X.shape[1])
    failures, rule_failures = {}, {}
    order, end = np.argsort(code, kind="stable"), 0
    for k, count in enumerate(n_samples.tolist()):
        own = order[end : end + count]
        end += count
        weight = None if data.weight is None else data.weight[own]
        group = Data(data.X[own], data.y[own], weight, data.threads)
        if rule is None:
            fit, warning = fit_rows(group.rows(), settings), None
        else:
            settings, fit, warning = fit_by_rule(group.rows(), rule, settings)
        model._check_sums([fit], group)
        fits.coefs[k] = fit.coef
        fits.intercepts[k] = fit.intercept
        fits.scales[k] = fit.scale
        fits.rhos[k] = settings.rho
        fits.n_outliers[k] = fit.tally.n_outliers
        fits.objectives[k] = fit.objective
        fits.gaps[k] = fit.gap
        fits.converged[k] = fit.converged
        if not fit.converged:
            failures[k] = model._not_converged(fit, settings)
        if warning is not None:
            rule_failures[k] = f"{warning}."
    notes = [_note(labels, found) for found in (failures, rule_failures) if found]
    return fits, notes


def _empty(
    labels: NDArray[Any], n_samples: NDArray[np.intp], n_features: int
) -> HuberGroups:
    """Return arrays for the fits of all groups."""
    n_groups = len(labels)
    return HuberGroups(
        groups=labels,
        n_samples=n_samples,
        coefs=np.empty((n_groups, n_features)),
        intercepts=np.empty(n_groups),
        scales=np.empty(n_groups),
        rhos=np.empty(n_groups),
        n_outliers=np.empty(n_groups, np.int64),
        objectives=np.empty(n_groups),
        gaps=np.empty(n_groups),
        converged=np.empty(n_groups, np.bool_),
    )


def _note(labels: NDArray[Any], found: dict[int, str]) -> str:
    """Return the text of a warning about the groups of these numbers."""
    names = ", ".join(str(labels[k]) for k in list(found)[:_NAMED])
    more = ", …" if len(found) > _NAMED else ""
    first = next(iter(found.values()))
    return (
        f"huber_groups: {len(found)} of {len(labels)} groups ({names}{more}) have a "
        f"fit with a warning. That of the first one: {first}"
    )
