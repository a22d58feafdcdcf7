"""Fits have the same bits in whichever thread they run, since BLAS has one thread.

The data here are such that products of matrices and factorisations are shared by the
threads of BLAS if it may have two, and then round otherwise.
"""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

from compare import assert_same_bits
from skhuber import HuberRegressor, HuberRegressorCV, huber_path
from skhuber._runtime import blas as _blas
from skhuber._runtime import run_blocks
from test_concurrency import run

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")


def problem(n, p):
    rng = np.random.default_rng(n + p)
    X = rng.normal(size=(n, p))
    return X, X @ np.linspace(1.0, 2.0, p) + rng.standard_t(2.0, n)


# Few rows, and more: their fits use BLAS in different ways.
WIDE, LONG = problem(300, 100), problem(5000, 100)


def models():
    """Fits of some kinds, one after another."""
    weight = np.linspace(0.5, 1.5, 5000)
    return [
        HuberRegressor().fit(*WIDE),
        HuberRegressor().fit(*LONG),
        HuberRegressor(scale="mad").fit(*LONG, weight),
        HuberRegressor(rho="auto", alpha=1.0).fit(*LONG),
        HuberRegressorCV([1.35, 2.0], cv=2).fit(*LONG),
    ]


def numbers():
    """The numbers of threads of all BLAS libraries, as this thread finds them.

    Libraries that were built without threads (SCS's, which cvxpy loads) do not count.
    """
    blas = ThreadpoolController().select(user_api="blas")
    return {
        library.get_num_threads()
        for library in blas.lib_controllers
        if library.threading_layer not in ("disabled", "sequential")
    }


@pytest.fixture(autouse=True)
def two_threads_for_blas():
    """So that there is something to go wrong, on any machine."""
    with threadpool_limits(limits=2, user_api="blas"):
        # In threadpoolctl 3.8 this thread would be the only one to set the number.
        for library in ThreadpoolController().lib_controllers:
            getattr(library, "clear_controlling_thread", lambda force: None)(force=True)
        if numbers() != {2}:
            pytest.skip("no BLAS that threadpoolctl can set to two threads")
        yield


@pytest.fixture(scope="module")
def expected():
    with threadpool_limits(limits=1, user_api="blas"):
        return models()


def in_a_thread(count):
    found = []
    for _ in range(count):
        thread = threading.Thread(target=lambda: found.append(models()))
        thread.start()
        thread.join()
    return found


def in_an_executor(count):
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda _: models(), range(count)))


def in_joblib(count):
    with joblib.parallel_backend("threading", n_jobs=2):
        return joblib.Parallel()(joblib.delayed(models)() for _ in range(count))


def here(count):
    return [models() for _ in range(count)]


@pytest.mark.compiled
@pytest.mark.parametrize("before", ["nothing", "a fit", "a limit", "a limit held"])
@pytest.mark.parametrize("place", [here, in_a_thread, in_an_executor, in_joblib])
def test_the_same_bits_in_any_thread(place, before, expected):
    """Also after a fit or a limit of the main thread, and while it holds a limit."""
    if before == "a fit":
        models()
    if before == "a limit":
        with threadpool_limits(limits=1):
            models()
    if before == "a limit held":
        with threadpool_limits(limits=2):
            found = place(4)
    else:
        found = place(4)
    assert len(found) == 4
    for each in found:
        for one, other in zip(each, expected, strict=True):
            assert_same_bits(one, other)
    assert numbers() == {2}


@pytest.mark.compiled
def test_a_path_has_the_same_bits_in_any_thread():
    X, y = problem(20_000, 100)
    weight = np.random.default_rng(0).uniform(0.5, 1.5, len(y))

    def path():
        return huber_path(X, y, rhos=[1.2, 1.5, 2.0], sample_weight=weight)

    with threadpool_limits(limits=1, user_api="blas"):
        expected = path()
    with ThreadPoolExecutor(2) as pool:
        found = [path(), *pool.map(lambda _: path(), range(2))]
    for one in found:
        for name in ("coefs", "intercepts", "scales", "outlier_shares", "objectives"):
            first, second = getattr(one, name), getattr(expected, name)
            np.testing.assert_array_equal(first, second, err_msg=name)


# --- what BLAS may, during and after a fit --------------------------------------------


def fit_and_call(function):
    """A fit that calls a function on its way: the scorer of a cross-validation."""

    def score(model, X, y):
        function()
        return 0.0

    X, y = WIDE
    return HuberRegressorCV([1.5], cv=2, scoring=score).fit(X[:60, :3], y[:60])


