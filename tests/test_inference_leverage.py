"""The leverage report."""

import numpy as np
import pandas as pd
import pytest

import naive_inference
from inference_data import REFERENCES, RHO, SETS, load, noisy
from skhuber import HuberRegressor
from skhuber.inference import huber_inference

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*within the threshold.*:skhuber.inference.InferenceWarning"
)


def report_of(name, kind="mad"):
    X, y = load(name)
    model = HuberRegressor(RHO[kind], scale=kind, alpha=0).fit(X, y)
    return huber_inference(model, X, y).leverage_report(X, y)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("kind", list(RHO))
def test_hat_and_cook(name, kind):
    report = report_of(name, kind)
    exact = REFERENCES[name][kind]
    np.testing.assert_allclose(report.cook, exact["cook"], rtol=1e-8)
    if kind == "mad":
        np.testing.assert_allclose(report.hat, exact["h_psi"], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("kind", list(RHO))
def test_hbk(kind):
    """Rows 1 to 10 are bad leverage, 11 to 14 good; Huber residuals say otherwise."""
    report = report_of("hbk", kind)
    assert list(report.rows("bad leverage")) == list(range(10))
    assert list(report.rows("good leverage")) == [10, 11, 12, 13]
    assert (np.abs(report.residual[:10]) < np.abs(report.residual[10:14]).min()).all()
    assert "bad leverage: 10 rows: 0, 1, 2" in str(report)


def test_robust_distances_find_what_hat_values_do_not():
    """Rows 4, 6, 8 and 19 of wood, counted from one, were made outliers."""
    report = report_of("wood")
    assert {3, 5, 7, 18} <= set(report.rows("bad leverage"))
    assert not (report.hat > report.hat_cutoffs[1]).any()


def test_deletion_formula():
    """The residual without the row, by leaving it out while inliers stay inliers."""
    X, y = load("delivery")
    model = HuberRegressor(1.345, scale="mad", alpha=0).fit(X, y)
    report = huber_inference(model, X, y).leverage_report(X, y)
    A, _ = naive_inference.rows(X)
    inside = ~model.outliers_
    W = A[inside].T @ A[inside]
    c = np.clip(y - model.predict(X), -1.345 * model.scale_, 1.345 * model.scale_)
    for i in np.flatnonzero(inside)[:5]:
        without = W - np.outer(A[i], A[i])
        change = -np.linalg.solve(without, A[i] * c[i])
        h = report.hat[i]
        assert A[i] @ change == pytest.approx(-c[i] * h / (1 - h), rel=1e-9)


def test_codes_are_left_out():
    X, y = noisy()
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    frame["group"] = np.arange(len(y)) % 3
    frame["rare"] = np.where(np.arange(len(y)) % 9 == 0, X[:, 0], 0.0)
    model = HuberRegressor(alpha=0).fit(frame, y)
    result = huber_inference(model, frame, y)
    report = result.leverage_report(frame, y)
    assert report.columns == ("a", "b", "c")
    assert report.left_out == ("group", "rare")
    chosen = result.leverage_report(frame, y, columns=["a", 1])
    assert chosen.columns == ("a", "b")
    assert list(report.to_frame()["kind"]) == list(report.kind)
    with pytest.raises(ValueError, match="columns must be"):
        result.leverage_report(frame, y, columns=["z"])


def test_no_distances_where_columns_lie_in_a_plane():
    X, y = noisy(100, 2)
    X = np.column_stack([X, X[:, 0] + X[:, 1]])
    model = HuberRegressor(alpha=0).fit(X, y)
    report = huber_inference(model, X, y).leverage_report(X, y)
    assert np.isnan(report.robust_distance).all()
    assert "not available for x0, x1, x2" in report.note
    dummies = np.eye(3)[np.arange(100) % 3][:, :2]
    model = HuberRegressor(alpha=0).fit(dummies, y)
    report = huber_inference(model, dummies, y).leverage_report(dummies, y)
    assert "no column is continuous" in report.note
    assert set(report.kind) <= {"regular", "vertical outlier"}


def test_other_data_are_refused():
    X, y = noisy()
    result = huber_inference(HuberRegressor(alpha=0).fit(X, y), X, y)
    for other in [(X[:-1], y[:-1]), (X, y + 5.0)]:
        with pytest.raises(ValueError, match="those that huber_inference was given"):
            result.leverage_report(*other)


def test_weights_count_rows():
    X, y = noisy()
    weight = 1.0 + np.arange(len(y)) % 3
    index = np.repeat(np.arange(len(y)), weight.astype(int))
    model = HuberRegressor(alpha=0).fit(X, y, weight)
    result = huber_inference(model, X, y, sample_weight=weight)
    report = result.leverage_report(X, y, weight)
    repeated = huber_inference(model, X[index], y[index])
    repeated = repeated.leverage_report(X[index], y[index])
    np.testing.assert_allclose(report.hat[index], repeated.hat, rtol=1e-8, atol=1e-14)
    np.testing.assert_allclose(report.cook[index], repeated.cook, rtol=1e-8)
