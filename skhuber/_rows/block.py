"""One block of rows, and what is computed of it: pure functions.

An engine (`skhuber._rows.engine`) calls each function as ``function(block, *kept,
*local, threads, *common)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skhuber._common.scale import between
from skhuber._rows.base import RowSource
from skhuber._rows.csr import csr_rows
from skhuber._rows.dense import DenseRows
from skhuber._rows.memory import MemoryRows
from skhuber._runtime import one_blas_thread
from skhuber._sums import Data, Floats, Point, Sums, Want

Index = NDArray[np.intp]


@dataclass(frozen=True)
class Block:
    """X, y and weights of one chunk, which never change.

    Attributes
    ----------
    X : ndarray in C order, or CSR matrix
    y : ndarray
    weight : ndarray of float64 or None
    """

    X: Any
    y: Data
    weight: Floats | None

    @property
    def is_empty(self) -> bool:
        """True without a row of positive weight."""
        return not (len(self.y) if self.weight is None else self.weight.any())

    @property
    def n_bytes(self) -> int:
        """Bytes of the arrays."""
        X = self.X
        parts = [X.data, X.indices, X.indptr] if sp.issparse(X) else [X]
        parts += [self.y] if self.weight is None else [self.y, self.weight]
        return sum(part.nbytes for part in parts)

    def __sizeof__(self) -> int:
        """Return the bytes, by which Dask decides what to write to disk."""
        return object.__sizeof__(self) + self.n_bytes

    def rows(self, power: int | None = None, threads: int = 1) -> MemoryRows:
        """Return the source of these rows."""
        options: dict[str, Any] = {"threads": threads, "weight_power": power}
        if not sp.issparse(self.X):
            return DenseRows(self.X, self.y, self.weight, **options)
        return csr_rows(self.X, self.y, self.weight, **options)

    def take(self, index: Index, weight: Floats | None) -> Block:
        """Return some rows, with these weights."""
        return Block(self.X[index], self.y[index], weight)


@dataclass(frozen=True)
class Facts:
    """Size, type and faults of a block.

    Attributes
    ----------
    n_rows, n_features, n_elements, n_present : int
    n_bytes : int
    is_sparse, has_weights : bool
    dtype : dtype
    problem : str
        A fault of y or of the weights, or an empty string.
    power : int
        Of the unit of weights of this block alone.
    total : float
        Σ s in that unit.
    largest_weight : float
    """

    n_rows: int
    n_features: int
    n_elements: int
    n_present: int
    n_bytes: int
    is_sparse: bool
    has_weights: bool
    dtype: Any
    problem: str
    power: int
    total: float
    largest_weight: float


def facts(block: Block, threads: int) -> Facts:
    """Return the facts of a block."""
    X, y, weight = block.X, block.y, block.weight
    problem = ""
    if len(y) != X.shape[0]:
        problem = f"y has {len(y)} values for {X.shape[0]} samples of X"
    elif not np.isfinite(y).all():
        problem = "y contains NaN or infinity"
    power, total, largest, present = 0, float(len(y)), 1.0, len(y)
    if weight is not None:
        if len(weight) != len(y):
            problem = f"sample_weight has {len(weight)} values for {len(y)} samples"
        elif not np.isfinite(weight).all():
            problem = "sample_weight contains NaN or infinity"
        elif weight.min(initial=0.0) < 0:
            problem = f"sample_weight must be non-negative, got {float(weight.min())!r}"
        largest = float(weight.max(initial=0.0))
        present = int(np.count_nonzero(weight))
        if largest > 0 and not problem:
            power = int(np.clip(-np.frexp(largest)[1], -1000, 1000))
        total = float(np.sum(weight * 2.0**power)) if not problem else 0.0
    is_sparse = bool(sp.issparse(X))
    n_elements = X.nnz if is_sparse else X.size
    return Facts(
        n_rows=X.shape[0],
        n_features=X.shape[1],
        n_elements=n_elements,
        n_present=present,
        n_bytes=block.n_bytes,
        is_sparse=is_sparse,
        has_weights=weight is not None,
        dtype=X.dtype,
        problem=problem,
        power=power,
        total=total,
        largest_weight=largest,
    )


def dense_facts(n_rows: int, n_features: int, dtype: Any) -> Facts:
    """Return the facts of a dense block without weights, as far as its shape tells."""
    return Facts(
        n_rows=n_rows,
        n_features=n_features,
        n_elements=n_rows * n_features,
        n_present=n_rows,
        n_bytes=n_rows * n_features * np.dtype(dtype).itemsize,
        is_sparse=False,
        has_weights=False,
        dtype=dtype,
        problem="",
        power=0,
        total=float(n_rows),
        largest_weight=1.0,
    )


def facts_and_taken(
    block: Block, picks: tuple[Index, Floats | None], threads: int
) -> tuple[Facts, Block | None]:
    """Return the facts of a block, and some rows if it is long enough to have them."""
    found = facts(block, threads)
    is_short = found.n_rows <= picks[0].max(initial=-1)
    if found.problem or is_short:
        return found, None
    return found, taken(block, picks, threads)


@np.errstate(over="ignore", invalid="ignore")
@one_blas_thread
def swept(
    block: Block, threads: int, power: int, points: Sequence[Point], want: Want
) -> list[Sums] | None:
    """Return the sums of a block; None for an empty one."""
    if block.is_empty:
        return None
    return block.rows(power, threads).sweep(points, want)


@np.errstate(over="ignore", invalid="ignore")
@one_blas_thread
def swept_and_kept(
    block: Block, threads: int, power: int, point: Point, want: Want
) -> tuple[list[Sums] | None, Floats]:
    """Return the sums of a block, and the residuals of its rows."""
    residuals = np.zeros(len(block.y))
    if block.is_empty:
        return None, residuals
    sums = block.rows(power, threads).sweep([point], want, residuals)
    return sums, np.abs(residuals)


@dataclass(frozen=True)
class AndSampled:
    """Function of a block, and sums over rows picked from it, in one task.

    Attributes
    ----------
    function, common : callable, tuple
        Called as ``function(block, *kept, threads, *common)``.
    point, want : Point, Want
        Where the sums over the picked rows are made, and which.
    """

    function: Callable[..., Any]
    common: tuple[Any, ...]
    point: Point
    want: Want

    def __call__(self, block: Block, *given: Any) -> list[Any]:
        """Return the result of the function, and the sums over the picks."""
        *kept, picks, threads = given
        part = block.take(*picks)
        return [
            self.function(block, *kept, threads, *self.common),
            swept(part, threads, 0, [self.point], self.want),
        ]


def taken(
    block: Block, picks: tuple[Index, Floats | None], threads: int
) -> Block | None:
    return block.take(*picks) if len(picks[0]) else None


def weights_at(block: Block, index: Index, threads: int) -> Floats:
    assert block.weight is not None
    return block.weight[index]


def targets(block: Block, threads: int) -> Data:
    return block.y


def weights(block: Block, threads: int) -> Floats:
    assert block.weight is not None
    return block.weight


def deviation(block: Block, threads: int, centre: Floats) -> Floats:
    if block.is_empty:
        return np.zeros(len(centre))
    return block.rows(None, threads).max_abs_deviation(centre)


def is_finite(block: Block, threads: int) -> bool:
    return block.is_empty or block.rows(None, threads).is_finite


def applied(
    block: Block, threads: int, power: int, function: Callable[[RowSource], float]
) -> float:
    return 0.0 if block.is_empty else function(block.rows(power, threads))


def shares(
    block: Block, threads: int, point: Point, mean_square: Floats
) -> tuple[None, Floats]:
    if block.is_empty:
        return None, np.ones(len(block.y))
    rows = block.rows(None, threads)
    return None, rows.leverage_shares(point, mean_square)


def _lengths(block: Block, power: int, share: Floats | None = None) -> Floats:
    s = np.ones(len(block.y)) if block.weight is None else block.weight * 2.0**power
    return s if share is None else np.where(s > 0, s * share, 0.0)


def length(block: Block, both: tuple[None, Floats], threads: int, power: int) -> float:
    return float(_lengths(block, power, both[1]).sum())


def certain(
    block: Block,
    both: tuple[None, Floats],
    threads: int,
    power: int,
    n_picks: int,
    total: float,
) -> Floats:
    """Return the number of rows that are taken for certain, and the others' length."""
    length = _lengths(block, power, both[1])
    certain = length * n_picks >= total
    return np.array([certain.sum(), length[~certain].sum()])


