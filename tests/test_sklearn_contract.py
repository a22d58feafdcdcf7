"""scikit-learn's checks of an estimator, and its own tests of its HuberRegressor."""

import inspect

import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model.tests import test_huber as theirs
from sklearn.utils.estimator_checks import parametrize_with_checks

from skhuber import HuberElasticNet, HuberRegressor


# Some checks fit ten rows of noise, of which no scale is left. (Their warnings are
# errors here.)
@pytest.mark.filterwarnings(
    "ignore:HuberRegressor did not converge. the scale fell to zero"
)
@parametrize_with_checks(
    [
        HuberRegressor(),
        HuberRegressor(scale="mad"),
        HuberRegressor(scale=1.0),
        HuberRegressor(fit_intercept=False),
        HuberElasticNet(),
        HuberElasticNet(0.1, l1_ratio=0.5, scale="mad", positive=True),
    ]
)
def test_estimator_checks(estimator, check):
    check(estimator)


def with_epsilon(*, epsilon=1.35, **options):
    """Our estimator, made and asked for its threshold in their words."""
    estimator = HuberRegressor(rho=epsilon, **options)
    estimator.epsilon = epsilon
    return estimator


def their_tests():
    cases = []
    for name, function in sorted(vars(theirs).items()):
        if not name.startswith("test_") or not inspect.isfunction(function):
            continue
        marks = getattr(function, "pytestmark", [])
        values = [mark for mark in marks if mark.name == "parametrize"]
        if not values:
            cases.append(pytest.param(name, {}, id=name))
            continue
        (mark,) = values
        argument, options = mark.args
        for option in options:
            case = f"{name}[{getattr(option, '__name__', option)}]"
            cases.append(pytest.param(name, {argument: option}, id=case))
    return cases


def test_their_tests_are_found():
    names = {case.values[0] for case in their_tests()}
    assert len(names) >= 9
    assert {"test_huber_warm_start", "test_huber_max_iter"} <= names


@pytest.mark.parametrize(("name", "arguments"), their_tests())
def test_theirs_with_ours(name, arguments, monkeypatch):
    monkeypatch.setattr(theirs, "HuberRegressor", with_epsilon)
    test = getattr(theirs, name)
    if name == "test_huber_max_iter":
        # One iteration is all it allows, and ours says when that is not enough.
        with pytest.warns(ConvergenceWarning, match="max_iter"):
            test(**arguments)
    else:
        test(**arguments)
