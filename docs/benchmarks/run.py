"""Time robust fits of real data, by this library and by its peers.

    python docs/benchmarks/run.py

8,088 hourly NOx measurements on emission, wind and 337 day dummies (8,088 × 339; see
examples/data/README.md). Two objectives: that of scikit-learn's HuberRegressor (joint
scale) and that of R's rlm and statsmodels' RLM (MAD scale). Each library at its
defaults, but for the threshold, no penalty, and as many iterations as it wants. Every
fit runs once before it is timed; then the median of three (of one, where a fit takes
longer than five seconds). The excess is that of the objective over the best value that
any of them found. Ratios hold from machine to machine; times do not.
"""

import csv
import platform
import time
import warnings
from pathlib import Path

import numba
import numpy as np
import scipy
import scipy.sparse as sp
import sklearn
import statsmodels
import statsmodels.api as sm
from sklearn.linear_model import HuberRegressor as TheirHuberRegressor
from sklearn.linear_model import LinearRegression

import skhuber
from skhuber import HuberRegressor

DATA = Path(__file__).parents[2] / "examples" / "data" / "NOxEmissions.csv"


def nox():
    """The design, dense and CSR, and the target."""
    with open(DATA, newline="") as file:
        table = np.array(list(csv.reader(file))[1:], dtype=float)
    day, concentration, emission, wind = table.T
    days, index = np.unique(day, return_inverse=True)
    dummies = np.eye(len(days))[index][:, 1:]
    X = np.column_stack([emission, wind, dummies])
    return X, sp.csr_array(X), concentration


def joint_objective(X, y, model, rho):
    """F of the joint scale, without penalty."""
    r = y - X @ model.coef_ - model.intercept_
    z = np.abs(r) / model.scale_
    loss = np.where(z <= rho, z**2, 2 * rho * z - rho**2)
    return (model.scale_ * (1 + loss)).sum()


class StatsmodelsRLM:
    """statsmodels' RLM with attributes named as scikit-learn's."""

    def fit(self, X, y):
        norm = sm.robust.norms.HuberT(1.345)
        result = sm.RLM(y, sm.add_constant(X), M=norm).fit()
        self.intercept_, self.coef_ = result.params[0], result.params[1:]
        self.scale_ = result.scale
        return self


def timed(model, X, y):
    """The fitted model and the median seconds of a fit, after one to warm up."""
    seconds = []
    for run in range(4):
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a peer's own about its convergence
            model.fit(X, y)
        seconds.append(time.perf_counter() - start)
        if run == 1 and seconds[-1] > 5:
            break
    return model, float(np.median(seconds[1:]))


def main():
    print(
        f"Python {platform.python_version()}, skhuber {skhuber.__version__}, "
        f"scikit-learn {sklearn.__version__}, statsmodels {statsmodels.__version__}, "
        f"NumPy {np.__version__}, SciPy {scipy.__version__}, "
        f"numba {numba.__version__}, {numba.config.NUMBA_NUM_THREADS} threads\n"
    )
    dense, csr, y = nox()
    theirs = TheirHuberRegressor(alpha=0, max_iter=10_000)
    runs = [
        ("joint", "skhuber, CSR", HuberRegressor(alpha=0), csr),
        ("joint", "skhuber, dense", HuberRegressor(alpha=0), dense),
        ("joint", "scikit-learn, dense", theirs, dense),
        ("joint", "scikit-learn, CSR", theirs, csr),
        ("mad", "skhuber, CSR", HuberRegressor(1.345, scale="mad", alpha=0), csr),
        ("mad", "skhuber, dense", HuberRegressor(1.345, scale="mad", alpha=0), dense),
        ("mad", "statsmodels RLM", StatsmodelsRLM(), dense),
        ("-", "least squares", LinearRegression(), dense),
    ]
    results = []
    for objective, name, model, X in runs:
        print(f"  {objective}: {name} ...", flush=True)
        results.append((objective, name, *timed(model, X, y)))
    best = min(
        joint_objective(dense, y, model, 1.35)
        for objective, _, model, _ in results
        if objective == "joint"
    )
    first = {}
    print("\n| scale | library | time | ratio | emission | wind | scale | excess |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for objective, name, model, seconds in results:
        base = first.setdefault(objective, seconds)
        excess = ""
        if objective == "joint":
            excess = f"{joint_objective(dense, y, model, 1.35) / best - 1:.0e}"
        scale = f"{model.scale_:.6f}" if objective != "-" else ""
        print(
            f"| {objective} | {name} | {1e3 * seconds:,.0f} ms | {seconds / base:.1f} "
            f"| {model.coef_[0]:.6f} | {model.coef_[1]:.6f} | {scale} | {excess} |"
        )


if __name__ == "__main__":
    main()
