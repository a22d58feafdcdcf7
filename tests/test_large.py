"""Data of so many rows that a sample is solved first, and then L-BFGS on all rows."""

import functools
import warnings
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp

import large_problems
import naive
from compare import assert_same_bits, certificate
from large_problems import CASES, MANY, few_rows_for_each_column, many
from peaks import peak_of
from skhuber import HuberRegressor
from skhuber._fit import Settings, equation, fit_rows
from skhuber._fit.plan import plan_of
from skhuber._rows import BlockedRows, make_rows

pytestmark = pytest.mark.compiled

N, P = large_problems.N, large_problems.P
SETTINGS = Settings(1.35, "joint", 1e-4, True, 1000, 1e-12)


@functools.cache
def case(name):
    """X, y and the coefficients; nobody may write to them."""
    arrays = large_problems.case(name)
    for array in arrays:
        array.flags.writeable = False
    return arrays


def random_weights():
    return 10 ** np.random.default_rng(5).uniform(-3, 3, N)


def in_blocks(X, y, weight=None, ends=(0, 100, 20_000, 20_001, 45_000)):
    """The rows in blocks, as files or the parts of a cluster would be."""
    ends = [*(end for end in ends if end < len(y)), len(y)]
    power = make_rows(X, y, weight, 1).weight_power
    return BlockedRows(
        [
            make_rows(
                X[start:stop],
                y[start:stop],
                None if weight is None else weight[start:stop],
                1,
                weight_power=power,
            )
            for start, stop in pairwise(ends)
        ]
    )


def gap_of(fit, X, y, weight=None):
    """The independent relative gap of a joint fit to rows."""
    point = fit.coef, fit.intercept, fit.scale
    return naive.relative_gap(X, y, *point, SETTINGS.rho, SETTINGS.alpha, weight)


def test_these_data_are_sampled():
    X, y, _ = case("plain")
    plan = plan_of(make_rows(X, y, None, 1))
    assert plan.way == "whitened"
    assert 0 < plan.sample_rows < N / 10


@pytest.mark.parametrize("name", CASES)
def test_the_fit_is_certified(name):
    X, y, _ = case(name)
    model = HuberRegressor().fit(X, y)
    assert certificate(model, X, y) <= 1e-12
    assert model.n_sweeps_ <= 150


@pytest.mark.parametrize("name", CASES)
def test_blocks_of_rows_are_fitted_like_one_array(name):
    X, y, _ = case(name)
    whole = fit_rows(make_rows(X, y, None, 1), SETTINGS)
    blocked = fit_rows(in_blocks(X, y), SETTINGS)
    assert blocked.converged
    assert gap_of(blocked, X, y) <= 1e-12
    assert blocked.n_sweeps == whole.n_sweeps
    np.testing.assert_allclose(blocked.objective, whole.objective, rtol=1e-12)


@pytest.mark.parametrize("layout", [np.asfortranarray, sp.csr_array])
def test_blocks_of_other_layouts_and_with_weights(layout):
    X, y, _ = case("rare_dummies")
    weight = random_weights()
    whole = fit_rows(make_rows(layout(X), y, weight, 1), SETTINGS)
    blocked = fit_rows(in_blocks(layout(X), y, weight), SETTINGS)
    assert gap_of(blocked, X, y, weight) <= 1e-12
    assert blocked.n_sweeps == whole.n_sweeps


@pytest.mark.parametrize(
    "parameters", [{"fit_intercept": False}, {"alpha": 1e4}, {"rho": 3.0}]
)
def test_parameters(parameters):
    X, y, _ = case("plain")
    model = HuberRegressor(**parameters).fit(X, y)
    assert certificate(model, X, y) <= 1e-12


def test_weights():
    X, y, _ = case("plain")
    s = random_weights()
    model = HuberRegressor().fit(X, y, sample_weight=s)
    assert certificate(model, X, y, s) <= 1e-12


# --- sweeps are few ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "most"),
    [
        ("plain", 6),
        ("few_columns", 6),
        ("many_columns", 6),
        ("more_columns", 6),
        ("dummies", 16),
        ("all_levels", 16),
        ("t", 16),
        ("correlated", 16),
        ("leverage", 16),
    ],
)
def test_sweeps_are_few(case, most):
    X, y = many(case)
    model = HuberRegressor().fit(X, y)
    assert certificate(model, X, y) <= 1e-12
    assert model.n_sweeps_ <= most


