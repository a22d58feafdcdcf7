"""BLAS on one thread while a fit is under way.

The algebra between two sweeps is small. On several threads it would gain little, its
waiting threads would take the cores from the kernels', and the order of its additions
(so the last bits of a fit) would depend on their number.

Some libraries have one number of threads for the process (OpenBLAS with threads of its
own, as in the wheels of NumPy and SciPy), others one for each thread that calls them
(MKL, OpenBLAS with OpenMP). A number of the process is set to one by the first of the
fits that are under way, and set back after the last, whichever threads they run in. A
number of a thread is set and set back by each fit in that thread.

A number that is not one any more at the end was set by the caller meanwhile, and stays.

An interrupt can come between any two steps of Python's here. So a number is noted
before it is changed, to give numbers back twice does no harm, and the lock is released
by whoever has it (see `_Blas._exclusively`).
"""

from __future__ import annotations

import _thread
import functools
import os
import queue
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy  # noqa: F401  so that its BLAS is there when libraries are looked for
import scipy.linalg  # noqa: F401  for its own BLAS
from threadpoolctl import ThreadpoolController

__all__ = ["limit_helper", "one_blas_thread"]

P = ParamSpec("P")
R = TypeVar("R")


class _Hold:
    """A fit that wants BLAS to have one thread."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        # What to set back in this thread: a number for each library.
        self.numbers: dict[Any, int] = {}


class _Blas:
    """The BLAS libraries of the process, and who wants them to have one thread."""

    def __init__(self) -> None:
        # Reentrant: a signal's handler may fit while its thread is in here.
        self._lock = threading.RLock()
        self._libraries: list[Any] | None = None
        # Of each library that had more than one thread: is that a number of the thread?
        self._is_own: dict[Any, bool] = {}
        self._holds: set[_Hold] = set()
        # What to set back in the process: a number for each library.
        self._numbers: dict[Any, int] = {}

    def limit(self, hold: _Hold) -> None:
        """Set the libraries to one thread, until this hold is released."""

        def change() -> None:
            if self._libraries is None:  # to look for them takes milliseconds
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
        """Set back what this hold changed, unless others still need it.

        Called in the hold's thread. Once more does no harm.
        """

        def change() -> None:
            _set_back(hold.numbers)
            self._holds.discard(hold)
            if not self._holds:
                _set_back(self._numbers)

        self._exclusively(change)

    def limit_helper(self) -> None:
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
        self._lock = threading.RLock()  # another thread may have had the old one
        here = threading.get_ident()
        self._holds = {hold for hold in self._holds if hold.thread == here}

    def _exclusively(self, change: Callable[[], None]) -> None:
        lock = self._lock
        # Not `with lock`: in Python 3.14 an interrupt can come before the block starts.
        try:
            lock.acquire()
            change()
        finally:
            # Not `suppress`: that is a call, after which an interrupt can come.
            try:  # noqa: SIM105
                lock.release()
            except RuntimeError:  # interrupted before it was acquired
                pass

    def _is_number_of_thread(self, library: Any, number: int) -> bool:
        """Whether the library has a number for each thread. Here it is set to `number`.

        Libraries and versions of threadpoolctl differ. So it is tried out: once, when
        no fit has changed this library's number.
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
    """What to set to one thread."""
    controller = ThreadpoolController()
    blas = controller.select(user_api="blas").lib_controllers
    by_openmp = [
        library
        for library in blas
        if library.internal_api == "openblas" and library.threading_layer == "openmp"
    ]
    libraries = [library for library in blas if library not in by_openmp]
    if by_openmp:
        # It is OpenMP's number of the calling thread that counts for OpenBLAS then;
        # what OpenBLAS tells is that of the last call, from whichever thread.
        libraries += controller.select(user_api="openmp").lib_controllers
    return libraries


def _number(library: Any) -> int:
    return library.get_num_threads() or 1


def _set(library: Any, number: int) -> None:
    # threadpoolctl 3.8 lets one thread only set the number of OpenBLAS, until another
    # takes over by this.
    take_over = getattr(library, "clear_controlling_thread", None)
    if take_over is None:
        library.set_num_threads(number)
        return
    try:
        take_over(force=True)
        library.set_num_threads(number)
    finally:
        take_over(force=True)


def _set_back(numbers: dict[Any, int]) -> None:
    for library, number in list(numbers.items()):
        if _number(library) == 1:
            _set(library, number)
        numbers.pop(library, None)


def _in_new_thread(function: Callable[[Any], int], argument: Any) -> int:
    # (What `threading.Thread` waits for, an interrupt could leave locked.)
    answers: queue.SimpleQueue[int] = queue.SimpleQueue()
    _thread.start_new_thread(lambda: answers.put(function(argument)), ())
    return answers.get()


_blas = _Blas()


def limit_helper() -> None:
    """Set what is a number of this thread to one, for as long as the thread lives.

    For a thread that helps with a fit, which has set what is a number of the process.
    """
    _blas.limit_helper()


def _after_fork_in_child() -> None:
    """Forget the fits that run in other threads of the parent.

    If no fit of this thread is under way, the process's numbers are set back after the
    child's next fit. (To set one starts threads, which a child may not want.)
    """
    _blas.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def one_blas_thread(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function: while it runs, BLAS has one thread."""

    @functools.wraps(function)
    def limited(*args: P.args, **kwargs: P.kwargs) -> R:
        hold = _Hold()
        try:
            _blas.limit(hold)
            return function(*args, **kwargs)
        finally:
            try:
                _blas.release(hold)
            finally:  # once more, as an interrupt may have cut it short
                _blas.release(hold)

    return limited
