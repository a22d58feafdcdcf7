"""Paths of elastic nets, working sets of columns, and the alphas that data suggest."""

from math import comb

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning

import elastic_nets
import problems
from skhuber import (
    HuberElasticNet,
    HuberElasticNetCV,
    huber_enet_path,
    pivotal_alpha,
)
from skhuber._fit import elastic_net
from skhuber._fit.columns import column_statistics
from skhuber._fit.elastic_net import Net
from skhuber._fit.net_path import NetPath
from skhuber._fit.settings import Settings
from skhuber._rows import make_rows
from test_elastic_net import kkt_violation

X, Y, *_ = problems.plain(150, 6)


def wide_problem(n=60, p=150, seed=0):
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(n, p)) + np.linspace(-3, 3, p)
    y = 3.0 * Z[:, 3] - 2.0 * Z[:, 40] + rng.normal(size=n)
    y[:5] += 50.0
    return Z, y


@pytest.mark.parametrize("options", [{}, {"l1_ratio": 0.5, "scale": 1.0}])
def test_a_path_is_its_fits(options):
    path = huber_enet_path(X, Y, n_alphas=12, eps=1e-2, **options)
    assert path.converged.all()
    assert (np.diff(path.alphas) < 0).all()
    assert path.alphas[-1] == pytest.approx(0.01 * path.alphas[0])
    for k in (0, 5, 11):
        alone = HuberElasticNet(path.alphas[k], **options).fit(X, Y)
        assert_allclose(path.coefs[k], alone.coef_, rtol=1e-6, atol=1e-8)
        assert_allclose(path.intercepts[k], alone.intercept_, rtol=1e-6)
        assert_allclose(path.scales[k], alone.scale_, rtol=1e-6)
        assert_allclose(path.objectives[k], alone.objective_, rtol=1e-12)
        assert path.n_outliers[k] == alone.outliers_.sum()
    assert_array_equal(path.n_nonzeros, np.count_nonzero(path.coefs, axis=1))
    assert (path.dual_gaps >= -1e-15).all()


@pytest.mark.parametrize("scale", ["joint", "mad", 2.0])
def test_the_first_alpha_is_the_least_without_coefficients(scale):
    path = huber_enet_path(X, Y, n_alphas=3, scale=scale)
    one = elastic_nets.NetProblem(X, Y, None, {"scale": scale}, 1.0)
    assert path.alphas[0] == pytest.approx(elastic_nets.largest_alpha(one), rel=1e-9)
    assert path.n_nonzeros[0] == 0
    assert path.n_nonzeros[1] > 0


def test_alphas_that_are_given():
    path = huber_enet_path(X, Y, alphas=[0.01, 0.3, 0.1], l1_ratio=0.0)
    assert_array_equal(path.alphas, [0.3, 0.1, 0.01])
    for alpha, coef in zip(path.alphas, path.coefs, strict=True):
        alone = HuberElasticNet(alpha, l1_ratio=0.0).fit(X, Y)
        assert_allclose(coef, alone.coef_, rtol=1e-7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alphas": []}, "alphas must be a sequence of at least one number"),
        ({"alphas": [0.1, -1]}, r"alphas\[1\] must be"),
        ({"eps": 1.0}, "eps must be a number > 0 and < 1, got 1.0"),
        ({"n_alphas": 0}, "n_alphas must be an integer >= 1"),
        ({"l1_ratio": 0.0}, "l1_ratio must be a number > 0 and <= 1, got 0.0"),
        ({"rho": 0.5}, "rho must be"),
        ({"bounds": (1, 0)}, "lower <= upper"),
    ],
)
def test_bad_values(options, message):
    with pytest.raises(ValueError, match=message):
        huber_enet_path(X, Y, **options)


@pytest.mark.compiled
@pytest.mark.parametrize("scale", ["joint", 1.0])
def test_a_path_on_many_rows_shares_its_sweeps(scale):
    big = problems.plain(100_000, 20)
    path = huber_enet_path(big.X, big.y, n_alphas=30, scale=scale)
    assert path.converged.all()
    assert path.n_sweeps <= 40
    for k in (4, 29):
        alone = HuberElasticNet(path.alphas[k], scale=scale).fit(big.X, big.y)
        assert_allclose(path.objectives[k], alone.objective_, rtol=3e-12)
        assert_allclose(path.coefs[k], alone.coef_, rtol=1e-4, atol=1e-6)


# --- working sets -------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["joint", "mad", 1.0])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_many_columns(scale, l1_ratio):
    Z, y = wide_problem()
    weight = np.random.default_rng(1).uniform(0.5, 2.0, len(y))
    model = HuberElasticNet(0.3, scale=scale, l1_ratio=l1_ratio).fit(Z, y, weight)
    assert kkt_violation(model, Z, y, weight) < 1e-6
    assert 2 <= np.count_nonzero(model.coef_) < 60
    sparse = HuberElasticNet(0.3, scale=scale, l1_ratio=l1_ratio)
    sparse.fit(sp.csr_matrix(Z), y, weight)
    assert_allclose(sparse.coef_, model.coef_, rtol=1e-7, atol=1e-9)


