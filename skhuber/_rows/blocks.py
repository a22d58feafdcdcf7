"""Several sources of rows, taken as one."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skhuber._rows.base import RowSource
from skhuber._rows.csr import CSRRows
from skhuber._rows.dense import DenseRows
from skhuber._rows.memory import MemoryRows
from skhuber._sums import Columns, Data, Floats, Point, Sums, Want


class BlockedRows(RowSource):
    """The rows of several sources, one source after the other.

    A sample of them is one source in memory, with rows in C order or in CSR format.

    Parameters
    ----------
    blocks : sequence of sources in memory
        Of one type of X, one number of columns and one `weight_power`. Either all of
        them have weights or none has. All are sparse or none is.
    """

    def __init__(self, blocks: Sequence[MemoryRows]) -> None:
        first = blocks[0]
        weights = [block.weight for block in blocks if block.weight is not None]
        if len(weights) not in (0, len(blocks)):
            raise ValueError("all blocks must have weights or none")
        if len({block.layout == "csr" for block in blocks}) > 1:
            raise ValueError("blocks must be all sparse or all dense")
        for name in ("n_features", "dtype", "weight_power"):
            found = [getattr(block, name) for block in blocks]
            if any(value != found[0] for value in found):
                raise ValueError(f"blocks must have one {name}, got {found}")
        super().__init__(
            np.concatenate([block.y for block in blocks]),
            np.concatenate(weights) if weights else None,
            threads=first.threads,
            weight_power=first.weight_power,
        )
        self.n_features = first.n_features
        self.dtype = first.dtype
        self.layout = first.layout
        self.n_elements = sum(block.n_elements for block in blocks)
        self._blocks = blocks
        self._ends = np.cumsum([block.n_rows for block in blocks])

    @property
    def is_finite(self) -> bool:
        return all(block.is_finite for block in self._blocks)

    def _parts(self, array: Any) -> Iterator[tuple[MemoryRows, Any]]:
        """Yield each block and its part of an array of length n."""
        parts = np.split(array, self._ends[:-1])
        yield from zip(self._blocks, parts, strict=True)

    def _sweep(self, point: Point, want: Want, residuals: Data | None) -> Sums:
        kept: Sequence[Any] = [None] * len(self._blocks)
        if residuals is not None:
            kept = np.split(residuals, self._ends[:-1])
        wants = [want] * len(self._blocks)
        if want.picks is not None:
            parts = want.picks.split(self._ends)
            wants = [replace(want, picks=part) for part in parts]
        sums = [
            block.sweep([point], one, r)[0]
            for block, one, r in zip(self._blocks, wants, kept, strict=True)
        ]
        return reduce(operator.add, sums)

    def _sweep_together(self, points: Sequence[Point]) -> list[Sums]:
        answers = zip(*(block.sweep(points) for block in self._blocks), strict=True)
        return [reduce(operator.add, sums) for sums in answers]

    def _fill_squared_lengths(self, centre: Floats, unit: Floats, out: Floats) -> None:
        for block, part in self._parts(out):
            block._fill_squared_lengths(centre, unit, part)

    def _max_abs_deviation(self, centre: Floats) -> Floats:
        found = [block.max_abs_deviation(centre) for block in self._blocks]
        return np.maximum.reduce(found)

    def without_empty_columns(self) -> tuple[RowSource, Columns]:
        if self.layout != "csr":
            return self, slice(None)
        # (Few rows, of which a dense copy is made next.)
        return self._take(np.arange(self.n_rows), self.weight).without_empty_columns()

    def columns(self, index: NDArray[np.intp]) -> BlockedRows:
        return BlockedRows([block.columns(index) for block in self._blocks])

    def standardised(self, centre: Floats, unit: Floats) -> Floats:
        return np.vstack([block.standardised(centre, unit) for block in self._blocks])

    def _columns(self, index: NDArray[np.intp]) -> Iterator[tuple[slice, Floats]]:
        return self._take(index, None)._columns(np.arange(len(index)))

    def _take(self, index: NDArray[np.intp], weight: Floats | None) -> MemoryRows:
        order = np.argsort(index, kind="stable")
        parts = np.split(index[order], np.searchsorted(index[order], self._ends[:-1]))
        starts = self._ends - [block.n_rows for block in self._blocks]
        found = [
            block.rows_of_X(part - start)
            for block, part, start in zip(self._blocks, parts, starts, strict=True)
        ]
        y = self.y[index]
        if self.layout == "csr":
            X = sp.vstack(found, format="csr")[np.argsort(order)]
            return CSRRows(X, y, weight, threads=self.threads)
        dense = np.empty((len(index), self.n_features), self.dtype)
        dense[order] = np.concatenate(found)
        return DenseRows(dense, y, weight, threads=self.threads)
