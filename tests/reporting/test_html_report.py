from __future__ import annotations

import json

import pytest

from tests.browser import find_chromium, open_browser
from tests.reporting.cohorts import NASTY, make_cohort
from unet_med import api
from unet_med.reporting import case_sources, html_report
from unet_med.reporting.html_page import script_json


@pytest.fixture
def large(tmp_path, monkeypatch):
    """Return a cohort that is too large for one page."""
    monkeypatch.setattr(html_report, "ONE_PAGE_BYTES", 1000)
    root = make_cohort(tmp_path, ("a", "b", NASTY))
    (root / "p" / "a.nii.gz").unlink()
    return root


def evaluate(root, **more):
    api.evaluate(root / "p", root / "r", output=root / "out", images=root / "i", **more)
    return root / "out"


def test_a_large_cohort_gets_a_page_per_case(large):
    out = evaluate(large)
    names = sorted(path.name for path in (out / "report_cases").iterdir())
    assert names == ["0000_a.html", "0001_b.html", "0002_z_img_src_x_onerror_alert_1_x_.html"]
    main = (out / "report.html").read_text(encoding="utf-8")
    assert 'id="case-0"' not in main
    assert '"href":"report_cases/0001_b.html"' in main
    assert not list(out.glob(".*"))


def test_pages_of_an_earlier_report_go_and_others_stay(large, monkeypatch):
    out = evaluate(large)
    (out / "report_cases" / "mine.html").write_text("<p>my notes</p>")
    (large / "r" / "a.nii.gz").unlink()
    evaluate(large)
    names = sorted(path.name for path in (out / "report_cases").iterdir())
    assert names[:1] == ["0000_b.html"]
    assert names[-1] == "mine.html"
    assert len(names) == 3
    monkeypatch.setattr(html_report, "ONE_PAGE_BYTES", 10**9)
    evaluate(large)
    assert [path.name for path in (out / "report_cases").iterdir()] == ["mine.html"]
    (out / "report_cases" / "mine.html").unlink()
    evaluate(large)
    assert not (out / "report_cases").exists()


@pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine")
def test_the_pages_lead_to_each_other(large):
    out = evaluate(large)
    with open_browser() as browser:
        browser.open(out / "report.html")
        assert browser.run("window.unetMed.state()") is None
        browser.click(".cases tbody tr[data-case=b] a")
        browser.wait("location.pathname.endsWith('0001_b.html') && window.unetMed?.state()?.drawn")
        assert browser.state()["slice"] == 7
        links = browser.run("[...document.querySelectorAll('#case-head a')].map((a) => a.text)")
        assert links == ["← all cases", "previous", "next"]
        browser.click("#case-head a:nth-of-type(2)")
        browser.wait("location.pathname.endsWith('0000_a.html') && window.unetMed?.state()?.drawn")
        assert browser.state()["prediction"] is None
        browser.click("#case-head a")
        browser.wait("location.pathname.endsWith('report.html')")
        assert browser.complaints == []


def test_a_case_that_cannot_be_shown_keeps_its_scores(tmp_path, monkeypatch):
    root = make_cohort(tmp_path)
    monkeypatch.setattr(case_sources, "case_image_data", lambda *_args, **_more: 1 / 0)
    page = (evaluate(root) / "report.html").read_text(encoding="utf-8")
    assert "ZeroDivisionError" in page
    assert len((root / "out" / "cases.csv").read_text().splitlines()) == 5


def test_json_in_a_script_cannot_end_it():
    content = {"name": "</script><!--<script>&\u2028\ud800"}
    text = script_json(content)
    assert not set("<>&") & set(text)
    assert text.isascii()
    assert json.loads(text) == content
