"""Sums over the rows at a fitted model: the only code of inference that touches X.

A `Sample` holds X, y and weights as they were given. Two sweeps over its rows serve
every covariance matrix but the bootstrap's:

1. `Sample.curvature`: Gram matrices of inliers and outliers, and what the equations of
   the coefficients and the scale add up to;
2. `Sample.influence`: the products of influences, which need the leverage of each row,
   and that needs the inverse of the first sweep's Gram matrix.

No single sweep gives the jackknife: a row's leverage depends on all rows.

Both read X in blocks of rows, and neither copies more of it than a block for each part
of the rows that is added up by itself. Beside p × p matrices there is one vector with a
number for each row, the residuals; the second sweep turns them into residuals of
predictions without the row.

Columns come as z = (x − centre)·unit, with a centre from a few hundred rows and powers
of two as units. A sparse X is not centred: its rows stay sparse. Residuals come in
units of the scale, t = r/σ and ψ = clip(t, ±rho); an inlier has |t| ≤ rho, and its
indicator is d. A row of coefficients is a = (z, 1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skhuber._common.scale import NORMAL_MAD
from skhuber._runtime import one_blas_thread, run_blocks, thread_count
from skhuber.inference._checks import Data, ModelFacts

Floats = NDArray[np.float64]

# Numbers of X in a block: half of what a level-2 cache holds, so that a product of it
# finds it there; but no fewer rows than columns, so that adding up the products of
# blocks costs little beside them.
_BLOCK_ELEMENTS = 2**16
_BLOCK_ROWS = 256
# Parts of the rows that are added up by themselves, maybe in several threads: at most
# so many, and only if their sums have fewer numbers than an eighth of X.
_PARTS = 4
_SUMS_SHARE = 8
# Multiplications that are worth as many threads as one number that is read.
_WORK = 32
# Rows that the centres of columns are taken from.
_CENTRE_ROWS = 200
# The bandwidth of the density of residuals at ±Φ⁻¹(3/4), in units of the scale, of one
# residual: that of n residuals is smaller by n^(−1/5). (Silverman's rule for a normal
# density, Density Estimation, 1986, equation 3.28.)
_BANDWIDTH = 1.06
# Residuals up to this many medians count as lying at the median, which one of an odd
# number of rows does: a scale "mad" is known to 1e-10 of itself.
_TIE = 1.0 + 1e-8

# Sums over the rows of one number each, with w = ψ(t)/t, in the order of `_scalars`:
# Σ s d, the number of inliers, Σ s ψ², Σ s loss, Σ s w, Σ s w y, Σ s w y², Σ s w t².
_SCALARS = ("inliers", "n_inliers", "square", "loss", "w", "wy", "wyy", "wrr")


@dataclass(frozen=True)
class Curvature:
    """Sums of the first sweep; q = p + 1, and the last number of a is one."""

    inside: Floats
    """(q + 1, q + 1), Σ s d (a, t)(a, t)ᵀ."""
    outside: Floats
    """(q, q), Σ s (1 − d) a aᵀ."""
    squared: Floats
    """(q, q), Σ s² a aᵀ, where weights are of sampling; else empty."""
    score: Floats
    """(q,), Σ s ψ a."""
    signs: Floats
    """(q,), Σ s (1 − d) sign(t) a."""
    density: Floats
    """(2, q), Σ s f± a: densities of t at ±Φ⁻¹(3/4), of single rows."""
    scalars: dict[str, float]
    """The sums of `_SCALARS`, by name."""


@dataclass(frozen=True)
class Form:
    """A map of a to some numbers, z·slopes + constant."""

    slopes: Floats
    """(p, k)."""
    constant: Floats
    """(k,)."""


@dataclass(frozen=True)
class Influence:
    """Sums and residuals of the second sweep."""

    meat: Floats
    """(q + 1, q + 1), Σ s^e f² (ψa, g)(ψa, g)ᵀ with e one or two, of the scale's g."""
    scale_square: float
    """Σ s^e (k·(ψa, g))², the square of the scale's influence."""
    n_pivotal: int
    """Number of rows on which alone something rests."""
    moved: Floats
    """(1 + p,), Σ |W⁻¹a| over such rows, by coefficient."""
    deletion: Floats
    """Deletion residual of every row of positive weight."""
    weight: Floats | None
    """Weights of the rows with a deletion residual; None if all weights are one."""
    by_group: Floats
    """(groups, q), Σ s ψ a over each group's rows; empty without groups."""


