from __future__ import annotations

import base64
import io
import itertools
import json
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.reporting.cohorts import SHAPE, box, oblique
from unet_med.errors import LabelError
from unet_med.geometry import slice_layout, slice_position_mm
from unet_med.reporting import case_images, image_atlas
from unet_med.reporting.case_images import CaseVolumes, case_image_data
from unet_med.reporting.image_atlas import GrayScale, block_mean
from unet_med.volumes import from_array


def unpack(mask, codes):
    kind = {1: np.uint8, 2: np.dtype("<u2")}[mask["bytes"]]
    packed = np.frombuffer(zlib.decompress(base64.b64decode(mask["data"])), kind)
    return np.array(codes)[packed.reshape(mask["shape"])]


def unpack_scan(image):
    parts = [np.asarray(Image.open(io.BytesIO(base64.b64decode(one))).convert("L"))
             for one in image["atlases"]]  # fmt: skip
    codes = np.concatenate([part.reshape(-1, *image["shape"][1:]) for part in parts])
    return np.array(image["values"])[codes]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (1, -1, -1)])
@pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal"])
def test_a_stored_voxel_lies_where_its_file_puts_it(order, flips, axis):
    affine = oblique(flips=flips)[:, [*order, 3]]
    labels = np.random.default_rng(0).integers(0, 4, (5, 6, 7)).astype(np.uint8) * 7
    volume = from_array(labels, affine)
    found = case_image_data(CaseVolumes(volume), slice_axis=axis)
    grid = json.loads(json.dumps(found))["grid"]
    shown = unpack(found["masks"]["prediction"], found["codes"])
    assert list(shown.shape) == grid["shape"]
    along = slice_layout(volume.geometry, axis).slice_axis
    to_world = np.array(grid["to_world"])
    inverse = np.linalg.inv(volume.geometry.voxel_to_world)
    for index in np.ndindex(shown.shape):
        world = to_world @ (*index, 1)
        i, j, k = np.rint((inverse @ (*world, 1))[:3]).astype(int)
        assert labels[i, j, k] == shown[index]
        assert (i, j, k)[along] == index[0]  # slices count as the file counts
        file = [0, 0, 0]
        for stored in range(3):
            size, flip = grid["shape"][stored], grid["file_flips"][stored]
            file[grid["file_axes"][stored]] = size - 1 - index[stored] if flip else index[stored]
        assert tuple(file) == (i, j, k)
    expected = [slice_position_mm(volume.geometry, n, axis=along) for n in range(grid["shape"][0])]
    np.testing.assert_allclose(grid["positions_mm"], expected, atol=1e-4)
    for stored in range(3):
        step = to_world[grid["world"][stored], stored]
        assert grid["reversed"][stored] == (step < 0)
        if stored:  # rows and columns run with the world, slices as in the file
            assert step > 0


def test_a_scan_off_the_body_axes_says_so():
    volume = from_array(box(SHAPE, (1, 1, 1), (3, 3, 3)), oblique())
    found = case_image_data(CaseVolumes(volume), slice_axis="axial")
    assert found["grid"]["tilt_degrees"] == pytest.approx(19.1, abs=0.2)
    assert any("off the axes" in note for note in found["notes"])
    straight = from_array(box(SHAPE, (1, 1, 1), (3, 3, 3)), np.diag([1, 1, 3, 1.0]))
    found = case_image_data(CaseVolumes(straight), slice_axis="axial")
    assert found["grid"]["tilt_degrees"] == 0
    assert found["notes"] == []


def test_more_labels_than_a_byte_holds_are_kept():
    labels = np.arange(1000, dtype=np.int32).reshape(10, 10, 10) * 3
    found = case_image_data(CaseVolumes(from_array(labels, np.eye(4))), slice_axis="axial")
    assert found["masks"]["prediction"]["bytes"] == 2
    shown = unpack(found["masks"]["prediction"], found["codes"])
    np.testing.assert_array_equal(shown, labels.transpose(2, 1, 0))


