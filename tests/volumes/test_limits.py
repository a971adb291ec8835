"""What a header may claim: refused before anything is allocated or unpacked."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from tests.batch_helpers import make_segmenter
from unet_med.errors import GeometryError, InputError, VolumeError
from unet_med.inference import SlicePipeline
from unet_med.volumes import Limits, ReadOptions, open_volume
from unet_med.volumes.mask_header import read_extensions, read_label_names


def bomb(path, shape, *, dtype=np.uint8):
    """Write a gzip file of zeros that holds all that its header says."""
    header = nib.Nifti1Header()
    header.set_data_shape(shape)
    header.set_data_dtype(dtype)
    header.set_sform(np.diag([1.0, 1, 2, 1]), code=1)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    left = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    block = bytes(1 << 22)
    with gzip.open(path, "wb", compresslevel=9) as stream:
        stream.write(header.binaryblock + bytes(4))
        while left > 0:
            stream.write(block[: min(left, len(block))])
            left -= len(block)
    return path


def test_too_many_voxels_are_refused_from_the_header(write_nifti):
    path = write_nifti()  # 5 × 6 × 7
    assert open_volume(path, limits=Limits(max_voxels=210)).geometry.shape == (5, 6, 7)
    with pytest.raises(VolumeError, match=r"says it holds 210 voxels, the limit is 209"):
        open_volume(path, limits=Limits(max_voxels=209))
    frames = write_nifti("4d.nii", voxels=np.zeros((3, 4, 5, 2), np.int16))
    with pytest.raises(VolumeError, match="120 voxels"):
        open_volume(frames, limits=Limits(max_voxels=100))
    with pytest.raises(InputError, match="1 or more"):
        Limits(max_voxels=0)


def test_a_header_may_not_promise_a_plane_that_no_memory_holds(tmp_path):
    path = tmp_path / "wide.nii"
    header = nib.Nifti2Header()
    header.set_data_shape((20000, 20000, 1))
    header.set_sform(np.eye(4), code=1)
    header["vox_offset"] = 544
    with path.open("wb") as stream:  # a sparse file: it has the size that its header says
        stream.write(header.binaryblock + bytes(4))
        stream.truncate(544 + 4 * 20000 * 20000)
    with pytest.raises(VolumeError, match="planes of 400000000 voxels"):
        open_volume(path)


def test_a_bomb_is_refused_as_a_scan_and_read_as_a_mask(tmp_path):
    path = bomb(tmp_path / "blank.nii.gz", (512, 512, 1100))
    tracemalloc.start()
    with pytest.raises(VolumeError, match=r"would unpack to \d{3,} times its size"):
        open_volume(path, limits=ReadOptions().limits)
    assert tracemalloc.get_traced_memory()[1] < 1 << 22
    tracemalloc.stop()
    assert open_volume(path).geometry.shape == (512, 512, 1100)  # an empty mask looks so


def test_a_segmenter_keeps_to_its_limits(tmp_path, write_nifti):
    segmenter = make_segmenter(tmp_path / "bundle")
    strict = replace(segmenter, rules=ReadOptions(Limits(max_voxels=100)))
    with pytest.raises(VolumeError, match="210 voxels"):
        strict.segment(write_nifti())
    assert segmenter.segment(write_nifti()).labels.shape == (5, 6, 7)


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_data_far_beyond_what_the_header_says_is_refused(write_nifti, name):
    path = write_nifti(name)
    data = path.read_bytes() if name.endswith("nii") else gzip.decompress(path.read_bytes())

    def read(n_more):
        content = data + bytes(n_more)
        path.write_bytes(content if name.endswith("nii") else gzip.compress(content, 9))
        return open_volume(path).read(0, 7, axis=2)

    assert np.array_equal(read(1000), read(0))
    with pytest.raises(VolumeError, match="goes on for"):
        read(1 << 21)


def test_a_stream_that_never_ends_is_left_early(write_nifti, tmp_path):
    path = tmp_path / "endless.nii.gz"
    start = gzip.decompress(write_nifti().read_bytes())
    with gzip.open(path, "wb", compresslevel=9) as stream:
        stream.write(start)
        for _ in range(256):
            stream.write(bytes(1 << 22))  # a gigabyte
    with pytest.raises(VolumeError, match=r"goes on for 1[0-9]{6} bytes or more"):
        open_volume(path).read(0, 7, axis=2)


def test_voxel_sizes_that_would_make_huge_slices_are_refused(tmp_path, write_nifti):
    path = write_nifti(sform_code=0, qform_code=1, pixdim=[1, 1e6, 1e6, 1, 1, 1, 1, 1])
    recipe = replace(make_segmenter(tmp_path / "b").recipe, in_plane_spacing_mm=1.0)
    with pytest.raises(GeometryError, match="check the voxel sizes in the header"):
        SlicePipeline.for_scan(recipe, open_volume(path).geometry)


def with_extensions(path, area, *, version=1):
    """Write a NIfTI file whose extension area is given byte by byte."""
    header = (nib.Nifti1Header if version == 1 else nib.Nifti2Header)()
    header.set_data_shape((2, 2, 2))
    header.set_data_dtype(np.uint8)
    header.set_sform(np.eye(4), code=1)
    header["vox_offset"] = len(header.binaryblock) + 4 + len(area)
    path.write_bytes(header.binaryblock + b"\1\0\0\0" + area + bytes(8))
    return path


@pytest.mark.parametrize("version", [1, 2])
def test_extensions_are_those_that_nibabel_reads(tmp_path, version):
    one, two = b"hello, you".ljust(24, b"\0"), b"x" * 8
    area = struct.pack("<ii", 32, 6) + one + struct.pack("<ii", 16, 4) + two
    path = with_extensions(tmp_path / "a.nii", area, version=version)
    assert read_extensions(path) == [(6, one), (4, two)]
    assert [e.get_code() for e in nib.load(path).header.extensions] == [6, 4]


@pytest.mark.parametrize("size", [-16, 0, 7, 48, 2**31 - 16])
def test_extension_lengths_that_cannot_be_end_the_reading(tmp_path, size):
    area = struct.pack("<ii", 32, 6) + bytes(24) + struct.pack("<ii", size, 6) + bytes(8)
    path = with_extensions(tmp_path / "a.nii", area)
    assert len(read_extensions(path)) == 1
    assert read_label_names(path) == {}


def test_a_deeply_nested_note_is_somebody_elses(tmp_path):
    text = (b"[" * 200_000).ljust(200_008, b" ")
    path = with_extensions(tmp_path / "a.nii", struct.pack("<ii", len(text) + 8, 6) + text)
    assert read_label_names(path) == {}
