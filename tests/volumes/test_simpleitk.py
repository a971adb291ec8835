"""SimpleITK in memory, against SimpleITK's own idea of where voxels are."""

from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the package's own habit
from scipy.spatial.transform import Rotation

from unet_med.errors import GeometryError, VolumeError
from unet_med.geometry import Geometry, grid_difference
from unet_med.volumes import from_sitk, open_volume, to_sitk, verify_mask, write_mask

SHAPE = (4, 5, 6)
TURN = Rotation.from_euler("xyz", (10, 20, -130), degrees=True).as_matrix()


def image_of(array_kji, *, direction=TURN) -> sitk.Image:
    image = sitk.GetImageFromArray(array_kji)
    image.SetSpacing((0.7, 0.9, 2.5))
    image.SetOrigin((-100.5, 30.25, 12))
    image.SetDirection(np.asarray(direction).ravel().tolist())
    return image


@pytest.fixture
def image():
    return image_of(np.random.default_rng(1).integers(-99, 999, SHAPE[::-1]).astype(np.int16))


def test_every_voxel_lies_where_simpleitk_says(image):
    volume = from_sitk(image)
    voxels = volume.read(0, 6, axis=2)[0]
    assert volume.geometry.shape == SHAPE == image.GetSize()
    for index in itertools.product(*map(range, SHAPE)):
        x, y, z = image.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose(volume.geometry.world(index), (-x, -y, z), atol=1e-9)
        assert voxels[index] == image[index]


def test_a_file_is_one_place_for_simpleitk_and_for_us(image, tmp_path):
    sitk.WriteImage(image, str(tmp_path / "scan.nii.gz"))
    volume = open_volume(tmp_path / "scan.nii.gz")
    in_memory = from_sitk(image)
    assert grid_difference(volume.geometry, in_memory.geometry) is None
    assert np.array_equal(volume.read(0, 6, axis=2), in_memory.read(0, 6, axis=2))


@pytest.mark.parametrize("flip", list(itertools.product((1, -1), repeat=3)))
def test_labels_go_back_onto_the_image(flip):
    image = image_of(np.zeros(SHAPE[::-1], np.int16), direction=TURN @ np.diag(flip))
    volume = from_sitk(image)
    labels = np.arange(120).reshape(SHAPE).astype(np.uint8)
    back = to_sitk(labels, volume.geometry)
    np.testing.assert_allclose(back.GetOrigin(), image.GetOrigin(), atol=1e-9)
    np.testing.assert_allclose(back.GetSpacing(), image.GetSpacing(), atol=1e-9)
    np.testing.assert_allclose(back.GetDirection(), image.GetDirection(), atol=1e-9)
    assert back.GetPixelID() == sitk.sitkUInt8
    for index in ((0, 0, 0), (3, 4, 5), (1, 2, 3), (3, 0, 2)):
        assert back[index] == labels[index]
    sitk.LabelOverlay(sitk.Cast(image, sitk.sitkUInt8), back)  # ITK itself finds one space


def test_a_mask_of_an_image_overlays_it(image, tmp_path):
    scan = from_sitk(image)
    write_mask(np.ones(SHAPE, int), tmp_path / "mask.nii.gz", like=scan, label_names={1: "x"})
    sitk.WriteImage(image, str(tmp_path / "scan.nii.gz"))
    mask = nib.load(tmp_path / "mask.nii.gz")
    np.testing.assert_allclose(mask.affine, nib.load(tmp_path / "scan.nii.gz").affine, atol=1e-5)
    assert not [text for text in verify_mask(tmp_path / "scan.nii.gz", tmp_path / "mask.nii.gz")
                if text.startswith("grid")]  # fmt: skip


def test_vectors_are_channels():
    array = np.random.default_rng(1).integers(0, 99, (*SHAPE[::-1], 3)).astype(np.int16)
    image = sitk.GetImageFromArray(array, isVector=True)
    volume = from_sitk(image)
    assert volume.n_channels == 3
    assert volume.read(0, 4, axis=0)[2, 1, 2, 3] == image[1, 2, 3][2]


def test_a_flat_image_is_one_slice():
    image = sitk.GetImageFromArray(np.arange(20).reshape(5, 4).astype(np.int16))
    image.SetSpacing((0.5, 0.25))
    image.SetOrigin((7, 8))
    volume = from_sitk(image)
    assert volume.geometry.shape == (4, 5, 1)
    assert volume.geometry.spacing_mm == (0.5, 0.25, 1.0)
    assert volume.geometry.world((1, 2, 0)).tolist() == [-7.5, -8.5, 0.0]
    assert volume.read(0, 1, axis=2)[0, 3, 2, 0] == image[3, 2]


def test_more_dimensions_and_shears_are_refused():
    with pytest.raises(VolumeError, match="4 dimensions"):
        from_sitk(sitk.Image((2, 3, 4, 5), sitk.sitkInt16))
    sheared = np.eye(4)
    sheared[0, 1] = 0.1
    with pytest.raises(GeometryError, match=r"sheared .* save as NIfTI"):
        to_sitk(np.zeros(SHAPE, np.uint8), Geometry(SHAPE, sheared))
