"""Tests of what the displays of residuals and of weights draw."""

from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from matplotlib.colors import to_hex
from matplotlib.text import Text
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from displays import (
    DUCK,
    FAR,
    MODEL,
    OBSERVED,
    PIPELINE,
    POINTS,
    PREDICTED,
    THRESHOLD,
    N,
    X,
    at,
    drawn,
    heights,
    inf,
    legend_texts,
    none_overlap,
    texts,
    y,
)
from skhuber import HuberRegressor
from skhuber.inspection import HuberResidualsDisplay, HuberWeightsDisplay

pytestmark = pytest.mark.usefixtures("closed_figures")


# --- residuals ----------------------------------------------------------------------


def test_residuals_are_drawn_against_fitted_values_in_the_colour_of_their_weights():
    display = drawn(HuberResidualsDisplay.from_estimator(MODEL, X, y))
    scatter = display.scatter_
    assert_allclose(scatter.get_offsets(), POINTS, rtol=1e-12)
    assert_allclose(scatter.get_array(), MODEL.robust_weights_, rtol=1e-9)
    assert_array_equal(scatter.get_array() < 1, MODEL.outliers_)
    assert scatter.get_clim() == (0.0, 1.0)
    assert scatter.get_cmap().name == "viridis"
    assert display.colorbar_.mappable is scatter
    assert display.colorbar_.ax.get_ylabel() == "robust weight"
    assert display.ax_.get_xlabel() == "fitted value (unit of target)"
    assert display.ax_.get_ylabel() == "residual (unit of target)"


def test_the_band_ends_at_the_threshold():
    display = HuberResidualsDisplay.from_estimator(MODEL, X, y)
    assert display.threshold == THRESHOLD
    assert [at(line) for line in display.threshold_lines_] == [-THRESHOLD, THRESHOLD]
    assert_allclose(heights(display.band_), [-THRESHOLD, THRESHOLD])
    assert at(display.zero_line_) == 0.0
    lines = [f"threshold, ±{THRESHOLD:.3g}", "residual of zero"]
    assert legend_texts(display.ax_) == lines


def test_an_infinite_threshold_has_no_band_and_no_outliers():
    ridge = HuberRegressor(rho=inf).fit(X, y)
    display = drawn(HuberResidualsDisplay.from_estimator(ridge, X, y))
    assert display.threshold == inf
    assert display.band_ is None
    assert display.threshold_lines_ == []
    assert display.annotations_ == []
    assert_array_equal(display.scatter_.get_array(), np.ones(N))
    assert legend_texts(display.ax_) == ["residual of zero"]


def test_residuals_of_predictions():
    display = HuberResidualsDisplay.from_predictions(
        OBSERVED[:, None], PREDICTED, threshold=4.0
    )
    residuals = [0.0, -1.0, 4.0, -8.0, -0.5]
    points = np.column_stack([PREDICTED, residuals])
    assert_array_equal(display.scatter_.get_offsets(), points)
    assert_array_equal(display.weights, [1.0, 1.0, 1.0, 0.5, 1.0])
    assert_array_equal(display.scatter_.get_array(), display.weights)
    assert [at(line) for line in display.threshold_lines_] == [-4.0, 4.0]
    # 4 itself is not beyond 4.
    assert texts(display.annotations_) == ["3"]


def test_what_ends_in_a_huber_regressor_or_has_its_threshold_is_drawn():
    nested = make_pipeline(FunctionTransformer(), PIPELINE)
    for model in (PIPELINE, nested):
        display = HuberResidualsDisplay.from_estimator(model, X, y)
        assert display.threshold == PIPELINE[-1].rho_ * PIPELINE[-1].scale_
        assert_allclose(display.weights, PIPELINE[-1].robust_weights_, rtol=1e-9)
    display = HuberResidualsDisplay.from_estimator(DUCK, [[1.0], [2.0]], [1.0, -12.0])
    assert display.threshold == 6.0
    assert_array_equal(display.weights, [1.0, 0.5])


