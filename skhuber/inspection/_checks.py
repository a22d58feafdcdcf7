"""Checks of the displays' arguments and of the estimators to draw."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from skhuber._common.validation import check_real, check_target, naming, refuse_times

Array = NDArray[np.float64]

_FITTED = (
    "a fitted HuberRegressor, a pipeline that ends in one, or another fitted estimator "
    "with the attributes rho_ and scale_"
)


def numbers(
    name: str, values: ArrayLike, *, dimensions: int = 1, finite: bool | str = True
) -> Array:
    """Return numbers in one dimension or two, or raise an error that names them."""
    refuse_times(name, values)
    with naming(name):
        array: Array = check_array(
            values,
            dtype=np.float64,
            ensure_2d=False,
            allow_nd=True,
            ensure_all_finite=finite,
            ensure_min_samples=0,
            ensure_min_features=0,
            input_name=name,
        )
    if dimensions == 1 and array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != dimensions or array.size == 0:
        allowed = "one dimension, at least one of them"
        if dimensions == 2:
            allowed = "two dimensions, at least one in each"
        raise ValueError(
            f"{name} must be numbers in {allowed}, got shape {array.shape}."
        )
    return array


def rhos(values: ArrayLike) -> Array:
    """Return an array of thresholds > 0, or raise an error."""
    array = numbers("rhos", values, finite=False)
    refuse_any("rhos", array, ~(array > 0), "> 0")
    return array


def mark(name: str, rho: float | None) -> float | None:
    """Return None or a threshold > 0, or raise an error that names the argument."""
    if rho is None:
        return None
    return check_real(name, rho, above=0, finite=False, allowed="None or a number > 0")


def refuse_any(
    name: str, values: Array, wrong: NDArray[np.bool_], allowed: str
) -> None:
    """Raise an error that names the first value for which `wrong` is true, if any."""
    if wrong.any():
        value = float(values[wrong][0])
        raise ValueError(f"{name} must be numbers {allowed}, got {value!r} among them.")


def same_length(what: str, **arrays: Array) -> None:
    """Raise an error if the lengths of the arrays differ."""
    (first, one), *others = arrays.items()
    for name, other in others:
        if len(other) != len(one):
            raise ValueError(
                f"{first} and {name} must have the same number of {what}, got "
                f"{len(one)} and {len(other)}."
            )


def predictions(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[Array, Array]:
    """Return observed and predicted values, or raise an error that names one."""
    observed = numbers("y_true", y_true)
    predicted = numbers("y_pred", y_pred)
    same_length("samples", y_true=observed, y_pred=predicted)
    return observed, predicted


def labels(name: str, values: Any, length: int, per: str) -> list[Any] | None:
    """Return a list of `length` labels, or None for None."""
    if values is None:
        return None
    allowed = f"None or one label for each {per}"
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be {allowed}, got {values!r}.")
    given = list(values)
    if len(given) != length:
        raise ValueError(
            f"{name} must be {allowed}, {length} in all, got {len(given)}."
        )
    return given


def text(name: str, value: object) -> str | None:
    """Return None or a string, or raise an error that names the argument."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{name} must be None or a string, got {value!r}.")
    return value


def is_positive_number(value: object) -> bool:
    """Return whether the value is a real number > 0, as a rho to draw must be."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        return False
    return float(value) > 0


def last_step(estimator: Any) -> Any:
    """Return the last step of a pipeline, or the estimator if it is no pipeline."""
    while isinstance(estimator, Pipeline):
        estimator = estimator[-1]
    return estimator


def fitted_last_step(estimator: Any, allowed: str, *attributes: str) -> Any:
    """Return the last step, which has all `attributes`.

    Raise a NotFittedError if it lacks them and is not fitted, else a TypeError.
    """
    last = last_step(estimator)
    if not all(hasattr(last, attribute) for attribute in attributes):
        if isinstance(last, BaseEstimator):
            check_is_fitted(last)
        raise TypeError(f"estimator must be {allowed}, got {estimator!r}.")
    return last


def threshold(estimator: Any) -> float:
    """Return the fitted estimator's threshold on the residuals, in the unit of y."""
    last = fitted_last_step(estimator, _FITTED, "rho_", "scale_")
    return check_real(
        "rho_ * scale_ of estimator", last.rho_ * last.scale_, above=0, finite=False
    )


def observed_and_predicted(
    estimator: Any, X: ArrayLike, y: ArrayLike | None
) -> tuple[Array, Array]:
    """Return the target and the estimator's predictions, in float64."""
    y_pred = numbers("predictions of estimator", estimator.predict(X))
    return check_target(y, len(y_pred)).astype(np.float64), y_pred


def input_of_last_step(estimator: Any, X: Any) -> tuple[Any, list[str] | None]:
    """Return the input of a pipeline's last step for X, and its columns' names."""
    before = None
    while isinstance(estimator, Pipeline):
        if len(estimator) > 1:
            check_is_fitted(estimator)
            before = estimator[:-1]
            X = before.transform(X)
        estimator = estimator[-1]
    names = getattr(X, "columns", None)
    if names is None and before is not None:
        # Not every transformer provides feature names.
        with contextlib.suppress(AttributeError, ValueError):
            names = before.get_feature_names_out()
    return X, None if names is None else [str(name) for name in names]
