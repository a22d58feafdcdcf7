"""Rows of a dense array."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhuber._common.arrays import is_mapped, read_only
from skhuber._kernels import dense, sweeps
from skhuber._rows.base import some_columns
from skhuber._rows.gram import DenseGramAdder
from skhuber._rows.memory import ALL_ROWS, MemoryRows
from skhuber._runtime import block_rows
from skhuber._sums import Data, Floats

# Bytes of a chunk of rows in C order, which are read twice: a small part of a level-2
# cache.
_CHUNK_BYTES = 2**16


class DenseRows(MemoryRows):
    """Rows of a dense X of float32 or float64, in any layout.

    Parameters
    ----------
    X : ndarray of shape (n, p)
    y, weight, threads, weight_power
        As for `RowSource`.
    picked : ndarray of int of shape (n,), default=None
        The numbers of the rows of X that are meant. None: all.
    """

    _is_dense = True

    def __init__(
        self,
        X: Data,
        y: Data,
        weight: Floats | None = None,
        *,
        threads: int = 1,
        weight_power: int | None = None,
        picked: NDArray[np.intp] | None = None,
    ) -> None:
        super().__init__(y, weight, threads=threads, weight_power=weight_power)
        self.X = read_only(X)
        self.picked = None if picked is None else read_only(picked)
        self.n_features = X.shape[1]
        self.dtype = X.dtype
        self.n_elements = self.n_rows * self.n_features
        has_long_columns = X.flags.f_contiguous and not X.flags.c_contiguous
        self.layout = "columns" if has_long_columns else "rows"
        row_bytes = X.itemsize * self.n_features
        self._block = block_rows(row_bytes, long_columns=has_long_columns)
        if has_long_columns:
            self._chunk = self._block
        else:
            self._chunk = max(_CHUNK_BYTES // max(row_bytes, 1) // 8 * 8, 8)
        if picked is not None:
            self._kernels = sweeps.OF_PICKED
        elif has_long_columns or self.n_features > dense.NARROW:
            self._kernels = sweeps.BY_CHUNKS
        else:
            self._kernels = sweeps.OF_ROWS

    @property
    def is_finite(self) -> bool:
        return all(np.isfinite(X).all() for _, X in self._parts())

    def _parts(self) -> Iterator[tuple[slice, Data]]:
        """Yield slices of rows, and these rows of X."""
        for start in range(0, self.n_rows, self._block):
            rows = slice(start, min(start + self._block, self.n_rows))
            yield rows, self._part(rows)

    def _part(self, rows: slice) -> Data:
        return self.X[rows] if self.picked is None else self.X[self.picked[rows]]

    def rows_of_X(self, index: Any) -> Data:
        return self.X[index] if self.picked is None else self.X[self.picked[index]]

    @property
    def _kernel_X(self) -> object:
        return self.X if self.picked is None else (self.X, self.picked)

    @property
    def _kernel_picked(self) -> NDArray[np.intp]:
        return ALL_ROWS if self.picked is None else self.picked

    @property
    def takes_no_copies(self) -> bool:
        # (Of a file, rows here and there are read as pages, in every sweep over them.)
        return self.layout == "rows" and not is_mapped(self.X)

    def _take(self, index: NDArray[np.intp], weight: Floats | None) -> DenseRows:
        y, threads = self.y[index], self.threads
        if self.picked is not None:
            index = self.picked[index]
        if self.takes_no_copies:
            return DenseRows(self.X, y, weight, threads=threads, picked=index)
        return DenseRows(self.X[index], y, weight, threads=threads)

    def columns(self, index: NDArray[np.intp]) -> DenseRows:
        X = self.X[:, index]
        if self.picked is not None:
            X = X[self.picked]
        return DenseRows(
            np.ascontiguousarray(X),
            self.y,
            self.weight,
            threads=self.threads,
            weight_power=self.weight_power,
        )

    def _columns(self, index: NDArray[np.intp]) -> Iterator[tuple[slice, Floats]]:
        if self.picked is not None:
            index = self.picked[index]
        for columns in some_columns(len(index), self.n_features):
            X = self.X[:, columns][index]
            yield columns, X.astype(np.float64, copy=False)

    def _centred_part(self, rows: slice, centre: Floats, space: Floats) -> Floats:
        Z = space[: rows.stop - rows.start]
        if self.layout == "columns":
            return np.subtract(self._part(rows), centre, out=Z)
        dense.centre_rows(self.X, self._kernel_picked, rows.start, centre, Z)
        return Z

    def _adder_of(
        self,
        picked: NDArray[np.intp],
        weight: Floats,
        at: sweeps.At,
        kind: type[np.floating[Any]],
        gram: Floats,
    ) -> DenseGramAdder:
        return DenseGramAdder(self.X, picked, weight, at, kind, self.n_rows, gram)

    def double_precision(self) -> tuple[Floats, Floats, Floats]:
        """Return X, y and weight as C-ordered float64; meant for few rows.

        Without weights, that of the weights is empty.
        """
        X = np.ascontiguousarray(self._part(slice(None)), dtype=np.float64)
        y = np.ascontiguousarray(self.y, dtype=np.float64)
        return read_only(X), read_only(y), read_only(self._kernel_weight)

    def standardised(self, centre: Floats, unit: Floats) -> Floats:
        return (self._part(slice(None)) - centre) * unit

    def _max_abs_deviation(self, centre: Floats) -> Floats:
        result = np.zeros(self.n_features)
        for rows, X in self._parts():
            if self.weight is not None:
                X = X[self.weight[rows] > 0]
            distance = np.abs(X - centre).max(axis=0, initial=0.0)
            np.maximum(result, distance, out=result)
        return result
