"""Rows of a sparse matrix."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skhuber._common.arrays import read_only
from skhuber._kernels import apart, sweeps
from skhuber._rows.base import MOMENT_ROWS, RowSource, moments_of, some_columns
from skhuber._rows.gram import CSRGramAdder
from skhuber._rows.memory import MemoryRows
from skhuber._runtime import block_rows
from skhuber._sums import Columns, Data, Floats, Moments, Point, Sums

# Rows of a chunk, of which the kernel keeps r.
_CHUNK = 256
# A block has sums of its own for all columns. It has at least this many stored entries
# for each column, so that its sums take a small part of the memory and of the time that
# the data take.
_ELEMENTS_PER_SUM = 128
# Columns farther from zero than this many times their spread are centred beforehand: of
# sums that are centred afterwards, three digits would be lost.
_FAR_FROM_ZERO = 2**10
# Rows that show which columns are that far.
_OFFSET_ROWS = 50
# Rounds in which columns apart are found, each of which reads the indices once; three
# find all of a block of one-hot columns.
_APART_ROUNDS = 4
# Rows that are asked first whether there are columns apart, and the share of all
# columns that have to be apart for elimination to pay: a tenth.
_APART_ROWS = 10_000
_APART_SHARE = 10


class CSRRows(MemoryRows):
    """Rows of a sparse X in CSR format; entries that are not stored are not touched.

    Parameters
    ----------
    X : CSR matrix or array of shape (n, p), in canonical format
    y, weight, threads, weight_power
        As for `RowSource`.
    offset : ndarray of shape (p,) or None
        Numbers that have been subtracted from all entries of the columns: the rows are
        those of X + offset. None for zeros.
    """

    layout = "csr"
    _is_dense = False
    _kernels = sweeps.OF_CSR
    _chunk = _CHUNK

    def __init__(
        self,
        X: sp.csr_matrix | sp.csr_array,
        y: Data,
        weight: Floats | None = None,
        *,
        threads: int = 1,
        weight_power: int | None = None,
        offset: Floats | None = None,
    ) -> None:
        super().__init__(y, weight, threads=threads, weight_power=weight_power)
        self.X = X
        self.n_features = X.shape[1]
        self._offset = np.zeros(X.shape[1]) if offset is None else offset
        self._arrays = tuple(read_only(a) for a in (X.data, X.indices, X.indptr))
        self.dtype = X.dtype
        self.n_elements = X.nnz
        row_bytes = (X.data.itemsize + 4) * X.nnz / max(self.n_rows, 1)
        rows_per_sum = (
            _ELEMENTS_PER_SUM * self.n_features * self.n_rows // max(X.nnz, 1)
        )
        self._block = max(block_rows(row_bytes), rows_per_sum)

    @property
    def is_finite(self) -> bool:
        return bool(np.isfinite(self.X.data).all())

    @property
    def _kernel_X(self) -> object:
        return self._arrays

    # The kernels do not touch zeros that are not stored, so they do not centre X. What
    # centring changes is added here, exactly:
    # r = y − b − (x − μ)·a = y − (b − μ·a) − x·a, and so on.

    def _kernel_centre(self, centre: Floats) -> Floats:
        return centre - self._offset

    def _kernel_intercept(self, point: Point) -> float:
        return point.intercept + self._kernel_offset(point, point.u * point.unit)

    def _centred(self, point: Point, sums: Sums) -> Sums:
        zero = self._kernel_centre(point.centre) * point.unit
        squares = sums.squares
        if squares is not None:
            mass = np.array([[sums.inlier], [sums.weight - sums.inlier]])
            squares = squares + mass * zero**2
        product = sums.product
        if product is not None:
            p = self.n_features
            product = product - product[p] * np.concatenate([zero, [0.0, 0.0]])
        gradient = sums.gradient - sums.c * zero
        return replace(sums, gradient=gradient, squares=squares, product=product)

    def _kernel_offset(self, point: Point, v: Floats) -> float:
        return -float(self._kernel_centre(point.centre) @ v)

    def _fill_squared_lengths(self, centre: Floats, unit: Floats, out: Floats) -> None:
        super()._fill_squared_lengths(centre, unit, out)
        zero = self._kernel_centre(centre) * unit
        out += float(zero @ zero)

    def rows_of_X(self, index: Any) -> Any:
        X = self.X[index]
        X.data += self._offset[X.indices].astype(X.dtype, copy=False)
        return X

    def _take(self, index: NDArray[np.intp], weight: Floats | None) -> CSRRows:
        return CSRRows(
            self.X[index],
            self.y[index],
            weight,
            threads=self.threads,
            offset=self._offset,
        )

    def _columns(self, index: NDArray[np.intp]) -> Iterator[tuple[slice, Floats]]:
        return _dense_columns(self.X[index].tocsc(), self._offset)

    def _moments(self, *, centred: bool) -> Moments:
        """Return the moments, without a dense copy of columns that are zero mostly."""
        X = self.X[self._pick(MOMENT_ROWS)].tocsc()
        n, p = X.shape
        count = np.diff(X.indptr)
        largest = abs(X).max(axis=0).toarray().ravel().astype(np.float64)
        unit = np.where(largest > 0, largest, 1.0)
        squares = (X.data / np.repeat(unit, count)) ** 2
        total = np.bincount(np.repeat(np.arange(p), count), squares, minlength=p)
        centre, spread = np.zeros(p), unit * np.sqrt(total / n)
        # (Most numbers of the others are zero, and so are medians.)
        dense = np.flatnonzero((2 * count >= n) | (self._offset != 0))
        columns = _dense_columns(X[:, dense], self._offset[dense])
        found = moments_of(columns, len(dense), centred=centred)
        centre[dense], spread[dense] = found.centre, found.spread
        return Moments(centre, spread)

    def _centred_part(self, rows: slice, centre: Floats, space: Floats) -> Any:
        return self.X[rows]

    def without_empty_columns(self) -> tuple[RowSource, Columns]:
        stored = np.unique(self.X.indices)
        if len(stored) in (0, self.n_features):
            return self, slice(None)
        return self.columns(stored), stored

    def columns(self, index: NDArray[np.intp]) -> CSRRows:
        return CSRRows(
            self.X[:, index],
            self.y,
            self.weight,
            threads=self.threads,
            weight_power=self.weight_power,
            offset=self._offset[index],
        )

    @functools.cached_property
    def columns_apart(self) -> NDArray[np.intp]:
        """Columns of which no row stores two, as many as are soon found.

        They are the largest block of one-hot columns, if there is one. Each round takes
        the columns that are the rarest in all of their rows, and leaves out those that
        meet them (Luby's algorithm for independent sets, SIAM J. Comput. 15, 1986, with
        the rarest instead of random ones). Columns that half of the rows store, or that
        have an offset, are left out, since they are centred.

        Some of the rows tell if there are few of them: all rows then have even fewer.
        """
        if self.n_rows > 2 * _APART_ROWS:
            some = self.X[:: self.n_rows // _APART_ROWS]
            y = np.zeros(some.shape[0])
            fewer = CSRRows(some, y, offset=self._offset).columns_apart
            if len(fewer) < self.n_features / _APART_SHARE:
                return np.empty(0, dtype=np.intp)
        count = np.bincount(self.X.indices, minlength=self.n_features)
        rank = np.empty(len(count), dtype=np.intp)
        rank[np.argsort(count, kind="stable")] = np.arange(len(count))
        state = np.zeros(len(count), dtype=np.int8)
        is_left_out = (2 * count > self.n_rows) | (self._offset != 0)
        state[is_left_out] = apart.OTHER
        for _ in range(_APART_ROUNDS):
            loses = np.zeros(len(count), dtype=np.bool_)
            apart.find_losers(self._arrays, rank, state, loses)
            found = (state == apart.UNDECIDED) & ~loses
            if not found.any():
                break
            state[found] = apart.APART
        return np.flatnonzero(state == apart.APART)

    def split_gram(
        self, point: Point, residuals: Data, index: NDArray[np.intp]
    ) -> tuple[Floats, Floats]:
        """Return the Gram matrix of the inliers, without the squares of columns apart.

        Parameters
        ----------
        point : Point
        residuals : ndarray of shape (n,)
            At this point.
        index : ndarray of int of shape (k,)
            The columns apart; their centre is zero.

        Returns
        -------
        gram : ndarray of shape (p − k + 2, p − k + 2)
            Σ s [z, 1, t][z, 1, t]ᵀ over the inliers, with z of the other columns.
        cross : ndarray of shape (k, p − k + 2)
            Σ s z_j [z, 1, t] likewise, of each column j apart.
        """
        others = np.delete(np.arange(self.n_features), index)
        place = np.empty(self.n_features, dtype=np.intp)
        place[index], place[others] = -1 - np.arange(len(index)), np.arange(len(others))
        m = len(others)
        cross, gram = np.zeros((len(index), m + 2)), np.zeros((m + 2, m + 2))
        at = self._at(point)
        self._count_sweep()
        apart.add_split_gram(
            self._arrays, self._kernel_weight, at, residuals, place, cross, gram
        )
        zero = (at.centre * at.unit)[others]
        _finish_gram(zero, gram)
        cross[:, :m] -= np.outer(cross[:, m], zero)
        return gram, cross

    def standardised(self, centre: Floats, unit: Floats) -> Floats:
        return (self.X.toarray() - self._kernel_centre(centre)) * unit

    def _max_abs_deviation(self, centre: Floats) -> Floats:
        X = self.X
        if self.n_present < self.n_rows:
            assert self.weight is not None
            X = X[self.weight > 0]
        centre = self._kernel_centre(centre)
        highest = X.max(axis=0).toarray().ravel() - centre
        lowest = X.min(axis=0).toarray().ravel() - centre
        return np.maximum(np.abs(highest), np.abs(lowest))

    def _adder_of(
        self,
        picked: NDArray[np.intp],
        weight: Floats,
        at: sweeps.At,
        kind: type[np.floating[Any]],
        gram: Floats,
    ) -> CSRGramAdder:
        return CSRGramAdder(self._arrays, picked, weight, at, gram)

    def _finish_gram(self, at: sweeps.At, gram: Floats) -> None:
        _finish_gram(at.centre * at.unit, gram)


def _dense_columns(X: Any, offset: Floats) -> Iterator[tuple[slice, Floats]]:
    """Yield slices of the columns of a CSC matrix, and these as dense float64."""
    for columns in some_columns(*X.shape):
        dense = X[:, columns].toarray().astype(np.float64, copy=False)
        yield columns, dense + offset[columns]


def _finish_gram(m: Floats, gram: Floats) -> None:
    """Complete an upper triangle, in place, and centre its columns by m."""
    p = len(m)
    upper = gram[:p, :p]
    diagonal = np.diagonal(gram).copy()
    gram += gram.T
    np.fill_diagonal(gram, diagonal)
    if m.any():
        # Σ h (z − m)(z − m)ᵀ = Σ h z zᵀ − m aᵀ − a mᵀ + (Σ h) m mᵀ with a = Σ h z.
        # The column of ones has a and Σ h.
        a, mass = gram[:p, p].copy(), gram[p, p]
        cross = np.outer(m, a - 0.5 * mass * m)
        upper -= cross + cross.T
        gram[:p, p:] -= np.outer(m, gram[p, p:])
        gram[p:, :p] = gram[:p, p:].T


def csr_rows(
    X: sp.csr_matrix | sp.csr_array, y: Data, weight: Floats | None, **options: Any
) -> CSRRows:
    """Return the rows of a canonical X, whose far columns are centred beforehand.

    Options are the others of `CSRRows`.
    """
    offset = offset_of(X)
    if offset is not None:
        centred = X.data - offset[X.indices]
        X = type(X)((centred, X.indices, X.indptr), shape=X.shape)
    return CSRRows(X, y, weight, offset=offset, **options)


# (Infinite values, which nobody has looked for yet.)
@np.errstate(over="ignore", invalid="ignore")
def offset_of(X: sp.csr_matrix | sp.csr_array) -> Floats | None:
    """Return what is to be subtracted from columns beforehand; None for nothing.

    Sums over stored entries are centred afterwards, by a difference that costs as many
    digits as a column is far from zero. A column that stores an entry in every row can
    be centred beforehand and keeps all of its digits. The difference from an entry amid
    the column is exact for all entries within a factor of two of it (Sterbenz's lemma).
    """
    n, p = X.shape
    if X.nnz < n or X.dtype != np.float64:
        return None
    index = np.unique(np.linspace(0, n - 1, min(n, _OFFSET_ROWS)).astype(np.intp))
    some = X[index].tocsc()
    stored = np.flatnonzero(np.diff(some.indptr) == len(index))
    dense = some[:, stored].toarray()
    middle = np.sort(dense, axis=0)[len(index) // 2]
    distance = np.abs(dense - middle)
    spread = np.median(distance, axis=0)
    spread = np.where(spread > 0, spread, distance.max(axis=0))
    is_far = (spread > 0) & (_FAR_FROM_ZERO * spread < np.abs(middle))
    offset = np.zeros(p)
    offset[stored[is_far]] = middle[is_far]
    if offset.any():
        offset[np.bincount(X.indices, minlength=p) < n] = 0.0
    return offset if offset.any() else None
