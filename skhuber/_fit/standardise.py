"""Units of a fit: the standardisation, and the basis of singular vectors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from skhuber._common.scale import joint_scale, weighted_median
from skhuber._fit.settings import Settings
from skhuber._objective import (
    Frame,
    HuberObjective,
    Penalty,
    Rotation,
    exponent,
    scale_shift,
)
from skhuber._rows import DenseRows, RowSource
from skhuber._sums import Floats

_EPS = float(np.finfo(np.float64).eps)
# Coefficients of more than two to this power are left at zero: 2^1024 overflows.
_COEFFICIENT_POWER = 980
# The median deviation of y is its unit unless the scale that y has without columns is
# farther from it than by this factor: a scale 1e-6 of the unit is 1e6 of its floor.
_FAR = 2.0**20
# The least unit of y, in largest deviations, for data whose squares overflow in others.
_LEAST_UNIT = 2.0**-200
# Values in rows of weight zero are held to this before they are multiplied.
_LARGEST_ABSENT = 1e150


# Units of a fit. Each next one is for data that overflow in the one before it.
Units = Literal["sample", "largest", "wide"]


def frame_of(
    rows: RowSource, sample: RowSource, settings: Settings, units: Units = "sample"
) -> Frame | None:
    """Return the standardisation; None if X is not finite.

    Parameters
    ----------
    rows, sample : RowSource
        All rows, and those that stand for them.
    settings : Settings
    units : {"sample", "largest", "wide"}
        "sample": the spreads of the sample. "largest": columns in units of their
        largest values, and the spread of y from all rows. "wide": besides, y in a unit
        in which the square of the largest target does not overflow. (A joint scale may
        lie below the floor that such a unit has.)
    """
    columns = column_units(rows, sample, settings, units)
    return None if columns is None else columns.frame(rows, sample, settings, units)


@dataclass(frozen=True)
class ColumnUnits:
    """Standardisation of the columns, which all targets have in common."""

    centre: Floats
    power: NDArray[np.int64]
    is_rare: NDArray[np.bool_]
    """(p,), whether a column is constant in the sample, but not in all rows."""

    def frame(
        self,
        rows: RowSource,
        sample: RowSource,
        settings: Settings,
        units: Units = "sample",
    ) -> Frame:
        """Return the standardisation with that of a target."""
        y_centre, y_power = _target_unit(rows, sample, settings, units)
        return Frame(
            centre=self.centre,
            # The coefficient of a column far smaller than y would not be a finite
            # number. In units of one, such a column is constant.
            x_power=np.where(y_power - self.power > _COEFFICIENT_POWER, 0, self.power),
            y_centre=y_centre,
            y_power=y_power,
            fit_intercept=settings.fit_intercept,
        )


def column_units(
    rows: RowSource, sample: RowSource, settings: Settings, units: Units = "sample"
) -> ColumnUnits | None:
    """Return the standardisation of the columns; None if X is not finite."""
    moments = sample.moments(centred=settings.fit_intercept)
    spread = moments.spread
    if units != "sample":
        spread = rows.max_abs_deviation(moments.centre)
    # Columns that are constant in some rows need not be so in others.
    is_rare = np.zeros(len(spread), dtype=np.bool_)
    for more in (sample, rows) if sample is not rows else ():
        if not spread.all():
            largest = more.max_abs_deviation(moments.centre)
            is_rare = (spread == 0) & (largest > 0) & (more is rows)
            spread = np.where(spread > 0, spread, largest)
    if not np.isfinite(spread).all():
        return None
    return ColumnUnits(moments.centre, exponent(spread), is_rare)


def _target_unit(
    rows: RowSource, sample: RowSource, settings: Settings, units: Units
) -> tuple[float, int]:
    """Return the centre of y and the binary exponent of its spread."""
    shown = sample if units == "sample" else rows
    y, weight = _present_targets(shown)
    y_centre = weighted_median(y, weight) if settings.fit_intercept else 0.0
    spread = _spread(np.abs(y - y_centre), weight, settings)
    if spread == 0 and shown is not rows:
        y, weight = _present_targets(rows)
        spread = _spread(np.abs(y - y_centre), weight, settings)
    if units == "wide":
        spread = max(spread, _LEAST_UNIT * float(np.abs(y - y_centre).max()))
    return y_centre, int(exponent(spread or abs(y_centre)))


def _present_targets(rows: RowSource) -> tuple[Floats, Floats | None]:
    y, weight = rows.y.astype(np.float64), rows.weight
    return (y, None) if weight is None else (y[weight > 0], weight[weight > 0])


def _spread(distance: Floats, weight: Floats | None, settings: Settings) -> float:
    """Return a unit of y in which the deviations of the rows that count are about one.

    It is the median deviation, unless that is far from the scale that y has without
    columns: about half of y is one value, or nearly so, or more than half are outliers.
    Then it is that scale, the joint one or the root mean square of the deviations
    clipped at a fixed threshold.
    """
    if np.isinf(settings.rho):  # squares of outliers count
        return _root_mean_square(distance, weight)
    middle = weighted_median(distance, weight)
    if isinstance(settings.scale, str):
        scale = joint_scale(distance, settings.rho, weight)
        is_far = scale > 0 and settings.scale == "joint" and scale < middle / _FAR
    else:
        clipped = np.minimum(distance, settings.rho * settings.scale)
        scale = _root_mean_square(clipped, weight)
        is_far = False
    is_far |= scale > middle * _FAR and not (settings.scale == "mad" and middle > 0)
    if not is_far and (middle > 0 or not distance.any()):
        return middle
    if scale > 0:
        return scale
    differs = distance > 0  # in so few rows that they have no scale
    return weighted_median(
        distance[differs], None if weight is None else weight[differs]
    )


def _root_mean_square(values: Floats, weight: Floats | None) -> float:
    largest = float(values.max())
    if largest == 0:
        return 0.0
    return largest * float(np.sqrt(np.average((values / largest) ** 2, weights=weight)))


def objective_of(rows: RowSource, frame: Frame, settings: Settings) -> HuberObjective:
    """Return the objective; for a scale of "mad", the joint one."""
    fixed = None if isinstance(settings.scale, str) else settings.scale
    shift = 0 if fixed is None else scale_shift(frame, settings.rho, fixed)
    objective = HuberObjective(
        frame,
        rho=float(np.ldexp(settings.rho, -shift)),
        penalty=settings.penalty or Penalty(l2=settings.alpha),
        scale=None,
        total_weight=rows.total_weight,
        weight_power=rows.weight_power,
        shift=shift,
    )
    if fixed is None:
        return objective
    scale = float(np.ldexp(fixed, shift - frame.y_power))
    if objective.rho * scale < objective.scale_floor:
        # A threshold below rounding errors of residuals. To these, neither the minimum
        # nor its value is another one if the threshold is as large as they are.
        scale = max(scale, objective.scale_floor)
    return objective.with_scale(scale)


def rotated(rows: RowSource, settings: Settings) -> tuple[RowSource, Rotation]:
    """Return the rows in the basis of the singular vectors of X; a dense copy is made.

    An empty column of a sparse X has a coefficient of zero, and no part in the basis.

    With X − centre = U S Vᵀ (of the columns in one unit if there is a penalty, so that
    the penalty stays what it is) and w = V v, the rows U S have orthogonal columns, as
    many as X has rank, and ‖w‖ = ‖v‖. Two kinds of data need that, whose Hessian in the
    basis of the columns is lost to rounding:

    - Few rows, fitted exactly. The loss is stiff (its curvature is 1/σ) along the rows,
      and across them there is nothing but the penalty.
    - A few rows far longer than the others (leverage points of 1e9, say), along which
      all columns look alike.
    """
    n_features = rows.n_features
    rows, columns = rows.without_empty_columns()
    moments = rows.moments(centred=settings.fit_intercept)
    power = exponent(moments.spread)
    if settings.alpha > 0:
        power = np.full_like(power, power[moments.spread > 0].max(initial=0))
    Z = rows.standardised(moments.centre, np.ldexp(1.0, -power))
    weighted = Z
    if rows.weight is not None:
        absent = rows.weight == 0
        weighted = Z[~absent]
        Z[absent] = np.clip(Z[absent], -_LARGEST_ABSENT, _LARGEST_ABSENT)
    _, singular, basis = scipy.linalg.svd(
        weighted, full_matrices=False, check_finite=False
    )
    # Z has the rounding errors of X, of which the centre was subtracted.
    offset = np.abs(np.ldexp(moments.centre, -power)).max(initial=0)
    size = singular.max(initial=0) + np.sqrt(len(weighted)) * offset
    rank = np.count_nonzero(singular > max(Z.shape) * _EPS * size)
    basis = basis[: max(rank, 1)].T
    rotation = Rotation(
        basis=basis,
        centre=moments.centre if settings.fit_intercept else np.zeros(len(power)),
        power=power,
        columns=columns,
        n_features=n_features,
    )
    return DenseRows(Z @ basis, rows.y, rows.weight, threads=rows.threads), rotation


def rotated_settings(settings: Settings, rotation: Rotation) -> Settings:
    """Return the settings with the penalty in the units of the rotated columns."""
    alpha = settings.alpha
    if alpha > 0:
        alpha = float(np.ldexp(alpha, -2 * rotation.power[0]))
    return replace(settings, alpha=alpha)
