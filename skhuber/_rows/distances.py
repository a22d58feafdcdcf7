"""Absolute residuals of all rows, and the sizes that are asked of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skhuber._common.scale import joint_scale, upper_quantile, weighted_median
from skhuber._sums import Floats


@dataclass(frozen=True)
class Distances:
    """|r| of every row, in memory.

    Attributes
    ----------
    values : ndarray of shape (n,)
    weight : ndarray of shape (n,) or None
    """

    values: Floats
    weight: Floats | None

    def median(self) -> float:
        """Return the weighted median."""
        return weighted_median(self.values, self.weight)

    def upper_quantile(self, share: float) -> float:
        """Return a threshold that rows with `share` of the weight exceed."""
        return upper_quantile(self.values, share, self.weight)

    def joint_scale(self, rho: float) -> float:
        """Return the joint scale."""
        return joint_scale(self.values, rho, self.weight)

    def mean_clipped_square(self, threshold: float) -> float:
        """Return the mean of min(|r|/threshold, 1)²."""
        squares = np.minimum(self.values / threshold, 1.0) ** 2
        return float(np.average(squares, weights=self.weight))
