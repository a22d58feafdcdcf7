"""Settings of Sphinx. What it needs is the extra "docs"; the network it does not need.

python -m sphinx -W --keep-going -b html docs docs/_build
"""

import os
import sys
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # for gallery_order

import skhuber  # noqa: E402

project = "skhuber"
author = "the skhuber developers"
copyright = author  # no year: a build next year is the same
version = release = skhuber.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
# As in scikit-learn's docstrings: `name` is code.
default_role = "literal"
# In docstrings |r| is an absolute value, to reStructuredText a name to be replaced.
rst_prolog = r".. |r| replace:: \|r\|"

# --- docstrings -------------------------------------------------------------------

autodoc_typehints = "none"
# The pages of classes list their methods; numpydoc need not.
numpydoc_show_class_members = False

# --- Markdown ---------------------------------------------------------------------

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

# --- gallery ----------------------------------------------------------------------

os.environ["MPLBACKEND"] = "Agg"
sphinx_gallery_conf = {
    "examples_dirs": str(HERE.parent / "examples"),
    "gallery_dirs": "auto_examples",
    "within_subsection_order": "gallery_order.position",
    # Links from names in examples to their pages, and from these to the examples.
    "doc_module": ("skhuber",),
    "reference_url": {"skhuber": None},
    "backreferences_dir": "generated/backreferences",
    # Times and archives would differ from build to build.
    "min_reported_time": float("inf"),
    "write_computation_times": False,
    "download_all_examples": False,
    "only_warn_on_example_error": True,  # which -W makes an error, at the end
}

# --- pages ------------------------------------------------------------------------

html_theme = "pydata_sphinx_theme"
html_title = f"skhuber {release}"
html_theme_options = {
    "navigation_with_keys": False,
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_show_sourcelink = False
html_math_renderer = "mathml"


def skip_inherited(app, what, name, obj, skip, options):
    """Leave out what is scikit-learn's: its docstrings refer to its own pages."""
    module = getattr(obj, "__module__", None) or ""
    if what == "class" and module.split(".")[0] not in ("skhuber", ""):
        return True
    return None


def mathml(display):
    """Write formulas as MathML, which browsers draw without a script."""

    def visit(self, node):
        block = display and not node.get("nowrap")
        formula = tex2mathml(node.astext(), as_block=block)
        if display:
            formula = f'<div class="math">{formula}</div>\n'
        self.body.append(formula)
        raise nodes.SkipNode

    return visit, None


def setup(app):
    app.connect("autodoc-skip-member", skip_inherited)
    app.add_html_math_renderer("mathml", mathml(False), mathml(True))
