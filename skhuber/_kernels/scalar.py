"""Scalar formulas of the Huber loss, each written once.

With the clipped residual c = clip(r, ±t) the loss and its derivative need no branch:

    t |r| − t²/2 outside, r²/2 inside  =  c r − c²/2,      derivative = c.
"""

from __future__ import annotations

from skhuber._runtime import block_kernel

# mypy: disable-error-code="no-untyped-def"


@block_kernel
def clip(residual, threshold):
    """Return the residual clipped to ±threshold: the derivative ψ of the Huber loss.

    A NaN stays a NaN, whatever the threshold.
    """
    if residual > threshold:
        return threshold
    if residual < -threshold:
        return -threshold
    return residual


@block_kernel
def robust_weight(residual, threshold):
    """Return ψ(r)/r, which is 1 up to the threshold and threshold/|r| beyond it."""
    size = abs(residual)
    if size > threshold:
        return threshold / size
    return 1.0
