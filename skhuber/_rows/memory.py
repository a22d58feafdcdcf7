"""Sweeps over arrays in memory, whatever their layout."""

from __future__ import annotations

import abc
import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from skhuber._common.arrays import read_only
from skhuber._kernels import sweeps
from skhuber._rows.base import GRADIENT_ONLY, RowSource
from skhuber._rows.gram import GramAdder, GramPlan
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

NO_WEIGHT: Floats = np.empty(0)
_NO_RESIDUALS: dict[Any, Any] = {
    np.dtype(kind): np.empty(0, kind) for kind in (np.float32, np.float64)
}


class MemoryRows(RowSource):
    """Rows in memory, of which a compiled kernel makes the sums."""

    _block: int  # rows in a block, which has sums of its own
    _chunk: int  # rows in the part of a block that stays in cache for a second reading
    _is_dense: bool  # whether X stores its zeros

    @property
    @abc.abstractmethod
    def _kernel_X(self) -> object:
        """X as the kernels take it."""

    @abc.abstractmethod
    def _gram_adder(
        self, at: sweeps.At, kind: type[np.floating[Any]], gram: Floats
    ) -> GramAdder:
        """Return what adds the products of some rows to `gram`."""

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

    def _run(self, kernel: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        run_blocks(kernel, self._n_blocks, self.n_elements, self.threads, arguments)

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
        self.n_sweeps += 1
        if want == GRADIENT_ONLY and residuals is None:
            return self._sweep_together(points, targets)
        return self._sweep_by_blocks(points, targets, want, residuals)

    def _sweep(self, point: Point, want: Want, residuals: Data | None) -> Sums:
        if want.direction is not None:
            return self._sweep_product(point, self._at(point), want)
        kept = None if residuals is None else [residuals]
        (sums,) = self._sweep_by_blocks([point], [self.y], want, kept)
        return sums

    def _sweep_by_blocks(
        self,
        points: Sequence[Point],
        targets: Sequence[Data],
        want: Want,
        residuals: Sequence[Data] | None,
    ) -> list[Sums]:
        """Return the sums at each point, by a kernel that makes those of a block."""
        p = self.n_features
        ats = [self._at(point) for point in points]
        kept = residuals or [_NO_RESIDUALS[self.dtype]] * len(points)
        n_squares = 2 * p if want.squares else 0
        sums = np.zeros((len(points), self._n_blocks, p + sweeps.N_SCALARS))
        squares = np.zeros((len(points), self._n_blocks, n_squares))
        calls = [
            _Call(
                at,
                (self._kernel_X, y, self._kernel_weight, self._block, self._chunk, at),
                tuple(results),
            )
            for at, y, *results in zip(ats, targets, kept, sums, squares, strict=True)
        ]
        grams: list[Floats | None] = [None] * len(points)
        if want.gram is not None:
            grams = self._sweep_with_grams(want.gram, calls)
        elif len(calls) == 1:
            self._run(sweeps.sums, (*calls[0].data, NO_WEIGHT, *calls[0].results))
        else:
            self._run(_all_sums, (calls,))
        found = []
        for k, point in enumerate(points):
            # Along axis 0 NumPy adds row by row, so in the order of the blocks.
            total = sums[k].sum(axis=0)
            result = self._sums(
                total[:p],
                total[p:],
                point.unit,
                squares=squares[k].sum(axis=0).reshape(2, p) if want.squares else None,
                gram=grams[k],
            )
            found.append(self._centred(point, result))
        return found

    def _sweep_product(self, point: Point, at: sweeps.At, want: Want) -> Sums:
        """Return the product with a direction, and zeros as the loss's sums."""
        p = self.n_features
        assert want.direction is not None
        v = want.direction[:p] * point.unit
        one = want.direction[p] + self._kernel_offset(point, v)
        numbers = np.array([want.damping, one, want.direction[p + 1]])
        out = np.zeros((self._n_blocks, p + 2))
        data = self._kernel_X, self.y, self._kernel_weight, self._block, self._chunk, at
        self._run(sweeps.products, (*data, v, numbers, out))
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

    def _sweep_with_grams(
        self, kind: type[np.floating[Any]], calls: list[_Call]
    ) -> list[Floats | None]:
        """Let the kernel make its sums block by block, and return the Gram matrices.

        The products of a few blocks are made while these are in cache.
        """
        plan = GramPlan(
            self.n_rows,
            self.n_features,
            self.n_elements,
            self.dtype.itemsize,
            self._block,
            n_points=len(calls),
        )
        grams = np.zeros((plan.n_parts, len(calls), 2, plan.width, plan.width))

        def add(first: int, last: int) -> None:
            r = np.empty(min(plan.step, self.n_rows))
            # NumPy's error state is a thread's own.
            with np.errstate(over="ignore", invalid="ignore"):
                for part in range(first, last):
                    adders = [
                        self._gram_adder(call.at, kind, gram)
                        for call, gram in zip(calls, grams[part], strict=True)
                    ]
                    for k in range(plan.ends[part], plan.ends[part + 1]):
                        start = k * plan.step
                        stop = min(start + plan.step, self.n_rows)
                        blocks = start // self._block, -(-stop // self._block)
                        for call, adder in zip(calls, adders, strict=True):
                            sweeps.sums(*blocks, *call.data, r, *call.results)
                            adder.add(start, r[: stop - start])
                    for adder in adders:
                        adder.finish()

        run_blocks(add, plan.n_parts, plan.work, self.threads, ())
        total = grams[0] if plan.n_parts == 1 else grams.sum(axis=0)
        for call, gram in zip(calls, total, strict=True):
            for side in gram:
                self._finish_gram(call.at, side)
        return list(total)

    def _sweep_together(
        self,
        points: Sequence[Point],
        targets: Sequence[Data] | None = None,
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
                for k in range(first_part, last_part):
                    for start in range(ends[k], ends[k + 1], step):
                        rows = slice(start, min(start + step, ends[k + 1]))
                        X = self._centred_part(rows, first.centre, space)
                        y = _standardised_targets(own, rows)
                        r = _product(slopes, X.T)
                        s = self._weight_part(rows)
                        sweeps.clip_points(
                            y, intercepts, thresholds, s, r, out[k, :, p:]
                        )
                        out[k, :, :p] += _product(r, X)

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
        self._run(sweeps.influences, (self._kernel_X, self._block, stored, unit, out))


@dataclass(frozen=True)
class _Call:
    """Arguments of a kernel at one point: the data, and what takes its results."""

    at: sweeps.At
    data: tuple[Any, ...]
    results: tuple[Any, ...]


def _all_sums(first: int, last: int, calls: list[_Call]) -> None:
    """Make the sums of some blocks at each point, while a block is in cache."""
    for block in range(first, last):
        for call in calls:
            sweeps.sums(block, block + 1, *call.data, NO_WEIGHT, *call.results)


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
