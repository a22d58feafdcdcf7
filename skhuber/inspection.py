"""Displays for matplotlib: residuals, robust weights, paths and searches over rho.

They follow scikit-learn's convention: a display holds what is to be drawn,
`from_estimator`, `from_predictions` or `from_path` compute that and draw it, and `plot`
draws it (again). What was drawn is in attributes that end in an underscore, so that it
can be changed afterwards.

Drawing needs matplotlib, ``pip install "skhuber[plot]"``; it is imported at the first
plot only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from skhuber._validation import (
    check_choice,
    check_count,
    check_real,
    check_target,
    naming,
)

if TYPE_CHECKING:
    from skhuber import HuberPath

__all__ = [
    "CVRhoDisplay",
    "HuberPathDisplay",
    "HuberResidualsDisplay",
    "HuberWeightsDisplay",
]

Array = NDArray[np.float64]

# Okabe and Ito's colours, which the colour-blind can tell apart, without the yellow:
# it is too pale for a line on white.
_COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"]
_ACCENT = "#D55E00"
_QUIET = "0.35"
_MOST_NAMED_FEATURES = 10
# matplotlib looks at every point for the emptiest corner, and warns where that is slow.
_MOST_POINTS_TO_AVOID = 10_000

# A legend at the right of the axes, where no line can run through it.
_BESIDE = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "frameon": False}

_FITTED = (
    "a fitted HuberRegressor, a pipeline that ends in one, or another fitted estimator "
    "with the attributes rho_ and scale_"
)
_SEARCH = (
    "a fitted HuberRegressorCV, a pipeline that ends in one, or a fitted search with "
    "one metric, with the attribute cv_results_"
)
_REGRESSOR = (
    "a HuberRegressor, a fitted HuberRegressorCV, or a pipeline that ends in one"
)
# What a path has from its estimator, beside alpha.
_PATH_PARAMETERS = ("scale", "fit_intercept", "max_iter", "tol", "n_jobs")
_ERROR_BARS = {
    "standard_error": "mean ± standard error",
    "standard_deviation": "mean ± standard deviation",
}


class HuberResidualsDisplay:
    """Residuals against fitted values, coloured by how much each sample counts.

    The band is where samples count fully, up to the threshold ``rho_ * scale_``.
    Beyond it lie the outliers; the farthest of them are labelled.

    It is best made with :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    y_pred : array-like of shape (n_samples,)
        Fitted values, in the unit of the target.
    residuals : array-like of shape (n_samples,)
        Observed minus fitted values, in the unit of the target.
    threshold : float
        Residuals beyond it, in the unit of the target, are outliers. Greater than 0;
        with ``numpy.inf`` there is no band, and all samples count fully.
    labels : array-like of shape (n_samples,), default=None
        Names of the samples. None: their positions, from 0.

    Attributes
    ----------
    weights : ndarray of shape (n_samples,)
        Robust weights ψ(r)/r: 1 up to the threshold, ``threshold / |r|`` beyond it.
    scatter_ : matplotlib PathCollection
        The points.
    colorbar_ : matplotlib Colorbar or None
        The scale of the weights; None where `scatter_kwargs` set the colour.
    zero_line_ : matplotlib Line2D
        The line of residuals of zero.
    band_ : matplotlib Patch or None
        The span within the threshold; None for an infinite one.
    threshold_lines_ : list of matplotlib Line2D
        Its lower and its upper edge; empty for an infinite threshold.
    annotations_ : list of matplotlib Annotation
        Labels of the outliers, from the farthest.
    ax_ : matplotlib Axes
        Axes that were drawn on.
    figure_ : matplotlib Figure
        Figure with these axes.

    Raises
    ------
    TypeError, ValueError
        For arguments that are not as described.

    See Also
    --------
    HuberWeightsDisplay : The weights alone, sorted.
    sklearn.metrics.PredictionErrorDisplay : Residuals of any regressor.

    Examples
    --------
    >>> from skhuber.inspection import HuberResidualsDisplay
    >>> display = HuberResidualsDisplay(
    ...     y_pred=[1.0, 2.0, 3.0], residuals=[0.5, -1.0, 8.0], threshold=2.0
    ... )
    >>> display.weights
    array([1.  , 1.  , 0.25])
    >>> display.plot().annotations_[0].get_text()
    '2'
    """

    def __init__(
        self,
        *,
        y_pred: ArrayLike,
        residuals: ArrayLike,
        threshold: float,
        labels: ArrayLike | None = None,
    ) -> None:
        self.y_pred = _check_vector("y_pred", y_pred)
        self.residuals = _check_vector("residuals", residuals)
        _check_same_length("y_pred", self.y_pred, "residuals", self.residuals)
        self.threshold = check_real("threshold", threshold, above=0, finite=False)
        self.labels = _check_labels("labels", labels, len(self.residuals))
        self.weights = _robust_weights(self.residuals, self.threshold)

    def plot(
        self,
        ax: Any = None,
        *,
        n_labels: int = 5,
        scatter_kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None: those of a new figure.
        n_labels : int, default=5
            How many outliers to label, those with the largest absolute residuals.
            At least 0.
        scatter_kwargs : dict, default=None
            More keywords for matplotlib's ``scatter``. With a colour among them, the
            points have that one and there is no colour bar.

        Returns
        -------
        self : HuberResidualsDisplay
            The display, with the attributes of what was drawn.

        Raises
        ------
        ImportError
            Without matplotlib.
        TypeError, ValueError
            For arguments that are not as described.

        Examples
        --------
        >>> from matplotlib.figure import Figure
        >>> from skhuber.inspection import HuberResidualsDisplay
        >>> display = HuberResidualsDisplay(
        ...     y_pred=[1.0, 2.0, 3.0], residuals=[0.5, -1.0, 8.0], threshold=2.0
        ... )
        >>> axes = Figure().subplots()
        >>> display.plot(axes, n_labels=0).ax_ is axes
        True
        """
        pyplot = _pyplot(f"{type(self).__name__}.plot")
        from matplotlib.markers import MarkerStyle

        n_labels = check_count("n_labels", n_labels, least=0)
        given = _check_style("scatter_kwargs", scatter_kwargs, "PathCollection")
        _check_ax(ax)
        if ax is None:
            _, ax = pyplot.subplots(layout="constrained")

        self.band_, self.threshold_lines_ = None, []
        if math.isfinite(self.threshold):
            limits = (-self.threshold, self.threshold)
            self.band_ = ax.axhspan(*limits, color="0.5", alpha=0.15, linewidth=0)
            label = f"threshold, ±{self.threshold:.3g}"
            self.threshold_lines_ = [
                ax.axhline(limit, color=_QUIET, linestyle="--", linewidth=1.0)
                for limit in limits
            ]
            self.threshold_lines_[0].set_label(label)
        self.zero_line_ = ax.axhline(
            0.0, color=_QUIET, linewidth=1.0, label="residual of zero"
        )
        style: dict[str, Any] = {"s": 24, "zorder": 2.5}
        if MarkerStyle(given.get("marker", "o")).is_filled():
            # Weights of 1 are yellow: the thin edge makes them legible on white.
            style |= {"edgecolor": _QUIET, "linewidth": 0.4}
        coloured = not {"c", "color", "facecolor"} & given.keys()
        if coloured:
            style |= {"c": self.weights, "cmap": "viridis"}
            if "norm" not in given:
                style |= {"vmin": 0.0, "vmax": 1.0}
        self.scatter_ = ax.scatter(self.y_pred, self.residuals, **style | given)
        self.colorbar_ = None
        if coloured:
            self.colorbar_ = ax.figure.colorbar(
                self.scatter_, ax=ax, label="robust weight"
            )
        ax.set_xlabel("fitted value (unit of target)")
        ax.set_ylabel("residual (unit of target)")

        size = np.abs(self.residuals)
        order = np.argsort(-size, kind="stable")[:n_labels]
        chosen = order[size[order] > self.threshold]
        self.annotations_ = _annotate(
            ax,
            self.y_pred[chosen],
            self.residuals[chosen],
            [str(i) if self.labels is None else str(self.labels[i]) for i in chosen],
        )
        few = len(size) <= _MOST_POINTS_TO_AVOID
        ax.legend(loc="best" if few else "upper right", fontsize="small")
        self.ax_ = ax
        self.figure_ = ax.figure
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike,
        *,
        n_labels: int = 5,
        ax: Any = None,
        scatter_kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the residuals of a fitted estimator on some data.

        Parameters
        ----------
        estimator : estimator
            A fitted HuberRegressor, a pipeline that ends in one, or anything fitted
            with `rho_` and `scale_`. The threshold is their product.
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,)
            Target.
        n_labels : int, default=5
            How many outliers to label, those with the largest absolute residuals.
            The label is the sample's entry in the index of X, or else of y, if that
            is a pandas frame or series; else its position, from 0.
        ax : matplotlib Axes, default=None
            Axes to draw on. None: those of a new figure.
        scatter_kwargs : dict, default=None
            More keywords for matplotlib's ``scatter``. With a colour among them, the
            points have that one and there is no colour bar.

        Returns
        -------
        display : HuberResidualsDisplay
            The display.

        Raises
        ------
        ImportError
            Without matplotlib.
        NotFittedError
            If the estimator is not fitted.
        TypeError, ValueError
            For arguments that are not as described.

        Examples
        --------
        >>> import numpy as np
        >>> from skhuber import HuberRegressor
        >>> from skhuber.inspection import HuberResidualsDisplay
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(200, 2))
        >>> y = X @ [1.0, 2.0] + rng.normal(size=200)
        >>> y[7] += 50.0
        >>> model = HuberRegressor().fit(X, y)
        >>> display = HuberResidualsDisplay.from_estimator(model, X, y, n_labels=1)
        >>> display.annotations_[0].get_text()
        '7'
        """
        _pyplot(f"{cls.__name__}.from_estimator")
        threshold = _threshold(estimator)
        y_true, y_pred = _observed_and_predicted(estimator, X, y)
        display = cls(
            y_pred=y_pred,
            residuals=y_true - y_pred,
            threshold=threshold,
            labels=_row_index(X, y),
        )
        return display.plot(ax, n_labels=n_labels, scatter_kwargs=scatter_kwargs)

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        *,
        threshold: float,
        n_labels: int = 5,
        ax: Any = None,
        scatter_kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the residuals of predictions.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            Observed values.
        y_pred : array-like of shape (n_samples,)
            Predicted values, in the unit of `y_true`.
        threshold : float
            Residuals beyond it, in the unit of `y_true`, are outliers. Greater than 0;
            with ``numpy.inf`` there is no band, and all samples count fully.
        n_labels : int, default=5
            How many outliers to label, those with the largest absolute residuals.
            The label is the sample's entry in the index of `y_true`, or else of
            `y_pred`, if that is a pandas series; else its position, from 0.
        ax : matplotlib Axes, default=None
            Axes to draw on. None: those of a new figure.
        scatter_kwargs : dict, default=None
            More keywords for matplotlib's ``scatter``. With a colour among them, the
            points have that one and there is no colour bar.

        Returns
        -------
        display : HuberResidualsDisplay
            The display.

        Raises
        ------
        ImportError
            Without matplotlib.
        TypeError, ValueError
            For arguments that are not as described.

        Examples
        --------
        >>> from skhuber.inspection import HuberResidualsDisplay
        >>> display = HuberResidualsDisplay.from_predictions(
        ...     [1.5, 1.0, 11.0], [1.0, 2.0, 3.0], threshold=2.0
        ... )
        >>> display.weights
        array([1.  , 1.  , 0.25])
        """
        _pyplot(f"{cls.__name__}.from_predictions")
        observed, predicted = _check_predictions(y_true, y_pred)
        display = cls(
            y_pred=predicted,
            residuals=observed - predicted,
            threshold=threshold,
            labels=_row_index(y_true, y_pred),
        )
        return display.plot(ax, n_labels=n_labels, scatter_kwargs=scatter_kwargs)


