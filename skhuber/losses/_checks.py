"""Checks of labels, with errors that name the value, its index and what is allowed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from skhuber.losses._base import Array

__all__ = [
    "check_binary",
    "check_class",
    "check_length",
    "check_share",
    "check_sign",
]

# Elements checked at a time, so that temporary arrays take at most 512 KiB for an
# argument of any size.
_PART = 2**16


def _check(
    name: str,
    array: Array,
    is_allowed: Callable[[Array], Array],
    allowed: str,
    shape: tuple[int, ...],
) -> None:
    """Raise a ValueError that names the first disallowed element and its index."""
    flat = array.reshape(-1)
    for start in range(0, flat.size, _PART):
        part = is_allowed(flat[start : start + _PART])
        if not part.all():
            position = start + int(np.argmin(part))
            index = tuple(int(i) for i in np.unravel_index(position, shape))
            raise ValueError(
                f"{name} must be {allowed}, got {flat[position]!s} at index {index}."
            )


def check_sign(name: str, array: Array, shape: tuple[int, ...]) -> None:
    """Raise a ValueError unless all labels are −1 or 1."""
    _check(name, array, lambda part: np.abs(part) == 1, "-1 or 1", shape)


def check_binary(name: str, array: Array, shape: tuple[int, ...]) -> None:
    """Raise a ValueError unless all labels are 0 or 1."""
    _check(name, array, lambda part: (part == 0) | (part == 1), "0 or 1", shape)


def check_share(name: str, array: Array, shape: tuple[int, ...]) -> None:
    """Raise a ValueError unless all elements are between 0 and 1."""
    _check(
        name, array, lambda part: (part >= 0) & (part <= 1), "between 0 and 1", shape
    )


def check_class(name: str, array: Array, n: int, shape: tuple[int, ...]) -> None:
    """Raise a ValueError unless all labels are class indices from 0 to n − 1."""
    _check(
        name,
        array,
        lambda part: (part >= 0) & (part < n) & (part == np.floor(part)),
        f"an integer between 0 and {n - 1}",
        shape,
    )


def check_length(name: str, array: Array, greatest: int) -> None:
    """Raise a ValueError unless all lengths are integers from 0 to `greatest`."""
    _check(
        name,
        array,
        lambda part: (part >= 0) & (part <= greatest) & (part == np.floor(part)),
        f"an integer between 0 and {greatest}",
        array.shape,
    )
