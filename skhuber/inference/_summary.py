"""A result as text, as HTML and as a frame."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from skhuber.inference._result import HuberInference

_COVARIANCES = {
    "sandwich": "one-step jackknife sandwich, holds under heteroscedastic noise",
    "H1": "H1: noise of one distribution, independent of X",
    "H2": "H2: noise of one distribution, independent of X",
    "H3": "H3: noise of one distribution, independent of X",
    "HC0": "HC0, the scale taken as known",
    "HC2": "HC2, the scale taken as known",
    "HC3": "HC3, the scale taken as known",
    "cluster": "rows of a group may depend on each other",
    "bootstrap": "bootstrap of pairs, refitted; percentile intervals",
}


def facts_of(result: HuberInference) -> list[tuple[str, str]]:
    """Return the facts above the table, by name."""
    model = result._model
    scale = {"joint": "joint", "mad": "MAD", "fixed": "fixed"}[model.kind]
    facts = [
        ("Model", f"{model.name}, rho = {model.rho:.6g}, {scale} scale"),
        ("Observations", f"{result.nobs:g}"),
        ("Beyond the threshold", f"{result.n_outliers} rows"),
        ("Degrees of freedom", f"{result.df_resid:g}"),
        ("Scale", f"{result.scale:.6g}"),
        ("Robust R²", f"{result.rsquared:.4f} (adjusted {result.rsquared_adj:.4f})"),
        ("Covariance", f"{result.cov_type} ({_COVARIANCES[result.cov_type]})"),
    ]
    if model.alpha > 0:
        facts.append(("Penalty", f"alpha = {model.alpha:g}"))
    if result.weights != "frequency":
        facts.append(("Weights", result.weights))
    return facts


def notes_of(result: HuberInference) -> list[str]:
    """Return the notes below the table."""
    notes = []
    if result.not_estimable:
        notes.append(
            "Not estimable, since columns are linearly dependent: "
            f"{', '.join(result.not_estimable)}."
        )
    if result._model.alpha > 0:
        notes.append(
            "The penalty biases the coefficients; intervals are about the biased "
            "expectation (penalty_bias)."
        )
    return notes


def _cells(result: HuberInference, alpha: float) -> tuple[list[str], list[list[str]]]:
    table = result.table(alpha)
    statistic = "t" if result.use_t else "z"
    head = [
        "",
        "coef",
        "std err",
        statistic,
        f"P>|{statistic}|",
        f"[{alpha / 2:.3g}",
        f"{1 - alpha / 2:.3g}]",
    ]
    rows = []
    for i, name in enumerate(result.names):
        values = [column[i] for column in table.values()]
        cells = [f"{value:.5g}" for value in values]
        cells[2] = f"{values[2]:.2f}"
        cells[3] = f"{values[3]:.3f}" if not values[3] < 5e-4 else f"{values[3]:.1e}"
        cells = ["" if np.isnan(v) else c for v, c in zip(values, cells, strict=True)]
        rows.append([name, *cells])
    return head, rows


def text_of(result: HuberInference, alpha: float) -> str:
    """Return the summary as text."""
    head, rows = _cells(result, alpha)
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: list[str]) -> str:
        first, *others = (
            cell.ljust(width) if k == 0 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "  ".join([first, *others])

    facts = facts_of(result)
    left = max(len(name) for name, _ in facts)
    rule = "-" * len(line(head))
    lines = [f"{name.ljust(left)}  {value}" for name, value in facts]
    lines += [rule, line(head), rule, *map(line, rows), rule, *notes_of(result)]
    return "\n".join(lines)


def html_of(result: HuberInference, alpha: float) -> str:
    """Return the summary as HTML, for notebooks."""
    head, rows = _cells(result, alpha)
    cells = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join(
        f"<tr><th>{html.escape(name)}</th>"
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in others)
        + "</tr>"
        for name, *others in rows
    )
    facts = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
        for name, value in facts_of(result)
    )
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in notes_of(result))
    return (
        f"<div><table><tbody>{facts}</tbody></table><table><thead><tr>{cells}</tr>"
        f"</thead><tbody>{body}</tbody></table>{notes}</div>"
    )


def frame_of(result: HuberInference, alpha: float, library: str | None) -> Any:
    """Return the table as a frame of pandas or polars."""
    table = result.table(alpha)
    if library != "polars":
        try:
            import pandas
        except ImportError:
            if library is not None:
                raise
        else:
            return pandas.DataFrame(table, index=list(result.names))
    try:
        import polars
    except ImportError as error:
        raise ImportError(
            "summary_frame needs pandas or polars, and neither can be imported. "
            "HuberInference.table has the columns as arrays."
        ) from error
    return polars.DataFrame({"term": list(result.names), **table})
