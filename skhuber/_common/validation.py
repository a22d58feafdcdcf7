"""Checks of parameters, targets and weights.

Every error names the argument, the value received and what is allowed.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import assert_all_finite, check_array, column_or_1d


def check_real(
    name: str,
    value: object,
    *,
    above: float | None = None,
    least: float | None = None,
    finite: bool = True,
    allowed: str = "",
) -> float:
    """Return the value as a float, or raise an error that names the argument.

    Parameters
    ----------
    name : str
        Name of the argument.
    value : object
        The value received.
    above, least : float, default=None
        Bounds: the value must be > above or ≥ least. None: no bound.
    finite : bool, default=True
        Whether infinities are refused.
    allowed : str, default=""
        The values allowed, in words. Empty: made from the bounds.
    """
    bound = ""
    if above is not None:
        bound = f" > {above:g}"
    elif least is not None:
        bound = f" >= {least:g}"
    allowed = allowed or f"a {'finite ' if finite else ''}number{bound}"
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise TypeError(f"{name} must be {allowed}, got {value!r}.")
    number = float(value)
    if (
        math.isnan(number)
        or (finite and math.isinf(number))
        or (above is not None and number <= above)
        or (least is not None and number < least)
    ):
        raise ValueError(f"{name} must be {allowed}, got {value!r}.")
    return number


def check_count(name: str, value: object, *, least: int) -> int:
    """Return an integer ≥ least, or raise an error that names the argument."""
    allowed = f"an integer >= {least}"
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be {allowed}, got {value!r}.")
    if value < least:
        raise ValueError(f"{name} must be {allowed}, got {value!r}.")
    return int(value)


def check_integer(name: str, value: object) -> int:
    """Return an integer, or raise an error that names the argument."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {value!r}.")
    return int(value)


def check_choice(name: str, value: object, choices: Sequence[str]) -> str:
    """Return one of the choices, or raise an error that lists them."""
    if not isinstance(value, str) or value not in choices:
        allowed = " or ".join(
            part
            for part in (", ".join(map(repr, choices[:-1])), repr(choices[-1]))
            if part
        )
        raise ValueError(f"{name} must be {allowed}, got {value!r}.")
    return value


def check_flag(name: str, value: object) -> bool:
    """Return a boolean, or raise an error that names the argument."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {value!r}.")
    return bool(value)


def check_n_jobs(value: object) -> int | None:
    """Return None or a nonzero integer, or raise an error."""
    if value is None:
        return None
    allowed = "None or an integer other than 0"
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        raise TypeError(f"n_jobs must be {allowed}, got {value!r}.")
    if value == 0:
        raise ValueError(f"n_jobs must be {allowed}, got {value!r}.")
    return int(value)


@contextlib.contextmanager
def naming(name: str) -> Iterator[None]:
    """Add the argument's name to an error of scikit-learn that lacks it."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if re.search(rf"\b{name}\b", str(error)):
            raise
        raise type(error)(f"{name} is not valid. {error}") from error


def check_target(
    y: ArrayLike | None, n_samples: int, estimator: str = "HuberRegressor"
) -> NDArray[np.float64] | NDArray[np.float32]:
    """Return a finite, C-contiguous 1-D target of float32 or float64."""
    if y is None:
        raise ValueError(
            f"{estimator} requires y to be passed, but the target y is None."
        )
    with naming("y"):
        if (
            type(y) is np.ndarray
            and y.ndim == 1
            and y.dtype in (np.float64, np.float32)
        ):
            # check_array would take longer than a small fit.
            assert_all_finite(y, input_name="y")
            target: NDArray[Any] = y
        else:
            target = check_array(
                y,
                ensure_2d=False,
                dtype=[np.float64, np.float32],
                order="C",
                input_name="y",
                ensure_min_samples=0,
            )
            target = column_or_1d(target, warn=True)
    if target.shape != (n_samples,):
        raise ValueError(
            "y must have one value for each sample of X: found inconsistent numbers of "
            f"samples, {n_samples} in X and {target.shape[0]} in y."
        )
    return np.ascontiguousarray(target)


def check_weights(
    sample_weight: ArrayLike | None, n_samples: int
) -> NDArray[np.float64] | None:
    """Return non-negative float64 weights with a positive sum, or None for None."""
    if sample_weight is None:
        return None
    if isinstance(sample_weight, Real):
        sample_weight = np.full(n_samples, float(sample_weight))
    with naming("sample_weight"):
        weight: NDArray[np.float64] = check_array(
            sample_weight,
            ensure_2d=False,
            dtype=np.float64,
            order="C",
            input_name="sample_weight",
            ensure_min_samples=0,
        )
    if weight.shape != (n_samples,):
        raise ValueError(
            "sample_weight must be a 1D array with one weight for each sample of X, "
            f"shape ({n_samples},), got shape {weight.shape}."
        )
    if weight.min() < 0:
        i = int(weight.argmin())
        raise ValueError(
            f"sample_weight must be non-negative, got {float(weight[i])!r} at index "
            f"{i}. Negative values in data passed to `sample_weight` are not allowed."
        )
    if weight.max() == 0:
        raise ValueError(
            "sample_weight must have at least one positive weight, got zeros only."
        )
    return weight
