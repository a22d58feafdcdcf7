"""Displays of inference."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from inference_data import load, noisy
from skhuber import HuberRegressor
from skhuber.inference import huber_inference
from skhuber.inspection import (
    CoefficientIntervalDisplay,
    InfluenceDisplay,
    LeverageDisplay,
)

mpl.use("Agg")


@pytest.fixture(scope="module")
def hbk():
    X, y = load("hbk")
    result = huber_inference(HuberRegressor(alpha=0).fit(X, y), X, y)
    return result, result.leverage_report(X, y)


def axes():
    return Figure().subplots()


def test_intervals(hbk):
    result, _ = hbk
    ax = axes()
    display = CoefficientIntervalDisplay.from_result(result, alpha=0.1, ax=ax)
    assert display.ax_ is ax
    assert display.names == ["x0", "x1", "x2"]
    np.testing.assert_array_equal(display.points_.get_xdata(), result.params.iloc[1:])
    ends = np.array([path[:, 0] for path in display.intervals_.get_segments()])
    np.testing.assert_allclose(ends, result.conf_int(0.1).iloc[1:])
    assert ax.get_xlabel() == "coefficient and 90 % interval"
    some = CoefficientIntervalDisplay.from_result(
        result, names=["x2", "const"], ax=axes(), line_kwargs={"marker": "s"}
    )
    assert [text.get_text() for text in some.ax_.get_yticklabels()] == ["x2", "const"]
    assert some.points_.get_marker() == "s"


def test_names_are_no_formulas():
    names = ["$a$ and $b$", "_hidden"]
    display = CoefficientIntervalDisplay(
        names=names, coef=[1.0, 2.0], lower=[0.0, 1.0], upper=[2.0, 3.0]
    )
    display.plot(axes())
    labels = display.ax_.get_yticklabels()
    assert [text.get_text() for text in labels] == names
    assert not any(text.get_parse_math() for text in labels)


def test_leverage(hbk):
    _, report = hbk
    display = LeverageDisplay.from_report(report, ax=axes())
    assert list(display.points_) == ["regular", "good leverage", "bad leverage"]
    offsets = display.points_["bad leverage"].get_offsets()
    np.testing.assert_allclose(offsets[:, 0], report.robust_distance[:10])
    np.testing.assert_allclose(offsets[:, 1], report.clean_residual[:10])
    assert {text.get_text() for text in display.annotations_} == set("0123456789")
    few = LeverageDisplay.from_report(
        report, labels=[f"row {i + 1}" for i in range(75)], n_labels=1, ax=axes()
    )
    farthest = int(np.argmax(np.where(np.arange(75) < 10, report.robust_distance, 0)))
    assert few.annotations_[0].get_text() == f"row {farthest + 1}"
    for name in ("c", "color", "facecolor", "facecolors"):
        red = LeverageDisplay.from_report(
            report, ax=axes(), scatter_kwargs={name: "red"}
        )
        assert red.points_["regular"].get_facecolor()[0][:3].tolist() == [1.0, 0.0, 0.0]


def test_influence(hbk):
    _, report = hbk
    display = InfluenceDisplay.from_report(report, n_labels=2, ax=axes())
    np.testing.assert_array_equal(display.points_.get_ydata(), report.cook)
    largest = np.argsort(-report.cook)[:2]
    assert [text.get_text() for text in display.annotations_] == list(map(str, largest))


def test_bad_arguments(hbk):
    result, report = hbk
    for call in [
        lambda: CoefficientIntervalDisplay.from_result(report),
        lambda: LeverageDisplay.from_report(result),
        lambda: InfluenceDisplay.from_report(result),
        lambda: LeverageDisplay.from_report(report, ax=3),
        lambda: InfluenceDisplay.from_report(report, line_kwargs=3),
    ]:
        with pytest.raises(TypeError):
            call()
    for call, words in [
        (lambda: CoefficientIntervalDisplay.from_result(result, names=["z"]), "names"),
        (lambda: CoefficientIntervalDisplay.from_result(result, alpha=2), "alpha"),
        (lambda: InfluenceDisplay(cook=[-1.0]), "cook must be numbers >= 0"),
        (lambda: LeverageDisplay.from_report(report, n_labels=-1), "n_labels"),
        (lambda: LeverageDisplay.from_report(report, labels=["a"]), "labels"),
    ]:
        with pytest.raises(ValueError, match=words):
            call()


def test_no_distances_to_draw():
    _, y = noisy(100, 2)
    codes = np.eye(3)[np.arange(100) % 3][:, :2]
    model = HuberRegressor(alpha=0).fit(codes, y)
    report = huber_inference(model, codes, y).leverage_report(codes, y)
    with pytest.raises(ValueError, match="no column is continuous"):
        LeverageDisplay.from_report(report, ax=axes())
