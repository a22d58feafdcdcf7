"""Newton's method for small data, in one compiled call.

On a thousand rows a sweep takes microseconds, and a Python call as long. For data that
fit in the cache the whole minimisation is therefore compiled: `standardise` and
`minimise`. Both return a flag that is False for a singular or nearly singular Hessian,
a scale that falls towards zero, or steps that do not decrease the objective. The caller
then uses the general minimiser.

The objective is that of `skhuber._objective`, which documents the formulas. The data
are the rows of an array A: the p standardised columns, a row of ones if there is an
intercept, and r/σ, the derivative row of a joint scale. Every sum thus runs over one or
two contiguous rows of A.

Compiling these functions takes seconds, nearly all of it for loops over arrays. So
every loop stands here once: `minimise` evaluates the objective at one place, whatever
it does with the value. The caller allocates all arrays. And no array is assigned to
another one, as in ``a[:] = b``: the message of the error, should the shapes differ,
would bring in numba's support of strings, which takes longer than all the rest.
"""

from __future__ import annotations

import math

from skhuber._kernels.scalar import clip
from skhuber._runtime import block_kernel, inlined_kernel, inner_kernel

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
# The greatest number of steps for the last digits, with the last Hessian. Another one
# is taken only if the last one divided the gap by at least 100.
_MAX_POLISH = 3

# What `minimise` evaluates the objective for: the Hessian of the least-squares problem;
# the value of zero coefficients; that of the least-squares solution; a Newton step; a
# step for the last digits.
_SQUARES, _ZERO, _SOLUTION, _STEP, _POLISH = range(5)


@inner_kernel
def _median(a):
    """Return the median of a, which is reordered.

    By Hoare's algorithm FIND (Communications of the ACM 4, 1961, p. 321).
    """
    k = a.shape[0] // 2
    left, right = 0, a.shape[0] - 1
    while left < right:
        pivot = a[k]
        i, j = left, right
        while i <= j:
            while a[i] < pivot:
                i += 1
            while pivot < a[j]:
                j -= 1
            if i <= j:
                a[i], a[j] = a[j], a[i]
                i += 1
                j -= 1
        if j < k:
            left = i
        if k < i:
            right = j
    upper = lower = a[k]
    if a.shape[0] % 2 == 0:
        lower = a[0]
        for i in range(1, k):
            lower = max(lower, a[i])
    return 0.5 * (lower + upper)


@inlined_kernel
def _standardise_column(a, s, total, fit_intercept):
    """Standardise a column; return mean, exponent and whether it is ordinary."""
    mean = 0.0
    if fit_intercept:
        for i in range(a.shape[0]):
            mean += s[i] * a[i]
        mean /= total
    for i in range(a.shape[0]):
        a[i] -= mean
    square = 0.0
    for i in range(a.shape[0]):
        square += s[i] * a[i] * a[i]
    spread = math.sqrt(square / total)
    is_ordinary = 0.0 < spread < math.inf
    power = math.frexp(spread)[1] - 1 if is_ordinary else 0
    unit = math.ldexp(1.0, -power)
    for i in range(a.shape[0]):
        a[i] *= unit
    return mean, power, is_ordinary


@block_kernel
def standardise(X, y, s, total, fit_intercept, A, t, centre, power):
    """Standardise X and y into A and t.

    A column is divided by 2^power, the greatest power of two not above its root mean
    square about the centre, and y by that not above its median distance from y_centre.
    The centres are the weighted means of the columns and the median of y, or zeros
    without an intercept.

    Parameters
    ----------
    X : array of shape (n, p)
    y, s : arrays of n
        The target, and weights of at most one.
    total : float
        The sum of s.
    fit_intercept : bool
    A : array of at least p rows of n
        The first p rows are filled with the columns.
    t : array of n
        Filled with y.
    centre, power : arrays of p
        Filled with the centres and the binary exponents of the columns.

    Returns
    -------
    y_centre, y_power : float, int
        Centre and binary exponent of y.
    is_ordinary : bool
        False if the spread of a column or of y is zero or not finite.
    """
    for j in range(X.shape[1]):
        a = A[j]
        for i in range(X.shape[0]):
            a[i] = X[i, j]
        centre[j], power[j], is_ordinary = _standardise_column(
            a, s, total, fit_intercept
        )
        if not is_ordinary:
            return 0.0, 0, False
    # The first round finds the centre, the second one the spread about it.
    y_centre, spread = 0.0, 0.0
    for is_spread in range(0 if fit_intercept else 1, 2):
        for i in range(t.shape[0]):
            t[i] = abs(y[i] - y_centre) if is_spread else y[i]
        spread = _median(t)
        if not is_spread:
            y_centre = spread
    if not (0.0 < spread < math.inf):
        return y_centre, 0, False
    y_power = math.frexp(spread)[1] - 1
    unit = math.ldexp(1.0, -y_power)
    for i in range(t.shape[0]):
        t[i] = (y[i] - y_centre) * unit
    return y_centre, y_power, True


