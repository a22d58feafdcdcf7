"""The code in the documentation runs, and gives what it says.

The blocks of a page run in their order. A line ``expression  # value`` states the repr
of its value; a block of text after a block of Python states what that prints.
"""

import ast
import contextlib
import io
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```", re.DOTALL | re.MULTILINE)
PAGES = [
    "docs/losses.md",
    "docs/index.md",
    "docs/guide/callbacks.md",
    pytest.param("docs/guide/large.md", marks=pytest.mark.compiled),
    pytest.param("docs/guide/inference.md", marks=pytest.mark.compiled),
    "docs/guide/leverage.md",
    "docs/guide/moving.md",
    "docs/guide/rho.md",
    "docs/guide/scale.md",
    "docs/guide/when.md",
]


def statements(block):
    """Expressions of a block that stand alone on a line, and what they give."""
    for line in block.splitlines():
        expression, _, value = line.partition("  # ")
        if value:
            with contextlib.suppress(SyntaxError):
                ast.parse(expression, mode="eval")
                yield expression, value


@pytest.mark.parametrize("page", PAGES)
def test_code_of_a_page(page):
    if page.endswith("callbacks.md"):
        pytest.importorskip("sklearn.callback")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 2))
    names = {"X": X, "y": 1000.0 * X[:, 0]}
    blocks = BLOCK.findall((ROOT / page).read_text("utf-8"))
    assert blocks
    printed = ""
    for kind, block in blocks:
        if kind == "text":
            if printed:
                assert block.split() == printed.split()
            continue
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(block, names)
        printed = output.getvalue()
        for expression, value in statements(block):
            if page != "docs/losses.md" or value.startswith("array"):
                assert repr(eval(expression, names)) == value
