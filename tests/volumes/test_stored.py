"""Pieces of plain files against NumPy's own view of them; spooled labels; full disks."""

from __future__ import annotations

import io
import resource
import tempfile
from contextlib import contextmanager

import numpy as np
import pytest

from unet_med.errors import OutputError, VolumeError
from unet_med.volumes import across, compressed, open_volume, stored
from unet_med.volumes.across import as_planes
from unet_med.volumes.spool import Spool
from unet_med.volumes.stored import StoredVoxels, VoxelLayout

SHAPE = (5, 6, 7)


@pytest.fixture
def small_blocks(monkeypatch):
    """Make every block and piece smaller than the test's volumes."""
    monkeypatch.setattr(stored, "BLOCK_BYTES", 300)
    monkeypatch.setattr(stored, "PIECE_BYTES", 150)
    monkeypatch.setattr(across, "BLOCK_BYTES", 100)
    monkeypatch.setattr(across, "PIECE_BYTES", 70)


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
    found = StoredVoxels(file, layout, name="scan")
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
    monkeypatch.setattr(stored, "BLOCK_BYTES", voxels.nbytes // 2)
    found = StoredVoxels(file, VoxelLayout(voxels.shape, 1, voxels.dtype), name="scan")
    for i in range(10):
        np.testing.assert_array_equal(found.slab(i, i + 1, axis=0)[0], voxels[i : i + 1])
    assert file.n_read == 2 * voxels.nbytes


def test_a_file_that_shrank_is_refused():
    layout = VoxelLayout(SHAPE, 1, np.dtype("i2"))
    found = StoredVoxels(io.BytesIO(bytes(layout.n_bytes - 3)), layout, name="scan.nii")
    with pytest.raises(VolumeError, match=r"scan.nii is cut off: 3 bytes"):
        found.slab(6, 7, axis=2)


@pytest.mark.parametrize("kept", [0, 1 << 20])
@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.usefixtures("small_blocks")
def test_labels_come_back_plane_by_plane(monkeypatch, kept, dtype, axis):
    monkeypatch.setattr(across, "LARGEST_KEPT_BYTES", kept)
    labels = np.random.default_rng(1).integers(0, 200, SHAPE).astype(dtype)
    for step in (1, 2, SHAPE[axis]):
        slabs = np.split(labels, range(step, SHAPE[axis], step), axis)
        planes = list(as_planes(slabs, shape=SHAPE, axis=axis, dtype=labels.dtype))
        assert len(planes) > 1 or axis == 2 or kept
        np.testing.assert_array_equal(np.concatenate(planes, axis=2), labels)


def test_an_error_of_the_stream_comes_through_and_closes_the_spool(monkeypatch):
    monkeypatch.setattr(across, "LARGEST_KEPT_BYTES", 0)

    def slabs():
        yield np.zeros((1, 6, 7), np.uint8)
        msg = "scan.nii is cut off"
        raise VolumeError(msg)

    with pytest.raises(VolumeError, match=r"scan.nii is cut off"):
        list(as_planes(slabs(), shape=SHAPE, axis=0, dtype=np.dtype("u1")))


def test_a_full_disk_is_one_line_and_leaves_nothing(write_nifti, tmp_path, monkeypatch):
    voxels = np.random.default_rng(0).integers(0, 99, (30, 40, 50)).astype(np.int16)
    path = write_nifti(voxels=voxels)
    folder = tmp_path / "spool"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(compressed, "LARGEST_KEPT_BYTES", 0)
    with pytest.raises(OutputError) as caught, disk_limit(9000):
        open_volume(path).read(0, 1, axis=0)
    assert not list(folder.iterdir())
    text = str(caught.value)
    assert "\n" not in text
    assert f"cannot spool the voxels of {path} in {folder}: File too large; free" in text


def test_a_disk_that_fills_up_on_writing_is_one_line():
    spool = Spool(0, purpose="the labels")
    spool.write(bytes(8000))
    full = pytest.raises(OutputError, match=r"cannot spool the labels in .*: File too large")
    with full, disk_limit(9000):
        spool.write(bytes(8000))
    spool.close()


def test_a_temporary_folder_that_is_gone_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(OutputError, match=r"cannot spool the labels in .*gone: No such file"):
        Spool(100, purpose="the labels")
