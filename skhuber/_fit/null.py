"""The model without coefficients: location and scale of y alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from skhuber._common.scale import joint_scale, mad_scale
from skhuber._fit.columns import ColumnStatistics
from skhuber._fit.fit import fit_rows
from skhuber._fit.settings import Settings
from skhuber._objective import exponent
from skhuber._rows import RowSource, make_rows
from skhuber._sums import Floats, Point

# Newton steps that take a location from a fit's digits to the last ones.
_MAX_STEPS = 20
# A step that changes the location by no more than this part of the scale is the last.
_ENOUGH = 1e-15


@dataclass(frozen=True)
class NullModel:
    """Intercept and scale that minimise the objective if all coefficients are zero."""

    intercept: float
    scale: float


@np.errstate(over="ignore", invalid="ignore")
def null_model(rows: RowSource, settings: Settings) -> NullModel:
    """Return the model without coefficients, to the last digits. No sweep over X."""
    nothing = make_rows(
        np.zeros((rows.n_rows, 1)), rows.y.astype(np.float64), rows.weight, rows.threads
    )
    fit = fit_rows(nothing, replace(settings, penalty=None, alpha=0.0, tol=1e-14))
    y = rows.y.astype(np.float64)
    s = np.ones(len(y)) if rows.weight is None else rows.weight * rows.weight_unit
    intercept, scale = fit.intercept, fit.scale
    for _ in range(_MAX_STEPS):
        step, scale_step = _newton_step(y - intercept, s, settings, scale)
        if not (np.isfinite(step) and 0 < scale + scale_step < np.inf):
            break
        intercept, scale = intercept + step, scale + scale_step
        if max(abs(step), abs(scale_step)) <= _ENOUGH * scale:
            break
    return NullModel(float(intercept), float(scale))


def _newton_step(
    r: Floats, s: Floats, settings: Settings, scale: float
) -> tuple[float, float]:
    """Return the steps of location and scale towards the minimum."""
    threshold = settings.rho * scale
    c = np.clip(r, -threshold, threshold)
    inside = np.abs(r) <= threshold
    curvature = s[inside].sum()
    if settings.scale == "joint":
        new_scale = joint_scale(np.abs(r), settings.rho, s)
    elif settings.scale == "mad":
        new_scale = mad_scale(np.abs(r), s)
    else:
        new_scale = scale
    if not settings.fit_intercept:
        return 0.0, new_scale - scale
    if settings.scale != "joint":
        return float(s @ c) / curvature, new_scale - scale
    # Newton's method for both at once: at a minimum the scale depends on the location.
    t = c[inside] / scale
    hessian = np.empty((2, 2))
    hessian[0, 0] = curvature
    hessian[0, 1] = hessian[1, 0] = s[inside] @ t
    hessian[1, 1] = s[inside] @ t**2
    # (The derivatives by location and scale, divided by −2/σ as the Hessian is.)
    slope = np.array([s @ c, 0.5 * (s @ c**2 / scale - scale * s.sum())])
    step = np.linalg.lstsq(hessian, slope, rcond=None)[0]
    return float(step[0]), float(step[1])


@np.errstate(over="ignore", invalid="ignore")
def null_slopes(
    rows: RowSource, settings: Settings, null: NullModel, statistics: ColumnStatistics
) -> Floats:
    """Return ∂F/∂w_j at the model without coefficients, of F a sum over rows.

    A coefficient leaves zero if l1_j falls below the size of its slope. One sweep.
    """
    power = exponent(statistics.deviation)
    y_power = int(exponent(null.scale))
    scale = float(np.ldexp(null.scale, -y_power))
    point = Point(
        centre=statistics.mean if settings.fit_intercept else np.zeros(rows.n_features),
        unit=np.ldexp(1.0, -power),
        y_centre=null.intercept,
        y_unit=float(np.ldexp(1.0, -y_power)),
        u=np.zeros(rows.n_features),
        intercept=0.0,
        threshold=settings.rho * scale,
        scale=scale,
    )
    (sums,) = rows.sweep([point])
    slopes = -2.0 / (scale * rows.weight_unit) * sums.gradient
    return np.ldexp(slopes, power)
