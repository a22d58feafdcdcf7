"""Bad input gets an error that says what is wrong, and changes nothing."""

import copy
import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn import config_context
from sklearn.exceptions import NotFittedError

import problems
from skhuber import HuberRegressor, HuberRegressorCV, huber_path

N, P = 30, 3
X, y = problems.plain(N, P)[:2]
WEIGHTS = np.ones(N)

POSITIVE = r"positive|> ?0|greater than 0|above 0|\(0"
NOT_NEGATIVE = r"non-?negative|not negative|>= ?0|at least 0|\[0"
FINITE = r"finite|inf\)"
SCALES = r"(?s)(?=.*joint)(?=.*mad)(?=.*(positive|> ?0|\(0))"
AT_LEAST_ONE = r"(?s)(?=.*(at least 1|>= ?1|\[1))(?=.*joint)(?=.*mad)"
NUMBER = r"float|number|real"
INTEGER = r"int"
BOOLEAN = r"bool|True"

nan, inf = float("nan"), float("inf")

BAD_PARAMETERS = [
    ("rho", 0, POSITIVE),
    ("rho", 0.0, POSITIVE),
    ("rho", -1.35, POSITIVE),
    ("rho", -inf, POSITIVE),
    ("rho", -(10**400), POSITIVE),
    ("rho", nan, POSITIVE),
    ("rho", "1.35", NUMBER),
    ("rho", None, NUMBER),
    ("rho", [1.35], NUMBER),
    ("rho", 1.35j, NUMBER),
    ("rho", 0.99, AT_LEAST_ONE),
    ("rho", 1e-3, AT_LEAST_ONE),
    ("scale", "foo", SCALES),
    ("scale", "Joint", SCALES),
    ("scale", "", SCALES),
    ("scale", 0, SCALES),
    ("scale", 0.0, SCALES),
    ("scale", -1, SCALES),
    ("scale", -0.5, SCALES),
    ("scale", nan, SCALES),
    ("scale", inf, SCALES),
    ("scale", None, SCALES),
    ("scale", [1.0], SCALES),
    ("scale", 1j, SCALES),
    ("alpha", -1e-4, NOT_NEGATIVE),
    ("alpha", -inf, NOT_NEGATIVE),
    ("alpha", nan, NOT_NEGATIVE),
    ("alpha", inf, FINITE),
    ("alpha", 10**400, FINITE),
    ("scale", 10**400, SCALES),
    ("tol", 10**5000, NUMBER),
    ("alpha", "small", NUMBER),
    ("alpha", None, NUMBER),
    ("max_iter", -1, NOT_NEGATIVE),
    ("max_iter", -(2**70), NOT_NEGATIVE),
    ("max_iter", 1.5, INTEGER),
    ("max_iter", 10.0, INTEGER),
    ("max_iter", "10", INTEGER),
    ("max_iter", None, INTEGER),
    ("max_iter", nan, INTEGER),
    ("tol", -1e-12, NOT_NEGATIVE),
    ("tol", nan, NOT_NEGATIVE),
    ("tol", "tiny", NUMBER),
    ("tol", None, NUMBER),
    ("fit_intercept", "yes", BOOLEAN),
    ("fit_intercept", None, BOOLEAN),
    ("fit_intercept", 2, BOOLEAN),
    ("fit_intercept", 0.0, BOOLEAN),
    ("warm_start", "no", BOOLEAN),
    ("warm_start", None, BOOLEAN),
    ("n_jobs", 1.5, INTEGER),
    ("n_jobs", "all", INTEGER),
]


def with_value(array, value, at=(3, 1)):
    array = np.array(array)
    array[at if array.ndim == 2 else at[0]] = value
    return array


def sparse_with(value):
    return sp.csr_array(with_value(X, value))


