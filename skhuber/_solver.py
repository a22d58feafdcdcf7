"""Minimisers for a smooth convex function of few variables, each costly to call.

They know neither what they minimise nor where its values come from. A function is a
callable ``x → (value, gradient)``; a Hessian is a callable or a matrix; the result is
a `Solution` that says how it ended, and whoever called decides whether to warn.

`newton`
    Damped Newton steps with the exact Hessian. Where the Hessian is cheap.
`whitened_lbfgs`
    scipy's L-BFGS-B in coordinates v = √c·Rx, where RᵀR is an approximate Hessian and
    c makes the first gradient in v of length one. scipy's first step is the gradient
    over its length: here just the (approximate) Newton step, so that no call is lost
    on finding a step length. After it, L-BFGS learns what the approximation lacks. R
    is upper triangular, so a bound on the last variable stays a bound on the last
    coordinate.
`lbfgs_together`
    The like for several functions, where one call for all is cheaper than one for each.

All measure their distance from the minimum by the Newton decrement ½ gᵀH⁻¹g. For a
quadratic function with the Hessian H it is exactly the excess of the value over the
minimum (Boyd and Vandenberghe, Convex Optimization, 2004, section 9.5.1). It does not
depend on the units of the variables. A variable held at its lower bound by a positive
derivative takes no part in it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
import scipy.optimize
from numpy.typing import NDArray

# (`solve_triangular` itself takes longer than the algebra of fifty variables.)
from scipy.linalg.lapack import dtrtrs

Floats = NDArray[np.float64]
Function = Callable[[Floats], tuple[float, Floats]]
Tolerance = Callable[[Floats, float], float]
Noise = Callable[[Floats], float]


# A variable that must stay positive falls to no less than this share of itself in one
# Newton step. A scale on its way to zero (exact data) then takes 25 steps from 1 to
# 1e-13. With a share of 0.1 it takes 13, but can leave behind the rows that determine
# the other variables, and get stuck.
_LEAST_SHARE = 0.3


class Status(enum.Enum):
    """How a minimisation ended, in words for a person."""

    CONVERGED = "the gap is within the tolerance"
    MAX_ITER = "the limit on the number of iterations was reached"
    STALLED = "no step decreased the objective any further"
    STOPPED = "who watched it asked to stop"
    COLLAPSED = (
        "the scale fell to zero (or was given as next to zero) though residuals did "
        "not; what was found is least absolute deviations"
    )


@dataclass(frozen=True)
class Solution:
    """Where a minimisation ended."""

    x: Floats
    value: float
    gradient: Floats
    gap: float
    """Estimated excess of the value over the minimum (absolute)."""
    n_iter: int
    status: Status


class Whitening:
    """Coordinates v = Rx in which an approximate Hessian RᵀR is the identity.

    A Hessian that is singular to rounding gets the least ridge, relative to its
    diagonal, with which its Cholesky factorisation succeeds. Variables that it
    does not know (zeros on the diagonal) are left as they are.

    Parameters
    ----------
    hessian : ndarray of shape (q, q), or (q,) for a diagonal one

    Attributes
    ----------
    is_diagonal : bool
    least_pivot : float
        Of the Cholesky factorisation of H with a unit diagonal, squared: what is left
        of a variable's curvature when those before it are free. 0 where a ridge was
        needed.
    """

    # Rounding errors of a sum of products are about 1e-16 of the diagonal; the last
    # ridge makes any positive semidefinite matrix of ten million rows definite.
    _RIDGES = (0.0, 1e-14, 1e-12, 1e-10, 1e-8, 1e-6)
    _LOST = 1e4

    def __init__(self, hessian: Floats) -> None:
        diagonal = hessian if hessian.ndim == 1 else np.diagonal(hessian)
        self._root = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
        self._factor: Floats | None = None
        self._stiffer: Floats | None = None
        self.is_diagonal = hessian.ndim == 1
        self.least_pivot = 0.0
        if self.is_diagonal:
            return
        unit = hessian / np.outer(self._root, self._root)
        np.fill_diagonal(unit, 1.0)
        for ridge in self._RIDGES:
            self._factor = _cholesky(unit, ridge)
            if self._factor is not None:
                if ridge > 0:
                    self._stiffer = _cholesky(unit, 100 * ridge)
                else:
                    self.least_pivot = float(np.diagonal(self._factor).min() ** 2)
                return

    def unwhiten(self, v: Floats) -> Floats:
        """X = R⁻¹v."""
        if self._factor is not None:
            v, _ = dtrtrs(self._factor, v)
        return v / self._root

    def whiten_gradient(self, gradient: Floats) -> Floats:
        """R⁻ᵀg, the gradient with respect to v."""
        return _solve_transposed(self._factor, gradient / self._root)

    def last_coordinate(self, x_last: float) -> float:
        """The last coordinate of v, which depends on the last of x alone."""
        pivot = 1.0 if self._factor is None else self._factor[-1, -1]
        return float(x_last * self._root[-1] * pivot)

    def gap(self, gradient: Floats, last_is_held: bool) -> float:
        """½ gᵀH⁻¹g, of all variables or of all but the last.

        Without the last variable, H is the leading block of RᵀR, and its factor the
        leading block of R.

        Where a ridge was needed, a hundred times larger one shows what hangs on it:
        nothing along directions in which the function is flat (equal columns, say). The
        rest is in directions whose curvature is lost to rounding, and would be larger
        without a ridge. Nobody knows by how much; `_LOST` is meant to be too much.
        """
        free = len(gradient) - last_is_held
        scaled = gradient / self._root
        white = _solve_transposed(self._factor, scaled)[:free]
        gap = 0.5 * float(white @ white)
        if self._stiffer is None:
            return gap
        white = _solve_transposed(self._stiffer, scaled)[:free]
        lowered = 0.5 * float(white @ white)
        return gap + self._LOST * max(gap - lowered, 0.0)


def _cholesky(unit: Floats, ridge: float) -> Floats | None:
    """R of RᵀR = a matrix with the diagonal 1 + ridge; None if it is singular."""
    unit.flat[:: unit.shape[0] + 1] = 1.0 + ridge
    try:
        factor = scipy.linalg.cholesky(unit, check_finite=False)
    except np.linalg.LinAlgError:
        return None
    # A pivot as small as its rounding error is no pivot.
    if np.diagonal(factor).min() ** 2 <= 1e-15 * unit.shape[0]:
        return None
    return np.asfortranarray(factor)


def _solve_transposed(factor: Floats | None, g: Floats) -> Floats:
    """R⁻ᵀg; no R is the identity."""
    if factor is None:
        return g
    return dtrtrs(factor, g, trans=1)[0]


def solve_semidefinite(
    hessian: Floats, gradient: Floats, noise: float = np.inf
) -> Floats:
    """x with Hx = g, for a positive semidefinite H of any rank.

    Where H is singular to rounding, x has no part along its null space, as between two
    equal columns: unlike a ridge this moves nothing where the function is flat. A
    gradient that does have a part there, beyond rounding, says that the function is not
    flat but straight; x then goes as far as the least eigenvalue that H could have.

    Parameters
    ----------
    hessian : ndarray of shape (q, q)
    gradient : ndarray of shape (q,)
    noise : float
        What rounding errors make of ½ gᵀH⁻¹g.
    """
    diagonal = np.diagonal(hessian)
    root = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    unit = hessian / np.outer(root, root)
    scaled = gradient / root
    if diagonal.min(initial=1.0) > 0:
        try:
            factor = scipy.linalg.cholesky(unit, check_finite=False)
        except np.linalg.LinAlgError:
            pass
        else:
            # A pivot of 1e-10 says that the last six digits of x would be left.
            if np.diagonal(factor).min() ** 2 > 1e-10:
                return scipy.linalg.cho_solve((factor, False), scaled) / root
    values, vectors = scipy.linalg.eigh(unit, check_finite=False)
    # Eigenvalues of a matrix with a unit diagonal have rounding errors of about its
    # size times the machine epsilon, 2e-16.
    least = 5e-15 * len(values) * max(values[-1], 0.0)
    parts = vectors.T @ scaled
    known = values > least
    straight = ~known & (0.5 * parts**2 > 100 * noise)
    parts /= np.where(known, values, least if least > 0 else 1.0)
    parts[~known & ~straight] = 0.0
    return (vectors @ parts) / root


def newton(
    function: Function,
    hessian: Callable[[Floats], tuple[Floats, Floats]],
    x: Floats,
    *,
    lower_last: float,
    tolerance: Tolerance,
    noise: Noise,
    max_iter: int,
    may_stay: bool = False,
) -> Solution:
    """Minimise by damped Newton steps (Levenberg and Marquardt's damping).

    Parameters
    ----------
    function : callable
        x → value, gradient.
    hessian : callable
        x → the Hessian H and a positive semidefinite M ≥ H to damp with. Steps are
        those of H + λM; λ rises when a step fails and falls when one succeeds.
    x : ndarray of shape (q,)
        The start.
    lower_last : float
        Lower bound of the last variable; -inf for none. A finite one means a variable
        that must stay positive.
    tolerance : callable
        x, value → the gap that is small enough.
    noise : callable
        x → the gap that rounding errors of the gradient make.
    max_iter : int
        The most steps.
    may_stay : bool
        Whether a start that is good enough is returned as it is, without polish.

    Returns
    -------
    Solution
    """
    damping = 0.0
    value, gradient = function(x)
    n_iter = 0
    while True:
        exact, extra = hessian(x)
        held = bool(x[-1] <= lower_last and gradient[-1] >= 0)
        lowest = (
            max(lower_last, _LEAST_SHARE * x[-1]) - x[-1] if lower_last > 0 else -np.inf
        )
        model = _Quadratic(exact, extra, held, lowest, noise(x))
        gap = model.gap(gradient)
        converged = gap <= tolerance(x, value)
        if converged or n_iter >= max_iter:
            status = Status.CONVERGED if converged else Status.MAX_ITER
            solution = Solution(x, value, gradient, gap, n_iter, status)
            if converged and not (may_stay and n_iter == 0):
                solution = _polish_newton(function, model, solution)
            return solution
        while True:
            step = model.step(gradient, damping)
            x_new = x + step
            value_new, gradient_new = function(x_new)
            promise = -float(gradient @ step)
            if promise > 1e3 * _rounding(value):
                better = value_new <= value - 1e-4 * promise
            else:  # values are equal to rounding: the gradient decides
                better = np.isfinite(value_new) and model.gap(gradient_new) < gap
            if better:
                damping = damping / 10 if damping > 1e-3 else 0.0
                break
            damping = max(damping * 10, 1e-2)
            if damping > 1e12:
                return Solution(x, value, gradient, gap, n_iter, Status.STALLED)
        x, value, gradient = x_new, value_new, gradient_new
        n_iter += 1


def _polish_newton(
    function: Function, model: _Quadratic, solution: Solution
) -> Solution:
    """More steps with the Hessian at hand, while they gain at least a digit.

    They take a gap of 1e-12, where the variables have six digits, to their last ones,
    and cost one call each. Like those of `polish` they are judged on the gradient.
    """
    for _ in range(3):
        x = solution.x + model.step(solution.gradient, 0.0)
        value, gradient = function(x)
        gap = model.gap(gradient)
        if not (gap < solution.gap and value <= solution.value + _noise(value)):
            break
        gained = gap <= 0.01 * solution.gap
        solution = replace(solution, x=x, value=value, gradient=gradient, gap=gap)
        if not gained:
            break
    return solution


class _Quadratic:
    """A quadratic model of the function around a point.

    Parameters
    ----------
    exact, extra : ndarrays of shape (q, q)
        H and M of `newton`.
    held : bool
        Whether the last variable stays where it is.
    lowest_last : float
        Least step of the last variable.
    noise : float
        As for `solve_semidefinite`.
    """

    # H alone may be flat where the function is not. With this much of M, a
    # direction that only M knows is walked, and the gap sees it.
    _LEAST_DAMPING = 1e-8

    def __init__(
        self,
        exact: Floats,
        extra: Floats,
        held: bool,
        lowest_last: float,
        noise: float,
    ) -> None:
        self._exact = exact
        self._extra = extra
        self._held = held
        self._lowest_last = lowest_last
        self._noise = noise

    def gap(self, gradient: Floats) -> float:
        """How far the minimum of the model lies below the point."""
        free = len(gradient) - self._held
        step = self._solve(gradient[:free], self._LEAST_DAMPING)
        return 0.5 * float(gradient[:free] @ step)

    def step(self, gradient: Floats, damping: float) -> Floats:
        """The step to the minimum of the damped model, within the bound."""
        damping += self._LEAST_DAMPING
        step = np.zeros(len(gradient))
        free = len(gradient) - self._held
        step[:free] = -self._solve(gradient[:free], damping)
        if not self._held and step[-1] < self._lowest_last:
            # Bent to the bound, the other variables' best step is another one.
            step[-1] = self._lowest_last
            coupling = self._exact[:-1, -1] + damping * self._extra[:-1, -1]
            step[:-1] = -self._solve(gradient[:-1] + coupling * step[-1], damping)
        return step

    def _solve(self, right: Floats, damping: float) -> Floats:
        k = len(right)
        matrix = self._exact[:k, :k] + damping * self._extra[:k, :k]
        return solve_semidefinite(matrix, right, self._noise)


def _rounding(value: float) -> float:
    """What rounding may change in a value that is a sum of many positive numbers."""
    return 8 * np.finfo(float).eps * abs(value)


def _noise(value: float) -> float:
    """The same of a value that gross outliers may make large."""
    return 100 * _rounding(value)


class _CertifiedError(Exception):
    """Leaves scipy's minimiser when the point just evaluated is good enough."""


def whitened_lbfgs(
    function: Function,
    whitening: Whitening,
    x: Floats,
    *,
    lower_last: float,
    tolerance: Tolerance,
    max_iter: int,
) -> Solution:
    """Minimise with scipy's L-BFGS-B in whitened coordinates.

    Parameters
    ----------
    function, x, lower_last, tolerance, max_iter
        As for `newton`.
    whitening : Whitening
        Of an approximate Hessian near the minimum.

    Returns
    -------
    Solution
        The evaluated point of the least gap among those whose values are the least,
        up to rounding.
    """

    def evaluate(x: Floats) -> Solution:
        value, gradient = function(x)
        held = bool(x[-1] <= lower_last and gradient[-1] >= 0)
        gap = whitening.gap(gradient, held)
        # Where sums overflow, the value is infinite and the gradient says nothing.
        good = np.isfinite(value) and gap <= tolerance(x, value)
        status = Status.CONVERGED if good else Status.STALLED
        return Solution(x, value, gradient, gap, 0, status)

    best = evaluate(x)
    if best.status is Status.CONVERGED:
        return best
    if max_iter == 0:
        return _ended(best, 0, Status.MAX_ITER)

    white = whitening.whiten_gradient(best.gradient)
    c = 1.0 / float(white @ white)
    start = best
    n_iter = 0

    def white_function(v: Floats) -> tuple[float, Floats]:
        nonlocal best
        if not v.any():
            point = start
        else:
            x_new = start.x + whitening.unwhiten(v) / np.sqrt(c)
            if lower_last > -np.inf:
                x_new[-1] = max(x_new[-1], lower_last)
            point = evaluate(x_new)
        if np.isfinite(point.value) and _is_better(point, best):
            best = point
        if point.status is Status.CONVERGED:
            best = point
            raise _CertifiedError
        gradient = whitening.whiten_gradient(point.gradient) * np.sqrt(c)
        # Values from the start's: their differences then keep all digits.
        return c * (point.value - start.value), gradient

    def count(_: Floats) -> None:
        nonlocal n_iter
        n_iter += 1

    bounds = None
    if lower_last > -np.inf:
        lowest = np.full(len(x), -np.inf)
        lowest[-1] = whitening.last_coordinate(lower_last - x[-1]) * np.sqrt(c)
        bounds = scipy.optimize.Bounds(lowest, np.inf)
    try:
        scipy.optimize.minimize(
            white_function,
            np.zeros(len(x)),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            callback=count,
            # The tolerance above decides, not scipy's: its own are switched off.
            options={"maxiter": max_iter, "ftol": 0.0, "gtol": 0.0},
        )
    except _CertifiedError:
        return _ended(best, n_iter + 1, Status.CONVERGED)
    status = Status.MAX_ITER if n_iter >= max_iter else Status.STALLED
    return _ended(best, n_iter, status)


# Steps that L-BFGS remembers (scipy's default, too).
_MEMORY = 10
# A step that led uphill is taken anew, this much shorter; so often in a row.
_SHORTER = 0.25
_MOST_FAILURES = 3


def lbfgs_together(
    function: Callable[[list[int], list[Floats]], list[tuple[float, Floats]]],
    whitenings: list[Whitening],
    starts: list[Floats],
    *,
    lower_last: list[float],
    tolerances: list[Tolerance],
    max_iter: int,
) -> list[Solution]:
    """Minimise several functions, with one call for a step of each.

    scipy's minimiser calls the function, so it cannot wait for others; hence these
    steps of L-BFGS (Nocedal and Wright, Numerical Optimization, 2006, section 7.2) in
    whitened coordinates. There the full step is nearly always the right one, and there
    is no line search but to try a shorter one. What that does not solve ends STALLED
    or at MAX_ITER, for another minimiser. What it does solve is taken one step further
    than where value, gradient and gap were computed.

    Parameters
    ----------
    function : callable
        Numbers of functions, x of each → value and gradient of each.
    whitenings, starts, lower_last, tolerances
        Of each function, as for `whitened_lbfgs`.
    max_iter : int
        The most steps.

    Returns
    -------
    list of Solution
    """
    descents = [
        _Descent(whitening, x, lower, tolerance)
        for whitening, x, lower, tolerance in zip(
            whitenings, starts, lower_last, tolerances, strict=True
        )
    ]
    for n_iter in range(max_iter + 1):
        open_ = [k for k, descent in enumerate(descents) if descent.is_open]
        if not open_:
            break
        answers = function(open_, [descents[k].trial for k in open_])
        for k, (value, gradient) in zip(open_, answers, strict=True):
            descents[k].take(value, gradient, n_iter)
    return [descent.solution for descent in descents]


class _Descent:
    """One of the minimisations of `lbfgs_together`: where it is and wants to look."""

    def __init__(
        self, whitening: Whitening, x: Floats, lower_last: float, tolerance: Tolerance
    ) -> None:
        self.trial = x
        self.solution = Solution(x, np.inf, np.zeros_like(x), np.inf, 0, Status.STALLED)
        self.is_open = True
        self._whitening = whitening
        self._lower_last = lower_last
        self._tolerance = tolerance
        self._pairs: list[tuple[Floats, Floats]] = []
        self._direction = np.zeros_like(x)
        self._white_gradient = np.zeros_like(x)
        self._length = 1.0
        self._failures = 0
        self._is_cut = False  # whether the trial was held at the bound

    def take(self, value: float, gradient: Floats, n_iter: int) -> None:
        """Value and gradient at the trial; the next one is set."""
        x = self.trial
        held = bool(x[-1] <= self._lower_last and gradient[-1] >= 0)
        gap = self._whitening.gap(gradient, held)
        done = np.isfinite(value) and gap <= self._tolerance(x, value)
        status = Status.CONVERGED if done else Status.MAX_ITER
        found = Solution(x, value, gradient, gap, n_iter, status)
        white = self._whitening.whiten_gradient(gradient)
        if n_iter > 0 and np.isfinite(value) and not self._is_cut:
            self._learn(self._length * self._direction, white - self._white_gradient)
        better = np.isfinite(value) and _is_better(found, self.solution)
        if n_iter == 0 or done or better:
            self.solution, self._white_gradient = found, white
            self._length, self._failures = 1.0, 0
            self._direction = -self._times_inverse(white)
        else:
            self._failures += 1
            self._length *= _SHORTER
        if done:
            # One more step, of which F is not asked: it changes F by no more than about
            # the gap, and gains another digit of x.
            refined = x + self._whitening.unwhiten(self._direction)
            refined[-1] = max(refined[-1], self._lower_last)
            self.solution = replace(self.solution, x=refined)
        if done or not np.isfinite(self.solution.value):
            self.is_open = False
        elif self._failures > _MOST_FAILURES:
            self.is_open = False
            self.solution = replace(self.solution, status=Status.STALLED)
        step = self._whitening.unwhiten(self._length * self._direction)
        self.trial = self.solution.x + step
        self._is_cut = bool(self.trial[-1] < self._lower_last)
        if self._is_cut:
            self.trial[-1] = self._lower_last

    def _learn(self, step: Floats, change: Floats) -> None:
        curvature = float(step @ change)
        if curvature > 1e-8 * float(step @ step):
            self._pairs = [*self._pairs[1 - _MEMORY :], (step, change)]

    def _times_inverse(self, g: Floats) -> Floats:
        """The inverse Hessian that was learnt, times g."""
        g = g.copy()
        parts = []
        for step, change in reversed(self._pairs):
            part = float(step @ g) / float(step @ change)
            parts.append(part)
            g -= part * change
        if self._whitening.is_diagonal and self._pairs:
            step, change = self._pairs[-1]
            g *= float(step @ change) / float(change @ change)
        for (step, change), part in zip(self._pairs, reversed(parts), strict=True):
            g += (part - float(change @ g) / float(step @ change)) * step
        return g


def polish(
    function: Function,
    whitening: Whitening,
    solution: Solution,
    *,
    lower_last: float,
    tolerance: Tolerance,
    max_steps: int,
) -> Solution:
    """Steps of the approximate Hessian, judged on the gradient.

    A line search compares values, and values of a minimum are equal to rounding where
    the variables still have only half of their digits. Gradients are not.
    """
    for _ in range(max_steps):
        x = solution.x - whitening.unwhiten(
            whitening.whiten_gradient(solution.gradient)
        )
        if lower_last > -np.inf:
            x[-1] = max(x[-1], lower_last)
        value, gradient = function(x)
        held = bool(x[-1] <= lower_last and gradient[-1] >= 0)
        gap = whitening.gap(gradient, held)
        if not (gap < solution.gap and value <= solution.value + _noise(value)):
            break
        status = solution.status
        if gap <= tolerance(x, value):
            status = Status.CONVERGED
        solution = Solution(x, value, gradient, gap, solution.n_iter, status)
    return solution


def _is_better(a: Solution, b: Solution) -> bool:
    if abs(a.value - b.value) <= _rounding(b.value):
        return a.gap < b.gap
    return a.value < b.value


def _ended(solution: Solution, n_iter: int, status: Status) -> Solution:
    return replace(solution, n_iter=n_iter, status=status)
