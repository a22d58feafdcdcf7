"""Times, sweeps and gaps of HuberElasticNet, beside skglm's Huber lasso.

Run by hand, on a quiet machine: ``python docs/benchmarks/elastic_net.py``. It prints a
table; skglm is left out if it is not installed. Both fit the loss with the fixed scale
1, as skglm has no other, without an intercept, from data that are centred.
"""

import time

import numpy as np

from skhuber import HuberElasticNet, huber_enet_path

RHO = 1.35
REPEATS = 3


def data(n, p, correlation=0.0, seed=0):
    """Columns of an autoregressive process, a fifth of them with coefficients."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    for j in range(1, p):
        X[:, j] = correlation * X[:, j - 1] + np.sqrt(1 - correlation**2) * X[:, j]
    coef = np.zeros(p)
    support = rng.permutation(p)[: min(max(p // 5, 3), 20)]
    coef[support] = rng.choice([-1, 1], len(support)) * rng.uniform(
        0.5, 2, len(support)
    )
    y = X @ coef + rng.normal(size=n)
    outliers = rng.random(n) < 0.1
    y[outliers] += rng.normal(size=outliers.sum()) * 30 + 20
    return X, y


def best_time(function):
    """The least of some times, and the last result."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return min(times), result


def objective(X, y, coef, alpha):
    r = np.abs(y - X @ coef)
    loss = np.where(r <= RHO, r**2, 2 * RHO * r - RHO**2)
    return loss.mean() / 2 + alpha * np.abs(coef).sum()


def of_skglm(X, y, alpha):
    try:
        from skglm import GeneralizedLinearEstimator
        from skglm.datafits import Huber
        from skglm.penalties import L1
        from skglm.solvers import AndersonCD
    except ImportError:
        return None
    solver = AndersonCD(fit_intercept=False, tol=1e-9, max_iter=1000)
    model = GeneralizedLinearEstimator(Huber(RHO), L1(alpha), solver)
    return model.fit(X, y).coef_


def compare(name, X, y, share):
    options = {"scale": 1.0, "standardize": False, "fit_intercept": False, "rho": RHO}
    alpha = share * huber_enet_path(X, y, n_alphas=1, **options).alphas[0]
    ours = HuberElasticNet(alpha, **options)
    seconds, _ = best_time(lambda: ours.fit(X, y))
    theirs_seconds, theirs = best_time(lambda: of_skglm(X, y, alpha))
    row = f"| {name} | {share} | {np.count_nonzero(ours.coef_)} | {ours.n_sweeps_} "
    row += f"| {1e3 * seconds:.0f} | {ours.dual_gap_:.0e} "
    if theirs is not None:
        excess = objective(X, y, theirs, alpha) / ours.objective_ - 1
        row += f"| {1e3 * theirs_seconds:.0f} | {excess:.0e} "
    print(row + "|", flush=True)


def main():
    print("| data | α/α_max | nonzeros | sweeps | ms | dual gap | skglm ms | excess |")
    print("|---|---|---|---|---|---|---|---|")
    for name, shape, correlation in (
        ("100,000 × 50", (100_000, 50), 0.0),
        ("100,000 × 50, AR(0.95)", (100_000, 50), 0.95),
        ("500 × 5,000", (500, 5_000), 0.6),
    ):
        X, y = data(*shape, correlation)
        for share in (0.3, 0.1):
            compare(name, X, y, share)
    X, y = data(100_000, 50)
    seconds, path = best_time(lambda: huber_enet_path(X, y))
    print(f"\nA path of 100 alphas: {path.n_sweeps} sweeps, {seconds:.2f} s.")


if __name__ == "__main__":
    main()
