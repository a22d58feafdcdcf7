"""The metrics against naive restatements, scikit-learn's metrics and known facts."""

import itertools
import math
import pickle
import re
import subprocess
import sys
import warnings
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from hypothesis import assume, example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import minimize_scalar
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import (
    d2_absolute_error_score,
    mean_absolute_error,
    mean_squared_error,
    r2_score,
)
from sklearn.model_selection import GridSearchCV, cross_val_score

from skhuber.metrics import d2_huber_score, make_huber_scorer, mean_huber_error

METRICS = [mean_huber_error, d2_huber_score]
each_metric = pytest.mark.parametrize("metric", METRICS)
each_rho = pytest.mark.parametrize("rho", [1e-6, 0.3, 1.0, 1.35, 7.0, 1e6, np.inf])


def naive_error(y_true, y_pred, rho, weights=None):
    """Weighted mean Huber loss of one output, case by case."""
    if weights is None:
        weights = [1.0] * len(y_true)
    losses = []
    for observed, predicted, weight in zip(y_true, y_pred, weights, strict=True):
        residual = abs(observed - predicted)
        if residual <= rho:
            losses.append(weight * residual**2 / 2)
        else:
            losses.append(weight * (rho * residual - rho**2 / 2))
    return math.fsum(losses) / math.fsum(weights)


def naive_d2(y_true, y_pred, rho, weights=None):
    """D² of one output, the best constant found by a generic minimiser.

    The error is convex in the constant, so that the least of minima between
    neighbouring values is the minimum; no piece in between can be missed.
    """
    values = np.unique(y_true)
    candidates = [naive_error(y_true, [v] * len(y_true), rho, weights) for v in values]
    for low, high in itertools.pairwise(values):
        found = minimize_scalar(
            lambda c: naive_error(y_true, [c] * len(y_true), rho, weights),
            bounds=(low, high),
            method="bounded",
            options={"xatol": 1e-9 * (high - low)},
        )
        candidates.append(found.fun)
    return 1 - naive_error(y_true, y_pred, rho, weights) / min(candidates)


def exact_d2(y_true, y_pred, rho, weights):
    """D² of one output in rational arithmetic: no rounding, overflow or underflow."""
    weights = [Fraction(w) for w in weights]
    rho = Fraction(rho)

    def error(predicted):
        total = Fraction(0)
        for y, p, w in zip(y_true, predicted, weights, strict=True):
            residual = abs(Fraction(y) - Fraction(p))
            clipped = min(residual, rho)
            total += w * clipped * (residual - clipped / 2)
        return total

    # Between the knots the error is a parabola or a line: its least value is at a
    # knot, or where the derivative, interpolated between two of them, is zero.
    knots = sorted({Fraction(y) + side for y in y_true for side in (-rho, rho)})
    slopes = [
        sum(
            w * max(-rho, min(rho, k - Fraction(y)))
            for y, w in zip(y_true, weights, strict=True)
        )
        for k in knots
    ]
    candidates = list(knots)
    for i in range(len(knots) - 1):
        if slopes[i] < 0 < slopes[i + 1]:
            step = -slopes[i] / (slopes[i + 1] - slopes[i])
            candidates.append(knots[i] + step * (knots[i + 1] - knots[i]))
    return 1 - error(y_pred) / min(error([c] * len(y_true)) for c in candidates)


def noisy(n_samples=60, n_outputs=None, seed=0):
    """Observed values with outliers, predictions, weights with zeros."""
    rng = np.random.default_rng(seed)
    shape = n_samples if n_outputs is None else (n_samples, n_outputs)
    y_pred = rng.normal(size=shape)
    y_true = y_pred + rng.standard_t(1.5, size=shape)
    weights = rng.integers(0, 4, size=n_samples) * rng.uniform(size=n_samples)
    return y_true, y_pred, weights


