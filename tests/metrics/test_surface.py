from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from unet_med.errors import GeometryError
from unet_med.metrics import slice_hd95_mm, surface_distances
from unet_med.metrics.surface import mask_edges

SHAPE = (5, 4, 6)
SPACING = (0.7, 1.3, 3.1)
SHEARED = np.array([[-2.0, 0.3, 0, 30], [0.4, 1, 0.6, -40], [0.1, 0, 3, 10], [0, 0, 0, 1]])
MASKS = hnp.arrays(np.bool_, (2, *SHAPE))
FILLED = MASKS.filter(lambda masks: masks.any(axis=(1, 2, 3)).all())


def affine_of(spacing):
    return np.diag([*spacing, 1.0])


def random_pair(seed=0, shape=(9, 7, 8), share=0.4):
    masks = np.random.default_rng(seed).random((2, *shape)) < share
    return masks[0], masks[1]


def ball(shape, center, radius):
    grid = np.indices(shape)
    return sum((grid[axis] - center[axis]) ** 2 for axis in range(3)) <= radius**2


def border_by_loop(mask, axes=(0, 1, 2)):
    """Indices of voxels with a face neighbor outside, by asking each one."""
    found = []
    for index in np.argwhere(mask):
        for axis, step in itertools.product(axes, (-1, 1)):
            near = index.copy()
            near[axis] += step
            beyond = near.min() < 0 or (near >= mask.shape).any()
            if beyond or not mask[tuple(near)]:
                found.append(tuple(index))
                break
    return np.array(found).reshape(-1, 3)


def directed_by_loop(first, second, affine):
    """All pairwise distances: from each border voxel of each mask to the nearest of the other."""
    points = [border_by_loop(mask) @ affine[:3, :3].T for mask in (first, second)]
    table = np.linalg.norm(points[0][:, None] - points[1][None], axis=2)
    return table.min(axis=1), table.min(axis=0)


def measured(prediction, reference, affine):
    found = surface_distances(prediction, reference, voxel_to_world=affine)
    return [found.hd95_mm, found.hausdorff_mm, found.assd_mm, found.surface_dice(1.5)]


@settings(deadline=None, max_examples=30)
@given(FILLED, st.sampled_from([affine_of(SPACING), SHEARED]))
def test_distances_are_those_of_all_pairs(masks, affine):
    prediction, reference = masks
    found = surface_distances(prediction, reference, voxel_to_world=affine)
    there, back = directed_by_loop(prediction, reference, affine)
    np.testing.assert_allclose(np.sort(found.prediction_to_reference), np.sort(there), atol=1e-9)
    np.testing.assert_allclose(np.sort(found.reference_to_prediction), np.sort(back), atol=1e-9)
    both = np.concatenate([there, back])
    assert found.hd95_mm == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)))
    assert found.hausdorff_mm == pytest.approx(both.max())
    assert found.assd_mm == pytest.approx(both.mean())
    assert found.surface_dice(2.0) == pytest.approx((both <= 2.0 + 1e-4).mean())


@settings(deadline=None, max_examples=30)
@given(MASKS)
def test_swapping_the_masks_changes_nothing_and_a_mask_is_zero_from_itself(masks):
    one, other = masks
    np.testing.assert_allclose(measured(one, other, SHEARED), measured(other, one, SHEARED))
    expected = [0, 0, 0, 1] if one.any() else [np.nan] * 4
    np.testing.assert_array_equal(measured(one, one, SHEARED), expected)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_each_axis_has_its_own_spacing(axis):
    """One voxel along an axis is that axis's spacing: swapped spacings cannot pass."""
    first, second = np.zeros((2, *SHAPE), bool)
    first[2, 1, 3] = True
    second[tuple(np.array([2, 1, 3]) + np.eye(3, dtype=int)[axis])] = True
    assert measured(first, second, affine_of(SPACING))[:3] == pytest.approx([SPACING[axis]] * 3)


@settings(deadline=None, max_examples=30)
@given(st.tuples(*[st.integers(-2, 2)] * 3))
def test_a_moved_object_is_as_far_as_it_was_moved(move):
    first = np.zeros((9, 8, 7), bool)
    first[4, 3, 3] = True
    second = np.roll(first, move, (0, 1, 2))
    length = np.linalg.norm(SHEARED[:3, :3] @ move)
    assert measured(first, second, SHEARED)[:3] == pytest.approx([length] * 3)


def test_all_48_orientations_of_the_array_measure_the_same():
    prediction, reference = random_pair()
    expected = measured(prediction, reference, SHEARED)
    for order in itertools.permutations(range(3)):
        for steps in itertools.product((1, -1), repeat=3):
            turned = [
                mask.transpose(order)[tuple(slice(None, None, step) for step in steps)]
                for mask in (prediction, reference)
            ]
            affine = SHEARED.copy()
            affine[:3, :3] = SHEARED[:3, list(order)] * steps
            np.testing.assert_allclose(measured(*turned, affine), expected, rtol=1e-12)


def test_empty_margins_change_nothing():
    prediction, reference = random_pair()
    wide = [np.pad(mask, ((2, 1), (0, 3), (1, 0))) for mask in (prediction, reference)]
    assert measured(*wide, SHEARED) == pytest.approx(measured(prediction, reference, SHEARED))
    assert mask_edges(wide[0])[2:-1, :-3, 1:].tolist() == mask_edges(prediction).tolist()


