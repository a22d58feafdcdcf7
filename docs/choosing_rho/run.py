"""Rules for rho, compared on made-up data: how large the error, at what cost.

    python docs/choosing_rho/run.py

writes results.md beside this file (some minutes). Everything but the times is the same
in every run on one machine.
"""

import argparse
import platform
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import sklearn
from sklearn.base import clone
from sklearn.linear_model import HuberRegressor as Peer
from sklearn.model_selection import GridSearchCV

import skhuber
from skhuber import HuberRegressor, HuberRegressorCV, huber_path, make_huber_scorer

warnings.simplefilter("ignore")  # a fit that collapses on the way is no news here

N = 1000
FEATURES = (10, 100, 200)
GRID = (1.07, 1.1, 1.14, 1.18, 1.22, 1.27, 1.35, 1.5, 1.75, 2.2, 3.0, 5.0, np.inf)

# Noise with mean zero, where it has one, and with a typical size of one.
NOISES: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "normal": lambda rng: rng.normal(size=N),
    "Laplace": lambda rng: rng.laplace(size=N),
    "Student t, 3 d.f.": lambda rng: rng.standard_t(3, size=N),
    "Student t, 2 d.f.": lambda rng: rng.standard_t(2, size=N),
    "Cauchy": lambda rng: rng.standard_cauchy(size=N),
    "normal, 10 % ten times as wide": lambda rng: (
        rng.normal(size=N) * np.where(rng.random(N) < 0.1, 10.0, 1.0)
    ),
    "normal, 10 % higher by 20": lambda rng: (
        rng.normal(size=N) + np.where(rng.random(N) < 0.1, 20.0, 0.0)
    ),
    "lognormal": lambda rng: np.exp(rng.normal(size=N)) - np.exp(0.5),
    "Pareto, tail index 2.5": lambda rng: rng.pareto(2.5, size=N) - 1 / 1.5,
}
SKEWED = ("lognormal", "Pareto, tail index 2.5")

RULES: dict[str, Callable[[], object]] = {
    "least squares": lambda: HuberRegressor(np.inf),
    "1.35": lambda: HuberRegressor(1.35),
    '1.345, "mad"': lambda: HuberRegressor(1.345, scale="mad"),
    '"auto"': lambda: HuberRegressor("auto"),
    '"adaptive"': lambda: HuberRegressor("adaptive"),
    "cross-validation": lambda: HuberRegressorCV(GRID[3:]),
}
INTERCEPT = 3.0


def data(name: str, p: int, seed: int):
    rng = np.random.default_rng([seed, p, list(NOISES).index(name)])
    X = rng.normal(size=(N, p))
    coef = rng.normal(size=p)
    return X, X @ coef + INTERCEPT + NOISES[name](rng), coef


def median_time(function: Callable[[], object], repeats: int = 7) -> float:
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def simulate(name: str, p: int, repeats: int):
    """Mean squared errors: of each rho of the grid, each rule, and each intercept."""
    of_grid = np.zeros(len(GRID))
    of_rule = dict.fromkeys(RULES, 0.0)
    of_mean = dict.fromkeys(RULES, 0.0)
    for seed in range(repeats):
        X, y, coef = data(name, p, seed)
        path = huber_path(X, y, rhos=GRID)
        of_grid += np.sum((path.coefs[:, 0] - coef) ** 2, axis=1) / repeats
        for rule, make in RULES.items():
            model = make().fit(X, y)
            of_rule[rule] += np.sum((model.coef_ - coef) ** 2) / repeats
            of_mean[rule] += (model.intercept_ - INTERCEPT) ** 2 / repeats
    return of_grid, of_rule, of_mean


def costs(p: int) -> dict[str, float]:
    """Time of each rule, in fits with rho=1.35."""
    X, y, _ = data("Student t, 2 d.f.", p, 0)
    one = median_time(lambda: HuberRegressor(1.35).fit(X, y))
    return {
        rule: median_time(lambda make=make: make().fit(X, y)) / one
        for rule, make in RULES.items()
    }


def large_costs() -> dict[str, float]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100_000, 50))
    y = X @ rng.normal(size=50) + rng.standard_t(2, size=100_000)
    one = median_time(lambda: HuberRegressor(1.35).fit(X, y), 5)
    return {
        rule: median_time(lambda make=make: make().fit(X, y), 3) / one
        for rule, make in RULES.items()
    }


