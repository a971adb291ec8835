"""Build the documentation: ``sphinx-build -W -b html docs build/docs``; nothing is downloaded."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

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
napoleon_use_ivar = True
napoleon_custom_sections = [("Source", "notes")]
autodoc_typehints = "none"  # signatures carry them; resolving would import torch for each page
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "imported-members": True}
python_use_unqualified_type_names = True
default_role = "code"
suppress_warnings = [
    "ref.python",  # attributes of one name in several classes
    "myst.domains",  # the command line reference resolves its own names
]

html_theme = "furo"
html_title = f"unet_med {version}"
html_static_path: list[str] = []
exclude_patterns: list[str] = []


def leave_out_what_others_define(
    app: Sphinx, what: str, _name: str, found: object, *_skip_and_options: object
) -> bool | None:
    """Document each object once, in the package that it belongs to."""
    home = app.env.current_document.autodoc_module or ""
    defined_in = getattr(found, "__module__", None)
    if what != "module" or not home.startswith("unet_med") or not defined_in:
        return None
    return not defined_in.startswith("unet_med.api" if home == "unet_med" else home) or None


def setup(app: Sphinx) -> None:
    """Hook in."""
    app.connect("autodoc-skip-member", leave_out_what_others_define)
