"""Covariance matrices, beside 50-digit arithmetic, R, statsmodels and refits.

tests/data/README.md says where the numbers of inference.json come from.
"""

import warnings
from fractions import Fraction

import numpy as np
import pytest

import naive_inference
from inference_data import REFERENCES, RHO, SETS, counts, halves, load, noisy
from skhuber import HuberRegressor
from skhuber.inference import InferenceWarning, huber_inference

MODELS = [(name, kind) for name in SETS for kind in RHO]


def fit(name, kind, weight=None):
    X, y = load(name)
    model = HuberRegressor(RHO[kind], scale=kind, alpha=0)
    return model.fit(X, y, weight), X, y


def inferred(model, X, y, **options):
    """The result, whatever it warns of in sets this small."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InferenceWarning)
        return huber_inference(model, X, y, **options)


def assert_close(found, expected, tol):
    np.testing.assert_allclose(np.asarray(found), expected, rtol=tol, atol=0)


@pytest.mark.parametrize(("name", "kind"), MODELS)
def test_exact_covariances(name, kind):
    model, X, y = fit(name, kind)
    exact = REFERENCES[name][kind]
    assert_close(np.append(model.intercept_, model.coef_), exact["params"], 1e-9)
    assert_close(model.scale_, exact["scale"], 1e-9)
    for cov_type, key, tol in [
        ("H1", "H1", 1e-9),
        ("H2", "H2", 1e-8),
        ("H3", "H3", 1e-8),
        ("HC0", "HC0", 1e-9),
        ("HC3", "HC3_psi", 1e-9),
    ]:
        bse = inferred(model, X, y, cov_type=cov_type).bse
        assert_close(bse, exact[f"bse_{key}"], tol)
    if kind == "joint":
        result = inferred(model, X, y)
        assert_close(result.scale_bse, exact["se_sigma_joint"], 1e-9)


@pytest.mark.parametrize("name", SETS)
def test_leverage_of_the_joint_jacobian_is_exact(name):
    model, X, y = fit(name, "joint")
    hat = inferred(model, X, y).leverage_report(X, y).hat
    delta, _ = naive_inference.influences(model, X, y, "joint")
    A, M = naive_inference.rows(X)
    for h, key in ((0.0 * hat, "joint_HC0"), (hat, "joint_HC3")):
        scaled = delta[:, : A.shape[1]] / (1 - h)[:, None]
        bse = np.sqrt(np.diag(M @ scaled.T @ scaled @ M.T))
        tol = 1e-6 if name == "longley" else 1e-9
        assert_close(bse, REFERENCES[name]["joint"][f"bse_{key}"], tol)


@pytest.mark.parametrize(("name", "kind"), MODELS)
def test_default_covariance(name, kind):
    model, X, y = fit(name, kind)
    expected = REFERENCES[name][kind]["default"]
    result = inferred(model, X, y)
    if kind == "mad" and len(y) % 2:
        # Of an odd number of rows one lies at the median, |r| = qσ. Here it always
        # counts as within; in the references, as rounding had it.
        either = [
            naive_inference.sandwich_bse(model, X, y, kind, median_in=within)
            for within in (True, False)
        ]
        assert min(np.max(np.abs(bse / expected["bse"] - 1)) for bse in either) < 1e-9
        assert_close(result.bse, either[0], 1e-9)
        return
    assert_close(result.bse, expected["bse"], 1e-9)
    assert_close(result.pvalues, expected["pvalues"], 1e-7)
    assert_close(result.conf_int(), expected["conf_int"], 1e-7)


@pytest.mark.parametrize("name", SETS)
def test_statsmodels(name):
    model, X, y = fit(name, "mad")
    for cov_type, expected in REFERENCES[name]["statsmodels"].items():
        result = inferred(model, X, y, cov_type=cov_type, use_t=False)
        assert_close(result.bse, expected["bse"], 1e-7)


@pytest.mark.parametrize(("name", "kind"), MODELS)
def test_normal_pvalues_to_the_last_tail(name, kind):
    model, X, y = fit(name, kind)
    result = inferred(model, X, y, cov_type="H1", use_t=False)
    expected = np.array(REFERENCES[name][kind]["pvalues_normal_H1"])
    assert (expected > 1e-300).any()
    assert_close(result.pvalues, expected, 1e-7)


@pytest.mark.parametrize("name", SETS)
def test_R_standard_errors(name):
    """R's have another divisor in K, and round Φ⁻¹(3/4)."""
    model, X, y = fit(name, "mad")
    exact = REFERENCES[name]["mad"]
    bse = np.asarray(inferred(model, X, y, cov_type="H1").bse)
    expected = np.array(REFERENCES[name]["R_se_XtX"])
    assert_close(bse * exact["K_ddof1"] / exact["K"], expected, 5e-5)
    assert_close(
        inferred(model, X, y, cov_type="HC0").bse,
        REFERENCES[name]["R_sandwich_se"],
        5e-4,
    )


