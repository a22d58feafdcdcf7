"""What the displays draw, and what they say of bad input.

Small stand-ins have the place of most paths and searches; the last section takes those
of `huber_path` and `HuberRegressorCV`.
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

from skhuber import HuberRegressor, HuberRegressorCV, huber_path
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
PIPELINE = make_pipeline(StandardScaler(), HuberRegressor()).fit(X, y)
POINTS = np.column_stack([MODEL.predict(X), y - MODEL.predict(X)])
THRESHOLD = MODEL.rho_ * MODEL.scale_

OBSERVED = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
PREDICTED = np.array([1.0, 3.0, -1.0, 12.0, 5.5])  # residuals 0, -1, 4, -8, -0.5
# Another regressor that the displays can draw.
DUCK = SimpleNamespace(rho_=2.0, scale_=3.0, predict=lambda X: np.zeros(len(X)))


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def drawn(display):
    """The display, after a draw: some of matplotlib's warnings come only then."""
    display.figure_.canvas.draw()
    return display


def texts(artists):
    return [artist.get_text() for artist in artists]


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


def none_overlap(boxes):
    pairs = itertools.combinations(boxes, 2)
    return not any(one.overlaps(other) for one, other in pairs)


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


def shown_ticks(axis):
    return texts(axis.get_ticklabels())


def test_a_path_is_drawn_from_the_least_rho():
    path = a_path()
    for given, k in [({}, 0), ({"alpha_index": 1}, 1)]:
        display = HuberPathDisplay.from_path(path, **given)
        lines = [*display.coef_lines_, display.scale_line_, display.outlier_line_]
        values = [*path.coefs[:, k].T, path.scales[:, k], path.outlier_shares[:, k]]
        axes = display.axes_[[0, 0, 0, 1, 2]]
        for line, value, ax in zip(lines, values, axes, strict=True):
            assert_array_equal(line.get_xdata(), RHOS[SORTED])
            assert_array_equal(line.get_ydata(), value[SORTED])
            assert line.axes is ax


def test_the_axes_of_a_path_are_stacked_and_named():
    display = HuberPathDisplay.from_path(a_path())
    top, middle, bottom = display.axes_
    assert bottom.get_ylim()[0] == 0.0
    bottom.set_yticks([0.0, 0.25])
    drawn(display)
    assert top.get_ylabel() == "coefficient\n(target / feature)"
    assert middle.get_ylabel() == "scale\n(unit of target)"
    assert bottom.get_ylabel() == "share of\noutliers"
    assert shown_ticks(bottom.yaxis) == ["0%", "25%"]
    assert bottom.get_xlabel() == "rho (threshold in units of the scale)"
    tops = [ax.get_position().y1 for ax in display.axes_]
    assert tops == sorted(tops, reverse=True)
    numbered = [
        any(tick.label1.get_visible() for tick in ax.xaxis.get_major_ticks())
        for ax in display.axes_
    ]
    assert numbered == [False, False, True]
    assert {ax.get_xscale() for ax in display.axes_} == {"log"}
    bottom.set_xlim(1.0, 3.0)
    assert top.get_xlim() == middle.get_xlim() == (1.0, 3.0)


@pytest.mark.parametrize(
    ("rhos", "ticks"),
    [
        ([1.0, 10.0], ["1", "2", "5", "10"]),
        ([1.1, 10.0], ["1.2", "1.5", "2", "3", "5", "7", "10"]),
        ([0.5, 50.0], ["1", "3", "10", "30"]),
        ([0.1, 100.0], ["0.1", "1", "10", "100"]),
        ([1.31, 2.1], ["1.5", "2"]),
        ([1.31, 1.39], ["1.31", "1.39"]),
    ],
)
def test_rho_is_numbered_by_round_numbers_within_limits_that_hold_all(rhos, ticks):
    display = HuberPathDisplay.from_path(a_path(rhos))
    bottom = display.axes_[2]
    assert shown_ticks(bottom.xaxis) == ticks
    assert len(bottom.get_xticks(minor=True)) == 0
    low, high = bottom.get_xlim()
    span = rhos[1] / rhos[0]
    assert rhos[0] / span < low < rhos[0] < rhos[1] < high < rhos[1] * span


