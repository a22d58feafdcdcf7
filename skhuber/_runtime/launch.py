"""Compile flags, block sizes and threads of all kernels.

Every kernel is a loop over blocks of rows, compiled once, that runs without the GIL.
`run_blocks` hands ranges of blocks to Python threads. The sums of each block are stored
separately, and the caller adds them in the order of the blocks. All threads run one
machine code. So results have equal bits for any number of threads.

Python threads are used instead of `numba.prange` for three reasons:

- numba compiles the body of a parallel loop into the loop, where the compiler may add
  in another order than in a function of its own (with float32 the last bits differed).
- numba's workqueue layer aborts the process if two Python threads launch at once, and
  GNU OpenMP terminates a forked child that launches after its parent did.
- OpenMP's threads spin between two sweeps, on cores that the algebra between the sweeps
  needs.

A sweep large enough to be shared takes far longer than waking a Python thread.
"""

from __future__ import annotations

import _thread
import atexit
import contextlib
import functools
import hashlib
import importlib.resources
import itertools
import os
import queue
import threading
from collections.abc import Callable
from typing import Any

import joblib
import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.extending import register_jitable

from skhuber._runtime import blas
from skhuber._runtime.collector import without_collector

__all__ = [
    "IS_COMPILED",
    "block_kernel",
    "block_rows",
    "formula_kernel",
    "inlined_kernel",
    "inner_kernel",
    "run_blocks",
    "thread_count",
]

# False if numba is switched off (NUMBA_DISABLE_JIT), so that kernels are interpreted.
IS_COMPILED = not numba.config.DISABLE_JIT

# Reassociation lets sums be vectorised, contraction gives fused multiply-adds.
# `nnan` and `ninf` are left out: they would let the compiler assume that no NaN and no
# infinity occurs, and bad input would no longer show in the sums.
_FASTMATH = {"reassoc", "contract", "arcp", "nsz"}

# Bytes of X in a block, enough to keep a thread busy for tens of microseconds.
_BLOCK_BYTES = 2**18
# Bytes of X in a block in F order, where a kernel reads the whole block twice: about
# the size of a level-2 cache. With half of it the part of a column that lies in a block
# is too short to be read fast.
_COLUMN_BLOCK_BYTES = 2**20
# Least and most rows of a block: enough to read a part of a column fast, and few enough
# that there are blocks for all threads.
_BLOCK_ROWS_MIN = 256
_BLOCK_ROWS_MAX = 8192

# Elements of X from which a sweep is shared by threads. It then takes about 100 µs,
# twice what it costs to wake a thread and to wait for it.
_PARALLEL_ELEMENTS = 2**18

# Ranges of blocks for each thread: enough that others take over from a delayed thread.
_RANGES_PER_THREAD = 4


def block_kernel(function: Callable[..., Any]) -> Any:
    """Compile a function, with a cache on disk if a folder for it is writable."""
    return _compiled(function)


def formula_kernel(function: Callable[..., Any]) -> Any:
    """Compile a scalar formula without reordering its operations.

    Its value then has equal bits in all loops.
    """
    return _compiled(function, fastmath=False)


def inner_kernel(function: Callable[..., Any]) -> Any:
    """Let kernels call a function, which is compiled with the first of them.

    It has no entry from Python and no cache of its own: a kernel in the cache contains
    what it calls. That saves a tenth of the time that numba takes for it.
    """
    return register_jitable(fastmath=_FASTMATH, error_model="numpy")(function)


def inlined_kernel(function: Callable[..., Any]) -> Any:
    """Let kernels contain a function, which is not compiled by itself.

    For what is done to every row, where a call would cost as much as a short row; and
    for what is called at one place, since numba compiles an inner kernel twice, once
    alone and once as a part of the kernel.
    """
    return _compiled(function, inline="always")