def test_many_columns_within_bounds():
    Z, y = wide_problem()
    lower = np.full(150, -0.5)
    lower[7] = 0.125
    model = HuberElasticNet(0.3, bounds=(lower, 1.0)).fit(Z, y)
    assert model.coef_[3] == 1.0
    assert model.coef_[40] == -0.5
    assert model.coef_[7] == 0.125
    assert model.dual_gap_ < 1e-5


def test_columns_that_are_left_out_join():
    # The largest slopes without coefficients are those of the copies of column 0; the
    # model needs others.
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(100, 120))
    Z[:, :60] = Z[:, :1] + 0.1 * rng.normal(size=(100, 60))
    y = 5.0 * Z[:, 0] + Z[:, 70:80].sum(axis=1) + 0.1 * rng.normal(size=100)
    model = HuberElasticNet(0.1).fit(Z, y)
    assert kkt_violation(model, Z, y) < 1e-6
    assert np.count_nonzero(model.coef_[70:80]) == 10


def test_a_path_of_many_columns():
    Z, y = wide_problem()
    path = huber_enet_path(Z, y, n_alphas=20, eps=0.35)
    assert path.converged.all()
    assert path.n_sweeps <= 8
    for k in (3, 19):
        alone = HuberElasticNet(path.alphas[k]).fit(Z, y)
        assert_allclose(path.coefs[k], alone.coef_, rtol=1e-5, atol=1e-7)
        assert_allclose(path.objectives[k], alone.objective_, rtol=2e-12)


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
@pytest.mark.parametrize("scale", ["joint", 1.0])
def test_fits_of_a_path_start_where_the_last_one_leads(l1_ratio, scale):
    Z, y = wide_problem(100, 200)
    alphas = np.geomspace(0.8, 0.4, 40)
    nets = [Net(alpha, l1_ratio, standardize=True) for alpha in alphas]
    settings = Settings(1.35, scale, 0.0, True, 100, 1e-10)
    rows = make_rows(Z, y, None, 1)
    statistics = column_statistics(rows, fit_intercept=True)
    fits = NetPath(rows, settings, nets, statistics).fit(rows)
    assert all(one.fit.converged for one in fits)
    # One step for each, and another one if rows cross the threshold.
    assert sum(one.fit.n_iter for one in fits) <= 50


def test_a_path_of_many_columns_may_end_without_a_penalty():
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(200, 130))
    y = Z[:, :3].sum(axis=1) + rng.normal(size=200)
    alphas = [0.3, 0.2, 0.0]
    path = huber_enet_path(Z, y, alphas=alphas, scale=1.0, bounds=(-0.5, 0.5))
    assert path.converged.all()
    alone = HuberElasticNet(0.0, scale=1.0, bounds=(-0.5, 0.5)).fit(Z, y)
    assert_allclose(path.coefs[-1], alone.coef_, atol=1e-6)


@pytest.mark.filterwarnings("ignore:huber_enet_path. 1 of .* the scale fell to zero")
def test_a_path_ends_where_the_scale_falls_to_zero():
    Z, y = wide_problem(30, 60)
    path = huber_enet_path(Z, y, n_alphas=30, eps=1e-3)
    assert 3 < len(path.alphas) < 30
    assert path.converged[:-1].all()
    assert not path.converged[-1]
    assert path.ebics[-1] == np.inf


# --- criteria -----------------------------------------------------------------------


def test_pivotal_alphas():
    expected = norm.ppf(1 - 0.05 / (2 * 400)) / np.sqrt(200)
    assert pivotal_alpha(200, 400) == pytest.approx(expected)
    assert pivotal_alpha(200, 400, confidence=0.5) < expected
    for arguments in ((0, 3), (3, 0)):
        with pytest.raises(ValueError, match="must be an integer >= 1"):
            pivotal_alpha(*arguments)
    with pytest.raises(ValueError, match="confidence must be"):
        pivotal_alpha(3, 3, confidence=1.0)


@pytest.mark.compiled
@pytest.mark.parametrize("noise", ["normal", "t2"])
def test_noise_selects_no_column_at_the_pivotal_alpha(noise):
    rng = np.random.default_rng(0)
    alpha, selected = pivotal_alpha(100, 40), 0
    for _ in range(40):
        Z = rng.normal(size=(100, 40))
        y = 7.0 * (
            rng.normal(size=100) if noise == "normal" else rng.standard_t(2, 100)
        )
        selected += HuberElasticNet(alpha).fit(Z, y).coef_.any()
    # Binomial with 0.05: more than six of forty has a probability of 0.3 %.
    assert selected <= 6


