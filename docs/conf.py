"""How `make docs` builds the site: Sphinx over the whole repository, so that links work here as they do on a code host.

Nothing is loaded from elsewhere: fonts, scripts and the search index are in the site, which can be read from a disk.
"""

import napari_medseg

project = "napari-medseg"
author = "napari-medseg developers"
release = napari_medseg.__version__
version = release

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
root_doc = "docs/index"
include_patterns = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "benchmarks/RESULTS.md",
    "docs/**",
]
exclude_patterns = [".*", "site", "src", "tests", "tools", "build"]  # not walked through

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4  # headings get the anchors that code hosts give them

# types stand in the docstrings; names in single backticks are code
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autosummary_generate = False
napoleon_google_docstring = False
napoleon_use_rtype = False
default_role = "code"

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_title = f"napari-medseg {release}"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False  # the licence is in the README
html_theme_options = {"navigation_with_keys": True}