class HuberWeightsDisplay:
    """Robust weights, from the least to the greatest.

    A robust weight says how much a sample counts: 1 up to the threshold, less beyond
    it. The line shows how many samples count less, and how little the least do.

    It is best made with :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    weights : array-like of shape (n_samples,)
        Robust weights, from 0 to 1, in any order.
    name : str, default=None
        What the legend calls them. None: no name.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The sorted weights: steps, each one sample wide.
    ax_ : matplotlib Axes
        Axes that were drawn on.
    figure_ : matplotlib Figure
        Figure with these axes.

    Raises
    ------
    TypeError, ValueError
        For arguments that are not as described.

    See Also
    --------
    HuberResidualsDisplay : Which samples have which weight.

    Examples
    --------
    >>> from skhuber.inspection import HuberWeightsDisplay
    >>> display = HuberWeightsDisplay(weights=[1.0, 0.25, 1.0]).plot()
    >>> display.line_.get_label()
    '1 of 3 below 1'
    """

    def __init__(self, *, weights: ArrayLike, name: str | None = None) -> None:
        self.weights = _check_vector("weights", weights)
        if self.weights.min() < 0 or self.weights.max() > 1:
            wrong = self.weights[(self.weights < 0) | (self.weights > 1)][0]
            raise ValueError(
                f"weights must be numbers from 0 to 1, got {float(wrong)!r} among them."
            )
        self.name = _check_text("name", name)

    def plot(
        self, ax: Any = None, *, line_kwargs: Mapping[str, Any] | None = None
    ) -> Self:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on, those of another such display perhaps. None: those of a
            new figure.
        line_kwargs : dict, default=None
            More keywords for matplotlib's ``step``.

        Returns
        -------
        self : HuberWeightsDisplay
            The display, with the attributes of what was drawn.

        Raises
        ------
        ImportError
            Without matplotlib.
        TypeError
            For arguments that are not as described.

        Examples
        --------
        >>> from matplotlib.figure import Figure
        >>> from skhuber.inspection import HuberWeightsDisplay
        >>> axes = Figure().subplots()
        >>> HuberWeightsDisplay(weights=[1.0, 0.25, 1.0]).plot(axes).ax_ is axes
        True
        """
        pyplot = _pyplot(f"{type(self).__name__}.plot")
        given = _check_style("line_kwargs", line_kwargs, "Line2D")
        _check_ax(ax)
        if ax is None:
            _, ax = pyplot.subplots(layout="constrained")

        steps = np.sort(self.weights)
        n = len(steps)
        label = f"{np.sum(steps < 1)} of {n} below 1"
        if self.name is not None:
            label = f"{self.name}: {label}"
        # The next colour that no other display on these axes has.
        used = {line.get_color() for line in ax.get_lines()}
        colour = next((c for c in _COLOURS if c not in used), _COLOURS[0])
        style = {"where": "pre", "color": colour, "label": label}
        # Sample i takes the interval from i to i + 1, so that one alone is seen too.
        (self.line_,) = ax.step(
            np.arange(n + 1), np.append(steps[:1], steps), **style | given
        )
        ax.set_xlabel("rank of the sample, from the least weight")
        ax.set_ylabel("robust weight")
        ax.set_ylim(0.0, 1.05)
        ax.legend(loc="lower right", fontsize="small")
        self.ax_ = ax
        self.figure_ = ax.figure
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike | None = None,
        y: ArrayLike | None = None,
        *,
        name: str | None = None,
        ax: Any = None,
        line_kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the weights of the samples that an estimator was fitted on, or others.

        Parameters
        ----------
        estimator : estimator
            A fitted HuberRegressor, a pipeline that ends in one, or anything fitted
            with `rho_` and `scale_`, and with `robust_weights_` if there is no X.
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features), \
                default=None
            Features. None: the weights are those of the training data,
            `robust_weights_`.
        y : array-like of shape (n_samples,), default=None
            Target; given with X and only with it.
        name : str, default=None
            What the legend calls the weights. None: no name.
        ax : matplotlib Axes, default=None
            Axes to draw on, those of another such display perhaps. None: those of a
            new figure.
        line_kwargs : dict, default=None
            More keywords for matplotlib's ``step``.

        Returns
        -------
        display : HuberWeightsDisplay
            The display.

        Raises
        ------
        ImportError
            Without matplotlib.
        NotFittedError
            If the estimator is not fitted.
        TypeError, ValueError
            For arguments that are not as described.

        Examples
        --------
        >>> import numpy as np
        >>> from skhuber import HuberRegressor
        >>> from skhuber.inspection import HuberWeightsDisplay
        >>> X = np.arange(10.0).reshape(-1, 1)
        >>> y = 3.0 * X.ravel() + np.tile([0.1, -0.1], 5)
        >>> y[4] = 60.0
        >>> model = HuberRegressor(scale=1.0).fit(X, y)
        >>> display = HuberWeightsDisplay.from_estimator(model)
        >>> display.line_.get_label()
        '1 of 10 below 1'
        """
        _pyplot(f"{cls.__name__}.from_estimator")
        threshold = _threshold(estimator)
        if (X is None) != (y is None):
            missing, given = ("X", "y") if X is None else ("y", "X")
            raise ValueError(
                f"X and y must be given together or not at all, got {given} and "
                f"{missing}=None."
            )
        if X is None or y is None:
            fitted = _last_step(estimator)
            if not hasattr(fitted, "robust_weights_"):
                raise TypeError(
                    "estimator must have the attribute robust_weights_ where X and y "
                    f"are not given, got {estimator!r}."
                )
            weights: ArrayLike = fitted.robust_weights_
        else:
            y_true, y_pred = _observed_and_predicted(estimator, X, y)
            weights = _robust_weights(y_true - y_pred, threshold)
        return cls(weights=weights, name=name).plot(ax, line_kwargs=line_kwargs)

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        *,
        threshold: float,
        name: str | None = None,
        ax: Any = None,
        line_kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the weights that the residuals of predictions have.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            Observed values.
        y_pred : array-like of shape (n_samples,)
            Predicted values, in the unit of `y_true`.
        threshold : float
            Residuals beyond it, in the unit of `y_true`, have weights below 1. Greater
            than 0; with ``numpy.inf`` all weights are 1.
        name : str, default=None
            What the legend calls the weights. None: no name.
        ax : matplotlib Axes, default=None
            Axes to draw on, those of another such display perhaps. None: those of a
            new figure.
        line_kwargs : dict, default=None
            More keywords for matplotlib's ``step``.

        Returns
        -------
        display : HuberWeightsDisplay
            The display.

        Raises
        ------
        ImportError
            Without matplotlib.
        TypeError, ValueError
            For arguments that are not as described.

        Examples
        --------
        >>> from skhuber.inspection import HuberWeightsDisplay
        >>> display = HuberWeightsDisplay.from_predictions(
        ...     [1.5, 1.0, 11.0], [1.0, 2.0, 3.0], threshold=2.0
        ... )
        >>> display.weights
        array([1.  , 1.  , 0.25])
        """
        _pyplot(f"{cls.__name__}.from_predictions")
        threshold = check_real("threshold", threshold, above=0, finite=False)
        observed, predicted = _check_predictions(y_true, y_pred)
        weights = _robust_weights(observed - predicted, threshold)
        return cls(weights=weights, name=name).plot(ax, line_kwargs=line_kwargs)


class HuberPathDisplay:
    """Coefficients, scale and share of outliers against rho.

    Where the coefficients hardly move, the choice of `rho` does not matter.

    An infinite `rho`, which is ridge regression, is drawn at the right edge, at 1.5
    times the largest finite one, with "∞" below it.

    It is best made with :meth:`from_path` or :meth:`from_estimator`.

    Parameters
    ----------
    rhos : array-like of shape (n_rhos,)
        Thresholds in units of the scale, in any order; greater than 0.
    coefs : array-like of shape (n_rhos, n_features)
        Coefficients at each of them.
    scales : array-like of shape (n_rhos,)
        Scales of the residuals, in the unit of the target.
    outlier_shares : array-like of shape (n_rhos,)
        Shares of the samples beyond the threshold, from 0 to 1.
    feature_names : array-like of str of shape (n_features,), default=None
        Names of the features. None: "feature 0" and so on.
    rho : float, default=None
        The one to mark by a vertical line. None: no line.

    Attributes
    ----------
    coef_lines_ : list of matplotlib Line2D
        One line for each feature. Up to 10 are in the legend.
    scale_line_ : matplotlib Line2D
        The scale.
    outlier_line_ : matplotlib Line2D
        The share of outliers.
    rho_lines_ : list of matplotlib Line2D
        The mark of `rho` on each of the axes; empty without one.
    axes_ : ndarray of shape (3,) of matplotlib Axes
        Axes of coefficients, scale and outliers, from the top.
    bounding_ax_ : matplotlib Axes
        The axes in whose place these three are; itself not visible.
    figure_ : matplotlib Figure
        Figure with these axes.

    Raises
    ------
    TypeError, ValueError
        For arguments that are not as described.

    See Also
    --------
    skhuber.huber_path : Computes such paths.

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
        self.rhos = _check_rhos("rhos", rhos)
        self.coefs = _check_matrix("coefs", coefs)
        self.scales = _check_vector("scales", scales)
        self.outlier_shares = _check_vector("outlier_shares", outlier_shares)
        for name in ("coefs", "scales", "outlier_shares"):
            _check_same_length("rhos", self.rhos, name, getattr(self, name), "values")
        self.feature_names = _check_labels(
            "feature_names", feature_names, self.coefs.shape[1], "feature"
        )
        self.rho = None
        if rho is not None:
            self.rho = check_real(
                "rho", rho, above=0, finite=False, allowed="None or a number > 0"
            )

    def plot(
        self, ax: Any = None, *, line_kwargs: Mapping[str, Any] | None = None
    ) -> Self:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw in: they are switched off, and three axes put in their place.
            None: those of a new figure.
        line_kwargs : dict, default=None
            More keywords for matplotlib's ``plot``, for all lines but the mark.

        Returns
        -------
        self : HuberPathDisplay
            The display, with the attributes of what was drawn.

        Raises
        ------
        ImportError
            Without matplotlib.
        TypeError
            For arguments that are not as described.

        Examples
        --------
        >>> from matplotlib.figure import Figure
        >>> from skhuber.inspection import HuberPathDisplay
        >>> display = HuberPathDisplay(
        ...     rhos=[1.0, 2.0, 4.0],
        ...     coefs=[[1.0, 0.0], [1.1, 0.1], [1.5, 0.1]],
        ...     scales=[0.8, 1.0, 1.3],
        ...     outlier_shares=[0.3, 0.1, 0.02],
        ... )
        >>> left, right = Figure().subplots(1, 2)
        >>> display.plot(right).axes_.shape
        (3,)
        """
        pyplot = _pyplot(f"{type(self).__name__}.plot")
        from matplotlib.ticker import PercentFormatter

        given = _check_style("line_kwargs", line_kwargs, "Line2D")
        _check_ax(ax)
        if ax is None:
            _, ax = pyplot.subplots(figsize=(6.4, 6.4), layout="constrained")

        n_features = self.coefs.shape[1]
        named = n_features <= _MOST_NAMED_FEATURES
        self.bounding_ax_ = ax
        self.axes_ = _three_axes_in(ax, room_at_right=named)
        marks = [] if self.rho is None else [self.rho]
        scale = _RhoScale(np.append(self.rhos, marks))
        order = np.argsort(self.rhos, kind="stable")
        x = scale.positions(self.rhos[order])
        top, middle, bottom = self.axes_

        style = {"marker": "o", "markersize": 2.5, "linewidth": 1.3}
        top.axhline(0.0, color="0.7", linewidth=0.8, zorder=1)
        self.coef_lines_ = []
        for j in range(n_features):
            # Features that share a colour differ in the kind of line.
            kind = ["-", "--", ":"][j // len(_COLOURS) % 3]
            look = {"color": _COLOURS[j % len(_COLOURS)], "linestyle": kind}
            if named:
                names = self.feature_names
                look["label"] = f"feature {j}" if names is None else str(names[j])
            (line,) = top.plot(x, self.coefs[order, j], **style | look | given)
            self.coef_lines_.append(line)
        style["color"] = _COLOURS[0]
        (self.scale_line_,) = middle.plot(x, self.scales[order], **style | given)
        (self.outlier_line_,) = bottom.plot(
            x, self.outlier_shares[order], **style | given
        )
        self.rho_lines_ = [
            axes.axvline(
                scale.positions(np.array(marks))[0],
                color=_QUIET,
                linestyle="--",
                linewidth=1.0,
                label=f"rho = {_number(marks[0])}",
                zorder=1,
            )
            for axes in self.axes_
            if marks
        ]
        scale.apply(bottom)
        bottom.yaxis.set_major_formatter(PercentFormatter(xmax=1.0))
        bottom.set_ylim(bottom=0.0)
        bottom.set_xlabel("rho (threshold in units of the scale)")
        top.set_ylabel("coefficient\n(target / feature)")
        middle.set_ylabel("scale\n(unit of target)")
        bottom.set_ylabel("share of\noutliers")
        self.figure_ = ax.figure
        self.figure_.align_ylabels(self.axes_)
        if named or marks:
            top.legend(fontsize="small", **(_BESIDE if named else {"loc": "best"}))
        return self

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
        """Draw a path that was computed before.

        Parameters
        ----------
        path : HuberPath
            Result of :func:`skhuber.huber_path`.
        alpha_index : int, default=0
            Which of its ``path.alphas`` to draw, from 0.
        feature_names : array-like of str of shape (n_features,), default=None
            Names of the features. None: "feature 0" and so on.
        rho : float, default=None
            The one to mark by a vertical line. None: no line.
        ax : matplotlib Axes, default=None
            Axes to draw in: they are switched off, and three axes put in their place.
            None: those of a new figure.
        line_kwargs : dict, default=None
            More keywords for matplotlib's ``plot``, for all lines but the mark.

        Returns
        -------
        display : HuberPathDisplay
            The display.

        Raises
        ------
        ImportError
            Without matplotlib.
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
        _pyplot(f"{cls.__name__}.from_path")
        fields = ("rhos", "alphas", "coefs", "scales", "outlier_shares")
        if not all(hasattr(path, field) for field in fields):
            raise TypeError(
                f"path must be a HuberPath, the result of huber_path, got {path!r}."
            )
        n_alphas = len(path.alphas)
        chosen = check_count("alpha_index", alpha_index, least=0)
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
        """Compute the path about an estimator's own rho, and draw it.

        Parameters
        ----------
        estimator : estimator
            A HuberRegressor, fitted or not, a fitted HuberRegressorCV, or a fitted
            pipeline that ends in one, through whose other steps X goes first. The path
            has its parameters, and `alpha_` as alpha if there is one. Its `rho_`, or
            else its `rho` if that is a number, is marked by a vertical line.
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,)
            Target.
        rhos : sequence of float, default=None
            Thresholds in units of the scale, greater than 0 (with ``scale="joint"`` at
            least 1). None: 20 from 1.1 to 10 and ``numpy.inf``; with a number as
            `scale`, 20 from a tenth to ten times the estimator's own rho, and
            ``numpy.inf``.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights: a weight of 2 is the same as the sample twice.
        feature_names : array-like of str of shape (n_features,), default=None
            Names of the features, as the last step sees them. None: those of the
            columns of X where it has names, else "feature 0" and so on.
        ax : matplotlib Axes, default=None
            Axes to draw in: they are switched off, and three axes put in their place.
            None: those of a new figure.
        line_kwargs : dict, default=None
            More keywords for matplotlib's ``plot``, for all lines but the mark.

        Returns
        -------
        display : HuberPathDisplay
            The display.

        Raises
        ------
        ImportError
            Without matplotlib.
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
        _pyplot(f"{cls.__name__}.from_estimator")
        from skhuber import huber_path

        last = _last_step(estimator)
        if not all(hasattr(last, name) for name in _PATH_PARAMETERS):
            raise TypeError(f"estimator must be {_REGRESSOR}, got {estimator!r}.")
        if not hasattr(last, "alpha"):
            _check_fitted(last, ("alpha_",), _REGRESSOR, estimator)
        X, names = _features_of_last_step(estimator, X)
        rho = getattr(last, "rho_", getattr(last, "rho", None))
        if not _is_positive_number(rho):
            rho = None
        path = huber_path(
            X,
            y,
            rhos=_default_rhos(last.scale, rho) if rhos is None else rhos,
            alphas=[last.alpha_ if hasattr(last, "alpha_") else last.alpha],
            sample_weight=sample_weight,
            **{name: getattr(last, name) for name in _PATH_PARAMETERS},
        )
        return cls.from_path(
            path,
            feature_names=names if feature_names is None else feature_names,
            rho=rho,
            ax=ax,
            line_kwargs=line_kwargs,
        )


class CVRhoDisplay:
    """Cross-validated score against rho, and which rho was chosen.

    There is one line for each `alpha`, or each combination of whatever else the search
    varied. Candidates whose `rho` is no number are left out. An infinite `rho` is drawn
    at the right edge, at 1.5 times the largest finite one, with "∞" below it.

    It is best made with :meth:`from_estimator`.

    Parameters
    ----------
    rhos : array-like of shape (n_candidates,)
        Thresholds in units of the scale, in any order; greater than 0.
    scores : array-like of shape (n_candidates,)
        Mean scores; greater is better. NaN is not drawn.
    errors : array-like of shape (n_candidates,), default=None
        Lengths of the error bars to each side, in the unit of the score. None: no bars.
    lines : array-like of str of shape (n_candidates,), default=None
        Which line each candidate belongs to, as the legend calls it. None: all to one.
    chosen_rho : float, default=None
        The one to mark. None: no mark.
    chosen_score : float, default=None
        Its score. None: it is marked by a line, but not by a point.
    caption : str, default=None
        What the points and bars show, as the legend's title. None: no title.

    Attributes
    ----------
    errorbars_ : list of matplotlib ErrorbarContainer
        The lines and their error bars.
    chosen_line_ : matplotlib Line2D or None
        The vertical line at the chosen rho.
    chosen_point_ : matplotlib Line2D or None
        The mark of the choice.
    ax_ : matplotlib Axes
        Axes that were drawn on.
    figure_ : matplotlib Figure
        Figure with these axes.

    Raises
    ------
    TypeError, ValueError
        For arguments that are not as described.

    See Also
    --------
    skhuber.HuberRegressorCV : Chooses rho and alpha by cross-validation.
    skhuber.make_huber_scorer : Scores that can be compared between values of rho.

    Examples
    --------
    >>> from skhuber.inspection import CVRhoDisplay
    >>> display = CVRhoDisplay(
    ...     rhos=[1.1, 1.35, 2.0],
    ...     scores=[-0.52, -0.5, -0.6],
    ...     errors=[0.05, 0.04, 0.05],
    ...     chosen_rho=1.35,
    ...     chosen_score=-0.5,
    ... ).plot()
    >>> display.chosen_line_.get_label()
    'chosen: rho = 1.35'
    """

    def __init__(
        self,
        *,
        rhos: ArrayLike,
        scores: ArrayLike,
        errors: ArrayLike | None = None,
        lines: ArrayLike | None = None,
        chosen_rho: float | None = None,
        chosen_score: float | None = None,
        caption: str | None = None,
    ) -> None:
        self.rhos = _check_rhos("rhos", rhos)
        self.scores = _check_vector("scores", scores, finite="allow-nan")
        _check_same_length("rhos", self.rhos, "scores", self.scores, "values")
        self.errors = None
        if errors is not None:
            self.errors = _check_vector("errors", errors, finite="allow-nan")
            _check_same_length("rhos", self.rhos, "errors", self.errors, "values")
            negative = self.errors[self.errors < 0]
            if negative.size:
                raise ValueError(
                    f"errors must be numbers >= 0, got {float(negative[0])!r} among "
                    "them."
                )
        self.lines = _check_labels("lines", lines, len(self.rhos), "candidate")
        self.chosen_rho = None
        if chosen_rho is not None:
            self.chosen_rho = check_real(
                "chosen_rho",
                chosen_rho,
                above=0,
                finite=False,
                allowed="None or a number > 0",
            )
        self.chosen_score = None
        if chosen_score is not None:
            self.chosen_score = check_real(
                "chosen_score", chosen_score, allowed="None or a finite number"
            )
        self.caption = _check_text("caption", caption)

    def plot(
        self, ax: Any = None, *, errorbar_kwargs: Mapping[str, Any] | None = None
    ) -> Self:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None: those of a new figure.
        errorbar_kwargs : dict, default=None
            More keywords for matplotlib's ``errorbar``.

        Returns
        -------
        self : CVRhoDisplay
            The display, with the attributes of what was drawn.

        Raises
        ------
        ImportError
            Without matplotlib.
        TypeError
            For arguments that are not as described.

        Examples
        --------
        >>> from matplotlib.figure import Figure
        >>> from skhuber.inspection import CVRhoDisplay
        >>> axes = Figure().subplots()
        >>> CVRhoDisplay(rhos=[1.1, 1.35], scores=[-0.6, -0.5]).plot(axes).ax_ is axes
        True
        """
        pyplot = _pyplot(f"{type(self).__name__}.plot")
        given = _check_style("errorbar_kwargs", errorbar_kwargs, "Line2D")
        _check_ax(ax)
        if ax is None:
            _, ax = pyplot.subplots(layout="constrained")

        marks = [] if self.chosen_rho is None else [self.chosen_rho]
        scale = _RhoScale(np.append(self.rhos, marks))
        names = ["mean score"] * len(self.rhos)
        if self.lines is not None:
            names = [str(line) for line in self.lines]
        different = list(dict.fromkeys(names))
        # From dark to light, without the palest end; their order is that of the search.
        shades = pyplot.get_cmap("viridis")(np.linspace(0.0, 0.85, len(different)))
        self.errorbars_ = []
        for k, name in enumerate(different):
            mine = np.flatnonzero(np.array(names) == name)
            mine = mine[np.argsort(self.rhos[mine], kind="stable")]
            style = {
                "color": shades[k],
                "marker": "osD^v"[k % 5],
                "markersize": 4.0,
                "linewidth": 1.3,
                "elinewidth": 0.9,
                "capsize": 2.5,
                "label": name,
            }
            bars = ax.errorbar(
                scale.positions(self.rhos[mine]),
                self.scores[mine],
                yerr=None if self.errors is None else self.errors[mine],
                **style | given,
            )
            self.errorbars_.append(bars)
        self.chosen_line_ = self.chosen_point_ = None
        handles: list[Any] = list(self.errorbars_)
        if self.chosen_rho is not None:
            (x,) = scale.positions(np.array(marks))
            mark = {
                "color": _ACCENT,
                "label": f"chosen: rho = {_number(self.chosen_rho)}",
            }
            self.chosen_line_ = ax.axvline(
                x, linestyle="--", linewidth=1.0, zorder=1, **mark
            )
            handles.append(self.chosen_line_)
            if self.chosen_score is not None:
                (self.chosen_point_,) = ax.plot(
                    [x],
                    [self.chosen_score],
                    linestyle="none",
                    marker="o",
                    markersize=11.0,
                    markerfacecolor="none",
                    markeredgewidth=1.8,
                    zorder=4,
                    **mark,
                )
                handles[-1] = self.chosen_point_
        scale.apply(ax)
        ax.set_xlabel("rho (threshold in units of the scale)")
        ax.set_ylabel("score (greater is better)")
        # A layout engine makes room for it.
        beside = ax.figure.get_layout_engine() is not None
        ax.legend(
            handles=handles,
            title=self.caption,
            fontsize="small",
            title_fontsize="small",
            **(_BESIDE if beside else {"loc": "best"}),
        )
        self.ax_ = ax
        self.figure_ = ax.figure
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        std: str | None = "standard_error",
        ax: Any = None,
        errorbar_kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the scores of a fitted search over rho.

        Parameters
        ----------
        estimator : estimator
            A fitted HuberRegressorCV, a pipeline that ends in one, or a fitted
            GridSearchCV (or the like, with one metric) over the parameter ``rho`` or
            ``<step>__rho``.
        std : {"standard_error", "standard_deviation"} or None, \
                default="standard_error"
            What the error bars show.

            - ``"standard_error"``: of the mean over folds, the standard deviation over
              the root of the number of folds.
            - ``"standard_deviation"``: of the folds.
            - None: no bars.
        ax : matplotlib Axes, default=None
            Axes to draw on. None: those of a new figure.
        errorbar_kwargs : dict, default=None
            More keywords for matplotlib's ``errorbar``.

        Returns
        -------
        display : CVRhoDisplay
            The display.

        Raises
        ------
        ImportError
            Without matplotlib.
        NotFittedError
            If the estimator is not fitted.
        TypeError, ValueError
            For arguments that are not as described; if no candidate's rho is a number.

        Examples
        --------
        >>> import numpy as np
        >>> from skhuber import HuberRegressorCV
        >>> from skhuber.inspection import CVRhoDisplay
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(200, 2))
        >>> y = X @ [1.0, 2.0] + rng.standard_t(2, size=200)
        >>> search = HuberRegressorCV(rhos=[1.2, 1.35, 2.0, 4.0]).fit(X, y)
        >>> display = CVRhoDisplay.from_estimator(search)
        >>> display.chosen_rho == search.rho_
        True
        """
        _pyplot(f"{cls.__name__}.from_estimator")
        if std is not None:
            check_choice("std", std, list(_ERROR_BARS))
        search = _last_step(estimator)
        _check_fitted(search, ("cv_results_",), _SEARCH, estimator)
        return cls(**_search_results(search, estimator, std)).plot(
            ax, errorbar_kwargs=errorbar_kwargs
        )


# --- estimators -------------------------------------------------------------------


def _last_step(estimator: Any) -> Any:
    """The estimator that a pipeline ends in, or the very one."""
    while isinstance(estimator, Pipeline):
        estimator = estimator[-1]
    return estimator


def _check_fitted(
    last: Any, attributes: Sequence[str], allowed: str, estimator: Any
) -> None:
    """Raise NotFittedError before `fit`, TypeError for what lacks the attributes."""
    if all(hasattr(last, attribute) for attribute in attributes):
        return
    if isinstance(last, BaseEstimator):
        check_is_fitted(last)
    raise TypeError(f"estimator must be {allowed}, got {estimator!r}.")


def _threshold(estimator: Any) -> float:
    """The residual, in the unit of y, from which on samples count less."""
    last = _last_step(estimator)
    _check_fitted(last, ("rho_", "scale_"), _FITTED, estimator)
    return check_real(
        "rho_ * scale_ of estimator", last.rho_ * last.scale_, above=0, finite=False
    )


def _observed_and_predicted(
    estimator: Any, X: ArrayLike, y: ArrayLike | None
) -> tuple[Array, Array]:
    y_pred = _check_vector("predictions of estimator", estimator.predict(X))
    return check_target(y, len(y_pred)).astype(np.float64), y_pred


def _features_of_last_step(estimator: Any, X: Any) -> tuple[Any, list[str] | None]:
    """What a pipeline's last step gets for X, and the names of its columns."""
    names = _column_names(X)
    while isinstance(estimator, Pipeline):
        if len(estimator) > 1:
            check_is_fitted(estimator)
            before = estimator[:-1]
            X = before.transform(X)
            names = _column_names(X)
            if names is None:
                try:
                    names = [str(name) for name in before.get_feature_names_out()]
                except (AttributeError, ValueError):  # a step that does not know them
                    names = None
        estimator = estimator[-1]
    return X, names


