from __future__ import annotations

from pathlib import Path

from unet_med.reporting import WrittenReport


def test_a_written_report_is_one_line_and_lists_its_paths_escaped():
    files = tuple(Path(f"out/{index}<b>.png") for index in range(80))
    report = WrittenReport(files, {"case & 1": "<no scan>"})
    assert repr(report) == "WrittenReport(80 files, 1 case not shown; first: out/0<b>.png)"
    page = report._repr_html_()
    assert "<td>out/1&lt;b&gt;.png</td>" in page.replace("\\", "/")
    assert "<b>" not in page
    assert page.count("<tr>") == 1 + 50


def test_the_reasons_of_cases_not_shown_are_listed():
    page = WrittenReport((), {"case & 1": "<no scan>"})._repr_html_()
    assert "<td>case &amp; 1</td><td>&lt;no scan&gt;</td>" in page
