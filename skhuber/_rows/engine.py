"""Application of functions to blocks of rows, and sums in an order of their own.

Sums are added pairwise by the numbers of the blocks, so their bits do not depend on
where a block is held.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Any


def add(parts: Sequence[Any]) -> Any:
    """Return the sum of parts of all blocks, added pairwise in their order."""
    nodes = {(0, k): part for k, part in enumerate(parts)}
    return total_of(nodes, len(parts))


def subtrees(parts: dict[int, Any]) -> dict[tuple[int, int], Any]:
    """Return sums over the complete subtrees of the pairwise tree within some blocks.

    The node (level, k) is the sum of the blocks k·2^level … (k + 1)·2^level − 1.
    """
    nodes = {(0, k): part for k, part in parts.items()}
    for level, k in sorted(nodes):
        _climb(nodes, level, k)
    return nodes


def _climb(nodes: dict[tuple[int, int], Any], level: int, k: int) -> None:
    """Replace a node and its sibling by their sum while both are there."""
    while (level, k) in nodes and (level, k ^ 1) in nodes:
        first, second = nodes.pop((level, k & ~1)), nodes.pop((level, k | 1))
        level, k = level + 1, k >> 1
        nodes[level, k] = plus(first, second)


def total_of(nodes: dict[tuple[int, int], Any], n_blocks: int) -> Any:
    """Return the sum of all blocks from the nodes of subtrees."""
    nodes = dict(nodes)
    level = 0
    while n_blocks > 1:
        for k in range(n_blocks):
            _climb(nodes, level, k)
        if n_blocks % 2 and (level, n_blocks - 1) in nodes:  # it has no sibling
            nodes[level + 1, n_blocks // 2] = nodes.pop((level, n_blocks - 1))
        level, n_blocks = level + 1, -(-n_blocks // 2)
    (result,) = nodes.values()
    return result


def plus(a: Any, b: Any) -> Any:
    """Return a + b; of lists, element by element; None is nothing."""
    if a is None or b is None:
        return b if a is None else a
    if isinstance(a, list):
        return [plus(x, y) for x, y in zip(a, b, strict=True)]
    return a + b


class Engine(abc.ABC):
    """Access to blocks.

    Every function is called as ``function(block, *kept, *local, threads, *common)``,
    with the entries for the block of `kept` (as returned by `keep`) and of `local`.

    Attributes
    ----------
    n_blocks : int
    """

    n_blocks: int

    @property
    def of_weights(self) -> Engine:
        """Access to blocks with the weights alone, if that reads less of files."""
        return self

    @abc.abstractmethod
    def each(
        self,
        label: str,
        function: Callable[..., Any],
        *common: Any,
        kept: Any = None,
        local: Sequence[Any] | None = None,
    ) -> list[Any]:
        """Return the results for all blocks."""

    def total(
        self,
        label: str,
        function: Callable[..., Any],
        *common: Any,
        kept: Any = None,
        local: Sequence[Any] | None = None,
    ) -> Any:
        """Return the sum of the results, added pairwise in the order of the blocks."""
        return add(self.each(label, function, *common, kept=kept, local=local))

    @abc.abstractmethod
    def keep(self, label: str, function: Callable[..., Any], *common: Any) -> Any:
        """Return a handle of results that stay where the blocks are."""

    def close(self) -> None:  # noqa: B027 (an engine in this process has nothing to do)
        """Free the blocks, and stop what may be computed still."""
