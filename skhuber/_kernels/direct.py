"""Newton's method for small data, in one compiled call.

On a thousand rows a sweep takes microseconds, and a Python call as long. For data that
fit in the cache the whole minimisation is therefore compiled: `standardise` and
`minimise`. Both return a flag that is False for a singular or nearly singular Hessian,
a scale that falls towards zero, or steps that do not decrease the objective. The caller
then uses the general minimiser.

The objective is that of `skhuber._objective`, which documents the formulas. The data
are the rows of an array A of shape (p + 2, n): the p standardised columns, a row of
ones, and r/σ, the derivative row of a joint scale. Every sum thus runs over one or two
contiguous rows of A.
"""

from __future__ import annotations

import math

import numpy as np

from skhuber._kernels.scalar import clip
from skhuber._runtime import block_kernel

# mypy: disable-error-code="no-untyped-def"

_NORMAL_MAD = 0.6744897501960817  # Φ⁻¹(3/4): the median of |r| of normal residuals
_EPS = 2.0**-52
# The least pivot of the Cholesky factorisation of a Hessian with a unit diagonal. A
# Hessian with a smaller pivot is left to the general minimiser. At 1e-10 a step keeps
# about six of its sixteen digits.
_LEAST_PIVOT = 1e-10
# The least ratio of a joint scale after a step to that before it. A longer step is
# shortened.
_LEAST_SHARE = 0.3
# The least scale, in units of y's median absolute deviation rounded down to a power of
# two. A smaller scale is falling towards zero and is left to the general minimiser.
_LEAST_SCALE = 1e-5
# The greatest numbers of Newton steps and of halvings of one step. Ordinary data need
# fewer; others are left to the general minimiser.
_MAX_STEPS = 25
_MAX_HALVINGS = 5


@block_kernel
def standardise(X, y, weight, weight_unit, fit_intercept, A, t, s):
    """Standardise X and y into A and t, and scale the weights into s.

    A column is divided by 2^power, the greatest power of two not above its root mean
    square about the centre, and y by that not above its median distance from y_centre.
    The centres are the weighted means of the columns and the median of y, or zeros
    without an intercept.

    Returns
    -------
    centre, power : arrays of p
        Centres and binary exponents of the columns.
    y_centre, y_power : float, int
        Centre and binary exponent of y.
    is_ordinary : bool
        False if the spread of a column or of y is zero or not finite.
    """
    n, p = X.shape
    total = 0.0
    for i in range(n):
        s[i] = weight[i] * weight_unit if weight.shape[0] > 0 else 1.0
    for i in range(n):
        total += s[i]
    centre = np.zeros(p)
    power = np.zeros(p, np.int64)
    for j in range(p):
        a = A[j]
        for i in range(n):
            a[i] = X[i, j]
        mean = 0.0
        if fit_intercept:
            for i in range(n):
                mean += s[i] * a[i]
            mean /= total
        for i in range(n):
            a[i] -= mean
        square = 0.0
        for i in range(n):
            square += s[i] * a[i] * a[i]
        spread = math.sqrt(square / total)
        if not (0.0 < spread < math.inf):
            return centre, power, 0.0, 0, False
        centre[j] = mean
        x_power = math.frexp(spread)[1] - 1
        power[j] = x_power
        unit = math.ldexp(1.0, -x_power)
        for i in range(n):
            a[i] *= unit
    A[p] = 1.0
    y_centre = 0.0
    if fit_intercept:
        for i in range(n):
            t[i] = y[i]
        y_centre = np.median(t)
    for i in range(n):
        t[i] = abs(y[i] - y_centre)
    spread = np.median(t)
    if not (0.0 < spread < math.inf):
        return centre, power, y_centre, 0, False
    y_power = math.frexp(spread)[1] - 1
    unit = math.ldexp(1.0, -y_power)
    for i in range(n):
        t[i] = (y[i] - y_centre) * unit
    return centre, power, y_centre, y_power, True


@block_kernel
def _dot(a, b):
    total = 0.0
    for i in range(a.shape[0]):
        total += a[i] * b[i]
    return total


@block_kernel
def _residuals(A, t, theta, n_coef, r):
    """Fill r with t − Σ_j θ_j A_j over the first n_coef rows of A."""
    r[:] = t
    for j in range(n_coef):
        a, slope = A[j], theta[j]
        for i in range(r.shape[0]):
            r[i] -= slope * a[i]


@block_kernel
def _value_gradient(A, s, total, penalty, rho, scale, joint, theta, r, c, n_coef, g):
    """Return the objective F at residuals r; fill g with its gradient.

    c is filled with s·clip(r).
    """
    threshold = rho * scale
    for i in range(r.shape[0]):
        c[i] = clip(r[i], threshold)
    sum_cc = 0.0
    for i in range(r.shape[0]):
        sum_cc += s[i] * c[i] * c[i]
    for i in range(r.shape[0]):
        c[i] *= s[i]
    value = (2.0 * _dot(c, r) - sum_cc) / (total * scale)
    for j in range(n_coef):
        g[j] = -2.0 / (scale * total) * _dot(c, A[j])
    for j in range(penalty.shape[0]):
        value += penalty[j] * theta[j] * theta[j]
        g[j] += 2.0 * penalty[j] * theta[j]
    if joint:
        value += scale
        g[n_coef] = 1.0 - sum_cc / (total * scale * scale)
    return value