def test_large_masks_are_thinned_never_mixed(monkeypatch):
    labels = np.random.default_rng(0).integers(0, 9, (33, 21, 6)).astype(np.uint8)
    monkeypatch.setattr(case_images, "MASK_VOXELS", 1000)
    found = case_image_data(CaseVolumes(from_array(labels, np.eye(4))), slice_axis="axial")
    mask = found["masks"]["prediction"]
    shown = unpack(mask, found["codes"])
    step = mask["factor"]
    assert step > 1
    assert shown.shape[0] == 6  # every slice is there
    assert shown.size <= 1000
    for n, row, column in np.ndindex(shown.shape):
        assert shown[n, row, column] == labels[column * step + step // 2, row * step + step // 2, n]
    assert any(f"every {step}" in note for note in found["notes"])


def test_masks_that_do_not_pack_are_thinned(monkeypatch):
    labels = np.random.default_rng(0).integers(0, 9, (40, 40, 6)).astype(np.uint8)
    monkeypatch.setattr(case_images, "MASK_BYTES", 1500)
    found = case_image_data(CaseVolumes(from_array(labels, np.eye(4))), slice_axis="axial")
    mask = found["masks"]["prediction"]
    assert mask["factor"] > 1
    assert len(base64.b64decode(mask["data"])) <= 1500
    step = mask["factor"]
    shown = unpack(mask, found["codes"])
    expected = labels.transpose(2, 1, 0)[:, step // 2 :: step, step // 2 :: step]
    np.testing.assert_array_equal(shown, expected)


def scan_of(values):
    shape = values.shape
    scan = from_array(values, np.eye(4), name="scan")
    mask = from_array(np.zeros(shape, np.uint8), np.eye(4))
    return case_image_data(CaseVolumes(mask, scan=scan), slice_axis="axial")


def test_the_scan_is_near_what_is_stored():
    i, j, k = np.meshgrid(*map(np.arange, (40, 30, 5)), indexing="ij")
    values = (1000 * np.sin(i / 9) + 30 * j + 100 * k).astype(np.float32)
    image = scan_of(values)["image"]
    shown = unpack_scan(image)
    assert image["factor"] == 1
    error = np.abs(shown - values.transpose(2, 1, 0))
    assert np.median(error) < 0.015 * np.ptp(values)
    assert np.quantile(error, 0.99) < 0.06 * np.ptp(values)
    low, high = image["window"]
    assert values.min() <= low < high <= values.max()


def test_large_scans_are_reduced_and_say_so(monkeypatch):
    values = np.random.default_rng(0).normal(size=(64, 50, 6)).astype(np.float32)
    full = len("".join(scan_of(values)["image"]["atlases"]))
    monkeypatch.setattr(image_atlas, "ATLAS_BYTES", full // 3)
    found = scan_of(values)
    image = found["image"]
    assert image["factor"] > 1
    assert len("".join(image["atlases"])) * 0.75 <= full // 3 * 1.1
    assert image["shape"] == [6, -(-50 // image["factor"]), -(-64 // image["factor"])]
    words = dict(found["facts"])["scan on this page"]
    assert f"{image['factor']} × {image['factor']}" in words


def test_reduction_is_the_mean_of_blocks():
    slices = np.random.default_rng(0).normal(size=(2, 5, 7)).astype(np.float32)
    small = block_mean(slices, 2)
    assert small.shape == (2, 3, 4)
    np.testing.assert_allclose(small[:, 1, 2], slices[:, 2:4, 4:6].mean(axis=(1, 2)), rtol=1e-6)
    np.testing.assert_allclose(small[:, 2, 3], slices[:, 4, 6], rtol=1e-6)


@pytest.mark.parametrize("value", [0.0, np.nan, -7.0, 1e30, np.inf])
def test_scans_without_contrast_or_sense_are_shown(value):
    values = np.full((6, 5, 4), value, np.float32)
    content = scan_of(values)
    assert content["image"]["shape"] == [4, 5, 6]
    json.dumps(content, allow_nan=False)


def test_codes_are_finer_where_voxels_are_many():
    rng = np.random.default_rng(0)
    sample = np.concatenate([rng.normal(40, 20, 90_000), rng.uniform(-1000, 3000, 10_000)])
    scale = GrayScale.of(sample.astype(np.float32))
    steps = np.diff(scale.values)
    assert (steps > 0).all()
    tissue = (scale.values[1:] > 0) & (scale.values[1:] < 80)
    assert steps[tissue].max() < 3  # 256 equal steps would be 16 each
    encoded = scale.values[scale.encode(sample.astype(np.float32))]
    inside = (sample > -900) & (sample < 2900)
    assert np.abs(encoded - sample)[inside].max() < 20


def test_a_scan_on_another_grid_is_left_out_with_the_numbers():
    mask = from_array(np.zeros((6, 5, 4), np.uint8), np.eye(4))
    scan = from_array(np.zeros((6, 5, 4), np.uint8), np.diag([1, 1, 2, 1.0]), name="scan.nii")
    found = case_image_data(CaseVolumes(mask, scan=scan), slice_axis="axial")
    assert found["image"] is None
    assert "spacing (mm) (1, 1, 1) vs (1, 1, 2)" in found["note"]
    assert found["note"] in found["notes"]


def test_what_is_no_mask_is_refused():
    scan = from_array(np.full((6, 5, 4), 0.5, np.float32), np.eye(4))
    with pytest.raises(LabelError):
        case_image_data(CaseVolumes(scan), slice_axis="axial")
