"""Drawing helpers of the displays: axes, the scale of rho, labels beside points."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skhuber._common.validation import naming
from skhuber.inspection._checks import Array

# Okabe and Ito's colours, which colour-blind readers can distinguish, without the
# yellow, which is too pale for a line on white.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"]
# The grey of auxiliary lines.
QUIET = "0.35"
# The greatest number of features for which a legend names each one.
MOST_NAMED = 10
# Keywords of a legend at the right of the axes, outside the lines.
BESIDE = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "frameon": False}


def import_pyplot(display: type, method: str) -> Any:
    """Return matplotlib.pyplot, or raise an error that says how to install it."""
    try:
        import matplotlib.pyplot as pyplot
    except ImportError as error:
        raise ImportError(
            f"{display.__name__}.{method} needs matplotlib, which cannot be imported. "
            "Install it with: pip install matplotlib"
        ) from error
    return pyplot


# Marks a label that is shown as it is. It takes no space.
_MARK = "\u200b"


def literal(name: object) -> str:
    """Return a name from data as a label that matplotlib shows as it is.

    Two dollar signs would start and end a formula, and what begins with an underscore
    is left out of legends: so dollar signs are escaped, and a space of no width comes
    first. In a legend of the display's own (`draw_legend`) both are taken back.
    """
    text = str(name)
    if not text.startswith("_") and "$" not in text:
        return text
    return _MARK + text.replace("$", r"\$")


def label_of(j: int, names: Sequence[Any] | None) -> str:
    """Return the label of feature j; its name is shown as it is."""
    return literal(f"feature {j}" if names is None else names[j])


def draw_legend(ax: Any, **keywords: Any) -> None:
    """Draw a legend in which names made by `literal` are as they were."""
    for text in ax.legend(**keywords).get_texts():
        label = text.get_text()
        if label.startswith(_MARK):
            text.set_text(label[len(_MARK) :].replace(r"\$", "$"))
            text.set_parse_math(False)


def prepare(
    display: Any, ax: Any, name: str, given: Any, figsize: Any = None
) -> tuple[Any, dict[str, Any]]:
    """Return the axes to draw on and the keywords `given`, under their long names.

    Long names make the keywords replace the display's own. If `ax` is None, the axes
    are those of a new figure.
    """
    pyplot = import_pyplot(type(display), "plot")
    from matplotlib.axes import Axes
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.collections import PathCollection
    from matplotlib.lines import Line2D

    if given is not None and not isinstance(given, Mapping):
        raise TypeError(f"{name} must be None or a dict of keywords, got {given!r}.")
    artist = PathCollection if name == "scatter_kwargs" else Line2D
    with naming(name):
        keywords = normalize_kwargs(dict(given or {}), artist)
    if ax is None:
        _, ax = pyplot.subplots(figsize=figsize, layout="constrained")
    elif not isinstance(ax, Axes):
        raise TypeError(f"ax must be None or matplotlib Axes, got {ax!r}.")
    return ax, keywords


def sets_colour(given: Mapping[str, Any]) -> bool:
    """Return whether keywords of `prepare` set the colour of a scatter's points."""
    return not {"c", "color", "facecolor"}.isdisjoint(given)


def three_axes_in(ax: Any, room_at_right: bool) -> NDArray[np.object_]:
    """Return three axes with a shared x axis that replace `ax`; hide `ax`."""
    figure = ax.figure
    # A layout engine makes room for a legend at the right; without one, an empty column
    # does.
    columns = 2 if room_at_right and figure.get_layout_engine() is None else 1
    sizes = {"height_ratios": [2, 1, 1], "width_ratios": [1.0, 0.28][:columns]}
    place = ax.get_subplotspec()
    if place is not None:
        grid = place.subgridspec(3, columns, hspace=0.12, **sizes)
    else:
        box = ax.get_position()
        edges = {"left": box.x0, "right": box.x1, "bottom": box.y0, "top": box.y1}
        grid = figure.add_gridspec(3, columns, hspace=0.12, **edges, **sizes)
    ax.set_axis_off()
    axes = np.empty(3, dtype=object)
    for i in range(3):
        axes[i] = figure.add_subplot(grid[i, 0], sharex=axes[0])
        axes[i].tick_params(labelbottom=i == 2)
    return axes


