"""Files that cannot be used: one VolumeError of one line, whatever is wrong."""

from __future__ import annotations

import gzip
import os
import warnings

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from unet_med.errors import VolumeError
from unet_med.volumes import open_volume


def read_all(path):
    volume = open_volume(path)
    return volume.read(0, volume.geometry.shape[2], axis=2)


def refused(path, action=read_all) -> str:
    """Return the message with which a file is refused, after looking at its form."""
    with pytest.raises(VolumeError) as caught:
        action(path)
    text = str(caught.value)
    assert "\n" not in text
    assert path.name in text
    assert "Traceback" not in text
    assert ";" in text or ":" in text  # what to do
    return text


def test_no_file(tmp_path):
    assert "does not exist" in refused(tmp_path / "scan.nii.gz")
    assert "does not exist" in refused(tmp_path / "scan.nii")


def test_a_folder(tmp_path):
    (tmp_path / "scan.nii").mkdir()
    assert "is a folder" in refused(tmp_path / "scan.nii")


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "scan.hdr"])
def test_zero_bytes(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    assert "is empty" in refused(tmp_path / name)


def test_an_empty_gzip_stream(tmp_path):
    (tmp_path / "scan.nii.gz").write_bytes(gzip.compress(b""))
    assert "is empty" in refused(tmp_path / "scan.nii.gz")


@pytest.mark.parametrize("size", [3, 40, 348, 4000])
def test_text(tmp_path, size):
    text = (b"patient,age\n" * 400)[:size]
    plain, squeezed, named_gz = (tmp_path / name for name in ("a.nii", "b.nii.gz", "c.nii.gz"))
    plain.write_bytes(text)
    squeezed.write_bytes(gzip.compress(text))
    named_gz.write_bytes(text)
    assert "is not a NIfTI file: it starts with b'pat" in refused(plain)
    assert "is not a NIfTI file" in refused(squeezed)
    assert "is not intact gzip data" in refused(named_gz)


def test_another_ending(tmp_path):
    for name in ("scan.png", "scan", ".nii.gz", "scan.nii.bz2"):
        (tmp_path / name).write_bytes(b"x")
        assert "use one of .nii.gz, .nii" in refused(tmp_path / name)


@pytest.mark.parametrize("kept", [11, 200, 360, 420])
def test_a_cut_off_gzip_file(write_nifti, kept):
    path = write_nifti()
    data = path.read_bytes()
    assert len(data) > 430
    path.write_bytes(data[:kept])
    assert "is cut off" in refused(path)


def test_a_cut_off_plain_file(write_nifti):
    path = write_nifti("scan.nii")
    path.write_bytes(path.read_bytes()[:-1])
    text = refused(path, open_volume)  # before any voxel is read
    assert "is cut off: 771 bytes cannot hold the 772 that its header says" in text


def test_a_header_that_promises_more_than_the_gzip_stream_holds(write_nifti):
    path = write_nifti()
    data = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(data[:-10]))
    assert "10 bytes of voxels are missing of the 420" in refused(path)
    path.write_bytes(gzip.compress(data[:360]))
    assert "412 bytes of voxels are missing" in refused(path)


def test_a_header_that_promises_more_than_any_memory(write_nifti):
    path = write_nifti(dim=[3, 30000, 30000, 30000, 1, 1, 1, 1])
    assert "is cut off" in refused(path, open_volume)


def test_a_wrong_checksum_is_noticed_by_the_last_slice(write_nifti):
    path = write_nifti()
    data = bytearray(path.read_bytes())
    data[-6] ^= 255
    path.write_bytes(data)

    def plane_by_plane(bad):
        volume = open_volume(bad)  # ISA-L unpacks so small a file whole
        return [volume.read(plane, plane + 1, axis=2) for plane in range(7)]

    assert "CRC" in refused(path, plane_by_plane)
    assert "CRC" in refused(path, lambda bad: open_volume(bad).read(0, 1, axis=0))


