"""Times, sweeps and gaps of HuberElasticNet and its paths, beside skglm.

    python docs/benchmarks/elastic_net.py         # about five minutes

Writes elastic_net.md into this folder; skglm is left out if it is not installed.
Nothing else should run meanwhile. Both fit the lasso with Huber's loss, with a fixed
scale, as skglm has no other, and without an intercept.

**Excess** is how far an objective lies above the least one found (by skhuber with
tol=1e-14), as a fraction of it. skglm runs with the loosest tolerance at which its
excess is 1e-8 at most, skhuber with its default. A time is the median of up to five, in
turns, after a call to warm up. A fit of skglm is stopped after 20 seconds, a path after
60.

hqreg, an R package, is not run. Its paths of 100 alphas on 1,000 × 2,000 normal numbers
took 0.5 s at its default, which left an excess of up to 6e-5, and 1.5 s at 1e-7, when
it was measured once, on another machine.
"""

import math
import warnings
from functools import partial

import numpy as np
import scipy.sparse as sp
from _common import (
    EQUAL_GAP,
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
from _data import autoregressive, words
from sklearn.exceptions import ConvergenceWarning

from skhuber import HuberElasticNet, huber_enet_path

try:
    import skglm
    from skglm.solvers import AndersonCD
except ImportError:
    skglm = None

OPTIONS = {
    "rho": RHO,
    "scale": 1.0,
    "standardize": False,
    "fit_intercept": False,
}
TOLERANCES = 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9
FIT_LIMIT, PATH_LIMIT = 20.0, 60.0  # seconds
KINDS = "normal", "AR(0.95)", "scaled", "heavy", "dummies", "t2"
MANY_ROWS = {
    f"100,000 × 50, {kind}": partial(
        autoregressive, 100_000, 50, 0.95 if kind == "AR(0.95)" else 0.0, kind
    )
    for kind in KINDS
}
WIDE = {
    "500 × 5,000, AR(0.6)": partial(autoregressive, 500, 5_000, 0.6),
    "CSR 20,000 × 50,000, words": partial(words, 20_000, 50_000, 100),
}
HQREG = "1,000 × 2,000, normal"


def objectives(X, y, coefs, alphas):
    """Return the objective of each row of coefficients."""
    r = np.abs(y[:, np.newaxis] - X @ coefs.T)
    loss = np.where(r <= RHO, r**2, 2 * RHO * r - RHO**2)
    return loss.mean(axis=0) / 2 + alphas * np.abs(coefs).sum(axis=1)


def of_skglm(X, y, alphas, tol):
    """Return a row of coefficients for each alpha, each fit from the one before."""
    solver = AndersonCD(fit_intercept=False, tol=tol, max_iter=1000)
    datafit = skglm.utils.jit_compilation.compiled_clone(skglm.datafits.Huber(RHO))
    penalty = skglm.utils.jit_compilation.compiled_clone(skglm.penalties.L1(alphas[0]))
    return solver.path(X, y, datafit, penalty, alphas)[1].T


def compare(X, y, alphas, ours, limit):
    """Time ours beside skglm at an equal excess.

    Parameters
    ----------
    ours : callable
        It returns what has coefficients, for all alphas.
    limit : float
        Seconds after which skglm is stopped.

    Returns
    -------
    timing : Timing of ours
    excess : float
        The largest one of ours.
    peer : list of str
        skglm's tolerance, time, excess and comparison.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        best = objectives(X, y, coefs_of(ours(tol=1e-14)), alphas)

    def excess(coefs):
        found = objectives(X, y, coefs, alphas) / best - 1
        return max(float(np.max(found)), 1e-16)

    runs = {"skhuber": ours}
    if skglm is not None:
        # skglm takes columns, which it is given ready-made.
        columns = sp.csc_array(X) if sp.issparse(X) else np.asfortranarray(X)
        for tol in TOLERANCES:
            theirs = partial(of_skglm, columns, y, alphas, tol)
            found = timed(theirs, rounds=0, limit=limit, warm_up=False)
            stopped = math.isinf(found.seconds)
            if stopped or excess(found.result) <= EQUAL_GAP:
                break
        if not stopped:
            runs["skglm"] = theirs
    timings = in_turns(runs)
    timing = timings["skhuber"]
    own = excess(coefs_of(timing.result))
    if skglm is None:
        return timing, own, [""] * 4
    if stopped:
        peer = [f"{tol:g}", duration(math.inf, limit), ""]
        return timing, own, [*peer, against(math.inf, timing.seconds, limit)]
    seconds, coefs = timings["skglm"]
    left = excess(coefs)
    compared = against(seconds, timing.seconds, can_win=left <= EQUAL_GAP)
    return timing, own, [f"{tol:g}", duration(seconds), small(left), compared]


def coefs_of(fitted):
    """Return the coefficients of a model or of a path, a row for each alpha."""
    return fitted.coefs if hasattr(fitted, "coefs") else fitted.coef_[np.newaxis]


def run_fits(report, sets, shares, size):
    for name, data in sets.items():
        X, y = data(size=size)
        largest = huber_enet_path(X, y, n_alphas=1, **OPTIONS).alphas[0]
        for share in shares:
            alphas = np.array([share * largest])

            def ours(X=X, y=y, alpha=alphas[0], **settings):
                return HuberElasticNet(alpha, **OPTIONS, **settings).fit(X, y)

            timing, excess, peer = compare(X, y, alphas, ours, FIT_LIMIT)
            model = timing.result
            report.row(
                name,
                share,
                np.count_nonzero(model.coef_),
                model.n_sweeps_,
                duration(timing.seconds),
                small(model.dual_gap_),
                small(excess),
                *peer,
            )


def run_paths(report, size):
    paths = [
        ("100,000 × 50, normal", MANY_ROWS["100,000 × 50, normal"], 100, 1e-3),
        ("100,000 × 50, AR(0.95)", MANY_ROWS["100,000 × 50, AR(0.95)"], 100, 1e-3),
        (HQREG, partial(autoregressive, 1_000, 2_000, 0.0), 100, 0.05),
        *((name, data, 50, 0.15) for name, data in WIDE.items()),
    ]
    for name, data, n_alphas, eps in paths:
        X, y = data(size=size)

        def ours(X=X, y=y, n_alphas=n_alphas, eps=eps, **settings):
            return huber_enet_path(
                X, y, n_alphas=n_alphas, eps=eps, **OPTIONS, **settings
            )

        alphas = ours().alphas
        timing, excess, peer = compare(X, y, alphas, ours, PATH_LIMIT)
        path = timing.result
        report.row(
            name,
            f"{n_alphas} to {eps:g}",
            path.n_nonzeros.max(),
            path.n_sweeps,
            duration(timing.seconds),
            small(path.dual_gaps.max()),
            small(excess),
            *peer,
        )


def run_joint(report, size):
    """Add fits and paths at default settings, which skglm does not have."""
    for name, data in MANY_ROWS.items():
        X, y = data(size=size)
        largest = huber_enet_path(X, y, n_alphas=1).alphas[0]
        timings = in_turns(
            {
                "fit": lambda X=X, y=y, alpha=0.1 * largest: HuberElasticNet(alpha).fit(
                    X, y
                ),
                "path": lambda X=X, y=y: huber_enet_path(X, y),
            }
        )
        (fit, model), (whole, path) = timings.values()
        report.row(
            name,
            duration(fit),
            model.n_sweeps_,
            small(model.dual_gap_),
            duration(whole),
            path.n_sweeps,
            small(path.dual_gaps.max()),
        )


def main():
    options = parser(__doc__).parse_args()
    size = shrunk if options.quick else full
    report = Report("Elastic nets: times and gaps", "elastic_net", "skglm")
    columns = "sweeps", "skhuber", "dual gap", "excess"
    columns += "skglm: tol", "skglm", "excess", "against skhuber"
    report.add("## Fits with a fixed scale, L1\n")
    report.add(
        f"skglm at the loosest tolerance that leaves an excess of {EQUAL_GAP:g}. In "
        "bold: skglm wins.\n"
    )
    report.table("data", "α/α_max", "nonzeros", *columns)
    run_fits(report, MANY_ROWS, (0.1, 0.01), size)
    # Beyond, there are more nonzeros than half of the 500 rows.
    run_fits(report, WIDE, (0.3, 0.17), size)
    report.add("\n## Paths with a fixed scale, L1\n")
    report.add("Gaps and excess are the largest ones of all alphas.\n")
    report.table("data", "alphas, α/α_max", "nonzeros", *columns)
    run_paths(report, size)
    report.add("\n## The joint scale, L1, at default settings\n")
    report.add("A fit with 0.1 α_max; a path of 100 alphas.\n")
    report.table("data", "fit", "sweeps", "dual gap", "path", "sweeps", "dual gap")
    run_joint(report, size)
    if not options.quick:
        report.save("elastic_net.md")


if __name__ == "__main__":
    main()
