"""Adding up Gram matrices: products of rows that are standardised a few at a time."""

from __future__ import annotations

import abc
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skhuber._common.arrays import read_only
from skhuber._kernels import csr, dense
from skhuber._kernels.sweeps import At
from skhuber._runtime import block_rows
from skhuber._sums import Floats

# Bytes of standardised rows of which one product is made: a quarter of a level-2 cache
# of 1 MiB, since there are two such arrays. (On 100,000 × 50 half as many took 5 % more
# time, and twice as many 6 %.) There are at least as many rows as columns, so that
# adding the product to the sum costs little beside the product.
_PRODUCT_BYTES = 2**18
# The most parts of the rows whose Gram matrices are added up apart, in several threads.
_MAX_PARTS = 4
# Multiplications of a Gram matrix that take as long as reading one entry of X in a
# sweep, for the choice of the number of threads. (They take a quarter of that; but the
# threads wait for each other, in Python, between two products.)
_MULTIPLICATIONS_PER_ELEMENT = 32


class GramPlan:
    """How the rows are cut for a Gram matrix, which depends on their shape only.

    Attributes
    ----------
    width : int
        p + 2.
    step : int
        Rows, in whole blocks, that are read again while they are in cache.
    n_parts : int
    ends : list of int
        Part k is made of the steps ends[k] … ends[k + 1].
    work : int
        As for `run_blocks`.
    """

    def __init__(
        self,
        n_rows: int,
        n_features: int,
        n_elements: int,
        itemsize: int,
        block: int,
        n_points: int = 1,
    ) -> None:
        q = self.width = n_features + 2
        # In C and in F order it comes to as many rows: both blocks are powers of two,
        # and that of F order is the larger one. So both have the parts in common.
        step = block_rows(itemsize * q, long_columns=True)
        self.step = -(-step // block) * block
        n_steps = -(-n_rows // self.step)
        # Two matrices for each part and point should take a small part of the memory of
        # X.
        n_parts = min(max(n_elements // (8 * q**2 * n_points), 1), _MAX_PARTS)
        self.n_parts = min(n_parts, n_steps)
        self.ends = [n_steps * k // self.n_parts for k in range(self.n_parts + 1)]
        self.work = n_elements + n_rows * q**2 // _MULTIPLICATIONS_PER_ELEMENT
        self.work *= n_points


class GramAdder(abc.ABC):
    """Adder of the products of some rows to the two matrices `gram`, in row order.

    They are those of `skhuber._sums.Sums.gram`, but for what `MemoryRows._finish_gram`
    does once for all rows.
    """

    @abc.abstractmethod
    def add(self, start: int, r: Floats) -> None:
        """Add the rows from `start` on, of which r are the residuals."""

    @abc.abstractmethod
    def finish(self) -> None:
        """Add rows that were kept for a product of more rows."""


class DenseGramAdder(GramAdder):
    """Products by BLAS, of inliers and of outliers apart, in either precision.

    Picked rows of an X in F order are copied a few at a time: the kernel reads rows.
    """

    def __init__(
        self,
        X: NDArray[Any],
        picked: NDArray[np.intp],
        weight: Floats,
        at: At,
        kind: type[np.floating[Any]],
        n_rows: int,
        gram: Floats,
    ) -> None:
        self._data = X, picked, weight
        self._at = at
        self._gram = gram
        q = gram.shape[-1]
        size = max(_PRODUCT_BYTES // (np.dtype(kind).itemsize * q), q)
        self._Z = np.empty((2, min(size, n_rows), q), kind)
        self._filled = np.zeros(2, dtype=np.intp)

    def add(self, start: int, r: Floats) -> None:
        X, picked, weight = self._data
        if len(picked) and X.flags.f_contiguous and not X.flags.c_contiguous:
            rows = slice(start, start + len(r))
            X, picked, weight = read_only(X[picked[rows]]), picked[:0], weight[rows]
            start = 0
        k = 0
        while True:
            k = dense.standardise_rows(
                X, picked, start, k, weight, self._at, r, self._filled, self._Z
            )
            if k == len(r):
                return
            self._multiply(int(self._filled.argmax()))

    def _multiply(self, side: int) -> None:
        Z = self._Z[side, : self._filled[side]]
        self._gram[side] += Z.T @ Z
        self._filled[side] = 0

    def finish(self) -> None:
        for side in (0, 1):
            if self._filled[side] > 0:
                self._multiply(side)


class CSRGramAdder(GramAdder):
    """Products of stored entries, not centred; the upper triangle only."""

    def __init__(
        self,
        X: tuple[NDArray[Any], ...],
        picked: NDArray[np.intp],
        weight: Floats,
        at: At,
        gram: Floats,
    ) -> None:
        self._data = X, picked, weight
        self._at = at
        self._gram = gram

    def add(self, start: int, r: Floats) -> None:
        X, picked, weight = self._data
        csr.add_gram_csr(X, picked, start, weight, self._at, r, self._gram)

    def finish(self) -> None:
        pass


class PickedGramAdder(GramAdder):
    """Adder of the rows that are picked, from residuals of all rows.

    Parameters
    ----------
    adder : GramAdder
        Of the picked rows, numbered from 0 on.
    index : ndarray of int
        The numbers of these among all rows, ascending.
    """

    def __init__(self, adder: GramAdder, index: NDArray[np.intp]) -> None:
        self._adder = adder
        self._index = index

    def add(self, start: int, r: Floats) -> None:
        first, last = np.searchsorted(self._index, (start, start + len(r)))
        if first < last:
            self._adder.add(int(first), r[self._index[first:last] - start])

    def finish(self) -> None:
        self._adder.finish()
