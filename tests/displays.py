"""Data, models and stand-ins that the tests of the displays share."""

import itertools
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skhuber import HuberRegressor

mpl.use("Agg")

nan, inf = float("nan"), float("inf")

N = 60
# The outliers, from the farthest.
FAR = [41, 7, 23, 50, 12, 33, 3]


def with_outliers():
    """Return N samples, of which those in FAR are outliers."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 3)) * [1.0, 2.0, 3.0] + 5.0
    y = X @ [1.0, -2.0, 0.5] + rng.normal(size=N)
    y[FAR] += [90.0, -80.0, 70.0, -60.0, 50.0, -40.0, 30.0]
    return X, y


X, y = with_outliers()
MODEL = HuberRegressor().fit(X, y)
PIPELINE = make_pipeline(StandardScaler(), HuberRegressor()).fit(X, y)
POINTS = np.column_stack([MODEL.predict(X), y - MODEL.predict(X)])
THRESHOLD = MODEL.rho_ * MODEL.scale_

OBSERVED = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
PREDICTED = np.array([1.0, 3.0, -1.0, 12.0, 5.5])  # residuals 0, -1, 4, -8, -0.5
# Another regressor that the displays can draw.
DUCK = SimpleNamespace(rho_=2.0, scale_=3.0, predict=lambda X: np.zeros(len(X)))


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


NET_ALPHAS = np.array([0.1, 1.0, 0.3])  # not sorted
NET_COEFS = np.array(
    [[2.0, 0.0, -1.0, 0.5], [0.0, 0.0, 0.0, 0.0], [1.0, 0.0, -0.5, 0.0]],
)


def a_net_path(**changed):
    """A stand-in for the result of huber_enet_path."""
    fields = {"alphas": NET_ALPHAS, "coefs": NET_COEFS, "ebics": np.zeros(3)}
    return SimpleNamespace(**fields | changed)


def shown_ticks(axis):
    return texts(axis.get_ticklabels())


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
