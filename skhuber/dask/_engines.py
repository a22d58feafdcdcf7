"""Engines: threads of this process, or workers of a cluster, apply functions to blocks.

Blocks that fit in memory are loaded once and kept. Others are loaded anew in each
sweep, by the task that makes their sums.
"""

from __future__ import annotations

import contextlib
import math
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any

import dask
from dask.delayed import Delayed
from distributed import get_client, get_worker, wait
from distributed.client import FutureCancelledError
from distributed.scheduler import KilledWorker
from distributed.system import MEMORY_LIMIT

from skhuber._rows.block import Block, Facts, facts
from skhuber._rows.engine import Engine, subtrees, total_of
from skhuber.dask._chunks import Chunks, make_block, make_block_of_weights

# The part of the memory that blocks may take to be kept.
_KEPT_SHARE = 0.6


@dataclass(frozen=True)
class Later:
    """Results that are computed whenever they are asked for."""

    function: Callable[..., Any]
    common: tuple[Any, ...]


@dataclass(frozen=True)
class Call:
    """A function with its common arguments, as tasks get it."""

    function: Callable[..., Any]
    common: tuple[Any, ...]
    kept: Later | None = None

    def __call__(self, block: Block, threads: int, *own: Any) -> Any:
        if self.kept is not None:
            result = self.kept.function(block, threads, *self.kept.common)
            own = (result, *own)
        return self.function(block, *own, threads, *self.common)


def on_chunk(
    call: Call,
    make: Callable[..., Block],
    dtype: Any,
    own: tuple[Any, ...],
    *parts: Any,
) -> Any:
    """Return the result for a chunk that is not kept."""
    return call(make(dtype, *parts), 1, *own)


class Streaming(Engine):
    """Engine that loads each chunk in the task that uses it.

    Parameters
    ----------
    chunks : Chunks
    compute : callable
        Takes tasks (Delayed) and returns their results.
    only_weights : bool
        Whether blocks have the weights alone.
    """

    def __init__(
        self,
        chunks: Chunks,
        compute: Callable[[list[Delayed]], list[Any]],
        *,
        only_weights: bool = False,
    ) -> None:
        self._chunks = chunks
        self._compute = compute
        self._make: Callable[..., Block] = make_block
        self._parts: Sequence[tuple[Delayed, ...]] = chunks.parts
        if only_weights and chunks.weights is not None:
            self._make = make_block_of_weights
            self._parts = [(part,) for part in chunks.weights]
        self.n_blocks = len(self._parts)

    @property
    def of_weights(self) -> Engine:
        return Streaming(self._chunks, self._compute, only_weights=True)

    def each(
        self,
        label: str,
        function: Callable[..., Any],
        *common: Any,
        kept: Any = None,
        local: Sequence[Any] | None = None,
    ) -> list[Any]:
        call = Call(function, common, kept)
        token = uuid.uuid4().hex
        run = dask.delayed(on_chunk, pure=False, traverse=False)
        dtype = self._chunks.dtype
        tasks = []
        for k, parts in enumerate(self._parts):
            own = () if local is None else local[k]
            key = f"{label}-{token}-{k}"
            tasks.append(run(call, self._make, dtype, own, *parts, dask_key_name=key))
        return self._compute(tasks)

    def keep(self, label: str, function: Callable[..., Any], *common: Any) -> Any:
        return Later(function, common)


class InMemory(Engine):
    """Engine with all blocks in this process, which threads share row by row."""

    def __init__(self, blocks: Sequence[Block], threads: int) -> None:
        self._blocks = blocks
        self._threads = threads
        self.n_blocks = len(blocks)

    def each(
        self,
        label: str,
        function: Callable[..., Any],
        *common: Any,
        kept: Any = None,
        local: Sequence[Any] | None = None,
    ) -> list[Any]:
        call = Call(function, common)
        found = []
        for k, block in enumerate(self._blocks):
            own = () if kept is None else (kept[k],)
            own += () if local is None else tuple(local[k])
            found.append(call(block, self._threads, *own))
        return found

    def keep(self, label: str, function: Callable[..., Any], *common: Any) -> Any:
        return self.each(label, function, *common)


