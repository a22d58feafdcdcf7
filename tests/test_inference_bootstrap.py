"""The bootstrap of pairs."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

from inference_data import RHO, load, noisy
from skhuber import HuberRegressor
from skhuber.inference import _sums, huber_inference

# Interpreted, its loops over rows and resamples would take hours.
pytestmark = pytest.mark.compiled

KINDS = ["joint", "mad", 1.0]


def bootstrap(model, X, y, n=40, **options):
    options = {"random_state": 0, **options}
    return huber_inference(model, X, y, cov_type="bootstrap", n_resamples=n, **options)


def first_counts(n, seed, group, size):
    """Counts of the resamples of the first group."""
    (generator, *_) = np.random.default_rng(seed).spawn(group)
    return [np.bincount(generator.integers(0, n, n), minlength=n) for _ in range(size)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("alpha", [0.0, 50.0])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.filterwarnings("ignore:.*biases:skhuber.inference.InferenceWarning")
def test_each_replicate_is_a_refit(kind, alpha, weighted):
    X, y = noisy(500)
    weight = 1.0 + np.arange(500) % 3 if weighted else None
    options = {"scale": kind, "alpha": alpha, "tol": 1e-15}
    model = HuberRegressor(RHO.get(kind, 1.5), **options).fit(X, y, weight)
    result = bootstrap(model, X, y, sample_weight=weight)
    for j, drawn in enumerate(first_counts(500, 0, 2, 5)):
        mass = drawn if weight is None else drawn * weight
        refit = HuberRegressor(model.rho, **options).fit(X, y, mass.astype(float))
        error = result.replicates[j] - np.append(refit.intercept_, refit.coef_)
        assert np.max(np.abs(error) / np.asarray(result.bse)) < 1e-3


@pytest.mark.parametrize("kind", list(RHO))
def test_small_data_are_refitted_one_by_one(kind):
    X, y = load("wood")
    options = {"scale": kind, "alpha": 0, "tol": 1e-15}
    model = HuberRegressor(RHO[kind], **options).fit(X, y)
    result = bootstrap(model, X, y)
    start = {"coef_": model.coef_, "intercept_": model.intercept_}
    agree = 0
    for j, drawn in enumerate(first_counts(20, 0, 2, 20)):
        refit = HuberRegressor(model.rho, warm_start=True, **options)
        vars(refit).update(start, scale_=model.scale_, rho_=model.rho_)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            refit.fit(X, y, drawn.astype(float))
        error = result.replicates[j] - np.append(refit.intercept_, refit.coef_)
        agree += np.max(np.abs(error) / np.abs(result.replicates[j])) < 1e-3
    # (Of a resample of fewer rows than coefficients, there is no one minimum.)
    assert agree >= 18


def test_standard_errors_are_those_of_the_sandwich():
    X, y = noisy(2000, 3, 0, "hetero")
    model = HuberRegressor(alpha=0).fit(X, y)
    result = bootstrap(model, X, y, 1000)
    sandwich = huber_inference(model, X, y)
    # A standard deviation of 1,000 draws has a standard error of 2.2 %.
    np.testing.assert_allclose(result.bse, sandwich.bse, rtol=0.1)
    limits = np.quantile(result.replicates, [0.05, 0.95], axis=0).T
    np.testing.assert_array_equal(result.conf_int(0.1), limits)
    np.testing.assert_allclose(
        result.cov_params(), np.cov(result.replicates.T), rtol=1e-8
    )


def test_seeds_and_threads(capsys):
    X, y = noisy(20_000, 4)
    model = HuberRegressor(alpha=0).fit(X, y)
    one = bootstrap(model, X, y, 70, n_jobs=1).replicates
    two = bootstrap(model, X, y, 70, n_jobs=2, verbose=True).replicates
    np.testing.assert_array_equal(one, two)
    assert capsys.readouterr().out.endswith("bootstrap: 70 of 70 resamples\n")
    generator = np.random.default_rng(0)
    again = bootstrap(model, X, y, 70, random_state=generator).replicates
    np.testing.assert_array_equal(one, again)
    assert (bootstrap(model, X, y, 70, random_state=1).replicates != one).all()
    legacy = np.random.RandomState(3)
    bootstrap(model, X, y, 2, random_state=legacy)


def test_reads_of_the_data(monkeypatch):
    """32 resamples share a read, and need eight at most."""
    X, y = noisy(10_000, 20)
    X = X / X.std(axis=0)
    model = HuberRegressor(alpha=0).fit(X, y)
    reads = []
    original = _sums.Sample.blocks

    def counted(self, scale):
        reads.append(1)
        return original(self, scale)

    monkeypatch.setattr(_sums.Sample, "blocks", counted)
    bootstrap(model, X, y, 128)
    assert 4 * 3 <= len(reads) <= 4 * 8


def test_sparse_and_dependent_columns():
    X, y = noisy(500)
    model = HuberRegressor(alpha=0).fit(X, y)
    dense = bootstrap(model, X, y)
    sparse = bootstrap(model, sp.csr_matrix(X), y)
    np.testing.assert_allclose(sparse.replicates, dense.replicates, rtol=1e-5)
    doubled = np.column_stack([X, X[:, 1]])
    model = HuberRegressor(alpha=0).fit(doubled, y)
    result = bootstrap(model, doubled, y)
    bse = np.asarray(result.bse)
    np.testing.assert_allclose(bse[[0, 1, 3]], dense.bse.iloc[[0, 1, 3]], rtol=1e-4)
    assert np.isnan(bse[[2, 4]]).all()
    assert np.isnan(np.asarray(result.conf_int())[[2, 4]]).all()
