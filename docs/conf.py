import sdde

project = "sdde"
author = "The sdde developers"
copyright = "2026, the sdde developers"
release = version = sdde.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_parser",
]
myst_enable_extensions = ["dollarmath", "colon_fence"]
autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
exclude_patterns = ["_build"]
html_theme = "furo"
html_static_path = ["_static"]
html_title = "sdde"
nitpicky = False
