"""HuberElasticNet: its minimum, its special cases, its bounds and its gap."""

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet, Lasso
from sklearn.linear_model import HuberRegressor as TheirHuber

import elastic_nets
import naive
import problems
from skhuber import HuberElasticNet, HuberRegressor

X, Y, *_ = problems.plain(120, 6)
SCALES = ["joint", "mad", 1.5]
each_scale = pytest.mark.parametrize("scale", SCALES)


def objective_of(model, X, y, sample_weight=None):
    found = model.coef_, model.intercept_, model.scale_
    options = model.get_params()
    alpha = options.pop("alpha")
    return elastic_nets.objective(X, y, found, alpha, sample_weight, **options)


def kkt_violation(model, X, y, sample_weight=None):
    """The largest violation of the optimality conditions, in units of α·l1_ratio."""
    s = naive.weights_of(sample_weight, len(y))
    r = naive.residuals(X, y, model.coef_, model.intercept_)
    c = np.clip(r / model.scale_, -model.rho, model.rho)
    d = elastic_nets.deviations(X, sample_weight, vars(model))
    l1 = model.alpha * model.l1_ratio * d
    slope = -naive.dense(X).T @ (s * c) / s.sum()
    slope += model.alpha * (1 - model.l1_ratio) * d**2 * model.coef_
    w = model.coef_
    at = np.where(w == 0, np.maximum(np.abs(slope) - l1, 0), slope + l1 * np.sign(w))
    worst = np.abs(at / d).max()
    if model.fit_intercept:
        worst = max(worst, abs(s @ c) / s.sum())
    if model.scale == "joint":
        worst = max(worst, abs(1 - s @ c**2 / s.sum()))
    return worst / model.alpha


@each_scale
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5, 0.0])
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_optimality_conditions(scale, l1_ratio, standardize, fit_intercept):
    weight = np.random.default_rng(0).uniform(0.1, 3.0, len(Y))
    model = HuberElasticNet(
        0.1,
        l1_ratio=l1_ratio,
        scale=scale,
        standardize=standardize,
        fit_intercept=fit_intercept,
    ).fit(X * [1, 10, 0.1, 1, 1, 1], Y, weight)
    scaled = X * [1, 10, 0.1, 1, 1, 1]
    assert kkt_violation(model, scaled, Y, weight) < 1e-7
    expected = float(objective_of(model, scaled, Y, weight))
    assert model.objective_ == pytest.approx(expected, rel=1e-13)
    if scale == "mad":
        r = naive.residuals(scaled, Y, model.coef_, model.intercept_)
        assert model.scale_ == pytest.approx(naive.mad_scale(r, weight), rel=1e-8)


# (Theirs does not reach its tolerance without absolute values.)
@pytest.mark.filterwarnings("ignore:Objective did not converge")
@pytest.mark.filterwarnings("ignore:Coordinate descent with")
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5, 0.0])
@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_without_a_threshold_it_is_their_elastic_net(l1_ratio, positive, fit_intercept):
    options = {"l1_ratio": l1_ratio, "positive": positive}
    options["fit_intercept"] = fit_intercept
    theirs = ElasticNet(0.3, tol=1e-14, max_iter=10**6, **options).fit(X, Y)
    ours = HuberElasticNet(0.3, rho=np.inf, scale=1.0, standardize=False, **options)
    ours.fit(X, Y)
    assert_allclose(ours.coef_, theirs.coef_, rtol=1e-7, atol=1e-9)
    assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-7)
    if l1_ratio > 0:
        assert_array_equal(ours.coef_ == 0, theirs.coef_ == 0)


def test_more_columns_than_rows():
    rng = np.random.default_rng(1)
    wide = rng.normal(size=(30, 80))
    y = 4 * wide[:, 0] - 3 * wide[:, 1] + 0.1 * rng.normal(size=30)
    theirs = Lasso(0.2, tol=1e-14, max_iter=10**6).fit(wide, y)
    ours = HuberElasticNet(0.2, rho=np.inf, scale=1.0, standardize=False).fit(wide, y)
    assert_allclose(ours.coef_, theirs.coef_, atol=1e-8)
    y[3] += 1000.0
    robust = HuberElasticNet(0.2).fit(wide, y)
    assert kkt_violation(robust, wide, y) < 1e-7
    assert_allclose(robust.coef_[:2], [4.0, -3.0], atol=0.6)
    assert robust.outliers_[3]