# --- a cluster ------------------------------------------------------------------------


@dataclass(frozen=True)
class KeptByGroups:
    """Results that stay on the workers: for each group its blocks and a future."""

    groups: list[tuple[list[int], Any]]


@dataclass(frozen=True)
class GroupResult:
    """Results for some blocks, or sums over some, and the worker that made them."""

    worker: str
    values: dict[Any, Any]


def on_group(
    call: Call,
    numbers: list[int],
    blocks: list[Block],
    own: list[tuple[Any, ...]],
    kept: GroupResult | None,
    as_sum: bool,
) -> GroupResult:
    """Return the results for the blocks of a worker, or their sums."""
    worker = get_worker()
    found = {}
    for k, block, extra in zip(numbers, blocks, own, strict=True):
        if kept is not None:
            extra = (kept.values[k], *extra)
        found[k] = call(block, worker.state.nthreads, *extra)
    return GroupResult(worker.address, subtrees(found) if as_sum else found)


class OnWorkers(Engine):
    """Engine whose blocks are futures: one task for each worker and call.

    The client sends a message at once only if it has sent none for 10 ms. So the tasks
    of a call are one message, and the results of the call before it are released after
    they were sent.

    Parameters
    ----------
    client : distributed.Client
    blocks : list of Future
    """

    def __init__(self, client: Any, blocks: Sequence[Any]) -> None:
        self._client = client
        self._blocks = list(blocks)
        self.n_blocks = len(blocks)
        self._groups: dict[str, list[int]] = {}
        self._before: list[Any] = []

    def _placed(self) -> dict[str, list[int]]:
        """Return the blocks of each worker."""
        if not self._groups:
            where = self._client.who_has(self._blocks)
            for k, block in enumerate(self._blocks):
                holder = min(where.get(block.key) or [""])
                self._groups.setdefault(holder, []).append(k)
        return self._groups

    def _submit(
        self,
        label: str,
        call: Call,
        kept: KeptByGroups | None,
        local: Sequence[Any] | None,
        *,
        as_sum: bool,
    ) -> list[tuple[list[int], Any]]:
        groups: list[tuple[list[int], Any]]
        if kept is None:
            groups = [(numbers, None) for numbers in self._placed().values()]
        else:
            groups = kept.groups
        token = uuid.uuid4().hex
        # (No worker is named: the scheduler takes the one that holds the blocks.)
        tasks = self._client.map(
            on_group,
            [call] * len(groups),
            [numbers for numbers, _ in groups],
            [[self._blocks[k] for k in numbers] for numbers, _ in groups],
            [
                [() if local is None else tuple(local[k]) for k in numbers]
                for numbers, _ in groups
            ],
            [future for _, future in groups],
            [as_sum] * len(groups),
            key=[f"{label}-{token}-{j}" for j in range(len(groups))],
            pure=False,
        )
        self._before.clear()
        numbers = [numbers for numbers, _ in groups]
        return list(zip(numbers, tasks, strict=True))

    def _gathered(self, tasks: list[tuple[list[int], Any]]) -> dict[Any, Any]:
        futures = [task for _, task in tasks]
        with watched(self._client, futures, self._blocks):
            results = self._client.gather(futures)
        self._before.extend(futures)
        if {one.worker for one in results} != self._groups.keys():
            self._groups.clear()  # workers changed; where blocks are is asked again
        return {key: value for part in results for key, value in part.values.items()}

    def close(self) -> None:
        """Free the blocks, and cancel what may be computed still."""
        self._before.clear()
        self._client.cancel(self._blocks)

    def each(
        self,
        label: str,
        function: Callable[..., Any],
        *common: Any,
        kept: Any = None,
        local: Sequence[Any] | None = None,
    ) -> list[Any]:
        call = Call(function, common)
        found = self._gathered(self._submit(label, call, kept, local, as_sum=False))
        return [found[k] for k in range(self.n_blocks)]

    def total(
        self,
        label: str,
        function: Callable[..., Any],
        *common: Any,
        kept: Any = None,
        local: Sequence[Any] | None = None,
    ) -> Any:
        call = Call(function, common)
        nodes = self._gathered(self._submit(label, call, kept, local, as_sum=True))
        return total_of(nodes, self.n_blocks)

    def keep(self, label: str, function: Callable[..., Any], *common: Any) -> Any:
        call = Call(function, common)
        return KeptByGroups(self._submit(label, call, None, None, as_sum=False))


