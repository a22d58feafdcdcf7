"""The rows of a regression: the only code that reads X, y and sample weights.

All of it is sweeps: each reads the rows once and returns sums (`skhuber._sums.Sums`) or
one number per row. Sums add up, so code that solves a problem need not know whether the
rows are a C- or F-ordered array, a CSR matrix, or blocks. X is never changed, and it is
copied only if it is sparse with columns far from zero: the kernels centre and scale it
while they read, as a `skhuber._sums.Point` says.

`base` has the interface, `memory` the sweeps over arrays, `dense` and `csr` what
differs by layout, `gram` the sums of products, `blocks` several sources taken as one,
and `sampling` the picking of rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from skhuber._rows.base import RowSource
from skhuber._rows.blocks import BlockedRows
from skhuber._rows.csr import CSRRows, csr_rows
from skhuber._rows.dense import DenseRows
from skhuber._rows.distances import Distances
from skhuber._rows.sampling import leverage_share
from skhuber._sums import Data, Floats

__all__ = [
    "BlockedRows",
    "CSRRows",
    "DenseRows",
    "Distances",
    "RowSource",
    "leverage_share",
    "make_rows",
]


def make_rows(
    X: Any,
    y: Data,
    weight: Floats | None,
    threads: int,
    *,
    weight_power: int | None = None,
) -> DenseRows | CSRRows:
    """Return the row source for the layout of X, which is validated data.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n, p)
    y, weight, threads, weight_power
        As for `RowSource`.
    """
    if sp.issparse(X):
        if not X.has_canonical_format:  # the squares of duplicates do not add up
            X = X.copy()
            X.sum_duplicates()
        return csr_rows(X, y, weight, threads=threads, weight_power=weight_power)
    X = np.asarray(X)
    return DenseRows(X, y, weight, threads=threads, weight_power=weight_power)
