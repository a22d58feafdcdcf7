"""Acceleration of an iteration that approaches its fixed point.

Of the last images of x ← T(x) that combination is taken whose residual T(x) − x is
least (D. G. Anderson, J. ACM 12, 1965; H. F. Walker and P. Ni, Anderson acceleration
for fixed-point iterations, SIAM J. Numer. Anal. 49, 2011). Near the fixed point it is a
quasi-Newton method that learns from the residuals alone.
"""

from __future__ import annotations

import numpy as np

from skhuber._solver.solution import Floats

# Differences below this part of the largest one are rounding errors.
_LEAST_DIFFERENCE = 1e-12


class Anderson:
    """Accelerated iteration.

    Parameters
    ----------
    memory : int
        The most differences of residuals that are kept.
    """

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._images: list[Floats] = []
        self._residuals: list[Floats] = []

    def next(self, image: Floats, residual: Floats) -> Floats:
        """Return the next place to try.

        Parameters
        ----------
        image : ndarray of shape (q,)
            T(x) of the last place.
        residual : ndarray of shape (m,)
            T(x) − x, in coordinates in which its length tells how far off x is.
        """
        self._images.append(image)
        self._residuals.append(residual)
        del self._images[: -self._memory - 1], self._residuals[: -self._memory - 1]
        if len(self._images) == 1:
            return image
        change = np.diff(self._residuals, axis=0).T
        share, *_ = np.linalg.lstsq(change, residual, rcond=_LEAST_DIFFERENCE)
        ahead: Floats = image - np.diff(self._images, axis=0).T @ share
        return ahead
