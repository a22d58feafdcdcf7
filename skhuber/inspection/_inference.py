"""Displays of inference: intervals of coefficients, leverage, influence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from skhuber._common.validation import check_count, check_real
from skhuber.inspection import _axes, _checks
from skhuber.inspection._checks import Array


class CoefficientIntervalDisplay:
    """Coefficients with their confidence intervals, one below the other.

    It is best made with :meth:`from_result`.

    Parameters
    ----------
    names : list of str
        One for each coefficient, from above.
    coef, lower, upper : array-like of shape (n_coefficients,)
        Estimates and the limits of their intervals; NaN for none.
    level : float, default=None
        Probability with which the intervals cover, for the axis. None: not written.

    Attributes
    ----------
    points_ : matplotlib Line2D
        The estimates.
    intervals_ : matplotlib LineCollection
        The intervals.
    ax_, figure_ : matplotlib Axes and Figure
        What was drawn on.

    Raises
    ------
    TypeError, ValueError
        For arguments that are not as described.

    Examples
    --------
    >>> from skhuber.inspection import CoefficientIntervalDisplay
    >>> display = CoefficientIntervalDisplay(
    ...     names=["a", "b"], coef=[1.0, 2.0], lower=[0.5, 1.0], upper=[1.5, 3.0]
    ... ).plot()
    >>> [text.get_text() for text in display.ax_.get_yticklabels()]
    ['a', 'b']
    """

    def __init__(
        self,
        *,
        names: Sequence[str],
        coef: ArrayLike,
        lower: ArrayLike,
        upper: ArrayLike,
        level: float | None = None,
    ) -> None:
        self.coef = _checks.numbers("coef", coef)
        self.lower = _checks.numbers("lower", lower, finite="allow-nan")
        self.upper = _checks.numbers("upper", upper, finite="allow-nan")
        _checks.same_length(
            "coefficients", coef=self.coef, lower=self.lower, upper=self.upper
        )
        found = _checks.labels("names", names, len(self.coef), "coefficient")
        if found is None:
            raise TypeError("names must be one label for each coefficient, got None.")
        self.names = list(map(str, found))
        self.level = None if level is None else check_real("level", level, above=0)

    def plot(
        self, ax: Any = None, *, line_kwargs: Mapping[str, Any] | None = None
    ) -> Self:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None: those of a new figure.
        line_kwargs : dict, default=None
            More keywords for matplotlib's ``plot`` of the estimates.

        Returns
        -------
        self : CoefficientIntervalDisplay

        Raises
        ------
        ImportError
            Without matplotlib.
        TypeError
            For arguments that are not as described.
        """
        count = len(self.coef)
        size = (6.0, 1.2 + 0.32 * count)
        ax, given = _axes.prepare(self, ax, "line_kwargs", line_kwargs, size)
        self.ax_, self.figure_ = ax, ax.figure
        places = np.arange(count)
        colour = _axes.COLOURS[0]
        ax.axvline(0.0, color=_axes.QUIET, linewidth=0.8, zorder=1)
        self.intervals_ = ax.hlines(
            places, self.lower, self.upper, color=colour, linewidth=1.6, zorder=2
        )
        style = {"color": colour, "marker": "o", "linestyle": "none", "zorder": 3}
        (self.points_,) = ax.plot(self.coef, places, **style | given)
        ax.set_yticks(places, self.names, parse_math=False)
        ax.set_ylim(count - 0.5, -0.5)
        label = "coefficient"
        if self.level is not None:
            label += f" and {100 * self.level:g} % interval"
        ax.set_xlabel(label)
        return self

    @classmethod
    def from_result(
        cls,
        result: Any,
        *,
        alpha: float = 0.05,
        names: Sequence[str] | None = None,
        ax: Any = None,
        line_kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the intervals of a result of inference.

        Parameters
        ----------
        result : HuberInference
        alpha : float, default=0.05
            The intervals cover with probability 1 − alpha.
        names : list of str, default=None
            Coefficients to draw, in this order. None: all but the intercept.
        ax : matplotlib Axes, default=None
            Axes to draw on. None: those of a new figure.
        line_kwargs : dict, default=None
            More keywords for matplotlib's ``plot`` of the estimates.

        Returns
        -------
        display : CoefficientIntervalDisplay

        Raises
        ------
        ImportError
            Without matplotlib.
        TypeError, ValueError
            For arguments that are not as described.

        Examples
        --------
        >>> import numpy as np
        >>> from skhuber import HuberRegressor
        >>> from skhuber.inference import huber_inference
        >>> from skhuber.inspection import CoefficientIntervalDisplay
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(100, 2))
        >>> y = X[:, 0] + rng.normal(size=100)
        >>> result = huber_inference(HuberRegressor(alpha=0).fit(X, y), X, y)
        >>> CoefficientIntervalDisplay.from_result(result).names
        ['x0', 'x1']
        """
        _axes.import_pyplot(cls, "from_result")
        if not hasattr(result, "table"):
            raise TypeError(f"result must be a HuberInference, got {result!r}.")
        table, known = result.table(alpha), list(result.names)
        if names is None:
            names = [name for name in known if name != "const"]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise ValueError(
                f"names must be coefficients of the result, got {unknown[0]!r}."
            )
        chosen = [known.index(name) for name in names]
        return cls(
            names=names,
            coef=table["coef"][chosen],
            lower=table["lower"][chosen],
            upper=table["upper"][chosen],
            level=1.0 - alpha,
        ).plot(ax, line_kwargs=line_kwargs)


# The corners of a LeverageDisplay, and the colours of their rows.
_CORNERS = {
    "regular": _axes.QUIET,
    "vertical outlier": _axes.COLOURS[5],
    "good leverage": _axes.COLOURS[2],
    "bad leverage": _axes.COLOURS[1],
}


class LeverageDisplay:
    """Standardised residuals against robust distances, with the corners named.

    At the left are rows that lie amid the others in X, at the right those that lie far
    out; in the middle band those that follow the others. (P. J. Rousseeuw and
    B. C. van Zomeren, "Unmasking multivariate outliers and leverage points", Journal of
    the American Statistical Association 85, 1990.)

    Parameters
    ----------
    distance, residual : array-like of shape (n_samples,)
        Robust distances, and residuals in units of their standard deviation.
    distance_cutoff, residual_cutoff : float
        Beyond which a row is far, and an outlier.
    labels : list, default=None
        One for each row, written beside those that are bad leverage. None: its number.

    Attributes
    ----------
    points_ : dict of str to matplotlib PathCollection
        The rows of each corner that has any.
    annotations_ : list of matplotlib Annotation
    ax_, figure_ : matplotlib Axes and Figure
        What was drawn on.

    Raises
    ------
    TypeError, ValueError
        For arguments that are not as described.

    Examples
    --------
    >>> from skhuber.inspection import LeverageDisplay
    >>> display = LeverageDisplay(
    ...     distance=[1.0, 5.0],
    ...     residual=[0.5, 9.0],
    ...     distance_cutoff=3.0,
    ...     residual_cutoff=2.2,
    ... ).plot()
    >>> list(display.points_)
    ['regular', 'bad leverage']
    """

    def __init__(
        self,
        *,
        distance: ArrayLike,
        residual: ArrayLike,
        distance_cutoff: float,
        residual_cutoff: float,
        labels: Sequence[Any] | None = None,
    ) -> None:
        self.distance = _checks.numbers("distance", distance)
        self.residual = _checks.numbers("residual", residual)
        _checks.same_length("samples", distance=self.distance, residual=self.residual)
        self.distance_cutoff = check_real("distance_cutoff", distance_cutoff, above=0)
        self.residual_cutoff = check_real("residual_cutoff", residual_cutoff, above=0)
        self.labels = _checks.labels("labels", labels, len(self.distance), "sample")

    def plot(
        self,
        ax: Any = None,
        *,
        n_labels: int = 15,
        scatter_kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None: those of a new figure.
        n_labels : int, default=15
            The most rows of bad leverage to label, the farthest.
        scatter_kwargs : dict, default=None
            More keywords for matplotlib's ``scatter``.

        Returns
        -------
        self : LeverageDisplay

        Raises
        ------
        ImportError
            Without matplotlib.
        TypeError, ValueError
            For arguments that are not as described.
        """
        n_labels = check_count("n_labels", n_labels, least=0)
        ax, given = _axes.prepare(self, ax, "scatter_kwargs", scatter_kwargs)
        self.ax_, self.figure_ = ax, ax.figure
        far = self.distance > self.distance_cutoff
        outlying = np.abs(self.residual) > self.residual_cutoff
        which = {
            "regular": ~far & ~outlying,
            "vertical outlier": ~far & outlying,
            "good leverage": far & ~outlying,
            "bad leverage": far & outlying,
        }
        self.points_ = {}
        for name, rows in which.items():
            if rows.any():
                style = {"s": 22, "label": name, "zorder": 3}
                if not _axes.sets_colour(given):
                    style["c"] = _CORNERS[name]
                self.points_[name] = ax.scatter(
                    self.distance[rows], self.residual[rows], **style | given
                )
        look = {"color": _axes.QUIET, "linestyle": "--", "linewidth": 0.9, "zorder": 1}
        ax.axvline(self.distance_cutoff, **look)
        for sign in (1, -1):
            ax.axhline(sign * self.residual_cutoff, **look)
        ax.set_xlim(left=0.0)
        ax.set_xlabel("robust distance in X")
        ax.set_ylabel("standardised residual")
        ax.legend(**_axes.BESIDE)
        bad = np.flatnonzero(which["bad leverage"])
        bad = bad[np.argsort(-self.distance[bad], kind="stable")[:n_labels]]
        self.annotations_ = _axes.annotate(
            ax, self.distance, self.residual, bad, self.labels
        )
        return self

    @classmethod
    def from_report(
        cls,
        report: Any,
        *,
        labels: Sequence[Any] | None = None,
        n_labels: int = 15,
        ax: Any = None,
        scatter_kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw a leverage report.

        Parameters
        ----------
        report : LeverageReport
            With robust distances.
        labels : list, default=None
            One for each row. None: its number.
        n_labels : int, default=15
            The most rows of bad leverage to label, the farthest.
        ax : matplotlib Axes, default=None
            Axes to draw on. None: those of a new figure.
        scatter_kwargs : dict, default=None
            More keywords for matplotlib's ``scatter``.

        Returns
        -------
        display : LeverageDisplay

        Raises
        ------
        ImportError
            Without matplotlib.
        TypeError, ValueError
            For arguments that are not as described, and for a report that has no
            robust distances.
        """
        _axes.import_pyplot(cls, "from_report")
        _report(report)
        if np.isnan(report.robust_distance).any():
            raise ValueError(
                f"report must have robust distances, and has none. {report.note}"
            )
        return cls(
            distance=report.robust_distance,
            residual=report.clean_residual,
            distance_cutoff=report.distance_cutoff,
            residual_cutoff=report.residual_cutoff,
            labels=labels,
        ).plot(ax, n_labels=n_labels, scatter_kwargs=scatter_kwargs)


class InfluenceDisplay:
    """How much each row moves the fit: Cook-type distances, row by row.

    Parameters
    ----------
    cook : array-like of shape (n_samples,)
        Cook-type distances.
    labels : list, default=None
        One for each row, written beside the largest. None: its number.

    Attributes
    ----------
    points_ : matplotlib Line2D
        The tops.
    stems_ : matplotlib LineCollection
    annotations_ : list of matplotlib Annotation
    ax_, figure_ : matplotlib Axes and Figure
        What was drawn on.

    Raises
    ------
    TypeError, ValueError
        For arguments that are not as described.

    Examples
    --------
    >>> from skhuber.inspection import InfluenceDisplay
    >>> display = InfluenceDisplay(cook=[0.1, 0.9, 0.2]).plot(n_labels=1)
    >>> [text.get_text() for text in display.annotations_]
    ['1']
    """

    def __init__(self, *, cook: ArrayLike, labels: Sequence[Any] | None = None) -> None:
        self.cook: Array = _checks.numbers("cook", cook)
        _checks.refuse_any("cook", self.cook, self.cook < 0, ">= 0")
        self.labels = _checks.labels("labels", labels, len(self.cook), "sample")

    def plot(
        self,
        ax: Any = None,
        *,
        n_labels: int = 5,
        line_kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None: those of a new figure.
        n_labels : int, default=5
            How many of the largest to label.
        line_kwargs : dict, default=None
            More keywords for matplotlib's ``plot`` of the tops.

        Returns
        -------
        self : InfluenceDisplay

        Raises
        ------
        ImportError
            Without matplotlib.
        TypeError, ValueError
            For arguments that are not as described.
        """
        n_labels = check_count("n_labels", n_labels, least=0)
        ax, given = _axes.prepare(self, ax, "line_kwargs", line_kwargs)
        self.ax_, self.figure_ = ax, ax.figure
        places = np.arange(len(self.cook), dtype=np.float64)
        colour = _axes.COLOURS[0]
        self.stems_ = ax.vlines(places, 0.0, self.cook, color=colour, linewidth=0.8)
        style = {"color": colour, "marker": ".", "linestyle": "none"}
        (self.points_,) = ax.plot(places, self.cook, **style | given)
        ax.set_ylim(bottom=0.0)
        ax.set_xlabel("row")
        ax.set_ylabel("Cook-type distance")
        largest = np.argsort(-self.cook, kind="stable")[:n_labels]
        self.annotations_ = _axes.annotate(ax, places, self.cook, largest, self.labels)
        return self

    @classmethod
    def from_report(
        cls,
        report: Any,
        *,
        labels: Sequence[Any] | None = None,
        n_labels: int = 5,
        ax: Any = None,
        line_kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the influence of a leverage report.

        Parameters
        ----------
        report : LeverageReport
        labels : list, default=None
            One for each row. None: its number.
        n_labels : int, default=5
            How many of the largest to label.
        ax : matplotlib Axes, default=None
            Axes to draw on. None: those of a new figure.
        line_kwargs : dict, default=None
            More keywords for matplotlib's ``plot`` of the tops.

        Returns
        -------
        display : InfluenceDisplay

        Raises
        ------
        ImportError
            Without matplotlib.
        TypeError, ValueError
            For arguments that are not as described.
        """
        _axes.import_pyplot(cls, "from_report")
        _report(report)
        return cls(cook=report.cook, labels=labels).plot(
            ax, n_labels=n_labels, line_kwargs=line_kwargs
        )


def _report(report: Any) -> None:
    if not hasattr(report, "robust_distance"):
        raise TypeError(f"report must be a LeverageReport, got {report!r}.")
