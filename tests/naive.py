"""What the estimator computes, restated in plain NumPy for the tests.

Nothing here imports skhuber, and nothing here tries to be fast. With residuals
``r = y - X @ w - b``, weights ``s``, threshold ``rho`` and scale ``sigma`` the
objective is

    joint scale   F = sum(s * (sigma + sigma * H(r / sigma))) + alpha * w @ w
    fixed scale   F = sum(s * sigma * H(r / sigma)) + alpha * w @ w

where ``H(z) = z**2`` up to ``|z| = rho`` and ``2 * rho * |z| - rho**2`` beyond.
The joint form is the objective of scikit-learn's HuberRegressor.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse
from scipy.stats import norm
from sklearn.linear_model._huber import _huber_loss_and_gradient

PHI_INV_3_4 = norm.ppf(0.75)


class Optimum(NamedTuple):
    coef: np.ndarray
    intercept: float
    scale: float
    objective: np.longdouble
    gap: float  # as estimated by the solver itself


def dense(X):
    X = X.toarray() if scipy.sparse.issparse(X) else np.asarray(X)
    return X.astype(np.float64)


def weights_of(sample_weight, n):
    if sample_weight is None:
        return np.ones(n)
    return np.asarray(sample_weight, dtype=np.float64)


def huber(z, rho):
    z = np.abs(z)
    outside = z > rho
    value = z * z
    value[outside] = 2 * rho * z[outside] - rho * rho
    return value


def residuals(X, y, coef, intercept):
    return np.asarray(y) - dense(X) @ coef - intercept


def objective(X, y, coef, intercept, scale, rho, alpha, sample_weight=None, joint=True):
    """F at a point, in extended precision."""
    s = weights_of(sample_weight, len(y))
    coef = np.asarray(coef, dtype=np.longdouble)
    scale = np.longdouble(scale)
    r = np.asarray(y) - dense(X) @ coef - intercept
    loss = scale * huber(r / scale, rho)
    if joint:
        loss = loss + scale
    return (s * loss).sum() + alpha * (coef @ coef)


def gradient(X, y, coef, intercept, scale, rho, alpha, sample_weight=None):
    """Derivatives of the joint F in (coef, intercept, scale), as one vector."""
    X = dense(X)
    s = weights_of(sample_weight, len(y))
    r = residuals(X, y, coef, intercept)
    clipped = np.clip(r / scale, -rho, rho)
    slope, in_scale = 2 * clipped, 1 - clipped**2
    return np.concatenate(
        [
            -X.T @ (s * slope) + 2 * alpha * np.asarray(coef),
            [-np.sum(s * slope), np.sum(s * in_scale)],
        ]
    )


def outliers(X, y, coef, intercept, scale, rho):
    return np.abs(residuals(X, y, coef, intercept)) > rho * scale


def robust_weights(X, y, coef, intercept, scale, rho):
    r = np.abs(residuals(X, y, coef, intercept))
    weights = np.ones_like(r)
    outside = r > rho * scale
    weights[outside] = rho * scale / r[outside]
    return weights


def weighted_median(values, sample_weight=None):
    """The median of the values, each repeated as often as its weight says.

    Half the weight below and half above is a tie, and gives the mean of the two
    values beside it, also where the sums of the weights have been rounded.
    """
    s = weights_of(sample_weight, len(values))
    values, s = np.asarray(values)[s > 0], s[s > 0]
    order = np.argsort(values)
    values, share = values[order], np.cumsum(s[order]) / np.sum(s)
    lower = values[np.searchsorted(share, 0.5 - 1e-12)]
    upper = values[min(np.searchsorted(share, 0.5 + 1e-12), len(values) - 1)]
    return (lower + upper) / 2


def mad_scale(residual, sample_weight=None):
    return weighted_median(np.abs(residual), sample_weight) / PHI_INV_3_4


# --- a slow solver ----------------------------------------------------------


def _parts(theta, Z, t, s, penalty, rho, fixed):
    """Value, gradient, Hessian of the rows inside, Hessian of all rows."""
    k = Z.shape[1]
    scale = theta[k] if fixed is None else np.longdouble(fixed)
    r = t - Z @ theta[:k]
    clipped = np.clip(r, -rho * scale, rho * scale)
    inside = np.abs(r) <= rho * scale
    value = (s @ (2 * clipped * r - clipped * clipped)) / scale
    value = value + penalty @ theta[:k] ** 2
    slope = -(2 / scale) * (Z.T @ (s * clipped)) + 2 * penalty * theta[:k]
    Zd, sd = Z.astype(float), s.astype(float)
    both = np.diag(2 * penalty.astype(float))
    rows = Zd * (sd * inside)[:, None]
    hessian = 2 / float(scale) * (rows.T @ Zd) + both
    full = 2 / float(scale) * (Zd.T @ (Zd * sd[:, None])) + both
    if fixed is None:
        total = s.sum()
        value = value + total * scale
        in_scale = total - (s @ clipped**2) / scale**2
        slope = np.append(slope, in_scale)
        cross = 2 / float(scale) ** 2 * (rows.T @ r.astype(float))
        corner = 2 / float(scale) ** 3 * float(s[inside] @ r[inside] ** 2)
        hessian = np.block([[hessian, cross[:, None]], [cross, corner]])
        full = np.block(
            [
                [full, np.zeros((k, 1))],
                [np.zeros((1, k)), 2 * float(total / scale)],
            ]
        )
    return value, slope, hessian, full


def _solve(matrix, vector):
    """Least-norm solution after scaling the diagonal to one."""
    d = np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    inverse = np.linalg.pinv(matrix / np.outer(d, d), rcond=1e-14, hermitian=True)
    return inverse @ (vector.astype(float) / d) / d


def _newton(theta, Z, t, s, penalty, rho, fixed, max_iter=1000):
    """Damped Newton steps; sums in extended precision, steps in double."""
    value, slope, hessian, full = _parts(theta, Z, t, s, penalty, rho, fixed)
    damping, gap, stalled = 0.0, np.inf, 0
    for _ in range(max_iter):
        step = -_solve(hessian + (damping + 1e-13) * full, slope)
        gap = float(-0.5 * (slope @ step) / value) if value > 0 else 0.0
        if gap < 1e-32 or stalled > 20:
            break
        trial = theta + step
        if fixed is None and trial[-1] < 0.1 * theta[-1]:
            trial = theta + step * float(0.9 * theta[-1] / -step[-1])
        new = _parts(trial, Z, t, s, penalty, rho, fixed)
        resolution = 1e-17 * value
        if new[0] < value - resolution:
            better = True
        elif new[0] <= value + resolution:
            # Values no longer tell the points apart; their gradients do.
            new_step = _solve(new[2] + 1e-13 * new[3], new[1])
            better = 0.5 * (new[1] @ new_step) < gap * value
            stalled += 1
        else:
            better = False
        if better:
            theta, (value, slope, hessian, full) = trial, new
            damping = damping / 10 if damping > 1e-8 else 0.0
        else:
            damping = max(10 * damping, 1e-8)
            if damping > 1e8:
                break
    return theta, value, gap


def minimise(
    X,
    y,
    *,
    rho=1.35,
    scale="joint",
    alpha=1e-4,
    fit_intercept=True,
    sample_weight=None,
):
    """The minimum of F, for scale="joint" with a positive scale, or a number."""
    X, y = dense(X).astype(np.longdouble), np.asarray(y, dtype=np.longdouble)
    s = weights_of(sample_weight, len(y)).astype(np.longdouble)
    X, y, s = X[s > 0], y[s > 0], s[s > 0]
    total = s.sum()
    mean = s @ X / total if fit_intercept else np.zeros(X.shape[1], np.longdouble)
    middle = s @ y / total if fit_intercept else np.longdouble(0)
    Z, t = X - mean, y - middle
    width = np.sqrt(s @ Z**2 / total)
    width[width <= 1e-15 * np.abs(mean)] = np.inf
    unit = np.median(np.abs(t))
    unit = unit if unit > 0 else np.max(np.abs(t))
    Z, t = Z / width, t / unit
    penalty = alpha * unit / width**2
    if fit_intercept:
        Z = np.column_stack([Z, np.ones(len(y), np.longdouble)])
        penalty = np.append(penalty, np.longdouble(0))
    k = Z.shape[1]
    gram = (Z.T @ (Z * s[:, None])).astype(float) + np.diag(penalty.astype(float))
    start = _solve(gram, Z.T @ (s * t)).astype(np.longdouble)
    first = np.sqrt(s @ (t - Z @ start) ** 2 / total)
    first = max(first, np.longdouble(1e-3))
    if scale == "joint":
        fixed, start = None, np.append(start, first)
    else:
        # Come down from a wide scale: the paths of solutions are continuous.
        fixed = np.longdouble(scale) / unit
        for wide in (64, 8, 2):
            if fixed * wide > first:
                continue
            start = _newton(start, Z, t, s, penalty, rho, fixed * wide, 50)[0]
    theta, value, gap = _newton(start, Z, t, s, penalty, rho, fixed)
    coef = unit * theta[: X.shape[1]] / width
    intercept = middle + unit * theta[k - 1] - mean @ coef if fit_intercept else 0.0
    found = unit * (theta[k] if fixed is None else fixed)
    return Optimum(
        coef.astype(float), float(intercept), float(found), value * unit, gap
    )


def mad_fixed_points(X, y, *, rho, alpha=0.0, sample_weight=None, n_grid=400):
    """Every scale that is the MAD of the residuals of the fit at that scale."""

    def excess(sigma):
        fit = minimise(
            X, y, rho=rho, scale=sigma, alpha=alpha, sample_weight=sample_weight
        )
        r = residuals(X, y, fit.coef, fit.intercept)
        return mad_scale(r, sample_weight) - sigma

    # Beyond the scale at which nothing is outside, the residuals stand still.
    away = np.asarray(y) - np.median(y)
    top = 1.05 * mad_scale(away) + 1.05 * np.sqrt(np.mean(away**2))
    grid = np.geomspace(1e-3 * mad_scale(away), top, n_grid)
    values = np.array([excess(sigma) for sigma in grid])
    found = []
    for i in np.flatnonzero(np.sign(values[1:]) != np.sign(values[:-1])):
        low, high = grid[i], grid[i + 1]
        rising = values[i] < 0
        for _ in range(60):
            middle = 0.5 * (low + high)
            if (excess(middle) < 0) == rising:
                low = middle
            else:
                high = middle
        found.append(0.5 * (low + high))
    return found


# --- an independent certificate ---------------------------------------------


def relative_gap(
    X,
    y,
    coef,
    intercept,
    scale,
    rho,
    alpha,
    sample_weight=None,
    fit_intercept=True,
    joint=True,
):
    """Estimated excess of F over its minimum, as a fraction of F.

    scikit-learn's own function gives value and gradient g at the point itself, in
    the units of the data. Half of ``g @ inv(H) @ g`` is the excess of a quadratic
    with the Hessian H of the rows inside the threshold. H is formed for centred
    columns of unit width, so the units of the columns do not matter. With
    ``joint=False`` the scale is not a variable.
    """
    X, y = dense(X), np.asarray(y, dtype=np.float64)
    s = weights_of(sample_weight, len(y))
    point = np.append(coef, [intercept, scale] if fit_intercept else [scale])
    loss, g = _huber_loss_and_gradient(point, X, y, rho, alpha, s)
    if not joint:
        loss -= s.sum() * scale
    p, total = X.shape[1], s.sum()
    mean = s @ X / total if fit_intercept else np.zeros(p)
    Z = X - mean
    width = np.sqrt(s @ Z**2 / total)
    flat = width <= 1e-13 * np.abs(mean)
    width[flat] = 1.0
    Z[:, flat] = 0.0
    Z /= width
    # The same gradient in the coordinates (u, b, sigma) with w = u / width and the
    # intercept taken at the means.
    theta = np.asarray(coef, dtype=np.float64) * width
    penalty = 2 * alpha / width**2
    slope = g[:p].copy()
    if fit_intercept:
        slope = np.append((slope - mean * g[p]) / width, g[p])
        theta = np.append(theta, intercept + mean @ coef)
        penalty = np.append(penalty, 0.0)
        Z = np.column_stack([Z, np.ones(len(y))])
    else:
        slope = slope / width
    r = residuals(X, y, coef, intercept)
    inside = np.abs(r) <= rho * scale
    rows = Z[inside] * s[inside, None]
    H = 2 / scale * (rows.T @ Z[inside]) + np.diag(penalty)
    # At its lower bound the scale cannot follow a positive derivative.
    at_bound = g[-1] >= 0 and scale <= 1e-9 * np.median(np.abs(y - np.median(y)))
    if joint and not at_bound:
        cross = 2 / scale**2 * (rows.T @ r[inside])
        corner = 2 / scale**3 * (s[inside] @ r[inside] ** 2)
        H = np.block([[H, cross[:, None]], [cross, corner]])
        slope, theta = np.append(slope, g[-1]), np.append(theta, scale)
        penalty = np.append(penalty, 0.0)
    # A coordinate that no row inside depends on has its width from all rows.
    everything = 2 / scale * (s @ Z**2)
    d = np.diag(H).copy()
    d[: len(everything)] = np.maximum(d[: len(everything)], 1e-14 * everything)
    d = np.sqrt(np.where(d > 0, d, 1.0))
    values, vectors = np.linalg.eigh(H / np.outer(d, d))
    g_k = vectors.T @ (slope / d)
    curvature = np.maximum(values, (vectors**2).T @ (penalty / d**2))
    known = curvature > 1e-12 * values[-1]
    excess = 0.5 * np.sum(g_k[known] ** 2 / curvature[known])
    # Along a direction without curvature the loss falls at most by slope x way.
    way = np.abs(vectors.T @ (theta * d)) + np.sqrt(max(loss, 0.0))
    lost = np.abs(g_k[~known]) * way[~known]
    with np.errstate(divide="ignore", invalid="ignore"):
        bent = 0.5 * g_k[~known] ** 2 / np.maximum(curvature[~known], 0.0)
    excess += np.sum(np.fmin(lost, bent))
    return float(excess / loss)


def best_scale(residual, rho, sample_weight=None):
    """The minimiser over sigma of the joint F with the residuals given."""
    s = weights_of(sample_weight, len(residual))
    size = np.abs(residual)
    low, high = 0.0, np.sqrt(s @ size**2 / s.sum())
    # The mean of min(r**2 / sigma**2, rho**2) falls in sigma; it is 1 at the best.
    for _ in range(200):
        sigma = 0.5 * (low + high)
        if sigma > 0 and s @ np.minimum(size / sigma, rho) ** 2 > s.sum():
            low = sigma
        else:
            high = sigma
    return 0.5 * (low + high)
