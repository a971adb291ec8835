from __future__ import annotations

import tracemalloc

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from unet_med.errors import GeometryError, LabelError, VolumeError
from unet_med.evaluation import CaseStatus, MetricSettings, evaluate_case, score_volumes
from unet_med.evaluation.case import CHUNK_VOXELS, MAX_LABELS
from unet_med.metrics import volume_dice
from unet_med.volumes import from_array

SHAPE = (5, 7, 6)
AFFINE = np.array([[-2.0, 0, 0, 30], [0, 1, 0, -40], [0, 0, 3, 10], [0, 0, 0, 1]])


def make_masks(seed=0, values=(0, 1, 2, 9), shape=SHAPE):
    rng = np.random.default_rng(seed)
    return rng.choice(np.array(values, np.uint8), size=(2, *shape))


def save(path, array, affine=AFFINE):
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


def counts_by_loop(prediction, reference, axis, label):
    """The obvious loop over slices of the file's own array."""
    rows = []
    for index in range(reference.shape[axis]):
        p = np.take(prediction, index, axis) == label
        r = np.take(reference, index, axis) == label
        rows.append([(p & r).sum(), (p & ~r).sum(), (~p & r).sum()])
    return np.array(rows)


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
@pytest.mark.parametrize(("name", "axis"), [("sagittal", 0), ("coronal", 1), ("axial", 2)])
def test_counts_are_those_of_the_file_own_slices(tmp_path, ending, name, axis):
    prediction, reference = make_masks()
    scores = evaluate_case(
        save(tmp_path / f"p.{ending}", prediction),
        save(tmp_path / f"r.{ending}", reference),
        slice_axis=name,
    )
    assert scores.slice_axis == name
    assert scores.labels == (1, 2, 9)
    assert scores.status is CaseStatus.SCORED
    for column, label in enumerate(scores.labels):
        found = np.stack(
            [c[:, column] for c in (scores.counts.tp, scores.counts.fp, scores.counts.fn)], 1
        )
        np.testing.assert_array_equal(found, counts_by_loop(prediction, reference, axis, label))


@pytest.mark.parametrize("chunk_voxels", [1, 40, 10**6])
@pytest.mark.parametrize("name", ["sagittal", "coronal", "axial"])
def test_counts_do_not_depend_on_how_much_is_read_at_once(monkeypatch, chunk_voxels, name):
    prediction, reference = (from_array(mask, AFFINE) for mask in make_masks())
    expected = score_volumes(prediction, reference, slice_axis=name)
    monkeypatch.setattr("unet_med.evaluation.case.CHUNK_VOXELS", chunk_voxels)
    found = score_volumes(prediction, reference, slice_axis=name)
    np.testing.assert_array_equal(found.counts.tp, expected.counts.tp)
    np.testing.assert_array_equal(found.counts.fp, expected.counts.fp)
    np.testing.assert_array_equal(found.counts.fn, expected.counts.fn)


@settings(deadline=None)
@given(hnp.arrays(np.uint8, (2, *SHAPE), elements=st.sampled_from([0, 1, 2, 200])))
def test_volume_dice_does_not_depend_on_the_slice_axis(masks):
    prediction, reference = (from_array(mask, AFFINE) for mask in masks)
    counts = MetricSettings(surface_metrics=False)
    each = [
        volume_dice(score_volumes(prediction, reference, slice_axis=name, metrics=counts).counts)
        for name in ("axial", "coronal", "sagittal")
    ]
    np.testing.assert_array_equal(each[0], each[1])
    np.testing.assert_array_equal(each[0], each[2])


def test_slices_lie_where_the_affine_says_in_the_file_order():
    mask = from_array(np.ones(SHAPE, np.uint8), AFFINE)
    sagittal = score_volumes(mask, mask, slice_axis="sagittal")
    np.testing.assert_allclose(sagittal.positions_mm, [30, 28, 26, 24, 22])
    axial = score_volumes(mask, mask, slice_axis="axial")
    np.testing.assert_allclose(axial.positions_mm, [10, 13, 16, 19, 22, 25])