class _Block:
    """Some rows of X, centred and scaled."""

    def __init__(self, rows: slice, z: Any, weight: Floats) -> None:
        self.rows = rows
        self.z = z
        self.weight = weight

    def dot(self, vectors: Floats) -> Floats:
        """(q, k) or (q, k, …) sums of (z, 1) times each of some numbers per row."""
        return np.vstack([self.z.T @ vectors, vectors.sum(axis=0)])

    def form(self, form: Form) -> Floats:
        """(m, k)."""
        result: Floats = self.z @ form.slopes
        result += form.constant
        return result

    def gram(self, factor: Floats, extra: Floats) -> Floats:
        """Sum of (factor·z, extra)(factor·z, extra)ᵀ; extra is (m, k)."""
        if sp.issparse(self.z):
            p, k = self.z.shape[1], extra.shape[1]
            scaled = self.z.copy()
            scaled.data *= np.repeat(factor, np.diff(scaled.indptr))
            gram = np.empty((p + k, p + k))
            gram[:p, :p] = (scaled.T @ scaled).toarray()
            gram[:p, p:] = scaled.T @ extra
            gram[p:, :p] = gram[:p, p:].T
            gram[p:, p:] = extra.T @ extra
            return gram
        m, p = self.z.shape
        stacked = np.empty((m, p + extra.shape[1]))
        np.multiply(self.z, factor[:, np.newaxis], out=stacked[:, :p])
        stacked[:, p:] = extra
        return stacked.T @ stacked

    def add_by_group(
        self, factor: Floats, codes: NDArray[np.intp], sums: Floats
    ) -> None:
        """Add Σ factor·(z, 1) over the rows of each group to its line of `sums`."""
        names, numbers = np.unique(codes, return_inverse=True)
        place = (factor, (numbers, np.arange(len(factor))))
        indicator = sp.csr_array(place, shape=(len(names), len(factor)))
        sums[names, :-1] += _dense(indicator @ self.z)
        sums[names, -1] += indicator.sum(axis=1)

    def some(self, kept: NDArray[np.bool_]) -> _Block:
        """Return a block of some of the rows."""
        return _Block(self.rows, self.z[kept], self.weight[kept])


