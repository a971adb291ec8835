"""Load one slice of a scan with its masks, oriented for display."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med.errors import GeometryError
from unet_med.geometry import (
    AXIS_ENDS,
    SLICE_ORIENTATIONS,
    grid_difference,
    slice_layout,
    world_axes,
)
from unet_med.volumes import open_volume

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from unet_med.geometry import SliceLayout
    from unet_med.volumes import Volume


@dataclass(frozen=True, slots=True)
class CaseFiles:
    """Name the files to draw of one case, all on one grid; any but one may be missing.

    Attributes:
        scan: The scan; without it masks stand on a plain ground.
        prediction: Predicted labels; without them nothing is filled.
        reference: True labels; without them nothing is outlined.
        channel: Channel of a 4D scan; by default the first.

    Example:
        >>> from pathlib import Path
        >>> CaseFiles(scan=None, prediction=Path("p/a.nii.gz")).reference is None
        True
    """

    scan: Path | None
    prediction: Path | None
    reference: Path | None = None
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class SliceView:
    """Hold one slice as it is drawn. Row 0 is the lowest row of the picture.

    Attributes:
        image: Scan values (H, W).
        prediction: Label values (H, W).
        reference: Label values (H, W), or None.
        spacing_mm: Size of a voxel along rows (H) and columns (W).
        axis: ``axial``, ``coronal`` or ``sagittal``.
        edges: Letters of the left, right, lower and upper edge of the picture.

    Example:
        >>> image, labels = np.ones((8, 9), np.float32), np.zeros((8, 9), np.int64)
        >>> view = SliceView(image, labels, None, (1.0, 1.0), "axial", ("R", "L", "P", "A"))
        >>> view.axis, view.edges[0]
        ('axial', 'R')
    """

    image: NDArray[np.float32] = field(repr=False)
    prediction: NDArray[np.int64] = field(repr=False)
    reference: NDArray[np.int64] | None = field(repr=False)
    spacing_mm: tuple[float, float]
    axis: str
    edges: tuple[str, str, str, str]


def load_slice_view(files: CaseFiles, index: int, *, slice_axis: str) -> SliceView:
    """Read one slice of a case.

    Axial and coronal slices are shown as radiologists see them: the patient's right is on the
    left of the picture. Sagittal slices show the front on the left.

    Args:
        files: Scan, prediction and perhaps reference.
        index: Position along the slice axis in the files' own order.
        slice_axis: ``axial``, ``coronal``, ``sagittal`` or ``thickest``.

    Raises:
        VolumeError: A file cannot be read.
        GeometryError: The files do not share one grid, or have no such slice.

    Example:
        >>> import nibabel as nib
        >>> import tempfile
        >>> from pathlib import Path
        >>> mask = nib.Nifti1Image(np.eye(6, dtype=np.uint8)[..., None], np.eye(4))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "a.nii")
        ...     nib.save(mask, path)
        ...     load_slice_view(CaseFiles(None, path), 0, slice_axis="axial")
        SliceView(spacing_mm=(1.0, 1.0), axis='axial', edges=('R', 'L', 'P', 'A'))
    """
    grid = _first(files)
    layout = slice_layout(grid.geometry, slice_axis)
    n_slices = grid.geometry.shape[layout.slice_axis]
    if not 0 <= index < n_slices:
        msg = f"{grid.name} has slices 0 to {n_slices - 1}, not {index}"
        raise GeometryError(msg)
    labels = [
        None if mask is None else _labels(mask, grid, layout, index=index)
        for mask in (files.prediction, files.reference)
    ]
    size = [grid.geometry.shape[axis] for axis in layout.axes[1:]]
    image = np.zeros(size, np.float32)
    if files.scan is not None:
        scan = open_volume(files.scan, channel=files.channel)
        image = _slice(_on_grid(scan, grid), layout, index=index)
    along, _ = world_axes(grid.geometry.voxel_to_world)
    slice_world, row_world, column_world = (along[axis] for axis in layout.axes)
    lower, upper = AXIS_ENDS[row_world]
    right, left = AXIS_ENDS[column_world]  # columns are turned round below
    _, row_mm, column_mm = layout.spacing(grid.geometry)
    return SliceView(
        image=image,
        prediction=np.zeros(size, np.int64) if labels[0] is None else labels[0],
        reference=labels[1],
        spacing_mm=(row_mm, column_mm),
        axis=SLICE_ORIENTATIONS[slice_world],
        edges=(left, right, lower, upper),
    )


def _slice(volume: Volume, layout: SliceLayout, *, index: int) -> NDArray[Any]:
    """Read one slice (H, W), columns turned round; of several channels the first."""
    chunk = volume.read(index, index + 1, axis=layout.slice_axis)[0]
    return layout.to_slices(chunk)[0, :, ::-1]


def _first(files: CaseFiles) -> Volume:
    """Open the file that slices are counted along: the scan's, as all lie on one grid."""
    for path in (files.scan, files.prediction, files.reference):
        if path is not None:
            return open_volume(path)
    msg = "a case needs a scan or a mask to be drawn"
    raise GeometryError(msg)


def _labels(path: Path, grid: Volume, layout: SliceLayout, *, index: int) -> NDArray[np.int64]:
    mask = _on_grid(open_volume(path), grid)
    labels: NDArray[np.int64] = np.rint(_slice(mask, layout, index=index)).astype(np.int64)
    return labels


def _on_grid(volume: Volume, grid: Volume) -> Volume:
    difference = grid_difference(grid.geometry, volume.geometry)
    if difference:
        msg = (
            f"{volume.name} does not lie on the grid of {grid.name}: {difference}; draw them apart"
        )
        raise GeometryError(msg)
    return volume