def picked(
    block: Block, where: tuple[float, Floats], threads: int, power: int
) -> Index:
    """Return the rows in which points of the cumulated weights lie."""
    return _located(_lengths(block, power), *where)


def picked_by(
    block: Block,
    both: tuple[None, Floats],
    where: tuple[float, Floats],
    threads: int,
    power: int,
    n_picks: int,
    total: float,
    each: float,
) -> tuple[Index, Floats]:
    """Return the rows picked by share, as `skhuber._rows.sampling.by_share` does."""
    share = both[1]
    length = _lengths(block, power, share)
    certain = length * n_picks >= total
    length[certain] = 0.0
    index, counts = np.unique(_located(length, *where), return_counts=True)
    (taken,) = np.nonzero(certain)
    s = _lengths(block, power)
    drawn = np.concatenate([s[taken], counts * each / share[index]])
    return np.concatenate([taken, index]), drawn


def _located(length: Floats, before: float, points: Floats) -> Index:
    if not len(points):
        return np.empty(0, np.intp)
    ends = before + np.cumsum(length)
    picks = np.searchsorted(ends, points, side="right")
    return np.minimum(picks, len(length) - 1, out=picks)


@dataclass(frozen=True)
class Near:
    """The |r| between two bounds, and the weight below them; sums add up.

    Attributes
    ----------
    below : float
        Σ s of the rows with |r| below the lower bound.
    values : ndarray or None
        The |r| within the bounds, of rows with weight, in their order; None if there
        are too many.
    weight : ndarray or None
        Their s; None without weights.
    """

    below: float
    values: Floats | None
    weight: Floats | None

    def __add__(self, other: Near) -> Near:
        below = self.below + other.below
        if self.values is None or other.values is None:
            return Near(below, None, None)
        weight = None
        if self.weight is not None and other.weight is not None:
            weight = np.concatenate([self.weight, other.weight])
        return Near(below, np.concatenate([self.values, other.values]), weight)