def searches(units: bool) -> str:
    """A table: the same search by four ways, one thread budget for all."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100_000, 50))
    if units:
        X *= np.geomspace(1, 1000, 50)
    y = X @ (rng.normal(size=50) / X.std(axis=0)) + rng.standard_t(2, size=100_000)
    rhos, alphas = [1.1, 1.2, 1.35, 1.5, 1.75, 2.0, 3.0, 5.0], [1e-4, 1.0, 100.0]
    model = HuberRegressorCV(rhos, alphas=alphas, cv=5).fit(X, y)
    scorer = make_huber_scorer(rho=model.scoring_threshold_)

    def grid(estimator, name):
        names = {name: rhos, "alpha": alphas}
        return GridSearchCV(estimator, names, scoring=scorer, cv=5)

    ours, theirs = grid(HuberRegressor(), "rho"), grid(Peer(), "epsilon")
    ways = {
        "`HuberRegressorCV`": (lambda: model.fit(X, y), 3),
        "`GridSearchCV` over skhuber's `HuberRegressor`": (lambda: ours.fit(X, y), 1),
        "the same, two processes (`n_jobs=2`)": (
            lambda: clone(ours).set_params(n_jobs=2).fit(X, y),
            1,
        ),
        "`GridSearchCV` over scikit-learn's, two processes": (
            lambda: theirs.set_params(n_jobs=2).fit(X, y),
            0,
        ),
    }
    text = row("search", "seconds", "times as long", "rho, alpha", "scores differ by")
    text += row("---", "---:", "---:", "---", "---:")
    first = None
    for name, (way, repeats) in ways.items():
        print(name, flush=True)
        if repeats:
            seconds = median_time(way, repeats)
        else:  # a warm-up would take minutes, and has nothing to compile
            start = time.perf_counter()
            way()
            seconds = time.perf_counter() - start
        found = way() if repeats else theirs
        first = first or seconds
        mean = np.sort(found.cv_results_["mean_test_score"])
        expected = np.sort(model.cv_results_["mean_test_score"])
        if found is model:
            chosen = model.rho_, model.alpha_
        else:
            best = found.best_params_
            chosen = best.get("rho", best.get("epsilon")), best["alpha"]
        difference = np.max(np.abs(mean / expected - 1))
        text += row(
            name,
            f"{seconds:.2f}",
            f"{seconds / first:.1f}",
            f"{chosen[0]:g}, {chosen[1]:g}",
            f"{difference:.1e}",
        )
    return text


def row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20, help="data sets of a kind")
    repeats = parser.parse_args().repeats
    python = platform.python_version()
    head = row("noise", "best rho", *(f"{rule}" for rule in RULES))
    head += row("---", "---:", *["---:"] * len(RULES))
    text = f"""# Rules for rho, compared

Made by `python docs/choosing_rho/run.py` with skhuber {skhuber.__version__},
scikit-learn {sklearn.__version__}, NumPy {np.__version__}, Python {python}.
{N:,} samples, independent normal features, {repeats} data sets of each kind.

"Best rho" is the one of {len(GRID)} from {GRID[0]} to infinity (joint scale) with the
least mean error; it takes the true coefficients to know it. The numbers are mean
squared errors of the coefficients, ‖ŵ − w‖², in units of the error of that best rho.
"""
    ratios: dict[str, list[float]] = {rule: [] for rule in RULES}
    means = {}
    for p in FEATURES:
        text += f"\n## {p} features\n\n" + head
        for name in NOISES:
            print(f"{p} features, {name}", flush=True)
            of_grid, of_rule, means[name, p] = simulate(name, p, repeats)
            best = int(np.argmin(of_grid))
            relative = {rule: e / of_grid[best] for rule, e in of_rule.items()}
            for rule, value in relative.items():
                ratios[rule].append(value)
            cells = (f"{value:,.2f}" for value in relative.values())
            text += row(name, GRID[best], *cells)
    text += "\n## In all\n\n" + row("", *RULES) + row("---", *["---:"] * len(RULES))
    text += row("mean", *(f"{np.mean(ratios[rule]):,.3f}" for rule in RULES))
    text += row("largest", *(f"{np.max(ratios[rule]):,.2f}" for rule in RULES))
    text += """
## The mean of skewed noise

Mean squared error of the intercept, which has to find the mean of the noise, zero.
Robust fits find another centre, and `"adaptive"` less so the more data there are.

"""
    text += row("noise, features", *RULES) + row("---", *["---:"] * len(RULES))
    for name in SKEWED:
        for p in FEATURES[:2]:
            cells = (f"{means[name, p][rule]:.4f}" for rule in RULES)
            text += row(f"{name}, {p}", *cells)
    text += """
## Cost

Time of a fit, in fits with `rho=1.35`, on the same data (noise: Student t, 2 d.f.).

"""
    text += row("data", *RULES) + row("---", *["---:"] * len(RULES))
    for p in FEATURES:
        print(f"cost, {p} features", flush=True)
        text += row(f"{N:,} × {p}", *(f"{c:.1f}" for c in costs(p).values()))
    print("cost, large", flush=True)
    text += row("100,000 × 50", *(f"{cost:.1f}" for cost in large_costs().values()))
    text += """
## A search

8 rhos × 3 alphas × 5 folds on 100,000 × 50 (noise: Student t, 2 d.f.), all with the
same scorer and folds, on two cores; scikit-learn's estimator at its defaults. Columns
of one size, where it needs few iterations:

"""
    text += searches(units=False)
    text += """
The same with columns in units from 1 to 1000. scikit-learn's fits stop before the
minimum, so their scores differ:

"""
    text += searches(units=True)
    Path(__file__).with_name("results.md").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
