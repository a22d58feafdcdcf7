"""Array helpers of the rows and the losses, without numba."""

from __future__ import annotations

from typing import Any

__all__ = ["read_only"]


def read_only(array: Any) -> Any:
    """Return a read-only view of the array.

    numba compiles a kernel once for writeable and once for read-only arrays. With views
    that are always read-only it compiles one version.
    """
    view = array.view()
    view.flags.writeable = False
    return view