@pytest.mark.parametrize(
    ("case", "most"),
    [("plain", 10), ("many_columns", 9), ("dummies", 12), ("t", 15), ("leverage", 11)],
)
def test_sweeps_are_few_with_the_scale_of_the_mad(case, most):
    X, y = many(case)
    model = HuberRegressor(scale="mad").fit(X, y)
    assert model.n_sweeps_ <= most
    r = y - model.predict(X)
    np.testing.assert_allclose(model.scale_, naive.mad_scale(r), rtol=1e-12)


def test_minima_on_the_way_to_the_mad_are_not_polished():
    X, y, _ = case("correlated")
    joint = HuberRegressor().fit(X, y)
    mad = HuberRegressor(scale="mad").fit(X, y)
    assert mad.n_sweeps_ <= 1.5 * joint.n_sweeps_


@pytest.mark.parametrize("name", ["plain", "leverage"])
def test_minima_at_single_scales_lead_to_the_fixed_point_too(name, monkeypatch):
    X, y, _ = case(name)
    expected = HuberRegressor(scale="mad").fit(X, y)
    monkeypatch.setattr(equation, "_PATIENCE", 0)  # the accelerated iteration ends
    model = HuberRegressor(scale="mad").fit(X, y)
    assert model.n_sweeps_ > expected.n_sweeps_
    np.testing.assert_allclose(model.scale_, expected.scale_, rtol=1e-11)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("seed", [4, 45, 112])
def test_a_start_that_stays_does_not_hold_the_search_for_the_mad(seed):
    # Newton steps by products end within the tolerance, so medians are inexact.
    n, p = 3001, 200
    rng = np.random.default_rng(seed)
    X = np.where(rng.random((n, p)) < 0.1, rng.normal(1.0, size=(n, p)), 0.0)
    y = X @ rng.normal(size=p) + rng.normal(size=n)
    y[::10] += 50 * rng.normal(size=len(y[::10]))
    X = sp.csr_array(X)
    assert plan_of(make_rows(X, y, None, 1)).way == "matrix_free"
    model = HuberRegressor(scale="mad").fit(X, y)
    assert model.n_sweeps_ <= 1000  # 11,000 if the search is held
    r = y - model.predict(X)
    np.testing.assert_allclose(model.scale_, naive.mad_scale(r), rtol=1e-11)


@pytest.mark.parametrize("name", ["plain", "units", "heavy_tailed", "leverage"])
def test_sweeps_with_the_scale_of_the_mad_do_not_depend_on_rounding(name):
    X, y, _ = case(name)
    found = [
        HuberRegressor(scale="mad").fit(layout(X), y).n_sweeps_
        for layout in (np.ascontiguousarray, np.asfortranarray, sp.csr_array)
    ]
    assert found == [found[0]] * 3
    assert found[0] <= 18


@pytest.mark.parametrize("case", ["dummies", "t", "correlated", "leverage"])
@pytest.mark.parametrize("scale", ["joint", 1.0])
def test_hard_data_with_the_hessian_of_all_rows(case, scale):
    X, y = few_rows_for_each_column(case)
    model = HuberRegressor(scale=scale).fit(X, y)
    assert certificate(model, X, y) <= 1e-12
    assert model.n_sweeps_ <= 20


def strided(X):
    return np.repeat(X, 2, axis=0)[::2]


@pytest.mark.parametrize("layout", [np.asfortranarray, sp.csr_array, strided])
@pytest.mark.parametrize("case", ["many_columns", "dummies", "t", "leverage"])
def test_layouts_take_the_same_steps(case, layout):
    X, y = many(case)
    expected = HuberRegressor().fit(X, y)
    model = HuberRegressor().fit(layout(X), y)
    assert model.n_sweeps_ == expected.n_sweeps_
    size = np.abs(expected.coef_ * X.std(axis=0)).max()
    difference = np.abs((model.coef_ - expected.coef_) * X.std(axis=0))
    assert difference.max() <= 1e-12 * size
    np.testing.assert_allclose(model.objective_, expected.objective_, rtol=1e-13)


