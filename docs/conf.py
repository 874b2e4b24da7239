"""How the documentation is built: `make docs`."""

import os
import re

os.environ.setdefault("MPLBACKEND", "Agg")

import sklearn_ssldec

project = "sklearn-ssldec"
author = "The sklearn-ssldec developers"
copyright = author
release = version = sklearn_ssldec.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.extlinks",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # equations where there is no network
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]  # without tables of members that classes inherit
extlinks = {"doi": ("https://doi.org/%s", "doi:%s")}

# Pages in Markdown: equations between dollars, and links to headings as on the code's host.
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

# The API reference: every public name has a page, made from its docstring.
autosummary_generate = True
numpydoc_show_class_members = False
autodoc_default_options = {"members": True}
autodoc_typehints = "none"  # the docstrings say more
autodoc_member_order = "bysource"


def skip_member(app, what, name, obj, skip, options):
    """Leave out what scikit-learn adds to every estimator, and documents on pages of its own."""
    return True if name.startswith("set_") and name.endswith("_request") else skip


def escape_trailing_underscores(app, what, name, obj, options, lines):
    """Keep `(n_features_in_,)` in the types of docstrings from being read as a link."""
    lines[:] = [re.sub(r"(?<=\()(\w+)_(?=,\))", r"\1\\_", line) for line in lines]


sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"/_|/paper/",
    "within_subsection_order": "ExampleTitleSortKey",
    "abort_on_example_error": True,
    "remove_config_comments": True,
    "show_memory": False,
    "reset_modules": ("matplotlib",),
}

html_theme = "furo"
html_title = "sklearn-ssldec"
html_static_path = []


def setup(app):
    """Register what is above."""
    app.connect("autodoc-skip-member", skip_member)
    app.connect("autodoc-process-docstring", escape_trailing_underscores, priority=900)  # after numpydoc
