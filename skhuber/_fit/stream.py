"""Streams of rows: sums of p² numbers that stand for rows which are gone.

**Parts.** Rows are kept as they are until there are enough of them for a fit of their
own. That fit has its minimum at θ_k with the scale σ_k, and near there the gradient of
its loss is, with a = (z, 1) and the sums over the inliers,

    Σ s c a ≈ g_k − A_k (θ − θ_k),        A_k = Σ s a aᵀ.

A *part* keeps these sums. What it holds depends on its own rows alone, neither on the
rows before it nor on their order, and parts of two streams add up. The model of all
parts solves

    Σ_k ω_k (g_k + A_k (θ_k − θ)) = α σ P θ,        σ = Σ ω_k W_k σ_k / Σ ω_k W_k

(N. Lin and R. Xi, "Aggregated estimating equation estimation", Statistics and Its
Interface 4, 2011; their estimate is as efficient as that of all rows at once if parts
have many rows for each coefficient).

**Rows on which a column rests.** A coefficient that one row of a part determines fits
that row exactly, an outlier, too. So rows with a share above `_MOST_SHARE` in the sum
Σ s z² of some column, or in those of several columns together, are left out of the
sums: A_k says nothing of them, and the rows are kept as they are until others with
those columns have come. There are few, as all shares add up to p.

The model is the minimum of the parts' parabolas and the loss of the rows kept.

**Wild parts.** The parabola of a part holds where residuals move by less than the
threshold. A part whose own minimum is farther off than that from the minimum of all
(its rows are contaminated, or of another population) says little of how its rows lie
about the common model, and counts less:

    ω_k = min(1, (near/d_k)²),
    d_k² = (θ − θ_k)ᵀ A_k (θ − θ_k) / (m_k τ²) + log²(σ_k/σ),

with m_k the weight of its inliers and τ the threshold ρσ, or 1.35 robust standard
deviations of the residuals if that is more. The search starts from the part that is
nearest to all others, so that a minority of the rows cannot lead it astray, wherever
in the stream it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from skhuber._common.scale import NORMAL_MAD, weighted_median
from skhuber._fit.fit import fit_rows
from skhuber._fit.plan import plan_of
from skhuber._fit.result import Fit, Model, residuals_of
from skhuber._fit.settings import Settings
from skhuber._fit.standardise import frame_of
from skhuber._objective import Frame
from skhuber._rows import RowSource, make_rows
from skhuber._runtime import one_blas_thread
from skhuber._sums import Floats, Point, Want

# Rows of a part, for each coefficient and at least: with 40 the curvature of a part is
# off by √(1/40) in its worst direction, which costs the model of many parts 1/40 of its
# efficiency.
_ROWS_PER_COEFFICIENT = 40
_LEAST_ROWS = 1000
# The most that one row of a part may have of the squares of the columns: of a dummy
# there are ten rows in a part or none. With dummies of 20 to 2,000 of 20,000 rows, of
# which a tenth are outliers, the error of a stream is 0.99 to 1.02 times that of one
# fit (1.07 to 1.14 times with 0.2, and 4.6 to 5.6 times without a limit).
_MOST_SHARE = 0.1
# The most parts of a stream: with twelve, a tenth of the rows that is contaminated is a
# part of its own.
_MOST_PARTS = 12
# Distance d from the common model up to which a part counts in full. Chance puts a part
# of 40 rows for each coefficient at about 0.12.
_NEAR = 0.5
# Threshold in robust standard deviations below which A is made of the rows within
# that many: of a lower threshold too few rows are inliers to know their density.
_USUAL_RHO = 1.35
# The most updates of the weights ω, and of those of rows, and their largest change at
# the end.
_MAX_UPDATES = 50
_SETTLED = 1e-9
# A direction whose curvature is below this part of the largest one (of columns in one
# unit) is lost to rounding.
_LOST = 1e-12
# A scale below this part of the unit of y is zero to rounding.
_LEAST_SCALE = 1e-12


@dataclass(frozen=True)
class Part:
    """Sums over rows that had a fit of their own, in the units of the stream's frame.

    Attributes
    ----------
    weight, mass : float
        Σ s over all rows, and over those of which `curvature` is the sum.
    curvature : ndarray of shape (q, q)
        A, with q = p + 1, or p without an intercept.
    linear : ndarray of shape (q,)
        g + Aθ.
    theta : ndarray of shape (q,)
        The minimum.
    scale, spread : float
        σ, and median|r| / Φ⁻¹(3/4).
    """

    weight: float
    mass: float
    curvature: Floats
    linear: Floats
    theta: Floats
    scale: float
    spread: float

    def in_frame(self, own: Frame, other: Frame) -> Part:
        """Return the part in the units of another frame."""
        # a = M a' with the a' of the own frame; y is ratio·y' + shift.
        ratio = float(np.ldexp(1.0, own.y_power - other.y_power))
        scaling = np.ldexp(1.0, own.x_power - other.x_power)
        p = len(scaling)
        change = np.diag(np.append(scaling, 1.0))
        change[:p, p] = (own.centre - other.centre) * other.unit
        shift = (own.y_centre - other.y_centre) * other.y_unit
        q = len(self.theta)
        change = change[:q, :q]
        curvature = change @ self.curvature @ change.T
        linear = ratio * (change @ self.linear)
        if other.fit_intercept:
            linear = linear + shift * curvature[:, -1]
        coef, intercept = own.to_natural(*_split(self.theta, own))
        u, start = other.from_natural(coef, intercept)
        return replace(
            self,
            curvature=curvature,
            linear=linear,
            theta=_joined(u, start, other),
            scale=self.scale * ratio,
            spread=self.spread * ratio,
        )

    def merged(self, other: Part) -> Part:
        """Return the part of the rows of both."""
        weight = self.weight + other.weight
        curvature = self.curvature + other.curvature
        linear = self.linear + other.linear
        share = self.weight / weight
        return Part(
            weight=weight,
            mass=self.mass + other.mass,
            curvature=curvature,
            linear=linear,
            theta=_solved(curvature, linear),
            scale=share * self.scale + (1 - share) * other.scale,
            spread=share * self.spread + (1 - share) * other.spread,
        )


@dataclass(frozen=True)
class Rows:
    """Rows that are kept as they are, with weights unless all are one."""

    X: Any
    y: Floats
    weight: Floats | None

    def __add__(self, other: Rows) -> Rows:
        weight = None
        if self.weight is not None or other.weight is not None:
            weight = np.concatenate([self._weights(), other._weights()])
        both = [self.X, other.X]
        X: Any
        if any(sp.issparse(X) for X in both):
            X = sp.vstack([sp.csr_matrix(X) for X in both], format="csr")
        else:
            X = np.vstack(both)
        return Rows(X, np.concatenate([self.y, other.y]), weight)

    def _weights(self) -> Floats:
        return np.ones(len(self.y)) if self.weight is None else self.weight

    def present(self) -> Rows:
        """Return a copy of the rows of positive weight."""
        if self.weight is None:
            return Rows(self.X.copy(), self.y.copy(), None)
        return self.only(self.weight > 0)

    def only(self, chosen: NDArray[np.bool_]) -> Rows:
        """Return a copy of some rows."""
        weight = None if self.weight is None else self.weight[chosen]
        return Rows(self.X[chosen], self.y[chosen], weight)

    def without(self, chosen: NDArray[np.bool_]) -> Rows:
        """Return the rows with a weight of zero for some; X is shared."""
        return replace(self, weight=np.where(chosen, 0.0, self._weights()))

    def source(self, threads: int) -> RowSource:
        """Return these rows as a source."""
        return make_rows(self.X, self.y, self.weight, threads)


@dataclass(frozen=True)
class Stream:
    """State of a stream; nothing of it ever changes.

    Attributes
    ----------
    settings : Settings
    frame : Frame or None
        Units of the parts; None before the first one.
    parts : tuple of Part
    kept : Rows or None
        Rows that are no part yet.
    n_rows : int
        All rows seen.
    """

    settings: Settings
    frame: Frame | None = None
    parts: tuple[Part, ...] = ()
    kept: Rows | None = None
    n_rows: int = 0

    def with_rows(self, rows: Rows, threads: int) -> tuple[Stream, Fit | None]:
        """Return the stream with more rows, and the last fit to some of its rows.

        Many rows are a part of their own. Few are kept until there are many. The fit is
        None if none was made, and that of the whole stream as long as `is_whole`. If it
        is not finite, the stream is of no use.
        """
        stream = replace(self, n_rows=self.n_rows + len(rows.y))
        n_present = len(rows.y)
        if rows.weight is not None:
            n_present = int(np.count_nonzero(rows.weight))
        is_many = n_present >= _part_rows(rows.X.shape[1])
        if is_many or not self.n_rows:
            source = rows.source(threads)
            fit = fit_rows(source, self.settings)
            if is_many:
                stream = stream._with_part(rows, source, fit)
                packed, last = stream._packed(threads)
                return packed, fit if last is None else last
            return replace(stream, kept=rows.present()), fit
        kept = rows.present() if self.kept is None else self.kept + rows.present()
        return replace(stream, kept=kept)._packed(threads)

    def _packed(self, threads: int) -> tuple[Stream, Fit | None]:
        """Return the stream with the rows kept made a part if they are many."""
        if self.kept is None:
            return self, None
        is_many = len(self.kept.y) >= _part_rows(self.kept.X.shape[1])
        if not is_many and self.parts:
            return self, None
        source = self.kept.source(threads)
        fit = fit_rows(source, self.settings)
        if not is_many or not fit.is_finite:
            return self, fit
        return replace(self, kept=None)._with_part(self.kept, source, fit), fit

    def _with_part(self, rows: Rows, source: RowSource, fit: Fit) -> Stream:
        """Return the stream with one part more, whose fit is given.

        Rows on which a column rests are kept.
        """
        if not fit.is_finite:
            return self
        frame = self.frame
        if frame is None:
            n_rows = plan_of(source).sample_rows
            sample = source.sample(source.pick(n_rows)) if n_rows else source
            frame = frame_of(source, sample, self.settings)
            assert frame is not None
        alone = _rests(source, frame)
        if not alone.any():
            part, kept = _part_of(source, fit, frame, self.settings), self.kept
        else:
            others = rows.without(alone).source(source.threads)
            part = _part_of(others, fit, frame, self.settings)
            part = replace(part, theta=_solved(part.curvature, part.linear))
            few = rows.only(alone)
            kept = few if self.kept is None else self.kept + few
        parts = _compressed([*self.parts, part], self.settings)
        return replace(self, frame=frame, parts=parts, kept=kept)

    def merged(self, other: Stream, threads: int) -> tuple[Stream, Fit | None]:
        """Return the stream of the rows of both, and a fit as `with_rows` does."""
        first, second = (self, other) if self.parts else (other, self)
        parts = list(first.parts)
        if second.parts:
            assert first.frame is not None
            assert second.frame is not None
            parts += [p.in_frame(second.frame, first.frame) for p in second.parts]
        kept = self.kept if other.kept is None else other.kept
        if self.kept is not None and other.kept is not None:
            kept = self.kept + other.kept
        stream = Stream(
            self.settings,
            first.frame,
            _compressed(parts, self.settings),
            kept,
            self.n_rows + other.n_rows,
        )
        return stream._packed(threads)

    @property
    def is_whole(self) -> bool:
        """True if all rows are kept, or are one part."""
        return len(self.parts) + (self.kept is not None) <= 1

    @one_blas_thread
    def model(self) -> Model:
        """Return the model of all rows, in the units of the data."""
        frame, settings = self.frame, self.settings
        assert frame is not None
        theta, scale = _pooled(self.parts, frame, settings)
        if self.kept is not None:
            bound = _Bound.of(self.kept.source(1), frame)
            for _ in range(_MAX_UPDATES):
                last = theta
                extra = bound.at(theta, settings.rho * scale)
                theta, scale = _pooled(self.parts, frame, settings, extra)
                if np.abs(theta - last).max(initial=0) <= _SETTLED * scale:
                    break
        coef, intercept = frame.to_natural(*_split(theta, frame))
        natural = float(np.ldexp(scale, frame.y_power))
        if not isinstance(settings.scale, str):
            natural = settings.scale
        return Model(coef, intercept, natural, np.nan)


@dataclass(frozen=True)
class _Bound:
    """Parabolas above the loss of rows, of which the minimum is nearer to the loss's.

    Attributes
    ----------
    a : ndarray of shape (n, q)
        (z, 1), or z without an intercept.
    y, weight : ndarray of shape (n,)
    """

    a: Floats
    y: Floats
    weight: Floats

    @classmethod
    def of(cls, source: RowSource, frame: Frame) -> _Bound:
        """Return that of some rows in the units of a frame."""
        a = source.standardised(frame.centre, frame.unit)
        if frame.fit_intercept:
            a = np.column_stack([a, np.ones(len(a))])
        weight = np.ones(len(a)) if source.weight is None else source.weight
        y = source.y.astype(np.float64)
        return cls(a, (y - frame.y_centre) * frame.y_unit, weight)

    def at(self, theta: Floats, threshold: float) -> tuple[Floats, Floats]:
        """Return the curvature, and its product with the minimum.

        The parabola touches the loss at θ. Its curvature is Σ s w a aᵀ with w = ψ(r)/r:
        a step of iteratively reweighted least squares (P. J. Huber and E. M.
        Ronchetti, Robust Statistics, 2nd ed., Wiley 2009, section 7.8).
        """
        weight = self.weight
        if threshold < np.inf:
            size = np.abs(self.y - self.a @ theta)
            weight = weight * threshold / np.maximum(size, threshold)
        weighted = self.a * weight[:, np.newaxis]
        return weighted.T @ self.a, weighted.T @ self.y


def _rests(source: RowSource, frame: Frame) -> NDArray[np.bool_]:
    """Return which rows a column rests on. Two sweeps."""
    point = _point(frame, np.zeros(source.n_features), 0.0, 1.0, 1.0)
    (sums,) = source.sweep([point], Want(squares=True))
    share = source.influences(point, sums.all_squares)
    if source.weight is not None:
        share *= source.weight * source.weight_unit
    return share > _MOST_SHARE


def _point(
    frame: Frame, u: Floats, intercept: float, threshold: float, scale: float
) -> Point:
    """Return a point of a sweep in the units of a frame."""
    return Point(
        centre=frame.centre,
        unit=frame.unit,
        y_centre=frame.y_centre,
        y_unit=frame.y_unit,
        u=u,
        intercept=intercept,
        threshold=threshold,
        scale=scale,
    )


def _part_rows(n_features: int) -> int:
    return max(_ROWS_PER_COEFFICIENT * (n_features + 1), _LEAST_ROWS)


def _split(theta: Floats, frame: Frame) -> tuple[Floats, float]:
    if frame.fit_intercept:
        return theta[:-1], float(theta[-1])
    return theta, 0.0


def _joined(u: Floats, intercept: float, frame: Frame) -> Floats:
    return np.append(u, intercept) if frame.fit_intercept else u


@one_blas_thread
def _part_of(source: RowSource, fit: Fit, frame: Frame, settings: Settings) -> Part:
    """Return the sums at the minimum of a fit to the rows. One sweep, or two."""
    u, intercept = frame.from_natural(fit.coef, fit.intercept)
    theta = _joined(u, intercept, frame)
    distance = np.abs(residuals_of(source, fit))
    spread = weighted_median(distance, source.weight) / NORMAL_MAD
    scale, spread = (
        max(float(np.ldexp(size, -frame.y_power)), _LEAST_SCALE)
        for size in (fit.scale, spread)
    )
    threshold = settings.rho * scale
    point = _point(frame, u, intercept, threshold, scale)
    (sums,) = source.sweep([point], Want(gram=np.float64))
    within, gradient = sums, _joined(sums.gradient, sums.c, frame)
    width = min(1.0, _USUAL_RHO) * spread
    ratio = 1.0
    if threshold < width:
        # Few rows lie so near; their density is known better from more of them.
        (within,) = source.sweep(
            [replace(point, threshold=width)], Want(gram=np.float64)
        )
        ratio = threshold / width
    assert within.gram is not None
    q = len(theta)
    factor = ratio / source.weight_unit
    curvature = within.gram[0][:q, :q] * factor
    return Part(
        weight=sums.weight / source.weight_unit,
        mass=within.inlier * factor,
        curvature=curvature,
        linear=curvature @ theta + gradient / source.weight_unit,
        theta=theta,
        scale=scale,
        spread=spread,
    )


def _solved(curvature: Floats, linear: Floats) -> Floats:
    """Return the θ of least length (of columns in one unit) that solves Aθ = linear."""
    diagonal = np.diagonal(curvature)
    unit = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    scaled = curvature / np.outer(unit, unit)
    theta: Floats = np.linalg.lstsq(scaled, linear / unit, rcond=_LOST)[0] / unit
    return theta


def _unit(parts: Sequence[Part], scale: float, settings: Settings) -> float:
    """Return τ of the module's docstring."""
    weight = np.array([part.weight for part in parts])
    spread = weighted_median(np.array([part.spread for part in parts]), weight)
    return max(settings.rho * scale, _USUAL_RHO * spread)


