"""Names from data are drawn as they are; scores that are not finite are not drawn."""

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import problems
from skhuber import HuberRegressor, HuberRegressorCV
from skhuber.inspection import (
    CVRhoDisplay,
    HuberPathDisplay,
    HuberResidualsDisplay,
    HuberWeightsDisplay,
)

X, Y = problems.plain(60, 3)[:2]
# What matplotlib would take for a formula, leave out, or change.
NAMES = ["$x_{US$", "_a", "__", "a $b$", r"\$5 and $6", "$", "a_b", "plain", "50 %"]


def axes():
    return Figure().subplots()


def shown(ax):
    """Texts of the legend, which can be drawn."""
    ax.figure.savefig(io.BytesIO(), format="png")
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_features(name):
    frame = pd.DataFrame(X, columns=[name, "b", "c"])
    ax = axes()
    display = HuberPathDisplay.from_estimator(HuberRegressor(), frame, Y, ax=ax)
    top = display.axes_[0]
    assert shown(top) == [name, "b", "c", "rho = 1.35"]
    first = top.get_legend().get_texts()[0]
    assert not first.get_parse_math() or "$" not in name
    # A legend that the user draws later has all lines, too, and no formula.
    top.legend()
    top.figure.savefig(io.BytesIO(), format="png")
    assert len(top.get_legend().get_texts()) == 4


@pytest.mark.parametrize("name", NAMES)
def test_names_of_samples(name):
    names = [f"{name}{k}" for k in range(60)]
    display = HuberResidualsDisplay.from_estimator(
        HuberRegressor().fit(X, Y), X, pd.Series(Y, index=names), ax=axes()
    )
    display.figure_.savefig(io.BytesIO(), format="png")
    assert display.annotations_
    for annotation in display.annotations_:
        assert annotation.get_text() in names
        assert not annotation.get_parse_math()


@pytest.mark.parametrize("name", NAMES)
def test_names_of_weights_and_of_candidates(name):
    ax = axes()
    for other in (name, "other"):
        HuberWeightsDisplay(weights=[1.0, 0.5], name=other).plot(ax)
    assert shown(ax) == [f"{name}: 1 of 2 below 1", "other: 1 of 2 below 1"]
    ax = axes()
    CVRhoDisplay(rhos=[1.1, 2.0], scores=[1.0, 2.0], lines=[name, "other"]).plot(ax)
    assert shown(ax) == [name, "other"]


def test_a_formula_of_the_users_own_line_stays_one():
    ax = axes()
    ax.plot([0, 1], [0, 1], label=r"$\alpha$")
    HuberWeightsDisplay(weights=[1.0, 0.5], name="$").plot(ax)
    assert shown(ax) == [r"$\alpha$", "$: 1 of 2 below 1"]
    assert ax.get_legend().get_texts()[0].get_parse_math()


@pytest.mark.filterwarnings("ignore:scoring=.*not finite:UserWarning")
@pytest.mark.parametrize("bad", [-np.inf, np.inf, np.nan])
def test_scores_that_are_not_finite_are_not_drawn(bad):
    search = HuberRegressorCV(
        [1.2, 2.0, 3.0], scoring=lambda model, X, y: bad if model.rho_ < 2 else 0.0
    ).fit(X, Y)
    display = CVRhoDisplay.from_estimator(search, ax=axes())
    display.figure_.savefig(io.BytesIO(), format="png")
    (bars,) = display.errorbars_
    np.testing.assert_array_equal(bars.lines[0].get_ydata(), [np.nan, 0.0, 0.0])
    assert display.chosen_rho == search.rho_
    assert (display.chosen_point_ is None) == (bad == np.inf)


def test_the_standard_error_is_that_of_the_mean_of_the_folds():
    search = HuberRegressorCV([1.2, 2.0], cv=5).fit(X, Y)
    scores = np.array([search.cv_results_[f"split{k}_test_score"] for k in range(5)])
    display = CVRhoDisplay.from_estimator(search, ax=axes())
    np.testing.assert_allclose(
        display.errors, scores.std(axis=0, ddof=1) / np.sqrt(5), rtol=1e-12
    )


def test_one_fold_has_no_standard_error():
    fold = [(np.arange(40), np.arange(40, 60))]
    search = HuberRegressorCV([1.2, 2.0], cv=fold).fit(X, Y)
    display = CVRhoDisplay.from_estimator(search, ax=axes())
    assert np.isnan(display.errors).all()
    assert np.isfinite(display.scores).all()
