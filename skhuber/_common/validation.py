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
from sklearn import config_context
from sklearn.utils import assert_all_finite, check_array, column_or_1d

# The largest count that compiled code can hold, in 64 bits with a sign. No count of
# iterations reaches it, so a larger limit is cut to it.
_LARGEST_COUNT = 2**63 - 1
# Kinds of NumPy types that are dates and durations.
_TIMES = "mM"
# The most digits of an integer that an error shows. Python converts at most 4,300.
_SHOWN_DIGITS = 100


def check_real(
    name: str,
    value: object,
    *,
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    finite: bool = True,
    allowed: str = "",
) -> float:
    """Return the value as a float, or raise an error that names it.

    With `above`, a valid number is greater than it; with `least`, at least as large;
    with `below`, smaller than it.

    A number too large for a float is infinite, as it would be by rounding.
    """
    bound = ""
    if above is not None:
        bound = f" > {above:g}"
    elif least is not None:
        bound = f" >= {least:g}"
    allowed = allowed or f"a {'finite ' if finite else ''}number{bound}"
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise TypeError(f"{name} must be {allowed}, got {value!r}.")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf if value > 0 else -math.inf  # type: ignore[operator]
    if (
        math.isnan(number)
        or (finite and math.isinf(number))
        or (above is not None and number <= above)
        or (least is not None and number < least)
        or (below is not None and number >= below)
    ):
        raise ValueError(f"{name} must be {allowed}, got {_shown(value)}.")
    return number


def _shown(value: object) -> str:
    """Return the text of a value in an error; for a huge integer its magnitude."""
    if isinstance(value, int) and abs(value) >= 10**_SHOWN_DIGITS:
        sign = "-" if value < 0 else ""
        return f"an integer of about {sign}10**{math.floor(math.log10(abs(value)))}"
    return repr(value)


def check_count(name: str, value: object, *, least: int) -> int:
    """Return an integer ≥ least, or raise an error that names it.

    An integer that 64 bits cannot hold is cut to the largest one that they can.
    """
    allowed = f"an integer >= {least}"
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be {allowed}, got {value!r}.")
    if value < least:
        raise ValueError(f"{name} must be {allowed}, got {_shown(value)}.")
    return min(int(value), _LARGEST_COUNT)


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


def _kinds(values: Any) -> set[str]:
    """Return the kinds of NumPy types in array-like values; empty if it has none."""
    if hasattr(values, "columns") and hasattr(values, "dtypes"):
        types = list(values.dtypes)
        if all(hasattr(type_, "kind") for type_ in types):
            return {type_.kind for type_ in types}
    elif hasattr(values, "dtype") and hasattr(values.dtype, "kind"):
        return {values.dtype.kind}
    try:
        return {np.asarray(values).dtype.kind}
    except (TypeError, ValueError):  # other checks report these
        return set()


def refuse_times(name: str, values: Any) -> None:
    """Raise a TypeError for dates and durations, which are numbers in an unknown unit.

    A missing one (NaT) would be −2⁶³ as a number, like any valid value.
    """
    if _kinds(values) & set(_TIMES):
        raise TypeError(
            f"{name} must be numbers, got dates or durations (datetime64 or "
            "timedelta64). Convert them to numbers in a unit of your choice, e.g. "
            "durations / numpy.timedelta64(1, 's')."
        )


def refuse_missing_times(name: str, values: Any) -> None:
    """Raise a ValueError if one of the dates or durations is missing (NaT).

    It would be −2⁶³ as a number, like any valid value.
    """
    if not _kinds(values) & set(_TIMES):
        return
    columns = [values]
    if hasattr(values, "columns"):  # columns of a frame may have types of their own
        columns = [values[column] for column in values.columns]
    for column in columns:
        # NaT is not equal to itself, as NaN is not.
        has_kind = hasattr(getattr(column, "dtype", None), "kind")
        array = column if has_kind else np.asarray(column)
        if _kinds(array) & set(_TIMES) and np.asarray(array != array).any():
            raise ValueError(f"{name} contains NaT, a missing date or duration.")


def refuse_collections(estimator: str, **arrays: Any) -> None:
    """Raise a TypeError for a Dask collection, which would be gathered as a whole."""
    for name, array in arrays.items():
        if hasattr(array, "__dask_graph__"):
            raise TypeError(
                f"{name} must be in memory for {estimator}, got a Dask collection "
                f"({type(array).__name__}). Use skhuber.dask.DaskHuberRegressor for it,"
                f" or call {name}.compute() first."
            )


def refuse_bad_values(**arrays: Any) -> None:
    """Raise a ValueError that names the first array with NaN or infinity.

    scikit-learn's setting `assume_finite` is ignored.
    """
    # (The check adds the values up first, and looks at each only if that overflows.)
    ignored = np.errstate(over="ignore", invalid="ignore")
    with config_context(assume_finite=False), ignored:
        for name, array in arrays.items():
            if array is not None:
                assert_all_finite(array, input_name=name)


def check_target(
    y: ArrayLike | None,
    n_samples: int,
    estimator: str = "HuberRegressor",
    *,
    several: bool = False,
) -> NDArray[np.float64] | NDArray[np.float32]:
    """Return the target: finite, 1-D and C-contiguous, in float32 or float64.

    Two dimensions stay two if `several` targets are allowed; columns are contiguous
    then. If not, a single column becomes one dimension, with a warning.
    """
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
            with np.errstate(over="ignore", invalid="ignore"):  # it adds them up
                assert_all_finite(y, input_name="y")
            target: NDArray[Any] = y
        else:
            refuse_times("y", y)
            target = check_array(
                y,
                ensure_2d=False,
                dtype=[np.float64, np.float32],
                order="C",
                input_name="y",
                ensure_min_samples=0,
            )
            if target.ndim == 2 and target.shape[1] > 1 and not several:
                raise ValueError(
                    "y must be one target, of shape (n_samples,), got shape "
                    f"{target.shape}: {estimator} fits one target at a time. Fit a "
                    "model for each column of y."
                )
            if target.ndim != 2 or not several:
                target = column_or_1d(target, warn=True)
    if target.shape[0] != n_samples:
        raise ValueError(
            "y must have one value for each sample of X: found inconsistent numbers of "
            f"samples, {n_samples} in X and {target.shape[0]} in y."
        )
    return np.asfortranarray(target)


def check_weights(
    sample_weight: ArrayLike | None, n_samples: int
) -> NDArray[np.float64] | None:
    """Return weights in float64, ≥ 0 with a positive, finite sum; None for None."""
    if sample_weight is None:
        return None
    if isinstance(sample_weight, Real):
        sample_weight = np.full(n_samples, float(sample_weight))
    with naming("sample_weight"):
        refuse_times("sample_weight", sample_weight)
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
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(weight.sum())
    if not math.isfinite(total):
        refuse_bad_values(sample_weight=weight)
        raise ValueError(
            "sample_weight must have a finite sum, got weights up to "
            f"{float(weight.max())!r} whose sum overflows. Divide them by a number: "
            "only alpha depends on their size."
        )
    if total == 0:
        raise ValueError(
            "sample_weight must have at least one positive weight, got zeros only."
        )
    return weight
