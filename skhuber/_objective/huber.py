"""The objective of a robust linear regression, stated once.

With residuals r_i = y_i − x_i·w − b, sample weights s_i ≥ 0, a threshold ρ > 0 in
units of the scale σ, an L2 penalty α ≥ 0, and

    H_ρ(z) = z² if |z| ≤ ρ, else 2ρ|z| − ρ²,

the fit minimises

    scale="joint"    F(w, b, σ) = Σ s_i (σ + σ H_ρ(r_i/σ)) + α‖w‖²
    scale=a number   F(w, b)    = Σ s_i σ H_ρ(r_i/σ) + α‖w‖²
    scale="mad"      the same with σ = median|r_i| / Φ⁻¹(3/4) at the minimum itself.

The first is Huber's concomitant scale (Huber and Ronchetti, Robust Statistics, 2009,
sections 7.7 and 7.8), jointly convex, in the form of scikit-learn's HuberRegressor:
its epsilon is ρ, its alpha is α. The third is what R's ``rlm`` and statsmodels'
``RLM`` compute (with α = 0).

An elastic net has Σ l1_j |w_j| + Σ l2_j w_j² in place of α‖w‖², and the coefficients
may have bounds (`skhuber._objective.penalty`). The value of F contains all of these,
the gradient and the Hessian only what is smooth.

**In a computer.** With the clipped residual c = clip(r, ±ρσ) there are no branches:

    F        = W σ + (2 Σ s c r − Σ s c²)/σ + α‖w‖²          (W = Σ s; joint only)
    ∂F/∂w    = −(2/σ) Σ s c x + 2αw
    ∂F/∂b    = −(2/σ) Σ s c
    ∂F/∂σ    = W − Σ s c²/σ²                                 (joint only)
    Hessian  = (2/σ) Σ_inliers s a aᵀ + 2α on w,             a = (x, 1, r/σ).

The minimisation runs in standardised variables θ = (u, b', σ'): columns centred and
scaled, y centred and scaled, F divided by W and by the scale of y. All scales are
powers of two (of which `Frame` keeps the exponents), so that a change of units by a
power of two changes no digit, and no other change more than the last. Sums come from
`skhuber._rows`; nothing here is larger than p × p.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from skhuber._objective.penalty import Penalty
from skhuber._sums import Columns, Floats, Point, Sums

_EPS = float(np.finfo(np.float64).eps)

# The scale is not let below this many units in the last place of the unit of y, a
# robust deviation (9e-13 of it): residuals of rows no larger than that are rounded to
# some such units, and the loss must stay smooth where they are. Data that a line fits
# exactly have a scale of zero.
_SCALE_FLOOR = 4096 * _EPS
# A standardised residual carries rounding errors of about this size.
RESIDUAL_ROUNDING = 8 * _EPS
# Exponents of two within which neither a number's scale nor its square overflows on its
# way through a sweep.
_EXPONENT_LIMIT = 1000
# A penalty beyond this pins its coefficient to zero as well as infinity would: a loss
# whose curvature compares with it has sums of squares that overflow.
_PENALTY_LIMIT = 2.0**1000
# Binary exponents of a fixed scale (in the unit of y) that are left as they are.
_ORDINARY_SCALE_POWERS = -16, 64


def exponent(size: Floats | float) -> NDArray[np.int64]:
    """Return for each size the largest k with 2ᵏ ≤ size; 0 for a size of zero."""
    size = np.asarray(size, dtype=np.float64)
    _, power = np.frexp(size)
    power = np.where(size > 0, power - 1, 0)
    return np.clip(power, -_EXPONENT_LIMIT, _EXPONENT_LIMIT).astype(np.int64)


@dataclass(frozen=True)
class Rotation:
    """The basis of singular vectors in which data are fitted.

    The rows of the fit are those of ((X[:, columns] − centre)/2^power) @ basis.

    Attributes
    ----------
    basis : ndarray of shape (k, rank)
    centre : ndarray of shape (k,)
    power : ndarray of int of shape (k,)
    columns : ndarray of int of shape (k,) or slice
        All columns of X but empty ones, whose coefficients are zero.
    n_features : int
        Columns of X.
    """

    basis: Floats
    centre: Floats
    power: NDArray[np.int64]
    columns: Columns
    n_features: int

    def to_natural(self, coef: Floats, intercept: float) -> tuple[Floats, float]:
        """Return coefficients and intercept with respect to the columns of X."""
        natural = np.ldexp(self.basis @ coef, -self.power)
        wide = np.zeros(self.n_features)
        wide[self.columns] = natural
        return wide, intercept - float(self.centre @ natural)

    def from_natural(self, coef: Floats, intercept: float) -> tuple[Floats, float]:
        """Return coefficients and intercept with respect to the basis."""
        coef = coef[self.columns]
        shifted = intercept + float(self.centre @ coef)
        return self.basis.T @ np.ldexp(coef, self.power), shifted


@dataclass(frozen=True)
class Frame:
    """Standardisation of the data: z = (x − centre)/2^x_power, likewise y."""

    centre: Floats
    """(p,), subtracted from the columns."""
    x_power: NDArray[np.int64]
    """(p,)."""
    y_centre: float
    y_power: int
    fit_intercept: bool
    rotation: Rotation | None = None
    """The basis of the rows, if it is not that of the columns of X."""

    @property
    def unit(self) -> Floats:
        """(p,), factors of the centred columns."""
        return np.ldexp(1.0, -self.x_power)

    @property
    def y_unit(self) -> float:
        """Factor of the centred y."""
        return float(np.ldexp(1.0, -self.y_power))

    def to_natural(self, u: Floats, intercept: float) -> tuple[Floats, float]:
        """Return coefficients and intercept in the units of the data."""
        coef, natural = np.ldexp(u, self.y_power - self.x_power), 0.0
        if self.fit_intercept:
            natural = self.y_centre + float(np.ldexp(intercept, self.y_power))
            natural -= float(self.centre @ coef)
        if self.rotation is None:
            return coef, natural
        coef, natural = self.rotation.to_natural(coef, natural)
        return coef, natural if self.fit_intercept else 0.0

    def from_natural(self, coef: Floats, intercept: float) -> tuple[Floats, float]:
        """Return u and the standardised intercept of a model."""
        if self.rotation is not None:
            coef, intercept = self.rotation.from_natural(coef, intercept)
        u = np.ldexp(np.asarray(coef, dtype=np.float64), self.x_power - self.y_power)
        if not self.fit_intercept:
            return u, 0.0
        shift = float(self.centre @ coef)
        return u, float(np.ldexp(intercept + shift - self.y_centre, -self.y_power))


def scale_shift(frame: Frame, rho: float, scale: float) -> int:
    """Return the power of two that multiplies a fixed scale and divides ρ and α.

    With a fixed scale σ and the threshold T = ρσ, F is Σ s (2 c r − c²)/σ + α‖w‖². T
    and ασ alone say where the minimum is: σ is a unit of F. So a scale far below the
    deviations of y is raised to the threshold, or to these deviations if the threshold
    is larger, and a scale far above them is brought nearer. No digit changes, and no
    threshold.
    """
    least, most = _ORDINARY_SCALE_POWERS
    power = int(exponent(scale)) - frame.y_power
    if power > most:
        return most - power
    if power >= least:
        return 0
    threshold_power = 0 if np.isinf(rho) else power + int(exponent(rho))
    return max(min(threshold_power, 0) - power, 0)


# So much of a threshold is far below it.
_FAR_BELOW = 0.1


class HuberObjective:
    """F of the module's docstring, in standardised variables.

    θ = (u, b if there is an intercept, σ if the scale is joint), all per unit of weight
    and in units of the scale of y. It is the same function of θ for all rows and for a
    sample of them, up to sampling error.

    Parameters
    ----------
    frame : Frame
    rho : float
        Threshold in units of the scale; may be infinite.
    penalty : Penalty
        In the units of the data.
    scale : float or None
        The fixed scale in units of 2^y_power; None for a joint one.
    total_weight, weight_power
        The sum of the weights is total_weight · 2^-weight_power.
    floor : float
        A lower bound of a joint scale, where it is to be above what rounding needs.
    shift : int
        A fixed scale is 2^shift times the one in the units of the data, and ρ and α are
        divided by as much; see `scale_shift`.
    """

    def __init__(
        self,
        frame: Frame,
        *,
        rho: float,
        penalty: Penalty,
        scale: float | None,
        total_weight: float,
        weight_power: int,
        floor: float = 0.0,
        shift: int = 0,
    ) -> None:
        self.frame = frame
        self.rho = rho
        self.joint = scale is None
        self.fixed_scale = 0.0 if scale is None else scale
        self._given_penalty = penalty
        self.n_features = len(frame.centre)
        # w = u · 2^to_w.
        self._to_w = frame.y_power - frame.x_power
        self._total_weight = total_weight
        self._weight_power = weight_power
        self._floor = floor
        self._shift = shift
        # Of the basis (z, 1, t) of a Gram matrix, what θ has.
        self._kept = np.array(
            [True] * self.n_features + [frame.fit_intercept, self.joint]
        )

    @functools.cached_property
    def l2(self) -> Floats:
        """(p,), weights of u²."""
        return self._per_weight(self._given_penalty.l2, 2 * self._to_w)

    @functools.cached_property
    def l1(self) -> Floats:
        """(p,), weights of |u|."""
        return self._per_weight(self._given_penalty.l1, self._to_w)

    def _per_weight(self, penalty: float | Floats, powers: NDArray[np.int64]) -> Floats:
        """Return penalty · 2^powers / (W · 2^(y_power + shift))."""
        powers = powers - self.frame.y_power + self._weight_power - self._shift
        weights = np.ldexp(np.asarray(penalty) / self._total_weight, powers)
        return np.minimum(weights, _PENALTY_LIMIT)

    def with_scale(self, scale: float) -> HuberObjective:
        """Return the objective with the scale fixed at this standardised value."""
        return self._with(scale, self._floor)

    def with_floor(self, floor: float) -> HuberObjective:
        """Return the objective with a joint scale of at least `floor`, standardised."""
        return self._with(None, floor)

    def _with(
        self, scale: float | None, floor: float, rho: float | None = None
    ) -> HuberObjective:
        return HuberObjective(
            self.frame,
            rho=self.rho if rho is None else rho,
            penalty=self._given_penalty,
            scale=scale,
            total_weight=self._total_weight,
            weight_power=self._weight_power,
            floor=floor,
            shift=self._shift,
        )

    def with_rho(self, rho: float) -> HuberObjective:
        """Return the objective with another threshold."""
        scale = None if self.joint else self.fixed_scale
        return self._with(scale, self._floor, rho)

    def of_columns(self, columns: Columns) -> HuberObjective:
        """Return the objective of some columns, the other coefficients being zero."""
        frame = replace(
            self.frame,
            centre=self.frame.centre[columns],
            x_power=self.frame.x_power[columns],
        )
        return HuberObjective(
            frame,
            rho=self.rho,
            penalty=self._given_penalty.of_columns(columns),
            scale=None if self.joint else self.fixed_scale,
            total_weight=self._total_weight,
            weight_power=self._weight_power,
            floor=self._floor,
            shift=self._shift,
        )

    @property
    def lower(self) -> Floats:
        """(q,), lower bounds of θ: those of u, and the floor of a joint scale."""
        lower = np.ldexp(self._given_penalty.lower, -self._to_w)
        return np.concatenate([lower, [-np.inf, self.scale_floor]])[self._kept]

    @property
    def upper(self) -> Floats:
        """(q,), upper bounds of θ."""
        upper = np.ldexp(self._given_penalty.upper, -self._to_w)
        return np.concatenate([upper, [np.inf, np.inf]])[self._kept]

    @property
    def theta_l1(self) -> Floats:
        """(q,), weights of |θ_j|."""
        return np.concatenate([self.l1, [0.0, 0.0]])[self._kept]

    @property
    def is_smooth(self) -> bool:
        """True without absolute values and bounds of coefficients."""
        return self._given_penalty.is_smooth

    @property
    def penalty_curvature(self) -> Floats:
        """(q,), the diagonal of the penalty's Hessian."""
        curvature = np.concatenate([2.0 * self.l2, [0.0, 0.0]])
        return curvature[self._kept]

    def penalty_value(self, u: Floats) -> float:
        """Return the part of F that does not depend on the rows."""
        return float(self.l2 @ u**2) + float(self.l1 @ np.abs(u))

    @property
    def scale_floor(self) -> float:
        """Least scale that the data can show."""
        # y itself has no finer resolution than its last place.
        resolution = _EPS * abs(self.frame.y_centre) * self.frame.y_unit
        return max(_SCALE_FLOOR, 4 * resolution, self._floor)

    def theta(self, u: Floats, intercept: float, scale: float) -> Floats:
        """Put θ together (of the standardised coefficients, intercept and scale)."""
        return np.concatenate([u, [intercept, scale]])[self._kept]

    def split(self, theta: Floats) -> tuple[Floats, float, float]:
        """u, intercept and scale of θ."""
        p = self.n_features
        intercept = float(theta[p]) if self.frame.fit_intercept else 0.0
        scale = float(theta[-1]) if self.joint else self.fixed_scale
        return theta[:p], intercept, scale

    def point(self, theta: Floats) -> Point:
        """Return the point of a sweep at θ."""
        u, intercept, scale = self.split(theta)
        return Point(
            centre=self.frame.centre,
            unit=self.frame.unit,
            y_centre=self.frame.y_centre,
            y_unit=self.frame.y_unit,
            u=u,
            intercept=intercept,
            threshold=self.rho * scale,
            scale=scale,
        )

    def value_gradient(self, theta: Floats, sums: Sums) -> tuple[float, Floats]:
        """Return F and its smooth part's gradient, per unit of weight, from sums."""
        u, _, scale = self.split(theta)
        weight = sums.weight
        joint = float(self.joint)
        value = (
            joint * scale
            + (2.0 * sums.cr - sums.cc) / weight / scale
            + self.penalty_value(u)
        )
        slope = -2.0 / (scale * weight)
        gradient = np.concatenate(
            [
                slope * sums.gradient + 2.0 * self.l2 * u,
                [slope * sums.c, 1.0 - sums.cc / weight / scale / scale],
            ]
        )
        return value, gradient[self._kept]

    def hessian(self, theta: Floats, gram: Floats, weight: float) -> Floats:
        """∂²F/∂θ² from the Gram matrix of the inliers' (z, 1, r/σ), without penalty."""
        _, _, scale = self.split(theta)
        n_kept = np.count_nonzero(self._kept)
        if self._kept[:n_kept].all():
            gram = gram[:n_kept, :n_kept]
        else:
            gram = gram[np.ix_(self._kept, self._kept)]
        return gram * (2.0 / (scale * weight))

    def diagonals(self, theta: Floats, sums: Sums) -> tuple[Floats, Floats]:
        """Return the diagonals of the inliers' and of the outliers' Hessian.

        From sums with squares, without the penalty. Of the outliers it is a bound:
        that of parabolas which touch the loss at the threshold.
        """
        assert sums.squares is not None
        _, _, scale = self.split(theta)
        weight = sums.weight
        out = max(weight - sums.inlier, 0.0)
        # Outliers have c² = threshold²; the rest of Σ s c² is the inliers' Σ s r².
        # (Multiplied one by one: a square that overflows raises an error.)
        at_threshold = out * self.rho * self.rho if out > 0 else 0.0
        square = max(sums.cc / scale / scale - at_threshold, 0.0)
        factor = 2.0 / (scale * weight)
        inside = np.concatenate([sums.squares[0], [sums.inlier, square]])
        outside = np.concatenate([sums.squares[1], [out, at_threshold]])
        return inside[self._kept] * factor, outside[self._kept] * factor

    def widened(self, v: Floats) -> Floats:
        """Return a vector like θ in the basis (z, 1, t) of a Gram matrix."""
        wide = np.zeros(len(self._kept))
        wide[self._kept] = v
        return wide

    def product(self, theta: Floats, sums: Sums) -> Floats:
        """Return the loss's Hessian times the direction of the sums."""
        assert sums.product is not None
        _, _, scale = self.split(theta)
        return sums.product[self._kept] * (2.0 / (scale * sums.weight))

    def tolerance(
        self, theta: Floats, value: float, tol: float, most: float = np.inf
    ) -> float:
        """Return the gap that is small enough: tol times F plus its rounding error.

        The part of tol is at most `most`. F counts up to 2ρ + σ, its value if all
        residuals are as large as the spread of y: a few gross outliers can make it far
        larger.
        """
        _, _, scale = self.split(theta)
        enough = min(tol * min(value, 2 * self.rho + scale), most)
        return enough + self.rounding_gap(theta)

    def parabola_gap(self, theta: Floats, inlier_share: float) -> float:
        """Return the gap up to which F is a parabola.

        A step that gains ½ d²·∂²F moves the inliers' residuals by d (in the mean of
        their squares). Where that is not far below the threshold, others become
        inliers on the way, and the gap that a Hessian tells means nothing.
        """
        _, _, scale = self.split(theta)
        reach = _FAR_BELOW * self.rho
        return reach * reach * scale * inlier_share

    def rounding_gap(self, theta: Floats) -> float:
        """Return what rounding errors of the residuals alone may add to F.

        No minimiser can do better, and a gap below it is none: where a scale comes
        close to zero this is more than any fixed fraction of F. An intercept far larger
        than the targets, which are about one, costs residuals as many digits.
        """
        _, intercept, scale = self.split(theta)
        error = RESIDUAL_ROUNDING * max(abs(intercept), 1.0)
        return min(error / scale, self.rho) * error

    def natural_value(self, value: float) -> float:
        """Return F in the units of y, from the standardised F per unit of weight."""
        power = self.frame.y_power - self._weight_power + self._shift
        return float(np.ldexp(value * self._total_weight, power))

    def natural_scale(self, scale: float) -> float:
        """Return a standardised scale in the units of y."""
        return float(np.ldexp(scale, self.frame.y_power - self._shift))
