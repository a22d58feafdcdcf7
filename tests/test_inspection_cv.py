"""Tests of what the display of a search draws."""

import itertools
import math

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from displays import (
    THREE,
    X,
    a_search,
    at,
    drawn,
    inf,
    legend_texts,
    nan,
    shown_ticks,
    y,
)
from skhuber import HuberRegressor
from skhuber.inspection import CVRhoDisplay

pytestmark = pytest.mark.usefixtures("closed_figures")


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
