"""Coordinate descent on a quadratic function with absolute values and bounds.

Friedman, Hastie and Tibshirani, Regularization paths for generalized linear models via
coordinate descent, J. Stat. Softw. 33, 2010, with the matrix of the function in place
of the data (their "covariance updates").
"""

from __future__ import annotations

from skhuber._runtime import block_kernel

# mypy: disable-error-code="no-untyped-def"


@block_kernel
def coordinate_descent(matrix, factor, diagonal, slope, x, l1, lower, upper, n_rounds):
    """Minimise ½ xᵀHx + aᵀx + Σ l1_j |x_j| within bounds, one variable at a time.

    Parameters
    ----------
    matrix : ndarray of shape (q, q)
        M, symmetric and in C order.
    factor : float
        c.
    diagonal : ndarray of shape (q,)
        H = c·M + diag(diagonal). A variable with a diagonal element of H of zero is
        left as it is.
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
            curvature = factor * matrix[j, j] + diagonal[j]
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
                size = factor * step
                for k in range(q):
                    slope[k] += size * matrix[j, k]
                slope[j] += diagonal[j] * step
        if not has_moved:
            break


@block_kernel
def add_rows(matrix, index, weight, total):
    """Add some rows of a matrix, times their weights, to a vector.

    Parameters
    ----------
    matrix : ndarray of shape (q, r)
        In C order.
    index : ndarray of int
        Of the rows.
    weight : ndarray of shape (q,)
        Of all rows.
    total : ndarray of shape (r,)
        The vector, which is overwritten.
    """
    for j in index:
        for k in range(total.shape[0]):
            total[k] += weight[j] * matrix[j, k]