@pytest.mark.parametrize("rho", [1.35, inf])
def test_a_single_rho_is_in_the_middle(rho):
    path = HuberPathDisplay.from_path(a_path([rho]), rho=rho)
    search = CVRhoDisplay(rhos=[rho], scores=[1.0], chosen_rho=rho).plot()
    x = path.scale_line_.get_xdata()[0]
    assert [at(line) for line in [*path.rho_lines_, search.chosen_line_]] == [x] * 4
    for display, ax in [(path, path.axes_[2]), (search, search.ax_)]:
        drawn(display)
        assert_allclose(ax.get_xlim(), [x / 2, 2 * x])
        assert shown_ticks(ax.xaxis) == ["1.35" if rho == 1.35 else "∞"]


@pytest.mark.parametrize(
    ("least", "greatest"), [(1e-7, 1e4), (1.05, 10.0), (1.05, 1e4)]
)
def test_an_infinite_rho_is_at_the_right_edge_and_no_numbers_touch(least, greatest):
    _, ax = plt.subplots(figsize=(3.5, 5.0))
    path = a_path([inf, least, greatest])
    display = drawn(HuberPathDisplay.from_path(path, ax=ax))
    assert_allclose(display.scale_line_.get_xdata(), [least, greatest, 1.5 * greatest])
    bottom = display.axes_[2]
    assert bottom.get_xticks()[-1] == 1.5 * greatest
    assert shown_ticks(bottom.xaxis)[-1] == "∞"
    labels = bottom.xaxis.get_ticklabels()
    assert len(labels) >= 3
    assert none_overlap([label.get_window_extent() for label in labels])


@pytest.mark.parametrize(
    ("rhos", "rho", "place", "says"),
    [
        (RHOS, 1.35, 1.35, "1.35"),
        (RHOS, inf, 6.0, "∞"),
        # Beyond the finite ones it comes before infinity all the same.
        ([1.1, inf], 1e4, 1e4, "10000"),
    ],
)
def test_the_chosen_rho_is_marked_on_all_axes(rhos, rho, place, says):
    display = HuberPathDisplay.from_path(a_path(rhos), rho=rho)
    assert [at(line) for line in display.rho_lines_] == [place] * 3
    assert [line.axes for line in display.rho_lines_] == list(display.axes_)
    assert legend_texts(display.axes_[0])[-1] == f"rho = {says}"
    if inf in rhos:
        assert display.scale_line_.get_xdata()[-1] == 1.5 * place


def test_up_to_ten_features_are_in_the_legend():
    draw = HuberPathDisplay.from_path
    display = draw(a_path(), feature_names=["a", "b", "c"])
    assert legend_texts(display.axes_[0]) == ["a", "b", "c"]
    assert display.rho_lines_ == []
    display = draw(a_path(n_features=10), rho=2.0)
    names = [f"feature {j}" for j in range(10)]
    assert legend_texts(display.axes_[0]) == [*names, "rho = 2"]
    looks = {(line.get_color(), line.get_linestyle()) for line in display.coef_lines_}
    assert len(looks) == 10
    display = draw(a_path(n_features=11), rho=2.0)
    assert len(display.coef_lines_) == 11
    assert legend_texts(display.axes_[0]) == ["rho = 2"]
    assert draw(a_path(n_features=11)).axes_[0].get_legend() is None


def test_the_legend_of_a_path_lies_beside_it_within_the_figure():
    display = drawn(HuberPathDisplay.from_path(a_path(), feature_names=["aaaaaaa"] * 3))
    box = display.axes_[0].get_legend().get_window_extent()
    assert display.axes_[0].get_window_extent().x1 <= box.x0
    assert box.x1 <= display.figure_.bbox.x1


@pytest.mark.parametrize("layout", [None, "constrained"])
def test_a_path_takes_the_place_of_given_axes(layout):
    figure, (left, right) = plt.subplots(1, 2, layout=layout)
    figure.canvas.draw()
    place = right.get_position()
    display = drawn(HuberPathDisplay.from_path(a_path(), ax=right))
    assert display.bounding_ax_ is right
    assert not right.axison
    assert left.axison
    assert figure.axes == [left, right, *display.axes_]
    for ax in display.axes_:
        box = ax.get_position()
        assert place.x0 - 0.05 < box.x0 < box.x1 <= place.x1 + 1e-9
    legend = display.axes_[0].get_legend().get_window_extent()
    assert legend.x1 <= figure.bbox.x1


def test_a_path_takes_the_place_of_axes_outside_a_grid():
    ax = plt.figure().add_axes((0.2, 0.3, 0.4, 0.5))
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


