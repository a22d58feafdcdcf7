"""Tests of what the display of a path draws."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from matplotlib import pyplot as plt
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from displays import (
    PIPELINE,
    RHOS,
    SORTED,
    N,
    X,
    a_path,
    at,
    drawn,
    inf,
    legend_texts,
    none_overlap,
    shown_ticks,
    y,
)
from skhuber import HuberRegressor
from skhuber.inspection import CVRhoDisplay, HuberPathDisplay

pytestmark = pytest.mark.usefixtures("closed_figures")


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
