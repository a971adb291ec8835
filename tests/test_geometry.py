"""Orientation against nibabel, slices against a known function of world position."""

from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from unet_med.errors import GeometryError
from unet_med.geometry import (
    SLICE_AXIS_NAMES,
    Geometry,
    SliceLayout,
    corner_displacement_mm,
    grid_difference,
    slice_layout,
    slice_position_mm,
    voxel_sizes_mm,
    world_axes,
)

SHAPE = (4, 5, 7)
SPACING = (0.7, 1.1, 2.6)
ORIENTATIONS = list(
    itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3))
)
OBLIQUE = Rotation.from_euler("zyx", (21, -14, 17), degrees=True).as_matrix()
SHEAR = np.array([[1, 0.15, 0], [0, 1, -0.2], [0.1, 0, 1]])
NAMED_WORLD_AXES = {"axial": (2, 1, 0), "coronal": (1, 2, 0), "sagittal": (0, 2, 1)}


def affine_of(orientation, *, direction="orthogonal", spacing=SPACING) -> np.ndarray:
    axes, signs = orientation
    matrix = np.zeros((3, 3))
    for array_axis, (world_axis, sign) in enumerate(zip(axes, signs, strict=True)):
        matrix[world_axis, array_axis] = sign * spacing[array_axis]
    if direction != "orthogonal":
        matrix = OBLIQUE @ matrix
    if direction == "sheared":
        matrix = matrix @ SHEAR
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = matrix, (-31.5, 12.25, 80.125)
    return affine


def random_rotations(count):
    return Rotation.random(count, rng=np.random.default_rng(2)).as_matrix()


