"""Absolute residuals that stay with their blocks: exact medians by counting."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from skhuber._common.scale import joint_scale, upper_quantile, weighted_median
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
        total = self._rows.total_weight
        return self._exact(0.5 * total, 0.5 * total, weighted_median)

    def upper_quantile(self, share: float) -> float:
        """Return a threshold that rows with `share` of the weight exceed."""
        rows = self._rows
        lower = (1.0 - share) * rows.total_weight
        # The next value is wanted, too.
        upper = lower + rows.largest_weight * rows.weight_unit
        return self._exact(lower, upper, partial(upper_quantile, share=share))

    def _exact(
        self, lower: float, upper: float, last_step: Callable[..., float]
    ) -> float:
        """Return a quantile, from the few values about it.

        The values between two cumulated weights are found by halving, in the bits of
        the values. Those below and above count with one value each.
        """
        rows, engine, kept = self._rows, self._engine, self._handle
        total = rows.total_weight
        slack = 4.0 * rows.n_present * float(np.finfo(np.float64).eps) * total
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
            first = filled[_cell(ends[filled], lower - slack)]
            last = filled[min(_cell(ends[filled], upper + slack) + 1, len(filled) - 1)]
            low, high = (
                low + (int(first) << shift),
                min(low + (int(last + 1) << shift) - 1, high),
            )
            if counts[first : last + 1].sum() <= _LAST_VALUES or shift == 0:
                break
            shift = max((high - low).bit_length() - _ROUND_BITS, 0)
        below = float(ends[first] - found[1 + first])
        above = total - float(ends[last])
        if shift == 0 and counts[first : last + 1].sum() > _LAST_VALUES:
            # Many rows with few values: a weight for each value.
            cells = filled[(filled >= first) & (filled <= last)]
            bits = np.array(low + (cells - first), dtype=np.uint64)
            values, weight = bits.view(np.float64), found[1 + cells]
        else:
            parts = engine.each("huber-median", block.within, low, high, kept=kept)
            values = np.concatenate([part for part, _ in parts])
            weight = np.ones(len(values))
            if rows._has_weights:
                weight = np.concatenate([part for _, part in parts]) * rows.weight_unit
        values = np.concatenate([[-1.0], values, [np.inf]])
        weight = np.concatenate([[below], weight, [max(above, 0.0)]])
        return float(last_step(values, weight=weight))

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
