"""Absolute residuals that stay with their blocks: exact medians by counting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from skhuber._common.scale import joint_scale
from skhuber._rows import block
from skhuber._rows.engine import Engine
from skhuber._sums import Floats

if TYPE_CHECKING:
    from skhuber._rows.remote import RemoteRows

# Numbers among which the last step of a median is made here: 32 kB with weights.
_LAST_VALUES = 2000
# Bits of |r| that a round of the search for a median settles, and bits in all of them.
_ROUND_BITS = 8
_LARGEST_BITS = 0x7FF0_0000_0000_0000


class RemoteDistances:
    """|r| of every row, which stay with the blocks; as `Distances`."""

    def __init__(self, rows: RemoteRows, engine: Engine, handle: Any) -> None:
        self._rows = rows
        self._engine = engine
        self._handle = handle

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

        The cell with the value is divided until few rows are in it, or it is one value:
        cells are of the bits of the values, which are ordered as the values are.

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
        rows, engine, kept = self._rows, self._engine, self._handle
        target -= self._slack
        low, high = 0, _LARGEST_BITS
        shift = _LARGEST_BITS.bit_length() - _ROUND_BITS
        while True:
            found = engine.total(
                "huber-median",
                block.histogram,
                rows.weight_power,
                low,
                high,
                shift,
                kept=kept,
            )
            size = (len(found) - 1) // 2
            ends = found[0] + np.cumsum(found[1 : size + 1])
            counts = found[size + 1 :]
            (filled,) = np.nonzero(counts)
            cell = int(filled[_cell(ends[filled], target)])
            low = low + (cell << shift)
            high = min(low + (1 << shift) - 1, high)
            if counts[cell] <= _LAST_VALUES or shift == 0:
                break
            shift = max(shift - _ROUND_BITS, 0)
        if counts[cell] > _LAST_VALUES:
            reached = float(ends[cell])
            # (To within one weight: the order of many rows is not looked at.)
            largest = rows.largest_weight * rows.weight_unit
            behind = max(reached - target - largest, 0.0)
            return float(np.uint64(low).view(np.float64)), reached, behind, None
        parts = engine.each("huber-median", block.within, low, high, kept=kept)
        values = np.concatenate([part for part, _ in parts])
        weight = np.ones(len(values))
        if rows._has_weights:
            weight = np.concatenate([part for _, part in parts]) * rows.weight_unit
        order = np.argsort(values, kind="stable")
        values, weight = values[order], weight[order]
        ends = ends[cell] - found[1 + cell] + np.cumsum(weight)
        k = _cell(ends, target)
        value = values[k]
        n = int(np.searchsorted(values, value, side="right"))
        above = float(values[n]) if n < len(values) else None
        reached = float(ends[n - 1])
        return float(value), reached, reached - float(ends[k]), above

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
        parts = self._engine.each(
            "huber-residuals", block.within, 0, _LARGEST_BITS, kept=self._handle
        )
        values = np.concatenate([part for part, _ in parts])
        weight = None
        if self._rows._has_weights:
            weight = np.concatenate([part for _, part in parts])
        return joint_scale(values, rho, weight)

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


def _cell(ends: Floats, weight: float) -> int:
    """Return the first cell at whose end the cumulated weight reaches this weight."""
    return min(int(np.searchsorted(ends, weight, side="left")), len(ends) - 1)
