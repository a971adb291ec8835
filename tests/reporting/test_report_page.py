"""The page in a real browser: it is scrolled, clicked and typed into, and says what it shows."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from tests.browser import find_chromium, open_browser
from tests.reporting.cohorts import NASTY, SHAPE, box, make_cohort, oblique, save
from unet_med import api

pytestmark = pytest.mark.skipif(
    find_chromium() is None,
    reason="no Chromium on this machine (Debian: apt-get install chromium)",
)

NASTY_LABEL = "</script><script>alert(2)</script> $$y$$"


@pytest.fixture(scope="module")
def browser():
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    root = make_cohort(
        tmp_path_factory.mktemp("cohort"), ("a", "b", f"site/{NASTY}".replace("/", "_"))
    )
    (root / "p" / "a.nii.gz").rename(root / "p" / "extra.nii.gz")
    api.evaluate(
        root / "p",
        root / "r",
        output=root / "out",
        images=root / "i",
        label_names={1: "liver", 2: NASTY_LABEL},
        region={"whole": (1, 2)},
    )
    return root


@pytest.fixture
def case_b(browser, cohort):
    """The page of case b, whose slice 7 is empty in the prediction."""
    browser.size(1280, 900)
    browser.complaints.clear()
    browser.requests.clear()
    browser.open(cohort / "out" / "report.html", "#case=1")
    yield browser
    assert browser.complaints == []
    assert [
        url for url in browser.requests if not url.startswith(("file:", "data:", "blob:"))
    ] == []


AXIAL = "[data-plane=axial]"


def test_it_opens_at_the_worst_slice(case_b, cohort):
    state = case_b.state()
    assert state["slice"] == 7
    rows = csv.DictReader((cohort / "out" / "slices.csv").read_text("utf-8").splitlines())
    (row,) = [r for r in rows if (r["case"], r["label"], r["slice"]) == ("b", "1", "7")]
    assert float(row["position_mm"]) == pytest.approx(state["position_mm"], abs=1e-3)
    assert row["state"] == "prediction_empty"
    text = case_b.run("document.querySelector('.worst button').textContent")
    assert "slice 7" in text
    assert "missed" in text


def test_wheel_keys_and_slider_move_through_the_slices(case_b):
    case_b.run("window.unetMed.viewer.move(0, 5)")
    case_b.wheel(AXIAL, 120)
    case_b.wait("window.unetMed.state().slice > 5")
    down = case_b.state()["slice"]
    case_b.wheel(AXIAL, -120)
    case_b.wait(f"window.unetMed.state().slice < {down}")
    case_b.run("window.unetMed.viewer.move(0, 5)")
    case_b.run(f"document.querySelector('{AXIAL}').focus()")
    keys = (
        ("ArrowUp", 6), ("ArrowUp", 7), ("ArrowDown", 6), ("Home", 0), ("ArrowDown", 0),
        ("End", 11), ("PageDown", 1), ("PageUp", 11),
    )  # fmt: skip
    for key, slice_index in keys:
        case_b.key(key)
        assert case_b.state()["slice"] == slice_index, key
    assert case_b.run(f"document.querySelector('{AXIAL}').getAttribute('aria-valuenow')") == "11"
    case_b.run("document.querySelector('[data-slider=axial]').focus()")
    case_b.key("ArrowLeft")
    assert case_b.state()["slice"] == 10
    caption = case_b.run("document.querySelector('.plane-host.main .caption').textContent")
    assert "axial slice 10 of 0–11" in caption


def test_a_click_on_the_curve_goes_to_that_slice(case_b):
    left, top, _, height = case_b.box("[data-curve]")
    frame = case_b.run(
        "(() => { const f = window.unetMed.charts.document.roots()[0];"
        "const { left, width } = Bokeh.index.get_one(f).frame.bbox;"
        "return [left, width, f.x_range.start, f.x_range.end]; })()"
    )
    begin, wide, start, end = frame
    for wanted in (3, 9):
        x = left + begin + (wanted - start) / (end - start) * wide
        case_b.click_at(x, top + height * 0.5)
        case_b.wait(f"window.unetMed.state().slice === {wanted}")
    cursor = case_b.run("window.unetMed.charts.model('cursor').location")
    assert cursor == case_b.state()["slice"]


def test_the_worst_slices_are_one_click_or_key_away(case_b):
    case_b.run("window.unetMed.viewer.move(0, 0)")
    case_b.click(".worst button:nth-child(2)")
    second = case_b.run(
        "Number(document.querySelector('.worst button:nth-child(2)').dataset.slice)"
    )
    assert case_b.state()["slice"] == second
    case_b.key("b")
    assert case_b.state()["slice"] == 7
    pressed = case_b.run("document.querySelector('.worst button').getAttribute('aria-pressed')")
    assert pressed == "true"


def test_labels_are_switched_on_and_off(case_b):
    case_b.run("window.unetMed.viewer.move(0, 5)")

    def painted():
        case_b.state()
        return case_b.run(
            "(() => { const p = window.unetMed.viewer.planes[0];"
            "return new Uint32Array(p.pixels.data.buffer).reduce((n, w) => n + (w !== 0), 0); })()"
        )

    everything = painted()
    case_b.click("[data-label='2']")
    assert case_b.state()["hidden"] == [2]
    without = painted()
    assert without < everything
    assert case_b.run("window.unetMed.charts.model('line 1').visible") is False
    case_b.key("1")
    assert sorted(case_b.state()["hidden"]) == [1, 2]
    assert painted() == 0
    case_b.key("1")
    case_b.click("[data-label='2']")
    assert case_b.state()["hidden"] == []
    assert painted() == everything
    case_b.key("p")
    outlines = painted()
    case_b.key("r")
    assert 0 < outlines < everything
    assert painted() == 0
    case_b.key("r")
    case_b.key("p")


def test_the_values_shown_are_those_of_the_tables(case_b, cohort):
    rows = list(csv.DictReader((cohort / "out" / "slices.csv").read_text("utf-8").splitlines()))
    for index in (3, 5, 8):
        case_b.run(f"window.unetMed.viewer.move(0, {index})")
        case_b.state()
        for label in ("1", "2", "1+2"):
            (row,) = [
                r for r in rows if (r["case"], r["label"], r["slice"]) == ("b", label, str(index))
            ]
            text = case_b.run(
                f"document.querySelector('[data-slice-value=\"{label}\"]').textContent"
            )
            assert text == (f"{float(row['dice']):.3f}" if row["dice"] else "–")


def test_names_are_text_and_nothing_else(case_b, cohort):
    assert case_b.run("document.querySelectorAll('img, b script').length") == 0
    assert NASTY_LABEL in case_b.run("document.querySelector('.labels').textContent")
    case_b.open(cohort / "out" / "report.html", "#case=2")
    assert NASTY in case_b.run("document.querySelector('#case-head h2').textContent")
    assert case_b.state()["case"] == 2


def test_the_cohort_lists_sorts_and_opens(case_b, cohort):
    case_b.open(cohort / "out" / "report.html")
    assert case_b.run("window.unetMed.state()") is None
    first = "document.querySelector('.cases tbody tr').dataset.case"
    assert case_b.run(first) == "a"  # its prediction is missing
    assert "missing" in case_b.run("document.querySelector('.cases tbody tr').textContent")
    text = case_b.run("document.getElementById('cohort').textContent")
    for word in ("Without a prediction: 1", "extra (near: a)", "is left out", "unet_med 0."):
        assert word in text, word
    case_b.click(".cases thead th:nth-child(3) button")
    assert case_b.run(first) != "a"  # best first
    assert case_b.run("document.querySelector('[aria-sort]').textContent").startswith("Dice")
    assert (
        case_b.run("document.querySelector('[aria-sort]').getAttribute('aria-sort')")
        == "descending"
    )
    case_b.run(
        "(() => { const s = document.querySelector('[data-metric]'); s.value = 'hd95_mm';"
        "s.dispatchEvent(new Event('change')); })()"
    )
    markers = case_b.run("window.unetMed.cohort.charts.points.marker")
    assert markers.count("triangle") == 3  # the labels and the region of the missing one
    case_b.click(".cases tbody tr[data-case=b] a")
    case_b.wait("window.unetMed.state()?.case === 1")


def test_a_slice_has_an_address(case_b, cohort):
    case_b.open(cohort / "out" / "report.html", "#case=1&slice=4")
    assert case_b.state()["slice"] == 4


@pytest.mark.parametrize("width", [1600, 420])
def test_nothing_is_wider_than_the_window(case_b, cohort, width):
    case_b.size(width, 800)
    case_b.open(cohort / "out" / "report.html", "#case=1")
    case_b.state()
    assert case_b.run("document.documentElement.scrollWidth") <= width
    case_b.open(cohort / "out" / "report.html")
    assert case_b.run("document.documentElement.scrollWidth") <= width


def corner_case(root, order, flips):
    """Write a label in the right, front, upper corner of an oblique scan; return its center."""
    affine = oblique(flips=flips, turn=0.2)[:, [*order, 3]]
    shape = tuple(np.array(SHAPE)[list(order)])
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    towards = grid @ affine[:3, :3].T @ (1, 1, 1)
    corner = np.unravel_index(np.argmax(towards), shape)
    low = [min(max(at - 1, 0), size - 3) for at, size in zip(corner, shape, strict=True)]
    mask = box(shape, low, [at + 3 for at in low])
    for side in "pr":
        save(root / side / "x.nii.gz", mask, affine)
    save(root / "i" / "x.nii.gz", mask.astype(np.int16) * 1000, affine)
    return affine, [int(at) + 1 for at in low]


@pytest.mark.parametrize(
    ("order", "flips"),
    [
        ((0, 1, 2), (1, 1, 1)),
        ((0, 1, 2), (-1, 1, -1)),
        ((2, 0, 1), (1, -1, 1)),
        ((1, 2, 0), (-1, -1, 1)),
    ],
)
def test_letters_name_the_sides_of_the_patient(browser, tmp_path, order, flips):
    affine, center = corner_case(tmp_path, order, flips)
    api.evaluate(tmp_path / "p", tmp_path / "r", output=tmp_path / "out", images=tmp_path / "i")
    browser.size(1280, 900)
    browser.open(tmp_path / "out" / "report.html")
    browser.state()
    browser.run(f"({GO_TO})({center})")
    state = browser.state()
    assert state["voxel"] == center
    np.testing.assert_allclose(state["world"], (affine @ [*center, 1])[:3], atol=1e-3)
    assert (state["prediction"], state["reference"]) == (1, 1)
    assert state["value"] == pytest.approx(1000, abs=60)
    for plane, (across, up) in {"axial": "RA", "coronal": "RS", "sagittal": "AS"}.items():
        found = json.loads(browser.run(f"({CENTERS})('{plane}')"))
        sides = found["letters"]
        for name in ("filled", "bright"):
            x, y = found[name]
            assert sides["left" if x < 0.5 else "right"] == across, (plane, name, x)
            assert sides["top" if y < 0.5 else "bottom"] == up, (plane, name, y)
            assert min(abs(x - 0.5), abs(y - 0.5)) > 0.15
        np.testing.assert_allclose(found["filled"], found["bright"], atol=0.06)


GO_TO = """(voxel) => {
  const { viewer } = window.unetMed;
  const { file_axes: axes, file_flips: flips, shape } = viewer.volume.grid;
  viewer.show.cross = false;
  viewer.moveTo(axes.map((axis, n) => (flips[n] ? shape[n] - 1 - voxel[axis] : voxel[axis])));
}"""

CENTERS = """(name) => {
  const { viewer } = window.unetMed;
  const plane = viewer.planes.find((one) => one.name === name);
  const { width, height } = plane.canvas;
  const center = (data, on) => {
    let [n, sumX, sumY] = [0, 0, 0];
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
      if (!on(data, 4 * (y * width + x))) continue;
      n += 1; sumX += (x + 0.5) / width; sumY += (y + 0.5) / height;
    }
    return [sumX / n, sumY / n];
  };
  plane.draw();
  const filled = center(plane.pixels.data, (data, at) => data[at + 3] !== 0);
  viewer.show.prediction = viewer.show.reference = false;
  plane.draw();
  const shown = plane.canvas.getContext("2d").getImageData(0, 0, width, height).data;
  const bright = center(shown, (data, at) => data[at] > 128);
  viewer.show.prediction = viewer.show.reference = true;
  plane.draw();
  const letters = {};
  const shownLetters = plane.frame.querySelectorAll(".letter");
  for (const one of shownLetters) letters[one.dataset.side] = one.textContent;
  return JSON.stringify({ filled, bright, letters });
}"""
