"""A pause of Python's garbage collector while numba creates its objects.

numba's import and the first call of a compiled function create several hundred thousand
objects that stay. As their number grows, Python visits all objects of the process again
and again, in search of unreachable cycles.

This module imports numba, in such a pause. So it is imported before the other modules
that need numba.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["without_collector"]

P = ParamSpec("P")
R = TypeVar("R")


def without_collector(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function, during which Python does not search for garbage by itself.

    Objects whose references have gone are freed as ever. If calls in several threads
    overlap, the collector is on again as soon as that call ends which found it on.
    """

    @functools.wraps(function)
    def paused(*args: P.args, **kwargs: P.kwargs) -> R:
        was_on = gc.isenabled()
        try:
            gc.disable()
            return function(*args, **kwargs)
        finally:
            if was_on:
                gc.enable()

    return paused


@without_collector
def _import_numba() -> None:
    import numba  # noqa: F401


_import_numba()
