"""Chunks of Dask collections, which become blocks of rows."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import dask
import dask.array as da
import numpy as np
import scipy.sparse as sp
from dask.delayed import Delayed

from skhuber._rows.block import Block

# Types of columns that are no numbers.
_NO_NUMBERS = "OSUmM"


@dataclass(frozen=True)
class Chunks:
    """Collections of one fit, with the same chunks of rows.

    Attributes
    ----------
    X, y, weight : collection or None
        The user's collections, chunked alike.
    parts : list of tuple of Delayed
        The chunks (X, y) or (X, y, weight), or of dataframes ((block,),).
    dtype : dtype
        float32 if X is, else float64.
    names : list of str or None
        The columns of a dataframe, if all are strings.
    n_bytes : float
        Of all chunks; NaN if it is not known.
    weights : list of Delayed or None
        The chunks of the weights alone, if they can be read without X.
    """

    X: Any
    y: Any
    weight: Any
    parts: list[tuple[Delayed, ...]]
    dtype: Any
    names: list[str] | None
    n_bytes: float
    weights: list[Delayed] | None = None

    @property
    def shapes(self) -> list[tuple[int, int]] | None:
        """The shapes of the chunks of X; None if they, or the zeros, are not known."""
        if np.isnan(self.n_bytes):
            return None
        return [(length, self.X.shape[1]) for length in self.X.chunks[0]]


def is_collection(values: object) -> bool:
    """Return whether values are a Dask collection."""
    return bool(dask.is_dask_collection(values))


def is_frame(values: object) -> bool:
    """Return whether a collection is a dataframe or a series."""
    return (
        is_collection(values)
        and hasattr(values, "map_partitions")
        and hasattr(values, "divisions")
    )


def chunks_of(X: Any, y: Any, weight: Any) -> Chunks:
    """Return the chunks of checked collections; nothing is computed."""
    if not is_collection(X):
        raise TypeError(
            f"X must be a Dask array or dataframe, got {type(X).__name__}. For data in "
            "memory there is skhuber.HuberRegressor."
        )
    if y is None:
        raise ValueError(
            "DaskHuberRegressor requires y to be passed, but the target y is None."
        )
    given = {"X": X, "y": y, "sample_weight": weight}
    for name, values in given.items():
        if values is not None:
            _check_types(name, values)
    if is_frame(X):
        return _frame_chunks(X, y, weight)
    return _array_chunks(X, y, weight)


def _check_types(name: str, values: Any) -> None:
    """Raise a TypeError if columns are no numbers, from what Dask knows of them."""
    meta = getattr(values, "_meta", values)
    if hasattr(meta, "dtypes") and hasattr(meta, "columns"):
        types = dict(zip(meta.columns, meta.dtypes, strict=True))
    elif hasattr(meta, "dtype"):
        types = {"": meta.dtype}
    else:
        return
    bad = {
        column: str(kind)
        for column, kind in types.items()
        if getattr(kind, "kind", "O") in _NO_NUMBERS
    }
    if bad:
        shown = ", ".join(f"{c} ({t})" if c != "" else t for c, t in bad.items())
        raise TypeError(
            f"{name} must be numbers, got {shown}. Convert these columns, or leave "
            "them out."
        )


def _array_chunks(X: Any, y: Any, weight: Any) -> Chunks:
    if X.ndim != 2:
        raise ValueError(f"X must have two dimensions, got an array of {X.ndim}.")
    if len(X.chunks[1]) > 1:
        warnings.warn(
            f"X has {len(X.chunks[1])} chunks of columns; they are put together for "
            "each block of rows, which moves or reads all of X once more. Store X in "
            "chunks of rows.",
            UserWarning,
            stacklevel=5,
        )
        X = X.rechunk({1: -1})
    known = not np.isnan(X.chunks[0]).any()
    others: list[Any] = []
    for name, values in (("y", y), ("sample_weight", weight)):
        if values is None:
            others.append(None)
            continue
        others.append(_like_rows_of(X, name, values, known=known))
    parts = [X.to_delayed().ravel()]
    parts += [one.to_delayed().ravel() for one in others if one is not None]
    dtype = np.dtype(np.float32 if X.dtype == np.float32 else np.float64)
    return Chunks(
        X,
        others[0],
        others[1],
        list(zip(*parts, strict=True)),
        dtype,
        None,
        _bytes_of(X) if known else np.nan,
        parts[2] if len(parts) > 2 else None,
    )


def _bytes_of(X: Any) -> float:
    if sp.issparse(X._meta) or type(X._meta) is not np.ndarray:
        return np.nan  # (of a sparse array Dask counts the zeros)
    return float(X.nbytes)


def _like_rows_of(X: Any, name: str, values: Any, *, known: bool) -> Any:
    """Return y or weights as an array with the chunks of rows that X has."""
    n_chunks = len(X.chunks[0])
    if is_frame(values):
        values = values.to_dask_array()
    elif not is_collection(values):
        values = np.asarray(values)
        if not known:
            raise ValueError(
                f"{name} must be a Dask collection with the chunks of X, whose lengths "
                f"are not known, got {type(values).__name__}. Call "
                "X.compute_chunk_sizes() first, or pass a collection."
            )
        values = da.from_array(values, chunks=-1)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise ValueError(_not_one_column(name, f"shape {values.shape}"))
    if known and not np.isnan(values.chunks[0]).any():
        if values.shape[0] != X.shape[0]:
            raise ValueError(
                f"{name} must have one value for each sample of X: found "
                f"{X.shape[0]} samples in X and {values.shape[0]} in {name}."
            )
        return values.rechunk((X.chunks[0],))
    if len(values.chunks[0]) != n_chunks:
        raise ValueError(
            f"{name} must have as many chunks as X, whose lengths are not known: found "
            f"{n_chunks} in X and {len(values.chunks[0])} in {name}. Take both from "
            "one collection, or call compute_chunk_sizes() on both."
        )
    return values


def _not_one_column(name: str, found: str) -> str:
    """Return the text of an error about several columns of y or of weights."""
    text = f"{name} must be one column, got {found}"
    if name != "y":
        return f"{text}."
    return (
        f"{text}: DaskHuberRegressor fits one target at a time. Fit a model for each "
        "column of y."
    )


def _frame_chunks(X: Any, y: Any, weight: Any) -> Chunks:
    """Return the chunks of dataframes, all made in one step.

    (Converted apart, Parquet may give collections with different partitions, since Dask
    joins small files depending on the columns that are read.)
    """
    n = X.npartitions
    series = []
    for name, values in (("y", y), ("sample_weight", weight)):
        if values is None:
            continue
        if not is_collection(values):
            raise TypeError(
                f"{name} must be a Dask series or array with the partitions of X, got "
                f"{type(values).__name__}."
            )
        parts = values.npartitions
        if parts != n:
            raise ValueError(
                f"{name} must have as many partitions as X: found {n} in X and {parts} "
                f"in {name}."
            )
        columns = getattr(values, "columns", None)
        if columns is not None and len(columns) != 1:
            raise ValueError(_not_one_column(name, f"{len(columns)} columns"))
        series.append(values)
    meta = X._meta
    names = [str(c) for c in meta.columns]
    single = all(kind == np.float32 for kind in meta.dtypes)
    dtype = np.dtype(np.float32 if single else np.float64)
    if all(is_frame(values) for values in series):
        blocks = X.map_partitions(_MakeBlock(dtype), *series, meta=(None, object))
        parts = [(block,) for block in blocks.to_delayed()]
    else:
        parts = list(
            zip(X.to_delayed(), *(v.to_delayed() for v in series), strict=True)
        )
    is_named = all(isinstance(c, str) for c in meta.columns)
    return Chunks(X, y, weight, parts, dtype, names if is_named else None, np.nan)


@dataclass(frozen=True)
class _MakeBlock:
    """Function that makes a block of the partitions of X, y and weights.

    Dask calls it in the task that reads them, so that no dataframe waits in memory. The
    block is in a tuple, since Dask makes a series of what has no length.
    """

    dtype: Any

    def __call__(self, *parts: Any) -> tuple[Block]:
        return (make_block(self.dtype, *parts),)


def make_block(dtype: Any, *parts: Any) -> Block:
    """Return a chunk as a block, in one layout and type.

    Rows in C order, since a chunk of an array in F order arrives elsewhere in C order,
    and its sums are rounded otherwise.
    """
    if len(parts) == 1:  # a block already
        block: Block
        (block,) = parts[0]
        return block
    X, y = parts[0], parts[1]
    weight = parts[2] if len(parts) > 2 else None
    if hasattr(X, "to_numpy"):
        X = X.to_numpy(dtype=dtype)
    if sp.issparse(X):
        X = sp.csr_matrix(X) if X.format != "csr" else X
        X = X.astype(dtype, copy=False)
        if not X.has_canonical_format:
            X = X.copy()
            X.sum_duplicates()
    else:
        X = np.ascontiguousarray(X, dtype=dtype)
    y = np.asarray(y)
    y = np.ascontiguousarray(y.reshape(len(y)), dtype=_float_type(y))
    return Block(X, y, None if weight is None else _weights(weight))


def make_block_of_weights(dtype: Any, part: Any) -> Block:
    """Return a block without columns, which takes the weights for y, too."""
    weight = _weights(part)
    return Block(np.empty((len(weight), 0), dtype), weight, weight)


def _weights(part: Any) -> Any:
    weight = np.asarray(part)
    return np.ascontiguousarray(weight.reshape(len(weight)), dtype=np.float64)


def _float_type(y: Any) -> Any:
    return np.float32 if y.dtype == np.float32 else np.float64
