from __future__ import annotations

import itertools

import matplotlib.image
import nibabel as nib
import numpy as np
import pytest

from unet_med.errors import GeometryError
from unet_med.reporting import CaseFiles, SliceView, load_slice_view, rank_slices, write_overlay

SPACING = (1.0, 2.0, 3.0)
SHAPE = (9, 7, 5)


def save(path, voxels, turn=(0, 1, 2), flips=(1, 1, 1)):
    """Save RAS+ voxels, stored with other axis order and directions."""
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = (-20.0, -30.0, -40.0)
    image = nib.Nifti1Image(voxels, affine)
    axes = np.stack([turn, flips], axis=1)
    nib.save(image.as_reoriented(np.asarray(axes)), path)
    return path


@pytest.mark.parametrize("turn", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, -1)])
def test_right_is_left_in_the_picture_whatever_the_file_order(tmp_path, turn, flips):
    voxels = np.zeros(SHAPE, np.uint8)
    voxels[7, 5, 1] = 9  # far right, far front, low
    files = CaseFiles(*(save(tmp_path / f"{n}.nii", voxels, turn, flips) for n in "abc"))
    stored = np.argwhere(np.asarray(nib.load(files.scan).dataobj))[0]
    expected = {  # row from below, column from the left, letters at left, right, lower, upper
        "axial": (5, 9 - 1 - 7, ("R", "L", "P", "A")),
        "coronal": (1, 9 - 1 - 7, ("R", "L", "I", "S")),
        "sagittal": (1, 7 - 1 - 5, ("A", "P", "I", "S")),
    }
    for axis, (row, column, edges) in expected.items():
        along = turn[("sagittal", "coronal", "axial").index(axis)]
        view = load_slice_view(files, int(stored[along]), slice_axis=axis)
        assert (view.axis, view.edges) == (axis, edges)
        assert np.argwhere(view.image).tolist() == [[row, column]]
        assert np.argwhere(view.prediction == 9).tolist() == [[row, column]]
        assert np.argwhere(view.reference == 9).tolist() == [[row, column]]
    assert view.spacing_mm == (3.0, 2.0)


def test_other_grids_and_slices_outside_are_refused(tmp_path):
    scan = save(tmp_path / "a.nii", np.zeros(SHAPE, np.uint8))
    other = save(tmp_path / "b.nii", np.zeros((9, 7, 6), np.uint8))
    with pytest.raises(GeometryError, match="does not lie on the grid"):
        load_slice_view(CaseFiles(scan, other), 0, slice_axis="axial")
    with pytest.raises(GeometryError, match="has slices 0 to 4, not 5"):
        load_slice_view(CaseFiles(scan, scan), 5, slice_axis="axial")


def make_scene(prediction=None, reference=None, *, spacing_mm=(1.0, 1.0), shape=(40, 60)):
    ramp = np.linspace(0, 1, shape[0] * shape[1], dtype=np.float32).reshape(shape)
    empty = np.zeros(shape, np.int64)
    return SliceView(
        ramp,
        empty if prediction is None else prediction,
        reference,
        spacing_mm,
        "axial",
        ("R", "L", "P", "A"),
    )


def draw(view, path, **more):
    given = {"label_names": {1: "one", 2: "two"}, "dice": {1: 0.5}, "title": "a title"} | more
    write_overlay(view, path, **given)
    return matplotlib.image.imread(path)[..., :3]


def box(shape, rows, columns, value=1):
    labels = np.zeros(shape, np.int64)
    labels[rows, columns] = value
    return labels


