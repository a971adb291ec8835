"""Post-processing against SimpleITK, and against the slow obvious way."""

from __future__ import annotations

import tracemalloc
from itertools import product

import numpy as np
import pytest

from unet_med.geometry import Geometry
from unet_med.inference import postprocess_labels
from unet_med.recipe import Channel, NetworkRecipe, PostprocessingRule, Recipe

NAMES = {2: "organ", 300: "lesion"}
STEPS = {"faces": 1, "edges": 2, "corners": 3}


def run(labels, rules, *, spacing=(1.0, 2.0, 2.5)):
    recipe = Recipe("r", NetworkRecipe(1, 3, (2, 4)), (Channel("T1"),), NAMES, postprocessing=rules)
    result = labels.astype(np.uint16)
    report = postprocess_labels(result, recipe, Geometry(labels.shape, np.diag([*spacing, 1.0])))
    return result, report


def components(mask, steps):
    """Flood fill voxel by voxel: sets of voxels, the largest first, equal ones in file order."""
    neighbors = [step for step in product((-1, 0, 1), repeat=3) if 0 < np.abs(step).sum() <= steps]
    left, found = {tuple(map(int, voxel)) for voxel in np.argwhere(mask)}, []
    for seed in sorted(left):
        if seed not in left:
            continue
        left.discard(seed)
        component, todo = {seed}, [seed]
        while todo:
            voxel = todo.pop()
            for step in neighbors:
                other = tuple(a + b for a, b in zip(voxel, step, strict=True))
                if other in left:
                    left.discard(other)
                    component.add(other)
                    todo.append(other)
        found.append(component)
    return sorted(found, key=lambda component: (-len(component), min(component)))


def noise(shape=(9, 8, 7), share=0.3, seed=0):
    chosen = np.random.default_rng(seed).random(shape)
    return np.where(chosen < share, 2, np.where(chosen > 0.85, 300, 0))


@pytest.mark.parametrize("connectivity", STEPS)
def test_the_largest_component_is_kept(connectivity):
    labels = noise(share=0.2)
    result, report = run(
        labels, {"organ": PostprocessingRule(largest_component=True, connectivity=connectivity)}
    )
    largest = components(labels == 2, STEPS[connectivity])[0]
    assert {tuple(map(int, voxel)) for voxel in np.argwhere(result == 2)} == largest
    np.testing.assert_array_equal(result == 300, labels == 300)
    assert report.removed_voxels == {2: int((labels == 2).sum()) - len(largest)}


def test_of_equal_components_the_first_in_the_file_is_kept():
    labels = np.zeros((5, 4, 3), int)
    labels[4, 0, 0] = labels[0, 3, 2] = 2
    result, _ = run(labels, {"2": PostprocessingRule(largest_component=True)})
    assert np.argwhere(result == 2).tolist() == [[0, 3, 2]]


@pytest.mark.parametrize("connectivity", STEPS)
@pytest.mark.parametrize("n_voxels", [1, 2, 4, 1000])
def test_small_components_go_and_those_of_just_that_size_stay(connectivity, n_voxels):
    labels = noise(share=0.12)
    rule = PostprocessingRule(n_voxels * 5.0 / 1000, connectivity=connectivity)  # a voxel has 5 mm³
    result, report = run(labels, {"organ": rule})
    kept = [c for c in components(labels == 2, STEPS[connectivity]) if len(c) >= n_voxels]
    expected = set().union(*kept)
    assert {tuple(map(int, voxel)) for voxel in np.argwhere(result == 2)} == expected
    assert report.removed_voxels[2] == int((labels == 2).sum()) - len(expected)


def test_components_are_simpleitks():
    sitk = pytest.importorskip("SimpleITK")
    labels = noise((21, 17, 13), share=0.12, seed=4)
    result, _ = run(
        labels, {"2": PostprocessingRule(0.02), "300": PostprocessingRule(largest_component=True)}
    )
    image = sitk.GetImageFromArray((labels == 2).astype(np.uint8))
    numbers = sitk.RelabelComponent(sitk.ConnectedComponent(image, True), 4)  # of 5 mm³ each
    np.testing.assert_array_equal(result == 2, sitk.GetArrayFromImage(numbers) > 0)
    image = sitk.GetImageFromArray((labels == 300).astype(np.uint8))
    sizes = sitk.GetArrayFromImage(sitk.RelabelComponent(sitk.ConnectedComponent(image, True)))
    assert (result == 300).sum() == (sizes == 1).sum()


