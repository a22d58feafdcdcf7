"""Tests of all displays: axes, keywords, bad input, real paths and searches.

Small stand-ins replace most paths and searches; the last section uses the results of
`huber_path` and `HuberRegressorCV`.
"""

import re
import subprocess
import sys

import numpy as np
import pytest
from matplotlib import pyplot as plt
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from displays import (
    DUCK,
    MODEL,
    OBSERVED,
    PREDICTED,
    THREE,
    N,
    X,
    a_net_path,
    a_path,
    a_search,
    inf,
    nan,
    shown_ticks,
    y,
)
from skhuber import (
    HuberElasticNet,
    HuberElasticNetCV,
    HuberRegressor,
    HuberRegressorCV,
    huber_path,
)
from skhuber.inspection import (
    CVRhoDisplay,
    HuberNetPathDisplay,
    HuberPathDisplay,
    HuberResidualsDisplay,
    HuberWeightsDisplay,
)

pytestmark = pytest.mark.usefixtures("closed_figures")


# --- all displays ---------------------------------------------------------------------

GOOD_ARGUMENTS = {
    HuberResidualsDisplay: {
        "y_pred": [1.0, 2.0],
        "residuals": [3.0, 4.0],
        "threshold": 1.0,
    },
    HuberWeightsDisplay: {"weights": [1.0, 0.5]},
    HuberPathDisplay: {
        "rhos": [1.5, 2.0],
        "coefs": [[1.0], [2.0]],
        "scales": [1.0, 2.0],
        "outlier_shares": [0.5, 0.4],
    },
    HuberNetPathDisplay: {"alphas": [1.0, 0.5], "coefs": [[0.0], [2.0]]},
    CVRhoDisplay: {"rhos": [1.5, 2.0], "scores": [1.0, 2.0]},
}
FIVE = {"y_true": OBSERVED, "y_pred": PREDICTED, "threshold": 2.0}
# Each way to draw something, with what it needs.
WAYS = [
    *((display, "plot", {}) for display in GOOD_ARGUMENTS),
    (HuberResidualsDisplay, "from_estimator", {"estimator": MODEL, "X": X, "y": y}),
    (HuberResidualsDisplay, "from_predictions", FIVE),
    (HuberWeightsDisplay, "from_estimator", {"estimator": MODEL}),
    (HuberWeightsDisplay, "from_predictions", FIVE),
    (HuberPathDisplay, "from_path", {"path": a_path()}),
    (HuberPathDisplay, "from_estimator", {"estimator": MODEL, "X": X, "y": y}),
    (HuberNetPathDisplay, "from_path", {"path": a_net_path()}),
    (
        HuberNetPathDisplay,
        "from_estimator",
        {"estimator": HuberElasticNet(), "X": X, "y": y},
    ),
    (CVRhoDisplay, "from_estimator", {"estimator": THREE}),
]
each_way = pytest.mark.parametrize(("display", "way", "needed"), WAYS)


def draw(display, way, needed, **given):
    made = display(**GOOD_ARGUMENTS[display]) if way == "plot" else display
    return getattr(made, way)(**needed, **given)


def refused(kind, message, call, *args, **kwargs):
    with pytest.raises(kind, match=message):
        call(*args, **kwargs)
    assert plt.get_fignums() == []


@each_way
def test_new_or_given_axes_are_drawn_on(display, way, needed, called_with):
    made = draw(display, way, needed)
    assert type(made) is display
    assert plt.get_fignums() == [made.figure_.number]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
    plt.figure()
    made = draw(display, way, needed, ax=left)
    assert len(plt.get_fignums()) == 3
    assert made.figure_ is figure
    assert left is (made.bounding_ax_ if display is HuberPathDisplay else made.ax_)
    assert not right.has_data()
    assert made.plot() is made
    assert made.figure_ is not figure


KEYWORDS = {HuberResidualsDisplay: "scatter_kwargs", CVRhoDisplay: "errorbar_kwargs"}


@each_way
def test_what_every_way_refuses(display, way, needed, called_with, monkeypatch):
    name = KEYWORDS.get(display, "line_kwargs")
    for given, message in [
        ({"ax": 3}, "ax must be None or matplotlib Axes, got 3"),
        ({name: "red"}, f"{name} must be None or a dict of keywords, got 'red'"),
        ({name: {"lw": 1.0, "linewidth": 1.0}}, f"{name} is not valid. "),
    ]:
        refused(TypeError, re.escape(message), draw, display, way, needed, **given)

    called_with.clear()
    message = (
        f"{display.__name__}.{way} needs matplotlib, which cannot be imported. Install "
        "it with: pip install matplotlib"
    )
    for missing in ("matplotlib.pyplot", "matplotlib"):
        monkeypatch.setitem(sys.modules, missing, None)
        refused(ImportError, re.escape(message), draw, display, way, needed)
    assert not called_with  # no path is computed in vain


