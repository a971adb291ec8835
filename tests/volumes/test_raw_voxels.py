"""Raw voxels against NumPy's own view of them; labels and maps resliced; full disks."""

from __future__ import annotations

import io
import resource
import tempfile
from contextlib import contextmanager

import numpy as np
import pytest

from unet_med.errors import OutputError, VolumeError
from unet_med.volumes import MapBuffer, gzip_voxels, open_volume, raw_voxels, reslice
from unet_med.volumes.raw_voxels import RawVoxels, TemporaryVoxelFile, VoxelLayout
from unet_med.volumes.reslice import reslice_to_planes

SHAPE = (5, 6, 7)


@pytest.fixture
def small_blocks(monkeypatch):
    """Make every block and piece smaller than the test's volumes."""
    monkeypatch.setattr(raw_voxels, "BLOCK_BYTES", 300)
    monkeypatch.setattr(raw_voxels, "CHUNK_BYTES", 150)
    monkeypatch.setattr(reslice, "BLOCK_BYTES", 100)
    monkeypatch.setattr(reslice, "CHUNK_BYTES", 70)


@contextmanager
def disk_limit(n_bytes):
    """Let no file of this process grow beyond some bytes, as on a full disk.

    A block and no fixture: the test runner's own log must not meet the limit.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("dtype", ["u1", ">i2", "<f8"])
@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.usefixtures("small_blocks")
def test_slabs_of_every_axis_are_numpys(dtype, n_channels):
    rng = np.random.default_rng(0)
    voxels = rng.integers(0, 99, (*SHAPE, n_channels)).astype(dtype)
    file = io.BytesIO(b"head" + voxels.tobytes(order="F"))
    layout = VoxelLayout(SHAPE, n_channels, np.dtype(dtype), 4)
    found = RawVoxels(file, layout, name="scan")
    expected = np.moveaxis(voxels, 3, 0)
    for axis in (0, 1, 2, 1, 0):
        for start, stop in ((0, 2), (2, 3), (3, 5), (1, 4), (4, 5), (0, SHAPE[axis])):
            slab = found.slab(start, stop, axis=axis)
            assert slab.dtype == layout.dtype
            np.testing.assert_array_equal(slab, np.take(expected, range(start, stop), axis + 1))


def test_slabs_in_order_read_the_file_once_a_block(monkeypatch):
    class Counted(io.BytesIO):
        n_read = 0

        def readinto(self, buffer):
            n_read = super().readinto(buffer)
            self.n_read += n_read
            return n_read

    voxels = np.arange(10 * 6 * 7, dtype="i2").reshape(10, 6, 7)
    file = Counted(voxels.tobytes(order="F"))
    monkeypatch.setattr(raw_voxels, "BLOCK_BYTES", voxels.nbytes // 2)
    found = RawVoxels(file, VoxelLayout(voxels.shape, 1, voxels.dtype), name="scan")
    for i in range(10):
        np.testing.assert_array_equal(found.slab(i, i + 1, axis=0)[0], voxels[i : i + 1])
    assert file.n_read == 2 * voxels.nbytes


def test_a_file_that_shrank_is_refused():
    layout = VoxelLayout(SHAPE, 1, np.dtype("i2"))
    found = RawVoxels(io.BytesIO(bytes(layout.n_bytes - 3)), layout, name="scan.nii")
    with pytest.raises(VolumeError, match=r"scan.nii is cut off: 3 bytes"):
        found.slab(6, 7, axis=2)


@pytest.mark.parametrize("kept", [0, 1 << 20])
@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.usefixtures("small_blocks")
def test_labels_come_back_plane_by_plane(monkeypatch, kept, dtype, axis):
    monkeypatch.setattr(reslice, "MAX_IN_MEMORY_BYTES", kept)
    labels = np.random.default_rng(1).integers(0, 200, SHAPE).astype(dtype)
    for step in (1, 2, SHAPE[axis]):
        slabs = np.split(labels, range(step, SHAPE[axis], step), axis)
        planes = list(reslice_to_planes(slabs, shape=SHAPE, axis=axis, dtype=labels.dtype))
        assert len(planes) > 1 or axis == 2 or kept
        np.testing.assert_array_equal(np.concatenate(planes, axis=2), labels)


def test_an_error_of_the_stream_comes_through_and_closes_the_file(monkeypatch):
    monkeypatch.setattr(reslice, "MAX_IN_MEMORY_BYTES", 0)

    def slabs():
        yield np.zeros((1, 6, 7), np.uint8)
        msg = "scan.nii is cut off"
        raise VolumeError(msg)

    with pytest.raises(VolumeError, match=r"scan.nii is cut off"):
        list(reslice_to_planes(slabs(), shape=SHAPE, axis=0, dtype=np.dtype("u1")))


def test_a_full_disk_is_one_line_and_leaves_nothing(write_nifti, tmp_path, monkeypatch):
    voxels = np.random.default_rng(0).integers(0, 99, (30, 40, 50)).astype(np.int16)
    path = write_nifti(voxels=voxels)
    folder = tmp_path / "on_disk"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(gzip_voxels, "MAX_IN_MEMORY_BYTES", 0)
    with pytest.raises(OutputError) as caught, disk_limit(9000):
        open_volume(path).read(0, 1, axis=0)
    assert not list(folder.iterdir())
    text = str(caught.value)
    assert "\n" not in text
    assert f"cannot store the voxels of {path} in {folder}: File too large; free" in text


def test_a_disk_that_fills_up_on_writing_is_one_line():
    on_disk = TemporaryVoxelFile(0, purpose="the labels")
    on_disk.write(bytes(8000))
    full = pytest.raises(OutputError, match=r"cannot store the labels in .*: File too large")
    with full, disk_limit(9000):
        on_disk.write(bytes(8000))
    on_disk.close()


def test_a_temporary_folder_that_is_gone_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(OutputError, match=r"cannot store the labels in .*gone: No such file"):
        TemporaryVoxelFile(100, purpose="the labels")


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("block", [1, 1 << 20])
def test_maps_leave_as_files_have_them(monkeypatch, axis, on_disk, block):
    if on_disk:
        monkeypatch.setattr(reslice, "MAX_IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(reslice, "BLOCK_BYTES", block)
    monkeypatch.setattr(reslice, "CHUNK_BYTES", 100)
    maps = np.random.default_rng(axis).integers(0, 256, (3, 6, 7, 8)).astype(np.uint8)
    collected = MapBuffer((6, 7, 8), 3, axis=axis)
    size = maps.shape[axis + 1]
    for start in range(0, size, 3):
        collected.add(np.take(maps, range(start, min(start + 3, size)), axis=axis + 1))
    planes = list(collected.planes())
    collected.close()
    found = np.concatenate(planes, axis=2).reshape(6, 7, 3, 8).transpose(2, 0, 1, 3)
    np.testing.assert_array_equal(found, maps)
    assert max(plane.shape[2] for plane in planes) == 2  # pieces, not whole maps
