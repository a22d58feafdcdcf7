"""Fits of groups: those of one HuberRegressor after another, in arrays."""

import numpy as np
import pandas
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

from skhuber import HuberRegressor, OutlierShare, huber_groups

N, P = 240, 3
SIZES = [100, 60, 80]
ORDER = np.random.default_rng(1).permutation(N)


def data(seed=0):
    """X, y, mixed labels in no order, and weights of which some are zero."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, P)) * (rng.random((N, P)) < 0.8)
    group = np.repeat(np.arange(len(SIZES)), SIZES)
    y = (group + 1) * X[:, 0] + rng.standard_t(2.0, N)
    weight = rng.integers(0, 4, N) / 7
    return X[ORDER], y[ORDER], group[ORDER], weight[ORDER]


def one_by_one(X, y, group, weight, **parameters):
    models = []
    for label in np.unique(group):
        own = np.flatnonzero(group == label)
        own_weight = None if weight is None else weight[own]
        models.append(HuberRegressor(**parameters).fit(X[own], y[own], own_weight))
    return models


@pytest.mark.parametrize(
    "convert",
    [np.asarray, np.asfortranarray, sp.csr_array, lambda X: X.astype(np.float32)],
    ids=["C", "F", "CSR", "single"],
)
@pytest.mark.parametrize("has_weights", [False, True], ids=["equal", "weights"])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"scale": "mad", "rho": 2.0},
        {"scale": 1.5, "alpha": 3.0, "fit_intercept": False},
        {"rho": OutlierShare(0.1)},
    ],
    ids=["joint", "mad", "fixed", "share"],
)
def test_the_fits_are_those_of_single_models(convert, has_weights, parameters):
    X, y, group, weight = data()
    X, weight = convert(X), weight if has_weights else None
    fits = huber_groups(X, y, group, sample_weight=weight, **parameters)
    models = one_by_one(X, y, group, weight, **parameters)
    np.testing.assert_array_equal(fits.groups, [0, 1, 2])
    np.testing.assert_array_equal(fits.n_samples, SIZES)
    for name in ("coef", "intercept", "scale", "rho", "objective"):
        found = getattr(fits, f"{name}s")
        expected = [getattr(model, f"{name}_") for model in models]
        assert found.dtype == np.float64
        if name == "coef":
            found = found.astype(X.dtype)
        np.testing.assert_array_equal(found, expected, err_msg=name)
    present = np.ones(N, bool) if weight is None else weight > 0
    for k, model in enumerate(models):
        outliers = model.outliers_ & present[group == k]
        assert fits.n_outliers[k] == outliers.sum()
        assert fits.gaps[k] == model.optimality_gap_
    assert fits.converged.all()


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["north", "south", "west"]),
        np.array(["north", "south", "west"], dtype=object),
        np.array([-7, 0, 12]),
        np.array([0.5, 2.5, 3.5]),
        np.array(["2024-01-01", "2024-01-02", "2025-01-01"], "datetime64[D]"),
    ],
    ids=["strings", "objects", "integers", "floats", "days"],
)
def test_labels(labels):
    X, y, group, _ = data()
    expected = huber_groups(X, y, group)
    found = huber_groups(X, y, labels[group])
    np.testing.assert_array_equal(found.groups, labels)
    np.testing.assert_array_equal(found.coefs, expected.coefs)


def test_groups_of_frames():
    polars = pytest.importorskip("polars")
    X, y, group, _ = data()
    names = np.array(["north", "south", "west"])[group]
    expected = huber_groups(X, y, names)
    columns = {"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "y": y, "region": names}
    for frame in (pandas.DataFrame(columns), polars.DataFrame(columns)):
        found = huber_groups(frame[["a", "b", "c"]], frame["y"], frame["region"])
        np.testing.assert_array_equal(found.groups, ["north", "south", "west"])
        np.testing.assert_array_equal(found.coefs, expected.coefs)


def test_small_groups_and_groups_of_equal_rows_are_fitted_as_single_ones():
    """One row; fewer rows than columns; a column twice."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(53, P))
    X[3:, 2] = X[3:, 1]
    group = np.repeat([0, 1, 2], [1, 2, 50])
    y = X[:, 0] + rng.standard_t(2.0, 53)
    fits = huber_groups(X, y, group, scale=1.0)
    for k, model in enumerate(one_by_one(X, y, group, None, scale=1.0)):
        np.testing.assert_array_equal(fits.coefs[k], model.coef_)
        assert fits.intercepts[k] == model.intercept_


def test_what_is_not_certified_is_one_warning_that_names_the_groups():
    X, y, group, _ = data()
    with pytest.warns(ConvergenceWarning) as caught:
        fits = huber_groups(X, y, np.array(["a", "b", "c"])[group], max_iter=1, tol=0.0)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert "3 of 3 groups (a, b, c) have a fit with a warning" in message
    assert "HuberRegressor did not converge" in message
    assert "max_iter=1)" in message
    assert not fits.converged.any()
    assert np.isfinite(fits.coefs).all()


def test_groups_to_which_a_rule_does_not_apply_are_named():
    X, y, group, _ = data()
    group[np.flatnonzero(group == 1)[3:]] = 0  # three samples are left of it
    with pytest.warns(ConvergenceWarning) as caught:
        fits = huber_groups(X, y, group, rho="adaptive", scale=1.0)
    (message,) = [str(warning.message) for warning in caught]
    assert "1 of 3 groups (1) have a fit with a warning" in message
    assert "rho='adaptive' does not apply" in message
    assert fits.rhos[1] == 1.35
    assert fits.converged.all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: g[:-1], r"groups must be .* shape \(240,\), got shape \(239,\)"),
        (lambda g: np.column_stack([g, g]), r"groups must be .* got shape \(240, 2\)"),
        (lambda g: np.where(g == 1, np.nan, g), "missing value at index"),
        (lambda g: [None if k == 1 else "a" for k in g], "missing value at index"),
        (lambda g: pandas.Series(g, dtype="Int64").mask(g == 1), "missing value"),
    ],
)
def test_bad_groups_are_refused(change, message):
    X, y, group, _ = data()
    with pytest.raises(ValueError, match=message):
        huber_groups(X, y, change(group))


def test_labels_that_cannot_be_sorted_are_refused():
    X, y, group, _ = data()
    labels = np.array(["a", 1, 2.5], dtype=object)[group]
    with pytest.raises(TypeError, match="groups must have labels that can be sorted"):
        huber_groups(X, y, labels)


def test_other_bad_input_is_refused():
    X, y, group, _ = data()
    with pytest.raises(ValueError, match="zeros only in group 1"):
        huber_groups(X, y, group, sample_weight=(group != 1).astype(float))
    with pytest.raises(ValueError, match="rho must be"):
        huber_groups(X, y, group, rho=0.5)
    X[7, 1] = np.nan
    with pytest.raises(ValueError, match="X contains NaN"):
        huber_groups(X, y, group)


@pytest.mark.compiled
def test_many_groups_are_fitted_in_one_compiled_call_each(monkeypatch):
    """A group of 40 × 3 never goes the general way, which takes ten times as long."""
    from skhuber._fit import fit

    monkeypatch.setattr(fit, "_best_attempt", None)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200 * 40, 3))
    y = X.sum(axis=1) + rng.standard_t(3.0, len(X))
    fits = huber_groups(X, y, np.repeat(np.arange(200), 40))
    assert fits.converged.all()
