"""How two fits are compared: in units that make every column matter alike."""

import numpy as np

import naive


def assert_same_fit(one, other, X, tol):
    """The effects of all columns, the fit at the means and the scale agree.

    A coefficient is judged by what it does to a prediction, its column moving by
    one standard deviation, relative to the largest such effect or to the scale.
    """
    X = naive.dense(X)
    width = X.std(axis=0)
    largest = np.max(np.abs(other.coef_) * width, initial=other.scale_)
    np.testing.assert_allclose(
        one.coef_ * width / largest, other.coef_ * width / largest, rtol=0, atol=tol
    )
    middle = [fit.intercept_ + X.mean(axis=0) @ fit.coef_ for fit in (one, other)]
    np.testing.assert_allclose(
        middle[0], middle[1], rtol=tol, atol=tol * float(largest)
    )
    np.testing.assert_allclose(one.scale_, other.scale_, rtol=tol)


def assert_same_bits(one, other):
    """All that a fit found is equal to the last bit."""
    for name in (
        "coef_",
        "intercept_",
        "scale_",
        "outliers_",
        "robust_weights_",
        "objective_",
        "optimality_gap_",
        "n_iter_",
        "n_sweeps_",
    ):
        first, second = np.asarray(getattr(one, name)), getattr(other, name)
        assert first.dtype == np.asarray(second).dtype, name
        np.testing.assert_array_equal(first, second, err_msg=name)


def certificate(fit, X, y, sample_weight=None):
    """The independent relative gap at the point a fit returned."""
    return naive.relative_gap(
        X,
        y,
        fit.coef_,
        fit.intercept_,
        fit.scale_,
        fit.rho_,
        fit.alpha,
        sample_weight,
        fit.fit_intercept,
        joint=fit.scale == "joint",
    )
