"""SaveMask(d): the scan's header, one file per scan, nothing replaced by accident."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import AsDiscrete

from tests.transforms.scans import in_lps, write_scan
from unet_med.errors import GeometryError, InputError, LabelError, OutputError
from unet_med.transforms import LoadVolume, ResampleInPlane, SaveMask, SaveMaskd
from unet_med.volumes import verify_mask

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
    kept = SaveMask(tmp_path / "kept", label_names=NAMES, root=tmp_path / "in")
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
