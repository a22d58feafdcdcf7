"""Picking rows: stratified, in proportion to weights, and the same in every run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skhuber._sums import Floats, Picks


def counted(index: NDArray[np.intp]) -> Picks:
    """Return rows picked with equal chance: one picked k times has weight k."""
    index, counts = np.unique(index, return_counts=True)
    if counts.max() == 1:
        return Picks(index, None)
    return Picks(index, counts.astype(np.float64))


def evenly(n_rows: int, n_picks: int) -> NDArray[np.intp]:
    """Pick about `n_picks` of `n_rows` rows of equal weight."""
    if n_picks >= n_rows:
        return np.arange(n_rows)
    picks = (one_in_each_piece(n_picks) * n_rows).astype(np.intp)
    return np.minimum(picks, n_rows - 1, out=picks)


def in_proportion(length: Floats, n_picks: int) -> NDArray[np.intp]:
    """Pick `n_picks` rows in proportion to `length`, with repetitions."""
    ends = np.cumsum(length)
    picks = np.searchsorted(ends, one_in_each_piece(n_picks) * ends[-1], side="right")
    return np.minimum(picks, len(length) - 1, out=picks)


def by_share(weight: Floats, share: Floats, n_picks: int) -> Picks:
    """Pick rows in proportion to weight times share; see `RowSource.pick_by`."""
    # (A share may be infinite where the weight is zero.)
    length = np.where(weight > 0, weight * share, 0.0)
    certain = length * n_picks >= length.sum()
    length[certain] = 0.0
    rest = max(n_picks - int(certain.sum()), 1)
    index, counts = np.unique(in_proportion(length, rest), return_counts=True)
    drawn = counts * (length.sum() / rest) / share[index]
    (taken,) = np.nonzero(certain)
    drawn = np.concatenate([weight[taken], drawn])
    return Picks(np.concatenate([taken, index]), drawn)


def leverage_share(influence: Floats, n_features: int) -> Floats:
    """Return a share for `RowSource.pick_by`, half of it even, half by leverage.

    The leverage of a row, if the columns were uncorrelated, is its influence
    Σ_j z_ij² / mean_i z_ij², whose mean is the number of columns. (P. Drineas and
    M. W. Mahoney, "RandNLA: Randomized Numerical Linear Algebra", Communications of the
    ACM 59(6), 2016, on sampling by leverage.)

    Parameters
    ----------
    influence : ndarray of shape (n,)
        As returned by `RowSource.influences`; it is overwritten.
    n_features : int
    """
    influence *= 0.5 / n_features
    influence += 0.5
    # Rounding depends on the layout of X. In single precision it picks no other rows.
    return influence.astype(np.float32).astype(np.float64)


def one_in_each_piece(n: int) -> Floats:
    """Return one point in each of n equal pieces of [0, 1), the same in every run."""
    points = np.random.default_rng(0).random(n)
    points += np.arange(n)
    points /= n
    return points