def _compiled(function: Callable[..., Any], **options: Any) -> Any:
    """Return a compiled function with the flags of all kernels, or with other ones."""
    options = {
        "fastmath": _FASTMATH,
        "nogil": True,
        "error_model": "numpy",
        **options,
    }
    kernel = numba.njit(**options)(function)
    if IS_COMPILED:
        # As `cache=True`, but without a cache if numba finds no writable folder.
        with contextlib.suppress(RuntimeError):
            kernel._cache = _KernelCache(function)
        # numba calls it once for each type of arguments, to load or to compile code.
        kernel.compile = without_collector(kernel.compile)
    return kernel


@functools.cache
def _digest() -> bytes:
    """Return a digest of all code that a kernel may contain."""
    digest = hashlib.sha256()
    for folder in ("_kernels", "_runtime"):
        files = importlib.resources.files("skhuber").joinpath(folder).iterdir()
        for file in sorted(files, key=lambda file: file.name):
            if file.name.endswith(".py"):
                digest.update(file.read_bytes())
    return digest.digest()


class _KernelCache(FunctionCache):
    """Cache on disk as numba's, for kernels that contain code of other files.

    numba drops the code of a function when the file of that function changes. A kernel
    contains the functions that it calls, too. So it is dropped when any file of kernels
    changes: otherwise a new version of the package could run code of an old one.

    Damage of the cache or lack of space lets no fit fail. numba raises either error at
    the first call of a function. (numba has no public attribute for the cache of a
    function.)
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = IndexDataCacheFile(
            cache_path=self.cache_path,
            filename_base=self._impl.filename_base,
            source_stamp=(self._impl.locator.get_source_stamp(), _digest()),
        )

    def load_overload(self, *args: Any) -> Any:
        try:
            return super().load_overload(*args)
        except Exception:
            with contextlib.suppress(Exception):
                self.flush()  # the next process then finds an empty cache
            return None

    def save_overload(self, *args: Any) -> None:
        with contextlib.suppress(Exception):
            super().save_overload(*args)


def block_rows(bytes_per_row: float, *, long_columns: bool = False) -> int:
    """Return the number of rows of a block, which depends on the data's shape alone."""
    size = _COLUMN_BLOCK_BYTES if long_columns else _BLOCK_BYTES
    rows = size / max(bytes_per_row, 1.0)
    # A power of two, so that in F order most blocks start on a cache line.
    power = 1 << max(int(rows).bit_length() - 1, 0)
    return min(max(power, _BLOCK_ROWS_MIN), _BLOCK_ROWS_MAX)


def thread_count(n_jobs: int | None, elements: int) -> int:
    """Return how many threads a fit to an X with `elements` numbers may use.

    It is the least of three limits: numba's own setting (`numba.set_num_threads`,
    ``NUMBA_NUM_THREADS``), what joblib leaves to this worker, and `n_jobs` (None: no
    limit; negative: counted back from all, as in joblib). Small data get one thread
    without a look at the limits, which would take longer than the fit.
    """
    if elements < _PARALLEL_ELEMENTS:
        return 1
    try:
        numba.threading_layer()
    except ValueError:  # not started, so no other number has been set
        allowed = numba.config.NUMBA_NUM_THREADS
    else:
        allowed = numba.get_num_threads()
    allowed = min(allowed, joblib.effective_n_jobs(-1))
    if n_jobs is None:
        return int(allowed)
    return max(1, min(allowed, joblib.effective_n_jobs(n_jobs)))