@pytest.mark.parametrize("connectivity", STEPS)
def test_holes_are_simpleitks(connectivity):
    sitk = pytest.importorskip("SimpleITK")
    labels = np.where(noise((15, 13, 11), share=0.85) == 2, 2, 0)
    result, report = run(
        labels, {"2": PostprocessingRule(fill_holes=True, connectivity=connectivity)}
    )
    by_corners = connectivity == "faces"
    background = components(labels != 2, 3 if by_corners else 1)
    enclosed = [c for c in background if not any(0 in v or on_far_side(v, labels) for v in c)]
    expected = labels == 2
    expected[tuple(np.array([*set().union(*enclosed)]).T)] = True
    filling = sitk.BinaryFillholeImageFilter()
    filling.SetFullyConnected(by_corners)  # of the background
    filled = filling.Execute(sitk.GetImageFromArray((labels == 2).astype(np.uint8)))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(filled) > 0, expected)
    np.testing.assert_array_equal(result == 2, expected)
    assert report.filled_voxels == {2: sum(map(len, enclosed))}
    assert report.filled_voxels[2] > 5


def on_far_side(voxel, labels):
    return any(index == side - 1 for index, side in zip(voxel, labels.shape, strict=True))


def test_only_background_is_filled_and_by_the_label_around_it():
    labels = np.zeros((7, 8, 9), int)
    labels[1:6, 1:7, 1:8] = 2
    labels[2:5, 2:6, 2:7] = 0
    labels[3, 3:5, 3:6] = 300  # within the hole
    result, report = run(labels, {"organ": PostprocessingRule(fill_holes=True)})
    expected = labels.copy()
    expected[(labels == 0) & np.isin(np.indices(labels.shape)[0], range(2, 5))] = 2
    expected[:, :, (0, 8)] = expected[:, (0, 7)] = expected[(0, 6), :] = 0
    np.testing.assert_array_equal(result, expected)
    assert report.filled_voxels == {2: 3 * 4 * 5 - 6}


def test_what_removal_leaves_is_filled():
    labels = np.zeros((5, 5, 5), int)
    labels[1:4, 1:4, 1:4] = 2
    labels[2, 2, 2] = 300
    rules = {"lesion": PostprocessingRule(0.1), "organ": PostprocessingRule(fill_holes=True)}
    result, report = run(labels, rules)
    assert report.removed_voxels == {2: 0, 300: 1}
    assert report.filled_voxels == {2: 1, 300: 0}
    assert (result == 2).sum() == 27


@pytest.mark.parametrize("shape", [(9, 8, 1), (1, 9, 8), (9, 1, 8)])
def test_a_single_slice_is_filled_in_its_plane(shape):
    ring = np.zeros((9, 8), int)
    ring[2:7, 1:6] = 2
    ring[4, 3] = 0
    result, _ = run(ring.reshape(shape), {"2": PostprocessingRule(fill_holes=True)})
    assert (result == 2).sum() == 25


@pytest.mark.parametrize("shape", [(1, 1, 1), (4, 5, 6), (1, 1, 6)])
@pytest.mark.parametrize("value", [0, 2])
def test_empty_and_full_maps_stay(shape, value):
    labels = np.full(shape, value)
    rule = PostprocessingRule(1e-6, largest_component=True, fill_holes=True)
    result, report = run(labels, {"2": rule, "300": rule})
    np.testing.assert_array_equal(result, labels)
    assert report.removed_voxels == report.filled_voxels == {2: 0, 300: 0}


def test_the_memory_it_states_is_what_it_takes():
    labels = noise((90, 80, 70), share=0.6).astype(np.uint16)
    rules = {"2": PostprocessingRule(0.1, largest_component=True, fill_holes=True)}
    run(labels, rules)  # loads what is loaded once
    tracemalloc.start()
    _, report = run(labels, rules)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.6 * report.memory_bytes < peak < 1.1 * report.memory_bytes
    assert report.seconds > 0
