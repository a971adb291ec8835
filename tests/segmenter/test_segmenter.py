from __future__ import annotations

import base64
import io
import itertools
import threading
import time
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from tests.bundles import make_bundle
from unet_med.errors import GeometryError, InputError, VolumeError
from unet_med.networks import UNet2D
from unet_med.preprocessing import Context
from unet_med.segmenter import load_segmenter

SPACING = (1.0, 1.3, 2.5)


def make_scan(shape=(21, 18, 9), seed=0):
    """A RAS+ scan of blobs on air, int16."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    image = rng.normal(20, 5, shape)
    for _ in range(6):
        center, width = rng.uniform(0, 1, 3) * shape, rng.uniform(2, 6)
        image += 400 * np.exp(-((grid - center) ** 2).sum(-1) / (2 * width**2))
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = (-11.0, 7.0, 30.0)
    return nib.Nifti1Image(image.astype(np.int16), affine)


def reference_labels(image, bundle):
    """The obvious way on a RAS+ scan: one axial slice at a time, nothing shared with the stream."""
    voxels = image.get_fdata().astype(np.float32)
    bright = voxels[voxels > voxels.mean(dtype=np.float64)]
    z = (voxels - bright.mean(dtype=np.float64)) / bright.std(dtype=np.float64)
    z = np.clip(z, -5, 5).astype(np.float32)
    weights = torch.load(bundle / "models" / "model.pt", weights_only=True)
    network = UNet2D(1, 3, (4, 8)).eval()
    network.load_state_dict(weights)
    labels = np.zeros(voxels.shape, np.uint8)
    logits = np.zeros((3, *voxels.shape), np.float32)
    for k in range(voxels.shape[2]):
        with torch.inference_mode():
            plane = network(torch.from_numpy(z[:, :, k].T.copy())[None, None])[0].numpy()
        logits[..., k] = plane.transpose(0, 2, 1)
        labels[:, :, k] = plane.argmax(0).T
    top = np.sort(logits, axis=0)
    return labels, top[-1] - top[-2]


def assert_all_labels(labels):
    """A test on a mask of one value would prove nothing."""
    assert set(np.unique(labels)) == {0, 1, 2}


def assert_several_labels(labels):
    """The same, for networks that do not use every label here."""
    assert len(np.unique(labels)) > 1


def assert_same_labels(labels, expected, margin):
    """Equal wherever the two best logits are not within rounding of each other."""
    different = labels != expected
    assert different.mean() < 1e-3
    assert (margin[different] < 1e-4).all()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def segmenter(bundle):
    return load_segmenter(bundle, threads=1)


def test_labels_equal_the_slow_way(segmenter, bundle):
    scan = make_scan()
    result = segmenter.segment(scan)
    expected, margin = reference_labels(scan, bundle)
    assert result.labels.dtype == np.uint8
    assert_all_labels(expected)
    assert_same_labels(result.labels, expected, margin)


@pytest.mark.parametrize(
    "codes", [*itertools.permutations("RAS"), tuple("LPI"), tuple("PSL"), tuple("ILA")]
)
def test_the_mask_does_not_depend_on_how_the_file_is_oriented(segmenter, codes):
    scan = make_scan()
    expected = segmenter.segment(scan).labels
    to = nib.orientations.axcodes2ornt(codes)
    change = nib.orientations.ornt_transform(nib.io_orientation(scan.affine), to)
    turned = scan.as_reoriented(change)
    result = segmenter.segment(turned)
    assert result.labels.shape == turned.shape
    back = nib.as_closest_canonical(nib.Nifti1Image(result.labels, turned.affine))
    np.testing.assert_array_equal(np.asarray(back.dataobj), expected)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_file_image_and_array_give_the_same(segmenter, tmp_path, ending):
    scan = make_scan()
    path = tmp_path / f"scan{ending}"
    nib.save(scan, path)
    expected = segmenter.segment(scan).labels
    for source in (
        path,
        str(path),
        (np.asarray(scan.dataobj), scan.affine),
        nib.load(path),
        [path],
    ):
        np.testing.assert_array_equal(segmenter.segment(source).labels, expected)


def test_simpleitk_images_go_in_and_out(segmenter, tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    path = tmp_path / "scan.nii"
    nib.save(make_scan(), path)
    result = segmenter.segment(sitk.ReadImage(str(path)))
    expected = segmenter.segment(path).labels
    np.testing.assert_array_equal(result.labels, expected)
    image = result.to_sitk()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).transpose(2, 1, 0), expected)
    assert image.GetOrigin() == pytest.approx(sitk.ReadImage(str(path)).GetOrigin())


def test_the_saved_mask_has_the_scans_header(segmenter, tmp_path):
    scan = make_scan()
    scan.header.set_xyzt_units("mm", "sec")
    scan.set_sform(scan.affine, 4)
    nib.save(scan, tmp_path / "scan.nii.gz")
    result = segmenter.segment(tmp_path / "scan.nii.gz")
    result.save(tmp_path / "mask.nii.gz")
    mask = nib.load(tmp_path / "mask.nii.gz")
    np.testing.assert_array_equal(np.asarray(mask.dataobj), result.labels)
    np.testing.assert_array_equal(mask.affine, scan.affine)
    assert int(mask.header["sform_code"]) == 4
    assert mask.header.get_xyzt_units() == ("mm", "sec")
    np.testing.assert_array_equal(np.asarray(result.to_nibabel().dataobj), result.labels)


def test_volumes_are_counted_in_ml(segmenter):
    result = segmenter.segment(make_scan())
    voxel_ml = np.prod(SPACING) / 1000
    for value, name in ((1, "one"), (2, "two")):
        expected = np.count_nonzero(result.labels == value) * voxel_ml
        assert result.volumes_ml[name] == pytest.approx(expected)


def test_context_is_the_same_for_any_batch(tmp_path, monkeypatch):
    """A stream that forgets or repeats neighbors would differ between batch sizes."""
    bundle = make_bundle(tmp_path, context=Context(5, 5.0), in_plane_spacing_mm=1.1)
    segmenter = load_segmenter(bundle, threads=1)
    scan = make_scan((19, 23, 12))
    expected = segmenter.segment(scan).labels
    assert_all_labels(expected)
    for pixels in (1, 3 * 19 * 23, 1 << 22):
        monkeypatch.setattr("unet_med.inference.pipeline.PIXELS_PER_BATCH", pixels)
        assert (segmenter.segment(scan).labels != expected).mean() < 1e-3


def test_recipe_axis_is_anatomical(tmp_path):
    """A sagittal recipe on a permuted file gives the labels of the file that is not."""
    bundle = make_bundle(tmp_path, slice_axis="sagittal")
    segmenter = load_segmenter(bundle, threads=1)
    scan = make_scan()
    turned = scan.slicer[:, :, ::-1]
    labels = segmenter.segment(turned).labels
    assert_all_labels(labels)
    np.testing.assert_array_equal(labels[:, :, ::-1], segmenter.segment(scan).labels)


def test_one_slice_and_2d_scans_keep_their_shape(segmenter, tmp_path):
    scan = make_scan()
    nib.save(scan.slicer[:, :, 4:5], tmp_path / "one.nii.gz")
    flat = nib.Nifti1Image(np.asarray(scan.dataobj)[:, :, 4], scan.affine)
    nib.save(flat, tmp_path / "flat.nii.gz")
    for name, shape in (("one", (21, 18, 1)), ("flat", (21, 18))):
        result = segmenter.segment(tmp_path / f"{name}.nii.gz")
        result.save(tmp_path / f"{name}_mask.nii.gz")
        assert nib.load(tmp_path / f"{name}_mask.nii.gz").shape == shape
        assert result.labels.shape == (21, 18, 1)


def test_channels_come_as_a_list_or_a_4d_file(tmp_path):
    segmenter = load_segmenter(make_bundle(tmp_path / "b", n_channels=2), threads=1)
    first, second = make_scan(seed=1), make_scan(seed=2)
    stacked = np.stack([first.get_fdata(), second.get_fdata()], -1).astype(np.int16)
    nib.save(nib.Nifti1Image(stacked, first.affine), tmp_path / "both.nii.gz")
    expected = segmenter.segment([first, second]).labels
    assert_all_labels(expected)
    np.testing.assert_array_equal(segmenter.segment(tmp_path / "both.nii.gz").labels, expected)
    assert (segmenter.segment([second, first]).labels != expected).any()


def test_wrong_numbers_of_channels_are_refused(segmenter):
    scan = make_scan()
    with pytest.raises(InputError, match="2 channels, the recipe wants 1"):
        segmenter.segment([scan, scan])
    with pytest.raises(InputError, match="empty list"):
        segmenter.segment([])


def test_a_4d_scan_needs_a_channel(segmenter, tmp_path):
    scan = make_scan()
    frames = np.stack([np.asarray(scan.dataobj), np.asarray(scan.dataobj)[::-1]], -1)
    nib.save(nib.Nifti1Image(frames, scan.affine), tmp_path / "cine.nii.gz")
    with pytest.raises(InputError, match="--channel"):
        segmenter.segment(tmp_path / "cine.nii.gz")
    result = segmenter.segment(tmp_path / "cine.nii.gz", channel=0)
    np.testing.assert_array_equal(result.labels, segmenter.segment(scan).labels)


def test_channels_on_other_grids_are_refused(tmp_path):
    segmenter = load_segmenter(make_bundle(tmp_path, n_channels=2), threads=1)
    scan = make_scan()
    moved = nib.Nifti1Image(np.asarray(scan.dataobj), scan.affine + np.eye(4)[:, [3, 3, 3, 0]] * 0)
    moved.affine[0, 3] += 4
    shifted = nib.Nifti1Image(np.asarray(scan.dataobj), moved.affine)
    with pytest.raises(GeometryError):
        segmenter.segment([scan, shifted])


def test_nonfinite_voxels_are_counted_and_warned_of(segmenter):
    voxels = make_scan().get_fdata().astype(np.float32)
    voxels[3, 4, 5], voxels[0, 0, 0] = np.nan, np.inf
    result = segmenter.segment((voxels, make_scan().affine))
    assert result.nonfinite_voxels == 2
    assert any("NaN or infinite" in text for text in result.warnings)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_scans_without_content_are_refused(segmenter, value):
    with pytest.raises(VolumeError):
        segmenter.segment((np.full((5, 6, 7), value, np.float32), np.eye(4)))


@pytest.mark.parametrize("source", [3, None, {"image": "a.nii"}, (1, 2, 3)])
def test_other_things_are_refused(segmenter, source):
    with pytest.raises(InputError, match="cannot segment"):
        segmenter.segment(source)


def test_progress_ends_with_all_slices(segmenter):
    seen = []
    segmenter.segment(make_scan(), progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (9, 9)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def after_two_calls(event):
    """A guard that sets an event when the network was run twice."""
    calls = itertools.count(1)

    def guard(predictor):
        def predict(slices, /):
            logits = predictor(slices)
            if next(calls) == 2:
                event.set()
            return logits

        return predict

    return guard


def test_the_network_runs_while_labels_are_made(segmenter, tmp_path, monkeypatch):
    monkeypatch.setattr("unet_med.inference.pipeline.PIXELS_PER_BATCH", 3 * 21 * 18)
    twice, waited = threading.Event(), []

    def progress(done, _total):
        if not waited:  # labels of the first slices are made, the user of them waits
            waited.append((done, twice.wait(timeout=10)))

    case = segmenter.open(make_scan()).with_predictors(after_two_calls(twice))
    case.write_to(tmp_path / "mask.nii.gz", progress)
    assert waited == [(3, True)]


def test_a_run_given_up_leaves_no_thread(segmenter, tmp_path, monkeypatch):
    monkeypatch.setattr("unet_med.inference.pipeline.PIXELS_PER_BATCH", 1)

    def progress(done, _total):
        if done == 2:
            msg = "enough"
            raise InterruptedError(msg)

    with pytest.raises(InterruptedError, match="enough"):
        segmenter.segment_to(make_scan(), tmp_path / "mask.nii.gz", progress=progress)
    deadline = time.monotonic() + 5
    while (left := prefetching()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not left
    assert not list(tmp_path.iterdir())


def prefetching():
    return [thread for thread in threading.enumerate() if thread.name == "unet_med-prefetch"]


def test_paths_that_do_not_exist_are_refused(segmenter):
    with pytest.raises(VolumeError, match="does not exist"):
        segmenter.segment(Path("nowhere.nii.gz"))


@pytest.mark.parametrize("slice_axis", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("codes", ["RAS", "LPI", "SRA"])
def test_straight_to_a_file_gives_the_bytes_of_segment_and_save(tmp_path, slice_axis, codes):
    bundle = make_bundle(tmp_path / "b", slice_axis=slice_axis, context=Context(3, 2.6))
    segmenter = load_segmenter(bundle, threads=1)
    scan = make_scan()
    to = nib.orientations.axcodes2ornt(codes)
    change = nib.orientations.ornt_transform(nib.io_orientation(scan.affine), to)
    nib.save(scan.as_reoriented(change), tmp_path / "scan.nii.gz")
    result = segmenter.segment(tmp_path / "scan.nii.gz")
    result.save(tmp_path / "whole.nii.gz")
    facts = segmenter.segment_to(tmp_path / "scan.nii.gz", tmp_path / "slabs.nii.gz")
    assert_several_labels(result.labels)
    assert (tmp_path / "slabs.nii.gz").read_bytes() == (tmp_path / "whole.nii.gz").read_bytes()
    assert facts.volumes_ml == result.volumes_ml
    assert {"statistics", "read", "network", "labels", "write", "total"} <= set(facts.seconds)


def test_context_of_a_flipped_file_is_not_mirrored(tmp_path):
    """The lowest neighbor comes first whichever way the file runs."""
    bundle = make_bundle(tmp_path, context=Context(3, 2.6))
    segmenter = load_segmenter(bundle, threads=1)
    scan = make_scan()
    expected = segmenter.segment(scan).labels
    assert_several_labels(expected)
    flipped = scan.slicer[:, :, ::-1]
    np.testing.assert_array_equal(segmenter.segment(flipped).labels[:, :, ::-1], expected)


def test_a_scan_that_breaks_off_leaves_no_mask(segmenter, tmp_path):
    nib.save(make_scan((64, 64, 9)), tmp_path / "scan.nii.gz")
    whole = (tmp_path / "scan.nii.gz").read_bytes()
    (tmp_path / "scan.nii.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VolumeError):
        segmenter.segment_to(tmp_path / "scan.nii.gz", tmp_path / "out" / "mask.nii.gz")
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize("codes", ["RAS", "LPI", "SRA"])
def test_a_result_is_described_in_a_few_lines_and_by_a_picture(segmenter, codes):
    scan = make_scan((60, 48, 9))
    to = nib.orientations.axcodes2ornt(codes)
    change = nib.orientations.ornt_transform(nib.io_orientation(scan.affine), to)
    result = segmenter.segment(scan.as_reoriented(change))
    many = {f"label {n}": 1.0 for n in range(300)}
    for shown in (result, replace(result, volumes_ml=many)):
        assert len(repr(shown).splitlines()) < 10
        assert len(repr(shown)) < 500
    page = result._repr_html_()
    data = page.partition("base64,")[2].partition('"')[0]
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert (picture.format, picture.size) == ("PNG", (60, 48))
        pixels = np.asarray(picture).astype(int)
    colored = np.ptp(pixels, axis=2) > 0
    counts = np.count_nonzero(segmenter.segment(scan).labels, axis=(0, 1))
    assert np.count_nonzero(colored) == counts.max()
