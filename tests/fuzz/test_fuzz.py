"""Five hundred damaged files on every run; benchmarks/fuzz.py feeds any number."""

from __future__ import annotations

import gzip
from dataclasses import replace

import pytest

from tests.fuzz.harness import feed
from tests.fuzz.targets import Target, all_targets

FRAMES = {"scan.nii": {"refused"}, "scan.nii.gz": {"refused"}}  # a 4D file without --channel


@pytest.mark.filterwarnings("ignore")
def test_every_damaged_input_is_taken_for_good_or_refused_in_one_line(tmp_path):
    report = feed(all_targets(tmp_path), range(500), tmp_path / "inputs")
    assert report.faults == []
    assert sum(report.outcomes.values()) == 500
    assert sum(n for (_, kind), n in report.outcomes.items() if kind == "accepted") > 50
    assert sum(n for (_, kind), n in report.outcomes.items() if kind == "refused") > 200


@pytest.mark.filterwarnings("ignore")
def test_undamaged_inputs_are_taken(tmp_path):
    for target in all_targets(tmp_path):
        whole = gzip.compress if target.name == "scan.nii.gz" else bytes
        for seed in target.seeds:
            one = replace(target, seeds=(seed,), damage=lambda data, _rng, whole=whole: whole(data))
            report = feed([one], range(3), tmp_path / "inputs")
            assert {kind for _, kind in report.outcomes} <= {"accepted"} | FRAMES.get(
                target.name, set()
            )


def test_the_harness_reports_what_is_not_ours(tmp_path):
    def leak(data, _folder):
        raise KeyError(data[:1])

    target = Target("leak", (b"abc",), lambda data, _rng: data, leak)
    report = feed([target], range(3), tmp_path)
    assert len(report.faults) == 3
    assert "KeyError" in report.faults[0]
