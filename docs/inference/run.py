"""How often 95 % intervals cover, on made-up data, by covariance and kind of noise.

    python docs/inference/run.py

writes results.md beside this file (a quarter of an hour). The numbers are the same in
every run on one machine. ``--rows 200`` leaves out the 50 rows.
"""

import argparse
import itertools
import platform
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

import skhuber
from skhuber import HuberRegressor
from skhuber.inference import InferenceWarning, huber_inference

SLOPES = 4
KINDS = ("sandwich", "H1")
SCALES = {"joint": 1.35, "mad": 1.345}

# Noise about a line, of the first column x: with a typical size of one.
NOISES: dict[str, Callable[[np.random.Generator, np.ndarray], np.ndarray]] = {
    "normal": lambda rng, x: rng.normal(size=len(x)),
    "Student t, 3 d.f.": lambda rng, x: rng.standard_t(3, size=len(x)),
    "10 % ten times as wide": lambda rng, x: (
        rng.normal(size=len(x)) * np.where(rng.random(len(x)) < 0.1, 10.0, 1.0)
    ),
    "10 % one-sided": lambda rng, x: (
        rng.normal(size=len(x)) + np.where(rng.random(len(x)) < 0.1, 10.0, 0.0)
    ),
    "heteroscedastic": lambda rng, x: rng.normal(size=len(x)) * (0.2 + np.abs(x)),
    "skewed": lambda rng, x: rng.exponential(size=len(x)),
    "skewed and heteroscedastic": lambda rng, x: (
        rng.exponential(size=len(x)) * (0.2 + np.abs(x))
    ),
}
DESIGNS = {
    "balanced": lambda rng, n: rng.normal(size=(n, SLOPES)),
    "leverage": lambda rng, n: rng.standard_t(4, size=(n, SLOPES)),
}
# Rows of the fit that stands for the limit: its own error is a fiftieth of that of 200.
LIMIT_ROWS = 500_000


def fit(scale: str, X: np.ndarray, y: np.ndarray) -> HuberRegressor:
    return HuberRegressor(SCALES[scale], scale=scale, alpha=0).fit(X, y)


def limits(design: str, noise: str) -> dict[str, np.ndarray]:
    """What the coefficients of each scale tend to."""
    rng = np.random.default_rng(
        [1, list(DESIGNS).index(design), list(NOISES).index(noise)]
    )
    X = DESIGNS[design](rng, LIMIT_ROWS)
    y = NOISES[noise](rng, X[:, 0])
    found = {}
    for scale in SCALES:
        model = fit(scale, X, y)
        found[scale] = np.append(model.intercept_, model.coef_)
        if "skewed" not in noise and "one-sided" not in noise:
            found[scale][:] = 0.0  # by symmetry
        elif "heteroscedastic" not in noise:
            found[scale][1:] = 0.0  # noise is independent of X
    return found


def coverage(n: int, noise: str, repeats: int) -> dict[str, np.ndarray]:
    """Per covariance, the shares of intervals that cover; (designs, scales, coef)."""
    shape = (len(DESIGNS), len(SCALES), SLOPES + 1)
    found = {kind: np.zeros(shape) for kind in KINDS}
    for (a, design), (b, scale) in itertools.product(
        enumerate(DESIGNS), enumerate(SCALES)
    ):
        truth = limits(design, noise)[scale]
        for seed in range(repeats):
            rng = np.random.default_rng([seed, n, a, list(NOISES).index(noise)])
            X = DESIGNS[design](rng, n)
            y = NOISES[noise](rng, X[:, 0])
            model = fit(scale, X, y)
            for kind in KINDS:
                result = huber_inference(model, X, y, cov_type=kind)
                lower, upper = np.asarray(result.conf_int()).T
                found[kind][a, b] += (lower <= truth) & (truth <= upper)
    return {kind: 100.0 * shares / repeats for kind, shares in found.items()}


def span(shares: np.ndarray) -> str:
    return f"{shares.min():.1f} to {shares.max():.1f}"


def row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument("--rows", type=int, nargs="+", default=[200, 50])
    arguments = parser.parse_args()
    repeats = arguments.repeats
    warnings.simplefilter("ignore", InferenceWarning)  # few inliers, at n = 50
    command = "python docs/inference/run.py"
    if arguments.rows != parser.get_default("rows"):
        command += f" --rows {' '.join(map(str, arguments.rows))}"
    text = f"""# Coverage of 95 % intervals

Made by `{command}` with skhuber {skhuber.__version__}, NumPy
{np.__version__}, Python {platform.python_version()}. {repeats:,} data sets of each
kind, {SLOPES} slopes and an intercept, `alpha=0`. In each cell the lowest and the
highest coverage in per cent, over two designs (normal columns; columns of Student's t
with 4 degrees of freedom, which have leverage), two scales (joint with rho = 1.35, MAD
with 1.345) and all coefficients. A share of 95 % of {repeats:,} has a standard error of
{100 * (0.95 * 0.05 / repeats) ** 0.5:.2f} points. Covered is what the coefficients tend
to with more data: under skewed noise that is not the mean.
"""
    for n in arguments.rows:
        text += f"\n## {n} rows\n\n"
        text += row("noise", *KINDS, *(f"{kind}, slope of x₁" for kind in KINDS))
        text += row("---", *["---"] * (2 * len(KINDS)))
        split = ""
        for noise in NOISES:
            found = coverage(n, noise, repeats)
            cells = [span(found[kind]) for kind in KINDS]
            cells += [span(found[kind][:, :, 1]) for kind in KINDS]
            text += row(noise, *cells)
            by_design = [span(found[kind][a]) for kind in KINDS for a in range(2)]
            split += row(noise, *by_design)
            print(n, noise, *cells, *by_design, flush=True)
        text += "\nBy design:\n\n"
        heads = [f"{kind}, {design}" for kind in KINDS for design in DESIGNS]
        text += row("noise", *heads) + row("---", *["---"] * len(heads)) + split
        Path(__file__).with_name("results.md").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
