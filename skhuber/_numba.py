"""Compile flags, block size and launch policy: the one file that owns them.

Every kernel is a loop over blocks of rows, compiled once, that runs without the GIL.
`run_blocks` hands ranges of blocks to Python threads. A block's sums are stored in that
block's own place and added later by the caller, in the order of the blocks; and it is
the same machine code whoever runs it. So results have the same bits for any number of
threads.

These are not the threads of `numba.prange`, for three reasons. numba compiles the body
of a parallel loop into the loop, where the compiler may add up in another order than in
the same function on its own (for float32 it did: the last bits differed). numba's
workqueue layer aborts the process when two Python threads launch at once; GNU OpenMP
terminates a forked child that launches after its parent did. And OpenMP's threads spin
between two sweeps, on cores that the algebra between the sweeps wants. A sweep large
enough to be shared takes far longer than waking a Python thread.
"""

from __future__ import annotations

import _thread
import atexit
import contextlib
import itertools
import os
import queue
import threading
from collections.abc import Callable
from typing import Any

import joblib
import numba
from numba.core.caching import FunctionCache

from skhuber import _blas

__all__ = [
    "IS_COMPILED",
    "block_kernel",
    "block_rows",
    "formula_kernel",
    "row_kernel",
    "run_blocks",
    "thread_count",
]

# False where numba is switched off (NUMBA_DISABLE_JIT) and kernels are interpreted.
IS_COMPILED = not numba.config.DISABLE_JIT

# Reassociation lets sums be vectorised, contraction gives fused multiply-adds.
# `nnan` and `ninf` stay out: with them the compiler may assume that no NaN and no
# infinity occurs, and bad input would no longer show in the sums.
_FASTMATH = {"reassoc", "contract", "arcp", "nsz"}

# Bytes of X in a block, enough to keep a thread busy for tens of microseconds.
_BLOCK_BYTES = 2**18
# In F order all of a block is looked at before the second look: as much as a level-2
# cache holds. Half as much would fit better, but the runs of a column that lie in a
# block get too short.
_COLUMN_BLOCK_BYTES = 2**20
# A block has at least as many rows as make such a run worth while, and at most as many
# as leave enough blocks for the threads.
_BLOCK_ROWS_MIN = 256
_BLOCK_ROWS_MAX = 8192

# From this many elements of X a sweep takes about 100 µs, twice what it costs to wake
# a thread and to wait for it.
_PARALLEL_ELEMENTS = 2**18

# Ranges of blocks for each thread: enough to even out a thread that is held up.
_RANGES_PER_THREAD = 4


def block_kernel(function: Callable[..., Any]) -> Any:
    """Compile a function, with a cache on disk where there is a place for it."""
    return _compiled(function)


def formula_kernel(function: Callable[..., Any]) -> Any:
    """The same for a scalar formula, computed as it is written.

    So its value has the same bits in whichever loop it stands.
    """
    return _compiled(function, fastmath=False)


def row_kernel(function: Callable[..., Any]) -> Any:
    """The same for a function that is called for every row.

    It becomes part of its caller: a call costs as much as a short row.
    """
    return _compiled(function, inline="always")


def _compiled(function: Callable[..., Any], **options: Any) -> Any:
    options = {
        "fastmath": _FASTMATH,
        "nogil": True,
        "error_model": "numpy",
        **options,
    }
    kernel = numba.njit(**options)(function)
    if IS_COMPILED:
        # As `cache=True` does; without a cache where numba finds no writable folder.
        with contextlib.suppress(RuntimeError):
            kernel._cache = _ForgivingCache(function)
    return kernel


class _ForgivingCache(FunctionCache):
    """numba's cache on disk, but no fit fails for its damage or for a full disk.

    (numba lets either error out of the first call of a function. It has no public name
    for the place where a function keeps its cache.)
    """

    def load_overload(self, *args: Any) -> Any:
        try:
            return super().load_overload(*args)
        except Exception:
            with contextlib.suppress(Exception):
                self.flush()  # so that the next process finds an empty one
            return None

    def save_overload(self, *args: Any) -> None:
        with contextlib.suppress(Exception):
            super().save_overload(*args)


def block_rows(bytes_per_row: float, *, long_columns: bool = False) -> int:
    """Rows of a block; it depends on the shape of the data and on nothing else."""
    size = _COLUMN_BLOCK_BYTES if long_columns else _BLOCK_BYTES
    rows = size / max(bytes_per_row, 1.0)
    # A power of two, so that in F order most blocks start on a cache line.
    power = 1 << max(int(rows).bit_length() - 1, 0)
    return min(max(power, _BLOCK_ROWS_MIN), _BLOCK_ROWS_MAX)


