"""Time robust fits by this library and by its peers, and where the time goes.

    python docs/benchmarks/run.py                 # all of it, about half an hour
    python docs/benchmarks/run.py fits --data "1,000 × 10" NOx
    python docs/benchmarks/run.py sweeps memory start scaling

Writes results.md, and time_gap.png of the fits, into this folder. Needs what
``pip install -e '.[benchmarks]'`` installs; a peer that is missing is left out. Nothing
else should run meanwhile.

**Time** is the median of up to five fits after one to warm up (of fewer, where they
take long), without pauses. Ratios hold from machine to machine; times do not.

**Gap** is how far the objective lies above its minimum, as a fraction of it: of the
objective that the library minimises, at its own threshold. So each is judged by what it
tries to do. `joint` estimates the scale along with the
coefficients, `mad` by the median residual; `fixed` is given the scale that a joint fit
found. Each library runs at its defaults and along a ladder of tolerances or iteration
limits. The ladder ends where a fit takes longer than --seconds, where there is no gap
left, and where more iterations change nothing.
"""

import argparse
import csv
import importlib.metadata
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numba
import numpy as np
import scipy.sparse as sp
from sklearn.linear_model import HuberRegressor as TheirHuberRegressor
from sklearn.linear_model import LinearRegression, SGDRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skhuber import HuberRegressor
from skhuber._rows import make_rows
from skhuber._sums import Point

HERE = Path(__file__).parent
RHO = 1.35
# The gap at which libraries are compared. Where it is reached, coefficients have lost
# a ten-thousandth of their standard errors at n = 1 (less, the more rows).
EQUAL_GAP = 1e-8
# One that is none, for the purpose. (Of float32, skglm tries for hours to come nearer.)
NO_GAP = 1e-12


# ---------------------------------------------------------------------- data


