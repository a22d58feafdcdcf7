"""What the displays draw, and what they say of bad input.

The last section needs `huber_path` and `HuberRegressorCV` themselves; before it, small
stand-ins have the place of their results.
"""

import itertools
import math
import re
import subprocess
import sys
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from matplotlib.text import Text
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import skhuber
from skhuber import HuberRegressor
from skhuber.inspection import (
    CVRhoDisplay,
    HuberPathDisplay,
    HuberResidualsDisplay,
    HuberWeightsDisplay,
)

mpl.use("Agg")

nan, inf = float("nan"), float("inf")

RNG = np.random.default_rng(0)
N = 60
X = RNG.normal(size=(N, 3)) * [1.0, 2.0, 3.0] + 5.0
y = X @ [1.0, -2.0, 0.5] + RNG.normal(size=N)
# In this order from the farthest.
FAR = [41, 7, 23, 50, 12, 33, 3]
y[FAR] += [90.0, -80.0, 70.0, -60.0, 50.0, -40.0, 30.0]
MODEL = HuberRegressor().fit(X, y)
RESIDUALS = y - MODEL.predict(X)
THRESHOLD = MODEL.rho_ * MODEL.scale_

OBSERVED = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
PREDICTED = np.array([1.0, 3.0, -1.0, 12.0, 5.5])  # residuals 0, -1, 4, -8, -0.5


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def drawn(display):
    """The display, after a draw: some of matplotlib's warnings come only then."""
    display.figure_.canvas.draw()
    return display


def texts(annotations):
    return [annotation.get_text() for annotation in annotations]


def legend_texts(ax):
    return texts(ax.get_legend().get_texts())


def heights(patch):
    """Least and greatest y of a patch, of whatever class."""
    outline = patch.get_patch_transform().transform_path(patch.get_path())
    return outline.vertices[:, 1].min(), outline.vertices[:, 1].max()


def at(line):
    """Where a horizontal or vertical line is."""
    (place,) = (
        {*line.get_ydata()} if len({*line.get_xdata()}) > 1 else {*line.get_xdata()}
    )
    return place


# --- residuals ----------------------------------------------------------------------


@pytest.fixture
def residuals_display():
    return drawn(HuberResidualsDisplay.from_estimator(MODEL, X, y))


def test_residuals_are_drawn_against_fitted_values(residuals_display):
    points = residuals_display.scatter_.get_offsets()
    assert_allclose(points, np.column_stack([MODEL.predict(X), RESIDUALS]), rtol=1e-12)


def test_points_are_coloured_by_the_robust_weights_of_the_fit(residuals_display):
    scatter = residuals_display.scatter_
    assert_allclose(scatter.get_array(), MODEL.robust_weights_, rtol=1e-9)
    assert_array_equal(scatter.get_array() < 1, MODEL.outliers_)
    assert scatter.get_clim() == (0.0, 1.0)
    assert scatter.get_cmap().name == "viridis"
    assert residuals_display.colorbar_.ax.get_ylabel() == "robust weight"
    assert residuals_display.colorbar_.mappable is scatter


def test_the_band_ends_at_the_threshold(residuals_display):
    lines = residuals_display.threshold_lines_
    assert [at(line) for line in lines] == [-THRESHOLD, THRESHOLD]
    assert_allclose(heights(residuals_display.band_), [-THRESHOLD, THRESHOLD])
    assert residuals_display.threshold == THRESHOLD


def test_the_zero_line_is_at_zero(residuals_display):
    assert at(residuals_display.zero_line_) == 0.0


def test_the_axes_and_lines_of_residuals_are_named(residuals_display):
    ax = residuals_display.ax_
    assert ax.get_xlabel() == "fitted value (unit of target)"
    assert ax.get_ylabel() == "residual (unit of target)"
    assert legend_texts(ax) == [f"threshold, ±{THRESHOLD:.3g}", "residual of zero"]


@pytest.mark.parametrize("n_labels", [0, 1, 5, 7])
def test_the_farthest_outliers_are_labelled(n_labels):
    display = HuberResidualsDisplay.from_estimator(MODEL, X, y, n_labels=n_labels)
    assert texts(display.annotations_) == [str(i) for i in FAR[:n_labels]]
    places = [annotation.xy for annotation in display.annotations_]
    assert_allclose(
        np.reshape(places, (-1, 2)),
        np.column_stack([MODEL.predict(X), RESIDUALS])[FAR[:n_labels]],
        rtol=1e-12,
    )


def test_five_are_labelled_if_nothing_is_said(residuals_display):
    assert texts(residuals_display.annotations_) == [str(i) for i in FAR[:5]]


def test_only_outliers_are_labelled():
    display = HuberResidualsDisplay.from_predictions(OBSERVED, PREDICTED, threshold=4.0)
    assert texts(display.annotations_) == ["3"]  # 4 itself is not beyond 4


NAMES = [f"row {i}" for i in range(N)]


@pytest.mark.parametrize(
    ("features", "target"),
    [
        (pd.DataFrame(X, index=NAMES), y),
        (X, pd.Series(y, index=NAMES)),
        (pd.DataFrame(X, index=NAMES), pd.Series(y)),
        (sp.csr_array(X), pd.Series(y, index=NAMES)),
    ],
    ids=["X", "y", "X_first", "sparse_X"],
)
def test_labels_are_those_of_a_pandas_index(features, target):
    model = HuberRegressor().fit(np.asarray(X), y)
    if isinstance(features, pd.DataFrame):
        features.columns = ["a", "b", "c"]
        model = HuberRegressor().fit(features, y)
    display = HuberResidualsDisplay.from_estimator(model, features, target, n_labels=2)
    assert texts(display.annotations_) == ["row 41", "row 7"]


def test_labels_of_predictions_are_those_of_a_pandas_index():
    index = list("abcde")
    series = pd.Series(OBSERVED, index=index)
    draw = HuberResidualsDisplay.from_predictions
    for y_true, y_pred in [
        (series, PREDICTED),
        (OBSERVED, pd.Series(PREDICTED, index=index)),
    ]:
        display = draw(y_true, y_pred, threshold=2.0)
        assert texts(display.annotations_) == ["d", "c"]


def test_an_index_of_several_levels_is_a_label_too():
    index = pd.MultiIndex.from_product([["a"], range(5)])
    display = HuberResidualsDisplay.from_predictions(
        pd.Series(OBSERVED, index=index), PREDICTED, threshold=4.0
    )
    assert texts(display.annotations_) == ["('a', 3)"]


def test_labels_without_an_index_are_positions():
    frame = pl.DataFrame(X, schema=["a", "b", "c"])
    model = HuberRegressor().fit(frame, y)
    for features, target in [(frame, pl.Series(y)), (X.tolist(), y.tolist())]:
        fitted = model if features is frame else MODEL
        display = HuberResidualsDisplay.from_estimator(
            fitted, features, target, n_labels=1
        )
        assert texts(display.annotations_) == ["41"]


def boxes(display):
    # Of the text alone, without the line to its point.
    return [Text.get_window_extent(label) for label in display.annotations_]


@pytest.mark.parametrize("longest", [1, 12])
def test_labels_of_near_points_do_not_cover_each_other(longest):
    y_pred = np.concatenate([np.linspace(0, 10, 50), np.full(5, 8.0)])
    residuals = np.concatenate([np.zeros(50), 20 + 0.1 * np.arange(5)])
    display = drawn(
        HuberResidualsDisplay(
            y_pred=y_pred,
            residuals=residuals,
            threshold=1.0,
            labels=[str(i).rjust(longest, "n") for i in range(55)],
        ).plot()
    )
    assert len(display.annotations_) == 5
    for one, other in itertools.combinations(boxes(display), 2):
        assert not one.overlaps(other)


