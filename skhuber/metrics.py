"""Metrics for regression with outliers: the mean Huber error and its D² score.

With a residual r, in the unit of y, and a threshold ρ > 0 in the same unit, the
Huber loss of one observation is ::

    L(r) = r² / 2            where |r| <= ρ
    L(r) = ρ |r| - ρ² / 2    where |r| >= ρ

(P. J. Huber, "Robust Estimation of a Location Parameter", The Annals of
Mathematical Statistics 35 (1964), pp. 73-101). Everything here is computed from
the equivalent form c (|r| - c / 2) with c = min(|r|, ρ), which needs no case
distinction and holds for ρ = ∞ as well.
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

from skhuber._validation import check_real, refuse_times

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
    """Mean Huber loss of the residuals: quadratic up to `rho`, linear beyond it.

    The loss of a residual r = y_true - y_pred is r² / 2 where abs(r) <= rho and
    rho * abs(r) - rho² / 2 beyond. Best possible value is 0.0; lower is better.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Observed values.

    y_pred : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Predicted values, as many outputs as in `y_true`.

    rho : float, default=1.0
        Threshold between the quadratic and the linear part, in the unit of y:
        an absolute one, not a multiple of an estimated scale. Greater than zero;
        `numpy.inf` gives half the mean squared error, and for `rho` below every
        nonzero abs(r) the error divided by `rho` tends to the mean absolute error.

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
        Weighted mean of the loss, in the unit of y squared. An array only with
        `multioutput="raw_values"`.

    Raises
    ------
    TypeError, ValueError
        If `rho` is not a number greater than zero; if the arrays are empty, not
        numeric, not finite, of more than two dimensions, or do not match each
        other in length or number of outputs; if `sample_weight` has another
        length, is negative somewhere or zero everywhere; if `multioutput` is
        none of the choices.

    See Also
    --------
    d2_huber_score : The same error as a score relative to the best constant.
    make_huber_scorer : This error as `scoring` for model selection.

    Notes
    -----
    The formula is the one of Huber [1]_, with his k named `rho`. The factor 1/2
    is in it, so that the loss of a small residual is half its square.

    References
    ----------
    .. [1] P. J. Huber, "Robust Estimation of a Location Parameter",
       The Annals of Mathematical Statistics 35 (1964), pp. 73-101.

    Examples
    --------
    The residuals are 0.5, 0 and 10; the last one counts linearly:

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
    """D² score: the fraction of the Huber error of the best constant explained.

    One minus the :func:`mean_huber_error` of `y_pred`, divided by that of the
    constant which minimises it on the same `y_true`, `rho` and `sample_weight`.
    Best possible score is 1.0; predicting the best constant scores 0.0, and
    worse predictions score below, without bound.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Observed values.

    y_pred : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Predicted values, as many outputs as in `y_true`.

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
        array only with `multioutput="raw_values"`.

        Where `y_true` is constant, the ratio is not defined; as in
        :func:`sklearn.metrics.r2_score` the score is then 1.0 for perfect
        predictions and 0.0 for all others. With fewer than two samples it is
        nan, and an :class:`~sklearn.exceptions.UndefinedMetricWarning` is given.

    Raises
    ------
    ValueError
        As :func:`mean_huber_error`.

    See Also
    --------
    mean_huber_error : The error itself, in the unit of y squared.

    Notes
    -----
    The definition is the one of D² in [1]_ (and, for the absolute error, of
    [2]_) with the Huber loss as the deviance. The best constant is Huber's
    estimate of location at the fixed threshold `rho`; it is found exactly, by
    sorting, not by iteration to a tolerance.

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

    For the `scoring` of :class:`sklearn.model_selection.GridSearchCV`,
    :func:`sklearn.model_selection.cross_val_score` and the like.

    Parameters
    ----------
    rho : float, default=1.0
        Threshold of the scorer, in the unit of y; greater than zero, `numpy.inf`
        allowed. It is the scorer's own and does not follow the estimator's.

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
    The scorer's threshold has to stay fixed where a search varies that of an
    estimator. If each candidate were scored with its own threshold, the scores
    would not be comparable, each being in a unit of its own: the loss of one and
    the same residual falls with `rho`, towards zero, so that the smallest `rho`
    would win for having the smallest loss, however bad its fit. Choose the
    threshold here by what an error costs in the application: residuals up to it
    should count quadratically, greater ones only linearly.

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
    """Validated arguments, with the samples of weight zero left out.

    `y_true`, `y_pred` and `rho` are given in `unit`: 1.0 but for numbers so great
    that the difference of two of them might overflow. Both arrays have shape
    (n_outputs, n_samples). `n_samples` counts all samples that were passed.
    `output_weights` is None where an array is to be returned.
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
    """Validate targets and lay them out in shape (n_outputs, n_samples)."""
    what = "finite numbers of shape (n_samples,) or (n_samples, n_outputs)"
    array = _check_array(values, name, what)
    if array.ndim not in (1, 2) or array.size == 0:
        raise ValueError(
            f"{name} must be {what}, at least one of them; got shape {array.shape}."
        )
    return np.ascontiguousarray(array.reshape(array.shape[0], -1).T)


