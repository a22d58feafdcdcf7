"""Scalar formulas of the Huber loss.

With the clipped residual c = clip(r, ±t) the loss and its derivative need no branch:

    t |r| − t²/2 if |r| > t, else r²/2  =  c r − c²/2,      derivative = c.
"""

from __future__ import annotations

from skhuber._numba import block_kernel

# mypy: disable-error-code="no-untyped-def"


@block_kernel
def clip(residual, threshold):
    """Return the residual clipped to ±threshold, the Huber loss's derivative ψ.

    A NaN stays a NaN.
    """
    if residual > threshold:
        return threshold
    if residual < -threshold:
        return -threshold
    return residual


@block_kernel
def robust_weight(residual, threshold):
    """Return ψ(r)/r: 1 up to the threshold, threshold/|r| beyond it."""
    size = abs(residual)
    if size > threshold:
        return threshold / size
    return 1.0
