"""Display of coefficients along a path of elastic nets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from skhuber._estimators.net_path import HuberNetPath, huber_enet_path
from skhuber.inspection import _axes, _checks

_NET = (
    "a HuberElasticNet, a fitted HuberElasticNetCV, or a pipeline that ends in one of "
    "them"
)
# The estimator's parameters that a path takes over.
_PARAMETERS = (
    "scale",
    "standardize",
    "fit_intercept",
    "bounds",
    "positive",
    "max_iter",
    "tol",
    "n_jobs",
)
# Those of a HuberElasticNetCV that say which alphas a path has.
_SEQUENCE = ("alphas", "n_alphas", "eps")
# Space between two counts of coefficients, in points: a third of an inch.
_GAP = 24.0


class HuberNetPathDisplay:
    """Coefficients of elastic nets against alpha, with counts of nonzeros above.

    Lines are drawn of the features that are in the model at some alpha. If an alpha is
    marked, the features in the model there have colours, and the others are grey. An
    alpha of zero has no place on the logarithmic axis.

    Create the display with :meth:`from_path` or :meth:`from_estimator`.

    Parameters
    ----------
    alphas : array-like of shape (n_alphas,)
        Weights of the penalty, in any order; greater than 0.
    coefs : array-like of shape (n_alphas, n_features)
        Coefficients at each alpha, in units of the target over units of the feature.
    feature_names : array-like of str of shape (n_features,), default=None
        Names of the features. None: "feature 0" and so on.
    alpha : float, default=None
        The alpha to mark by a vertical line; greater than 0. None: no line.

    Attributes
    ----------
    features_ : ndarray of int of shape (n_lines,)
        The features that have a line: those whose coefficient is not always zero.
    coef_lines_ : list of matplotlib Line2D
        The lines of `features_`. The legend names those in colour, if there are at
        most 10.
    alpha_line_ : matplotlib Line2D or None
        The vertical line at `alpha`.
    count_ax_ : matplotlib SecondaryAxis
        The axis above, with numbers of coefficients that are not zero.
    ax_, figure_ : matplotlib Axes and Figure
        The axes and the figure of the plot.

    Raises
    ------
    TypeError, ValueError
        For arguments that are not as described.

    See Also
    --------
    skhuber.huber_enet_path : Compute a path of elastic nets.
    HuberPathDisplay : Coefficients against rho.

    Examples
    --------
    >>> from skhuber.inspection import HuberNetPathDisplay
    >>> display = HuberNetPathDisplay(
    ...     alphas=[1.0, 0.3, 0.1],
    ...     coefs=[[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 2.0, 0.5]],
    ...     feature_names=["age", "area", "distance"],
    ...     alpha=0.3,
    ... ).plot()
    >>> display.features_
    array([1, 2])
    >>> [text.get_text() for text in display.ax_.get_legend().get_texts()]
    ['area', 'alpha = 0.3']
    """

    def __init__(
        self,
        *,
        alphas: ArrayLike,
        coefs: ArrayLike,
        feature_names: ArrayLike | None = None,
        alpha: float | None = None,
    ) -> None:
        self.alphas = _checks.numbers("alphas", alphas)
        _checks.refuse_any("alphas", self.alphas, self.alphas <= 0, "> 0")
        self.coefs = _checks.numbers("coefs", coefs, dimensions=2)
        _checks.same_length("values", alphas=self.alphas, coefs=self.coefs)
        self.feature_names = _checks.labels(
            "feature_names", feature_names, self.coefs.shape[1], "feature"
        )
        self.alpha = _checks.mark("alpha", alpha)

    def plot(
        self, ax: Any = None, *, line_kwargs: Mapping[str, Any] | None = None
    ) -> Self:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None: the axes of a new figure.
        line_kwargs : dict, default=None
            Additional keywords of matplotlib's ``plot``, for the lines of coefficients.

        Returns
        -------
        self : HuberNetPathDisplay
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
        >>> from skhuber.inspection import HuberNetPathDisplay
        >>> axes = Figure().subplots()
        >>> display = HuberNetPathDisplay(alphas=[2.0, 1.0], coefs=[[0.0], [3.0]])
        >>> display.plot(axes).ax_ is axes
        True
        """
        ax, given = _axes.prepare(self, ax, "line_kwargs", line_kwargs)
        self.ax_, self.figure_ = ax, ax.figure
        order = np.argsort(self.alphas, kind="stable")
        x = self.alphas[order]
        self.features_ = np.flatnonzero(np.any(self.coefs != 0, axis=0))
        coloured = self._coloured()
        named = 0 < len(coloured) <= _axes.MOST_NAMED

        ax.set_xscale("log")
        ax.axhline(0.0, color="0.7", linewidth=0.8, zorder=1)
        style = {"marker": "o", "markersize": 1.5, "linewidth": 1.3}
        self.coef_lines_ = []
        for j in self.features_.tolist():
            look: dict[str, Any] = {"color": "0.8", "zorder": 1.5}
            if j in coloured:
                look = {**_axes.look_of_line(coloured.index(j))}
                if named:
                    look["label"] = _axes.label_of(j, self.feature_names)
            (line,) = ax.plot(x, self.coefs[order, j], **style | look | given)
            self.coef_lines_.append(line)
        self.alpha_line_ = None
        if self.alpha is not None:
            self.alpha_line_ = ax.axvline(
                self.alpha,
                label=f"alpha = {_axes.number(self.alpha)}",
                color=_axes.QUIET,
                linestyle="--",
                linewidth=1.0,
            )
        self._draw_ticks(ax)
        ax.set_xlabel("alpha (weight of the penalty)")
        ax.set_ylabel("coefficient (target / feature)")
        if named or self.alpha is not None:
            # A layout engine makes room for a legend beside the axes.
            beside = named and self.figure_.get_layout_engine() is not None
            place: dict[str, Any] = _axes.BESIDE if beside else {"loc": "best"}
            _axes.draw_legend(ax, fontsize="small", **place)
        return self

    def _coloured(self) -> list[int]:
        """Return the features in the model at the marked alpha; all without a mark."""
        if self.alpha is None:
            return [int(j) for j in self.features_]
        nearest = np.argmin(np.abs(np.log(self.alphas / self.alpha)))
        return [int(j) for j in np.flatnonzero(self.coefs[nearest])]

    def _draw_ticks(self, ax: Any) -> None:
        """Draw ticks of alpha, and above the axes the numbers of nonzeros."""
        shown = (
            self.alphas if self.alpha is None else np.append(self.alphas, self.alpha)
        )
        span = shown.max() / shown.min()
        if span == 1.0:
            # matplotlib finds no limits for a logarithmic axis with a single place.
            ax.set_xlim(shown[0] / 2, shown[0] * 2)
        ticks = [(tick, _axes.number(tick)) for tick in _axes.round_numbers(shown)]
        ax.set_xticks(*_axes.apart(ticks, span, ax))
        ax.set_xticks([], minor=True)
        alphas, index = np.unique(self.alphas, return_index=True)
        counts = np.count_nonzero(self.coefs[index], axis=1)
        ticks = list(zip(alphas, map(str, counts), strict=True))
        self.count_ax_ = ax.secondary_xaxis("top")
        self.count_ax_.set_xticks(*_axes.apart(ticks, span, ax, _GAP))
        self.count_ax_.set_xticks([], minor=True)
        self.count_ax_.set_xlabel("number of coefficients that are not zero")

    @classmethod
    def from_path(
        cls,
        path: HuberNetPath,
        *,
        feature_names: ArrayLike | None = None,
        alpha: float | None = None,
        ax: Any = None,
        line_kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw a path from :func:`skhuber.huber_enet_path`.

        Parameters
        ----------
        path : HuberNetPath
            Result of :func:`skhuber.huber_enet_path`. Fits with ``alpha=0`` are left
            out.
        feature_names : array-like of str of shape (n_features,), default=None
            Names of the features. None: "feature 0" and so on.
        alpha : float, default=None
            The alpha to mark by a vertical line; greater than 0. The features in the
            model at the path's nearest alpha have colours. None: no line, all colours.
        ax : matplotlib Axes, default=None
            Axes to draw on. None: the axes of a new figure.
        line_kwargs : dict, default=None
            Additional keywords of matplotlib's ``plot``, for the lines of coefficients.

        Returns
        -------
        display : HuberNetPathDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError, ValueError
            For arguments that are not as described, or without an alpha > 0.

        Examples
        --------
        >>> import numpy as np
        >>> from skhuber import huber_enet_path
        >>> from skhuber.inspection import HuberNetPathDisplay
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(200, 5))
        >>> y = X @ [2.0, 0.0, 0.0, 1.0, 0.0] + rng.standard_t(2, size=200)
        >>> path = huber_enet_path(X, y, n_alphas=20)
        >>> least = path.alphas[np.argmin(path.ebics)]
        >>> display = HuberNetPathDisplay.from_path(path, alpha=least)
        >>> [line.get_label() for line in display.coef_lines_ if line.get_zorder() == 2]
        ['feature 0', 'feature 3']
        """
        _axes.import_pyplot(cls, "from_path")
        if not all(hasattr(path, field) for field in ("alphas", "coefs", "ebics")):
            raise TypeError(
                "path must be a HuberNetPath, the result of huber_enet_path, got "
                f"{path!r}."
            )
        drawn = np.asarray(path.alphas) > 0
        if not drawn.any():
            raise ValueError("path must have an alpha > 0, got none.")
        display = cls(
            alphas=path.alphas[drawn],
            coefs=path.coefs[drawn],
            feature_names=feature_names,
            alpha=alpha,
        )
        return display.plot(ax, line_kwargs=line_kwargs)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike,
        *,
        alphas: Sequence[float] | None = None,
        sample_weight: ArrayLike | None = None,
        feature_names: ArrayLike | None = None,
        ax: Any = None,
        line_kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """Compute a path of alpha with an estimator's other parameters, and draw it.

        Parameters
        ----------
        estimator : estimator
            A HuberElasticNet, fitted or not, a fitted HuberElasticNetCV, or a fitted
            pipeline that ends in one of them, whose other steps transform X first. The
            path takes over its parameters, and of a HuberElasticNetCV the chosen rho
            and l1_ratio. The estimator's alpha, chosen or given, is marked by a
            vertical line if it is not zero.
        X : {array-like, sparse matrix, dataframe} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,)
            Target.
        alphas : sequence of float, default=None
            Weights of the penalty. None: those of a HuberElasticNetCV, or of
            :func:`~skhuber.huber_enet_path` by default, which need an l1_ratio > 0.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights. A weight of 2 counts the sample twice.
        feature_names : array-like of str of shape (n_features,), default=None
            Names of the features of the last step. None: the names of its input's
            columns if they have names, else "feature 0" and so on.
        ax : matplotlib Axes, default=None
            Axes to draw on. None: the axes of a new figure.
        line_kwargs : dict, default=None
            Additional keywords of matplotlib's ``plot``, for the lines of coefficients.

        Returns
        -------
        display : HuberNetPathDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        NotFittedError
            If a pipeline or a HuberElasticNetCV is not fitted.
        TypeError, ValueError
            For arguments that are not as described.

        Examples
        --------
        >>> import numpy as np
        >>> from skhuber import HuberElasticNet
        >>> from skhuber.inspection import HuberNetPathDisplay
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(100, 5))
        >>> y = X @ [2.0, 0.0, 0.0, 1.0, 0.0] + rng.standard_t(2, size=100)
        >>> model = HuberElasticNet(0.2)
        >>> display = HuberNetPathDisplay.from_estimator(model, X, y)
        >>> display.alpha
        0.2
        """
        _axes.import_pyplot(cls, "from_estimator")
        last = _checks.last_step(estimator)
        if not all(hasattr(last, name) for name in _PARAMETERS):
            raise TypeError(f"estimator must be {_NET}, got {estimator!r}.")
        taken: dict[str, Any] = {name: getattr(last, name) for name in _PARAMETERS}
        sequence = {
            name: getattr(last, name) for name in _SEQUENCE if hasattr(last, name)
        }
        if sequence:
            _checks.fitted_last_step(estimator, _NET, "alpha_")
            alpha = last.alpha_
            taken |= {"rho": last.rho_, "l1_ratio": last.l1_ratio_}
        else:
            alpha = last.alpha
            taken |= {"rho": last.rho, "l1_ratio": last.l1_ratio}
        taken |= sequence if alphas is None else {"alphas": alphas}
        X, names = _checks.input_of_last_step(estimator, X)
        path = huber_enet_path(X, y, sample_weight=sample_weight, **taken)
        return cls.from_path(
            path,
            feature_names=names if feature_names is None else feature_names,
            alpha=alpha if _checks.is_positive_number(alpha) else None,
            ax=ax,
            line_kwargs=line_kwargs,
        )
