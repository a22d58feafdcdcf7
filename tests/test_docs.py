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

import problems
import skhuber

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```", re.DOTALL | re.MULTILINE)
PAGES = [
    "docs/losses.md",
    "docs/index.md",
    "docs/guide/callbacks.md",
    pytest.param("docs/guide/elastic_net.md", marks=pytest.mark.compiled),
    pytest.param("docs/guide/large.md", marks=pytest.mark.compiled),
    pytest.param("docs/guide/beyond.md", marks=pytest.mark.compiled),
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


@pytest.mark.compiled
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


def test_the_guide_quotes_the_comparison_of_elastic_nets():
    """If docs/elastic_net/run.py finds other figures, the guide has to have them."""
    guide = (ROOT / "docs/guide/elastic_net.md").read_text("utf-8")
    rows = [line for line in guide.splitlines() if line.startswith("| ")]
    assert len(rows) == 14
    results = (ROOT / "docs/elastic_net/results.md").read_text("utf-8")
    for noise, quoted in [
        ("normal", rows[:7]),
        ("normal, 10 % gross errors", rows[7:]),
    ]:
        table = results.split(f"## Noise: {noise}\n\n")[1].split("\n\n")[0]
        assert table.splitlines() == quoted


def test_no_package_index_is_named_as_long_as_nothing_is_published_there():
    """Extras are those of a checkout: ``pip install '.[plot]'``."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "docs/api.rst"]
    for path in [*pages, *(ROOT / "skhuber").rglob("*.py")]:
        text = path.read_text("utf-8")
        assert not re.search(r"pip install\s+[\"']?skhuber", text), path
        assert "skhuber.readthedocs" not in text, path


def test_what_lmrob_found_is_compared_with_nothing():
    """It is of another setting than lmrob's default: see tests/data/README.md."""
    for entry in problems.r_reference().values():
        assert "rlm_mad" in entry
        assert "lmrob" not in entry
    note = (problems.DATA / "README.md").read_text("utf-8")
    assert 'setting = "KS2014"' in note


def test_contributing_lists_every_module():
    package = Path(skhuber.__file__).parent
    modules = {
        path.relative_to(package).with_suffix("").as_posix()
        for path in package.rglob("*.py")
        if path.name != "__init__.py"
    }
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    section = text.partition("\n## Modules\n")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line[:1] == "|"]
    listed = [name for cell in cells for name in re.findall(r"`([\w/]+)`", cell)]
    headings = {name.partition("/")[0] for name in modules} - modules
    assert sorted(set(listed) - headings) == sorted(modules)
    assert len(listed) == len(set(listed))


def test_modules_named_in_the_mathematics_exist():
    text = (ROOT / "docs/mathematics.md").read_text("utf-8")
    brackets = re.findall(r"\[(`[^\]]*`)\](?!\()", text)
    names = re.findall(r"`([^`]+)`", " ".join(brackets))
    assert names
    package = Path(skhuber.__file__).parent
    assert [name for name in names if not (package / f"{name}.py").exists()] == []
