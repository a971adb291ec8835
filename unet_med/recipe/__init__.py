"""The recipe: frozen dataclasses, read from and written to JSON, data only."""

from __future__ import annotations

from unet_med.recipe.model import (
    SCHEMA_VERSION,
    Channel,
    Fingerprint,
    NetworkRecipe,
    Recipe,
    VerifiedPrecision,
)

__all__ = [
    "SCHEMA_VERSION",
    "Channel",
    "Fingerprint",
    "NetworkRecipe",
    "Recipe",
    "VerifiedPrecision",
]
