"""HuberInference: what `huber_inference` returns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from skhuber._common.validation import check_choice, check_real
from skhuber.inference._checks import ModelFacts, checked_forms, new_rows
from skhuber.inference._covariance import Bread
from skhuber.inference._distributions import two_sided, two_sided_quantile
from skhuber.inference._leverage import LeverageReport, leverage_report
from skhuber.inference._space import Space
from skhuber.inference._summary import frame_of, html_of, text_of
from skhuber.inference._tests import (
    ContrastResult,
    HypothesisResult,
    contrasts,
    f_result,
)

Floats = NDArray[np.float64]

# Rows at a time that a sparse X to predict is made dense.
_ROWS = 4096


class Intervals(NamedTuple):
    """Predictions and the limits of intervals about them, each (n,)."""

    prediction: Floats
    lower: Floats
    upper: Floats


@dataclass(frozen=True, eq=False, repr=False)
class HuberInference:
    """Compute standard errors, tests and intervals of a fitted model.

    It is made by :func:`huber_inference` and not changed afterwards. It holds p × p
    matrices and, for prediction intervals, one sorted vector of n residuals; neither X
    nor y.

    Attributes
    ----------
    params, bse, tvalues, pvalues : pandas Series or ndarray of shape (1 + p,)
        Coefficients, standard errors, their ratios, and two-sided p-values: the
        intercept "const" first, if there is one. Arrays without pandas. NaN where a
        coefficient is not estimable.
    names : tuple of str
        Of the coefficients.
    nobs : float
        Σ of the weights: the number of rows where there are none; with sampling
        weights the number of rows of positive weight.
    df_model : float
        Slopes that are estimable together: the rank less the intercept.
    df_resid : float
        `nobs` less the rank.
    scale : float
        The model's scale, in the unit of y.
    scale_bse : float
        Standard error of the scale, Σ s δ² of its influences; NaN of a fixed scale.
    rsquared, rsquared_adj : float
        Robust R²; see Notes.
    deviance : float
        2 Σ s H(r/scale)/2, of the objective's H.
    raic, rbic : float
        Robust information criteria. Compare them only between fits with one scale.
    cov_type : str
    weights : str
        "frequency" or "sampling".
    use_t : bool
        Whether tests are of Student's t and F, or normal and chi-squared.
    penalty_bias : ndarray of shape (1 + p,)
        What a penalty adds to the expectation of the coefficients, to first order.
    not_estimable : tuple of str
        Coefficients that the columns do not determine.
    n_sweeps : int
        How often all rows were read.
    n_outliers : int
        Rows beyond the threshold.
    replicates : ndarray of shape (n_resamples, 1 + p) or None
        Coefficients of the bootstrap's fits.

    See Also
    --------
    huber_inference : Makes it.

    Notes
    -----
    R² is that of O. Renaud and M.-P. Victoria-Feser, "A robust coefficient of
    determination for regression", Journal of Statistical Planning and Inference 140
    (2010), as in R's ``lmrob``: with robust weights w times sample weights,
    (SST − SSE)/(SST + SSE(a − 1)), a = E w / E zψ for normal residuals.

    raic and rbic are those of E. Ronchetti, "Robust model selection in regression",
    Statistics & Probability Letters 3 (1985): `deviance` plus 2pλ or pλ log(nobs),
    λ = (Σ s ψ²/nobs)/m, m the share of inliers.

    Examples
    --------
    >>> import numpy as np
    >>> from skhuber import HuberRegressor
    >>> from skhuber.inference import huber_inference
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2))
    >>> y = X @ [1.0, 0.0] + rng.standard_t(3, size=200)
    >>> model = HuberRegressor(alpha=0).fit(X, y)
    >>> result = huber_inference(model, X, y)
    >>> bool(np.asarray(result.pvalues)[1] < 0.001 < np.asarray(result.pvalues)[2])
    True
    """

    names: tuple[str, ...]
    nobs: float
    df_model: float
    df_resid: float
    scale: float
    scale_bse: float
    rsquared: float
    rsquared_adj: float
    deviance: float
    raic: float
    rbic: float
    cov_type: str
    weights: str
    use_t: bool
    penalty_bias: Floats
    not_estimable: tuple[str, ...]
    n_sweeps: int
    n_outliers: int
    replicates: Floats | None
    _params: Floats
    _cov: Floats
    """Covariance of γ, in the unit of y squared."""
    _undefined: NDArray[np.bool_]
    """(1 + p,), coefficients without a standard error, though estimable."""
    _df_t: float
    _space: Space
    _bread: Bread | None
    _model: ModelFacts
    _deletion: Floats
    _deletion_weight: Floats | None
    _normal_scale: float

    # --- coefficients -------------------------------------------------------------

    @property
    def params(self) -> Any:
        """Coefficients, the intercept first."""
        return self._labelled(self._params)

    @property
    def bse(self) -> Any:
        """Standard errors."""
        return self._labelled(self._bse)

    @property
    def tvalues(self) -> Any:
        """Coefficients over standard errors."""
        return self._labelled(self._tvalues)

    @property
    def pvalues(self) -> Any:
        """Two-sided p-values of coefficients that are zero."""
        return self._labelled(two_sided(self._tvalues, self._df))

    @property
    def _df(self) -> float | None:
        return self._df_t if self.use_t else None

    @property
    def _bse(self) -> Floats:
        with np.errstate(invalid="ignore"):
            return np.sqrt(np.diagonal(self._natural_covariance()))

    @property
    def _tvalues(self) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            return self._params / self._bse

    def _natural_covariance(self) -> Floats:
        A = self._space.to_natural
        result: Floats = A @ self._cov @ A.T
        missing = self._missing
        result[missing] = result[:, missing] = np.nan
        return result

    @property
    def _missing(self) -> NDArray[np.bool_]:
        return self._undefined | np.isin(self.names, self.not_estimable)

    def _labelled(self, values: Floats) -> Any:
        pandas = _pandas()
        return values if pandas is None else pandas.Series(values, self.names)

    def cov_params(self) -> Any:
        """Return the covariance matrix of the coefficients.

        Returns
        -------
        pandas DataFrame or ndarray of shape (1 + p, 1 + p)
            NaN in the rows and columns of coefficients without a standard error.
        """
        matrix = self._natural_covariance()
        pandas = _pandas()
        return (
            matrix
            if pandas is None
            else pandas.DataFrame(matrix, self.names, self.names)
        )

    def conf_int(self, alpha: float = 0.05) -> Any:
        """Return confidence intervals of the coefficients.

        Parameters
        ----------
        alpha : float, default=0.05
            The intervals cover with probability 1 − alpha; between 0 and 1. Those of
            the bootstrap are percentiles of the replicates.

        Returns
        -------
        pandas DataFrame or ndarray of shape (1 + p, 2)
            Lower and upper limits.

        Raises
        ------
        TypeError, ValueError
            If alpha is no such number.
        """
        limits = self._limits(_checked_probability("alpha", alpha))
        pandas = _pandas()
        if pandas is None:
            return limits
        return pandas.DataFrame(limits, self.names, ["lower", "upper"])

    def _limits(self, alpha: float) -> Floats:
        if self.replicates is not None:
            ends = [alpha / 2, 1 - alpha / 2]
            limits: Floats = np.nanquantile(self.replicates, ends, axis=0).T
            limits[self._missing] = np.nan
            return limits
        half = two_sided_quantile(1.0 - alpha, self._df) * self._bse
        return np.column_stack([self._params - half, self._params + half])

    # --- tests --------------------------------------------------------------------

    def t_test(self, L: Any, r: ArrayLike = 0.0) -> ContrastResult:
        """Test linear forms of the coefficients, each by itself.

        Parameters
        ----------
        L : str, list of str, or array-like of shape (1 + p,) or (m, 1 + p)
            Names of coefficients, or the forms' numbers.
        r : float or array-like of shape (m,), default=0
            Their values under the hypothesis.

        Returns
        -------
        ContrastResult
            Effects Lβ, standard errors, statistics, p-values; ``conf_int()``.

        Raises
        ------
        ValueError
            If L is not as described, or names what is not estimable.
        """
        forms, null = self._forms(L, r)
        rows = self._space.forms(forms)
        with np.errstate(invalid="ignore"):
            sd = np.sqrt(np.einsum("ij,jk,ik->i", rows, self._cov, rows))
        sd[(forms[:, self._undefined] != 0).any(axis=1)] = np.nan
        return contrasts(forms @ self._params, null, sd, self._df)

    def wald_test(self, L: Any, r: ArrayLike = 0.0) -> HypothesisResult:
        """Test linear forms of the coefficients together.

        Parameters
        ----------
        L : str, list of str, or array-like of shape (1 + p,) or (m, 1 + p)
            Names of coefficients, or the forms' numbers.
        r : float or array-like of shape (m,), default=0
            Their values under the hypothesis.

        Returns
        -------
        HypothesisResult
            (Lβ − r)ᵀ(L V Lᵀ)⁻¹(Lβ − r)/m, as F of m and `df_resid` degrees of freedom;
            without `use_t` times m, as chi-squared.

        Raises
        ------
        ValueError
            If L is not as described, names what is not estimable, or has linearly
            dependent rows.
        """
        forms, null = self._forms(L, r)
        rows = self._space.forms(forms)
        m = len(forms)
        cov = rows @ self._cov @ rows.T
        cov[(forms[:, self._undefined] != 0).any(axis=1)] = np.nan
        difference = forms @ self._params - null
        if not np.isfinite(cov).all():
            return f_result("wald", math.nan, m, self._df)
        size = np.sqrt(np.diagonal(cov))
        correlation = cov / np.outer(size, size)
        if np.linalg.matrix_rank(correlation, tol=1e-10, hermitian=True) < m:
            raise ValueError("L must have linearly independent rows.")
        scaled = difference / size
        value = float(scaled @ np.linalg.solve(correlation, scaled)) / m
        return f_result("wald", value, m, self._df)

    def _forms(self, L: Any, r: ArrayLike) -> tuple[Floats, Floats]:
        forms = checked_forms(L, self.names)
        null = np.asarray(r, dtype=np.float64)
        if null.ndim > 1 or null.size not in (1, len(forms)):
            raise ValueError(
                f"r must be one number or one for each row of L, {len(forms)} in all, "
                f"got shape {null.shape}."
            )
        if not np.isfinite(null).all():
            raise ValueError(f"r must be finite, got {r!r}.")
        estimable = self._space.are_estimable(forms)
        if not estimable.all():
            raise ValueError(
                f"row {int(np.argmin(estimable))} of L is not estimable: the columns "
                "of X are linearly dependent, and do not determine "
                f"{', '.join(self.not_estimable)}."
            )
        return forms, np.broadcast_to(null, (len(forms),))

    # --- predictions --------------------------------------------------------------

    def predict(
        self,
        X: ArrayLike,
        interval: str | None = None,
        level: float = 0.95,
        method: str = "jackknife",
    ) -> Floats | Intervals:
        """Predict the target, with intervals if asked for.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (m, p)
            Features.
        interval : {None, "confidence", "prediction"}, default=None
            "confidence": for the value of the line. "prediction": for a new target,
            whose noise is taken to be that of all rows: independent of X.
        level : float, default=0.95
            Probability with which they cover; between 0 and 1.
        method : {"jackknife", "normal"}, default="jackknife"
            Of prediction intervals. "jackknife": quantiles of the residuals that each
            row would have if it had been left out, for noise of any distribution.
            "normal": for normal noise.

        Returns
        -------
        ndarray of shape (m,), or Intervals
            Predictions; with an interval the named tuple of `prediction`, `lower` and
            `upper`. NaN limits where a prediction is not determined, since the columns
            of the fit are linearly dependent; infinite ones where the rows are too few
            for the level.

        Raises
        ------
        TypeError, ValueError
            For arguments that are not as described.

        Notes
        -----
        The quantiles are the k-th smallest of the deletion residuals,
        k = ⌈(n + 1)(1 ± level)/2⌉ (R. F. Barber, E. J. Candès, A. Ramdas and
        R. J. Tibshirani, "Predictive inference with the jackknife+", The Annals of
        Statistics 49, 2021, have the exact one, of refits).
        """
        if interval is not None:
            check_choice("interval", interval, ("confidence", "prediction"))
        check_choice("method", method, ("jackknife", "normal"))
        level = _checked_probability("level", level)
        rows = new_rows(X, self._model.names, has_names=self._model.has_names)
        prediction = np.asarray(rows @ self._model.coef + self._model.intercept)
        if interval is None:
            return prediction
        variance = self._variances(rows)
        if interval == "prediction" and method == "jackknife":
            lower, upper = self._deletion_quantiles(level)
            undefined = np.where(np.isnan(variance), np.nan, 0.0)
            return Intervals(
                prediction,
                prediction + lower + undefined,
                prediction + upper + undefined,
            )
        if interval == "prediction":
            variance = variance + self._normal_scale**2 * self.nobs / self.df_resid
        half = two_sided_quantile(level, self._df) * np.sqrt(variance)
        return Intervals(prediction, prediction - half, prediction + half)

    def prediction_sd(self, X: ArrayLike) -> Floats:
        """Return standard deviations of new targets about their predictions.

        Those of normal noise of the model's scale and of the predictions together.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (m, p)
            Features.

        Returns
        -------
        ndarray of shape (m,)
            In the unit of y; NaN where a prediction is not determined.
        """
        rows = new_rows(X, self._model.names, has_names=self._model.has_names)
        noise = self._normal_scale**2 * self.nobs / self.df_resid
        return np.sqrt(self._variances(rows) + noise)

    def _variances(self, rows: Any) -> Floats:
        steps = range(0, rows.shape[0], _ROWS)
        return np.concatenate(
            [self._variance(_dense(rows[k : k + _ROWS])) for k in steps]
        )

    def _variance(self, X: Floats) -> Floats:
        """aᵀVa of rows; NaN where they are not determined."""
        rows = self._space.rows(X)
        variance = np.maximum(np.einsum("ij,ij->i", rows @ self._cov, rows), 0.0)
        forms = np.column_stack([np.ones(len(X)), X]) if self._has_intercept else X
        variance[~self._space.are_estimable(forms)] = np.nan
        variance[(forms[:, self._undefined] != 0).any(axis=1)] = np.nan
        return variance

    @property
    def _has_intercept(self) -> bool:
        return self._space.fit_intercept

    def _deletion_quantiles(self, level: float) -> tuple[float, float]:
        values, n = self._deletion, self.nobs
        if self._deletion_weight is None:
            ends = np.arange(1.0, len(values) + 1.0)
        else:
            ends = np.cumsum(self._deletion_weight)
        found = []
        for tail in ((1.0 - level) / 2, (1.0 + level) / 2):
            # (Rounding of the product, and of sums of weights, is no row.)
            k = math.ceil((n + 1) * tail - 1e-9)
            index = int(np.searchsorted(ends, k - 1e-9 * n))
            found.append(float(values[index]) if index < len(values) else math.inf)
        return found[0], found[1]

    # --- reports ------------------------------------------------------------------

    def leverage_report(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        columns: Any = None,
        random_state: Any = 0,
    ) -> LeverageReport:
        """Say which rows have leverage, and which of them are bad.

        The data are those of the fit: the result keeps none.

        Parameters
        ----------
        X, y, sample_weight
            The data that the model was fitted on.
        columns : list of str or int, default=None
            Columns that robust distances are of. None: those that are continuous.
        random_state : int, RandomState instance or None, default=0
            Of scikit-learn's MinCovDet.

        Returns
        -------
        LeverageReport

        Raises
        ------
        ValueError
            If the data are not those of the fit.
        """
        return leverage_report(
            self._model,
            self._bread,
            X,
            y,
            sample_weight,
            normal_scale=self._normal_scale,
            weights=self.weights,
            columns=columns,
            random_state=random_state,
        )

    def summary(self, alpha: float = 0.05) -> str:
        """Return a table of the coefficients, and what it is based on, as text."""
        return text_of(self, _checked_probability("alpha", alpha))

    def summary_frame(self, alpha: float = 0.05, library: str | None = None) -> Any:
        """Return the table of the coefficients as a frame.

        Parameters
        ----------
        alpha : float, default=0.05
            Intervals cover with probability 1 − alpha.
        library : {None, "pandas", "polars"}, default=None
            Whose frame. None: pandas if it is installed, else polars.

        Returns
        -------
        DataFrame
            Columns "coef", "std_err", "t" (or "z"), "p_value", "lower", "upper"; the
            names are the index of a pandas frame and the column "term" of a polars
            frame.

        Raises
        ------
        ImportError
            If the library is not installed.
        """
        if library is not None:
            check_choice("library", library, ("pandas", "polars"))
        return frame_of(self, _checked_probability("alpha", alpha), library)

    def table(self, alpha: float = 0.05) -> dict[str, Floats]:
        """Return the columns of `summary_frame` as arrays."""
        limits = self._limits(_checked_probability("alpha", alpha))
        return {
            "coef": self._params,
            "std_err": self._bse,
            "t" if self.use_t else "z": self._tvalues,
            "p_value": two_sided(self._tvalues, self._df),
            "lower": limits[:, 0],
            "upper": limits[:, 1],
        }

    def __repr__(self) -> str:
        """One line."""
        return (
            f"HuberInference(cov_type={self.cov_type!r}, nobs={self.nobs:g}, "
            f"df_resid={self.df_resid:g}, scale={self.scale:.6g})"
        )

    def _repr_html_(self) -> str:
        return html_of(self, 0.05)


def _checked_probability(name: str, value: float) -> float:
    return check_real(name, value, above=0, below=1, allowed="a number > 0 and < 1")


def _dense(rows: Any) -> Floats:
    return np.asarray(rows.toarray() if sp.issparse(rows) else rows)


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        return None
    return pandas
