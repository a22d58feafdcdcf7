"""The Gram matrix of the inliers, which follows them from point to point.

On the way to a minimum, and from one setting of a path to the next, few rows cross the
threshold. What they add to the matrix is then computed alone. With more columns than a
few hundred that takes a small part of the time of the products of all rows.

Of the Gram matrix that `skhuber._sums.Sums` describes, with rows [z, 1, t], the part of
[z, 1] is a sum over the inliers. So is the row of t = r/σ with the clipped residual c:

    Σ_inliers s t [z, 1] = Σ s c [z, 1]/σ − ρ Σ_outliers s sign(r) [z, 1],

and Σ_inliers s t² = Σ s c²/σ² − ρ² Σ_outliers s. The first terms are sums of every
sweep.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dgemm

from skhuber._objective import HuberObjective
from skhuber._rows import RowSource
from skhuber._sums import Floats, Sums, Want

# The matrix is made of all rows if as many have crossed the threshold as this part of
# the rows: rounding errors of sums and differences add up.
_MOST_CROSSED = 0.5
# Numbers of the rows that are copied at a time: 32 MiB.
_ELEMENTS = 2**22


class _Kept(NamedTuple):
    """The matrix, and which rows are in it.

    Attributes
    ----------
    gram : ndarray of shape (p + 2, p + 2)
        Of [z, 1, t]; the row and the column of t are those of the last call.
    squares : ndarray of shape (p,)
        Σ s z² over all rows.
    signs : ndarray of shape (p + 1,)
        Σ_outliers s sign(r) [z, 1].
    sign : ndarray of shape (n,)
        That sign of each row; 0 of an inlier.
    n_crossed : int
        How many rows have crossed the threshold since the matrix was made of all rows.
    n_changes : int
        How often the matrix has changed, but for the row of t.
    """

    gram: Floats
    squares: Floats
    signs: Floats
    sign: NDArray[np.int8]
    n_crossed: int
    n_changes: int


class InlierGram:
    """Gram matrix of the inliers among some rows, at the point of the last call.

    All points must have one standardisation.

    Parameters
    ----------
    rows : RowSource
    """

    def __init__(self, rows: RowSource) -> None:
        self._rows = rows
        self._kept: _Kept | None = None

    @property
    def n_changes(self) -> int:
        """How often the matrix has changed, but for the row of t."""
        return 0 if self._kept is None else self._kept.n_changes

    def sums(
        self, objective: HuberObjective, theta: Floats, sums: Sums, residuals: Floats
    ) -> Sums:
        """Return the sums at a point with squares, and with the inliers' Gram matrix.

        Parameters
        ----------
        objective : HuberObjective
        theta : ndarray of shape (q,)
        sums : Sums
            At θ; they are finite.
        residuals : ndarray of shape (n,)
            The standardised residuals there.

        Returns
        -------
        sums : Sums
            Their Gram matrix, of shape (1, p + 2, p + 2), is valid until the next call.
        """
        p = self._rows.n_features
        point = objective.point(theta)
        sign = np.where(np.abs(residuals) > point.threshold, np.sign(residuals), 0.0)
        sign = sign.astype(np.int8)
        if self._rows.weight is not None:
            sign[self._rows.weight == 0] = 0
        self._kept = self._after(self._kept, objective, theta, sign)
        gram = self._kept.gram
        scale, rho = point.scale, objective.rho
        beyond = rho if np.isfinite(rho) else 0.0
        row = np.append(sums.gradient, sums.c) / scale - beyond * self._kept.signs
        gram[p + 1, : p + 1] = gram[: p + 1, p + 1] = row
        outside = max(sums.weight - sums.inlier, 0.0) * beyond * beyond
        gram[p + 1, p + 1] = max(sums.cc / scale / scale - outside, 0.0)
        inside = np.diagonal(gram)[:p].copy()
        squares = np.array([inside, np.maximum(self._kept.squares - inside, 0.0)])
        return replace(sums, gram=gram[np.newaxis], squares=squares)

    def _after(
        self,
        kept: _Kept | None,
        objective: HuberObjective,
        theta: Floats,
        sign: NDArray[np.int8],
    ) -> _Kept:
        """Return the matrix at θ, where rows have these signs."""
        if kept is None:
            return self._of_all_rows(objective, theta, sign)
        crossed = np.flatnonzero(sign != kept.sign)
        n_crossed, n_changes = kept.n_crossed + len(crossed), kept.n_changes + 1
        if n_crossed > _MOST_CROSSED * len(sign):
            made = self._of_all_rows(objective, theta, sign, kept.squares)
            return made._replace(n_changes=n_changes)
        if len(crossed) == 0:
            return kept
        gram, signs = self._crossed(kept, objective, crossed, sign[crossed])
        return _Kept(gram, kept.squares, signs, sign, n_crossed, n_changes)

    def _of_all_rows(
        self,
        objective: HuberObjective,
        theta: Floats,
        sign: NDArray[np.int8],
        squares: Floats | None = None,
    ) -> _Kept:
        """Make the matrix of all rows; Σ s z², which does not change, may be known."""
        p = self._rows.n_features
        want = Want(gram=np.float64, squares=squares is None)
        (sums,) = self._rows.sweep([objective.point(theta)], want)
        assert sums.gram is not None
        if squares is None:
            squares = sums.all_squares
        gram, signs = sums.gram[0], np.zeros(p + 1)
        if np.isfinite(objective.rho):
            row = np.append(sums.gradient, sums.c) / objective.point(theta).scale
            signs = (row - gram[p + 1, : p + 1]) / objective.rho
        return _Kept(gram, squares, signs, sign, 0, 1)

    def _crossed(
        self,
        kept: _Kept,
        objective: HuberObjective,
        crossed: NDArray[np.intp],
        sign: NDArray[np.int8],
    ) -> tuple[Floats, Floats]:
        """Return the matrix and Σ_outliers s sign(r) [z, 1] after rows have crossed.

        The matrix is changed in place.
        """
        rows, frame, gram, signs = self._rows, objective.frame, kept.gram, kept.signs
        step = max(_ELEMENTS // (rows.n_features + 1), 1)
        for k in range(0, len(crossed), step):
            index, now = crossed[k : k + step], sign[k : k + step]
            last = kept.sign[index]
            s = np.ones(len(index))
            if rows.weight is not None:
                s = rows.weight[index] * rows.weight_unit
            # (The column of t is left as it is.)
            Z = np.zeros((len(index), rows.n_features + 2))
            Z[:, -2] = 1.0
            Z[:, :-2] = rows.take(index).standardised(frame.centre, frame.unit)
            signs = signs + (s * (now - last)) @ Z[:, :-1]
            change = s * ((now == 0).astype(float) - (last == 0))
            weighted = change[:, np.newaxis] * Z
            # One pass over the matrix. (BLAS takes its transpose, which is equal.)
            gram = dgemm(
                1.0, weighted.T, Z.T, 1.0, gram.T, trans_b=True, overwrite_c=1
            ).T
        return gram, signs
