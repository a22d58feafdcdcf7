"""The objective in standardised variables: derivatives, units, tolerances."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive
from skhuber._objective import Frame, HuberObjective, Penalty, exponent
from skhuber._rows import make_rows
from skhuber._sums import Want

N, P = 40, 3
COEF = np.array([1.0, 2e-4, -300.0])


def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, P)) * [1.0, 1e4, 1e-3] + [0.0, 1e5, 2.0]
    y = X @ COEF + 3.0 + rng.standard_t(2, N)
    return X, y, rng.integers(0, 3, N) * 1.5


X, y, WEIGHT = data()


def problem(rho=1.35, scale=None, alpha=0.3, fit_intercept=True):
    rows = make_rows(X, y, WEIGHT, 1)
    frame = Frame(
        centre=X.mean(axis=0) * fit_intercept,
        x_power=exponent(X.std(axis=0)),
        y_centre=20.0 * fit_intercept,
        y_power=3,
        fit_intercept=fit_intercept,
    )
    objective = HuberObjective(
        frame,
        rho=rho,
        penalty=Penalty(l2=alpha),
        scale=scale,
        total_weight=rows.total_weight,
        weight_power=rows.weight_power,
    )
    return rows, frame, objective


def theta_at(frame, objective, scale):
    """A θ near the truth, so that residuals lie on both sides of the threshold."""
    u, intercept = frame.from_natural(COEF * 1.01, 3.0 * frame.fit_intercept)
    return objective.theta(u, intercept, scale)


def value_gradient(rows, objective, theta):
    [sums] = rows.sweep([objective.point(theta)])
    return objective.value_gradient(theta, sums)


each_scale = pytest.mark.parametrize("scale", [None, 0.2])
each_intercept = pytest.mark.parametrize("fit_intercept", [True, False])


@each_scale
@each_intercept
@pytest.mark.parametrize("rho", [1.0, 1.35, np.inf])
def test_the_value_is_the_objective(rho, scale, fit_intercept):
    rows, frame, objective = problem(rho, scale, fit_intercept=fit_intercept)
    theta = theta_at(frame, objective, 0.15)
    u, intercept, sigma = objective.split(theta)
    coef, natural_intercept = frame.to_natural(u, intercept)
    natural_scale = objective.natural_scale(sigma)
    value, _ = value_gradient(rows, objective, theta)
    r = y - X @ coef - natural_intercept
    z = r / natural_scale
    H = np.where(
        np.abs(z) <= rho, z**2, 2 * min(rho, 1e9) * np.abs(z) - min(rho, 1e9) ** 2
    )
    joint = float(scale is None)
    expected = WEIGHT @ (natural_scale * (joint + H)) + 0.3 * coef @ coef
    np.testing.assert_allclose(objective.natural_value(value), expected, rtol=1e-10)


@each_scale
@each_intercept
def test_the_gradient_is_that_of_the_value(scale, fit_intercept):
    rows, frame, objective = problem(scale=scale, fit_intercept=fit_intercept)
    theta = theta_at(frame, objective, 0.15)
    _, gradient = value_gradient(rows, objective, theta)
    step = 1e-5
    for j, unit in enumerate(np.eye(len(theta))):
        ahead, _ = value_gradient(rows, objective, theta + step * unit)
        behind, _ = value_gradient(rows, objective, theta - step * unit)
        assert gradient[j] == pytest.approx((ahead - behind) / (2 * step), rel=1e-5)


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("offset", [-1e-6, 0.0, 1e-6])
@each_scale
def test_the_gradient_at_the_threshold(side, offset, scale):
    # One residual just inside, on, and just outside: value and gradient are continuous.
    rows = make_rows(np.ones((1, 1)), np.array([side * (1.35 + offset)]), None, 1)
    frame = Frame(np.zeros(1), np.zeros(1, int), 0.0, 0, fit_intercept=False)
    objective = HuberObjective(
        frame,
        rho=1.35,
        penalty=Penalty(),
        scale=None if scale is None else 1.0,
        total_weight=1.0,
        weight_power=0,
    )
    theta = objective.theta(np.zeros(1), 0.0, 1.0)
    value, gradient = value_gradient(rows, objective, theta)
    joint = float(scale is None)
    assert value == pytest.approx(joint + 1.35**2 + 2 * 1.35 * offset, abs=1e-11)
    assert gradient[0] == pytest.approx(-2 * side * (1.35 + min(offset, 0)), abs=1e-11)
    if joint:
        clipped = 1.35 + min(offset, 0)
        assert gradient[-1] == pytest.approx(1 - clipped**2, abs=1e-11)
    step = 1e-8
    for j, unit in enumerate(np.eye(len(theta))):
        ahead, _ = value_gradient(rows, objective, theta + step * unit)
        behind, _ = value_gradient(rows, objective, theta - step * unit)
        assert gradient[j] == pytest.approx((ahead - behind) / (2 * step), abs=1e-6)


def sums_at(rows, objective, theta, **wanted):
    [sums] = rows.sweep([objective.point(theta)], Want(**wanted))
    return sums


@each_scale
@each_intercept
@pytest.mark.parametrize("rho", [1.35, np.inf])
def test_the_hessian_is_that_of_the_gradient(rho, scale, fit_intercept):
    rows, frame, objective = problem(rho, scale, fit_intercept=fit_intercept)
    theta = theta_at(frame, objective, 0.15)
    sums = sums_at(rows, objective, theta, squares=True, gram=np.float64)
    inside, outside = (
        objective.hessian(theta, gram, sums.weight) for gram in sums.gram
    )
    hessian = inside + np.diag(objective.penalty_curvature)
    step = 1e-7
    for j, unit in enumerate(np.eye(len(theta))):
        _, ahead = value_gradient(rows, objective, theta + step * unit)
        _, behind = value_gradient(rows, objective, theta - step * unit)
        difference = (ahead - behind) / (2 * step)
        np.testing.assert_allclose(hessian[j], difference, rtol=1e-5, atol=1e-5)
    assert np.linalg.eigvalsh(outside).min() > -1e-9
    assert (np.linalg.norm(outside) > 0) == (rho < np.inf)
    diagonal, above = objective.diagonals(theta, sums)
    np.testing.assert_allclose(diagonal, np.diagonal(inside), rtol=1e-10)
    # Of outliers it is a bound.
    assert (above >= np.diagonal(outside) * (1 - 1e-10)).all()


def test_a_parabola_lies_above_the_loss():
    """With the outliers' part of the Hessian no step goes below the model."""
    rows, frame, objective = problem(scale=0.2, alpha=0.0)
    theta = theta_at(frame, objective, 0.15)
    value, gradient = value_gradient(rows, objective, theta)
    sums = sums_at(rows, objective, theta, gram=np.float64)
    whole = objective.hessian(theta, sums.gram.sum(axis=0), sums.weight)
    rng = np.random.default_rng(1)
    for size in (1e-3, 0.1, 1.0, 10.0):
        step = size * rng.normal(size=len(theta))
        above = value + gradient @ step + 0.5 * step @ whole @ step
        found, _ = value_gradient(rows, objective, theta + step)
        assert found <= above * (1 + 1e-12)


