"""Times of standard errors and bootstraps, beside statsmodels and single fits.

    python docs/benchmarks/inference.py

Run it on a quiet machine, for two minutes; it writes inference.md beside this file.
statsmodels must be installed (``pip install -e '.[test]'``). A time is the median of up
to five, of what is compared in turns, after a call to warm up.
"""

from functools import partial

import numpy as np
import statsmodels.api as sm
from _common import Report, against, duration, full, in_turns, parser, shrunk
from _data import made_up, nox
from _peers import MAD_RHO

from skhuber import HuberRegressor
from skhuber.inference import huber_inference


def beside_statsmodels(report, size):
    """Add fits of NOxEmissions with standard errors; return a remark."""
    X, y = nox(np.ascontiguousarray, size=size)
    design = sm.add_constant(X)
    norm = sm.robust.norms.HuberT(MAD_RHO)

    def ours(scale):
        model = HuberRegressor(MAD_RHO, scale=scale, alpha=0).fit(X, y)
        return huber_inference(model, X, y)

    timings = in_turns(
        {
            "statsmodels": lambda: sm.RLM(y, design, M=norm).fit(),
            "mad": lambda: ours("mad"),
            "joint": lambda: ours("joint"),
        },
        seconds=15,
    )
    peer = timings["statsmodels"]
    for scale in ("mad", "joint"):
        report.row(
            f"fit and default standard errors, NOx 8,088 × 339, scale={scale!r}",
            duration(timings[scale].seconds),
            f"statsmodels RLM, H1: {duration(peer.seconds)}",
            against(peer.seconds, timings[scale].seconds),
        )
    apart = np.abs(timings["mad"].result.params[1:] / peer.result.params[1:] - 1).max()
    return f"Coefficients (mad) differ from statsmodels' by {apart:.0e} at most."


def beside_single_fits(report, size):
    """Add a bootstrap of 10,000 × 20 beside single fits."""
    n_resamples = size(1000)
    X, y = made_up(10_000, 20, size=size)
    model = HuberRegressor().fit(X, y)
    bootstrap = partial(
        huber_inference,
        model,
        X,
        y,
        cov_type="bootstrap",
        n_resamples=n_resamples,
        random_state=0,
    )
    timings = in_turns(
        {"fit": lambda: HuberRegressor().fit(X, y), "bootstrap": bootstrap}
    )
    fit, boot = timings["fit"].seconds, timings["bootstrap"].seconds
    report.row(
        f"bootstrap, {n_resamples:,} refits of 10,000 × 20",
        duration(boot),
        f"one fit: {duration(fit)}",
        f"as {boot / fit:.0f} fits",
    )


def main():
    options = parser(__doc__).parse_args()
    size = shrunk if options.quick else full
    report = Report("Standard errors and bootstraps: times", "inference", "statsmodels")
    report.table("what", "time", "peer", "peer against skhuber")
    remark = beside_statsmodels(report, size)
    beside_single_fits(report, size)
    report.add(f"\n{remark}")
    if not options.quick:
        report.save("inference.md")


if __name__ == "__main__":
    main()
