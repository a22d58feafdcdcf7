"""Ways to choose alpha of an elastic net, compared on made-up data.

    python docs/elastic_net/run.py

writes results.md beside this file (some minutes). The numbers are the same in every run
on one machine. ``--repeats 5`` is a trial.
"""

import argparse
import platform
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import sklearn
from sklearn.linear_model import LassoCV
from sklearn.preprocessing import StandardScaler

import skhuber
from skhuber import (
    HuberElasticNet,
    HuberElasticNetCV,
    HuberRegressor,
    huber_enet_path,
    pivotal_alpha,
)

warnings.simplefilter("ignore")  # paths end where the scale falls to zero

N, P, TRUE = 200, 400, 10
# Columns k apart have the correlation 0.5ᵏ.
CORRELATION = 0.5
PIVOTAL = pivotal_alpha(N, P)
# Alphas for the table of the best ones, as shares of the pivotal one, by scale.
SHARES: dict[str | float, np.ndarray] = {
    "joint": np.geomspace(1.0, 0.3, 13),
    1.0: np.geomspace(1.0, 0.08, 13),
}
LEVELS = (0.25, 1.0, 4.0)

NOISES: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "normal": lambda rng: rng.normal(size=N),
    "Student t, 2 d.f.": lambda rng: rng.standard_t(2, size=N),
    "normal, 10 % gross errors": lambda rng: (
        rng.normal(size=N)
        + np.where(rng.random(N) < 0.1, rng.normal(20.0, 30.0, size=N), 0.0)
    ),
}

# Alphas to choose from: the last is a fifth of the first, beyond which cross-validation
# never went in a trial.
SEQUENCE = {"n_alphas": 20, "eps": 0.2}
WAYS = ("pivotal", "EBIC", "CV, 1se", "CV, min", "LassoCV")


