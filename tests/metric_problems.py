"""Naive restatements of the metrics, and data for them."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from skhuber.metrics import d2_huber_score, mean_huber_error

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
