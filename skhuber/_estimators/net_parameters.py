"""Checks of the parameters that all elastic nets share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhuber._common.validation import check_flag, check_real

if TYPE_CHECKING:
    from skhuber._fit import Net

Floats = NDArray[np.float64]

# Allowed values of `bounds`, for error messages.
_BOUNDS = (
    "None or a pair (lower, upper), each of them None, a number or an array of one "
    "number for each feature"
)


def check_l1_ratio(name: str, value: object, *, above: float | None = None) -> float:
    """Return a valid share of absolute values, or raise an error that names it."""
    allowed = "a number from 0 to 1" if above is None else "a number > 0 and <= 1"
    ratio = check_real(name, value, least=0, above=above, allowed=allowed)
    if ratio > 1:
        raise ValueError(f"{name} must be {allowed}, got {value!r}.")
    return ratio


def check_net(
    *,
    alpha: float,
    l1_ratio: float,
    standardize: object,
    bounds: Any,
    positive: object,
    n_features: int,
) -> Net:
    """Return the penalty and the bounds, or raise an error that names what is wrong."""
    from skhuber._fit import Net

    is_standardised = check_flag("standardize", standardize)
    lower, upper = check_bounds(bounds, n_features)
    if check_flag("positive", positive):
        if np.any(np.asarray(upper) < 0):
            raise ValueError(
                "positive=True needs upper bounds >= 0, got bounds with an upper "
                f"bound of {np.min(upper):g}."
            )
        lower = np.maximum(lower, 0.0)
    return Net(alpha, l1_ratio, is_standardised, lower, upper)


def check_bounds(bounds: Any, n_features: int) -> tuple[Floats | float, Floats | float]:
    """Return lower and upper bounds, infinite where there is none."""
    if bounds is None:
        return -np.inf, np.inf
    if isinstance(bounds, str) or not hasattr(bounds, "__len__"):
        raise TypeError(f"bounds must be {_BOUNDS}, got {bounds!r}.")
    if len(bounds) != 2:
        raise ValueError(f"bounds must be {_BOUNDS}, got {len(bounds)} entries.")
    lower = _side("lower", bounds[0], -np.inf, n_features)
    upper = _side("upper", bounds[1], np.inf, n_features)
    crossed = np.broadcast_to(np.asarray(lower) > np.asarray(upper), n_features)
    if crossed.any():
        j = int(np.argmax(crossed))
        low, high = (np.broadcast_to(side, n_features)[j] for side in (lower, upper))
        raise ValueError(
            f"bounds must have lower <= upper, got {low:g} > {high:g} for feature {j}."
        )
    return lower, upper


def _side(name: str, value: Any, none: float, n_features: int) -> Floats | float:
    """Return one side of the bounds: a number, or one for each feature."""
    if value is None:
        return none
    side = _array(name, value)
    if side.ndim and side.shape != (n_features,):
        raise ValueError(
            f"bounds must be {_BOUNDS}: the {name} bounds have shape {side.shape}, but "
            f"X has {n_features} features."
        )
    if np.isnan(side).any():
        raise ValueError(f"bounds must not be NaN, got NaN among the {name} bounds.")
    if (side == -none).any():
        raise ValueError(
            f"bounds must leave a number, got {name} bounds with {-none:g}."
        )
    return side if side.ndim else float(side)


def _array(name: str, value: ArrayLike) -> Floats:
    try:
        array = np.array(value)
        if array.dtype.kind not in "iuf":
            raise TypeError
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"bounds must be {_BOUNDS}, got {value!r} as the {name} bounds."
        ) from error
