"""Every orientation × affine × form × container × voxel type that NIfTI can express.

Each cell writes a scan whose voxels all differ, reads it, takes it through slices and back, and
writes those values as a mask. nibabel then has to find every value of the mask at the place in
the world where it finds it in the scan; SimpleITK too, where it accepts the file.
"""

from __future__ import annotations

import gzip
import itertools
import random
import shutil
from dataclasses import dataclass
from typing import ClassVar

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the package's own habit
from scipy.spatial.transform import Rotation

from unet_med.geometry import slice_layout
from unet_med.volumes import open_volume, verify_mask, write_mask

SHAPE = (4, 5, 6)
SPACING = (0.7, 1.1, 2.6)
ORIGIN = (-31.5, 12.25, 80.125)
ORIENTATIONS = list(
    itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3))
)
DIRECTIONS = ("orthogonal", "oblique", "sheared")
FORMS = ("qform", "sform", "both", "conflicting", "neither")
CONTAINERS = (".nii", ".nii.gz", "NIfTI-2")
VOXELS = ("uint8", "int16", "uint16", "float32", "float64", "scaled")
PROVEN = (
    "pixdim", "xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d",
    "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z",
)  # fmt: skip


@dataclass(frozen=True)
class Cell:
    orientation: tuple[tuple[int, int, int], tuple[int, int, int]]
    direction: str
    form: str
    container: str
    voxels: str

    FACTORS: ClassVar = ("orientation", "direction", "form", "container", "voxels")

    @property
    def expressible(self) -> bool:
        if self.form == "neither":  # the affine is pixdim alone: one orientation, no angles
            return self.orientation == ORIENTATIONS[0] and self.direction == "orthogonal"
        return self.direction != "sheared" or self.form in {"sform", "conflicting"}

    @property
    def pairs(self) -> set[tuple]:
        values = [(factor, getattr(self, factor)) for factor in self.FACTORS]
        return set(itertools.combinations(values, 2))

    def __str__(self) -> str:
        axes, signs = self.orientation
        names = ("RL", "AP", "SI")
        letters = "".join(names[axis][sign < 0] for axis, sign in zip(axes, signs, strict=True))
        return "-".join((letters, self.direction, self.form, self.container, self.voxels))


def cells_of(orientation) -> list[Cell]:
    rest = itertools.product(DIRECTIONS, FORMS, CONTAINERS, VOXELS)
    return [cell for parts in rest if (cell := Cell(orientation, *parts)).expressible]


def covering_cells() -> list[Cell]:
    """Choose, orientation by orientation, the cells with most pairs not yet met."""
    chosen, missing = [], set()
    for orientation in ORIENTATIONS:
        missing |= set().union(*(cell.pairs for cell in cells_of(orientation)))
    for seed, orientation in enumerate(ORIENTATIONS):
        candidates = cells_of(orientation)
        random.Random(seed).shuffle(candidates)  # so that ties fall differently each time
        while any(cell.pairs & missing for cell in candidates):
            best = max(candidates, key=lambda cell: len(cell.pairs & missing))
            chosen.append(best)
            missing -= best.pairs
    assert not missing
    return chosen


COVERING = covering_cells()


