"""huber_inference: from a fitted model and its data to a result."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhuber._common.scale import NORMAL_MAD, weighted_median
from skhuber._common.validation import (
    check_choice,
    check_count,
    check_flag,
    check_n_jobs,
)
from skhuber._runtime import one_blas_thread
from skhuber._tuning.efficiency import threshold_of_joint
from skhuber.inference import _covariance as covariance
from skhuber.inference._checks import (
    Data,
    InferenceWarning,
    ModelFacts,
    checked_data,
    checked_groups,
    listed,
    model_facts,
    refuse_bad_values,
)
from skhuber.inference._covariance import Bread, SingularError
from skhuber.inference._goodness import robust_rsquared
from skhuber.inference._result import HuberInference
from skhuber.inference._space import Space, space_of
from skhuber.inference._sums import Curvature, Influence, Sample

Floats = NDArray[np.float64]

# A Newton step of more than this part of a standard error: the data are other data.
_STEP = 0.01
# From this leverage on something rests on one row alone.
_PIVOTAL = 1.0 - 1e-6
# A coefficient moves with a row if the row's part in it is more than this.
_MOVES = 1e-6
# A penalty's bias in standard errors from which 95 % intervals cover less than 94.9 %.
_BIAS = 0.1
# Fewer inliers than so many times the coefficients: the one-step jackknife may be
# several times that of refits.
_INLIERS = 2
# A scale below this part of the spread of y is zero, but for rounding (a joint one is
# held at 9e-13 of it).
_ZERO_SCALE = 1e-11
# A joint scale that fell to zero is held at 1e-9 of the mean residual.
_COLLAPSED = 1e-8


def huber_inference(
    model: Any,
    X: ArrayLike,
    y: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    weights: str = "frequency",
    cov_type: str = "sandwich",
    groups: ArrayLike | None = None,
    use_t: bool = True,
    n_resamples: int = 999,
    random_state: Any = None,
    n_jobs: int | None = None,
    verbose: bool = False,
) -> HuberInference:
    """Compute standard errors, tests and intervals of a fitted model.

    Parameters
    ----------
    model : HuberRegressor or HuberRegressorCV
        Fitted, with one target. (Intervals after a search over rho or alpha take the
        choice as given.)
    X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
        The features that it was fitted on.
    y : array-like of shape (n_samples,)
        The target that it was fitted on.
    sample_weight : array-like of shape (n_samples,), default=None
        The weights that it was fitted with.
    weights : {"frequency", "sampling"}, default="frequency"
        What the weights mean. "frequency": repeated rows, of which Σ s were observed.
        "sampling": each row stands for a part of a population that is in proportion to
        its weight; multiplying all weights by a number changes nothing.
    cov_type : str, default="sandwich"
        Which covariance matrix.

        - ``"sandwich"``: the one-step jackknife, with the scale's influence. Noise may
          depend on X, and be skewed.
        - ``"H1"``, ``"H2"``, ``"H3"``: Huber's, as in statsmodels' ``RLM``, for noise
          of one distribution that is independent of X.
        - ``"HC0"``, ``"HC2"``, ``"HC3"``: sandwiches that take the scale as known, for
          comparison with other software.
        - ``"cluster"``: rows of a group may depend on each other.
        - ``"bootstrap"``: refits to resampled rows, with percentile intervals.
    groups : array-like of shape (n_samples,), default=None
        The group of each row, for ``cov_type="cluster"`` only.
    use_t : bool, default=True
        Whether tests and intervals are of Student's t and F; else of the normal and the
        chi-squared distribution.
    n_resamples : int, default=999
        Refits of the bootstrap.
    random_state : int, Generator or None, default=None
        Of the bootstrap: what `numpy.random.default_rng` takes.
    n_jobs : int or None, default=None
        The most threads to use; None: as the model. Results have the same bits for any
        number of threads.
    verbose : bool, default=False
        Whether the bootstrap prints its progress.

    Returns
    -------
    HuberInference

    Raises
    ------
    NotFittedError
        If the model is not fitted.
    TypeError, ValueError
        For arguments that are not as described; for a model with several targets, an L1
        penalty or bounds; if X and y are not the data of the fit, or the fit did not
        converge; and if there are no more rows than coefficients.

    Warns
    -----
    InferenceWarning
        If there are no standard errors (the scale is zero, or a coefficient rests on
        one row), if the penalty's bias shows in the intervals, and if there are few
        inliers.

    Notes
    -----
    X is read twice: for the Gram matrices, and for the influences, which need the
    leverage of each row. Memory is some p × p matrices and a vector of n numbers.

    The formulas are in the user guide, "Standard errors and tests".

    Examples
    --------
    >>> import numpy as np
    >>> from skhuber import HuberRegressor
    >>> from skhuber.inference import huber_inference
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2))
    >>> y = X @ [1.0, 0.0] + (1 + X[:, 0] ** 2) * rng.normal(size=200)
    >>> model = HuberRegressor(alpha=0).fit(X, y)
    >>> jackknife = huber_inference(model, X, y)
    >>> h1 = huber_inference(model, X, y, cov_type="H1")
    >>> print(np.round(np.asarray(jackknife.bse) / np.asarray(h1.bse), 1))
    [1. 2. 1.]
    """
    check_choice("cov_type", cov_type, covariance.COV_TYPES)
    check_choice("weights", weights, ("frequency", "sampling"))
    use_t = check_flag("use_t", use_t)
    verbose = check_flag("verbose", verbose)
    check_count("n_resamples", n_resamples, least=2)
    n_jobs = check_n_jobs(n_jobs)
    facts = model_facts(model)
    sampling = weights == "sampling"
    if sampling and cov_type in ("H2", "H3"):
        raise ValueError(
            f"cov_type={cov_type!r} has no form for sampling weights; allowed are "
            '"sandwich", "H1", "HC0", "HC2", "HC3", "cluster" and "bootstrap".'
        )
    if n_jobs is not None:
        facts = replace(facts, n_jobs=n_jobs)
    data = checked_data(model, X, y, sample_weight)
    group_codes = checked_groups(groups, data.X.shape[0], cov_type)

    def result() -> HuberInference:
        work = _Work(facts, data, weights=weights, cov_type=cov_type, use_t=use_t)
        return work.result(
            group_codes,
            n_resamples=n_resamples,
            random_state=random_state,
            verbose=verbose,
        )

    return one_blas_thread(result)()


class _Work:
    """One call of `huber_inference`."""

    def __init__(
        self,
        facts: ModelFacts,
        data: Data,
        *,
        weights: str,
        cov_type: str,
        use_t: bool,
    ) -> None:
        self.facts = facts
        self.data = data
        self.weights = weights
        self.cov_type = cov_type
        self.use_t = use_t
        self.sampling = weights == "sampling"
        self.sample = Sample(data, facts.n_jobs, sampling=self.sampling)
        # (Weights that are divided by a number need a penalty that is.)
        self.fitted = replace(facts, alpha=facts.alpha * self.sample.unit_weight)

    def result(
        self,
        groups: tuple[NDArray[np.intp], int] | None,
        *,
        n_resamples: int,
        random_state: Any,
        verbose: bool,
    ) -> HuberInference:
        sample = self.sample
        if self._has_no_scale():
            return self._without_errors("the scale is zero: the model fits the data")
        sums, t = self._curvature()
        gram = sums.inside[:-1, :-1] + sums.outside
        space = space_of(
            gram,
            sample.centre,
            sample.unit,
            fit_intercept=self.fitted.fit_intercept,
            penalised=self.fitted.alpha > 0,
        )
        self._check_size(space, groups)
        if self._has_collapsed(sums, t):
            return self._without_errors("the joint scale fell to zero", space, sums, t)
        from_rows = space.from_rows(sample.centre, sample.unit)
        try:
            bread = covariance.bread_of(
                space, from_rows, sums, self.fitted, sample.count, sample.n_present
            )
        except SingularError:
            reason = "the rows within the threshold do not determine the coefficients"
            return self._without_errors(reason, space, sums, t)
        normal_scale = self._normal_scale(t)
        distance_median = self._median(t) if self.fitted.kind == "mad" else NORMAL_MAD
        influence = self._influence(bread, t, groups)
        cov, replicates = self._covariance(bread, influence, groups), None
        self._check_step(bread, sums, cov, distance_median)
        if self.cov_type == "bootstrap":
            cov, replicates = self._bootstrap(bread, n_resamples, random_state, verbose)
        self._warn_of_few_inliers(bread, sums)
        result = self._build(
            space,
            sums,
            cov,
            bread=bread,
            scale_bse=self._scale_bse(influence),
            undefined=self._undefined(bread, influence),
            deletion=(influence.deletion, influence.weight),
            normal_scale=normal_scale,
            df_t=groups[1] - 1.0 if groups is not None else bread.df_resid,
            replicates=replicates,
        )
        self._warn_of_bias(result)
        return result

    # --- the sweeps ---------------------------------------------------------------

    def _curvature(self) -> tuple[Curvature, Floats]:
        sample = self.sample
        sample.standardise(centred=self.fitted.fit_intercept)
        sums, t = sample.curvature(self.fitted)
        if not _is_finite(sums):
            # Numbers far larger than a few hundred rows let expect.
            sample.standardise_by_largest()
            if np.isfinite(sample.unit).all():
                sums, t = sample.curvature(self.fitted)
            if not _is_finite(sums):
                refuse_bad_values(self.data.X)
        return sums, t

    def _influence(
        self, bread: Bread, t: Floats, groups: tuple[NDArray[np.intp], int] | None
    ) -> Influence:
        scale_form, scale_factor = covariance.scale_influence(
            bread, has_scale=self.fitted.kind != "fixed"
        )
        return self.sample.influence(
            self.fitted,
            t,
            bread.whitening(),
            bread.space.to_natural @ bread.root,
            scale_form,
            scale_factor,
            exponent=covariance.EXPONENTS.get(self.cov_type),
            pivotal=_PIVOTAL,
            groups=groups,
        )

    def _covariance(
        self,
        bread: Bread,
        influence: Influence,
        groups: tuple[NDArray[np.intp], int] | None,
    ) -> Floats:
        """Return the covariance of γ, in y's unit squared; H1 for the bootstrap."""
        kind = self.cov_type
        if kind in ("H1", "H2", "H3", "bootstrap"):
            kind = "H1" if kind == "bootstrap" else kind
            cov = covariance.huber_covariance(bread, kind, sampling=self.sampling)
        elif groups is not None:
            inverse = bread.root @ bread.root.T
            changes = influence.by_group @ bread.from_rows @ inverse
            cov = changes.T @ changes
        else:
            with_scale = covariance.includes_scale(kind, self.fitted.kind)
            cov = covariance.sandwich(bread, influence.meat, with_scale=with_scale)
        n_groups = 0 if groups is None else groups[1]
        factor = covariance.small_sample_factor(kind, bread, n_groups=n_groups)
        return cov * (factor * self.fitted.scale**2)

    def _bootstrap(
        self, bread: Bread, n_resamples: int, random_state: Any, verbose: bool
    ) -> tuple[Floats, Floats]:
        """Return the covariance of γ, and the coefficients, over resampled rows."""
        from skhuber.inference._bootstrap import bootstrap

        gammas = bootstrap(
            self.sample,
            self.fitted,
            bread,
            n_resamples=n_resamples,
            random_state=random_state,
            verbose=verbose,
        )
        cov = np.atleast_2d(np.cov(gammas, rowvar=False))
        return cov, gammas @ bread.space.to_natural.T

    # --- checks -------------------------------------------------------------------

    def _check_size(
        self, space: Space, groups: tuple[NDArray[np.intp], int] | None
    ) -> None:
        if not self.sample.count > space.rank:
            raise ValueError(
                f"X has {self.sample.count:g} rows (by weight) for {space.rank} "
                "coefficients that can be estimated: no degrees of freedom are left "
                "for the noise."
            )
        if groups is not None and groups[1] < 2:
            raise ValueError(
                f"groups must have two different labels or more, got {groups[1]}."
            )

    def _check_step(
        self, bread: Bread, sums: Curvature, cov: Floats, median: float
    ) -> None:
        """Refuse data that the model is not the fit of."""
        n, scale_score = self.sample.count, 0.0
        if self.fitted.kind == "joint":
            scale_score = 0.5 * (sums.scalars["square"] - n)
        step = covariance.newton_step(bread, scale_score) * self.fitted.scale
        # (H1 has a digit or two even where others are zero.)
        h1 = covariance.huber_covariance(bread, "H1", sampling=False)
        least = np.sqrt(np.diagonal(h1)) * self.fitted.scale
        size = np.maximum(np.sqrt(np.maximum(np.diagonal(cov), 0.0)), least)
        part = float(np.max(np.abs(step[: len(size)]) / size, initial=0.0))
        if self.fitted.kind == "joint":
            part = max(part, abs(float(step[-1])) / self.fitted.scale * math.sqrt(n))
        if self.fitted.kind == "mad":
            part = max(part, abs(median / NORMAL_MAD - 1.0) * math.sqrt(n))
        if not part <= _STEP:
            raise ValueError(
                "X and y are not the data that the model was fitted on, or the fit did "
                f"not converge: a Newton step from it is {part:.2g} standard errors "
                f"long (allowed: {_STEP}). Give X, y and sample_weight of the fit; or "
                "fit with a larger max_iter."
            )

    def _has_no_scale(self) -> bool:
        y = np.asarray(self.data.y, dtype=np.float64)
        origin = float(np.median(y)) if self.fitted.fit_intercept else 0.0
        spread = float(np.median(np.abs(y - origin)))
        if spread == 0.0:
            spread = float(np.mean(np.abs(y - origin)))
        return not self.fitted.scale > _ZERO_SCALE * spread

    def _has_collapsed(self, sums: Curvature, t: Floats) -> bool:
        return (
            self.fitted.kind == "joint"
            and sums.scalars["square"] < 0.9 * self.sample.count
            and _COLLAPSED * float(np.mean(np.abs(t))) > 1.0
        )

    # --- numbers ------------------------------------------------------------------

    def _median(self, t: Floats) -> float:
        return weighted_median(np.abs(t), self.data.weight)

    def _normal_scale(self, t: Floats) -> float:
        """Return the standard deviation of normal noise that has the model's scale."""
        scale, rho = self.fitted.scale, self.fitted.rho
        if self.fitted.kind == "mad":
            return scale
        if self.fitted.kind == "joint":
            return scale * (
                rho / threshold_of_joint(rho) if math.isfinite(rho) else 1.0
            )
        return self._median(t) / NORMAL_MAD * scale

    def _scale_bse(self, influence: Influence) -> float:
        if self.fitted.kind == "fixed":
            return math.nan
        return math.sqrt(influence.scale_square) * self.fitted.scale

    def _undefined(self, bread: Bread, influence: Influence) -> NDArray[np.bool_]:
        """Coefficients that rest on single rows."""
        natural = bread.space.to_natural @ bread.root
        size = np.sqrt(np.einsum("ij,ij->i", natural, natural))
        undefined: NDArray[np.bool_] = influence.moved > _MOVES * size
        if influence.n_pivotal and self.cov_type in ("H1", "H2", "H3", "bootstrap"):
            undefined = np.zeros_like(undefined)
        if undefined.any():
            names = self._names
            moved = [names[j] for j in np.flatnonzero(undefined)]
            _warn(
                f"{influence.n_pivotal} rows determine a coefficient alone (leverage "
                f"of one): there is no standard error of {listed(moved)}. H1 has one, "
                "if noise is independent of X."
            )
        return undefined

    @property
    def _names(self) -> tuple[str, ...]:
        return ("const",) * self.facts.fit_intercept + self.facts.names

    # --- warnings and results -----------------------------------------------------

    def _warn_of_few_inliers(self, bread: Bread, sums: Curvature) -> None:
        least = _INLIERS * (bread.space.rank + 1)
        found = sums.scalars["n_inliers"]
        if self.cov_type in ("sandwich", "HC3") and found < least:
            _warn(
                f"there are {found:g} rows within the threshold for "
                f"{bread.space.rank} coefficients: with fewer than {least} the "
                "one-step jackknife may be several times that of refits. Compare it "
                'with cov_type="H1" or "bootstrap".'
            )

    def _warn_of_bias(self, result: HuberInference) -> None:
        if not self.facts.alpha > 0:
            return
        with np.errstate(divide="ignore", invalid="ignore"):
            part = np.abs(result.penalty_bias) / np.asarray(result.bse)
        if np.nanmax(part, initial=0.0) > _BIAS:
            j = int(np.nanargmax(part))
            _warn(
                f"alpha={self.facts.alpha:g} biases {self._names[j]} by "
                f"{part[j]:.2g} standard errors: intervals are about the penalised "
                "expectation, and cover the coefficient too rarely. Fit with a smaller "
                "alpha; alpha=0 has no bias."
            )

    def _without_errors(
        self,
        reason: str,
        space: Space | None = None,
        sums: Curvature | None = None,
        t: Floats | None = None,
    ) -> HuberInference:
        """Return a result whose standard errors are NaN."""
        sample = self.sample
        if space is None:
            p = sample.n_features
            gram = np.eye(p + 1) * sample.count
            space = space_of(
                gram,
                np.zeros(p),
                np.ones(p),
                fit_intercept=self.fitted.fit_intercept,
                penalised=False,
            )
            self._check_size(space, None)
        _warn(f"{reason}. Standard errors are NaN.")
        deletion = np.zeros(0) if t is None else np.sort(t) * self.fitted.scale
        return self._build(
            space,
            sums,
            np.full((space.rank, space.rank), np.nan),
            bread=None,
            scale_bse=math.nan,
            undefined=np.ones(len(self._names), dtype=bool),
            deletion=(deletion, None),
            normal_scale=math.nan,
            df_t=sample.count - space.rank,
            replicates=None,
        )

    def _penalty_bias(
        self, space: Space, bread: Bread | None, estimable: NDArray[np.bool_]
    ) -> Floats:
        """Return how far the penalty moves each coefficient, to first order."""
        bias = np.zeros(len(self._names))
        if bread is None or not self.fitted.alpha > 0:
            return bias
        others = len(bread.jacobian) - space.rank
        slope = np.append(bread.penalty_slope, np.zeros(others))
        step = -bread.solve(slope)[: space.rank]
        bias = space.to_natural @ step * self.fitted.scale
        bias[~estimable] = np.nan
        return bias

    def _build(
        self,
        space: Space,
        sums: Curvature | None,
        cov: Floats,
        *,
        bread: Bread | None,
        scale_bse: float,
        undefined: NDArray[np.bool_],
        deletion: tuple[Floats, Floats | None],
        normal_scale: float,
        df_t: float,
        replicates: Floats | None,
    ) -> HuberInference:
        sample, facts, fitted = self.sample, self.facts, self.fitted
        n, names = sample.count, self._names
        params = np.append([facts.intercept] * facts.fit_intercept, facts.coef)
        estimable = space.are_estimable(np.eye(len(names)))
        scalars: dict[str, float] = {}
        lam = math.nan
        if bread is not None and sums is not None:
            scalars = sums.scalars
            lam = bread.mean_square / bread.share
        deviance = 2.0 * scalars.get("loss", math.nan)
        r2 = robust_rsquared(scalars, fitted, normal_scale)
        free = n - 1.0 if facts.fit_intercept else n
        return HuberInference(
            names=names,
            nobs=n,
            df_model=float(space.rank - facts.fit_intercept),
            df_resid=n - space.rank,
            scale=fitted.scale,
            scale_bse=scale_bse,
            rsquared=r2,
            rsquared_adj=1.0 - (1.0 - r2) * free / (n - space.rank),
            deviance=deviance,
            raic=deviance + 2.0 * space.rank * lam,
            rbic=deviance + space.rank * lam * math.log(n),
            cov_type=self.cov_type,
            weights=self.weights,
            use_t=self.use_t,
            penalty_bias=self._penalty_bias(space, bread, estimable),
            not_estimable=tuple(
                name for name, kept in zip(names, estimable, strict=True) if not kept
            ),
            n_sweeps=sample.n_sweeps,
            n_outliers=sample.n_present - int(scalars["n_inliers"]) if scalars else 0,
            replicates=replicates,
            _params=params,
            _cov=cov,
            _undefined=undefined,
            _df_t=df_t,
            _space=space,
            _bread=bread,
            _model=facts,
            _deletion=deletion[0],
            _deletion_weight=deletion[1],
            _normal_scale=normal_scale,
        )


def _is_finite(sums: Curvature) -> bool:
    arrays = (sums.inside, sums.outside, sums.score, list(sums.scalars.values()))
    return all(bool(np.isfinite(array).all()) for array in arrays)


def _warn(message: str) -> None:
    warnings.warn(f"huber_inference: {message}", InferenceWarning, stacklevel=6)
