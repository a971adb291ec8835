"""Register the names of this package with MONAI on import, as short names for bundle configs.

MONAI has no registry. Registered means: ``from monai.networks.nets import UNet2D`` works, and a
config that says ``imports: ["$import unet_med.monai_plugin"]`` may write ``_target_: UNet2D``,
``SliceDiceMetric``, ``SlicewiseInferer``, ``LoadVolumed`` and so on. A dotted path
(``unet_med.networks.UNet2D``, ``unet_med.monai.LoadVolumed``) needs neither. With
``_mode_: callable`` a short name gives a factory; take the dotted path where the class matters.

Source:
    ``monai.bundle.config_item.ComponentLocator``: short names are looked up in the loaded modules
    whose name starts with ``monai``, among members defined there.

Example:
    >>> from monai.bundle import ConfigParser
    >>> parser = ConfigParser({"metric": {"_target_": "SliceDiceMetric", "num_classes": 4}})
    >>> parser.get_parsed_content("metric").num_classes
    4
"""

from __future__ import annotations

import functools
import sys
import types
import warnings
from typing import TYPE_CHECKING, Any

import monai as host
from monai.bundle.config_item import ComponentLocator
from monai.networks import nets

from unet_med import monai as names
from unet_med.networks import UNet2D

if TYPE_CHECKING:
    from collections.abc import Callable

NETWORK = "UNet2D"
NETWORK_MODULE = f"{nets.__name__}.unet_med"
NAMES_MODULE = f"{host.__name__}.unet_med"
"""Modules made here; they hold nothing but the factories that short names resolve to."""


def _factory(name: str, module: str, load: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
    """Return a function that MONAI finds in a module, and that builds an object of ours.

    The locator takes only members that say they come from the module they are found in. A
    factory can say so; a class keeps its own module, or its pickles would need this one.
    """

    def build(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - those of the class
        return load()(*args, **kwargs)

    build.__name__ = build.__qualname__ = name
    build.__module__ = module
    build.__doc__ = f"Build the {name} of unet_med."
    return build


@functools.cache
def register() -> tuple[str, ...]:
    """Make our names known to MONAI, but for those that MONAI has already; warn of these.

    Objects are of our classes and pickle under their names. Nothing is loaded before a name is
    used. Importing this module calls it; further calls do nothing.

    Returns:
        The short names that stand for ours now.

    Example:
        >>> "LoadVolumeD" in register()
        True
    """
    locator = ComponentLocator()
    registered = list(_register_network(locator))
    if NAMES_MODULE in sys.modules:
        return (*registered, *(name for name in vars(sys.modules[NAMES_MODULE]) if name[0] != "_"))
    module = types.ModuleType(NAMES_MODULE, "Short names of unet_med in MONAI.")
    for name in names.COMPONENTS:
        owner = locator.get_component_module_name(name)
        if owner is not None:
            _warn_of(name, f"{owner}.{name}", f"{names.__name__}.{name}")
            continue
        load = functools.partial(getattr, names, name)
        setattr(module, name, _factory(name, NAMES_MODULE, load))
        registered.append(name)
    _add_module(host, module)
    return tuple(registered)


def _register_network(locator: ComponentLocator) -> tuple[str, ...]:
    if NETWORK_MODULE in sys.modules and getattr(nets, NETWORK, None) is UNet2D:
        return (NETWORK,)
    if owner := _network_owner(locator):
        _warn_of(NETWORK, owner, f"{UNet2D.__module__.rpartition('.')[0]}.{NETWORK}")
        return ()
    module = types.ModuleType(NETWORK_MODULE, f"Short names of unet_med in MONAI: {NETWORK}.")
    setattr(module, NETWORK, _factory(NETWORK, NETWORK_MODULE, lambda: UNet2D))
    _add_module(nets, module)
    setattr(nets, NETWORK, UNet2D)
    return (NETWORK,)


def _network_owner(locator: ComponentLocator) -> str:
    """Return what holds one of the network's names in MONAI already, or an empty text."""
    for taken in (NETWORK, NETWORK_MODULE.rpartition(".")[2]):
        if hasattr(nets, taken):
            return f"{nets.__name__}.{taken}"
    module = locator.get_component_module_name(NETWORK)
    return "" if module is None else f"{module}.{NETWORK}"


def _add_module(parent: types.ModuleType, module: types.ModuleType) -> None:
    sys.modules[module.__name__] = module
    setattr(parent, module.__name__.rpartition(".")[2], module)  # pydoc.locate walks attributes


def _warn_of(name: str, owner: str, path: str) -> None:
    text = (
        f"MONAI has a {name} of its own ({owner}), which stays: in configs write _target_: {path}"
    )
    warnings.warn(text, stacklevel=4)


register()
