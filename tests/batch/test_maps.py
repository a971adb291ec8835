"""Maps of probability, uncertainty and entropy beside the masks of a batch."""

from __future__ import annotations

import hashlib
import json

import nibabel as nib
import numpy as np
import pytest
from scipy import special

from tests.batch_helpers import files, reference_labels, run_cases, statuses, write_scan
from unet_med.errors import InputError
from unet_med.volumes import verify_mask

KINDS = ("probabilities", "uncertainty", "entropy")
HALF_STEP = 0.5 / 255 + 1e-6


def reference_probabilities(path):
    """Softmax of the thresholds' logits, (3, i, j, k)."""
    values = np.asarray(nib.load(path).dataobj, dtype=np.float64)
    z = np.clip((values - values.mean()) / values.std(), -5, 5)
    return special.softmax(np.stack([np.zeros_like(z), z - 0.5, 2 * z - 1.5]), axis=0)


def read(path):
    return np.asarray(nib.load(path).get_fdata())


def test_maps_hold_what_the_network_said(tmp_path):
    scan = write_scan(tmp_path / "in/sub/a.nii.gz")
    assert statuses(run_cases(tmp_path, save_maps=KINDS)) == {"sub/a": "done"}
    likely, labels = reference_probabilities(scan), reference_labels(scan)
    out = tmp_path / "out/sub"
    np.testing.assert_allclose(
        read(out / "a.probabilities.nii.gz"), np.moveaxis(likely[1:], 0, 3), atol=HALF_STEP
    )
    given = np.take_along_axis(likely, labels[None].astype(int), axis=0)[0]
    np.testing.assert_allclose(read(out / "a.uncertainty.nii.gz"), 1 - given, atol=HALF_STEP)
    doubt = -(likely * np.log(likely)).sum(axis=0) / np.log(3)
    np.testing.assert_allclose(read(out / "a.entropy.nii.gz"), doubt, atol=HALF_STEP)
    np.testing.assert_array_equal(read(out / "a.nii.gz"), labels)
    for kind in KINDS:
        np.testing.assert_array_equal(
            nib.load(out / f"a.{kind}.nii.gz").affine, nib.load(scan).affine
        )
    verify_mask(scan, out / "a.nii.gz")


def test_the_sidecar_lists_them(tmp_path):
    write_scan(tmp_path / "in/a.nii.gz")
    run_cases(tmp_path, save_maps=("entropy",))
    path = tmp_path / "out/a.entropy.nii.gz"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    sidecar = json.loads((tmp_path / "out/a.json").read_text())
    assert sidecar["maps"] == {"entropy": {"file": path.name, "sha256": digest}}
    assert files(tmp_path / "out") == ["a.entropy.nii.gz", "a.json", "a.nii.gz", "ledger.jsonl"]


def test_a_case_is_up_to_date_only_with_its_maps(tmp_path):
    write_scan(tmp_path / "in/a.nii.gz")
    run_cases(tmp_path)
    assert statuses(run_cases(tmp_path, save_maps=("entropy",))) == {"a": "done"}
    assert statuses(run_cases(tmp_path, save_maps=("entropy",))) == {"a": "skipped"}
    assert statuses(run_cases(tmp_path)) == {"a": "skipped"}
    assert (tmp_path / "out/a.entropy.nii.gz").exists()
    (tmp_path / "out/a.entropy.nii.gz").write_bytes(b"changed")
    assert statuses(run_cases(tmp_path, save_maps=("entropy",))) == {
        "a": "failed"
    }  # not ours any more
    assert statuses(run_cases(tmp_path, save_maps=("entropy",), overwrite=True)) == {"a": "done"}


def test_no_map_of_an_older_mask_stays_beside_a_new_one(tmp_path):
    write_scan(tmp_path / "in/a.nii.gz")
    run_cases(tmp_path, save_maps=KINDS)
    write_scan(tmp_path / "in/a.nii.gz", seed=1)
    assert statuses(run_cases(tmp_path, save_maps=("entropy",))) == {"a": "done"}
    assert files(tmp_path / "out") == ["a.entropy.nii.gz", "a.json", "a.nii.gz", "ledger.jsonl"]


def test_a_foreign_file_of_a_maps_name_stays(tmp_path):
    write_scan(tmp_path / "in/a.nii.gz")
    foreign = write_scan(tmp_path / "out/a.entropy.nii.gz", seed=3).read_bytes()
    report = run_cases(tmp_path, save_maps=("entropy",))
    assert "was not written by this program" in report.outcomes[0].error
    assert (tmp_path / "out/a.entropy.nii.gz").read_bytes() == foreign
    assert not (tmp_path / "out/a.nii.gz").exists()


def test_an_unknown_kind_is_refused_before_anything_starts(tmp_path):
    write_scan(tmp_path / "in/a.nii.gz")
    with pytest.raises(InputError, match=r"cannot save 'heat'; choose of probabilities, unc"):
        run_cases(tmp_path, save_maps=("heat",))
