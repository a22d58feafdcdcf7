"""Functions with a known minimum, for the tests of the minimisers."""

import numpy as np
from scipy.optimize import lsq_linear

from skhuber._solver.quadratic import Model
from skhuber._solver.solution import Answer

TOL = 1e-12


def spread(q=6, condition=1e8, seed=0):
    """A positive definite matrix of this condition, and a vector."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(q, q)))[0]
    return (basis * np.geomspace(1, condition, q)) @ basis.T, rng.normal(size=q)


def no_bounds(q):
    return np.full(q, -np.inf)


class Function:
    """A convex function that answers what minimisers ask, and counts the questions.

    Parameters
    ----------
    value_gradient : callable
    curvature : callable
        x → A and B of a model.
    tolerance : callable
        Value → gap that is small enough.
    stop_after : int or None
        The number of evaluations after which it asks to stop.
    """

    def __init__(
        self,
        value_gradient,
        curvature,
        tolerance=lambda value: TOL * abs(value),
        stop_after=None,
    ):
        self.value_gradient = value_gradient
        self.curvature = curvature
        self.tolerance = tolerance
        self.stop_after = stop_after
        self.calls = []

    def model(self, x):
        inside, outside = self.curvature(x)
        return Model(inside, outside, np.zeros(len(x)))

    def at(self, x):
        self.calls.append(x)
        value, gradient = self.value_gradient(x)
        stop = self.stop_after is not None and len(self.calls) >= self.stop_after
        return Answer(value, gradient, self.tolerance(value), None, stop)

    def answer(self, ask):
        told = self.at(ask.x)
        model = self.model(ask.x) if ask.model and told.is_finite else None
        return Answer(told.value, told.gradient, told.tolerance, model, told.stop)


def quadratic(H, b, constant=10.0, **options):
    """½ xᵀHx − bᵀx + constant; its minimum and its least value."""
    best = np.linalg.solve(H, b)

    def value_gradient(x):
        return 0.5 * x @ H @ x - b @ x + constant, H @ x - b

    function = Function(value_gradient, lambda x: (H, None), **options)
    return function, best, value_gradient(best)[0]


def minimum_within(H, b, lower):
    """The minimum of ½ xᵀHx − bᵀx over x ≥ lower, by scipy's bounded least squares."""
    root = np.linalg.cholesky(H).T
    target = np.linalg.solve(root.T, b)
    found = lsq_linear(root, target, (lower, np.inf), method="bvls", tol=1e-15)
    assert found.success
    return found.x


def softened(H, b, **options):
    """Σ log(2 cosh) of linear forms and a little of a quadratic: convex, no quadratic.

    The curvature of parabolas that lie above it is tanh(z)/z.
    """
    root = np.linalg.cholesky(H)

    def value_gradient(x):
        z = root.T @ x - b
        value = np.logaddexp(z, -z).sum() + 0.01 * x @ x
        return value, root @ np.tanh(z) + 0.02 * x

    def curvature(x):
        z = root.T @ x - b
        exact = 1 / np.cosh(np.clip(z, -300, 300)) ** 2
        above = np.divide(np.tanh(z), z, out=np.ones_like(z), where=z != 0)
        ridge = 0.02 * np.eye(len(x))
        return (root * exact) @ root.T + ridge, (root * (above - exact)) @ root.T

    return Function(value_gradient, curvature, **options)