def within(
    block: Block,
    both: tuple[Any, Floats],
    threads: int,
    power: int,
    low: float,
    high: float,
    most: float | None = None,
) -> Near:
    """Return the |r| between two bounds, and the weight below them.

    Parameters
    ----------
    low, high : float
        The bounds, both included.
    most : float, default=None
        The most values, as a share of the rows; 64 are always returned. None: however
        many there are.
    """
    values, s = both[1], block.weight
    below, inside = between(values, s, low, high)
    if s is not None:
        inside &= s > 0
        below *= 2.0**power
    if most is not None and np.count_nonzero(inside) > 64 + most * len(values):
        return Near(below, None, None)
    weight = None if s is None else s[inside] * 2.0**power
    return Near(below, values[inside], weight)


def sums_and_near(
    block: Block, both: tuple[Any, Floats], threads: int, power: int, *bounds: float
) -> list[Any]:
    """Return the sums that were kept, and what is `within` bounds around a median."""
    return [both[0], within(block, both, threads, power, *bounds)]


def histogram(
    block: Block, both: tuple[Any, Floats], threads: int, power: int, edges: Floats
) -> Floats:
    """Return the weight and the number of the |r| in each cell, one after the other.

    The first cell is below all edges. The others begin with an edge, which they hold.
    """
    s = _lengths(block, power)
    cell = np.searchsorted(edges, both[1][s > 0], side="right")
    size = len(edges) + 1
    weight = np.bincount(cell, s[s > 0], minlength=size)
    return np.concatenate([weight, np.bincount(cell, minlength=size)])


def smallest_above(
    block: Block, both: tuple[Any, Floats], threads: int, value: float
) -> float:
    """Return the smallest |r| above a value, or infinity."""
    values = both[1] if block.weight is None else both[1][block.weight > 0]
    return float(values[values > value].min(initial=np.inf))


def clipped(
    block: Block, both: tuple[Any, Floats], threads: int, power: int, threshold: float
) -> float:
    s = _lengths(block, power)
    squares = np.minimum(both[1][s > 0] / threshold, 1.0) ** 2
    return float(s[s > 0] @ squares)
