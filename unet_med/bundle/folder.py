"""Find, open and check a bundle folder."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unet_med._files import read_json, sha256_file
from unet_med.errors import BundleError
from unet_med.recipe import Recipe

if TYPE_CHECKING:
    from os import PathLike

RECIPE = Path("configs/recipe.json")
METADATA = Path("configs/metadata.json")
WEIGHTS = Path("models/model.pt")
DEMO = Path("sample_data/demo")

_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Bundle:
    """An opened bundle folder.

    Attributes:
        root: The folder that holds ``configs`` and ``models``.
        recipe: The recipe, checked.
        metadata: The content of ``configs/metadata.json``, empty when there is none.

    Example:
        >>> bundle = open_bundle()
        >>> bundle.name, bundle.weights_path.name
        ('t1_brain_tissue', 'model.pt')
    """

    root: Path
    recipe: Recipe
    metadata: dict[str, Any]

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.recipe.name

    @property
    def version(self) -> str:
        """Version as the metadata states it, or an empty text."""
        return str(self.metadata.get("version", ""))

    @property
    def weights_path(self) -> Path:
        """Where the weights lie."""
        return self.root / WEIGHTS

    @property
    def sha256(self) -> str:
        """Identity of what determines the labels: recipe and weights together.

        The list of verified precisions is left out, since only the precision that is chosen
        determines labels: measuring precisions anew makes no other bundle. So is the
        terminology.
        """
        content = self.recipe.to_dict()
        del content["precisions"], content["terminology"]
        recipe = json.dumps(content, sort_keys=True)
        return hashlib.sha256(f"{recipe}\n{sha256_file(self.weights_path)}".encode()).hexdigest()


def default_bundle() -> Path:
    """Return the bundle that comes with the program.

    It lies inside the package in a wheel, and beside the package in a checkout or an editable
    install.

    Raises:
        BundleError: Neither is there.

    Example:
        >>> (default_bundle() / "configs" / "recipe.json").is_file()
        True
    """
    for root in (_PACKAGE / "_bundle", _PACKAGE.parent):
        if (root / RECIPE).is_file():
            return root
    msg = "this installation carries no default bundle: name one with --bundle FOLDER"
    raise BundleError(msg)


def demo_data() -> Path:
    """Return the folder of the demo scan and its reference (``images``, ``labels``).

    Raises:
        BundleError: The installation carries no demo data.

    Example:
        >>> sorted(path.name for path in (demo_data() / "images").iterdir())
        ['colin27.nii.gz']
    """
    folder = default_bundle() / DEMO
    if not folder.is_dir():
        msg = f"no demo data at {folder}: install unet_med from its wheel or a full checkout"
        raise BundleError(msg)
    return folder


def open_bundle(root: str | PathLike[str] | None = None) -> Bundle:
    """Open a bundle folder and check that its parts are there.

    Args:
        root: The folder; ``None`` = the default bundle.

    Returns:
        The bundle with its recipe read and checked. Weights are checked when loaded.

    Raises:
        BundleError: The folder, the recipe file or the weights are missing, or the metadata
            is no JSON object.
        RecipeError: The recipe is not valid.

    Example:
        >>> open_bundle().recipe.labels[2]
        'gray matter'
    """
    folder = default_bundle() if root is None else Path(root)
    if folder.is_file():
        msg = f"{folder} is a file: a bundle is a folder; if this is an archive, unpack it first"
        raise BundleError(msg)
    if not folder.is_dir():
        msg = f"no bundle folder at {folder}: name a folder that holds configs/ and models/"
        raise BundleError(msg)
    if not (folder / RECIPE).is_file():
        kind = "a MONAI bundle of another program" if (folder / METADATA).is_file() else "no bundle"
        msg = f"{folder} is {kind}: it has no {RECIPE.as_posix()}; name a bundle of unet_med"
        raise BundleError(msg)
    recipe = Recipe.load(folder / RECIPE)
    if not (folder / WEIGHTS).is_file():
        msg = f"the bundle {folder} has no {WEIGHTS.as_posix()}: train it or copy the weights there"
        raise BundleError(msg)
    return Bundle(root=folder, recipe=recipe, metadata=_read_metadata(folder / METADATA))


def _read_metadata(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = read_json(path)
    except (OSError, ValueError) as exc:
        msg = f"{path} is not valid JSON: {exc}"
        raise BundleError(msg) from exc
    if not isinstance(content, dict):
        msg = f"{path} must hold a JSON object, got {type(content).__name__}"
        raise BundleError(msg)
    return content
