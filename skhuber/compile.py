"""Compilation of the kernels ahead of the first fit.

``python -m skhuber.compile`` compiles what fits need, for arrays in C and in Fortran
order and for CSR matrices, in both precisions, and prints the folder that keeps the
compiled code. What that folder has already is loaded, not compiled again.

The folder is numba's: in the one that the environment variable ``NUMBA_CACHE_DIR``
names, if it is set; else ``__pycache__`` beside the package's modules; or, if that is
not writable, a folder of the user.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp

from skhuber._estimators.regressor import HuberRegressor

__all__ = ["compile_kernels"]

# Rows; columns, and columns of rows that are too wide for the level-1 cache.
_ROWS, _COLUMNS, _WIDE = 64, 3, 600


def compile_kernels() -> str | None:
    """Compile what fits need, and keep it on disk.

    Returns
    -------
    folder : str or None
        The folder of the compiled code. None if numba finds none that it may write to,
        or if it is switched off.

    Examples
    --------
    >>> from skhuber.compile import compile_kernels
    >>> folder = compile_kernels()  # doctest: +SKIP
    """
    from skhuber._kernels import direct
    from skhuber._rows import make_rows
    from skhuber._sums import Point, Want

    for X, y in _data():
        rows = make_rows(X, y, None, 1)
        p = X.shape[1]
        ones, zeros = np.ones(p), np.zeros(p)
        point = Point(zeros, ones, 0.0, 1.0, zeros, 0.0, 1.0, 1.0)
        for kind in (np.float64, np.float32):
            rows.sweep([point], Want(squares=True, gram=kind))
        rows.sweep([point], Want(direction=np.ones(p + 2)))
        rows.sweep([point, point])
        rows.squared_lengths(zeros, ones)
    HuberRegressor().fit(*next(_data()))
    stats = getattr(direct.minimise, "stats", None)
    return None if stats is None else stats.cache_path


def _data() -> Iterator[tuple[Any, Any]]:
    """Yield an X and a y of each kind that fits are compiled for."""
    rng = np.random.default_rng(0)
    for n_columns in (_COLUMNS, _WIDE):
        X, y = rng.normal(size=(_ROWS, n_columns)), rng.normal(size=_ROWS)
        layouts = [X]
        if n_columns == _COLUMNS:
            layouts += [np.asfortranarray(X), sp.csr_array(X)]
        for data in layouts:
            yield data, y
            yield data.astype(np.float32), y
            yield data.astype(np.float32), y.astype(np.float32)


if __name__ == "__main__":
    folder = compile_kernels()
    print(f"Compiled code is kept in {folder}" if folder else "Nothing was kept.")