class _Ranges:
    """Ranges of blocks, taken one after another by the threads that share a sweep.

    An interrupt must not leave a lock locked for which a helper waits. So there is no
    `threading.Condition`, whose methods are written in Python, but a counter and a bare
    lock: taking a number and releasing the lock are single steps of the interpreter.
    """

    def __init__(
        self,
        kernel: Callable[..., None],
        arguments: tuple[Any, ...],
        n_blocks: int,
        parts: int,
    ) -> None:
        self._call: tuple[Callable[..., None], tuple[Any, ...]] | None
        self._call = kernel, arguments
        self._ends = [n_blocks * k // parts for k in range(parts + 1)]
        self._parts = parts
        self._next = itertools.count()
        self._done = itertools.count(1)
        self._error: BaseException | None = None
        self._unfinished = threading.Lock()
        self._unfinished.acquire()

    def work(self) -> None:
        """Run ranges until all are taken."""
        if (call := self._call) is None:
            return
        kernel, arguments = call
        for k in self._next:
            if k >= self._parts:
                return
            try:
                kernel(self._ends[k], self._ends[k + 1], *arguments)
            except BaseException as error:
                self._error = error
            finally:
                if next(self._done) == self._parts:
                    self._unfinished.release()

    def join(self) -> None:
        """Wait for the ranges that other threads have taken."""
        self._unfinished.acquire()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Drop the reference to the data; a helper that comes later does nothing."""
        self._call = None


class _Helpers:
    """Threads that help with sweeps, shared by all fits of the process.

    The thread that starts a sweep takes ranges, too, and waits only for ranges that a
    helper has begun. So if the helpers are busy with another fit, it does all the work.

    `ThreadPoolExecutor` and `threading.Thread` contain conditions that an interrupt
    could leave locked. The next sweep would then wait for ever.
    """

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[int] = queue.SimpleQueue()
        # An entry for each helper. The thread that adds the entry starts the helper.
        self._started: dict[int, object] = {}

    def call(self, n_helpers: int, function: Callable[[], None]) -> None:
        """Let up to `n_helpers` helpers call a function when they are free."""
        for k in range(n_helpers):
            if k not in self._started and not self._start(k):
                break
        for _ in range(min(n_helpers, len(self._started))):
            self._work.put(function)

    def stop(self) -> None:
        """Tell the helpers to end, and wait until they have."""
        count = len(self._started)
        for _ in range(count):
            self._work.put(None)
        for _ in range(count):
            self._ended.get()

    def _start(self, k: int) -> bool:
        """Start a helper; return False if that is impossible."""
        mine = object()
        try:
            if self._started.setdefault(k, mine) is mine:
                _thread.start_new_thread(self._serve, (k,))
        except BaseException as error:
            if self._started.get(k) is mine:
                del self._started[k]
            # The system allows no more threads, or the interpreter shuts down.
            if isinstance(error, RuntimeError):
                return False
            raise
        return True

    def _serve(self, k: int) -> None:
        """Call what is put in the queue, until None is."""
        threading.current_thread().name = f"skhuber_{k}"
        while (function := self._work.get()) is not None:
            # If a helper fails before it takes a range, other threads take them all.
            with contextlib.suppress(Exception):
                blas.limit_helper()
                function()
            del function  # and the data with it
        self._ended.put(k)


_helpers = _Helpers()


def run_blocks(
    kernel: Callable[..., None],
    n_blocks: int,
    elements: int,
    threads: int,
    arguments: tuple[Any, ...],
) -> None:
    """Call ``kernel(first, last, *arguments)`` for ranges that cover all blocks.

    Parameters
    ----------
    kernel : callable
        Compiled loop over the blocks first ≤ k < last.
    n_blocks : int
    elements : int
        Elements of X in all blocks. If they are few, one thread does all.
    threads : int
        The most threads to use.
    arguments : tuple
    """
    threads = min(threads, n_blocks)
    if threads == 1 or elements < _PARALLEL_ELEMENTS:
        kernel(0, n_blocks, *arguments)
        return
    parts = min(threads * _RANGES_PER_THREAD, n_blocks)
    ranges = _Ranges(kernel, arguments, n_blocks, parts)
    try:
        _helpers.call(threads - 1, ranges.work)
        ranges.work()
        ranges.join()
    finally:
        ranges.close()


def _stop_helpers() -> None:
    """Stop the helpers before the compiled code that they may run is freed."""
    _helpers.stop()


atexit.register(_stop_helpers)


def _after_fork_in_child() -> None:
    """Replace the helpers, which a forked child does not have."""
    global _helpers
    _helpers = _Helpers()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
