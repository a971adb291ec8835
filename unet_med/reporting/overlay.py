"""Draw one slice: the scan in gray, the prediction filled, the reference outlined."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from unet_med._files import atomic_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from unet_med.reporting.slice_view import SliceView

LABEL_COLORS = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#0072B2", "#D55E00", "#F0E442")
"""Told apart by color-blind people too; repeated when there are more labels.

Source: Okabe and Ito, "Color Universal Design", 2008, without black.
"""

GRAY_PERCENTILES = (0.5, 99.5)
"""Values shown as black and white: a few extreme voxels would hide the rest."""

FILL_OPACITY = 0.5
_WIDTH_INCHES = 9.0
_TEXT_INCHES = 0.45  # above and below the panels
_MARGIN = 0.02  # of the width
_GAP = 0.04  # of a panel's width
_DPI = 130
_LEGEND_COLUMNS = 4
_LEGEND_ENTRIES = 8  # two rows


def write_overlay(
    view: SliceView,
    path: Path,
    *,
    label_names: Mapping[int, str],
    dice: Mapping[int, float] | None,
    title: str,
    score_name: str = "Dice",
) -> None:
    """Write a PNG of two panels, the slice alone and with the masks, in physical proportions.

    Args:
        view: The slice.
        path: The PNG.
        label_names: Name per label value.
        dice: Dice, or another score, per label value that the slice holds; None for none at all.
        title: One line above the picture.
        score_name: What the score is called.

    Raises:
        OutputError: The file cannot be written.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from unet_med.reporting import SliceView
        >>> labels = np.eye(8, dtype=np.int64)
        >>> edges = ("R", "L", "P", "A")
        >>> view = SliceView(np.ones((8, 8), np.float32), labels, None, (1, 1), "axial", edges)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "slice.png")
        ...     write_overlay(view, path, label_names={1: "liver"}, dice={1: 0.9}, title="a")
        ...     path.read_bytes()[1:4]
        b'PNG'
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    labels = _labels_to_show(view, label_names)
    everything = dict.fromkeys([*label_names, *labels])
    colors = {value: LABEL_COLORS[n % len(LABEL_COLORS)] for n, value in enumerate(everything)}
    height_mm, width_mm = _size_mm(view)
    panel_width = _WIDTH_INCHES * (1 - 2 * _MARGIN) / (2 + _GAP)
    height = panel_width * min(1.6, max(0.5, height_mm / width_mm)) + 2 * _TEXT_INCHES
    figure = Figure(figsize=(_WIDTH_INCHES, height), facecolor="white")
    FigureCanvasAgg(figure)
    plain, overlaid = figure.subplots(1, 2)
    for axes in (plain, overlaid):
        _draw_image(axes, view)
    _draw_masks(overlaid, view, colors)
    # Names come from files and may hold dollar signs, which are no formulas.
    figure.suptitle(title, fontsize=11, y=1 - 0.4 * _TEXT_INCHES / height, parse_math=False)
    words = _words(labels, label_names, dice, score_name)
    handles = [_legend_entry(colors[value], words[value]) for value in labels]
    if handles:
        legend = figure.legend(
            handles=handles, loc="lower center", ncols=_LEGEND_COLUMNS, fontsize=9, frameon=False
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
    band = _TEXT_INCHES / height
    figure.subplots_adjust(_MARGIN, band, 1 - _MARGIN, 1 - band, wspace=_GAP)
    with atomic_path(path) as partial:
        figure.savefig(partial, dpi=_DPI, format="png", metadata={"Software": None})


def _labels_to_show(view: SliceView, label_names: Mapping[int, str]) -> list[int]:
    """Named labels, then others that the slice holds; of very many only those it holds."""
    present = set(np.unique(view.prediction).tolist())
    if view.reference is not None:
        present |= set(np.unique(view.reference).tolist())
    named = [value for value in label_names if value != 0]
    labels = named + sorted(present - set(label_names) - {0})
    if len(labels) > _LEGEND_ENTRIES:
        labels = [value for value in labels if value in present][:_LEGEND_ENTRIES]
    return labels


def _size_mm(view: SliceView) -> tuple[float, float]:
    rows, columns = view.image.shape
    return rows * view.spacing_mm[0], columns * view.spacing_mm[1]


def _draw_image(axes: Any, view: SliceView) -> None:  # noqa: ANN401 - matplotlib is untyped here
    height_mm, width_mm = _size_mm(view)
    finite = view.image[np.isfinite(view.image)]
    low, high = np.percentile(finite, GRAY_PERCENTILES) if finite.size else (0.0, 1.0)
    axes.imshow(
        view.image,
        cmap="gray",
        vmin=low,
        vmax=max(high, low + 1e-6),
        origin="lower",
        extent=(0, width_mm, 0, height_mm),
    )
    axes.set_axis_off()
    left, right, lower, upper = view.edges
    places = ((0.02, 0.5, left), (0.98, 0.5, right), (0.5, 0.02, lower), (0.5, 0.98, upper))
    for x, y, letter in places:
        axes.text(
            x,
            y,
            letter,
            transform=axes.transAxes,
            color="white",
            fontsize=11,
            fontweight="bold",
            horizontalalignment={0.02: "left", 0.98: "right"}.get(x, "center"),
            verticalalignment={0.02: "bottom", 0.98: "top"}.get(y, "center"),
            bbox={"facecolor": "black", "alpha": 0.5, "pad": 1.5, "edgecolor": "none"},
        )


def _draw_masks(axes: Any, view: SliceView, colors: Mapping[int, str]) -> None:  # noqa: ANN401
    height_mm, width_mm = _size_mm(view)
    axes.imshow(
        _filled(view.prediction, colors),
        origin="lower",
        extent=(0, width_mm, 0, height_mm),
        interpolation="nearest",
    )
    if view.reference is None:
        return
    rows_mm, columns_mm = view.spacing_mm
    # A border of background closes outlines at the edge of the picture.
    y = (np.arange(view.image.shape[0] + 2) - 0.5) * rows_mm
    x = (np.arange(view.image.shape[1] + 2) - 0.5) * columns_mm
    for value, color in colors.items():
        inside = np.pad(view.reference == value, 1)
        if inside.any():
            axes.contour(x, y, inside.astype(np.float32), [0.5], colors=[color], linewidths=0.9)
    axes.set_xlim(0, width_mm)
    axes.set_ylim(0, height_mm)


def _filled(labels: NDArray[np.int64], colors: Mapping[int, str]) -> NDArray[np.float32]:
    """Return labels as half-transparent colors (H, W, 4)."""
    from matplotlib.colors import to_rgb

    rgba = np.zeros((*labels.shape, 4), np.float32)
    for value, color in colors.items():
        rgba[labels == value] = (*to_rgb(color), FILL_OPACITY)
    return rgba


def _words(
    labels: list[int],
    label_names: Mapping[int, str],
    scores: Mapping[int, float] | None,
    score_name: str,
) -> dict[int, str]:
    """Return what the legend says of each label."""
    words = {value: f"{value} {label_names.get(value, '')}".strip() for value in labels}
    if scores is None:
        return words
    said = {value: f"{score_name} {score:.3f}" for value, score in scores.items()}
    return {value: f"{word} · {said.get(value, 'not here')}" for value, word in words.items()}


def _legend_entry(color: str, text: str) -> Any:  # noqa: ANN401 - matplotlib is untyped here
    from matplotlib.patches import Patch

    return Patch(color=color, label=text)