def test_labels_do_not_cover_points_that_others_belong_to():
    display = drawn(
        HuberResidualsDisplay(
            y_pred=[0.0, 2.0, 2.5, 10.0],
            residuals=[0.0, 20.0, 20.0, 0.0],
            threshold=1.0,
            labels=["a long name"] * 4,
        ).plot()
    )
    points = display.ax_.transData.transform([[2.0, 20.0], [2.5, 20.0]])
    one, other = boxes(display)
    assert not one.contains(*points[1])
    assert not other.contains(*points[0])


def test_labels_stay_within_the_axes():
    display = drawn(
        HuberResidualsDisplay(
            y_pred=[0.0, 5.0, 10.0],
            residuals=[30.0, 0.0, -20.0],
            threshold=1.0,
            labels=["a long name"] * 3,
        ).plot()
    )
    frame = display.ax_.get_window_extent()
    assert len(display.annotations_) == 2
    for box in boxes(display):
        assert frame.x0 < box.x0 < box.x1 < frame.x1


def test_crowded_labels_are_still_drawn():
    display = HuberResidualsDisplay(
        y_pred=np.zeros(40), residuals=np.full(40, 9.0), threshold=1.0
    ).plot(n_labels=40)
    assert texts(display.annotations_) == [str(i) for i in range(40)]


def test_residuals_of_predictions():
    display = drawn(
        HuberResidualsDisplay.from_predictions(OBSERVED, PREDICTED, threshold=2.0)
    )
    assert_array_equal(
        display.scatter_.get_offsets(),
        np.column_stack([PREDICTED, [0.0, -1.0, 4.0, -8.0, -0.5]]),
    )
    assert_array_equal(display.scatter_.get_array(), [1.0, 1.0, 0.5, 0.25, 1.0])
    assert_array_equal(display.weights, [1.0, 1.0, 0.5, 0.25, 1.0])
    assert [at(line) for line in display.threshold_lines_] == [-2.0, 2.0]
    assert texts(display.annotations_) == ["3", "2"]


def test_an_infinite_threshold_has_no_band_and_no_outliers():
    display = drawn(
        HuberResidualsDisplay.from_predictions(OBSERVED, PREDICTED, threshold=inf)
    )
    assert display.band_ is None
    assert display.threshold_lines_ == []
    assert display.annotations_ == []
    assert_array_equal(display.scatter_.get_array(), np.ones(5))
    assert legend_texts(display.ax_) == ["residual of zero"]
    ridge = HuberRegressor(rho=inf).fit(X, y)
    assert HuberResidualsDisplay.from_estimator(ridge, X, y).threshold == inf


def test_a_pipeline_is_drawn_with_its_last_step():
    model = make_pipeline(StandardScaler(), HuberRegressor()).fit(X, y)
    display = HuberResidualsDisplay.from_estimator(model, X, y)
    assert display.threshold == model[-1].rho_ * model[-1].scale_
    assert_allclose(display.weights, model[-1].robust_weights_, rtol=1e-9)
    nested = make_pipeline(FunctionTransformer(), model)
    assert HuberResidualsDisplay.from_estimator(nested, X, y).threshold == (
        display.threshold
    )


def test_anything_with_rho_and_scale_is_drawn():
    duck = SimpleNamespace(rho_=2.0, scale_=3.0, predict=lambda X: np.zeros(len(X)))
    display = HuberResidualsDisplay.from_estimator(duck, [[1.0], [2.0]], [1.0, -12.0])
    assert display.threshold == 6.0
    assert_array_equal(display.weights, [1.0, 0.5])


def test_scatter_keywords_replace_the_defaults():
    display = HuberResidualsDisplay.from_estimator(
        MODEL, X, y, scatter_kwargs={"s": 7.0, "lw": 2.0, "cmap": "cividis"}
    )
    assert_array_equal(display.scatter_.get_sizes(), [7.0])
    assert_array_equal(display.scatter_.get_linewidth(), [2.0])
    assert display.scatter_.get_cmap().name == "cividis"
    assert display.colorbar_ is not None


@pytest.mark.parametrize("keyword", ["c", "color", "facecolors"])
def test_a_colour_among_the_keywords_is_that_of_all_points(keyword):
    display = HuberResidualsDisplay.from_estimator(
        MODEL, X, y, scatter_kwargs={keyword: "#123456"}
    )
    assert {to_hex(c) for c in display.scatter_.get_facecolor()} == {"#123456"}
    assert display.colorbar_ is None
    assert len(display.figure_.axes) == 1


def test_a_norm_among_the_keywords_is_used():
    norm = mpl.colors.LogNorm(0.01, 1.0)
    display = HuberResidualsDisplay.from_estimator(
        MODEL, X, y, scatter_kwargs={"norm": norm}
    )
    assert display.scatter_.norm is norm


def test_markers_without_a_face_give_no_warning():
    drawn(
        HuberResidualsDisplay.from_estimator(
            MODEL, X, y, scatter_kwargs={"marker": "x"}
        )
    )


def test_many_points_are_drawn_without_a_warning():
    # matplotlib warns where it is slow to find a place for the legend.
    n = 300_000
    display = drawn(
        HuberResidualsDisplay(
            y_pred=np.arange(n), residuals=RNG.normal(size=n), threshold=1.0
        ).plot()
    )
    assert display.ax_.get_legend()._loc == 1  # upper right; 0 would be "best"


# --- weights ------------------------------------------------------------------------


def steps(display):
    """The height of each step of the line, and where it begins and ends."""
    place, height = display.line_.get_data()
    assert display.line_.get_drawstyle() == "steps-pre"
    return height[1:], place[:-1], place[1:]


def test_weights_are_sorted_steps_of_one_sample_each():
    display = drawn(HuberWeightsDisplay(weights=[1.0, 0.25, 1.0, 0.5]).plot())
    height, start, end = steps(display)
    assert_array_equal(height, [0.25, 0.5, 1.0, 1.0])
    assert_array_equal(start, [0, 1, 2, 3])
    assert_array_equal(end, [1, 2, 3, 4])
    assert display.line_.get_ydata()[0] == 0.25


def test_the_axes_of_weights_are_named():
    display = HuberWeightsDisplay(weights=[1.0, 0.25]).plot()
    assert display.ax_.get_xlabel() == "rank of the sample, from the least weight"
    assert display.ax_.get_ylabel() == "robust weight"
    assert display.ax_.get_ylim()[0] == 0.0
    assert display.ax_.get_ylim()[1] > 1.0


def test_the_legend_tells_how_many_weights_are_below_one():
    display = HuberWeightsDisplay.from_estimator(MODEL)
    label = f"{MODEL.outliers_.sum()} of {N} below 1"
    assert legend_texts(display.ax_) == [label]
    assert display.line_.get_label() == label
    named = HuberWeightsDisplay.from_estimator(MODEL, name="joint")
    assert legend_texts(named.ax_) == [f"joint: {label}"]


def test_without_data_the_weights_are_those_of_the_fit():
    weights = np.sort(MODEL.robust_weights_)
    assert_array_equal(steps(HuberWeightsDisplay.from_estimator(MODEL))[0], weights)
    model = make_pipeline(StandardScaler(), HuberRegressor()).fit(X, y)
    assert_array_equal(
        steps(HuberWeightsDisplay.from_estimator(model))[0],
        np.sort(model[-1].robust_weights_),
    )


def test_with_data_the_weights_are_those_of_their_residuals():
    display = HuberWeightsDisplay.from_estimator(MODEL, X[:30], y[:30] + 1.0)
    size = np.abs(y[:30] + 1.0 - MODEL.predict(X[:30]))
    expected = np.sort(np.minimum(1.0, THRESHOLD / size))
    assert_allclose(steps(display)[0], expected, rtol=1e-12)


def test_weights_of_predictions():
    display = HuberWeightsDisplay.from_predictions(
        OBSERVED, PREDICTED, threshold=2.0, name="a"
    )
    assert_array_equal(steps(display)[0], [0.25, 0.5, 1.0, 1.0, 1.0])
    assert display.line_.get_label() == "a: 2 of 5 below 1"
    display = HuberWeightsDisplay.from_predictions(OBSERVED, PREDICTED, threshold=inf)
    assert_array_equal(steps(display)[0], np.ones(5))
    assert display.line_.get_label() == "0 of 5 below 1"


