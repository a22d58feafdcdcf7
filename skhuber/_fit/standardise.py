"""Units of a fit: the standardisation of the data, and the basis of singular vectors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.linalg

from skhuber._common.scale import weighted_median
from skhuber._fit.settings import Settings
from skhuber._objective import Frame, HuberObjective, Rotation, exponent
from skhuber._rows import DenseRows, RowSource
from skhuber._sums import Floats

_EPS = float(np.finfo(np.float64).eps)
# Coefficients of more than two to this power are left at zero: 2^1024 overflows.
_COEFFICIENT_POWER = 980
# With a scale (in units of the spread of y) below this, sums of squares overflow.
_LEAST_SCALE_OF_SQUARES = 2.0**-400


def frame_of(
    rows: RowSource, sample: RowSource, settings: Settings, *, by_largest: bool
) -> Frame | None:
    """Return the standardisation, from the sample; None if X is not finite.

    `by_largest`: columns in units of their largest values, in which no square can
    overflow.
    """
    moments = sample.moments(centred=settings.fit_intercept)
    spread = moments.spread
    if by_largest:
        spread = rows.max_abs_deviation(moments.centre)
    # Columns that are constant in some rows need not be so in others.
    for more in (sample, rows) if sample is not rows else ():
        if not spread.all():
            largest = more.max_abs_deviation(moments.centre)
            spread = np.where(spread > 0, spread, largest)
    if not np.isfinite(spread).all():
        return None
    y_centre, y_power = _target_unit(sample, settings)
    x_power = exponent(spread)
    return Frame(
        centre=moments.centre,
        # The coefficient of a column far smaller than y would not be a finite number.
        # In units of one, such a column is constant.
        x_power=np.where(y_power - x_power > _COEFFICIENT_POWER, 0, x_power),
        y_centre=y_centre,
        y_power=y_power,
        fit_intercept=settings.fit_intercept,
    )


def _target_unit(sample: RowSource, settings: Settings) -> tuple[float, int]:
    """Return the centre of y and the binary exponent of its spread."""
    y = sample.y.astype(np.float64)
    weight = sample.weight
    y_centre = weighted_median(y, weight) if settings.fit_intercept else 0.0
    distance = np.abs(y - y_centre)
    # The median deviation withstands outliers; if half of y is one value, it is zero.
    y_spread = weighted_median(distance, weight)
    if y_spread == 0 or np.isinf(settings.rho):  # (then squares of outliers count)
        y_spread = _root_mean_square(distance, weight)
    return y_centre, int(exponent(y_spread or abs(y_centre)))


def _root_mean_square(values: Floats, weight: Floats | None) -> float:
    if weight is not None:
        values, weight = values[weight > 0], weight[weight > 0]
    largest = float(values.max())
    if largest == 0:
        return 0.0
    return largest * float(np.sqrt(np.average((values / largest) ** 2, weights=weight)))


def objective_of(rows: RowSource, frame: Frame, settings: Settings) -> HuberObjective:
    """Return the objective; for a scale of "mad", the joint one."""
    objective = HuberObjective(
        frame,
        rho=settings.rho,
        alpha=settings.alpha,
        scale=None,
        total_weight=rows.total_weight,
        weight_power=rows.weight_power,
    )
    if isinstance(settings.scale, str):
        return objective
    scale = float(np.ldexp(settings.scale, -frame.y_power))
    # Below the floor neither the minimum nor its value is another one, to rounding. (Of
    # squares the value is: they are divided by the scale.)
    floor = objective.scale_floor
    if np.isinf(settings.rho):
        floor = _LEAST_SCALE_OF_SQUARES
    return objective.with_scale(max(scale, floor))


def rotated(rows: RowSource, settings: Settings) -> tuple[RowSource, Rotation]:
    """Return the rows in the basis of the singular vectors of X; a dense copy is made.

    With X − centre = U S Vᵀ (of the columns in one unit if there is a penalty, so that
    the penalty stays what it is) and w = V v, the rows U S have orthogonal columns, as
    many as X has rank, and ‖w‖ = ‖v‖. Two kinds of data need that, whose Hessian in the
    basis of the columns is lost to rounding:

    - Few rows, fitted exactly. The loss is stiff (its curvature is 1/σ) along the rows,
      and across them there is nothing but the penalty.
    - A few rows far longer than the others (leverage points of 1e9, say), along which
      all columns look alike.
    """
    moments = rows.moments(centred=settings.fit_intercept)
    power = exponent(moments.spread)
    if settings.alpha > 0:
        power = np.full_like(power, power[moments.spread > 0].max(initial=0))
    Z = rows.standardised(moments.centre, np.ldexp(1.0, -power))
    weighted = Z if rows.weight is None else Z[rows.weight > 0]
    _, singular, basis = scipy.linalg.svd(
        weighted, full_matrices=False, check_finite=False
    )
    # (Differences from a centre amid a column are exact: Z has no rounding errors of the
    # size of the centre.)
    rank = np.count_nonzero(singular > max(Z.shape) * _EPS * singular.max(initial=0))
    basis = basis[: max(rank, 1)].T
    rotation = Rotation(
        basis=basis,
        centre=moments.centre if settings.fit_intercept else np.zeros(len(power)),
        power=power,
    )
    return DenseRows(Z @ basis, rows.y, rows.weight, threads=rows.threads), rotation


def rotated_settings(settings: Settings, rotation: Rotation) -> Settings:
    """Return the settings with the penalty in the units of the rotated columns."""
    alpha = settings.alpha
    if alpha > 0:
        alpha = float(np.ldexp(alpha, -2 * rotation.power[0]))
    return replace(settings, alpha=alpha)
