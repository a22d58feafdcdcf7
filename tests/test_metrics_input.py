"""Tests of the metrics with several outputs, every kind of input, and bad input."""

import math
import re
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from metric_problems import each_metric, noisy
from skhuber.metrics import d2_huber_score

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
