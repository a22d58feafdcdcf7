"""Compile flags, block size and launch policy: the one file that owns them.

Every kernel works on a block of rows and is compiled once, without the GIL.
Around each stands a driver of two lines that hands the blocks to numba's
threads. `run_blocks` chooses between the driver and a plain loop over the same
compiled block kernel. Both store the sums of a block in that block's own place
and leave the adding to the caller, so a result has the same bits whoever ran
the blocks, and however many threads there were.

When a parallel launch would be unsafe, or not worth its price, the loop is taken:

- small work: waking the threads costs more than it saves;
- another Python thread is launching: numba's workqueue layer aborts the process
  on concurrent launches, and on the other layers two launches would share the
  same cores anyway;
- a forked child: GNU OpenMP terminates a child that launches after its parent
  did.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import joblib
import numba
from threadpoolctl import ThreadpoolController

__all__ = [
    "block_kernel",
    "block_rows",
    "one_blas_thread",
    "parallel_driver",
    "run_blocks",
    "thread_count",
]

# Reassociation lets sums be vectorised, contraction gives fused multiply-adds.
# `nnan` and `ninf` stay out: with them the compiler may assume that no NaN and no
# infinity occurs, and bad input would no longer show in the sums.
_FASTMATH = {"reassoc", "contract", "arcp", "nsz"}

# Elements of X in a block: 64 Ki doubles are half of a level-2 cache of 1 MiB, so
# that the second look at a block (for the gradient) does not go to memory again.
_BLOCK_ELEMENTS = 2**16
# A block has at least as many rows as keep the loops over columns of an F-ordered
# block busy, and at most as many as leave enough blocks for the threads.
_BLOCK_ROWS_MIN = 64
_BLOCK_ROWS_MAX = 4096

# From this many elements of X a sweep takes about 100 µs, several times what it
# costs to wake a sleeping pool of threads.
_PARALLEL_ELEMENTS = 2**18

_launching = threading.Lock()
_in_forked_child = False


def _compile(function: Callable, **options: Any) -> Any:
    """Compile with a cache on disk, or without one where no folder is writable."""
    options.update(fastmath=_FASTMATH, nogil=True, error_model="numpy")
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no place for the cache
        return numba.njit(**options)(function)


def block_kernel(function: Callable) -> Any:
    """Compile a function that works on some rows, in the calling thread."""
    return _compile(function)


def parallel_driver(function: Callable) -> Any:
    """Compile a function whose `numba.prange` hands blocks to a block kernel."""
    return _compile(function, parallel=True)


def block_rows(elements_per_row: float) -> int:
    """Rows of a block; it depends on the shape of the data and on nothing else."""
    rows = _BLOCK_ELEMENTS / max(elements_per_row, 1.0)
    # A power of two, so that in F order most blocks start on a cache line.
    power = 1 << max(int(rows).bit_length() - 1, 0)
    return min(max(power, _BLOCK_ROWS_MIN), _BLOCK_ROWS_MAX)


def thread_count(n_jobs: int | None) -> int:
    """Threads that a fit may use.

    The least of what numba's own setting allows (`numba.set_num_threads`,
    ``NUMBA_NUM_THREADS``), what joblib leaves to this worker, and `n_jobs`
    (None: no further limit; negative: counted back from all, as in joblib).
    """
    allowed = min(numba.get_num_threads(), joblib.effective_n_jobs(-1))
    if n_jobs is None:
        return allowed
    return max(1, min(allowed, joblib.effective_n_jobs(n_jobs)))


def run_blocks(
    block: Callable,
    driver: Callable,
    n_blocks: int,
    elements: int,
    threads: int,
    arguments: tuple,
) -> None:
    """Run ``block(k, *arguments)`` for all k < n_blocks, in parallel where it pays."""
    if (
        threads > 1
        and n_blocks > 1
        and elements >= _PARALLEL_ELEMENTS
        and not _in_forked_child
        and _launching.acquire(blocking=False)
    ):
        try:
            outer = numba.get_num_threads()
            numba.set_num_threads(min(threads, outer))
            try:
                driver(n_blocks, *arguments)
            finally:
                numba.set_num_threads(outer)
        finally:
            _launching.release()
        return
    for k in range(n_blocks):
        block(k, *arguments)


class _OneBlasThread:
    """Hold BLAS to one thread while any fit of this process is under way.

    The limit is the whole process's. So fits in several Python threads share it:
    the first sets it, the last one takes it back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._controller: ThreadpoolController | None = None
        self._limit: Any = None
        self._users = 0

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if self._users == 0:
                if self._controller is None:  # scanning the libraries takes ms
                    self._controller = ThreadpoolController()
                self._limit = self._controller.limit(limits=1, user_api="blas")
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    self._limit.restore_original_limits()
                    self._limit = None


_one_blas_thread = _OneBlasThread()


def one_blas_thread() -> contextlib.AbstractContextManager[None]:
    """Context in which BLAS uses one thread.

    The algebra between two sweeps is small. On several threads it would gain
    little, its waiting threads would take the cores from the kernels', and the
    order of its additions (so the last bits of a fit) would depend on their
    number.
    """
    return _one_blas_thread()


def _after_fork_in_child() -> None:
    """Locks that a thread of the parent held would stay held for ever."""
    global _in_forked_child, _launching, _one_blas_thread
    _in_forked_child = True
    _launching = threading.Lock()
    _one_blas_thread = _OneBlasThread()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
