"""Single precision where it can hold the model, and dates, which are no numbers."""

import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

import problems
from skhuber import (
    HuberRegressor,
    HuberRegressorCV,
    d2_huber_score,
    huber_path,
    mean_huber_error,
)
from skhuber.inspection import HuberResidualsDisplay

N = 100
X, Y = problems.plain(N, 3)[:2]

# Units of X and y with which the model does not fit into single precision.
UNITS = [(1e-27, 1e12), (1e-40, 1.0), (1.0, 1e60), (1e30, 1e-20), (1e-20, 1e-50)]


@pytest.mark.parametrize("layout", [np.asarray, np.asfortranarray, sp.csr_array])
@pytest.mark.parametrize(("unit", "unit_y"), UNITS)
def test_what_single_precision_cannot_hold_is_in_double_precision(unit, unit_y, layout):
    Z = (X * unit).astype(np.float32)
    single = HuberRegressor(alpha=0).fit(layout(Z), Y * unit_y)
    double = HuberRegressor(alpha=0).fit(Z.astype(np.float64), Y * unit_y)
    assert single.coef_.dtype == np.float64
    predicted = single.predict(layout(Z))
    assert predicted.dtype == np.float64
    np.testing.assert_allclose(
        predicted / unit_y,
        double.predict(Z.astype(np.float64)) / unit_y,
        rtol=1e-5,
        atol=1e-5,
    )


def test_what_single_precision_can_hold_is_in_it():
    Z = X.astype(np.float32)
    for unit_y in (1.0, 1e30, 1e-30):
        model = HuberRegressor(alpha=0).fit(Z, Y * unit_y)
        assert model.coef_.dtype == model.predict(Z).dtype == np.float32
        assert model.robust_weights_.dtype == np.float32
    # A column that says nothing has a coefficient of zero, which has any type.
    model = HuberRegressor().fit(np.hstack([Z, np.zeros_like(Z)]), Y)
    assert model.coef_.dtype == np.float32


def test_predictions_that_overflow_in_single_precision():
    model = HuberRegressor(alpha=0).fit(X.astype(np.float32), Y * 1e30)
    assert model.coef_.dtype == np.float32
    far = np.full((2, 3), 1e20, dtype=np.float32)
    expected = far.astype(np.float64) @ model.coef_.astype(np.float64)
    for samples in (far, sp.csr_array(far)):
        np.testing.assert_allclose(model.predict(samples), expected, rtol=1e-6)


def test_a_search_in_double_precision_where_that_is_needed():
    Z = (X * 1e-27).astype(np.float32)
    model = HuberRegressorCV([1.35, 3.0], alphas=[0.0], cv=3).fit(Z, Y * 1e12)
    usual = HuberRegressorCV([1.35, 3.0], alphas=[0.0], cv=3).fit(X, Y)
    np.testing.assert_allclose(
        model.cv_results_["mean_test_score"] / 1e24,
        usual.cv_results_["mean_test_score"],
        rtol=1e-5,
    )
    assert model.coef_.dtype == np.float64
    assert np.isfinite(model.predict(Z)).all()
    path = huber_path(Z, Y * 1e12, rhos=[1.35], alphas=[0.0])
    np.testing.assert_allclose(path.coefs[0, 0] * 1e-39, usual.coef_, rtol=0.5)
    assert path.coefs.dtype == np.float64


def test_callbacks_get_coefficients_as_the_model_has_them():
    pytest.importorskip("sklearn.callback")
    seen = []

    class Recorder:
        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context, *, fitted_estimator):
            seen.append(fitted_estimator.coef_)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        HuberRegressor(alpha=0).set_callbacks(Recorder()).fit(
            (X * 1e-27).astype(np.float32), Y * 1e12
        )
    assert seen
    assert all(np.isfinite(coef).all() for coef in seen)


# --- dates and durations ----------------------------------------------------------

TIMES = pd.Series(pd.to_timedelta(np.arange(N) * 60, unit="s"))
DATES = pd.Series(pd.to_datetime("2020-01-01") + TIMES)
WITHOUT_ONE = TIMES.copy()
WITHOUT_ONE[5] = pd.NaT
NO_DATE = DATES.copy()
NO_DATE[5] = pd.NaT

AS_TARGET = {
    "durations": TIMES,
    "dates": DATES,
    "missing": WITHOUT_ONE,
    "array": TIMES.to_numpy(),
    "list": list(TIMES.to_numpy()),
    "frame": TIMES.to_frame(),
    "polars": pl.Series(TIMES.to_numpy()),
}


def refused(name, error, call, *arguments, **keywords):
    with pytest.raises(error, match=r"dates|NaT") as caught:
        call(*arguments, **keywords)
    assert re.search(rf"\b{name}\b", str(caught.value))


@pytest.mark.parametrize("case", AS_TARGET)
def test_dates_are_no_targets(case):
    values = AS_TARGET[case]
    for estimator in (HuberRegressor(), HuberRegressorCV([1.35])):
        before = vars(estimator).copy()
        refused("y", TypeError, estimator.fit, X, values)
        assert vars(estimator) == before
    refused("sample_weight", TypeError, HuberRegressor().fit, X, Y, values)
    for metric in (mean_huber_error, d2_huber_score):
        refused("y_true", TypeError, metric, values, Y)
        refused("y_pred", TypeError, metric, Y, values)
    draw = HuberResidualsDisplay.from_predictions
    refused("y_true", TypeError, draw, values, Y, threshold=1.0)


@pytest.mark.parametrize(
    "features",
    [
        WITHOUT_ONE.to_frame(),
        NO_DATE.to_frame(),
        NO_DATE.dt.tz_localize("UTC").to_frame(),
        WITHOUT_ONE.to_numpy()[:, np.newaxis],
        pl.DataFrame({"a": WITHOUT_ONE.to_numpy()}),
    ],
    ids=["durations", "dates", "with time zone", "array", "polars"],
)
def test_missing_dates_are_no_features(features):
    refused("X", ValueError, HuberRegressor().fit, features, Y)
    model = HuberRegressor().fit(np.arange(N)[:, np.newaxis], Y)
    refused("X", ValueError, model.predict, features)


def test_durations_are_features():
    seconds = np.arange(N)[:, np.newaxis] * 60.0
    expected = HuberRegressor(alpha=0).fit(seconds, Y)
    model = HuberRegressor(alpha=0).fit(TIMES.to_frame(), Y)
    np.testing.assert_allclose(
        model.predict(TIMES.to_frame()), expected.predict(seconds), rtol=1e-6
    )
