"""Thresholds that the data choose: rho="auto", "adaptive" and a share of outliers.

Up to the weight of the penalty, the coefficients depend on the absolute threshold
t = ρσ alone, whatever σ is. So each rule chooses among fits with a joint scale if that
is the scale asked for, and among fits with a fixed scale otherwise. The threshold
chosen, divided by the scale asked for, is rho.

**auto** minimises an estimate of the out-of-sample error E (x·(ŵ − w))² over a grid of
thresholds. With ψ = clip(r, ±t), n_in the number of inliers, and p features ::

    R(t) = p Σ ψ² / (n_in − p)²

(P. C. Bellec and T. Koriyama, "Error estimation and adaptive tuning for unregularized
robust M-estimator", Journal of Machine Learning Research 26(16), 2025: consistent where
p/n tends to a constant below one, for Gaussian rows of X and noise of any distribution
that is independent of them). For p/n → 0 it is p/n times Σψ²/n / (Σψ′/n)², the
classical asymptotic variance of Huber (1964). With a penalty it is, by P. C. Bellec,
"Out-of-sample error estimation for M-estimators with convex penalty", Information and
Inference 12 (2023), ::

    R(t) = ((2 df − p) Σ ψ² + ‖S^(−1/2) Xᵀψ‖²) / (n_in − df)²,

with the covariance matrix S of the features, and df the trace of G(G + ασI)⁻¹ with
G = n_in S. (The inliers have the covariance matrix of all rows, since the noise is
independent of X.) With an intercept, df + 1 is subtracted from n_in. p is the rank of
the features. With as many features as rows S is not known, and generalised
cross-validation, Σψ²/(n_in − df)², is minimised instead. A weight of two counts as the
row twice.

**adaptive** is the rule of L. Wang, C. Zheng, W. Zhou and W.-X. Zhou, "A new principle
for tuning-free Huber regression", Statistica Sinica 31 (2021), in the form of the
authors' R package adaHuber: the coefficients are the minimum at the threshold τ, and ::

    Σ min(r²/τ², 1) = p + log(n p).

It is the equation of a joint scale, Σ min(r²/σ², ρ²) = n, with ρ² = n/(p + log(n p)).
(adaHuber fits the intercept once more by itself; here it is fitted with the
coefficients.)

**A share of outliers** q: the threshold t is the quantile 1 − q of the |r| of the fit
with the threshold t.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import scipy.linalg

from skhuber._common.scale import NORMAL_MAD
from skhuber._fit import (
    Fit,
    Settings,
    Start,
    distances_of,
    fit_rows,
    residuals_of,
    sample_size,
)
from skhuber._fit.grid import fit_grid
from skhuber._rows import Distances, RowSource
from skhuber._runtime import one_blas_thread
from skhuber._solver.root import RootSearch
from skhuber._sums import Floats, Point, Want
from skhuber._tuning.efficiency import OutlierShare

# Thresholds tried by "auto": rho of a joint scale, and of a fixed scale in robust
# standard deviations of the residuals. For normal noise both go from a third of its
# standard deviation to infinity.
_JOINT_RHOS = (1.1, 1.18, 1.27, 1.4, 1.65, 2.1, 3.2, np.inf)
_FIXED_RHOS = (0.33, 0.53, 0.75, 1.0, 1.4, 2.0, 3.2, np.inf)
# Least ratio of inliers to coefficients that a threshold of "auto" has to leave for
# certain (1 − 1/ρ² of the weight, with a joint scale).
_MARGIN = 1.05
# A scale below this fraction of the largest one of the grid is zero to rounding.
_NO_SCALE = 1e-9
# rho if no rule applies, as the default of HuberRegressor.
_DEFAULT_RHO = 1.35
# Relative change of rho at which a share of outliers is as near as it can be, on all
# rows; the search also ends within half a row of the share.
_RHO_TOL = 1e-9
# The most updates of rho.
_MAX_UPDATES = 100
# The most columns for which the penalty counts in the estimated error. For more, the
# decomposition of the covariance matrix would take longer than the fits.
_SPECTRUM_MAX = 1000
# Eigenvalues of the correlation matrix of p columns up to p times this are zero to
# rounding.
_KNOWN = 1e-12
# Elements of X up to which a dense copy is the quickest way to the covariance matrix.
_DENSE = 2**20

Rule = str | OutlierShare


def fit_by_rule(
    rows: RowSource, rule: Rule, settings: Settings
) -> tuple[Settings, Fit, str | None]:
    """Fit the model with the rho that a rule chooses.

    Parameters
    ----------
    rows : RowSource
    rule : "auto", "adaptive" or OutlierShare
    settings : Settings
        The settings; their rho is ignored.

    Returns
    -------
    settings : Settings
        The settings with the rho that was chosen.
    fit : Fit
        Not finite if sums over the rows are not.
    warning : str or None
        If the rule does not apply: the reason, and the rho that was used.
    """
    if settings.scale == "joint":
        found = _choose(rows, rule, settings)
    else:
        found = _choose_threshold(rows, rule, settings)
    if not isinstance(found, str):
        warning = None
        if isinstance(rule, OutlierShare):
            warning = _share_not_met(rows, rule.share, found[1])
        return *found, warning
    settings = replace(settings, rho=_DEFAULT_RHO)
    warning = f"rho={rule!r} does not apply: {found}; rho={_DEFAULT_RHO} was used"
    return settings, fit_rows(rows, settings), warning


def _choose(
    rows: RowSource, rule: Rule, settings: Settings
) -> tuple[Settings, Fit] | str:
    """Return the settings with rho and the fit, for a joint or a fixed scale.

    If the rule does not apply, return the reason instead.
    """
    if isinstance(rule, OutlierShare):
        return _with_share(rows, rule.share, settings)
    return _adaptive(rows, settings) if rule == "adaptive" else _auto(rows, settings)


def _choose_threshold(
    rows: RowSource, rule: Rule, settings: Settings
) -> tuple[Settings, Fit] | str:
    """Return the settings with rho and the fit, for a fixed scale or "mad".

    The rule chooses an absolute threshold. If it does not apply, return the reason
    instead.
    """
    if rule == "adaptive":
        # The equation of the rule is that of a joint scale.
        found = _choose(rows, rule, replace(settings, scale="joint"))
    else:
        unit = _normal_scale(rows, settings)
        alpha = settings.alpha
        if not isinstance(settings.scale, str):
            # In another scale this alpha weighs as much against the loss.
            alpha = alpha * settings.scale / unit
        found = _choose(rows, rule, replace(settings, scale=unit, alpha=alpha))
    if isinstance(found, str):
        return found
    chosen, fit = found
    threshold, given = chosen.rho * fit.scale, settings.scale
    if isinstance(given, str):
        scale = _median_scale(rows, fit)
        settings = replace(settings, rho=threshold / scale if scale > 0 else chosen.rho)
        if isinstance(rule, OutlierShare) and rule.share > 0:
            # The penalty weighs differently at this scale, so the residuals differ.
            return _iterate(rows, rule.share, settings, tol=_RHO_TOL)
        return settings, fit_rows(rows, settings)
    settings = replace(settings, rho=threshold / given)
    return settings, fit_rows(rows, settings, Start(fit.coef, fit.intercept, given))


def _normal_scale(rows: RowSource, settings: Settings) -> float:
    """Return a robust standard deviation of the residuals; 1 if all are zero."""
    joint = replace(settings, scale="joint", rho=_DEFAULT_RHO)
    fit = fit_rows(rows, joint)
    return _median_scale(rows, fit) or fit.scale or 1.0


def _median_scale(rows: RowSource, fit: Fit) -> float:
    """Return median|r| / Φ⁻¹(3/4) of the residuals of a fit."""
    distances, unit = distances_of(rows, fit)
    return unit * distances.median() / NORMAL_MAD


def _sample(rows: RowSource) -> RowSource | None:
    """Return the sample that a fit to these rows solves first; None without one."""
    n_rows = sample_size(rows)
    return rows.sample(rows.pick(n_rows)) if n_rows else None


# --- adaptive ---------------------------------------------------------------------


def _adaptive(rows: RowSource, settings: Settings) -> tuple[Settings, Fit] | str:
    n = rows.natural_weight
    p = rows.n_features
    needed = p + np.log(max(n * p, 1.0))
    if not needed < n:
        return (
            f"with {p} features it needs samples (or weights) that add up to more than "
            f"{needed:.3g}, got {n:.3g}"
        )
    settings = replace(settings, rho=float(np.sqrt(n / needed)))
    return settings, fit_rows(rows, settings)


# --- a share of outliers ----------------------------------------------------------


def _with_share(
    rows: RowSource, share: float, settings: Settings
) -> tuple[Settings, Fit]:
    """Return the settings with the rho that gives a share of outliers, and the fit.

    The rho is found on a sample first, if there is one.
    """
    if share == 0:
        settings = replace(settings, rho=np.inf)
        return settings, fit_rows(rows, settings)
    rho = _DEFAULT_RHO
    part = _sample(rows)
    if part is not None:
        near, _ = _iterate(part, share, replace(settings, rho=rho), tol=1e-3)
        rho = near.rho
    return _iterate(rows, share, replace(settings, rho=rho), tol=_RHO_TOL)


def _share_not_met(rows: RowSource, share: float, fit: Fit) -> str | None:
    """Return a warning if the fit misses the share by more than a row, else None."""
    n = rows.natural_weight
    reached = 1.0 - fit.tally.inlier / n
    if abs(reached - share) <= 1.001 * rows.largest_weight / n:
        return None
    return (
        f"the share of outliers is {reached:.3g}, not {share:g}: no threshold with that"
        " share was found (ties among residuals can make it impossible); choose another"
    )


def _iterate(
    rows: RowSource, share: float, settings: Settings, *, tol: float
) -> tuple[Settings, Fit]:
    """Fit and update rho until the fit has the share of outliers.

    The update takes the rho at which the residuals of the last fit have the share.
    """
    slack = 0.5 * rows.largest_weight
    total = rows.natural_weight
    search = RootSearch()
    start = None
    for _ in range(_MAX_UPDATES):
        fit = fit_rows(rows, settings, start)
        # (With "mad" the start would decide between several fixed points.)
        if settings.scale != "mad":
            start = Start(fit.coef, fit.intercept, fit.scale)
        if not fit.is_finite:
            break
        found = total - fit.tally.inlier
        new_rho = _rho_of_share(*distances_of(rows, fit), share, settings)
        change = float(np.log(new_rho / settings.rho))
        if abs(found - share * total) <= slack or abs(change) <= tol:
            break
        rho = float(np.exp(search.next(np.log(settings.rho), change)))
        settings = replace(settings, rho=max(rho, _least_rho(settings)))
    return settings, fit


def _rho_of_share(
    distances: Distances, unit: float, share: float, settings: Settings
) -> float:
    """Return the rho at which absolute residuals in a unit have a share of outliers."""
    threshold = distances.upper_quantile(share)
    if not threshold > 0:  # the residuals within the threshold are zero
        return settings.rho
    if settings.scale == "mad":
        scale = distances.median() / NORMAL_MAD
        rho = threshold / scale if scale > 0 else settings.rho
    elif isinstance(settings.scale, str):
        # Σ min(r²/σ², ρ²) = n with the threshold ρσ gives ρ.
        rho = 1.0 / float(np.sqrt(distances.mean_clipped_square(threshold)))
    else:
        rho = unit * threshold / settings.scale
    return max(rho, _least_rho(settings))


def _least_rho(settings: Settings) -> float:
    """Return the least rho of a search; a joint scale falls to zero at a rho of 1."""
    return 1.001 if settings.scale == "joint" else 1e-9


# --- auto -------------------------------------------------------------------------


def _auto(rows: RowSource, settings: Settings) -> tuple[Settings, Fit] | str:
    rhos: tuple[float, ...] = _FIXED_RHOS
    if settings.scale == "joint":
        # A joint scale leaves at least 1 − 1/ρ² of the weight within the threshold. If
        # these can be fewer rows than there are coefficients, the scale can be zero,
        # and the threshold is not tried. (With as many features as rows, where that
        # would leave none, the penalty keeps the scale from zero.)
        n = rows.natural_weight
        least = _MARGIN * (rows.n_features + settings.fit_intercept) / n
        rhos = tuple(
            rho for rho in _JOINT_RHOS if 1.0 - 1.0 / rho**2 > least or least >= 1.0
        )
        rhos = rhos or _JOINT_RHOS[-1:]
    grid = [replace(settings, rho=rho) for rho in rhos]
    fits = fit_grid(rows, grid)
    if not fits[0].is_finite:  # for bad values in X or y, then no fit is
        return grid[0], fits[0]
    spectrum = None
    if settings.alpha > 0 and rows.n_features <= _SPECTRUM_MAX:
        spectrum = one_blas_thread(Spectrum)(rows, centred=settings.fit_intercept)
    errors = estimated_errors(rows, fits, grid, spectrum)
    best = int(np.argmin(errors))
    if not np.isfinite(errors[best]):
        return (
            "at no threshold there are more inliers (by weight) than degrees of freedom"
        )
    return grid[best], fits[best]


class Spectrum:
    """Eigenvalues and eigenvectors of the features' covariance matrix S.

    S is that of the sample that a fit solves first, or of all rows without one.

    Attributes
    ----------
    values : ndarray of shape (n_features,)
        Eigenvalues of S, at least 0.
    rank : int
        Rank of S, to rounding.
    """

    def __init__(self, rows: RowSource, *, centred: bool) -> None:
        part = _sample(rows) or rows
        p = rows.n_features
        if part.n_rows * p <= _DENSE:
            X = part.standardised(np.zeros(p), np.ones(p))
            if centred:
                X -= np.average(X, axis=0, weights=part.weight)
            weighted = X if part.weight is None else X * part.weight[:, np.newaxis]
            covariance = weighted.T @ X / part.natural_weight
        else:
            covariance = _covariance_by_blocks(part, centred=centred)
        self.values = np.maximum(
            scipy.linalg.eigvalsh(covariance, check_finite=False), 0.0
        )
        # `rank` and `squared_norm` do not depend on the units of the columns: they come
        # from the correlation matrix, whose rounding errors do not either.
        deviation = np.sqrt(np.maximum(np.diagonal(covariance), 0.0))
        self._deviation = np.where(deviation > 0, deviation, 1.0)
        correlation = covariance / np.outer(self._deviation, self._deviation)
        values, vectors = scipy.linalg.eigh(correlation, check_finite=False)
        known = values > _KNOWN * len(values)
        self._values, self._vectors = values[known], vectors[:, known]
        self.rank = int(np.count_nonzero(known))

    def degrees_of_freedom(self, mass: float, penalty: float) -> float:
        """Return the trace of G(G + penalty·I)⁻¹ with G = mass·S."""
        curvature = mass * self.values[self.values > 0]
        return float(np.sum(curvature / (curvature + penalty)))

    def squared_norm(self, v: Floats) -> float:
        """Return ‖S^(−1/2) v‖², along the directions in which the features vary."""
        parts = self._vectors.T @ (v / self._deviation)
        return float(np.sum(parts**2 / self._values))


def _covariance_by_blocks(rows: RowSource, *, centred: bool) -> Floats:
    """Return the covariance matrix of the features, from one sweep."""
    moments = rows.moments(centred=centred)
    spread = np.where(moments.spread > 0, moments.spread, 1.0)
    p = rows.n_features
    origin = Point(
        centre=moments.centre,
        unit=1.0 / spread,
        y_centre=0.0,
        y_unit=1.0,
        u=np.zeros(p),
        intercept=0.0,
        threshold=np.inf,
        scale=1.0,
    )
    (sums,) = rows.sweep([origin], Want(gram=np.float64))
    assert sums.gram is not None
    gram = sums.gram[0]
    covariance: Floats = gram[:p, :p] / rows.total_weight
    if centred:
        mean = gram[:p, p] / rows.total_weight
        covariance -= np.outer(mean, mean)
    return covariance * np.outer(spread, spread)


def estimated_errors(
    rows: RowSource,
    fits: Sequence[Fit],
    grid: Sequence[Settings],
    spectrum: Spectrum | None,
) -> Floats:
    """Return R(t) of the module's docstring for each fit, up to a common factor.

    It is infinite for a fit without an estimate: one that is not certified, that
    interpolates, or that has no more inliers than degrees of freedom. Without a
    spectrum the penalty is left out.
    """
    p = rows.n_features if spectrum is None else spectrum.rank
    n = rows.natural_weight
    # In this unit no square overflows.
    unit = max(fit.tally.norm for fit in fits) or 1.0
    squares, errors, left = (np.empty(len(fits)) for _ in range(3))
    least = _NO_SCALE * max(fit.scale for fit in fits)
    for k, (fit, settings) in enumerate(zip(fits, grid, strict=True)):
        squares[k] = (fit.tally.norm / unit) ** 2
        df, from_penalty = float(p), 0.0
        if spectrum is not None:
            penalty = settings.alpha * fit.scale
            df = spectrum.degrees_of_freedom(fit.tally.inlier, penalty)
            from_penalty = spectrum.squared_norm(penalty / unit * fit.coef)
        errors[k] = (2.0 * df - p) * squares[k] + from_penalty
        left[k] = fit.tally.inlier - df - settings.fit_intercept
        has_no_scale = fit.scale <= least
        if not fit.converged or (has_no_scale and _interpolates(rows, fit)):
            left[k] = -np.inf
    possible = left > 0
    # With as many coefficients as rows, or an estimate of zero (without columns, or of
    # an exact fit), generalised cross-validation takes its place.
    if not (p + grid[0].fit_intercept < n and (errors[possible] > 0).all()):
        errors = squares
    return np.divide(errors, left**2, out=np.full(len(fits), np.inf), where=possible)


def _interpolates(rows: RowSource, fit: Fit) -> bool:
    """Return whether a fit meets no more distinct rows than it has coefficients.

    If rows are repeated (in a bootstrap sample, say), such a fit can meet a majority of
    them exactly. Its scale is then zero, but says nothing of the error.
    """
    p, coefficients = rows.n_features, rows.n_features + 1
    threshold = fit.point.threshold / fit.point.y_unit
    if not rows.is_local:  # (so many rows are not met)
        return False
    (inside,) = np.nonzero(np.abs(residuals_of(rows, fit)) <= threshold)
    if len(inside) <= coefficients:
        return True
    part = rows.take(inside[: max(_DENSE // (p + 1), coefficients + 1)])
    X = part.standardised(np.zeros(p), np.ones(p))
    return len(np.unique(np.column_stack([X, part.y]), axis=0)) <= coefficients
