"""Fits with an elastic net and bounds: the penalty, the fit, its duality gap.

The penalty is given for a mean over samples, as scikit-learn's ElasticNet has it: with
W the sum of the weights and d_j = 1, or the standard deviation of a column,

    (1/2W)·loss + α (ratio Σ d_j |w_j| + ½ (1 − ratio) Σ d_j² w_j²),

which times 2W is the sum over samples that is minimised. So α keeps its meaning in a
part of the samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from skhuber._fit.columns import ColumnStatistics, column_statistics
from skhuber._fit.dual import dual_gap
from skhuber._fit.fit import WatchModel, fit_rows
from skhuber._fit.null import null_model, null_slopes
from skhuber._fit.plan import plan_of
from skhuber._fit.result import Fit
from skhuber._fit.settings import Settings
from skhuber._fit.start import Start
from skhuber._fit.targets import fit_targets
from skhuber._fit.wide import fit_wide
from skhuber._objective import Penalty
from skhuber._rows import RowSource
from skhuber._solver.solution import Status
from skhuber._sums import Floats

# Values of one objective that differ by this part are equal to rounding.
_VALUE_ROUNDING = 8 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Net:
    """The penalty and the bounds of the module's docstring, validated.

    Attributes
    ----------
    alpha, l1_ratio : float
    standardize : bool
        Whether d_j is the deviation of a column.
    lower, upper : float or ndarray of shape (p,)
    """

    alpha: float
    l1_ratio: float
    standardize: bool
    lower: Floats | float = -np.inf
    upper: Floats | float = np.inf

    @property
    def has_bounds(self) -> bool:
        """True if a coefficient has a bound."""
        return bool(np.isfinite(self.lower).any() or np.isfinite(self.upper).any())

    def penalty(self, weight: float, statistics: ColumnStatistics) -> Penalty:
        """Return the penalty of a sum over rows of this weight."""
        unit = statistics.deviation if self.standardize else 1.0
        l2 = weight * self.alpha * (1.0 - self.l1_ratio) * np.square(unit)
        l1 = 2.0 * weight * self.alpha * self.l1_ratio * unit
        return Penalty(l2=l2, l1=l1, lower=self.lower, upper=self.upper)

    def settings(self, settings: Settings, penalty: Penalty) -> Settings:
        """Return the settings of a fit, with alpha alone if the penalty is a ‖w‖²."""
        if penalty.is_smooth and np.ndim(penalty.l2) == 0:
            return replace(settings, alpha=float(penalty.l2), penalty=None)
        return replace(settings, alpha=self.alpha, penalty=penalty)


@dataclass(frozen=True)
class NetFit:
    """A fit with an elastic net.

    Attributes
    ----------
    fit : Fit
        Of the sum over samples.
    dual_gap : float
        A bound of the distance from the minimum, as a fraction of the objective.
    """

    fit: Fit
    dual_gap: float


def fit_net(
    rows: RowSource,
    settings: Settings,
    net: Net,
    start: Start | None = None,
    watch: WatchModel | None = None,
) -> NetFit:
    """Fit the model to rows; the callable `watch` sees the model of every sweep."""
    statistics = net_statistics(rows, settings, net)
    if not statistics.is_finite:
        return NetFit(Fit.not_finite(rows), np.nan)
    penalty = net.penalty(rows.natural_weight, statistics)
    given = net.settings(settings, penalty)
    if _is_wide(rows, given):
        (fit,) = fit_wide(rows, [given], start, watch)
    else:
        fit = _checked(fit_rows(rows, given, start, watch), rows, given)
    return NetFit(fit, relative_dual_gap(fit, statistics))


def fit_net_targets(
    rows: Sequence[RowSource],
    settings: Settings,
    net: Net,
    starts: Sequence[Start | None],
) -> list[NetFit]:
    """Fit the model to each target; see `skhuber._fit.targets.fit_targets`."""
    statistics = net_statistics(rows[0], settings, net)
    if not statistics.is_finite:
        return [NetFit(Fit.not_finite(one), np.nan) for one in rows]
    penalty = net.penalty(rows[0].natural_weight, statistics)
    given = net.settings(settings, penalty)
    if _is_wide(rows[0], given):
        fits = [
            fit_wide(one, [given], start)[0]
            for one, start in zip(rows, starts, strict=True)
        ]
    else:
        fits = [
            _checked(fit, one, given)
            for fit, one in zip(fit_targets(rows, given, starts), rows, strict=True)
        ]
    return [
        NetFit(fit, relative_dual_gap(fit, statistics.of_target(one)))
        for fit, one in zip(fits, rows, strict=True)
    ]


def net_statistics(rows: RowSource, settings: Settings, net: Net) -> ColumnStatistics:
    """Return the statistics that penalty and gap need. One sweep, if they need any."""
    if net.standardize or settings.fit_intercept:
        return column_statistics(rows, fit_intercept=settings.fit_intercept)
    p = rows.n_features
    return ColumnStatistics(np.zeros(p), np.ones(p), 0.0)


def _is_wide(rows: RowSource, settings: Settings) -> bool:
    """Return whether a few columns at a time are fitted."""
    penalty = settings.penalty
    return penalty is not None and plan_of(rows, penalty).working_set


def _checked(fit: Fit, rows: RowSource, settings: Settings) -> Fit:
    """Return the fit, or the model without coefficients if that is the minimum."""
    if fit.is_finite and not fit.is_stopped and _may_be_null(fit, settings):
        return _null_or(fit, rows, settings)
    return fit


def relative_dual_gap(fit: Fit, statistics: ColumnStatistics) -> float:
    """Return the duality gap as a fraction of the objective."""
    if fit.found is None or not fit.found.value > 0:
        return 0.0
    return dual_gap(fit.found, statistics) / fit.found.value


def _may_be_null(fit: Fit, settings: Settings) -> bool:
    """Return whether all coefficients may be zero at the minimum.

    Near the minimum they are small then: their penalty is about the root of the gap.
    """
    penalty = settings.penalty
    if penalty is None or not np.any(penalty.l1) or not fit.coef.any():
        return False
    if np.any(np.asarray(penalty.lower) > 0) or np.any(np.asarray(penalty.upper) < 0):
        return False
    size = float(np.sum(penalty.l1 * np.abs(fit.coef)))
    return size <= np.sqrt(max(settings.tol, _VALUE_ROUNDING)) * fit.objective


def _null_or(fit: Fit, rows: RowSource, settings: Settings) -> Fit:
    """Return the model without coefficients, if its objective is no larger."""
    null = null_model(rows, settings)
    start = Start(np.zeros(rows.n_features), null.intercept, null.scale)
    still = fit_rows(rows, replace(settings, max_iter=0), start)
    most = fit.objective * (1.0 + _VALUE_ROUNDING)
    if not still.is_finite or still.coef.any() or not still.objective <= most:
        return replace(fit, n_sweeps=rows.n_sweeps)
    is_best = fit.converged or still.converged
    status = Status.CONVERGED if is_best else fit.status
    return replace(still, n_iter=fit.n_iter, status=status)


def largest_alpha(
    rows: RowSource, settings: Settings, net: Net, statistics: ColumnStatistics
) -> float:
    """Return the least alpha at which all coefficients are zero. One sweep.

    A coefficient that a bound holds at zero in the direction of its slope does not
    count.
    """
    slopes = null_slopes(rows, settings, null_model(rows, settings), statistics)
    may_grow = np.where(
        slopes < 0, np.asarray(net.upper) > 0, np.asarray(net.lower) < 0
    )
    unit = statistics.deviation if net.standardize else 1.0
    largest = float(np.max(np.where(may_grow, np.abs(slopes), 0.0) / unit, initial=0.0))
    return largest / (2.0 * rows.natural_weight * net.l1_ratio)