def test_the_squared_penalty_is_that_of_their_huber_regressor():
    alpha = 0.2
    theirs = TheirHuber(alpha=alpha * len(Y), max_iter=10**4, tol=1e-10).fit(X, Y)
    ours = HuberElasticNet(alpha, l1_ratio=0.0, standardize=False).fit(X, Y)
    assert_allclose(ours.coef_, theirs.coef_, rtol=1e-4)
    exact = HuberRegressor(alpha=alpha * len(Y)).fit(X, Y)
    assert_allclose(ours.coef_, exact.coef_, rtol=1e-9)
    assert_allclose(ours.objective_, exact.objective_ / (2 * len(Y)), rtol=1e-13)


@each_scale
def test_a_weight_is_a_repetition(scale):
    times = np.random.default_rng(0).integers(0, 4, len(Y))
    options = {"scale": scale, "l1_ratio": 0.7}
    weighted = HuberElasticNet(0.1, **options).fit(X, Y, times)
    repeated = HuberElasticNet(0.1, **options)
    repeated.fit(np.repeat(X, times, axis=0), np.repeat(Y, times))
    assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-8, atol=1e-10)
    assert_allclose(weighted.objective_, repeated.objective_, rtol=1e-12)
    assert_allclose(weighted.dual_gap_, repeated.dual_gap_, atol=1e-7)
    # The penalty is that of a mean: a factor of all weights changes nothing.
    again = HuberElasticNet(0.1, **options).fit(X, Y, times * 1e-3)
    assert_allclose(again.coef_, weighted.coef_, rtol=1e-8, atol=1e-10)


def test_layouts_and_types_of_X():
    Z = np.where(np.abs(X) > 0.5, X, 0.0)
    expected = HuberElasticNet(0.1).fit(Z, Y)
    layouts = [np.asfortranarray(Z), sp.csr_matrix(Z), sp.csr_array(Z), Z[::-1][::-1]]
    for layout in layouts:
        found = HuberElasticNet(0.1).fit(layout, Y)
        assert_allclose(found.coef_, expected.coef_, rtol=1e-10)
        assert_array_equal(found.coef_ == 0, expected.coef_ == 0)
    single = HuberElasticNet(0.1).fit(Z.astype(np.float32), Y.astype(np.float32))
    assert single.coef_.dtype == np.float32
    assert_allclose(single.coef_, expected.coef_, rtol=1e-4, atol=1e-5)


def test_units_of_the_columns_do_not_matter():
    unit = np.logspace(-6, 6, 6)
    plain = HuberElasticNet(0.1).fit(X, Y)
    other = HuberElasticNet(0.1).fit(X * unit + 1e3 * unit, Y)
    assert_allclose(other.coef_ * unit, plain.coef_, rtol=1e-7, atol=1e-9)
    assert_allclose(other.objective_, plain.objective_, rtol=1e-10)


@pytest.mark.parametrize("factor", [1e-6, -3.0, 1e9])
def test_the_lasso_with_a_joint_scale_is_equivariant(factor):
    plain = HuberElasticNet(0.1).fit(X, Y)
    other = HuberElasticNet(0.1).fit(X, factor * Y)
    assert_allclose(other.coef_, factor * plain.coef_, rtol=1e-12)
    assert_allclose(other.scale_, abs(factor) * plain.scale_, rtol=1e-12)


# --- bounds -------------------------------------------------------------------------


@each_scale
@pytest.mark.parametrize("alpha", [0.0, 0.05])
def test_bounds(scale, alpha):
    free = HuberElasticNet(alpha, scale=scale).fit(X, Y)
    lower = np.where(np.arange(6) % 2, free.coef_ + 0.1, -np.inf)
    upper = np.where(np.arange(6) % 3 == 2, np.maximum(free.coef_ - 0.2, lower), np.inf)
    upper[0] = 1 / 3 if free.coef_[0] > 0.4 else upper[0]
    model = HuberElasticNet(alpha, scale=scale, bounds=(lower, upper)).fit(X, Y)
    assert (model.coef_ >= lower).all()
    assert (model.coef_ <= upper).all()
    held = (model.coef_ == lower) | (model.coef_ == upper)
    assert held.sum() >= 3
    # The others are at the minimum with the held ones subtracted.
    rest = HuberElasticNet(
        alpha, scale=model.scale_, standardize=False, rho=model.rho
    ).fit(
        X[:, ~held] / X[:, ~held].std(axis=0),
        Y - X[:, held] @ model.coef_[held],
    )
    assert_allclose(
        rest.coef_ / X[:, ~held].std(axis=0), model.coef_[~held], rtol=1e-5, atol=1e-7
    )