@contextlib.contextmanager
def watched(
    client: Any, futures: Sequence[Any], blocks: Sequence[Any]
) -> Iterator[None]:
    """Cancel futures after an error, which names the chunk if one is lost."""
    try:
        yield
    except BaseException as error:
        status = [getattr(block, "status", "") for block in blocks]
        client.cancel(list(futures))
        lost = [k for k, one in enumerate(status) if one in ("lost", "cancelled")]
        is_lost = lost or isinstance(error, FutureCancelledError | KilledWorker)
        if not is_lost or not isinstance(error, Exception | CancelledError):
            raise
        which = f"chunk {lost[0]} of {len(blocks)}" if lost else "a chunk"
        raise RuntimeError(
            f"{which} of the data is lost ({type(error).__name__}: {error}): a worker "
            "left, and what it held cannot be computed again. Data that were scattered "
            "have no other copy. Load them in tasks instead (from files, say), or "
            "persist what such tasks made."
        ) from error


def streaming(chunks: Chunks, client: Any) -> Streaming:
    """Return the engine that loads chunks whenever they are used."""
    if client is None:
        return Streaming(chunks, _compute_here)
    return Streaming(chunks, lambda tasks: _compute_there(client, tasks))


def engine_of(
    chunks: Chunks, client: Any, threads: int
) -> tuple[Engine, list[Facts] | None]:
    """Return the engine for chunks, and the facts of their blocks.

    The facts are None if to know them takes a read that could return more.
    """
    anew = streaming(chunks, client)
    memory = memory_of(client)
    n_bytes, known = chunks.n_bytes, None
    if math.isnan(n_bytes):
        known = anew.each("huber-check", facts)
        n_bytes = float(sum(one.n_bytes for one in known))
    if n_bytes > _KEPT_SHARE * memory:
        return anew, known
    token = uuid.uuid4().hex
    make = dask.delayed(make_block, pure=False, traverse=False)
    blocks = [
        make(chunks.dtype, *parts, dask_key_name=f"huber-block-{token}-{k}")
        for k, parts in enumerate(chunks.parts)
    ]
    engine: Engine
    if client is None:
        engine = InMemory(_compute_here(blocks), threads)
    else:
        futures = client.compute(blocks)
        with watched(client, futures, futures):
            _wait(client, futures)
        engine = OnWorkers(client, futures)
    return engine, known or engine.each("huber-check", facts)


def _wait(client: Any, futures: Sequence[Any]) -> None:
    with client.as_current():  # which need not be the default one
        wait(futures)
    for future in futures:
        if future.status != "finished":
            future.result()


def _compute_here(tasks: list[Delayed]) -> list[Any]:
    return list(dask.compute(*tasks, scheduler="threads"))


def _compute_there(client: Any, tasks: list[Delayed]) -> list[Any]:
    futures = client.compute(tasks)
    with watched(client, futures, futures):
        return list(client.gather(futures))


def memory_of(client: Any) -> float:
    """Return the bytes of memory of the workers, or of this machine."""
    if client is None:
        return float(MEMORY_LIMIT)
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return float(sum(one["memory_limit"] or MEMORY_LIMIT for one in workers))


def client_of(given: Any) -> Any:
    """Return the client given, the current one, or None."""
    if given is not None:
        return given
    try:
        return get_client()
    except ValueError:  # there is none
        return None
