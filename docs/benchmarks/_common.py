"""What the benchmarks share: options, timing in turns, and reports in Markdown."""

import argparse
import contextlib
import importlib.metadata
import math
import platform
import signal
import statistics
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numba
import threadpoolctl

HERE = Path(__file__).parent
RHO = 1.35
# The gap at which libraries are compared. Where it is reached, coefficients have lost
# a ten-thousandth of their standard errors at n = 1 (less, the more rows).
EQUAL_GAP = 1e-8
# Seconds: a turn of a quick function has as many calls as fill it.
TURN = 0.05
# Seconds of rest before a turn: BLAS and OpenMP let threads spin for some
# hundredths of a second after their last call.
PAUSE = 0.05


def parser(description):
    """Return a parser of arguments that knows --quick."""
    found = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument(
        "--quick",
        action="store_true",
        help="shrink all data, to see whether the script works; write nothing",
    )
    return found


def full(n):
    """Return the number of rows, columns or groups as it is."""
    return n


def shrunk(n):
    """Return a hundredth of the number, but not less than 30 if there are so many."""
    return max(n // 100, min(n, 30))


# ---------------------------------------------------------------------- time


class Timing(NamedTuple):
    """Median time of a function in seconds, and what its last call returned.

    A function that was stopped took infinitely long and returned None; so did one that
    raised an error, which is then the result.
    """

    seconds: float
    result: Any


class OutOfTime(BaseException):
    """A function that takes too long. Peers' `except Exception` lets it pass."""


@contextlib.contextmanager
def time_limit(seconds):
    """Stop what runs inside, as soon as Python can: compiled code runs to its end.

    Where there are no such signals (Windows), nothing is stopped.
    """
    if not (math.isfinite(seconds) and hasattr(signal, "SIGALRM")):
        yield
        return

    def stop(number, frame):
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def in_turns(functions, *, seconds=2.0, rounds=5, limit=math.inf, warm_up=True):
    """Time functions in turns, as the speed of a machine may change within a minute.

    Each is called once to warm up, as it may compile something. In each of `rounds`
    rounds it then has a turn: some calls that are counted, after one that is not, if it
    is quick. It has no more turns once these have taken `seconds`. A function whose
    first call takes longer than `limit` is stopped.

    Parameters
    ----------
    functions : dict of str to callable
    seconds, limit : float
    rounds : int
    warm_up : bool
        If false, the first call counts.

    Returns
    -------
    timings : dict of str to Timing
    """
    results, times = {}, {}
    for name, function in functions.items():
        try:
            with time_limit(limit):
                first, results[name] = _one(function)
            times[name] = [] if warm_up else [first]
        except OutOfTime:
            times[name], results[name] = [math.inf], None
        except ValueError as error:  # scikit-learn's, if its minimiser gives up
            times[name], results[name] = [math.inf], error
    for _ in range(rounds):
        for name, function in functions.items():
            if sum(times[name]) > seconds:
                continue
            time.sleep(PAUSE)
            taken, results[name] = _one(function)
            if taken > TURN:
                times[name].append(taken)
                continue
            for _ in range(min(math.ceil(TURN / taken), 15)):
                taken, results[name] = _one(function)
                times[name].append(taken)
    return {
        name: Timing(statistics.median(times[name]), results[name])
        for name in functions
    }


def timed(function, **options):
    """Return the Timing of a single function."""
    return in_turns({"": function}, **options)[""]


def _one(function):
    """Return the seconds of one call and its result."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of peers about their convergence
        start = time.perf_counter()
        result = function()
        return time.perf_counter() - start, result


# ------------------------------------------------------------------- reports


class Report:
    """Lines of Markdown, printed as they come."""

    def __init__(self, title, script, *packages):
        self._lines = []
        self.add(f"# {title}\n")
        self.add(f"By `python docs/benchmarks/{script}.py`, which says how.\n")
        self.add(f"{machine()}\n")
        self.add(f"{versions(*packages)}\n")

    def add(self, line):
        print(line, flush=True)
        self._lines.append(line)

    def table(self, *columns):
        """Begin a table, with a first column of names."""
        self.row(*columns)
        self.add("|---|" + "---:|" * (len(columns) - 1))

    def row(self, *cells):
        self.add("| " + " | ".join(str(cell) for cell in cells) + " |")

    def save(self, name):
        text = "\n".join(self._lines).rstrip() + "\n"
        (HERE / name).write_text(text, encoding="utf-8")


def machine():
    """Return a sentence on the CPU, and BLAS with the kernels that it chose."""
    blas = {
        f"{info['internal_api']} {info['version']} with kernels for "
        f"{info.get('architecture', 'an unknown CPU')}, {info['num_threads']} threads"
        for info in threadpoolctl.threadpool_info()
        if info["user_api"] == "blas"
    }
    return (
        f"{_cpu()}, {numba.config.NUMBA_NUM_THREADS} threads of numba; "
        f"BLAS: {'; '.join(sorted(blas)) or 'unknown'}."
    )


def _cpu():
    """Return the name of the CPU as the system tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def versions(*packages):
    """Return a sentence on the versions of Python and of packages."""
    found = [f"Python {platform.python_version()}"]
    for name in ("skhuber", "numpy", "scipy", "numba", *packages):
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} not installed")
    return ", ".join(found) + "."


def duration(seconds, limit=math.inf):
    """Return a time as text; one that is infinite, as longer than the limit."""
    if math.isinf(seconds):
        return f"over {limit:g} s" if math.isfinite(limit) else "failed"
    if seconds > 10:
        return f"{seconds:,.1f} s"
    digits = ",.0f" if seconds > 0.01 else ".2f" if seconds > 1e-4 else ".2g"
    return f"{1e3 * seconds:{digits}} ms"


def against(peer, ours, limit=math.inf, *, can_win=True):
    """Return how a peer's time compares with ours; in bold if the peer wins."""
    if math.isinf(peer):
        return f"over {limit / ours:,.0f} × slower" if math.isfinite(limit) else ""
    if ours / 1.05 < peer < ours * 1.05:
        return "as fast"
    if peer < ours:
        faster = f"{ours / peer:,.1f} × faster"
        return f"**{faster}**" if can_win else faster
    return f"{peer / ours:,.1f} × slower"


def small(value):
    """Return a gap as text."""
    return "" if math.isnan(value) else f"{value:.0e}"
