"""The recipe: frozen dataclasses, read from and written to JSON, data only."""

from __future__ import annotations

from unet_med.recipe.mirrors import MIRROR_AXES, MirrorAxis, parse_tta
from unet_med.recipe.model import (
    SCHEMA_VERSION,
    Channel,
    Fingerprint,
    NetworkRecipe,
    Recipe,
    VerifiedPrecision,
)
from unet_med.recipe.postprocessing import LabelRule, rules_by_value

__all__ = [
    "MIRROR_AXES",
    "SCHEMA_VERSION",
    "Channel",
    "Fingerprint",
    "LabelRule",
    "MirrorAxis",
    "NetworkRecipe",
    "Recipe",
    "VerifiedPrecision",
    "parse_tta",
    "rules_by_value",
]