def _check_weights(values: ArrayLike, name: str, length: int, per: str) -> Array:
    """Non-negative weights, scaled by a power of two so that no sum overflows."""
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
    """Weights of the outputs, or None for `multioutput="raw_values"`."""
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
    """A mean loss as the product of three factors, which alone never overflow.

    So the ratio of two of them is right even where the losses, being of the order
    of a residual squared, would be too great or too small for a float.
    """

    mean: float
    clip_scale: float
    residual_scale: float

    def value(self, unit: float) -> float:
        # In this order only a result that is itself too great can overflow.
        return self.mean * self.residual_scale * self.clip_scale * unit * unit

    def ratio(self, other: "_Loss") -> float:
        return (
            (self.mean / other.mean)
            * (self.residual_scale / other.residual_scale)
            * (self.clip_scale / other.clip_scale)
        )


def _power_of_two(number: float) -> float:
    """Greatest power of two not above a positive number; for zero, some other one."""
    return math.ldexp(1.0, math.frexp(number)[1] - 1)


def _mean_loss(residuals: Array, rho: float, weights: Array) -> _Loss:
    """Weighted mean of c (|r| - c / 2), with c = min(|r|, rho)."""
    size = np.abs(residuals)
    greatest = size.max()
    residual_scale = _power_of_two(greatest)
    clip_scale = _power_of_two(min(greatest, rho))
    clipped = np.minimum(size, rho) / clip_scale
    excess = size / residual_scale - clipped * (clip_scale / residual_scale) / 2
    mean = np.sum(weights * clipped * excess) / np.sum(weights)
    return _Loss(float(mean), clip_scale, residual_scale)


def _residuals_of_best_constant(y: Array, rho: float, weights: Array) -> Array:
    """Residuals of the constant of least mean loss.

    The derivative of the loss by the constant is monotone, and linear between
    the knots y ± rho. So bisection over the sorted knots finds the piece that holds
    its root, and one Newton step from within the piece is exact.

    All is done relative to a median of y: the best constant lies within rho of
    it, since from beyond at least half of the weight pulls back with full force.
    So values that have no more than their sign to say are clipped, and neither
    a great offset of y nor outliers nor a tiny rho cost digits.
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
    mass = np.sum(weights[np.abs(z - start) <= threshold])  # has the median at least
    constant = np.clip(start + pull(start) / mass, edges[left], edges[right])
    residuals: Array = from_median - constant * unit
    return residuals


def _aggregate(values: Array, output_weights: Array | None) -> float | Array:
    if output_weights is None:
        return values
    used = output_weights > 0.0  # so that 0 * inf cannot make a nan
    shares = output_weights[used] / np.sum(output_weights)
    return float(shares @ values[used])
