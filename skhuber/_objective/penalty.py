"""The penalty and the bounds of coefficients, in the units of the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skhuber._sums import Columns, Floats


@dataclass(frozen=True)
class Penalty:
    """Σ l1_j |w_j| + Σ l2_j w_j² within lower ≤ w ≤ upper, added to a sum over rows.

    Attributes
    ----------
    l2, l1 : ndarray of shape (p,) or float
        At least 0.
    lower, upper : ndarray of shape (p,) or float
        Infinite where there is no bound.
    """

    l2: Floats | float = 0.0
    l1: Floats | float = 0.0
    lower: Floats | float = -np.inf
    upper: Floats | float = np.inf

    @property
    def is_smooth(self) -> bool:
        """True without absolute values and bounds."""
        return not (
            np.any(self.l1)
            or np.isfinite(self.lower).any()
            or np.isfinite(self.upper).any()
        )

    def of_columns(self, columns: Columns) -> Penalty:
        """Return the penalty of some columns."""
        return Penalty(
            *(
                value if np.ndim(value) == 0 else np.asarray(value)[columns]
                for value in (self.l2, self.l1, self.lower, self.upper)
            )
        )