def test_the_criterion_finds_the_model():
    rng = np.random.default_rng(5)
    Z = rng.normal(size=(120, 20))
    y = 2.0 * Z[:, 3] - 2.0 * Z[:, 14] + rng.standard_t(3, 120)
    path = huber_enet_path(Z, y, n_alphas=30)
    best = path.coefs[np.argmin(path.ebics)]
    assert_array_equal(np.flatnonzero(best), [3, 14])


# --- few rows for many columns ------------------------------------------------------


def nearly_interpolating(n=100, p=1000):
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(n, p))
    y = Z[:, :10] @ np.linspace(-2, 2, 10) + rng.normal(size=n)
    y[:8] += 30.0
    return Z, y


@pytest.mark.compiled
@pytest.mark.parametrize(("scale", "eps"), [(1.0, 0.1), ("joint", 0.3)])
def test_a_path_of_many_columns_reads_them_a_few_times(scale, eps):
    Z, y = nearly_interpolating(200, 2000)
    path = huber_enet_path(Z, y, n_alphas=50, eps=eps, scale=scale)
    assert path.converged.all()
    assert path.n_nonzeros[-1] > 100
    assert path.n_sweeps <= 15


@pytest.mark.compiled
def test_a_fit_that_nearly_interpolates_takes_few_steps():
    Z, y = nearly_interpolating()
    alpha = 0.1 * huber_enet_path(Z, y, n_alphas=1, scale=1.0).alphas[0]
    model = HuberElasticNet(alpha, scale=1.0).fit(Z, y)
    assert np.count_nonzero(model.coef_) > 90
    assert model.optimality_gap_ <= 1e-12
    assert model.n_iter_ <= 40
    assert model.n_sweeps_ <= 10


@pytest.mark.compiled
@pytest.mark.parametrize("share", [0.2, 0.1])
def test_a_scale_that_falls_to_zero_is_a_warning_after_few_steps(share):
    Z, y = nearly_interpolating()
    alpha = share * huber_enet_path(Z, y, n_alphas=1).alphas[0]
    with pytest.warns(ConvergenceWarning, match="the scale fell to zero"):
        model = HuberElasticNet(alpha).fit(Z, y)
    assert model.n_iter_ <= 150
    # Without the outliers' 30 the objective would be of the size of the noise.
    assert model.objective_ < 0.75 * HuberElasticNet(10 * alpha).fit(Z, y).objective_


@pytest.mark.parametrize("scale", ["joint", 0.9])
def test_the_criterion_without_a_threshold_is_that_of_normal_noise(scale):
    # Chen and Chen (2008), γ = 1: −2 log-likelihood + k log n + 2 log C(p, k); the
    # intercept counts in k but not among the columns.
    path = huber_enet_path(X, Y, n_alphas=6, rho=1e6, scale=scale)
    n, p = X.shape
    for k, coef in enumerate(path.coefs):
        r = Y - X @ coef - path.intercepts[k]
        variance = r @ r / n if scale == "joint" else scale**2
        size = np.count_nonzero(coef)
        expected = n * np.log(variance) + (0 if scale == "joint" else r @ r / variance)
        expected += (size + 1) * np.log(n) + 2 * np.log(comb(p, size))
        # (F is twice the scale there, in whose logarithm the 2 is a constant.)
        constant = 2 * n * np.log(2.0) if scale == "joint" else 0.0
        assert path.ebics[k] - constant == pytest.approx(expected, rel=1e-9)


def test_columns_that_are_neither_scaled_nor_centred_need_no_statistics():
    Z = X / np.sqrt(np.mean(X**2, axis=0))  # so both penalties are equal
    sweeps = [
        huber_enet_path(
            Z, Y, alphas=[0.1], scale=1.0, fit_intercept=False, standardize=standardize
        ).n_sweeps
        for standardize in (False, True)
    ]
    assert sweeps[0] == sweeps[1] - 1


@pytest.mark.parametrize("options", [{"criterion": "ebic"}, {"cv": 3, "scoring": "r2"}])
def test_cross_validation_makes_no_statistics_that_it_does_not_need(
    options, monkeypatch
):
    made = []
    column_statistics = elastic_net.column_statistics

    def counted(rows, *, fit_intercept):
        made.append(rows)
        return column_statistics(rows, fit_intercept=fit_intercept)

    monkeypatch.setattr(elastic_net, "column_statistics", counted)
    options = {"alphas": [0.1, 0.05], "fit_intercept": False, "scale": 1.0, **options}
    HuberElasticNetCV(standardize=False, **options).fit(X, Y)
    assert not made
    HuberElasticNetCV(standardize=True, **options).fit(X, Y)
    assert made
