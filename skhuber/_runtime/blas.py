"""One thread for BLAS while a fit runs.

The algebra between two sweeps is small. Several threads would gain little, would spin
on the cores that the kernels need, and would make the order of additions, and so the
last bits of a fit, depend on their number.

Some libraries have one number of threads for the process (OpenBLAS with threads of its
own, as in the wheels of NumPy and SciPy), others one for each thread that calls them
(MKL, OpenBLAS with OpenMP). If fits run at once, the first one sets a number of the
process to one and the last one to end restores it, whichever threads they run in. A
number of a thread is set and restored by each fit in that thread.

A number that is no longer one at the end has been set by the caller meanwhile. It is
left as it is.

An interrupt can come between any two steps of the Python code here. So a number is
noted before it is changed, restoring twice does no harm, and the thread that holds the
lock always releases it (see `_Blas._exclusively`).
"""

from __future__ import annotations

import _thread
import functools
import os
import queue
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy  # noqa: F401  loads its BLAS, which is looked for below
import scipy.linalg  # noqa: F401  loads its own BLAS
from threadpoolctl import ThreadpoolController

__all__ = ["limit_helper", "one_blas_thread"]

P = ParamSpec("P")
R = TypeVar("R")


class _Hold:
    """Request of one fit that BLAS has one thread."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        # Numbers of this thread to restore, by library.
        self.numbers: dict[Any, int] = {}


class _Blas:
    """BLAS libraries of the process, and the fits that hold them to one thread."""

    def __init__(self) -> None:
        # Reentrant: the handler of a signal may fit a model while its thread holds it.
        self._lock = threading.RLock()
        self._libraries: list[Any] | None = None
        # Whether a library has a number for each thread, once that has been tried.
        self._is_own: dict[Any, bool] = {}
        self._holds: set[_Hold] = set()
        # Numbers of the process to restore, by library.
        self._numbers: dict[Any, int] = {}

    def limit(self, hold: _Hold) -> None:
        """Set the libraries to one thread until this hold is released."""

        def change() -> None:
            if self._libraries is None:  # the search takes milliseconds
                self._libraries = _loaded_libraries()
            self._holds.add(hold)
            for library in self._libraries:
                number = _number(library)
                if number > 1:
                    hold.numbers[library] = number
                    if not self._is_number_of_thread(library, number):
                        self._numbers[library] = hold.numbers.pop(library)
                    _set(library, 1)

        self._exclusively(change)

    def release(self, hold: _Hold) -> None:
        """Restore what this hold changed, unless other holds need it.

        Call it in the hold's thread. A second call does no harm.
        """

        def change() -> None:
            _restore(hold.numbers)
            self._holds.discard(hold)
            if not self._holds:
                _restore(self._numbers)

        self._exclusively(change)

    def limit_helper(self) -> None:
        """Set the libraries' numbers of this thread to one, if a fit runs."""

        def change() -> None:
            for library in self._libraries or ():
                if self._is_own.get(library) is False:
                    continue
                number = _number(library)
                if number > 1 and self._is_number_of_thread(library, number):
                    _set(library, 1)

        if self._holds:
            self._exclusively(change)

    def after_fork_in_child(self) -> None:
        """Drop the holds of threads that the child does not have."""
        self._lock = threading.RLock()  # another thread may have held the old one
        here = threading.get_ident()
        self._holds = {hold for hold in self._holds if hold.thread == here}

    def _exclusively(self, change: Callable[[], None]) -> None:
        """Call a function while holding the lock; an interrupt leaves it free."""
        lock = self._lock
        # Not `with lock`: in Python 3.14 an interrupt can come before the block starts.
        try:
            lock.acquire()
            change()
        finally:
            # Not `suppress`: an interrupt can come right after that call.
            try:  # noqa: SIM105
                lock.release()
            except RuntimeError:  # interrupted before it was acquired
                pass

    def _is_number_of_thread(self, library: Any, number: int) -> bool:
        """Return whether the library has a number for each thread; it is `number` here.

        Libraries and versions of threadpoolctl differ, so it is tried: once for each
        library, when no fit has changed its number.
        """
        own = self._is_own.get(library)
        if own is None:
            try:
                before = _in_new_thread(_number, library)
                try:
                    _set(library, 1)
                    own = _in_new_thread(_number, library) == before
                finally:
                    _set(library, number)
            except RuntimeError:  # the system allows no more threads
                return False
            self._is_own[library] = own
        return own


def _loaded_libraries() -> list[Any]:
    """Return the controllers of the libraries to set to one thread."""
    controller = ThreadpoolController()
    blas = controller.select(user_api="blas").lib_controllers
    by_openmp = [
        library
        for library in blas
        if library.internal_api == "openblas" and library.threading_layer == "openmp"
    ]
    libraries = [library for library in blas if library not in by_openmp]
    if by_openmp:
        # OpenBLAS then uses OpenMP's number of the calling thread. The number that it
        # reports itself is that of the last call, from any thread.
        libraries += controller.select(user_api="openmp").lib_controllers
    return libraries


def _number(library: Any) -> int:
    """Return the library's number of threads."""
    return library.get_num_threads() or 1


def _set(library: Any, number: int) -> None:
    """Set the library's number of threads."""
    # threadpoolctl 3.8 lets a single thread set the number of OpenBLAS, until another
    # thread takes over by this method.
    take_over = getattr(library, "clear_controlling_thread", None)
    if take_over is None:
        library.set_num_threads(number)
        return
    try:
        take_over(force=True)
        library.set_num_threads(number)
    finally:
        take_over(force=True)


def _restore(numbers: dict[Any, int]) -> None:
    """Restore numbers of threads that are one now, and empty the table."""
    for library, number in list(numbers.items()):
        if _number(library) == 1:
            _set(library, number)
        numbers.pop(library, None)


def _in_new_thread(function: Callable[[Any], int], argument: Any) -> int:
    """Return what a function returns in a new thread."""
    # Not `threading.Thread`: an interrupt could leave a lock of it locked for ever.
    answers: queue.SimpleQueue[int] = queue.SimpleQueue()
    _thread.start_new_thread(lambda: answers.put(function(argument)), ())
    return answers.get()


_blas = _Blas()


def limit_helper() -> None:
    """Set BLAS's numbers of this thread to one, for as long as the thread lives.

    For a helper thread of a fit. The fit itself sets the numbers of the process.
    """
    _blas.limit_helper()


def _after_fork_in_child() -> None:
    """Forget the fits that run in other threads of the parent.

    If no fit of this thread is under way, the numbers of the process are restored after
    the child's next fit. (Setting one now would start threads, which a child may not
    want.)
    """
    _blas.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def one_blas_thread(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function, with BLAS limited to one thread while it runs."""

    @functools.wraps(function)
    def limited(*args: P.args, **kwargs: P.kwargs) -> R:
        hold = _Hold()
        try:
            _blas.limit(hold)
            return function(*args, **kwargs)
        finally:
            try:
                _blas.release(hold)
            finally:  # again, since an interrupt may have cut the first call short
                _blas.release(hold)

    return limited
