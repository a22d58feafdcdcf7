"""Starts from a model that does not fit the data."""

import numpy as np
import pytest

import problems
from skhuber import HuberRegressor, OutlierShare

SIZES = [(120, 4), (30, 60), pytest.param((20_000, 10), marks=pytest.mark.compiled)]


@pytest.mark.parametrize("scale", ["joint", "mad", 1.0])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("unit", [1e-300, 1e-8, 1e8, 1e100, 1e300])
def test_a_model_of_another_unit_of_the_target(size, scale, unit):
    X, y, *_ = problems.plain(*size)
    y = y / np.abs(y).max()  # so that no sum overflows at 1e300
    first = scale if isinstance(scale, str) else scale * unit
    model = HuberRegressor(scale=first, warm_start=True).fit(X, y * unit)
    model.set_params(scale=scale).fit(X, y)
    cold = HuberRegressor(scale=scale).fit(X, y)
    np.testing.assert_allclose(model.predict(X), cold.predict(X), rtol=0, atol=1e-6)


@pytest.mark.parametrize("rho", ["auto", "adaptive", OutlierShare(0.1)])
def test_rules_have_no_start_that_could_not_fit(rho):
    X, y, *_ = problems.plain(120, 4)
    model = HuberRegressor(rho, warm_start=True).fit(X, y).fit(X[:, :2], y)
    cold = HuberRegressor(rho).fit(X[:, :2], y)
    np.testing.assert_array_equal(model.coef_, cold.coef_)


def test_a_number_has_a_start_that_must_fit():
    X, y, *_ = problems.plain(120, 4)
    model = HuberRegressor(warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match="X has 2 features, but warm_start=True"):
        model.fit(X[:, :2], y)
