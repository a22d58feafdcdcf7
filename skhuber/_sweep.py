"""What a sweep over the rows is asked, and what it answers.

The words in which `skhuber._objective` and `skhuber._rows` talk: a `Point` goes down,
`Sums` come up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Point:
    """Where a sweep looks: the standardisation, the coefficients and the threshold."""

    centre: Floats
    """(p,), subtracted from the columns of X."""
    unit: Floats
    """(p,), by which the centred columns are multiplied."""
    y_centre: float
    y_unit: float
    u: Floats
    """(p,), coefficients of the standardised columns."""
    intercept: float
    threshold: float
    """On |r|, in standardised units of y."""

    def is_at(self, other: Point) -> bool:
        """Whether both have the same residuals; the threshold does not matter."""
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
    """What a sweep over the loss returns."""

    gradient: Floats
    """(p,), Σ s c z."""
    c: float
    """Σ s c."""
    cr: float
    """Σ s c r."""
    cc: float
    """Σ s c²."""
    inlier: float
    """Σ s over the rows with |r| ≤ threshold."""
    squares: Floats | None
    """(2, p), Σ s z² over the same rows, and over the others; where asked for."""
    n_outliers: int | None = None
    """Number of the rows with |r| > threshold; where it was counted."""

    @property
    def all_squares(self) -> Floats:
        """(p,), Σ s z²."""
        assert self.squares is not None
        return self.squares.sum(axis=0)

    @property
    def is_finite(self) -> bool:
        """False where X has a NaN or an infinity, or a sum overflowed."""
        total = self.cr + self.cc + float(np.sum(self.gradient))
        if self.squares is not None:
            total += float(np.sum(self.squares))
        return bool(np.isfinite(total))


@dataclass(frozen=True)
class Tally:
    """How residuals lie about a threshold."""

    norm: float
    """√(Σ s c²)."""
    inlier: float
    """Σ s over the rows with |r| ≤ threshold."""
    n_outliers: int


@dataclass(frozen=True)
class Moments:
    """Location and spread of the columns of some rows."""

    centre: Floats
    """(p,), medians, or zeros; of a constant column, its value."""
    spread: Floats
    """(p,), median distance from the centre; where it is zero, root mean square."""