@pytest.mark.parametrize(("name", "kind"), MODELS)
def test_frequency_weights(name, kind):
    exact = REFERENCES[name].get(f"{kind}_weighted")
    if exact is None:
        assert (name, kind) == ("longley", "joint")  # whose scale falls to zero
        return
    X, y = load(name)
    weight = counts(len(y))
    model = HuberRegressor(RHO[kind], scale=kind, alpha=0).fit(X, y, weight)
    index = np.repeat(np.arange(len(y)), weight.astype(int))
    for cov_type, key in [
        ("H1", "H1"),
        ("H2", "H2"),
        ("H3", "H3"),
        ("HC0", "HC0"),
        ("HC3", "HC3_psi"),
        ("sandwich", None),
    ]:
        result = inferred(model, X, y, sample_weight=weight, cov_type=cov_type)
        if key is not None:
            assert_close(result.bse, exact[f"bse_{key}"], 1e-9)
        repeated = inferred(model, X[index], y[index], cov_type=cov_type)
        assert_close(result.bse, repeated.bse, 1e-10)
        assert_close(result.rsquared_adj, repeated.rsquared_adj, 1e-10)
        for one, other in zip(
            result.predict(X, "prediction", 0.8),
            repeated.predict(X, "prediction", 0.8),
            strict=True,
        ):
            assert_close(one, other, 1e-8)


EXTRA = [name for name in SETS if "joint_weights" in REFERENCES[name]]


@pytest.mark.parametrize("name", EXTRA)
@pytest.mark.parametrize("kind", list(RHO))
def test_sampling_weights(name, kind):
    X, y = load(name)
    weight = halves(len(y))
    model = HuberRegressor(RHO[kind], scale=kind, alpha=0).fit(X, y, weight)
    expected = REFERENCES[name][f"{kind}_weights"]
    for weights in ("frequency", "sampling"):
        options = {"sample_weight": weight, "weights": weights}
        result = inferred(model, X, y, **options)
        if kind == "joint":
            assert_close(result.bse, expected[weights]["se_default"], 1e-9)
        hc3 = inferred(model, X, y, cov_type="HC3", **options)
        assert_close(hc3.bse, expected[weights]["se_HC3_fixed_scale"], 1e-9)
    h1 = inferred(model, X, y, sample_weight=weight, cov_type="H1")
    assert_close(h1.bse, expected["H1"]["se"], 1e-9)
    # Of a sampling weight's H1, the reference has Σ s in the place of the number of
    # rows, and changes with the unit of the weights.
    h1 = inferred(model, X, y, sample_weight=weight, cov_type="H1", weights="sampling")
    n, p, total = len(y), X.shape[1] + 1, weight.sum()
    m = weight[~model.outliers_].sum() / total
    K = [1 + p / N * (1 - m) / m for N in (total, n)]
    factor = K[0] / K[1] * np.sqrt(total / (total - p) * (n - p) / n)
    assert_close(np.asarray(h1.bse) * factor, expected["H1"]["se_sampling"], 1e-9)


def test_sampling_weights_have_no_unit():
    X, y = noisy()
    weight = halves(len(y))
    results = []
    for unit in (1.0, 37.0):
        model = HuberRegressor(alpha=0.3 * unit).fit(X, y, unit * weight)
        for cov_type in ("sandwich", "H1", "HC0", "cluster"):
            groups = np.arange(len(y)) % 30 if cov_type == "cluster" else None
            result = inferred(
                model,
                X,
                y,
                sample_weight=unit * weight,
                weights="sampling",
                cov_type=cov_type,
                groups=groups,
            )
            results.append(np.asarray(result.bse))
    np.testing.assert_allclose(results[:4], results[4:], rtol=1e-8)


