"""Settings of the test tools."""

import hashlib
import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

# Without it (before SciPy is imported) scikit-learn skips one of its checks.
os.environ.setdefault("SCIPY_ARRAY_API", "1")

# The same examples in every run, and no time limit for any of them: what fails
# once fails again, and a busy machine fails nothing.
settings.register_profile("skhuber", deadline=None, derandomize=True)
settings.load_profile("skhuber")


def _use_cache_of_these_kernels():
    """Keep numba's compiled code in a folder named after the kernels' sources.

    numba notices a change of the file that a function stands in, but not of other
    files whose functions it calls: an edit of one kernel would be tested with the
    old code of another.
    """
    package = Path(importlib.util.find_spec("skhuber").submodule_search_locations[0])
    digest = hashlib.sha256()
    for source in [
        *sorted(package.glob("_kernels/*.py")),
        *sorted(package.glob("_runtime/*.py")),
    ]:
        digest.update(source.read_bytes())
    cache = Path(__file__).parents[1] / ".numba_cache" / digest.hexdigest()[:16]
    os.environ.setdefault("NUMBA_CACHE_DIR", str(cache))


_use_cache_of_these_kernels()


@pytest.fixture
def closed_figures():
    """Close all figures after the test."""
    yield
    from matplotlib import pyplot

    pyplot.close("all")


@pytest.fixture
def called_with(monkeypatch):
    """Return the arguments of the last path, which a stand-in replaces.

    It stands for huber_path and for huber_enet_path.
    """
    from displays import a_net_path, a_path

    calls = {}

    def stand_in(X, y, *, rhos, alphas, **others):
        calls.update(others, X=X, y=y, rhos=rhos, alphas=alphas)
        return a_path(np.asarray(rhos), len(alphas), np.shape(X)[1])

    def net_stand_in(X, y, **others):
        calls.update(others, X=X, y=y)
        path = a_net_path()
        path.coefs = path.coefs[:, : np.shape(X)[1]]
        return path

    monkeypatch.setattr("skhuber.inspection._path.huber_path", stand_in)
    monkeypatch.setattr("skhuber.inspection._net_path.huber_enet_path", net_stand_in)
    return calls
