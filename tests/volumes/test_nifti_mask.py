"""Masks on disk: verified before they appear, whole or not at all."""

from __future__ import annotations

import errno
import io
import os

import nibabel as nib
import numpy as np
import pytest

from unet_med.errors import GeometryError, LabelError, OutputError
from unet_med.volumes import from_array, mask_image, nifti_writer, open_volume, write_mask

NAMES = {1: "gray matter", 4: "Tumor – Ödem"}
SPATIAL = (5, 6, 7)


def labels_of(shape=SPATIAL) -> np.ndarray:
    return np.random.default_rng(1).choice([0, 1, 4], shape)


@pytest.mark.parametrize(
    ("labels", "error", "said"),
    [
        (np.zeros((5, 7, 6), int), GeometryError, r"labels of shape \(5, 7, 6\) do not fit"),
        (np.zeros(SPATIAL), LabelError, "must be integers, got float64"),
        (np.full(SPATIAL, -1), LabelError, r"got -1"),
        (np.full(SPATIAL, 2**32), LabelError, "got 0 … 4294967296"),
    ],
)
def test_labels_that_are_none_are_refused(write_nifti, tmp_path, labels, error, said):
    scan = open_volume(write_nifti())
    with pytest.raises(error, match=said):
        write_mask(labels, tmp_path / "mask.nii.gz", like=scan, label_names=NAMES)
    with pytest.raises(error, match=said):
        mask_image(labels, like=scan, label_names=NAMES)
    assert not (tmp_path / "mask.nii.gz").exists()


def test_masks_in_memory_are_the_masks_on_disk(write_nifti, tmp_path):
    scan = open_volume(write_nifti(scl_slope=3, sform_code=2, qform_code=1, pixdim=[1] * 8))
    labels = labels_of()
    write_mask(labels, tmp_path / "written.nii", like=scan, label_names=NAMES)
    nib.save(mask_image(labels, like=scan, label_names=NAMES), tmp_path / "saved.nii")
    written, saved = (tmp_path / name for name in ("written.nii", "saved.nii"))
    assert written.read_bytes() == saved.read_bytes()


def test_memory_layout_and_type_of_labels_do_not_matter(write_nifti, tmp_path):
    scan, labels = open_volume(write_nifti()), labels_of()
    variants = {
        "c": np.ascontiguousarray(labels), "f": np.asfortranarray(labels),
        "view": labels[::-1].copy()[::-1], "u1": labels.astype(np.uint8),
        "big": labels.astype(">i4"),
    }  # fmt: skip
    contents = set()
    for name, variant in variants.items():
        path = tmp_path / name / "mask.nii.gz"
        write_mask(variant, path, like=scan, label_names=NAMES)
        contents.add(path.read_bytes())
    (content,) = contents
    assert content[3:8] == bytes(5)  # gzip holds neither a file name nor the time
    write_mask(labels, tmp_path / "other.nii.gz", like=scan, label_names=NAMES)
    assert (tmp_path / "other.nii.gz").read_bytes() in contents


def test_boolean_labels(write_nifti, tmp_path):
    mask = labels_of() > 0
    path = tmp_path / "mask.nii.gz"
    write_mask(mask, path, like=open_volume(write_nifti()), label_names={1: "x"})
    assert np.array_equal(np.asarray(nib.load(path).dataobj), mask.astype(np.uint8))


def test_an_affine_that_float32_cannot_hold_is_refused(tmp_path):
    affine = np.eye(4)
    affine[0, 3] = 1234567.89
    scan = from_array(np.zeros(SPATIAL), affine)
    with pytest.raises(GeometryError, match="cannot keep the place of array: origin"):
        write_mask(labels_of(), tmp_path / "mask.nii", like=scan, label_names=NAMES)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["mask.mha", "mask", "mask.gz", "mask.nii.bz2"])
def test_other_endings_are_refused(write_nifti, tmp_path, name):
    with pytest.raises(OutputError, match=r"end its name in \.nii\.gz or \.nii"):
        write_mask(labels_of(), tmp_path / name, like=open_volume(write_nifti()), label_names={})


class Flaw(io.RawIOBase):
    """A disk that keeps something else than was written, or is full."""

    def __init__(self, path, flaw):
        self.file, self.flaw = open(path, "wb"), flaw  # noqa: PTH123, SIM115 - closed below

    def writable(self):
        return True

    def write(self, data):
        data = bytearray(data)
        if self.flaw == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.flaw == "voxel" and len(data) == 210:
            data[100] ^= 1
        if self.flaw == "header" and len(data) > 348:
            data[280] ^= 1  # srow_x
        if self.flaw == "cut" and len(data) == 210:
            del data[200:]
        self.file.write(data)
        return len(data)

    def close(self):
        self.file.close()
        super().close()


@pytest.mark.parametrize("flaw", ["voxel", "header", "cut", "full"])
def test_a_mask_that_reads_back_differently_never_appears(write_nifti, tmp_path, monkeypatch, flaw):
    scan = open_volume(write_nifti())
    target = tmp_path / "out" / "mask.nii"
    target.parent.mkdir()
    target.write_bytes(b"the mask of before")
    real = type(target).open

    def open_flawed(path, mode="r", *args, **kwargs):
        return Flaw(path, flaw) if mode == "wb" else real(path, mode, *args, **kwargs)

    monkeypatch.setattr(type(target), "open", open_flawed)
    said = "free space" if flaw == "full" else "read back with other bytes"
    with pytest.raises(OutputError, match=said) as caught:
        write_mask(labels_of(), target, like=scan, label_names=NAMES)
    assert "\n" not in str(caught.value)
    assert str(target) in str(caught.value)
    assert target.read_bytes() == b"the mask of before"
    assert [path.name for path in target.parent.iterdir()] == ["mask.nii"]


def test_a_header_that_forgets_a_field_is_not_verified(write_nifti, tmp_path, monkeypatch):
    """Break the making of headers, as a careless change would; the verification has to notice."""
    real = nifti_writer.mask_header

    def careless(*args, **kwargs):
        header = real(*args, **kwargs)
        header["xyzt_units"] = 0
        return header

    monkeypatch.setattr(nifti_writer, "mask_header", careless)
    with pytest.raises(GeometryError, match=r"xyzt_units 10 vs 0"):
        write_mask(labels_of(), tmp_path / "m.nii", like=open_volume(write_nifti()), label_names={})
    assert not (tmp_path / "m.nii").exists()


def test_an_output_folder_that_cannot_be_made(write_nifti, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="check the folder"):
        write_mask(
            labels_of(),
            tmp_path / "file" / "m.nii",
            like=open_volume(write_nifti()),
            label_names={},
        )