@inlined_kernel
def _residuals(A, t, theta, n_coef, r):
    """Fill r with t − Σ_j θ_j A_j over the first n_coef rows of A."""
    for i in range(r.shape[0]):
        r[i] = t[i]
    for j in range(n_coef):
        a, slope = A[j], theta[j]
        if slope != 0.0:
            for i in range(r.shape[0]):
                r[i] -= slope * a[i]


@inlined_kernel
def _move(theta, length, step, trial):
    for j in range(theta.shape[0]):
        trial[j] = theta[j] - length * step[j]


@inlined_kernel
def _accept(trial, theta, trial_r, r):
    for j in range(theta.shape[0]):
        theta[j] = trial[j]
    for i in range(r.shape[0]):
        r[i] = trial_r[i]


@inlined_kernel
def _length(step, sigma):
    """Return which part of a step of a joint scale keeps the scale far from zero."""
    longest = (1.0 - _LEAST_SHARE) * sigma
    return longest / step if step > longest else 1.0


@inlined_kernel
def _largest_gap(tol, noise, rho, value, sigma):
    """Return the gap that is within the tolerance, or within rounding errors."""
    rounding_gap = min(noise / sigma, rho) * noise
    return tol * min(value, 2.0 * rho + sigma) + rounding_gap


@inlined_kernel
def _value_gradient(
    A, s, total, penalty, threshold, scale, joint, theta, r, n_coef, c, g
):
    """Return the objective F at residuals r; fill g with its gradient.

    c is filled with s·clip(r).
    """
    for i in range(r.shape[0]):
        c[i] = s[i] * clip(r[i], threshold)
    sum_cr = 0.0
    sum_cc = 0.0
    for i in range(r.shape[0]):
        sum_cr += c[i] * r[i]
        sum_cc += c[i] * clip(r[i], threshold)
    value = (2.0 * sum_cr - sum_cc) / (total * scale)
    for j in range(n_coef):
        a = A[j]
        sum_ca = 0.0
        for i in range(r.shape[0]):
            sum_ca += c[i] * a[i]
        g[j] = -2.0 / (scale * total) * sum_ca
    for j in range(penalty.shape[0]):
        value += penalty[j] * theta[j] * theta[j]
        g[j] += 2.0 * penalty[j] * theta[j]
    if joint:
        value += scale
        g[n_coef] = 1.0 - sum_cc / (total * scale * scale)
    return value


@inlined_kernel
def _evaluate(
    aim, A, t, s, total, penalty, rho, joint, scale, theta, r, c, median_of, g
):
    """Return F, the scale, the threshold, and the spread of the residuals at θ.

    r is filled with the residuals and g with the gradient. For a start, the spread is
    found, and set as the joint scale. For the Hessian of the least-squares problem, the
    scale is one and no residual is beyond the threshold.
    """
    n_coef = A.shape[0] - 1
    spread = 0.0
    _residuals(A, t, theta, n_coef, r)
    if aim in (_ZERO, _SOLUTION):
        for i in range(r.shape[0]):
            median_of[i] = abs(r[i])
        spread = _median(median_of) / _NORMAL_MAD
        if joint:
            theta[n_coef] = spread
    sigma = theta[n_coef] if joint else scale
    threshold = rho * sigma
    if aim == _SQUARES:
        sigma, threshold = 1.0, math.inf
    value = _value_gradient(
        A, s, total, penalty, threshold, sigma, joint, theta, r, n_coef, c, g
    )
    return value, sigma, threshold, spread


@inner_kernel
def _hessian(A, s, total, penalty, threshold, scale, q, r, work, c, H):
    """Fill the lower triangle of H with the Hessian of F in the first q unknowns."""
    n_coef = A.shape[0] - 1
    for i in range(r.shape[0]):
        work[i] = s[i] if abs(r[i]) <= threshold else 0.0
    if q > n_coef:
        derivative = A[n_coef]
        for i in range(r.shape[0]):
            derivative[i] = r[i] / scale
    factor = 2.0 / (scale * total)
    for j in range(q):
        a = A[j]
        for i in range(r.shape[0]):
            c[i] = work[i] * a[i]
        for k in range(j, q):
            b = A[k]
            product = 0.0
            for i in range(r.shape[0]):
                product += c[i] * b[i]
            H[k, j] = factor * product
    for j in range(penalty.shape[0]):
        H[j, j] += 2.0 * penalty[j]


@inner_kernel
def _factorise(H, q, root):
    """Replace q rows of H, scaled to a unit diagonal, by their Cholesky factor.

    `root` is filled with the square roots of H's diagonal. Return False if a pivot is
    not above _LEAST_PIVOT.
    """
    for j in range(q):
        if not H[j, j] > 0.0:
            return False
        root[j] = math.sqrt(H[j, j])
    for j in range(q):
        for k in range(j + 1):
            value = H[j, k] / (root[j] * root[k])
            for m in range(k):
                value -= H[j, m] * H[k, m]
            if k < j:
                H[j, k] = value / H[k, k]
            elif value > _LEAST_PIVOT:
                H[j, j] = math.sqrt(value)
            else:
                return False
    return True


