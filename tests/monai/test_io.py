"""LoadVolume(d) against nibabel and MONAI's reader; SaveMask(d) with the scan's header."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor, decollate_batch
from monai.transforms import AsDiscrete, Compose, EnsureChannelFirstd, LoadImage

from tests.monai.scans import OBLIQUE, in_lps, write_scan
from tests.volumes.dicom_builders import noise, orthonormal, write_series
from unet_med.errors import GeometryError, InputError, LabelError, OutputError, VolumeError
from unet_med.monai.transforms import LoadVolume, LoadVolumed, ResampleInPlane, SaveMask, SaveMaskd
from unet_med.volumes import verify_mask


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
    """As on the command line: or a network for MR would be run on a CT, by LoadVolume alone."""
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


NAMES = {1: "bright"}


def labels_of(path):
    """Return (1, i, j, k) uint8 labels of a scan, with its meta data."""
    image = LoadVolume()(path)
    return (image > 150).to(torch.uint8)


@pytest.mark.parametrize(
    "shape", [(11, 14, 6), (20, 30, 1), (1, 30, 20), (20, 1, 30), (9, 7), (1, 1, 1)]
)
def test_mask_has_the_scans_header_and_shape(tmp_path, shape):
    scan = write_scan(tmp_path / "scans" / "a.nii.gz", shape=shape)
    labels = labels_of(scan)
    returned = SaveMask(tmp_path / "out", label_names=NAMES)(labels)
    mask = tmp_path / "out" / "a.nii.gz"
    assert returned is labels
    assert verify_mask(scan, mask) == []
    image = nib.load(mask)
    assert image.shape == shape
    assert image.get_data_dtype() == np.uint8
    expected = np.asarray(nib.load(scan).dataobj) > 150
    np.testing.assert_array_equal(np.asarray(image.dataobj), expected)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.nii.gz"]


def test_one_scan_leaves_no_trace_in_the_next(tmp_path):
    save = SaveMask(tmp_path / "out", label_names=NAMES)
    shapes = [(20, 30), (2, 3, 4), (20, 30, 1), (6, 5, 4)]
    for number, shape in enumerate(shapes):
        save(labels_of(write_scan(tmp_path / f"{number}.nii.gz", shape=shape)))
    for number, shape in enumerate(shapes):
        assert nib.load(tmp_path / "out" / f"{number}.nii.gz").shape == shape


def test_floats_from_monais_transforms_are_taken_when_whole(tmp_path):
    scan = write_scan(tmp_path / "a.nii.gz")
    image = LoadVolume()(scan)
    logits = torch.cat([150 - image, image - 150]).copy_meta_from(image)
    labels = AsDiscrete(argmax=True)(logits)
    assert labels.is_floating_point()
    SaveMask(tmp_path / "out", label_names=NAMES)(labels)
    saved = np.asarray(nib.load(tmp_path / "out" / "a.nii.gz").dataobj)
    np.testing.assert_array_equal(saved, labels_of(scan)[0].numpy())
    with pytest.raises(LabelError, match="no whole numbers"):
        SaveMask(tmp_path / "out2", label_names=NAMES)(labels * 0.5)


def test_named_values_fix_the_type(tmp_path):
    scan = write_scan(tmp_path / "a.nii.gz")
    SaveMask(tmp_path / "out", label_names={1: "one", 700: "rare"})(labels_of(scan))
    assert nib.load(tmp_path / "out" / "a.nii.gz").get_data_dtype() == np.uint16


def test_equal_basenames_do_not_overwrite_each_other(tmp_path):
    scans = [write_scan(tmp_path / "in" / sub / "a.nii.gz", seed=n) for n, sub in enumerate("xy")]
    save = SaveMask(tmp_path / "out", label_names=NAMES, overwrite=True)
    save(labels_of(scans[0]))
    with pytest.raises(OutputError, match="would both be written"):
        save(labels_of(scans[1]))
    kept = SaveMask(tmp_path / "kept", label_names=NAMES, data_root_dir=tmp_path / "in")
    for scan in scans:
        kept(labels_of(scan))
    for sub, scan in zip("xy", scans, strict=True):
        assert verify_mask(scan, tmp_path / "kept" / sub / "a.nii.gz") == []


def test_existing_masks_stay_unless_asked(tmp_path):
    scan = write_scan(tmp_path / "a.nii.gz")
    target = tmp_path / "out" / "a.nii.gz"
    target.parent.mkdir()
    target.write_bytes(b"corrected by hand")
    with pytest.raises(OutputError, match="overwrite"):
        SaveMask(tmp_path / "out", label_names=NAMES)(labels_of(scan))
    assert target.read_bytes() == b"corrected by hand"
    SaveMask(tmp_path / "out", label_names=NAMES, overwrite=True)(labels_of(scan))
    assert verify_mask(scan, target) == []


def test_a_mask_never_replaces_its_scan(tmp_path):
    scan = write_scan(tmp_path / "a.nii.gz")
    before = scan.read_bytes()
    with pytest.raises(OutputError, match="would replace the scan"):
        SaveMask(tmp_path, label_names=NAMES, overwrite=True)(labels_of(scan))
    assert scan.read_bytes() == before


def test_labels_off_the_scans_grid_are_refused(tmp_path):
    scan = write_scan(tmp_path / "a.nii.gz")
    save = SaveMask(tmp_path / "out", label_names=NAMES)
    resampled = ResampleInPlane(0.8)(LoadVolume()(scan))
    with pytest.raises(GeometryError, match="not on the grid"):
        save((resampled > 150).to(torch.uint8))
    moved = labels_of(scan)
    moved.affine[0, 3] += 0.1
    with pytest.raises(GeometryError, match="not on the grid"):
        save(moved)
    assert not (tmp_path / "out").exists()


def test_labels_with_an_affine_in_lps_are_on_the_scans_grid(tmp_path):
    scan = write_scan(tmp_path / "a.nii.gz")
    SaveMask(tmp_path / "out", label_names=NAMES)(in_lps(labels_of(scan)))
    assert verify_mask(scan, tmp_path / "out" / "a.nii.gz") == []


@pytest.mark.parametrize("shape", [(2, 11, 14, 6), (11, 14, 6)])
def test_only_one_label_map(tmp_path, shape):
    like = labels_of(write_scan(tmp_path / "a.nii.gz"))
    labels = MetaTensor(torch.zeros(shape, dtype=torch.uint8), meta=like.meta)
    with pytest.raises(LabelError, match="1, i, j, k"):
        SaveMask(tmp_path / "out", label_names=NAMES)(labels)


def test_labels_without_a_scan_are_refused(tmp_path):
    with pytest.raises(InputError, match="filename_or_obj"):
        SaveMask(tmp_path, label_names=NAMES)(torch.zeros(1, 2, 3, 4, dtype=torch.uint8))


def test_dictionary_form_writes_by_case(tmp_path):
    scan = write_scan(tmp_path / "a.nii.gz")
    save = SaveMaskd("pred", output_dir=tmp_path / "out", label_names=NAMES, case_key="case")
    item = {"pred": labels_of(scan), "case": "ward 3/b"}
    assert save(item) == item
    assert verify_mask(scan, tmp_path / "out" / "ward 3" / "b.nii.gz") == []
    for case in ("../b", "/b"):
        with pytest.raises(InputError, match="leaves the output folder"):
            save({**item, "case": case})
    with pytest.raises(InputError, match="one SaveMaskd each"):
        SaveMaskd(["a", "b"], output_dir=tmp_path, label_names=NAMES)
