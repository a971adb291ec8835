from __future__ import annotations

import hashlib
import itertools
import os

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from tests.cases.datasets import SHAPE, labels, oblique, save, scan, write_cases
from unet_med.cases import DatasetInfo, check_cases, find_training_cases
from unet_med.cases import stats as stats_module


def check(root, *, info=None, **options):
    return check_cases(find_training_cases(root / "images", root / "labels", info=info), **options)


def kinds(checked, severity=None):
    return [f.kind for f in checked.issues if severity in (None, f.severity)]


def text_of(checked, kind):
    return next(issue.text for issue in checked.issues if issue.kind == kind)


def test_the_stats_hold_what_numpy_and_scipy_find(tmp_path):
    write_cases(tmp_path, 2)
    stats = check(tmp_path).case_stats[1]
    image = nib.load(tmp_path / "images/case1.nii.gz")
    true = np.asarray(nib.load(tmp_path / "labels/case1.nii.gz").dataobj)
    voxels = np.asarray(image.dataobj, np.float64)
    assert stats.shape == SHAPE
    np.testing.assert_allclose(stats.spacing_mm, image.header.get_zooms(), rtol=1e-6)
    assert stats.channels[0].mean == pytest.approx(voxels.mean())
    assert stats.channels[0].std == pytest.approx(voxels.std())
    assert (stats.channels[0].minimum, stats.channels[0].maximum) == (voxels.min(), voxels.max())
    assert sorted(stats.labels) == [1, 4]
    for value, label in stats.labels.items():
        inside = true == value
        box = ndimage.find_objects(inside.astype(int))[0]
        assert label.n_voxels == inside.sum()
        assert label.volume_ml == pytest.approx(inside.sum() * 1.0 * 1.5 * 4.0 / 1000)
        assert label.n_slices == tuple(
            int(inside.any(axis=tuple({0, 1, 2} - {axis})).sum()) for axis in range(3)
        )
        sizes = [part.stop - part.start for part in box]
        np.testing.assert_allclose(label.extent_mm, np.multiply(sizes, stats.spacing_mm))
        center = nib.affines.apply_affine(image.affine, ndimage.center_of_mass(inside))
        np.testing.assert_allclose(label.center_mm, center, atol=1e-6)
    for axis in range(3):  # a line crosses each box of 1 and 4 once: count its runs the slow way
        lines = np.moveaxis(true, axis, -1).reshape(-1, SHAPE[axis])
        runs = [len(list(g)) for line in lines for v, g in itertools.groupby(line) if v]
        chord = np.mean(runs) * stats.spacing_mm[axis]
        assert stats.chords_mm[axis] == pytest.approx(chord, rel=0.3)
    assert stats.labeled.n_voxels == (true > 0).sum()
    assert stats.n_background == (true == 0).sum()
    assert stats.channels[0].zero_share == 0


def test_what_nobody_labeled_is_no_part_of_a_label(tmp_path):
    write_cases(tmp_path, 1)
    plain = check(tmp_path).case_stats[0]
    true = labels(0)
    true[true == 0] = 9
    save(tmp_path / "labels/case0.nii.gz", true)
    ignored = check(tmp_path, info=DatasetInfo(ignore=9)).case_stats[0]
    assert ignored.chords_mm == plain.chords_mm
    assert ignored.labeled == plain.labeled
    assert check(tmp_path).case_stats[0].chords_mm != plain.chords_mm


def test_intensities_inside_labels_are_those_of_all_cases(tmp_path):
    write_cases(tmp_path, 3)
    foreground = check(tmp_path, info=DatasetInfo(ignore=4)).foreground[0]
    inside = np.concatenate(
        [
            np.asarray(nib.load(tmp_path / f"images/case{n}.nii.gz").dataobj)[labels(n) == 1]
            for n in range(3)
        ]
    )
    assert foreground.n_voxels == inside.size
    assert foreground.region("all").mean == pytest.approx(inside.mean())
    assert foreground.percentile(99.5) == pytest.approx(np.percentile(inside, 99.5), abs=2)


def test_a_blank_scan_that_is_left_out_bends_no_intensities(tmp_path):
    write_cases(tmp_path, 2)
    inside = check(tmp_path).foreground[0].region("all")
    save(tmp_path / "images/case2.nii.gz", np.full(SHAPE, -1000, np.int16))
    save(tmp_path / "labels/case2.nii.gz", labels(2))
    assert check(tmp_path).without_bad().foreground[0].region("all") == inside


def test_neither_slabs_nor_jobs_change_what_is_found(tmp_path, monkeypatch):
    write_cases(tmp_path, 3, dtype=np.float32)
    whole = check(tmp_path, jobs=1).as_dict()
    monkeypatch.setattr(stats_module, "SLAB_VOXELS", 1)
    assert check(tmp_path, jobs=3).as_dict() == whole


