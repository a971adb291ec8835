"""The bundles that a segmenter runs: one, or several whose probabilities are averaged."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

from unet_med._version import __version__
from unet_med.bundle import open_bundle
from unet_med.errors import InputError
from unet_med.inference import check_members
from unet_med.volumes import MaskProvenance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unet_med.backends import Execution, SlicePredictor
    from unet_med.bundle import Bundle

    Bundles = str | PathLike[str] | Sequence[str | PathLike[str]] | None


@dataclass(frozen=True, slots=True)
class LoadedBundle:
    """One bundle of an ensemble, loaded.

    Attributes:
        bundle: The opened bundle.
        execution: How its network is run, resolved.
        predictor: Its network in its backend.
    """

    bundle: Bundle
    execution: Execution
    predictor: SlicePredictor


def open_bundles(bundles: Bundles, *, tta: str = "recipe") -> tuple[Bundle, ...]:
    """Open bundles that are to be run together, with the mirroring that is asked for.

    Args:
        bundles: A folder, several, or ``None`` = the one that comes with the program.
        tta: ``recipe``, ``none``, or mirror axes joined by commas.

    Raises:
        BundleError: A bundle cannot be opened, or they do not fit together.
        RecipeError: A recipe is not valid, or cannot be mirrored so.
        InputError: The list is empty.
    """
    if bundles is None or isinstance(bundles, str | PathLike):
        opened = [open_bundle(bundles)]
    else:
        opened = [open_bundle(folder) for folder in bundles]
    if not opened:
        msg = "no bundle was named: give at least one folder"
        raise InputError(msg)
    check_members([bundle.recipe for bundle in opened])
    return tuple(
        # Other processes work in other folders.
        replace(bundle, root=bundle.root.absolute(), recipe=bundle.recipe.with_tta(tta))
        for bundle in opened
    )


def identity(bundles: Sequence[Bundle]) -> dict[str, Any]:
    """Return what ledger and sidecar say of bundles; ``sha256`` covers all of them.

    Mirroring that was asked for in place of the recipe's is part of it.
    """
    descriptions = [_describe(bundle) for bundle in bundles]
    if len(descriptions) == 1:
        return descriptions[0]
    digests = "\n".join(described["sha256"] for described in descriptions)
    return {
        **descriptions[0],
        "name": " + ".join(described["name"] for described in descriptions),
        "version": " + ".join(described["version"] for described in descriptions),
        "sha256": hashlib.sha256(digests.encode()).hexdigest(),
        "members": descriptions,
    }


def joint_execution(executions: Sequence[Execution]) -> Execution:
    """Return how the members are run, as one; its model digest covers all their models."""
    first = executions[0]
    digests = [how.model_sha256 for how in executions]
    if len(executions) == 1 or not any(digests):
        return first
    return replace(first, model_sha256=hashlib.sha256("\n".join(digests).encode()).hexdigest())


def _describe(bundle: Bundle) -> dict[str, Any]:
    return {
        "name": bundle.name,
        "version": bundle.version,
        "folder": str(bundle.root),
        "sha256": bundle.sha256,
        "tta": list(bundle.recipe.tta),
    }


def mask_provenance(bundles: Sequence[Bundle], execution: Execution) -> MaskProvenance:
    """Return the provenance that all masks of a bundle, or an ensemble, have in common."""
    what = identity(bundles)
    return MaskProvenance(
        version=__version__,
        bundle=what["name"],
        bundle_sha256=what["sha256"],
        backend=execution.backend,
        precision=execution.precision,
    )
