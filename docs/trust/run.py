"""Try what the documentation promises, many times over, and write down the figures.

    python docs/trust/run.py                       # some minutes on two cores
    python docs/trust/run.py --problems 1000

Fits random problems of every kind (`tests/random_problems.py`), in two processes,
compares the bits of fits in all sorts of threads, and runs the tests of threads, forks,
workers and faults. Writes results.md into this folder. Needs what
``pip install -e '.[test]'`` installs.
"""

import argparse
import collections
import concurrent.futures
import importlib.metadata
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

HERE = Path(__file__).parent
TESTS = HERE.parents[1] / "tests"
# Seeds that one call fits.
BATCH = 250
# Rows and columns of data whose fits use BLAS in several ways: few rows, products of
# blocks of rows in helper threads, factorisations.
BLAS_SHAPES = [(300, 100), (2_000, 200), (5_000, 100), (30_000, 150), (100_000, 50)]
FITS_IN_A_PLACE = 8
# Tests that run in processes of their own, and what each kind of them shows.
SUITES = {
    "test_concurrency.py": "threads, forks and workers",
    "test_faults.py": "pickles, disks and memory",
}


def check_batch(first):
    """What became of some problems, in a process that has one thread for BLAS."""
    sys.path.insert(0, str(TESTS))
    import random_problems

    results = []
    for seed in range(first, first + BATCH):
        try:
            checked = random_problems.check(seed)
        except Exception as error:
            results.append((seed, [f"{type(error).__name__}: {error}"], 0, False, 0, 0))
        else:
            results.append((seed, *checked))
    return results


def try_problems(count, out):
    start = time.perf_counter()
    results = []
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        for batch in pool.imap_unordered(check_batch, range(0, count, BATCH)):
            results += batch
            wrong = sum(bool(violations) for _, violations, *_ in batch)
            say(f"{len(results):,} problems, {wrong} of the last {BATCH} wrong")
    wrong = {seed: violations for seed, violations, *_ in results if violations}
    for seed, violations in sorted(wrong.items()):
        say(f"seed {seed}: {violations}")
    out += [
        "## Random problems",
        "",
        f"{len(results):,} problems, each fitted, compared with rivals (least squares, "
        "scikit-learn, the truth, a median) and fitted once more when told otherwise "
        "(rows in another order, in other units, shifted, rotated, repeated). Wrong is "
        "what raises, warns of anything but convergence, is not finite, is not F as "
        "stated, is certified and yet more than a rival (by 1e-9; by 1e-6 if not "
        "certified), or certified and another when told otherwise (by 1e-8).",
        "",
        "| | certified | with a ConvergenceWarning |",
        "|---|---:|---:|",
    ]
    halves = [[row for row in results if row[3] == warned] for warned in (False, True)]
    rows = {
        "problems": lambda half: f"{len(half):,}",
        "wrong": lambda half: str(sum(bool(row[1]) for row in half)),
        "worst gap reported, beyond rounding": lambda half: (
            f"{max(row[2] for row in half):.1e}"
        ),
        "most by which F lay above a rival, relative, beyond rounding": (
            lambda half: f"{max(max(row[4] for row in half), 0.0):.1e}"
        ),
        "most by which F changed when told otherwise, relative, beyond rounding": (
            lambda half: f"{max(row[5] for row in half):.1e}"
        ),
    }
    for title, figure in rows.items():
        out.append(f"| {title} | {' | '.join(figure(half) for half in halves)} |")
    out += [
        "",
        f"{(time.perf_counter() - start) / 60:.0f} minutes on two processes.",
        "",
    ]


