"""Charts: label styles, the two Bokeh charts that a page fills with data, the reliability diagram.

Bokeh's script comes with its Python package, under BSD-3-Clause, and is a quarter of Plotly's
(1.3 MB against 4.7 MB); each page carries it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from unet_med._files import atomic_path
from unet_med.reporting.overlay import LABEL_COLORS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unet_med.segmenter import Calibration

PATTERNS = 6
"""Fills that the page knows: solid, two diagonals, horizontal, vertical, dots."""


DASHES = ((1, 0), (4, 2), (1, 1), (6, 1))
"""Drawn and left out along a line, in units of about three pixels."""


MARKERS = ("circle", "square", "triangle", "diamond", "inverted_triangle", "plus", "x")


N_STYLES = 42
"""Colors and patterns repeat after 7 and 6: so many combinations differ."""


def label_style(number: int) -> dict[str, Any]:
    """Return how the label at a place of the list looks, JSON-ready."""
    return {
        "color": LABEL_COLORS[number % len(LABEL_COLORS)],
        "pattern": number % PATTERNS,
        "dash": list(DASHES[number % len(DASHES)]),
        "marker": MARKERS[number % len(MARKERS)],
    }


MAX_CURVES = 64
"""Labels with a curve; more could not be told apart, and take seconds to draw."""


_DARK = {"background": "#1b1f23", "ink": "#e8ebee", "grid": "#343a41"}


_LIGHT = {"background": "#ffffff", "ink": "#1a1d21", "grid": "#dde1e4"}


_LONGEST_NAME = 24


_UPRIGHT_LETTERS = 36  # of all names, that fit side by side under a chart on a telephone


_NOTHING = "\u200b"  # a space of no width


def bokeh_script() -> str:
    """Return the text of Bokeh's script."""
    import bokeh

    root = Path(bokeh.__file__).parent
    return (root / "server/static/js/bokeh.min.js").read_text(encoding="utf-8")