def test_the_farthest_outliers_are_labelled():
    display = HuberResidualsDisplay.from_estimator(MODEL, X, y)
    for given, n in [({}, 5), ({"n_labels": 0}, 0), ({"n_labels": 7}, 7)]:
        display.plot(**given)
        assert texts(display.annotations_) == [str(i) for i in FAR[:n]]
        places = [annotation.xy for annotation in display.annotations_]
        assert_allclose(np.reshape(places, (-1, 2)), POINTS[FAR[:n]], rtol=1e-12)


NAMES = [f"row {i}" for i in range(N)]


@pytest.mark.parametrize(
    ("features", "target", "labels"),
    [
        (pd.DataFrame(X, NAMES), pd.Series(y), ["row 41", "row 7"]),
        (sp.csr_array(X), pd.Series(y, NAMES), ["row 41", "row 7"]),
        (pl.DataFrame(X), pl.Series(y), ["41", "7"]),
    ],
    ids=["X", "y", "none"],
)
def test_labels_are_those_of_a_pandas_index_or_else_positions(features, target, labels):
    model = SimpleNamespace(rho_=1.0, scale_=THRESHOLD, predict=lambda X: POINTS[:, 0])
    display = HuberResidualsDisplay.from_estimator(model, features, target, n_labels=2)
    assert texts(display.annotations_) == labels


def test_labels_of_predictions_are_those_of_a_pandas_index():
    levels = pd.MultiIndex.from_product([["a"], range(5)])
    for y_true, y_pred, label in [
        (pd.Series(OBSERVED, list("abcde")), pd.Series(PREDICTED), "d"),
        (OBSERVED, pd.Series(PREDICTED, list("abcde")), "d"),
        (pd.Series(OBSERVED, levels), PREDICTED, "('a', 3)"),
    ]:
        draw = HuberResidualsDisplay.from_predictions
        display = draw(y_true, y_pred, threshold=4.0)
        assert texts(display.annotations_) == [label]


def label_boxes(display):
    # Of the text alone, without the line to its point.
    return [Text.get_window_extent(label) for label in drawn(display).annotations_]


@pytest.mark.parametrize("length", [1, 12])
def test_labels_cover_neither_each_other_nor_labelled_points(length):
    display = HuberResidualsDisplay(
        y_pred=np.concatenate([np.linspace(0, 10, 50), np.full(5, 8.0), [1.0, 1.5]]),
        residuals=np.concatenate([np.zeros(50), 20 + 0.1 * np.arange(5), [10, 10]]),
        threshold=1.0,
        labels=["n" * length] * 57,
    ).plot(n_labels=7)
    boxes = label_boxes(display)
    assert len(boxes) == 7
    assert none_overlap(boxes)
    points = [label.xy for label in display.annotations_]
    points = display.ax_.transData.transform(points)
    assert not any(box.contains(*point) for box in boxes for point in points)


def test_labels_stay_within_the_axes():
    display = HuberResidualsDisplay(
        y_pred=[0.0, 5.0, 10.0],
        residuals=[30.0, 0.0, -20.0],
        threshold=1.0,
        labels=["a long name"] * 3,
    ).plot()
    boxes = label_boxes(display)
    frame = display.ax_.get_window_extent()
    assert len(boxes) == 2
    assert all(frame.x0 < box.x0 < box.x1 < frame.x1 for box in boxes)


def test_crowded_labels_are_still_drawn():
    display = HuberResidualsDisplay(
        y_pred=np.zeros(40), residuals=np.full(40, 9.0), threshold=1.0
    ).plot(n_labels=40)
    assert texts(display.annotations_) == [str(i) for i in range(40)]
    # The last as near to their points as the first.
    assert display.annotations_[-1].xyann == display.annotations_[0].xyann


def test_scatter_keywords_replace_the_defaults():
    norm = mpl.colors.LogNorm(0.01, 1.0)
    style = {"s": 7.0, "lw": 2.0, "cmap": "cividis", "norm": norm}
    display = HuberResidualsDisplay.from_estimator(MODEL, X, y, scatter_kwargs=style)
    assert_array_equal(display.scatter_.get_sizes(), [7.0])
    assert_array_equal(display.scatter_.get_linewidth(), [2.0])
    assert display.scatter_.get_cmap().name == "cividis"
    assert display.scatter_.norm is norm
    assert display.colorbar_ is not None
    # matplotlib warns of an edge where a marker has no face.
    drawn(display.plot(scatter_kwargs={"marker": "x"}))


