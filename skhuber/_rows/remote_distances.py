"""Absolute residuals that stay with their blocks: exact medians by counting.

Where blocks are loaded anew for each question, each costs a read of all data. A median
is expected near that of the scale of the sweep. So the sweep itself counts the values
below two bounds around it, and returns those between them. As scales settle, the median
is one of these. If it is not, values are counted in cells that are the narrower the
nearer they are to the one expected, and the values in the cell of the median returned:
two reads more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skhuber._common.scale import NORMAL_MAD, joint_scale
from skhuber._rows import block
from skhuber._rows.block import Near
from skhuber._rows.engine import Engine
from skhuber._sums import Floats, Point

if TYPE_CHECKING:
    from skhuber._rows.remote import RemoteRows

# Numbers among which the last step of a median is made here: 32 kB with weights.
_LAST_VALUES = 2000
# Bits of |r| that a round of the search for a median settles, and bits in all of them.
_ROUND_BITS = 8
_LARGEST_BITS = 0x7FF0_0000_0000_0000
# Cells to each doubling of the distance from the median that is expected: a cell is
# then at most a quarter as wide as it is far from there.
_CELLS = 4


def expected_median(point: Point) -> float:
    """Return the median of |r| if the scale of a sweep is that of the mad."""
    return point.scale * NORMAL_MAD


def around(expected: float, n_rows: int) -> tuple[float, float, float]:
    """Return bounds within which about 2,000 values lie, and the most in a block.

    Of normal r, 0.86 ε of the values lie within ε of the median of |r| (relatively).
    The most values of a block are a share of its rows, eight times that expected.
    """
    share = _LAST_VALUES / n_rows
    part = min(share, 0.5)
    return expected * (1 - part), expected * (1 + part), 8 * share


class RemoteDistances:
    """|r| of every row, which stay with the blocks; as `Distances`.

    Parameters
    ----------
    rows : RemoteRows
    engine : Engine
    handle : object
        Of the engine.
    expected : float
        Where the median is likely to be.
    near : Near or None
        The values `around` there, if they are known.
    """

    def __init__(
        self,
        rows: RemoteRows,
        engine: Engine,
        handle: Any,
        expected: float,
        near: Near | None,
    ) -> None:
        self._rows = rows
        self._engine = engine
        self._handle = handle
        self._expected = expected
        self._near = near

    def median(self) -> float:
        """Return the weighted median."""
        half = 0.5 * self._rows.total_weight
        value, reached, _, above = self._at(half)
        if reached > half + self._slack:
            return value
        return value + 0.5 * (self._next(value, above) - value)

    def upper_quantile(self, share: float) -> float:
        """Return a threshold that rows with `share` of the weight exceed."""
        value, _, behind, above = self._at((1.0 - share) * self._rows.total_weight)
        if behind > 0:
            return value
        return value + 0.5 * (self._next(value, above) - value)

    @property
    def _slack(self) -> float:
        """A bound of the rounding error of cumulated weights."""
        rows = self._rows
        eps = float(np.finfo(np.float64).eps)
        return 4.0 * rows.n_present * eps * rows.total_weight

    def _at(self, target: float) -> tuple[float, float, float, float | None]:
        """Return the value at which the cumulated weight reaches a target.

        The cell with the value is divided until few rows are in it, or it is one value.

        Returns
        -------
        value, reached : float
            The value, and the weight of the rows up to it.
        behind : float
            The weight of those rows with this value, in their order, that come after
            the one which reaches the target. Positive or zero.
        above : float or None
            The next larger value, if it is known.
        """
        target -= self._slack
        near = self._near
        if near is not None and near.values is not None:
            within = near.below < target <= near.below + _mass(near)
            if within:
                return _placed(near, target)
        low, high, found = self._cell_of(target)
        if found is not None:
            return (low, *found, None)
        near = self._engine.total(
            "huber-median",
            block.within,
            self._rows.weight_power,
            low,
            high,
            kept=self._handle,
        )
        return _placed(near, target)

    def _cell_of(
        self, target: float
    ) -> tuple[float, float, tuple[float, float] | None]:
        """Return bounds of the value at which the cumulated weight reaches a target.

        Few rows lie within them; or the bounds are one value, of which many rows are.
        What `_at` returns as `reached` and `behind` is then returned as well.
        """
        rows = self._rows
        low, high = 0, _LARGEST_BITS
        edges = _edges_around(_bits(self._expected))
        while True:
            found = self._engine.total(
                "huber-median",
                block.histogram,
                rows.weight_power,
                edges.view(np.float64),
                kept=self._handle,
            )
            size = len(edges) + 1
            ends, counts = np.cumsum(found[:size]), found[size:]
            (filled,) = np.nonzero(counts)
            cell = int(filled[_first_end(ends[filled], target)])
            if cell > 0:
                low = int(edges[cell - 1])
            if cell < len(edges):
                high = int(edges[cell]) - 1
            if counts[cell] <= _LAST_VALUES:
                return _value(low), _value(high), None
            if low == high:
                reached = float(ends[cell])
                # (To within one weight: the order of many rows is not looked at.)
                largest = rows.largest_weight * rows.weight_unit
                behind = max(reached - target - largest, 0.0)
                return _value(low), _value(high), (reached, behind)
            edges = _edges_within(low, high)

    def _next(self, value: float, above: float | None) -> float:
        """Return the next larger value, or the value if it is the largest."""
        if above is None:
            found = self._engine.each(
                "huber-median", block.smallest_above, value, kept=self._handle
            )
            above = min(found)
        return value if above == np.inf else above

    def joint_scale(self, rho: float) -> float:
        """Return the joint scale, of all values gathered."""
        near = self._engine.total(
            "huber-residuals",
            block.within,
            self._rows.weight_power,
            0.0,
            np.inf,
            kept=self._handle,
        )
        return joint_scale(near.values, rho, near.weight)

    def mean_clipped_square(self, threshold: float) -> float:
        """Return the mean of min(|r|/threshold, 1)²."""
        total = self._engine.total(
            "huber-median",
            block.clipped,
            self._rows.weight_power,
            threshold,
            kept=self._handle,
        )
        return float(total) / self._rows.total_weight


def _mass(near: Near) -> float:
    """Return the weight of the values within the bounds."""
    assert near.values is not None
    return float(len(near.values) if near.weight is None else near.weight.sum())


def _placed(near: Near, target: float) -> tuple[float, float, float, float | None]:
    """Return what `RemoteDistances._at` does, of values that hold the one wanted."""
    values, weight = near.values, near.weight
    assert values is not None
    order = np.argsort(values, kind="stable")
    values = values[order]
    ends = np.arange(1.0, len(values) + 1) if weight is None else weight[order].cumsum()
    ends += near.below
    k = _first_end(ends, target)
    value = values[k]
    n = int(np.searchsorted(values, value, side="right"))
    above = float(values[n]) if n < len(values) else None
    reached = float(ends[n - 1])
    return float(value), reached, reached - float(ends[k]), above


def _first_end(ends: Floats, weight: float) -> int:
    """Return the first place at which the cumulated weight reaches this weight."""
    return min(int(np.searchsorted(ends, weight, side="left")), len(ends) - 1)


# Bits of numbers ≥ 0 are integers in the order of the numbers.


def _bits(value: float) -> int:
    return int(np.float64(value).view(np.int64))


def _value(bits: int) -> float:
    return float(np.int64(bits).view(np.float64))


def _edges_around(centre: int) -> NDArray[np.int64]:
    """Return edges of cells that are the wider the farther they are from a centre."""
    steps = [
        (_CELLS + k << power) // _CELLS
        for power in range(_LARGEST_BITS.bit_length())
        for k in range(_CELLS)
    ]
    edges = {centre + sign * step for step in steps for sign in (-1, 1)}
    inside = [edge for edge in edges if 0 < edge <= _LARGEST_BITS]
    return np.array(sorted(inside), dtype=np.int64)


def _edges_within(low: int, high: int) -> NDArray[np.int64]:
    """Return edges of equal cells from `low` to `high`, both included."""
    step = max(high - low + 1 >> _ROUND_BITS, 1)
    edges = [*range(low, high + 1, step), high + 1]
    return np.array(edges, dtype=np.int64)
