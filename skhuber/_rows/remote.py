"""Rows in blocks elsewhere: sums, samples and medians by way of an engine.

`RemoteRows` has no arrays. An `Engine` applies functions of one block to all of them
and returns the results, or their sum. A fit gets to see sums, one sample, and a few
numbers for each block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skhuber._rows import block, sampling
from skhuber._rows.base import RowSource
from skhuber._rows.block import Block, Facts, Index, Near
from skhuber._rows.dense import DenseRows
from skhuber._rows.distances import Distances
from skhuber._rows.engine import Engine, add
from skhuber._rows.memory import MemoryRows
from skhuber._rows.remote_distances import RemoteDistances, around, expected_median
from skhuber._sums import Data, Floats, Picks, Point, Sums, Want


class Kept:
    """Residuals that stay with the blocks, in the place of an array.

    Attributes
    ----------
    is_wanted : bool
        Whether a sweep keeps them. If not, another sweep finds them when they are
        asked for.
    dtype : dtype
    point : Point or None
        Where they are, after a sweep.
    handle : object
        Handle of an engine, or None.
    near : Near or None
        What a sweep that keeps them has found around the median that is expected.
    """

    def __init__(self, *, is_wanted: bool) -> None:
        self.is_wanted = is_wanted
        self.dtype = np.dtype(np.float64)
        self.point: Point | None = None
        self.handle: Any = None
        self.near: Near | None = None


Sampled = tuple[Picks, MemoryRows]


class RemoteRows(RowSource):
    """Rows that an engine holds in blocks.

    Parameters
    ----------
    engine : Engine
    known : sequence of Facts
        Facts of all blocks.
    threads : int
        The most threads for samples, which are in memory here.
    sampled : tuple of (Picks, MemoryRows), default=None
        A sample that was read before, and which rows are in it.
    """

    def __init__(
        self,
        engine: Engine,
        known: Sequence[Facts],
        *,
        threads: int,
        sampled: Sampled | None = None,
    ) -> None:
        self._engine = engine
        self._sampled = sampled
        self.threads = threads
        self.n_sweeps = 0
        self.lengths = np.array([one.n_rows for one in known])
        self._starts = np.concatenate([[0], np.cumsum(self.lengths)])
        self.n_rows = int(self._starts[-1])
        self.n_features = known[0].n_features
        self.n_elements = sum(one.n_elements for one in known)
        self.n_present = sum(one.n_present for one in known)
        self.dtype = np.dtype(known[0].dtype)
        self.layout = "csr" if known[0].is_sparse else "rows"
        self._has_weights = known[0].has_weights
        self.weight_power = 0
        self.total_weight = float(self.n_rows)
        self._largest_weight = 1.0
        if self._has_weights:
            self._largest_weight = max(one.largest_weight for one in known)
            power = int(np.clip(-np.frexp(self._largest_weight)[1], -1000, 1000))
            self.weight_power = power
            self._totals = np.array(
                [np.ldexp(one.total, power - one.power) for one in known]
            )
            self.total_weight = float(add(list(self._totals)))

    # (Few data ask for these: whose targets are mostly one value, say.)

    @property
    def y(self) -> Data:
        """All targets, gathered."""
        return np.concatenate(self._engine.each("huber-targets", block.targets))

    @property
    def weight(self) -> Floats | None:  # type: ignore[override]
        """All weights, gathered; None without weights."""
        if not self._has_weights:
            return None
        engine = self._engine.of_weights
        return np.concatenate(engine.each("huber-weights", block.weights))

    @property
    def largest_weight(self) -> float:
        return self._largest_weight

    @property
    def is_local(self) -> bool:
        return False

    @property
    def is_finite(self) -> bool:
        return not self.bad_blocks()

    def bad_blocks(self) -> list[int]:
        """Return the numbers of the blocks whose X has NaN or infinity."""
        found = self._engine.each("huber-check", block.is_finite)
        return [k for k, is_finite in enumerate(found) if not is_finite]

    def new_residuals(self, *, double: bool) -> Kept:
        # (Double precision is for medians.)
        return Kept(is_wanted=double)

    def _check_residuals(self, residuals: Any) -> None:
        """Any `Kept` fits."""

    def _sweep(self, point: Point, want: Want, residuals: Any) -> Sums:
        picks, of_picks = want.picks, Want(gram=want.gram)
        if picks is not None:
            want = replace(want, gram=None, picks=None)

        def total(function: Callable[..., Any], *common: Any, kept: Any = None) -> Any:
            """Return the total of a function and, if rows are picked, their sums."""
            label, ask = "huber-sweep", self._engine.total
            common = (self.weight_power, *common)
            if picks is None:
                return ask(label, function, *common, kept=kept), None
            # (A block is sent the numbers of its own rows alone.)
            _, local = self._local_picks(picks.index, picks.weight)
            both = block.AndSampled(function, common, point, of_picks)
            return ask(label, both, kept=kept, local=local)

        if residuals is not None:
            residuals.point, residuals.handle, residuals.near = point, None, None
        if residuals is not None and residuals.is_wanted:
            kept = self._engine.keep(
                "huber-sweep", block.swept_and_kept, self.weight_power, point, want
            )
            bounds = around(expected_median(point), self.n_rows)
            (sums, near), sampled = total(block.sums_and_near, *bounds, kept=kept)
            residuals.handle, residuals.near = kept, near
        else:
            sums, sampled = total(block.swept, [point], want)
        if sampled is not None:
            return replace(sums[0], gram=sampled[0].gram)
        return cast(Sums, sums[0])

    def _sweep_together(self, points: Sequence[Point]) -> list[Sums]:
        return cast(
            list[Sums],
            self._engine.total(
                "huber-sweep", block.swept, self.weight_power, list(points), Want()
            ),
        )

    def distances(self, residuals: Any) -> Distances:
        assert residuals.point is not None
        if residuals.handle is None:
            self._count_sweep()
            residuals.handle = self._engine.keep(
                "huber-residuals",
                block.swept_and_kept,
                self.weight_power,
                residuals.point,
                Want(),
            )
        expected = expected_median(residuals.point)
        found = RemoteDistances(
            self, self._engine, residuals.handle, expected, residuals.near
        )
        return cast(Distances, found)

    def add_up(self, function: Callable[[RowSource], float]) -> float:
        self._count_sweep()
        return float(
            self._engine.total(
                "huber-check", block.applied, self.weight_power, function
            )
        )

    def leverage_shares(self, point: Point, mean_square: Floats) -> Any:
        self._count_sweep()
        return self._engine.keep("huber-leverage", block.shares, point, mean_square)

    def _fill_squared_lengths(self, centre: Floats, unit: Floats, out: Floats) -> None:
        raise NotImplementedError("remote rows return no number of every row")

    def _max_abs_deviation(self, centre: Floats) -> Floats:
        found = self._engine.each("huber-range", block.deviation, centre)
        return np.maximum.reduce(found)

    def columns(self, index: NDArray[np.intp]) -> RowSource:
        return self.gathered().columns(index)

    def standardised(self, centre: Floats, unit: Floats) -> Floats:
        return self.gathered().standardised(centre, unit)

    def gathered(self) -> MemoryRows:
        """Return all rows, in memory."""
        return self._take(np.arange(self.n_rows), self.weight)

    # --- samples

    def _columns(self, index: Index) -> Iterator[tuple[slice, Floats]]:
        index = np.sort(index)
        return self._take(index, None)._columns(np.arange(len(index)))

    def _pick(self, n_rows: int) -> Index:
        if not self._has_weights:
            return sampling.evenly(self.n_rows, n_rows)
        where = self._points(self._totals, n_rows)
        found = self._engine.of_weights.each(
            "huber-pick", block.picked, self.weight_power, local=[(w,) for w in where]
        )
        return np.concatenate(
            [start + index for start, index in zip(self._starts, found, strict=False)]
        )

    def _points(self, lengths: Floats, n: int) -> list[tuple[float, Floats]]:
        """Return for each block the length before it and the points within it."""
        ends = np.concatenate([[0.0], np.cumsum(lengths)])
        points = sampling.one_in_each_piece(n) * ends[-1]
        last = int(np.flatnonzero(lengths)[-1])
        place = np.minimum(np.searchsorted(ends[1:], points, side="right"), last)
        return [(float(ends[k]), points[place == k]) for k in range(len(lengths))]

    def pick_by(self, share: Any, n_rows: int) -> Picks:
        power, each = self.weight_power, self._engine.each
        lengths = each("huber-pick", block.length, power, kept=share)
        total = float(add(lengths))
        both = np.array(
            each("huber-pick", block.certain, power, n_rows, total, kept=share)
        ).reshape(-1, 2)
        rest = max(n_rows - int(both[:, 0].sum()), 1)
        size = float(add(list(both[:, 1])))
        where: list[tuple[float, Floats]]
        if size > 0:
            where = self._points(both[:, 1], rest)
        else:
            where = [(0.0, np.empty(0))] * len(lengths)
        found = each(
            "huber-pick",
            block.picked_by,
            power,
            n_rows,
            total,
            size / rest,
            kept=share,
            local=[(w,) for w in where],
        )
        index = [s + one for s, (one, _) in zip(self._starts, found, strict=False)]
        return Picks(np.concatenate(index), np.concatenate([w for _, w in found]))

    def take(self, index: Index) -> RowSource:
        if not self._has_weights:
            return self._take(index, None)
        order, parts = self._split(index)
        local = [(part,) for part in parts]
        engine = self._engine.of_weights
        found = engine.each("huber-weights", block.weights_at, local=local)
        weight = np.empty(len(index))
        weight[order] = np.concatenate(found)
        return self._take(index, weight)

    def _split(self, index: Index) -> tuple[Index, list[Index]]:
        """Return the order of the picks by block, and the rows within each block."""
        order = np.argsort(index, kind="stable")
        parts = np.split(
            index[order], np.searchsorted(index[order], self._starts[1:-1])
        )
        return order, [p - s for p, s in zip(parts, self._starts, strict=False)]

    def _local_picks(
        self, index: Index, weight: Floats | None
    ) -> tuple[Index, list[tuple[tuple[Index, Floats | None]]]]:
        order, parts = self._split(index)
        weights: Iterable[Floats | None] = [None] * len(parts)
        if weight is not None:
            ends = np.cumsum([len(part) for part in parts])[:-1]
            weights = np.split(weight[order], ends)
        return order, [(pick,) for pick in zip(parts, weights, strict=True)]

    def sample(self, picks: Picks) -> RowSource:
        if self._sampled is not None:
            known, rows = self._sampled
            if known.is_equal(picks):
                return rows
        return super().sample(picks)

    def facts_and_sample(self, n_rows: int) -> tuple[list[Facts], Sampled | None]:
        """Return the facts of all blocks and a sample of about `n_rows` rows.

        The blocks are read once.

        The sample is None if a block has a fault, or another shape than was known.
        """
        picks = self.pick(n_rows)
        order, local = self._local_picks(picks.index, picks.weight)
        both = self._engine.each("huber-check", block.facts_and_taken, local=local)
        found = [one for one, _ in both]
        is_sparse = self.layout == "csr"
        for one, length in zip(found, self.lengths, strict=True):
            expected = (length, self.n_features, is_sparse)
            shape = (one.n_rows, one.n_features, one.is_sparse)
            if one.problem or shape != expected:
                return found, None
        parts = [part for _, part in both]
        return found, (picks, self._put_together(order, parts, picks.weight))

    def _take(self, index: Index, weight: Floats | None) -> MemoryRows:
        order, local = self._local_picks(index, weight)
        parts = self._engine.each("huber-sample", block.taken, local=local)
        return self._put_together(order, parts, weight)

    def _put_together(
        self, order: Index, parts: Sequence[Block | None], weight: Floats | None
    ) -> MemoryRows:
        """Return rows that were taken from the blocks, in the order of the picks."""
        found = [part for part in parts if part is not None]
        inverse = np.argsort(order)
        y = np.concatenate([part.y for part in found])[inverse]
        if self.layout == "csr":
            X = sp.vstack([part.X for part in found], format="csr")[inverse]
            return Block(X, y, weight).rows(threads=self.threads)
        X = np.concatenate([part.X for part in found])
        if not np.array_equal(inverse, np.arange(len(inverse))):
            X = X[inverse]
        return DenseRows(X, y, weight, threads=self.threads)
