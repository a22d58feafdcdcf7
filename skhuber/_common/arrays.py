"""Array helpers of the rows and the losses, without numba."""

from __future__ import annotations

import mmap
from typing import Any

__all__ = ["is_mapped", "read_only"]


def read_only(array: Any) -> Any:
    """Return a read-only view of the array.

    numba compiles a kernel once for writeable and once for read-only arrays. With views
    that are always read-only it compiles one version.
    """
    view = array.view()
    view.flags.writeable = False
    return view


def is_mapped(array: Any) -> bool:
    """Return whether an array is a view of a memory-mapped file."""
    while array is not None:
        if isinstance(array, mmap.mmap):
            return True
        array = getattr(array, "base", None)
    return False
