"""Data of so many rows that a sample is solved first, and then L-BFGS on all rows."""

import numpy as np
import pytest
import scipy.sparse as sp

import naive
from compare import assert_same_bits, certificate
from skhuber import HuberRegressor
from skhuber._minimise import _NEWTON_WORK
from skhuber._rows import make_rows
from skhuber._sketch import Sketch

pytestmark = pytest.mark.compiled

N, P = 45_000, 20
RNG = np.random.default_rng(0)
PLAIN = RNG.normal(size=(N, P))
COEF = RNG.uniform(0.5, 2.0, P) * RNG.choice([-1, 1], P)
NOISE = RNG.normal(size=N)
NOISE[RNG.random(N) < 0.1] *= 50
CORRELATED = PLAIN + 10 * RNG.normal(size=(N, 1))
SHARES = np.geomspace(1e-4, 0.1, P - 3)
DUMMIES = np.hstack([PLAIN[:, :3], RNG.random((N, P - 3)) < SHARES])
LEVERAGE = np.where(RNG.random((N, 1)) < 0.01, 1000 * PLAIN, PLAIN)
WILD = np.where(RNG.random((N, 1)) < 1e-4, 1e9 * PLAIN, PLAIN)
CASES = {
    "plain": PLAIN,
    "correlated": CORRELATED,
    "units": PLAIN * np.geomspace(1e-3, 1e6, P),
    "timestamps": PLAIN * 1e9 + 1.6e12,
    "heavy_tailed": RNG.standard_t(2.5, size=(N, P)),
    "rare_dummies": DUMMIES,
    "leverage": LEVERAGE,
    "wild_rows": WILD,
    "absent_from_the_sample": np.hstack([PLAIN[:, 1:], (np.arange(N) == 7)[:, None]]),
}


def response(X):
    width = np.median(np.abs(X - np.median(X, axis=0)), axis=0)
    return X @ (COEF / np.where(width > 0, width, 1)) + 3.0 + NOISE


def test_these_data_are_sampled():
    rows = make_rows(PLAIN, NOISE, None, 1)
    assert N * P**2 > _NEWTON_WORK
    assert Sketch(rows).part.n_rows < N / 10


@pytest.mark.parametrize("case", CASES)
def test_the_fit_is_certified(case):
    X = CASES[case]
    y = response(X)
    model = HuberRegressor().fit(X, y)
    assert certificate(model, X, y) <= 1e-12
    assert model.n_sweeps_ <= 150


@pytest.mark.parametrize(
    "parameters", [{"fit_intercept": False}, {"alpha": 1e4}, {"rho": 3.0}]
)
def test_parameters(parameters):
    y = response(PLAIN)
    model = HuberRegressor(**parameters).fit(PLAIN, y)
    assert certificate(model, PLAIN, y) <= 1e-12


def test_weights():
    y = response(PLAIN)
    s = 10 ** RNG.uniform(-3, 3, N)
    model = HuberRegressor().fit(PLAIN, y, sample_weight=s)
    assert certificate(model, PLAIN, y, s) <= 1e-12


def test_few_sweeps_on_plain_data():
    # Sweeps over all rows: one for the sample's shortcomings, a few of L-BFGS, up to
    # three of polish, and one for the robust weights.
    assert HuberRegressor().fit(PLAIN, response(PLAIN)).n_sweeps_ <= 12


@pytest.mark.parametrize("scale", ["joint", "mad", 0.5])
@pytest.mark.parametrize("layout", ["F", "CSR", "float32"])
def test_layouts_agree(layout, scale):
    X = DUMMIES
    y = response(X)
    expected = HuberRegressor(scale=scale).fit(X, y)
    other = {
        "F": np.asfortranarray,
        "CSR": sp.csr_array,
        "float32": lambda X: X.astype(np.float32),
    }[layout](X)
    model = HuberRegressor(scale=scale).fit(other, y)
    tolerance = 1e-8
    if layout == "float32":
        expected.fit(other.astype(np.float64), y)
        tolerance = 1e-6  # of the coefficients' own rounding
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=tolerance)
    np.testing.assert_allclose(model.scale_, expected.scale_, rtol=1e-8)


def test_mad_is_self_consistent():
    y = response(PLAIN)
    model = HuberRegressor(1.345, scale="mad", alpha=0).fit(PLAIN, y)
    r = y - model.predict(PLAIN)
    np.testing.assert_allclose(model.scale_, naive.mad_scale(r), rtol=1e-9)
    psi = np.clip(r, -1.345 * model.scale_, 1.345 * model.scale_)
    # The estimating equations; each sum is of N terms of the scale's size.
    assert np.abs(psi @ PLAIN).max() < 1e-6 * model.scale_ * np.sqrt(N)
    assert abs(psi.sum()) < 1e-6 * model.scale_ * np.sqrt(N)


@pytest.mark.parametrize("parameters", [{}, {"scale": "mad"}])
def test_exact_data_with_outliers(parameters):
    wrong = np.arange(N) % 7 == 0
    y = PLAIN @ COEF + 3.0 + wrong * NOISE
    model = HuberRegressor(**parameters).fit(PLAIN, y)
    np.testing.assert_allclose(model.coef_, COEF, rtol=1e-9)
    assert model.scale_ < 1e-9
    np.testing.assert_array_equal(model.outliers_, wrong)


def test_a_warm_start_at_the_minimum_stays_there():
    y = response(PLAIN)
    model = HuberRegressor(warm_start=True).fit(PLAIN, y)
    coef = model.coef_
    model.fit(PLAIN, y)
    assert model.n_iter_ == 0
    np.testing.assert_allclose(model.coef_, coef, rtol=1e-12)


def test_threads_change_no_bit():
    y = response(DUMMIES)
    one = HuberRegressor(n_jobs=1).fit(DUMMIES, y)
    assert_same_bits(HuberRegressor(n_jobs=2).fit(DUMMIES, y), one)
