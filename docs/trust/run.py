"""Try what the documentation promises, many times over, and write down the figures.

    python docs/trust/run.py                       # some minutes on two cores
    python docs/trust/run.py --problems 1000

Fits random problems of every kind (`tests/random_problems.py`), in two processes, and
runs the tests of threads, forks, workers and faults. Writes results.md into this
folder. Needs what ``pip install -e '.[test]'`` installs.
"""

import argparse
import collections
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
    del os.environ["NUMBA_NUM_THREADS"]
    try_suites(out)
    (HERE / "results.md").write_text("\n".join(out), encoding="utf-8")


if __name__ == "__main__":
    main()
