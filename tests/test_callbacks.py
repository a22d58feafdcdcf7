"""Progress: scikit-learn's callbacks (1.9 and later), and `verbose`."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import problems
from compare import assert_same_bits
from skhuber import (
    HuberElasticNet,
    HuberElasticNetCV,
    HuberRegressor,
    HuberRegressorCV,
)
from skhuber._estimators import callbacks

X, Y, *_ = problems.plain(200, 3)

has_callbacks = pytest.mark.skipif(
    "sklearn" not in callbacks.CallbackSupportMixin.__module__,
    reason="scikit-learn has callbacks from 1.9 on",
)


class Recorder:
    """A callback that notes what it is told, and stops when asked to."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.events = []
        self.models = []

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None):
        assert X is not None
        self.events.append(f"begin {context.task_name}")

    def on_fit_task_end(
        self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator
    ):
        self.events.append(f"end {context.task_name}")
        if context.task_name != "fit":
            self.models.append((fitted_estimator, len(y), metadata))
        return self.stop_after is not None and len(self.models) >= self.stop_after


def test_verbose_prints_a_line_for_each_sweep(capsys):
    problem = problems.plain(600, 60)
    model = HuberRegressor(verbose=True).fit(problem.X, problem.y)
    lines = capsys.readouterr().out.splitlines()
    assert 3 <= len(lines) <= model.n_sweeps_
    sweeps = [int(line.split(":")[0].removeprefix("sweep ")) for line in lines]
    assert sweeps == sorted(sweeps)
    last = float(lines[-1].split("objective ")[1].split(",")[0])
    assert last == pytest.approx(model.objective_, rel=1e-8)
    HuberRegressor().fit(problem.X, problem.y)
    assert capsys.readouterr().out == ""


@pytest.mark.compiled
def test_of_small_data_verbose_prints_the_result(capsys):
    model = HuberRegressor(verbose=True).fit(X, Y)
    (line,) = capsys.readouterr().out.splitlines()
    assert line == (
        f"sweep {model.n_sweeps_}: objective {model.objective_:.10g}, "
        f"scale {model.scale_:.6g}"
    )


def test_verbose_is_a_flag():
    with pytest.raises(TypeError, match="verbose must be True or False, got 1"):
        HuberRegressor(verbose=1).fit(X, Y)


