"""Coordinate descent on a quadratic function with absolute values and bounds.

Friedman, Hastie and Tibshirani, Regularization paths for generalized linear models via
coordinate descent, J. Stat. Softw. 33, 2010, with the matrix of the function in place
of the data (their "covariance updates").
"""

from __future__ import annotations

from skhuber._runtime import block_kernel

# mypy: disable-error-code="no-untyped-def"


@block_kernel
def coordinate_descent(hessian, slope, x, l1, lower, upper, n_rounds):
    """Minimise ½ xᵀHx + aᵀx + Σ l1_j |x_j| within bounds, one variable at a time.

    Parameters
    ----------
    hessian : ndarray of shape (q, q)
        H, symmetric and in C order. A variable with a diagonal element of zero is left
        as it is.
    slope : ndarray of shape (q,)
        Hx + a, which is kept up to date.
    x : ndarray of shape (q,)
        The start, which is overwritten.
    l1, lower, upper : ndarray of shape (q,)
    n_rounds : int
        The most rounds over all variables; a round that changes nothing is the last.
    """
    q = x.shape[0]
    for _ in range(n_rounds):
        has_moved = False
        for j in range(q):
            curvature = hessian[j, j]
            if curvature <= 0.0:
                continue
            free = x[j] - slope[j] / curvature
            shrink = l1[j] / curvature
            if free > shrink:
                target = free - shrink
            elif free < -shrink:
                target = free + shrink
            else:
                target = 0.0
            target = min(max(target, lower[j]), upper[j])
            step = target - x[j]
            if step != 0.0:
                has_moved = True
                x[j] = target
                for k in range(q):
                    slope[k] += step * hessian[j, k]
        if not has_moved:
            break