def affine_of(cell: Cell) -> np.ndarray:
    axes, signs = cell.orientation
    matrix = np.zeros((3, 3))
    for array_axis, (world_axis, sign) in enumerate(zip(axes, signs, strict=True)):
        matrix[world_axis, array_axis] = sign * SPACING[array_axis]
    if cell.direction != "orthogonal":
        matrix = Rotation.from_euler("zyx", (12, -9, 17), degrees=True).as_matrix() @ matrix
    if cell.direction == "sheared":
        matrix = matrix @ np.array([[1, 0.06, 0], [0, 1, -0.09], [0.04, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = matrix, ORIGIN
    return affine


def header_of(cell: Cell) -> nib.Nifti1Header:
    affine = affine_of(cell)
    header = nib.Nifti2Header() if cell.container == "NIfTI-2" else nib.Nifti1Header()
    header.set_data_shape(SHAPE)
    header.set_data_dtype("int16" if cell.voxels == "scaled" else cell.voxels)
    header["scl_slope"], header["scl_inter"] = (0.25, -7.5) if cell.voxels == "scaled" else (1, 0)
    header.set_xyzt_units("mm", "sec")
    header.set_zooms(SPACING)
    if cell.form in {"qform", "both", "conflicting"}:
        other = affine.copy()
        other[:3, 3] += (3, -2, 5) if cell.form == "conflicting" else 0
        header.set_qform(other, code=1, strip_shears=True)
    if cell.form in {"sform", "both", "conflicting"}:
        header.set_sform(affine, code=2)
    return header


def write_scan(cell: Cell, folder) -> tuple:
    header = header_of(cell)
    stored = np.random.default_rng(4).permutation(120).reshape(SHAPE)
    path = folder / ("scan.nii" if cell.container == ".nii" else "scan.nii.gz")
    with gzip.open(path, "wb", 1) if path.suffix == ".gz" else path.open("wb") as stream:
        header.write_to(stream)
        stream.write(stored.astype(header.get_data_dtype()).tobytes(order="F"))
    return path, header


def places(image: nib.Nifti1Image) -> tuple[np.ndarray, np.ndarray]:
    """Values in rising order, and where in the world nibabel has each of them."""
    values = np.asarray(image.dataobj).ravel()
    indices = np.indices(image.shape).reshape(3, -1).T
    order = np.argsort(values)
    return values[order], nib.affines.apply_affine(image.affine, indices)[order]


def check_with_simpleitk(scan_path, mask_path, *, needed: bool) -> None:
    try:
        scan = sitk.ReadImage(str(scan_path))
    except RuntimeError:
        if needed:
            raise
        return
    mask = sitk.ReadImage(str(mask_path))
    assert mask.GetOrigin() == scan.GetOrigin()
    assert mask.GetSpacing() == scan.GetSpacing()
    assert mask.GetDirection() == scan.GetDirection()
    ranks = np.argsort(np.argsort(sitk.GetArrayFromImage(scan), axis=None))
    assert np.array_equal(sitk.GetArrayFromImage(mask).ravel(), ranks + 1)


def check_cell(cell: Cell, folder) -> None:
    scan_path, header = write_scan(cell, folder)
    mask_path = folder / f"mask{''.join(scan_path.suffixes)}"
    volume = open_volume(scan_path)
    expected_warning = {"conflicting": "disagree", "neither": "pixdim alone"}.get(cell.form)
    assert [expected_warning] * len(volume.warnings) == [
        word for word in ("disagree", "pixdim alone") for text in volume.warnings if word in text
    ]
    assert bool(volume.warnings) == bool(expected_warning)

    layout = slice_layout(volume.geometry, "coronal")
    voxels = volume.read(0, SHAPE[1], axis=1)
    oracle = nib.load(scan_path)
    assert np.array_equal(voxels[0], oracle.get_fdata().astype(np.float32))
    slices = layout.to_slices(voxels)[:, 0]
    ranks = np.argsort(np.argsort(slices, axis=None)).reshape(slices.shape) + 1
    write_mask(layout.from_slices(ranks), mask_path, like=volume, label_names={1: "first"})

    mask = nib.load(mask_path)
    assert type(mask) is type(oracle)
    assert mask.get_data_dtype() == np.uint8
    written = type(header)(header.binaryblock, check=False)
    for field in PROVEN:
        assert mask.header[field].tobytes() == written[field].tobytes(), field
    assert np.array_equal(mask.header["dim"], written["dim"])
    labels, where = places(mask)
    assert labels.tolist() == list(range(1, 121))
    np.testing.assert_array_equal(where, places(oracle)[1])
    np.testing.assert_allclose(
        volume.geometry.world(np.indices(SHAPE).reshape(3, -1).T),
        nib.affines.apply_affine(oracle.affine, np.indices(SHAPE).reshape(3, -1).T),
        atol=1e-9,
    )
    assert verify_mask(scan_path, mask_path) == []
    if cell.form != "neither":
        needed = cell.direction != "sheared" and cell.container != "NIfTI-2"  # ITK's limits
        check_with_simpleitk(scan_path, mask_path, needed=needed)


@pytest.mark.parametrize("cell", COVERING, ids=str)
def test_a_mask_lies_where_its_scan_lies(cell, tmp_path):
    check_cell(cell, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_mask_lies_where_its_scan_lies_full(orientation, tmp_path):
    for cell in cells_of(orientation):
        folder = tmp_path / str(cell)  # ITK reads scan.nii for scan.nii.gz when both are there
        folder.mkdir()
        check_cell(cell, folder)
        shutil.rmtree(folder)


def test_the_table_has_every_cell_that_nifti_can_express():
    assert len(ORIENTATIONS) == 48
    # 48 × (2 qform + 3 sform + 2 both + 3 conflicting) + 1 neither, times containers and types
    assert sum(len(cells_of(orientation)) for orientation in ORIENTATIONS) == 481 * 3 * 6
