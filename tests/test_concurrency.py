"""Fits at once, in threads, forks and workers: all survive, with the same bits.

Each case runs in a process of its own, with a limit on its time, so that a crash or a
deadlock is a failure of that case. The programs print a digest of the fits they made;
it must be that of a serial fit.
"""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

compiled = pytest.mark.compiled
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")

# What numba's own parallel loops run on. The kernels here run on Python threads, so
# only a process in which another library runs such loops depends on the layer.
LAYERS = ["omp", "workqueue", "tbb"]
# Where pip puts the library.
TBB = Path(sys.prefix) / "lib"
# Seconds, for fits that take a few with a cold cache.
LIMIT = 300

PRELUDE = """
import hashlib, multiprocessing, os, signal, sys, threading, warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
import joblib
import numba
import numpy as np
import scipy.sparse as sp
from skhuber import HuberRegressor

rng = np.random.default_rng(0)
X = rng.normal(size=(60_000, 8))
y = X @ np.arange(1.0, 9.0) + rng.standard_t(2.0, 60_000)
DATA = {
    "C": (X, y),
    "F": (np.asfortranarray(X), y),
    "csr": (sp.csr_array(np.where(X > 1, X, 0)), y),
    "small": (X[:100], y[:100]),
}


def digest(name, **parameters):
    X, y = DATA[name]
    model = HuberRegressor(**parameters).fit(X, y)
    numbers = [model.coef_, model.intercept_, model.scale_, model.robust_weights_]
    numbers.append(model.predict(X[:50]))
    total = hashlib.sha256()
    for number in numbers:
        total.update(np.asarray(number).tobytes())
    return total.hexdigest()[:16]


def digests(_=None):
    return tuple(digest(name) for name in DATA)


def numba_runs_in_parallel():
    '''Something else that uses numba's threads, as a user's own code may.'''
    layer = os.environ["NUMBA_THREADING_LAYER"]
    @numba.njit(parallel=True)
    def total(x):
        s = 0.0
        for i in numba.prange(x.size):
            s += x[i]
        return s
    total(np.ones(10_000))
    assert numba.threading_layer() == layer
"""


