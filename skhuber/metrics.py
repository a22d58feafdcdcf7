"""Metrics for regression with outliers: the mean Huber error and its D² score.

For a residual r and a threshold ρ > 0, both in the unit of y, the Huber loss of one
observation is ::

    L(r) = r² / 2            if |r| <= ρ
    L(r) = ρ |r| - ρ² / 2    if |r| >= ρ

(P. J. Huber, "Robust Estimation of a Location Parameter", The Annals of
Mathematical Statistics 35 (1964), pp. 73-101). The functions compute the equivalent
form c (|r| - c / 2) with c = min(|r|, ρ), which needs no case distinction and holds
for ρ = ∞, too.
"""

import math
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import make_scorer
from sklearn.utils import check_array

from skhuber._common.validation import check_real, refuse_times

__all__ = ["d2_huber_score", "make_huber_scorer", "mean_huber_error"]

Array = NDArray[np.float64]


def mean_huber_error(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    rho: float = 1.0,
    sample_weight: ArrayLike | None = None,
    multioutput: str | ArrayLike = "uniform_average",
) -> float | Array:
    """Return the mean Huber loss of the residuals.

    The loss of a residual r = y_true - y_pred is r² / 2 if abs(r) <= rho, else
    rho * abs(r) - rho² / 2. The best possible value is 0.0; lower is better.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Observed values.

    y_pred : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Predicted values, with as many outputs as `y_true`.

    rho : float, default=1.0
        Threshold between the quadratic and the linear part, in the unit of y; it is
        not a multiple of an estimated scale. Greater than zero. `numpy.inf` gives half
        the mean squared error; as `rho` tends to zero, the error divided by `rho`
        tends to the mean absolute error.

    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights of the samples, not all zero. An integer weight
        counts a sample that many times; a common factor changes nothing.

    multioutput : {"raw_values", "uniform_average"} or array-like of shape \
            (n_outputs,), default="uniform_average"
        What to return for several outputs: one error per output
        ("raw_values"), their mean, or their mean with the given non-negative
        weights.

    Returns
    -------
    error : float or ndarray of shape (n_outputs,)
        Weighted mean of the loss, in the unit of y squared. An array only if
        ``multioutput="raw_values"``.

    Raises
    ------
    TypeError, ValueError
        If `rho` is not a number greater than zero; if the arrays are empty, not
        numeric, not finite, of more than two dimensions, or do not match each
        other in length or number of outputs; if `sample_weight` has another
        length, is negative somewhere or zero everywhere; if `multioutput` is
        not one of the choices.

    See Also
    --------
    d2_huber_score : The mean Huber error relative to that of the best constant.
    make_huber_scorer : Make a scorer of the mean Huber error for model selection.

    Notes
    -----
    The formula is that of Huber [1]_, with his k named `rho`. It has the factor 1/2:
    the loss of a small residual is half its square.

    References
    ----------
    .. [1] P. J. Huber, "Robust Estimation of a Location Parameter",
       The Annals of Mathematical Statistics 35 (1964), pp. 73-101.

    Examples
    --------
    The residuals are 0.5, 0 and 10; the residual of 10 counts linearly:

    >>> from skhuber.metrics import mean_huber_error
    >>> mean_huber_error([1.0, 2.0, 3.0], [1.5, 2.0, 13.0], rho=2.0)
    6.041666666666667
    >>> (0.5**2 / 2 + 0 + (2.0 * 10 - 2.0**2 / 2)) / 3
    6.041666666666667
    >>> mean_huber_error([[0, 1], [0, 1]], [[1, 1], [1, 4]], multioutput="raw_values")
    array([0.5 , 1.25])
    """
    data = _check_inputs(y_true, y_pred, rho, sample_weight, multioutput)
    errors = [
        _mean_loss(observed - predicted, data.rho, data.weights).value(data.unit)
        for observed, predicted in zip(data.y_true, data.y_pred, strict=True)
    ]
    return _aggregate(np.array(errors), data.output_weights)