@pytest.fixture
def called_with(monkeypatch):
    """What huber_path is called with; it returns a stand-in."""
    calls = {}

    def stand_in(X, y, *, rhos, alphas, **others):
        calls.update(others, X=X, y=y, rhos=rhos, alphas=alphas)
        return a_path(np.asarray(rhos), len(alphas), np.shape(X)[1])

    monkeypatch.setattr("skhuber.inspection._path.huber_path", stand_in)
    return calls


def test_a_path_has_the_parameters_of_the_estimator(called_with):
    given = {"scale": "mad", "fit_intercept": False, "max_iter": 17, "tol": 1e-5}
    given["n_jobs"] = 1
    weights = np.ones(N)
    display = HuberPathDisplay.from_estimator(
        HuberRegressor(rho=2.5, alpha=0.3, **given),
        FRAME,
        y,
        rhos=[1.0, 2.0],
        sample_weight=weights,
        feature_names=["d", "e", "f"],
        line_kwargs={"lw": 3.0},
    )
    assert display.rho == 2.5
    assert display.feature_names == ["d", "e", "f"]
    lines = [*display.coef_lines_, display.scale_line_, display.outlier_line_]
    assert {line.get_linewidth() for line in lines} == {3.0}
    assert called_with.pop("X") is FRAME
    assert called_with.pop("y") is y
    assert called_with.pop("sample_weight") is weights
    assert called_with == given | {"rhos": [1.0, 2.0], "alphas": [0.3]}


def test_rho_and_alpha_in_use_go_before_the_parameters(called_with):
    model = HuberRegressor(rho=2.5).fit(X, y).set_params(rho="auto")
    model.alpha_ = 7.0
    assert HuberPathDisplay.from_estimator(model, X, y).rho == 2.5
    assert called_with["alphas"] == [7.0]
    model = HuberRegressor(rho="auto")
    assert HuberPathDisplay.from_estimator(model, X, y).rho is None


def test_rhos_if_nothing_is_said(called_with):
    for scale, rho, low, high in [
        ("mad", 1.35, 1.1, 10.0),
        (1.0, 500.0, 50.0, 5000.0),
        (1.0, inf, 0.1, 10.0),
    ]:
        HuberPathDisplay.from_estimator(HuberRegressor(rho, scale=scale), X, y)
        rhos = called_with["rhos"]
        assert len(rhos) == 21
        assert_allclose([rhos[0], rhos[-2], rhos[-1]], [low, high, inf])


FRAME = pd.DataFrame(X, columns=["a", "b", "c"])
SCALED = StandardScaler().fit_transform(X)
NAMELESS = make_pipeline(
    StandardScaler(), FunctionTransformer(np.square), HuberRegressor()
).fit(X, y)


@pytest.mark.parametrize(
    ("model", "features", "names", "taken"),
    [
        (HuberRegressor(), X, None, X),
        (HuberRegressor(), FRAME, ["a", "b", "c"], X),
        (HuberRegressor(), pl.DataFrame(FRAME.to_dict("list")), ["a", "b", "c"], X),
        (PIPELINE, X, ["x0", "x1", "x2"], SCALED),
        (NAMELESS, X, None, SCALED**2),
        (make_pipeline(HuberRegressor()), FRAME, ["a", "b", "c"], X),
    ],
)
def test_a_pipeline_takes_the_features_to_its_last_step(
    called_with, model, features, names, taken
):
    display = HuberPathDisplay.from_estimator(model, features, y)
    assert display.feature_names == names
    assert_allclose(np.asarray(called_with["X"]), taken)


# --- searches -----------------------------------------------------------------------


def a_search(candidates, means, stds, best, n_splits=5, **attributes):
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


def test_scores_are_drawn_from_the_least_rho_and_the_choice_is_marked():
    display = drawn(CVRhoDisplay.from_estimator(THREE))
    (bars,) = display.errorbars_
    assert_array_equal(bars.lines[0].get_xdata(), [1.1, 2.0, 4.0])
    assert_array_equal(bars.lines[0].get_ydata(), [-2.0, -1.0, -3.0])
    assert display.ax_.get_xscale() == "log"
    assert display.ax_.get_xlabel() == "rho (threshold in units of the scale)"
    assert display.ax_.get_ylabel() == "score (greater is better)"
    assert at(display.chosen_line_) == 2.0
    assert display.chosen_point_.get_xydata().tolist() == [[2.0, -1.0]]
    assert display.chosen_point_.get_markerfacecolor() == "none"  # hides no bar
    assert legend_texts(display.ax_) == ["mean score", "chosen: rho = 2"]


