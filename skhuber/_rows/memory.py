"""Sweeps over arrays in memory, whatever their layout."""

from __future__ import annotations

import abc
import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from skhuber._common.arrays import read_only
from skhuber._kernels import sweeps
from skhuber._rows.base import GRADIENT_ONLY, RowSource
from skhuber._rows.gram import GramAdder, GramPlan, PickedGramAdder
from skhuber._runtime import run_blocks
from skhuber._sums import Data, Floats, Point, Sums, Want

# Entries of X and of r that a sweep at several points takes at a time: 1 MiB in
# float64, which fits in a level-2 cache. The least number of rows keeps Python's part
# of the work small (threads wait for each other there). A sparse product, slow to
# start, takes the most.
_TOGETHER_ELEMENTS = 2**17
_TOGETHER_ROWS = 512, 8192
# Parts of the rows that have sums of their own in a sweep at several points.
_TOGETHER_PARTS = 16

# (Arrays of data are read-only, so that kernels are compiled for one kind of them.)
NO_WEIGHT: Floats = read_only(np.empty(0))
# For kernels, if all rows of X are meant.
ALL_ROWS: NDArray[np.intp] = read_only(np.empty(0, dtype=np.intp))
_NOT_KEPT: Floats = np.empty(0)


class MemoryRows(RowSource):
    """Rows in memory, of which a compiled kernel makes the sums."""

    _block: int  # rows in a block, which has sums of its own
    _chunk: int  # rows in the part of a block that stays in cache for a second reading
    _is_dense: bool  # whether X stores its zeros
    _kernels: sweeps.Kernels

    @property
    @abc.abstractmethod
    def _kernel_X(self) -> object:
        """X as the kernels of the sums take it."""

    def _gram_adder(self, at: sweeps.At, want: Want, gram: Floats) -> GramAdder:
        """Return what adds the products of the rows that are wanted to `gram`."""
        assert want.gram is not None
        if want.picks is None:
            return self._adder_of(
                self._kernel_picked, self._kernel_weight, at, want.gram, gram
            )
        index, weight = want.picks.index, want.picks.weight
        own = self._kernel_picked
        adder = self._adder_of(
            read_only(own[index] if len(own) else index),
            NO_WEIGHT if weight is None else read_only(weight),
            at._replace(weight_unit=1.0),
            want.gram,
            gram,
        )
        return PickedGramAdder(adder, index)

    @abc.abstractmethod
    def _adder_of(
        self,
        picked: NDArray[np.intp],
        weight: Floats,
        at: sweeps.At,
        kind: type[np.floating[Any]],
        gram: Floats,
    ) -> GramAdder:
        """Return what adds the products of picked rows of X, with these weights."""

    @abc.abstractmethod
    def _centred_part(self, rows: slice, centre: Floats, space: Floats) -> Any:
        """Return some rows of X in float64, centred, in a space for them.

        A sparse X is not centred, and needs no space.
        """

    @abc.abstractmethod
    def columns(self, index: NDArray[np.intp]) -> MemoryRows:
        """Return all rows with some columns alone, which are copied."""

    @abc.abstractmethod
    def rows_of_X(self, index: Any) -> Any:
        """Return a copy of some rows of X, dense or sparse as X is."""

    def _kernel_centre(self, centre: Floats) -> Floats:
        """Return the centre of the columns as they are stored."""
        return centre

    def _kernel_intercept(self, point: Point) -> float:
        """Return the intercept that the kernels subtract."""
        return point.intercept

    def _finish_gram(self, at: sweeps.At, gram: Floats) -> None:
        """Turn a sum of the adders' matrices, in place, into a Gram matrix."""

    def _centred(self, point: Point, sums: Sums) -> Sums:
        """Return the sums that there would be if the kernels had centred X."""
        return sums

    @property
    def _n_blocks(self) -> int:
        return -(-self.n_rows // self._block)

    @property
    def _kernel_picked(self) -> NDArray[np.intp]:
        """The numbers of the rows of X that are meant; all, if it is empty."""
        return ALL_ROWS

    @property
    def _kernel_weight(self) -> Floats:
        return NO_WEIGHT if self.weight is None else self.weight

    def _at(self, point: Point) -> sweeps.At:
        return sweeps.At(
            centre=self._kernel_centre(point.centre),
            unit=point.unit,
            slope=point.u * point.unit,
            y_centre=np.float64(point.y_centre),
            y_unit=np.float64(point.y_unit),
            intercept=np.float64(self._kernel_intercept(point)),
            threshold=np.float64(point.threshold),
            scale=np.float64(point.scale),
            weight_unit=self.weight_unit,
        )

    def with_target(self, y: Data) -> Self:
        """Return the rows with another target; X and weights are shared."""
        other = copy.copy(self)
        other.y = read_only(y)
        other.n_sweeps = 0
        return other

    def sweep_targets(
        self,
        targets: Sequence[Data],
        points: Sequence[Point],
        want: Want = GRADIENT_ONLY,
        residuals: Sequence[Data] | None = None,
    ) -> list[Sums]:
        if not all(point.has_columns_of(points[0]) for point in points):
            raise ValueError("the points of a sweep must have one standardisation")
        for one in residuals or ():
            self._check_residuals(one)
        self._count_sweep()
        if want == GRADIENT_ONLY:
            return self._sweep_together(points, targets, residuals)
        if len(targets) == 1:
            targets = [targets[0]] * len(points)
        return self._sweep_by_blocks(points, targets, want, residuals)

    def _sweep_by_blocks(
        self,
        points: Sequence[Point],
        targets: Sequence[Data],
        want: Want,
        residuals: Sequence[Data] | None,
    ) -> list[Sums]:
        """Return the sums at each point, of a few blocks while these are in cache."""
        p, n_points = self.n_features, len(points)
        ats = [self._at(point) for point in points]
        rows = [self.with_target(y) for y in targets]
        plan = self._gram_plan(n_points)
        n_grams = n_points if want.gram is not None else 0
        grams = np.zeros((plan.n_parts, n_grams, 2, plan.width, plan.width))
        sums = np.zeros((n_points, self._n_blocks, p + sweeps.N_SCALARS))
        squares: Sequence[Floats | None] = [None] * n_points
        if want.squares:
            squares = list(np.zeros((n_points, self._n_blocks, 2 * p)))
        kept: Sequence[Data | None] = residuals or [None] * n_points
        results = list(zip(ats, sums, squares, kept, strict=True))
        step = plan.step // self._block
        ends = [min(k * step, self._n_blocks) for k in plan.ends]

        def add(first: int, last: int) -> None:
            # NumPy's error state is a thread's own.
            with np.errstate(over="ignore", invalid="ignore"):
                for part in range(first, last):
                    adders: Sequence[GramAdder | None] = [None] * n_points
                    if want.gram is not None:
                        adders = [
                            one._gram_adder(at, want, gram)
                            for one, at, gram in zip(
                                rows, ats, grams[part], strict=True
                            )
                        ]
                    for k in range(ends[part], ends[part + 1], step):
                        end = min(k + step, ends[part + 1])
                        for one, result, adder in zip(
                            rows, results, adders, strict=True
                        ):
                            one._add(*result, k, end, adder)
                    for adder in adders:
                        if adder is not None:
                            adder.finish()

        run_blocks(add, plan.n_parts, plan.work, self.threads, ())
        total = grams.sum(axis=0)
        found = []
        for k, point in enumerate(points):
            gram = total[k] if n_grams else None
            for side in () if gram is None else gram:
                self._finish_gram(ats[k], side)
            found.append(self._of_blocks(point, sums[k], squares[k], gram))
        return found

    def _of_blocks(
        self, point: Point, sums: Floats, squares: Floats | None, gram: Floats | None
    ) -> Sums:
        """Return the sums of all rows, from those of the blocks and a Gram matrix."""
        p = self.n_features
        # Along axis 0 NumPy adds row by row, so in the order of the blocks.
        total = sums.sum(axis=0)
        result = self._sums(
            total[:p],
            total[p:],
            point.unit,
            squares=None if squares is None else squares.sum(axis=0).reshape(2, p),
            gram=gram,
        )
        return self._centred(point, result)

    def _sweep(self, point: Point, want: Want, residuals: Data | None) -> Sums:
        at = self._at(point)
        if want.direction is not None:
            return self._sweep_product(point, at, want)
        p = self.n_features
        sums = np.zeros((self._n_blocks, p + sweeps.N_SCALARS))
        squares = np.zeros((self._n_blocks, 2 * p)) if want.squares else None
        gram = None
        if want.gram is None:
            add = partial(self._add, at, sums, squares, residuals)
            run_blocks(add, self._n_blocks, self.n_elements, self.threads, ())
        else:
            gram = self._gram(at, want, (sums, squares, residuals))
        return self._of_blocks(point, sums, squares, gram)

    def _add(
        self,
        at: sweeps.At,
        sums: Floats,
        squares: Floats | None,
        residuals: Data | None,
        first: int,
        last: int,
        adder: GramAdder | None = None,
    ) -> None:
        """Add up the blocks first ≤ k < last, and store their residuals.

        What needs the residuals is made of a few blocks while these are in cache.
        """
        space = self._space()
        data = self._kernel_X, self.y, self._kernel_weight, self._block, at
        if squares is None and residuals is None and adder is None:
            self._kernels.sums(first, last, *data, _NOT_KEPT, sums, *space)
            return
        step = self._gram_plan().step
        # The kernels store residuals in double precision: there, or in a part of them.
        whole: Any = residuals
        if residuals is None or residuals.dtype != np.float64:
            whole = None
        kept = np.empty(min(step, self.n_rows) if whole is None else 0)
        n_blocks = step // self._block
        for k in range(first, last, n_blocks):
            end = min(k + n_blocks, last)
            rows = slice(k * self._block, min(end * self._block, self.n_rows))
            r = kept[: rows.stop - rows.start] if whole is None else whole[rows]
            self._kernels.sums(k, end, *data, r, sums, *space)
            if squares is not None:
                self._kernels.squares(k, end, *data, r, squares, *space)
            if residuals is not None and whole is None:
                with np.errstate(over="ignore"):  # of float32
                    residuals[rows] = r
            if adder is not None:
                adder.add(rows.start, r)

    def _space(self) -> tuple[Floats, ...]:
        """Return what the kernels need beside the data and the sums."""
        by_chunks = self._kernels is sweeps.BY_CHUNKS
        return (np.empty((2, self._chunk)),) if by_chunks else ()

    def _gram_plan(self, n_points: int = 1) -> GramPlan:
        return GramPlan(
            self.n_rows,
            self.n_features,
            self.n_elements,
            self.dtype.itemsize,
            self._block,
            n_points,
        )

    def _gram(
        self,
        at: sweeps.At,
        want: Want,
        results: tuple[Floats, Floats | None, Data | None],
    ) -> Floats:
        """Return the Gram matrices, and add up the other results on the way."""
        plan = self._gram_plan()
        grams = np.zeros((plan.n_parts, 2, plan.width, plan.width))
        ends = [min(k * plan.step // self._block, self._n_blocks) for k in plan.ends]

        def add(first: int, last: int) -> None:
            # NumPy's error state is a thread's own.
            with np.errstate(over="ignore", invalid="ignore"):
                for part in range(first, last):
                    adder = self._gram_adder(at, want, grams[part])
                    self._add(at, *results, ends[part], ends[part + 1], adder)
                    adder.finish()

        run_blocks(add, plan.n_parts, plan.work, self.threads, ())
        gram = grams[0] if plan.n_parts == 1 else grams.sum(axis=0)
        for side in gram:
            self._finish_gram(at, side)
        return gram

    def _sweep_product(self, point: Point, at: sweeps.At, want: Want) -> Sums:
        """Return the product with a direction, and zeros as the loss's sums."""
        p = self.n_features
        assert want.direction is not None
        v = want.direction[:p] * point.unit
        one = want.direction[p] + self._kernel_offset(point, v)
        numbers = np.array([want.damping, one, want.direction[p + 1]])
        out = np.zeros((self._n_blocks, p + 2))
        data = self._kernel_X, self.y, self._kernel_weight, self._block, at

        def add(first: int, last: int) -> None:
            self._kernels.products(first, last, *data, v, numbers, out, *self._space())

        run_blocks(add, self._n_blocks, self.n_elements, self.threads, ())
        product = out.sum(axis=0)
        product[:p] *= point.unit
        zeros = self._sums(np.zeros(p), np.zeros(sweeps.N_SCALARS), point.unit)
        return self._centred(point, replace(zeros, product=product))

    def _kernel_offset(self, point: Point, v: Floats) -> float:
        """Return what the kernels leave out of every (x − centre)·v."""
        return 0.0

    def _sums(
        self, gradient: Floats, scalars: Floats, unit: Floats, **others: Floats | None
    ) -> Sums:
        n_inliers = int(scalars[sweeps.N_INLIERS])
        return Sums(
            weight=self.total_weight,
            gradient=gradient * unit,
            c=float(scalars[sweeps.SUM_C]),
            cr=float(scalars[sweeps.SUM_CR]),
            cc=float(scalars[sweeps.SUM_CC]),
            inlier=float(scalars[sweeps.SUM_INLIER]),
            n_inliers=n_inliers,
            n_outliers=self.n_present - n_inliers,
            **others,
        )

    def _sweep_together(
        self,
        points: Sequence[Point],
        targets: Sequence[Data] | None = None,
        residuals: Sequence[Data] | None = None,
    ) -> list[Sums]:
        p, first = self.n_features, points[0]
        slopes = np.array([point.u for point in points]) * first.unit
        intercepts = np.array([self._kernel_intercept(point) for point in points])
        thresholds = np.array([point.threshold for point in points], dtype=np.float64)
        own = list(zip(points, targets or [self.y], strict=False))
        step = self._together_rows(len(points))
        n_parts = min(_TOGETHER_PARTS, -(-self.n_rows // step))
        ends = [self.n_rows * k // n_parts for k in range(n_parts + 1)]
        out = np.zeros((n_parts, len(points), p + sweeps.N_SCALARS))

        def add(first_part: int, last_part: int) -> None:
            # NumPy's error state is a thread's own.
            with np.errstate(over="ignore", invalid="ignore"):
                space = np.empty((step, p) if self._is_dense else (0, 0))
                kept = np.empty((0, 0))
                for k in range(first_part, last_part):
                    for start in range(ends[k], ends[k + 1], step):
                        rows = slice(start, min(start + step, ends[k + 1]))
                        X = self._centred_part(rows, first.centre, space)
                        y = _standardised_targets(own, rows)
                        r = _product(slopes, X.T)
                        s = self._weight_part(rows)
                        if residuals is not None:
                            kept = np.empty_like(r)
                        sweeps.clip_points(
                            y, intercepts, thresholds, s, r, kept, out[k, :, p:]
                        )
                        out[k, :, :p] += _product(r, X)
                        for one, part in zip(residuals or (), kept, strict=True):
                            one[rows] = part

        run_blocks(add, n_parts, self.n_elements * len(points), self.threads, ())
        return [
            self._centred(point, self._sums(total[:p], total[p:], first.unit))
            for point, total in zip(points, out.sum(axis=0), strict=True)
        ]

    def _together_rows(self, n_points: int) -> int:
        """Return how many rows a sweep at several points takes at a time."""
        least, most = _TOGETHER_ROWS
        if not self._is_dense:
            return most
        rows = _TOGETHER_ELEMENTS // (self.n_features + n_points)
        return min(max(rows, least), most)

    def _weight_part(self, rows: slice) -> Floats:
        if self.weight is None:
            return np.ones(rows.stop - rows.start)
        return self.weight[rows] * self.weight_unit

    def _fill_squared_lengths(self, centre: Floats, unit: Floats, out: Floats) -> None:
        stored = self._kernel_centre(centre)
        arguments = self._kernel_X, self._block, stored, unit, out
        kernel, threads = self._kernels.influences, self.threads
        run_blocks(kernel, self._n_blocks, self.n_elements, threads, arguments)


def _standardised_targets(own: Sequence[tuple[Point, Data]], rows: slice) -> Floats:
    """Return some rows of the target of each point, standardised."""
    return np.array(
        [
            (y[rows].astype(np.float64) - point.y_centre) * point.y_unit
            for point, y in own
        ]
    )


def _product(a: Floats, X: Any) -> Floats:
    """Return aX, in C order, of a dense a and an X that may be sparse."""
    return np.ascontiguousarray(a @ X)
