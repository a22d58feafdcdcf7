"""Rows of a fit, of the chunks of a collection."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from skhuber._rows import RowSource
from skhuber._rows.block import Facts, dense_facts, facts
from skhuber._rows.engine import Engine
from skhuber._rows.remote import RemoteRows, Sampled
from skhuber.dask._chunks import Chunks
from skhuber.dask._engines import engine_of

if TYPE_CHECKING:
    from skhuber._fit import Fit


@dataclass(frozen=True)
class Blocks:
    """Rows of a fit: those on the workers, or all of them gathered if they are few.

    Attributes
    ----------
    rows, remote : RowSource, RemoteRows
    """

    rows: RowSource
    remote: RemoteRows

    def check(self, fit: Fit) -> None:
        """Raise an error that names the chunk if the sums of a fit are not finite."""
        if fit.is_finite:
            return
        bad = self.remote.bad_blocks()
        if bad:
            raise ValueError(
                f"X contains NaN or infinity in chunk {bad[0]}"
                + (f" and {len(bad) - 1} others" if bad[1:] else "")
                + f" of {len(self.remote.lengths)}."
            )
        raise ValueError(
            "X or y has values so large that sums over them, times the weights, or the "
            "objective overflow."
        )


@contextlib.contextmanager
def blocks_of(chunks: Chunks, client: Any, threads: int) -> Iterator[Blocks]:
    """Hold the rows of chunks for a fit, loaded if they fit in memory."""
    from skhuber._fit import is_small

    engine, known = engine_of(chunks, client, threads)
    try:
        sampled = None
        if known is None:
            known, sampled = _facts_and_sample(engine, chunks, threads)
        _check(known)
        remote = RemoteRows(engine, known, threads=threads, sampled=sampled)
        rows: RowSource = remote
        if is_small(remote):
            rows = remote.gathered()
        yield Blocks(rows, remote)
    finally:
        engine.close()


def _facts_and_sample(
    engine: Engine, chunks: Chunks, threads: int
) -> tuple[list[Facts], Sampled | None]:
    """Return the facts of the blocks and the sample of a fit, if one read has both.

    That takes the shape of X, which a collection may know or not, and the weights: they
    decide which rows are in the sample.
    """
    from skhuber._fit import sample_size

    expected = _expected(engine, chunks)
    if expected is not None:
        _check(expected)
        rows = RemoteRows(engine, expected, threads=threads)
        n_rows = sample_size(rows)
        if n_rows:
            return rows.facts_and_sample(n_rows)
    return engine.each("huber-check", facts), None


def _expected(engine: Engine, chunks: Chunks) -> list[Facts] | None:
    """Return the facts of the blocks as far as they are known without X and y."""
    if chunks.shapes is None:
        return None
    if chunks.weights is None:
        return [
            dense_facts(n_rows, n_features, chunks.dtype)
            for n_rows, n_features in chunks.shapes
        ]
    of_weights = engine.of_weights.each("huber-check", facts)
    return [
        replace(one, n_features=p, n_elements=one.n_rows * p)
        for one, (_, p) in zip(of_weights, chunks.shapes, strict=True)
    ]


def _check(known: list[Facts]) -> None:
    """Raise an error that names the chunk and what is wrong with it."""
    for k, one in enumerate(known):
        if one.problem:
            raise ValueError(f"{one.problem}, in chunk {k} of {len(known)}.")
        if one.n_features != known[0].n_features:
            raise ValueError(
                f"X has {one.n_features} features in chunk {k}, and "
                f"{known[0].n_features} in chunk 0."
            )
        if one.is_sparse != known[0].is_sparse:
            raise ValueError("X must have all chunks sparse or none.")
    n_rows = sum(one.n_rows for one in known)
    if n_rows == 0:
        raise ValueError(
            f"Found array with 0 sample(s) (shape=(0, {known[0].n_features})) while a "
            "minimum of 1 is required by DaskHuberRegressor."
        )
    if known[0].n_features == 0:
        raise ValueError(
            "Found array with 0 feature(s) while a minimum of 1 is required by "
            "DaskHuberRegressor."
        )
    if known[0].has_weights and not any(one.largest_weight > 0 for one in known):
        raise ValueError(
            "sample_weight must have at least one positive weight, got zeros only."
        )
    total = sum(np.ldexp(one.total, -one.power) for one in known)
    if not np.isfinite(total):
        raise ValueError(
            "sample_weight must have a finite sum, got weights whose sum overflows."
        )
