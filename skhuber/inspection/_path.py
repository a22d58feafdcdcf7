"""Display of coefficients, scale and outliers along a path of rho."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from skhuber._common.validation import check_count
from skhuber._estimators.path import HuberPath, huber_path
from skhuber.inspection import _axes, _checks

_REGRESSOR = (
    "a HuberRegressor, a fitted HuberRegressorCV, or a pipeline that ends in one"
)
# The estimator's parameters that a path takes over, besides alpha.
_PARAMETERS = ("scale", "fit_intercept", "max_iter", "tol", "n_jobs")


class HuberPathDisplay:
    """Coefficients, scale and share of outliers against rho.

    In a range of `rho` over which the coefficients hardly change, the choice of `rho`
    does not matter. An infinite `rho`, which is ridge regression, is drawn at the right
    edge, at 1.5 times the largest finite one, with "∞" below it.

    Create the display with :meth:`from_path` or :meth:`from_estimator`.

    Parameters
    ----------
    rhos : array-like of shape (n_rhos,)
        Thresholds in units of the scale, in any order; greater than 0.
    coefs : array-like of shape (n_rhos, n_features)
        Coefficients at each rho, in units of the target over units of the feature.
    scales : array-like of shape (n_rhos,)
        Scales of the residuals at each rho, in the unit of the target.
    outlier_shares : array-like of shape (n_rhos,)
        Shares of the samples beyond the threshold at each rho, from 0 to 1.
    feature_names : array-like of str of shape (n_features,), default=None
        Names of the features. None: "feature 0" and so on.
    rho : float, default=None
        The rho to mark by a vertical line. None: no line.

    Attributes
    ----------
    coef_lines_ : list of matplotlib Line2D
        One line for each feature. The legend names them if there are at most 10.
    scale_line_, outlier_line_ : matplotlib Line2D
        The lines of the scale and of the share of outliers.
    rho_lines_ : list of matplotlib Line2D
        The vertical line at `rho` on each of the three axes; empty without a `rho`.
    axes_ : ndarray of shape (3,) of matplotlib Axes
        Axes of coefficients, scale and outliers, from top to bottom.
    bounding_ax_ : matplotlib Axes
        The hidden axes that the three axes replace.
    figure_ : matplotlib Figure
        The figure of the plot.

    Raises
    ------
    TypeError, ValueError
        For arguments that are not as described.

    See Also
    --------
    skhuber.huber_path : Compute a path of rho.

    Examples
    --------
    >>> from skhuber.inspection import HuberPathDisplay
    >>> display = HuberPathDisplay(
    ...     rhos=[1.0, 2.0, 4.0],
    ...     coefs=[[1.0, 0.0], [1.1, 0.1], [1.5, 0.1]],
    ...     scales=[0.8, 1.0, 1.3],
    ...     outlier_shares=[0.3, 0.1, 0.02],
    ...     rho=1.35,
    ... ).plot()
    >>> [line.get_label() for line in display.coef_lines_]
    ['feature 0', 'feature 1']
    """

    def __init__(
        self,
        *,
        rhos: ArrayLike,
        coefs: ArrayLike,
        scales: ArrayLike,
        outlier_shares: ArrayLike,
        feature_names: ArrayLike | None = None,
        rho: float | None = None,
    ) -> None:
        self.rhos = _checks.rhos(rhos)
        self.coefs = _checks.numbers("coefs", coefs, dimensions=2)
        self.scales = _checks.numbers("scales", scales)
        self.outlier_shares = _checks.numbers("outlier_shares", outlier_shares)
        _checks.same_length(
            "values",
            rhos=self.rhos,
            coefs=self.coefs,
            scales=self.scales,
            outlier_shares=self.outlier_shares,
        )
        self.feature_names = _checks.labels(
            "feature_names", feature_names, self.coefs.shape[1], "feature"
        )
        self.rho = _checks.mark("rho", rho)

    def plot(
        self, ax: Any = None, *, line_kwargs: Mapping[str, Any] | None = None
    ) -> Self:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to hide and replace by three axes. None: the axes of a new figure.
        line_kwargs : dict, default=None
            Additional keywords of matplotlib's ``plot``, for all lines but those at
            `rho`.

        Returns
        -------
        self : HuberPathDisplay
            The display, with its artists as attributes.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            For arguments that are not as described.

        Examples
        --------
        >>> from matplotlib.figure import Figure
        >>> from skhuber.inspection import HuberPathDisplay
        >>> display = HuberPathDisplay(
        ...     rhos=[1, 2], coefs=[[3], [4]], scales=[5, 6], outlier_shares=[0.2, 0.1]
        ... )
        >>> left, right = Figure().subplots(1, 2)
        >>> display.plot(right).axes_.shape
        (3,)
        """
        size = (6.4, 6.4)
        ax, given = _axes.prepare(self, ax, "line_kwargs", line_kwargs, size)
        from matplotlib.ticker import PercentFormatter

        self.bounding_ax_, self.figure_ = ax, ax.figure
        n_features = self.coefs.shape[1]
        named = n_features <= _axes.MOST_NAMED
        self.axes_ = _axes.three_axes_in(ax, room_at_right=named)
        top, middle, bottom = self.axes_

        scale = _axes.RhoScale(self.rhos, self.rho)
        order = np.argsort(self.rhos, kind="stable")
        x = scale.places(self.rhos[order])
        style = {"marker": "o", "markersize": 2.5, "linewidth": 1.3}
        top.axhline(0.0, color="0.7", linewidth=0.8, zorder=1)
        self.coef_lines_ = []
        for j in range(n_features):
            look = style | self._look_of(j, named=named) | given
            (line,) = top.plot(x, self.coefs[order, j], **look)
            self.coef_lines_.append(line)
        style["color"] = _axes.COLOURS[0]
        (self.scale_line_,) = middle.plot(x, self.scales[order], **style | given)
        shares = self.outlier_shares[order]
        (self.outlier_line_,) = bottom.plot(x, shares, **style | given)
        self.rho_lines_ = []
        if self.rho is not None:
            self.rho_lines_ = [
                scale.mark(axes, self.rho, "", _axes.QUIET) for axes in self.axes_
            ]

        scale.apply(bottom)
        bottom.yaxis.set_major_formatter(PercentFormatter(xmax=1.0))
        bottom.set_ylim(bottom=0.0)
        top.set_ylabel("coefficient\n(target / feature)")
        middle.set_ylabel("scale\n(unit of target)")
        bottom.set_ylabel("share of\noutliers")
        self.figure_.align_ylabels(self.axes_)
        if named:
            _axes.draw_legend(top, fontsize="small", **_axes.BESIDE)
        elif self.rho is not None:
            _axes.draw_legend(top, fontsize="small", loc="best")
        return self

    def _look_of(self, j: int, *, named: bool) -> dict[str, Any]:
        """Return the look of a coefficient's line, and its label if it is named."""
        look = _axes.look_of_line(j)
        if named:
            look["label"] = _axes.label_of(j, self.feature_names)
        return look

    @classmethod
    def from_path(
        cls,
        path: HuberPath,
        *,
        alpha_index: int = 0,
        feature_names: ArrayLike | None = None,
        rho: float | None = None,
        ax: Any = None,
        line_kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw a path from :func:`skhuber.huber_path`.

        Parameters
        ----------
        path : HuberPath
            Result of :func:`skhuber.huber_path`.
        alpha_index : int, default=0
            Index of the alpha to draw, in ``path.alphas``.
        feature_names : array-like of str of shape (n_features,), default=None
            Names of the features. None: "feature 0" and so on.
        rho : float, default=None
            The rho to mark by a vertical line. None: no line.
        ax : matplotlib Axes, default=None
            Axes to hide and replace by three axes. None: the axes of a new figure.
        line_kwargs : dict, default=None
            Additional keywords of matplotlib's ``plot``, for all lines but those at
            `rho`.

        Returns
        -------
        display : HuberPathDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError, ValueError
            For arguments that are not as described.

        Examples
        --------
        >>> import numpy as np
        >>> from skhuber import huber_path
        >>> from skhuber.inspection import HuberPathDisplay
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(200, 2))
        >>> y = X @ [1.0, 2.0] + rng.standard_t(2, size=200)
        >>> path = huber_path(X, y, rhos=[1.2, 1.35, 2.0, 4.0], alphas=[0.0001])
        >>> display = HuberPathDisplay.from_path(path, feature_names=["age", "area"])
        >>> [line.get_label() for line in display.coef_lines_]
        ['age', 'area']
        """
        _axes.import_pyplot(cls, "from_path")
        fields = ("rhos", "alphas", "coefs", "scales", "outlier_shares")
        if not all(hasattr(path, field) for field in fields):
            raise TypeError(
                f"path must be a HuberPath, the result of huber_path, got {path!r}."
            )
        chosen = check_count("alpha_index", alpha_index, least=0)
        n_alphas = len(path.alphas)
        if chosen >= n_alphas:
            raise ValueError(
                f"alpha_index must be an integer from 0 to {n_alphas - 1}, as path has "
                f"{n_alphas} alphas, got {alpha_index!r}."
            )
        display = cls(
            rhos=path.rhos,
            coefs=path.coefs[:, chosen],
            scales=path.scales[:, chosen],
            outlier_shares=path.outlier_shares[:, chosen],
            feature_names=feature_names,
            rho=rho,
        )
        return display.plot(ax, line_kwargs=line_kwargs)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike,
        *,
        rhos: Sequence[float] | None = None,
        sample_weight: ArrayLike | None = None,
        feature_names: ArrayLike | None = None,
        ax: Any = None,
        line_kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """Compute a path of rho with an estimator's other parameters, and draw it.

        Parameters
        ----------
        estimator : estimator
            A HuberRegressor, fitted or not, a fitted HuberRegressorCV, or a fitted
            pipeline that ends in one, whose other steps transform X first. The path
            takes over its parameters, with `alpha_` as alpha if it exists. Its `rho_`,
            or else its `rho` if that is a number, is marked by a vertical line.
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,)
            Target.
        rhos : sequence of float, default=None
            Thresholds in units of the scale, greater than 0 (with ``scale="joint"`` at
            least 1). None: 20 values from 1.1 to 10 and ``numpy.inf``; with a number as
            `scale`, 20 values from a tenth to ten times the estimator's rho, and
            ``numpy.inf``.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights. A weight of 2 counts the sample twice.
        feature_names : array-like of str of shape (n_features,), default=None
            Names of the features of the last step. None: the names of its input's
            columns if they have names, else "feature 0" and so on.
        ax : matplotlib Axes, default=None
            Axes to hide and replace by three axes. None: the axes of a new figure.
        line_kwargs : dict, default=None
            Additional keywords of matplotlib's ``plot``, for all lines but those at
            `rho`.

        Returns
        -------
        display : HuberPathDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        NotFittedError
            If a pipeline or a HuberRegressorCV is not fitted.
        TypeError, ValueError
            For arguments that are not as described.

        Examples
        --------
        >>> import numpy as np
        >>> from skhuber import HuberRegressor
        >>> from skhuber.inspection import HuberPathDisplay
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(200, 2))
        >>> y = X @ [1.0, 2.0] + rng.standard_t(2, size=200)
        >>> display = HuberPathDisplay.from_estimator(HuberRegressor(), X, y)
        >>> display.rho
        1.35
        """
        _axes.import_pyplot(cls, "from_estimator")
        last = _checks.last_step(estimator)
        if not all(hasattr(last, name) for name in _PARAMETERS):
            raise TypeError(f"estimator must be {_REGRESSOR}, got {estimator!r}.")
        if not hasattr(last, "alpha"):
            _checks.fitted_last_step(estimator, _REGRESSOR, "alpha_")
        alpha = last.alpha_ if hasattr(last, "alpha_") else last.alpha
        rho = getattr(last, "rho_", getattr(last, "rho", None))
        if not _checks.is_positive_number(rho):
            rho = None
        X, names = _checks.input_of_last_step(estimator, X)
        path = huber_path(
            X,
            y,
            rhos=_default_rhos(last.scale, rho) if rhos is None else rhos,
            alphas=[alpha],
            sample_weight=sample_weight,
            **{name: getattr(last, name) for name in _PARAMETERS},
        )
        return cls.from_path(
            path,
            feature_names=names if feature_names is None else feature_names,
            rho=rho,
            ax=ax,
            line_kwargs=line_kwargs,
        )


def _default_rhos(scale: object, rho: float | None) -> list[float]:
    """Return the default rhos of a path, from many outliers to none."""
    low, high = 1.1, 10.0
    if not isinstance(scale, str):
        # For a given scale the range of rho depends on the data; the estimator's rho
        # is the only hint.
        middle = rho if rho is not None and math.isfinite(rho) else 1.0
        low, high = middle / 10, middle * 10
    return [*map(float, np.geomspace(low, high, 20)), math.inf]
