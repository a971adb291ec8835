"""Maps beside a mask: made with it, replaced with it, and none left of an older one."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from unet_med._files import partial_file, publish, sha256_file
from unet_med.batch.destination import map_path, sidecar_path
from unet_med.batch.sidecar import read_sidecar
from unet_med.errors import OutputError
from unet_med.volumes import MAP_KINDS, is_map

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path


@contextmanager
def partial_files(mask: Path, kinds: Sequence[str]) -> Iterator[tuple[Path, dict[str, Path]]]:
    """Yield hidden siblings of a mask and of its maps by kind, as `partial_file` does.

    Raises:
        OutputError: The folder or a file cannot be written.
    """
    with ExitStack() as stack:
        partial = stack.enter_context(partial_file(mask))
        maps = {
            kind: stack.enter_context(partial_file(map_path(mask, kind)))
            for kind in dict.fromkeys(kinds)
        }
        yield partial, maps


def maps_content(mask: Path, maps: Mapping[str, Path]) -> dict[str, Any]:
    """Return what the sidecar says of maps: file name and SHA-256 by kind; nothing without any."""
    files = {
        kind: {"file": map_path(mask, kind).name, "sha256": sha256_file(path)}
        for kind, path in maps.items()
    }
    return {"maps": files} if files else {}


def has_maps(mask: Path, kinds: Sequence[str]) -> bool:
    """Return whether the maps wanted lie beside a mask as they were written."""
    if not kinds:
        return True
    known = read_sidecar(sidecar_path(mask)).get("maps", {})
    try:
        return all(
            known.get(kind, {}).get("sha256") == sha256_file(map_path(mask, kind)) for kind in kinds
        )
    except OSError:
        return False


def refuse_foreign_maps(mask: Path, kinds: Sequence[str]) -> None:
    """Leave a file alone that has a map's name and that this program did not write.

    Raises:
        OutputError: There is such a file.
    """
    for kind in kinds:
        path = map_path(mask, kind)
        if path.exists() and not is_map(path):
            msg = f"{path} was not written by this program: move it away, or use --overwrite"
            raise OutputError(msg)


def replace_maps(mask: Path, maps: Mapping[str, Path]) -> None:
    """Give finished maps their names, and remove those of an older mask.

    Raises:
        OutputError: A map cannot be renamed.
    """
    for kind in MAP_KINDS:
        target = map_path(mask, kind)
        if kind in maps:
            publish(maps[kind], target)
        elif is_map(target):
            with suppress(OSError):
                target.unlink()
