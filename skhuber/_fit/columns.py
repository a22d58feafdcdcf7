"""Means and standard deviations of the columns, from one sweep."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from skhuber._objective import Frame, exponent
from skhuber._rows import RowSource
from skhuber._sums import Columns, Floats, Point, Want

# A column's deviation below this part of its largest distance from the centre is the
# rounding error of a constant column.
_CONSTANT = 1e-14


@dataclass(frozen=True)
class ColumnStatistics:
    """Weighted means and deviations of the columns, in their units.

    Attributes
    ----------
    mean : ndarray of shape (p,)
    deviation : ndarray of shape (p,)
        Standard deviations; root mean squares of columns that no intercept centres. 1
        for a column of zeros, or constant beside an intercept.
    y_mean : float
    """

    mean: Floats
    deviation: Floats
    y_mean: float

    @property
    def is_finite(self) -> bool:
        """True if no sum overflowed."""
        return bool(np.isfinite(self.mean).all() and np.isfinite(self.deviation).all())

    def standardised_means(self, frame: Frame) -> tuple[Floats, float]:
        """Return the means of the columns and of y in the units of a fit."""
        z = (self.mean - frame.centre) * frame.unit
        return z, (self.y_mean - frame.y_centre) * frame.y_unit

    def of_target(self, rows: RowSource) -> ColumnStatistics:
        """Return the statistics with the mean of another target."""
        return replace(self, y_mean=_target_mean(rows))

    def of_columns(self, columns: Columns) -> ColumnStatistics:
        """Return the statistics of some columns."""
        return ColumnStatistics(
            self.mean[columns], self.deviation[columns], self.y_mean
        )


@np.errstate(over="ignore", invalid="ignore")
def column_statistics(rows: RowSource, *, fit_intercept: bool) -> ColumnStatistics:
    """Return the statistics of the columns. One sweep.

    With an intercept they are sums about the middle of a few rows, so that nothing is
    lost to rounding if a column is far from zero.
    """
    moments = rows.moments(centred=fit_intercept)
    power = exponent(moments.spread)
    # Every residual is one, and within the threshold: Σ s c z = Σ s z.
    point = Point(
        centre=moments.centre,
        unit=np.ldexp(1.0, -power),
        y_centre=0.0,
        y_unit=0.0,
        u=np.zeros(rows.n_features),
        intercept=-1.0,
        threshold=2.0,
        scale=1.0,
    )
    (sums,) = rows.sweep([point], Want(squares=True))
    mean = sums.gradient / sums.weight
    mean_square = sums.all_squares / sums.weight
    if fit_intercept:
        root = np.sqrt(np.maximum(mean_square - mean**2, 0.0))
        root[root <= _CONSTANT * np.sqrt(mean_square)] = 0.0
    else:
        root = np.sqrt(mean_square)
    deviation = np.ldexp(root, power)
    return ColumnStatistics(
        mean=moments.centre + np.ldexp(mean, power),
        deviation=np.where(deviation == 0, 1.0, deviation),
        y_mean=_target_mean(rows),
    )


def _target_mean(rows: RowSource) -> float:
    return float(np.average(rows.y.astype(np.float64), weights=rows.weight))
