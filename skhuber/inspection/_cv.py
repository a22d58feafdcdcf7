"""Display of cross-validated scores against rho."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from skhuber._common.validation import check_choice, check_real
from skhuber.inspection import _axes, _checks

_SEARCH = (
    "a fitted HuberRegressorCV, a pipeline that ends in one, or a fitted search with "
    "one metric, with the attribute cv_results_"
)
_CAPTIONS = {
    "standard_error": "mean ± standard error",
    "standard_deviation": "mean ± standard deviation",
}


class CVRhoDisplay:
    """Cross-validated score against rho, with the chosen rho marked.

    There is one line for each `alpha`, or for each combination of the other parameters
    that the search varied. Candidates with a `rho` that is not a number are left out.
    An infinite `rho` is drawn at the right edge, at 1.5 times the largest finite one,
    with "∞" below it. Create the display with :meth:`from_estimator`.

    Parameters
    ----------
    rhos : array-like of shape (n_candidates,)
        Thresholds in units of the scale, in any order; greater than 0.
    scores : array-like of shape (n_candidates,)
        Mean scores; greater is better. NaN and infinite ones are not drawn.
    errors : array-like of shape (n_candidates,), default=None
        Half-lengths of the error bars, in the unit of the score. None: no bars.
    lines : array-like of str of shape (n_candidates,), default=None
        Name of the line of each candidate, as in the legend. None: a single line.
    chosen_rho : float, default=None
        The chosen rho, to be marked by a vertical line. None: no line.
    chosen_score : float, default=None
        The score at `chosen_rho`, to be marked by a point. None: no point.
    caption : str, default=None
        Title of the legend, which describes the points and bars. None: no title.

    Attributes
    ----------
    errorbars_ : list of matplotlib ErrorbarContainer
        The lines and their error bars.
    chosen_line_ : matplotlib Line2D or None
        The vertical line at the chosen rho.
    chosen_point_ : matplotlib Line2D or None
        The point at the chosen rho and its score.
    ax_, figure_ : matplotlib Axes and Figure
        The axes and the figure of the plot.

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
        self.rhos = _checks.rhos(rhos)
        self.scores = _checks.numbers("scores", scores, finite=False)
        _checks.same_length("values", rhos=self.rhos, scores=self.scores)
        self.errors = None
        if errors is not None:
            self.errors = _checks.numbers("errors", errors, finite="allow-nan")
            _checks.same_length("values", rhos=self.rhos, errors=self.errors)
            _checks.refuse_any("errors", self.errors, self.errors < 0, ">= 0")
        self.lines = _checks.labels("lines", lines, len(self.rhos), "candidate")
        self.chosen_rho = _checks.mark("chosen_rho", chosen_rho)
        self.chosen_score = None
        if chosen_score is not None:
            self.chosen_score = check_real(
                "chosen_score", chosen_score, allowed="None or a finite number"
            )
        self.caption = _checks.text("caption", caption)

    def plot(
        self, ax: Any = None, *, errorbar_kwargs: Mapping[str, Any] | None = None
    ) -> Self:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None: the axes of a new figure.
        errorbar_kwargs : dict, default=None
            Additional keywords of matplotlib's ``errorbar``.

        Returns
        -------
        self : CVRhoDisplay
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
        >>> from skhuber.inspection import CVRhoDisplay
        >>> axes = Figure().subplots()
        >>> CVRhoDisplay(rhos=[1.1, 1.35], scores=[-0.6, -0.5]).plot(axes).ax_ is axes
        True
        """
        ax, given = _axes.prepare(self, ax, "errorbar_kwargs", errorbar_kwargs)
        self.ax_, self.figure_ = ax, ax.figure
        scale = _axes.RhoScale(self.rhos, self.chosen_rho)
        self.errorbars_ = self._draw_scores(ax, scale, given)
        self._mark_chosen(ax, scale)
        chosen = self.chosen_point_ or self.chosen_line_
        scale.apply(ax)
        ax.set_ylabel("score (greater is better)")
        # A layout engine makes room for a legend beside the axes.
        beside = self.figure_.get_layout_engine() is not None
        _axes.draw_legend(
            ax,
            handles=[*self.errorbars_, *([chosen] if chosen else [])],
            title=self.caption,
            fontsize="small",
            title_fontsize="small",
            **(_axes.BESIDE if beside else {"loc": "best"}),
        )
        return self

    def _draw_scores(
        self, ax: Any, scale: _axes.RhoScale, given: dict[str, Any]
    ) -> list[Any]:
        """Draw each line of scores with its error bars, and return these."""
        from matplotlib import colormaps

        order = np.argsort(self.rhos, kind="stable")
        lines = ["mean score"] * len(order) if self.lines is None else self.lines
        names = [_axes.literal(line) for line in lines]
        # (Of infinite ones matplotlib would make axes without limits.)
        scores = np.where(np.isfinite(self.scores), self.scores, np.nan)
        different = list(dict.fromkeys(names))
        # From dark to light, without the palest end, in the order of the search.
        shades = colormaps["viridis"](np.linspace(0.0, 0.85, len(different)))
        sizes = {"markersize": 4, "linewidth": 1.3, "elinewidth": 0.9, "capsize": 2.5}
        drawn = []
        for k, name in enumerate(different):
            mine = [i for i in order if names[i] == name]
            look = {"color": shades[k], "marker": "osD^v"[k % 5], "label": name}
            bars = ax.errorbar(
                scale.places(self.rhos[mine]),
                scores[mine],
                yerr=None if self.errors is None else self.errors[mine],
                **sizes | look | given,
            )
            drawn.append(bars)
        return drawn

    def _mark_chosen(self, ax: Any, scale: _axes.RhoScale) -> None:
        """Mark the chosen rho and its score."""
        self.chosen_line_ = self.chosen_point_ = None
        if self.chosen_rho is not None:
            colour = _axes.COLOURS[1]
            line = scale.mark(ax, self.chosen_rho, "chosen: ", colour)
            self.chosen_line_ = line
            if self.chosen_score is not None:
                (x, _), label = line.get_xdata(), line.get_label()
                (self.chosen_point_,) = ax.plot(
                    x, self.chosen_score, "o", color=colour, label=label, zorder=4
                )
                self.chosen_point_.set(mfc="none", markersize=11.0, mew=1.8)

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
            What the error bars show: the standard deviation of the folds (that of
            `cv_results_`, by the number n of folds), or the standard error of their
            mean, which is the former over √(n − 1). None: no bars. Candidates share
            their folds, so the bars do not tell whether one is better than another:
            for that compare the scores fold by fold.
        ax : matplotlib Axes, default=None
            Axes to draw on. None: the axes of a new figure.
        errorbar_kwargs : dict, default=None
            Additional keywords of matplotlib's ``errorbar``.

        Returns
        -------
        display : CVRhoDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        NotFittedError
            If the estimator is not fitted.
        TypeError, ValueError
            For arguments that are not as described, or if no candidate's rho is a
            number.

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
        _axes.import_pyplot(cls, "from_estimator")
        if std is not None:
            check_choice("std", std, list(_CAPTIONS))
        search = _checks.fitted_last_step(estimator, _SEARCH, "cv_results_")
        results = search.cv_results_
        if not {"params", "mean_test_score", "std_test_score"} <= set(results):
            raise TypeError(f"estimator must be {_SEARCH}, got {estimator!r}.")
        rhos, lines = _rhos_and_lines(results["params"])
        numeric = [i for i, rho in enumerate(rhos) if _checks.is_positive_number(rho)]
        if not numeric:
            raise ValueError(
                "estimator must have searched over at least one rho that is a number "
                f"> 0, got {', '.join(map(repr, rhos))}."
            )

        scores = np.asarray(results["mean_test_score"], dtype=np.float64)
        errors = np.asarray(results["std_test_score"], dtype=np.float64)[numeric]
        if std == "standard_error":
            # Deviations of n folds from their own mean have n − 1 degrees of freedom;
            # `std_test_score` divides by n. Of one fold no error is known.
            free = search.n_splits_ - 1
            errors = errors / math.sqrt(free) if free else np.full_like(errors, np.nan)
        chosen_rho = chosen_score = None
        best = getattr(search, "best_index_", None)
        if best is not None:
            # rho_ is a number even if the best candidate's rho is not.
            last = _checks.last_step(getattr(search, "best_estimator_", None))
            known = [getattr(owner, "rho_", rhos[best]) for owner in (search, last)]
            chosen_rho = next(filter(_checks.is_positive_number, known), None)
            chosen_score = float(scores[best]) if math.isfinite(scores[best]) else None
        display = cls(
            rhos=[float(rhos[i]) for i in numeric],
            scores=scores[numeric],
            errors=None if std is None else errors,
            lines=None if lines is None else [lines[i] for i in numeric],
            chosen_rho=chosen_rho,
            chosen_score=chosen_score,
            caption=None if std is None else _CAPTIONS[std],
        )
        return display.plot(ax, errorbar_kwargs=errorbar_kwargs)


def _rhos_and_lines(
    candidates: Sequence[Mapping[str, Any]],
) -> tuple[list[Any], list[str] | None]:
    """Return each candidate's rho and the name of its line.

    The name lists the other parameters that differ among the candidates; the names are
    None if there is no such parameter.
    """
    parameters = list(dict.fromkeys(name for given in candidates for name in given))
    rho_names = [name for name in parameters if name.split("__")[-1] == "rho"]
    if len(rho_names) != 1:
        raise ValueError(
            "estimator must have searched over one parameter rho or <step>__rho, got "
            f"a search over {', '.join(parameters) or 'no parameter'}."
        )
    rhos = [given.get(rho_names[0]) for given in candidates]

    varied = {}
    for name in parameters:
        values = [given.get(name, "-") for given in candidates]
        exact = [str(value) for value in values]
        short = [_axes.number(value) for value in values]
        if name != rho_names[0] and len(set(exact)) > 1:
            # Values that are equal after rounding would share a line.
            varied[name] = short if len(set(short)) == len(set(exact)) else exact
    words = [name.split("__")[-1] for name in varied]
    if len(set(words)) < len(words):
        words = list(varied)
    lines = [
        ", ".join(f"{word} = {value}" for word, value in zip(words, row, strict=True))
        for row in zip(*varied.values(), strict=True)
    ]
    return rhos, lines or None