def test_active_bounds_are_hit_to_the_bit():
    bounds = (np.full(6, -1 / 7), 1 / 3)
    model = HuberElasticNet(0.0, bounds=bounds).fit(X * [1, 10, 100, 1, 1, 1e-3], Y)
    assert set(model.coef_) & {-1 / 7, 1 / 3}
    near = np.abs(model.coef_ - 1 / 3) < 1e-6
    assert_array_equal(model.coef_[near], 1 / 3)
    fixed = HuberElasticNet(0.1, bounds=(0.25, np.full(6, 0.25))).fit(X, Y)
    assert_array_equal(fixed.coef_, 0.25)


def test_positive_coefficients():
    model = HuberElasticNet(0.01, positive=True).fit(X, Y)
    assert (model.coef_ >= 0).all()
    assert (model.coef_ == 0).any()
    same = HuberElasticNet(0.01, bounds=(0, None)).fit(X, Y)
    assert_array_equal(model.coef_, same.coef_)
    both = HuberElasticNet(0.01, positive=True, bounds=(-1, 0.2)).fit(X, Y)
    assert ((both.coef_ >= 0) & (both.coef_ <= 0.2)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": -1.0}, "alpha must be a finite number >= 0, got -1.0"),
        ({"alpha": np.nan}, "alpha must be"),
        ({"l1_ratio": 1.5}, "l1_ratio must be a number from 0 to 1, got 1.5"),
        ({"l1_ratio": -0.1}, "l1_ratio must be a number from 0 to 1, got -0.1"),
        ({"rho": 0.5}, "rho must be a number >= 1"),
        ({"scale": "none"}, "scale must be"),
        (
            {"bounds": (1, 0)},
            "lower <= upper, got 1 > 0 for feature 0",
        ),
        ({"bounds": (None, np.nan)}, "bounds must not be NaN.* upper"),
        (
            {"bounds": (np.zeros(5), None)},
            r"lower bounds .* \(5,\).*6 features",
        ),
        ({"bounds": (np.zeros((6, 1)), 1)}, r"lower bounds have shape \(6, 1\)"),
        ({"bounds": (0, 1, 2)}, "bounds must be .*got 3 entries"),
        ({"bounds": (np.inf, None)}, "got lower bounds with inf"),
        ({"bounds": (None, -np.inf)}, "got upper bounds with -inf"),
        ({"positive": True, "bounds": (None, -1)}, "positive=True .* got .* -1"),
    ],
)
def test_bad_values(options, message):
    model = HuberElasticNet().fit(X, Y)
    before = vars(model).copy()
    model.set_params(**options)
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y)
    assert {**vars(model), **{name: before[name] for name in options}} == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": "1"}, "alpha must be"),
        ({"l1_ratio": None}, "l1_ratio must be"),
        ({"standardize": 1}, "standardize must be True or False, got 1"),
        ({"positive": "yes"}, "positive must be True or False"),
        ({"bounds": 3.0}, "bounds must be None or a pair"),
        ({"bounds": "01"}, "bounds must be None or a pair"),
        ({"bounds": (["a"] * 6, None)}, "bounds must be .* lower bounds"),
        ({"bounds": (True, None)}, "bounds must be .*got True as the lower bounds"),
    ],
)
def test_bad_types(options, message):
    with pytest.raises(TypeError, match=message):
        HuberElasticNet(**options).fit(X, Y)


# --- zeros --------------------------------------------------------------------------


@each_scale
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_all_coefficients_are_zero_from_an_alpha_on(scale, fit_intercept):
    options = {"scale": scale, "fit_intercept": fit_intercept}
    one = elastic_nets.NetProblem(X, Y, None, options, 1.0)
    alpha = elastic_nets.largest_alpha(one)
    assert not HuberElasticNet(alpha * (1 + 1e-9), **options).fit(X, Y).coef_.any()
    found = HuberElasticNet(alpha * (1 - 1e-4), **options).fit(X, Y)
    assert np.count_nonzero(found.coef_) == 1


def test_sparse_coefficients():
    model = HuberElasticNet(0.3).fit(X, Y)
    assert sp.issparse(model.sparse_coef_)
    assert_array_equal(model.sparse_coef_.toarray(), [model.coef_])
    assert model.sparse_coef_.nnz == np.count_nonzero(model.coef_) < 6


def test_columns_that_are_neither_scaled_nor_centred_need_no_statistics():
    sweeps = {
        options: HuberElasticNet(
            0.1, scale=1.0, standardize=options[0], fit_intercept=options[1]
        )
        .fit(X, Y)
        .n_sweeps_
        for options in [(False, False), (True, False)]
    }
    assert sweeps[False, False] < sweeps[True, False]