def test_several_weights_on_the_same_axes_differ_in_colour():
    first = HuberWeightsDisplay(weights=[1.0, 0.25], name="one").plot()
    second = HuberWeightsDisplay(weights=[1.0, 0.5], name="two").plot(first.ax_)
    assert first.line_.get_color() != second.line_.get_color()
    assert legend_texts(first.ax_) == ["one: 1 of 2 below 1", "two: 1 of 2 below 1"]


def test_line_keywords_of_weights():
    display = HuberWeightsDisplay.from_estimator(
        MODEL, line_kwargs={"c": "#123456", "lw": 3.0, "label": "mine"}
    )
    assert display.line_.get_color() == "#123456"
    assert display.line_.get_linewidth() == 3.0
    assert legend_texts(display.ax_) == ["mine"]


# --- paths --------------------------------------------------------------------------

RHOS = np.array([4.0, 1.1, 2.0])  # not sorted
SORTED = [1, 2, 0]


def a_path(rhos=RHOS, n_alphas=2, n_features=3):
    """A stand-in for the result of huber_path, in which no two numbers agree."""
    shape = (len(rhos), n_alphas)
    coefs = np.arange(np.prod(shape) * n_features).reshape(*shape, n_features) / 7.0
    return SimpleNamespace(
        rhos=np.asarray(rhos),
        alphas=0.5 + np.arange(n_alphas),
        coefs=coefs,
        scales=1.0 + np.arange(np.prod(shape)).reshape(shape),
        outlier_shares=np.linspace(0.01, 0.9, np.prod(shape)).reshape(shape),
    )


@pytest.mark.parametrize("k", [0, 1])
def test_a_path_is_drawn_from_the_least_rho(k):
    path = a_path()
    display = drawn(HuberPathDisplay.from_path(path, alpha_index=k))
    assert len(display.coef_lines_) == 3
    for j, line in enumerate(display.coef_lines_):
        assert_array_equal(line.get_xdata(), RHOS[SORTED])
        assert_array_equal(line.get_ydata(), path.coefs[SORTED, k, j])
        assert line.axes is display.axes_[0]
    for line, values, ax in [
        (display.scale_line_, path.scales, display.axes_[1]),
        (display.outlier_line_, path.outlier_shares, display.axes_[2]),
    ]:
        assert_array_equal(line.get_xdata(), RHOS[SORTED])
        assert_array_equal(line.get_ydata(), values[SORTED, k])
        assert line.axes is ax


def test_the_first_alpha_is_drawn_if_nothing_is_said():
    path = a_path()
    display = HuberPathDisplay.from_path(path)
    assert_array_equal(display.scale_line_.get_ydata(), path.scales[SORTED, 0])


def test_the_axes_of_a_path_are_stacked_and_named():
    display = drawn(HuberPathDisplay.from_path(a_path()))
    top, middle, bottom = display.axes_
    assert top.get_ylabel() == "coefficient\n(target / feature)"
    assert middle.get_ylabel() == "scale\n(unit of target)"
    assert bottom.get_ylabel() == "share of\noutliers"
    assert bottom.get_xlabel() == "rho (threshold in units of the scale)"
    tops = [ax.get_position().y1 for ax in display.axes_]
    assert tops == sorted(tops, reverse=True)
    assert {ax.get_xscale() for ax in display.axes_} == {"log"}
    bottom.set_xlim(1.0, 3.0)
    assert top.get_xlim() == middle.get_xlim() == (1.0, 3.0)


def shown_ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_the_share_of_outliers_is_in_per_cent():
    display = HuberPathDisplay.from_path(a_path())
    assert display.axes_[2].get_ylim()[0] == 0.0
    display.axes_[2].set_yticks([0.0, 0.25])
    drawn(display)
    assert shown_ticks(display.axes_[2].yaxis) == ["0%", "25%"]


def test_only_the_lowest_axes_number_rho():
    display = drawn(HuberPathDisplay.from_path(a_path()))
    shown = [
        any(tick.label1.get_visible() for tick in ax.xaxis.get_major_ticks())
        for ax in display.axes_
    ]
    assert shown == [False, False, True]


@pytest.mark.parametrize(
    ("rhos", "ticks"),
    [
        ([1.0, 10.0], ["1", "2", "5", "10"]),
        ([1.1, 10.0], ["1.2", "1.5", "2", "3", "5", "7", "10"]),
        ([0.5, 50.0], ["1", "3", "10", "30"]),
        ([0.1, 100.0], ["0.1", "1", "10", "100"]),
        ([1.35], ["1.35"]),
        ([1.31, 1.39], ["1.31", "1.39"]),
    ],
)
def test_rho_is_numbered_by_round_numbers(rhos, ticks):
    display = drawn(HuberPathDisplay.from_path(a_path(rhos)))
    assert shown_ticks(display.axes_[2].xaxis) == ticks
    assert len(display.axes_[2].get_xticks(minor=True)) == 0


@pytest.mark.parametrize("top", [2.0, 10.0, 1e4])
def test_an_infinite_rho_is_at_the_right_edge(top):
    display = drawn(HuberPathDisplay.from_path(a_path([inf, 1.1, top, 1.5])))
    x = display.scale_line_.get_xdata()
    assert_allclose(x, [1.1, 1.5, top, 1.5 * top])
    bottom = display.axes_[2]
    assert shown_ticks(bottom.xaxis)[-1] == "∞"
    assert bottom.get_xticks()[-1] == 1.5 * top
    boxes = [label.get_window_extent() for label in bottom.xaxis.get_ticklabels()]
    for one, other in itertools.pairwise(boxes):
        assert not one.overlaps(other)


@pytest.mark.parametrize("least", [1e-7, 1e-3, 0.5, 1.05])
@pytest.mark.parametrize("greatest", [4.0, 10.0, 1e4])
def test_numbers_of_narrow_axes_do_not_touch(least, greatest):
    _, ax = plt.subplots(figsize=(3.5, 5.0))
    display = drawn(HuberPathDisplay.from_path(a_path([least, greatest, inf]), ax=ax))
    labels = display.axes_[2].xaxis.get_ticklabels()
    assert len(labels) >= 3
    for one, other in itertools.pairwise(label.get_window_extent() for label in labels):
        assert not one.overlaps(other)


def test_infinity_alone_can_be_drawn():
    display = drawn(HuberPathDisplay.from_path(a_path([inf]), rho=inf))
    assert shown_ticks(display.axes_[2].xaxis) == ["∞"]
    assert at(display.rho_lines_[0]) == display.scale_line_.get_xdata()[0]


@pytest.mark.parametrize(
    ("rho", "place", "says"),
    [(1.35, 1.35, "1.35"), (8.0, 8.0, "8"), (inf, 6.0, "∞")],
)
def test_the_chosen_rho_is_marked_on_all_axes(rho, place, says):
    display = drawn(HuberPathDisplay.from_path(a_path(), rho=rho))
    assert [at(line) for line in display.rho_lines_] == [place] * 3
    assert [line.axes for line in display.rho_lines_] == list(display.axes_)
    assert legend_texts(display.axes_[0])[-1] == f"rho = {says}"


def test_a_mark_beyond_the_path_lies_before_infinity():
    display = HuberPathDisplay.from_path(a_path([1.1, 2.0, inf]), rho=10.0)
    assert at(display.rho_lines_[0]) == 10.0
    assert display.scale_line_.get_xdata()[-1] == 15.0


def test_without_a_rho_there_is_no_mark():
    display = HuberPathDisplay.from_path(a_path())
    assert display.rho_lines_ == []
    assert len(display.axes_[1].get_lines()) == 1


def test_features_are_named_in_the_legend():
    display = HuberPathDisplay.from_path(a_path(), feature_names=["a", "b", "c"])
    assert legend_texts(display.axes_[0]) == ["a", "b", "c"]
    display = HuberPathDisplay.from_path(a_path())
    assert legend_texts(display.axes_[0]) == ["feature 0", "feature 1", "feature 2"]