def _distances(
    parts: Sequence[Part],
    theta: Floats,
    scale: float,
    unit: float,
    settings: Settings,
) -> Floats:
    """Return d of the module's docstring for each part."""
    found = np.zeros(len(parts))
    if np.isinf(settings.rho):  # a parabola holds everywhere
        return found
    for k, part in enumerate(parts):
        step = part.theta - theta
        if part.mass > 0:
            square = max(float(step @ part.curvature @ step), 0.0)
            found[k] = square / part.mass / unit**2
        if isinstance(settings.scale, str):
            found[k] += np.log(part.scale / scale) ** 2
    return np.sqrt(found)


def _pooled(
    parts: Sequence[Part],
    frame: Frame,
    settings: Settings,
    extra: tuple[Floats, Floats] | None = None,
) -> tuple[Floats, float]:
    """Return θ and σ of all parts.

    Parameters
    ----------
    parts : sequence of Part
    frame : Frame
    settings : Settings
    extra : tuple of ndarray, optional
        A and Aθ of rows that count in full, and only for θ.
    """
    weight = np.array([part.weight for part in parts])
    scales = np.array([part.scale for part in parts])
    powers = frame.y_power - 2 * frame.x_power
    penalty = np.ldexp(settings.alpha, powers)
    if frame.fit_intercept:
        penalty = np.append(penalty, 0.0)

    def solved(omega: Floats) -> tuple[Floats, float]:
        counted = omega * weight
        scale = float(counted @ scales / counted.sum())
        curvature = np.diag(scale * penalty)
        linear = np.zeros_like(penalty)
        for share, part in zip(omega, parts, strict=True):
            curvature += share * part.curvature
            linear += share * part.linear
        if extra is not None:
            curvature += extra[0]
            linear += extra[1]
        return _solved(curvature, linear), scale

    def omega_at(theta: Floats, scale: float) -> Floats:
        unit = _unit(parts, scale, settings)
        distances = _distances(parts, theta, scale, unit, settings)
        return np.minimum(1.0, (_NEAR / np.maximum(distances, _NEAR)) ** 2)

    # (In one unit for all: a wild part may have the largest scale.)
    unit = _unit(parts, weighted_median(scales, weight), settings)
    far = [_distances(parts, p.theta, p.scale, unit, settings) for p in parts]
    start = parts[int(np.argmin(far @ weight))]
    omega = omega_at(start.theta, start.scale)
    for _ in range(_MAX_UPDATES):
        theta, scale = solved(omega)
        last, omega = omega, omega_at(theta, scale)
        if np.abs(omega - last).max() <= _SETTLED:
            break
    return theta, scale


def _compressed(parts: Sequence[Part], settings: Settings) -> tuple[Part, ...]:
    """Return at most `_MOST_PARTS` parts; those that are most alike are made one."""
    parts = list(parts)
    while len(parts) > _MOST_PARTS:
        best, pair = np.inf, (0, 1)
        for i, one in enumerate(parts):
            unit = _unit(parts, one.scale, settings)
            far = _distances(parts, one.theta, one.scale, unit, settings)
            for j, other in enumerate(parts):
                # Ward's criterion: the spread that joining two adds within parts.
                size = one.weight * other.weight / (one.weight + other.weight)
                if i != j and size * far[j] ** 2 < best:
                    best, pair = size * far[j] ** 2, (i, j)
        i, j = sorted(pair)
        other = parts.pop(j)
        parts[i] = parts[i].merged(other)
    return tuple(parts)
