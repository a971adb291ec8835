"""What lands on disk: slices.csv, cases.csv and summary.json, whole and by its schema."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import jsonschema
import nibabel as nib
import numpy as np
import pytest

from unet_med.evaluation import LabelRegion, MetricSettings, compare_cohorts, evaluate_cohort
from unet_med.evaluation.tables import without_nan, write_table

SLICE_HEADER = "case,label,label_name,slice,position_mm,tp,fp,fn,dice,state"


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for side in ("p", "r"):
        (tmp_path / side).mkdir()
        for name in ("a", "bad", 'odd, "name"'):
            mask = rng.integers(0, 3, (4, 5, 3), dtype=np.uint8)
            mask[..., 0] = 0
            zoom = 2.0 if (side, name) == ("p", "bad") else 1.0
            nib.save(
                nib.Nifti1Image(mask, np.diag([1, 1, zoom, 1])), tmp_path / side / f"{name}.nii"
            )
    names = {1: "gray, outer", 2: "weiß"}
    evaluate_cohort(tmp_path / "p", tmp_path / "r", output=tmp_path / "out", label_names=names)
    return tmp_path / "out"


def read(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_slices_csv_has_the_promised_columns_and_values(folder):
    header = (folder / "slices.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header == SLICE_HEADER + ",reference_area_mm2,prediction_area_mm2,hd95_mm"
    rows = read(folder / "slices.csv")
    assert len(rows) == 2 * 2 * 3
    assert {row["case"] for row in rows} == {"a", 'odd, "name"'}
    assert {row["label_name"] for row in rows} == {"gray, outer", "weiß"}
    for row in rows:
        tp, fp, fn = (int(row[name]) for name in ("tp", "fp", "fn"))
        if row["slice"] == "0":
            assert (row["dice"], row["state"], row["position_mm"]) == ("", "both_empty", "0.0")
        else:
            assert float(row["dice"]) == 2 * tp / (2 * tp + fp + fn)  # no digit is lost
            assert row["state"] == "both"


def test_cases_csv_has_a_row_per_case_and_label_failed_ones_included(folder):
    rows = read(folder / "cases.csv")
    assert [(row["case"], row["label"], row["status"]) for row in rows] == [
        ("a", "1", "scored"),
        ("a", "2", "scored"),
        ("bad", "1", "failed"),
        ("bad", "2", "failed"),
        ('odd, "name"', "1", "scored"),
        ('odd, "name"', "2", "scored"),
    ]
    assert rows[2]["volume_dice"] == ""
    assert "grids" in rows[2]["error"]


def test_pandas_reads_the_tables_in_one_line(folder):
    pandas = pytest.importorskip("pandas")
    slices = pandas.read_csv(folder / "slices.csv")
    assert slices.dtypes["label"] == slices.dtypes["tp"] == np.int64
    assert slices.dtypes["dice"] == np.float64
    cases = pandas.read_csv(folder / "cases.csv")
    assert cases.dtypes["label"] == np.int64
    assert cases.dtypes["volume_dice"] == np.float64
    sums = slices.groupby(["case", "label"])[["tp", "fp", "fn"]].sum()
    scored = cases[cases.status == "scored"].set_index(["case", "label"])[["tp", "fp", "fn"]]
    assert (sums == scored.astype(int)).all().all()


def test_a_second_run_writes_equal_bytes(folder, tmp_path):
    names = {1: "gray, outer", 2: "weiß"}
    evaluate_cohort(tmp_path / "p", tmp_path / "r", output=tmp_path / "again", label_names=names)
    for name in ("slices.csv", "cases.csv", "summary.json"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_a_table_that_fails_half_way_leaves_the_old_one(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("old")

    def rows():
        yield {"a": 1}
        msg = "stop"
        raise RuntimeError(msg)

    with pytest.raises(RuntimeError, match="stop"):
        write_table(path, ["a"], rows=rows())
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["t.csv"]


def test_infinity_is_a_word_in_csv_and_null_in_json(tmp_path):
    write_table(tmp_path / "t.csv", ["a", "b"], rows=[{"a": float("inf"), "b": None}])
    assert (tmp_path / "t.csv").read_text() == "a,b\ninf,\n"
    assert without_nan({"a": [float("inf"), 1]}) == {"a": [None, 1]}


SCHEMA = Path(__file__).parents[2] / "docs" / "summary.schema.json"


@pytest.mark.parametrize("surface_metrics", [True, False])
def test_the_summary_fits_its_schema_and_the_schema_is_strict(tmp_path, surface_metrics):
    for seed, side in enumerate("abr"):
        (tmp_path / side).mkdir()
        for case in range(3 - (side == "a")):  # one prediction is missing
            mask = np.random.default_rng(10 * seed + case).integers(0, 3, (4, 5, 3), dtype=np.uint8)
            nib.save(nib.Nifti1Image(mask, np.eye(4)), tmp_path / side / f"c{case}.nii")
    metrics = MetricSettings(
        surface_metrics=surface_metrics, regions=(LabelRegion("both", (1, 2)),)
    )
    compare_cohorts(
        tmp_path / "a", tmp_path / "b", references=tmp_path / "r", output=tmp_path / "out",
        metrics=metrics,
    )  # fmt: skip
    schema = json.loads(SCHEMA.read_text())
    for name in ("summary.json", "baseline/summary.json"):
        summary = json.loads((tmp_path / "out" / name).read_text())
        jsonschema.validate(summary, schema)
    summary["labels"][0]["volume_dice"]["average"] = 1.0
    with pytest.raises(jsonschema.ValidationError, match="average"):
        jsonschema.validate(summary, schema)
