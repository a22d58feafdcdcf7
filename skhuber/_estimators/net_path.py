"""Paths of HuberElasticNet, and the alpha that theory suggests."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri
from sklearn.exceptions import ConvergenceWarning

from skhuber._common.validation import check_count, check_real
from skhuber._estimators.base import Data, check_rho
from skhuber._estimators.candidates import failures_of, listed, warning_about
from skhuber._estimators.elastic_net import HuberElasticNet, HuberNetModel
from skhuber._estimators.net_parameters import check_l1_ratio, check_net

if TYPE_CHECKING:
    from skhuber._fit import Net, Settings
    from skhuber._fit.columns import ColumnStatistics
    from skhuber._rows import RowSource

__all__ = ["HuberNetPath", "huber_enet_path", "pivotal_alpha"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class HuberNetPath:
    """Elastic nets with falling alphas, as :func:`huber_enet_path` returns them.

    Attributes
    ----------
    alphas : ndarray of shape (n_alphas,)
        Weights of the penalty, from the largest to the smallest. There are fewer than
        were asked for if the scale fell to zero on the way.
    coefs : ndarray of shape (n_alphas, n_features)
        Coefficients.
    intercepts : ndarray of shape (n_alphas,)
        Intercepts, in the unit of y.
    scales : ndarray of shape (n_alphas,)
        Scales of the residuals, in the unit of y.
    n_nonzeros : ndarray of int of shape (n_alphas,)
        Numbers of coefficients that are not zero.
    n_outliers : ndarray of int of shape (n_alphas,)
        Numbers of samples with a residual beyond the threshold.
    objectives : ndarray of shape (n_alphas,)
        Values of the objective, means over samples.
    gaps : ndarray of shape (n_alphas,)
        Estimated distances of the objective from its minimum, as fractions of it.
    dual_gaps : ndarray of shape (n_alphas,)
        Proven upper bounds of these distances, as fractions of the objective.
    ebics : ndarray of shape (n_alphas,)
        Extended Bayesian information criterion of each fit; infinite for fits that are
        not certified, and for those with half as many coefficients as samples or more.
    converged : ndarray of bool of shape (n_alphas,)
        Whether the gap is within the tolerance.
    l1_ratio, rho : float
        As they were given.
    n_sweeps : int
        Number of sweeps over all samples, for all fits together.
    """

    alphas: Floats
    coefs: Floats
    intercepts: Floats
    scales: Floats
    n_nonzeros: NDArray[np.int64]
    n_outliers: NDArray[np.int64]
    objectives: Floats
    gaps: Floats
    dual_gaps: Floats
    ebics: Floats
    converged: NDArray[np.bool_]
    l1_ratio: float
    rho: float
    n_sweeps: int


def huber_enet_path(
    X: ArrayLike,
    y: ArrayLike,
    *,
    l1_ratio: float = 1.0,
    eps: float = 1e-3,
    n_alphas: int = 100,
    alphas: Sequence[float] | None = None,
    rho: float = 1.35,
    scale: float | str = "joint",
    standardize: bool = True,
    fit_intercept: bool = True,
    bounds: Any = None,
    positive: bool = False,
    sample_weight: ArrayLike | None = None,
    max_iter: int = 1000,
    tol: float = 1e-12,
    n_jobs: int | None = None,
) -> HuberNetPath:
    """Fit :class:`HuberElasticNet` with alphas that fall from one to the next.

    The fits share their sweeps over the samples: with many samples and few columns, or
    with many columns, the whole path takes some times as many as a single fit.

    Parameters
    ----------
    X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
        Features.
    y : array-like of shape (n_samples,)
        Target.
    l1_ratio : float, default=1.0
        Share of absolute values in the penalty; greater than 0 unless `alphas` are
        given.
    eps : float, default=1e-3
        The last alpha, as a share of the first.
    n_alphas : int, default=100
        How many alphas, in a geometric sequence. The first one is the least alpha at
        which all coefficients are zero.
    alphas : sequence of float, default=None
        Alphas in place of that sequence; they are sorted.
    rho, scale, standardize, fit_intercept, bounds, positive, max_iter, tol, n_jobs
        As for :class:`HuberElasticNet`.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights: a weight of 2 is the same as the sample twice.

    Returns
    -------
    path : HuberNetPath
        Coefficients, scales, criteria and gaps, by alpha.

    Raises
    ------
    TypeError, ValueError
        If parameters or data are not as described.

    Warns
    -----
    ConvergenceWarning
        If a fit could not be shown to be within `tol` of the optimum.

    See Also
    --------
    HuberElasticNetCV : Choose alpha by cross-validation or by a criterion.

    Notes
    -----
    With L the loss of a fit (a sum over samples), k its number of coefficients that are
    not zero, plus one for the intercept, W the sum of the weights and p the number of
    columns, the criterion is

    ::

        2 W log L + k log W + 2 log C(p, k)      with a joint scale
        2 W log σ + Σ s H(r/σ) + …               with another one

    (Chen and Chen 2008, with their γ = 1, and the loss in place of twice the negative
    log-likelihood).

    References
    ----------
    Chen, J. and Chen, Z. (2008). Extended Bayesian information criteria for model
    selection with large model spaces. Biometrika 95, 759-771.

    Examples
    --------
    >>> import numpy as np
    >>> from skhuber import huber_enet_path
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 5))
    >>> y = X @ [2.0, 0.0, 0.0, 1.0, 0.0] + rng.standard_t(2, size=200)
    >>> path = huber_enet_path(X, y, n_alphas=20)
    >>> path.coefs.shape
    (20, 5)
    >>> np.flatnonzero(path.coefs[np.argmin(path.ebics)])
    array([0, 3])
    """
    from skhuber._fit.elastic_net import net_statistics
    from skhuber._fit.net_path import NetPath

    model = HuberElasticNet(
        scale=scale,
        fit_intercept=fit_intercept,
        max_iter=max_iter,
        tol=tol,
        n_jobs=n_jobs,
    )
    settings = model._checked_settings()
    settings = replace(settings, rho=check_rho("rho", rho, settings.scale))
    given = checked_alphas(alphas, n_alphas, eps)
    above = 0.0 if given is None else None
    ratio = check_l1_ratio("l1_ratio", l1_ratio, above=above)
    data = model._checked_data(X, y, sample_weight, caller="huber_enet_path")
    net = check_net(
        alpha=0.0,
        l1_ratio=ratio,
        standardize=standardize,
        bounds=bounds,
        positive=positive,
        n_features=data.X.shape[1],
    )
    rows = data.rows()
    statistics = net_statistics(rows, settings, net)
    if given is None:
        given = alpha_sequence(
            model, data, rows, settings, net, n_alphas, eps, statistics
        )
    nets = [replace(net, alpha=float(alpha)) for alpha in given]
    fits = NetPath(rows, settings, nets, statistics).fit(rows)
    model._check_sums([one.fit for one in fits], data)
    grid = [replace(settings, alpha=net.alpha) for net in nets[: len(fits)]]
    failures = failures_of(grid, [one.fit for one in fits])
    warning = warning_about("huber_enet_path", failures, len(fits))
    if warning is not None:
        warnings.warn(warning, ConvergenceWarning, stacklevel=2)

    def table(values: Iterator[Any]) -> Any:
        return np.array(list(values))

    weight = rows.natural_weight
    return HuberNetPath(
        alphas=given[: len(fits)],
        coefs=table(one.fit.coef for one in fits),
        intercepts=table(one.fit.intercept for one in fits),
        scales=table(one.fit.scale for one in fits),
        n_nonzeros=table(np.count_nonzero(one.fit.coef) for one in fits),
        n_outliers=table(one.fit.tally.n_outliers for one in fits),
        objectives=table(one.fit.objective / (2 * weight) for one in fits),
        gaps=table(one.fit.gap for one in fits),
        dual_gaps=table(one.dual_gap for one in fits),
        ebics=table(ebic(one, settings, weight) for one in fits),
        converged=table(one.fit.converged for one in fits),
        l1_ratio=ratio,
        rho=settings.rho,
        n_sweeps=rows.n_sweeps,
    )


def checked_alphas(
    alphas: Sequence[float] | None, n_alphas: object, eps: object
) -> Floats | None:
    """Return given alphas, the largest first; None if they depend on the data."""
    check_count("n_alphas", n_alphas, least=1)
    check_real("eps", eps, above=0, below=1, allowed="a number > 0 and < 1")
    if alphas is None:
        return None
    found = [
        check_real(f"alphas[{k}]", alpha, least=0)
        for k, alpha in enumerate(listed("alphas", alphas))
    ]
    return np.sort(found)[::-1]


def alpha_sequence(
    model: HuberNetModel,
    data: Data,
    rows: RowSource,
    settings: Settings,
    net: Net,
    n_alphas: int,
    eps: float,
    statistics: ColumnStatistics,
) -> Floats:
    """Return alphas that fall from the least one at which all coefficients are zero."""
    from skhuber._fit.elastic_net import largest_alpha

    largest = largest_alpha(rows, settings, net, statistics)
    if not np.isfinite(largest):
        model._refuse_sums(data)
    # (Neither rounding of the slopes nor the tolerance of a MAD scale, 1e-12, must let
    # a coefficient leave zero there.)
    largest *= 1.0 + 1e-11
    # (A target without a slope along any column has no largest alpha.)
    largest = max(largest, float(np.finfo(np.float64).tiny) / eps)
    sequence: Floats = largest * np.geomspace(1.0, eps, n_alphas)
    return sequence


def ebic(one: Any, settings: Settings, weight: float) -> float:
    """Return the criterion of `huber_enet_path` for a fit with an elastic net."""
    from scipy.special import gammaln

    fit = one.fit
    p, k = len(fit.coef), int(np.count_nonzero(fit.coef))
    if not fit.converged or 2 * k >= weight or fit.found is None:
        return float("inf")
    objective, sums = fit.found.objective, fit.found.sums
    _, _, scale = objective.split(fit.found.theta)
    loss = (2.0 * sums.cr - sums.cc) / sums.weight / scale
    unit = 1.0 / fit.point.y_unit
    if settings.scale == "joint":
        deviance = 2.0 * weight * np.log((loss + scale) * unit)
    else:
        deviance = weight * loss / scale + 2.0 * weight * np.log(scale * unit)
    models = gammaln(p + 1) - gammaln(k + 1) - gammaln(p - k + 1)
    df = k + settings.fit_intercept
    return float(deviance + df * np.log(weight) + 2.0 * models)


def pivotal_alpha(
    n_samples: int, n_features: int, *, confidence: float = 0.95
) -> float:
    """Return the alpha at which pure noise selects no column, with this probability.

    Of HuberElasticNet with ``l1_ratio=1``, the joint scale and standardised columns. At
    the joint minimum the derivative of the loss by a standardised coefficient that is
    zero is about normal, with a variance that depends on neither the level nor the
    distribution of the noise. So alpha depends on the data's shape alone. Coefficients
    are shrunk by much at this alpha: refit the columns that it selects.

    Parameters
    ----------
    n_samples : int
        Number of samples (or the sum of weights that count them).
    n_features : int
        Number of columns.
    confidence : float, default=0.95
        Probability with which no column of noise is selected; between 0 and 1.

    Returns
    -------
    alpha : float
        Φ⁻¹(1 − (1 − confidence)/(2 n_features))/√n_samples.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    References
    ----------
    Belloni, A., Chernozhukov, V. and Wang, L. (2011). Square-root lasso: pivotal
    recovery of sparse signals via conic programming. Biometrika 98, 791-806.

    Examples
    --------
    >>> from skhuber import pivotal_alpha
    >>> round(pivotal_alpha(200, 400), 3)
    0.271
    """
    n = check_count("n_samples", n_samples, least=1)
    p = check_count("n_features", n_features, least=1)
    allowed = "a number > 0 and < 1"
    share = check_real("confidence", confidence, above=0, below=1, allowed=allowed)
    return float(-ndtri((1.0 - share) / (2.0 * p)) / np.sqrt(n))
