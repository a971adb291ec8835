"""Save and load network weights, ``model.pt``: plain tensors, never a pickle with code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from unet_med._files import atomic_path, sha256_file
from unet_med.errors import WeightsError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

SHOWN_DIFFERENCES = 3
"""How many wrong keys or shapes an error names."""


def save_weights(network: nn.Module, path: Path) -> str:
    """Write the network's state dict as plain CPU tensors, atomically.

    Args:
        network: Any module.
        path: Target, usually ``models/model.pt``.

    Returns:
        The file's SHA-256. Equal tensors give equal bytes: the file is written through a
        stream, since ``torch.save`` puts a path's stem into the archive.

    Raises:
        OutputError: The file cannot be written.
    """
    tensors = {
        key: tensor.detach().cpu().clone().contiguous()
        for key, tensor in network.state_dict().items()
    }
    write_tensors(tensors, path)
    return sha256_file(path)


def write_tensors(content: dict[str, Any], path: Path) -> None:
    """Write tensors and plain values with ``torch.save``, atomically.

    Raises:
        OutputError: The file cannot be written.
    """
    with atomic_path(path) as partial, partial.open("wb") as stream:
        try:
            torch.save(content, stream)
        except RuntimeError as exc:
            # On a full disk torch's archive speaks of a wrong position; the disk's own word is
            # what it met before.
            if isinstance(exc.__context__, OSError):
                raise exc.__context__ from exc
            raise


def load_weights(network: nn.Module, path: Path, *, sha256: str = "") -> None:
    """Load ``model.pt`` into a network, strictly.

    Args:
        network: The module to fill, in place.
        path: A plain tensor state dict.
        sha256: Expected digest of the file; empty = not checked.

    Raises:
        WeightsError: The file is missing, is not a plain tensor file, has another digest, or
            does not fit the network; the text names the first differences.
    """
    tensors = read_weights(path, sha256=sha256)
    if differences := _differences(network.state_dict(), tensors):
        shown = "; ".join(differences[:SHOWN_DIFFERENCES])
        more = len(differences) - SHOWN_DIFFERENCES
        tail = f"; and {more} more" if more > 0 else ""
        msg = f"{path} does not fit the network of the recipe: {shown}{tail}"
        raise WeightsError(msg)
    network.load_state_dict(tensors, strict=True)


def read_weights(path: Path, *, sha256: str = "") -> dict[str, torch.Tensor]:
    """Read the tensors of ``model.pt``, whatever network they belong to.

    Args:
        path: A plain tensor state dict.
        sha256: Expected digest of the file; empty = not checked.

    Raises:
        WeightsError: The file is missing, is not a plain tensor file, or has another digest.
    """
    if not path.is_file():
        msg = f"no weights at {path}: train a bundle, or copy its model.pt there"
        raise WeightsError(msg)
    if sha256 and (found := sha256_file(path)) != sha256:
        msg = (
            f"{path} is not the file its recipe names: sha256 {found[:12]}…, expected "
            f"{sha256[:12]}…; restore the file, or put its digest into recipe.json"
        )
        raise WeightsError(msg)
    return _read_tensors(path)


def _read_tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as exc:  # torch raises many kinds
        msg = (
            f"{path} is not a plain tensor file ({type(exc).__name__}): save it with "
            "torch.save(network.state_dict(), …); pickles with code are never loaded"
        )
        raise WeightsError(msg) from exc
    if not isinstance(content, dict) or not content:
        msg = f"{path} holds {type(content).__name__}, not a state dict: save network.state_dict()"
        raise WeightsError(msg)
    foreign = [key for key, value in content.items() if not isinstance(value, torch.Tensor)]
    if foreign:
        msg = (
            f"{path} is no plain state dict: {str(foreign[0])!r} holds "
            f"{type(content[foreign[0]]).__name__}; save the network's state_dict() alone"
        )
        raise WeightsError(msg)
    return content


def _differences(expected: dict[str, torch.Tensor], found: dict[str, torch.Tensor]) -> list[str]:
    """Return texts of missing, unexpected and unlike tensors, in the network's order."""
    texts = [f"missing {key}" for key in expected if key not in found]
    texts += [f"unexpected {key}" for key in found if key not in expected]
    texts += [
        f"{key} has shape {tuple(found[key].shape)}, expected {tuple(tensor.shape)}"
        for key, tensor in expected.items()
        if key in found and found[key].shape != tensor.shape
    ]
    # torch would cut fractions and imaginary parts off without a word.
    texts += [
        f"{key} holds {found[key].dtype}, expected {tensor.dtype}"
        for key, tensor in expected.items()
        if key in found and found[key].is_floating_point() != tensor.is_floating_point()
    ]
    return texts
