"""Settings of Sphinx. What it needs is the extra "docs"; the network it does not need.

python -m sphinx -W --keep-going -b html docs docs/_build
"""

import os
import sys
import zipfile
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
rst_prolog = "\n".join(
    rf".. |{value}| replace:: \|{value}\|"
    for value in ("r", "residual", "pred − label")
)

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
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "within_subsection_order": "gallery_order.Position",
    # Links from names in examples to their pages, and from these to the examples.
    "doc_module": ("skhuber",),
    "reference_url": {"skhuber": None},
    "backreferences_dir": "generated/backreferences",
    # Times and archives would differ from build to build.
    "min_reported_time": float("inf"),
    "write_computation_times": False,
    "download_all_examples": False,
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
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_sidebars = {"mathematics": []}  # it has no pages below it
html_show_sourcelink = False
html_math_renderer = "mathml"


def skip_inherited(app, what, name, obj, skip, options):
    """Leave out what is scikit-learn's: its docstrings refer to its own pages."""
    module = getattr(obj, "__module__", None) or ""
    if what == "class" and module.split(".")[0] not in ("skhuber", ""):
        return True
    return None


def escape_names(app, what, name, obj, options, lines):
    """Make code of a name whose underscore would make it a link."""
    lines[:] = [
        line.replace("(n_features_in_,)", "(`n_features_in_`,)") for line in lines
    ]


def want_headers_in_rst(app):
    """Keep the gallery from taking examples/data/README.md for a part of it."""
    app.config.sphinx_gallery_conf["source_suffix"] = {".rst": "restructuredtext"}


def forget_times(app):
    """Write the gallery's archives anew, without the time of their making."""
    for path in sorted((HERE / "auto_examples").glob("*.zip")):
        with zipfile.ZipFile(path) as old:
            content = {name: old.read(name) for name in sorted(old.namelist())}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
            for name, data in content.items():
                new.writestr(zipfile.ZipInfo(name), data)


def mathml(display):
    """Write formulas as MathML, which browsers draw without a script."""

    def visit(self, node):
        block = display and not node.get("nowrap")
        formula = tex2mathml(node.astext(), as_block=block)
        if display:
            formula = f'<div class="formula">{formula}</div>\n'
        self.body.append(formula)
        raise nodes.SkipNode

    return visit, None


def setup(app):
    app.connect("autodoc-skip-member", skip_inherited)
    app.connect("autodoc-process-docstring", escape_names, priority=100)
    app.connect("builder-inited", want_headers_in_rst, priority=100)
    app.connect("builder-inited", forget_times, priority=900)  # when it is made
    app.add_html_math_renderer("mathml", mathml(False), mathml(True))
