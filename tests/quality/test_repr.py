from __future__ import annotations

import numpy as np

from unet_med.quality import Quality, QualityFlag, Reliability


def quality(n_slices):
    flags = tuple(
        QualityFlag(index, 3.0 * index, 1, "<script>", 0.1, ("expected Dice 0.10", "a < b"))
        for index in range(n_slices)
    )
    tables = [np.zeros((n_slices, 1))] * 5
    positions = tuple(3.0 * index for index in range(n_slices))
    return Quality(2, positions, 1.0, 0.79, *tables, labels=(), review=flags)


def test_quality_of_any_size_is_one_line():
    assert repr(quality(1600)) == "Quality(1600 slices, 0 labels, 1600 slices to review)"
    bins = np.ones((3, 10))
    assert repr(Reliability(bins, bins, bins)) == "Reliability(3 labels, 10 bins, error 0.0000)"


def test_a_notebook_lists_the_flagged_slices_escaped_up_to_a_limit():
    page = quality(120)._repr_html_()
    assert "<script>" not in page
    assert "<td>&lt;script&gt;</td><td>0.100</td><td>expected Dice 0.10; a &lt; b</td>" in page
    assert page.count("<tr>") == 1 + 50
    assert "and 70 more" in page