def test_blas_has_one_thread_during_a_fit_and_its_own_number_after():
    during = []
    fit_and_call(lambda: during.append(numbers()))
    assert during == [{1}, {1}]
    assert numbers() == {2}
    with threadpool_limits(limits=3, user_api="blas"):
        fit_and_call(lambda: during.append(numbers()))
        assert numbers() == {3}
    assert during[2:] == [{1}, {1}]
    assert numbers() == {2}


def test_a_fit_within_a_fit():
    during = []

    def nested():
        fit_and_call(lambda: during.append(numbers()))
        during.append(numbers())

    fit_and_call(nested)
    assert during == [{1}] * 6
    assert numbers() == {2}


@pytest.mark.parametrize("first_out", [0, 1])
def test_the_last_of_the_fits_gives_the_threads_back(first_out):
    """Whichever thread that is."""
    inside = [threading.Event() for _ in range(2)]
    leave = [threading.Event() for _ in range(2)]
    seen = [[], []]

    def wait(k):
        seen[k].append(numbers())
        inside[k].set()
        assert leave[k].wait(60)
        seen[k].append(numbers())

    threads = [
        threading.Thread(target=fit_and_call, args=[lambda k=k: wait(k)])
        for k in range(2)
    ]
    for thread, event in zip(threads, inside, strict=True):
        thread.start()
        assert event.wait(60)
    for k in (first_out, 1 - first_out):
        assert numbers() == {1}
        leave[k].set()
        threads[k].join()
    assert seen == [[{1}] * 4] * 2
    assert numbers() == {2}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_gives_the_threads_back(error):
    def fail():
        raise error

    with pytest.raises(error):
        fit_and_call(fail)
    assert numbers() == {2}


@pytest.mark.parametrize("thread", ["this", "another"])
def test_a_limit_that_is_set_meanwhile_stays(thread):
    def limit():
        threadpool_limits(limits=3, user_api="blas")

    def meanwhile():
        if thread == "this":
            limit()
        else:
            other = threading.Thread(target=limit)
            other.start()
            other.join()

    fit_and_call(meanwhile)
    assert numbers() == {3}


@forks
@pytest.mark.compiled
@pytest.mark.parametrize("forking", ["the thread that fits", "another thread"])
def test_a_child_has_its_threads_back_after_a_fit(forking):
    program = f"""
    import os
    from threadpoolctl import ThreadpoolController, threadpool_limits
    from skhuber import HuberRegressorCV

    blas = ThreadpoolController().select(user_api="blas").lib_controllers

    def numbers():
        return {{library.get_num_threads() for library in blas}}

    def fit(score):
        X, y = DATA["small"]
        HuberRegressorCV([1.5], cv=2, scoring=score).fit(X, y)

    parent = os.getpid()
    child = []

    def one(*_):
        assert numbers() == {{1}}, numbers()
        return 0.0

    def fork(*_):
        if os.getpid() == parent:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                child.append(os.fork())
        if {forking!r} == "the thread that fits":
            fit(one)
            one()
        return 0.0

    before = numbers()
    if {forking!r} == "another thread":
        inside, leave = threading.Event(), threading.Event()

        def wait(*_):
            inside.set()
            leave.wait()
            return 0.0

        thread = threading.Thread(target=fit, args=[wait])
        thread.start()
        inside.wait()
        fork()
        leave.set()
        if os.getpid() == parent:
            thread.join()
        else:
            fit(one)
    else:
        fit(fork)
    assert numbers() == before, numbers()
    fit(one)
    assert numbers() == before, numbers()
    if os.getpid() != parent:
        os._exit(0)
    assert all(os.waitpid(pid, 0)[1] == 0 for pid in child)
    print(len(child) > 0, before)
    """
    found = run(program, OPENBLAS_NUM_THREADS="2")
    assert found[0].startswith("True")


@forks
def test_a_fork_while_another_thread_sets_a_number():
    program = """
    from skhuber._runtime import blas as _blas

    setting, go_on = threading.Event(), threading.Event()

    class Library:
        user_api = internal_api = threading_layer = "blas"
        number = 2

        def get_num_threads(self):
            return self.number

        def set_num_threads(self, number):
            self.number = number
            setting.set()
            go_on.wait()

    class Controller:
        lib_controllers = [Library()]

        def select(self, user_api):
            return self

    _blas.ThreadpoolController = Controller
    fit = _blas.one_blas_thread(lambda: None)
    thread = threading.Thread(target=fit)
    thread.start()
    setting.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        go_on = threading.Event()  # the old one may be locked
    go_on.set()
    if child:
        thread.join()
    fit()
    if not child:
        os._exit(0)
    print(os.waitpid(child, 0)[1])
    """
    assert run(program) == ["0"]


# --- libraries that are not there -----------------------------------------------------


