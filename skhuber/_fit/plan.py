"""The plan of a fit: every choice that depends on the size of the data, in one place.

`make_plan` is a pure function of the shape of the data. It estimates what the possible
ways cost from a few measured rates and takes the cheapest. No other file of the package
chooses by the number of rows or columns.

The ways to a minimum on all rows:

compiled
    The whole minimisation in one compiled call (`skhuber._fit.small`): on a thousand
    rows a sweep takes microseconds, and a call of a Python function as long.
newton
    Newton steps with the Hessian of all rows, computed anew at each of them.
whitened
    scipy's L-BFGS-B, whitened by one Hessian. A sample is solved first, if it would be
    far smaller than the whole. The Hessian is that of all rows, or of a larger sample
    of m rows: each step then shrinks the gap by about p/m (Huber and Ronchetti, Robust
    Statistics, 2009, section 7.6: a sample's minimum lies p/(2m) of the objective from
    that of all rows).
matrix_free
    Newton steps by conjugate gradients, for sparse data whose p × p matrix would cost
    more than many sweeps.
eliminated
    L-BFGS-B on all variables but the coefficients of columns of which no row stores
    two, which are eliminated (`skhuber._fit.eliminated`): one-hot columns of many
    levels.

Sparse columns of many rows are first tried with steps that the diagonal of the Hessian
alone whitens (`skhuber._fit.diagonal`), if these cost at most half as much as the way.

Few rows for each column are fitted in the basis of the singular vectors of X, since in
the basis of the columns the Hessian of an exact fit is lost to rounding.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from skhuber._objective import Penalty
from skhuber._rows import CSRRows, DenseRows, RowSource
from skhuber._runtime import IS_COMPILED

# Seconds on two cores of 2024, for one unit of work each. Only their ratios matter.
# (Measured: 100,000 × 50 and 200,000 × 250, float64; CSR of 3 to 30 numbers a row.)
_SWEEP = {"rows": 0.3e-9, "columns": 0.3e-9, "csr": 1.2e-9}  # a number of X
_PRODUCT = {"rows": 1.4e-11, "columns": 1.4e-11, "csr": 1.0e-9}  # of two numbers
# A product of two numbers of a sparse row whose place in the matrix is not in cache; so
# it is with more columns than fit in a level-2 cache of 2 MiB. (Measured: 10 of 1,000
# columns at random in 1,000,000 rows.)
_FAR_PRODUCT = 3.0e-9
_CACHED_COLUMNS = 512
_STANDARDISE = 3.5e-10  # a number that is standardised for the products
_ROUGH = 0.3  # a product in single precision, in units of one in double precision
_CHOLESKY = 2.0e-11  # p³, one thread
_MATRIX_STEP = 2.0e-9  # p²: two triangular solves and the like, bound by memory
_FACES = 4  # Cholesky factorisations of a step with absolute values or bounds
_MODEL_STEPS = 15  # p² steps of a model: scaled, summed and copied
_SVD = 2.5e-10  # n·p·min(n, p)
_CALL = 5e-4  # an iteration in Python
_COMPILED_GRAM = 5e-10  # a product in the loops of the compiled way, one thread

# Sweeps of Newton's method on ordinary data, from the start to the last digits; and
# those to the few digits that a sample needs.
_NEWTON_STEPS = 12
_SAMPLE_STEPS = 7
# Products with the Hessian that a matrix-free fit takes (one-hot, counts: 40 to 110).
# One-hot columns of few rows take more, in proportion to how many fewer than these they
# have at least (10 rows for each of 20,000 levels: 2,900 to 13,000).
_PRODUCTS = 80
_PRODUCTS_LEVEL_ROWS = 100
# The sample of a matrix-free fit has these rows for each column, since its products
# take time, too; and rows for each column from which on steps whitened by the diagonal
# alone are worth a trial.
_FREE_SAMPLE_ROWS_PER_COLUMN = 5
_DIAGONAL_ROWS_PER_COLUMN = 40
# log of the factor from a sample's gap to one of which the bound is 1e-12.
_DIAGONAL_LOG_GAP = 50.0
# The most that such a trial may cost, as a share of the plan's way: that follows, with
# more digits, if the trial does not lead to the end. (20,000 × 10 dummies: 38 sweeps
# with the trial, 7 without.)
_TRIAL_SHARE = 0.5
# Sweeps of a fit with columns eliminated (40 to 160 with 10 to 100 rows for each
# level), and Hessians.
_ELIMINATED_SWEEPS = 80
_ELIMINATED_HESSIANS = 3
# A sweep that returns products, or squares, as well, in sweeps.
_RICH_SWEEP = 1.5
# log of the factor from the sample's gap to a gap of 1e-12.
_LOG_GAP = 30.0
# The contraction of a step with the Hessian of all rows: who is an outlier changes.
_BEST_CONTRACTION = 2000.0

# A CSR matrix that stores this share of its numbers is planned for as a dense one.
_DENSE_SHARE = 0.5
# Numbers of a matrix of p × p: no more than 3,000 columns have one (72 MB).
_MATRIX_COLUMNS = 3000
# Rows of the sample that is solved first: 20 for each column, so that its Hessian is
# off by √(1/20) in its worst direction; a fiftieth of the rows, which costs one sweep;
# no more than 2,000 for each column, from where on more change nothing.
_SAMPLE_ROWS_PER_COLUMN = 20
_SAMPLE_SHARE = 50
_SAMPLE_ROWS_PER_COLUMN_MAX = 2000
_SAMPLE_ROWS_MIN = 1500
# Candidates for the rows of a Hessian: these numbers for each column, a quarter of all
# rows at most.
_HESSIAN_ROWS_PER_COLUMN = (100, 200, 400, 800, 1600)
_HESSIAN_SHARE = 4
# Charge for a Hessian of some sparse rows, which may lack rare columns: this many times
# p² steps if it is that of all rows. (Without it 200,000 rows of five one-hot columns,
# 200 levels each at Zipf frequencies, take 18 sweeps instead of 7 and twice the time;
# 1,000,000 × 1,000 normal numbers, of which 1 % are stored, take 1.7 times the time.)
_RARE_COLUMNS = 400
# The float32 Gram matrix of all rows is not worth its memory traffic for more columns
# of dense data.
_ROUGH_COLUMNS = 512
# Rows for each column up to which data are fitted in the basis of singular vectors, and
# the seconds and the share of memory (in units of X as stored) that this may take.
_BASIS_ROWS_PER_COLUMN = 4
_BASIS_SECONDS = 2.0
_BASIS_COPIES = 4
# Seconds that the exact Hessian of all rows may take where another one did not do.
_RESCUE_SECONDS = 5.0
# Working sets of columns: for no fewer columns than these, and for more than a matrix
# pays for, or with fewer rows for each column.
_WIDE_COLUMNS = 32
_WIDE_CSR_COLUMNS = 500
_WIDE_ROWS_PER_COLUMN = 5
# The most columns of the compiled way, whose sums are over columns: few that are long.
_COMPILED_COLUMNS = 64
# Digits: steps after convergence that cost little for these numbers of rows and of X.
_POLISH = ((2**16, 6), (99_999, 3))
_POLISH_ELEMENTS = 2**22
# Rows of the sample of a grid: up to 200 for each column, a tenth of all at most.
_GRID_ROWS_PER_COLUMN = 200
_GRID_SHARE = 10
# A group of settings, or of targets, that is solved together has Hessians of at most
# this share of X.
_GROUP_SHARE = 32
_GROUP_MIN = 3


class Shape(NamedTuple):
    """Shape and layout of the data, on which a plan depends.

    Attributes
    ----------
    n : int
        Rows with weight.
    p : int
        Columns.
    elements : int
        Stored numbers of X.
    layout : {"rows", "columns", "csr"}
        C order (or strided), Fortran order, sparse.
    n_rows : int
        All rows.
    n_apart : int
        Columns, of these p, of which no row stores two.
    """

    n: int
    p: int
    elements: int
    layout: str
    n_rows: int
    n_apart: int = 0


@dataclass(frozen=True)
class Plan:
    """How a fit goes about it.

    Attributes
    ----------
    way : {"compiled", "newton", "whitened", "matrix_free", "eliminated"}
    basis : {"never", "rescue", "first"}
        Whether the basis of singular vectors is used: never; if the fit in the basis of
        the columns is not certified; or from the start.
    sample_rows : int
        Rows of the sample that is solved first; 0 for none.
    hessian_rows : int
        Rows of the Hessian that whitens; 0 for all.
    sample_way : {"newton", "whitened"}
        How the sample is solved.
    polish : int
        Steps for the last digits.
    may_rescue : bool
        Whether the exact Hessian of all rows may be computed more than once.
    grid_rows : int
        Rows of the sample on which settings of a grid are solved first.
    group : int
        How many settings of a grid are solved together; 0 for one after another.
    targets : int
        How many targets are solved together; 0 for one after another.
    diagonal_first : bool
        Whether steps that the Hessian's diagonal alone whitens are tried before.
    working_set : bool
        Whether columns whose coefficients are likely zero are left out at first.
    """

    way: str
    basis: str
    sample_rows: int
    hessian_rows: int
    sample_way: str
    polish: int
    may_rescue: bool
    grid_rows: int
    group: int
    targets: int = 0
    diagonal_first: bool = False
    working_set: bool = False

    @property
    def is_matrix_free(self) -> bool:
        """True if the Hessian of all variables is known by its products alone."""
        return self.way in ("matrix_free", "eliminated")


def plan_of(rows: RowSource, penalty: Penalty | None = None) -> Plan:
    """Return the plan for these rows, without or with a penalty of the columns."""
    shape = Shape(
        n=rows.n_present,
        p=rows.n_features,
        elements=rows.n_elements,
        layout=rows.layout,
        n_rows=rows.n_rows,
    )
    compiled = IS_COMPILED and isinstance(rows, DenseRows)
    smooth = penalty is None or penalty.is_smooth
    if smooth and isinstance(rows, CSRRows) and _may_eliminate(shape):
        shape = shape._replace(n_apart=len(rows.columns_apart))
    plan = make_plan(shape, compiled=compiled, smooth=smooth)
    if penalty is None:
        return plan if rows.is_local else replace(plan, basis="never")
    # (In another basis the columns' own penalties and bounds would be lost.)
    is_wide = bool(np.all(np.asarray(penalty.l1) > 0)) and _is_wide(shape)
    targets = 0 if is_wide else plan.targets
    return replace(plan, basis="never", working_set=is_wide, targets=targets)


@functools.lru_cache(maxsize=64)
def make_plan(shape: Shape, *, compiled: bool = True, smooth: bool = True) -> Plan:
    """Return the plan for data of this shape.

    Parameters
    ----------
    shape : Shape
    compiled : bool
        Whether kernels are compiled.
    smooth : bool
        Whether there are neither absolute values nor bounds, which need a matrix.
    """
    n, p = shape.n, max(shape.p, 1)
    compiled = compiled and shape.layout != "csr"
    if shape.elements >= _DENSE_SHARE * shape.n_rows * p:
        # Dense data take the same steps in every layout.
        shape = shape._replace(layout="rows")
    sample_rows = _sample_rows(n, p)
    exact = _gram_cost(shape, n) + _CHOLESKY * p**3
    way, hessian_rows, seconds = _way(shape, sample_rows, exact, smooth)
    if compiled and smooth and way != "matrix_free" and _is_small(shape):
        way = "compiled"
    by_diagonal = smooth and _by_diagonal_cost(shape) <= _TRIAL_SHARE * seconds
    if way == "matrix_free" and by_diagonal:
        sample_rows = _FREE_SAMPLE_ROWS_PER_COLUMN * p
    elif way != "whitened":
        sample_rows = 0
    basis = _basis(shape)
    group = shape.elements // (_GROUP_SHARE * p**2)
    if group < _GROUP_MIN or way not in ("newton", "whitened"):
        group = 0
    return Plan(
        way=way,
        basis=basis,
        sample_rows=sample_rows,
        hessian_rows=hessian_rows,
        sample_way=_sample_way(sample_rows, p),
        polish=_polish(shape),
        may_rescue=p <= _MATRIX_COLUMNS and exact <= _RESCUE_SECONDS,
        grid_rows=max(sample_rows, min(_GRID_ROWS_PER_COLUMN * p, n // _GRID_SHARE)),
        group=group if way == "whitened" else 0,
        targets=group if basis != "first" else 0,
        diagonal_first=bool(by_diagonal),
    )


def _sample_rows(n: int, p: int) -> int:
    wanted = min(
        max(_SAMPLE_ROWS_PER_COLUMN * p, n // _SAMPLE_SHARE),
        _SAMPLE_ROWS_PER_COLUMN_MAX * p,
    )
    wanted = max(wanted, _SAMPLE_ROWS_MIN)
    return wanted if 2 * wanted <= n else 0


def _gram_cost(shape: Shape, n_rows: float, rough: bool = False) -> float:
    """Return the seconds of a Gram matrix of some rows."""
    rate = _PRODUCT[shape.layout]
    if shape.layout == "csr":
        row = shape.elements / max(shape.n_rows, 1)
        if shape.p > _CACHED_COLUMNS:
            rate = _FAR_PRODUCT
        return rate * n_rows * row**2
    products = rate * shape.p**2 * (_ROUGH if rough else 1.0)
    return n_rows * (products + _STANDARDISE * shape.p)


def _way(
    shape: Shape, sample_rows: int, exact: float, smooth: bool
) -> tuple[str, int, float]:
    """Return the cheapest way, the rows of its Hessian (0 for all), and its seconds."""
    n, p = shape.n, max(shape.p, 1)
    sweep = _SWEEP[shape.layout] * shape.elements
    matrix = _matrix_cost(p)
    step = _CALL + (_MATRIX_STEP * p**2 if smooth else _FACES * _CHOLESKY * p**3)
    ways = {}
    if smooth and (shape.layout == "csr" or p > _MATRIX_COLUMNS):
        products = _PRODUCTS * max(1.0, _PRODUCTS_LEVEL_ROWS * shape.n_apart / n)
        ways["matrix_free", 0] = products * (_RICH_SWEEP * sweep + _CALL / 3)
    others = p - shape.n_apart
    # (The matrix of the eliminated columns and the others is dense.)
    if shape.n_apart and max(shape.n_apart, others) * others <= _MATRIX_COLUMNS**2:
        ways["eliminated", 0] = _ELIMINATED_SWEEPS * (_RICH_SWEEP * sweep + _CALL)
        schur = 2 * _PRODUCT["rows"] * shape.n_apart * others**2
        ways["eliminated", 0] += _ELIMINATED_HESSIANS * (
            _gram_cost(shape, n) + schur + _matrix_cost(others)
        )
    if p <= _MATRIX_COLUMNS or not smooth:
        ways["newton", 0] = _NEWTON_STEPS * (sweep + exact + step)
        for rows, steps, gram in _hessians(shape, sample_rows):
            steps += _polish(shape)
            ways["whitened", rows] = gram + matrix + steps * (sweep + step)
            if sample_rows:
                inner = sample_rows / n * sweep + _CALL
                hessian = _gram_cost(shape, sample_rows) + matrix
                n_hessians = _SAMPLE_STEPS
                if _sample_way(sample_rows, p) == "whitened":
                    n_hessians = 1
                ways["whitened", rows] += _SAMPLE_STEPS * inner + n_hessians * hessian
    way, rows = min(ways, key=lambda way: ways[way])
    return way, rows, ways[way, rows]


def _by_diagonal_cost(shape: Shape) -> float:
    """Return the seconds of a fit whose steps the Hessian's diagonal whitens.

    Infinity for dense data, for few rows for each column, and for one-hot columns,
    which are correlated: they add up to a column of ones.
    """
    n, p = shape.n, max(shape.p, 1)
    if shape.layout != "csr" or shape.n_apart or n < _DIAGONAL_ROWS_PER_COLUMN * p:
        return np.inf
    sweep = _SWEEP["csr"] * shape.elements
    steps = _DIAGONAL_LOG_GAP / np.log(n / p)
    sample = max(_FREE_SAMPLE_ROWS_PER_COLUMN * p, _sample_rows(n, p)) / n
    return (1.0 + steps) * (sweep + _CALL) + _PRODUCTS * sample * _RICH_SWEEP * sweep


def _matrix_cost(p: int) -> float:
    """Return the seconds that a model of p variables and its factorisation take."""
    return _CHOLESKY * p**3 + _MODEL_STEPS * _MATRIX_STEP * p**2


def _may_eliminate(shape: Shape) -> bool:
    """Return whether a matrix of all columns costs more than a look at the indices."""
    return _matrix_cost(shape.p) > _SWEEP["csr"] * shape.elements


def _sample_way(sample_rows: int, p: int) -> str:
    return "newton" if sample_rows * p**2 <= 2**22 else "whitened"


def _hessians(shape: Shape, sample_rows: int) -> list[tuple[int, float, float]]:
    """Return candidates for a whitening: rows (0: all), steps, seconds to make it."""
    n, p = shape.n, max(shape.p, 1)
    steps = 1 + _LOG_GAP / np.log(min(n / p + 2, _BEST_CONTRACTION))
    if not sample_rows:  # from a start that is far off, whitened two or three times
        return [(0, 3 * steps, 3 * _gram_cost(shape, n, rough=True))]
    found = []
    if p <= _ROUGH_COLUMNS or shape.layout == "csr":
        found.append((0, steps, _gram_cost(shape, n, rough=True)))
    for k in _HESSIAN_ROWS_PER_COLUMN:
        rows = min(k * p, n // _HESSIAN_SHARE)
        steps = 1 + _LOG_GAP / np.log(max(rows / p, 2.0))
        seconds = _gram_cost(shape, rows)
        if shape.layout == "csr":
            seconds += _RARE_COLUMNS * rows / n * _MATRIX_STEP * p**2
        found.append((rows, steps, seconds))
    return found


def _is_small(shape: Shape) -> bool:
    """Return whether the compiled way is open, and quicker than calls from Python."""
    n, p = shape.n, shape.p
    return (
        shape.layout != "csr"
        and p <= _COMPILED_COLUMNS
        and n >= p
        and _COMPILED_GRAM * n * p**2 <= _CALL
    )


def _is_wide(shape: Shape) -> bool:
    """Return whether a few columns at a time are cheaper than a matrix of all."""
    if shape.p < _WIDE_COLUMNS:
        return False
    most = _WIDE_CSR_COLUMNS if shape.layout == "csr" else _MATRIX_COLUMNS
    return shape.p > most or _WIDE_ROWS_PER_COLUMN * shape.p > shape.n


def _basis(shape: Shape) -> str:
    n, p = shape.n_rows, min(shape.p, shape.elements)  # (others are empty)
    seconds = _SVD * n * p * min(n, p)
    copies = n * p / max(shape.elements, 2**20)
    if seconds > _BASIS_SECONDS or copies > _BASIS_COPIES:
        return "never"
    return "first" if shape.n <= _BASIS_ROWS_PER_COLUMN * p else "rescue"


def _polish(shape: Shape) -> int:
    if shape.elements > _POLISH_ELEMENTS:
        return 0
    return next((steps for most, steps in _POLISH if shape.n <= most), 0)
