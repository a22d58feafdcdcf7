"""Rows in every layout, points to look at, and plain NumPy restatements of the sums."""

import dataclasses

import numpy as np
import pytest
import scipy.sparse as sp

from skhuber._sums import Point, Sums

N, P = 203, 21  # neither is a multiple of eight: the kernels' remainders run, too


def data(n=N, p=P, *, seed=0):
    """X with zeros, y, and small weights of which some are zero."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) * (rng.random((n, p)) < 0.6)
    return X, rng.normal(size=n) * 3 + 1, rng.integers(0, 4, n) / 7


def read_only(array):
    array = array.copy(order="K")
    array.flags.writeable = False
    return array


def long_indices(X):
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    return X


def unsorted(X):
    for start, end in zip(X.indptr[:-1], X.indptr[1:], strict=True):
        X.indices[start:end] = X.indices[start:end][::-1].copy()
        X.data[start:end] = X.data[start:end][::-1].copy()
    X.has_sorted_indices = False
    return X


def duplicated(X):
    """Each entry stored as two halves."""
    halves = (np.repeat(X.data / 2, 2), np.repeat(X.indices, 2), 2 * X.indptr)
    return sp.csr_array(halves, shape=X.shape)


LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "C_read_only": lambda a: read_only(np.ascontiguousarray(a)),
    "F_read_only": lambda a: read_only(np.asfortranarray(a)),
    "strided_rows": lambda a: np.repeat(a, 2, axis=0)[::2],
    "strided_columns": lambda a: np.repeat(a, 3, axis=1)[:, ::3],
    "reversed": lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
    "part_of_wider": lambda a: np.hstack([a, a])[:, : a.shape[1]],
    "CSR": sp.csr_array,
    "CSR_long_indices": lambda a: long_indices(sp.csr_array(a)),
    "CSR_matrix": sp.csr_matrix,
    "CSR_unsorted": lambda a: unsorted(sp.csr_array(a)),
    "CSR_duplicates": lambda a: duplicated(sp.csr_array(a)),
}

each_layout = pytest.mark.parametrize("layout", LAYOUTS)
each_main_layout = pytest.mark.parametrize("layout", ["C", "F", "CSR"])
each_type = pytest.mark.parametrize("dtype", [np.float64, np.float32])
each_weight = pytest.mark.parametrize(
    "has_weights", [False, True], ids=["equal", "weights"]
)


def point(p=P, **changed):
    values = {
        "centre": np.linspace(-1, 1, p),
        "unit": 2.0 ** (np.arange(p) % 7 - 3),
        "y_centre": 0.7,
        "y_unit": 0.5,
        "u": np.linspace(-0.3, 0.4, p),
        "intercept": 0.1,
        "threshold": 0.8,
        "scale": 0.5,
    }
    return Point(**(values | changed))


POINTS = {
    "usual": {},
    "all_outliers": {"threshold": 1e-3},
    "no_outliers": {"threshold": np.inf},
    "at_the_origin": {"u": np.zeros(P), "centre": np.zeros(P), "intercept": 0.0},
}


def naive(X, y, at):
    """z, r and c of every row."""
    X = np.asarray(X.todense() if sp.issparse(X) else X, dtype=np.float64)
    z = (X - at.centre) * at.unit
    r = (y.astype(np.float64) - at.y_centre) * at.y_unit - at.intercept - z @ at.u
    return z, r, np.clip(r, -at.threshold, at.threshold)


def naive_sums(X, y, s, at):
    """Sums of rows with weights s (already multiplied by the unit of the weights)."""
    z, r, c = naive(X, y, at)
    inside = np.abs(r) <= at.threshold
    A = np.column_stack([z, np.ones(len(r)), c / at.scale])
    h = s * np.where(inside, 1.0, at.threshold / np.abs(r))
    return Sums(
        weight=s.sum(),
        gradient=(s * c) @ z,
        c=s @ c,
        cr=s @ (c * r),
        cc=s @ c**2,
        inlier=s @ inside,
        n_inliers=int(np.sum(inside & (s > 0))),
        n_outliers=int(np.sum(~inside & (s > 0))),
        squares=np.array([(s * inside) @ z**2, (s * ~inside) @ z**2]),
        gram=np.array([(A * (h * side)[:, None]).T @ A for side in (inside, ~inside)]),
    )


def sizes(X, y, s, at):
    """What the sums would be without cancellation: errors are relative to this."""
    z, r, c = naive(X, y, at)
    root = np.sqrt(s @ np.column_stack([z**2, np.ones(len(r)), (c / at.scale) ** 2]))
    return {
        "gradient": np.abs(s * c) @ np.abs(z) + 1e-3,
        "c": s @ np.abs(c),
        "squares": s @ z**2 + 1e-3,
        "gram": np.outer(root, root) + 1e-3,
    }


def assert_sums_close(found, expected, size, *, rtol=1e-13, gram_rtol=1e-13):
    """Compare all fields; those that may cancel, relative to their size."""
    for field in dataclasses.fields(Sums):
        name = field.name
        a, b = getattr(found, name), getattr(expected, name)
        if name in ("n_inliers", "n_outliers"):
            assert a == b, name
        elif b is None or a is None:
            assert a is b, name
        else:
            scale = size.get(name, b)
            tol = gram_rtol if name == "gram" else rtol
            error = np.abs(np.asarray(a) - b)
            assert np.all(error <= tol * np.abs(scale) + 1e-300), (name, error.max())


def assert_sums_equal(found, expected):
    """Compare the bits of all fields."""
    for field in dataclasses.fields(Sums):
        a, b = getattr(found, field.name), getattr(expected, field.name)
        np.testing.assert_array_equal(a, b, err_msg=field.name)
