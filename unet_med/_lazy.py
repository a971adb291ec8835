"""Load the public names of a package on first use."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def lazy_exports(
    package: str, modules: Mapping[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package.

    Type checkers read the same names from the package's ``TYPE_CHECKING`` block. A name is looked
    up once: what is found is stored in the package.

    Args:
        package: ``__name__`` of the package.
        modules: The module of each name, relative to the package, or in full from the topmost
            package on; ``""`` for a submodule that is public itself.

    Returns:
        The two functions, for ``__getattr__, __dir__ = lazy_exports(__name__, {...})``.

    Example:
        >>> load, names = lazy_exports("json", {"JSONDecoder": "decoder", "tool": ""})
        >>> load("JSONDecoder").__name__, load("tool").__name__, "tool" in names()
        ('JSONDecoder', 'json.tool', True)
    """
    topmost = package.partition(".")[0]

    def load(name: str) -> object:
        if name not in modules:
            msg = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(msg)
        module = modules[name]
        in_full = module.startswith(f"{topmost}.")
        home = importlib.import_module(module if in_full else f"{package}.{module or name}")
        found = getattr(home, name) if module else home
        setattr(sys.modules[package], name, found)
        return found

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *modules})

    return load, names
