"""Leverage: which rows lie apart in X, and which of them do not follow the others.

A Huber fit withstands outliers in y, not in X: rows that lie far out in X pull it
towards themselves, and hide in small residuals. So leverage is told by robust distances
in X, which such rows cannot hide from, and whether a row is good or bad by its residual
from a fit to the rows within the cut-off.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtri
from sklearn.covariance import MinCovDet
from sklearn.exceptions import ConvergenceWarning

from skhuber.inference._checks import (
    Data,
    InferenceWarning,
    ModelFacts,
    column_number,
    listed,
    named_data,
)
from skhuber.inference._covariance import Bread, form_of, huber_covariance
from skhuber.inference._sums import Sample

Floats = NDArray[np.float64]

# A column with fewer different values, or with one that this share of the rows has, is
# a code, not a quantity: robust distances take the majority's value for the rule, and
# others for outliers.
_LEAST_VALUES = 8
_MAJORITY = 0.5
# Robust distances beyond this quantile of χ² are far; in normal data 2.5 % are.
_FAR = 0.975
_OUTLYING = float(np.sqrt(chdtri(1, 1.0 - _FAR)))
# A correlation matrix of the majority with an eigenvalue below this lies in a
# hyperplane.
_FLAT = 1e-10

KINDS = ("regular", "vertical outlier", "good leverage", "bad leverage")


@dataclass(frozen=True, eq=False, repr=False)
class LeverageReport:
    """Leverage and influence of each row.

    Attributes
    ----------
    hat : ndarray of shape (n,)
        Leverage: without the row, the fitted value changes by residual·h/(1 − h) as
        long as the inliers stay who they are. Zero for rows beyond the threshold.
    cook : ndarray of shape (n,)
        Cook-type distances: the squared change of the coefficients without the row, in
        units of their H1 covariance, per coefficient.
    robust_distance : ndarray of shape (n,)
        Mahalanobis distances in X, with location and covariance of the minimum
        covariance determinant. NaN if there are none.
    residual : ndarray of shape (n,)
        Residuals in units of the scale.
    clean_residual : ndarray of shape (n,)
        Residuals of a fit to the rows within the cut-off of robust distances, in units
        of the standard deviation that a new row's would have there: that of the noise
        and that of the prediction. (Far out a fit is uncertain; a row is not bad for
        that.) If there is no such fit, of the fit to all rows.
    kind : ndarray of str of shape (n,)
        "regular", "vertical outlier", "good leverage" or "bad leverage".
    columns : tuple of str
        That robust distances are of.
    left_out : tuple of str
        Columns that they are not of: codes, constants, few values.
    distance_cutoff, residual_cutoff : float
        Beyond which a row is far out in X, and its `clean_residual` one of an outlier:
        √χ² at 0.975, of as many degrees of freedom as there are columns, and of one.
    hat_cutoffs : tuple of float
        2p/n and 3p/n.
    note : str
        Why there are no robust distances, or no fit within the cut-off; or empty.
    """

    hat: Floats
    cook: Floats
    robust_distance: Floats
    residual: Floats
    clean_residual: Floats
    kind: NDArray[np.str_]
    columns: tuple[str, ...]
    left_out: tuple[str, ...]
    distance_cutoff: float
    residual_cutoff: float
    hat_cutoffs: tuple[float, float]
    note: str

    def rows(self, kind: str) -> NDArray[np.intp]:
        """Return the rows of one kind, as indices from 0."""
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {KINDS}, got {kind!r}.")
        return np.flatnonzero(self.kind == kind)

    def to_frame(self) -> Any:
        """Return a pandas DataFrame with a line for each row."""
        import pandas

        return pandas.DataFrame(
            {
                "kind": self.kind,
                "robust_distance": self.robust_distance,
                "residual": self.residual,
                "clean_residual": self.clean_residual,
                "hat": self.hat,
                "cook": self.cook,
            }
        )

    def __repr__(self) -> str:
        """One line."""
        counts = ", ".join(f"{np.sum(self.kind == kind)} {kind}" for kind in KINDS)
        return f"LeverageReport({counts})"

    def __str__(self) -> str:
        """Return the report as text."""
        lines = []
        for kind in ("bad leverage", "good leverage", "vertical outlier"):
            rows = self.rows(kind)
            shown = f": {listed(rows.tolist(), 20)}" if len(rows) else ""
            lines.append(f"{kind}: {len(rows)} rows{shown}")
        rows = np.flatnonzero(self.hat > self.hat_cutoffs[1])
        lines.append(f"hat > 3p/n: {len(rows)} rows")
        where = ", ".join(self.columns) or "no column"
        lines.append(
            f"robust distances of {where}; far is beyond {self.distance_cutoff:.2f}"
        )
        if self.left_out:
            lines.append(f"without {', '.join(self.left_out)}")
        if self.note:
            lines.append(self.note)
        return "\n".join(lines)


def leverage_report(
    model: ModelFacts,
    bread: Bread | None,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None,
    *,
    normal_scale: float,
    weights: str,
    columns: Any,
    random_state: Any,
) -> LeverageReport:
    """Return the report; see `HuberInference.leverage_report`."""
    data = named_data(model, X, y, sample_weight, "leverage_report")
    rows, weight = data.X, data.weight
    chosen, left_out = _chosen_columns(rows, weight, model.names, columns)
    hat, cook, t = _influences(model, bread, data, weights)
    distance, note = _robust_distances(
        rows, weight, chosen, model.names, random_state=random_state
    )
    cutoff = float(np.sqrt(chdtri(len(chosen), 1.0 - _FAR))) if chosen else np.nan
    far = distance > cutoff
    clean = _clean_residuals(model, data, far, weights)
    if isinstance(clean, str):
        note, clean = clean, t * (model.scale / normal_scale)
    outlier = np.abs(clean) > _OUTLYING
    kind = np.where(
        far,
        np.where(outlier, KINDS[3], KINDS[2]),
        np.where(outlier, KINDS[1], KINDS[0]),
    )
    assert bread is not None
    per_row = bread.space.rank / bread.count
    return LeverageReport(
        hat=hat,
        cook=cook,
        robust_distance=distance,
        residual=t,
        clean_residual=clean,
        kind=kind,
        columns=tuple(model.names[j] for j in chosen)
        if not np.isnan(distance).all()
        else (),
        left_out=left_out,
        distance_cutoff=cutoff,
        residual_cutoff=_OUTLYING,
        hat_cutoffs=(2 * per_row, 3 * per_row),
        note=note,
    )


def _influences(
    model: ModelFacts, bread: Bread | None, data: Data, weights: str
) -> tuple[Floats, Floats, Floats]:
    """Return hat values, Cook-type distances, and residuals in units of the scale."""
    if bread is None:
        raise ValueError(
            "there is no leverage of a fit whose scale is zero, or whose inliers do "
            "not determine the coefficients."
        )
    sample = Sample(data, model.n_jobs, sampling=weights == "sampling")
    if not np.isclose(sample.count, bread.count, rtol=1e-9):
        raise ValueError(
            "X, y and sample_weight must be those that huber_inference was given: "
            f"their weights add up to {sample.count:g}, not to {bread.count:g}."
        )
    sample.standardise(centred=model.fit_intercept)
    from_rows = bread.space.from_rows(sample.centre, sample.unit)
    k = bread.space.rank
    root = form_of(from_rows, bread.root)
    hat, hat_scale = root, np.zeros(k)
    if model.kind == "joint":
        factor = np.linalg.cholesky(bread.jacobian)
        inverse = scipy.linalg.solve_triangular(factor, np.eye(k + 1), lower=True).T
        hat, hat_scale = form_of(from_rows, inverse[:k]), inverse[k]
    h1 = huber_covariance(bread, "H1", sampling=sample.sampling)
    half = np.linalg.cholesky(np.linalg.inv(h1))
    cook = form_of(from_rows, bread.root @ bread.root.T @ half)
    t, hat_values, inner, lengths = sample.diagnostics(
        model, hat, hat_scale, root, cook
    )
    inside = _weight_of(sample, np.abs(t) <= model.rho)
    if abs(inside - bread.share * bread.count) > 1e-6 * bread.count:
        raise ValueError(
            "X, y and sample_weight must be those that huber_inference was given: "
            "other rows are beyond the threshold."
        )
    psi = np.clip(t, -model.rho, model.rho)
    with np.errstate(divide="ignore", invalid="ignore"):
        return hat_values, (psi / (1.0 - inner)) ** 2 * lengths / k, t


def _weight_of(sample: Any, inside: NDArray[np.bool_]) -> float:
    """Sum of the weights of some rows."""
    if sample.weight is None:
        return float(np.count_nonzero(inside))
    return float(sample.weight[inside].sum() * sample.unit_weight)


def _chosen_columns(
    rows: Any, weight: Floats | None, names: Sequence[str], columns: Any
) -> tuple[list[int], tuple[str, ...]]:
    """Which columns robust distances are of, and the names of the others."""
    if columns is None:
        chosen = [j for j in range(rows.shape[1]) if _is_continuous(rows, weight, j)]
    else:
        chosen = [_checked_column(column, names) for column in columns]
    others = tuple(name for j, name in enumerate(names) if j not in set(chosen))
    return chosen, others


def _checked_column(column: Any, names: Sequence[str]) -> int:
    number = column_number(column, names)
    if number is None:
        raise ValueError(
            "columns must be names of features or numbers from 0 to "
            f"{len(names) - 1}, got {column!r}."
        )
    return number


def _is_continuous(rows: Any, weight: Floats | None, j: int) -> bool:
    if sp.issparse(rows) and rows[:, [j]].nnz <= _MAJORITY * rows.shape[0]:
        return False
    values = _column(rows, j)
    if weight is not None:
        values = values[weight > 0]
    _, counts = np.unique(values, return_counts=True)
    return len(counts) >= _LEAST_VALUES and counts.max() < _MAJORITY * len(values)


def _column(rows: Any, j: int) -> Floats:
    column = rows[:, [j]]
    return np.asarray(column.toarray() if sp.issparse(column) else column).ravel()


def _robust_distances(
    rows: Any,
    weight: Floats | None,
    chosen: list[int],
    names: Sequence[str],
    *,
    random_state: Any,
) -> tuple[Floats, str]:
    """Robust distances of the chosen columns; or NaN, and why there are none."""
    n = rows.shape[0]
    nothing = np.full(n, np.nan)
    if not chosen:
        return nothing, (
            "Robust distances are not available: no column is continuous (with "
            f"{_LEAST_VALUES} values or more, none of them that of most rows)."
        )
    X = np.column_stack([_column(rows, j) for j in chosen])
    listed = ", ".join(names[j] for j in chosen)
    present = np.ones(n, dtype=bool) if weight is None else weight > 0
    middle = np.median(X[present], axis=0)
    spread = np.median(np.abs(X[present] - middle), axis=0)
    reason = f"Robust distances are not available for {listed}: "
    if not spread.all() or np.count_nonzero(present) <= 2 * len(chosen):
        return nothing, reason + "most rows have one value, or they are too few."
    Z = (X - middle) / spread
    with warnings.catch_warnings():
        # It warns of singular covariances, which are looked at below.
        warnings.simplefilter("ignore")
        try:
            found = MinCovDet(random_state=random_state).fit(Z[present])
        except ValueError:
            return nothing, reason + "most rows lie in a hyperplane."
    size = np.sqrt(np.diagonal(found.covariance_))
    flat = not size.all() or (
        np.linalg.eigvalsh(found.covariance_ / np.outer(size, size))[0] < _FLAT
    )
    if flat:
        return nothing, reason + "most rows lie in a hyperplane."
    return np.sqrt(np.maximum(found.mahalanobis(Z), 0.0)), ""


def _clean_residuals(
    model: ModelFacts,
    data: Data,
    far: NDArray[np.bool_],
    weights: str,
) -> Floats | str:
    """Residuals of the fit to the rows that are not far, or why there is none."""
    from skhuber.inference._infer import huber_inference

    rows, y, weight = data.X, data.y, data.weight
    told = "good and bad are told by the residuals of the fit to all rows."
    kept = np.where(far, 0.0, 1.0 if weight is None else weight)
    if np.count_nonzero(kept) <= 2 * (rows.shape[1] + 1):
        return f"Too few rows are within the cut-off for a fit to them: {told}"
    clean = model.regressor()
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        warnings.simplefilter("ignore", InferenceWarning)
        try:
            clean.fit(rows, y, kept)
            result = huber_inference(
                clean, rows, y, sample_weight=kept, weights=weights, cov_type="H1"
            )
        except (ConvergenceWarning, ValueError):
            return f"The fit to the rows within the cut-off did not converge: {told}"
    residual: Floats = (y - clean.predict(rows)) / result.prediction_sd(rows)
    if not np.isfinite(residual).all():
        return (
            "The rows within the cut-off do not determine all predictions, or are "
            f"fitted exactly: {told}"
        )
    return residual