@pytest.mark.compiled
@pytest.mark.parametrize("scale", ["joint", 1.0])
def test_rare_dummies_take_few_sweeps(scale):
    # (A uniform sample took 10 and 12: a coefficient fitted its one row, an outlier.)
    X, y = elastic_nets.rare_dummies()
    assert HuberElasticNet(0.005, scale=scale).fit(X, y).n_sweeps_ <= 9


@pytest.mark.compiled
@pytest.mark.parametrize("seed", [7, 30, 33])
def test_max_iter_is_the_limit_of_a_fit_to_a_part_of_the_columns(seed):
    # (With five rows 10,000 times longer than the others. 90 iterations are needed.)
    rng = np.random.default_rng(seed)
    wide = rng.normal(size=(300, 220))
    wide[:5] *= 1e4
    y = (wide / wide.std(axis=0))[:, :12] @ rng.normal(size=12) * 2
    y += rng.normal(size=300)
    assert HuberElasticNet(0.008).fit(wide, y).optimality_gap_ <= 1e-12
    with pytest.warns(ConvergenceWarning, match="a larger max_iter allows more"):
        limited = HuberElasticNet(0.008, max_iter=15).fit(wide, y)
    assert limited.n_iter_ <= 15


# --- the gap ------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:HuberElasticNet did not converge.*max_iter=2")
@pytest.mark.parametrize("seed", range(60))
def test_the_dual_gap_is_no_smaller_than_the_excess(seed):
    one = elastic_nets.random_problem(seed)
    alpha = one.share * elastic_nets.largest_alpha(one)
    best = HuberElasticNet(alpha, tol=1e-15, **one.options)
    best.fit(one.X, one.y, one.sample_weight)
    rough = HuberElasticNet(alpha, tol=1e-15, max_iter=2, **one.options)
    rough.fit(one.X, one.y, one.sample_weight)
    for model in (best, rough):
        excess = (model.objective_ - best.objective_) / model.objective_
        assert model.dual_gap_ >= excess - 1e-14
    assert best.dual_gap_ <= 1e-5
    assert best.optimality_gap_ <= 1e-12


@pytest.mark.filterwarnings("ignore:HuberElasticNet did not converge.*max_iter=1")
@pytest.mark.parametrize("share", [0.01, 0.03, 0.1])
@pytest.mark.parametrize("rho", [0.5, 1.35])
def test_the_dual_gap_is_that_of_the_best_multiple_of_the_dual_point(share, rho):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 8))
    y = X[:, :3] @ [1.0, -2.0, 0.5] + rng.standard_t(2, 60)
    n, sigma, alpha = 60, 0.8, share * np.abs(X.T @ y).max() / 60
    options = {"standardize": False, "fit_intercept": False, "max_iter": 1}
    model = HuberElasticNet(alpha, l1_ratio=0.5, rho=rho, scale=sigma, **options)
    coef = model.fit(X, y).coef_
    l1, l2 = n * alpha, 0.5 * n * alpha
    v = 2.0 * np.clip((y - X @ coef) / sigma, -rho, rho)

    def dual(factor):
        excess = np.maximum(np.abs(factor * X.T @ v) - l1, 0.0)
        loss = factor * v @ y - sigma * factor**2 * v @ v / 4
        return loss - np.sum(excess**2) / (4 * l2)

    best = scipy.optimize.minimize_scalar(
        lambda factor: -dual(factor), bounds=(0.0, 1.0), options={"xatol": 1e-12}
    )
    value = float(2 * n * objective_of(model, X, y))
    assert model.dual_gap_ > 1e-6
    assert model.dual_gap_ == pytest.approx((value + best.fun) / value, rel=0.02)


def test_a_fit_that_is_not_certified_says_so():

    message = "HuberElasticNet did not converge.*max_iter"
    with pytest.warns(ConvergenceWarning, match=message):
        HuberElasticNet(0.01, max_iter=0).fit(X, Y)


def test_a_warm_start():
    first = HuberElasticNet(0.1, warm_start=True).fit(X, Y)
    before = first.coef_.copy()
    again = first.fit(X, Y)
    assert_allclose(again.coef_, before, rtol=1e-9)
    assert again.n_iter_ <= 1
    first.bounds = (0, 0.1)
    assert (first.fit(X, Y).coef_ <= 0.1).all()
    with pytest.raises(ValueError, match="warm_start=True"):
        first.fit(X[:, :2], Y)
