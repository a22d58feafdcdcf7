"""Arguments and results of a sweep over the rows.

`skhuber._objective` passes a `Point` to `skhuber._rows` and receives `Sums`. s is the
weight of a row, z the standardised row, r its residual and c = clip(r, ±threshold).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Point:
    """Standardisation, coefficients and threshold at which a sweep takes its sums."""

    centre: Floats
    """(p,), the centres subtracted from the columns of X."""
    unit: Floats
    """(p,), the factors of the centred columns."""
    y_centre: float
    """The centre subtracted from y."""
    y_unit: float
    """The factor of the centred y."""
    u: Floats
    """(p,), the coefficients of the standardised columns."""
    intercept: float
    """The intercept, in standardised units of y."""
    threshold: float
    """The threshold on |r|, in standardised units of y."""

    def is_at(self, other: Point) -> bool:
        """Return whether both points have equal residuals, at any threshold."""
        return (
            self.intercept == other.intercept
            and self.y_centre == other.y_centre
            and self.y_unit == other.y_unit
            and np.array_equal(self.u, other.u)
            and np.array_equal(self.unit, other.unit)
            and np.array_equal(self.centre, other.centre)
        )


@dataclass(frozen=True)
class Sums:
    """Sums over all rows from which loss, gradient and Hessian follow."""

    gradient: Floats
    """(p,), Σ s c z."""
    c: float
    """Σ s c."""
    cr: float
    """Σ s c r."""
    cc: float
    """Σ s c²."""
    inlier: float
    """Σ s over the rows with |r| ≤ threshold, the inliers."""
    squares: Floats | None
    """(2, p), Σ s z² over the inliers and over the outliers; None if not asked for."""
    n_outliers: int | None = None
    """Number of the rows with |r| > threshold; None if they were not counted."""

    @property
    def all_squares(self) -> Floats:
        """The array (p,) of Σ s z² over all rows."""
        assert self.squares is not None
        return self.squares.sum(axis=0)

    @property
    def is_finite(self) -> bool:
        """True if all sums are finite: X is finite and no sum has overflowed."""
        total = self.cr + self.cc + float(np.sum(self.gradient))
        if self.squares is not None:
            total += float(np.sum(self.squares))
        return bool(np.isfinite(total))


@dataclass(frozen=True)
class Tally:
    """Counts of the residuals within and beyond a threshold."""

    norm: float
    """√(Σ s c²)."""
    inlier: float
    """Σ s over the rows with |r| ≤ threshold, the inliers."""
    n_outliers: int
    """Number of the rows with |r| > threshold."""


@dataclass(frozen=True)
class Moments:
    """Location and spread of the columns of some rows."""

    centre: Floats
    """(p,), the medians, or zeros; for a constant column its value."""
    spread: Floats
    """(p,), the median distances from the centre; if zero, the root mean squares."""
