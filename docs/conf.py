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


def take_indented_text_as_it_is(app, what, name, obj, options, lines):
    """Configurations and the like: as a quotation their line ends would go, and their quotes would turn."""
    for number in range(len(lines) - 1, 1, -1):
        begins = lines[number].startswith("    ") and not lines[number - 1]
        if begins and lines[number - 2] and not lines[number - 2].startswith(" "):
            lines[number - 1 : number] = ["", "::", ""]


def setup(app):
    app.connect("autodoc-process-docstring", escape_trailing_underscores)
    app.connect("autodoc-process-docstring", take_indented_text_as_it_is)
