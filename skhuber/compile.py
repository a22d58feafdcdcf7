"""Compilation of the kernels ahead of the first fit.

``python -m skhuber.compile`` compiles what the estimators' fits need, for arrays in C
and in Fortran order and for CSR matrices, in both precisions, and prints the folder
that keeps the compiled code. What that folder has already is not compiled again. ::

    python -m skhuber.compile --layouts C --dtypes float64

leaves out other layouts and precisions.

The folder is numba's: in the one that the environment variable ``NUMBA_CACHE_DIR``
names, if it is set; else ``__pycache__`` beside the package's modules; or, if that is
not writable, a folder of the user.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from skhuber._common.validation import check_choice
from skhuber._estimators.elastic_net import HuberElasticNet
from skhuber._estimators.regressor import HuberRegressor

__all__ = ["compile_kernels"]

_LAYOUTS = {"C": np.ascontiguousarray, "F": np.asfortranarray, "CSR": sp.csr_array}
_DTYPES = "float64", "float32"
# Rows; columns, and columns of rows that are too wide for the level-1 cache.
_ROWS, _COLUMNS, _WIDE = 64, 3, 600


def compile_kernels(
    layouts: Sequence[str] = tuple(_LAYOUTS), dtypes: Sequence[str] = _DTYPES
) -> str | None:
    """Compile what fits need, and keep it on disk.

    Parameters
    ----------
    layouts : sequence of {"C", "F", "CSR"}, default=("C", "F", "CSR")
        Layouts of X.
    dtypes : sequence of {"float64", "float32"}, default=("float64", "float32")
        Types of X. The target of an X of float64 is taken to be of float64, too.

    Returns
    -------
    folder : str or None
        The folder of the compiled code. None if numba finds none that it may write to,
        or if it is switched off.

    Raises
    ------
    ValueError
        If a layout or a type is none of these.

    Notes
    -----
    Losses (`skhuber.losses`) and the bootstrap compile their kernels at first use.

    Examples
    --------
    >>> from skhuber.compile import compile_kernels
    >>> folder = compile_kernels(["C"], ["float64"])  # doctest: +SKIP
    """
    from skhuber._kernels import direct
    from skhuber._rows import make_rows

    for layout in layouts:
        check_choice("layouts", layout, tuple(_LAYOUTS))
    for dtype in dtypes:
        check_choice("dtypes", dtype, _DTYPES)
    for X, y in _data(layouts, dtypes):
        rows = make_rows(X, y, None, 1)
        _sweep(rows)
        _sweep(rows.take(np.arange(0, _ROWS, 2)))
    X, y = next(_data(["C"], ["float64"]))
    HuberRegressor().fit(X, y)
    HuberElasticNet().fit(X, y)
    stats = getattr(direct.minimise, "stats", None)
    return None if stats is None else stats.cache_path


def _sweep(rows: Any) -> None:
    """Make each sum that fits ask for."""
    from skhuber._sums import Point, Want

    p = rows.n_features
    ones, zeros = np.ones(p), np.zeros(p)
    point = Point(zeros, ones, 0.0, 1.0, zeros, 0.0, 1.0, 1.0)
    for kind in (np.float64, np.float32):
        rows.sweep([point], Want(squares=True, gram=kind))
    rows.sweep([point], Want(direction=np.ones(p + 2)))
    rows.sweep([point, point])
    rows.squared_lengths(zeros, ones)


def _data(
    layouts: Sequence[str], dtypes: Sequence[str]
) -> Iterator[tuple[Any, np.ndarray]]:
    """Yield an X and a y of each kind that kernels are compiled for."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(_ROWS, _WIDE)), rng.normal(size=_ROWS)
    for layout in layouts:
        for n_columns in (_COLUMNS, _WIDE) if layout == "C" else (_COLUMNS,):
            part = X[:, :n_columns]
            for dtype in dtypes:
                for y_dtype in {"float64", dtype}:
                    yield _LAYOUTS[layout](part.astype(dtype)), y.astype(y_dtype)


def _main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m skhuber.compile",
        description="Compile the kernels of skhuber ahead of the first fit.",
    )
    layouts, dtypes = list(_LAYOUTS), list(_DTYPES)
    parser.add_argument("--layouts", nargs="+", choices=layouts, default=layouts)
    parser.add_argument("--dtypes", nargs="+", choices=dtypes, default=dtypes)
    given = parser.parse_args()
    folder = compile_kernels(given.layouts, given.dtypes)
    print(f"Compiled code is kept in {folder}" if folder else "Nothing was kept.")


if __name__ == "__main__":
    _main()
