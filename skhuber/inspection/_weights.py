"""Display of sorted robust weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from skhuber._common.validation import check_real
from skhuber.inspection import _axes, _checks
from skhuber.inspection._checks import Array


class HuberWeightsDisplay:
    """Robust weights of the samples, from the least to the greatest.

    The robust weight of a sample is 1 if its residual is within the threshold, and less
    beyond. The line shows the number of samples with smaller weights, and how small the
    weights are. Create the display with :meth:`from_estimator` or
    :meth:`from_predictions`.

    Parameters
    ----------
    weights : array-like of shape (n_samples,)
        Robust weights, from 0 to 1, in any order.
    name : str, default=None
        Name of the line in the legend. None: no name.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The sorted weights: steps, each one sample wide.
    ax_, figure_ : matplotlib Axes and Figure
        The axes and the figure of the plot.

    Raises
    ------
    TypeError, ValueError
        For arguments that are not as described.

    See Also
    --------
    HuberResidualsDisplay : Residuals coloured by the weights.

    Examples
    --------
    >>> from skhuber.inspection import HuberWeightsDisplay
    >>> display = HuberWeightsDisplay(weights=[1.0, 0.25, 1.0]).plot()
    >>> display.line_.get_label()
    '1 of 3 below 1'
    """

    def __init__(self, *, weights: ArrayLike, name: str | None = None) -> None:
        self.weights = _checks.numbers("weights", weights)
        wrong = (self.weights < 0) | (self.weights > 1)
        _checks.refuse_any("weights", self.weights, wrong, "from 0 to 1")
        self.name = _checks.text("name", name)

    def plot(
        self, ax: Any = None, *, line_kwargs: Mapping[str, Any] | None = None
    ) -> Self:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on, also another display's. None: the axes of a new figure.
        line_kwargs : dict, default=None
            Additional keywords of matplotlib's ``step``.

        Returns
        -------
        self : HuberWeightsDisplay
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
        >>> from skhuber.inspection import HuberWeightsDisplay
        >>> axes = Figure().subplots()
        >>> HuberWeightsDisplay(weights=[1.0, 0.25, 1.0]).plot(axes).ax_ is axes
        True
        """
        ax, given = _axes.prepare(self, ax, "line_kwargs", line_kwargs)
        self.ax_, self.figure_ = ax, ax.figure
        weights = np.sort(self.weights)
        label = f"{np.sum(weights < 1)} of {len(weights)} below 1"
        if self.name is not None:
            label = _axes.literal(f"{self.name}: {label}")
        # The next colour that no other display on these axes has.
        used = {line.get_color() for line in ax.get_lines()}
        colour = next((c for c in _axes.COLOURS if c not in used), _axes.COLOURS[0])
        style = {"where": "pre", "color": colour, "label": label}
        # Sample i has the interval from i to i + 1, so that a single sample is visible.
        places = np.arange(len(weights) + 1)
        heights = np.append(weights[:1], weights)
        (self.line_,) = ax.step(places, heights, **style | given)
        ax.set_xlabel("rank of the sample, from the least weight")
        ax.set_ylabel("robust weight")
        ax.set_ylim(0.0, 1.05)
        _axes.draw_legend(ax, loc="lower right", fontsize="small")
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
        """Draw the robust weights of the training data or of other data.

        Parameters
        ----------
        estimator : estimator
            A fitted HuberRegressor, a pipeline that ends in one, or another fitted
            estimator with `rho_` and `scale_`, and with `robust_weights_` if X is None.
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features), \
                default=None
            Features. None: the weights are `robust_weights_`, of the training data.
        y : array-like of shape (n_samples,), default=None
            Target; to be given if and only if X is given.
        name : str, default=None
            Name of the line in the legend. None: no name.
        ax : matplotlib Axes, default=None
            Axes to draw on, also another display's. None: the axes of a new figure.
        line_kwargs : dict, default=None
            Additional keywords of matplotlib's ``step``.

        Returns
        -------
        display : HuberWeightsDisplay
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
        >>> from skhuber.inspection import HuberWeightsDisplay
        >>> X = np.arange(10.0).reshape(-1, 1)
        >>> y = 3.0 * X.ravel() + np.tile([0.1, -0.1], 5)
        >>> y[4] = 60.0
        >>> model = HuberRegressor(scale=1.0).fit(X, y)
        >>> display = HuberWeightsDisplay.from_estimator(model)
        >>> display.line_.get_label()
        '1 of 10 below 1'
        """
        _axes.import_pyplot(cls, "from_estimator")
        threshold = _checks.threshold(estimator)
        if (X is None) != (y is None):
            given = "y and X" if X is None else "X and y"
            raise ValueError(
                f"X and y must be given together or not at all, got {given}=None."
            )
        if X is None:
            allowed = "fitted with robust_weights_ where X and y are not given"
            fitted = _checks.fitted_last_step(estimator, allowed, "robust_weights_")
            weights: ArrayLike = fitted.robust_weights_
        else:
            y_true, y_pred = _checks.observed_and_predicted(estimator, X, y)
            weights = robust_weights(y_true - y_pred, threshold)
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
        """Draw the robust weights of the residuals of predictions.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            Observed values.
        y_pred : array-like of shape (n_samples,)
            Predicted values, in the unit of `y_true`.
        threshold : float
            Absolute residual beyond which weights are below 1, in the unit of `y_true`.
            Greater than 0; with ``numpy.inf`` all weights are 1.
        name : str, default=None
            Name of the line in the legend. None: no name.
        ax : matplotlib Axes, default=None
            Axes to draw on, also another display's. None: the axes of a new figure.
        line_kwargs : dict, default=None
            Additional keywords of matplotlib's ``step``.

        Returns
        -------
        display : HuberWeightsDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
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
        _axes.import_pyplot(cls, "from_predictions")
        threshold = check_real("threshold", threshold, above=0, finite=False)
        observed, predicted = _checks.predictions(y_true, y_pred)
        weights = robust_weights(observed - predicted, threshold)
        return cls(weights=weights, name=name).plot(ax, line_kwargs=line_kwargs)


def robust_weights(residuals: Array, threshold: float) -> Array:
    """Return ψ(r)/r: 1 up to the threshold, threshold/|r| beyond it."""
    size = np.abs(residuals)
    beyond = size > threshold
    return np.divide(threshold, size, out=np.ones_like(size), where=beyond)
