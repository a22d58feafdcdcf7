"""Covariance matrices of the estimate, from sums over the rows.

Nothing here is larger than p × p. With residuals t = r/σ in units of the scale,
ψ = clip(t, ±ρ), inliers d = 1{|t| ≤ ρ}, weights s, N = Σ s, rows a of the coordinates γ
(`skhuber.inference._space`), the penalty α and Q with ‖w‖² = γᵀQγ,

    W = Σ s d a aᵀ + ασQ,     P = Σ s a aᵀ,     m = Σ s d/N,     S = Σ s c²/(N − p),
    K = 1 + (p/N)(1 − m)/m.

**H1, H2, H3** (P. J. Huber, "Robust Regression", The Annals of Statistics 1, 1973,
equation 8.13; as in statsmodels' ``RLM``), p being tr(W⁻¹Σ s d a aᵀ) under a penalty:

    H1 = K² S/m² P⁻¹      H2 = K S/m W⁻¹      H3 = K⁻¹ S W⁻¹ P W⁻¹

**The sandwich.** The coefficients and the scale solve Σ s g = 0, and a row's influence
on them is δ = J⁻¹g, with J minus the derivative of Σ s g:

    fixed   g = c a                       J = W
    joint   g = (c a, (c² − σ²)/(2σ))     J = Σ s d b bᵀ + ασQ,  b = (a, r/σ)
    mad     g = (c a, 1{|r| ≤ qσ} − ½)    J = [W, −ρ Σ_out s sign(r) a;
                                               −Σ s (f⁺ − f⁻) a, −q Σ s (f⁺ + f⁻)]

with q = Φ⁻¹(3/4) and f± a Gaussian kernel at r ∓ qσ. To leave a row out while the
inliers stay who they are changes the estimate by δ/(1 − h), h its leverage, so that

    V = (N − 1)/N Σ s δδᵀ/(1 − h)²,     h = d aᵀW⁻¹a,

is a one-step jackknife. HC0, HC2 and HC3 are Σ s δδᵀ/(1 − h)^k with k = 0, 1, 2 and the
scale taken as known; for ρ = ∞ they are those of least squares (J. G. MacKinnon and
H. White, "Some heteroskedasticity-consistent covariance matrix estimators", Journal of
Econometrics 29, 1985).

Everything is computed in units of σ: in place of g there is g/σ or, for "mad", the
scale's row of J times σ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from skhuber._common.scale import NORMAL_MAD
from skhuber.inference._checks import ModelFacts
from skhuber.inference._space import Space
from skhuber.inference._sums import Curvature, Form

Floats = NDArray[np.float64]

COV_TYPES = (
    "sandwich",
    "H1",
    "H2",
    "H3",
    "HC0",
    "HC2",
    "HC3",
    "cluster",
    "bootstrap",
)
# Of each kind, the power of 1 − leverage that influences' products are divided by.
EXPONENTS = {"sandwich": 2.0, "HC0": 0.0, "HC2": 1.0, "HC3": 2.0}
# A matrix of which a pivot is this part of the largest diagonal number, or less, is
# singular: it is a rounding error.
_SINGULAR = 1e-13
# Of other kinds the scale is taken as known.
_OF_SCALE = ("sandwich",)


class SingularError(ArithmeticError):
    """The inliers do not determine the coefficients."""


@dataclass(frozen=True)
class Bread:
    """Derivatives of the equations, in the coordinates γ, and what follows."""

    space: Space
    from_rows: Floats
    """(q, rank): the row of γ is (z, 1) times it."""
    count: float
    """N."""
    n_present: int
    share: float
    """m."""
    inliers: Floats
    """(rank, rank), Σ s d a aᵀ."""
    total: Floats
    """P."""
    squared: Floats
    """(rank, rank), Σ s² a aᵀ where weights are of sampling; else P."""
    curvature: Floats
    """W."""
    root: Floats
    """(rank, rank), upper triangular, W⁻¹ = root·rootᵀ."""
    jacobian: Floats
    """J; (rank + 1, rank + 1) unless the scale is fixed."""
    scale_row: Floats
    """The last row of J⁻¹; zeros if the scale is fixed."""
    penalty: Floats
    """(rank, rank), ασQ."""
    penalty_slope: Floats
    """(rank,), α times half of the derivative of ‖w‖²."""
    score: Floats
    """(rank,), Σ s ψ a."""
    mean_square: float
    """Σ s ψ²/N."""
    df_model: float
    """p, or what a penalty leaves of it."""

    @property
    def df_resid(self) -> float:
        """N − rank."""
        return self.count - self.space.rank

    def whitening(self) -> Form:
        """Return the map from rows (z, 1) to W⁻¹ᐟ²a."""
        return form_of(self.from_rows, self.root)

    @property
    def covariance_factor(self) -> float:
        """K of the module's docstring."""
        return 1.0 + self.df_model / self.count * (1.0 - self.share) / self.share

    @property
    def noise(self) -> float:
        """S/σ²."""
        return self.mean_square * self.count / (self.count - self.df_model)

    def solve(self, right: Floats) -> Floats:
        """J⁻¹ times some columns."""
        return _solve(self.jacobian, right)


def form_of(from_rows: Floats, matrix: Floats) -> Form:
    """Return the map from rows (z, 1) to a·matrix."""
    product = from_rows @ matrix
    return Form(product[:-1], product[-1])