def thread_count(n_jobs: int | None, elements: int) -> int:
    """Threads that a fit to so many numbers may use.

    The least of what numba's own setting allows (`numba.set_num_threads`,
    ``NUMBA_NUM_THREADS``), what joblib leaves to this worker, and `n_jobs`
    (None: no further limit; negative: counted back from all, as in joblib). To ask
    them takes longer than a small fit, which is not shared anyway.
    """
    if elements < _PARALLEL_ELEMENTS:
        return 1
    try:
        numba.threading_layer()
    except ValueError:  # not started, so nobody has set another number
        allowed = numba.config.NUMBA_NUM_THREADS
    else:
        allowed = numba.get_num_threads()
    allowed = min(allowed, joblib.effective_n_jobs(-1))
    if n_jobs is None:
        return int(allowed)
    return max(1, min(allowed, joblib.effective_n_jobs(n_jobs)))


class _Ranges:
    """Ranges of blocks, taken one after another by the threads that share a sweep.

    Nothing here is a lock that an interrupt could leave locked, with a helper before it
    (`threading.Condition` is one: its methods are written in Python). To take a number
    from a counter, or to release a lock, is one step for Python.
    """

    def __init__(self, kernel: Callable[..., None], n_blocks: int, parts: int) -> None:
        self._kernel = kernel
        self._ends = [n_blocks * k // parts for k in range(parts + 1)]
        self._parts = parts
        self._next = itertools.count()
        self._done = itertools.count(1)
        self._error: BaseException | None = None
        self._unfinished = threading.Lock()
        self._unfinished.acquire()

    def work(self, arguments: tuple[Any, ...]) -> None:
        """Run ranges until none is left."""
        for k in self._next:
            if k >= self._parts:
                return
            try:
                self._kernel(self._ends[k], self._ends[k + 1], *arguments)
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


class _Helpers:
    """Threads that wait for a share of a sweep. All fits of the process share them.

    A fit whose helpers are busy with another one does its sweep alone: who starts a
    sweep takes ranges, too, and waits only for ranges that a helper has begun.

    `ThreadPoolExecutor` and `threading.Thread` would do, but for conditions of theirs
    that an interrupt could leave locked: the next sweep would wait for ever.
    """

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[int] = queue.SimpleQueue()
        # Who starts the helper of a number is the first to write here.
        self._started: dict[int, object] = {}

    def call(self, n_helpers: int, function: Callable[[], None]) -> None:
        """Let so many helpers call a function, when they have time."""
        for k in range(n_helpers):
            if k not in self._started and not self._start(k):
                break
        for _ in range(min(n_helpers, len(self._started))):
            self._work.put(function)

    def stop(self) -> None:
        """Wait until the helpers have ended."""
        count = len(self._started)
        for _ in range(count):
            self._work.put(None)
        for _ in range(count):
            self._ended.get()

    def _start(self, k: int) -> bool:
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
        threading.current_thread().name = f"skhuber_{k}"
        while (function := self._work.get()) is not None:
            # Without help the caller does all of the work.
            with contextlib.suppress(Exception):
                _blas.limit_helper()
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
    """Call ``kernel(first, last, *arguments)`` for ranges that make up all blocks.

    Parameters
    ----------
    kernel : callable
        Compiled loop over the blocks first ≤ k < last.
    n_blocks : int
    elements : int
        Numbers of X that all blocks have: few are not worth a second thread.
    threads : int
        The most threads to use.
    arguments : tuple
    """
    threads = min(threads, n_blocks)
    if threads == 1 or elements < _PARALLEL_ELEMENTS:
        kernel(0, n_blocks, *arguments)
        return
    ranges = _Ranges(kernel, n_blocks, min(threads * _RANGES_PER_THREAD, n_blocks))
    _helpers.call(threads - 1, lambda: ranges.work(arguments))
    ranges.work(arguments)
    ranges.join()


def _stop_helpers() -> None:
    """Let no helper run compiled code that is about to be freed."""
    _helpers.stop()


atexit.register(_stop_helpers)


def _after_fork_in_child() -> None:
    """Start anew in a forked child: the helpers are not there."""
    global _helpers
    _helpers = _Helpers()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
