"""Public names are loaded on first use, by one mechanism."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import unet_med

PACKAGES = ("unet_med", "unet_med.api", "unet_med.monai", "unet_med.training", "unet_med.volumes")


def names_for_type_checkers(package):
    tree = ast.parse(Path(package.__file__).read_text(encoding="utf-8"))
    return {
        name.asname or name.name
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for one in node.body
        if isinstance(one, ast.ImportFrom)
        for name in one.names
    }


@pytest.mark.parametrize("name", PACKAGES)
def test_type_checkers_and_the_interpreter_see_the_same_names(name):
    package = import_module(name)
    lazy = names_for_type_checkers(package)
    assert lazy <= set(package.__all__) <= set(dir(package))
    for one in package.__all__:
        assert getattr(package, one) is not None
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'paint'"):
        _ = package.paint


def test_packages_are_reached_by_attribute_and_loaded_then():
    code = (
        "import sys, unet_med; before = set(sys.modules)\n"
        "assert not any(name.startswith('unet_med.volumes') for name in before)\n"
        "assert 'argparse' not in before and 'numpy' not in before\n"
        "unet_med.volumes.open_volume; unet_med.inference.SlicePipeline\n"
        "assert 'unet_med.volumes' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_public_name_is_a_package_and_a_function():
    folder = Path(unet_med.__file__).parent
    functions = {name for name in unet_med.__all__ if callable(getattr(unet_med, name))}
    assert functions & {path.name for path in folder.iterdir()} == set()