def compare_bits():
    """Fits tried in each place, and how many differ from one on one BLAS thread.

    In a process in which BLAS may use all cores.
    """
    import joblib
    import numpy as np
    from sklearn.base import clone
    from threadpoolctl import threadpool_limits

    from skhuber import HuberRegressor

    def in_threads(fit, count):
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            return list(pool.map(fit, range(FITS_IN_A_PLACE)))

    def in_joblib(fit):
        with joblib.parallel_backend("threading", n_jobs=2):
            return joblib.Parallel()(map(joblib.delayed(fit), range(FITS_IN_A_PLACE)))

    def within_a_limit(fit):
        with threadpool_limits(2):
            return in_threads(fit, 2)

    places = {
        "the main thread": lambda fit: [fit(k) for k in range(FITS_IN_A_PLACE)],
        "a second thread": lambda fit: in_threads(fit, 1),
        "an executor of 2 threads": lambda fit: in_threads(fit, 2),
        "an executor of 4 threads": lambda fit: in_threads(fit, 4),
        "joblib's threads": in_joblib,
        "2 threads while the main thread holds a `threadpool_limits`": within_a_limit,
        "2 threads after that": lambda fit: in_threads(fit, 2),
    }
    tried, different = collections.Counter(), collections.Counter()
    for n, p in BLAS_SHAPES:
        rng = np.random.default_rng(n + p)
        X = rng.normal(size=(n, p))
        y = X @ np.linspace(1.0, 2.0, p) + rng.standard_t(2.0, n)
        for kind in (HuberRegressor(), HuberRegressor(scale="mad", alpha=1.0)):

            def fit(_, kind=kind, X=X, y=y):
                model = clone(kind).fit(X, y)
                found = model.coef_, model.intercept_, model.scale_, model.outliers_
                return b"".join(np.asarray(part).tobytes() for part in found)

            with threadpool_limits(1, user_api="blas"):
                expected = fit(None)
            for place, run in places.items():
                found = run(fit)
                tried[place] += len(found)
                different[place] += sum(bits != expected for bits in found)
    return tried, different


def try_bits(out):
    say("bits")
    # (In a worker of a Pool, which is a daemon, joblib allows no threads.)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        tried, different = pool.submit(compare_bits).result()
    shapes = ", ".join(f"{n:,} × {p}" for n, p in BLAS_SHAPES)
    out += [
        "## The same bits in all threads",
        "",
        f"Fits of data of {shapes}, with Student's t of 2 degrees of freedom as noise, "
        "with a joint scale and with the MAD's. Their matrix products and "
        "factorisations are large enough for several threads of BLAS. Different is a "
        "fit of which a bit differs from one within `threadpool_limits(1)`.",
        "",
        "| fits in | different | of |",
        "|---|---:|---:|",
    ]
    out += [f"| {place} | {different[place]} | {tried[place]} |" for place in tried]
    out.append("")


def try_suites(out):
    out += [
        "## Threads, forks, workers and faults",
        "",
        "Each case in a process of its own. Survived: exit status 0 in time, and the "
        "bits of a serial fit.",
        "",
        "| case | survived | of |",
        "|---|---:|---:|",
    ]
    for suite in SUITES:
        say(suite)
        survived, tried = collections.Counter(), collections.Counter()
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.xml"
            subprocess.run(
                [sys.executable, "-m", "pytest", "-q", "-n2", str(TESTS / suite),
                 f"--junitxml={report}"],
                cwd=HERE.parents[1],
                stdout=subprocess.DEVNULL,
            )  # fmt: skip
            for case in ElementTree.parse(report).iter("testcase"):
                name = case.get("name").split("[")[0].removeprefix("test_")
                tried[name] += 1
                survived[name] += len(case) == 0
        for name, count in tried.items():
            out.append(f"| {name.replace('_', ' ')} | {survived[name]} | {count} |")
    out.append("")


def say(text):
    print(text, flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", type=int, default=20_000)
    arguments = parser.parse_args()
    os.environ.update(OPENBLAS_NUM_THREADS="1", NUMBA_NUM_THREADS="1")
    packages = ["skhuber", "numpy", "scipy", "scikit-learn", "numba"]
    versions = [f"{name} {importlib.metadata.version(name)}" for name in packages]
    out = [
        "# Trust, in figures",
        "",
        "By `python docs/trust/run.py`, which says how.",
        "",
        f"Python {platform.python_version()}, {', '.join(versions)}.",
        "",
    ]
    try_problems(arguments.problems, out)
    del os.environ["OPENBLAS_NUM_THREADS"], os.environ["NUMBA_NUM_THREADS"]
    try_bits(out)
    try_suites(out)
    (HERE / "results.md").write_text("\n".join(out), encoding="utf-8")


if __name__ == "__main__":
    main()