@pytest.mark.parametrize(
    ("given", "expected", "caption"),
    [
        ({}, [0.2, 0.3, 0.1], "mean ± standard error"),
        ({"std": "standard_deviation"}, [0.4, 0.6, 0.2], "mean ± standard deviation"),
        ({"std": None}, None, ""),
    ],
)
def test_error_bars(given, expected, caption):
    display = CVRhoDisplay.from_estimator(THREE, **given)
    (bars,) = display.errorbars_
    assert bars.has_yerr == (expected is not None)
    if bars.has_yerr:
        assert_allclose(lengths(bars), expected)
    assert display.ax_.get_legend().get_title().get_text() == caption


def test_what_is_not_known_of_the_choice_is_not_marked():
    display = CVRhoDisplay(rhos=[1, 2], scores=[3, 4], chosen_rho=2).plot()
    assert at(display.chosen_line_) == 2.0
    assert display.chosen_point_ is None
    assert legend_texts(display.ax_) == ["mean score", "chosen: rho = 2"]
    search = a_search([{"rho": 1.5}, {"rho": "auto"}], [1.0, 2.0], [0.0, 0.0], best=1)
    for _ in range(2):
        display = CVRhoDisplay.from_estimator(search)
        assert display.chosen_line_ is None
        assert display.chosen_point_ is None
        assert legend_texts(display.ax_) == ["mean score"]
        search.__dict__.pop("best_index_", None)  # as of a search without refit


def test_there_is_one_line_for_each_alpha():
    search = a_search(
        [{"alpha": a, "rho": r} for a in (0.1, 1e-4, 10) for r in (1.1, 2.0)],
        np.arange(6.0),
        np.arange(6.0) * 4,
        best=5,
    )
    display = CVRhoDisplay.from_estimator(search)
    for k, bars in enumerate(display.errorbars_):
        assert_array_equal(bars.lines[0].get_ydata(), [2 * k, 2 * k + 1])
        assert_allclose(lengths(bars), [4 * k, 4 * k + 2])
    names = ["alpha = 0.1", "alpha = 0.0001", "alpha = 10", "chosen: rho = 2"]
    assert legend_texts(display.ax_) == names
    first = [bars.lines[0] for bars in display.errorbars_]
    assert len({(to_hex(line.get_color()), line.get_marker()) for line in first}) == 3


def grid(**varied):
    """Candidates with one rho, and all combinations of the other values."""
    values = itertools.product(*varied.values())
    return [{"m__rho": 1.5} | dict(zip(varied, row, strict=True)) for row in values]


@pytest.mark.parametrize(
    ("candidates", "lines"),
    [
        (grid(scale=["mad"], alpha=[0.1, 1.0]), ["alpha = 0.1", "alpha = 1"]),
        (
            grid(scale=["joint", "mad"], a__alpha=[0.1, 10]),
            [
                f"scale = {s}, alpha = {a}"
                for s in ("joint", "mad")
                for a in ("0.1", 10)
            ],
        ),
        # The same last name.
        (
            grid(a__k=[1, 2], b__k=[3, 4]),
            [f"a__k = {a}, b__k = {b}" for a in (1, 2) for b in (3, 4)],
        ),
        # Four digits, or all where four are the same.
        (grid(alpha=[1 / 3, 2 / 3]), ["alpha = 0.3333", "alpha = 0.6667"]),
        (grid(alpha=[1 / 3, 0.33333]), [f"alpha = {1 / 3}", "alpha = 0.33333"]),
    ],
)
def test_a_line_is_named_after_what_else_varied(candidates, lines):
    n = len(candidates)
    search = a_search(candidates, np.arange(n), np.ones(n), best=0)
    display = CVRhoDisplay.from_estimator(search)
    assert [bars.get_label() for bars in display.errorbars_] == lines


def test_the_legend_of_scores_is_beside_them_where_there_is_room():
    display = drawn(CVRhoDisplay.from_estimator(THREE))
    box = display.ax_.get_legend().get_window_extent()
    assert display.ax_.get_window_extent().x1 <= box.x0
    assert box.x1 <= display.figure_.bbox.x1
    _, ax = plt.subplots()
    drawn(display.plot(ax))
    box = ax.get_legend().get_window_extent()
    assert box.x1 <= ax.get_window_extent().x1