def test_a_clean_data_set_has_no_fault_and_follows_progress(tmp_path):
    write_cases(tmp_path, 3, values=(1, 2))
    seen = []
    checked = check(tmp_path, progress=lambda *step: seen.append(step))
    assert checked.issues == ()
    assert seen == [(1, 3, "case0"), (2, 3, "case1"), (3, 3, "case2")]
    assert checked.label_values() == [1, 2]


def test_grids_that_differ_are_named_in_numbers(tmp_path):
    write_cases(tmp_path, 2)
    save(tmp_path / "labels/case1.nii.gz", labels(1), oblique(spacing=(1.0, 1.5, 5.0)))
    checked = check(tmp_path)
    assert kinds(checked, "error") == ["unusable"]
    assert "spacing (mm) (1, 1.5, 4) vs (1, 1.5, 5)" in text_of(checked, "unusable")


def test_a_channel_on_another_grid_is_an_error(tmp_path):
    for name, spacing in (("0000", 4.0), ("0001", 3.0)):
        save(tmp_path / f"images/a_{name}.nii", scan(), oblique(spacing=(1, 1.5, spacing)))
        save(tmp_path / f"images/b_{name}.nii", scan(1))
    save(tmp_path / "labels/a.nii", labels())
    save(tmp_path / "labels/b.nii", labels(1))
    checked = check(tmp_path)
    assert [f.cases for f in checked.errors] == [("a",)]


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        (lambda v: np.where(v == 4, 255, v), "value_255", "--ignore 255"),
        (lambda v: v, "gaps", "values are 1, 4, not 1 to 2"),
        (lambda v: v.astype(np.float32) * 0.5, "unusable", "which is no label"),
        (lambda v: np.where(v == 4, np.nan, v).astype(np.float32), "unusable", "nan"),
        (lambda v: -v.astype(np.int16), "unusable", "0 or more"),
        (lambda v: np.where(v == 4, 7, v), "rare_label", "one case only: 7 (case0)"),
        (np.zeros_like, "empty", "case0 have an empty"),
        (
            lambda v: np.arange(v.size, dtype=np.int16).reshape(v.shape),
            "unusable",
            "more than 512",
        ),
        (
            lambda v: np.where(np.arange(v.size).reshape(v.shape) == 5, 9, v),
            "stray_voxels",
            "9 (1)",
        ),
    ],
)
def test_label_maps_that_are_odd_are_named(tmp_path, change, kind, text):
    write_cases(tmp_path, 3)
    changed = change(labels(0))
    save(tmp_path / "labels/case0.nii.gz", changed.astype(np.result_type(changed, np.uint8)))
    checked = check(tmp_path)
    assert kind in kinds(checked)
    assert text in text_of(checked, kind)


def test_whole_numbers_stored_as_floats_are_labels(tmp_path):
    write_cases(tmp_path, 2, values=(1, 2))
    save(tmp_path / "labels/case0.nii.gz", labels(0, values=(1, 2)).astype(np.float64))
    assert check(tmp_path).issues == ()


def test_the_background_may_be_named(tmp_path):
    write_cases(tmp_path, 2)
    named = DatasetInfo(labels={0: "background", 1: "a", 4: "b"})
    assert check(tmp_path, info=named).issues == check(tmp_path).issues


def test_values_without_a_name_are_errors_and_names_without_a_value_warnings(tmp_path):
    write_cases(tmp_path, 2)
    checked = check(tmp_path, info=DatasetInfo(labels={1: "a", 2: "b"}))
    assert "label value 4 occurs in case0, case1 but has no name" in text_of(
        checked, "unknown_label"
    )
    assert kinds(checked, "warning") == ["absent_label"]
    assert not check(tmp_path, info=DatasetInfo(labels={1: "a"}, ignore=4)).errors


def test_nothing_labeled_at_all_is_one_error(tmp_path):
    write_cases(tmp_path, 2, values=())
    checked = check(tmp_path)
    assert kinds(checked, "error") == ["no_foreground"]
    write_cases(tmp_path, 2, values=(3,))
    assert kinds(check(tmp_path, info=DatasetInfo(ignore=3)), "error") == ["no_foreground"]


def test_the_same_scan_twice_is_one_patient(tmp_path):
    write_cases(tmp_path, 3)
    save(tmp_path / "images/again.nii", scan(0).astype(np.float32))  # stored otherwise
    save(tmp_path / "labels/again.nii", labels(0))
    checked = check(tmp_path)
    assert checked.issues[0].kind == "duplicate"
    assert checked.issues[0].severity == "warning"
    patients = {case.id: case.patient for case in checked.found.cases}
    assert patients["again"] == patients["case0"] != patients["case1"]
    save(tmp_path / "labels/again.nii", labels(5))
    assert "different labels" in check(tmp_path).errors[0].text