def d2_huber_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    rho: float = 1.0,
    sample_weight: ArrayLike | None = None,
    multioutput: str | ArrayLike = "uniform_average",
) -> float | Array:
    """Return the D² score, the fraction of the best constant's Huber error explained.

    The score is one minus the ratio of the :func:`mean_huber_error` of `y_pred` to
    that of the constant which minimises it for `y_true`, `rho` and `sample_weight`.
    The best possible score is 1.0. The best constant scores 0.0; worse predictions
    have negative scores, without bound.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Observed values.

    y_pred : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Predicted values, with as many outputs as `y_true`.

    rho : float, default=1.0
        Threshold between the quadratic and the linear part, in the unit of y.
        Greater than zero. `numpy.inf` gives R², and the limit towards zero is
        :func:`sklearn.metrics.d2_absolute_error_score`.

    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights of the samples, not all zero. An integer weight
        counts a sample that many times; a common factor changes nothing.

    multioutput : {"raw_values", "uniform_average"} or array-like of shape \
            (n_outputs,), default="uniform_average"
        What to return for several outputs: one score per output
        ("raw_values"), their mean, or their mean with the given non-negative
        weights.

    Returns
    -------
    score : float or ndarray of shape (n_outputs,)
        A pure number, invariant to a change of the unit of y and `rho`. An
        array only if ``multioutput="raw_values"``.

        If `y_true` is constant, the ratio is not defined; as in
        :func:`sklearn.metrics.r2_score` the score is then 1.0 for perfect
        predictions and 0.0 for all others. With fewer than two samples it is
        nan, with an :class:`~sklearn.exceptions.UndefinedMetricWarning`.

    Raises
    ------
    TypeError, ValueError
        For the arguments that :func:`mean_huber_error` refuses.

    See Also
    --------
    mean_huber_error : The mean Huber error, in the unit of y squared.

    Notes
    -----
    The score is D² as defined in [1]_ (and, for the absolute error, in [2]_) with the
    Huber loss as the deviance. The best constant is Huber's estimate of location at
    the fixed threshold `rho`. It is computed exactly, by sorting, not by iteration to
    a tolerance.

    References
    ----------
    .. [1] T. Hastie, R. Tibshirani and M. Wainwright, *Statistical Learning with
       Sparsity*, CRC Press 2015, eq. (3.11).
    .. [2] R. Koenker and J. A. F. Machado, "Goodness of Fit and Related Inference
       Processes for Quantile Regression", Journal of the American Statistical
       Association 94 (1999), pp. 1296-1310, eq. (7).

    Examples
    --------
    The best constant is 1.5 here; the outlier pulls it no further than any other
    value beyond `rho` would. The mean, 8.25, does worse:

    >>> from skhuber.metrics import d2_huber_score
    >>> y_true = [0.0, 1.0, 2.0, 30.0]
    >>> d2_huber_score(y_true, [1.5, 1.5, 1.5, 1.5])
    0.0
    >>> round(d2_huber_score(y_true, [8.25, 8.25, 8.25, 8.25]), 3)
    -0.419
    >>> round(d2_huber_score(y_true, [0.0, 1.0, 2.0, 3.0]), 3)
    0.094
    """
    data = _check_inputs(y_true, y_pred, rho, sample_weight, multioutput)
    if data.n_samples < 2:
        warnings.warn(
            "d2_huber_score is not defined for fewer than two samples; returning nan.",
            UndefinedMetricWarning,
            stacklevel=2,
        )
        return math.nan
    scores = []
    for observed, predicted in zip(data.y_true, data.y_pred, strict=True):
        spread = _residuals_of_best_constant(observed, data.rho, data.weights)
        error = _mean_loss(observed - predicted, data.rho, data.weights)
        baseline = _mean_loss(spread, data.rho, data.weights)
        if error.mean == 0.0:
            scores.append(1.0)
        elif baseline.mean == 0.0:
            scores.append(0.0)
        else:
            scores.append(1.0 - error.ratio(baseline))
    return _aggregate(np.array(scores), data.output_weights)


def make_huber_scorer(rho: float = 1.0) -> Callable[..., float]:
    """Make a scorer of the negative :func:`mean_huber_error` at a fixed threshold.

    The scorer can be passed as `scoring` to
    :class:`sklearn.model_selection.GridSearchCV`,
    :func:`sklearn.model_selection.cross_val_score` and similar functions.

    Parameters
    ----------
    rho : float, default=1.0
        Threshold of the scorer, in the unit of y; greater than zero, `numpy.inf`
        allowed. It does not depend on the estimator's threshold.

    Returns
    -------
    scorer : callable
        A scikit-learn scorer, called as ``scorer(estimator, X, y,
        sample_weight=None)``. It returns minus the mean Huber error, so that
        greater is better, in the unit of y squared.

    Raises
    ------
    TypeError, ValueError
        If `rho` is not a number greater than zero.

    Notes
    -----
    The scorer's threshold stays fixed while a search varies the estimator's. Scores of
    candidates with different thresholds could not be compared: the loss of a residual
    tends to zero with `rho`, so that the smallest `rho` would have the smallest loss,
    however bad its fit. Choose the threshold by the cost of an error in the
    application: residuals up to it count quadratically, greater ones linearly.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skhuber.metrics import make_huber_scorer
    >>> X = np.arange(8.0).reshape(-1, 1)
    >>> y = 3.0 * X.ravel() + 1.0
    >>> y[5] = 60.0
    >>> search = GridSearchCV(
    ...     Ridge(), {"alpha": [1e-3, 1e3]}, scoring=make_huber_scorer(rho=2.0), cv=2
    ... )
    >>> search.fit(X, y).best_params_
    {'alpha': 0.001}
    """
    scorer: Callable[..., float] = make_scorer(
        mean_huber_error,
        greater_is_better=False,
        rho=check_real("rho", rho, above=0, finite=False),
    )
    return scorer


