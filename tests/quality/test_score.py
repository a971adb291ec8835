"""What neighboring slices say, on masks made by hand."""

import numpy as np

from unet_med.quality.score import area_ratio, gaps, neighbor_dice


def columns(planes):
    """Area, and voxels shared with the last slice before that has any, the slow way."""
    planes = np.asarray(planes, bool)
    area = planes.sum(axis=(1, 2)).astype(float)
    shared = np.zeros(len(planes))
    for index in range(len(planes)):
        earlier = [j for j in range(index) if area[j]]
        if earlier:
            shared[index] = (planes[index] & planes[earlier[-1]]).sum()
    return area, shared


def block(n_slices, *, rows=(2, 8), columns=(3, 9), empty=()):
    planes = np.zeros((n_slices, 10, 12), bool)
    planes[:, slice(*rows), slice(*columns)] = True
    planes[list(empty)] = False
    return planes


def test_neighbor_dice_is_the_better_of_two_and_of_real_neighbors_only():
    planes = block(5, empty=[2])
    planes[4, 2:5] = False
    area, shared = columns(planes)
    better = 2 * 18 / (36 + 18)
    np.testing.assert_allclose(neighbor_dice(area, shared), [1, 1, np.nan, better, better])


def test_a_single_slice_has_nothing_against_it():
    assert neighbor_dice(*columns(block(1))).tolist() == [1]


def test_a_lone_slice_among_empty_ones_is_unlike_both():
    assert np.nan_to_num(neighbor_dice(*columns(block(3, empty=[0, 2])))).tolist() == [0, 0, 0]


def test_lost_slices_inside_an_organ_are_a_gap_and_its_ends_are_none():
    found = gaps(*columns(block(9, empty=[0, 3, 4, 8])))
    assert np.flatnonzero(found).tolist() == [3, 4]


def test_two_lesions_one_above_the_other_leave_no_gap():
    planes = block(9, empty=range(3, 9))
    planes[6:, :2, :3] = True
    assert not gaps(*columns(planes)).any()


def test_a_thin_end_leaves_no_gap():
    planes = block(9, empty=[2])
    planes[:2] = False
    planes[1, 2, 3] = True  # one voxel, then nothing, then the organ
    assert not gaps(*columns(planes)).any()


def test_no_slice_and_no_voxel_give_no_gap():
    assert not gaps(np.zeros(4), np.zeros(4)).any()


def test_area_is_compared_with_both_sides():
    ratios = area_ratio(np.array([20.0, 30, 40, 10, 80, 90, 500, 100, 110, 0]))
    assert ratios[3] == 10 / 30  # below both sides: the smaller median
    assert ratios[6] == 500 / 105  # above the larger of the medians of both sides
    assert ratios[0] == ratios[8] == ratios[9] == 1  # nothing on one side, or nothing here
