"""Register ``UNet2D`` with MONAI on import.

MONAI has no registry of networks. Registered means: ``from monai.networks.nets import UNet2D``
works, and so does ``_target_: UNet2D`` in a bundle config that says
``imports: ["$import unet_med.monai_plugin"]``. The dotted path
``_target_: unet_med.networks.UNet2D`` needs neither.

Source:
    ``monai.bundle.config_item.ComponentLocator``: short names are looked up in the loaded modules
    whose name starts with ``monai``, among members defined there.
"""

from __future__ import annotations

import functools
import sys
import types
import warnings
from typing import Any

from monai.bundle.config_item import ComponentLocator
from monai.networks import nets

from unet_med.networks import UNet2D

SHORT_NAME = "UNet2D"
MODULE_NAME = f"{nets.__name__}.unet_med"
"""A module made here; it holds nothing but the factory that short names resolve to."""


@functools.wraps(UNet2D, updated=())
def _factory(*args: Any, **kwargs: Any) -> UNet2D:  # noqa: ANN401 - those of UNet2D
    """Build a ``unet_med.networks.UNet2D``."""
    return UNet2D(*args, **kwargs)


@functools.cache
def register() -> bool:
    """Make ``UNet2D`` known to MONAI, unless MONAI has something of that name.

    Instances are of ``unet_med.networks.UNet2D`` and pickle under that name. Importing this
    module calls it; further calls do nothing.

    Returns:
        Whether the short name stands for our network now.
    """
    if _is_registered():
        return True
    if owner := _name_owner():
        text = (
            f"MONAI has a {SHORT_NAME} of its own ({owner}), which stays: in configs write "
            f"_target_: {UNet2D.__module__.rpartition('.')[0]}.{SHORT_NAME}"
        )
        warnings.warn(text, stacklevel=2)
        return False
    # The locator takes only members that say they come from the module they are found in. A
    # factory can say so; the class keeps its own module, or its pickles would need this one.
    _factory.__module__ = MODULE_NAME
    module = types.ModuleType(MODULE_NAME, f"Short names of unet_med in MONAI: {SHORT_NAME}.")
    setattr(module, SHORT_NAME, _factory)
    sys.modules[MODULE_NAME] = module
    setattr(nets, MODULE_NAME.rpartition(".")[2], module)  # pydoc.locate walks attributes
    setattr(nets, SHORT_NAME, UNet2D)
    return True


def _is_registered() -> bool:
    return MODULE_NAME in sys.modules and getattr(nets, SHORT_NAME, None) is UNet2D


def _name_owner() -> str:
    """Return what holds one of our names in MONAI already, or an empty text."""
    for taken in (SHORT_NAME, MODULE_NAME.rpartition(".")[2]):
        if hasattr(nets, taken):
            return f"{nets.__name__}.{taken}"
    module = ComponentLocator().get_component_module_name(SHORT_NAME)
    return "" if module is None else f"{module}.{SHORT_NAME}"


register()
