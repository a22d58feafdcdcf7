"""Problems of the elastic net, and their objective in plain NumPy."""

from typing import NamedTuple

import numpy as np
import scipy.optimize

import naive


class NetProblem(NamedTuple):
    X: np.ndarray
    y: np.ndarray
    sample_weight: np.ndarray | None
    options: dict  # of HuberElasticNet, without alpha
    share: float  # of the alpha at which all coefficients are zero


def deviations(X, sample_weight, options):
    """d_j: standard deviations, root mean squares without an intercept, or ones."""
    X = naive.dense(X)
    s = naive.weights_of(sample_weight, len(X))
    if not options.get("standardize", True):
        return np.ones(X.shape[1])
    centre = np.average(X, axis=0, weights=s)
    if not options.get("fit_intercept", True):
        centre = 0.0
    d = np.sqrt(np.average((X - centre) ** 2, axis=0, weights=s))
    return np.where(d > 0, d, 1.0)


def objective(X, y, model, alpha, sample_weight=None, **options):
    """The mean over samples that HuberElasticNet minimises, in extended precision.

    The model is coefficients, intercept and scale.
    """
    coef, intercept, scale = model
    s = naive.weights_of(sample_weight, len(y))
    joint = options.get("scale", "joint") == "joint"
    rho, ratio = options.get("rho", 1.35), options.get("l1_ratio", 1.0)
    loss = naive.objective(X, y, coef, intercept, scale, rho, 0.0, s, joint)
    w = np.asarray(coef, np.longdouble) * deviations(X, sample_weight, options)
    penalty = ratio * np.abs(w).sum() + 0.5 * (1 - ratio) * (w @ w)
    return loss / (2 * s.sum()) + alpha * penalty


def rare_dummies(n=100_000, p=50):
    """Columns of ones and zeros, the rarest with ten ones, and a tenth of outliers."""
    rng = np.random.default_rng(0)
    X = (rng.random((n, p)) < np.logspace(-0.5, -4, p)).astype(float)
    coef = np.zeros(p)
    support = rng.permutation(p)[: p // 5]
    coef[support] = rng.choice([-1, 1], p // 5) * rng.uniform(0.5, 2, p // 5)
    y = X @ coef + rng.normal(size=n)
    y[rng.random(n) < 0.1] += 25.0
    return X, y


def random_problem(seed):
    """A small problem with weights, a box, few rows or no intercept, as it comes."""
    rng = np.random.default_rng(seed)
    n, p = rng.choice([(60, 8), (25, 40), (40, 3), (12, 12)])
    X = rng.normal(size=(n, p)) * rng.uniform(0.2, 5.0, p) + rng.normal(size=p)
    y = X[:, :3] @ [1.0, -2.0, 0.5] + 2.0 + rng.normal(size=n)
    y[: n // 10] += 15.0
    weight = rng.uniform(0.2, 2.0, n) if rng.random() < 0.5 else None
    few = n <= p
    options = {
        "l1_ratio": float(rng.choice([1.0, 0.9, 0.5])),
        "rho": 2.0 if few else float(rng.choice([1.2, 1.35, 3.0])),
        "scale": "joint" if rng.random() < 0.5 else 0.8,
        "standardize": bool(rng.random() < 0.5),
        "fit_intercept": bool(rng.random() < 0.8),
    }
    kind = rng.integers(4)
    if kind == 1:
        options["positive"] = True
    if kind == 2:
        options["bounds"] = (-0.5, 0.6)
    if kind == 3:
        options["bounds"] = (None, rng.uniform(0.1, 1.0, p))
    # (With less, few rows are met exactly.)
    share = 0.5 if few else float(rng.choice([0.5, 0.3, 0.15]))
    return NetProblem(X, y, weight, options, share)


def largest_alpha(one):
    """The alpha from which on all coefficients are zero, bounds left aside.

    Without coefficients the loss is that of y alone: of a column of zeros.
    """
    options = {"rho": 1.35, "scale": "joint", "fit_intercept": True} | one.options
    X, y, s = one.X, one.y, naive.weights_of(one.sample_weight, len(one.y))
    rho = options["rho"]
    b, scale = location_and_scale(y, s, options)
    c = s * np.clip(y - b, -rho * scale, rho * scale)
    centre = np.average(X, axis=0, weights=s) if options["fit_intercept"] else 0.0
    d = deviations(X, one.sample_weight, options)
    slope = np.abs((X - centre).T @ c / d).max() / scale / s.sum()
    return slope / options.get("l1_ratio", 1.0)


def location_and_scale(y, s, options):
    """Huber's location and the scale, each in turn, until they stay."""
    rho, kind = options["rho"], options["scale"]
    b = naive.weighted_median(y, s) if options["fit_intercept"] else 0.0
    scale = kind if not isinstance(kind, str) else naive.mad_scale(y - b, s)
    for _ in range(2000):
        last = b, scale
        if kind == "joint":
            c = np.clip(y - b, -rho * scale, rho * scale)
            scale = np.sqrt(s @ c**2 / s.sum())
        elif kind == "mad":
            scale = naive.mad_scale(y - b, s)
        if options["fit_intercept"]:
            b = location(y, s, rho * scale)
        if last == (b, scale):
            break
    return b, scale


def location(y, s, threshold):
    """The b at which the clipped residuals have a mean of zero."""
    if np.isinf(threshold):
        return np.average(y, weights=s)
    ends = y.min() - 1.0, y.max() + 1.0
    return scipy.optimize.brentq(
        lambda b: s @ np.clip(y - b, -threshold, threshold), *ends, xtol=1e-15
    )