def made_up(n, p, order="C", dtype=np.float64, units=False):
    """Normal columns, 10 % gross outliers."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, p))
    if units:
        X *= np.geomspace(1, 1000, p)
    y = X @ (rng.normal(size=p) / X.std(axis=0)) + rng.normal(size=n)
    return X.astype(dtype, order=order), with_outliers(rng, y).astype(dtype)


def sparse(n, p, density):
    rng = np.random.default_rng(0)
    X = sp.random_array(
        (n, p), density=density, format="csr", rng=rng, data_sampler=rng.standard_normal
    )
    X.indices, X.indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)
    return X, with_outliers(rng, X @ rng.normal(size=p) + rng.normal(size=n))


def with_outliers(rng, y):
    bad = rng.random(len(y)) < 0.1
    y[bad] += 20 + 30 * rng.normal(size=bad.sum())
    return y


def nox(form):
    """Real: hourly NOx on emission, wind and 337 day dummies (examples/data)."""
    path = HERE.parents[1] / "examples" / "data" / "NOxEmissions.csv"
    with open(path, newline="") as file:
        table = np.array(list(csv.reader(file))[1:], dtype=float)
    day, concentration, emission, wind = table.T
    days, index = np.unique(day, return_inverse=True)
    X = np.column_stack([emission, wind, np.eye(len(days))[index][:, 1:]])
    return form(X), concentration


DATA = {
    "50 × 2": lambda: made_up(50, 2),
    "1,000 × 10": lambda: made_up(1000, 10),
    "100,000 × 50, units 1 to 1000": lambda: made_up(100_000, 50, units=True),
    "1,000,000 × 50": lambda: made_up(1_000_000, 50),
    "1,000,000 × 50, F order": lambda: made_up(1_000_000, 50, order="F"),
    "1,000,000 × 50, float32": lambda: made_up(1_000_000, 50, dtype=np.float32),
    "100,000 × 500": lambda: made_up(100_000, 500),
    "CSR 1,000,000 × 1,000, 1 %": lambda: sparse(1_000_000, 1000, 0.01),
    "NOx 8,088 × 339": lambda: nox(np.ascontiguousarray),
    "NOx 8,088 × 339, CSR": lambda: nox(sp.csr_array),
}


# ----------------------------------------------------------------- libraries


class Fitted:
    """Coefficients in the units of the data, and the scale if there is one."""

    def __init__(self, coef, intercept, scale=None):
        self.coef_, self.intercept_, self.scale_ = coef, float(intercept), scale


def fitted(model):
    return Fitted(model.coef_, model.intercept_, getattr(model, "scale_", None))


class Library:
    name: str
    kind: str  # "joint", "fixed", "mad" or "squares"
    sparse = True
    ladder = ()

    def fit(self, X, y, threshold, **settings):
        raise NotImplementedError


class Skhuber(Library):
    name, kind = "skhuber", "joint"
    ladder = tuple({"tol": tol} for tol in (1e-1, 1e-3, 1e-6, 1e-9, 1e-14))

    def fit(self, X, y, threshold, **settings):
        return fitted(HuberRegressor(**settings).fit(X, y))


class SkhuberMad(Library):
    name, kind = "skhuber, MAD scale", "mad"

    def fit(self, X, y, threshold, **settings):
        return fitted(HuberRegressor(1.345, scale="mad", alpha=0.0).fit(X, y))


class SklearnHuber(Library):
    name, kind = "scikit-learn Huber", "joint"
    ladder = tuple(
        {"max_iter": k, "tol": 1e-12} for k in (3, 10, 30, 100, 300, 1000, 3000)
    )

    def fit(self, X, y, threshold, **settings):
        return fitted(TheirHuberRegressor(**settings).fit(X, y))


class SklearnSGD(Library):
    name, kind = "scikit-learn SGD", "fixed"
    ladder = tuple({"max_iter": k, "tol": None, "alpha": 0.0} for k in (1, 10, 50))

    def fit(self, X, y, threshold, **settings):
        # Centring would make sparse data dense.
        scaler = StandardScaler(with_mean=not sp.issparse(X))
        model = make_pipeline(
            scaler,
            SGDRegressor(loss="huber", epsilon=threshold, random_state=0, **settings),
        ).fit(X, y)
        coef = model[-1].coef_ / scaler.scale_
        shift = 0.0 if scaler.mean_ is None else scaler.mean_ @ coef
        return Fitted(coef, model[-1].intercept_[0] - shift)


class LeastSquares(Library):
    name, kind = "least squares", "squares"

    def fit(self, X, y, threshold, **settings):
        return fitted(LinearRegression().fit(X, y))


class Statsmodels(Library):
    name, kind, sparse = "statsmodels RLM", "mad", False
    ladder = tuple({"maxiter": k, "tol": 1e-12} for k in (2, 5, 15, 50))

    def __init__(self):
        import statsmodels.api

        self._sm = statsmodels.api

    def fit(self, X, y, threshold, **settings):
        norm = self._sm.robust.norms.HuberT(1.345)
        result = self._sm.RLM(y, self._sm.add_constant(X), M=norm).fit(**settings)
        return Fitted(result.params[1:], result.params[0], result.scale)


class Skglm(Library):
    name, kind = "skglm", "fixed"
    ladder = tuple({"tol": tol, "max_iter": 1000} for tol in (1e-2, 1e-4, 1e-6, 1e-8))

    def __init__(self):
        import skglm

        self._skglm = skglm

    def fit(self, X, y, threshold, **settings):
        skglm = self._skglm
        model = skglm.GeneralizedLinearEstimator(
            skglm.datafits.Huber(threshold),
            skglm.penalties.L1(0.0),
            skglm.solvers.AndersonCD(fit_intercept=True, **settings),
        )
        return fitted(model.fit(sp.csc_array(X) if sp.issparse(X) else X, y))


class Scm2cpp(Library):
    name, kind, sparse = "scm2cpp-learn", "joint", False
    ladder = tuple(
        {"max_iter": k, "tol": 1e-12} for k in (3, 10, 30, 100, 300, 1000, 3000)
    )

    def __init__(self):
        from scm2cpp_learn import LBFGSHuberRegressor

        self._model = LBFGSHuberRegressor

    def fit(self, X, y, threshold, **settings):
        X, y = X.astype(np.float64), y.astype(np.float64)
        model = self._model(**settings).fit(X, y)
        sigma = getattr(model, "scale_", None)
        return Fitted(np.ravel(model.coef_), np.ravel(model.intercept_)[0], sigma)


PEERS = [
    Skhuber,
    LeastSquares,
    SklearnHuber,
    Scm2cpp,
    SklearnSGD,
    Skglm,
    SkhuberMad,
    Statsmodels,
]


# ----------------------------------------------------------------------- gap


def residuals(X, y, fit):
    """In double precision, whatever the data."""
    r = np.array(y, dtype=np.float64)
    coef = np.asarray(fit.coef_, dtype=np.float64)
    for start in range(0, len(r), 100_000):
        rows = slice(start, start + 100_000)
        part = X[rows]
        if not sp.issparse(part):
            part = part.astype(np.float64, copy=False)
        r[rows] -= part @ coef + fit.intercept_
    return r


def huber(r, threshold):
    size = np.abs(r)
    return np.where(size <= threshold, r**2, (2 * size - threshold) * threshold)


class Judge:
    """Minima of the objectives of one data set, and gaps above them."""

    def __init__(self, X, y):
        self.X, self.y = X, y
        best = HuberRegressor(tol=1e-14).fit(X, y)
        self.scale = best.scale_
        self._joint = self._objective("joint", fitted(best), best.scale_)

    def _objective(self, kind, fit, scale):
        r = residuals(self.X, self.y, fit)
        if kind != "joint":
            return huber(r, (1.345 if kind == "mad" else RHO) * scale).sum()
        if scale is None:  # the best scale for these coefficients
            scale = self.scale
            for _ in range(100):
                inside = np.clip(r, -RHO * scale, RHO * scale)
                scale = np.sqrt(np.mean(inside**2))
        # The penalty is the one that those who estimate the scale have by default.
        penalty = 1e-4 * float(np.sum(np.square(fit.coef_, dtype=np.float64)))
        return scale * len(r) + huber(r, RHO * scale).sum() / scale + penalty

    def gap(self, kind, fit):
        if kind == "squares":
            return np.nan
        if kind == "joint":
            value = self._objective(kind, fit, fit.scale_)
            return max(value / self._joint - 1, 1e-16)
        scale = self.scale if kind == "fixed" else fit.scale_
        rho = 1.345 if kind == "mad" else RHO
        best = HuberRegressor(rho, scale=scale, alpha=0.0, tol=1e-14)
        lowest = self._objective(kind, fitted(best.fit(self.X, self.y)), scale)
        return max(self._objective(kind, fit, scale) / lowest - 1, 1e-16)


# ---------------------------------------------------------------------- time


def timed(function, seconds):
    """Result and median time, after one call to warm up (and maybe to compile)."""
    times = []
    while len(times) < 6:
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of peers about their convergence
            result = function()
        times.append(time.perf_counter() - start)
        if times[0] > seconds or (len(times) > 1 and sum(times) > seconds):
            break
    return result, float(np.median(times[1:] if len(times) > 1 else times))


def run_fits(names, seconds, out):
    libraries = []
    for peer in PEERS:
        try:
            libraries.append(peer())
        except ImportError as error:
            say(f"{peer.name} is not installed: {error}")
    curves = {}
    out.append("## Fits\n")
    out.append(
        "Not run: where a fit with the first limit of the ladder takes longer than "
        f"{seconds:g} s. Not reached: by no limit that was tried.\n"
    )
    for name in names:
        say(name)
        X, y = DATA[name]()
        judge = Judge(X, y)
        unit = np.ones(X.shape[1], dtype=X.dtype)
        _, product = timed(lambda X=X, unit=unit: [X @ unit for _ in range(5)], 5)
        product /= 5
        out.append(f"**{name}**; one `X @ w` takes {milliseconds(product)}.\n")
        out.append(
            "| library | scale | default | over X @ w | gap | slower than skhuber "
            f"| gap ≤ {EQUAL_GAP:g} |\n|---|---|---:|---:|---:|---:|---:|"
        )
        rows, reference = [], {}
        for library in libraries:
            if sp.issparse(X) and not library.sparse:
                continue
            points, last = [], None
            for settings in library.ladder:
                t, gap = measure(library, X, y, judge, seconds, settings)
                points.append((t, gap))
                if t > seconds or gap <= NO_GAP or (settings["tol"], gap) == last:
                    break
                last = settings["tol"], gap
            default = None
            if not points or points[0][0] < seconds:
                default = measure(library, X, y, judge, seconds, {})
            curves.setdefault(name, {})[library.name] = points or [default]
            tried = [*points, default] if default else points
            reached = [t for t, gap in tried if gap <= EQUAL_GAP]
            rows.append((library, default, min(reached) if reached else None))
            if default is not None:
                reference.setdefault(library.kind, default[0])
        for library, default, equal in rows:
            base = reference["mad" if library.kind == "mad" else "joint"]
            cells = [library.name, library.kind]
            if default is None:
                cells += ["not run", "", "", ""]
            else:
                t, gap = default
                cells += [
                    milliseconds(t),
                    f"{t / product:,.1f}",
                    "" if np.isnan(gap) else f"{gap:.0e}",
                    f"{t / base:,.1f} ×",
                ]
            if library.kind == "squares":
                cells.append("")
            else:
                cells.append("not reached" if equal is None else milliseconds(equal))
            out.append("| " + " | ".join(cells) + " |")
        out.append("")
    plot(curves)
    out.append("![Time against gap](time_gap.png)\n")


def measure(library, X, y, judge, seconds, settings):
    threshold = RHO * judge.scale
    try:
        fit, t = timed(lambda: library.fit(X, y, threshold, **settings), seconds)
    except ValueError as error:  # scikit-learn's, where its minimiser gave up
        say(f"  {library.name} {settings}: {str(error)[:60]}")
        return np.inf, np.inf
    gap = judge.gap(library.kind, fit)
    say(f"  {library.name} {settings}: {milliseconds(t)}, gap {gap:.0e}")
    return t, gap


def plot(curves):
    n_rows = -(-len(curves) // 2)
    figure, axes = plt.subplots(n_rows, 2, figsize=(10, 3.2 * n_rows), squeeze=False)
    for ax in axes.flat[len(curves) :]:
        ax.remove()
    names = list(dict.fromkeys(name for one in curves.values() for name in one))
    colours = dict(zip(names, plt.colormaps["tab10"].colors, strict=False))
    for ax, (data, libraries) in zip(axes.flat, curves.items(), strict=False):
        for name, points in libraries.items():
            t, gap = np.array(points).T
            if np.isnan(gap).all():
                ax.axvline(t[0], color=colours[name], linestyle=":", label=name)
                continue
            seen = np.isfinite(t)
            ax.loglog(
                t[seen], gap[seen], "o-", markersize=3, color=colours[name], label=name
            )
        ax.set(title=data, xlabel="seconds", ylabel="gap", ylim=(3e-17, 10))
    handles = {}
    for ax in axes.flat[: len(curves)]:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    labels = list(handles)
    figure.legend(
        [handles[label] for label in labels], labels, loc="lower center", ncols=4
    )
    figure.tight_layout(rect=(0, 0.6 / (3.2 * n_rows), 1, 1))
    figure.savefig(HERE / "time_gap.png", dpi=100)
    plt.close(figure)


# ------------------------------------------------------------- other sections


def run_sweeps(out):
    """One sweep (value and gradient) against one product with BLAS."""
    out.append("## One sweep over one `X @ w`\n")
    out.append("| n × p | C | F | C float32 | F float32 |\n|---|---:|---:|---:|---:|")
    for p in (5, 10, 20, 50, 100, 250, 500, 1000):
        n = min(40_000_000 // p, 4_000_000)
        cells = [f"{n:,} × {p:,}"]
        for dtype in (np.float64, np.float32):
            for order in "CF":
                rng = np.random.default_rng(0)
                X = rng.normal(size=(n, p)).astype(dtype, order=order)
                y = rng.normal(size=n).astype(dtype)
                w = np.ones(p, dtype=dtype)
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
                # The threads of BLAS spin for a while after a product.
                ratio = apart(lambda rows=rows, at=at: rows.sweep([at]))
                ratio /= apart(lambda X=X, w=w: X @ w)
                cells.append(f"{ratio:.2f}")
        say("  " + " ".join(cells))
        out.append("| " + " | ".join(cells) + " |")
    out.append("")


def apart(function):
    """Median time, after a pause and some calls to warm up."""
    time.sleep(0.2)
    times = []
    for _ in range(25):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return float(np.median(times[5:]))


def fresh(program, **environment):
    """What a program prints in a process of its own, started in this folder."""
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=HERE,
        env=os.environ | environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def run_memory(out):
    """Peak memory beyond the inputs, allocated and resident."""
    out.append("## Peak memory beyond the inputs, of the size of X\n")
    out.append("| data | allocated | resident |\n|---|---:|---:|")
    for name in list(DATA)[2:8]:
        # In a process of its own: what another fit has freed is resident already.
        program = f"import run; print(*run.peak_memory({name!r}))"
        allocated, resident = map(float, fresh(program).split())
        row = f"| {name} | {allocated:.1%} | {resident:.1%} |"
        say("  " + row)
        out.append(row)
    out.append("")


def peak_memory(name):
    """Peaks, allocated and resident, beyond the inputs; of the size of X."""
    X, y = DATA[name]()
    parts = (X.data, X.indices, X.indptr) if sp.issparse(X) else (X,)
    size = sum(part.nbytes for part in parts)
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
    return allocated / size, resident / size


def peak_resident(function):
    """Growth of the resident size while a function runs (Linux)."""
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


def run_start(out):
    """Seconds in fresh processes: import, predict, first fit with and without cache."""
    out.append("## Start\n")
    out.append("| in a fresh process | seconds |\n|---|---:|")

    def seconds(code, n=7, cache=None):
        program = f"import time; t = time.perf_counter(); {code}; print(t_end - t)"
        changed = {"NUMBA_CACHE_DIR": cache} if cache else {}
        return float(np.median([float(fresh(program, **changed)) for _ in range(n)]))

    def add(label, value):
        say(f"  {label}: {value:.3f} s")
        out.append(f"| {label} | {value:.3f} |")

    end = "t_end = time.perf_counter()"
    add("`import sklearn.linear_model`", seconds(f"import sklearn.linear_model; {end}"))
    again = "import sklearn.linear_model; t = time.perf_counter()"
    add("`import skhuber` after it", seconds(f"{again}; import skhuber; {end}"))
    data = "import numpy as np, skhuber; r = np.random.default_rng(0)"
    for label, shape in (("1,000 × 10", (1000, 10)), ("100,000 × 20", (100_000, 20))):
        prepare = (
            f"{data}; X = r.normal(size={shape}); y = X.sum(axis=1) + r.normal("
            f"size={shape[0]}); t = time.perf_counter()"
        )
        fit = f"skhuber.HuberRegressor().fit(X, y); {end}"
        with tempfile.TemporaryDirectory() as cache:
            cold = seconds(f"{prepare}; {fit}", n=1, cache=cache)
            warm = seconds(f"{prepare}; {fit}", n=5, cache=cache)
        add(f"first fit ever, {label}, beyond the import", cold)
        add(f"first fit of a process, {label}, beyond the import", warm)
    out.append("")


def run_scaling(out):
    """Time against n, and with one thread and all."""
    threads = numba.config.NUMBA_NUM_THREADS
    out.append("## Scaling\n")
    out.append(
        f"| n × 20 | sweeps | ms | ns per row and sweep | one thread over {threads} |\n"
        "|---|---:|---:|---:|---:|"
    )
    for n in (10_000, 100_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000):
        X, y = made_up(n, 20)
        model, t = timed(lambda X=X, y=y: HuberRegressor().fit(X, y), 20)
        _, one = timed(lambda X=X, y=y: HuberRegressor(n_jobs=1).fit(X, y), 20)
        per_row = 1e9 * t / n / model.n_sweeps_
        row = (
            f"| {n:,} | {model.n_sweeps_} | {1e3 * t:,.1f} | {per_row:.1f} "
            f"| {one / t:.2f} |"
        )
        say("  " + row)
        out.append(row)
    out.append("")


# ---------------------------------------------------------------------- main


def milliseconds(seconds):
    return f"{1e3 * seconds:,.0f} ms" if seconds > 0.01 else f"{1e3 * seconds:.2f} ms"


def say(text):
    print(text, flush=True)


def versions():
    names = ["skhuber", "numpy", "scipy", "scikit-learn", "numba"]
    names += ["statsmodels", "skglm", "scm2cpp-learn"]
    found = [f"Python {platform.python_version()}"]
    for name in names:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} not installed")
    return f"{', '.join(found)}; {numba.config.NUMBA_NUM_THREADS} threads."


def main():
    sections = ["fits", "sweeps", "memory", "start", "scaling"]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="*", metavar="section", help=str(sections))
    parser.add_argument("--data", nargs="+", default=[""], help="beginnings of names")
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    chosen = options.sections or sections
    for section in chosen:
        if section not in sections:
            parser.error(f"section must be one of {sections}, got {section!r}")
    names = [name for name in DATA if name.startswith(tuple(options.data))]
    out = ["# Benchmarks\n", "By `python docs/benchmarks/run.py`, which says how.\n"]
    out.append(versions() + "\n")
    say(out[-1])
    run = {
        "fits": lambda: run_fits(names, options.seconds, out),
        "sweeps": lambda: run_sweeps(out),
        "memory": lambda: run_memory(out),
        "start": lambda: run_start(out),
        "scaling": lambda: run_scaling(out),
    }
    for section in chosen:
        say(f"--- {section}")
        run[section]()
        (HERE / "results.md").write_text("\n".join(out), encoding="utf-8")


if __name__ == "__main__":
    main()
