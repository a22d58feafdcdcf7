"""The code in the documentation runs, and prints what it says."""

import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


def blocks(page):
    text = (ROOT / page).read_text("utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", ["docs/losses.md"])
def test_code_of_a_page(page):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 2))
    names = {"X": X, "y": 1000.0 * X[:, 0]}
    found = blocks(page)
    assert found
    for block in found:
        exec(block, names)
        for line in block.splitlines():
            expression, _, printed = line.partition("  # array")
            if printed:
                assert repr(eval(expression, names)) == f"array{printed}"
