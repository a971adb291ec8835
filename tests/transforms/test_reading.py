"""LoadVolume(d) against nibabel and MONAI's own reader."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor, decollate_batch
from monai.transforms import Compose, EnsureChannelFirstd, LoadImage

from tests.transforms.scans import OBLIQUE, write_scan
from tests.volumes.dicoms import noise, orthonormal, write_series
from unet_med.errors import GeometryError, InputError, VolumeError
from unet_med.transforms import LoadVolume, LoadVolumed, SaveMask


def test_voxels_and_affine_are_nibabels(tmp_path):
    path = write_scan(tmp_path / "a.nii.gz")
    loaded = LoadVolume()(path)
    image = nib.load(path)
    assert isinstance(loaded, MetaTensor)
    assert loaded.dtype == torch.float32
    np.testing.assert_array_equal(loaded[0].numpy(), image.get_fdata())
    np.testing.assert_array_equal(loaded.affine.numpy(), image.affine)
    assert loaded.meta["filename_or_obj"] == str(path)


def test_agrees_with_monais_reader(tmp_path):
    path = write_scan(tmp_path / "a.nii")
    theirs = LoadImage(ensure_channel_first=True)(path)
    ours = LoadVolume()(str(path))
    assert torch.equal(ours.as_tensor(), theirs.as_tensor())
    torch.testing.assert_close(ours.affine, theirs.affine)
    assert ours.meta["space"] == theirs.meta["space"]


def test_several_files_are_channels(tmp_path):
    paths = [write_scan(tmp_path / f"{n}.nii.gz", seed=n) for n in range(3)]
    loaded = LoadVolume(n_channels=3)(paths)
    assert loaded.shape == (3, 11, 14, 6)
    for channel, path in zip(loaded, paths, strict=True):
        np.testing.assert_array_equal(channel.numpy(), nib.load(path).get_fdata())
    assert loaded.meta["filename_or_obj"] == str(paths[0])


def test_channels_on_two_grids_are_refused(tmp_path):
    moved = OBLIQUE.copy()
    moved[0, 3] += 1
    paths = [
        write_scan(tmp_path / "a.nii"),
        write_scan(tmp_path / "b.nii", affine=moved),
    ]
    with pytest.raises(GeometryError):
        LoadVolume()(paths)


def test_time_does_not_pass_as_channels(tmp_path):
    path = tmp_path / "4d.nii.gz"
    voxels = np.random.default_rng(0).integers(0, 9, (5, 6, 7, 3)).astype(np.int16)
    nib.save(nib.Nifti1Image(voxels, OBLIQUE), path)
    with pytest.raises(InputError, match="3 channels, expected 1"):
        LoadVolume(n_channels=1)(path)
    frame = LoadVolume(channel=2, n_channels=1)(path)
    np.testing.assert_array_equal(frame[0].numpy(), voxels[..., 2])
    assert LoadVolume()(path).shape == (3, 5, 6, 7)


def test_five_axes_are_refused(tmp_path):
    path = tmp_path / "5d.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 6, 2, 3), np.int16), OBLIQUE), path)
    with pytest.raises(VolumeError):
        LoadVolume()(path)


def test_a_2d_file_has_one_slice(tmp_path):
    path = write_scan(tmp_path / "flat.nii.gz", shape=(9, 7))
    assert LoadVolume()(path).shape == (1, 9, 7, 1)


def test_dictionary_form_survives_the_loader(tmp_path):
    path = write_scan(tmp_path / "a.nii.gz")
    steps = Compose([LoadVolumed("image"), EnsureChannelFirstd("image")])
    data = Dataset([{"image": [str(path)], "case": "sub/a"}], steps)
    (batch,) = DataLoader(data, batch_size=1)
    assert batch["image"].shape == (1, 1, 11, 14, 6)
    (item,) = decollate_batch(batch)
    assert item["case"] == "sub/a"
    assert item["image"].meta["filename_or_obj"] == str(path)
    np.testing.assert_array_equal(item["image"].affine.numpy(), OBLIQUE.astype(np.float32))
    np.testing.assert_array_equal(item["image"][0].numpy(), nib.load(path).get_fdata())


def test_dictionary_form_names_a_missing_key(tmp_path):
    with pytest.raises(KeyError, match="image"):
        LoadVolumed("image")({"label": tmp_path})
    assert LoadVolumed("image", allow_missing_keys=True)({}) == {}


def test_the_series_of_a_dicom_folder_is_that_of_the_recipes_modality(tmp_path):
    """As on the command line: or a network for MR would be run on a CT, through this door alone."""
    exam, ct = tmp_path / "exam", tmp_path / "ct"
    for folder in (exam, ct):
        write_series(folder, noise(seed=1), orthonormal(), uid="1.2.826.1")
    mr = {"Modality": "MR", "uid": "1.2.826.2", "SeriesNumber": 7}
    for path in write_series(tmp_path / "mr", noise(seed=2), orthonormal(), **mr):
        path.rename(exam / f"mr{path.name}")
    load = LoadVolumed("image", modalities=["MR"])
    image = load({"image": str(exam)})["image"]
    np.testing.assert_array_equal(image[0].numpy(), noise(seed=2))
    with pytest.raises(InputError, match="no series for modality MR"):
        load({"image": str(ct)})
    with pytest.raises(InputError, match="several series"):
        LoadVolume()(exam)
    SaveMask(tmp_path / "out", label_names={1: "one"})((image > 0).to(torch.uint8))
    mask = nib.load(tmp_path / "out" / "exam.nii.gz")
    np.testing.assert_array_equal(np.asarray(mask.dataobj), noise(seed=2) > 0)