def bread_of(
    space: Space,
    from_rows: Floats,
    sums: Curvature,
    fitted: ModelFacts,
    count: float,
    n_present: int,
) -> Bread:
    """Return the derivatives of the equations.

    Raises
    ------
    SingularError
        If the inliers, and the penalty, leave some coefficients undetermined.
    """
    A = from_rows
    q = len(A)
    k = space.rank
    inliers = A.T @ sums.inside[:q, :q] @ A
    total = inliers + A.T @ sums.outside @ A
    squared = A.T @ sums.squared @ A if sums.squared.size else total
    quadratic = fitted.alpha * fitted.scale * space.penalty
    W = inliers + quadratic
    root = _inverse_root(W)
    share = sums.scalars["inliers"] / count
    jacobian = _jacobian_of(W, A, sums, fitted)
    scale_row = np.zeros(k + 1)
    if len(jacobian) > k:
        scale_row[-1] = 1.0
        scale_row = _solve(jacobian.T, scale_row)
    df_model = float(k)
    if fitted.alpha > 0:
        df_model = float(np.einsum("ij,ji->", root @ root.T, inliers))
    return Bread(
        space=space,
        from_rows=from_rows,
        count=count,
        n_present=n_present,
        share=share,
        inliers=inliers,
        total=total,
        squared=squared,
        curvature=W,
        root=root,
        jacobian=jacobian,
        scale_row=scale_row,
        penalty=quadratic,
        penalty_slope=fitted.alpha * space.penalty_slope(fitted.coef),
        score=A.T @ sums.score,
        mean_square=sums.scalars["square"] / count,
        df_model=df_model,
    )


def _jacobian_of(W: Floats, A: Floats, sums: Curvature, fitted: ModelFacts) -> Floats:
    """Return W, bordered by the derivatives of the scale's equation, if it has one."""
    q = len(A)
    if fitted.kind == "joint":
        cross = A.T @ sums.inside[:q, q]
        return _bordered(W, cross, cross, sums.inside[q, q])
    if fitted.kind == "mad":
        rho = fitted.rho if np.isfinite(fitted.rho) else 0.0  # then nothing is outside
        upper, lower = sums.density
        return _bordered(
            W,
            -rho * (A.T @ sums.signs),
            -(A.T @ (upper - lower)),
            -NORMAL_MAD * float(upper[-1] + lower[-1]),
        )
    return W


def _solve(matrix: Floats, right: Floats) -> Floats:
    try:
        result: Any = np.linalg.solve(matrix, right)
    except np.linalg.LinAlgError:
        raise SingularError from None
    return result


def _bordered(W: Floats, right: Floats, below: Floats, corner: float) -> Floats:
    return np.block([[W, right[:, np.newaxis]], [below, np.array([[corner]])]])


def _inverse_root(W: Floats) -> Floats:
    """Return an upper triangular root of W⁻¹."""
    try:
        factor: Any = np.linalg.cholesky(W)
    except np.linalg.LinAlgError:
        raise SingularError from None
    # (A column whose variance among inliers is a rounding error makes W singular, too.)
    least = np.diagonal(factor).min(initial=np.inf) ** 2
    if not least > _SINGULAR * np.diagonal(W).max(initial=0.0):
        raise SingularError
    inverse: Floats = scipy.linalg.solve_triangular(
        factor, np.eye(len(W)), lower=True, check_finite=False
    )
    return inverse.T


def newton_step(bread: Bread, scale_score: float) -> Floats:
    """Return the step, in units of the scale, to where the equations hold.

    The step is that of the coefficients, and of a joint scale whose equation adds up to
    `scale_score`.
    """
    right = bread.score - bread.penalty_slope
    if len(bread.jacobian) == len(right) or scale_score == 0.0:
        return _solve(bread.curvature, right)
    return bread.solve(np.append(right, scale_score))


def huber_covariance(bread: Bread, kind: str, *, sampling: bool) -> Floats:
    """H1, H2 or H3, of γ in units of the scale."""
    K, S, m = bread.covariance_factor, bread.noise, bread.share
    if kind == "H1":
        half = _solve(bread.total + bread.penalty / m, np.eye(bread.space.rank))
        middle = bread.squared if sampling else bread.total
        if not (sampling or bread.penalty.any()):
            return K**2 * S / m**2 * half
        return K**2 * S / m**2 * (half @ middle @ half)
    inverse = bread.root @ bread.root.T
    if kind == "H2":
        return K * S / m * inverse
    return S / K * (inverse @ bread.total @ inverse)


def includes_scale(cov_type: str, kind: str) -> bool:
    """Return whether the covariance is that of coefficients and scale together."""
    return cov_type in _OF_SCALE and kind != "fixed"


def scale_influence(bread: Bread, *, has_scale: bool) -> tuple[Form, float]:
    """Return the form of a, and the factor of its equation, in the scale's δ."""
    if not has_scale:
        nothing: Floats = np.zeros((bread.space.rank, 1))
        return form_of(bread.from_rows, nothing), 0.0
    row = bread.scale_row
    return form_of(bread.from_rows, row[:-1, np.newaxis]), float(row[-1])


def sandwich(bread: Bread, meat: Floats, *, with_scale: bool) -> Floats:
    """J⁻¹·meat·J⁻ᵀ of γ in units of the scale; meat is in the coordinates of rows."""
    A = bread.from_rows
    q, k = A.shape
    if not with_scale:
        inverse = bread.root @ bread.root.T
        return inverse @ (A.T @ meat[:q, :q] @ A) @ inverse
    full = np.zeros((q + 1, k + 1))
    full[:q, :k] = A
    full[q, k] = 1.0
    middle = full.T @ meat @ full
    half = bread.solve(middle)
    return bread.solve(half.T)[:k, :k]


def small_sample_factor(cov_type: str, bread: Bread, *, n_groups: int = 0) -> float:
    """Return the factor of a sum of products of influences."""
    n = bread.count
    if cov_type == "sandwich":
        return (n - 1.0) / n
    if cov_type == "cluster":
        return n_groups / (n_groups - 1.0) * (n - 1.0) / bread.df_resid
    return 1.0
