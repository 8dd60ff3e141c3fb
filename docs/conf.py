"""Settings of the documentation; `make docs` builds it with warnings as errors."""

from importlib.metadata import version as installed

project = "netfast"
author = "The netfast authors"
copyright = "2026, The netfast authors"
release = installed("netfast")
version = release

extensions = ["myst_parser", "sphinx.ext.autodoc"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["design/*", "_build"]
nitpicky = False

# Docstrings are plain text whose single backticks mark code.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_class_signature = "mixed"

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "furo"
html_title = f"netfast {release}"


def escape_trailing_underscores(app, what, name, obj, options, lines):
    """Registries have names such as `LINKTYPE_`, which reStructuredText would take for a link."""
    lines[:] = [line.replace("LINKTYPE_ ", "LINKTYPE\\_ ") for line in lines]


def setup(app):
    app.connect("autodoc-process-docstring", escape_trailing_underscores)