class Sample:
    """X, y and weights, and the sweeps over them.

    Parameters
    ----------
    data : Data
        X of any layout or in CSR format, float32 or float64.
    n_jobs : int or None
        The most threads that a sweep may use; None: no limit.
    sampling : bool
        Whether weights are of sampling, and not counts of repeated rows. They are
        then divided by their mean over the rows of positive weight.

    Attributes
    ----------
    count : float
        N: the sum of weights.
    n_sweeps : int
        Sweeps over all rows so far.
    """

    def __init__(self, data: Data, n_jobs: int | None, *, sampling: bool) -> None:
        X, weight = data.X, data.weight
        self.X = X
        self.y = data.y
        self.weight = weight
        self.threads = thread_count(n_jobs, int(np.prod(X.shape)))
        self.sampling = sampling
        self.n_sweeps = 0
        self.n_rows, self.n_features = X.shape
        self.unit_weight = 1.0
        self.n_present = self.n_rows
        self.count = float(self.n_rows)
        if weight is not None:
            self.n_present = int(np.count_nonzero(weight))
            total = float(weight.sum())
            if sampling:
                self.unit_weight = self.n_present / total
            self.count = total * self.unit_weight
        self._is_sparse = sp.issparse(X)
        self.centre = np.zeros(self.n_features)
        self.unit = np.ones(self.n_features)

    def standardise(self, *, centred: bool) -> None:
        """Choose centres and units of the columns, from a few hundred rows."""
        step = max(self.n_present // _CENTRE_ROWS, 1)
        if self.weight is None:
            picks = np.arange(step // 2, self.n_rows, step)
        else:
            picks = np.nonzero(self.weight)[0][step // 2 :: step]
        some = self.X[picks]
        some = some.toarray() if self._is_sparse else some
        some = some.astype(np.float64, copy=False)
        if centred and not self._is_sparse:
            self.centre = np.median(some, axis=0)
            some = some - self.centre
        self._take_units(np.abs(some).max(axis=0, initial=0.0))

    def standardise_by_largest(self) -> None:
        """Choose units by the largest numbers, of which no square overflows."""
        self.n_sweeps += 1
        largest = np.zeros(self.n_features)
        for k in range(self._n_blocks):
            z = abs(self._block(k, scaled=False).z)
            peak = z.max(axis=0)
            peak = peak.toarray().ravel() if self._is_sparse else peak
            np.maximum(largest, peak, out=largest)
        self._take_units(largest)

    def _take_units(self, size: Floats) -> None:
        _, power = np.frexp(np.where(size > 0, size, 1.0))
        self.unit = np.ldexp(1.0, np.clip(-power, -1000, 1000))

    # --- blocks -------------------------------------------------------------------

    @property
    def _block_rows(self) -> int:
        q = self.n_features + 2
        return max(_BLOCK_ELEMENTS // q, q, _BLOCK_ROWS)

    @property
    def _n_blocks(self) -> int:
        return -(-self.n_rows // self._block_rows)

    def _block(self, k: int, *, scaled: bool = True) -> _Block:
        start = k * self._block_rows
        rows = slice(start, min(start + self._block_rows, self.n_rows))
        z = self.X[rows]
        if self._is_sparse:
            z = z.astype(np.float64)
            if scaled:
                z.data *= self.unit[z.indices]
        else:
            z = z - self.centre  # (of float32, too, this is of double precision)
            if scaled:
                z *= self.unit
        return _Block(rows, z, self._weight_part(rows))

    def _weight_part(self, rows: slice) -> Floats:
        if self.weight is None:
            return np.ones(rows.stop - rows.start)
        return self.weight[rows] * self.unit_weight

    def blocks(self, scale: float) -> Iterator[tuple[_Block, Floats]]:
        """Blocks of the rows, and their y in units of a scale."""
        self.n_sweeps += 1
        for k in range(self._n_blocks):
            block = self._block(k)
            yield block, self.y[block.rows].astype(np.float64) / scale

    def sweep(
        self, collect: Callable[[_Block], Sequence[Floats]], *, parallel: bool = True
    ) -> list[Floats]:
        """Return the sums over the blocks of what is collected of each, in order.

        Unless it is parallel, one block is collected after another.
        """
        q = self.n_features + 2
        n_parts = int(np.clip(self.n_rows // (_SUMS_SHARE * q), 1, _PARTS))
        n_parts = min(n_parts, self._n_blocks) if parallel else 1
        ends = [self._n_blocks * k // n_parts for k in range(n_parts + 1)]
        totals: list[list[Floats]] = [[] for _ in range(n_parts)]

        def add(first: int, last: int) -> None:
            # (A thread has a state of its own.)
            with np.errstate(over="ignore", invalid="ignore"):
                for part in range(first, last):
                    for k in range(ends[part], ends[part + 1]):
                        sums = collect(self._block(k))
                        if not totals[part]:
                            totals[part] = [np.array(one) for one in sums]
                            continue
                        for total, one in zip(totals[part], sums, strict=True):
                            total += one

        self.n_sweeps += 1
        work = self.n_rows * q**2 // _WORK
        one_blas_thread(run_blocks)(add, n_parts, work, self.threads, ())
        for other in totals[1:]:
            for total, one in zip(totals[0], other, strict=True):
                total += one
        return totals[0]

    # --- the two sweeps -----------------------------------------------------------

    def residuals(self, fitted: ModelFacts) -> tuple[Form, float, float]:
        """Return the form of predictions of the centred y, in units of the scale."""
        coef = np.asarray(fitted.coef, dtype=np.float64)
        y_centre = float(np.median(self.y)) if fitted.fit_intercept else 0.0
        constant = fitted.intercept + float(self.centre @ coef) - y_centre
        form = Form(
            (coef / self.unit / fitted.scale)[:, np.newaxis],
            np.array([constant / fitted.scale]),
        )
        return form, y_centre, 1.0 / fitted.scale

    def curvature(self, fitted: ModelFacts) -> tuple[Curvature, Floats]:
        """Return the sums of the first sweep, and t of every row."""
        predicted, y_centre, unit = self.residuals(fitted)
        t_all = np.empty(self.n_rows)
        width = _BANDWIDTH * self.count**-0.2

        def collect(block: _Block) -> Sequence[Floats]:
            y = (self.y[block.rows].astype(np.float64) - y_centre) * unit
            t = t_all[block.rows] = y - block.form(predicted)[:, 0]
            squared = np.empty((0, 0))
            if self.sampling:
                squared = block.gram(block.weight, block.weight[:, np.newaxis])
            vectors = _row_sums(t, block.weight, fitted, width)
            return (
                *_grams(block, t, fitted.rho),
                squared,
                block.dot(np.column_stack(vectors)),
                _scalars(y, t, block.weight, fitted.rho),
            )

        inside, outside, squared, vectors, scalars = self.sweep(collect)
        curvature = Curvature(
            inside=inside,
            outside=outside,
            squared=squared,
            score=vectors[:, 0],
            signs=vectors[:, 1],
            density=vectors[:, 2:].T,
            scalars=dict(zip(_SCALARS, map(float, scalars), strict=True)),
        )
        return curvature, t_all

    def influence(
        self,
        fitted: ModelFacts,
        t: Floats,
        root: Form,
        back: Floats,
        scale_form: Form,
        scale_factor: float,
        *,
        exponent: float | None,
        pivotal: float,
        groups: tuple[NDArray[np.intp], int] | None = None,
    ) -> Influence:
        """Return the sums of the second sweep.

        Parameters
        ----------
        fitted : ModelFacts
        t : ndarray of shape (n,)
            Residuals in units of the scale. They are overwritten.
        root : Form
            a → W⁻¹ᐟ²a, whose square is the leverage of an inlier.
        back : ndarray of shape (1 + p, k)
            From there to W⁻¹a, by coefficient.
        scale_form : Form
            a → the influence of ψ = 1 on the scale; and of the scale's own equation
            `scale_factor`.
        exponent : float or None
            The products of influences are divided by (1 − leverage) to this power.
            None: there are none.
        pivotal : float
            The leverage from which something rests on a row alone; such rows are left
            out.
        groups : (ndarray of int of shape (n,), int), default=None
            The group of each row, and the number of groups.
        """
        codes, n_groups = (None, 0) if groups is None else groups
        by_group = np.zeros((n_groups, self.n_features + 1))

        def collect(block: _Block) -> Sequence[Floats]:
            s, here = block.weight, t[block.rows]
            psi = np.clip(here, -fitted.rho, fitted.rho)
            g = _scale_equation(here, psi, fitted.kind)
            whitened = block.form(root)
            alone = s if self.sampling else (s > 0).astype(np.float64)
            hat = alone * np.einsum("ij,ij->i", whitened, whitened)
            h = np.where(np.abs(here) <= fitted.rho, hat, 0.0)
            rests = h > pivotal
            left = np.where(rests, 1.0, 1.0 - h)
            mass = s * alone  # s or s²
            scale = block.form(scale_form)[:, 0] * psi + scale_factor * g
            meat = np.empty((0, 0))
            if exponent is not None:
                factor = np.where(rests, 0.0, np.sqrt(mass) * left ** (-exponent / 2))
                fpsi = factor * psi
                meat = block.gram(fpsi, np.column_stack([fpsi, factor * g]))
            if codes is not None:
                # (One thread: see `sweep`.)
                block.add_by_group(s * psi, codes[block.rows], by_group)
            moved = np.abs(whitened[rests] @ back.T).sum(axis=0)
            t[block.rows] = here + psi * np.where(rests, 0.0, hat) / left
            scalars = np.array([mass @ (scale * scale), np.count_nonzero(rests)])
            return meat, scalars, moved

        meat, scalars, moved = self.sweep(collect, parallel=groups is None)
        t *= fitted.scale
        weight = self.weight
        if weight is not None:
            present = weight > 0
            t, weight = t[present], weight[present] * self.unit_weight
        order = np.argsort(t, kind="stable")
        return Influence(
            meat=meat,
            scale_square=float(scalars[0]),
            n_pivotal=int(scalars[1]),
            moved=moved,
            deletion=t[order],
            weight=None if weight is None else weight[order],
            by_group=by_group,
        )

    def diagnostics(
        self, fitted: ModelFacts, hat: Form, hat_scale: Floats, root: Form, cook: Form
    ) -> Floats:
        """Return (4, n): t, the leverage of J, of W, and the length of `cook`, squared.

        One sweep. The leverage of J is the square of ``hat + t·hat_scale``; leverages
        are zero of outliers, and of one copy where weights are of frequency.
        """
        predicted, y_centre, unit = self.residuals(fitted)
        result = np.zeros((4, self.n_rows))

        def collect(block: _Block) -> Sequence[Floats]:
            y = (self.y[block.rows].astype(np.float64) - y_centre) * unit
            t = y - block.form(predicted)[:, 0]
            present = block.weight > 0
            alone = block.weight if self.sampling else present.astype(np.float64)
            alone = np.where(np.abs(t) <= fitted.rho, alone, 0.0)
            rows = [
                block.form(hat) + np.outer(t, hat_scale),
                block.form(root),
                block.form(cook),
            ]
            squares = [np.einsum("ij,ij->i", one, one) for one in rows]
            result[:, block.rows] = (
                t,
                alone * squares[0],
                alone * squares[1],
                squares[2],
            )
            return (np.zeros(0),)

        self.sweep(collect)
        return result


def _grams(block: _Block, t: Floats, rho: float) -> tuple[Floats, Floats]:
    """Return Σ s (a, t)(a, t)ᵀ of the inliers and Σ s a aᵀ of the outliers."""
    inlier = np.abs(t) <= rho
    inside, outside = block.some(inlier), block.some(~inlier)
    root, root_out = np.sqrt(inside.weight), np.sqrt(outside.weight)
    extra = np.column_stack([root, root * t[inlier]])
    return inside.gram(root, extra), outside.gram(root_out, root_out[:, np.newaxis])


def _row_sums(t: Floats, s: Floats, fitted: ModelFacts, width: float) -> list[Floats]:
    """Return s ψ and s (1 − d) sign(t) of each row, and for "mad" two densities."""
    psi = np.clip(t, -fitted.rho, fitted.rho)
    signs = np.where(np.abs(t) <= fitted.rho, 0.0, np.sign(t))
    rows = [s * psi, s * signs]
    if fitted.kind == "mad":
        for side in (NORMAL_MAD, -NORMAL_MAD):
            z = (t - side) / width
            rows.append(s * np.exp(-0.5 * z * z) / (width * np.sqrt(2 * np.pi)))
    return rows


def _scalars(y: Floats, t: Floats, s: Floats, rho: float) -> Floats:
    """Return the sums that `_SCALARS` names."""
    size = np.abs(t)
    inlier = size <= rho
    psi = np.clip(t, -rho, rho)
    robust = s * np.divide(rho, size, out=np.ones_like(t), where=~inlier)
    loss = np.where(inlier, 0.5 * t * t, psi * t - 0.5 * psi * psi)
    return np.array(
        [
            s @ inlier,
            np.count_nonzero(inlier & (s > 0)),
            s @ (psi * psi),
            s @ loss,
            robust.sum(),
            robust @ y,
            robust @ (y * y),
            robust @ (t * t),
        ]
    )


def _dense(product: Any) -> Floats:
    """Return a product that may be sparse as an array."""
    result: Floats = product.toarray() if sp.issparse(product) else product
    return result


def _scale_equation(t: Floats, psi: Floats, kind: str) -> Floats:
    """Return each row's term of the equation of the scale."""
    if kind == "joint":
        return 0.5 * (psi * psi - 1.0)
    if kind == "mad":
        return np.where(np.abs(t) <= NORMAL_MAD * _TIE, 0.5, -0.5)
    return np.zeros_like(t)
