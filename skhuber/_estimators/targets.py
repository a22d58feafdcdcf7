"""Models of several targets, as the columns of a two-dimensional y."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from skhuber._estimators.base import Data, HuberModel

if TYPE_CHECKING:
    from skhuber._fit import Fit, Settings, Start
    from skhuber._rows import RowSource


class TargetsMixin(HuberModel):
    """Starts, fitted attributes and warnings of fits with a two-dimensional y.

    Attributes of numbers then have an axis of targets, which is the first one of
    `coef_` and the last one of arrays with an axis of samples.
    """

    def __sklearn_tags__(self) -> Any:
        """State that y may have several columns."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _starts(self, data: Data) -> list[Start | None]:
        """Return the last model of each target to start from, or None for each."""
        from skhuber._fit import Start

        n_targets = data.y.shape[1]
        if not hasattr(self, "coef_"):
            return [None] * n_targets
        self._check_start(data.X.shape[1], n_targets)
        numbers = (
            np.atleast_2d(self.coef_),
            np.ravel(self.intercept_),
            np.ravel(self.scale_),
        )
        return [Start(*one) for one in zip(*numbers, strict=True)]

    def _take_targets(
        self,
        fits: Sequence[Fit],
        rhos: Sequence[float],
        data: Data,
        rows: Sequence[RowSource],
    ) -> None:
        """Set the fitted attributes."""
        from skhuber._fit import robust_weights

        shape = data.y.shape[::-1]
        weights = np.empty(shape, rows[0].dtype)
        outliers = np.empty(shape, np.bool_)
        for k, (one, fit) in enumerate(zip(rows, fits, strict=True)):
            weights[k], outliers[k] = robust_weights(one, fit, one.dtype)
        coef = np.array([fit.coef for fit in fits])
        self.intercept_ = np.array([fit.intercept for fit in fits])
        self.coef_ = data.like_X(coef, self.intercept_)
        self.scale_ = np.array([fit.scale for fit in fits])
        self.rho_ = np.array(rhos)
        self.n_iter_ = np.array([fit.n_iter for fit in fits])
        self.n_sweeps_ = sum(one.n_sweeps for one in rows)
        self.outliers_ = outliers.T
        self.robust_weights_ = weights.T
        self.objective_ = np.array([fit.objective for fit in fits])
        self.optimality_gap_ = np.array([fit.gap for fit in fits])

    def _targets_not_converged(
        self, fits: Sequence[Fit], settings: Settings
    ) -> str | None:
        """Return the text of a warning about fits that are not certified, or None."""
        return about_targets(
            [None if fit.converged else fit for fit in fits],
            lambda fit: self._not_converged(fit, settings),
        )

    def _report(self, fits: Sequence[Fit], unit: float = 1.0) -> None:
        """Print a line for each target; objectives are printed times a unit."""
        for k, fit in enumerate(fits):
            print(
                f"target {k}: objective {unit * fit.objective:.10g}, "
                f"scale {fit.scale:.6g}"
            )


def about_targets(found: Sequence[Any], text: Callable[[Any], str]) -> str | None:
    """Return the text of a warning about those of all targets that are not None.

    It is that of the first one, and says which target this is.
    """
    some = [k for k, one in enumerate(found) if one is not None]
    if not some:
        return None
    which = f"This is target {some[0]}"
    if len(some) > 1:
        which += f", the first of {len(some)} such targets"
    return f"{text(found[some[0]])} {which} (of {len(found)})."
