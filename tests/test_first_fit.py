"""What a first fit compiles, and that it can be compiled ahead."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from skhuber._runtime.collector import without_collector
from skhuber.compile import compile_kernels

pytestmark = pytest.mark.compiled

# The functions that numba compiles, each as often as for types of arguments.
PROGRAM = """
import sys
import numpy as np, scipy.sparse as sp
from numba.core import event

compiled = []

class Listener(event.Listener):
    def on_start(self, event):
        function = event.data["dispatcher"].py_func
        name = f"{function.__module__}.{function.__name__}"
        if name != "numba.cpython.builtins.impl":  # min and max of two numbers
            compiled.append(name)

    def on_end(self, event):
        pass

event.register("numba:compile", Listener())
from skhuber import HuberRegressor

rng = np.random.default_rng(0)
X = rng.normal(size=(%(n)d, %(p)d))
y = X.sum(axis=1) + rng.standard_t(2.0, size=%(n)d)
kind = np.dtype("%(dtype)s")
convert = {"C": np.ascontiguousarray, "F": np.asfortranarray, "CSR": sp.csr_array}
HuberRegressor().fit(convert["%(layout)s"](X.astype(kind)), y)
print(*compiled)
"""


def run(folder, *arguments):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder)}
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        capture_output=True,
        check=True,
        text=True,
        env=environment,
    ).stdout


def compiled(folder, n=100_000, p=20, dtype="float64", layout="C"):
    """Return the sorted names of the functions that a fit in a new process compiles."""
    values = {"n": n, "p": p, "dtype": dtype, "layout": layout}
    return sorted(run(folder, "-c", PROGRAM % values).split())


def kernels(*names):
    return sorted(f"skhuber._kernels.{name}" for name in names)


SMALL = kernels(
    "scalar.clip",
    "direct.standardise",
    "direct.minimise",
    "direct._median",
    "direct._hessian",
    "direct._factorise",
    "direct._solve",
)
ROWS = kernels(
    "scalar.clip",
    "sweeps.sums_of_rows",
    "sweeps.sums_of_picked",
    "sweeps.squares_of_rows",
    "dense.standardise_rows",
)
COLUMNS = kernels(
    "scalar.clip",
    "sweeps.sums_by_chunks",
    "sweeps.squares_by_chunks",
    "dense.project_columns",
    "dense.back_project_columns",
    "dense.add_squares_columns",
    "dense._add_eight_columns",
    "dense._add_column",
    "dense._eight_column_dots",
    "dense._column_dot",
    # The rows of the sample, which is a copy in C order.
    "sweeps.sums_of_rows",
    "dense.standardise_rows",
)
CSR = kernels(
    "scalar.clip", "sweeps.sums_of_csr", "sweeps.squares_of_csr", "csr.add_gram_csr"
)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"n": 1000, "p": 10}, SMALL),
        ({}, ROWS),
        ({"layout": "F", "dtype": "float32"}, COLUMNS),
        ({"layout": "CSR"}, CSR),
    ],
    ids=["small", "C", "F", "CSR"],
)
def test_a_first_fit_compiles_few_functions_and_each_once(data, expected, tmp_path):
    """No kernel that is not run, and of numba's own functions only min and max.

    Others, such as those of strings and of medians, took longer than the kernels.
    """
    assert compiled(tmp_path, **data) == expected


def test_what_is_compiled_ahead_is_not_compiled_again(tmp_path):
    """Neither for small data nor for large data with a sample."""
    folder = tmp_path / "kernels"
    options = ["--layouts", "C", "--dtypes", "float64"]
    printed = run(folder, "-m", "skhuber.compile", *options)
    place = Path(printed.removeprefix("Compiled code is kept in ").strip())
    assert place.is_relative_to(folder)
    assert list(place.glob("*.nbc"))
    assert compiled(folder, n=1000, p=10) == []
    assert compiled(folder) == []


def test_the_garbage_collector_pauses_while_numba_creates_objects(tmp_path):
    """At its import, and when kernels are compiled or loaded."""
    program = """
import gc, sys
import numpy as np
from skhuber import HuberRegressor

seen = []

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name in ("numba.core.compiler", "numba.np.linalg"):
            seen.append(name + " " * gc.isenabled())

sys.meta_path.insert(0, Finder())
before = gc.isenabled()
rng = np.random.default_rng(0)
HuberRegressor().fit(rng.normal(size=(100, 2)), rng.normal(size=100))
assert gc.isenabled() == before
print(seen)
"""
    expected = "['numba.core.compiler', 'numba.np.linalg']\n"
    # The second process loads what the first one has compiled.
    for start in ("", "", "import gc; gc.disable()"):
        assert run(tmp_path, "-c", start + program) == expected


def test_an_error_ends_the_pause_of_the_garbage_collector():
    @without_collector
    def fail():
        assert not gc.isenabled()
        raise KeyboardInterrupt

    for is_on in (True, False):
        (gc.enable if is_on else gc.disable)()
        try:
            with pytest.raises(KeyboardInterrupt):
                fail()
            assert gc.isenabled() == is_on
        finally:
            gc.enable()


def test_what_cannot_be_compiled_is_refused():
    with pytest.raises(ValueError, match="layouts must be 'C', 'F' or 'CSR', got 'c'"):
        compile_kernels(["c"])
    with pytest.raises(ValueError, match="dtypes must be 'float64' or 'float32'"):
        compile_kernels(["C"], ["int64"])
