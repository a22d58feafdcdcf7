"""The one interface to rows."""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from skhuber._common.arrays import read_only
from skhuber._common.scale import weighted_median
from skhuber._rows import sampling
from skhuber._rows.distances import Distances
from skhuber._runtime import block_rows, run_blocks
from skhuber._sums import Columns, Data, Floats, Moments, Picks, Point, Sums, Want

# Rows from which the columns' medians are taken.
MOMENT_ROWS = 200
# A median distance below this part of the largest one (6e-61) is no unit of a column:
# in larger units neither squares nor penalties come near the limits of a double.
_LEAST_MEDIAN = 2.0**-200
# Entries of these rows in the columns that are taken at a time: 256 KiB in float64,
# which fits in a level-2 cache.
_COLUMNS_ELEMENTS = 2**15

GRADIENT_ONLY = Want()


class RowSource(abc.ABC):
    """X, y and weights, and the sweeps over them.

    A source remembers nothing of a sweep but that there was one. A row of weight zero
    is absent from all sums, samples and sizes, whatever numbers it holds.

    Parameters
    ----------
    y : ndarray of shape (n,), C-contiguous, float32 or float64
    weight : ndarray of shape (n,) or None
        Non-negative, not all zero. None: every row has weight 1.
    threads : int
        The most threads that a sweep may use.
    weight_power : int or None
        The power of two by which weights are multiplied. None: that which makes the
        largest weight lie between 1/2 and 1. Sources whose sums are to be added must
        have it in common. Without weights it is zero.

    Attributes
    ----------
    n_rows, n_features : int
    n_elements : int
        Number of entries of X that a sweep reads.
    n_present : int
        Number of rows whose weight is not zero.
    dtype : dtype
        The type of X.
    layout : {"rows", "columns", "csr"}
        Dense in C order or strided; dense in F order; sparse.
    weight_power : int
        s = weight · 2^weight_power.
    total_weight : float
        Σ s.
    n_sweeps : int
        How often all rows were read so far. Nothing else that shows in a source
        changes.
    """

    n_features: int
    n_elements: int
    dtype: np.dtype[Any]
    layout: Literal["rows", "columns", "csr"]

    def __init__(
        self,
        y: Data,
        weight: Floats | None,
        *,
        threads: int,
        weight_power: int | None = None,
    ) -> None:
        self.y = read_only(y)
        self.n_rows = y.shape[0]
        self.threads = threads
        self.n_sweeps = 0
        if weight is None:
            self.weight = None
            self.n_present = self.n_rows
            self.weight_power = 0
            self.total_weight = float(self.n_rows)
        else:
            self.weight = read_only(weight)
            self.n_present = int(np.count_nonzero(weight))
            if weight_power is None:
                # A power of two changes no digit of a weight, and with weights of at
                # most one no sum of weights overflows.
                weight_power = int(np.clip(-np.frexp(weight.max())[1], -1000, 1000))
            self.weight_power = weight_power
            self.total_weight = float(np.sum(weight * self.weight_unit))

    @property
    def weight_unit(self) -> float:
        """The power of two by which weights are multiplied."""
        return float(2.0**self.weight_power)

    @property
    def natural_weight(self) -> float:
        """The sum of the weights as they were given."""
        return self.total_weight / self.weight_unit

    @property
    def median_target(self) -> float:
        """The weighted median of y."""
        return weighted_median(self.y.astype(np.float64), self.weight)

    @property
    def largest_weight(self) -> float:
        """The largest weight as it was given."""
        return 1.0 if self.weight is None else float(self.weight.max())

    @property
    def is_local(self) -> bool:
        """True if all rows are within reach, so that a dense copy can be made."""
        return True

    @property
    def takes_no_copies(self) -> bool:
        """True if a sample of these rows stores their indices instead of copies."""
        return False

    @property
    @abc.abstractmethod
    def is_finite(self) -> bool:
        """True if X has no NaN and no infinity. It is meant for few rows."""

    def sweep(
        self,
        points: Sequence[Point],
        want: Want = GRADIENT_ONLY,
        residuals: Data | None = None,
    ) -> list[Sums]:
        """Return the sums over all rows at each point; the rows are read once.

        Parameters
        ----------
        points : sequence of Point
            Several must have the standardisation in common, and nothing is available
            at them beside loss and gradient. What is read from memory once serves all
            of them, by matrix products: at twenty points that takes a quarter of the
            time of twenty sweeps, or less.
        want : Want
        residuals : ndarray of shape (n,), of the type of X or float64, or None
            Takes r of every row.
        """
        if len(points) == 1:
            self._check_residuals(residuals)
            self._count_sweep()
            return [self._sweep(points[0], want, residuals)]
        if want.squares or want.gram is not None or residuals is not None:
            raise ValueError(
                "a sweep returns squares, a Gram matrix or residuals at one point "
                f"only, not at {len(points)}"
            )
        if not all(point.has_frame_of(points[0]) for point in points):
            raise ValueError("the points of a sweep must have one standardisation")
        self._count_sweep()
        return self._sweep_together(points)

    def _count_sweep(self) -> None:
        """Count one more read of all rows."""
        self.n_sweeps += 1

    def with_target(self, y: Data) -> Self:
        """Return the rows with another target; X and weights are shared.

        Only rows in memory have that.
        """
        raise NotImplementedError(f"{type(self).__name__} have one target")

    def sweep_targets(
        self,
        targets: Sequence[Data],
        points: Sequence[Point],
        want: Want = GRADIENT_ONLY,
        residuals: Sequence[Data] | None = None,
    ) -> list[Sums]:
        """Return the sums at each point, with a target of its own in the place of y.

        The rows are read once. Only rows in memory have that.

        Parameters
        ----------
        targets : sequence of K ndarrays of shape (n,), or of one for all points
            All of one type.
        points : sequence of K points
            They must have the standardisation of the columns in common.
        want : Want
            No product with a direction.
        residuals : sequence of K ndarrays as for `sweep`, or None
        """
        raise NotImplementedError(f"{type(self).__name__} have one target")

    def _check_residuals(self, residuals: Data | None) -> None:
        if residuals is not None and not (
            residuals.shape == (self.n_rows,)
            and residuals.dtype in (self.dtype, np.float64)
            and residuals.flags.c_contiguous
        ):
            raise ValueError(
                f"residuals must be contiguous, of shape ({self.n_rows},) and of type "
                f"{self.dtype} or float64; got shape {residuals.shape} and type "
                f"{residuals.dtype}"
            )

    def new_residuals(self, *, double: bool) -> Any:
        """Return what takes r of every row in a sweep, in float64 or the type of X."""
        return np.empty(self.n_rows, np.float64 if double else self.dtype)

    def distances(self, residuals: Any) -> Distances:
        """Return |r| of every row, of residuals that a sweep has filled."""
        return Distances(np.abs(residuals).astype(np.float64, copy=False), self.weight)

    def add_up(self, function: Callable[[RowSource], float]) -> float:
        """Return the sum over all rows of a function that adds up over some rows."""
        return function(self)

    @abc.abstractmethod
    def _sweep(self, point: Point, want: Want, residuals: Data | None) -> Sums:
        """Return the sums at one point."""

    @abc.abstractmethod
    def _sweep_together(self, points: Sequence[Point]) -> list[Sums]:
        """Return the sums at several points."""

    def robust_weights(
        self, residuals: Data, threshold: float
    ) -> tuple[Data, NDArray[np.bool_]]:
        """Return ψ(r)/r of every row, and whether |r| exceeds the threshold.

        Parameters
        ----------
        residuals : ndarray of shape (n,)
            It is overwritten and returned.
        threshold : float
        """
        n = len(residuals)
        outlier = np.empty(n, dtype=np.bool_)
        rows = block_rows(residuals.itemsize)

        def fill(first: int, last: int) -> None:
            for start in range(first * rows, min(last * rows, n), rows):
                r = residuals[start : start + rows]
                size = np.abs(r).astype(np.float64, copy=False)
                is_outlier = np.greater(
                    size, threshold, out=outlier[start : start + rows]
                )
                if 0.0 < threshold < np.inf:
                    np.maximum(size, threshold, out=size)
                    np.divide(threshold, size, out=r, casting="same_kind")
                else:
                    np.logical_not(is_outlier, out=r)

        run_blocks(fill, -(-n // rows), n, self.threads, ())
        return residuals, outlier

    def influences(self, point: Point, mean_square: Floats) -> Floats:
        """Return Σ_j z_j² / mean_square_j of every row. One sweep.

        A column of mean square zero does not count.
        """
        root = np.sqrt(mean_square)
        inverse = np.divide(1.0, root, out=np.zeros_like(root), where=root > 0)
        return self.squared_lengths(point.centre, point.unit * inverse)

    def leverage_shares(self, point: Point, mean_square: Floats) -> Any:
        """Return shares for `pick_by`, by the leverage of each row. One sweep."""
        influences = self.influences(point, mean_square)
        return sampling.leverage_share(influences, self.n_features)

    def squared_lengths(self, centre: Floats, unit: Floats) -> Floats:
        """Return Σ_j ((x_j − centre_j)·unit_j)² of every row. One sweep."""
        out = np.empty(self.n_rows)
        self._count_sweep()
        self._fill_squared_lengths(centre, unit, out)
        return out

    @abc.abstractmethod
    def _fill_squared_lengths(self, centre: Floats, unit: Floats, out: Floats) -> None:
        """Fill `out` with Σ_j ((x_j − centre_j)·unit_j)² of every row."""

    def max_abs_deviation(self, centre: Floats) -> Floats:
        """Return the largest |x − centre| of each column. One sweep.

        Rows of weight zero do not count.
        """
        self._count_sweep()
        return self._max_abs_deviation(centre)

    @abc.abstractmethod
    def _max_abs_deviation(self, centre: Floats) -> Floats:
        """Return the largest |x − centre| of each column."""

    def without_empty_columns(self) -> tuple[RowSource, Columns]:
        """Return the rows with the columns that store a number, and which these are.

        No column of dense rows is empty.
        """
        return self, slice(None)

    @abc.abstractmethod
    def columns(self, index: NDArray[np.intp]) -> RowSource:
        """Return all rows with some columns alone, which are copied."""

    @abc.abstractmethod
    def standardised(self, centre: Floats, unit: Floats) -> Floats:
        """Return a dense copy of (x − centre)·unit; meant for few rows."""

    def moments(self, *, centred: bool) -> Moments:
        """Return location and spread of the columns, from a few hundred rows.

        The location is the median, so that wild rows do not carry the centre away from
        the others (whose distances from it would then be equal to rounding). Any number
        amid the column serves as well. Moments are kept: their medians take longer than
        a sweep if there are few rows for each column.
        """
        if centred not in self._kept_moments:
            self._kept_moments[centred] = self._moments(centred=centred)
        return self._kept_moments[centred]

    @functools.cached_property
    def _kept_moments(self) -> dict[bool, Moments]:
        return {}

    def _moments(self, *, centred: bool) -> Moments:
        columns = self._columns(self._pick(MOMENT_ROWS))
        return moments_of(columns, self.n_features, centred=centred)

    @abc.abstractmethod
    def _columns(self, index: NDArray[np.intp]) -> Iterator[tuple[slice, Floats]]:
        """Yield slices of columns, and the rows `index` of these as dense float64."""

    def pick(self, n_rows: int) -> Picks:
        """Pick about `n_rows` rows in proportion to their weights.

        Picking is stratified: the rows in their order, each as long as its weight, are
        cut into equal pieces, and a point is drawn in each. That spreads the picks
        over the data as evenly as a stride would, without a stride's aliasing
        with periods in the data. A row of weight zero is never picked, and the picks
        are those that there would be without such rows. All picks have equal weights,
        so a row picked k times has weight k. The draw is the same in every run.
        """
        return sampling.counted(self._pick(n_rows))

    def _pick(self, n_rows: int) -> NDArray[np.intp]:
        """Return the numbers of about `n_rows` rows, with repetitions."""
        if self.weight is None:
            return sampling.evenly(self.n_rows, n_rows)
        return sampling.in_proportion(self.weight * self.weight_unit, n_rows)

    def pick_by(self, share: Any, n_rows: int) -> Picks:
        """Pick about `n_rows` rows in proportion to their weights times a share.

        Sums over the picks estimate those over all rows. A row that would be picked
        once or more is taken once, with its own weight: so the rows that matter most
        are not estimated but there.

        Parameters
        ----------
        share : ndarray of shape (n,), or as returned by `leverage_shares`
            Positive.
        n_rows : int
        """
        weight = np.ones(self.n_rows) if self.weight is None else self.weight.copy()
        weight *= self.weight_unit
        return sampling.by_share(weight, share, n_rows)

    def take(self, index: NDArray[np.intp]) -> RowSource:
        """Return some rows, with their own weights."""
        return self._take(index, None if self.weight is None else self.weight[index])

    def sample(self, picks: Picks) -> RowSource:
        """Return the rows that were picked, with the weights of the picks."""
        return self._take(picks.index, picks.weight)

    @abc.abstractmethod
    def _take(self, index: NDArray[np.intp], weight: Floats | None) -> RowSource:
        """Return some rows, with these weights."""


def moments_of(
    columns: Iterable[tuple[slice, Floats]], n_features: int, *, centred: bool
) -> Moments:
    """Return the moments of a few rows, of which slices of columns are given."""
    centre, spread = np.zeros(n_features), np.empty(n_features)
    for some, X in columns:
        if centred:
            centre[some] = np.median(X, axis=0)
        distance = np.abs(X - centre[some])
        # If half of a column is one value, the median distance is zero; if it is nearly
        # one value, next to zero.
        largest = distance.max(axis=0)
        unit = np.where(largest > 0, largest, 1.0)
        mean_square = np.mean((distance / unit) ** 2, axis=0)
        middle = np.median(distance, axis=0)
        spread[some] = np.where(
            middle > _LEAST_MEDIAN * largest, middle, unit * np.sqrt(mean_square)
        )
    return Moments(centre, spread)


def some_columns(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Cut columns into slices of which `n_rows` rows are few numbers."""
    width = max(_COLUMNS_ELEMENTS // n_rows, 1)
    for start in range(0, n_columns, width):
        yield slice(start, min(start + width, n_columns))