def _default_rhos(scale: object, rho: float | None) -> list[float]:
    """What there is to see of a path: from many outliers to none."""
    low, high = 1.1, 10.0
    if not isinstance(scale, str):
        # Then rho has the unit of y, and only the estimator's own tells its size.
        middle = rho if rho is not None and math.isfinite(rho) else 1.0
        low, high = middle / 10, middle * 10
    return [*map(float, np.geomspace(low, high, 20)), math.inf]


def _search_results(search: Any, estimator: Any, std: str | None) -> dict[str, Any]:
    """Arguments of CVRhoDisplay from the attributes of a fitted search."""
    results = search.cv_results_
    if not {"params", "mean_test_score", "std_test_score"} <= set(results):
        raise TypeError(f"estimator must be {_SEARCH}, got {estimator!r}.")
    candidates = list(results["params"])
    parameters = list(dict.fromkeys(name for given in candidates for name in given))
    rho_names = [name for name in parameters if name.split("__")[-1] == "rho"]
    if len(rho_names) != 1:
        raise ValueError(
            "estimator must have searched over one parameter rho or <step>__rho, got "
            f"a search over {', '.join(parameters) or 'no parameter'}."
        )
    (rho_name,) = rho_names
    rhos = [candidate.get(rho_name) for candidate in candidates]
    numeric = [i for i, rho in enumerate(rhos) if _is_positive_number(rho)]
    if not numeric:
        raise ValueError(
            "estimator must have searched over at least one rho that is a number > 0, "
            f"got {', '.join(map(repr, rhos))}."
        )

    lines = _names_of_lines(candidates, [p for p in parameters if p != rho_name])
    spread = np.asarray(results["std_test_score"], dtype=np.float64)[numeric]
    if std == "standard_error":
        spread = spread / math.sqrt(search.n_splits_)
    scores = np.asarray(results["mean_test_score"], dtype=np.float64)
    best = getattr(search, "best_index_", None)
    chosen_rho = chosen_score = None
    if best is not None:
        # rho_ is a number even where the best candidate's rho is not.
        best_estimator = _last_step(getattr(search, "best_estimator_", None))
        for rho in (
            getattr(search, "rho_", None),
            rhos[best],
            getattr(best_estimator, "rho_", None),
        ):
            if _is_positive_number(rho):
                chosen_rho = rho
                break
        chosen_score = None if math.isnan(scores[best]) else float(scores[best])
    return {
        "rhos": [float(rhos[i]) for i in numeric],
        "scores": scores[numeric],
        "errors": None if std is None else spread,
        "lines": None if lines is None else [lines[i] for i in numeric],
        "chosen_rho": chosen_rho,
        "chosen_score": chosen_score,
        "caption": None if std is None else _ERROR_BARS[std],
    }


