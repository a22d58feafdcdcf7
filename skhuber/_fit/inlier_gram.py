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


class InlierGram:
    """Gram matrix of the inliers among some rows, at the point of the last call.

    All points must have one standardisation.

    Parameters
    ----------
    rows : RowSource
    """

    def __init__(self, rows: RowSource) -> None:
        self._rows = rows
        # Of [z, 1, t]; the row and the column of t are those of the last call.
        self._gram: Floats | None = None
        # Σ_outliers s sign(r) [z, 1], and that sign of each row; 0 of an inlier.
        self._signs = np.zeros(rows.n_features + 1)
        self._sign = np.zeros(rows.n_rows, dtype=np.int8)
        self._squares = np.zeros(rows.n_features)
        self._n_crossed = 0

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
        crossed = np.flatnonzero(sign != self._sign)
        self._n_crossed += len(crossed)
        if self._gram is None or self._n_crossed > _MOST_CROSSED * len(sign):
            self._start(objective, theta)
        elif len(crossed):
            self._cross(objective, crossed, sign[crossed])
        self._sign = sign
        assert self._gram is not None
        gram = self._gram
        scale, rho = point.scale, objective.rho
        beyond = rho if np.isfinite(rho) else 0.0
        row = np.append(sums.gradient, sums.c) / scale - beyond * self._signs
        gram[p + 1, : p + 1] = gram[: p + 1, p + 1] = row
        outside = max(sums.weight - sums.inlier, 0.0) * beyond * beyond
        gram[p + 1, p + 1] = max(sums.cc / scale / scale - outside, 0.0)
        inside = np.diagonal(gram)[:p].copy()
        squares = np.array([inside, np.maximum(self._squares - inside, 0.0)])
        return replace(sums, gram=gram[np.newaxis], squares=squares)

    def _start(self, objective: HuberObjective, theta: Floats) -> None:
        """Make the matrix of all rows."""
        p = self._rows.n_features
        want = Want(gram=np.float64, squares=self._gram is None)
        (sums,) = self._rows.sweep([objective.point(theta)], want)
        assert sums.gram is not None
        if sums.squares is not None:
            self._squares = sums.all_squares
        gram = sums.gram[0]
        self._gram = gram
        self._n_crossed = 0
        if np.isfinite(objective.rho):
            row = np.append(sums.gradient, sums.c) / objective.point(theta).scale
            self._signs = (row - gram[p + 1, : p + 1]) / objective.rho

    def _cross(
        self,
        objective: HuberObjective,
        crossed: NDArray[np.intp],
        sign: NDArray[np.int8],
    ) -> None:
        """Add and subtract the rows that crossed the threshold."""
        rows, frame, gram = self._rows, objective.frame, self._gram
        assert gram is not None
        step = max(_ELEMENTS // (rows.n_features + 1), 1)
        for k in range(0, len(crossed), step):
            index, now = crossed[k : k + step], sign[k : k + step]
            last = self._sign[index]
            s = np.ones(len(index))
            if rows.weight is not None:
                s = rows.weight[index] * rows.weight_unit
            # (The column of t is left as it is.)
            Z = np.zeros((len(index), rows.n_features + 2))
            Z[:, -2] = 1.0
            Z[:, :-2] = rows.take(index).standardised(frame.centre, frame.unit)
            self._signs += (s * (now - last)) @ Z[:, :-1]
            change = s * ((now == 0).astype(float) - (last == 0))
            weighted = change[:, np.newaxis] * Z
            # One pass over the matrix. (BLAS takes its transpose, which is equal.)
            gram = dgemm(
                1.0, weighted.T, Z.T, 1.0, gram.T, trans_b=True, overwrite_c=1
            ).T
        self._gram = gram
