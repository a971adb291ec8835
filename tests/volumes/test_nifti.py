"""Reading NIfTI against nibabel: every slab, every type, only what is asked for."""

from __future__ import annotations

import gzip
import itertools
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from isal import igzip

from unet_med.errors import VolumeError
from unet_med.volumes import (
    from_nibabel,
    gzip_voxels,
    open_volume,
    raw_voxels,
    stack_volumes,
    verify_mask,
    write_mask,
)

TYPES = ("u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")


def as_nibabel(path) -> np.ndarray:
    """All values (C, i, j, k) float32 as nibabel has them in float64."""
    array = nib.load(path).get_fdata(dtype=np.float64).astype(np.float32)
    while array.ndim < 4:
        array = array[..., np.newaxis]
    return np.moveaxis(array.reshape(*array.shape[:3], -1), 3, 0)


def check_every_slab(volume, expected):
    for axis in (2, 0, 1):  # the last axis first: it alone can be read forward
        size = expected.shape[axis + 1]
        for start, stop in itertools.combinations(range(size + 1), 2):
            slab = volume.read(start, stop, axis=axis)
            assert slab.dtype == np.float32
            assert np.array_equal(slab, np.take(expected, range(start, stop), axis + 1))


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "SCAN.NII.GZ"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("version", [1, 2])
def test_every_slab_is_nibabels(write_nifti, name, order, version):
    path = write_nifti(name, order=order, version=version)
    volume = open_volume(path)
    assert volume.geometry.shape == (5, 6, 7)
    np.testing.assert_array_equal(volume.geometry.voxel_to_world, nib.load(path).affine)
    assert volume.path == path
    assert volume.n_channels == 1
    check_every_slab(volume, as_nibabel(path))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("slope", [1.0, 0.013])
def test_every_type_is_scaled_in_float64(write_nifti, dtype, slope):
    rng = np.random.default_rng(3)
    voxels = (rng.integers(0, 127, (3, 4, 5)) * 1.7).astype(dtype)
    path = write_nifti(voxels=voxels, scl_slope=slope, scl_inter=-1024 if slope != 1 else 0)
    volume = open_volume(path)
    assert volume.stored_dtype == np.dtype(dtype)
    values = voxels.astype(np.float64)
    if slope != 1:
        values = values * float(np.float32(slope)) - 1024  # the header holds float32
    assert np.array_equal(volume.read(0, 5, axis=2)[0], values.astype(np.float32))
    assert np.array_equal(volume.read(0, 5, axis=2), as_nibabel(path))
    assert np.array_equal(from_nibabel(nib.load(path)).read(0, 5, axis=2), as_nibabel(path))


@pytest.mark.parametrize("slope", [0.0, np.nan])
def test_no_slope_means_as_stored(write_nifti, slope):
    path = write_nifti(scl_slope=slope, scl_inter=5)
    assert np.array_equal(open_volume(path).read(0, 7, axis=2), as_nibabel(path))


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
@pytest.mark.parametrize(
    ("shape", "n_channels"),
    [((5, 6, 7, 3), 3), ((5, 6, 7, 1), 1), ((5, 6, 7, 1, 3), 3), ((5, 6, 1, 2), 2), ((5, 6), 1)],
)
def test_frames_and_vectors_are_channels(write_nifti, name, shape, n_channels):
    voxels = np.random.default_rng(2).integers(0, 9999, shape).astype(np.int16)
    path = write_nifti(name, voxels=voxels)
    volume = open_volume(path)
    expected = as_nibabel(path)
    assert volume.n_channels == n_channels
    assert volume.geometry.shape == expected.shape[1:]
    check_every_slab(volume, expected)
    for channel in range(n_channels):
        check_every_slab(open_volume(path, channel=channel), expected[[channel]])
        assert open_volume(path, channel=channel).n_channels == 1
    with pytest.raises(VolumeError, match=rf"no channel {n_channels}: it has {n_channels}"):
        open_volume(path, channel=n_channels)
    with pytest.raises(VolumeError, match="no channel -1"):
        open_volume(path, channel=-1)


def test_slabs_may_be_read_in_any_order_and_again(write_nifti):
    path = write_nifti()
    volume, expected = open_volume(path), as_nibabel(path)
    for start in (4, 0, 6, 2, 2, 5, 1):
        assert np.array_equal(volume.read(start, start + 1, axis=2), expected[..., [start]])
    volume.close()
    assert np.array_equal(volume.read(0, 7, axis=2), expected)


