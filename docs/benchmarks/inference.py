"""Times of standard errors and bootstraps, beside statsmodels and single fits.

    python docs/benchmarks/inference.py

Run it on a quiet machine, for some minutes; it writes inference.md beside this file.
statsmodels must be installed (``pip install -e '.[test]'``).
"""

import statistics
import time
from pathlib import Path

import numpy as np
import statsmodels.api as sm
from run import made_up, nox, versions

from skhuber import HuberRegressor
from skhuber.inference import huber_inference

HERE = Path(__file__).parent
# Times of which a figure is the median, after one more that is not counted.
REPEATS = 5
RESAMPLES = 1000


def median_time(function, repeats=REPEATS):
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def beside_statsmodels():
    """Lines for a fit of NOxEmissions with standard errors, and a remark."""
    X, y = nox(np.ascontiguousarray)
    design = sm.add_constant(X)
    norm = sm.robust.norms.HuberT(1.345)

    def ours(scale):
        model = HuberRegressor(1.345, scale=scale, alpha=0).fit(X, y)
        return huber_inference(model, X, y)

    def theirs():
        return sm.RLM(y, design, M=norm).fit()

    apart = np.abs(ours("mad").params[1:] / theirs().params[1:] - 1).max()
    # In turns: the speed of a machine may change within a minute.
    turns = [(theirs, 1), (lambda: ours("mad"), 3), (lambda: ours("joint"), 3)]
    rounds = [[median_time(run, n) for run, n in turns] for _ in range(3)]
    seconds, *both = np.median(rounds, axis=0)
    for scale, mine in zip(("mad", "joint"), both, strict=True):
        yield (
            f"| fit and default standard errors, NOx 8,088 × 339, scale={scale!r} "
            f"| {1e3 * mine:.0f} ms | statsmodels RLM, H1: {1e3 * seconds:.0f} ms "
            f"| {seconds / mine:.0f} |"
        )
    yield f"\nCoefficients (mad) differ from statsmodels' by {apart:.0e} at most."


def beside_single_fits():
    """Line for a bootstrap of 10,000 × 20 beside single fits."""
    X, y = made_up(10_000, 20)
    model = HuberRegressor().fit(X, y)
    fit = median_time(lambda: HuberRegressor().fit(X, y), 20)
    boot = median_time(
        lambda: huber_inference(
            model, X, y, cov_type="bootstrap", n_resamples=RESAMPLES, random_state=0
        ),
        3,
    )
    yield (
        f"| bootstrap, {RESAMPLES:,} refits of 10,000 × 20 | {boot:.2f} s "
        f"| one fit: {1e3 * fit:.1f} ms | 1 / {boot / fit:.0f} |"
    )


def main():
    lines = ["# Standard errors and bootstraps: times", "", versions(), ""]
    lines += ["| what | time | peer | ratio |", "|---|---:|---:|---:|"]
    *table, remark = beside_statsmodels()
    lines += [*table, *beside_single_fits(), remark]
    text = "\n".join(lines) + "\n"
    print(text)
    (HERE / "inference.md").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