def test_the_digest_is_of_the_voxels(tmp_path):
    write_cases(tmp_path, 2)
    digest = hashlib.sha256(repr(SHAPE).encode())
    voxels = scan(1).astype(np.float32)
    for plane in range(SHAPE[2]):
        digest.update(np.ascontiguousarray(voxels[None, ..., plane]).tobytes())
    assert check(tmp_path).case_stats[1].image_digest == digest.hexdigest()


def test_scans_that_cannot_be_used_are_named(tmp_path):
    write_cases(tmp_path, 4, dtype=np.float32)
    (tmp_path / "images/case0.nii.gz").write_bytes(b"no scan")
    save(tmp_path / "images/case1.nii.gz", np.full(SHAPE, 7, np.int16))
    holed = scan(2, dtype=np.float32)
    holed[1, 2, 3] = np.nan
    save(tmp_path / "images/case2.nii.gz", holed)
    save(tmp_path / "images/case3.nii.gz", np.full(SHAPE, np.nan, np.float32))
    checked = check(tmp_path)
    named = {(f.kind, f.severity, f.cases) for f in checked.issues}
    assert ("unusable", "error", ("case0",)) in named
    assert ("constant", "error", ("case1",)) in named
    assert ("nonfinite", "warning", ("case2",)) in named
    assert ("unusable", "error", ("case3",)) in named
    assert [case.id for case, _ in checked.usable] == ["case1", "case2"]


def test_cases_with_other_channels_are_named(tmp_path):
    write_cases(tmp_path, 3, shape=(*SHAPE, 2))
    save(tmp_path / "images/case1.nii.gz", scan())
    checked = check(tmp_path)
    assert [f.cases for f in checked.errors] == [("case1",)]


def test_a_label_that_only_held_out_cases_have_is_named(tmp_path):
    write_cases(tmp_path, 3, values=(1,))
    save(tmp_path / "labels/case2.nii.gz", labels(2, values=(1, 6)))
    names = [f"case{number}.nii.gz" for number in range(3)]
    rows = [f"images/{name},labels/{name},{'val' * ('2' in name)}" for name in names]
    (tmp_path / "list.csv").write_text("\n".join(["image,label,split", *rows]))
    checked = check_cases(find_training_cases(list_file=tmp_path / "list.csv"))
    (untaught,) = [issue for issue in checked.issues if issue.kind == "untaught_label"]
    assert untaught.text.startswith("label values 6 occur in cases held out alone")
    assert (untaught.severity, untaught.cases) == ("warning", ("case2",))


def test_systems_that_cannot_tell_their_processors_check_too(tmp_path, monkeypatch):
    write_cases(tmp_path, 2)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert not check(tmp_path).errors


def test_a_patient_in_two_folds_is_an_error(tmp_path):
    write_cases(tmp_path, 3)
    lines = [f"images/case{n}.nii.gz,labels/case{n}.nii.gz,{p},{f}" for n, p, f in
             ((0, "x", 0), (1, "x", 1), (2, "y", 1))]  # fmt: skip
    (tmp_path / "l.csv").write_text("image,label,patient,fold\n" + "\n".join(lines))
    checked = check_cases(find_training_cases(list_file=tmp_path / "l.csv"))
    assert "patient x is in fold 0 and fold 1 (case0, case1)" in checked.errors[0].text


@pytest.mark.parametrize("column", ["fold", "split"])
def test_the_same_scan_in_two_folds_is_an_error_whatever_its_name(tmp_path, column):
    write_cases(tmp_path, 3)
    save(tmp_path / "images/case2.nii.gz", scan(0))
    save(tmp_path / "labels/case2.nii.gz", labels(0))
    places = {"fold": (0, 0, 1), "split": ("train", "train", "validation")}[column]
    lines = [f"images/case{n}.nii.gz,labels/case{n}.nii.gz,{p}" for n, p in enumerate(places)]
    (tmp_path / "l.csv").write_text(f"image,label,{column}\n" + "\n".join(lines))
    checked = check_cases(find_training_cases(list_file=tmp_path / "l.csv"))
    assert [(f.kind, f.cases) for f in checked.errors] == [
        ("patient_in_two_folds", ("case0", "case2"))
    ]


def test_a_spacing_far_off_is_named(tmp_path):
    write_cases(tmp_path, 3)
    for kind, array in (("images", scan(9)), ("labels", labels(9))):
        save(tmp_path / f"{kind}/far.nii.gz", array, oblique(spacing=(1.0, 1.5, 20.0)))
    assert "far: spacing 1 × 1.5 × 20 mm" in text_of(check(tmp_path), "spacing")


def test_unpaired_files_are_errors(tmp_path):
    write_cases(tmp_path, 3)
    (tmp_path / "labels/case1.nii.gz").rename(tmp_path / "labels/cas1.nii.gz")
    checked = check(tmp_path)
    assert {f.text for f in checked.errors} == {
        "scan case1 has no label map; did you mean cas1?",
        "label map cas1 has no scan; did you mean case1?",
    }
