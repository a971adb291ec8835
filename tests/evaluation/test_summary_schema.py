from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import nibabel as nib
import numpy as np
import pytest

from unet_med.evaluation import MetricSettings, Region, compare_cohorts

SCHEMA = Path(__file__).parents[2] / "docs" / "summary.schema.json"


@pytest.mark.parametrize("shapes", [True, False])
def test_the_summary_fits_its_schema_and_the_schema_is_strict(tmp_path, shapes):
    for seed, side in enumerate("abr"):
        (tmp_path / side).mkdir()
        for case in range(3 - (side == "a")):  # one prediction is missing
            mask = np.random.default_rng(10 * seed + case).integers(0, 3, (4, 5, 3), dtype=np.uint8)
            nib.save(nib.Nifti1Image(mask, np.eye(4)), tmp_path / side / f"c{case}.nii")
    metrics = MetricSettings(shapes=shapes, regions=(Region("both", (1, 2)),))
    compare_cohorts(
        tmp_path / "a", tmp_path / "b", references=tmp_path / "r", output=tmp_path / "out",
        metrics=metrics,
    )  # fmt: skip
    schema = json.loads(SCHEMA.read_text())
    for name in ("summary.json", "against/summary.json"):
        summary = json.loads((tmp_path / "out" / name).read_text())
        jsonschema.validate(summary, schema)
    summary["labels"][0]["volume_dice"]["average"] = 1.0
    with pytest.raises(jsonschema.ValidationError, match="average"):
        jsonschema.validate(summary, schema)
