"""Compilation and launch of kernels: compile flags, blocks, threads, BLAS."""

from skhuber._runtime import collector as collector  # imports numba
from skhuber._runtime.blas import one_blas_thread
from skhuber._runtime.launch import (
    IS_COMPILED,
    block_kernel,
    block_rows,
    formula_kernel,
    inlined_kernel,
    inner_kernel,
    run_blocks,
    thread_count,
)

__all__ = [
    "IS_COMPILED",
    "block_kernel",
    "block_rows",
    "formula_kernel",
    "inlined_kernel",
    "inner_kernel",
    "one_blas_thread",
    "run_blocks",
    "thread_count",
]