def run(program, *, layer="workqueue", threads=2, **environment):
    """Run a program after the prelude; the lines that it prints."""
    code = textwrap.dedent(PRELUDE) + textwrap.dedent(program)
    environment = {
        **os.environ,
        "NUMBA_THREADING_LAYER": layer,
        "NUMBA_NUM_THREADS": str(threads),
        **environment,
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        timeout=LIMIT,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.split("\n")[:-1]


@pytest.fixture(scope="module")
def serial():
    """Digests of fits on one thread, one after another."""
    (line,) = run("print(*digests())", threads=1)
    return line


def check_all(lines, expected, count):
    assert len(lines) == count
    assert set(lines) == {expected}


@compiled
@pytest.mark.parametrize("threads", [2, 4])
def test_the_same_bits(serial, threads):
    lines = run("print(*digests()); print(*digests())", threads=threads)
    check_all(lines, serial, 2)


@compiled
@pytest.mark.parametrize("layer", LAYERS)
def test_threads_at_once(serial, layer):
    environment = {}
    if layer == "tbb":
        if not (TBB / "libtbb.so").exists():
            pytest.skip("the package tbb is for some platforms only")
        environment["LD_LIBRARY_PATH"] = str(TBB)
    # numba's own workqueue layer aborts a process in which two threads launch at once,
    # so its parallel loop runs alone here, before.
    program = """
    numba_runs_in_parallel()
    found = []
    barrier = threading.Barrier(8)

    def work():
        barrier.wait()
        for _ in range(3):
            found.append(digests())

    workers = [threading.Thread(target=work) for _ in range(8)]
    [w.start() for w in workers]
    [w.join() for w in workers]
    for d in found:
        print(*d)
    """
    check_all(run(program, layer=layer, **environment), serial, 24)


@compiled
@pytest.mark.parametrize(
    "backend",
    ["threading", "loky", pytest.param("multiprocessing", marks=forks)],
)
def test_workers_of_joblib(serial, backend):
    # joblib's workers get functions by name or by value; a module is what both find.
    program = f"""
    numba_runs_in_parallel()
    digests()
    with joblib.parallel_backend({backend!r}, n_jobs=2):
        found = joblib.Parallel()(joblib.delayed(digests)(i) for i in range(6))
    for d in found:
        print(*d)
    """
    check_all(run(program), serial, 6)


@compiled
def test_nested_in_a_grid_search():
    program = """
    from sklearn.model_selection import GridSearchCV
    X, y = DATA["C"]
    for n_jobs, backend in ((1, "threading"), (2, "threading"), (2, "loky")):
        with joblib.parallel_backend(backend):
            search = GridSearchCV(
                HuberRegressor(), {"rho": [1.2, 1.5, 2.0]}, n_jobs=n_jobs, cv=3
            ).fit(X, y)
        scores = search.cv_results_["mean_test_score"]
        print(search.best_params_, scores.tobytes().hex())
    """
    lines = run(program)
    assert len(lines) == 3
    assert len(set(lines)) == 1


# What a fork finds: a process that has fitted, and used numba's threads.
FORK = """
def child():
    for _ in range(2):
        print(*digests(), flush=True)
    sys.stdout.flush()
    os._exit(0)


def fork_and_wait():
    with warnings.catch_warnings():
        # Python warns of forks of processes with threads: this is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        child()
    _, status = os.waitpid(pid, 0)
    assert status == 0, status
"""


@compiled
@forks
def test_a_fork_after_a_fit(serial):
    # (A child cannot use the threads of OpenMP that its parent used; fits do not.)
    program = """
    numba_runs_in_parallel()
    print(*digests(), flush=True)
    fork_and_wait()
    print(*digests(), flush=True)
    """
    check_all(run(FORK + textwrap.dedent(program), layer="omp"), serial, 4)


@compiled
@forks
def test_a_fork_of_a_thread_while_others_fit(serial):
    program = """
    print(*digests(), flush=True)
    busy = [threading.Thread(target=digests) for _ in range(3)]
    [t.start() for t in busy]
    forking = threading.Thread(target=fork_and_wait)
    forking.start()
    forking.join()
    [t.join() for t in busy]
    print(*digests(), flush=True)
    """
    check_all(run(FORK + textwrap.dedent(program)), serial, 4)


@compiled
@forks
def test_workers_forked_before_they_serve(serial):
    """As gunicorn does with preload: fit once, fork, serve from threads."""
    program = """
    digests()

    def serve():
        with ThreadPoolExecutor(3) as pool:
            for d in pool.map(digests, range(3)):
                os.write(1, (" ".join(d) + "\\n").encode())
        os._exit(0)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pids = []
        for _ in range(3):
            pid = os.fork()
            if pid == 0:
                serve()
            pids.append(pid)
    assert all(os.waitpid(pid, 0)[1] == 0 for pid in pids)
    """
    check_all(run(program), serial, 9)


@compiled
def test_start_methods(serial, tmp_path):
    # A started process imports the main module, so this one is a file.
    code = textwrap.dedent(PRELUDE) + textwrap.dedent(
        """
        if __name__ == "__main__":
            digests()
            methods = set(multiprocessing.get_all_start_methods()) - {"fork"}
            for method in sorted(methods):
                context = multiprocessing.get_context(method)
                with ProcessPoolExecutor(1, mp_context=context) as pool:
                    for d in pool.map(digests, range(2)):
                        print(*d)
        """
    )
    path = tmp_path / "program.py"
    path.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(path)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        env={**os.environ, "NUMBA_NUM_THREADS": "2"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = done.stdout.split("\n")[:-1]
    check_all(lines, serial, 4 if hasattr(os, "fork") else 2)


@compiled
@forks
def test_an_interrupt_leaves_the_estimator_as_it_was():
    program = """
    import pickle
    # A shell lets what it runs in the background ignore this signal.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    large = np.tile(X, (10, 1)), np.tile(y, 10)
    small = HuberRegressor(rho=1.2).fit(X[:100], y[:100])

    def state(model):
        return tuple((k, repr(v)) for k, v in sorted(vars(model).items()))

    pickled = pickle.dumps(small)
    before = state(small)
    after = state(pickle.loads(pickled).fit(*large))
    unchanged = 0
    for wait in np.linspace(0.01, 0.2, 12):
        model = small
        try:
            threading.Timer(wait, os.kill, (os.getpid(), signal.SIGINT)).start()
            while True:
                model = pickle.loads(pickled)
                model.fit(*large)
        except KeyboardInterrupt:
            pass
        assert state(model) in (before, after)
        unchanged += state(model) == before
    assert unchanged > 0
    print(digest("C") == digest("C", n_jobs=1))
    """
    assert run(program) == ["True"]


def test_an_interrupt_at_any_step_of_a_sweep_leaves_nothing_locked():
    """Neither for the next sweep nor for the end of the process."""
    program = """
    from skhuber._runtime import run_blocks

    class Interrupt:
        # A profiler that interrupts once, at one of the steps where a signal can.
        def __init__(self, step):
            self.left = step

        def __call__(self, frame, event, argument):
            self.left -= event in ("call", "c_return")
            if self.left == 0:
                self.left = -1
                raise KeyboardInterrupt

    def kernel(first, last, counts):
        counts[first:last] += 1

    def sweep():
        counts = np.zeros(64, dtype=int)
        run_blocks(kernel, 64, 2**20, 3, (counts,))
        assert (counts == 1).all()

    interrupts = 0
    for step in range(1, 100):
        sys.setprofile(Interrupt(step))
        try:
            sweep()
        except KeyboardInterrupt:
            interrupts += 1
        finally:
            sys.setprofile(None)
        sweep()
    print(interrupts > 10)
    """
    assert run(program) == ["True"]


@compiled
@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_helpers_are_no_more_than_allowed():
    """Of four threads that numba may use, a fit starts at most n_jobs − 1."""
    program = """
    for n_jobs in (1, 2, None):
        for _ in range(3):
            digest("C", n_jobs=n_jobs)
        print(sum(t.name.startswith("skhuber") for t in threading.enumerate()))
    """
    one, two, all_four = map(int, run(program, threads=4, LOKY_MAX_CPU_COUNT="4"))
    assert one == 0
    assert two == 1
    assert 1 <= all_four <= 3


@compiled
def test_workers_do_not_oversubscribe():
    """In a worker of joblib that may use one CPU, a fit starts no thread."""
    program = """
    def threads_of_a_fit(i):
        digest("C")
        return sum(t.name.startswith("skhuber") for t in threading.enumerate())

    with joblib.parallel_backend("loky", n_jobs=2, inner_max_num_threads=1):
        print(*joblib.Parallel()(joblib.delayed(threads_of_a_fit)(i) for i in range(4)))
    """
    lines = run(program, threads=4, LOKY_MAX_CPU_COUNT="2")
    assert lines == ["0 0 0 0"]


@compiled
def test_threads_share_their_helpers():
    """Eight fits at once start no more helpers than one."""
    program = """
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: digest("C"), range(16)))
    print(sum(t.name.startswith("skhuber") for t in threading.enumerate()))
    """
    assert int(run(program, threads=3, LOKY_MAX_CPU_COUNT="3")[0]) <= 2
