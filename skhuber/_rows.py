"""The rows of a regression: the only code that touches X, y and sample weights.

Everything here is a sweep: it reads the rows once and returns sums (loss parts,
gradient, Gram matrix) or one number per row. Sums add up, so who solves a problem
need not know whether the rows are a C- or F-ordered array, a CSR matrix, or, later,
blocks of a file or of a cluster. X is never copied and never changed: centring and
scaling happen in the kernels, as a `Point` asks.

A sweep works on standardised numbers: with the powers of two ``unit``, ``y_unit`` and
``weight_unit`` (the rows' own),

    z = (x − centre)·unit        r = (y − y_centre)·y_unit − intercept − z·u
    s = weight·weight_unit       c = clip(r, ±threshold).
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skhuber._arrays import read_only
from skhuber._kernels import csr, dense, passes
from skhuber._numba import block_rows, run_blocks
from skhuber._sweep import Floats, Moments, Point, Sums, Tally

# Bytes of rows of a dense X that the Gram matrix copies and standardises at a time: a
# small part of a level-2 cache, but at least as many rows as columns, so that adding
# up the products costs little beside the products.
_GRAM_BYTES = 2**17
# The same of rows in single precision, where no more is needed.
_ROUGH_BYTES = 2**17
# Parts of the rows whose Gram matrices are added up by themselves, maybe in several
# threads: at most so many.
_GRAM_PARTS = 4
# Multiplications of a Gram matrix that are worth as many threads as one element of a
# sweep. (They take a quarter of its time; but the threads wait for each other, in
# Python, between two products.)
_GRAM_WORK = 32
# Numbers of X and of r at a time of a sweep at several points: what a level-2 cache
# holds, and no less than makes Python's part of the work small (the threads wait for
# each other there). And the least and the most rows; a sparse product is slower to
# start. Parts of the rows have sums of their own.
_TOGETHER_ELEMENTS = 2**17
_TOGETHER_ROWS = 512, 8192
_TOGETHER_PARTS = 16
# Bytes of a chunk of rows (`chunk` in the kernels) that are looked at more than once:
# a small part of a level-2 cache.
_CHUNK_BYTES = 2**16

# What is copied of a large sample at a time: this share of the rows, or so many.
_PIECE_SHARE = 100
_PIECE_MIN = 500

# Rows from which the columns' medians are taken.
_MOMENT_ROWS = 200
# Numbers of X at a time for that.
_COLUMNS_ELEMENTS = 2**15

Data = NDArray[np.float64] | NDArray[np.float32]

_NO_WEIGHT: Floats = np.empty(0)
_NO_INDEX: NDArray[np.intp] = np.empty(0, dtype=np.intp)
_NO_INDEX.flags.writeable = False


@dataclass(frozen=True)
class Picks:
    """Rows picked of all.

    Attributes
    ----------
    index : ndarray of int of shape (m,)
    weight : ndarray of shape (m,) or None
        None: one for every row.
    """

    index: NDArray[np.intp]
    weight: Floats | None

    def pieces(self, n_rows: int) -> Iterator[Picks]:
        """So many of them at a time."""
        for start in range(0, len(self.index), n_rows):
            piece = slice(start, start + n_rows)
            weight = None if self.weight is None else self.weight[piece]
            yield Picks(self.index[piece], weight)


class Rows(abc.ABC):
    """X, y and weights, and the sweeps over them.

    Parameters
    ----------
    y : ndarray of shape (n,), C-contiguous, float32 or float64
    weight : ndarray of shape (n,) or None
        Non-negative, not all zero. None: one for every row.
    threads : int
        The most threads that a sweep may use.

    Attributes
    ----------
    n_features : int
    n_elements : int
        Numbers of X that a sweep reads.
    dtype : dtype
        The type of X.
    n_present : int
        Rows whose weight is not zero.
    n_sweeps : int
        Sweeps over all rows so far.
    total_weight : float
        Σ s.
    weight_power : int
        s = weight · 2^weight_power ≤ 1.
    """

    n_features: int
    n_elements: int
    dtype: np.dtype[Any]
    _block: int  # rows in a block
    _chunk: int  # rows in a part of a block that is looked at again

    def __init__(self, y: Data, weight: Floats | None, threads: int) -> None:
        self.y = read_only(y)
        self.n_rows = y.shape[0]
        self.n_sweeps = 0
        self.threads = threads
        # Called with objective, place and value after each evaluation on these rows.
        self.watch: Callable[[Any, Floats, float], None] | None = None
        # Where the last sweep of sums was, and r of every row there, in the type of X:
        # what is asked next is often about the same place.
        self._last: tuple[Point, Data] | None = None
        if weight is None:
            self.weight = None
            self.n_present = self.n_rows
            self.weight_power = 0
            self.total_weight = float(self.n_rows)
        else:
            self.weight = read_only(weight)
            self.n_present = int(np.count_nonzero(weight))
            # Powers of two change no digit of a weight; scaled to at most one, no
            # sum of weights overflows.
            self.weight_power = int(np.clip(-np.frexp(weight.max())[1], -1000, 1000))
            self.total_weight = float(np.sum(weight * self.weight_unit))

    @property
    def weight_unit(self) -> float:
        """Power of two by which weights are multiplied."""
        return float(2.0**self.weight_power)

    @property
    def natural_weight(self) -> float:
        """The sum of the weights as they were given."""
        return self.total_weight / self.weight_unit

    @property
    @abc.abstractmethod
    def is_finite(self) -> bool:
        """Whether X is free of NaN and infinity; meant for few rows."""

    @property
    @abc.abstractmethod
    def _kernel_X(self) -> object:
        """X as the kernels take it."""

    @property
    def takes_no_copies(self) -> bool:
        """Whether a sample of these rows is nothing but their numbers."""
        return False

    def without_empty_columns(self) -> tuple[Rows, NDArray[np.intp]] | None:
        """Columns that store anything, and their numbers; None if most may do so.

        The copy is smaller than a vector of coefficients.
        """
        return None

    @abc.abstractmethod
    def _take(self, index: NDArray[np.intp], weight: Floats | None) -> Rows:
        """Some rows, with these weights."""

    @abc.abstractmethod
    def _columns(self, index: NDArray[np.intp]) -> Iterator[tuple[slice, Floats]]:
        """Some rows as dense float64 arrays of some columns each, and these columns."""

    @abc.abstractmethod
    def standardised(self, centre: Floats, unit: Floats) -> Floats:
        """(n, p), a dense copy of (x − centre)·unit; meant for few rows."""

    @abc.abstractmethod
    def largest(self, centre: Floats) -> Floats:
        """(p,), the largest |x − centre| of each column."""

    @abc.abstractmethod
    def _add_gram(
        self, point: Point, rows: slice, h: Floats, extra: Floats, gram: Floats
    ) -> None:
        """gram += Σ h [z, extra][z, extra]ᵀ over some rows, of which h and extra are.

        What is left to be done once for all rows does `_finished_gram`.
        """

    @abc.abstractmethod
    def _add_rough_gram(
        self,
        point: Point,
        rows: slice,
        r: Data,
        scale: float,
        outlier_part: float,
        gram: Floats,
        space: NDArray[np.float32],
    ) -> None:
        """The same with the h of `sums_and_gram`, to a few digits.

        `r` is of these rows; the space is for some of them, where X is dense.
        """

    def _kernel_intercept(self, point: Point) -> float:
        """The intercept that the kernels subtract."""
        return point.intercept

    def _centred(self, point: Point, sums: Sums) -> Sums:
        """Sums as if the kernels had centred X."""
        return sums

    @property
    def _n_blocks(self) -> int:
        return -(-self.n_rows // self._block)

    def _numbers(self, point: Point) -> Floats:
        return np.array(
            [
                point.y_centre,
                point.y_unit,
                self._kernel_intercept(point),
                point.threshold,
                self.weight_unit,
            ]
        )

    def take(self, index: NDArray[np.intp]) -> Rows:
        """Some rows, with their own weights."""
        return self._take(index, None if self.weight is None else self.weight[index])

    def sums(self, point: Point, *, squares: bool = False) -> Sums:
        """One sweep: what loss, gradient and (with `squares`) diagonal need."""

        def sweep(arguments: tuple[Any, ...], r: Data) -> None:
            self._run(passes.sums, arguments)

        return self._sums(point, sweep, squares=squares)

    def sums_and_gram(
        self, point: Point, scale: float, outlier_part: float
    ) -> tuple[Sums, Floats]:
        """One sweep: `sums`, and Σ h [z, 1, t][z, 1, t]ᵀ of all rows to a few digits.

        t = clip(r, ±threshold)/scale. Inside h = s·(1 + outlier_part), and outside
        h = s·outlier_part·threshold/|r|: of what `grams` returns the first matrix, and
        this part of the sum of both. Of a dense X the products are of single precision,
        which takes half the time, and not finite where they overflow.

        Returns
        -------
        sums : Sums
        gram : ndarray of shape (p + 2, p + 2)
        """
        q = self.n_features + 2
        # Rows at a time, of which a product is made: no fewer than columns, and few
        # enough to stay in a cache. And whole blocks that are so many rows or more. (As
        # many in C as in F order: in single precision another order of adding up would
        # show. Powers of two all.)
        n_rows = max(_ROUGH_BYTES // (4 * q), q)
        n_rows = 1 << n_rows.bit_length()
        step = max(n_rows, block_rows(self.dtype.itemsize * q, long_columns=True))
        step = -(-step // self._block) * self._block
        n_steps = -(-self.n_rows // step)
        n_parts = min(self._gram_parts(q), n_steps)
        ends = [n_steps * k // n_parts for k in range(n_parts + 1)]
        blocks = step // self._block
        grams = np.zeros((n_parts, q, q))

        def sweep(arguments: tuple[Any, ...], r: Data) -> None:
            def add(first: int, last: int) -> None:
                shape = (n_rows, q) if self._is_dense else (0, 0)
                space = np.empty(shape, np.float32)
                # (numpy's state of errors is a thread's own.)
                with np.errstate(over="ignore", invalid="ignore"):
                    for part in range(first, last):
                        for k in range(ends[part], ends[part + 1]):
                            stop = min((k + 1) * blocks, self._n_blocks)
                            passes.sums(k * blocks, stop, *arguments)
                            rows = slice(k * step, (k + 1) * step)
                            self._add_rough_gram(
                                point,
                                rows,
                                r[rows],
                                scale,
                                outlier_part,
                                grams[part],
                                space,
                            )

            self.n_sweeps += 1
            work = self.n_elements + self.n_rows * q**2 // _GRAM_WORK
            run_blocks(add, n_parts, work, self.threads, ())

        sums = self._sums(point, sweep, squares=False)
        return sums, self._finished_gram(point, grams.sum(axis=0))

    def _sums(
        self,
        point: Point,
        sweep: Callable[[tuple[Any, ...], Data], None],
        *,
        squares: bool,
    ) -> Sums:
        """The sums that a sweep of `passes.sums` with certain arguments makes.

        It is called with these and with r, which it fills.
        """
        p = self.n_features
        r = np.empty(self.n_rows, self.dtype) if self._last is None else self._last[1]
        self._last = None
        sums = np.zeros((self._n_blocks, p + passes.N_SCALARS))
        diagonal = np.zeros((self._n_blocks, 2 * p if squares else 0))
        arguments = (
            self._kernel_X,
            self.y,
            _NO_WEIGHT if self.weight is None else self.weight,
            self._block,
            self._chunk,
            point.centre,
            point.u * point.unit,
            self._numbers(point),
            point.unit,
            r,
            sums,
            diagonal,
        )
        sweep(arguments, r)
        self._last = point, r
        # Along axis 0 NumPy adds row by row: always in the order of the blocks.
        total = sums.sum(axis=0)
        scalars = total[p:]
        return self._centred(
            point,
            Sums(
                gradient=total[:p] * point.unit,
                c=float(scalars[passes.SUM_C]),
                cr=float(scalars[passes.SUM_CR]),
                cc=float(scalars[passes.SUM_CC]),
                inlier=float(scalars[passes.SUM_INLIER]),
                squares=diagonal.sum(axis=0).reshape(2, p) if squares else None,
            ),
        )

    def sums_together(self, points: Sequence[Point]) -> list[Sums]:
        """One sweep for several points, which have the standardisation in common.

        What is read from memory once serves all of them, by matrix products: at twenty
        points it takes a quarter of the time of twenty sweeps, or less. The numbers of
        outliers are counted, too; r of every row is not kept.
        """
        p, first = self.n_features, points[0]
        slopes = np.array([point.u for point in points]) * first.unit
        intercepts = np.array([self._kernel_intercept(point) for point in points])
        thresholds = np.array([point.threshold for point in points])
        step = self._together_rows(len(points))
        n_parts = min(_TOGETHER_PARTS, -(-self.n_rows // step))
        ends = [self.n_rows * k // n_parts for k in range(n_parts + 1)]
        out = np.zeros((n_parts, len(points), p + passes.N_SCALARS + 1))

        def add(first_part: int, last_part: int) -> None:
            with np.errstate(over="ignore", invalid="ignore"):  # in a thread of its own
                space = np.empty((step, p) if self._is_dense else (0, 0))
                for k in range(first_part, last_part):
                    for start in range(ends[k], ends[k + 1], step):
                        rows = slice(start, min(start + step, ends[k + 1]))
                        X = self._centred_part(rows, first.centre, space)
                        y = (self.y[rows] - first.y_centre) * first.y_unit
                        r = _product(slopes, X.T)
                        s = self._weight_part(rows)
                        passes.clip_points(
                            y, intercepts, thresholds, s, r, out[k, :, p:]
                        )
                        out[k, :, :p] += _product(r, X)

        self.n_sweeps += 1
        run_blocks(add, n_parts, self.n_elements * len(points), self.threads, ())
        return [
            self._centred(
                point,
                Sums(
                    gradient=total[:p] * first.unit,
                    c=float(total[p + passes.SUM_C]),
                    cr=float(total[p + passes.SUM_CR]),
                    cc=float(total[p + passes.SUM_CC]),
                    inlier=float(total[p + passes.SUM_INLIER]),
                    squares=None,
                    n_outliers=int(total[p + passes.N_SCALARS]),
                ),
            )
            for point, total in zip(points, out.sum(axis=0), strict=True)
        ]

    @property
    @abc.abstractmethod
    def _is_dense(self) -> bool:
        """Whether X stores its zeros."""

    def _together_rows(self, n_points: int) -> int:
        """Rows at a time of a sweep at several points."""
        least, most = _TOGETHER_ROWS
        if not self._is_dense:
            return most
        rows = _TOGETHER_ELEMENTS // (self.n_features + n_points)
        return min(max(rows, least), most)

    @abc.abstractmethod
    def _centred_part(self, rows: slice, centre: Floats, space: Floats) -> Any:
        """Some rows of X in double precision, centred, in a space for them.

        A sparse X is not centred, and needs no space.
        """

    def _weight_part(self, rows: slice) -> Floats:
        if self.weight is None:
            return np.ones(rows.stop - rows.start)
        return self.weight[rows] * self.weight_unit

    def tally(self, point: Point) -> Tally:
        """No sweep, where the last one was at this place."""
        r = self.residuals(point)
        outlier = np.abs(r) > point.threshold
        c = np.clip(r, -point.threshold, point.threshold)
        s = self._weight_part(slice(0, self.n_rows))
        return Tally(
            norm=float(np.sqrt(s @ c**2)),
            inlier=float(s @ ~outlier),
            n_outliers=int(np.count_nonzero(outlier)),
        )

    def residuals(self, point: Point) -> Floats:
        """r of every row, in standardised units, until the next sweep.

        One sweep, or none where the last one was at this place.
        """
        last = self._last_at(point)
        if last is not None and last.dtype == np.float64:
            return last.astype(np.float64, copy=False)
        out = np.empty(self.n_rows)
        arguments = (
            self._kernel_X,
            self.y,
            self._block,
            point.centre,
            point.u * point.unit,
            self._numbers(point),
            out,
        )
        self._run(passes.residuals, arguments)
        return out

    def remember(self, point: Point, r: Floats) -> None:
        """Take residuals that another computed: as if a sweep had kept them."""
        self._last = point, r.astype(self.dtype, copy=False)

    def robust_weights(self, point: Point) -> tuple[Data, NDArray[np.bool_]]:
        """ψ(r)/r of every row, and whether |r| exceeds the threshold.

        In the type of X. No sweep, where the last one was at this place.
        """
        if self._last_at(point) is None:
            self.sums(point)
        r = self._last_at(point)
        assert r is not None
        self._last = None
        outlier = np.empty(self.n_rows, dtype=np.bool_)
        rows = block_rows(r.itemsize)
        n_blocks = -(-self.n_rows // rows)
        arguments = (rows, point.threshold, r, outlier)
        run_blocks(
            passes.robust_weights, n_blocks, self.n_rows, self.threads, arguments
        )
        return r, outlier

    def influences(self, point: Point, mean_square: Floats) -> Floats:
        """One sweep: Σ_j z_j² / mean_square_j of every row, in standardised units."""
        root = np.sqrt(mean_square)
        scale = np.divide(1.0, root, out=np.zeros_like(root), where=root > 0)
        out = np.empty(self.n_rows)
        unit = point.unit * scale
        arguments = (self._kernel_X, self._block, point.centre, unit, out)
        self._run(passes.influences, arguments)
        out += self._influence_of_zeros(point.centre * unit)
        return out

    def _influence_of_zeros(self, zero: Floats) -> float:
        """What the kernel leaves out of each row's influence."""
        return 0.0

    def _last_at(self, point: Point) -> Data | None:
        """r of the last sweep of sums, if that was at this place."""
        if self._last is None or not self._last[0].is_at(point):
            return None
        return self._last[1]

    def grams(self, point: Point, scale: float) -> tuple[Floats, Floats]:
        """Σ h [z, 1, t][z, 1, t]ᵀ, of the rows inside and of those outside.

        One sweep, and one more where the last one was not at this place.

        t = clip(r, ±threshold)/scale. Inside h = s. Outside h = s·threshold/|r|, the
        curvature of the parabola that touches the loss at r and lies above it.

        Returns
        -------
        inside, outside : ndarrays of shape (p + 2, p + 2)
        """
        last = self._last_at(point)
        r = self.residuals(point) if last is None else last.astype(float, copy=False)
        self.n_sweeps += 1
        size = np.abs(r)
        outlier = size > point.threshold
        h = np.divide(point.threshold, size, out=np.ones_like(r), where=outlier)
        if self.weight is not None:
            h *= self.weight
            h *= self.weight_unit
        extra = np.ones((self.n_rows, 2))
        np.clip(r, -point.threshold, point.threshold, out=extra[:, 1])
        extra[:, 1] /= scale

        q = self.n_features + 2
        n_parts = self._gram_parts(q)
        ends = [self.n_rows * k // n_parts for k in range(n_parts + 1)]
        inside, outside = np.zeros((n_parts, q, q)), np.zeros((n_parts, q, q))
        mass_inside = np.where(outlier, 0.0, h)
        mass_outside = np.where(outlier, h, 0.0) if outlier.any() else None

        def add(first: int, last: int) -> None:
            with np.errstate(over="ignore", invalid="ignore"):  # in a thread of its own
                for k in range(first, last):
                    part = slice(ends[k], ends[k + 1])
                    t, mass = extra[part], mass_inside[part]
                    self._add_gram(point, part, mass, t, inside[k])
                    if mass_outside is not None:
                        mass = mass_outside[part]
                        self._add_gram(point, part, mass, t, outside[k])

        work = self.n_rows * q**2 // _GRAM_WORK
        run_blocks(add, n_parts, work, self.threads, ())
        return (
            self._finished_gram(point, inside.sum(axis=0)),
            self._finished_gram(point, outside.sum(axis=0)),
        )

    def _gram_parts(self, q: int) -> int:
        """Into how many parts a Gram matrix is split, of q × q numbers each."""
        # (There are two such matrices of each part.)
        return int(np.clip(self.n_elements // (8 * q**2), 1, _GRAM_PARTS))

    def _finished_gram(self, point: Point, gram: Floats) -> Floats:
        """The Gram matrix, of what `_add_gram` added up."""
        return gram

    def pick(self, n_rows: int) -> Picks:
        """About `n_rows` rows, picked in proportion to their weights.

        Picking is stratified: the rows in their order, each as long as its weight, are
        cut into equal pieces, and a point is drawn in each. That spreads the picks
        over the data as evenly as a stride would, without a stride's aliasing
        with periods in the data. A row of weight zero is never picked, and picks are
        the same as if there were no such rows. The picks have equal weights, so rows
        picked k times have weight k. The draw is the same in every run.
        """
        index, counts = np.unique(self._pick(n_rows), return_counts=True)
        if counts.max() == 1:
            return Picks(index, None)
        return Picks(index, counts.astype(np.float64))

    def pick_by(self, share: Floats, n_rows: int) -> Picks:
        """Rows picked in proportion to their weights times a share.

        Sums over the picks estimate those over all rows. A row that would be picked
        once or more is taken once, with its own weight: so the rows that matter most
        are not estimated but there.

        Parameters
        ----------
        share : ndarray of shape (n,)
            Positive.
        n_rows : int
            Their number, about.
        """
        weight = np.ones(self.n_rows) if self.weight is None else self.weight.copy()
        weight *= self.weight_unit
        length = weight * share
        certain = length * n_rows >= length.sum()
        length[certain] = 0.0
        rest = max(n_rows - int(certain.sum()), 1)
        index, counts = np.unique(_stratified(length, rest), return_counts=True)
        drawn = counts * (length.sum() / rest) / share[index]
        (taken,) = np.nonzero(certain)
        drawn = np.concatenate([weight[taken], drawn])
        return Picks(np.concatenate([taken, index]), drawn)

    def sample(self, picks: Picks) -> Rows:
        """The rows that were picked."""
        return self._take(picks.index, picks.weight)

    def sample_in_pieces(self, picks: Picks) -> Iterator[Rows]:
        """The same, no more at a time than may be copied."""
        step = max(self.n_rows // _PIECE_SHARE, _PIECE_MIN)
        if self.takes_no_copies:
            step = len(picks.index)
        for piece in picks.pieces(step):
            yield self.sample(piece)

    def moments(self, *, centred: bool) -> Moments:
        """Location and spread of the columns, from a few hundred rows.

        Medians, so that wild rows do not carry the centre away from the others (whose
        distances from it would then be equal to rounding). Any number amid the
        column serves as well as any other.
        """
        index = self._pick(_MOMENT_ROWS)
        centre = np.zeros(self.n_features)
        spread = np.empty(self.n_features)
        for columns, X in self._columns(index):
            if centred:
                centre[columns] = np.median(X, axis=0)
            distance = np.abs(X - centre[columns])
            # Where half of a column is one value, the median distance is zero.
            largest = distance.max(axis=0)
            unit = np.where(largest > 0, largest, 1.0)
            mean_square = np.mean((distance / unit) ** 2, axis=0)
            middle = np.median(distance, axis=0)
            spread[columns] = np.where(middle > 0, middle, unit * np.sqrt(mean_square))
        return Moments(centre, spread)

    def _some_columns(self, n_rows: int) -> Iterator[slice]:
        """Some columns at a time, of which so many rows are few numbers."""
        width = max(_COLUMNS_ELEMENTS // n_rows, 1)
        for start in range(0, self.n_features, width):
            yield slice(start, min(start + width, self.n_features))

    def _pick(self, n_rows: int) -> NDArray[np.intp]:
        """About `n_rows` rows, with repetitions, in proportion to their weights."""
        if self.weight is not None:
            return _stratified(self.weight * self.weight_unit, n_rows)
        if n_rows >= self.n_rows:
            return np.arange(self.n_rows)
        picks = (_pieces(n_rows) * self.n_rows).astype(np.intp)
        return np.minimum(picks, self.n_rows - 1, out=picks)

    def _run(self, kernel: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self.n_sweeps += 1
        run_blocks(kernel, self._n_blocks, self.n_elements, self.threads, arguments)


class DenseRows(Rows):
    """Rows of a dense X of float32 or float64, in any layout.

    Parameters
    ----------
    X : ndarray of shape (n, p)
    y, weight, threads
        As for `Rows`.
    picked : ndarray of int of shape (n,), default=None
        Which rows of X these are, where they are not all.
    """

    def __init__(
        self,
        X: Data,
        y: Data,
        weight: Floats | None = None,
        *,
        threads: int = 1,
        picked: NDArray[np.intp] | None = None,
    ) -> None:
        super().__init__(y, weight, threads)
        self.X = read_only(X)
        self.picked = None if picked is None else read_only(picked)
        self.n_features = X.shape[1]
        self.dtype = X.dtype
        self.n_elements = self.n_rows * self.n_features
        self._block = block_rows(
            X.itemsize * self.n_features, long_columns=self._has_long_columns
        )
        self._gram_rows = max(
            _GRAM_BYTES // (8 * (self.n_features + 2)), self.n_features
        )
        if self._has_long_columns:
            self._chunk = self._block
        else:
            row_bytes = max(X.itemsize * self.n_features, 1)
            self._chunk = max(_CHUNK_BYTES // row_bytes // 8 * 8, 8)

    @property
    def _has_long_columns(self) -> bool:
        return self.X.flags.f_contiguous and not self.X.flags.c_contiguous

    @property
    def is_finite(self) -> bool:
        parts = range(0, self.n_rows, self._block)
        return all(np.isfinite(self._part(k, k + self._block)).all() for k in parts)

    def _part(self, start: int, stop: int) -> Data:
        """The rows start ≤ k < stop of X, as they are."""
        if self.picked is None:
            return self.X[start:stop]
        return self.X[self.picked[start:stop]]

    @property
    def _kernel_X(self) -> object:
        return self.X if self.picked is None else (self.X, self.picked)

    @property
    def takes_no_copies(self) -> bool:
        return not self._has_long_columns

    def _take(self, index: NDArray[np.intp], weight: Floats | None) -> Rows:
        y, threads = self.y[index], self.threads
        if self.picked is not None:
            index = self.picked[index]
        if self.takes_no_copies:
            return DenseRows(self.X, y, weight, threads=threads, picked=index)
        return DenseRows(self.X[index], y, weight, threads=threads)

    def _columns(self, index: NDArray[np.intp]) -> Iterator[tuple[slice, Floats]]:
        if self.picked is not None:
            index = self.picked[index]
        for columns in self._some_columns(len(index)):
            X = self.X[:, columns][index]
            yield columns, X.astype(np.float64, copy=False)

    @property
    def _is_dense(self) -> bool:
        return True

    def _centred_part(self, rows: slice, centre: Floats, space: Floats) -> Any:
        Z = space[: rows.stop - rows.start]
        if self._has_long_columns:
            return np.subtract(self._part(rows.start, rows.stop), centre, out=Z)
        picked = _NO_INDEX if self.picked is None else self.picked
        dense.centre_rows(self.X, picked, rows.start, centre, Z)
        return Z

    def double_precision(self) -> tuple[Floats, Floats, Floats]:
        """X, y and weight (empty for none) as C-ordered float64; meant for few rows."""
        X = np.ascontiguousarray(self._part(0, self.n_rows), dtype=np.float64)
        y = np.ascontiguousarray(self.y, dtype=np.float64)
        weight = _NO_WEIGHT if self.weight is None else self.weight
        return read_only(X), read_only(y), read_only(weight)

    def standardised(self, centre: Floats, unit: Floats) -> Floats:
        return (self._part(0, self.n_rows) - centre) * unit

    def largest(self, centre: Floats) -> Floats:
        self.n_sweeps += 1
        result = np.zeros(self.n_features)
        for start in range(0, self.n_rows, self._block):
            distance = np.abs(self._part(start, start + self._block) - centre)
            np.maximum(result, distance.max(axis=0), out=result)
        return result

    def _add_gram(
        self, point: Point, rows: slice, h: Floats, extra: Floats, gram: Floats
    ) -> None:
        root = np.sqrt(h)
        Z = np.empty((self._gram_rows, self.n_features + 2))
        for k in range(0, len(root), self._gram_rows):
            part = slice(k, k + self._gram_rows)
            filled = dense.standardise_rows(
                self.X,
                _NO_INDEX if self.picked is None else self.picked,
                rows.start + k,
                point.centre,
                point.unit,
                root[part],
                extra[part],
                Z,
            )
            gram += Z[:filled].T @ Z[:filled]

    def _add_rough_gram(
        self,
        point: Point,
        rows: slice,
        r: Data,
        scale: float,
        outlier_part: float,
        gram: Floats,
        space: NDArray[np.float32],
    ) -> None:
        numbers = np.array([point.threshold, self.weight_unit, scale, outlier_part])
        for k in range(0, len(r), len(space)):
            Z = space[: len(r) - k]
            dense.standardise_all_rows(
                self.X,
                _NO_INDEX if self.picked is None else self.picked,
                rows.start + k,
                point.centre,
                point.unit,
                _NO_WEIGHT if self.weight is None else self.weight[rows][k:],
                r[k:],
                numbers,
                Z,
            )
            gram += Z.T @ Z


class CSRRows(Rows):
    """Rows of a sparse X in CSR format; what is not stored is never touched."""

    def __init__(
        self,
        X: sp.csr_matrix | sp.csr_array,
        y: Data,
        weight: Floats | None = None,
        *,
        threads: int = 1,
    ) -> None:
        super().__init__(y, weight, threads)
        self.X = X
        self.n_features = X.shape[1]
        self._arrays = tuple(read_only(a) for a in (X.data, X.indices, X.indptr))
        self.dtype = X.dtype
        self.n_elements = X.nnz
        # Each block has sums of its own for all p columns: they should not take more
        # than a small part of the memory, or time, that the data take.
        rows_per_sum = 128 * self.n_features * self.n_rows // max(X.nnz, 1)
        self._block = max(
            block_rows((X.data.itemsize + 4) * X.nnz / max(self.n_rows, 1)),
            rows_per_sum,
        )
        self._chunk = 256

    @property
    def is_finite(self) -> bool:
        return bool(np.isfinite(self.X.data).all())

    @property
    def _kernel_X(self) -> object:
        return self._arrays

    # The kernels leave zeros unstored, so X is not centred there. Exactly:
    # r = y − b − (x − μ)·a = y − (b − μ·a) − x·a, and so on.

    def _kernel_intercept(self, point: Point) -> float:
        return point.intercept - float(point.centre @ (point.u * point.unit))

    def _centred(self, point: Point, sums: Sums) -> Sums:
        zero = point.centre * point.unit
        squares = sums.squares
        if squares is not None:
            mass = np.array([[sums.inlier], [self.total_weight - sums.inlier]])
            squares = squares + mass * zero**2
        return replace(sums, gradient=sums.gradient - sums.c * zero, squares=squares)

    def _influence_of_zeros(self, zero: Floats) -> float:
        return float(zero @ zero)

    def without_empty_columns(self) -> tuple[Rows, NDArray[np.intp]] | None:
        if 2 * self.n_elements > self.n_features or self.n_features == 1:
            return None
        stored, indices = np.unique(self.X.indices, return_inverse=True)
        if not len(stored):  # one column, so that there are some
            stored = np.zeros(1, dtype=np.intp)
        shape = (self.n_rows, len(stored))
        X = sp.csr_array((self.X.data, indices, self.X.indptr), shape=shape)
        rows = CSRRows(X, self.y, self.weight, threads=self.threads)
        return rows, stored.astype(np.intp)

    def _take(self, index: NDArray[np.intp], weight: Floats | None) -> Rows:
        return CSRRows(self.X[index], self.y[index], weight, threads=self.threads)

    def _columns(self, index: NDArray[np.intp]) -> Iterator[tuple[slice, Floats]]:
        X = self.X[index].tocsc()
        for columns in self._some_columns(len(index)):
            yield columns, X[:, columns].toarray().astype(np.float64, copy=False)

    @property
    def _is_dense(self) -> bool:
        return False

    def _centred_part(self, rows: slice, centre: Floats, space: Floats) -> Any:
        return self.X[rows]

    def standardised(self, centre: Floats, unit: Floats) -> Floats:
        return (self.X.toarray() - centre) * unit

    def largest(self, centre: Floats) -> Floats:
        self.n_sweeps += 1
        highest = self.X.max(axis=0).toarray().ravel() - centre
        lowest = self.X.min(axis=0).toarray().ravel() - centre
        return np.maximum(np.abs(highest), np.abs(lowest))

    def _add_gram(
        self, point: Point, rows: slice, h: Floats, extra: Floats, gram: Floats
    ) -> None:
        """Not centred, and of the columns of X the upper triangle only."""
        p = self.n_features
        X = self.X[rows]
        csr.add_gram_csr(
            tuple(read_only(a) for a in (X.data, X.indices, X.indptr)),
            h,
            point.unit,
            gram[:p, :p],
        )
        weighted = h[:, np.newaxis] * extra
        gram[:p, p:] += (X.T @ weighted) * point.unit[:, np.newaxis]
        half = np.sqrt(h)[:, np.newaxis] * extra
        gram[p:, p:] += half.T @ half

    def _add_rough_gram(
        self,
        point: Point,
        rows: slice,
        r: Data,
        scale: float,
        outlier_part: float,
        gram: Floats,
        space: NDArray[np.float32],
    ) -> None:
        size = np.abs(r).astype(np.float64)
        outlier = size > point.threshold
        h = np.full(len(r), 1.0 + outlier_part)
        h[outlier] = outlier_part * point.threshold / size[outlier]
        if self.weight is not None:
            h *= self.weight[rows]
            h *= self.weight_unit
        extra = np.ones((len(r), 2))
        np.clip(r, -point.threshold, point.threshold, out=extra[:, 1])
        extra[:, 1] /= scale
        self._add_gram(point, rows, h, extra, gram)

    def _finished_gram(self, point: Point, gram: Floats) -> Floats:
        p = self.n_features
        upper = gram[:p, :p]
        diagonal = np.diagonal(upper).copy()
        upper += upper.T
        np.fill_diagonal(upper, diagonal)
        m = point.centre * point.unit
        if m.any():
            # Σ h (z − m)(z − m)ᵀ = Σ h z zᵀ − m aᵀ − a mᵀ + (Σ h) m mᵀ, a = Σ h z;
            # a and Σ h stand in the column of ones.
            a, mass = gram[:p, p].copy(), gram[p, p]
            cross = np.outer(m, a - 0.5 * mass * m)
            upper -= cross + cross.T
            gram[:p, p:] -= np.outer(m, gram[p, p:])
        gram[p:, :p] = gram[:p, p:].T
        return gram


def make_rows(X: Any, y: Data, weight: Floats | None, threads: int) -> Rows:
    """Choose the kind of rows for validated data."""
    if sp.issparse(X):
        if not X.has_canonical_format:  # duplicates would not square to their sum
            X = X.copy()
            X.sum_duplicates()
        return CSRRows(X, y, weight, threads=threads)
    return DenseRows(X, y, weight, threads=threads)


def _product(a: Floats, X: Any) -> Floats:
    """aX, in C order, of a dense a and an X that may be sparse."""
    return np.ascontiguousarray(a @ X)


def _pieces(n: int) -> Floats:
    """One point in each of n equal pieces of [0, 1), always the same."""
    points = np.random.default_rng(0).random(n)
    points += np.arange(n)
    points /= n
    return points


def _stratified(length: Floats, n: int) -> NDArray[np.intp]:
    """n picks in proportion to length, with repetitions."""
    ends = np.cumsum(length)
    picks = np.searchsorted(ends, _pieces(n) * ends[-1], side="right")
    return np.minimum(picks, len(length) - 1, out=picks)