def curve_chart(styles: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the chart of values over slices as Bokeh's JSON.

    Models with names: ``curve N`` (data: x, y, reference), ``dots N`` (x, y), ``line N``,
    ``marks N``, ``other N`` of the N-th label, ``cursor``, ``value axis``.

    Args:
        styles: One per label.
    """
    from bokeh.embed import json_item
    from bokeh.models import ColumnDataSource, Range1d, Span
    from bokeh.plotting import figure

    chart = figure(
        height=260,
        sizing_mode="stretch_width",
        tools="box_zoom,xpan,reset",
        toolbar_location="above",
        x_range=Range1d(-0.5, 0.5),
        y_range=Range1d(-0.03, 1.03),
        x_axis_label="slice",
        y_axis_label="",
    )
    chart.yaxis[0].name = "value axis"
    _paint(chart, _DARK)
    for number, style in enumerate(styles[:MAX_CURVES]):
        source = ColumnDataSource({"x": [], "y": [], "reference": []}, name=f"curve {number}")
        on, off = style["dash"]
        line = {"line_color": style["color"], "source": source}
        chart.line("x", "reference", line_width=4, line_alpha=0.35, name=f"other {number}", **line)
        chart.line(
            "x",
            "y",
            line_width=1.6,
            line_dash=[on * 3, off * 3] if off else "solid",
            name=f"line {number}",
            **line,
        )
        chart.scatter(
            "x",
            "y",
            source=ColumnDataSource({"x": [], "y": []}, name=f"dots {number}"),
            marker=style["marker"],
            size=6,
            color=style["color"],
            name=f"marks {number}",
        )
    chart.add_layout(
        Span(location=0, dimension="height", line_color="#ffffff", line_width=1.5, name="cursor")
    )
    return dict(json_item(chart))


def cohort_chart(names: Sequence[str]) -> dict[str, Any]:
    """Return the chart of one score, dots and boxes per label, as Bokeh's JSON.

    Models with names: ``points`` (x, y, marker, number), ``boxes`` (x, low, q1, median, q3, high),
    ``metric axis``.

    Args:
        names: One per label.
    """
    from bokeh.embed import json_item
    from bokeh.models import ColumnDataSource, FixedTicker, Range1d
    from bokeh.plotting import figure

    chart = figure(
        height=300,
        sizing_mode="stretch_width",
        tools="ypan,ybox_zoom,reset",
        x_range=Range1d(-0.6, max(len(names), 1) - 0.4),
        y_range=Range1d(0, 1),
        y_axis_label="",
    )
    chart.yaxis[0].name = "metric axis"
    chart.xaxis[0].ticker = FixedTicker(ticks=list(range(len(names))))
    chart.xaxis[0].major_label_overrides = {n: _tick(name) for n, name in enumerate(names)}
    if sum(map(len, names)) > _UPRIGHT_LETTERS:
        chart.xaxis[0].major_label_orientation = 0.6
    _paint(chart, _LIGHT)
    parts = ("x", "low", "q1", "median", "q3", "high")
    boxes = ColumnDataSource({part: [] for part in parts}, name="boxes")
    for low, high in (("low", "q1"), ("q3", "high")):
        chart.segment("x", low, "x", high, source=boxes, line_color="#5b6570")
    chart.vbar("x", 0.62, "q3", "q1", source=boxes, fill_color="#dde6ee", line_color="#5b6570")
    chart.rect("x", "median", 0.62, 2, height_units="screen", source=boxes, color="#1a1d21")
    points = ColumnDataSource({"x": [], "y": [], "marker": [], "number": []}, name="points")
    chart.scatter(
        "x",
        "y",
        marker="marker",
        size=7,
        source=points,
        fill_color="#0072b2",
        fill_alpha=0.55,
        line_color="#0b3550",
    )
    return dict(json_item(chart))


def _paint(chart: Any, colors: dict[str, str]) -> None:  # noqa: ANN401 - bokeh is untyped here
    chart.toolbar.logo = None
    chart.background_fill_color = chart.border_fill_color = colors["background"]
    chart.outline_line_color = colors["grid"]
    chart.grid.grid_line_color = colors["grid"]
    for axis in chart.axis:
        axis.major_label_text_color = axis.axis_label_text_color = colors["ink"]
        axis.axis_line_color = axis.major_tick_line_color = colors["ink"]
        axis.minor_tick_line_color = None
        axis.axis_label_text_font_style = "normal"


def _tick(name: str) -> str:
    """Return a short name in which Bokeh sees no formula, which it would load a script for."""
    short = name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
    return short.replace("$", f"${_NOTHING}").replace("\\", f"\\{_NOTHING}")


_RELIABILITY_DPI = 130


_RELIABILITY_MARKERS = "osD^vP*X"  # told apart in gray as well


def write_reliability(calibration: Calibration, path: Path) -> None:
    """Draw the reliability of every label before and after, side by side, as PNG.

    Points on the diagonal are right; below it the network is too sure.

    Args:
        calibration: From ``calibrate``.
        path: The picture, replaced whole.

    Raises:
        OutputError: It cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 5.2), dpi=_RELIABILITY_DPI, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    content = calibration.as_dict()
    temperatures = {"before": calibration.temperature_before, "after": calibration.temperature}
    for panel, (when, temperature) in zip(panels, temperatures.items(), strict=True):
        panel.plot([0, 1], [0, 1], color="0.6", linewidth=1)
        for number, label in enumerate(content["labels"]):
            _draw_label(panel, label, when, number)
        error = content["calibration_error"][when]
        shown = "" if error is None else f", calibration error {error:.3f}"
        panel.set_title(f"temperature {temperature:g}{shown}")
        panel.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability", aspect="equal")
    panels[0].set_ylabel("share of voxels that are the label")
    panels[1].legend(loc="upper left", frameon=False)
    with atomic_path(path) as partial:
        figure.savefig(partial, format="png")


def _draw_label(panel: Any, label: dict[str, Any], when: str, number: int) -> None:  # noqa: ANN401 - matplotlib is untyped
    filled = [cell for cell in label["bins"][when] if cell["voxels"]]
    panel.plot(
        [cell["probability"] for cell in filled],
        [cell["found"] for cell in filled],
        color=LABEL_COLORS[number % len(LABEL_COLORS)],
        marker=_RELIABILITY_MARKERS[number % len(_RELIABILITY_MARKERS)],
        label=label["label_name"],
    )
