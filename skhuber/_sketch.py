"""Samples of the rows that stand for all of them, and when they do not.

There are two. The smaller one is solved; its minimum is the start on all rows. The
larger one gives the Hessian that whitens the steps from there: the better that is, the
fewer they are. (Each shrinks the gap about by the ratio of columns to rows of the
sample.) With few rows for each column all rows take its place. The smaller one may be a
copy, the larger one is read in pieces. Their sizes depend on the shape of the data
alone: so fits of the same data in another layout take the same steps, and end at the
same place but for rounding.

A uniform sample tells little of columns that rest on a few rows: rare dummies, or
columns with leverage points (rows far longer than the others). It is found wanting,
once, when a sweep over all rows has shown how large the columns are (or, with the
Hessian of all rows, how far they are from their minimum). Then another
sample takes its place, half of it picked uniformly and half in proportion to

    ℓ_i = Σ_j z_ij² / mean_i z_ij²,

the leverage of a row if the columns were uncorrelated (Drineas and Mahoney, RandNLA,
Communications of the ACM 59(6), 2016, on sampling by leverage). Rows on which a column
rests are then all in it, as they are.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from skhuber._rows import Picks, Rows
from skhuber._sweep import Floats, Point

# The smaller sample has 20 rows for each column: its Hessian is then off by about
# √(1/20) in its worst direction, and each step of L-BFGS on all rows shrinks the error
# by as much or more. Of larger data it has a fiftieth, which costs about what one sweep
# costs, and 2 % of their memory if it is a copy.
_ROWS_PER_COLUMN = 20
_SHARE = 50
_ROWS_MIN = 1500
# The larger one has up to 200 rows for each column, or a tenth: that spares two or
# three sweeps.
_MORE_ROWS_PER_COLUMN = 200
_LARGER_SHARE = 10
# Up to so many rows for each column, columns, and numbers of X, the Hessian of all rows
# costs little more than the steps that it spares, or less. (With 500 rows for each of
# 200 columns it costs as much as four sweeps, in single precision; it spares three, and
# the larger sample.)
_ALL_ROWS_PER_COLUMN = 2000
_ALL_COLUMNS = 512
_ALL_ELEMENTS = 2**26
# A sample of more than half of the rows would save nothing.
_MOST = 2

# A column that is so many times larger than the sample shows has rows that matter and
# that the sample lacks. (A column that all rows show alike is known to some per cent.)
_UNKNOWN = 3.0
# Rows of equal length that would make as good a sample, for each column. Fewer are too
# few: the condition number of the sample's Hessian in coordinates in which that of all
# rows is the identity is then about seven (Marchenko and Pastur).
_EFFECTIVE_ROWS_PER_COLUMN = 5


class Sketch:
    """All rows, and a part of them that stands for all.

    Parameters
    ----------
    rows : Rows
        All.
    keep : bool
        Whether the samples are needed for more than one solution.

    Attributes
    ----------
    rows : Rows
        All.
    part : Rows
        The smaller sample, or all rows where it would not be far smaller.
    has_hessian_of_all : bool
        Whether the Hessian is to be that of all rows, and a smaller sample, if there is
        one, is wanted for the start only.
    """

    def __init__(self, rows: Rows, *, keep: bool = False) -> None:
        n, p = rows.n_present, rows.n_features
        self._size = max(_ROWS_PER_COLUMN * p, n // _SHARE, _ROWS_MIN)
        self._larger_size = min(_MORE_ROWS_PER_COLUMN * p, n // _LARGER_SHARE)
        self.rows = rows
        self.part = rows
        if _MOST * self._size <= n:
            self.part = rows.sample(rows.pick(self._size))
        self._improved: Picks | None = None
        self._is_final = self.part is rows
        is_cheap = p <= _ALL_COLUMNS and n * p <= _ALL_ELEMENTS
        self.has_hessian_of_all = (
            is_cheap and n <= _ALL_ROWS_PER_COLUMN * p and not keep
        )

    @property
    def is_sample(self) -> bool:
        """Whether the part is smaller than the whole."""
        return self.part is not self.rows

    @property
    def has_larger_sample(self) -> bool:
        """Whether it is another one than `part`."""
        return self.is_sample and self._larger_size > self._size

    @property
    def n_known(self) -> int:
        """Rows that the Hessian of the larger sample is made of, about."""
        return max(self.part.n_rows, self._larger_size * self.has_larger_sample)

    def drop_part(self) -> None:
        """Give the smaller sample's memory back: all rows stand for themselves."""
        self.part = self.rows

    def larger_sample(self) -> Rows:
        """The larger sample; a copy of a tenth of the rows at most."""
        if not self.has_larger_sample:
            return self.part
        return self.rows.sample(self._larger_picks)

    def larger_sample_in_pieces(self) -> Iterator[Rows]:
        """The same, some rows at a time."""
        if not self.has_larger_sample:
            yield self.part
        else:
            yield from self.rows.sample_in_pieces(self._larger_picks)

    @property
    def _larger_picks(self) -> Picks:
        return self._improved or self.rows.pick(self._larger_size)

    def improve(self, point: Point, squares: Floats) -> bool:
        """Take another sample if this one lacks rows that matter; say whether it did.

        Parameters
        ----------
        point : Point
        squares : ndarray of shape (p,)
            Σ s z² of all rows there.
        """
        if self._is_final:
            return False
        self._is_final = True
        part = self.part
        known = part.sums(point, squares=True).all_squares / part.total_weight
        actual = squares / self.rows.total_weight
        if not (actual > _UNKNOWN * known).any():
            share = part.influences(point, known)
            if part.weight is not None:
                share *= part.weight
            effective = share.sum() ** 2 / (share @ share)
            if effective >= _EFFECTIVE_ROWS_PER_COLUMN * part.n_features:
                return False
        self.take_influential(point, squares)
        return True

    def take_influential(self, point: Point, squares: Floats) -> None:
        """Take samples in which are the rows that matter, as for `improve`."""
        actual = squares / self.rows.total_weight
        share = self.rows.influences(point, actual)
        share *= 0.5 / self.rows.n_features
        share += 0.5
        # (In single precision, so that rounding, which depends on the layout, does not
        # pick other rows.)
        share = share.astype(np.float32).astype(np.float64)
        self.part = self.rows.sample(self.rows.pick_by(share, self._size))
        self._improved = self.rows.pick_by(share, self._larger_size)
