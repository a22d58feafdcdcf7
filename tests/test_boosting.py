"""Losses as objectives of XGBoost and LightGBM, with the real packages."""

import pickle

import lightgbm
import numpy as np
import pytest
import xgboost
from sklearn.base import clone
from sklearn.metrics import accuracy_score

from skhuber import losses
from skhuber.losses import HuberLoss, boosting_objective

# Few trees, on one thread: what is learnt is the same on every machine.
ROUNDS = 60


def regression(seed=0, size=600):
    """Targets in the thousands; one in ten is off by a hundred thousand."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (size, 3))
    truth = 3000.0 + 1000.0 * np.sin(3 * X[:, 0]) + 500.0 * (X[:, 1] > 0)
    y = truth + rng.normal(0, 50, size)
    y[rng.random(size) < 0.1] += 1e5
    return X, y, truth


def fitted_by_xgboost(objective, X, y, **parameters):
    model = xgboost.XGBRegressor(
        objective=objective, base_score=float(np.median(y)), n_estimators=ROUNDS,
        n_jobs=1, **parameters,
    )  # fmt: skip
    return model.fit(X, y).predict(X)


def lightgbm_predictions(objective, X, y, sample_weight=None, **parameters):
    model = lightgbm.LGBMRegressor(
        objective=objective, n_estimators=ROUNDS, n_jobs=1, verbose=-1, **parameters
    )
    # Its scikit-learn interface of old warns that X has no names of columns.
    return model.fit(X, y, sample_weight).booster_.predict(X)


def fitted_by_lightgbm(objective, X, y, **parameters):
    centre = np.median(y)
    return centre + lightgbm_predictions(objective, X, y - centre, **parameters)


FITTED_BY = {"xgboost": fitted_by_xgboost, "lightgbm": fitted_by_lightgbm}
OWN_HUBER = {"xgboost": "reg:pseudohubererror", "lightgbm": "huber"}


def typical_error(prediction, truth):
    return float(np.median(np.abs(prediction - truth)))


@pytest.mark.parametrize("package", FITTED_BY)
def test_huber_learns_targets_in_the_thousands(package):
    X, y, truth = regression()
    fitted = FITTED_BY[package]
    error = typical_error(fitted(boosting_objective(HuberLoss(0.5)), X, y), truth)
    assert error < 100
    # The packages' own, with a threshold of 1, hardly move in so many rounds.
    assert typical_error(fitted(OWN_HUBER[package], X, y), truth) > 3 * error
    # And the squared error follows the outliers.
    squared = fitted(boosting_objective(losses.L2Loss()), X, y)
    assert typical_error(squared, truth) > 3 * error


@pytest.mark.parametrize("package", FITTED_BY)
def test_the_unit_of_the_target_does_not_matter(package):
    X, y, _ = regression()
    fitted = FITTED_BY[package]
    objective = boosting_objective(HuberLoss(0.5))
    thousands = fitted(objective, X, 1024 * y)
    np.testing.assert_allclose(thousands, 1024 * fitted(objective, X, y), rtol=1e-3)


@pytest.mark.parametrize("package", FITTED_BY)
def test_absolute_error_learns_too(package):
    X, y, truth = regression()
    fitted = FITTED_BY[package](boosting_objective(losses.L1Loss()), X, y)
    assert typical_error(fitted, truth) < 150


def test_squared_error_is_that_of_the_packages():
    X, y, _ = regression()
    ours = fitted_by_xgboost(boosting_objective(losses.L2Loss()), X, y)
    theirs = fitted_by_xgboost("reg:squarederror", X, y)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    ours = fitted_by_lightgbm(boosting_objective(losses.L2Loss()), X, y)
    theirs = fitted_by_lightgbm("regression", X, y, boost_from_average=False)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


@pytest.mark.parametrize(
    ("loss", "signed"),
    [
        (losses.SigmoidBCELoss(), False),
        (losses.LogisticLoss(), True),
        (losses.LogisticLoss(label_format="binary"), False),
        (losses.HingeLoss(), True),
        (losses.SquaredHingeLoss(), True),
    ],
)
def test_classes(loss, signed):
    X, _, truth = regression()
    label = (truth > 3000).astype(float)
    target = 2 * label - 1 if signed else label
    objective = boosting_objective(loss)
    for prediction in (
        xgboost.XGBRegressor(
            objective=objective, base_score=0.0, n_estimators=ROUNDS, n_jobs=1
        ).fit(X, target).predict(X),
        lightgbm_predictions(objective, X, target),
    ):  # fmt: skip
        assert accuracy_score(label, prediction > 0) > 0.97


def test_cross_entropy_is_that_of_xgboost():
    X, _, truth = regression()
    label = (truth > 3000).astype(float)
    ours = fitted_by_xgboost(
        boosting_objective(losses.SigmoidBCELoss()), X, label
    )  # base_score is the median, a logit of 1
    theirs = xgboost.XGBClassifier(
        n_estimators=ROUNDS, n_jobs=1, base_score=1 / (1 + np.exp(-1.0))
    ).fit(X, label)
    np.testing.assert_allclose(
        ours, theirs.predict(X, output_margin=True), rtol=1e-3, atol=1e-3
    )


def test_counts():
    X, _, truth = regression()
    counts = np.random.default_rng(0).poisson(truth / 500)
    objective = boosting_objective(losses.PoissonNLLLoss())
    rates = np.exp(lightgbm_predictions(objective, X, counts))
    assert typical_error(rates, truth / 500) < 1.0


def test_the_native_interfaces():
    X, y, _ = regression()
    weight = np.linspace(0.0, 2.0, len(y))
    objective = boosting_objective(HuberLoss(0.5))
    centre = float(np.median(y))
    booster = xgboost.train(
        {"base_score": centre, "nthread": 1},
        xgboost.DMatrix(X, y, weight=weight), ROUNDS, obj=objective,
    )  # fmt: skip
    model = xgboost.XGBRegressor(
        objective=objective, base_score=centre, n_estimators=ROUNDS, n_jobs=1
    )
    np.testing.assert_allclose(
        booster.predict(xgboost.DMatrix(X)),
        model.fit(X, y, sample_weight=weight).predict(X),
        rtol=1e-5,
    )
    booster = lightgbm.train(
        {"objective": objective, "num_threads": 1, "verbose": -1},
        lightgbm.Dataset(X, y - centre, weight=weight), ROUNDS,
    )  # fmt: skip
    ours = lightgbm_predictions(objective, X, y - centre, weight)
    np.testing.assert_allclose(booster.predict(X), ours, rtol=1e-10)


# --- without the packages -------------------------------------------------------------


def test_the_hessian_of_huber_lies_above_the_loss():
    """A Newton step with it never increases the loss, wherever it starts."""
    rng = np.random.default_rng(0)
    y = rng.standard_cauchy(50)
    objective = boosting_objective(HuberLoss(0.8), target_scale=1.0)
    loss = HuberLoss(0.8, reduction="sum", form="unit_curvature")
    for start in (-1e6, -3.0, 0.0, 100.0):
        constant = start
        for _ in range(5):
            gradient, hessian = objective(y, np.full(50, constant))
            after = constant - gradient.sum() / hessian.sum()
            assert loss(np.full(50, after), y) <= loss(np.full(50, constant), y)
            constant = after


@pytest.mark.parametrize("form", ["unit_slope", "unit_curvature"])
def test_gradient_and_unit_of_huber(form):
    rng = np.random.default_rng(0)
    y, pred = rng.normal(2000, 300, (2, 101))
    weight = rng.uniform(0, 2, 101)
    scale = np.median(np.abs(y - np.median(y))) / 0.6744897501960817
    objective = boosting_objective(HuberLoss(0.5, weight=2.0, form=form))
    gradient, hessian = objective(y, pred)
    expected = np.clip(pred - y, -0.5 * scale, 0.5 * scale)
    np.testing.assert_allclose(gradient, 2 * expected, rtol=1e-12)
    np.testing.assert_allclose(hessian, 2 * expected / (pred - y), rtol=1e-9)
    fixed = boosting_objective(HuberLoss(0.5 * scale), target_scale=1.0)
    np.testing.assert_allclose(
        fixed(y, pred, weight), np.array(fixed(y, pred)) * weight, rtol=1e-14
    )


def test_without_a_threshold_it_is_the_squared_error():
    y, pred = np.random.default_rng(0).normal(size=(2, 20))
    squares = boosting_objective(losses.L2Loss())(y, pred)
    np.testing.assert_array_equal(
        boosting_objective(HuberLoss(np.inf))(y, pred), squares
    )


def test_weights_of_the_scale_mean_repetition():
    rng = np.random.default_rng(0)
    y, pred = rng.normal(2000, 300, (2, 31))
    weight = rng.integers(0, 4, 31)
    objective = boosting_objective(HuberLoss(0.5))
    gradient, hessian = objective(y, pred, weight)
    repeated = objective(np.repeat(y, weight), np.repeat(pred, weight))
    once = np.repeat(gradient / np.maximum(weight, 1), weight)
    assert gradient.sum() == pytest.approx(repeated[0].sum())
    np.testing.assert_allclose(once, repeated[0])
    assert hessian.sum() == pytest.approx(repeated[1].sum())


def test_targets_that_are_mostly_equal():
    y = np.array([5.0] * 8 + [6.0, 1e9])
    objective = boosting_objective(HuberLoss(1.0))
    gradient, hessian = objective(y, np.zeros(10))
    # The scale is that of those that are not equal, weights or not.
    unit = np.median([1.0, 1e9 - 5]) / 0.6744897501960817
    np.testing.assert_allclose(np.abs(gradient).max(), unit, rtol=1e-9)
    assert (hessian > 0).all()
    gradient, _ = objective(y, np.zeros(10), [1.0] * 9 + [0.0])
    np.testing.assert_allclose(gradient[8], -1 / 0.6744897501960817, rtol=1e-9)
    gradient, _ = objective(np.full(5, 3.0), np.zeros(5))
    np.testing.assert_array_equal(gradient, -np.ones(5))
    gradient, _ = objective(y, np.zeros(10), np.zeros(10))
    np.testing.assert_array_equal(gradient, np.zeros(10))


def test_other_targets_have_another_scale():
    objective = boosting_objective(HuberLoss(1.0))
    rng = np.random.default_rng(0)
    for unit in (1.0, 1000.0, 1.0):
        y = rng.normal(size=100) * unit
        gradient, _ = objective(y, np.full(100, 1e9))
        fresh, _ = boosting_objective(HuberLoss(1.0))(y, np.full(100, 1e9))
        np.testing.assert_array_equal(gradient, fresh)
        again, _ = objective(y, np.full(100, 1e9))
        np.testing.assert_array_equal(again, fresh)


def test_data_without_weights():
    X, y, _ = regression()
    objective = boosting_objective(HuberLoss(0.5))
    for data in (xgboost.DMatrix(X, y), lightgbm.Dataset(X, y).construct()):
        label = data.get_label()
        assert data.get_weight() is None or data.get_weight().size == 0
        np.testing.assert_array_equal(
            objective(np.zeros(len(y)), data), objective(label, np.zeros(len(y)))
        )


def test_an_object_like_any_other():
    objective = boosting_objective(HuberLoss(0.5), target_scale=2.0)
    again = pickle.loads(pickle.dumps(objective))
    assert repr(again) == repr(objective)
    assert eval(repr(objective), vars(losses)).loss == objective.loss
    model = clone(xgboost.XGBRegressor(objective=objective))
    assert repr(model.objective) == repr(objective)


def test_errors():
    with pytest.raises(TypeError, match="loss must be an elementwise loss"):
        boosting_objective(losses.TripletLoss())
    with pytest.raises(ValueError, match="loss must be one of logits"):
        boosting_objective(losses.SigmoidBCELoss(from_sigmoid=True))
    with pytest.raises(ValueError, match="loss must be one of logits"):
        boosting_objective(losses.PoissonNLLLoss(from_logits=False))
    with pytest.raises(ValueError, match="target_scale must be 'mad' or a finite nu"):
        boosting_objective(HuberLoss(), target_scale=0.0)
    with pytest.raises(ValueError, match="loss must have a weight > 0"):
        boosting_objective(HuberLoss(weight=-1.0))
    objective = boosting_objective(HuberLoss())
    with pytest.raises(ValueError, match="the targets must be a one-dimensional arr"):
        objective(np.ones((3, 2)), np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"predictions must be .* of 3, as many as"):
        objective(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="sample_weight must be a one-dimensional a"):
        objective(np.ones(3), np.ones(3), np.ones((3, 1)))
    with pytest.raises(TypeError, match="target_scale must be 'mad' or a finite numb"):
        boosting_objective(HuberLoss(), target_scale="std")