def test_up_to_ten_features_are_named():
    display = drawn(HuberPathDisplay.from_path(a_path(n_features=10), rho=2.0))
    assert len(legend_texts(display.axes_[0])) == 11
    looks = {(line.get_color(), line.get_linestyle()) for line in display.coef_lines_}
    assert len(looks) == 10
    display = drawn(HuberPathDisplay.from_path(a_path(n_features=11), rho=2.0))
    assert len(display.coef_lines_) == 11
    assert legend_texts(display.axes_[0]) == ["rho = 2"]
    display = drawn(HuberPathDisplay.from_path(a_path(n_features=11)))
    assert display.axes_[0].get_legend() is None


def test_the_legend_of_a_path_lies_within_a_figure_of_its_own():
    display = drawn(HuberPathDisplay.from_path(a_path(), feature_names=["aaaaaaa"] * 3))
    box = display.axes_[0].get_legend().get_window_extent()
    assert box.x1 <= display.figure_.bbox.x1
    assert box.x0 >= display.axes_[0].get_window_extent().x1


@pytest.mark.parametrize("layout", [None, "constrained"])
def test_a_path_takes_the_place_of_given_axes(layout):
    figure, (left, right) = plt.subplots(1, 2, layout=layout)
    figure.canvas.draw()
    place = right.get_position()
    display = drawn(HuberPathDisplay.from_path(a_path(), ax=right))
    assert display.figure_ is figure
    assert display.bounding_ax_ is right
    assert not right.axison
    assert left.axison
    assert figure.axes == [left, right, *display.axes_]
    for ax in display.axes_:
        box = ax.get_position()
        assert place.x0 - 0.05 < box.x0 < box.x1 <= place.x1 + 1e-9
    box = display.axes_[0].get_legend().get_window_extent()
    assert box.x1 <= figure.bbox.x1


def test_a_path_takes_the_place_of_axes_outside_a_grid():
    figure = plt.figure()
    ax = figure.add_axes((0.2, 0.3, 0.4, 0.5))
    display = drawn(HuberPathDisplay.from_path(a_path(n_features=11), ax=ax))
    boxes = [ax.get_position() for ax in display.axes_]
    assert_allclose([boxes[0].x0, boxes[0].x1, boxes[0].y1], [0.2, 0.6, 0.8])
    assert_allclose(boxes[2].y0, 0.3)


def test_a_path_can_be_drawn_in_a_subfigure():
    left, right = plt.figure().subfigures(1, 2)
    display = HuberPathDisplay.from_path(a_path(), ax=right.subplots())
    assert display.figure_ is right
    assert len(right.axes) == 4
    assert left.axes == []


@pytest.mark.parametrize("rho", [1.35, inf])
def test_a_single_rho_is_in_the_middle(rho):
    display = drawn(HuberPathDisplay.from_path(a_path([rho]), rho=rho))
    x = display.scale_line_.get_xdata()[0]
    assert_allclose(display.axes_[2].get_xlim(), [x / 2, 2 * x])
    search = a_search([{"rho": rho}], [1.0], [0.5], best=0)
    display = drawn(CVRhoDisplay.from_estimator(search))
    assert_allclose(display.ax_.get_xlim(), [x / 2, 2 * x])


@pytest.mark.parametrize("rhos", [[1.1, 10.0], [1.35, 1.36], [2.0, inf]])
def test_the_limits_hold_all_rhos(rhos):
    display = drawn(HuberPathDisplay.from_path(a_path(rhos), rho=rhos[0]))
    x = display.scale_line_.get_xdata()
    low, high = display.axes_[2].get_xlim()
    assert x[0] / (x[1] / x[0]) < low < x[0] < x[1] < high < x[1] * (x[1] / x[0])


def test_line_keywords_of_a_path():
    display = HuberPathDisplay.from_path(a_path(), line_kwargs={"lw": 3.0})
    lines = [*display.coef_lines_, display.scale_line_, display.outlier_line_]
    assert {line.get_linewidth() for line in lines} == {3.0}


@pytest.fixture
def called_with(monkeypatch):
    """What huber_path is called with; it returns a stand-in."""
    calls = {}

    def huber_path(X, y, *, rhos, alphas, **others):
        calls.update(others, X=X, y=y, rhos=rhos, alphas=alphas)
        return a_path(np.asarray(rhos), len(alphas), np.shape(X)[1])

    monkeypatch.setattr(skhuber, "huber_path", huber_path, raising=False)
    return calls


def test_a_path_has_the_parameters_of_the_estimator(called_with):
    weights = np.ones(N)
    display = HuberPathDisplay.from_estimator(
        HuberRegressor(
            rho=2.5,
            scale="mad",
            alpha=0.3,
            fit_intercept=False,
            max_iter=17,
            tol=1e-5,
            n_jobs=1,
        ),
        X,
        y,
        rhos=[1.0, 2.0],
        sample_weight=weights,
    )
    assert called_with["X"] is X
    assert called_with["y"] is y
    assert called_with["rhos"] == [1.0, 2.0]
    assert called_with["alphas"] == [0.3]
    assert called_with["scale"] == "mad"
    assert called_with["fit_intercept"] is False
    assert called_with["sample_weight"] is weights
    assert called_with["max_iter"] == 17
    assert called_with["tol"] == 1e-5
    assert called_with["n_jobs"] == 1
    assert display.rho == 2.5
    assert len(display.rho_lines_) == 3


def test_the_rho_in_use_goes_before_the_parameter(called_with):
    model = HuberRegressor(rho=2.5).fit(X, y).set_params(rho="auto")
    assert HuberPathDisplay.from_estimator(model, X, y).rho == 2.5
    model = HuberRegressor(rho="auto")
    assert HuberPathDisplay.from_estimator(model, X, y).rho is None


def test_the_alpha_in_use_goes_before_the_parameter(called_with):
    model = HuberRegressor()
    model.alpha_ = 7.0
    HuberPathDisplay.from_estimator(model, X, y)
    assert called_with["alphas"] == [7.0]


@pytest.mark.parametrize(
    ("scale", "rho", "low", "high"),
    [
        ("joint", 1.35, 1.1, 10.0),
        ("mad", 1.35, 1.1, 10.0),
        (1.0, 500.0, 50.0, 5000.0),
        (1.0, inf, 0.1, 10.0),
    ],
)
def test_rhos_if_nothing_is_said(called_with, scale, rho, low, high):
    HuberPathDisplay.from_estimator(HuberRegressor(rho, scale=scale), X, y)
    rhos = called_with["rhos"]
    assert len(rhos) == 21
    assert_allclose([rhos[0], rhos[-2], rhos[-1]], [low, high, inf])


def test_names_of_features_are_those_of_the_columns(called_with):
    draw = HuberPathDisplay.from_estimator
    model = HuberRegressor()
    for frame in [
        pd.DataFrame(X, columns=["a", "b", "c"]),
        pl.DataFrame(X, schema=["a", "b", "c"]),
    ]:
        display = draw(model, frame, y)
        assert [line.get_label() for line in display.coef_lines_] == ["a", "b", "c"]
    display = draw(model, frame, y, feature_names=["d", "e", "f"])
    assert display.feature_names == ["d", "e", "f"]
    assert draw(model, X, y).feature_names is None


def test_the_path_of_a_pipeline_is_that_of_its_last_step(called_with):
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    model = make_pipeline(StandardScaler(), HuberRegressor(alpha=0.3)).fit(frame, y)
    display = HuberPathDisplay.from_estimator(model, frame, y)
    assert_allclose(called_with["X"], StandardScaler().fit_transform(X))
    assert called_with["alphas"] == [0.3]
    assert display.feature_names == ["a", "b", "c"]
    assert display.rho == 1.35


def test_a_step_that_knows_no_names_leaves_the_features_unnamed(called_with):
    model = make_pipeline(FunctionTransformer(np.square), HuberRegressor()).fit(X, y)
    display = HuberPathDisplay.from_estimator(model, X, y)
    assert display.feature_names is None
    assert_array_equal(called_with["X"], X**2)


