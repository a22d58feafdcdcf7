"""Coordinates of the coefficients: centred, scaled, and no more than can be estimated.

Covariance matrices are inverses of Gram matrices, and lose as many digits as these are
ill-conditioned: of columns in their natural units, most or all. So all of them are
computed in the coordinates γ of columns with mean zero and standard deviation one, and
of the prediction at their means; only the result is put in natural units.

If the columns are linearly dependent, some coefficients are not determined. A pivoted
Cholesky factor of the correlation matrix tells which columns depend on the others;
these are left out of γ. A linear form l of all coefficients is estimable if it is
orthogonal to the null space, and is then the form of γ with the numbers of l that
belong to the columns kept. A penalty is that of the shortest of the coefficients with
this γ, β = Eγ.

(Which forms are estimable: S. R. Searle, Linear Models, Wiley 1971, section 5.4.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy.linalg.lapack import dpstrf

Floats = NDArray[np.float64]

# A column of which the others explain all but this part of its variance depends on
# them: a relative change of 1e-5.
_DEPENDENT = 1e-10
# A column of which the sums of squares about its mean are this part of those about its
# centre, or less, is constant: they are rounding errors.
_CONSTANT = 1e-13
# A linear form is estimable if its products with the null space are no more than this
# part of the sums of their terms' sizes, and a vector of the null space has no part in
# columns of which it has no more than this. (The null space is known to a tenth of the
# root of the part above.)
_ESTIMABLE = 1e-6


@dataclass(frozen=True)
class Space:
    """The coordinates γ: coefficients of the columns kept, then the intercept.

    Units are those of the data for natural coefficients (intercept first if there is
    one, then all columns), and none for γ but the unit of y.
    """

    rank: int
    """Length of γ."""
    fit_intercept: bool
    mean: Floats
    """(p,), natural; zeros without an intercept."""
    spread: Floats
    """(p,), natural standard deviations; one for constant columns."""
    kept: NDArray[np.intp]
    """Columns that γ has coefficients of."""
    null: Floats
    """(p, p − columns kept), orthonormal, of coefficients of scaled columns."""
    expand: Floats
    """(p, columns kept): the shortest coefficients with this γ, of scaled columns."""

    @property
    def to_natural(self) -> Floats:
        """(coefficients, rank), zeros for columns that are left out."""
        p = len(self.mean)
        result = np.zeros((p + self.fit_intercept, self.rank))
        columns = np.arange(len(self.kept))
        result[self.kept + self.fit_intercept, columns] = 1.0 / self.spread[self.kept]
        if self.fit_intercept:
            result[0, columns] = -self.mean[self.kept] / self.spread[self.kept]
            result[0, -1] = 1.0
        return result

    def from_rows(self, centre: Floats, unit: Floats) -> Floats:
        """(p + 1, rank): the row of γ is (z, 1) times it, z = (x − centre)·unit."""
        p, k = len(self.mean), len(self.kept)
        result = np.zeros((p + 1, self.rank))
        spread = self.spread[self.kept]
        result[self.kept, np.arange(k)] = 1.0 / (unit[self.kept] * spread)
        result[p, :k] = (centre - self.mean)[self.kept] / spread
        if self.fit_intercept:
            result[p, k] = 1.0
        return result

    def rows(self, X: Floats) -> Floats:
        """(m, rank), of γ, of rows of X."""
        scaled = (X[:, self.kept] - self.mean[self.kept]) / self.spread[self.kept]
        if not self.fit_intercept:
            return scaled
        return np.column_stack([scaled, np.ones(len(X))])

    def forms(self, L: Floats) -> Floats:
        """(m, rank), of γ, of linear forms of natural coefficients."""
        slopes = L[:, 1:] if self.fit_intercept else L
        if not self.fit_intercept:
            return slopes[:, self.kept] / self.spread[self.kept]
        centred = slopes - L[:, :1] * self.mean
        scaled = centred[:, self.kept] / self.spread[self.kept]
        return np.column_stack([scaled, L[:, 0]])

    def are_estimable(self, L: Floats) -> NDArray[np.bool_]:
        """Return whether linear forms of natural coefficients are estimable."""
        if not self.null.shape[1]:
            return np.ones(len(L), dtype=bool)
        slopes = L[:, 1:] if self.fit_intercept else L
        size = np.abs(slopes)
        if self.fit_intercept:
            slopes = slopes - L[:, :1] * self.mean
            size = size + np.abs(L[:, :1] * self.mean)
        part = np.abs((slopes / self.spread) @ self.null)
        whole = (size / self.spread) @ np.abs(self.null)
        return np.all(part <= _ESTIMABLE * whole, axis=1)

    def reduced(self, scaled: Floats) -> Floats:
        """γ without its intercept, of coefficients of scaled columns."""
        if not self.null.shape[1]:
            return scaled[self.kept]
        left_out = np.setdiff1d(np.arange(len(scaled)), self.kept)
        part = np.linalg.lstsq(self.null[left_out], scaled[left_out], rcond=None)[0]
        return (scaled - self.null @ part)[self.kept]

    @property
    def penalty(self) -> Floats:
        """(rank, rank), of ‖w‖² = γᵀ·penalty·γ."""
        scaled = self.expand / self.spread[:, np.newaxis]
        result = np.zeros((self.rank, self.rank))
        k = len(self.kept)
        result[:k, :k] = scaled.T @ scaled
        return result

    def penalty_slope(self, coef: Floats) -> Floats:
        """(rank,), half of the derivative of ‖w‖² at natural coefficients."""
        result = np.zeros(self.rank)
        result[: len(self.kept)] = self.expand.T @ (coef / self.spread)
        return result


def space_of(
    gram: Floats, centre: Floats, unit: Floats, *, fit_intercept: bool, penalised: bool
) -> Space:
    """Return the coordinates for columns with a Gram matrix of (z, 1).

    Parameters
    ----------
    gram : ndarray of shape (p + 1, p + 1)
    centre, unit : ndarrays of shape (p,)
        z = (x − centre)·unit.
    fit_intercept, penalised : bool
    """
    p = len(centre)
    weight = gram[p, p]
    mean = gram[:p, p] / weight if fit_intercept else np.zeros(p)
    squares = gram[:p, :p] - np.outer(mean, mean) * weight
    diagonal = np.diagonal(squares)
    varies = diagonal > _CONSTANT * np.diagonal(gram)[:p]
    spread = np.sqrt(np.where(varies, diagonal, weight) / weight)
    correlation = squares / np.outer(spread, spread) / weight
    correlation[~varies] = correlation[:, ~varies] = 0.0
    factor, pivots, rank, _ = dpstrf(correlation, tol=_DEPENDENT, lower=0)
    if p == 0 or not varies.any():
        rank = 0
    order = np.asarray(pivots, dtype=np.intp) - 1
    kept, left_out = order[:rank], order[rank:]
    null = np.zeros((p, len(left_out)))
    null[left_out, np.arange(len(left_out))] = 1.0
    if rank and len(left_out):
        null[kept] = -scipy.linalg.solve_triangular(
            factor[:rank, :rank], factor[:rank, rank:], check_finite=False
        )
    null[:, ~varies[left_out]] *= (~varies)[:, np.newaxis]
    expand = np.zeros((p, rank))
    expand[kept, np.arange(rank)] = 1.0
    natural = spread / unit
    if penalised and len(left_out):
        lengths = null / natural[:, np.newaxis]
        expand -= null @ np.linalg.solve(
            lengths.T @ lengths, lengths.T @ (expand / natural[:, np.newaxis])
        )
    if len(left_out):
        null = np.linalg.qr(null)[0]
        null[np.abs(null) <= _ESTIMABLE] = 0.0
    return Space(
        rank=rank + fit_intercept,
        fit_intercept=fit_intercept,
        mean=centre + mean / unit,
        spread=natural,
        kept=kept,
        null=null,
        expand=expand,
    )