@pytest.mark.parametrize("name", EXTRA)
@pytest.mark.parametrize("kind", list(RHO))
def test_penalty(name, kind):
    X, y = load(name)
    X, y = X / X.std(axis=0), y / y.std()
    model = HuberRegressor(RHO[kind], scale=kind, alpha=1).fit(X, y)
    expected = REFERENCES[name][f"{kind}_alpha"]
    h1 = inferred(model, X, y, cov_type="H1")
    assert_close(h1.bse, expected["H1"]["se"], 1e-9)
    if kind == "joint":
        result = inferred(model, X, y)
        assert_close(result.bse, expected["frequency"]["se_default"], 1e-9)
    # The bias of the reference is that at a known scale.
    known = HuberRegressor(RHO[kind], scale=model.scale_, alpha=1).fit(X, y)
    bias = np.array(expected["H1"]["penalty_bias"])
    np.testing.assert_allclose(
        inferred(known, X, y).penalty_bias,
        bias,
        rtol=1e-7,
        atol=1e-9 * np.abs(bias).max(),
    )


@pytest.mark.parametrize("kind", ["joint", 1.0])
def test_penalty_bias_is_the_slope_of_refits(kind):
    X, y = noisy()
    fits = []
    for alpha in (100.0, 100.1, 99.9):
        model = HuberRegressor(scale=kind, alpha=alpha, tol=1e-15).fit(X, y)
        fits.append((model, np.append(model.intercept_, model.coef_)))
    slope = (fits[1][1] - fits[2][1]) / 0.2
    bias = inferred(fits[0][0], X, y).penalty_bias
    # (The penalty's part of J makes it the slope there, and not at zero.)
    np.testing.assert_allclose(bias, 100 * slope, rtol=1e-4)


def test_penalty_that_shows_is_told():
    X, y = noisy()
    model = HuberRegressor(alpha=100).fit(X, y)
    with pytest.warns(InferenceWarning, match="alpha=100 biases x0"):
        huber_inference(model, X, y)


@pytest.mark.parametrize("name", SETS)
def test_least_squares_is_that_of_R(name):
    X, y = load(name)
    model = HuberRegressor(np.inf, scale=1.0, alpha=0).fit(X, y)
    expected = REFERENCES[name]["ols"]
    # On longley R's own figures are 1.6e-8 off exact ones, with which the next test
    # compares.
    tol = 5e-8 if name == "longley" else 1e-9
    for kind in ("HC0", "HC2", "HC3"):
        result = inferred(model, X, y, cov_type=kind)
        assert_close(result.bse, expected[f"{kind}_se"], tol)
    report = inferred(model, X, y).leverage_report(X, y)
    assert_close(report.hat, expected["hat"], 1e-9)
    assert_close(report.cook, expected["cook"], 1e-9)


def exact_least_squares(X, y):
    """Rows a = (1, x), (AᵀA)⁻¹, residuals and leverages, in rational numbers."""
    A = [[Fraction(1), *(Fraction(float(v)) for v in row)] for row in X]
    q = range(len(A[0]))
    left = [
        [sum(a[j] * a[k] for a in A) for k in q] + [Fraction(j == k) for k in q]
        for j in q
    ]
    for j in q:
        left[j] = [v / left[j][j] for v in left[j]]
        for k in q:
            if k != j:
                left[k] = [
                    v - left[k][j] * w for v, w in zip(left[k], left[j], strict=True)
                ]
    inverse = [row[len(A[0]) :] for row in left]
    slope = [
        sum(a[j] * Fraction(float(v)) for a, v in zip(A, y, strict=True)) for j in q
    ]
    b = [dot(row, slope) for row in inverse]
    r = [Fraction(float(v)) - dot(a, b) for a, v in zip(A, y, strict=True)]
    hat = [dot(a, [dot(row, a) for row in inverse]) for a in A]
    return A, inverse, r, hat


def dot(v, w):
    return sum(a * b for a, b in zip(v, w, strict=True))


