"""The metrics against naive restatements, scikit-learn's metrics and known facts."""

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import (
    d2_absolute_error_score,
    mean_absolute_error,
    mean_squared_error,
    r2_score,
)

from metric_problems import (
    METRICS,
    each_metric,
    each_rho,
    exact_d2,
    naive_d2,
    naive_error,
    noisy,
    quarters,
    small_problems,
)
from skhuber.metrics import d2_huber_score, mean_huber_error

# --- mean_huber_error ---------------------------------------------------------------


@each_rho
@pytest.mark.parametrize("weighted", [False, True])
def test_error_is_that_of_a_loop(rho, weighted):
    y_true, y_pred, weights = noisy()
    weights = weights if weighted else None
    error = mean_huber_error(y_true, y_pred, rho=rho, sample_weight=weights)
    assert isinstance(error, float)
    assert_allclose(error, naive_error(y_true, y_pred, rho, weights), rtol=1e-14)


def test_rho_is_1_by_default():
    y_true, y_pred, _ = noisy()
    for metric in METRICS:
        assert metric(y_true, y_pred) == metric(y_true, y_pred, rho=1.0)
        assert metric(y_true, y_pred) != metric(y_true, y_pred, rho=1.01)


@pytest.mark.parametrize("rho", [0.5, 1.0, 3.0])
def test_error_is_continuous_at_the_threshold(rho):
    values = [
        mean_huber_error([0.0], [r], rho=rho)
        for r in (np.nextafter(rho, 0), rho, np.nextafter(rho, np.inf))
    ]
    assert_allclose(values, rho**2 / 2, rtol=1e-15)


@pytest.mark.parametrize("sample_weight", [None, np.arange(60)])
def test_error_without_threshold_is_half_the_squared_error(sample_weight):
    y_true, y_pred, _ = noisy(n_outputs=3)
    expected = mean_squared_error(
        y_true, y_pred, sample_weight=sample_weight, multioutput="raw_values"
    )
    for rho in (np.inf, 1e200):
        error = mean_huber_error(
            y_true,
            y_pred,
            rho=rho,
            sample_weight=sample_weight,
            multioutput="raw_values",
        )
        assert_allclose(2 * error, expected, rtol=1e-13)


def test_error_at_tiny_rho_is_proportional_to_the_absolute_error():
    y_true, y_pred, weights = noisy()
    expected = mean_absolute_error(y_true, y_pred, sample_weight=weights)
    for rho in (1e-12, 1e-300):
        error = mean_huber_error(y_true, y_pred, rho=rho, sample_weight=weights)
        assert_allclose(error / rho, expected, rtol=1e-11)


@pytest.mark.parametrize(
    ("residual", "rho", "expected"),
    [
        (1e160, 1.0, 1e160),
        (1e160, 1e150, 1e310),
        (1e160, np.inf, np.inf),
        (1e100, np.inf, 5e199),
        (1e100, 1e-100, 1.0),
        (1e300, 1e-300, 1.0),
        (1e-160, 1.0, 5e-321),
        (1e-100, 1e100, 5e-201),
        (0.0, np.inf, 0.0),
        (3.4e38, 1e200, 3.4e38**2 / 2),
    ],
)
def test_error_of_extreme_numbers(residual, rho, expected):
    y_true, y_pred = np.array([residual, 0.0]), np.array([0.0, 0.0])
    error = mean_huber_error(y_true, y_pred, rho=rho)
    assert_allclose(error, expected / 2, rtol=1e-2 if expected < 1e-300 else 1e-14)


def test_residuals_beyond_the_greatest_float():
    y_true, y_pred = [1.5e308, 0.0], [-1.5e308, 0.0]
    assert_allclose(mean_huber_error(y_true, y_pred, rho=1e-8), 1.5e300, rtol=1e-14)
    assert mean_huber_error(y_true, y_pred, rho=np.inf) == np.inf
    for rho in (5e-324, 1e-8):
        assert_allclose(d2_huber_score(y_true, y_pred, rho=rho), -1.0, rtol=1e-14)
    assert_allclose(d2_huber_score(y_true, y_pred, rho=np.inf), -7.0, rtol=1e-14)


def test_sum_of_losses_beyond_the_greatest_float():
    zeros = np.zeros(100)
    assert_allclose(mean_huber_error(zeros, zeros + 1e308, rho=1e-5), 1e303, rtol=1e-14)
    assert_allclose(mean_huber_error(zeros, zeros + 1e154), 1e154, rtol=1e-14)


# --- d2_huber_score -----------------------------------------------------------------


@each_rho
@pytest.mark.parametrize("weighted", [False, True])
def test_score_is_that_of_a_generic_minimiser(rho, weighted):
    y_true, y_pred, weights = noisy(n_samples=25)
    weights = weights if weighted else None
    score = d2_huber_score(y_true, y_pred, rho=rho, sample_weight=weights)
    assert isinstance(score, float)
    assert_allclose(score, naive_d2(y_true, y_pred, rho, weights), rtol=1e-9)


