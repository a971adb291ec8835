"""The recipe: frozen dataclasses, read from and written to JSON, data only."""

from __future__ import annotations

from unet_med.recipe.postprocessing import PostprocessingRule, rules_by_value
from unet_med.recipe.schema import (
    SCHEMA_VERSION,
    Channel,
    Fingerprint,
    NetworkRecipe,
    Recipe,
    VerifiedPrecision,
    parse_tta,
)

__all__ = [
    "SCHEMA_VERSION",
    "Channel",
    "Fingerprint",
    "NetworkRecipe",
    "PostprocessingRule",
    "Recipe",
    "VerifiedPrecision",
    "parse_tta",
    "rules_by_value",
]