def test_a_pipeline_of_one_step_needs_no_fit(called_with):
    HuberPathDisplay.from_estimator(make_pipeline(HuberRegressor()), X, y)
    assert called_with["X"] is X


@pytest.mark.parametrize("step", [StandardScaler(), FunctionTransformer()])
def test_the_path_of_a_pipeline_that_is_not_fitted(called_with, step):
    with pytest.raises(NotFittedError):
        HuberPathDisplay.from_estimator(make_pipeline(step, HuberRegressor()), X, y)


def test_the_path_of_an_estimator_is_drawn_as_said(called_with):
    _, ax = plt.subplots()
    display = HuberPathDisplay.from_estimator(
        MODEL, X, y, ax=ax, line_kwargs={"lw": 3.0}
    )
    assert display.bounding_ax_ is ax
    assert display.scale_line_.get_linewidth() == 3.0


# --- searches -----------------------------------------------------------------------


def a_search(candidates, means, stds, best, n_splits=4, **attributes):
    """A stand-in for a fitted search, with numbers of our choice."""
    results = {
        "params": candidates,
        "mean_test_score": np.array(means),
        "std_test_score": np.array(stds),
    }
    return SimpleNamespace(
        cv_results_=results, best_index_=best, n_splits_=n_splits, **attributes
    )


THREE = a_search(
    [{"rho": 4.0, "alpha": 0.1}, {"rho": 1.1, "alpha": 0.1}, {"rho": 2, "alpha": 0.1}],
    [-3.0, -2.0, -1.0],
    [0.2, 0.4, 0.6],
    best=2,
)


def lengths(bars):
    """Half the length of each error bar."""
    (segments,) = (c.get_segments() for c in bars.lines[2])
    return [(top - bottom) / 2 for (_, bottom), (_, top) in segments]


def test_scores_are_drawn_from_the_least_rho():
    display = drawn(CVRhoDisplay.from_estimator(THREE))
    (bars,) = display.errorbars_
    assert_array_equal(bars.lines[0].get_xdata(), [1.1, 2.0, 4.0])
    assert_array_equal(bars.lines[0].get_ydata(), [-2.0, -1.0, -3.0])
    assert display.ax_.get_xscale() == "log"
    assert display.ax_.get_xlabel() == "rho (threshold in units of the scale)"
    assert display.ax_.get_ylabel() == "score (greater is better)"


@pytest.mark.parametrize(
    ("std", "factor", "caption"),
    [
        ("standard_error", 0.5, "mean ± standard error"),
        ("standard_deviation", 1.0, "mean ± standard deviation"),
    ],
)
def test_error_bars(std, factor, caption):
    display = CVRhoDisplay.from_estimator(THREE, std=std)
    expected = factor * np.array([0.4, 0.6, 0.2])
    assert_allclose(lengths(display.errorbars_[0]), expected)
    assert display.ax_.get_legend().get_title().get_text() == caption


def test_error_bars_are_standard_errors_if_nothing_is_said():
    bars = CVRhoDisplay.from_estimator(THREE).errorbars_[0]
    assert_allclose(lengths(bars), [0.2, 0.3, 0.1])


def test_without_error_bars():
    display = drawn(CVRhoDisplay.from_estimator(THREE, std=None))
    assert not display.errorbars_[0].has_yerr
    assert display.ax_.get_legend().get_title().get_text() == ""


def test_the_choice_is_marked():
    display = CVRhoDisplay.from_estimator(THREE)
    assert at(display.chosen_line_) == 2.0
    assert display.chosen_point_.get_xydata().tolist() == [[2.0, -1.0]]
    assert legend_texts(display.ax_) == ["mean score", "chosen: rho = 2"]


def test_a_choice_without_a_score_is_marked_by_a_line_alone():
    display = drawn(CVRhoDisplay(rhos=[1, 2], scores=[3, 4], chosen_rho=2).plot())
    assert at(display.chosen_line_) == 2.0
    assert display.chosen_point_ is None
    assert legend_texts(display.ax_) == ["mean score", "chosen: rho = 2"]


def test_without_a_choice_there_is_no_mark():
    display = drawn(CVRhoDisplay(rhos=[1, 2], scores=[3, 4]).plot())
    assert display.chosen_line_ is None
    assert display.chosen_point_ is None
    assert legend_texts(display.ax_) == ["mean score"]
    search = a_search([{"rho": 1.5}], [1.0], [0.0], best=0)
    del search.best_index_
    assert CVRhoDisplay.from_estimator(search).chosen_rho is None


def test_there_is_one_line_for_each_alpha():
    search = a_search(
        [{"alpha": a, "rho": r} for a in (0.1, 1e-4, 10) for r in (1.1, 2.0)],
        np.arange(6.0),
        np.arange(6.0) * 4,
        best=5,
    )
    display = drawn(CVRhoDisplay.from_estimator(search))
    assert len(display.errorbars_) == 3
    for k, bars in enumerate(display.errorbars_):
        assert_array_equal(bars.lines[0].get_ydata(), [2 * k, 2 * k + 1])
        assert_allclose(lengths(bars), [4 * k, 4 * k + 2])
    names = ["alpha = 0.1", "alpha = 0.0001", "alpha = 10", "chosen: rho = 2"]
    assert legend_texts(display.ax_) == names
    looks = {
        (to_hex(bars.lines[0].get_color()), bars.lines[0].get_marker())
        for bars in display.errorbars_
    }
    assert len(looks) == 3


def test_the_legend_of_scores_is_beside_them_where_there_is_room():
    display = drawn(CVRhoDisplay.from_estimator(THREE))
    box = display.ax_.get_legend().get_window_extent()
    assert display.ax_.get_window_extent().x1 <= box.x0
    assert box.x1 <= display.figure_.bbox.x1
    _, ax = plt.subplots()
    display = drawn(CVRhoDisplay.from_estimator(THREE, ax=ax))
    box = display.ax_.get_legend().get_window_extent()
    assert box.x1 <= ax.get_window_extent().x1


def test_other_parameters_make_lines_too():
    search = a_search(
        [
            {"rho": r, "scale": s, "alpha": a}
            for s in ("joint", "mad")
            for a in (0.1, 1.0)
            for r in (1.1, 2.0)
        ],
        np.arange(8.0),
        np.ones(8),
        best=0,
    )
    display = CVRhoDisplay.from_estimator(search)
    assert [bars.get_label() for bars in display.errorbars_] == [
        f"scale = {s}, alpha = {a}" for s in ("joint", "mad") for a in ("0.1", "1")
    ]
    assert_array_equal(display.errorbars_[2].lines[0].get_ydata(), [4, 5])


def test_parameters_with_the_same_last_name_are_told_apart():
    search = a_search(
        [{"m__rho": 1.5, "a__k": a, "b__k": b} for a in (1, 2) for b in (3, 4)],
        np.arange(4.0),
        np.ones(4),
        best=0,
    )
    labels = [b.get_label() for b in CVRhoDisplay.from_estimator(search).errorbars_]
    assert labels[1] == "a__k = 1, b__k = 4"


def test_lines_are_told_apart_by_all_digits_where_they_must():
    search = a_search(
        [{"rho": 1.5, "alpha": a} for a in (1 / 3, 0.33333)], [1, 2], [0, 0], best=0
    )
    labels = [b.get_label() for b in CVRhoDisplay.from_estimator(search).errorbars_]
    assert labels == [f"alpha = {1 / 3}", "alpha = 0.33333"]
    search = a_search(
        [{"rho": 1.5, "alpha": a} for a in (1 / 3, 2 / 3)], [1, 2], [0, 0], best=0
    )
    labels = [b.get_label() for b in CVRhoDisplay.from_estimator(search).errorbars_]
    assert labels == ["alpha = 0.3333", "alpha = 0.6667"]