def test_the_thickest_axis_is_taken_unless_nearly_isotropic():
    mask = np.ones(SHAPE, np.uint8)
    thick = from_array(mask, np.diag([1, 4.0, 1, 1]))
    assert score_volumes(thick, thick).slice_axis == "coronal"
    nearly = from_array(mask, np.diag([1, 1.04, 1, 1]))
    assert score_volumes(nearly, nearly).slice_axis == "axial"


def test_milliliters_come_from_the_affine():
    mask = from_array(np.ones(SHAPE, np.uint8), AFFINE)
    assert score_volumes(mask, mask).voxel_ml == pytest.approx(2 * 1 * 3 / 1000)


def test_an_oblique_case_is_scored_like_a_straight_one():
    angle = np.deg2rad(25)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    prediction, reference = make_masks()
    straight = score_volumes(from_array(prediction, AFFINE), from_array(reference, AFFINE))
    oblique = score_volumes(
        from_array(prediction, turn @ AFFINE), from_array(reference, turn @ AFFINE)
    )
    assert oblique.slice_axis == straight.slice_axis == "axial"
    np.testing.assert_array_equal(oblique.counts.tp, straight.counts.tp)
    assert oblique.voxel_ml == pytest.approx(straight.voxel_ml)


def test_one_slice_and_two_dimensional_files_are_cases(tmp_path):
    mask = make_masks()[0][:, :, 0]
    scores = evaluate_case(save(tmp_path / "p.nii", mask), save(tmp_path / "r.nii", mask))
    assert scores.counts.n_slices == 1
    np.testing.assert_array_equal(volume_dice(scores.counts), [1, 1, 1])


def test_chosen_labels_keep_their_order_and_count_zero_where_absent():
    prediction, reference = make_masks()
    both = (from_array(prediction, AFFINE), from_array(reference, AFFINE))
    scores = score_volumes(*both, labels=[9, 5, 1])
    assert scores.labels == (9, 5, 1)
    everything = score_volumes(*both)
    np.testing.assert_array_equal(scores.counts.tp[:, 0], everything.counts.tp[:, 2])
    assert not scores.counts.tp[:, 1].any()
    assert scores.prediction_values == {1, 2, 9}


def test_a_missing_prediction_misses_every_voxel(tmp_path):
    reference = make_masks()[1]
    scores = evaluate_case(None, save(tmp_path / "r.nii.gz", reference))
    assert scores.status is CaseStatus.MISSING
    np.testing.assert_array_equal(volume_dice(scores.counts), [0, 0, 0])
    np.testing.assert_array_equal(
        scores.counts.fn.sum(axis=0), [(reference == label).sum() for label in (1, 2, 9)]
    )


def test_two_empty_masks_are_a_case_without_labels():
    empty = from_array(np.zeros(SHAPE, np.uint8), AFFINE)
    scores = score_volumes(empty, empty)
    assert scores.labels == ()
    assert scores.counts.n_slices == SHAPE[2]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float_labels_near_integers_count_as_integers(tmp_path, dtype):
    prediction, reference = make_masks()
    noisy = reference.astype(dtype) + dtype(4e-4)
    as_float = evaluate_case(save(tmp_path / "p.nii", prediction), save(tmp_path / "r.nii", noisy))
    as_int = evaluate_case(
        save(tmp_path / "p.nii", prediction), save(tmp_path / "s.nii", reference)
    )
    np.testing.assert_array_equal(as_float.counts.tp, as_int.counts.tp)


@pytest.mark.parametrize("bad", [0.5, np.nan, np.inf])
def test_other_floats_are_an_error_that_names_the_file(tmp_path, bad):
    prediction, reference = make_masks()
    broken = prediction.astype(np.float32)
    broken[2, 3, 4] = bad
    with pytest.raises(LabelError, match=rf"the prediction .*p\.nii holds {bad:g}"):
        evaluate_case(save(tmp_path / "p.nii", broken), save(tmp_path / "r.nii", reference))


