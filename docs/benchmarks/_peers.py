"""Libraries that the benchmarks of fits compare, and the gaps that they leave."""

import numpy as np
import scipy.sparse as sp
from _common import RHO
from sklearn.linear_model import HuberRegressor as TheirHuberRegressor
from sklearn.linear_model import LinearRegression, SGDRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skhuber import HuberRegressor

# As of rlm in R, and so of the libraries that follow it.
MAD_RHO = 1.345


class Fitted:
    """Coefficients in the units of the data, and the scale if there is one."""

    def __init__(self, coef, intercept, scale=None):
        self.coef_, self.intercept_, self.scale_ = coef, float(intercept), scale


def fitted(model):
    return Fitted(model.coef_, model.intercept_, getattr(model, "scale_", None))


class Library:
    name: str
    kind: str  # "joint", "fixed", "mad" or "squares"
    sparse = True
    ladder = ()

    def fit(self, X, y, threshold, **settings):
        raise NotImplementedError


class Skhuber(Library):
    name, kind = "skhuber", "joint"
    ladder = tuple({"tol": tol} for tol in (1e-1, 1e-3, 1e-6, 1e-9, 1e-14))

    def fit(self, X, y, threshold, **settings):
        return fitted(HuberRegressor(**settings).fit(X, y))


class SkhuberFixed(Library):
    name, kind = "skhuber, fixed scale", "fixed"

    def fit(self, X, y, threshold, **settings):
        return fitted(HuberRegressor(RHO, scale=threshold / RHO, alpha=0.0).fit(X, y))


class SkhuberMad(Library):
    name, kind = "skhuber, MAD scale", "mad"

    def fit(self, X, y, threshold, **settings):
        return fitted(HuberRegressor(MAD_RHO, scale="mad", alpha=0.0).fit(X, y))


class SklearnHuber(Library):
    name, kind = "scikit-learn Huber", "joint"
    ladder = tuple(
        {"max_iter": k, "tol": 1e-12} for k in (3, 10, 30, 100, 300, 1000, 3000)
    )

    def fit(self, X, y, threshold, **settings):
        return fitted(TheirHuberRegressor(**settings).fit(X, y))


class SklearnSGD(Library):
    name, kind = "scikit-learn SGD", "fixed"
    ladder = tuple({"max_iter": k, "tol": None, "alpha": 0.0} for k in (1, 10, 30))

    def fit(self, X, y, threshold, **settings):
        # Centring would make sparse data dense.
        scaler = StandardScaler(with_mean=not sp.issparse(X))
        model = make_pipeline(
            scaler,
            SGDRegressor(loss="huber", epsilon=threshold, random_state=0, **settings),
        ).fit(X, y)
        coef = model[-1].coef_ / scaler.scale_
        shift = 0.0 if scaler.mean_ is None else scaler.mean_ @ coef
        return Fitted(coef, model[-1].intercept_[0] - shift)


class LeastSquares(Library):
    name, kind = "least squares", "squares"

    def fit(self, X, y, threshold, **settings):
        return fitted(LinearRegression().fit(X, y))


class Statsmodels(Library):
    name, kind, sparse = "statsmodels RLM", "mad", False
    ladder = tuple({"maxiter": k, "tol": 1e-12} for k in (2, 5, 15, 50))

    def __init__(self):
        import statsmodels.api

        self._sm = statsmodels.api

    def fit(self, X, y, threshold, **settings):
        norm = self._sm.robust.norms.HuberT(MAD_RHO)
        result = self._sm.RLM(y, self._sm.add_constant(X), M=norm).fit(**settings)
        return Fitted(result.params[1:], result.params[0], result.scale)


class Skglm(Library):
    name, kind = "skglm", "fixed"
    ladder = tuple({"tol": tol, "max_iter": 1000} for tol in (1e-2, 1e-4, 1e-6, 1e-8))

    def __init__(self):
        import skglm

        self._skglm = skglm

    def fit(self, X, y, threshold, **settings):
        skglm = self._skglm
        model = skglm.GeneralizedLinearEstimator(
            skglm.datafits.Huber(threshold),
            skglm.penalties.L1(0.0),
            skglm.solvers.AndersonCD(fit_intercept=True, **settings),
        )
        return fitted(model.fit(sp.csc_array(X) if sp.issparse(X) else X, y))


