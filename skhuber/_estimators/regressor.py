"""HuberRegressor, a single fit with rho given or chosen by a rule."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning

from skhuber._common.validation import check_flag, check_real
from skhuber._estimators.base import (
    Data,
    HuberModel,
    check_rho,
    unchanged_on_error,
    with_one_blas_thread,
)
from skhuber._estimators.callbacks import Tasks, with_callbacks
from skhuber._estimators.streaming import StreamingMixin
from skhuber._estimators.targets import TargetsMixin, about_targets
from skhuber._tuning.efficiency import RULES, OutlierShare

if TYPE_CHECKING:
    from skhuber._fit import Settings, Start
    from skhuber._tuning.rules import Rule

# Allowed values of `rho`, for error messages.
_RHOS = 'a number > 0, "auto", "adaptive" or an OutlierShare'


class ParametersMixin(HuberModel):
    """Checks of the parameters of a single fit."""

    rho: float | str | OutlierShare
    alpha: float

    def _checked_parameters(self) -> tuple[Rule | None, Settings]:
        """Return the rule for rho (None if rho is a number) and the settings."""
        settings = self._checked_settings()
        rule: Rule | None = None
        if isinstance(self.rho, OutlierShare) or (
            isinstance(self.rho, str) and self.rho in RULES
        ):
            rule = self.rho
        else:
            rho = check_rho("rho", self.rho, settings.scale, allowed=_RHOS)
            settings = replace(settings, rho=rho)
        alpha = check_real("alpha", self.alpha, least=0)
        return rule, replace(settings, alpha=alpha)


class HuberRegressor(TargetsMixin, StreamingMixin, ParametersMixin):
    """Linear regression that outliers cannot pull away.

    Residuals count by their square up to a threshold and by their size beyond it.
    The threshold is `rho` times the scale of the residuals, and that scale is
    estimated along with the coefficients, so `rho` has no unit. The fit is right on
    columns in any units, without scaling them first.

    Parameters
    ----------
    rho : float, "auto", "adaptive" or OutlierShare, default=1.35
        Threshold in units of the scale: residuals beyond ``rho * scale_`` are
        outliers.

        - a number: at least 1 with ``scale="joint"``, else greater than 0;
          ``numpy.inf`` gives ridge regression. It is scikit-learn's `epsilon`. If the
          noise is normal, 1.35 has 95 % of the efficiency of least squares with
          ``scale="mad"``, and 89 % with ``scale="joint"``; see
          :func:`rho_for_efficiency`.
        - ``"auto"``: the threshold with the least estimated error out of sample, of a
          grid. For noise that is independent of the features.
        - ``"adaptive"``: a threshold that grows with the number of samples. For the
          mean under skewed or heavy-tailed noise.
        - an :class:`OutlierShare`: the threshold with the given share of outliers.
    scale : {"joint", "mad"} or float, default="joint"
        Estimate or value of the scale σ of the residuals.

        - ``"joint"``: σ is minimised together with the coefficients (Huber's
          concomitant scale, the objective of scikit-learn's HuberRegressor). The
          objective is convex.
        - ``"mad"``: σ is the median of the absolute residuals of the fit, divided by
          Φ⁻¹(3/4) ≈ 0.6745: what R's ``rlm`` and statsmodels' ``RLM`` compute (with
          ``alpha=0``). At equal efficiency it withstands more outliers than the joint
          scale.
        - a number > 0: σ itself, in the unit of `y`. With 1.0, `rho` is a threshold in
          the unit of `y`.
    alpha : float, default=0.0001
        Weight of the penalty ‖w‖² on the squared coefficients; at least 0. The penalty
        is added to a sum over samples, not to a mean, and depends on the units of the
        columns.
    fit_intercept : bool, default=True
        Whether to fit an intercept. It is not penalised.
    max_iter : int, default=1000
        The most iterations over all samples; at least 0.
    tol : float, default=1e-12
        The fit has converged when its objective lies above the minimum by no more than
        about this fraction of itself (`optimality_gap_`), or by no more than the
        rounding of the residuals explains. At least 0.
    warm_start : bool, default=False
        Whether `fit` starts from the coefficients of the last fit, if there was one and
        if `rho` is a number.
    n_jobs : int or None, default=None
        The most threads to use; negative numbers count back from all, as in joblib.
        None: as many as numba's own setting and joblib's limits for its workers
        allow. The result has the same bits for any number of threads.
    verbose : bool, default=False
        Whether to print a line for each evaluation of the objective on all samples.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Coefficients w. float32 if X is and single precision can hold the model
        (coefficients, intercept and targets are zero or between 1.2e-38 and 3.4e38),
        else float64. Predictions for an X of float32 have the type of `coef_`, or are
        float64 if they overflow in single precision. With a two-dimensional y (see
        Notes) the shape is (n_targets, n_features).
    intercept_ : float
        Intercept b; 0.0 without one.
    scale_ : float
        Scale σ of the residuals, in the unit of `y`.
    rho_ : float
        The threshold in use, in units of the scale.
    n_iter_ : int
        Iterations over all samples (of L-BFGS, or on small data of Newton's method).
    n_sweeps_ : int
        Number of sweeps over all samples.
    outliers_ : ndarray of bool of shape (n_samples,)
        Whether the residual of a sample lies beyond the threshold.
    robust_weights_ : ndarray of shape (n_samples,)
        ψ(r)/r: 1 up to the threshold, ``rho_ * scale_ / |r|`` beyond it. Weighted least
        squares with these weights (times `sample_weight`) gives the same fit. The type
        is that of X.
    objective_ : float
        Value of the objective.
    optimality_gap_ : float
        Estimated distance of the objective from its minimum, as a fraction of it.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X had names that are all strings.
    n_samples_seen_ : int
        Number of samples of all batches; only after `partial_fit`.

    See Also
    --------
    HuberRegressorCV : rho and alpha chosen by cross-validation.
    huber_path : Fits along a grid of rhos and alphas.
    skhuber.make_huber_scorer : Scorer with a threshold of its own, for grid searches.
    sklearn.linear_model.HuberRegressor : The same objective.

    Notes
    -----
    With residuals r_i = y_i − x_i·w − b, sample weights s_i, and

    ::

        H(z) = z² if |z| ≤ rho, else 2 rho |z| − rho²

    the fit minimises, over w, b and with ``scale="joint"`` also over σ,

    ::

        joint           Σ s_i (σ + σ H(r_i/σ)) + alpha ‖w‖²
        fixed and mad   Σ s_i σ H(r_i/σ) + alpha ‖w‖²

    With several fixed points of ``scale="mad"``, the fit is the one to which iteration
    from the scale of the least-squares residuals leads.

    If the model fits the data exactly, the scale is the smallest one that rounding
    errors allow, about 1e-12 of the spread of y.

    The user guide has the formulas of ``rho="auto"`` and ``rho="adaptive"``, their
    sources, and advice on which to choose.

    **Several targets.** With a y of shape (n_samples, n_targets), one column or more,
    each column has the fit that it would have alone, with its own scale and outliers;
    `sample_weight` is common to all. `coef_` then has shape (n_targets, n_features),
    `outliers_` and `robust_weights_` have shape (n_samples, n_targets), and
    `intercept_`, `scale_`, `rho_`, `n_iter_`, `objective_` and `optimality_gap_` have
    shape (n_targets,), whether there is an intercept or not. `n_sweeps_` stays one
    number: on large data with a numeric `rho` and another `scale` than "mad", a sweep
    over X serves all targets, and there are hardly more sweeps than for one target.
    With `verbose` a line is printed for each target at the end.

    Callbacks of scikit-learn (1.9 and later) see one task for each evaluation of the
    objective on all samples. If a callback asks to stop, the fit ends there, without a
    warning. Small data are fitted in one compiled call, of which callbacks see one
    task at the end. With a rule for `rho`, or with several targets, there are no tasks
    within the fit.

    References
    ----------
    Huber, P. J. and Ronchetti, E. M. (2009). Robust Statistics, 2nd edition, sections
    7.7 and 7.8. Wiley.

    Owen, A. B. (2007). A robust hybrid of lasso and ridge regression. Contemporary
    Mathematics 443, 59-72.

    Examples
    --------
    A trend of 2 a year, with one measurement in ten far off:

    >>> import numpy as np
    >>> from skhuber import HuberRegressor
    >>> rng = np.random.default_rng(0)
    >>> year = np.arange(1920, 2020)
    >>> level = 2.0 * year + rng.normal(size=100)
    >>> level[::10] += 500
    >>> model = HuberRegressor().fit(year[:, np.newaxis], level)
    >>> print(model.coef_.round(2), model.outliers_[::10].all())
    [2.] True
    """

    def __init__(
        self,
        rho: float | str | OutlierShare = 1.35,
        *,
        scale: str | float = "joint",
        alpha: float = 0.0001,
        fit_intercept: bool = True,
        max_iter: int = 1000,
        tol: float = 1e-12,
        warm_start: bool = False,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.rho = rho
        self.scale = scale
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Features. Arrays of float32 and float64 of any layout, and CSR matrices,
            are used as they are; anything else is converted.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Target, or one target in each column.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights: a weight of 2 is the same as the sample twice.

        Returns
        -------
        self : HuberRegressor
            The fitted estimator.

        Raises
        ------
        ValueError, TypeError
            If parameters or data are not as described. The estimator stays as it was.

        Warns
        -----
        ConvergenceWarning
            If the fit could not be shown to be within `tol` of the optimum; if a rule
            for rho does not apply; or if a joint scale fell to zero though residuals
            did not. A joint scale is zero if no more than 1/rho² of the weight has a
            nonzero residual: with a small `rho` and few samples for each feature, and
            always with ``rho=1``. Use a larger `rho` or another `scale` then.

        Examples
        --------
        >>> from skhuber import HuberRegressor
        >>> model = HuberRegressor().fit([[0.0], [1.0], [2.0], [3.0]], [0, 1, 2, 9])
        >>> model.n_features_in_
        1
        """
        with unchanged_on_error(self):
            warning = self._fit(X, y, sample_weight)
        if warning is not None:
            warnings.warn(warning, ConvergenceWarning, stacklevel=2)
        return self

    @with_callbacks
    @with_one_blas_thread
    def _fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None
    ) -> str | None:
        """Set the fitted attributes; return the text of a warning, or None."""
        from skhuber._fit import fit_rows
        from skhuber._tuning.rules import fit_by_rule

        rule, settings = self._checked_parameters()
        warm_start = check_flag("warm_start", self.warm_start)
        verbose = check_flag("verbose", self.verbose)
        data = self._checked_data(X, y, sample_weight, several=True)
        if data.y.ndim == 2:
            return self._fit_targets(data, rule, settings, warm_start, verbose)
        start = None
        if warm_start and rule is None:
            start = self._start(data.X.shape[1])
        tasks = Tasks(self, data.for_callbacks(), n_tasks=None)

        watch = self._watching(tasks, data.like_X, settings.rho, verbose)
        with tasks.fit():
            warning = None
            rows = data.rows()
            if rule is None:
                fit = fit_rows(rows, settings, start, watch)
            else:
                settings, fit, warning = fit_by_rule(rows, rule, settings)
            self._check_sums([fit], data)
            self._take(fit, settings, data, rows)
            self._forget_stream()
        if fit.converged or fit.is_stopped:
            return warning and f"HuberRegressor: {warning}."
        return self._not_converged(fit, settings)

    def _fit_targets(
        self,
        data: Data,
        rule: Rule | None,
        settings: Settings,
        warm_start: bool,
        verbose: bool,
    ) -> str | None:
        """Set the fitted attributes of several targets; return a warning, or None."""
        from skhuber._fit import fit_targets
        from skhuber._tuning.rules import fit_by_rule

        rows = data.rows_of_targets()
        starts: list[Start | None] = [None] * len(rows)
        if warm_start and rule is None:
            starts = self._starts(data)
        with Tasks(self, data.for_callbacks(), n_tasks=None).fit():
            reasons: list[str | None] = []
            if rule is None:
                fits = fit_targets(rows, settings, starts)
                rhos = [settings.rho] * len(rows)
            else:
                found = [fit_by_rule(one, rule, settings) for one in rows]
                rhos = [chosen.rho for chosen, _, _ in found]
                fits = [fit for _, fit, _ in found]
                reasons = [reason for _, _, reason in found]
            self._check_sums(fits, data)
            self._take_targets(fits, rhos, data, rows)
            self._forget_stream()
        if verbose:
            self._report(fits)
        return self._targets_not_converged(fits, settings) or about_targets(
            reasons, lambda text: f"HuberRegressor: {text}."
        )