@pytest.mark.parametrize(("start", "stop", "axis"), [(0, 8, 2), (-1, 2, 2), (3, 3, 2), (0, 1, 3)])
def test_slabs_outside_the_volume_are_refused(write_nifti, start, stop, axis):
    with pytest.raises(ValueError, match=r"no slab .* of \(5, 6, 7\)"):
        open_volume(write_nifti()).read(start, stop, axis=axis)


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_reading_slices_needs_memory_for_slices(write_nifti, name):
    shape = (64, 64, 900)  # 29 MB; ISA-L's buffer is half a megabyte
    voxels = np.arange(np.prod(shape), dtype=np.float64).reshape(shape) % 251
    path = write_nifti(name, voxels=voxels)
    tracemalloc.start()
    volume = open_volume(path)
    total = sum(float(volume.read(n, n + 1, axis=2).sum()) for n in range(shape[2]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == voxels.sum()
    assert peak < voxels.nbytes / 20


def test_a_compressed_file_is_opened_and_decompressed_once(write_nifti, monkeypatch):
    """Slices in the file's order go through one stream, forward."""
    opened = []
    real = igzip.open
    monkeypatch.setattr(igzip, "open", lambda *args: opened.append(real(*args)) or opened[-1])
    path = write_nifti(voxels=np.zeros((16, 16, 40), np.int16))
    volume = open_volume(path)
    assert len(opened) == 1  # the header
    for n in range(40):
        volume.read(n, n + 1, axis=2)
    assert len(opened) == 2
    volume.close()


def test_a_flipped_scan_is_decompressed_once_more_not_once_a_slice(write_nifti, monkeypatch):
    """Slices against the file's order would restart the stream each time."""
    sought = []

    class Stream(gzip.GzipFile):
        def seek(self, offset, whence=0):
            sought.append(offset)
            return super().seek(offset, whence)

    monkeypatch.setattr(gzip_voxels, "open_stream", Stream)
    path = write_nifti(voxels=np.random.default_rng(1).integers(0, 99, (8, 8, 40)).astype("i2"))
    volume, expected = open_volume(path), as_nibabel(path)
    for n in range(40):
        volume.read(n, n + 1, axis=2)
    for n in reversed(range(40)):
        assert np.array_equal(volume.read(n, n + 1, axis=2), expected[..., [n]])
    for n in range(40):  # and a third pass
        assert np.array_equal(volume.read(n, n + 1, axis=2), expected[..., [n]])
    assert sum(later < earlier for earlier, later in itertools.pairwise(sought)) == 1


@pytest.mark.parametrize("shape", [(48, 40, 1250), (48, 40, 625, 2)])
def test_large_scans_are_unpacked_to_disk(write_nifti, tmp_path, monkeypatch, shape):
    voxels = (np.arange(np.prod(shape)) % 251).reshape(shape).astype(np.float64)
    path = write_nifti(voxels=voxels)
    expected = as_nibabel(path)
    monkeypatch.setattr(gzip_voxels, "MAX_IN_MEMORY_BYTES", 1 << 16)
    monkeypatch.setattr(raw_voxels, "BLOCK_BYTES", 1 << 16)
    monkeypatch.setattr(raw_voxels, "CHUNK_BYTES", 1 << 16)
    tracemalloc.start()
    volume = open_volume(path)
    first = volume.read(0, 1, axis=0)
    again = volume.read(47, 48, axis=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.array_equal(first, expected[:, :1])
    assert np.array_equal(again, expected[:, 47:])
    assert peak < voxels.nbytes / 8
    data = gzip.decompress(path.read_bytes())
    (tmp_path / "cut.nii.gz").write_bytes(gzip.compress(data[:-1001], 1))
    with pytest.raises(VolumeError, match="1001 bytes of voxels are missing"):
        open_volume(tmp_path / "cut.nii.gz").read(0, 1, axis=0)


def test_opening_reads_no_voxel(tmp_path, write_nifti):
    path = write_nifti("scan.nii.gz")
    whole = gzip.decompress(path.read_bytes())
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes(gzip.compress(whole[:400]))
    assert open_volume(cut).geometry.shape == (5, 6, 7)


@pytest.mark.parametrize("names", [("scan.img", "scan.hdr"), ("SCAN.IMG", "SCAN.HDR")])
def test_pairs_of_files_are_read_by_either_name(tmp_path, names):
    voxels = np.random.default_rng(1).integers(0, 99, (4, 5, 6)).astype(np.int16)
    nib.save(nib.Nifti1Pair(voxels, np.diag([1, 2, 3, 1])), tmp_path / "made.img")
    for name in names:
        (tmp_path / "made").with_suffix(name[-4:].lower()).rename(tmp_path / name)
    for name in names:
        volume = open_volume(tmp_path / name)
        assert np.array_equal(volume.read(0, 6, axis=2)[0], voxels)


def test_a_header_with_extensions_is_skipped(tmp_path):
    voxels = np.random.default_rng(1).integers(0, 99, (4, 5, 6)).astype(np.int16)
    image = nib.Nifti1Image(voxels, np.eye(4))
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"x" * 3000))
    nib.save(image, tmp_path / "scan.nii.gz")
    volume = open_volume(tmp_path / "scan.nii.gz")
    assert np.array_equal(volume.read(0, 6, axis=2)[0], voxels)


def test_a_single_slice_without_a_third_column_gets_a_normal(write_nifti):
    voxels = np.zeros((5, 6), np.uint8)
    path = write_nifti(voxels=voxels, srow_x=[0, 2, 0, 1], srow_y=[2, 0, 0, 1], srow_z=[0, 0, 0, 5])
    affine = open_volume(path).geometry.voxel_to_world
    assert affine.tolist() == [[0, 2, 0, 1], [2, 0, 0, 1], [0, 0, -1, 5], [0, 0, 0, 1]]


def test_forms_are_chosen_by_code_and_conflicts_are_named(write_nifti):
    header = nib.Nifti1Header()
    header.set_qform(np.diag([2, 2, 2, 1]), code=1)
    qform = {
        field: header[field]
        for field in ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z")
    }
    zooms = {"pixdim": [1, 2, 2, 2, 1, 1, 1, 1]}
    both = write_nifti("both.nii", qform_code=1, sform_code=1, **qform, **zooms)
    only_q = write_nifti("q.nii", qform_code=1, sform_code=0, **qform, **zooms)
    none = write_nifti("none.nii", qform_code=0, sform_code=0, **zooms)
    for path in (both, only_q, none):
        np.testing.assert_array_equal(
            open_volume(path).geometry.voxel_to_world, nib.load(path).affine
        )
    (carried,) = open_volume(both).warnings
    assert carried.startswith("sform and qform disagree by up to")
    assert carried.endswith("mm; the sform is used")
    (guessed,) = open_volume(none).warnings
    assert guessed.startswith("neither sform nor qform is coded")
    assert open_volume(only_q).warnings == ()
    assert from_nibabel(nib.load(both)).warnings == (carried,)
    stacked = stack_volumes([open_volume(both), open_volume(both)])
    assert stacked.warnings == (carried,)


@pytest.mark.parametrize(
    ("unit", "per_mm", "said"),
    [("micron", 1000, "micrometers"), ("meter", 0.001, "meters"), ("unknown", 1, None)],
)
@pytest.mark.parametrize("form", ["sform", "qform", "neither"])
def test_lengths_in_other_units_become_millimeters(tmp_path, unit, per_mm, said, form):
    expected = np.diag([1.5, 2, 3, 1])
    affine = expected @ np.diag([per_mm, per_mm, per_mm, 1])
    image = nib.Nifti1Image(np.zeros((4, 5, 6), np.int16), affine)
    image.set_sform(affine, int(form == "sform"))
    image.set_qform(affine, int(form != "neither"))
    image.header.set_xyzt_units(unit, "sec")
    nib.save(image, tmp_path / "scan.nii")
    volume = open_volume(tmp_path / "scan.nii")
    guessed = form == "neither"
    np.testing.assert_allclose(volume.geometry.spacing_mm, [1.5, 2, 3], rtol=1e-6)
    if not guessed:
        np.testing.assert_allclose(volume.geometry.voxel_to_world, expected, rtol=1e-6)
    assert len(volume.warnings) == guessed + (said is not None)
    assert said is None or f"lengths in {said}, turned into mm" in volume.warnings[0]
    mask = tmp_path / "mask.nii"
    write_mask(np.ones((4, 5, 6), np.uint8), mask, like=volume, label_names={1: "one"})
    assert nib.load(mask).header.get_xyzt_units() == (unit, "sec")
    assert verify_mask(tmp_path / "scan.nii", mask) == []


def test_the_rounding_of_a_half_turn_is_no_conflict(tmp_path):
    """nibabel's float32 quaternion loses its first part; ordinary files must not warn of it."""
    for degrees in (179.9, 179.97, 180, 90, 33):
        angle = np.deg2rad(degrees)
        affine = np.diag([0.5, 0.5, 0.8, 1.0])
        turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        affine[:2, :2] = np.array(turn) * 0.5
        image = nib.Nifti1Image(np.zeros((512, 512, 20), np.uint8), affine)
        image.set_qform(affine, 1)
        image.set_sform(affine, 1)
        nib.save(image, tmp_path / "scan.nii")
        assert open_volume(tmp_path / "scan.nii").warnings == ()


@pytest.mark.parametrize("name", ["anatomical.nii", "functional.nii", "example4d.nii.gz"])
def test_files_of_nibabels_own_tests(name):
    path = Path(nib.__file__).parent / "tests" / "data" / name
    if not path.exists():
        pytest.skip("this nibabel comes without its test files")
    volume = open_volume(path)
    np.testing.assert_array_equal(volume.geometry.voxel_to_world, nib.load(path).affine)
    last = volume.geometry.shape[2]
    assert np.array_equal(volume.read(0, last, axis=2), as_nibabel(path))
    assert np.array_equal(volume.read(1, 2, axis=0), as_nibabel(path)[:, 1:2])