class Scm2cpp(Library):
    name, kind, sparse = "scm2cpp-learn", "joint", False
    ladder = tuple(
        {"max_iter": k, "tol": 1e-12} for k in (3, 10, 30, 100, 300, 1000, 3000)
    )

    def __init__(self):
        from scm2cpp_learn import LBFGSHuberRegressor

        self._model = LBFGSHuberRegressor

    def fit(self, X, y, threshold, **settings):
        X, y = X.astype(np.float64), y.astype(np.float64)
        model = self._model(**settings).fit(X, y)
        sigma = getattr(model, "scale_", None)
        return Fitted(np.ravel(model.coef_), np.ravel(model.intercept_)[0], sigma)


class PolarsStatistics(Library):
    name, kind, sparse = "polars-statistics", "mad", False
    ladder = tuple({"max_iter": k, "tol": 1e-12} for k in (2, 5, 15, 50))

    def __init__(self):
        import polars_statistics

        self._model = polars_statistics.Huber

    def fit(self, X, y, threshold, **settings):
        X, y = np.ascontiguousarray(X, dtype=np.float64), y.astype(np.float64)
        model = self._model(epsilon=MAD_RHO, alpha=0.0, **settings).fit(X, y)
        return Fitted(np.asarray(model.coefficients), model.intercept, model.scale)


class RenewableHuber(Library):
    """An estimator of batches, of which it is given one."""

    name, kind, sparse = "renewable-huber", "fixed", False
    ladder = tuple({"max_iter": k, "tol": 1e-12} for k in (2, 5, 15, 50))

    def __init__(self):
        import renewable_huber

        self._model = renewable_huber.RenewableHuberRegressor

    def fit(self, X, y, threshold, **settings):
        dtype = str(X.dtype)
        model = self._model(tau=threshold, dtype=dtype, **settings).fit(X, y)
        return Fitted(np.asarray(model.coef_), model.intercept_)


LIBRARIES = [
    Skhuber,
    LeastSquares,
    SklearnHuber,
    Scm2cpp,
    SkhuberFixed,
    SklearnSGD,
    Skglm,
    RenewableHuber,
    SkhuberMad,
    Statsmodels,
    PolarsStatistics,
]
# Of what pip installs by other names than their modules'.
PACKAGES = [
    "scikit-learn",
    "statsmodels",
    "skglm",
    "scm2cpp-learn",
    "polars-statistics",
    "renewable-huber",
]


# ----------------------------------------------------------------------- gap


def residuals(X, y, fit):
    """In double precision, whatever the data."""
    r = np.array(y, dtype=np.float64)
    coef = np.asarray(fit.coef_, dtype=np.float64)
    for start in range(0, len(r), 100_000):
        rows = slice(start, start + 100_000)
        part = X[rows]
        if not sp.issparse(part):
            part = part.astype(np.float64, copy=False)
        r[rows] -= part @ coef + fit.intercept_
    return r


def huber(r, threshold):
    size = np.abs(r)
    return np.where(size <= threshold, r**2, (2 * size - threshold) * threshold)


class Judge:
    """Minima of the objectives of one data set, and gaps above them."""

    def __init__(self, X, y):
        self.X, self.y = X, y
        best = HuberRegressor(tol=1e-14).fit(X, y)
        self.scale = best.scale_
        self._joint = self._objective("joint", fitted(best), best.scale_)
        self._lowest = {}  # minima with other scales, by kind and scale

    def _objective(self, kind, fit, scale):
        r = residuals(self.X, self.y, fit)
        if kind != "joint":
            return huber(r, (MAD_RHO if kind == "mad" else RHO) * scale).sum()
        if scale is None:  # the best scale for these coefficients
            scale = self.scale
            for _ in range(100):
                inside = np.clip(r, -RHO * scale, RHO * scale)
                scale = np.sqrt(np.mean(inside**2))
        # The penalty is the one that those who estimate the scale have by default.
        penalty = 1e-4 * float(np.sum(np.square(fit.coef_, dtype=np.float64)))
        return scale * len(r) + huber(r, RHO * scale).sum() / scale + penalty

    def gap(self, kind, fit):
        if kind == "squares":
            return np.nan
        if kind == "joint":
            value = self._objective(kind, fit, fit.scale_)
            return max(value / self._joint - 1, 1e-16)
        scale = self.scale if kind == "fixed" else fit.scale_
        lowest = self._lowest.get((kind, scale))
        if lowest is None:
            rho = MAD_RHO if kind == "mad" else RHO
            best = HuberRegressor(rho, scale=scale, alpha=0.0, tol=1e-14)
            best = fitted(best.fit(self.X, self.y))
            lowest = self._lowest[kind, scale] = self._objective(kind, best, scale)
        return max(self._objective(kind, fit, scale) / lowest - 1, 1e-16)