def test_only_numeric_rhos_are_drawn():
    values = ["auto", 1.1, None, True, nan, -1.0, np.float32(2.0), 3]
    search = a_search(
        [{"rho": rho} for rho in values], np.arange(8.0), np.arange(8.0) * 2, best=6
    )
    display = drawn(CVRhoDisplay.from_estimator(search))
    (bars,) = display.errorbars_
    assert_array_equal(bars.lines[0].get_xdata(), [1.1, 2.0, 3.0])
    assert_array_equal(bars.lines[0].get_ydata(), [1.0, 6.0, 7.0])
    assert_allclose(lengths(bars), [1.0, 6.0, 7.0])
    assert at(display.chosen_line_) == 2.0


def test_a_choice_that_is_no_number_is_marked_at_the_rho_in_use():
    search = a_search(
        [{"rho": 1.1}, {"rho": "auto"}], [1.0, 2.0], [0, 0], best=1, rho_=1.7
    )
    display = CVRhoDisplay.from_estimator(search)
    assert at(display.chosen_line_) == 1.7
    assert display.chosen_point_.get_xydata().tolist() == [[1.7, 2.0]]
    assert len(display.errorbars_[0].lines[0].get_xdata()) == 1


def test_the_rho_in_use_is_that_of_the_best_estimator():
    best = make_pipeline(StandardScaler(), HuberRegressor(1.7)).fit(X, y)
    candidates = [{"m__rho": 1.1}, {"m__rho": "auto"}]
    search = a_search(candidates, [1, 2], [0, 0], best=1, best_estimator_=best)
    assert CVRhoDisplay.from_estimator(search).chosen_rho == 1.7
    search.best_index_ = 0
    assert CVRhoDisplay.from_estimator(search).chosen_rho == 1.1


def test_an_unknown_choice_is_not_marked():
    search = a_search([{"rho": 1.1}, {"rho": "auto"}], [1.0, 2.0], [0, 0], best=1)
    assert CVRhoDisplay.from_estimator(search).chosen_line_ is None


def test_an_infinite_candidate_is_at_the_right_edge():
    search = a_search([{"rho": r} for r in (inf, 2.0, 4.0)], [1, 2, 3], [0] * 3, best=0)
    display = drawn(CVRhoDisplay.from_estimator(search))
    assert_array_equal(display.errorbars_[0].lines[0].get_xdata(), [2.0, 4.0, 6.0])
    assert shown_ticks(display.ax_.xaxis)[-1] == "∞"
    assert at(display.chosen_line_) == 6.0
    assert legend_texts(display.ax_)[-1] == "chosen: rho = ∞"


def test_failed_candidates_are_not_drawn():
    search = a_search(
        [{"rho": r} for r in (1.1, 2.0, 3.0)], [1, nan, 3], [1, nan, 1], best=1
    )
    display = drawn(CVRhoDisplay.from_estimator(search))
    assert_array_equal(display.errorbars_[0].lines[0].get_ydata(), [1.0, nan, 3.0])
    assert display.chosen_point_ is None


def test_error_bar_keywords():
    display = CVRhoDisplay.from_estimator(
        THREE, errorbar_kwargs={"lw": 3.0, "capsize": 0.0, "c": "#123456"}
    )
    (bars,) = display.errorbars_
    assert bars.lines[0].get_linewidth() == 3.0
    assert bars.lines[0].get_color() == "#123456"


GRID = {"rho": [1.2, 2.0, 8.0], "alpha": [0.01, 10.0]}


@pytest.mark.parametrize("prefix", ["", "huberregressor__"])
def test_a_grid_search_is_drawn(prefix):
    model = HuberRegressor()
    if prefix:
        model = make_pipeline(StandardScaler(), model)
    grid = {prefix + name: values for name, values in GRID.items()}
    search = GridSearchCV(model, grid, cv=3, scoring="neg_median_absolute_error")
    search.fit(X, y)
    display = drawn(CVRhoDisplay.from_estimator(search))
    means = search.cv_results_["mean_test_score"].reshape(2, 3)
    stds = search.cv_results_["std_test_score"].reshape(2, 3)
    assert len(display.errorbars_) == 2
    for k, bars in enumerate(display.errorbars_):
        assert_array_equal(bars.lines[0].get_xdata(), GRID["rho"])
        assert_array_equal(bars.lines[0].get_ydata(), means[k])
        assert_allclose(lengths(bars), stds[k] / math.sqrt(3))
    assert at(display.chosen_line_) == search.best_params_[f"{prefix}rho"]
    assert display.chosen_score == search.best_score_
    names = ["alpha = 0.01", "alpha = 10", f"chosen: rho = {display.chosen_rho:g}"]
    assert legend_texts(display.ax_) == names


def test_a_search_with_several_grids_is_drawn_where_rho_is_set():
    search = GridSearchCV(
        HuberRegressor(),
        [{"rho": [1.5, 2.0], "scale": ["joint"]}, {"scale": ["mad"]}],
        cv=3,
    ).fit(X, y)
    display = CVRhoDisplay.from_estimator(search)
    (bars,) = display.errorbars_
    assert_array_equal(bars.lines[0].get_xdata(), [1.5, 2.0])
    assert bars.get_label() == "scale = joint"


# --- all displays ---------------------------------------------------------------------

FIVE = {"y_true": OBSERVED, "y_pred": PREDICTED, "threshold": 2.0}
# Each way to draw something, by what it is called in messages.
WAYS = {
    "HuberResidualsDisplay.plot": lambda **k: HuberResidualsDisplay(
        y_pred=[1.0, 2.0], residuals=[3.0, 4.0], threshold=1.0
    ).plot(**k),
    "HuberResidualsDisplay.from_estimator": lambda **k: (
        HuberResidualsDisplay.from_estimator(MODEL, X, y, **k)
    ),
    "HuberResidualsDisplay.from_predictions": lambda **k: (
        HuberResidualsDisplay.from_predictions(**FIVE, **k)
    ),
    "HuberWeightsDisplay.plot": lambda **k: HuberWeightsDisplay(weights=[1.0]).plot(
        **k
    ),
    "HuberWeightsDisplay.from_estimator": lambda **k: (
        HuberWeightsDisplay.from_estimator(MODEL, **k)
    ),
    "HuberWeightsDisplay.from_predictions": lambda **k: (
        HuberWeightsDisplay.from_predictions(**FIVE, **k)
    ),
    "HuberPathDisplay.plot": lambda **k: HuberPathDisplay(
        rhos=[1.5], coefs=[[1.0]], scales=[1.0], outlier_shares=[0.5]
    ).plot(**k),
    "HuberPathDisplay.from_path": lambda **k: HuberPathDisplay.from_path(a_path(), **k),
    "CVRhoDisplay.plot": lambda **k: CVRhoDisplay(rhos=[1.5], scores=[1.0]).plot(**k),
    "CVRhoDisplay.from_estimator": lambda **k: CVRhoDisplay.from_estimator(THREE, **k),
}
each_way = pytest.mark.parametrize("way", WAYS)


@each_way
def test_a_figure_of_its_own_is_made(way):
    before = plt.get_fignums()
    display = drawn(WAYS[way]())
    assert len(plt.get_fignums()) == len(before) + 1
    assert display.figure_ is plt.gcf()
    assert type(display).__name__ == way.split(".")[0]


@each_way
def test_given_axes_are_used(way):
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
    plt.figure()
    display = drawn(WAYS[way](ax=left))
    assert len(plt.get_fignums()) == 2
    assert display.figure_ is figure
    used = display.bounding_ax_ if way.startswith("HuberPath") else display.ax_
    assert used is left
    assert not right.has_data()


@each_way
def test_what_is_no_axes_is_refused(way):
    with pytest.raises(TypeError, match=r"ax must be None or matplotlib Axes, got 3"):
        WAYS[way](ax=3)
    assert plt.get_fignums() == []


