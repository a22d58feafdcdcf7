"""Arrays as compiled kernels and the losses want them; nothing here loads numba."""

from __future__ import annotations

from typing import Any

__all__ = ["read_only"]


def read_only(array: Any) -> Any:
    """A view that numba types like that of an array which is read-only already.

    So both kinds run the same compiled code.
    """
    view = array.view()
    view.flags.writeable = False
    return view