def test_a_colour_among_the_keywords_is_that_of_all_points():
    display = HuberResidualsDisplay.from_estimator(MODEL, X, y)
    for keyword in ["c", "color", "facecolors"]:
        display.plot(scatter_kwargs={keyword: "#123456"})
        assert {to_hex(c) for c in display.scatter_.get_facecolor()} == {"#123456"}
        assert display.colorbar_ is None
        assert len(display.figure_.axes) == 1


def test_no_place_is_sought_for_the_legend_among_many_points():
    # matplotlib warns where that is slow. Here it would find one elsewhere.
    places = np.append(np.zeros(1), np.full(10_000, 9.0))
    display = HuberResidualsDisplay(y_pred=places, residuals=places, threshold=1.0)
    drawn(display.plot(n_labels=0))
    legend = display.ax_.get_legend().get_window_extent()
    frame = display.ax_.get_window_extent()
    assert legend.x1 > frame.x1 - 20
    assert legend.y1 > frame.y1 - 20


# --- weights ------------------------------------------------------------------------


def steps(display):
    """The height of each step of the line."""
    place, height = display.line_.get_data()
    assert display.line_.get_drawstyle() == "steps-pre"
    assert_array_equal(place, np.arange(len(place)))
    assert height[0] == height[1]
    return height[1:]


def test_weights_are_sorted_steps_of_one_sample_each():
    display = drawn(HuberWeightsDisplay(weights=[1.0, 0.25, 1.0, 0.5]).plot())
    assert_array_equal(steps(display), [0.25, 0.5, 1.0, 1.0])
    assert display.ax_.get_xlabel() == "rank of the sample, from the least weight"
    assert display.ax_.get_ylabel() == "robust weight"
    assert display.ax_.get_ylim()[0] == 0.0
    assert display.ax_.get_ylim()[1] > 1.0
    assert legend_texts(display.ax_) == ["2 of 4 below 1"]


def test_without_data_the_weights_are_those_of_the_fit():
    for model, fitted in [(MODEL, MODEL), (PIPELINE, PIPELINE[-1])]:
        display = HuberWeightsDisplay.from_estimator(model, name="joint")
        assert_array_equal(steps(display), np.sort(fitted.robust_weights_))
        label = f"joint: {fitted.outliers_.sum()} of {N} below 1"
        assert legend_texts(display.ax_) == [label]


def test_with_data_the_weights_are_those_of_their_residuals():
    display = HuberWeightsDisplay.from_estimator(MODEL, X[:30], y[:30] + 1.0)
    size = np.abs(y[:30] + 1.0 - MODEL.predict(X[:30]))
    expected = np.sort(np.minimum(1.0, THRESHOLD / size))
    assert_allclose(steps(display), expected, rtol=1e-12)
    assert steps(HuberWeightsDisplay.from_estimator(DUCK, X, y)).shape == (N,)


def test_weights_of_predictions():
    draw = HuberWeightsDisplay.from_predictions
    display = draw(OBSERVED, PREDICTED, threshold=2.0, name="a")
    assert_array_equal(steps(display), [0.25, 0.5, 1.0, 1.0, 1.0])
    assert display.line_.get_label() == "a: 2 of 5 below 1"
    display = draw(OBSERVED, PREDICTED, threshold=inf)
    assert_array_equal(steps(display), np.ones(5))
    assert display.line_.get_label() == "0 of 5 below 1"


def test_several_weights_on_the_same_axes_differ_in_colour():
    first = HuberWeightsDisplay(weights=[1.0, 0.25], name="one").plot()
    second = HuberWeightsDisplay(weights=[1.0, 0.5], name="two").plot(first.ax_)
    assert first.line_.get_color() != second.line_.get_color()
    assert legend_texts(first.ax_) == ["one: 1 of 2 below 1", "two: 1 of 2 below 1"]


def test_line_keywords_of_weights():
    style = {"c": "#123456", "lw": 3.0, "label": "mine"}
    display = HuberWeightsDisplay.from_estimator(MODEL, line_kwargs=style)
    assert display.line_.get_color() == "#123456"
    assert display.line_.get_linewidth() == 3.0
    assert legend_texts(display.ax_) == ["mine"]