def _names_of_lines(
    candidates: Sequence[Mapping[str, Any]], parameters: Sequence[str]
) -> list[str] | None:
    """What to call each candidate's line: the parameters in which lines differ."""
    values = {}
    for name in parameters:
        given = [candidate.get(name, "-") for candidate in candidates]
        exact = [str(value) for value in given]
        short = [_number(value) for value in given]
        # What rounding makes equal would become one line.
        values[name] = short if len(set(short)) == len(set(exact)) else exact
    varied = [name for name in parameters if len(set(values[name])) > 1]
    if not varied:
        return None
    words = [name.split("__")[-1] for name in varied]
    if len(set(words)) < len(words):
        words = varied
    return [
        ", ".join(
            f"{word} = {values[name][i]}"
            for word, name in zip(words, varied, strict=True)
        )
        for i in range(len(candidates))
    ]


# --- validation -------------------------------------------------------------------


def _check_vector(name: str, values: ArrayLike, finite: bool | str = True) -> Array:
    """Numbers of shape (n,), at least one of them, or an error that names them."""
    array = _check_numbers(name, values, finite)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.size == 0:
        raise ValueError(
            f"{name} must be numbers in one dimension, at least one of them, got shape "
            f"{array.shape}."
        )
    return array


def _check_matrix(name: str, values: ArrayLike) -> Array:
    array = _check_numbers(name, values, True)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(
            f"{name} must be numbers in two dimensions, at least one in each, got "
            f"shape {array.shape}."
        )
    return array