@each_way
def test_keywords_must_be_a_dict_that_matplotlib_knows(way):
    name = {"HuberResiduals": "scatter", "CVRho": "errorbar"}.get(
        way.split("Display")[0], "line"
    )
    name = f"{name}_kwargs"
    with pytest.raises(TypeError, match=rf"{name} must be None or a dict.*got 'red'"):
        WAYS[way](**{name: "red"})
    with pytest.raises(TypeError, match=name):
        WAYS[way](**{name: {"lw": 1.0, "linewidth": 1.0}})
    assert plt.get_fignums() == []


@each_way
@pytest.mark.parametrize("missing", ["matplotlib", "matplotlib.pyplot"])
def test_without_matplotlib_the_extra_is_named(way, missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    message = (
        f"{way} needs matplotlib, which cannot be imported. Install it with: pip "
        'install "skhuber[plot]"'
    )
    with pytest.raises(ImportError, match=re.escape(message)):
        WAYS[way]()


def test_without_matplotlib_no_path_is_computed(called_with, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"from_estimator.*skhuber\[plot\]"):
        HuberPathDisplay.from_estimator(MODEL, X, y)
    assert not called_with


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


@each_way
def test_plot_can_be_called_again(way):
    display = WAYS[way]()
    first = display.figure_
    assert display.plot() is display
    assert display.figure_ is not first


# --- bad input ------------------------------------------------------------------------


def refused(kind, message, call, *args, **kwargs):
    with pytest.raises(kind, match=message):
        call(*args, **kwargs)
    assert plt.get_fignums() == []


each_estimator_display = pytest.mark.parametrize(
    "display", [HuberResidualsDisplay, HuberWeightsDisplay]
)


@each_estimator_display
def test_an_estimator_that_is_not_fitted(display):
    for estimator in [
        HuberRegressor(),
        make_pipeline(HuberRegressor()),
        make_pipeline(StandardScaler(), HuberRegressor()),
    ]:
        refused(
            NotFittedError, "HuberRegressor", display.from_estimator, estimator, X, y
        )


FITTED_WRONG = [
    LinearRegression().fit(X, y),
    make_pipeline(LinearRegression()).fit(X, y),
    TransformedTargetRegressor(HuberRegressor()).fit(X, y),
    HuberRegressor,
    "huber",
    None,
]


@each_estimator_display
@pytest.mark.parametrize("estimator", FITTED_WRONG)
def test_an_estimator_without_a_threshold(display, estimator):
    message = (
        r"(?s)^estimator must be a fitted HuberRegressor, a pipeline .* rho_ and "
        rf"scale_, got {re.escape(repr(estimator))}"
    )
    refused(TypeError, message, display.from_estimator, estimator, X, y)


@each_estimator_display
@pytest.mark.parametrize(
    ("features", "target", "kind", "message"),
    [
        (X[:, :2], y, ValueError, r"\bX\b.*2 features"),
        (X, y[:-1], ValueError, rf"\by\b.*{N} in X and {N - 1} in y"),
        (X, np.append(y[:-1], nan), ValueError, r"\by\b.*NaN"),
        (X, np.column_stack([y, y]), ValueError, r"\by\b"),
        ("X", y, ValueError, r"\bX\b"),
    ],
)
def test_data_that_do_not_fit(display, features, target, kind, message):
    refused(kind, message, display.from_estimator, MODEL, features, target)


def test_residuals_need_a_target():
    draw = HuberResidualsDisplay.from_estimator
    refused(ValueError, r"\by\b.*None", draw, MODEL, X, None)


def test_weights_need_both_features_and_target():
    draw = HuberWeightsDisplay.from_estimator
    together = "X and y must be given together or not at all, got"
    refused(ValueError, f"{together} X and y=None", draw, MODEL, X)
    refused(ValueError, f"{together} y and X=None", draw, MODEL, y=y)


def test_weights_without_data_need_those_of_the_fit():
    duck = SimpleNamespace(rho_=2.0, scale_=3.0, predict=lambda X: np.zeros(len(X)))
    draw = HuberWeightsDisplay.from_estimator
    refused(TypeError, r"estimator.*robust_weights_.*X and y", draw, duck)
    assert steps(draw(duck, X, y))[0].shape == (N,)


@each_estimator_display
@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"threshold": 0}, ValueError, r"threshold must be a number > 0, got 0"),
        ({"threshold": -1.0}, ValueError, r"threshold must be a number > 0, got -1.0"),
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
    ],
)
def test_predictions_that_do_not_fit(display, change, kind, message):
    refused(kind, message, display.from_predictions, **(FIVE | change))


def test_a_column_of_targets_is_taken_as_one_dimension():
    display = HuberResidualsDisplay.from_predictions(
        OBSERVED[:, None], PREDICTED, threshold=2.0
    )
    assert_array_equal(display.residuals, OBSERVED - PREDICTED)


@pytest.mark.parametrize(
    ("n_labels", "kind"),
    [(-1, ValueError), (1.5, TypeError), (None, TypeError), (True, TypeError)],
)
def test_a_bad_number_of_labels(n_labels, kind):
    message = rf"n_labels must be an integer >= 0, got {n_labels!r}"
    for way in WAYS:
        if way.startswith("HuberResiduals"):
            refused(kind, message, WAYS[way], n_labels=n_labels)


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
    CVRhoDisplay: {"rhos": [1.5, 2.0], "scores": [1.0, 2.0]},
}


@pytest.mark.parametrize("display", GOOD_ARGUMENTS)
def test_the_rest_of_the_arguments_is_good(display):
    # Each case below replaces one of these.
    display(**GOOD_ARGUMENTS[display])


@pytest.mark.parametrize(
    ("display", "name", "value", "message"),
    [
        (HuberResidualsDisplay, "y_pred", [1.0], "y_pred and residuals.*got 1 and 2"),
        (HuberResidualsDisplay, "residuals", [1.0, nan], "residuals.*NaN"),
        (HuberResidualsDisplay, "threshold", 0.0, "threshold must be.*> 0, got 0.0"),
        (HuberResidualsDisplay, "labels", ["a"], "labels.*each sample, 2.*got 1"),
        (HuberResidualsDisplay, "labels", "ab", "labels must be.*got 'ab'"),
        (HuberResidualsDisplay, "labels", 3, "labels must be.*got 3"),
        (HuberWeightsDisplay, "weights", [1.0, 1.5], "weights.*0 to 1, got 1.5"),
        (HuberWeightsDisplay, "weights", [-0.5, 1.0], "weights.*0 to 1, got -0.5"),
        (HuberWeightsDisplay, "weights", [], "weights.*at least one"),
        (HuberWeightsDisplay, "weights", 1.0, "weights.*one dimension"),
        (HuberWeightsDisplay, "name", 3, "name must be None or a string, got 3"),
        (HuberPathDisplay, "rhos", [0.0, 2.0], "rhos must be numbers > 0, got 0.0"),
        (HuberPathDisplay, "rhos", [nan, 2.0], "rhos must be numbers > 0, got nan"),
        (HuberPathDisplay, "coefs", [1.0, 2.0], r"coefs.*two dimensions.*\(2,\)"),
        (HuberPathDisplay, "coefs", [[1.0]], "rhos and coefs.*got 2 and 1"),
        (HuberPathDisplay, "scales", [1.0], "rhos and scales.*got 2 and 1"),
        (HuberPathDisplay, "scales", [1.0, inf], "scales.*infinity"),
        (HuberPathDisplay, "outlier_shares", [0.1], "outlier_shares.*got 2 and 1"),
        (HuberPathDisplay, "feature_names", ["a", "b"], "feature_names.*1.*got 2"),
        (HuberPathDisplay, "rho", 0.0, "rho must be None or a number > 0, got 0.0"),
        (HuberPathDisplay, "rho", "auto", "rho must be None or.*got 'auto'"),
        (CVRhoDisplay, "rhos", [-1.0, 2.0], "rhos must be numbers > 0, got -1.0"),
        (CVRhoDisplay, "scores", [1.0], "rhos and scores.*got 2 and 1"),
        (CVRhoDisplay, "scores", [1.0, inf], "scores.*infinity"),
        (CVRhoDisplay, "errors", [1.0], "rhos and errors.*got 2 and 1"),
        (CVRhoDisplay, "errors", [1.0, -2.0], "errors must be.*>= 0, got -2.0"),
        (CVRhoDisplay, "lines", ["a"], "lines.*each candidate, 2.*got 1"),
        (CVRhoDisplay, "chosen_rho", 0.0, "chosen_rho must be None or.*got 0.0"),
        (CVRhoDisplay, "chosen_score", nan, "chosen_score must be None or.*got nan"),
        (CVRhoDisplay, "caption", 3, "caption must be None or a string, got 3"),
    ],
)
def test_bad_arguments(display, name, value, message):
    arguments = GOOD_ARGUMENTS[display] | {name: value}
    refused((TypeError, ValueError), message, display, **arguments)