def test_only_numeric_rhos_are_drawn():
    values = ["auto", 1.1, None, True, nan, -1.0, np.float32(2.0), 3]
    search = a_search(
        [{"rho": rho} for rho in values], np.arange(8.0), np.arange(8.0) * 2, best=6
    )
    display = CVRhoDisplay.from_estimator(search)
    (bars,) = display.errorbars_
    assert_array_equal(bars.lines[0].get_xdata(), [1.1, 2.0, 3.0])
    assert_array_equal(bars.lines[0].get_ydata(), [1.0, 6.0, 7.0])
    assert_allclose(lengths(bars), [1.0, 6.0, 7.0])
    assert at(display.chosen_line_) == 2.0


def test_a_choice_that_is_no_number_is_marked_at_the_rho_in_use():
    best = make_pipeline(StandardScaler(), HuberRegressor(1.7)).fit(X, y)
    candidates = [{"m__rho": 1.1}, {"m__rho": "auto"}]
    for known in [{"rho_": 1.7}, {"best_estimator_": best}]:
        search = a_search(candidates, [1.0, 2.0], [0, 0], best=1, **known)
        display = CVRhoDisplay.from_estimator(search)
        assert at(display.chosen_line_) == 1.7
        assert display.chosen_point_.get_xydata().tolist() == [[1.7, 2.0]]
        assert len(display.errorbars_[0].lines[0].get_xdata()) == 1


def test_an_infinite_candidate_is_at_the_right_edge():
    search = a_search([{"rho": r} for r in (inf, 2.0, 4.0)], [1, 2, 3], [0] * 3, best=0)
    display = CVRhoDisplay.from_estimator(search)
    assert_array_equal(display.errorbars_[0].lines[0].get_xdata(), [2.0, 4.0, 6.0])
    assert shown_ticks(display.ax_.xaxis)[-1] == "∞"
    assert at(display.chosen_line_) == 6.0
    assert legend_texts(display.ax_)[-1] == "chosen: rho = ∞"
    # A chosen rho beyond the finite ones comes before it all the same.
    display = CVRhoDisplay(rhos=[2, inf], scores=[1, 2], chosen_rho=10.0).plot()
    assert_array_equal(display.errorbars_[0].lines[0].get_xdata(), [2.0, 15.0])
    assert at(display.chosen_line_) == 10.0


def test_failed_candidates_are_not_drawn():
    search = a_search(
        [{"rho": r} for r in (1.1, 2.0, 3.0)], [1, nan, 3], [1, nan, 1], best=1
    )
    display = drawn(CVRhoDisplay.from_estimator(search))
    assert_array_equal(display.errorbars_[0].lines[0].get_ydata(), [1.0, nan, 3.0])
    assert display.chosen_point_ is None


def test_error_bar_keywords():
    style = {"lw": 3.0, "capsize": 0.0, "c": "#123456"}
    (bars,) = CVRhoDisplay.from_estimator(THREE, errorbar_kwargs=style).errorbars_
    assert bars.lines[0].get_linewidth() == 3.0
    assert bars.lines[0].get_color() == "#123456"


def test_a_grid_search_over_a_pipeline_is_drawn():
    rhos, alphas = [1.2, 2.0, 8.0], [0.01, 10.0]
    search = GridSearchCV(
        make_pipeline(StandardScaler(), HuberRegressor()),
        {"huberregressor__rho": rhos, "huberregressor__alpha": alphas},
        cv=3,
        scoring="neg_median_absolute_error",
    ).fit(X, y)
    display = CVRhoDisplay.from_estimator(search)
    means = search.cv_results_["mean_test_score"].reshape(2, 3)
    stds = search.cv_results_["std_test_score"].reshape(2, 3)
    assert len(display.errorbars_) == 2
    for k, bars in enumerate(display.errorbars_):
        assert_array_equal(bars.lines[0].get_xdata(), rhos)
        assert_array_equal(bars.lines[0].get_ydata(), means[k])
        assert_allclose(lengths(bars), stds[k] / math.sqrt(3 - 1))
    assert display.chosen_rho == search.best_params_["huberregressor__rho"]
    assert display.chosen_score == search.best_score_
    names = ["alpha = 0.01", "alpha = 10", f"chosen: rho = {display.chosen_rho:g}"]
    assert legend_texts(display.ax_) == names


def test_a_search_with_several_grids_is_drawn_where_rho_is_set():
    search = GridSearchCV(
        HuberRegressor(),
        [{"scale": ["mad"]}, {"rho": [1.5, 2.0], "scale": ["joint"]}],
        cv=3,
    ).fit(X, y)
    (bars,) = CVRhoDisplay.from_estimator(search).errorbars_
    assert_array_equal(bars.lines[0].get_xdata(), [1.5, 2.0])
    assert bars.get_label() == "scale = joint"


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
