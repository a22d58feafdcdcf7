"""Question and answer of a sweep over the rows: `Point`, `Want` and `Sums`.

The objective asks for sums at a `Point`, a `Want` says which, and the rows return
`Sums`. With the powers of two `unit`, `y_unit` and `weight_unit` (an attribute
of the rows),

    z = (x − centre)·unit        r = (y − y_centre)·y_unit − intercept − z·u
    s = weight·weight_unit       c = clip(r, ±threshold)        t = c/scale.

Inliers are the rows with |r| ≤ threshold, outliers all others.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Data = NDArray[np.float64] | NDArray[np.float32]
# Columns of X, as an index of its second axis.
Columns = NDArray[np.intp] | slice


@dataclass(frozen=True)
class Point:
    """Standardisation, coefficients and threshold at which a sweep adds up."""

    centre: Floats
    """(p,), numbers subtracted from the columns of X."""
    unit: Floats
    """(p,), factors of the centred columns."""
    y_centre: float
    y_unit: float
    u: Floats
    """(p,), coefficients of the standardised columns."""
    intercept: float
    threshold: float
    """Threshold of |r|, in standardised units of y."""
    scale: float
    """σ, in standardised units of y; it changes nothing but t."""

    def is_at(self, other: Point) -> bool:
        """Return whether both points have the same residuals."""
        return (
            self.intercept == other.intercept
            and self.has_frame_of(other)
            and np.array_equal(self.u, other.u)
        )

    def has_frame_of(self, other: Point) -> bool:
        """Return whether both points have the same standardisation."""
        return (
            self.y_centre == other.y_centre
            and self.y_unit == other.y_unit
            and self.has_columns_of(other)
        )

    def has_columns_of(self, other: Point) -> bool:
        """Return whether both points have the same standardisation of the columns."""
        return _is_equal(self.unit, other.unit) and _is_equal(self.centre, other.centre)


def _is_equal(a: Floats, b: Floats) -> bool:
    return a is b or np.array_equal(a, b)


@dataclass(frozen=True)
class Picks:
    """The numbers of picked rows, and their weights.

    Attributes
    ----------
    index : ndarray of int of shape (m,)
    weight : ndarray of shape (m,) or None
        None: every row has weight 1.
    """

    index: NDArray[np.intp]
    weight: Floats | None

    def is_equal(self, other: Picks) -> bool:
        """Return whether other picks have the rows and weights that these have."""
        if self.weight is None or other.weight is None:
            has_weights = self.weight is not other.weight
            return not has_weights and np.array_equal(self.index, other.index)
        return np.array_equal(self.index, other.index) and np.array_equal(
            self.weight, other.weight
        )

    def scaled_to(self, total: float) -> Picks:
        """Return the picks in ascending order, with weights that add up to a total."""
        weight = self.weight
        if weight is None:
            weight = np.ones(len(self.index))
        order = np.argsort(self.index, kind="stable")
        return Picks(self.index[order], weight[order] * (total / weight.sum()))

    def split(self, ends: NDArray[np.intp]) -> list[Picks]:
        """Return those of each block of rows, numbered from its first row on.

        Parameters
        ----------
        ends : ndarray of int
            The first row after each block. The picks are in ascending order.
        """
        places = [0, *np.searchsorted(self.index, ends)]
        return [
            Picks(
                self.index[first:last] - start,
                None if self.weight is None else self.weight[first:last],
            )
            for (first, last), start in zip(
                pairwise(places), [0, *ends[:-1]], strict=True
            )
        ]


@dataclass(frozen=True)
class Want:
    """Choice of the sums that a sweep returns beside those of loss and gradient."""

    squares: bool = False
    """True for `Sums.squares`."""
    gram: type[np.float64] | type[np.float32] | None = None
    """Precision of the products in `Sums.gram`; None for no Gram matrix.

    In single precision the products take half the time, and may overflow to infinity.
    Those of sparse data are in double precision in either case.
    """
    picks: Picks | None = None
    """Rows of `Sums.gram`, in ascending order, with their weights as s; None for all.

    The rows are read as a part of all rows, so they cost no second reading.
    """
    direction: Floats | None = None
    """(p + 2,), the v of `Sums.product`; None for no product."""
    damping: float = 0.0
    """d in the weights h of `Sums.product`.

    h = (1 + d)·s for inliers, d·s·threshold/|r| for outliers.
    """


@dataclass(frozen=True)
class Sums:
    """Sums over some rows, which add up to those over more rows."""

    weight: float
    """Σ s."""
    gradient: Floats
    """(p,), Σ s c z."""
    c: float
    """Σ s c."""
    cr: float
    """Σ s c r."""
    cc: float
    """Σ s c²."""
    inlier: float
    """Σ s over the inliers."""
    n_inliers: int
    """Number of inliers with s > 0."""
    n_outliers: int
    """Number of outliers with s > 0."""
    squares: Floats | None = None
    """(2, p), Σ s z² over the inliers and over the outliers."""
    gram: Floats | None = None
    """(2, p + 2, p + 2), Σ h [z, 1, t][z, 1, t]ᵀ over the inliers and the outliers.

    Of the rows of `Want.picks` if there are any.

    h = s for inliers. For outliers h = s·threshold/|r|, the curvature of the parabola
    that touches the loss at r and lies above it everywhere.
    """
    product: Floats | None = None
    """(p + 2,), Σ h [z, 1, t] ([z, 1, t]·v), with v and h of `Want`."""

    def __add__(self, other: Sums) -> Sums:
        """Return the sums over the rows of both."""
        return Sums(
            weight=self.weight + other.weight,
            gradient=self.gradient + other.gradient,
            c=self.c + other.c,
            cr=self.cr + other.cr,
            cc=self.cc + other.cc,
            inlier=self.inlier + other.inlier,
            n_inliers=self.n_inliers + other.n_inliers,
            n_outliers=self.n_outliers + other.n_outliers,
            squares=_added(self.squares, other.squares),
            gram=_added(self.gram, other.gram),
            product=_added(self.product, other.product),
        )

    @property
    def all_squares(self) -> Floats:
        """(p,), Σ s z²."""
        assert self.squares is not None
        return self.squares.sum(axis=0)

    @property
    def is_finite(self) -> bool:
        """False if X has a NaN or an infinity, or if a sum overflowed.

        `gram` does not count: in single precision it overflows earlier.
        """
        total = self.cr + self.cc + float(np.sum(self.gradient))
        if self.squares is not None:
            total += float(np.sum(self.squares))
        return bool(np.isfinite(total))


def _added(a: Floats | None, b: Floats | None) -> Floats | None:
    """Return a + b, or None without either."""
    if a is None and b is None:
        return None
    if a is None or b is None:
        raise ValueError("Sums with and without squares, or a Gram matrix, do not add.")
    return a + b


@dataclass(frozen=True)
class Moments:
    """Location and spread of the columns of some rows."""

    centre: Floats
    """(p,), medians, or zeros without an intercept."""
    spread: Floats
    """(p,), median distances from the centre; root mean squares if those are ≈ 0."""
