from __future__ import annotations

import numpy as np
import pytest

from unet_med.errors import InputError
from unet_med.evaluation import (
    Better,
    Comparison,
    EvaluationSettings,
    FailedCase,
    MetricColumn,
    assemble_cohort,
    score_volumes,
)
from unet_med.volumes import from_array

N_LABELS = 200


@pytest.fixture(scope="module")
def cohort():
    mask = np.arange(N_LABELS * 2, dtype=np.uint16).reshape(20, 10, 2)
    volume = from_array(mask, np.diag([1, 1, 3, 1]))
    cases = [score_volumes(volume, volume, case=f"case{n}") for n in range(3)]
    settings = EvaluationSettings(label_names={1: "<b>liver</b> & more"})
    return assemble_cohort(cases, failed=[FailedCase("x", "no mask")], settings=settings)


def test_results_of_any_size_are_one_short_line(cohort):
    case = cohort.scored[0]
    results = [cohort, case, case.counts, Comparison.of(cohort, cohort), case.surface_metrics_of(1)]
    for result in results:
        text = repr(result)
        assert text.startswith(type(result).__name__)
        assert "\n" not in text
        assert len(text) < 300
    assert "3 cases scored, 1 failed, 0 extra" in repr(cohort)
    assert f"… ({2 * N_LABELS - 1})" in repr(cohort)


def test_a_notebook_shows_one_escaped_row_per_label_up_to_a_limit(cohort):
    page = cohort._repr_html_()
    assert "&lt;b&gt;liver&lt;/b&gt; &amp; more" in page
    assert "<b>" not in page
    assert "<th>volume_dice, mean</th>" in page
    assert page.count("<tr>") == 1 + 50
    assert f"and {2 * N_LABELS - 1 - 50} more" in page


def test_two_metrics_of_one_name_are_refused():
    again = MetricColumn("iou", lambda case, _: case.counts.tp.sum(axis=0), Better.HIGHER)
    with pytest.raises(InputError, match="two metrics have one name"):
        EvaluationSettings(extra_metrics=(again,))