# --- validation -------------------------------------------------------------------


class _Inputs(NamedTuple):
    """Validated arguments without the samples of weight zero.

    `y_true`, `y_pred` and `rho` are divided by `unit`, which is 1.0 unless the
    difference of two values of y might overflow. Both arrays have one row for each
    output and one column for each sample of positive weight. `n_samples` counts all
    samples that were passed. `output_weights` is None for
    ``multioutput="raw_values"``.
    """

    y_true: Array
    y_pred: Array
    rho: float
    unit: float
    weights: Array
    n_samples: int
    output_weights: Array | None


def _check_inputs(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    rho: float,
    sample_weight: ArrayLike | None,
    multioutput: str | ArrayLike,
) -> _Inputs:
    rho = check_real("rho", rho, above=0, finite=False)
    observed = _check_targets(y_true, "y_true")
    predicted = _check_targets(y_pred, "y_pred")
    n_outputs, n_samples = observed.shape
    if predicted.shape[1] != n_samples:
        raise ValueError(
            "y_true and y_pred must have the same number of samples; "
            f"got {n_samples} and {predicted.shape[1]}."
        )
    if predicted.shape[0] != n_outputs:
        raise ValueError(
            "y_true and y_pred must have the same number of outputs; "
            f"got {n_outputs} and {predicted.shape[0]}."
        )
    weights = _check_sample_weight(sample_weight, n_samples)
    counted = weights > 0.0
    if not counted.all():
        observed, predicted = observed[:, counted], predicted[:, counted]
        weights = weights[counted]
    greatest = max(np.abs(observed).max(), np.abs(predicted).max())
    unit = 1.0 if greatest < 2.0**1021 else 8.0
    return _Inputs(
        observed / unit,
        predicted / unit,
        max(rho / unit, math.ulp(0.0)),
        unit,
        weights,
        n_samples,
        _check_multioutput(multioutput, n_outputs),
    )


