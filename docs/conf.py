"""How the documentation is built: `sphinx-build -W docs build/docs`, with the extra `docs`."""

project = "pushover-logging"
author = "the pushover-logging authors"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
html_theme = "furo"
html_title = project
html_copy_source = False
html_static_path = ["static"]
html_css_files = ["landing.css"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_default_options = {"members": True, "show-inheritance": True}
# Docstrings put code between single backticks as well as names.
default_role = "code"