# Whole quarters: ties, and residuals exactly at the threshold, are common.
quarters = st.integers(-40, 40).map(lambda k: k / 4)
thresholds = st.sampled_from([0.25, 0.5, 1.0, 2.5, 20.0, math.inf])


@st.composite
def small_problems(draw, min_size=2):
    """y_true, y_pred, rho and integer weights, not all zero."""
    size = draw(st.integers(min_size, 9))
    columns = [
        draw(st.lists(values, min_size=size, max_size=size))
        for values in (quarters, quarters, st.integers(0, 3))
    ]
    assume(any(columns[2]))
    y_true, y_pred, weights = map(np.array, columns)
    return y_true, y_pred, draw(thresholds), weights


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


# --- several outputs, kinds of input ------------------------------------------------


@each_metric
def test_several_outputs(metric):
    y_true, y_pred, weights = noisy(n_outputs=3)
    options = {"rho": 0.8, "sample_weight": weights}
    single = [metric(y_true[:, j], y_pred[:, j], **options) for j in range(3)]
    raw = metric(y_true, y_pred, multioutput="raw_values", **options)
    assert isinstance(raw, np.ndarray)
    assert_array_equal(raw, single)

    mean = metric(y_true, y_pred, multioutput="uniform_average", **options)
    assert isinstance(mean, float)
    assert mean == metric(y_true, y_pred, **options)
    assert_allclose(mean, np.mean(single), rtol=1e-14)

    shares = metric(y_true, y_pred, multioutput=[3, 0, 1], **options)
    assert isinstance(shares, float)
    assert_allclose(shares, (3 * single[0] + single[2]) / 4, rtol=1e-14)


def test_output_of_weight_zero_does_not_count_even_if_infinite():
    y_true = np.array([[1e-300, 0.0], [0.0, 1.0]])
    y_pred = np.array([[1e300, 0.0], [0.0, 0.5]])
    options = {"rho": np.inf}
    raw = d2_huber_score(y_true, y_pred, multioutput="raw_values", **options)
    assert_array_equal(raw, [-np.inf, 0.5])
    assert d2_huber_score(y_true, y_pred, multioutput=[0, 3], **options) == 0.5
    assert d2_huber_score(y_true, y_pred, **options) == -np.inf


@each_metric
def test_one_output_as_a_column(metric):
    y_true, y_pred, _ = noisy()
    expected = metric(y_true, y_pred)
    assert metric(y_true[:, None], y_pred) == expected
    assert metric(y_true, y_pred[:, None]) == expected
    assert metric(y_true, y_pred, multioutput=[2.0]) == expected
    raw = metric(y_true, y_pred, multioutput="raw_values")
    assert_array_equal(raw, [expected])


@each_metric
@pytest.mark.parametrize(
    "convert",
    [
        np.ndarray.tolist,
        pd.Series,
        pl.Series,
        lambda v: v.astype(np.int8),
        lambda v: v.astype(np.float32),
        lambda v: np.repeat(v, 2)[::2],
        lambda v: np.asarray(v, dtype=object),
    ],
    ids=["list", "pandas", "polars", "int8", "float32", "strided", "object"],
)
def test_kinds_of_input(metric, convert):
    y_true, y_pred = np.array([0.0, 3, 100, 7, 7]), np.array([1.0, 3, -100, 2, 9])
    weights = np.array([1.0, 2, 1, 3, 0])
    expected = metric(y_true, y_pred, rho=2, sample_weight=weights)
    result = metric(
        convert(y_true), convert(y_pred), rho=2, sample_weight=convert(weights)
    )
    assert result == expected


@each_metric
def test_arguments_are_left_alone(metric):
    arrays = noisy(n_outputs=2)
    copies = [array.copy() for array in arrays]
    for array in arrays:
        array.setflags(write=False)
    metric(arrays[0], arrays[1], sample_weight=arrays[2], multioutput=[1, 2])
    for array, copy in zip(arrays, copies, strict=True):
        assert_array_equal(array, copy)