def choices(X: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """Coefficients of each way."""
    best = HuberElasticNetCV(**SEQUENCE).fit(X, y)
    # The rule "1se" chooses from the errors of the same fits.
    errors = best.errors_[0, 0]
    mean, least = errors.mean(axis=1), errors.mean(axis=1).argmin()
    most = mean[least] + errors[least].std(ddof=1) / np.sqrt(errors.shape[1])
    sparse = best.alphas_[0, 0, np.argmax(mean <= most)]
    models = (
        HuberElasticNet(PIVOTAL).fit(X, y),
        HuberElasticNetCV(criterion="ebic", **SEQUENCE).fit(X, y),
        HuberElasticNet(sparse).fit(X, y),
        best,
        LassoCV(max_iter=20_000).fit(X, y),
    )
    return {way: model.coef_ for way, model in zip(WAYS, models, strict=True)}


def data(noise: str, level: float, seed: int):
    """Standardised columns, targets, and coefficients, of which TRUE are not zero."""
    rng = np.random.default_rng([seed, list(NOISES).index(noise)])
    X = rng.normal(size=(N, P))
    for j in range(1, P):
        X[:, j] = CORRELATION * X[:, j - 1] + np.sqrt(1 - CORRELATION**2) * X[:, j]
    coef = np.zeros(P)
    places = rng.permutation(P)[:TRUE]
    coef[places] = rng.choice([-1.0, 1.0], TRUE) * rng.uniform(0.5, 2.0, TRUE)
    y = X @ coef + 3.0 + level * NOISES[noise](rng)
    scaler = StandardScaler().fit(X)
    return scaler.transform(X), y, coef * scaler.scale_


def error(found: np.ndarray, coef: np.ndarray) -> float:
    """‖ŵ − w‖ / ‖w‖."""
    return float(np.linalg.norm(found - coef) / np.linalg.norm(coef))


def refit(X: np.ndarray, y: np.ndarray, support: np.ndarray, rho: float) -> np.ndarray:
    """Coefficients of a fit to some columns, without a penalty."""
    found = np.zeros(P)
    if len(support):
        found[support] = HuberRegressor(rho, alpha=0).fit(X[:, support], y).coef_
    return found


def compare(noise: str, repeats: int) -> dict[str, np.ndarray]:
    """Means of hits, false columns, and errors before and after a refit, by way."""
    found = {way: np.zeros(4) for way in WAYS}
    for seed in range(repeats):
        X, y, coef = data(noise, 1.0, seed)
        for way, chosen in choices(X, y).items():
            support = np.flatnonzero(chosen)
            hits = np.count_nonzero(coef[support])
            again = refit(X, y, support, np.inf if way == "LassoCV" else 1.35)
            errors = error(chosen, coef), error(again, coef)
            found[way] += np.array([hits, len(support) - hits, *errors]) / repeats
    return found


def best_share(noise: str, level: float, scale: str | float, repeats: int) -> float:
    """The alpha with the least mean error, as a share of the pivotal one."""
    shares = SHARES[scale]
    mean = np.zeros(len(shares))
    for seed in range(repeats):
        X, y, coef = data(noise, level, seed)
        path = huber_enet_path(X, y, alphas=shares * PIVOTAL, scale=scale)
        # (Where the scale falls to zero, a path ends.)
        errors = np.full(len(shares), np.inf)
        errors[: len(path.coefs)] = [error(one, coef) for one in path.coefs]
        mean += errors / repeats
    return float(shares[np.argmin(mean)])


def row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=10, help="data sets of a kind")
    repeats = parser.parse_args().repeats
    command = "python docs/elastic_net/run.py"
    if repeats != parser.get_default("repeats"):
        command += f" --repeats {repeats}"
    python = platform.python_version()
    text = f"""# Ways to choose alpha, compared

Made by `{command}` with skhuber {skhuber.__version__},
scikit-learn {sklearn.__version__}, NumPy {np.__version__}, Python {python}.
{N} samples, {P} normal columns, of which those k apart have a correlation of
{CORRELATION}ᵏ; {repeats} data sets of each kind. {TRUE} coefficients are not zero;
their size is from 0.5 to 2. The typical size of the noise is one. Gross errors are
normal with mean 20 and standard deviation 30.

"True columns" are how many of the {TRUE} were selected, "false columns" how many
others. "Error" is ‖ŵ − w‖/‖w‖ of the coefficients; "after refit" it is that of a fit to
the selected columns without a penalty (`HuberRegressor(alpha=0)`; least squares after
LassoCV). The numbers are means over the data sets. The pivotal alpha is {PIVOTAL:.3f}.
The other ways choose from {SEQUENCE["n_alphas"]} alphas, the last one
{SEQUENCE["eps"]} times the first (LassoCV: from 100, the last one 0.001 times the
first).
"""
    for noise in NOISES:
        text += f"\n## Noise: {noise}\n\n"
        text += row("way", "true columns", "false columns", "error", "after refit")
        text += row("---", *["---:"] * 4)
        for way, found in compare(noise, repeats).items():
            hits, false, plain, again = found
            cells = (f"{hits:.1f}", f"{false:.1f}", f"{plain:.2f}", f"{again:.2f}")
            print(noise, way, *cells, flush=True)
            text += row(way, *cells)
    few = max(repeats // 3, 1)
    text += f"""
## The best alpha

The alpha with the least mean error of the coefficients (before a refit), as a share of
the pivotal one, by scale and by level of the noise; data sets of each kind: {few}.
With the joint scale it depends little on the level; with a fixed scale of 1 it grows
with it.

"""
    kinds = [(scale, level) for scale in SHARES for level in LEVELS]
    text += row("noise", *(f"{scale}, level {level:g}" for scale, level in kinds))
    text += row("---", *["---:"] * len(kinds))
    for noise in NOISES:
        shares = [best_share(noise, level, scale, few) for scale, level in kinds]
        print(noise, *shares, flush=True)
        text += row(noise, *(f"{share:.2f}" for share in shares))
    Path(__file__).with_name("results.md").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
