"""Display of residuals against fitted values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from skhuber._common.validation import check_count, check_real
from skhuber.inspection import _axes, _checks
from skhuber.inspection._weights import robust_weights


class HuberResidualsDisplay:
    """Residuals against fitted values, coloured by the robust weights.

    A band shows the residuals up to the threshold ``rho_ * scale_``, whose samples have
    a weight of 1. The samples beyond the band are outliers; the farthest are labelled.
    Create the display with :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    y_pred : array-like of shape (n_samples,)
        Fitted values, in the unit of the target.
    residuals : array-like of shape (n_samples,)
        Observed minus fitted values, in the unit of the target.
    threshold : float
        Absolute residual beyond which a sample is an outlier, in the unit of the
        target. Greater than 0; with ``numpy.inf`` there is no band, and all weights
        are 1.
    labels : array-like of shape (n_samples,), default=None
        Names of the samples. None: their positions, from 0.

    Attributes
    ----------
    weights : ndarray of shape (n_samples,)
        Robust weights ψ(r)/r: 1 up to the threshold, ``threshold / |r|`` beyond it.
    scatter_ : matplotlib PathCollection
        The points.
    colorbar_ : matplotlib Colorbar or None
        The colour bar of the weights; None if `scatter_kwargs` set the colour.
    zero_line_ : matplotlib Line2D
        The line at a residual of zero.
    band_ : matplotlib Patch or None
        The band within the threshold; None for an infinite threshold.
    threshold_lines_ : list of matplotlib Line2D
        The lower and the upper edge of the band; empty for an infinite threshold.
    annotations_ : list of matplotlib Annotation
        Labels of the outliers, from the farthest.
    ax_, figure_ : matplotlib Axes and Figure
        The axes and the figure of the plot.

    Raises
    ------
    TypeError, ValueError
        For arguments that are not as described.

    See Also
    --------
    HuberWeightsDisplay : Sorted robust weights.
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
        self.y_pred = _checks.numbers("y_pred", y_pred)
        self.residuals = _checks.numbers("residuals", residuals)
        _checks.same_length("samples", y_pred=self.y_pred, residuals=self.residuals)
        self.threshold = check_real("threshold", threshold, above=0, finite=False)
        self.labels = _checks.labels("labels", labels, len(self.residuals), "sample")
        self.weights = robust_weights(self.residuals, self.threshold)

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
            Axes to draw on. None: the axes of a new figure.
        n_labels : int, default=5
            Number of outliers to label, from the farthest; at least 0.
        scatter_kwargs : dict, default=None
            Additional keywords of matplotlib's ``scatter``. If they set a colour, the
            points have that colour and there is no colour bar.

        Returns
        -------
        self : HuberResidualsDisplay
            The display, with its artists as attributes.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError, ValueError
            For arguments that are not as described.

        Examples
        --------
        >>> from matplotlib.figure import Figure
        >>> from skhuber.inspection import HuberResidualsDisplay
        >>> display = HuberResidualsDisplay(y_pred=[1], residuals=[8], threshold=2)
        >>> axes = Figure().subplots()
        >>> display.plot(axes, n_labels=0).ax_ is axes
        True
        """
        n_labels = check_count("n_labels", n_labels, least=0)
        ax, given = _axes.prepare(self, ax, "scatter_kwargs", scatter_kwargs)
        from matplotlib.markers import MarkerStyle

        self.ax_, self.figure_ = ax, ax.figure
        line = {"color": _axes.QUIET, "linewidth": 1.0}
        self.band_, self.threshold_lines_ = None, []
        if math.isfinite(self.threshold):
            limits = (-self.threshold, self.threshold)
            self.band_ = ax.axhspan(*limits, color="0.5", alpha=0.15, linewidth=0)
            self.threshold_lines_ = [
                ax.axhline(limit, linestyle="--", **line) for limit in limits
            ]
            self.threshold_lines_[0].set_label(f"threshold, ±{self.threshold:.3g}")
        self.zero_line_ = ax.axhline(0.0, label="residual of zero", **line)

        style: dict[str, Any] = {"s": 24, "zorder": 2.5}
        if MarkerStyle(given.get("marker", "o")).is_filled():
            # Points of weight 1 are yellow; a thin edge makes them visible on white.
            style |= {"edgecolor": _axes.QUIET, "linewidth": 0.4}
        coloured = not _axes.sets_colour(given)
        if coloured:
            style |= {"c": self.weights, "cmap": "viridis"}
            if "norm" not in given:
                style |= {"vmin": 0.0, "vmax": 1.0}
        self.scatter_ = ax.scatter(self.y_pred, self.residuals, **style | given)
        self.colorbar_ = None
        if coloured:
            self.colorbar_ = self.figure_.colorbar(
                self.scatter_, ax=ax, label="robust weight"
            )
        ax.set_xlabel("fitted value (unit of target)")
        ax.set_ylabel("residual (unit of target)")

        size = np.abs(self.residuals)
        farthest = np.argsort(-size, kind="stable")[:n_labels]
        chosen = farthest[size[farthest] > self.threshold]
        self.annotations_ = _axes.annotate(
            ax, self.y_pred, self.residuals, chosen, self.labels
        )
        # For "best" matplotlib visits every point, and warns if that is slow.
        corner = "best" if len(size) <= 10_000 else "upper right"
        _axes.draw_legend(ax, loc=corner, fontsize="small")
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
            A fitted HuberRegressor, a pipeline that ends in one, or another fitted
            estimator with `rho_` and `scale_`. The threshold is ``rho_ * scale_``.
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,)
            Target.
        n_labels : int, default=5
            Number of outliers to label, from the farthest; at least 0. The label is
            the sample's entry in the index of X or of y, the first that is a pandas
            frame or series; else its position, from 0.
        ax : matplotlib Axes, default=None
            Axes to draw on. None: the axes of a new figure.
        scatter_kwargs : dict, default=None
            Additional keywords of matplotlib's ``scatter``. If they set a colour, the
            points have that colour and there is no colour bar.

        Returns
        -------
        display : HuberResidualsDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
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
        _axes.import_pyplot(cls, "from_estimator")
        threshold = _checks.threshold(estimator)
        y_true, y_pred = _checks.observed_and_predicted(estimator, X, y)
        display = cls(
            y_pred=y_pred,
            residuals=y_true - y_pred,
            threshold=threshold,
            labels=_row_names(X, y),
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
            Absolute residual beyond which a sample is an outlier, in the unit of
            `y_true`. Greater than 0; with ``numpy.inf`` there is no band, and all
            weights are 1.
        n_labels : int, default=5
            Number of outliers to label, from the farthest; at least 0. The label is
            the sample's entry in the index of `y_true` or of `y_pred`, the first that
            is a pandas series; else its position, from 0.
        ax : matplotlib Axes, default=None
            Axes to draw on. None: the axes of a new figure.
        scatter_kwargs : dict, default=None
            Additional keywords of matplotlib's ``scatter``. If they set a colour, the
            points have that colour and there is no colour bar.

        Returns
        -------
        display : HuberResidualsDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
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
        _axes.import_pyplot(cls, "from_predictions")
        observed, predicted = _checks.predictions(y_true, y_pred)
        display = cls(
            y_pred=predicted,
            residuals=observed - predicted,
            threshold=threshold,
            labels=_row_names(y_true, y_pred),
        )
        return display.plot(ax, n_labels=n_labels, scatter_kwargs=scatter_kwargs)


def _row_names(*data: Any) -> list[Any] | None:
    """Return the index of the first pandas frame or series; None if there is none."""
    indices = (list(values.index) for values in data if hasattr(values, "iloc"))
    return next(indices, None)