def number(value: Any) -> str:
    """Return a number with four digits, "∞" for infinity, and any other value's str."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        return str(value)
    # Round before formatting, for "10000" instead of "1e+04".
    return "∞" if float(value) == math.inf else f"{float(f'{value:.4g}'):g}"


class RhoScale:
    """A logarithmic axis of rho, with a place for infinity at its right end."""

    def __init__(self, rhos: Array, marked: float | None) -> None:
        shown = rhos if marked is None else np.append(rhos, marked)
        finite = shown[np.isfinite(shown)]
        self._infinity = 1.5 * finite.max() if finite.size else 1.0
        self._least = finite.min() if finite.size else 1.0
        self._ticks = [(tick, number(tick)) for tick in round_numbers(finite)]
        if finite.size < shown.size:
            self._ticks.append((self._infinity, "∞"))

    def places(self, rhos: ArrayLike) -> Array:
        """Return the positions of the rhos on the axis."""
        return np.where(np.isinf(rhos), self._infinity, rhos)

    def mark(self, ax: Any, rho: float, words: str, colour: str) -> Any:
        """Draw a vertical line at `rho` and return it."""
        look = {"color": colour, "linestyle": "--", "linewidth": 1.0, "zorder": 1}
        label = f"{words}rho = {number(rho)}"
        return ax.axvline(float(self.places(rho)), label=label, **look)

    def apply(self, ax: Any) -> None:
        """Make the x axis of `ax` logarithmic, with tick labels that do not touch."""
        last = self._ticks[-1][0]
        span = last / self._least
        ax.set_xscale("log")
        if span == 1.0:
            # matplotlib finds no limits for a logarithmic axis with a single place.
            ax.set_xlim(last / 2, last * 2)
        ax.set_xticks(*apart(self._ticks, span, ax))
        ax.set_xticks([], minor=True)
        ax.set_xlabel("rho (threshold in units of the scale)")


def round_numbers(values: Array) -> list[float]:
    """Return round numbers in the range of values > 0, at least four if possible."""
    if not values.size:
        return []
    low, high = float(values.min()), float(values.max())
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for mantissas in ([1], [1, 3], [1, 2, 5], [1, 1.2, 1.5, 2, 3, 5, 7]):
        ticks = [float(f"{m}e{e}") for e in exponents for m in mantissas]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= 4:
            break
    return ticks if len(ticks) >= 2 else sorted({low, high})


def apart(
    ticks: Sequence[tuple[float, str]], span: float, ax: Any, gap: float = 5.0
) -> tuple[list[float], list[str]]:
    """Return places and labels of ticks of a logarithmic axis that do not touch.

    The ticks are in rising order; the last one is kept. `span` is the ratio of the
    greatest place on the axis and the least, `gap` the space between labels in points.
    """
    *others, (last, label) = ticks
    places, labels = [last], [label]
    # The width of the axes in points. A layout engine may take a quarter of it.
    width = 0.75 * ax.bbox.width * 72.0 / ax.figure.dpi
    for place, label in reversed(others):
        # The distance between two labels: a character of a 10-point font is about 6.2
        # points wide.
        points = 6.2 * (len(label) + len(labels[0])) / 2 + gap
        if place * span ** (points / width) <= places[0]:
            places.insert(0, place)
            labels.insert(0, label)
    return places, labels


def look_of_line(k: int) -> dict[str, str]:
    """Return colour and style of line k; those that share a colour differ in style."""
    n_colours = len(COLOURS)
    style = ["-", "--", ":"][k // n_colours % 3]
    return {"color": COLOURS[k % n_colours], "linestyle": style}


def annotate(
    ax: Any, x: Array, y: Array, rows: NDArray[np.intp], names: Sequence[Any] | None
) -> list[Any]:
    """Write the names of some rows beside their points; without names, their numbers.

    Each name stands where it meets no other one and no point of these rows. It comes
    from data, and is shown as it is.
    """
    labels = [str(i if names is None else names[i]) for i in rows]
    x, y = x[rows], y[rows]
    ax.get_xlim(), ax.get_ylim()  # settles the limits, which transData depends on
    to_points = 72.0 / ax.figure.dpi
    centres = ax.transData.transform(np.column_stack([x, y])) * to_points
    middle = (ax.bbox.x0 + ax.bbox.x1) / 2 * to_points
    low, high = centres - 4.0, centres + 4.0  # corners of the occupied boxes
    annotations = []
    for i, label in enumerate(labels):
        size = np.array([5.0 * len(label), 9.0])  # points, for text of 8 points
        # Try the side towards the middle first, to keep labels within the axes.
        sides = (1, -1) if centres[i, 0] < middle else (-1, 1)
        shifts = [(s, dy) for dy in (0, 10, -10, 20, -20, 30, -30) for s in sides]
        for side, dy in [*shifts, shifts[0]]:  # the first again if none is free
            start = 6.0 if side > 0 else -6.0 - size[0]
            corner = centres[i] + (start, dy - size[1] / 2)
            if not np.all((corner < high) & (low < corner + size), axis=1).any():
                break
        low, high = np.vstack([low, corner]), np.vstack([high, corner + size])
        line = {"arrowstyle": "-", "color": QUIET, "linewidth": 0.5}
        annotations.append(
            ax.annotate(
                label,
                (x[i], y[i]),
                xytext=(6 * side, dy),
                textcoords="offset points",
                ha="left" if side > 0 else "right",
                va="center",
                fontsize=8,
                parse_math=False,
                arrowprops=line if dy else None,
            )
        )
    return annotations
