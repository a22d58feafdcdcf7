"""Inference beside the libraries that people use with it."""

import numpy as np
import pandas as pd
from crepes import WrapRegressor
from formulaic import model_matrix
from mapie.regression import SplitConformalRegressor

from inference_data import noisy
from skhuber import HuberRegressor
from skhuber.inference import huber_inference


def split():
    X, y = noisy(1500)
    return (X[:500], y[:500]), (X[500:1000], y[500:1000]), (X[1000:], y[1000:])


def test_mapie():
    """Conformal intervals about a fitted model cover, and are as wide as ours."""
    train, calibration, test = split()
    model = HuberRegressor(alpha=0).fit(*train)
    conformal = SplitConformalRegressor(model, confidence_level=0.9, prefit=True)
    conformal.conformalize(*calibration)
    _, intervals = conformal.predict_interval(test[0])
    lower, upper = intervals[:, 0, 0], intervals[:, 1, 0]
    # 500 rows and 500 more of calibration: a share has a standard error of 1.9 %.
    assert abs(np.mean((lower <= test[1]) & (test[1] <= upper)) - 0.9) < 0.05
    ours = huber_inference(model, *train).predict(test[0], "prediction", 0.9)
    np.testing.assert_allclose(
        np.mean(ours.upper - ours.lower), np.mean(upper - lower), rtol=0.15
    )


def test_crepes():
    train, calibration, test = split()
    model = WrapRegressor(HuberRegressor(alpha=0))
    model.fit(*train)
    model.calibrate(*calibration)
    lower, upper = model.predict_int(test[0], confidence=0.9).T
    assert abs(np.mean((lower <= test[1]) & (test[1] <= upper)) - 0.9) < 0.05


def test_formulaic():
    """A formula's columns, its names, and a factor among them."""
    X, y = noisy()
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    frame["group"] = np.array(["u", "v", "w"])[np.arange(len(y)) % 3]
    frame["y"] = y + 3.0 * (frame["group"] == "v")
    target, matrix = model_matrix("y ~ a * b + group", frame)
    matrix = pd.DataFrame(matrix).drop(columns="Intercept")
    target = target["y"].to_numpy()
    model = HuberRegressor(alpha=0).fit(matrix, target)
    result = huber_inference(model, matrix, target)
    assert result.names == ("const", "a", "b", "group[T.v]", "group[T.w]", "a:b")
    assert result.pvalues["group[T.v]"] < 1e-10
    assert result.wald_test(["group[T.v]", "group[T.w]"]).df_num == 2


def test_frame_is_styled():
    X, y = noisy()
    result = huber_inference(HuberRegressor(alpha=0).fit(X, y), X, y)
    page = result.summary_frame().reset_index().to_html(float_format="{:.3f}".format)
    assert f"{result.bse['x0']:.3f}" in page