# What is given instead of good X, y or weights; what the message has to say.
BAD_X = {
    "nan": (with_value(X, nan), "NaN"),
    "inf": (with_value(X, inf), "infinity"),
    "minus_inf": (with_value(X, -inf), "infinity"),
    "float32_nan": (with_value(X, nan).astype(np.float32), "NaN"),
    "sparse_nan": (sparse_with(nan), "NaN"),
    "sparse_inf": (sparse_with(inf), "infinity"),
    "csc_nan": (sp.csc_array(with_value(X, nan)), "NaN"),
    "fortran_nan": (np.asfortranarray(with_value(X, nan)), "NaN"),
    "frame_nan": (pd.DataFrame(with_value(X, nan), columns=list("abc")), "NaN"),
    "complex": (X + 1j, "[Cc]omplex"),
    "complex_sparse": (sp.csr_array(X + 1j), "[Cc]omplex"),
    "strings": (np.full((N, P), "a"), "convert|numeric|string"),
    "objects": (with_value(X.astype(object), "a"), "convert|numeric|string"),
    "three_d": (X[None], "3"),
    "one_d": (X[:, 0], r"1D array"),
    "scalar": (3.0, r"scalar"),
    "no_rows": (X[:0], r"0 (sample|row)"),
    "no_columns": (X[:, :0], r"0 (feature|column)"),
    "no_columns_sparse": (sp.csr_array((N, 0)), r"0 (feature|column)"),
    "none": (None, "None|[Nn]a[Nn]|scalar"),
    "ragged": ([[1.0, 2.0], [3.0]] * (N // 2), "inhomogeneous|sequence"),
    "too_short": (X[:-1], rf"(?s)(?=.*\b{N}\b)(?=.*\b{N - 1}\b)"),
    "too_long": (np.vstack([X, X]), rf"(?s)(?=.*\b{N}\b)(?=.*\b{2 * N}\b)"),
}
BAD_Y = {
    "nan": (with_value(y, nan), "NaN"),
    "inf": (with_value(y, inf), "infinity"),
    "minus_inf": (with_value(y, -inf), "infinity"),
    "all_nan": (np.full(N, nan), "NaN"),
    "nan_in_two_columns": (np.column_stack([y, with_value(y, nan)]), "NaN"),
    "no_columns": (y[:, None][:, :0], r"0 (feature|column)"),
    "three_d": (y[:, None, None], "3|1d|1D"),
    "complex": (y + 1j, "[Cc]omplex"),
    "strings": (np.full(N, "a"), "convert|numeric|string"),
    "objects": (with_value(y.astype(object), "a"), "convert|numeric|string"),
    "scalar": (3.0, "."),
    "none": (None, "None"),
    "empty": (y[:0], "0"),
    "too_short": (y[:-1], rf"(?s)(?=.*\b{N}\b)(?=.*\b{N - 1}\b)"),
    "too_long": (np.append(y, 1.0), rf"(?s)(?=.*\b{N}\b)(?=.*\b{N + 1}\b)"),
}
BAD_WEIGHTS = {
    "nan": (with_value(WEIGHTS, nan), "NaN"),
    "inf": (with_value(WEIGHTS, inf), "infinity"),
    "negative": (with_value(WEIGHTS, -1e-9), "[Nn]egative|>= 0"),
    "all_zero": (np.zeros(N), "zero|positive"),
    "too_short": (WEIGHTS[:-1], rf"(?s)(?=.*\b{N}\b)(?=.*\b{N - 1}\b)"),
    "too_long": (np.ones(N + 1), rf"(?s)(?=.*\b{N}\b)(?=.*\b{N + 1}\b)"),
    "two_d": (np.ones((N, 2)), "1D|1d|2D"),
    "sum_overflows": (np.full(N, 1e307), "finite sum"),
    "complex": (WEIGHTS + 1j, "[Cc]omplex"),
    "strings": (np.full(N, "a"), "convert|numeric|string"),
    "empty": (WEIGHTS[:0], "0"),
}


def shown(value):
    """As an error shows it: of an integer that fills lines, the size."""
    if isinstance(value, int) and abs(value) > 10**100:
        digits = np.floor(np.log10(2) * abs(value).bit_length())
        return f"about {'-' * (value < 0)}10**{digits:.0f}"
    return repr(value)


def fitted():
    return HuberRegressor(rho=2.0, alpha=0.5).fit(
        pd.DataFrame(X, columns=["a", "b", "c"]), y
    )


def same(one, other):
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    # The very object, or an equal one of the same type; NaN is a parameter here.
    if one is other or type(one) is not type(other):
        return one is other
    return shown(one) == shown(other)


def check_nothing_changed(estimator, before):
    after = vars(estimator)
    assert list(after) == list(before)
    for name, value in before.items():
        assert same(value, after[name]), name


def refused(estimator, X, y, message, sample_weight=None):
    """The message, after making sure that it matches and nothing has changed."""
    before = {
        name: value.copy() if isinstance(value, np.ndarray) else value
        for name, value in vars(estimator).items()
    }
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        estimator.fit(X, y, sample_weight=sample_weight)
    check_nothing_changed(estimator, before)
    return str(caught.value)


each_state = pytest.mark.parametrize("state", [HuberRegressor, fitted])


def test_the_rest_of_the_input_is_good():
    # Each table replaces one thing in this fit, so that one thing is refused.
    HuberRegressor().fit(X, y, sample_weight=WEIGHTS)
    assert list(vars(fitted())) != list(vars(HuberRegressor()))


@each_state
@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    BAD_PARAMETERS,
    ids=[f"{name}={shown(value)}" for name, value, _ in BAD_PARAMETERS],
)
def test_parameters(name, value, allowed, state):
    estimator = state()
    kept = copy.deepcopy(vars(estimator))
    message = refused(estimator.set_params(**{name: value}), X, y, allowed)
    assert re.search(rf"\b{name}\b", message)
    assert shown(value) in message
    kept[name] = value
    check_nothing_changed(estimator, kept)


@pytest.mark.parametrize("scale", ["mad", 1.0])
def test_a_threshold_below_one_is_refused_with_the_joint_scale_only(scale):
    assert HuberRegressor(rho=0.9, scale=scale).fit(X, y).rho_ == 0.9
    refused(HuberRegressor(rho=0.9), X, y, AT_LEAST_ONE)


@each_state
@pytest.mark.parametrize("case", BAD_X)
def test_features(case, state):
    bad, says = BAD_X[case]
    message = refused(state(), bad, y, says)
    assert re.search(r"\bX\b", message)


@each_state
@pytest.mark.parametrize("case", BAD_Y)
def test_targets(case, state):
    bad, says = BAD_Y[case]
    message = refused(state(), X, bad, says)
    assert re.search(r"\by\b", message)


@each_state
@pytest.mark.parametrize("case", BAD_WEIGHTS)
def test_weights(case, state):
    bad, says = BAD_WEIGHTS[case]
    message = refused(state(), X, y, says, sample_weight=bad)
    assert re.search(r"\bsample_weight\b", message)


@pytest.mark.compiled
@pytest.mark.parametrize("layout", [np.asarray, np.asfortranarray, sp.csr_array])
@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_one_bad_number_in_many(layout, value):
    # Too many for a check of the sum alone to be the only one that ran.
    data, target = problems.plain(30_000, 5)[:2]
    estimator = HuberRegressor()
    refused(estimator, layout(with_value(data, value, (29_998, 4))), target, r"\bX\b")
    refused(estimator, layout(data), with_value(target, value, (29_998, 0)), r"\by\b")
    weights = with_value(np.ones(30_000), value, (29_998, 0))
    refused(estimator, layout(data), target, "sample_weight", sample_weight=weights)


@each_state
def test_a_bad_parameter_is_found_before_bad_data_is_looked_at(state):
    estimator = state().set_params(rho=-1.0)
    refused(estimator, with_value(X, nan), y, r"\brho\b")


def test_numbers_too_large_for_what_computes_with_them():
    """A huge rho is one, as far as a float can tell; a limit is never reached."""
    plain = HuberRegressor().fit(X, y)
    limit = HuberRegressor(max_iter=2**70).fit(X, y)
    np.testing.assert_array_equal(limit.coef_, plain.coef_)
    for rho in (10**400, 1e308):
        huge = HuberRegressor(rho).fit(X, y)
        least_squares = HuberRegressor(np.inf).fit(X, y)
        np.testing.assert_allclose(huge.coef_, least_squares.coef_, rtol=1e-9)
        assert huge.rho_ == float("inf") if rho == 10**400 else rho


@pytest.mark.parametrize("value", [nan, inf])
@pytest.mark.parametrize(
    "size",
    [(N, P), pytest.param((4000, 80), marks=pytest.mark.compiled), (30, 60)],
    ids=str,
)
def test_bad_values_are_named_where_none_were_to_be_expected(size, value):
    """With assume_finite nothing is looked for; sums show that there is something."""
    data, target = problems.plain(*size)[:2]
    weight = np.ones(len(target))
    cases = {
        "X": (with_value(data, value), target, weight),
        "y": (data, with_value(target, value), weight),
        "sample_weight": (data, target, with_value(weight, value)),
    }
    for name, arguments in cases.items():
        for estimator in (HuberRegressor(), HuberRegressor("auto", scale="mad")):
            with (
                config_context(assume_finite=True),
                pytest.raises(ValueError, match=rf"{name} contains (NaN|infinity)"),
            ):
                estimator.fit(*arguments)
            assert not hasattr(estimator, "coef_")


def test_weights_of_which_only_the_sum_is_too_large():
    for estimator in (HuberRegressor("auto"), HuberRegressorCV([1.35])):
        refused(estimator, X, y, "sample_weight", sample_weight=np.full(N, 1e308))
    with pytest.raises(ValueError, match="sample_weight must have a finite sum"):
        huber_path(X, y, sample_weight=np.full(N, 1e308))
    # The objective, 303 times the weight, has to be a finite number, too.
    plain = HuberRegressor(alpha=0.0).fit(X, y)
    heavy = HuberRegressor(alpha=0.0).fit(X, y, sample_weight=np.full(N, 5e305))
    np.testing.assert_allclose(heavy.coef_, plain.coef_, rtol=1e-9)


# --- predict and score ------------------------------------------------------


@pytest.mark.parametrize("method", ["predict", "score"])
def test_before_a_fit(method):
    arguments = (X,) if method == "predict" else (X, y)
    estimator = HuberRegressor()
    before = dict(vars(estimator))
    with pytest.raises(NotFittedError, match="HuberRegressor"):
        getattr(estimator, method)(*arguments)
    check_nothing_changed(estimator, before)


@pytest.mark.parametrize("method", ["predict", "score"])
def test_after_a_failed_fit_there_is_still_no_fit(method):
    estimator = HuberRegressor()
    refused(estimator, with_value(X, nan), y, "NaN")
    arguments = (X,) if method == "predict" else (X, y)
    with pytest.raises(NotFittedError):
        getattr(estimator, method)(*arguments)


def test_after_a_failed_fit_the_last_one_still_predicts():
    estimator = HuberRegressor().fit(X, y)
    expected = estimator.predict(X)
    refused(estimator, with_value(X, nan)[:, :2], y, "NaN")
    np.testing.assert_array_equal(estimator.predict(X), expected)


BAD_TO_PREDICT = {
    "one_column_less": (X[:, :2], r"(?s)(?=.*\b2\b)(?=.*\b3\b)"),
    "one_column_more": (np.hstack([X, X]), r"(?s)(?=.*\b6\b)(?=.*\b3\b)"),
    "sparse_column_less": (sp.csr_array(X[:, :2]), r"(?s)(?=.*\b2\b)(?=.*\b3\b)"),
    **{
        name: BAD_X[name]
        for name in (
            "nan",
            "inf",
            "sparse_nan",
            "complex",
            "strings",
            "three_d",
            "one_d",
            "scalar",
            "no_rows",
            "none",
        )
    },
}


@pytest.mark.parametrize("case", BAD_TO_PREDICT)
def test_features_to_predict(case):
    bad, says = BAD_TO_PREDICT[case]
    estimator = HuberRegressor().fit(X, y)
    before = dict(vars(estimator))
    with pytest.raises((ValueError, TypeError), match=says) as caught:
        estimator.predict(bad)
    assert re.search(r"\bX\b", str(caught.value))
    check_nothing_changed(estimator, before)


def test_names_to_predict():
    estimator = fitted()
    before = dict(vars(estimator))
    for names in (["a", "b", "d"], ["c", "b", "a"]):
        with pytest.raises(ValueError, match="feature names"):
            estimator.predict(pd.DataFrame(X, columns=names))
    with pytest.raises(ValueError, match="feature names"):
        estimator.predict(pd.DataFrame(X[:, :2], columns=["a", "b"]))
    check_nothing_changed(estimator, before)


def test_names_of_two_kinds():
    frame = pd.DataFrame(X, columns=["a", "b", 3])
    with pytest.raises(TypeError, match="string"):
        HuberRegressor().fit(frame, y)
