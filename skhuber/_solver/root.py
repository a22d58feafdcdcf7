"""The root of a function of one variable that an iteration approaches."""

from __future__ import annotations

import numpy as np

# Two changes are equal if their ratio differs from one by no more than this.
_EQUAL = 0.01


class RootSearch:
    """A search for the fixed point of an iteration, by extrapolation and regula falsi.

    Two changes of one sign in a row are extrapolated, by at most three times the last
    one; two signs enclose the zero, and regula falsi (the Illinois variant) closes in.
    Changes that stay equal are those of a number (a logarithm) far from its fixed
    point: each step is then three times the change. (Steps that grew from one to the
    next would lead far beyond it.)
    """

    def __init__(self) -> None:
        self._ends: dict[bool, tuple[float, float]] = {}  # rising? → place, change
        self._last: tuple[float, float] | None = None

    def forget_bracket(self) -> None:
        """Forget which places enclose the zero: from here on changes are more exact.

        One of the wrong sign would be an end of the bracket for good.
        """
        self._ends.clear()

    def next(self, place: float, change: float) -> float:
        """Return the next place to try."""
        rising = bool(change > 0)
        last, self._last = self._last, (place, change)
        self._ends[rising] = (place, change)
        if len(self._ends) == 2:
            if last is not None and (last[1] > 0) == rising:
                # The same end moved twice: the weight of the other one is halved.
                other, other_change = self._ends[not rising]
                self._ends[not rising] = (other, other_change / 2)
            (low, d_low), (high, d_high) = self._ends[True], self._ends[False]
            return low + (high - low) * d_low / (d_low - d_high)
        step = change
        if last is not None and abs(change / last[1] - 1) <= _EQUAL:
            step = 3 * change
        elif last is not None and 0 < change / last[1] < 1:
            newton = change * (place - last[0]) / (last[1] - change)
            step = np.sign(change) * min(abs(newton), 3 * abs(change))
        return place + step
