"""Every error this package raises on purpose.

UnetMedError
├── InputError (ValueError)         something the user gave cannot be used
│   ├── VolumeError                 a scan or mask cannot be read
│   ├── GeometryError               grids or affines do not fit
│   └── LabelError                  label values are not what they should be
├── RecipeError (ValueError)        recipe.json is not valid
├── BundleError (ValueError)        a bundle folder is missing parts or foreign
├── WeightsError (ValueError)       model.pt does not fit the network, or is unsafe
├── OutputError (OSError)           a result could not be written whole
├── ClusterError (RuntimeError)     processes that do the work cannot be reached
└── MissingExtraError (ImportError) an optional package is not installed

Each message is one line: what is wrong, what was found, what to do.
"""

from __future__ import annotations


class UnetMedError(Exception):
    """Base of all errors raised on purpose."""


class InputError(UnetMedError, ValueError):
    """Something the user gave cannot be used."""


class VolumeError(InputError):
    """A scan or a mask cannot be read."""


class GeometryError(InputError):
    """Grids or affines do not fit together."""


class LabelError(InputError):
    """Label values are not what they should be."""


class RecipeError(UnetMedError, ValueError):
    """A recipe is not valid."""


class BundleError(UnetMedError, ValueError):
    """A bundle folder is missing parts or belongs to another program."""


class WeightsError(UnetMedError, ValueError):
    """Weights do not fit the network, or are not a plain tensor file."""


class OutputError(UnetMedError, OSError):
    """A result could not be written whole."""


class ClusterError(UnetMedError, RuntimeError):
    """The processes that do the work cannot be reached."""


class MissingExtraError(UnetMedError, ImportError):
    """An optional package is not installed; the text says how to install it."""