@has_callbacks
@pytest.mark.parametrize(
    "size",
    [(600, 60), (40, 20), pytest.param((70_000, 4), marks=pytest.mark.compiled)],
    ids=str,
)
def test_a_callback_sees_every_iteration(size):
    problem = problems.plain(*size)
    recorder = Recorder()
    model = HuberRegressor().set_callbacks(recorder).fit(problem.X, problem.y)
    events = recorder.events
    assert events[:2] == ["setup", "begin fit"]
    assert events[-2:] == ["end fit", "teardown"]
    inner = events[2:-2]
    assert inner == ["begin iteration", "end iteration"] * (len(inner) // 2)
    assert len(inner) // 2 >= model.n_iter_
    last, n, _ = recorder.models[-1]
    assert n == size[0]
    np.testing.assert_allclose(last.predict(problem.X), model.predict(problem.X))
    assert_same_bits(model, HuberRegressor().fit(problem.X, problem.y))


@pytest.mark.compiled
@has_callbacks
def test_of_small_data_a_callback_sees_the_result():
    """They are fitted in one compiled call, which lasts a fraction of a millisecond."""
    recorder = Recorder(stop_after=1)
    model = HuberRegressor().set_callbacks(recorder).fit(X, Y)
    inner = ["begin iteration", "end iteration"]
    assert recorder.events == ["setup", "begin fit", *inner, "end fit", "teardown"]
    np.testing.assert_array_equal(recorder.models[0][0].coef_, model.coef_)
    assert_same_bits(model, HuberRegressor().fit(X, Y))


@has_callbacks
@pytest.mark.parametrize(
    "size", [(600, 60), pytest.param((70_000, 4), marks=pytest.mark.compiled)], ids=str
)
@pytest.mark.parametrize("scale", ["joint", "mad", 0.5])
def test_a_callback_stops_a_fit(size, scale):
    """Without a warning; the gap tells how far it got."""
    problem = problems.plain(*size)
    recorder = Recorder(stop_after=2)
    model = HuberRegressor(scale=scale).set_callbacks(recorder)
    model.fit(problem.X, problem.y)
    assert len(recorder.models) == 2
    np.testing.assert_array_equal(recorder.models[-1][0].coef_, model.coef_)
    assert recorder.models[-1][0].scale_ == pytest.approx(model.scale_)
    full = HuberRegressor(scale=scale).fit(problem.X, problem.y)
    if scale != "mad":
        assert model.objective_ >= full.objective_ * (1 - 1e-12)
    assert model.optimality_gap_ > full.optimality_gap_
    assert recorder.events[-2:] == ["end fit", "teardown"]


@has_callbacks
def test_an_error_tears_callbacks_down_and_leaves_the_estimator():
    recorder = Recorder()
    model = HuberRegressor().set_callbacks(recorder)
    before = vars(model).copy()
    bad = X.copy()
    bad[0, 0] = np.nan
    with pytest.raises(ValueError, match="X contains NaN"):
        model.fit(bad, Y)
    assert recorder.events[-1] == "teardown"
    assert vars(model) == before


@has_callbacks
def test_weights_are_told():
    recorder = Recorder()
    weight = np.arange(200) % 3 + 1.0
    HuberRegressor().set_callbacks(recorder).fit(X, Y, sample_weight=weight)
    _, _, metadata = recorder.models[-1]
    np.testing.assert_array_equal(metadata["sample_weight"], weight)


@has_callbacks
def test_cross_validation_tells_of_candidates():
    recorder = Recorder()
    model = HuberRegressorCV([1.2, 2.0], alphas=[1e-4, 1.0], cv=3)
    model.set_callbacks(recorder).fit(X, Y)
    ends = [event for event in recorder.events if event.startswith("end")]
    assert ends == ["end candidate"] * 12 + ["end refit", "end fit"]
    rhos = [model.rho_ for model, _, _ in recorder.models[:4]]
    assert rhos == [1.2, 1.2, 2.0, 2.0]
    candidate, n, _ = recorder.models[0]
    assert n in (133, 134)
    train = slice(67, None)
    alone = HuberRegressor(1.2).fit(X[train], Y[train])
    np.testing.assert_allclose(candidate.coef_, alone.coef_, rtol=1e-9)
    last, _, _ = recorder.models[-1]
    np.testing.assert_array_equal(last.predict(X), model.predict(X))


@has_callbacks
@pytest.mark.parametrize("estimator", [HuberRegressor(), HuberRegressorCV([1.2, 2.0])])
def test_the_callbacks_of_scikit_learn(estimator, capsys):
    from sklearn.callback import ProgressBar, ScoringMonitor

    monitor = ScoringMonitor(scoring="r2")
    data = problems.plain(600, 60)
    model = clone(estimator).set_callbacks(monitor, ProgressBar()).fit(data.X, data.y)
    log = monitor.get_logs().data
    assert len(log) >= 3
    scores = [entry["r2"] for entry in log if entry["r2"] is not None]
    assert scores[-1] == pytest.approx(model.score(data.X, data.y), abs=0.2)
    if isinstance(estimator, HuberRegressor):
        names = {entry["task_name"] for entry in log}
        assert "iteration" in names
    assert "Huber" in capsys.readouterr().out


@has_callbacks
def test_callbacks_reach_into_pipelines_and_searches(capsys):
    from sklearn.callback import ProgressBar

    pipeline = make_pipeline(StandardScaler(), HuberRegressor())
    pipeline.set_callbacks(ProgressBar(max_propagation_depth=3)).fit(X, Y)
    assert "HuberRegressor" in capsys.readouterr().out
    search = GridSearchCV(HuberRegressor(), {"rho": [1.2, 2.0]}, cv=2)
    search.set_callbacks(ProgressBar(max_propagation_depth=3)).fit(X, Y)
    assert "HuberRegressor" in capsys.readouterr().out


@has_callbacks
def test_a_clone_keeps_its_callbacks_and_a_fit_leaves_nothing_behind():
    model = HuberRegressor().set_callbacks(Recorder()).fit(X, Y)
    assert not [
        name for name in vars(model) if "callback" in name and "_skl" not in name
    ]


@pytest.mark.skipif(
    "sklearn" in callbacks.CallbackSupportMixin.__module__, reason="it has callbacks"
)
def test_without_callbacks_nothing_is_missing():
    assert not hasattr(HuberRegressor(), "set_callbacks")
    assert HuberRegressor().fit(X, Y).score(X, Y) > -10


def test_verbose_of_an_elastic_net(capsys):
    model = HuberElasticNet(0.1, verbose=True).fit(X, Y)
    lines = capsys.readouterr().out.splitlines()
    assert 3 <= len(lines) <= model.n_sweeps_
    values = [float(line.split("objective ")[1].split(",")[0]) for line in lines]
    assert min(values) == pytest.approx(model.objective_, rel=1e-8)


@has_callbacks
def test_callbacks_of_an_elastic_net():
    recorder = Recorder()
    model = HuberElasticNet(0.1).set_callbacks(recorder).fit(X, Y)
    assert recorder.events.count("end iteration") >= 3
    last, n, _ = recorder.models[-1]
    assert n == len(Y)
    np.testing.assert_allclose(last.coef_, model.coef_, rtol=1e-6)
    assert last.scale_ == pytest.approx(model.scale_, rel=1e-6)
    stopped = HuberElasticNet(0.1).set_callbacks(Recorder(stop_after=2)).fit(X, Y)
    assert stopped.objective_ > model.objective_
    # What it lacks is no more than the dual gap tells.
    excess = (stopped.objective_ - model.objective_) / stopped.objective_
    assert 0 < excess <= stopped.dual_gap_


@has_callbacks
def test_cross_validation_of_elastic_nets_tells_of_candidates():
    recorder = Recorder()
    model = HuberElasticNetCV([0.5, 1.0], alphas=[0.3, 0.1], cv=3)
    model.set_callbacks(recorder).fit(X, Y)
    ends = [event for event in recorder.events if event.startswith("end")]
    assert ends == ["end candidate"] * 12 + ["end refit", "end fit"]
    told = [(one.l1_ratio_, one.alpha_) for one, _, _ in recorder.models[:4]]
    assert told == [(0.5, 0.3), (0.5, 0.1), (1.0, 0.3), (1.0, 0.1)]
    candidate, n, _ = recorder.models[3]
    assert n == 133
    alone = HuberElasticNet(0.1).fit(X[67:], Y[67:])
    np.testing.assert_allclose(candidate.coef_, alone.coef_, rtol=1e-6, atol=1e-9)
    last, n, _ = recorder.models[-1]
    assert n == 200
    np.testing.assert_array_equal(last.predict(X), model.predict(X))


@has_callbacks
def test_a_criterion_tells_of_the_candidates_of_all_samples():
    recorder = Recorder()
    weight = np.arange(200) % 3 + 1.0
    model = HuberElasticNetCV(n_alphas=4, criterion="ebic").set_callbacks(recorder)
    model.fit(X, Y, sample_weight=weight)
    ends = [event for event in recorder.events if event.startswith("end")]
    assert ends == ["end candidate"] * 4 + ["end refit", "end fit"]
    _, n, metadata = recorder.models[0]
    assert n == 200
    np.testing.assert_array_equal(metadata["sample_weight"], weight)