@pytest.mark.parametrize("unit", [1e-250, 1e-160, 1.0, 1e160, 1e250])
@pytest.mark.parametrize("relative_rho", [1e-40, 1e-6, 0.1, 1.0, 10.0, 1e40])
@pytest.mark.parametrize("spread", ["even", "heavy", "rounded"])
def test_score_is_exact_to_rounding(unit, relative_rho, spread):
    rng = np.random.default_rng(7)
    for _ in range(5):
        y_true = rng.standard_t(1.0, size=9)
        if spread == "heavy":
            y_true *= 10.0 ** rng.integers(-20, 20, size=9)
        if spread == "rounded":
            y_true = 1e6 + np.round(y_true)
        y_pred = y_true + rng.normal(size=9) * np.abs(y_true).mean()
        weights = rng.choice([0.0, 0.3, 1.0, 2.0, 1e-5], size=9)
        y_true, y_pred, rho = y_true * unit, y_pred * unit, relative_rho * unit
        score = d2_huber_score(y_true, y_pred, rho=rho, sample_weight=weights)
        expected = exact_d2(y_true, y_pred, rho, weights)
        assert abs(score - expected) <= 1e-15 * (1 + abs(1 - expected))


@given(small_problems())
@example((np.array([0.0, 0, 5, 5]), np.zeros(4), 1.0, np.ones(4, int)))  # flat
@example((np.array([0.0, 0, 0, 10]), np.zeros(4), 0.25, np.array([1, 1, 1, 3])))
@example((np.array([-3.0, 0, 4, 4]), np.ones(4), 2.5, np.array([0, 2, 0, 1])))
def test_score_of_ties_and_weights_is_that_of_a_generic_minimiser(problem):
    y_true, y_pred, rho, weights = problem
    counted = weights > 0
    assume(np.ptp(y_true[counted]) > 0)
    score = d2_huber_score(y_true, y_pred, rho=rho, sample_weight=weights)
    expected = naive_d2(y_true[counted], y_pred[counted], rho, weights[counted])
    assert_allclose(score, expected, rtol=1e-9, atol=1e-9)


@given(small_problems(), quarters)
def test_no_constant_scores_above_zero(problem, constant):
    y_true, _, rho, weights = problem
    assume(np.ptp(y_true[weights > 0]) > 0)
    y_pred = np.full_like(y_true, constant)
    score = d2_huber_score(y_true, y_pred, rho=rho, sample_weight=weights)
    assert score <= 1e-15


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("outlier", [1e2, 1e8, 1e15, 1e300])
def test_best_constant_beside_an_outlier(offset, outlier):
    # By hand, at rho = 1: with three values at 0, 1/2 and 1 and one far above, the
    # residuals of the constant c = 5/6 are within rho but for the last, and
    # (0 - c) + (1/2 - c) + (1 - c) + 1 = 0.
    y_true = np.array([0.0, 0.5, 1.0, outlier]) + offset
    constant = offset + 5 / 6
    score = d2_huber_score(y_true, np.full(4, constant))
    assert abs(score) <= 1e-15
    # Two more percent of the way, either way, cost what the loss says they do.
    for step in (-0.02, 0.02):
        y_pred = np.full(4, constant + step)
        best = naive_error(y_true - offset, np.full(4, 5 / 6), 1.0)
        # 1e-6: with the offset, the step is rounded.
        expected = -(3 * step**2 / 2) / 4 / best
        assert_allclose(d2_huber_score(y_true, y_pred), expected, rtol=1e-6, atol=1e-15)


def test_best_constant_at_a_threshold_far_below_the_spacing_of_floats():
    # The constant is a median, the error rho times the absolute error.
    y_true = 1e16 + np.array([0.0, 2.0, 4.0, 10.0, 100.0])
    y_pred = 1e16 + np.array([2.0, 2.0, 4.0, 10.0, 50.0])
    expected = 1 - (2 + 50) / (4 + 2 + 6 + 96)
    for rho in (1e-3, 1e-100, 1e-300):
        assert_allclose(d2_huber_score(y_true, y_pred, rho=rho), expected, rtol=1e-3)
    assert_allclose(d2_huber_score(y_true, y_pred, rho=1e-18), expected, rtol=1e-14)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_samples", [20, 21])
def test_score_at_tiny_rho_is_that_of_the_absolute_error(n_samples, weighted):
    y_true, y_pred, weights = noisy(n_samples, n_outputs=2)
    weights = weights if weighted else None
    options = {"sample_weight": weights, "multioutput": "raw_values"}
    expected = d2_absolute_error_score(y_true, y_pred, **options)
    score = d2_huber_score(y_true, y_pred, rho=1e-13, **options)
    assert_allclose(score, expected, rtol=1e-11)


@pytest.mark.parametrize("sample_weight", [None, np.arange(60)])
def test_score_without_threshold_is_r2(sample_weight):
    y_true, y_pred, _ = noisy(n_outputs=3)
    options = {"sample_weight": sample_weight, "multioutput": "raw_values"}
    expected = r2_score(y_true, y_pred, **options)
    for rho in (np.inf, 1e200):
        score = d2_huber_score(y_true, y_pred, rho=rho, **options)
        assert_allclose(score, expected, rtol=1e-12)