@each_scale
@each_intercept
@pytest.mark.parametrize("damping", [0.0, 0.3])
def test_a_product_with_the_hessian(scale, fit_intercept, damping):
    rows, frame, objective = problem(scale=scale, fit_intercept=fit_intercept)
    theta = theta_at(frame, objective, 0.15)
    sums = sums_at(rows, objective, theta, gram=np.float64)
    inside, outside = (
        objective.hessian(theta, gram, sums.weight) for gram in sums.gram
    )
    v = np.linspace(-1.0, 2.0, len(theta))
    direction = objective.widened(v)
    found = sums_at(rows, objective, theta, direction=direction, damping=damping)
    np.testing.assert_allclose(
        objective.product(theta, found),
        (1 + damping) * inside @ v + damping * outside @ v,
        rtol=1e-10,
        atol=1e-10,
    )


@each_intercept
@given(st.integers(-450, 450), st.integers(-900, 900))
def test_units_that_are_powers_of_two_change_no_digit(fit_intercept, x_power, y_power):
    frame = Frame(
        centre=np.zeros(2),
        x_power=np.array([x_power, 0]),
        y_centre=0.0,
        y_power=y_power // 2,
        fit_intercept=fit_intercept,
    )
    u, intercept = np.array([1 / 3, -7.1]), 0.1 * fit_intercept
    coef, natural_intercept = frame.to_natural(u, intercept)
    back, intercept_back = frame.from_natural(coef, natural_intercept)
    np.testing.assert_array_equal(back, u)
    assert intercept_back == intercept


def test_exponents():
    sizes = np.array([0.0, 1.0, 1.9, 2.0, 1e300, 5e-324])
    np.testing.assert_array_equal(exponent(sizes), [0, 0, 0, 1, 996, -1000])


def test_gross_outliers_do_not_loosen_the_tolerance():
    _, _, objective = problem()
    theta = np.zeros(5)
    theta[-1] = 1.0
    tolerances = [
        objective.tolerance(theta, value, 1e-12) for value in (2.0, 10.0, 1e9)
    ]
    assert tolerances[0] == pytest.approx(2e-12)
    assert tolerances[1] == tolerances[2] < 4e-12


def test_the_naive_objective_agrees():
    # Two restatements that know nothing of each other.
    rows, frame, objective = problem()
    theta = theta_at(frame, objective, 0.15)
    u, intercept, sigma = objective.split(theta)
    coef, b = frame.to_natural(u, intercept)
    value, _ = value_gradient(rows, objective, theta)
    expected = naive.objective(
        X,
        y,
        coef,
        b,
        objective.natural_scale(sigma),
        rho=1.35,
        alpha=0.3,
        sample_weight=WEIGHT,
    )
    np.testing.assert_allclose(objective.natural_value(value), expected, rtol=1e-11)
