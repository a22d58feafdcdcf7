"""Times, sweeps and certificates on sparse data, beside scikit-learn.

    python docs/benchmarks/sparse.py              # about five minutes

Writes sparse.md into this folder, of 200,000 rows with 10 % gross outliers: one-hot
columns, counts, and values between 0 and 1. Nothing else should run meanwhile.

Times of skhuber and of Ridge, at its default solver, are medians of up to five, in
turns. scikit-learn's HuberRegressor is held to 300 iterations, and timed once if it
takes longer than a second. "Gap" is what skhuber says of its fit; "excess" is how far
an objective lies above the least one found (by skhuber with tol=1e-15), as a fraction
of it.
"""

import warnings

import numpy as np
from _common import (
    RHO,
    Report,
    against,
    duration,
    full,
    in_turns,
    parser,
    shrunk,
    small,
    timed,
)
from _data import one_hot, sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import HuberRegressor as TheirHuberRegressor
from sklearn.linear_model import Ridge

from skhuber import HuberRegressor

N = 200_000
MAX_ITER = 300
ALPHAS = 1e-4, 1.0
LEVELS = [50] * 4, [200] * 5, [2_000, 500, 100], [20_000, 100]


def sets(size):
    """Yield names, X and y."""
    for levels in LEVELS:
        for frequencies in ("Zipf", "even"):
            name = f"one-hot {levels}, {frequencies}"
            yield name, *one_hot(N, levels, frequencies, size=size)
    yield "counts, 3,000, 0.5 %", *sparse(N, 3_000, 0.005, "counts", size=size)
    yield "U(0, 1), 1,000, 1 %", *sparse(N, 1_000, 0.01, "uniform", size=size)


def objective(model, X, y, alpha):
    """Return the objective of a fitted model."""
    z = np.abs(y - X @ model.coef_ - model.intercept_) / model.scale_
    loss = np.where(z <= RHO, z**2, 2 * RHO * z - RHO**2)
    return float(model.scale_ * np.sum(1 + loss) + alpha * model.coef_ @ model.coef_)


def compare(report, name, X, y, alpha):
    fits = in_turns(
        {
            "skhuber": lambda: HuberRegressor(alpha=alpha).fit(X, y),
            "Ridge": lambda: Ridge(alpha).fit(X, y),
        }
    )
    ours, model = fits["skhuber"]
    ridge = fits["Ridge"].seconds
    theirs, peer = timed(
        lambda: TheirHuberRegressor(alpha=alpha, max_iter=MAX_ITER).fit(X, y),
        seconds=1.0,
        warm_up=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        best = HuberRegressor(alpha=alpha, tol=1e-15).fit(X, y)
    value = objective(model, X, y, alpha)
    least = min(objective(best, X, y, alpha), value)
    failed = not isinstance(peer, TheirHuberRegressor)
    report.row(
        name,
        alpha,
        duration(ours),
        model.n_sweeps_,
        small(model.optimality_gap_),
        small(max(value / least - 1, 1e-16)),
        duration(ridge),
        against(ridge, ours),
        duration(theirs),
        "" if failed else small(objective(peer, X, y, alpha) / least - 1),
        against(theirs, ours),
    )


def main():
    options = parser(__doc__).parse_args()
    size = shrunk if options.quick else full
    report = Report("Sparse data: times and certificates", "sparse", "scikit-learn")
    report.add(
        "200,000 rows with 10 % gross outliers. HuberRegressor is scikit-learn's, held "
        f"to {MAX_ITER} iterations. In bold: a peer is faster. Ridge minimises another "
        "objective, that of squares.\n"
    )
    report.table(
        "data",
        "alpha",
        "skhuber",
        "sweeps",
        "gap",
        "excess",
        "Ridge",
        "against skhuber",
        "HuberRegressor",
        "excess",
        "against skhuber",
    )
    for name, X, y in sets(size):
        for alpha in ALPHAS:
            compare(report, name, X, y, alpha)
    if not options.quick:
        report.save("sparse.md")


if __name__ == "__main__":
    main()