def test_the_import_loads_neither_matplotlib_nor_numba():
    program = (
        "import sys, skhuber.inspection as i\n"
        "i.HuberResidualsDisplay(y_pred=[1.0], residuals=[2.0], threshold=1.0)\n"
        "found = {'matplotlib', 'numba', 'skhuber._fit'} & set(sys.modules)\n"
        "print(sorted(found))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    assert result.stdout.strip() == "[]"


# --- bad input ------------------------------------------------------------------------

BAD_ARGUMENTS = {
    HuberResidualsDisplay: [
        ("y_pred", [1.0], "y_pred and residuals.*samples, got 1 and 2"),
        ("residuals", [1.0, nan], "residuals.*NaN"),
        ("threshold", 0.0, "threshold must be.*> 0, got 0.0"),
        ("labels", ["a"], "labels.*each sample, 2.*got 1"),
        ("labels", "ab", "labels must be.*got 'ab'"),
        ("labels", 3, "labels must be.*got 3"),
    ],
    HuberWeightsDisplay: [
        ("weights", [1.0, 1.5], "weights.*0 to 1, got 1.5"),
        ("weights", [-0.5, 1.0], "weights.*0 to 1, got -0.5"),
        ("weights", [], "weights.*at least one"),
        ("weights", 1.0, "weights.*one dimension"),
        ("name", 3, "name must be None or a string, got 3"),
    ],
    HuberPathDisplay: [
        ("rhos", [0.0, 2.0], "rhos must be numbers > 0, got 0.0"),
        ("rhos", [nan, 2.0], "rhos must be numbers > 0, got nan"),
        ("coefs", [1.0, 2.0], r"coefs.*two dimensions.*\(2,\)"),
        ("coefs", [[1.0]], "rhos and coefs.*values, got 2 and 1"),
        ("scales", [1.0], "rhos and scales.*got 2 and 1"),
        ("scales", [1.0, inf], "scales.*infinity"),
        ("outlier_shares", [0.1], "outlier_shares.*got 2 and 1"),
        ("feature_names", ["a", "b"], "feature_names.*each feature, 1.*got 2"),
        ("rho", 0.0, "rho must be None or a number > 0, got 0.0"),
        ("rho", "auto", "rho must be None or.*got 'auto'"),
    ],
    HuberNetPathDisplay: [
        ("alphas", [0.0, 2.0], "alphas must be numbers > 0, got 0.0"),
        ("alphas", [inf, 2.0], "alphas.*infinity"),
        ("coefs", [1.0, 2.0], r"coefs.*two dimensions.*\(2,\)"),
        ("coefs", [[1.0]], "alphas and coefs.*values, got 2 and 1"),
        ("feature_names", ["a", "b"], "feature_names.*each feature, 1.*got 2"),
        ("alpha", 0.0, "alpha must be None or a number > 0, got 0.0"),
        ("alpha", "1se", "alpha must be None or.*got '1se'"),
    ],
    CVRhoDisplay: [
        ("rhos", [-1.0, 2.0], "rhos must be numbers > 0, got -1.0"),
        ("scores", [1.0], "rhos and scores.*got 2 and 1"),
        ("errors", [1.0], "rhos and errors.*got 2 and 1"),
        ("errors", [1.0, -2.0], "errors must be.*>= 0, got -2.0"),
        ("lines", ["a"], "lines.*each candidate, 2.*got 1"),
        ("chosen_rho", 0.0, "chosen_rho must be None or.*got 0.0"),
        ("chosen_score", nan, "chosen_score must be None or.*got nan"),
        ("caption", 3, "caption must be None or a string, got 3"),
    ],
}


@pytest.mark.parametrize("display", BAD_ARGUMENTS)
def test_bad_arguments(display):
    for name, value, message in BAD_ARGUMENTS[display]:
        arguments = GOOD_ARGUMENTS[display] | {name: value}
        refused((TypeError, ValueError), message, display, **arguments)


each_estimator_display = pytest.mark.parametrize(
    "display", [HuberResidualsDisplay, HuberWeightsDisplay]
)


@each_estimator_display
def test_bad_predictions(display):
    for bad, kind, message in [
        ({"threshold": 0}, ValueError, r"threshold must be a number > 0, got 0"),
        ({"threshold": nan}, ValueError, r"threshold must be a number > 0, got nan"),
        ({"threshold": "2"}, TypeError, r"threshold must be a number > 0, got '2'"),
        ({"threshold": True}, TypeError, r"threshold must be a number > 0, got True"),
        ({"y_true": OBSERVED[:4]}, ValueError, r"y_true and y_pred.*got 4 and 5"),
        ({"y_true": [[1.0, 2.0]] * 5}, ValueError, r"y_true.*shape \(5, 2\)"),
        ({"y_true": [1, 2, 3, 4, nan]}, ValueError, r"y_true.*NaN"),
        ({"y_pred": [1, 2, 3, 4, inf]}, ValueError, r"y_pred.*infinity"),
        ({"y_pred": list("abcde")}, ValueError, r"y_pred"),
        ({"y_pred": None}, (TypeError, ValueError), r"y_pred"),
        ({"y_true": [], "y_pred": []}, ValueError, r"y_true.*at least one"),
    ]:
        refused(kind, message, display.from_predictions, **(FIVE | bad))


@each_estimator_display
def test_estimators_without_a_threshold(display):
    for model in [HuberRegressor(), make_pipeline(StandardScaler(), HuberRegressor())]:
        refused(NotFittedError, "HuberRegressor", display.from_estimator, model, X, y)
    for model in [
        LinearRegression().fit(X, y),
        make_pipeline(LinearRegression()).fit(X, y),
        TransformedTargetRegressor(HuberRegressor()).fit(X, y),
        HuberRegressor,
        "huber",
        None,
    ]:
        message = (
            r"(?s)^estimator must be a fitted HuberRegressor, a pipeline .* rho_ and "
            rf"scale_, got {re.escape(repr(model))}"
        )
        refused(TypeError, message, display.from_estimator, model, X, y)


@each_estimator_display
def test_data_that_do_not_fit(display):
    for features, target, message in [
        (X[:, :2], y, r"\bX\b.*2 features"),
        (X, y[:-1], rf"\by\b.*{N} in X and {N - 1} in y"),
        (X, np.append(y[:-1], nan), r"\by\b.*NaN"),
        (X, np.column_stack([y, y]), r"\by\b"),
        ("X", y, r"\bX\b"),
        (X, None, r"\by\b.*None"),
    ]:
        refused(ValueError, message, display.from_estimator, MODEL, features, target)


def test_weights_need_both_features_and_target_or_those_of_the_fit():
    draw = HuberWeightsDisplay.from_estimator
    together = "X and y must be given together or not at all, got"
    refused(ValueError, f"{together} X and y=None", draw, MODEL, X)
    refused(ValueError, f"{together} y and X=None", draw, MODEL, y=y)
    refused(TypeError, r"estimator.*robust_weights_.*X and y", draw, DUCK)


def test_bad_numbers_of_labels():
    draw = HuberResidualsDisplay.from_predictions
    for n, kind in [(-1, ValueError), (1.5, TypeError), (True, TypeError)]:
        message = f"n_labels must be an integer >= 0, got {n!r}"
        refused(kind, message, draw, **FIVE, n_labels=n)


def test_bad_paths():
    draw = HuberPathDisplay.from_path
    for path in [None, (1, 2), MODEL]:
        message = rf"path must be a HuberPath.*got {re.escape(repr(path))}"
        refused(TypeError, message, draw, path)
    for k, kind, message in [
        (2, ValueError, "an integer from 0 to 1, as path has 2 alphas, got 2"),
        (-1, ValueError, "an integer >= 0, got -1"),
        (0.0, TypeError, "an integer >= 0, got 0.0"),
    ]:
        message = f"alpha_index must be {message}"
        refused(kind, message, draw, a_path(), alpha_index=k)


def test_estimators_that_have_no_path(called_with):
    draw = HuberPathDisplay.from_estimator
    for model in [
        LinearRegression(),
        make_pipeline(StandardScaler(), LinearRegression()).fit(X, y),
        None,
    ]:
        message = rf"(?s)estimator must be a HuberRegressor, .*{re.escape(repr(model))}"
        refused(TypeError, message, draw, model, X, y)
    for model in [
        HuberRegressorCV([1.2, 2.0]),
        make_pipeline(StandardScaler(), HuberRegressor()),
        make_pipeline(FunctionTransformer(), HuberRegressor()),
    ]:
        refused(NotFittedError, "is not fitted yet", draw, model, X, y)
    assert not called_with


def test_elastic_nets_that_have_to_be_fitted(called_with):
    draw = HuberNetPathDisplay.from_estimator
    for model in [
        HuberElasticNetCV(),
        make_pipeline(StandardScaler(), HuberElasticNet()),
        make_pipeline(FunctionTransformer(), HuberElasticNetCV()),
    ]:
        refused(NotFittedError, "is not fitted yet", draw, model, X, y)
    assert not called_with


def test_searches_that_cannot_be_drawn():
    draw = CVRhoDisplay.from_estimator
    for model in [MODEL, make_pipeline(MODEL), None, "search"]:
        message = r"(?s)estimator must be a fitted HuberRegressorCV.*cv_results_, got "
        refused(TypeError, message + re.escape(repr(model)), draw, model)
    search = GridSearchCV(
        HuberRegressor(), {"rho": [1.5]}, scoring=["r2", "neg_max_error"], refit="r2"
    )
    refused(NotFittedError, "GridSearchCV", draw, search)
    refused(TypeError, "(?s)estimator.*one metric", draw, search.fit(X, y))
    for candidate, message in [
        ({"alpha": 0.1}, "over one parameter rho.*got a search over alpha"),
        ({}, "over one parameter rho.*got a search over no parameter"),
        ({"a__rho": 2.0, "b__rho": 2.0}, "over one parameter.*over a__rho, b__rho"),
        ({"rho": "auto"}, "over at least one rho that is a number > 0, got 'auto'"),
    ]:
        search = a_search([candidate], [1.0], [0.0], best=0)
        refused(ValueError, f"estimator must have searched {message}", draw, search)


def test_unknown_error_bars():
    for std in ["error", 1.0, True]:
        message = f"std must be 'standard_error' or 'standard_deviation', got {std!r}"
        refused(ValueError, message, CVRhoDisplay.from_estimator, THREE, std=std)


# --- with what makes paths and searches -----------------------------------------------


def test_the_path_of_huber_path():
    path = huber_path(X, y, rhos=[1.2, 2.0, inf], alphas=[0.1, 10.0])
    display = HuberPathDisplay.from_path(path, alpha_index=1, rho=1.35)
    assert_array_equal(display.scale_line_.get_ydata(), path.scales[:, 1])
    for j, line in enumerate(display.coef_lines_):
        assert_array_equal(line.get_ydata(), path.coefs[:, 1, j])
    assert shown_ticks(display.axes_[2].xaxis)[-1] == "∞"


@pytest.mark.parametrize("scale", ["joint", 2.0])
def test_the_path_of_an_estimator_goes_through_its_fit(scale):
    model = HuberRegressor(rho=1.5, scale=scale, alpha=0.5).fit(X, y)
    display = HuberPathDisplay.from_estimator(model, X, y, rhos=[1.2, 1.5, 3.0])
    assert_allclose(display.coefs[1], model.coef_, rtol=1e-5)
    assert_allclose(display.scales[1], model.scale_, rtol=1e-5)
    assert_allclose(display.outlier_shares[1], model.outliers_.mean(), rtol=1e-9)
    assert display.rho == 1.5


def test_the_path_with_weights_is_that_of_repeated_samples():
    draw = HuberPathDisplay.from_estimator
    counts = np.arange(N) % 3
    weighted = draw(MODEL, X, y, rhos=[1.35, 2.0], sample_weight=counts)
    repeated = draw(MODEL, X.repeat(counts, 0), y.repeat(counts), rhos=[1.35, 2.0])
    assert_allclose(weighted.coefs, repeated.coefs, rtol=1e-5)
    assert_allclose(weighted.outlier_shares, repeated.outlier_shares, rtol=1e-9)


def test_a_huber_regressor_cv_can_be_drawn_by_all():
    search = HuberRegressorCV(rhos=[1.2, 2.0, 8.0], alphas=[0.01, 10.0], cv=3)
    model = make_pipeline(StandardScaler(), search).fit(X, y)
    search = model[-1]
    scores = CVRhoDisplay.from_estimator(model)
    found = [bars.lines[0].get_ydata() for bars in scores.errorbars_]
    means = search.cv_results_["mean_test_score"]
    assert np.shape(found) == (2, 3)
    assert_array_equal(np.sort(np.ravel(found)), np.sort(means))
    assert scores.chosen_rho == search.rho_
    assert scores.chosen_score == search.best_score_
    path = HuberPathDisplay.from_estimator(model, X, y, rhos=[1.2, search.rho_])
    assert_allclose(path.coefs[1], search.coef_, rtol=1e-5)
    assert path.rho == search.rho_
    residuals = HuberResidualsDisplay.from_estimator(model, X, y)
    assert residuals.threshold == search.rho_ * search.scale_
    weights = HuberWeightsDisplay.from_estimator(model)
    assert_array_equal(weights.weights, search.robust_weights_)
    assert_allclose(residuals.weights, weights.weights, rtol=1e-9)
