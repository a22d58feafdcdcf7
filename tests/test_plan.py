"""The plan of a fit, which depends on the data's shape alone: no data are needed."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from skhuber._fit.plan import Shape, make_plan, plan_of
from skhuber._rows import make_rows


def shape(n, p, layout="rows", in_a_row=None, n_apart=0, n_rows=None):
    """The shape of data with this many stored numbers in a row."""
    elements = n * (p if in_a_row is None else in_a_row)
    return Shape(n, p, elements, layout, n if n_rows is None else n_rows, n_apart)


# n, p, layout, numbers in a row, columns apart → way, rows of the sample that is solved
# first.
TABLE = {
    "hundred rows": ((100, 3, "rows", None), "compiled", 0),
    "thousand rows": ((1_000, 10, "columns", None), "compiled", 0),
    "many columns of few rows": ((600, 60, "rows", None), "newton", 0),
    "thousands of 50 columns": ((5_000, 50, "rows", None), "newton", 0),
    "100,000 × 20": ((100_000, 20, "rows", None), "whitened", 2_000),
    "100,000 × 20, F order": ((100_000, 20, "columns", None), "whitened", 2_000),
    "million × 10": ((1_000_000, 10, "rows", None), "whitened", 20_000),
    "100,000 × 2": ((100_000, 2, "rows", None), "compiled", 0),
    "million × 500": ((1_000_000, 500, "rows", None), "whitened", 20_000),
    "100,000 × 1,000": ((100_000, 1_000, "rows", None), "whitened", 20_000),
    "wide": ((200, 1_000, "rows", None), "newton", 0),
    "more columns than a matrix may have": (
        (14_000, 3_100, "rows"),
        "matrix_free",
        0,
    ),
    "one-hot of few levels": ((200_000, 200, "csr", 4), "whitened", 4_000),
    "one-hot of 1,000 levels": ((200_000, 1_000, "csr", 5, 200), "whitened", 20_000),
    "one-hot of many levels": ((200_000, 2_600, "csr", 3, 2_000), "matrix_free", 0),
    "many levels of few rows": ((20_000, 2_100, "csr", 2, 2_000), "eliminated", 0),
    "one-hot of 20,000 levels": (
        (200_000, 20_100, "csr", 2, 20_000),
        "eliminated",
        0,
    ),
    "two columns of 20,000 levels": (
        (200_000, 40_000, "csr", 2, 20_000),
        "matrix_free",
        0,
    ),
    "sparse columns of like counts": (
        (200_000, 1_000, "csr", 10, 1),
        "whitened",
        20_000,
    ),
    "counts": ((200_000, 3_000, "csr", 15), "matrix_free", 15_000),
    "counts of few rows": ((20_000, 3_000, "csr", 15), "matrix_free", 0),
}


@pytest.mark.parametrize("case", TABLE)
def test_the_way(case):
    arguments, way, sample_rows = TABLE[case]
    plan = make_plan(shape(*arguments))
    assert plan.way == way
    assert plan.sample_rows == sample_rows


@pytest.mark.parametrize(
    ("arguments", "first"),
    [
        ((1_000_000, 1_000, "csr", 10), True),
        ((200_000, 3_000, "csr", 15), True),
        ((100_000, 3_000, "csr", 15), False),  # the diagonal is too far off
        ((200_000, 2_600, "csr", 3, 2_000), False),  # one-hot columns are correlated
        ((1_000_000, 50, "csr", 10), False),  # a matrix of 50 × 50 is cheap
        ((1_000_000, 1_000, "rows"), False),
    ],
)
def test_the_diagonal_comes_first_for_sparse_columns_of_many_rows(arguments, first):
    assert make_plan(shape(*arguments)).diagonal_first == first
    # Absolute values and bounds need a matrix.
    assert not make_plan(shape(*arguments), smooth=False).diagonal_first


def test_a_sample_whitens_if_products_are_added_beyond_the_cache():
    assert make_plan(shape(1_000_000, 1_000, "csr", 10)).hessian_rows == 100_000
    assert make_plan(shape(200_000, 1_000, "csr", 10)).hessian_rows == 0


@pytest.mark.parametrize(
    ("n", "p", "layout", "in_a_row", "basis"),
    [
        (50, 100, "rows", None, "first"),
        (400, 100, "rows", None, "first"),
        (401, 100, "rows", None, "rescue"),
        (100_000, 20, "rows", None, "rescue"),
        (1_000_000, 1_000, "rows", None, "never"),  # minutes
        (100_000, 1_000, "csr", 3, "never"),  # a dense copy of 800 MB
        (200, 100, "csr", 3, "first"),
    ],
)
def test_the_basis_of_singular_vectors(n, p, layout, in_a_row, basis):
    assert make_plan(shape(n, p, layout, in_a_row)).basis == basis


def test_without_compiled_kernels_nothing_is_fitted_in_one_call():
    assert make_plan(shape(100, 3), compiled=False).way == "newton"
    assert make_plan(shape(100, 3, "csr", 3)).way != "compiled"


@pytest.mark.parametrize(
    ("n", "p", "together"), [(100_000, 20, True), (700, 40, False)]
)
def test_settings_are_solved_together_if_their_hessians_are_small(n, p, together):
    plan = make_plan(shape(n, p))
    assert (plan.group > 0) == together
    # All Hessians of a group are a small part of X.
    assert plan.group * p**2 <= n * p / 32
    assert plan.grid_rows <= n / 10


def test_rows_without_weight_are_no_rows():
    one = make_plan(shape(100_000, 20))
    other = make_plan(Shape(100_000, 20, 100_000 * 20, "rows", 100_000))
    assert one == other
    present = make_plan(shape(100_000, 20, n_rows=300_000))
    assert present.sample_rows == one.sample_rows


def test_the_shape_of_rows():
    X = np.random.default_rng(0).normal(size=(40_000, 30))
    y, weight = np.zeros(40_000), np.arange(40_000) % 2 * 1.0
    for layout, container in (
        ("rows", np.ascontiguousarray),
        ("columns", np.asfortranarray),
        ("csr", sp.csr_array),
    ):
        rows = make_rows(container(X), y, weight, 1)
        expected = Shape(20_000, 30, 40_000 * 30, layout, 40_000)
        assert plan_of(rows) == make_plan(expected, compiled=layout != "csr")


shapes = st.builds(
    shape,
    st.integers(1, 10**8),
    st.integers(0, 10**5),
    st.sampled_from(["rows", "columns"]),
) | st.builds(
    shape,
    st.integers(1, 10**8),
    st.integers(1, 10**6),
    st.just("csr"),
    st.integers(0, 50),
)


@given(shapes)
def test_what_every_plan_keeps(shape):
    plan = make_plan(shape)
    n, p = shape.n, max(shape.p, 1)
    # A matrix of p × p takes 72 MB at most.
    if p > 3_000:
        assert plan.way == "matrix_free"
        assert not plan.may_rescue
    if plan.way == "matrix_free":
        assert p > 3_000 or shape.layout == "csr"
    # A sample is at most half of the rows. Whitened fits have one of 20 rows for each
    # column, and fits by the diagonal one of five at least.
    assert 2 * plan.sample_rows <= n
    if plan.sample_rows:
        assert plan.way == "whitened" or plan.diagonal_first
        assert plan.sample_rows >= (20 if plan.way == "whitened" else 5) * p
    if plan.diagonal_first:
        assert shape.layout == "csr"
        assert n >= 40 * p
    if plan.hessian_rows:
        assert plan.sample_rows
        assert plan.hessian_rows <= n / 4
    # The dense copy that a basis needs is no more than four times X, or 8 MiB.
    if plan.basis != "never":
        stored = min(shape.p, shape.elements)  # columns at most
        assert n * stored <= 4 * max(shape.elements, 2**20)
    # In C and in F order the steps are the same ones.
    if shape.layout == "rows":
        assert plan == make_plan(shape._replace(layout="columns"))