@pytest.mark.parametrize("direction", ["orthogonal", "oblique", "sheared"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_world_axes_are_those_of_nibabel(orientation, direction):
    affine = affine_of(orientation, direction=direction)
    axes, against = world_axes(affine)
    oracle = nib.io_orientation(affine)
    assert list(axes) == oracle[:, 0].tolist()
    assert list(against) == (oracle[:, 1] < 0).tolist()


def test_world_axes_are_those_of_nibabel_for_any_rotation_and_shear():
    rng = np.random.default_rng(5)
    for rotation in random_rotations(2000):
        affine = np.eye(4)
        shear = np.eye(3) + rng.uniform(-0.3, 0.3, (3, 3))
        affine[:3, :3] = rotation @ shear @ np.diag(rng.uniform(0.2, 9, 3))
        axes, against = world_axes(affine)
        oracle = nib.io_orientation(affine)
        assert sorted(axes) == [0, 1, 2]
        assert list(axes) == oracle[:, 0].tolist()
        assert list(against) == (oracle[:, 1] < 0).tolist()


def test_a_turn_by_45_degrees_still_gives_each_axis_its_own_world_axis():
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("zx", (45, 45), degrees=True).as_matrix()
    assert sorted(world_axes(affine)[0]) == [0, 1, 2]


@pytest.mark.parametrize("name", list(NAMED_WORLD_AXES))
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_slices_rows_and_columns_follow_the_world(orientation, name):
    """Fill the voxels with world coordinates; slices must then be sorted along each axis."""
    geometry = Geometry(SHAPE, affine_of(orientation))
    indices = np.moveaxis(np.indices(SHAPE), 0, -1)
    world = nib.affines.apply_affine(geometry.voxel_to_world, indices)
    layout = slice_layout(geometry, name)
    for axis, world_axis in enumerate(NAMED_WORLD_AXES[name]):
        slices = layout.to_slices(world[..., world_axis])
        steps = np.diff(slices, axis=axis)
        np.testing.assert_allclose(steps, layout.spacing(geometry)[axis], atol=1e-9)
        for other in {0, 1, 2} - {axis}:
            np.testing.assert_allclose(np.diff(slices, axis=other), 0, atol=1e-9)


@pytest.mark.parametrize("name", SLICE_AXIS_NAMES)
@pytest.mark.parametrize("direction", ["oblique", "sheared"])
@pytest.mark.parametrize("orientation", ORIENTATIONS[::5])
def test_oblique_slices_are_those_of_the_unturned_volume(orientation, direction, name):
    straight = slice_layout(Geometry(SHAPE, affine_of(orientation)), name)
    turned = slice_layout(Geometry(SHAPE, affine_of(orientation, direction=direction)), name)
    assert turned == straight


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_slices_equal_those_of_nibabels_canonical_volume(orientation):
    array = np.random.default_rng(1).integers(0, 99, SHAPE)
    affine = affine_of(orientation)
    canonical = nib.as_closest_canonical(nib.Nifti1Image(array.astype(np.int16), affine))
    axial = slice_layout(Geometry(SHAPE, affine), "axial").to_slices(array)
    assert np.array_equal(axial, np.asarray(canonical.dataobj).transpose(2, 1, 0))


@given(
    axes=st.permutations(range(3)),
    flips=st.tuples(*[st.booleans()] * 3),
    shape=st.tuples(*[st.integers(1, 5)] * 3),
    n_channels=st.integers(1, 3),
)
def test_from_slices_undoes_to_slices_without_copying(axes, flips, shape, n_channels):
    layout = SliceLayout(tuple(axes), flips)
    volume = np.arange(np.prod(shape)).reshape(shape)
    slices = layout.to_slices(volume)
    assert slices.shape == tuple(shape[axis] for axis in axes)
    assert np.array_equal(layout.from_slices(slices), volume)
    assert np.shares_memory(slices, volume)
    assert np.shares_memory(layout.from_slices(slices), volume)

    channels = np.arange(n_channels * volume.size).reshape(n_channels, *shape)
    stack = layout.to_slices(channels)
    assert stack.shape == (slices.shape[0], n_channels, *slices.shape[1:])
    assert np.shares_memory(stack, channels)
    for channel in range(n_channels):
        assert np.array_equal(stack[:, channel], layout.to_slices(channels[channel]))
    assert np.array_equal(layout.from_slices(stack), channels)


@pytest.mark.parametrize("flip", [False, True])
def test_a_slab_of_slices_is_a_slab_of_the_file(flip):
    layout = SliceLayout((1, 2, 0), (flip, False, True))
    volume = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    whole = layout.to_slices(volume)
    for start, stop in itertools.combinations(range(6), 2):
        first, end = (5 - stop, 5 - start) if flip else (start, stop)
        assert np.array_equal(layout.to_slices(volume[:, first:end]), whole[start:stop])
    for n in range(5):
        assert np.array_equal(volume[:, 4 - n if flip else n], whole[n].T[::-1])


@pytest.mark.parametrize(
    ("spacing", "name"),
    [
        ((1.0, 1.0, 3.0), "axial"),
        ((1.0, 3.0, 1.0), "coronal"),
        ((3.0, 1.0, 1.0), "sagittal"),
        ((1.0, 1.0, 1.0), "axial"),
        ((1.04, 1.0, 1.0), "axial"),
        ((1.06, 1.0, 1.0), "sagittal"),
        ((3.0, 3.0, 1.0), "axial"),
        ((3.2, 3.1, 1.0), "axial"),
    ],
)
def test_thickest_needs_a_clear_lead_over_both_others(spacing, name):
    geometry = Geometry(SHAPE, np.diag([*spacing, 1]))
    assert slice_layout(geometry, "thickest") == slice_layout(geometry, name)


def test_thickest_is_the_array_axis_wherever_it_points():
    for orientation in ORIENTATIONS:
        geometry = Geometry(SHAPE, affine_of(orientation, spacing=(0.9, 5.0, 1.0)))
        layout = slice_layout(geometry, "thickest")
        assert layout.slice_axis == 1
        assert layout.n_slices(geometry) == 5
        assert layout.spacing(geometry)[0] == pytest.approx(5.0)


@pytest.mark.parametrize("orientation", ORIENTATIONS[::7])
def test_slice_position_is_a_coordinate_of_the_slice_center(orientation):
    geometry = Geometry(SHAPE, affine_of(orientation, direction="oblique"))
    layout = slice_layout(geometry, "axial")
    positions = []
    for n in range(layout.n_slices(geometry)):
        index = layout.n_slices(geometry) - 1 - n if layout.flips[0] else n
        corners = [
            nib.affines.apply_affine(geometry.voxel_to_world, corner)[2]
            for corner in itertools.product(*[(0, size - 1) for size in SHAPE])
            if corner[layout.slice_axis] in {0, SHAPE[layout.slice_axis] - 1}
        ]
        positions.append(slice_position_mm(geometry, index, axis=layout.slice_axis))
        assert min(corners) <= positions[-1] <= max(corners)
    assert positions == sorted(positions)
    center = nib.affines.apply_affine(geometry.voxel_to_world, (np.array(SHAPE) - 1) / 2)
    assert np.mean(positions) == pytest.approx(center[2])


def test_grid_difference_says_what_differs_in_numbers():
    affine = affine_of(ORIENTATIONS[9], direction="oblique")
    grid = Geometry(SHAPE, affine)
    assert grid_difference(grid, Geometry(SHAPE, affine.astype(np.float32))) is None
    moved, thicker, turned = affine.copy(), affine.copy(), affine.copy()
    moved[1, 3] += 0.5
    thicker[:3, 2] *= 2
    turned[:3, :3] = Rotation.from_euler("x", 5, degrees=True).as_matrix() @ turned[:3, :3]
    assert grid_difference(grid, Geometry(SHAPE, moved)) == (
        "origin (mm) (-31.5, 12.25, 80.125) vs (-31.5, 12.75, 80.125); "
        "corner voxels up to 0.5 mm apart"
    )
    text = grid_difference(grid, Geometry(SHAPE, thicker))
    assert text.startswith("spacing (mm) (0.7, 1.1, 2.6) vs (0.7, 1.1, 5.2)")
    assert "direction" not in text
    assert grid_difference(grid, Geometry(SHAPE, turned)).startswith("direction")
    assert grid_difference(grid, Geometry((4, 5, 8), affine)) == "shape (4, 5, 7) vs (4, 5, 8)"


@pytest.mark.parametrize(("shift_mm", "same"), [(0.9e-3, True), (1.1e-3, False)])
def test_the_tolerance_is_a_distance_of_corner_voxels(shift_mm, same):
    near, far = np.eye(4), np.eye(4)
    far[:3, 3] = shift_mm / np.sqrt(3)
    one, other = Geometry(SHAPE, near), Geometry(SHAPE, far)
    assert corner_displacement_mm(one, other) == pytest.approx(shift_mm)
    assert (grid_difference(one, other) is None) is same


def test_a_tiny_turn_of_a_large_grid_is_seen_at_its_corners():
    turned = np.eye(4)
    turned[:3, :3] = Rotation.from_euler("z", 1e-5).as_matrix()
    small, large = (4, 4, 4), (512, 512, 4)
    assert grid_difference(Geometry(small, np.eye(4)), Geometry(small, turned)) is None
    assert "0.0072" in grid_difference(Geometry(large, np.eye(4)), Geometry(large, turned))


def test_voxel_sizes_are_column_lengths():
    affine = affine_of(ORIENTATIONS[30], direction="oblique")
    np.testing.assert_allclose(voxel_sizes_mm(affine), nib.affines.voxel_sizes(affine))
    assert Geometry(SHAPE, affine).spacing_mm == pytest.approx(SPACING)


@pytest.mark.parametrize("direction", ["orthogonal", "oblique", "sheared"])
def test_the_volume_of_a_voxel_is_that_of_its_edges(direction):
    affine = affine_of(ORIENTATIONS[30], direction=direction)
    i, j, k = affine[:3, :3].T
    expected = abs(np.dot(i, np.cross(j, k))) / 1000
    assert Geometry(SHAPE, affine).voxel_ml == pytest.approx(expected, rel=1e-12)


def test_a_geometry_keeps_its_own_copy():
    affine = np.eye(4)
    geometry = Geometry(SHAPE, affine)
    affine[0, 3] = 7
    assert geometry.voxel_to_world[0, 3] == 0
    with pytest.raises(ValueError, match="read-only"):
        geometry.voxel_to_world[0, 3] = 7


@pytest.mark.parametrize(
    ("shape", "affine"),
    [
        ((4, 5), np.eye(4)),
        ((4, 5, 0), np.eye(4)),
        ((4, 5, 6.5), np.eye(4)),
        (SHAPE, np.eye(3)),
        (SHAPE, np.diag([1, 1, 0, 1])),
        (SHAPE, np.diag([1, 1, np.nan, 1])),
        (SHAPE, np.diag([1, 1, 1, 2])),
        (SHAPE, np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])),
    ],
)
def test_impossible_grids_are_refused_in_one_line(shape, affine):
    with pytest.raises(GeometryError) as caught:
        Geometry(shape, affine)
    assert "\n" not in str(caught.value)


def test_very_fine_and_very_anisotropic_grids_are_fine():
    assert Geometry(SHAPE, np.diag([1e-4, 1e-4, 1e3, 1])).spacing_mm == (1e-4, 1e-4, 1e3)


def test_wrong_calls_are_refused():
    geometry = Geometry(SHAPE, np.eye(4))
    layout = slice_layout(geometry, "axial")
    with pytest.raises(GeometryError, match=r"'transverse' is unknown; use one of axial"):
        slice_layout(geometry, "transverse")
    with pytest.raises(GeometryError, match="permutation"):
        SliceLayout((0, 1, 1), (False, False, False))
    for wrong in (np.zeros((2, 2)), np.zeros((1, 1, 2, 2, 2))):
        with pytest.raises(GeometryError, match="axes"):
            layout.to_slices(wrong)
        with pytest.raises(GeometryError, match="axes"):
            layout.from_slices(wrong)