@inner_kernel
def _solve(H, q, root, g, x):
    """Fill x with H⁻¹g by the factor of H, and return gᵀH⁻¹g."""
    decrement = 0.0
    for j in range(q):
        value = g[j] / root[j]
        for k in range(j):
            value -= H[j, k] * x[k]
        x[j] = value / H[j, j]
        decrement += x[j] * x[j]
    for m in range(q):
        j = q - 1 - m
        x[j] /= H[j, j]
        for k in range(j):
            x[k] -= H[j, k] * x[j]
    for j in range(q):
        x[j] /= root[j]
    return decrement


@block_kernel
def minimise(
    A,
    t,
    s,
    total,
    penalty,
    rho,
    joint,
    scale,
    tol,
    noise,
    floor,
    max_iter,
    has_start,
    theta,
    vectors,
    H,
    rows,
):
    """Minimise the objective by Newton's method.

    Without a start, it starts from the least-squares solution or from zero
    coefficients, whichever has the lower objective.

    Parameters
    ----------
    A : array of shape (n_coef + 1, n)
        The standardised columns from `standardise`, and a row of ones if there is an
        intercept. The last row is overwritten.
    t, s : arrays of n
        Standardised y, and weights.
    total : float
        The sum of s.
    penalty : array of p
        Factors of the squared coefficients.
    rho, joint, scale, tol
        See `skhuber._objective`. If `joint` is true, `scale` is not used.
    noise : float
        Rounding error of a standardised residual.
    floor : float
        Least joint scale.
    max_iter : int
        Greatest number of iterations.
    has_start : bool
        Whether theta is the start.
    theta : array of q
        Coefficients, intercept and joint scale of the start, or zeros. It becomes the
        minimiser.
    vectors, H : arrays of shapes (4, q) and (q, q), zeros
        They are overwritten.
    rows : array of shape (4, n)
        Row 0 is filled with the residuals at the minimum; the others are overwritten.

    Returns
    -------
    value, gap : float, float
        The objective at the minimum, and gᵀH⁻¹g/2, an estimate of how far the
        objective is above its minimum.
    n_iter, n_sweeps : int, int
        Numbers of iterations and of sweeps over the rows.
    is_certified : bool
        Whether the gap is within the tolerance. If False, the other results are
        invalid.
    """
    n_coef = A.shape[0] - 1
    n_steps, least_scale = min(max_iter, _MAX_STEPS), max(_LEAST_SCALE, floor)
    trial, step, g, root = vectors[0], vectors[1], vectors[2], vectors[3]
    r, trial_r, c, work = rows[0], rows[1], rows[2], rows[3]
    aim = _STEP if has_start else _SQUARES
    value, gap, length = math.inf, 0.0, 0.0
    zero_value, zero_spread = math.inf, 0.0
    n_iter = n_sweeps = n_halvings = n_polish = 0
    while n_halvings < _MAX_HALVINGS and n_polish < _MAX_POLISH:
        _move(theta, length, step, trial)
        trial_value, sigma, threshold, spread = _evaluate(
            aim, A, t, s, total, penalty, rho, joint, scale, trial, trial_r, c, work, g
        )
        n_sweeps += 1
        if aim == _ZERO:
            zero_value, zero_spread = trial_value, spread
            aim, length = _SOLUTION, 1.0
            continue
        if aim == _SOLUTION:
            aim = _STEP
            least = 0.3 * min(spread, zero_spread) * max(1.0, 1.35 / rho)
            if not joint and not scale > least:
                break  # far below the residuals
            if not trial_value <= zero_value:
                length = 0.0
                if joint:
                    theta[n_coef] = zero_spread
                continue
        elif aim == _STEP and not trial_value <= value - 2e-4 * length * gap:
            length *= 0.5
            n_halvings += 1
            continue
        q = n_coef if aim == _SQUARES else theta.shape[0]
        if aim == _STEP and not (sigma > least_scale and trial_value < math.inf):
            break
        if aim != _POLISH:
            _hessian(A, s, total, penalty, threshold, sigma, q, trial_r, work, c, H)
            n_sweeps += 1
            if not _factorise(H, q, root):
                break
        trial_gap = 0.5 * _solve(H, q, root, g, step)
        is_better = trial_gap < gap and trial_value <= value + 8 * _EPS * abs(value)
        if aim == _POLISH and not is_better:
            break
        has_gained = trial_gap <= 0.01 * gap
        value, gap, length = trial_value, trial_gap, 1.0
        _accept(trial, theta, trial_r, r)
        if aim == _SQUARES:
            aim, value, length = _ZERO, math.inf, 0.0
        elif aim == _POLISH:
            n_polish += 1 if has_gained else _MAX_POLISH
        elif gap <= _largest_gap(tol, noise, rho, value, sigma):
            aim = _POLISH
        elif n_iter == n_steps:
            break
        else:
            n_iter += 1
            n_halvings = 0
            length = _length(step[n_coef], sigma) if joint else 1.0
    return value, gap, n_iter, n_sweeps, aim == _POLISH
