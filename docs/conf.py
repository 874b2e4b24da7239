"""Configuration of Sphinx. `make docs` builds the documentation, `make docs-quick` without the gallery."""

import os
import re

os.environ.setdefault("MPLBACKEND", "Agg")

from docutils import nodes

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
    "sphinx-mathjax-offline",  # equations without a network connection
    "sphinx_design",  # cards
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]  # leave out the tables of inherited members
extlinks = {"doi": ("https://doi.org/%s", "doi:%s")}

# Markdown: equations between dollars, directives between colons, and links to headings as on GitHub.
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3

# The API reference: a page for each public name, from its docstring.
autosummary_generate = True
numpydoc_show_class_members = False
autodoc_default_options = {"members": True}
autodoc_typehints = "none"  # the docstrings are more precise
autodoc_member_order = "bysource"


def skip_member(app, what, name, obj, skip, options):
    """Leave out the metadata methods that scikit-learn adds to every estimator."""
    return True if name.startswith("set_") and name.endswith("_request") else skip


def escape_trailing_underscores(app, what, name, obj, options, lines):
    """Prevent `(n_features_in_,)` in a docstring's types from being read as a link."""
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
html_static_path = ["_static"]
html_css_files = ["cards.css"]


def strip_code(app, doctree):
    """Remove the blank line at the end of a code block, which ends the last output for doctest."""
    for block in doctree.findall(nodes.literal_block):
        if block.rawsource == block.astext() and block.rawsource.endswith("\n"):
            block.rawsource = block.rawsource.rstrip()
            block[:] = [nodes.Text(block.rawsource)]


def setup(app):
    """Register the functions above."""
    app.connect("autodoc-skip-member", skip_member)
    app.connect("doctree-read", strip_code)
    app.connect("autodoc-process-docstring", escape_trailing_underscores, priority=900)  # after numpydoc
