"""The reliability diagram: how often a label is there where it was called likely."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unet_med._files import atomic_path
from unet_med.reporting.overlay import LABEL_COLORS

if TYPE_CHECKING:
    from pathlib import Path

    from unet_med.segmenter import Calibration

_DPI = 130
_MARKERS = "osD^vP*X"  # told apart in gray as well


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

    figure = Figure(figsize=(9.0, 5.2), dpi=_DPI, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    content = calibration.as_dict()
    temperatures = {"before": calibration.temperature_before, "after": calibration.temperature}
    for panel, (when, temperature) in zip(panels, temperatures.items(), strict=True):
        panel.plot([0, 1], [0, 1], color="0.6", linewidth=1)
        for number, label in enumerate(content["labels"]):
            _draw(panel, label, when, number)
        error = content["calibration_error"][when]
        shown = "" if error is None else f", calibration error {error:.3f}"
        panel.set_title(f"temperature {temperature:g}{shown}")
        panel.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability", aspect="equal")
    panels[0].set_ylabel("share of voxels that are the label")
    panels[1].legend(loc="upper left", frameon=False)
    with atomic_path(path) as partial:
        figure.savefig(partial, format="png")


def _draw(panel: Any, label: dict[str, Any], when: str, number: int) -> None:  # noqa: ANN401 - matplotlib is untyped
    filled = [cell for cell in label["bins"][when] if cell["voxels"]]
    panel.plot(
        [cell["probability"] for cell in filled],
        [cell["found"] for cell in filled],
        color=LABEL_COLORS[number % len(LABEL_COLORS)],
        marker=_MARKERS[number % len(_MARKERS)],
        label=label["label_name"],
    )
