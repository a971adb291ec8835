"""Build the documentation: ``sphinx-build -W -b html docs build/docs``; nothing is downloaded."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "_extensions")]

project = "unet_med"
author = "The unet_med developers"
copyright = author  # noqa: A001 - Sphinx reads this name
version = release = importlib.import_module("unet_med").__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinxarg.ext",
    "layers",
]
myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 3
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Source", "notes")]
autodoc_typehints = "none"  # signatures carry them; resolving would import torch for each page
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "imported-members": True}
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"unet_med {version}"
html_static_path: list[str] = []
exclude_patterns: list[str] = []