@pytest.mark.parametrize(("kind", "power"), [("HC0", 0), ("HC2", 1), ("HC3", 2)])
def test_longley_is_that_of_rational_arithmetic(kind, power):
    X, y = load("longley")
    A, inverse, r, hat = exact_least_squares(X, y)
    model = HuberRegressor(np.inf, scale=1.0, alpha=0).fit(X, y)
    result = inferred(model, X, y, cov_type=kind)
    expected = [
        sum(
            dot(row, a) ** 2 * e**2 / (1 - h) ** power
            for a, e, h in zip(A, r, hat, strict=True)
        )
        for row in inverse
    ]
    assert_close(result.bse, np.sqrt([float(v) for v in expected]), 1e-11)


@pytest.mark.parametrize(("name", "kind"), MODELS)
def test_clusters(name, kind):
    model, X, y = fit(name, kind)
    groups = np.array(list("abcde"))[np.arange(len(y)) % 5]
    result = inferred(model, X, y, cov_type="cluster", groups=groups)
    expected = REFERENCES[name][kind]["derived"]["cluster_mod5_se_corrected"]
    assert_close(result.bse, expected, 1e-5 if name == "longley" else 1e-7)
    # Student's t has as many degrees of freedom as there are groups, less one.
    t = result.t_test("const")
    assert t.df == 4


def joint_influence(model, X, y):
    """δ of each row on the coefficients: what the default is a jackknife of."""
    A, M = naive_inference.rows(X)
    r = y - model.predict(X)
    sigma = model.scale_
    c = np.clip(r, -model.rho_ * sigma, model.rho_ * sigma)
    B = np.column_stack([A, r / sigma])[~model.outliers_]
    J = B.T @ B
    slopes = np.arange(1, A.shape[1])
    J[slopes, slopes] += model.alpha * sigma * M[slopes, slopes] ** 2
    g = np.column_stack([c[:, None] * A, (c**2 - sigma**2) / (2 * sigma)])
    return np.linalg.solve(J, g.T).T[:, :-1] @ M.T


@pytest.mark.compiled
@pytest.mark.parametrize("kind", ["joint", "mad", 1.0])
@pytest.mark.parametrize("alpha", [0.0, 5.0])
def test_influence_is_the_derivative_of_refits(kind, alpha):
    X, y = noisy(60, 2)
    rho = RHO.get(kind, 1.5)
    options = {"scale": kind, "alpha": alpha, "tol": 1e-15}
    model = HuberRegressor(rho, **options).fit(X, y)
    step = 1e-5
    changes = []
    for i in range(len(y)):
        ends = []
        for sign in (1, -1):
            weight = np.ones(len(y))
            weight[i] += sign * step
            if kind == "mad":  # its median jumps: the scale is held
                other = HuberRegressor(rho, **{**options, "scale": model.scale_})
            else:
                other = HuberRegressor(rho, **options)
            other.fit(X, y, weight)
            ends.append(np.hstack([other.intercept_, other.coef_, other.scale_]))
        changes.append((ends[0] - ends[1]) / (2 * step))
    *expected, of_scale = np.sqrt(np.sum(np.square(changes), axis=0))
    if kind == "joint":
        delta = joint_influence(model, X, y)
        found = np.sqrt(np.sum(delta**2, axis=0))
        assert_close(inferred(model, X, y).scale_bse, of_scale, 1e-5)
    else:
        found = np.asarray(inferred(model, X, y, cov_type="HC0").bse)
    assert_close(found, expected, 1e-5)


@pytest.mark.compiled
def test_h1_fails_and_the_sandwich_holds_under_heteroscedastic_noise():
    covered = {"H1": 0, "sandwich": 0}
    for seed in range(300):
        X, y = noisy(200, 2, seed, "hetero")
        model = HuberRegressor(alpha=0).fit(X, y)
        for kind in covered:
            result = huber_inference(model, X, y, cov_type=kind)
            lower, upper = np.asarray(result.conf_int())[1]
            covered[kind] += lower <= 1.0 <= upper
    # 95 % less and more three standard errors of 300 draws; H1 covers 60 to 83 %.
    assert 0.91 * 300 < covered["sandwich"] < 0.99 * 300
    assert covered["H1"] < 0.85 * 300