class Library:
    """A library with a number of threads, of the process or for each thread."""

    def __init__(self, number, *, own, user_api="blas", name="mkl", layer="intel"):
        self.user_api, self.internal_api, self.threading_layer = user_api, name, layer
        self._default = number
        self._values = threading.local() if own else type("Values", (), {})()

    def get_num_threads(self):
        return getattr(self._values, "number", self._default)

    def set_num_threads(self, number):
        self._values.number = number


@pytest.fixture
def libraries(monkeypatch):
    """A function that puts libraries in the place of those that are loaded."""

    def put(*there):
        class Controller:
            def select(self, user_api):
                found = Controller()
                found.lib_controllers = [
                    library for library in there if library.user_api == user_api
                ]
                return found

        monkeypatch.setattr(_blas, "ThreadpoolController", Controller)
        monkeypatch.setattr(_blas, "_blas", _blas._Blas())
        return there

    return put


def in_turn(*functions):
    """Run functions, each in a thread of its own, until they have ended."""
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_a_number_for_each_thread_is_set_back_in_that_thread(libraries):
    process, own = libraries(Library(4, own=False), Library(4, own=True))
    barrier = threading.Barrier(2, timeout=60)
    found = {}

    def now():
        return process.get_num_threads(), own.get_num_threads()

    @_blas.one_blas_thread
    def fit(name):
        barrier.wait()
        found[name] = [now()]
        if name == "second":
            barrier.wait()
            found[name].append(now())

    def first():
        own.set_num_threads(3)
        fit("first")
        found["first"].append(now())
        barrier.wait()

    def second():
        own.set_num_threads(1)
        fit("second")
        found["second"].append(now())

    in_turn(first, second)
    assert found["first"] == [(1, 1), (1, 3)]
    assert found["second"] == [(1, 1), (1, 1), (4, 1)]
    assert now() == (4, 4)


def test_openblas_with_openmp_has_the_number_of_openmp(libraries):
    """What OpenBLAS says is that of another thread, in threadpoolctl before 3.7."""
    openmp = Library(4, own=True, user_api="openmp", name="openmp")
    openblas = Library(2, own=False, name="openblas", layer="openmp")
    libraries(openblas, openmp)
    found = []

    @_blas.one_blas_thread
    def fit():
        found.append(openmp.get_num_threads())

    fit()
    in_turn(fit, fit)
    assert found == [1, 1, 1]
    assert openmp.get_num_threads() == 4
    assert openblas.get_num_threads() == 2


@pytest.mark.parametrize("own", [False, True])
def test_helpers_have_one_thread_too(own, libraries):
    (library,) = libraries(Library(4, own=own))
    found = []
    barrier = threading.Barrier(3, timeout=60)

    def kernel(first, last):
        if first < 24:  # one of the first three ranges: a thread for each
            barrier.wait()
        found.append((threading.get_ident(), library.get_num_threads()))

    for _ in range(2):
        found.clear()
        _blas.one_blas_thread(run_blocks)(kernel, 96, 2**20, 3, ())
        assert len({thread for thread, _ in found}) == 3
        assert {number for _, number in found} == {1}
    assert library.get_num_threads() == 4


class Interrupt:
    """A profiler that interrupts once, at one of the steps where a signal can."""

    def __init__(self, step):
        self._left = step

    def __call__(self, frame, event, argument):
        self._left -= event in ("call", "c_return")
        if self._left == 0:
            self._left = -1
            raise KeyboardInterrupt


@pytest.mark.parametrize("own", [False, True])
def test_an_interrupt_at_any_step_gives_the_threads_back(own, libraries):
    for step in range(1, 1000):
        (library,) = libraries(Library(4, own=own))
        during = []
        fit = _blas.one_blas_thread(lambda now=library.get_num_threads: now())
        interrupted = False
        sys.setprofile(Interrupt(step))
        try:
            fit()
        except KeyboardInterrupt:
            interrupted = True
        finally:
            sys.setprofile(None)
        assert library.get_num_threads() == 4
        in_turn(lambda fit=fit, during=during: during.append(fit()))
        assert during == [1]
        assert library.get_num_threads() == 4
        if not interrupted:
            break
    assert 40 < step < 999


@pytest.mark.parametrize("own", [False, True])
def test_libraries_are_told_apart_without_a_thread(own, libraries, monkeypatch):
    """The system may allow no more of them."""
    (library,) = libraries(Library(4, own=own))

    def refuse(*args):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_blas._thread, "start_new_thread", refuse)
    during = []
    _blas.one_blas_thread(lambda: during.append(library.get_num_threads()))()
    assert during == [1]
    assert library.get_num_threads() == 4