@block_kernel
def _evaluate(A, t, s, total, penalty, rho, scale, joint, theta, n_coef, r, c, g):
    """Return F and the scale at θ; fill r with residuals and g with the gradient."""
    sigma = theta[n_coef] if joint else scale
    _residuals(A, t, theta, n_coef, r)
    value = _value_gradient(
        A, s, total, penalty, rho, sigma, joint, theta, r, c, n_coef, g
    )
    return value, sigma


@block_kernel
def _gram(A, h, q, work, H):
    """Fill the lower triangle of H with Σ_i h_i a_i a_iᵀ.

    a_i is the i-th column of the first q rows of A.
    """
    for j in range(q):
        a = A[j]
        for i in range(h.shape[0]):
            work[i] = h[i] * a[i]
        for k in range(j, q):
            H[k, j] = _dot(work, A[k])


@block_kernel
def _factorise(H, root):
    """Replace H, scaled to a unit diagonal, by its Cholesky factor.

    `root` is filled with the square roots of H's diagonal. Return False if a pivot is
    not above _LEAST_PIVOT.
    """
    q = H.shape[0]
    for j in range(q):
        if not H[j, j] > 0.0:
            return False
        root[j] = math.sqrt(H[j, j])
    for j in range(q):
        for k in range(j + 1):
            H[j, k] /= root[j] * root[k]
    for j in range(q):
        pivot = H[j, j]
        for k in range(j):
            pivot -= H[j, k] * H[j, k]
        if not pivot > _LEAST_PIVOT:
            return False
        pivot = math.sqrt(pivot)
        H[j, j] = pivot
        for i in range(j + 1, q):
            value = H[i, j]
            for k in range(j):
                value -= H[i, k] * H[j, k]
            H[i, j] = value / pivot
    return True


@block_kernel
def _solve(H, root, g, x):
    """Fill x with H⁻¹g by the factor of H, and return gᵀH⁻¹g."""
    q = H.shape[0]
    decrement = 0.0
    for j in range(q):
        value = g[j] / root[j]
        for k in range(j):
            value -= H[j, k] * x[k]
        x[j] = value / H[j, j]
        decrement += x[j] * x[j]
    for m in range(q):
        j = q - 1 - m
        value = x[j]
        for k in range(j + 1, q):
            value -= H[k, j] * x[k]
        x[j] = value / H[j, j]
    for j in range(q):
        x[j] /= root[j]
    return decrement


@block_kernel
def _median_scale(r, work):
    for i in range(r.shape[0]):
        work[i] = abs(r[i])
    return np.median(work) / _NORMAL_MAD


@block_kernel
def _start(A, t, s, total, penalty, rho, joint, scale, n_coef, r, c, work, theta):
    """Fill theta with the start and return the scale there; 0 if there is no start.

    The start is the least-squares solution or zero coefficients, whichever has the
    lower objective. There is none if the least-squares problem is singular or if a
    given scale is far below the residuals.
    """
    p = penalty.shape[0]
    n = t.shape[0]
    root = np.empty(n_coef)
    g = np.zeros(n_coef + 1)
    solution = np.zeros(n_coef)
    H = np.zeros((n_coef, n_coef))
    _gram(A, s, n_coef, work, H)
    for i in range(n):
        c[i] = s[i] * t[i]
    for j in range(n_coef):
        for k in range(j + 1):
            H[j, k] *= 2.0 / total
        if j < p:
            H[j, j] += 2.0 * penalty[j]
        g[j] = 2.0 / total * _dot(c, A[j])
    if not _factorise(H, root):
        return 0.0
    _solve(H, root, g[:n_coef], solution)
    _residuals(A, t, solution, n_coef, r)
    least_squares_scale = _median_scale(r, work)
    null_scale = _median_scale(t, work)
    comfortable = min(least_squares_scale, null_scale) * max(1.0, 1.35 / rho)
    if not joint and not scale > 0.3 * comfortable:
        return 0.0  # far below the residuals
    sigma = least_squares_scale if joint else scale
    value = _value_gradient(
        A, s, total, penalty, rho, sigma, joint, solution, r, c, n_coef, g
    )
    null_sigma = null_scale if joint else scale
    r[:] = t
    null_value = _value_gradient(
        A, s, total, penalty, rho, null_sigma, joint, theta, r, c, n_coef, g
    )
    if value <= null_value:
        theta[:n_coef] = solution
        return sigma
    return null_sigma


