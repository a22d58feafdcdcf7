"""Times of searches over rho and alpha, beside GridSearchCV and beside single fits.

    python docs/benchmarks/searches.py            # about two minutes

Writes searches.md into this folder. Nothing else should run meanwhile.

**Cross-validation.** 8 rhos, 3 alphas and 5 folds, all scored with one Huber error.
GridSearchCV is given one thread for each fit and all processors, or one process and all
threads, whichever is faster. With scikit-learn's HuberRegressor it fits two of the 24
candidates, and the time is multiplied by twelve. (No final fit is made there.)

**Paths.** 20 rhos from 1.05 to 3, with a joint scale and with the MAD, in units of the
time of a single fit with rho=1.35.
"""

import numpy as np
from _common import Report, against, duration, full, in_turns, parser, shrunk
from _data import made_up
from sklearn.linear_model import HuberRegressor as TheirHuberRegressor
from sklearn.model_selection import GridSearchCV

from skhuber import HuberRegressor, HuberRegressorCV, huber_path, make_huber_scorer

RHOS, ALPHAS, N_FOLDS = np.geomspace(1.1, 3.0, 8), (1e-4, 1.0, 100.0), 5
PATH_RHOS = np.geomspace(1.05, 3.0, 20)
N_PART = 2  # candidates that scikit-learn's HuberRegressor is fitted with
SHAPES = (1_000, 10), (100_000, 50)


def cross_validate(report, size):
    report.add("## Cross-validation\n")
    report.add(f"{len(RHOS)} rhos, {len(ALPHAS)} alphas, {N_FOLDS} folds.\n")
    report.table("n × p", "search", "seconds", "against HuberRegressorCV")
    for n, p in SHAPES:
        X, y = made_up(n, p, size=size)
        ours = HuberRegressorCV(RHOS, alphas=ALPHAS, cv=N_FOLDS)
        threshold = ours.fit(X, y).scoring_threshold_
        options = {
            "scoring": make_huber_scorer(rho=threshold),
            "cv": N_FOLDS,
            "refit": False,
        }
        grid = {"rho": RHOS, "alpha": ALPHAS}
        part = {"epsilon": RHOS[:: len(RHOS) - 1][:N_PART], "alpha": ALPHAS[:1]}
        in_processes = GridSearchCV(
            HuberRegressor(n_jobs=1), grid, n_jobs=-1, **options
        )
        in_threads = GridSearchCV(HuberRegressor(), grid, **options)
        theirs = GridSearchCV(
            TheirHuberRegressor(max_iter=1000), part, n_jobs=-1, **options
        )
        times = {
            name: timing.seconds
            for name, timing in in_turns(
                {
                    "HuberRegressorCV": lambda one=ours, X=X, y=y: one.fit(X, y),
                    "processes": lambda one=in_processes, X=X, y=y: one.fit(X, y),
                    "threads": lambda one=in_threads, X=X, y=y: one.fit(X, y),
                    "scikit-learn": lambda one=theirs, X=X, y=y: one.fit(X, y),
                },
                rounds=3,
            ).items()
        }
        times["scikit-learn"] *= len(RHOS) * len(ALPHAS) / N_PART
        rows = {
            "HuberRegressorCV": times["HuberRegressorCV"],
            "GridSearchCV, HuberRegressor": min(times["processes"], times["threads"]),
            "GridSearchCV, scikit-learn's HuberRegressor": times["scikit-learn"],
        }
        for name, seconds in rows.items():
            compared = against(seconds, times["HuberRegressorCV"])
            is_ours = name == "HuberRegressorCV"
            data = f"{len(y):,} × {X.shape[1]}"
            report.row(data, name, duration(seconds), "" if is_ours else compared)
    report.add("")


def paths(report, size):
    report.add("## Paths\n")
    report.add(f"{len(PATH_RHOS)} rhos, in units of the time of a single fit.\n")
    report.table("n × p", "scale", "single fit", "path, in single fits")
    for n, p in SHAPES:
        X, y = made_up(n, p, size=size)
        for scale in ("joint", "mad"):
            timings = in_turns(
                {
                    "fit": lambda scale=scale, X=X, y=y: HuberRegressor(
                        scale=scale
                    ).fit(X, y),
                    "path": lambda scale=scale, X=X, y=y: huber_path(
                        X, y, rhos=PATH_RHOS, scale=scale
                    ),
                }
            )
            one, path = timings["fit"].seconds, timings["path"].seconds
            data = f"{len(y):,} × {X.shape[1]}"
            report.row(data, scale, duration(one), f"{path / one:.1f}")


def main():
    options = parser(__doc__).parse_args()
    size = shrunk if options.quick else full
    report = Report("Searches: times", "searches", "scikit-learn")
    cross_validate(report, size)
    paths(report, size)
    if not options.quick:
        report.save("searches.md")


if __name__ == "__main__":
    main()