# --- bad input ----------------------------------------------------------------------

GOOD = {"y_true": [1.0, 2.0, 3.0], "y_pred": [1.0, 2.5, 2.0]}
TWO_COLUMNS = [[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]]
BAD_INPUTS = [
    ({"rho": 0}, "rho must be a number > 0, got 0."),
    ({"rho": -1.5}, "rho must be a number > 0, got -1.5."),
    ({"rho": -np.inf}, "rho must be a number > 0, got -inf."),
    ({"rho": math.nan}, "rho must be a number > 0, got nan."),
    ({"rho": "1"}, "rho must be a number > 0, got '1'."),
    ({"rho": None}, "rho must be a number > 0, got None."),
    ({"rho": True}, "rho must be a number > 0, got True."),
    ({"rho": [1.0]}, "rho must be a number > 0, got [1.0]."),
    ({"y_true": [], "y_pred": []}, "y_true must be finite numbers"),
    ({"y_true": 1.0}, "y_true must be finite numbers"),
    ({"y_pred": np.zeros((3, 0))}, "y_pred must be finite numbers"),
    ({"y_pred": np.zeros((3, 1, 1))}, "got shape (3, 1, 1)"),
    ({"y_pred": [1.0, np.nan, 2.0]}, "Input y_pred contains NaN"),
    ({"y_true": [1.0, np.inf, 2.0]}, "Input y_true contains infinity"),
    ({"y_true": ["a", "b", "c"]}, "y_true must be finite numbers"),
    ({"y_true": [1j, 2.0, 3.0]}, "y_true must be finite numbers"),
    ({"y_pred": sparse.csr_matrix([[1.0], [2], [3]])}, "y_pred must be finite numbers"),
    ({"y_pred": [1.0, 2.0]}, "the same number of samples; got 3 and 2."),
    ({"y_pred": TWO_COLUMNS}, "the same number of outputs; got 1 and 2."),
    ({"sample_weight": [1.0, 2.0]}, "of shape (3,); got shape (2,)."),
    ({"sample_weight": [[1.0], [2.0], [3.0]]}, "of shape (3,); got shape (3, 1)."),
    ({"sample_weight": 1.0}, "sample_weight must be finite non-negative numbers"),
    ({"sample_weight": [1.0, -2.0, 3.0]}, "one per sample; got -2.0 among them."),
    ({"sample_weight": [0.0, 0.0, 0.0]}, "sample_weight must be greater than zero"),
    ({"sample_weight": [1.0, np.nan, 1.0]}, "Input sample_weight contains NaN"),
    ({"sample_weight": [1.0, np.inf, 1.0]}, "Input sample_weight contains infinity"),
    ({"sample_weight": ["a", "b", "c"]}, "sample_weight must be finite"),
    ({"multioutput": "raw"}, "'uniform_average' or an array of 1 weights; got 'raw'."),
    ({"multioutput": "variance_weighted"}, "got 'variance_weighted'."),
    ({"multioutput": None}, "multioutput must be 'raw_values', 'uniform_average' or"),
    ({"multioutput": [1.0, 2.0]}, "of shape (1,); got shape (2,)."),
    ({"multioutput": [-1.0]}, "one per output; got -1.0 among them."),
    ({"multioutput": [0.0]}, "multioutput must be greater than zero somewhere"),
]


@each_metric
@pytest.mark.parametrize(("bad", "message"), BAD_INPUTS)
def test_bad_input_is_named(metric, bad, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        metric(**{**GOOD, **bad})


# --- make_huber_scorer --------------------------------------------------------------


def line_with_outliers(n_samples=40):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(n_samples, 2))
    y = X @ [2.0, -1.0] + rng.normal(size=n_samples)
    y[::8] += 50.0
    return X, y