def _check_array(values: ArrayLike, name: str, what: str) -> Array:
    """Finite float64 array of any shape, or an error that names the argument."""
    refuse_times(name, values)
    try:
        array: Array = check_array(
            values,
            dtype=np.float64,
            ensure_2d=False,
            allow_nd=True,
            ensure_min_samples=0,
            ensure_min_features=0,
            input_name=name,
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be {what}: {error}") from error
    return array


def _check_targets(values: ArrayLike, name: str) -> Array:
    """Return validated targets in shape (n_outputs, n_samples)."""
    what = "finite numbers of shape (n_samples,) or (n_samples, n_outputs)"
    array = _check_array(values, name, what)
    if array.ndim not in (1, 2) or array.size == 0:
        raise ValueError(
            f"{name} must be {what}, at least one of them; got shape {array.shape}."
        )
    return np.ascontiguousarray(array.reshape(array.shape[0], -1).T)


def _check_weights(values: ArrayLike, name: str, length: int, per: str) -> Array:
    """Return validated weights, divided by a power of two so that no sum overflows."""
    what = f"finite non-negative numbers, one per {per}"
    weights = _check_array(values, name, what)
    if weights.shape != (length,):
        raise ValueError(
            f"{name} must be {what}, of shape ({length},); got shape {weights.shape}."
        )
    if weights.min() < 0.0:
        raise ValueError(f"{name} must be {what}; got {weights.min()} among them.")
    if weights.max() == 0.0:
        raise ValueError(f"{name} must be greater than zero somewhere; got only zeros.")
    return weights / _power_of_two(weights.max())


def _check_sample_weight(sample_weight: ArrayLike | None, n_samples: int) -> Array:
    if sample_weight is None:
        return np.ones(n_samples)
    return _check_weights(sample_weight, "sample_weight", n_samples, "sample")


def _check_multioutput(multioutput: str | ArrayLike, n_outputs: int) -> Array | None:
    """Return the weights of the outputs, or None for ``multioutput="raw_values"``."""
    if isinstance(multioutput, str) and multioutput == "raw_values":
        return None
    if isinstance(multioutput, str) and multioutput == "uniform_average":
        return np.ones(n_outputs)
    if multioutput is None or isinstance(multioutput, str):
        raise ValueError(
            "multioutput must be 'raw_values', 'uniform_average' or an array of "
            f"{n_outputs} weights; got {multioutput!r}."
        )
    return _check_weights(multioutput, "multioutput", n_outputs, "output")


# --- computation ------------------------------------------------------------------


class _Loss(NamedTuple):
    """A mean loss as the product of three factors, none of which overflows.

    The ratio of two mean losses is thus right even if the losses, of the order of a
    squared residual, are too large or too small for a float.
    """

    mean: float
    clip_scale: float
    residual_scale: float

    def value(self, unit: float) -> float:
        # In this order of factors, only a result beyond the largest float overflows.
        return self.mean * self.residual_scale * self.clip_scale * unit * unit

    def ratio(self, other: "_Loss") -> float:
        return (
            (self.mean / other.mean)
            * (self.residual_scale / other.residual_scale)
            * (self.clip_scale / other.clip_scale)
        )


def _power_of_two(number: float) -> float:
    """Return the greatest power of two not above a positive number; 0.5 for zero."""
    return math.ldexp(1.0, math.frexp(number)[1] - 1)


def _mean_loss(residuals: Array, rho: float, weights: Array) -> _Loss:
    """Return the weighted mean of c (|r| - c / 2), with c = min(|r|, rho)."""
    size = np.abs(residuals)
    greatest = size.max()
    residual_scale = _power_of_two(greatest)
    clip_scale = _power_of_two(min(greatest, rho))
    clipped = np.minimum(size, rho) / clip_scale
    excess = size / residual_scale - clipped * (clip_scale / residual_scale) / 2
    mean = np.sum(weights * clipped * excess) / np.sum(weights)
    return _Loss(float(mean), clip_scale, residual_scale)


def _residuals_of_best_constant(y: Array, rho: float, weights: Array) -> Array:
    """Return the residuals of the constant with the least mean loss.

    The derivative of the loss by the constant is monotone, and linear between
    the knots y ± rho. Bisection over the sorted knots finds the piece that holds the
    root, and one Newton step from within the piece is exact.

    The computation is relative to a median of y. The best constant lies within rho of
    the median, since at a greater distance at least half of the weight has the largest
    derivative, towards the median. Values more than three times as far away affect the
    derivative by their sign only and are clipped. Thus neither a large offset of y nor
    outliers nor a tiny rho cost digits.
    """
    order = np.argsort(y)
    cumulated = np.cumsum(weights[order])
    median = y[order[np.searchsorted(cumulated, cumulated[-1] / 2)]]
    from_median: Array = y - median
    reach = min(rho, np.abs(from_median).max())
    unit = _power_of_two(reach)
    threshold = rho / unit
    z = np.clip(from_median, -3 * reach, 3 * reach) / unit

    def pull(constant: float) -> float:
        return float(weights @ np.clip(z - constant, -threshold, threshold))

    low, high = max(z.min(), -threshold), min(z.max(), threshold)
    knots = np.concatenate([z - threshold, z + threshold])
    knots = np.sort(knots[(knots > low) & (knots < high)])
    edges = np.concatenate([[low], knots, [high]])
    left, right = 0, len(edges) - 1  # pull >= 0 at the left edge, <= 0 at the right
    while right - left > 1:
        middle = (left + right) // 2
        if pull(edges[middle]) >= 0.0:
            left = middle
        else:
            right = middle
    start = (edges[left] + edges[right]) / 2
    mass = np.sum(weights[np.abs(z - start) <= threshold])  # not 0: includes the median
    constant = np.clip(start + pull(start) / mass, edges[left], edges[right])
    residuals: Array = from_median - constant * unit
    return residuals


def _aggregate(values: Array, output_weights: Array | None) -> float | Array:
    if output_weights is None:
        return values
    used = output_weights > 0.0  # 0 * inf would be nan
    shares = output_weights[used] / np.sum(output_weights)
    return float(shares @ values[used])