@each_rho
def test_perfect_predictions_score_one(rho):
    y_true, _, weights = noisy()
    assert d2_huber_score(y_true, y_true, rho=rho, sample_weight=weights) == 1.0


@each_rho
def test_score_of_constant_y(rho):
    # 0.1 has no exact float: rounding must not make a spread.
    y_true = np.full(7, 0.1)
    assert d2_huber_score(y_true, y_true, rho=rho) == 1.0
    y_pred = y_true.copy()
    y_pred[-1] += 1e-9
    assert d2_huber_score(y_true, y_pred, rho=rho) == 0.0
    # constant where it has weight
    weights = [0, 1, 2, 3, 1, 0.3, 0]
    y_true[[0, -1]] = 5.0, -3.0
    y_pred = np.arange(7.0)
    assert d2_huber_score(y_true, y_pred, rho=rho, sample_weight=weights) == 0.0


@pytest.mark.parametrize("multioutput", ["uniform_average", "raw_values"])
def test_score_of_a_single_sample_is_nan_and_warns(multioutput):
    y = [[1.0, 2.0]]
    with pytest.warns(UndefinedMetricWarning, match="fewer than two samples"):
        score = d2_huber_score(y, y, multioutput=multioutput)
    assert np.isnan(score)


# --- what must change nothing, or only the unit --------------------------------------


@each_metric
@given(small_problems())
def test_integer_weights_are_repetitions(metric, problem):
    y_true, y_pred, rho, weights = problem
    assume(weights.sum() > 1)
    repeated = metric(y_true.repeat(weights), y_pred.repeat(weights), rho=rho)
    weighted = metric(y_true, y_pred, rho=rho, sample_weight=weights)
    assert_allclose(weighted, repeated, rtol=1e-13, atol=1e-14)


@each_metric
@given(small_problems())
def test_samples_of_weight_zero_are_as_if_absent(metric, problem):
    y_true, y_pred, rho, weights = problem
    counted = weights > 0
    assume(counted.sum() > 1)
    y_pred[~counted] = 1e200
    score = metric(y_true, y_pred, rho=rho, sample_weight=weights)
    kept = metric(
        y_true[counted], y_pred[counted], rho=rho, sample_weight=weights[counted]
    )
    assert score == kept


@each_metric
@pytest.mark.parametrize("factor", [1e-320, 1e-300, 1 / 3, 1e300, 5e307])
def test_only_ratios_of_weights_count(metric, factor):
    y_true, y_pred, _ = noisy()
    weights = np.tile([1.0, 2.0, 3.0], 20)
    expected = metric(y_true, y_pred, sample_weight=weights)
    scaled = metric(y_true, y_pred, sample_weight=weights * factor)
    # weights of 1e-320 keep only three digits
    assert_allclose(scaled, expected, rtol=1e-3 if factor < 1e-310 else 1e-13)


@given(small_problems(), st.integers(-600, 600).filter(bool))
def test_units_of_y(problem, exponent):
    y_true, y_pred, rho, weights = problem
    assume(np.ptp(y_true[weights > 0]) > 0)
    unit = 2.0**exponent
    changed = (y_true * unit, y_pred * unit)
    options = {"rho": rho * unit, "sample_weight": weights}
    score = d2_huber_score(y_true, y_pred, rho=rho, sample_weight=weights)
    assert d2_huber_score(*changed, **options) == score
    if abs(exponent) < 500:
        error = mean_huber_error(y_true, y_pred, rho=rho, sample_weight=weights)
        assert mean_huber_error(*changed, **options) == error * unit**2


@each_metric
@given(small_problems(), quarters)
def test_shifts_and_signs_of_y(metric, problem, shift):
    y_true, y_pred, rho, weights = problem
    options = {"rho": rho, "sample_weight": weights}
    score = metric(y_true, y_pred, **options)
    shifted = metric(y_true + shift, y_pred + shift, **options)
    negated = metric(-y_true, -y_pred, **options)
    assert_allclose([shifted, negated], score, rtol=1e-13, atol=1e-14)


@each_metric
@given(small_problems(), st.randoms(use_true_random=False))
def test_order_of_the_samples(metric, problem, random):
    y_true, y_pred, rho, weights = problem
    order = list(range(len(y_true)))
    random.shuffle(order)
    score = metric(y_true, y_pred, rho=rho, sample_weight=weights)
    shuffled = metric(
        y_true[order], y_pred[order], rho=rho, sample_weight=weights[order]
    )
    assert_allclose(shuffled, score, rtol=1e-13, atol=1e-14)


@given(small_problems())
def test_error_grows_with_rho(problem):
    y_true, y_pred, _, weights = problem
    errors = [
        mean_huber_error(y_true, y_pred, rho=rho, sample_weight=weights)
        for rho in (0.1, 0.5, 2.0, 6.0, np.inf)
    ]
    assert all(np.diff(errors) >= -1e-15)
