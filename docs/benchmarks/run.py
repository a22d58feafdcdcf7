"""Time robust fits by this library and by its peers, and where the time goes.

    python docs/benchmarks/run.py                 # all of it, about half an hour
    python docs/benchmarks/run.py fits --data "1,000 × 10" NOx
    python docs/benchmarks/run.py groups sweeps memory start scaling

Writes results.md, and time_gap.png of the fits, into this folder. Needs what
``pip install -e '.[benchmarks]'`` installs; a peer that is missing is left out. Nothing
else should run meanwhile.

**Time** at default settings is the median of several fits after one to warm up, of all
libraries in turns: five rounds, or as many as take two seconds. What takes longer than
--seconds is stopped. Ratios hold from machine to machine; times do not.

**Gap** is how far the objective lies above its minimum, as a fraction of it: of the
objective that the library minimises, at its own threshold. So each is judged by what it
tries to do. `joint` estimates the scale along with the
coefficients, `mad` by the median residual; `fixed` is given the scale that a joint fit
found. Each library runs at its defaults and along a ladder of tolerances or iteration
limits. The ladder ends where a fit is stopped, where there is no gap left, where more
iterations change nothing, and where the library has had twice --seconds.
"""

import math
import os
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numba
import numpy as np
import scipy.sparse as sp
from _common import (
    EQUAL_GAP,
    HERE,
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
from _data import groups, made_up, nox, one_hot, sparse
from _peers import LIBRARIES, MAD_RHO, PACKAGES, Fitted, Judge, fitted
from sklearn.linear_model import HuberRegressor as TheirHuberRegressor

from skhuber import HuberRegressor, huber_groups
from skhuber._rows import make_rows
from skhuber._sums import Point

# A gap that is none, for the purpose. (Of float32, skglm tries for hours to come
# nearer.)
NO_GAP = 1e-12
# Of the standard normal distribution.
NORMAL_QUARTILE = 0.6744897501960817
DATA = {
    "50 × 2": partial(made_up, 50, 2),
    "1,000 × 10": partial(made_up, 1000, 10),
    "100,000 × 50, units 1 to 1000": partial(made_up, 100_000, 50, units=True),
    "1,000,000 × 50": partial(made_up, 1_000_000, 50),
    "1,000,000 × 50, F order": partial(made_up, 1_000_000, 50, order="F"),
    "1,000,000 × 50, float32": partial(made_up, 1_000_000, 50, dtype=np.float32),
    "100,000 × 500": partial(made_up, 100_000, 500),
    "CSR 1,000,000 × 1,000, 1 %": partial(sparse, 1_000_000, 1000, 0.01),
    "CSR 200,000 × 2,600, one-hot": partial(one_hot, 200_000, [2000, 500, 100], "Zipf"),
    "CSR 200,000 × 3,000, counts, 0.5 %": partial(
        sparse, 200_000, 3000, 0.005, "counts"
    ),
    "NOx 8,088 × 339": partial(nox, np.ascontiguousarray),
    "NOx 8,088 × 339, CSR": partial(nox, sp.csr_array),
}


# ---------------------------------------------------------------------- fits


def run_fits(report, names, limit, size):
    libraries = []
    for library in LIBRARIES:
        try:
            libraries.append(library())
        except ImportError as error:
            print(f"{library.name} is not installed: {error}")
    report.add("## Fits\n")
    report.add(
        f"Over {limit:g} s: stopped. Not reached: by no limit that was tried. Times "
        "are compared with those of skhuber with a scale of the same kind (least "
        "squares: with the joint one). In bold: a peer wins, as it is faster and "
        f"leaves a gap of {EQUAL_GAP:g} at most.\n"
    )
    curves = {}
    for name in names:
        X, y = DATA[name](size=size)
        judge = Judge(X, y)
        unit = np.ones(X.shape[1], dtype=X.dtype)
        product = timed(lambda X=X, unit=unit: X @ unit).seconds
        report.add(f"**{name}**; one `X @ w` takes {duration(product)}.\n")
        able = [
            library for library in libraries if library.sparse or not sp.issparse(X)
        ]
        compile_for(able, name)
        defaults = default_fits(able, X, y, judge, limit)
        ladders = {
            library: ladder(library, X, y, judge, limit, defaults[library])
            for library in able
        }
        curves[name] = {library.name: ladders[library] for library in able}
        fit_table(report, defaults, ladders, product, limit)
    if size is full:
        plot(curves)
        report.add("![Time against gap](time_gap.png)\n")


def compile_for(libraries, name):
    """Fit little data of a kind, for which some libraries compile their functions."""
    X, y = DATA[name](size=shrunk)
    for library in libraries:
        timed(
            lambda library=library: library.fit(X, y, RHO),
            rounds=0,
            limit=60,
            warm_up=False,
        )


def default_fits(libraries, X, y, judge, limit):
    """Return time and gap of each library at its default settings."""
    threshold = RHO * judge.scale
    timings = in_turns(
        {library: partial(library.fit, X, y, threshold) for library in libraries},
        limit=limit,
    )
    return {
        library: (timing.seconds, gap_of(library, judge, timing.result))
        for library, timing in timings.items()
    }


def ladder(library, X, y, judge, limit, default):
    """Return times and gaps at falling tolerances, the default ones among them."""
    points, last, start = [], None, time.perf_counter()
    for settings in library.ladder:
        run = partial(library.fit, X, y, RHO * judge.scale, **settings)
        timing = timed(run, seconds=1.0, rounds=2, limit=limit, warm_up=False)
        gap = gap_of(library, judge, timing.result)
        print(f"  {library.name} {settings}: {duration(timing.seconds)}, gap {gap:.0e}")
        points.append((timing.seconds, gap))
        if gap <= NO_GAP or math.isinf(timing.seconds):
            break
        if (settings["tol"], gap) == last or time.perf_counter() - start > 2 * limit:
            break
        last = settings["tol"], gap
    return sorted([*points, default])


def gap_of(library, judge, fit):
    return judge.gap(library.kind, fit) if isinstance(fit, Fitted) else math.nan


def fit_table(report, defaults, ladders, product, limit):
    report.table(
        "library",
        "scale",
        "default",
        "over X @ w",
        "gap",
        "against skhuber",
        f"gap ≤ {EQUAL_GAP:g}",
        "against skhuber",
    )
    equal = {
        library: min((t for t, gap in points if gap <= EQUAL_GAP), default=math.inf)
        for library, points in ladders.items()
    }
    reference = {}  # the first one of each kind is ours
    for library in defaults:
        reference.setdefault(library.kind, library)
    reference["squares"] = reference["joint"]
    for library, (seconds, gap) in defaults.items():
        ours = reference[library.kind]
        stopped = math.isinf(seconds)
        cells = [
            duration(seconds, limit),
            "" if stopped else f"{seconds / product:,.1f}",
            small(gap),
        ]
        can_win = not gap > EQUAL_GAP  # least squares has none
        by_default = against(seconds, defaults[ours][0], limit, can_win=can_win)
        cells.append("" if library is ours else by_default)
        if library.kind == "squares":
            cells += ["", ""]
        elif math.isinf(equal[library]):
            cells += ["not reached", ""]
        else:
            cells.append(duration(equal[library]))
            at_equal_gap = against(equal[library], equal[ours])
            cells.append("" if library is ours else at_equal_gap)
        report.row(library.name, library.kind, *cells)
    report.add("")


def plot(curves):
    n_rows = -(-len(curves) // 2)
    figure, axes = plt.subplots(n_rows, 2, figsize=(10, 3.2 * n_rows), squeeze=False)
    for ax in axes.flat[len(curves) :]:
        ax.remove()
    names = list(dict.fromkeys(name for one in curves.values() for name in one))
    colours = dict(zip(names, plt.colormaps["tab20"].colors, strict=False))
    handles = {}
    for ax, (data, libraries) in zip(axes.flat, curves.items(), strict=False):
        for name, points in libraries.items():
            seen = np.array([point for point in points if math.isfinite(point[0])])
            if not len(seen):
                continue
            t, gap = seen.T
            if np.isnan(gap).all():
                line = ax.axvline(t[0], color=colours[name], linestyle=":")
            else:
                (line,) = ax.loglog(t, gap, "o-", markersize=3, color=colours[name])
            handles.setdefault(name, line)
        ax.set(title=data, xlabel="seconds", ylabel="gap", ylim=(3e-17, 10))
    figure.legend(handles.values(), handles, loc="lower center", ncols=4)
    figure.tight_layout(rect=(0, 0.8 / (3.2 * n_rows), 1, 1))
    figure.savefig(HERE / "time_gap.png", dpi=100)
    plt.close(figure)


# -------------------------------------------------------------------- groups


def run_groups(report, size):
    """Many small fits, by what each library has for them."""
    n_groups, n_rows, p = size(10_000), 40, 3
    X, y, label = groups(10_000, n_rows, p, size=size)
    weight = np.random.default_rng(1).random(len(y)) + 0.5
    mad = {"scale": "mad", "rho": MAD_RHO, "alpha": 0.0}
    part = max(n_groups // 10, 1)  # of the groups, for loops

    def loop(make):
        rows = [slice(k * n_rows, (k + 1) * n_rows) for k in range(part)]
        return [make().fit(X[own], y[own]) for own in rows]

    loops = ("HuberRegressor one by one", "scikit-learn one by one")
    runs = {
        "huber_groups": lambda: huber_groups(X, y, label),
        "huber_groups with weights": lambda: huber_groups(
            X, y, label, sample_weight=weight
        ),
        loops[0]: lambda: loop(HuberRegressor),
        loops[1]: lambda: loop(TheirHuberRegressor),
        "huber_groups, MAD scale": lambda: huber_groups(X, y, label, **mad),
    }
    polars_groups = of_polars(X, y, label)
    if polars_groups is not None:
        runs["polars-statistics"] = polars_groups
    timings = in_turns(runs)
    report.add("## Groups\n")
    report.add(
        f"{n_groups:,} groups of {n_rows} × {p}; with a loop, a tenth of them. The gap "
        "is the largest one of 100 groups (not computed with weights).\n"
    )
    report.table("fits", "scale", "a group", "against huber_groups", "largest gap")
    for name, (seconds, fits) in timings.items():
        each = seconds / (part if name in loops else n_groups)
        joint = not name.endswith(("MAD scale", "polars-statistics"))
        kind = "joint" if joint else "mad"
        ours = "huber_groups" if joint else "huber_groups, MAD scale"
        gaps = [math.nan]
        if "weights" not in name:
            gaps = [
                group_gap(kind, fits, k, X[label == k], y[label == k])
                for k in range(min(part, 100))
            ]
        compared = "" if name == ours else against(each, timings[ours][0] / n_groups)
        report.row(name, kind, f"{1e3 * each:.3f} ms", compared, small(max(gaps)))
    report.add("")


def of_polars(X, y, label):
    """Return a function that fits all groups by polars-statistics, or None."""
    try:
        import polars
        import polars_statistics
    except ImportError as error:
        print(f"polars-statistics is not installed: {error}")
        return None
    columns = {f"x{j}": X[:, j] for j in range(X.shape[1])}
    frame = polars.DataFrame({"group": label, "y": y, **columns})
    fit = polars_statistics.huber("y", *columns, epsilon=MAD_RHO, alpha=0.0)
    by_group = frame.group_by("group", maintain_order=True)
    return lambda: by_group.agg(fit.alias("fit"))["fit"]


def group_gap(kind, fits, k, X, y):
    """Return the gap of the fit of group k, whose rows are given."""
    if isinstance(fits, list):
        return Judge(X, y).gap(kind, fitted(fits[k]))
    if hasattr(fits, "coefs"):
        return Judge(X, y).gap(
            kind, Fitted(fits.coefs[k], fits.intercepts[k], fits.scales[k])
        )
    coef, intercept = np.array(fits[k]["coefficients"]), fits[k]["intercept"]
    # polars-statistics does not return the scale of groups, which it computes thus.
    scale = np.median(np.abs(y - X @ coef - intercept)) / NORMAL_QUARTILE
    return Judge(X, y).gap(kind, Fitted(coef, intercept, scale))


# ------------------------------------------------------------- other sections


def run_sweeps(report, size):
    """One sweep (value and gradient) against one product with BLAS."""
    report.add("## One sweep over one `X @ w`\n")
    report.table("n × p", "C", "F", "C float32", "F float32")
    for p in (5, 10, 20, 50, 100, 250, 500, 1000):
        n = size(min(40_000_000 // p, 4_000_000))
        rng = np.random.default_rng(0)
        values, target = rng.normal(size=(n, p)), rng.normal(size=n)
        cells = [f"{n:,} × {p:,}"]
        for dtype in (np.float64, np.float32):
            for order in "CF":
                X = values.astype(dtype, order=order)
                y, w = target.astype(dtype), np.ones(p, dtype=dtype)
                at = Point(
                    centre=np.full(p, 0.1),
                    unit=np.ones(p),
                    y_centre=0.0,
                    y_unit=1.0,
                    u=np.ones(p) / np.sqrt(p),
                    intercept=0.0,
                    threshold=RHO,
                    scale=1.0,
                )
                rows = make_rows(X, y, None, numba.config.NUMBA_NUM_THREADS)
                both = in_turns(
                    {
                        "sweep": lambda rows=rows, at=at: rows.sweep([at]),
                        "product": lambda X=X, w=w: X @ w,
                    },
                    seconds=0.5,
                )
                cells.append(f"{both['sweep'].seconds / both['product'].seconds:.2f}")
        report.row(*cells)
    report.add("")


def fresh(program, **environment):
    """Return what a program prints in a process of its own, run in this folder."""
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=HERE,
        env=os.environ | environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def run_memory(report, size):
    """Peak memory beyond the inputs, allocated and resident."""
    report.add("## Peak memory beyond the inputs, of the size of X\n")
    report.table("data", "allocated", "resident")
    for name in list(DATA)[2:10]:
        # In a process of its own: what another fit has freed is resident already.
        program = f"import run; print(*run.peak_memory({name!r}, run.{size.__name__}))"
        allocated, resident = map(float, fresh(program).split())
        report.row(name, f"{allocated:.1%}", f"{resident:.1%}")
    report.add("")


def peak_memory(name, size):
    """Return peaks, allocated and resident, beyond the inputs; of the size of X."""
    X, y = DATA[name](size=size)
    parts = (X.data, X.indices, X.indptr) if sp.issparse(X) else (X,)
    n_bytes = sum(part.nbytes for part in parts)
    # Compile and load kernels, with rows enough for a sample.
    order = "F" if name.endswith("F order") else "C"
    few = X[:70_000] if sp.issparse(X) else np.array(X[:70_000], order=order)
    HuberRegressor().fit(few[:10_000], y[:10_000])
    HuberRegressor().fit(few, y[: few.shape[0]])
    del few
    resident = peak_resident(lambda: HuberRegressor().fit(X, y))
    tracemalloc.start()
    HuberRegressor().fit(X, y)
    allocated = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return allocated / n_bytes, resident / n_bytes


def peak_resident(function):
    """Return the growth of the resident size while a function runs (Linux)."""
    page = os.sysconf("SC_PAGE_SIZE")

    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * page

    before, peak, done = resident(), 0, threading.Event()

    def watch():
        nonlocal peak
        while not done.is_set():
            peak = max(peak, resident())
            time.sleep(0.0005)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        function()
    finally:
        done.set()
        thread.join()
    return max(peak - before, 0)


def run_start(report, repeats):
    """Seconds in fresh processes: import, first fit with and without cache."""
    report.add("## Start\n")
    report.table("in a fresh process", "seconds")

    def add(label, code, n=repeats, cache=None):
        changed = {"NUMBA_CACHE_DIR": cache} if cache else {}
        program = f"import time; t = time.perf_counter(); {code}; print(t_end - t)"
        times = [float(fresh(program, **changed)) for _ in range(n)]
        report.row(label, f"{np.median(times):.3f}")

    end = "t_end = time.perf_counter()"
    add("`import sklearn.linear_model`", f"import sklearn.linear_model; {end}")
    again = "import sklearn.linear_model; t = time.perf_counter()"
    add("`import skhuber` after it", f"{again}; import skhuber; {end}")
    data = "import numpy as np, skhuber; r = np.random.default_rng(0)"
    for label, shape in (("1,000 × 10", (1000, 10)), ("100,000 × 20", (100_000, 20))):
        code = (
            f"{data}; X = r.normal(size={shape}); y = X.sum(axis=1) + r.normal("
            f"size={shape[0]}); t = time.perf_counter(); "
            f"skhuber.HuberRegressor().fit(X, y); {end}"
        )
        with tempfile.TemporaryDirectory() as cache:
            add(f"first fit ever, {label}, beyond the import", code, 1, cache)
            add(
                f"first fit of a process, {label}, beyond the import", code, cache=cache
            )
    report.add("")


def run_scaling(report, size):
    """Time against n, and with one thread and all."""
    threads = numba.config.NUMBA_NUM_THREADS
    report.add("## Scaling\n")
    report.table(
        "n × 20", "sweeps", "ms", "ns per row and sweep", f"one thread over {threads}"
    )
    for n in (10_000, 100_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000):
        X, y = made_up(n, 20, size=size)
        all_threads, one = in_turns(
            {
                "all": lambda X=X, y=y: HuberRegressor().fit(X, y),
                "one": lambda X=X, y=y: HuberRegressor(n_jobs=1).fit(X, y),
            }
        ).values()
        seconds, model = all_threads
        report.row(
            f"{len(y):,}",
            model.n_sweeps_,
            f"{1e3 * seconds:,.1f}",
            f"{1e9 * seconds / len(y) / model.n_sweeps_:.1f}",
            f"{one.seconds / seconds:.2f}",
        )
    report.add("")


# ---------------------------------------------------------------------- main


def main():
    sections = ["fits", "groups", "sweeps", "memory", "start", "scaling"]
    arguments = parser(__doc__)
    arguments.add_argument(
        "sections", nargs="*", metavar="section", help=", ".join(sections)
    )
    arguments.add_argument(
        "--data", nargs="+", default=[""], help="beginnings of names"
    )
    arguments.add_argument("--seconds", type=float, default=4.0)
    options = arguments.parse_args()
    chosen = options.sections or sections
    for section in chosen:
        if section not in sections:
            arguments.error(f"section must be one of {sections}, got {section!r}")
    names = [name for name in DATA if name.startswith(tuple(options.data))]
    size = shrunk if options.quick else full
    limit = min(options.seconds, 1.0) if options.quick else options.seconds
    report = Report("Benchmarks", "run", *PACKAGES)
    run = {
        "fits": lambda: run_fits(report, names, limit, size),
        "groups": lambda: run_groups(report, size),
        "sweeps": lambda: run_sweeps(report, size),
        "memory": lambda: run_memory(report, size),
        "start": lambda: run_start(report, 1 if options.quick else 5),
        "scaling": lambda: run_scaling(report, size),
    }
    for section in chosen:
        run[section]()
        if not options.quick:
            report.save("results.md")


if __name__ == "__main__":
    main()
