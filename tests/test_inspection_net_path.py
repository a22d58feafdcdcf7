"""Tests of what the display of a path of elastic nets draws."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from displays import (
    NET_ALPHAS,
    NET_COEFS,
    N,
    X,
    a_net_path,
    at,
    drawn,
    legend_texts,
    none_overlap,
    shown_ticks,
    y,
)
from skhuber import HuberElasticNet, HuberElasticNetCV, huber_enet_path
from skhuber.inspection import HuberNetPathDisplay

pytestmark = pytest.mark.usefixtures("closed_figures")

SORTED = [0, 2, 1]
GREY = to_hex("0.8")


def in_colour(display):
    """The features whose lines are not grey."""
    lines = zip(display.features_, display.coef_lines_, strict=True)
    return [j for j, line in lines if to_hex(line.get_color()) != GREY]


def test_features_that_are_ever_in_the_model_have_a_line():
    display = drawn(HuberNetPathDisplay.from_path(a_net_path()))
    assert_array_equal(display.features_, [0, 2, 3])
    for j, line in zip([0, 2, 3], display.coef_lines_, strict=True):
        assert_array_equal(line.get_xdata(), NET_ALPHAS[SORTED])
        assert_array_equal(line.get_ydata(), NET_COEFS[SORTED, j])
    assert in_colour(display) == [0, 2, 3]
    assert legend_texts(display.ax_) == ["feature 0", "feature 2", "feature 3"]
    assert display.alpha_line_ is None
    ax = display.ax_
    assert (ax.get_xscale(), ax.get_xlabel()) == (
        "log",
        "alpha (weight of the penalty)",
    )
    assert ax.get_ylabel() == "coefficient (target / feature)"
    assert shown_ticks(ax.xaxis) == ["0.1", "0.2", "0.5", "1"]


def test_the_numbers_of_nonzeros_stand_above():
    display = drawn(HuberNetPathDisplay.from_path(a_net_path()))
    above = display.count_ax_
    assert above.get_xlabel() == "number of coefficients that are not zero"
    assert_allclose(above.get_xticks(), [0.1, 0.3, 1.0])
    assert shown_ticks(above.xaxis) == ["3", "2", "0"]
    assert above.get_xlim() == display.ax_.get_xlim()
    assert len(above.get_xticks(minor=True)) == 0


@pytest.mark.parametrize("least", [1e-7, 1e-3, 0.5])
def test_the_counts_of_many_alphas_do_not_touch(least):
    alphas = np.geomspace(1.0, least, 200)
    coefs = np.tril(np.ones((200, 150), dtype=int), -20)
    _, ax = plt.subplots(figsize=(4.0, 3.0))
    display = drawn(HuberNetPathDisplay(alphas=alphas, coefs=coefs).plot(ax))
    for axis in (display.count_ax_.xaxis, display.ax_.xaxis):
        labels = axis.get_ticklabels()
        assert len(labels) >= 2
        assert none_overlap([label.get_window_extent() for label in labels])
    counts = [int(text) for text in shown_ticks(display.count_ax_.xaxis)]
    places = display.count_ax_.get_xticks()
    for count, place in zip(counts, places, strict=True):
        nearest = np.argmin(np.abs(alphas - place))
        assert count == np.count_nonzero(coefs[nearest])


@pytest.mark.parametrize(
    ("alpha", "chosen"),
    # (0.18 is nearer to 0.3 than to 0.1 by ratio, not by difference.)
    [(0.3, [0, 2]), (0.18, [0, 2]), (0.17, [0, 2, 3]), (0.01, [0, 2, 3]), (5.0, [])],
)
def test_features_at_the_marked_alpha_have_colours_and_names(alpha, chosen):
    names = ["a", "b", "c", "$d$"]
    display = drawn(
        HuberNetPathDisplay.from_path(a_net_path(), alpha=alpha, feature_names=names)
    )
    assert at(display.alpha_line_) == alpha
    assert in_colour(display) == chosen
    expected = [names[j] for j in chosen]
    assert legend_texts(display.ax_) == [*expected, f"alpha = {alpha:g}"]
    low, high = display.ax_.get_xlim()
    assert low < min(alpha, 0.1) < max(alpha, 1.0) < high


def test_up_to_ten_features_are_named():
    for n, named in [(10, True), (11, False)]:
        coefs = np.vstack([np.zeros(20), np.arange(20) < n])
        display = HuberNetPathDisplay(alphas=[1.0, 0.5], coefs=coefs, alpha=0.5).plot()
        names = [f"feature {j}" for j in range(n)] if named else []
        assert legend_texts(display.ax_) == [*names, "alpha = 0.5"]
        looks = {(one.get_color(), one.get_linestyle()) for one in display.coef_lines_}
        assert len(looks) == n
    display = HuberNetPathDisplay(alphas=[1.0, 0.5], coefs=coefs).plot()
    assert display.ax_.get_legend() is None


def test_the_legend_lies_beside_the_lines_within_the_figure():
    display = drawn(HuberNetPathDisplay.from_path(a_net_path()))
    box = display.ax_.get_legend().get_window_extent()
    assert display.ax_.get_window_extent().x1 <= box.x0
    assert box.x1 <= display.figure_.bbox.x1
    display = drawn(
        HuberNetPathDisplay.from_path(a_net_path(), ax=plt.figure().subplots())
    )
    box = display.ax_.get_legend().get_window_extent()
    assert box.x1 <= display.ax_.get_window_extent().x1


def test_a_single_alpha_is_in_the_middle():
    display = drawn(HuberNetPathDisplay(alphas=[2.0], coefs=[[3.0]], alpha=2.0).plot())
    assert_allclose(display.ax_.get_xlim(), [1.0, 4.0])
    assert shown_ticks(display.ax_.xaxis) == ["2"]
    assert shown_ticks(display.count_ax_.xaxis) == ["1"]
    assert display.coef_lines_[0].get_marker() == "o"  # a line would not be seen


def test_a_path_of_zeros_can_be_drawn():
    display = drawn(HuberNetPathDisplay(alphas=NET_ALPHAS, coefs=0 * NET_COEFS).plot())
    assert display.coef_lines_ == []
    assert shown_ticks(display.count_ax_.xaxis) == ["0", "0", "0"]


def test_line_keywords_are_those_of_all_coefficients():
    style = {"lw": 3.0, "c": "#123456"}
    display = HuberNetPathDisplay.from_path(a_net_path(), alpha=0.3, line_kwargs=style)
    assert {line.get_linewidth() for line in display.coef_lines_} == {3.0}
    assert {line.get_color() for line in display.coef_lines_} == {"#123456"}


def test_fits_without_a_penalty_are_left_out():
    path = a_net_path(alphas=np.array([0.1, 1.0, 0.0]))
    display = HuberNetPathDisplay.from_path(path)
    assert_array_equal(display.alphas, [0.1, 1.0])
    assert_array_equal(display.coefs, NET_COEFS[:2])
    with pytest.raises(ValueError, match="path must have an alpha > 0, got none"):
        HuberNetPathDisplay.from_path(a_net_path(alphas=np.zeros(3)))


@pytest.mark.parametrize("path", [None, SimpleNamespace(alphas=[1.0], coefs=[[1.0]])])
def test_what_is_no_path(path):
    with pytest.raises(TypeError, match="path must be a HuberNetPath, the result of"):
        HuberNetPathDisplay.from_path(path)


# --- estimators -------------------------------------------------------------------

FRAME = pd.DataFrame(X, columns=["a", "b", "c"])
GIVEN = {
    "scale": "mad",
    "standardize": False,
    "fit_intercept": False,
    "bounds": (None, 3.0),
    "positive": True,
    "max_iter": 17,
    "tol": 1e-5,
    "n_jobs": 1,
}


def test_a_path_has_the_parameters_of_the_estimator(called_with):
    weight = np.ones(N)
    model = HuberElasticNet(0.3, l1_ratio=0.7, rho=2.5, **GIVEN)
    display = HuberNetPathDisplay.from_estimator(
        model, FRAME, y, alphas=[1.0, 0.2], sample_weight=weight
    )
    assert display.alpha == 0.3
    assert display.feature_names == ["a", "b", "c"]
    called = called_with
    assert called.pop("X") is FRAME
    assert called.pop("y") is y
    assert called.pop("sample_weight") is weight
    assert called == GIVEN | {"rho": 2.5, "l1_ratio": 0.7, "alphas": [1.0, 0.2]}
    called.clear()
    display = HuberNetPathDisplay.from_estimator(model.set_params(alpha=0.0), X, y)
    assert display.alpha is None
    assert not {"alphas", "n_alphas", "eps"} & set(called)


def test_a_path_of_a_search_has_what_it_chose(called_with):
    model = HuberElasticNetCV([0.5, 0.7], rho=[1.5, 2.5], n_alphas=7, eps=0.1, **GIVEN)
    model.alpha_, model.l1_ratio_, model.rho_ = 0.3, 0.7, 2.5
    display = HuberNetPathDisplay.from_estimator(model, X, y, feature_names=list("def"))
    assert display.alpha == 0.3
    assert display.feature_names == ["d", "e", "f"]
    expected = {"rho": 2.5, "l1_ratio": 0.7, "alphas": None, "n_alphas": 7, "eps": 0.1}
    chosen = {name: called_with[name] for name in expected}
    assert chosen == expected
    called_with.clear()
    HuberNetPathDisplay.from_estimator(model, X, y, alphas=[1.0])
    assert called_with["alphas"] == [1.0]
    assert "n_alphas" not in called_with


@pytest.mark.parametrize("criterion", ["cv", "ebic"])
def test_the_path_of_a_search_goes_through_its_fit(criterion):
    search = HuberElasticNetCV(n_alphas=10, eps=0.05, criterion=criterion, cv=3)
    model = make_pipeline(StandardScaler(), search).fit(FRAME, y)
    display = HuberNetPathDisplay.from_estimator(model, FRAME, y)
    search = model[-1]
    assert display.feature_names == ["a", "b", "c"]
    assert_allclose(display.alphas, search.alphas_[0, 0], rtol=1e-12)
    (k,) = np.flatnonzero(display.alphas == search.alpha_)
    assert_allclose(display.coefs[k], search.coef_, rtol=1e-6, atol=1e-9)
    assert in_colour(display) == np.flatnonzero(search.coef_).tolist()


def test_the_path_of_huber_enet_path():
    path = huber_enet_path(X, y, n_alphas=6, eps=0.1)
    display = HuberNetPathDisplay.from_path(path)
    for j, line in zip(display.features_, display.coef_lines_, strict=True):
        assert_array_equal(line.get_ydata(), path.coefs[::-1, j])
    counts = dict(zip(path.alphas, path.n_nonzeros, strict=True))
    places = display.count_ax_.get_xticks()
    assert shown_ticks(display.count_ax_.xaxis) == [str(counts[a]) for a in places]


@pytest.mark.parametrize("model", [LinearRegression(), None, HuberElasticNet])
def test_estimators_that_have_no_path(model, called_with):
    with pytest.raises(
        TypeError, match="estimator must be a HuberElasticNet, a fitted"
    ):
        HuberNetPathDisplay.from_estimator(model, X, y)
    assert not called_with