def test_labels_that_float32_cannot_tell_apart_are_refused(tmp_path):
    """Voxels are read as float32, where 2²⁴ + 1 becomes 2²⁴: the wrong label would score 1."""
    reference = make_masks()[1].astype(np.int32)
    reference[reference == 2] = 2**24
    prediction = np.where(reference == 2**24, 2**24 + 1, reference)
    with pytest.raises(LabelError, match="cannot be told apart"):
        evaluate_case(save(tmp_path / "p.nii", prediction), save(tmp_path / "r.nii", reference))


def test_a_scaled_mask_is_read_with_its_scale(tmp_path):
    prediction, reference = make_masks()
    stored = np.rint((reference - 0.5) / 0.0125).astype(np.int16)
    image = nib.Nifti1Image(stored, AFFINE)
    image.header.set_slope_inter(0.0125, 0.5)  # written as it is, the voxels too
    nib.save(image, tmp_path / "r.nii.gz")
    scaled = evaluate_case(save(tmp_path / "p.nii", prediction), tmp_path / "r.nii.gz")
    plain = evaluate_case(save(tmp_path / "p.nii", prediction), save(tmp_path / "r.nii", reference))
    np.testing.assert_array_equal(scaled.counts.tp, plain.counts.tp)


def test_a_4d_mask_is_refused(tmp_path):
    masks = make_masks()
    four = save(tmp_path / "four.nii.gz", np.moveaxis(masks, 0, -1))
    three = save(tmp_path / "three.nii.gz", masks[0])
    with pytest.raises(LabelError, match=r"the prediction .*four.* has 2 channels or frames"):
        evaluate_case(four, three)
    with pytest.raises(LabelError, match=r"the reference .*four"):
        evaluate_case(three, four)


@pytest.mark.parametrize(
    ("affine", "numbers"),
    [
        (AFFINE @ np.diag([1, 1, 2, 1]), r"\(2, 1, 3\)|\(2, 1, 6\)"),
        (AFFINE + np.array([[0, 0, 0, 5.0]] + [[0] * 4] * 3), "30"),
    ],
)
def test_grids_that_differ_are_an_error_with_numbers(tmp_path, affine, numbers):
    prediction, reference = make_masks()
    with pytest.raises(GeometryError, match=rf"grids .*differ: .*({numbers}).*resample"):
        evaluate_case(
            save(tmp_path / "p.nii", prediction, affine), save(tmp_path / "r.nii", reference)
        )


def test_shapes_that_differ_are_an_error_with_numbers(tmp_path):
    prediction, reference = make_masks()
    with pytest.raises(GeometryError, match=r"\(5, 7, 5\) vs \(5, 7, 6\)"):
        evaluate_case(
            save(tmp_path / "p.nii", prediction[..., :5]), save(tmp_path / "r.nii", reference)
        )


def test_a_scan_given_as_mask_is_refused():
    scan = np.arange(16 * 16 * 16, dtype=np.int16).reshape(16, 16, 16)
    mask = from_array(np.ones(scan.shape, np.uint8), AFFINE)
    assert scan.size > MAX_LABELS
    with pytest.raises(
        LabelError, match=r"the prediction holds more than 2000 .* looks like a scan"
    ):
        score_volumes(from_array(scan, AFFINE), mask)


def test_an_unreadable_file_is_a_volume_error(tmp_path):
    text = tmp_path / "p.nii"
    text.write_text("no mask")
    with pytest.raises(VolumeError):
        evaluate_case(text, save(tmp_path / "r.nii", make_masks()[0]))


@pytest.mark.parametrize("name", ["axial", "sagittal"])
def test_memory_does_not_grow_with_the_number_of_planes(tmp_path, name):
    shape = (64, 64, 1100)
    masks = make_masks(shape=shape)
    paths = [save(tmp_path / f"{i}.nii.gz", mask) for i, mask in enumerate(masks)]
    assert shape[2] / 4 > CHUNK_VOXELS // (64 * 64)  # several chunks
    counts = MetricSettings(surface_metrics=False)
    evaluate_case(*paths, slice_axis=name, metrics=counts)  # imports
    tracemalloc.start()
    evaluate_case(*paths, slice_axis=name, metrics=counts)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    chunk_bytes = CHUNK_VOXELS * 4
    assert peak < 5 * chunk_bytes < 2 * np.prod(shape) * 4  # both masks as float32