def test_a_miss_is_infinitely_far_and_nothing_has_no_distance():
    mask = ball((7, 8, 9), (3, 4, 4), 2)
    empty = np.zeros_like(mask)
    for pair in ((mask, empty), (empty, mask)):
        assert measured(*pair, SHEARED) == [np.inf, np.inf, np.inf, 0]
    assert np.isnan(measured(empty, empty, SHEARED)).all()


def test_a_distance_equal_to_the_tolerance_is_within_despite_float32():
    first, second = np.zeros((2, 5, 3, 3), bool)
    first[0, 1, 1] = second[3, 1, 1] = True
    stored = affine_of(np.array([0.3, 1, 1], np.float32)).astype(np.float64)
    found = surface_distances(first, second, voxel_to_world=stored)
    assert found.hausdorff_mm > 0.9
    assert found.surface_dice(0.9) == 1
    assert found.surface_dice(0.89) == 0


def test_a_single_slice_is_measured_by_its_outline():
    disc = ball((20, 22, 1), (9, 10, 0), 7)
    moved = np.roll(disc, 2, axis=0)
    outline = surface_distances(disc, moved, voxel_to_world=np.eye(4), flat_axes=(2,))
    filled = surface_distances(disc, moved, voxel_to_world=np.eye(4))
    assert outline.prediction_to_reference.size == border_by_loop(disc, axes=(0, 1)).shape[0]
    assert outline.assd_mm > 2 * filled.assd_mm  # where every voxel were surface, most would be 0


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("affine", [affine_of(SPACING), SHEARED])
def test_in_plane_hd95_is_that_of_each_slice_alone(axis, affine):
    prediction, reference = random_pair(seed=axis, share=0.3)
    plane = [other for other in range(3) if other != axis]
    for mask, index in ((prediction, 0), (reference, 1), (prediction, 3), (reference, 3)):
        np.moveaxis(mask, axis, 0)[index] = False
    found = slice_hd95_mm(prediction, reference, axis=axis, voxel_to_world=affine)
    assert found[:2].tolist() == [np.inf, np.inf]
    assert np.isnan(found[3])
    for index in (2, *range(4, prediction.shape[axis])):
        points = []
        for mask in (prediction, reference):
            alone = np.zeros_like(mask)
            np.moveaxis(alone, axis, 0)[index] = np.moveaxis(mask, axis, 0)[index]
            points.append(border_by_loop(alone, axes=plane) @ affine[:3, :3].T)
        table = np.linalg.norm(points[0][:, None] - points[1][None], axis=2)
        directed = (np.percentile(table.min(axis=side), 95) for side in (0, 1))
        assert found[index] == pytest.approx(max(directed))


def test_in_plane_hd95_of_nothing():
    empty = np.zeros(SHAPE, bool)
    assert np.isnan(slice_hd95_mm(empty, empty, axis=1, voxel_to_world=np.eye(4))).all()


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # MONAI's own call
@pytest.mark.parametrize("seed", range(3))
def test_monai_agrees_where_both_masks_hold_something(seed):
    torch = pytest.importorskip("torch")
    from monai.metrics import (
        compute_average_surface_distance,
        compute_hausdorff_distance,
        compute_surface_dice,
    )

    prediction, reference = random_pair(seed, share=0.1)
    prediction |= ball(prediction.shape, (3, 3, 4), 3)
    found = surface_distances(prediction, reference, voxel_to_world=affine_of(SPACING))
    one, other = (
        torch.from_numpy(np.stack([~mask, mask])[None]).float() for mask in (prediction, reference)
    )
    theirs = [
        compute_hausdorff_distance(one, other, percentile=95, spacing=SPACING),
        compute_hausdorff_distance(one, other, spacing=SPACING),
        compute_average_surface_distance(one, other, symmetric=True, spacing=SPACING),
        compute_surface_dice(one, other, class_thresholds=[1.4], spacing=SPACING),
    ]
    ours = [found.hd95_mm, found.hausdorff_mm, found.assd_mm, found.surface_dice(1.4)]
    assert ours == pytest.approx([value.item() for value in theirs], rel=1e-5)


def test_simpleitk_agrees_on_the_largest_distance_of_objects_apart():
    """ITK measures from every voxel, not from surfaces; of solids apart the largest is the same."""
    sitk = pytest.importorskip("SimpleITK")
    first, second = np.zeros((2, 14, 11, 12), bool)
    first[1:4, 2:9, 1:5] = True
    second[7:13, 1:6, 4:11] = True
    images = []
    for mask in (first, second):
        image = sitk.GetImageFromArray(mask.astype(np.uint8).transpose(2, 1, 0))
        image.SetSpacing(SPACING)
        images.append(image)
    measure = sitk.HausdorffDistanceImageFilter()
    measure.Execute(*images)
    found = surface_distances(first, second, voxel_to_world=affine_of(SPACING))
    assert found.hausdorff_mm == pytest.approx(measure.GetHausdorffDistance(), rel=1e-6)


def test_shapes_that_differ_are_refused():
    one, other = np.zeros((3, 3, 3), bool), np.zeros((3, 3, 4), bool)
    with pytest.raises(GeometryError, match=r"\(3, 3, 3\) and \(3, 3, 4\)"):
        surface_distances(one, other, voxel_to_world=np.eye(4))
    with pytest.raises(GeometryError, match="one shape"):
        slice_hd95_mm(one, other, axis=0, voxel_to_world=np.eye(4))
