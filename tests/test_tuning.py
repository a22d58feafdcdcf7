"""Thresholds and the efficiencies they stand for."""

import inspect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from skhuber import HuberRegressor, efficiency_of_rho, rho_for_efficiency


@pytest.mark.parametrize("rho", [1e-3, 0.01, 0.5, 1.0, 1.345, 1.35, 2.0, 4.0])
def test_by_integration(rho):
    slope, _ = quad(norm.pdf, -rho, rho)
    square, _ = quad(lambda z: z * z * norm.pdf(z), -rho, rho, epsabs=1e-16)
    square += 2 * rho**2 * norm.sf(rho)
    np.testing.assert_allclose(
        efficiency_of_rho(rho, scale="mad"), slope**2 / square, rtol=1e-11
    )


def test_textbook_values():
    # Huber 1981, and what R and statsmodels use.
    assert round(rho_for_efficiency(0.95, scale="mad"), 3) == 1.345
    np.testing.assert_allclose(efficiency_of_rho(1e-300, scale="mad"), 2 / np.pi)
    assert efficiency_of_rho(np.inf) == efficiency_of_rho(40.0) == 1.0
    assert rho_for_efficiency(1.0) == np.inf


@given(st.floats(1e-6, 5.0))
def test_one_is_the_inverse_of_the_other(rho):
    efficiency = efficiency_of_rho(rho, scale="mad")
    assert rho_for_efficiency(efficiency, scale="mad") == pytest.approx(rho, rel=1e-4)


@given(st.floats(1e-8, 8.0), st.floats(1e-8, 8.0))
def test_it_rises(one, other):
    low, high = sorted((one, other))
    efficiencies = [efficiency_of_rho(rho, scale="mad") for rho in (low, high)]
    assert efficiencies[0] <= efficiencies[1] * (1 + 1e-10)


def test_it_is_the_efficiency_of_fits():
    """The variance of fits to normal data, relative to that of least squares."""
    rng = np.random.default_rng(0)
    rho = rho_for_efficiency(0.8, scale="mad")
    X = np.ones((100, 1))
    estimates = []
    for _ in range(1500):
        y = rng.normal(size=100)
        model = HuberRegressor(rho=rho, scale=1.0, alpha=0, fit_intercept=False)
        estimates.append(model.fit(X, y).coef_[0])
    # The variance of 1500 estimates is known to 3.7 %.
    assert 0.01 / np.var(estimates) == pytest.approx(0.8, rel=0.1)


@pytest.mark.parametrize("efficiency", [0.7, 0.8943, 0.95, 0.999])
def test_a_joint_scale_has_a_rho_of_its_own(efficiency):
    """rho of a joint scale is the threshold over the scale that comes with it."""
    threshold = rho_for_efficiency(efficiency, scale="mad")
    z = np.sort(np.abs(norm.ppf((np.arange(200_000) + 0.5) / 200_000)))
    scale = np.sqrt(np.mean(np.minimum(z, threshold) ** 2))
    rho = rho_for_efficiency(efficiency, scale="joint")
    assert rho == pytest.approx(threshold / scale, rel=1e-4)
    assert efficiency_of_rho(rho, scale="joint") == pytest.approx(efficiency)


@pytest.mark.parametrize("scale", ["mad", "joint"])
def test_the_edge_of_the_range(scale):
    for efficiency in (2 / np.pi + 1e-15, 2 / np.pi + 1e-6):
        rho = rho_for_efficiency(efficiency, scale=scale)
        assert rho > (1 if scale == "joint" else 0) - 1e-12
    assert efficiency_of_rho(1 + 1e-6, scale="joint") == pytest.approx(2 / np.pi, 1e-4)


def test_a_joint_scale_without_outliers():
    assert rho_for_efficiency(1, scale="joint") == np.inf
    assert efficiency_of_rho(np.inf, scale="joint") == 1.0
    assert efficiency_of_rho(50.0, scale="joint") == 1.0
    with pytest.raises(ValueError, match="rho must be a number > 1, got 1"):
        efficiency_of_rho(1, scale="joint")
    with pytest.raises(ValueError, match="scale must be 'mad' or 'joint', got 'best'"):
        rho_for_efficiency(0.9, scale="best")


def test_fits_with_a_joint_scale_have_that_threshold():
    y = norm.ppf((np.arange(2000) + 0.5) / 2000)
    rho = rho_for_efficiency(0.95, scale="joint")
    model = HuberRegressor(rho).fit(np.zeros((2000, 1)), y)
    assert model.rho_ * model.scale_ == pytest.approx(1.345, rel=2e-3)


@pytest.mark.parametrize("value", [0.5, 2 / np.pi, 1.01, np.nan, -1.0])
def test_efficiencies_that_are_none(value):
    with pytest.raises(ValueError, match=r"efficiency must be a number > 2/pi .*<= 1"):
        rho_for_efficiency(value)
    with pytest.raises(TypeError, match="efficiency must be a number"):
        rho_for_efficiency(str(value))


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan])
def test_thresholds_that_are_none(value):
    with pytest.raises(ValueError, match="rho must be a number > 0, got"):
        efficiency_of_rho(value, scale="mad")


def test_the_scale_is_the_estimators_unless_another_is_named():
    for function in (rho_for_efficiency, efficiency_of_rho):
        default = inspect.signature(function).parameters["scale"].default
        assert default == HuberRegressor().scale
    # The joint scale of normal residuals is smaller than their standard deviation.
    assert rho_for_efficiency(0.95) > rho_for_efficiency(0.95, scale="mad")
    normal = norm.ppf((np.arange(2000) + 0.5) / 2000)
    model = HuberRegressor(rho_for_efficiency(0.95)).fit(np.zeros((2000, 1)), normal)
    assert model.scale_ < 0.9
    threshold = model.rho_ * model.scale_
    assert efficiency_of_rho(threshold, scale="mad") == pytest.approx(0.95, abs=1e-3)


@pytest.mark.parametrize("rho", [1e154, 1e200, 1e308])
def test_thresholds_whose_square_overflows(rho):
    for scale in ("joint", "mad"):
        assert efficiency_of_rho(rho, scale=scale) == 1.0