def test_the_prediction_is_filled_on_the_right_panel_only(tmp_path):
    plain = draw(make_scene(), tmp_path / "plain.png")
    filled = draw(make_scene(box((40, 60), slice(0, 10), slice(0, 30))), tmp_path / "filled.png")
    changed = np.argwhere(np.abs(plain - filled).max(-1) > 0.05)
    height, width = plain.shape[:2]
    top, left = changed.min(0)
    bottom, right = changed.max(0)
    panel = 0.96 * width / 2.04  # two panels and a gap of 4 % of one
    assert left == pytest.approx(width * 0.98 - panel, abs=8)  # columns 0-29: the left half
    assert right - left == pytest.approx(panel / 2, rel=0.05)
    assert top > height / 2  # rows 0-9 lie below
    assert bottom - top == pytest.approx((right - left) / 30 * 10, rel=0.1)


def test_the_picture_has_physical_proportions(tmp_path):
    for spacing in ((1.0, 1.0), (3.0, 1.0)):
        prediction = box((40, 60), slice(10, 30), slice(20, 40))
        with_mask = draw(make_scene(prediction, spacing_mm=spacing), tmp_path / "a.png")
        without = draw(make_scene(spacing_mm=spacing), tmp_path / "b.png")
        changed = np.argwhere(np.abs(with_mask - without).max(-1) > 0.05)
        rows, columns = np.ptp(changed, axis=0)
        assert rows / columns == pytest.approx(spacing[0], rel=0.05)


def test_the_reference_is_a_line_also_at_the_edge(tmp_path):
    plain = draw(make_scene(), tmp_path / "plain.png")
    inside = box((40, 60), slice(None), slice(None))
    outlined = draw(make_scene(reference=inside), tmp_path / "outlined.png")
    share = np.mean(np.abs(plain - outlined).max(-1) > 0.05)
    assert 0 < share < 0.03
    empty = draw(make_scene(reference=inside * 0), tmp_path / "empty.png")
    np.testing.assert_array_equal(empty, plain)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_slices_without_contrast_are_drawn(tmp_path, value):
    view = make_scene(reference=box((40, 60), 3, 4))
    view.image[:] = value
    assert draw(view, tmp_path / "a.png").size


def test_labels_without_a_name_and_a_slice_of_one_voxel(tmp_path):
    view = make_scene(box((1, 1), 0, 0, value=300), box((1, 1), 0, 0, value=7), shape=(1, 1))
    assert draw(view, tmp_path / "a.png", label_names={}).size
    assert draw(view, tmp_path / "b.png").size


def row(index, label, dice, wrong=1):
    return {
        "slice": index, "label": label, "dice": dice, "fp": wrong, "fn": 0, "position_mm": index / 2
    }  # fmt: skip


def test_slices_are_ranked_by_mean_dice_over_labels_present():
    rows = [
        row(0, 1, None), row(0, 2, None),
        row(1, 1, 0.9), row(1, 2, None),
        row(2, 1, 0.5), row(2, 2, 0.7),
        row(3, 1, 0.0, wrong=2), row(3, 2, None),
        row(4, 1, 0.0, wrong=5), row(4, 2, 0.0, wrong=1), row(4, "brain", 1.0),
    ]  # fmt: skip
    ranked = rank_slices(rows)
    assert [one.index for one in ranked] == [4, 3, 2, 1]
    assert ranked[2].mean_dice == pytest.approx(0.6)
    assert ranked[2].dice == {1: 0.5, 2: 0.7}
    assert ranked[2].position_mm == 1.0
    assert ranked[0].n_wrong == 6
    assert rank_slices([]) == []


def test_of_a_hundred_labels_the_legend_names_those_that_are_there(tmp_path):
    names = {value: f"label {value}" for value in range(1, 101)}
    few = {value: names[value] for value in (3, 99)}
    labels = box((40, 60), slice(0, 9), 3, value=3) + box((40, 60), 20, slice(0, 9), value=99)
    many = draw(make_scene(labels), tmp_path / "many.png", label_names=names, dice={})
    assert many.shape == draw(make_scene(labels), tmp_path / "few.png", label_names=few).shape
    text_below = many[int(many.shape[0] * 0.93) :]
    assert 0.02 < np.mean(text_below < 0.5) < 0.2