def test_damaged_compressed_bytes(write_nifti):
    path = write_nifti()
    data = bytearray(path.read_bytes())
    data[300:340] = bytes(40)
    path.write_bytes(data)
    refused(path)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"dim": [3, 5, 0, 7, 1, 1, 1, 1]}, "shape"),
        ({"dim": [3, 5, -6, 7, 1, 1, 1, 1]}, "shape"),
        ({"dim": [1, 210, 1, 1, 1, 1, 1, 1]}, "shape (210,)"),
        ({"dim": [0, 5, 6, 7, 1, 1, 1, 1]}, "shape"),
        ({"dim": [5, 5, 3, 1, 2, 7, 1, 1]}, "split it first"),
        ({"dim": [6, 5, 1, 1, 1, 6, 7, 1]}, "split it first"),
        ({"datatype": 999}, "data code 999"),
        ({"vox_offset": 100}, "vox offset"),
        ({"vox_offset": 0}, "start at byte 0"),
        ({"vox_offset": np.nan}, "header"),
        ({"vox_offset": 1e9}, "cut off"),
        ({"scl_slope": np.inf}, "scl_slope is inf"),
        ({"scl_slope": 2, "scl_inter": np.nan}, "intercept"),
        ({"srow_x": [0, 0, 0, 0]}, "invertible"),
        ({"srow_x": [np.nan, 0, 0, 0]}, "finite"),
        ({"sform_code": 0, "qform_code": 1, "quatern_b": 3.0}, "header"),
        ({"magic": b"abc"}, "not a NIfTI file"),
        ({"magic": b""}, "Analyze"),
        ({"sizeof_hdr": 7}, "not a NIfTI file"),
    ],
)
@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_headers_that_cannot_be(write_nifti, name, fields, said):
    path = write_nifti(name, **fields)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert said in refused(path, open_volume)


@pytest.mark.parametrize(
    ("dtype", "said"),
    [
        ([("R", "u1"), ("G", "u1"), ("B", "u1")], "holds colors"),
        (np.complex64, "holds complex64 numbers"),
        (np.complex128, "holds complex128 numbers"),
    ],
)
def test_voxels_that_are_no_real_numbers(tmp_path, dtype, said):
    path = tmp_path / "scan.nii"
    nib.save(nib.Nifti1Image(np.zeros((3, 4, 5), dtype), np.eye(4)), path)
    assert said in refused(path, open_volume)


def test_values_beyond_float32_are_infinite_without_a_word(write_nifti):
    voxels = np.full((3, 4, 5), 1e300)
    voxels[0, 0, 0] = np.nan
    values = read_all(write_nifti(voxels=voxels))[0]
    assert np.isnan(values[0, 0, 0])
    assert np.isposinf(values[1:]).all()
    assert np.isposinf(read_all(write_nifti(voxels=voxels, scl_slope=1e30))[0, 1:]).all()


def test_a_pair_without_its_voxels(tmp_path):
    nib.save(nib.Nifti1Pair(np.zeros((3, 4, 5), np.uint8), np.eye(4)), tmp_path / "scan.img")
    (tmp_path / "scan.img").unlink()
    refused(tmp_path / "scan.hdr", open_volume)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is unreadable to root"
)
def test_a_file_without_the_right_to_read(write_nifti):
    path = write_nifti()
    path.chmod(0)
    assert "check rights" in refused(path)


def test_a_file_that_vanishes_between_header_and_voxels(write_nifti):
    path = write_nifti()
    volume = open_volume(path)
    path.unlink()
    with pytest.raises(VolumeError, match=r"does not exist; check the path"):
        volume.read(0, 1, axis=2)


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(damage=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=9))
@example(damage=[(319, 127), (318, 160)])  # signaling NaN in the sform
@example(damage=[(254, 0), (79, 127), (78, 160)])  # and in what the voxel size becomes without one
def test_any_damage_is_either_read_or_refused(write_nifti, name, damage):
    """Whatever the header's bytes are, nothing but a VolumeError of one line comes out."""
    path = write_nifti(name)
    data = bytearray(
        gzip.decompress(path.read_bytes()) if name.endswith("gz") else path.read_bytes()
    )
    for place, value in damage:
        data[place] = value
    path.write_bytes(gzip.compress(data, 1) if name.endswith("gz") else data)
    refusal = None
    try:
        read_all(path)
    except VolumeError as exc:
        refusal = str(exc)
    assert refusal is None or "\n" not in refusal