@each_rho
def test_scorer_is_minus_the_error(rho):
    X, y = line_with_outliers()
    weights = np.arange(1.0, 41.0)
    model = LinearRegression().fit(X, y)
    scorer = make_huber_scorer(rho)
    assert scorer(model, X, y) == -mean_huber_error(y, model.predict(X), rho=rho)
    weighted = mean_huber_error(y, model.predict(X), rho=rho, sample_weight=weights)
    assert scorer(model, X, y, sample_weight=weights) == -weighted


def test_scorer_has_rho_1_by_default():
    X, y = line_with_outliers()
    model = LinearRegression().fit(X, y)
    assert make_huber_scorer()(model, X, y) == make_huber_scorer(1.0)(model, X, y)


@pytest.mark.parametrize("rho", [0, -1.0, math.nan, "1", None, True])
def test_scorer_checks_rho_at_once(rho):
    with pytest.raises((TypeError, ValueError), match="rho must be a number > 0"):
        make_huber_scorer(rho)


def test_scorer_in_cross_validation():
    X, y = line_with_outliers()
    scores = cross_val_score(Ridge(), X, y, scoring=make_huber_scorer(2.0), cv=4)
    expected = []
    for fold in range(4):
        test = np.arange(40) // 10 == fold
        fitted = Ridge().fit(X[~test], y[~test])
        expected.append(-mean_huber_error(y[test], fitted.predict(X[test]), rho=2.0))
    assert_allclose(scores, expected, rtol=1e-12)


def test_threshold_of_the_scorer_decides_a_search():
    # The outliers pull the mean away: right for squares, wrong for all else.
    X, y = line_with_outliers()
    grid = {"strategy": ["mean", "median"]}
    winners = {
        rho: clone(GridSearchCV(DummyRegressor(), grid, scoring=scorer, cv=4))
        .fit(X, y)
        .best_params_["strategy"]
        for rho in (0.5, np.inf)
        for scorer in [make_huber_scorer(rho)]
    }
    assert winners == {0.5: "median", np.inf: "mean"}


def test_scorer_survives_pickle():
    X, y = line_with_outliers()
    model = LinearRegression().fit(X, y)
    scorer = make_huber_scorer(0.7)
    copy = pickle.loads(pickle.dumps(scorer))
    assert copy(model, X, y) == scorer(model, X, y)
    assert copy(model, X, y) != make_huber_scorer(0.8)(model, X, y)


def test_scorer_is_routed_sample_weights():
    X, y = line_with_outliers()
    weights = np.where(np.arange(40) % 8 == 0, 0.0, 1.0)
    with sklearn.config_context(enable_metadata_routing=True):
        model = LinearRegression().set_fit_request(sample_weight=False)
        scores = cross_val_score(
            model,
            X,
            y,
            scoring=make_huber_scorer().set_score_request(sample_weight=True),
            params={"sample_weight": weights},
            cv=4,
        )
    expected = []
    for fold in range(4):
        test = np.arange(40) // 10 == fold
        y_pred = LinearRegression().fit(X[~test], y[~test]).predict(X[test])
        error = mean_huber_error(y[test], y_pred, sample_weight=weights[test])
        assert error != mean_huber_error(y[test], y_pred)
        expected.append(-error)
    assert_allclose(scores, expected, rtol=1e-12)


# --- the module ---------------------------------------------------------------------


def test_metrics_load_no_numba():
    code = """
import sys
from skhuber.metrics import d2_huber_score, make_huber_scorer, mean_huber_error
from sklearn.linear_model import LinearRegression
model = LinearRegression().fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 5.0])
make_huber_scorer()(model, [[0.0], [1.0]], [1.0, 2.0])
d2_huber_score([1.0, 2.0], [1.0, 3.0])
print("numba" in sys.modules)
"""
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "False"


@each_metric
def test_no_warnings_in_ordinary_use(metric):
    y_true, y_pred, weights = noisy(n_outputs=2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        metric(y_true, y_pred, sample_weight=weights)
        metric(y_true, y_pred, rho=np.inf)
    assert caught == []
