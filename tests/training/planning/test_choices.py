"""Single decisions: slices, spacing, context, intensities, outputs, sides, patch, network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.training.planning.made import box_case, checked_set, surveys_of
from unet_med.cases import CaseStats, DatasetInfo
from unet_med.cases.label_stats import LabelStats
from unet_med.geometry import Geometry, world_axes
from unet_med.training.planning.channels import plan_channels, plan_outputs
from unet_med.training.planning.dimensionality import compare_2d_3d
from unet_med.training.planning.fingerprint import extract_fingerprint
from unet_med.training.planning.laterality import name_has_side, plan_mirror
from unet_med.training.planning.network import StepShape, plan_network, plan_patch_size, plan_sizes
from unet_med.training.planning.settings import PlanSettings
from unet_med.training.planning.slices import plan_context, plan_slice_axis, plan_spacing


def grid(shape, spacing, *, axes=(0, 1, 2), extent=None, center=(0.0, 0.0, 0.0)):
    """The statistics of a grid alone."""
    affine = np.zeros((4, 4))
    for array_axis, world in enumerate(axes):
        affine[world, array_axis] = spacing[array_axis]
        affine[world, 3] = -spacing[array_axis] * (shape[array_axis] - 1) / 2
    affine[3, 3] = 1
    extent = extent or tuple(n * mm / 2 for n, mm in zip(shape, spacing, strict=True))
    n_slices = tuple(max(1, round(e / mm)) for e, mm in zip(extent, spacing, strict=True))
    label = LabelStats(100, 2.0, n_slices, extent, center)
    return CaseStats(
        "c", shape=shape, spacing_mm=tuple(map(float, spacing)), world=world_axes(affine)[0],
        geometry=Geometry(shape, affine), labels={1: label}, labeled=label,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("case_stats", "axis", "array_axes", "why"),
    [
        ([grid((64, 60, 20), (1, 1, 5))], "axial", (2,), "thickest"),
        ([grid((20, 60, 64), (6.5, 0.4, 0.4), axes=(0, 1, 2))], "sagittal", (0,), "thickest"),
        ([grid((20, 60, 64), (3, 1, 1), axes=(2, 0, 1))], "axial", (0,), "thickest"),
        ([grid((512, 510, 30), (1, 1, 1))], "axial", (2,), "far fewer planes"),
        ([grid((30, 512, 510), (1, 1, 1))], "sagittal", (0,), "far fewer planes"),
        ([grid((40, 50, 1), (0.5, 0.5, 0.5))], "axial", (2,), "far fewer planes"),
        ([grid((64, 60, 58), (1, 1, 1.04))], "axial", (2,), "single out no axis"),
        (
            [grid((64, 60, 20), (1, 1, 5)), grid((20, 64, 60), (5, 1, 1))],
            "thickest", (2, 0), "each",
        ),
        (
            [grid((64, 60, 20), (1, 1, 5))] * 2 + [grid((64, 60, 58), (1, 1, 1))],
            "axial", (2, 2, 2), "thickest",
        ),
        (
            [grid((64, 60, 58), (1, 1, 1))] * 2 + [grid((20, 64, 60), (5, 1, 1))],
            "axial", (2, 2, 2), "in 2 of 3",
        ),
    ],
)  # fmt: skip
def test_the_slice_axis_is_the_thickest_or_that_of_a_stack_or_axial(
    case_stats, axis, array_axes, why
):
    slices = plan_slice_axis(case_stats)
    assert (slices.axis, slices.array_axes) == (axis, array_axes)
    assert why in slices.notes[0]


def test_a_wish_for_a_slice_axis_is_followed():
    slices = plan_slice_axis([grid((64, 60, 20), (1, 1, 5))], "coronal")
    assert (slices.axis, slices.array_axes) == ("coronal", (1,))


def test_spacing_is_native_when_all_are_equal_else_the_median():
    alike = [grid((64, 60, 20), (0.8, 0.8, z)) for z in (3, 5)]
    assert plan_spacing(alike, (2, 2))[0] is None
    mixed = [grid((64, 60, 20), (s, s, 5)) for s in (0.7, 0.8, 0.95)]
    spacing, note = plan_spacing(mixed, (2, 2, 2))
    assert spacing == pytest.approx(0.8)
    assert "0.7 to 0.95" in note
    assert plan_spacing(alike, (2, 2), override=1.5)[0] == 1.5


@pytest.mark.parametrize(
    ("extent", "chord", "minutes", "spacing"),
    [
        (320, 40, 15, 1.25),  # 320 mm of 0.8 mm pixels on 256: 1.5625 times coarser
        (320, 40, 90, None),
        (320, 40, None, None),
        (200, 40, 15, None),
        (400, 100, 15, 1.56),
        (600, 100, 15, 1.6),
        (320, 12, 15, 1.0),
        (320, 4, 15, None),
        (210, 40, 15, None),  # 263 pixels: not worth resampling
    ],
)
def test_large_structures_are_learned_on_coarser_pixels_when_time_is_short(
    extent, chord, minutes, spacing
):
    stats = grid((800, 800, 60), (0.8, 0.8, 3), extent=(extent, extent / 2, 100))
    stats = replace(stats, chords_mm=(chord, 2 * chord, 50))
    found, note = plan_spacing([stats], (2,), minutes=minutes)
    assert found == (None if spacing is None else pytest.approx(spacing, abs=0.005))
    assert ("instead of 0.8 mm" in note) is (spacing is not None)


@pytest.mark.parametrize(
    ("stats", "slices", "reach"),
    [
        (grid((64, 60, 50), (1, 1, 1)), 3, 2.0),
        (grid((64, 60, 50), (1, 1, 2.5)), 3, 2.5),
        (grid((64, 60, 20), (1, 1, 6.5)), 1, 0.0),
        (grid((512, 512, 30), (1, 1, 1)), 1, 0.0),
        (grid((512, 512, 300), (4e-6, 4e-6, 5e-5)), 1, 0.0),
        (grid((512, 512, 30), (4, 4, 50)), 1, 0.0),
        (grid((64, 60, 1), (1, 1, 2)), 1, 0.0),
    ],
)
def test_neighbors_are_seen_where_slices_are_thin_and_millimeters_known(stats, slices, reach):
    context, _ = plan_context([stats], (2,))
    assert (context.slices, context.reach_mm) == (slices, reach)


def ct_case(seed, *, low=-1024):
    image, label, affine = box_case((20, 24, 9), (1, 1, 3), seed=seed)
    rng = np.random.default_rng(seed)
    image = rng.normal(40, 20, image.shape)
    image[:, :6] = low
    image[label == 1] = rng.normal(120, 30, int((label == 1).sum()))
    return image.astype(np.int16), label, affine


def test_ct_is_told_by_air_and_normalized_by_the_labels(tmp_path):
    cases = [ct_case(seed) for seed in range(3)]
    checked = checked_set(tmp_path, cases)
    (channel,), (note,) = plan_channels(checked)
    inside = np.concatenate([image[label == 1] for image, label, _ in cases])
    rule = channel.normalization
    assert (channel.modality, channel.name, rule.method) == ("CT", "CT", "fixed")
    assert rule.mean == pytest.approx(inside.mean())
    assert rule.std == pytest.approx(inside.std())
    ends = np.percentile(inside, (0.5, 99.5), method="inverted_cdf")
    assert (rule.low, rule.high) == tuple(ends)
    assert "3 of 3 scans" in note


@pytest.mark.parametrize(
    ("change", "modality", "region"),
    [
        (lambda v: v, "MR", "all"),
        (lambda v: np.where(np.arange(v.shape[0])[:, None, None] < 14, 0, v), "MR", "nonzero"),
        (lambda v: np.where(np.arange(v.shape[0])[:, None, None] < 14, 7, v), "MR", "above_mean"),
        (lambda v: (v / 4).astype(np.uint8), "n/a", "all"),
        (lambda v: (v - 500.0).astype(np.float32), "n/a", "all"),
    ],
    ids=["plain", "cut out", "air", "8 bit", "below zero"],
)
def test_what_is_no_ct_is_normalized_scan_by_scan(tmp_path, change, modality, region):
    cases = []
    for seed in range(2):
        image, label, affine = box_case((20, 24, 9), (1, 1, 3), seed=seed)
        cases.append((change(image), label, affine))
    (channel,), _ = plan_channels(checked_set(tmp_path, cases))
    assert channel.modality == modality
    assert (channel.normalization.method, channel.normalization.region) == ("zscore", region)


def test_stated_names_and_modalities_go_first(tmp_path):
    cases = [box_case((9, 8, 7), (1, 1, 1), seed=seed) for seed in range(2)]
    info = DatasetInfo(channels=("FLAIR",), modalities=("CT",))
    (channel,), _ = plan_channels(checked_set(tmp_path, cases, info=info))
    assert (channel.name, channel.modality, channel.normalization.method) == (
        "FLAIR", "CT", "fixed",
    )  # fmt: skip


def test_channels_of_one_name_are_told_apart(tmp_path):
    image, label, affine = box_case((9, 8, 7, 3), (1, 1, 1))
    checked = checked_set(
        tmp_path, [(image, label[..., 0], affine)], info=DatasetInfo(channels=("MR", "MR", "MR"))
    )
    assert [channel.name for channel in plan_channels(checked)[0]] == ["MR", "MR 2", "MR 3"]


def outputs_of(tmp_path, info, values=(1, 2, 4)):
    image, label, affine = box_case((9, 8, 7), (1, 1, 1), value=0)
    for number, value in enumerate(values):
        label[number] = value
    return plan_outputs(checked_set(tmp_path, [(image, label, affine)], info=info))


def test_labels_keep_their_values_and_names(tmp_path):
    outputs = outputs_of(tmp_path, DatasetInfo(labels={1: "a", 4: "b"}, ignore=2))
    assert outputs.labels == {1: "a", 4: "b"}
    assert (outputs.activation, outputs.n_channels) == ("softmax", 3)


def test_regions_paint_back_the_values_of_the_label_maps(tmp_path):
    info = DatasetInfo(regions={"core": (1, 4), "whole": (1, 2, 4), "enhancing": (4,)})
    outputs = outputs_of(tmp_path, info)
    assert list(outputs.labels.items()) == [(2, "whole"), (1, "core"), (4, "enhancing")]
    assert outputs.regions == {2: (1, 2, 4), 1: (1, 4), 4: (4,)}
    assert (outputs.activation, outputs.n_channels) == ("sigmoid", 3)
    for true in (1, 2, 4):  # perfect regions, painted in order, give the map again
        painted = 0
        for value, parts in outputs.regions.items():
            painted = value if true in parts else painted
        assert painted == true


@pytest.mark.parametrize(
    ("name", "sided"),
    [
        ("Left-Hippocampus", True), ("hippocampus_R", True), ("lh.cortex", True),
        ("RightLung", True), ("kidney left", True), ("liver", False), ("bright spot", False),
        ("upright", False), ("label 1", False),
    ],
)  # fmt: skip
def test_names_that_say_a_side(name, sided):
    assert name_has_side(name) is sided


def test_nothing_is_mirrored_where_names_or_places_have_sides():
    middle = [grid((64, 60, 20), (1, 1, 5), center=(x, 0, 0)) for x in (-12, 9, -10)]
    sided = [grid((64, 60, 20), (1, 1, 5), center=(x, 0, 0)) for x in (12, 9, 10)]
    assert plan_mirror(middle, {1: "tumor"}, anatomical=True)[0] == ("left-right",)
    assert plan_mirror(sided, {1: "liver"}, anatomical=True)[0] == ()
    assert plan_mirror(middle, {1: "left kidney"}, anatomical=True)[0] == ()
    assert len(plan_mirror(sided, {1: "cell"}, anatomical=False)[0]) == 3


def test_sides_are_told_in_the_patient_not_in_the_array(tmp_path):
    box = (slice(2, 6), slice(5, 15), slice(1, 4))
    image, label, affine = box_case((30, 26, 6), (1, 1, 4), box=box)
    other = affine.copy()  # the first array axis runs from right to left
    other[0, 0], other[0, 3] = -1, 50
    first = (image, label, affine)
    flipped = (np.ascontiguousarray(image[::-1]), np.ascontiguousarray(label[::-1]), other)
    case_stats = surveys_of(tmp_path, [first, flipped])
    assert plan_mirror(case_stats, {1: "spot"}, anatomical=True)[0] == ()
    mirrored = surveys_of(tmp_path, [first, (image, label, other)])
    assert plan_mirror(mirrored, {1: "spot"}, anatomical=True)[0] == ("left-right",)


@pytest.mark.parametrize(
    ("stats", "spacing", "patch_size"),
    [
        (grid((240, 200, 155), (1, 1, 1), extent=(180, 160, 130)), None, (208, 240)),
        (grid((240, 200, 155), (1, 1, 1), extent=(80, 60, 50)), None, (96, 112)),
        (grid((512, 512, 60), (0.8, 0.8, 3), extent=(300, 300, 90)), None, (256, 256)),
        (grid((512, 512, 60), (0.8, 0.8, 3), extent=(300, 300, 90)), 2.0, (208, 208)),
        (grid((40, 50, 9), (1, 1, 3)), None, (64, 48)),
        (grid((9, 50, 9), (1, 1, 3)), None, (64, 16)),
    ],
)
def test_patches_cover_what_is_labeled_in_rows_and_columns(stats, spacing, patch_size):
    assert plan_patch_size([stats], "axial", spacing)[0] == patch_size


SHAPE = StepShape((), 3, 5, (240, 208), 1)


def test_the_network_is_the_largest_that_sees_enough():
    asked = []

    def probe(shape):
        asked.append(shape.sizes[0])
        return shape.sizes[0] / 16 * seconds

    seconds = 0.3
    chosen = plan_network(SHAPE, PlanSettings(minutes=15), probe)
    shape = chosen.shape
    assert (shape.sizes, shape.batch_size) == ((32, 64, 128, 256), 3)
    assert "would see" in chosen.notes[0]
    per_step = 3 * SHAPE.patch_size[0] * SHAPE.patch_size[1]
    assert chosen.share == pytest.approx(per_step * 15 * 60 * 0.75 / 0.6 / 1.5e8)
    assert asked == [16, 32, 64]
    seconds = 100
    chosen = plan_network(SHAPE, PlanSettings(minutes=15), probe)
    assert chosen.shape.sizes[0] == 16
    assert chosen.share < 1
    assert "give it more time" in chosen.notes[0]
    assert plan_network(SHAPE, PlanSettings(sizes=(8, 16), minutes=1), probe).shape.sizes == (8, 16)
    assert plan_network(SHAPE, PlanSettings(epochs=3), probe).shape.sizes[0] == 32


def test_a_batch_stays_in_memory():
    chosen = plan_network(SHAPE, PlanSettings(epochs=1, memory_gb=0.6), None)
    assert chosen.shape.memory_gb <= 0.6
    assert "to stay in memory" in chosen.notes[1]
    least = plan_network(SHAPE, PlanSettings(epochs=1, memory_gb=0.001), None)
    assert least.shape.batch_size == 1
    assert "more memory than asked for" in least.notes[1]
    large = plan_network(replace(SHAPE, patch_size=(32, 48)), PlanSettings(epochs=1), None)
    assert large.shape.batch_size == 32


@pytest.mark.parametrize(
    ("chord", "seconds", "spacing"),
    [
        (40, 0.05, None),  # enough is seen
        (40, 1.0, 0.926),  # eight patches of 144 × 144 a second: 0.75 of what should be seen
        (40, 4.0, 1.6),  # twice as coarse is the limit
        (16, 4.0, 1.33),  # twelve pixels across a label are the limit
        (9, 4.0, None),
    ],
)
def test_pixels_are_coarser_when_too_little_would_be_seen(chord, seconds, spacing):
    stats = replace(grid((200, 200, 60), (0.8, 0.8, 3)), chords_mm=(chord, 2 * chord, 50))
    slices = plan_slice_axis([stats])

    def probe(shape):
        return seconds * shape.sizes[0] / 16

    def planned(settings):
        return plan_sizes([stats], slices, settings, channels=(1, 2), probe=probe)

    sizes = planned(PlanSettings(minutes=15))
    assert sizes.spacing_mm == (None if spacing is None else pytest.approx(spacing, abs=0.02))
    assert sizes.shape.patch_size[0] < 1.3 * 200 * 0.8 / (sizes.spacing_mm or 0.8)
    assert planned(PlanSettings(minutes=15, spacing_mm=0.8)).spacing_mm == 0.8
    assert planned(PlanSettings(epochs=3)).spacing_mm is None


def test_the_measured_step_is_a_time():
    from unet_med.training.planning.step_time import seconds_per_step

    shape = StepShape((2, 4), 3, 2, (16, 32), 4, threads=1)
    assert 0 < seconds_per_step(shape) < 30


def test_advice_rests_on_figures():
    thin = compare_2d_3d([grid((64, 60, 50), (1, 1, 1))], (2,))
    thick = compare_2d_3d([grid((64, 60, 20), (1, 1, 6.5))], (2,))
    between = compare_2d_3d([grid((64, 60, 20), (1, 1, 2.5))], (2,))
    unknown = compare_2d_3d([grid((512, 512, 30), (1, 1, 1))], (2,))
    assert "3D network may serve better" in thin
    assert "Going on in 2D" in thin
    assert "slices suit these data: slices are 6.5 times as thick" in thick
    assert "neither" in between
    assert "not known in mm" in unknown


def test_the_fingerprint_holds_the_ranges_of_the_cases(tmp_path):
    cases = [
        box_case((20, 24, 9), (1, 1.2, 3), seed=0),
        box_case((22, 18, 5), (0.9, 0.9, 4), seed=1, value=4),
    ]
    checked = checked_set(tmp_path, cases)
    channels, _ = plan_channels(checked)
    case_stats = [stats for _, stats in checked.usable]
    mark = extract_fingerprint(
        case_stats, (2, 2), channels=channels, labels={1: "any", 4: "four"}, regions={1: (1, 4)}
    )
    assert mark.n_cases == 2
    assert mark.slice_spacing_mm == (3, 4)
    assert mark.in_plane_spacing_mm == (0.9, 1.2)
    assert mark.slice_size_mm == pytest.approx((16.2, 28.8))
    assert mark.n_slices == (5, 9)
    volumes = [(label > 0).sum() * abs(np.linalg.det(a[:3, :3])) / 1000 for _, label, a in cases]
    # What four is painted over is no longer any: its volume is that in a mask.
    assert mark.volumes_ml["any"] == pytest.approx((0, volumes[0]), rel=1e-4)
    assert mark.volumes_ml["four"] == pytest.approx((0, volumes[1]), rel=1e-4)
    assert mark.intensity == {}  # z-scores do not depend on the units


def test_the_fingerprint_bounds_intensities_where_units_matter(tmp_path):
    cases = [ct_case(seed) for seed in range(3)]
    checked = checked_set(tmp_path, cases)
    channels, _ = plan_channels(checked)
    mark = extract_fingerprint(
        [stats for _, stats in checked.usable], (2, 2, 2), channels=channels,
        labels={1: "a"}, regions={},
    )  # fmt: skip
    every = [np.percentile(i, (1, 99), method="inverted_cdf") for i, _, _ in cases]
    assert mark.intensity["CT"] == (min(e[0] for e in every), max(e[1] for e in every))