@pytest.mark.parametrize("layout", [np.ascontiguousarray, np.asfortranarray])
def test_rows_of_no_weight_are_no_rows(layout):
    X, y = many("plain")
    X[::3] = 1e6
    s = (np.arange(MANY) % 3 > 0) * 1.0
    model = HuberRegressor().fit(layout(X), y, sample_weight=s)
    expected = HuberRegressor().fit(layout(X[s > 0]), y[s > 0])
    assert model.n_sweeps_ == expected.n_sweeps_
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-12)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_memory_is_a_small_part_of_the_data(order, dtype):
    X, y = many("plain")
    X = np.hstack([X, X**2, X[:, :10] ** 3]).astype(dtype, order=order)
    HuberRegressor().fit(X, y)  # compiles
    model, peak = peak_of(lambda: HuberRegressor().fit(X, y))
    # Of each row stay a robust weight, in the type of X, and whether it is an outlier.
    stays = (X.itemsize + 1) / (X.itemsize * X.shape[1])
    assert model.robust_weights_.dtype == dtype
    # In F order a sample is a copy, a fiftieth; the rest does not grow with the data.
    assert peak <= (stays + 0.02 * (order == "F")) * X.nbytes + 1.5e6


def test_sparse_data_with_many_columns():
    rng = np.random.default_rng(0)
    X = sp.random(40_000, 800, density=0.01, format="csr", random_state=rng)
    y = X @ np.linspace(-5, 5, 800) + rng.normal(size=40_000)
    model = HuberRegressor().fit(X, y)
    assert certificate(model, X, y) <= 1e-12


@pytest.mark.parametrize("scale", ["joint", "mad", 0.5])
@pytest.mark.parametrize("layout", ["F", "CSR", "float32"])
def test_layouts_agree(layout, scale):
    X, y, _ = case("rare_dummies")
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


@pytest.mark.parametrize(
    ("p", "parameters"), [(20, {"rho": 1.0001}), (3, {"scale": 1e-8})]
)
def test_next_to_least_absolute_deviations_nothing_is_certified_wrongly(p, parameters):
    # (Once certified with a mean |r| of 2e-5 and 6e-8 too much: the sample has hardly
    # an inlier to know the Hessian from.)
    rng = np.random.default_rng(1)
    X = rng.normal(size=(70_000, p))
    noise = rng.normal(size=len(X))
    y = X.sum(axis=1) + (np.exp(noise) if p == 20 else noise)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = HuberRegressor(alpha=0, **parameters).fit(X, y)
        other = HuberRegressor(alpha=0, scale=1e-4).fit(X, y)
    found, expected = (np.abs(y - m.predict(X)).mean() for m in (model, other))
    # Its F and 2ρ times its mean |r| differ by the inliers' part of a scale or less.
    allowed = model.scale_ * np.mean(~model.outliers_)
    assert found <= expected * (1 + 1e-9) + allowed
    assert model.optimality_gap_ <= 1e-12 or caught


def test_mad_is_self_consistent():
    X, y, _ = case("plain")
    model = HuberRegressor(1.345, scale="mad", alpha=0).fit(X, y)
    r = y - model.predict(X)
    np.testing.assert_allclose(model.scale_, naive.mad_scale(r), rtol=1e-9)
    psi = np.clip(r, -1.345 * model.scale_, 1.345 * model.scale_)
    # The estimating equations; each sum is of N terms of the scale's size.
    assert np.abs(psi @ X).max() < 1e-6 * model.scale_ * np.sqrt(N)
    assert abs(psi.sum()) < 1e-6 * model.scale_ * np.sqrt(N)


@pytest.mark.parametrize("parameters", [{}, {"scale": "mad"}])
def test_exact_data_with_outliers(parameters):
    X, y, coef = case("plain")
    plane = X @ coef + 3.0
    wrong = np.arange(N) % 7 == 0
    y = np.where(wrong, y, plane)
    model = HuberRegressor(**parameters).fit(X, y)
    np.testing.assert_allclose(model.coef_, coef, rtol=1e-9)
    assert model.scale_ < 1e-9
    np.testing.assert_array_equal(model.outliers_, wrong)


def test_a_warm_start_at_the_minimum_stays_there():
    X, y, _ = case("plain")
    model = HuberRegressor(warm_start=True).fit(X, y)
    coef = model.coef_
    model.fit(X, y)
    assert model.n_iter_ == 0
    np.testing.assert_allclose(model.coef_, coef, rtol=1e-12)


def test_threads_change_no_bit():
    X, y, _ = case("rare_dummies")
    one = HuberRegressor(n_jobs=1).fit(X, y)
    assert_same_bits(HuberRegressor(n_jobs=2).fit(X, y), one)
