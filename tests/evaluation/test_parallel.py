from __future__ import annotations

import os

import nibabel as nib
import numpy as np
import pytest

from unet_med.errors import InputError
from unet_med.evaluation import EvaluationSettings, FailedCase, MetricSettings
from unet_med.evaluation.pairing import Pair
from unet_med.evaluation.parallel import evaluate_pairs

SETTINGS = EvaluationSettings(metrics=MetricSettings(tolerance_mm=2.0))


class Deadly:
    """Ends the process that unpickles it, as a killed or crashed one ends."""

    def __reduce__(self):
        return os._exit, (9,)


@pytest.fixture
def pairs(tmp_path):
    found = []
    for index in range(4):
        masks = np.random.default_rng(index).integers(0, 3, (2, 5, 6, 4), dtype=np.uint8)
        paths = [tmp_path / f"{side}{index}.nii" for side in "pr"]
        for path, mask in zip(paths, masks, strict=True):
            nib.save(nib.Nifti1Image(mask, np.diag([1, 1, 3, 1])), path)
        found.append(Pair(f"case{index}", *paths))
    return found


def test_processes_give_what_one_gives_in_order_and_a_dead_one_fails_its_case_alone(pairs):
    alone = list(evaluate_pairs(pairs, SETTINGS))
    deadly = Pair("deadly", Deadly(), pairs[0].reference)
    text = pairs[0].reference.with_name("text.nii")
    text.write_text("no mask")
    every = [pairs[0], deadly, Pair("text", text, pairs[0].reference), *pairs[1:]]
    found = list(evaluate_pairs(every, SETTINGS, jobs=2))
    assert [one.case for one in found] == [pair.case for pair in every]
    died, unread = found.pop(1), found.pop(1)
    assert isinstance(died, FailedCase)
    assert "the process that scored it died" in died.error
    assert isinstance(unread, FailedCase)
    assert "text.nii" in unread.error
    for one, other in zip(found, alone, strict=True):
        np.testing.assert_array_equal(one.counts.tp, other.counts.tp)
        for label in other.labels:
            assert one.surface_metrics[label].hd95_mm == other.surface_metrics[label].hd95_mm
            assert one.surface_metrics[label].tolerance_mm == 2.0


def test_no_process_is_no_number_of_processes(pairs):
    with pytest.raises(InputError, match="1 or more; got 0"):
        evaluate_pairs(pairs, SETTINGS, jobs=0)