@pytest.mark.parametrize(
    ("alpha_index", "kind", "message"),
    [
        (2, ValueError, "an integer from 0 to 1, as path has 2 alphas, got 2"),
        (-1, ValueError, "an integer >= 0, got -1"),
        (0.0, TypeError, "an integer >= 0, got 0.0"),
    ],
)
def test_a_bad_index_of_an_alpha(alpha_index, kind, message):
    draw = HuberPathDisplay.from_path
    message = rf"alpha_index must be {message}"
    refused(kind, message, draw, a_path(), alpha_index=alpha_index)


@pytest.mark.parametrize("path", [None, (1, 2), MODEL])
def test_what_is_no_path(path):
    message = rf"path must be a HuberPath.*got {re.escape(repr(path))}"
    refused(TypeError, message, HuberPathDisplay.from_path, path)


@pytest.mark.parametrize("estimator", [LinearRegression(), HuberRegressor, None])
def test_an_estimator_that_has_no_path(called_with, estimator):
    if estimator is HuberRegressor:
        estimator = make_pipeline(StandardScaler(), LinearRegression()).fit(X, y)
    message = rf"estimator must be a HuberRegressor, .*{re.escape(repr(estimator))}"
    draw = HuberPathDisplay.from_estimator
    refused(TypeError, f"(?s){message}", draw, estimator, X, y)
    assert not called_with


def test_a_search_that_is_not_fitted():
    search = GridSearchCV(HuberRegressor(), GRID)
    refused(NotFittedError, "GridSearchCV", CVRhoDisplay.from_estimator, search)


@pytest.mark.parametrize("estimator", [MODEL, make_pipeline(MODEL), None, "search"])
def test_what_is_no_search(estimator):
    message = r"(?s)estimator must be a fitted HuberRegressorCV.*cv_results_, got "
    message += re.escape(repr(estimator))
    refused(TypeError, message, CVRhoDisplay.from_estimator, estimator)


def test_a_search_with_several_metrics():
    metrics = ["r2", "neg_max_error"]
    search = GridSearchCV(
        HuberRegressor(), {"rho": [1.5, 2.0]}, scoring=metrics, refit="r2"
    ).fit(X, y)
    refused(TypeError, "(?s)estimator.*one metric", CVRhoDisplay.from_estimator, search)


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        ([{"alpha": 0.1}], "over one parameter rho.*got a search over alpha"),
        ([{}], "over one parameter rho.*got a search over no parameter"),
        ([{"a__rho": 2.0, "b__rho": 2.0}], "over one parameter.*over a__rho, b__rho"),
        ([{"rho": "auto"}], "over at least one rho that is a number > 0, got 'auto'"),
    ],
)
def test_a_search_over_something_else(candidates, message):
    search = a_search(candidates, [1.0], [0.0], best=0)
    message = f"estimator must have searched {message}"
    refused(ValueError, message, CVRhoDisplay.from_estimator, search)


@pytest.mark.parametrize("std", ["error", 1.0, True])
def test_unknown_error_bars(std):
    message = rf"std must be 'standard_error' or 'standard_deviation', got {std!r}"
    refused(ValueError, message, CVRhoDisplay.from_estimator, THREE, std=std)


# --- with what makes paths and searches -----------------------------------------------


def test_the_path_of_huber_path():
    path = skhuber.huber_path(X, y, rhos=[1.2, 2.0, inf], alphas=[0.1, 10.0])
    display = drawn(HuberPathDisplay.from_path(path, alpha_index=1, rho=1.35))
    assert_array_equal(display.scales, path.scales[:, 1])
    for j, line in enumerate(display.coef_lines_):
        assert_array_equal(line.get_ydata(), path.coefs[:, 1, j])
    assert shown_ticks(display.axes_[2].xaxis)[-1] == "∞"


@pytest.mark.parametrize("scale", ["joint", "mad", 2.0])
def test_the_path_of_an_estimator_goes_through_its_fit(scale):
    model = HuberRegressor(rho=1.5, scale=scale, alpha=0.5).fit(X, y)
    display = drawn(HuberPathDisplay.from_estimator(model, X, y, rhos=[1.2, 1.5, 3.0]))
    assert_allclose(display.coefs[1], model.coef_, rtol=1e-5)
    assert_allclose(display.scales[1], model.scale_, rtol=1e-5)
    assert_allclose(display.outlier_shares[1], model.outliers_.mean(), rtol=1e-9)
    assert at(display.rho_lines_[0]) == 1.5


def test_the_path_of_an_estimator_that_is_not_fitted():
    display = drawn(HuberPathDisplay.from_estimator(HuberRegressor(), X, y))
    assert len(display.rhos) == 21
    assert display.rho == 1.35


def test_the_path_with_weights_is_that_of_repeated_samples():
    draw = HuberPathDisplay.from_estimator
    counts = np.arange(N) % 3
    weighted = draw(MODEL, X, y, rhos=[1.35, 2.0], sample_weight=counts)
    repeated = draw(MODEL, X.repeat(counts, 0), y.repeat(counts), rhos=[1.35, 2.0])
    assert_allclose(weighted.coefs, repeated.coefs, rtol=1e-5)
    assert_allclose(weighted.outlier_shares, repeated.outlier_shares, rtol=1e-9)


def test_a_search_of_huber_regressor_cv():
    search = skhuber.HuberRegressorCV(rhos=[1.2, 2.0, 8.0], alphas=[0.01, 10.0], cv=3)
    search.fit(X, y)
    display = drawn(CVRhoDisplay.from_estimator(search))
    means = np.asarray(search.cv_results_["mean_test_score"])
    assert len(display.errorbars_) == 2
    drawn_scores = [bars.lines[0].get_ydata() for bars in display.errorbars_]
    assert_array_equal(np.sort(np.ravel(drawn_scores)), np.sort(means))
    assert at(display.chosen_line_) == search.rho_
    assert display.chosen_score == search.best_score_


def test_the_path_of_huber_regressor_cv_has_its_alpha_and_marks_its_rho():
    search = skhuber.HuberRegressorCV([1.2, 2.0, 8.0], alphas=[0.01, 10.0], cv=3)
    draw = HuberPathDisplay.from_estimator
    refused(NotFittedError, "HuberRegressorCV", draw, search, X, y)
    search.fit(X, y)
    display = draw(search, X, y, rhos=[1.2, search.rho_])
    assert_allclose(display.coefs[1], search.coef_, rtol=1e-5)
    assert display.rho == search.rho_


def test_residuals_and_weights_of_huber_regressor_cv():
    search = skhuber.HuberRegressorCV(rhos=[1.2, 2.0]).fit(X, y)
    display = HuberResidualsDisplay.from_estimator(search, X, y)
    assert display.threshold == search.rho_ * search.scale_
    draw = HuberWeightsDisplay.from_estimator
    assert_array_equal(draw(search, X, y).weights, display.weights)
    assert_array_equal(draw(search).weights, search.robust_weights_)


def test_a_search_in_a_pipeline():
    search = skhuber.HuberRegressorCV(rhos=[1.2, 2.0], cv=3)
    model = make_pipeline(StandardScaler(), search).fit(X, y)
    display = CVRhoDisplay.from_estimator(model)
    assert display.chosen_rho == model[-1].rho_