@block_kernel
def minimise(
    A,
    t,
    s,
    penalty,
    rho,
    joint,
    scale,
    fit_intercept,
    tol,
    noise,
    floor,
    max_iter,
    start,
    r,
):
    """Minimise the objective by Newton's method.

    Parameters
    ----------
    A : array of shape (p + 2, n)
        The standardised columns from `standardise`; row p + 1 is overwritten.
    t, s : arrays of n
        Standardised y, and weights.
    penalty : array of p
        Factors of the squared coefficients.
    rho, joint, scale, fit_intercept, tol
        See `skhuber._objective`. If `joint` is true, `scale` is the scale at `start`.
    noise : float
        Rounding error of a standardised residual.
    floor : float
        Least joint scale.
    max_iter : int
        Greatest number of iterations.
    start : array
        θ to start from; empty to start from least squares or zero coefficients.
    r : array of n
        Filled with the residuals at the minimum.

    Returns
    -------
    theta, value, gap : array, float, float
        The minimiser, the objective there, and gᵀH⁻¹g/2, an estimate of how far the
        objective is above its minimum.
    n_iter, n_sweeps : int, int
        Numbers of iterations and of sweeps over the rows.
    is_certified : bool
        Whether the gap is within the tolerance. If False, the other results are
        invalid.
    """
    p = penalty.shape[0]
    n = t.shape[0]
    n_coef = p + 1 if fit_intercept else p
    q = n_coef + 1 if joint else n_coef
    # Without an intercept, remove the row of ones.
    if not fit_intercept:
        A = np.concatenate((A[:p], A[p + 1 :]))
    total = 0.0
    for i in range(n):
        total += s[i]
    c = np.empty(n)
    work = np.empty(n)
    root = np.empty(q)
    step = np.zeros(q)
    theta = np.zeros(q)
    g = np.zeros(q)
    failed = (theta, 0.0, 0.0, 0, 0, False)

    n_sweeps = 1
    sigma = scale
    if start.shape[0] > 0:
        theta[:] = start
    else:
        sigma = _start(
            A, t, s, total, penalty, rho, joint, scale, n_coef, r, c, work, theta
        )
        n_sweeps += 5
    if not sigma > 0.0:
        return failed
    if joint:
        theta[n_coef] = sigma
    value, sigma = _evaluate(
        A, t, s, total, penalty, rho, scale, joint, theta, n_coef, r, c, g
    )

    H = np.zeros((q, q))
    trial = np.empty(q)
    trial_r = np.empty(n)
    trial_g = np.zeros(q)
    for n_iter in range(min(max_iter, _MAX_STEPS) + 1):
        if not (sigma > max(_LEAST_SCALE, floor) and value < math.inf):
            return failed
        threshold = rho * sigma
        for i in range(n):
            work[i] = s[i] if abs(r[i]) <= threshold else 0.0
        if joint:
            for i in range(n):
                A[n_coef, i] = r[i] / sigma
        _gram(A, work, q, c, H)
        for j in range(q):
            for k in range(j + 1):
                H[j, k] *= 2.0 / (sigma * total)
            if j < p:
                H[j, j] += 2.0 * penalty[j]
        n_sweeps += 1
        if not _factorise(H, root):
            return failed
        gap = 0.5 * _solve(H, root, g, step)
        rounding_gap = min(noise / sigma, rho) * noise
        if gap <= tol * min(value, 2.0 * rho + sigma) + rounding_gap:
            break
        if n_iter == min(max_iter, _MAX_STEPS):
            return failed
        length = 1.0
        if joint and step[n_coef] > (1.0 - _LEAST_SHARE) * sigma:
            length = (1.0 - _LEAST_SHARE) * sigma / step[n_coef]
        promise = _dot(g, step)
        for halving in range(_MAX_HALVINGS + 1):
            if halving == _MAX_HALVINGS:
                return failed
            for j in range(q):
                trial[j] = theta[j] - length * step[j]
            trial_value, trial_sigma = _evaluate(
                A,
                t,
                s,
                total,
                penalty,
                rho,
                scale,
                joint,
                trial,
                n_coef,
                trial_r,
                c,
                trial_g,
            )
            n_sweeps += 1
            if trial_value <= value - 1e-4 * length * promise:
                break
            length *= 0.5
        theta[:] = trial
        g[:] = trial_g
        r[:] = trial_r
        sigma = trial_sigma
        value = trial_value

    # Take up to three more steps with the last Hessian while each reduces the gap by a
    # factor of 100: they bring θ to its last digits.
    for _ in range(3):
        for j in range(q):
            trial[j] = theta[j] - step[j]
        trial_value, trial_sigma = _evaluate(
            A,
            t,
            s,
            total,
            penalty,
            rho,
            scale,
            joint,
            trial,
            n_coef,
            trial_r,
            c,
            trial_g,
        )
        n_sweeps += 1
        trial_gap = 0.5 * _solve(H, root, trial_g, step)
        if not (trial_gap < gap and trial_value <= value + 8 * _EPS * abs(value)):
            break
        gained = trial_gap <= 0.01 * gap
        theta[:] = trial
        g[:] = trial_g
        r[:] = trial_r
        sigma = trial_sigma
        value = trial_value
        gap = trial_gap
        if not gained:
            break
    return theta, value, gap, n_iter, n_sweeps, True
