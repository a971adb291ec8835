from __future__ import annotations

import numpy as np
import pytest

from unet_med.errors import LabelError
from unet_med.evaluation import EvaluationSettings, LabelRegion, MetricSettings, assemble_cohort
from unet_med.evaluation import score_volumes as score
from unet_med.metrics import slice_hd95_mm, surface_distances
from unet_med.volumes import from_array

SHAPE = (7, 9, 8)
AFFINE = np.array([[-2.0, 0.3, 0, 30], [0.4, 1, 0.6, -40], [0.1, 0, 3, 10], [0, 0, 0, 1]])
VALUES = (0, 0, 0, 1, 2, 700)


def make_volumes(seed=0, values=VALUES):
    """Masks with empty margins all round, so that boxes matter."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((2, *SHAPE), np.int16)
    masks[:, 1:-1, 2:-2, 1:-2] = rng.choice(np.array(values, np.int16), size=(2, 5, 5, 5))
    return masks, [from_array(mask, AFFINE) for mask in masks]


@pytest.mark.parametrize("chunk_voxels", [1, 130, 10**6])
@pytest.mark.parametrize("name", ["axial", "coronal", "sagittal"])
def test_shapes_are_those_of_the_whole_masks_whatever_is_read_at_once(
    monkeypatch, chunk_voxels, name
):
    monkeypatch.setattr("unet_med.evaluation.case.CHUNK_VOXELS", chunk_voxels)
    masks, volumes = make_volumes()
    region = LabelRegion("both", (1, 700))
    found = score(*volumes, slice_axis=name, metrics=MetricSettings(regions=(region,)))
    assert found.labels == (1, 2, 700, "1+700")
    axis = {"sagittal": 0, "coronal": 1, "axial": 2}[name]
    for column, (key, values) in enumerate({1: [1], 2: [2], 700: [700], "1+700": [1, 700]}.items()):
        p, r = (np.isin(mask, values) for mask in masks)
        distances = surface_distances(p, r, voxel_to_world=AFFINE)
        shape = found.surface_metrics[key]
        assert shape.hd95_mm == pytest.approx(distances.hd95_mm)
        assert shape.assd_mm == pytest.approx(distances.assd_mm)
        assert shape.surface_dice == distances.surface_dice(1.0)
        in_plane = slice_hd95_mm(p, r, axis=axis, voxel_to_world=AFFINE)
        np.testing.assert_allclose(shape.slice_hd95_mm, in_plane)
        assert found.counts.tp[:, column].sum() == (p & r).sum()
        assert found.counts.fp[:, column].sum() == (p & ~r).sum()
        assert found.counts.fn[:, column].sum() == (~p & r).sum()


def test_a_region_does_not_mind_labels_swapped_within_it():
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:4, 3:6, 1:4], mask[4:6, 3:6, 1:4] = 1, 2
    swapped = np.array([0, 2, 1], np.uint8)[mask]
    metrics = MetricSettings(regions=(LabelRegion("whole", (1, 2)),))
    case = score(from_array(swapped, AFFINE), from_array(mask, AFFINE), metrics=metrics)
    cohort = assemble_cohort([case], settings=EvaluationSettings(metrics=metrics))
    rows = {row["label"]: row for row in cohort.cases}
    assert [rows[label]["volume_dice"] for label in (1, 2, "1+2")] == [0, 0, 1]
    assert rows["1+2"]["label_name"] == "whole"
    assert rows["1+2"]["hd95_mm"] == 0
    assert cohort.summary["labels"][2]["label"] == "1+2"


def test_areas_are_those_of_the_parallelogram_of_a_voxel():
    _, volumes = make_volumes()
    case = score(*volumes, slice_axis="axial")
    area = np.linalg.norm(np.cross(AFFINE[:3, 0], AFFINE[:3, 1]))
    (row, *_) = (
        one
        for one in assemble_cohort([case], settings=EvaluationSettings()).slices
        if one["tp"] + one["fn"] > 0
    )
    assert row["reference_area_mm2"] == pytest.approx((row["tp"] + row["fn"]) * area)
    assert row["prediction_area_mm2"] == pytest.approx((row["tp"] + row["fp"]) * area)


def test_each_label_and_region_has_its_own_tolerance():
    masks, volumes = make_volumes()
    metrics = MetricSettings(
        tolerance_mm=0.5, label_tolerances_mm={2: 3.0, "all": 9.0},
        regions=(LabelRegion("all", (1, 2, 700)),),
    )  # fmt: skip
    found = score(*volumes, metrics=metrics)
    tolerances = {key: shape.tolerance_mm for key, shape in found.surface_metrics.items()}
    assert tolerances == {1: 0.5, 2: 3.0, 700: 0.5, "1+2+700": 9.0}
    distances = surface_distances(*(mask == 2 for mask in masks), voxel_to_world=AFFINE)
    assert found.surface_metrics[2].surface_dice == distances.surface_dice(3.0)


def test_a_missing_prediction_is_infinitely_far_and_finds_nothing():
    _, (_, reference) = make_volumes()
    case = score(None, reference, case="gone")
    cohort = assemble_cohort([case], settings=EvaluationSettings())
    for row in cohort.cases:
        assert row["hd95_mm"] == row["hausdorff_mm"] == row["assd_mm"] == np.inf
        assert row["surface_dice"] == row["component_sensitivity"] == 0
        assert row["reference_components"] > 0
        assert row["precision"] is None
        assert row["volume_error_ml"] == -row["reference_volume_ml"]
    label = cohort.summary["labels"][0]
    assert (label["hd95_mm"]["n"], label["hd95_mm"]["n_infinite"]) == (1, 1)
    assert label["worst_cases"]["hd95_mm"] == [{"case": "gone", "value": np.inf, "infinite": True}]


def test_counts_alone_have_no_column_that_nothing_fills():
    _, volumes = make_volumes()
    metrics = MetricSettings(surface_metrics=False)
    case = score(*volumes, metrics=metrics)
    assert case.surface_metrics == {}
    cohort = assemble_cohort([case], settings=EvaluationSettings(metrics=metrics))
    assert "hd95_mm" not in cohort.slices[0]
    assert "hd95_mm" not in cohort.cases[0]
    assert "surface" not in cohort.summary["metric_notes"]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"regions": (LabelRegion("a", (1, 2)), LabelRegion("b", (2, 1)))}, "same labels"),
        ({"regions": (LabelRegion("a", (1, 2)), LabelRegion("a", (1,)))}, "one name"),
        ({"tolerance_mm": -1.0}, "got -1.0"),
        ({"label_tolerances_mm": {1: float("nan")}}, "got nan"),
        ({"label_tolerances_mm": {"heart": 1.0}}, "heart, which is no region"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, text):
    with pytest.raises(LabelError, match=text):
        MetricSettings(**wrong)


@pytest.mark.parametrize("values", [(), (0, 1), (1, 1)])
def test_regions_that_cannot_be_are_refused(values):
    with pytest.raises(LabelError, match="region"):
        LabelRegion("a", values)
