"""Faults from outside: pickles, disks and memory that are not what they should be."""

import copy
import os
import pickle
import pickletools
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from sklearn.exceptions import NotFittedError

import problems
import skhuber
from skhuber import HuberRegressor
from skhuber._runtime import run_blocks

X, y, *_ = problems.plain(300, 3)
compiled = pytest.mark.compiled


def state(model):
    return {name: repr(value) for name, value in sorted(vars(model).items())}


# --- pickles --------------------------------------------------------------------------


def test_a_pickle_has_a_format():
    model = HuberRegressor().fit(X, y)
    reduced = model.__reduce_ex__(4)[2]
    assert reduced["_skhuber_format"] == 1
    again = pickle.loads(pickle.dumps(model))
    assert state(again) == state(model)
    assert state(copy.deepcopy(model)) == state(model)
    assert "_skhuber_format" not in vars(again)


@pytest.mark.parametrize("found", [0, 2, "1", None])
def test_another_format_is_refused(found):
    model = HuberRegressor().fit(X, y)
    other = {**model.__getstate__(), "_skhuber_format": found}
    with pytest.raises(ValueError, match=r"must have format 1, got .* fit it again"):
        HuberRegressor().__setstate__(other)


@pytest.mark.parametrize("foreign", [{}, {"coef_": 1}, None, [1, 2], "state"])
def test_a_foreign_state_is_refused(foreign):
    model = HuberRegressor()
    before = state(model)
    with pytest.raises(ValueError, match="must have format 1, got None"):
        model.__setstate__(foreign)
    assert state(model) == before


def test_a_truncated_pickle_is_an_error_and_no_model():
    whole = pickle.dumps(HuberRegressor().fit(X, y))
    # Cut between any two of its instructions, and in the middle of the data.
    cuts = {position for _, _, position in pickletools.genops(whole)}
    for cut in sorted(cuts | {len(whole) // 2, len(whole) - 1}):
        with pytest.raises((pickle.UnpicklingError, EOFError, ValueError)):
            pickle.loads(whole[:cut])


# --- the cache of compiled code -------------------------------------------------------

FIT = """
import numpy as np
from skhuber import HuberRegressor

rng = np.random.default_rng(0)
X = rng.normal(size=(300, 3))
y = X.sum(axis=1) + rng.normal(size=300)
print(HuberRegressor().fit(X, y).coef_.tobytes().hex())
"""
FULL_DISK = """
import resource, signal
import sklearn.linear_model  # (joblib, too, tries to write when it is imported)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
"""


def run(code, folder, *, cwd=None, **environment):
    """Return what a program prints whose folder of compiled code is this one."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=cwd,
        env={**os.environ, "NUMBA_CACHE_DIR": str(folder), **environment},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def fit_with_cache(folder, before="", **options):
    return run(textwrap.dedent(before) + FIT, folder, **options)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A cache that is as it should be, and what is printed with it."""
    folder = tmp_path_factory.mktemp("good")
    return folder, fit_with_cache(folder)


@compiled
def test_damage_of_the_cache(good, tmp_path):
    folder = tmp_path / "cache"
    shutil.copytree(good[0], folder)
    code = sorted(folder.rglob("*.nbc"))
    index = sorted(folder.rglob("*.nbi"))
    for path in code[::2]:
        os.truncate(path, 100)
    for k, path in enumerate(index[1::2]):
        os.truncate(path, 30 * (k % 2))
    assert fit_with_cache(folder) == good[1]
    # What was damaged has been made anew.
    assert all(path.stat().st_size > 100 for path in code + index)
    assert fit_with_cache(folder) == good[1]


@compiled
@pytest.mark.skipif(sys.platform == "win32", reason="there are no such limits")
def test_a_full_disk(good, tmp_path):
    assert fit_with_cache(tmp_path, FULL_DISK.format(limit=2000)) == good[1]


@pytest.fixture
def package(tmp_path):
    """A folder with a copy of the package, without what its use leaves there."""
    leave = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(skhuber.__file__).parent, tmp_path / "skhuber", ignore=leave)
    return tmp_path


@compiled
@pytest.mark.skipif(sys.platform == "win32", reason="the user has a folder of caches")
def test_no_folder_can_be_written(good, package):
    """Neither the one that is asked for nor others: then there is no cache at all."""
    nowhere = package / "file"
    nowhere.write_text("not a folder", encoding="utf-8")
    for folder in [*(package / "skhuber").rglob("*/"), package / "skhuber"]:
        (folder / "__pycache__").write_text("not a folder", encoding="utf-8")
    code = """
    from skhuber._kernels import direct
    assert direct.minimise.stats.cache_path is None
    """
    below = str(nowhere / "below")
    folders = {"HOME": below, "XDG_CACHE_HOME": below}
    assert fit_with_cache(below, code, cwd=package, **folders) == good[1]


@compiled
def test_code_of_another_version_is_not_run(package):
    """A kernel contains functions of other files, and is compiled anew with them."""
    code = """
    import numpy as np
    from skhuber._kernels import sweeps

    out, one = np.zeros((1, sweeps.N_SCALARS)), np.ones(1)
    zeros, none = np.zeros((1, 1)), np.empty((0, 0))
    sweeps.clip_points(np.full((1, 1), 5.0), 0.0 * one, one, one, zeros, none, out)
    print(out[0, sweeps.SUM_C])
    """

    def sum_c():
        return float(run(textwrap.dedent(code), package / "cache", cwd=package))

    assert sum_c() == 1.0
    formulas = package / "skhuber/_kernels/scalar.py"
    old = formulas.read_text("utf-8")
    new = old.replace("return threshold", "return 2.0 * threshold")
    assert new != old
    formulas.write_text(new, "utf-8")
    assert sum_c() == 2.0


# --- memory ---------------------------------------------------------------------------


@compiled
@pytest.mark.parametrize("scale", ["joint", "mad"])
@pytest.mark.parametrize("fitted", [False, True])
def test_memory_that_runs_out_leaves_the_estimator_as_it_was(
    scale, fitted, monkeypatch
):
    """Attributes appear together or not at all, whichever sweep fails."""
    large = problems.plain(6000, 16)
    model = HuberRegressor(scale=scale)
    if fitted:
        model.fit(X, y)
    before = state(model)
    calls = {"made": 0, "until": 0}

    def run(*args):
        calls["made"] += 1
        if calls["made"] == calls["until"]:
            raise MemoryError("no room for a buffer")
        run_blocks(*args)

    monkeypatch.setattr("skhuber._rows.memory.run_blocks", run)
    monkeypatch.setattr("skhuber._rows.base.run_blocks", run)
    copy.deepcopy(model).fit(large.X, large.y)
    needed = calls["made"]
    assert needed > 3
    for until in range(1, needed + 1):
        victim = copy.deepcopy(model)
        calls.update(made=0, until=until)
        with pytest.raises(MemoryError):
            victim.fit(large.X, large.y)
        assert state(victim) == before
        if not fitted:
            with pytest.raises(NotFittedError):
                victim.predict(large.X)
    calls.update(made=0, until=0)
    assert model.fit(large.X, large.y).n_features_in_ == 16


def test_memory_that_runs_out_in_a_helper_thread():
    def kernel(first, last):
        if last == 64:
            raise MemoryError("no room")

    for _ in range(20):
        with pytest.raises(MemoryError):
            run_blocks(kernel, 64, 2**20, 4, ())
    done = []
    run_blocks(lambda first, last: done.extend(range(first, last)), 64, 2**20, 4, ())
    assert sorted(done) == list(range(64))
