"""Checks of what inference is asked for: the model, the data, the names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils import assert_all_finite
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from skhuber._common.validation import check_n_jobs, check_target, check_weights, naming
from skhuber._estimators.regressor import HuberRegressor

Floats = NDArray[np.float64]

_MODELS = "a fitted HuberRegressor or HuberRegressorCV"


class InferenceWarning(UserWarning):
    """A result of inference that holds less than it seems to."""


@dataclass(frozen=True)
class Data:
    """Validated data."""

    X: Any
    """(n, p), an array of any layout or in CSR format."""
    y: NDArray[Any]
    weight: Floats | None


@dataclass(frozen=True)
class ModelFacts:
    """Parameters and attributes of a fitted model that inference uses."""

    name: str
    coef: Floats
    intercept: float
    scale: float
    rho: float
    alpha: float
    fit_intercept: bool
    kind: str
    """Origin of the scale: "joint", "mad" or "fixed"."""
    names: tuple[str, ...]
    """Names of the features."""
    has_names: bool
    """True if the names of the features come from the data."""
    n_jobs: int | None

    def regressor(self, **changed: Any) -> HuberRegressor:
        """Return an unfitted model with these parameters, but for those changed."""
        parameters: dict[str, Any] = {
            "rho": self.rho,
            "scale": self.scale if self.kind == "fixed" else self.kind,
            "alpha": self.alpha,
            "fit_intercept": self.fit_intercept,
            "n_jobs": self.n_jobs,
        }
        return HuberRegressor(**parameters | changed)


def model_facts(model: Any) -> ModelFacts:
    """Return the facts, or raise an error that says which models are allowed."""
    if isinstance(model, Pipeline):
        raise TypeError(
            f"model must be {_MODELS}, got a Pipeline. Give its last step, and as X "
            "what the steps before it make of X: pipeline[-1], pipeline[:-1]."
            "transform(X)."
        )
    if not hasattr(model, "get_params"):
        raise TypeError(f"model must be {_MODELS}, got {model!r}.")
    check_is_fitted(model)
    if not all(hasattr(model, name) for name in ("coef_", "scale_", "rho_")):
        raise TypeError(f"model must be {_MODELS}, got {model!r}.")
    params = model.get_params(deep=False)
    coef = np.asarray(model.coef_, dtype=np.float64)
    if coef.ndim != 1:
        raise ValueError(
            f"model must have one target, got coef_ of shape {coef.shape}: each target "
            "has a scale and outliers of its own. Fit one model for each."
        )
    _refuse_kinks(params)
    scale = params["scale"]
    alpha = getattr(model, "alpha_", params.get("alpha", 0.0))
    names = getattr(model, "feature_names_in_", None)
    return ModelFacts(
        name=type(model).__name__,
        coef=coef,
        intercept=float(model.intercept_),
        scale=float(model.scale_),
        rho=float(model.rho_),
        alpha=float(alpha),
        fit_intercept=bool(params["fit_intercept"]),
        kind=scale if isinstance(scale, str) else "fixed",
        names=tuple(
            [f"x{j}" for j in range(len(coef))] if names is None else map(str, names)
        ),
        has_names=names is not None,
        n_jobs=check_n_jobs(params.get("n_jobs")),
    )


def _refuse_kinks(params: dict[str, Any]) -> None:
    """Refuse an L1 penalty and bounds, of which estimates stick to some values."""
    l1_ratio = params.get("l1_ratio", 0.0)
    if not (isinstance(l1_ratio, float | int) and l1_ratio == 0):
        raise ValueError(
            f"model must have no L1 penalty, got l1_ratio={l1_ratio!r}: which "
            "coefficients are zero was chosen on the data, and the estimate is then "
            "neither normal nor does it have a covariance matrix of these formulas. "
            "Fit a HuberRegressor on the columns chosen, on data that did not choose "
            "them."
        )
    for name in ("positive", "bounds", "lower", "upper"):
        value = params.get(name)
        if value is not None and value is not False:
            raise ValueError(
                f"model must have no bounds on its coefficients, got {name}={value!r}: "
                "an estimate at its bound is not normal."
            )


def checked_data(
    model: Any, X: ArrayLike, y: ArrayLike | None, sample_weight: ArrayLike | None
) -> Data:
    """Return the data, but for bad values in X: these show in sums."""
    with naming("X"):
        data: Any = validate_data(
            model,
            X,
            reset=False,
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            ensure_all_finite=False,
        )
    if hasattr(data, "has_canonical_format") and not data.has_canonical_format:
        data = data.copy()
        data.sum_duplicates()
    target = check_target(y, data.shape[0], "huber_inference")
    return Data(data, target, check_weights(sample_weight, data.shape[0]))


def refuse_bad_values(X: Any) -> None:
    """Raise an error that says what is wrong with an X whose sums are not finite."""
    assert_all_finite(X, estimator_name="huber_inference", input_name="X")
    raise ValueError("X or y has values so large that sums over them overflow.")


def checked_groups(
    groups: ArrayLike | None, n_rows: int, cov_type: str
) -> tuple[NDArray[np.intp], int] | None:
    """Return the group of each row as a number, and how many there are."""
    if cov_type != "cluster":
        if groups is not None:
            raise ValueError(
                f'groups are for cov_type="cluster" only, got cov_type={cov_type!r}.'
            )
        return None
    if groups is None:
        raise ValueError('cov_type="cluster" needs groups, one for each row of X.')
    with naming("groups"):
        labels = check_array(groups, ensure_2d=False, dtype=None, input_name="groups")
    if labels.shape != (n_rows,):
        raise ValueError(
            "groups must have one label for each row of X, shape "
            f"({n_rows},), got shape {labels.shape}."
        )
    names, codes = np.unique(labels, return_inverse=True)
    return codes.astype(np.intp), len(names)


def new_rows(X: Any, names: tuple[str, ...], *, has_names: bool) -> Any:
    """Return rows to predict, float64 or CSR, or raise an error."""
    columns = getattr(X, "columns", None)
    if has_names and columns is not None and list(map(str, columns)) != list(names):
        raise ValueError(
            f"X must have the columns of the fit, in their order: {list(names)}, got "
            f"{list(map(str, columns))}."
        )
    with naming("X"):
        rows = check_array(X, accept_sparse="csr", dtype=np.float64, input_name="X")
    if rows.shape[1] != len(names):
        raise ValueError(
            f"X must have {len(names)} features, got {rows.shape[1]} features."
        )
    return rows


def named_data(
    model: ModelFacts,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None,
    caller: str,
) -> Data:
    """Return the data of a model of which only the facts are at hand."""
    rows = new_rows(X, model.names, has_names=model.has_names)
    target = check_target(y, rows.shape[0], caller)
    return Data(rows, target, check_weights(sample_weight, rows.shape[0]))


def column_number(column: Any, names: Sequence[str]) -> int | None:
    """Return the number of a column given by name or number; None for any other."""
    if isinstance(column, str):
        return list(names).index(column) if column in names else None
    is_number = isinstance(column, int | np.integer) and not isinstance(column, bool)
    return int(column) if is_number and 0 <= column < len(names) else None


def listed(names: Sequence[Any], most: int = 6) -> str:
    """Return names with commas, and an ellipsis for those beyond the first ones."""
    shown = [*map(str, names[:most]), *["…"] * (len(names) > most)]
    return ", ".join(shown)


def checked_forms(L: Any, names: Sequence[str]) -> Floats:
    """Return linear forms of the coefficients, one in each row.

    Given as a name, names, one form or an array of forms.
    """
    allowed = (
        "names of coefficients, or numbers for each coefficient in one or two "
        f"dimensions ({len(names)} of them: {listed(names)})"
    )
    if isinstance(L, str):
        L = [L]
    if isinstance(L, Sequence) and len(L) and all(isinstance(one, str) for one in L):
        unknown = [one for one in L if one not in names]
        if unknown:
            raise ValueError(f"L must be {allowed}, got {unknown[0]!r}.")
        forms = np.zeros((len(L), len(names)))
        forms[np.arange(len(L)), [list(names).index(one) for one in L]] = 1.0
        return forms
    with naming("L"):
        forms = check_array(
            L, dtype=np.float64, ensure_2d=False, input_name="L", ensure_min_samples=1
        )
    forms = np.atleast_2d(forms)
    if forms.ndim != 2 or forms.shape[1] != len(names):
        raise ValueError(f"L must be {allowed}, got shape {np.shape(L)}.")
    if not np.any(forms, axis=1).all():
        raise ValueError("L must have no row of zeros only.")
    return forms
