"""Acceleration of an iteration that approaches its fixed point.

Of the last images of x ← T(x) that combination is taken whose residual T(x) − x is
least (D. G. Anderson, J. ACM 12, 1965; H. F. Walker and P. Ni, Anderson acceleration
for fixed-point iterations, SIAM J. Numer. Anal. 49, 2011). Near the fixed point it is a
quasi-Newton method that learns from the residuals alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from skhuber._solver.diagonal import DiagonalModel
from skhuber._solver.lbfgs import place
from skhuber._solver.separable import Separable
from skhuber._solver.solution import Answer, Floats, Solution, Status

# Steps that an iteration learns from. (Of 3 and 6, on five sets of the benchmark with a
# scale of "mad" and the Hessian of all rows: 8, 10, 11, 11, 17 and 8, 10, 11, 10, 17
# sweeps.)
_MEMORY = 6
# Differences below this part of the largest one are rounding errors.
_LEAST_DIFFERENCE = 1e-12


class Anderson:
    """Accelerated iteration.

    Parameters
    ----------
    memory : int, default=6
        The most differences of residuals that are kept.
    """

    def __init__(self, memory: int = _MEMORY) -> None:
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


def accelerated(
    function: Callable[[Floats], Answer],
    model: DiagonalModel,
    at: Solution,
    part: Separable,
    max_steps: int,
) -> Solution:
    """Make accelerated steps to the minima of a model around each point.

    They are judged on the gradient alone: values of a minimum are equal to rounding
    where the variables still have half of their digits.

    Parameters
    ----------
    function : callable
        x → value and gradient.
    model : DiagonalModel
    at : Solution
        The start.
    part : Separable
        The bounds.
    max_steps : int

    Returns
    -------
    Solution
        The point of the least gap, or the first one that is CONVERGED or STOPPED.
    """
    iteration = Anderson()
    here = best = at
    for n_iter in range(at.n_iter + 1, at.n_iter + max_steps + 1):
        step = model.minimise(here.gradient, part.lower - here.x, 0.0)
        image = part.moved(here.x, step.x)
        x = part.clip(iteration.next(image, model.whitening.of_x(step.x)))
        answer = function(x)
        if not answer.is_finite:
            break
        here = replace(place(x, answer, model, part.lower), n_iter=n_iter)
        if here.status is not Status.STALLED:
            return here
        if here.gap < best.gap:
            best = here
    return best