def _check_numbers(name: str, values: ArrayLike, finite: bool | str) -> Array:
    with naming(name):
        array: Array = check_array(
            values,
            dtype=np.float64,
            ensure_2d=False,
            allow_nd=True,
            ensure_all_finite=finite,
            ensure_min_samples=0,
            ensure_min_features=0,
            input_name=name,
        )
    return array


def _check_rhos(name: str, values: ArrayLike) -> Array:
    rhos = _check_vector(name, values, finite=False)
    wrong = rhos[~(rhos > 0)]
    if wrong.size:
        raise ValueError(
            f"{name} must be numbers > 0, got {float(wrong[0])!r} among them."
        )
    return rhos


def _check_same_length(
    one: str, first: Array, other: str, second: Array, what: str = "samples"
) -> None:
    if len(first) != len(second):
        raise ValueError(
            f"{one} and {other} must have the same number of {what}, got {len(first)} "
            f"and {len(second)}."
        )


def _check_predictions(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[Array, Array]:
    observed = _check_vector("y_true", y_true)
    predicted = _check_vector("y_pred", y_pred)
    _check_same_length("y_true", observed, "y_pred", predicted)
    return observed, predicted


def _check_labels(
    name: str, labels: Any, length: int, per: str = "sample"
) -> list[Any] | None:
    """One label for each of several things, or None for None."""
    if labels is None:
        return None
    allowed = f"None or one label for each {per}"
    if isinstance(labels, str) or not isinstance(labels, Iterable):
        raise TypeError(f"{name} must be {allowed}, got {labels!r}.")
    listed = list(labels)
    if len(listed) != length:
        raise ValueError(
            f"{name} must be {allowed}, {length} in all, got {len(listed)}."
        )
    return listed


def _check_text(name: str, value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{name} must be None or a string, got {value!r}.")
    return value


def _check_style(name: str, given: Any, artist: str) -> dict[str, Any]:
    """Keywords for matplotlib under their long names, so that they replace ours."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(f"{name} must be None or a dict of keywords, got {given!r}.")
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.collections import PathCollection
    from matplotlib.lines import Line2D

    kinds = {"Line2D": Line2D, "PathCollection": PathCollection}
    with naming(name):
        keywords: dict[str, Any] = normalize_kwargs(dict(given), kinds[artist])
    return keywords


def _check_ax(ax: object) -> None:
    from matplotlib.axes import Axes

    if ax is not None and not isinstance(ax, Axes):
        raise TypeError(f"ax must be None or matplotlib Axes, got {ax!r}.")


def _is_positive_number(value: object) -> bool:
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        return False
    return float(value) > 0


# --- drawing ----------------------------------------------------------------------


def _pyplot(what: str) -> Any:
    """matplotlib.pyplot, or an error that says how to get it."""
    try:
        import matplotlib.pyplot as pyplot
    except ImportError as error:
        raise ImportError(
            f"{what} needs matplotlib, which cannot be imported. Install it with: "
            'pip install "skhuber[plot]"'
        ) from error
    return pyplot


def _robust_weights(residuals: Array, threshold: float) -> Array:
    """ψ(r)/r; where the threshold is infinite, all are within it."""
    size = np.abs(residuals)
    beyond = size > threshold
    return np.divide(threshold, size, out=np.ones_like(size), where=beyond)


def _row_index(*data: Any) -> list[Any] | None:
    """Index of the first that is a pandas frame or series; None if none is."""
    for values in data:
        if hasattr(values, "iloc"):
            return list(values.index)
    return None


def _column_names(X: Any) -> list[str] | None:
    columns = getattr(X, "columns", None)
    return None if columns is None else [str(column) for column in columns]


def _number(value: Any) -> str:
    """Four digits of a number, "∞" for an infinite one; others as they are."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        return str(value)
    # Rounded before it is written: "10000", not "1e+04".
    return "∞" if float(value) == math.inf else f"{float(f'{value:.4g}'):g}"


class _RhoScale:
    """A logarithmic axis of rho, with a place for infinity at its right end."""

    def __init__(self, rhos: Array) -> None:
        finite = rhos[np.isfinite(rhos)]
        self._ticks = _log_ticks(finite.min(), finite.max()) if finite.size else []
        self._infinity = 1.5 * finite.max() if finite.size else 1.0
        self._has_infinity = finite.size < rhos.size
        self._least = rhos.min()

    def positions(self, rhos: Array) -> Array:
        """Where on the axis they are."""
        return np.where(np.isinf(rhos), self._infinity, rhos)

    def apply(self, ax: Any) -> None:
        """Make the x axis logarithmic, with some plain numbers that do not touch."""
        ticks = [(tick, _number(tick)) for tick in self._ticks]
        if self._has_infinity:
            ticks.append((self._infinity, "∞"))
        kept = ticks[-1:]
        span = kept[0][0] / min(self._least, kept[0][0])
        # Of the width as it is now, a layout engine may take a quarter.
        width = 0.75 * ax.bbox.width * 72.0 / ax.figure.dpi
        for place, label in reversed(ticks[:-1]):
            # A character of ten points is about six wide.
            points = 6.2 * (len(label) + len(kept[0][1])) / 2 + 5.0
            room = span ** (points / width)
            if place * room <= kept[0][0]:
                kept.insert(0, (place, label))
        ax.set_xscale("log")
        if span == 1.0:
            # One place alone leaves matplotlib without limits on such an axis.
            ax.set_xlim(kept[0][0] / 2, kept[0][0] * 2)
        ax.set_xticks([place for place, _ in kept], [label for _, label in kept])
        ax.set_xticks([], minor=True)


def _log_ticks(low: float, high: float) -> list[float]:
    """Round numbers from low to high, four or more where there are so many."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for mantissas in ([1], [1, 3], [1, 2, 5], [1, 1.2, 1.5, 2, 3, 5, 7]):
        ticks = [float(f"{m}e{e}") for e in exponents for m in mantissas]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= 4:
            return ticks
    return ticks if len(ticks) >= 2 else sorted({float(low), float(high)})


def _three_axes_in(ax: Any, room_at_right: bool) -> NDArray[np.object_]:
    """Switch axes off, and put three in their place that share the x axis."""
    figure = ax.figure
    # A layout engine makes room for a legend at the right; without one we do.
    columns = 2 if room_at_right and figure.get_layout_engine() is None else 1
    sizes = {"height_ratios": [2, 1, 1], "width_ratios": [1.0, 0.28][:columns]}
    place = ax.get_subplotspec()
    if place is not None:
        grid = place.subgridspec(3, columns, hspace=0.12, **sizes)
    else:
        box = ax.get_position()
        grid = figure.add_gridspec(
            3,
            columns,
            left=box.x0,
            right=box.x1,
            bottom=box.y0,
            top=box.y1,
            hspace=0.12,
            **sizes,
        )
    ax.set_axis_off()
    axes = np.empty(3, dtype=object)
    for i in range(3):
        axes[i] = figure.add_subplot(grid[i, 0], sharex=axes[0])
        axes[i].tick_params(labelbottom=i == 2)
    return axes


def _annotate(ax: Any, x: Array, y: Array, labels: Sequence[str]) -> list[Any]:
    """Write labels beside points, each where it meets no other label or its point."""
    ax.get_xlim(), ax.get_ylim()  # settles the limits, which transData depends on
    to_points = 72.0 / ax.figure.dpi
    centres = ax.transData.transform(np.column_stack([x, y])) * to_points
    middle = (ax.bbox.x0 + ax.bbox.x1) / 2 * to_points
    taken = [(px - 4, py - 4, px + 4, py + 4) for px, py in centres]
    annotations = []
    for i, (px, py) in enumerate(centres):
        width, height = 5.0 * len(labels[i]), 9.0  # of text in 8 points
        others = taken[:i] + taken[i + 1 :]
        # Towards the middle first, so that labels stay within the axes.
        sides = (1, -1) if px < middle else (-1, 1)
        shifts = [(s, dy) for dy in (0, 10, -10, 20, -20, 30, -30) for s in sides]
        for side, dy in shifts:
            left = px + 6 if side > 0 else px - 6 - width
            box = (left, py + dy - height / 2, left + width, py + dy + height / 2)
            if not any(_overlap(box, other) for other in others):
                break
        else:  # crowded: the first place is as good as any
            side, dy = shifts[0]
            left = px + 6 if side > 0 else px - 6 - width
            box = (left, py - height / 2, left + width, py + height / 2)
        taken.append(box)
        annotations.append(
            ax.annotate(
                labels[i],
                (x[i], y[i]),
                xytext=(6 * side, dy),
                textcoords="offset points",
                ha="left" if side > 0 else "right",
                va="center",
                fontsize=8,
                arrowprops={"arrowstyle": "-", "color": _QUIET, "linewidth": 0.5}
                if dy
                else None,
            )
        )
    return annotations


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two boxes (left, bottom, right, top) meet."""
    return (
        one[0] < other[2]
        and other[0] < one[2]
        and one[1] < other[3]
        and other[1] < one[3]
    )
