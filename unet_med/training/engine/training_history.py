"""Record a run: one row an epoch, as CSV and as a curve."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from unet_med._files import atomic_path

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class TrainingHistory:
    """The course of a run; it is part of every checkpoint.

    Attributes:
        rows: One an epoch: ``epoch, step, loss, learning_rate, seconds``, and, where cases
            were validated, ``dice`` and ``dice <label>``.
        best: Best mean Dice so far; ``None`` = nothing was validated.
        best_epoch: Its epoch.
        stale: Validations since then.
        cases: Dice per held-out case and label name of the best epoch; ``None`` = in neither.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    best: float | None = None
    best_epoch: int = 0
    stale: int = 0
    cases: dict[str, dict[str, float | None]] = field(default_factory=dict)

    def improves(self, dice: float) -> bool:
        """Tell whether a score is the best so far; a score that is no number never is."""
        return not math.isnan(dice) and (self.best is None or dice > self.best)

    def to_json(self) -> str:
        """Return the history as text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> TrainingHistory:
        """Return what `to_json` wrote."""
        return cls(**json.loads(text))

    def write_csv(self, path: Path) -> None:
        """Write the rows as a table, whole; columns that a row lacks stay empty."""
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        with atomic_path(path) as partial:
            partial.write_text(text.getvalue(), encoding="utf-8")

    def plot(self, path: Path) -> None:
        """Draw loss and Dice over the steps as a picture."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(*self._column("loss"), color="tab:blue", label="loss (training)")
        axes.set_xlabel("step")
        axes.set_ylabel("loss")
        scores = self._column("dice")
        if scores[0]:
            right = axes.twinx()
            right.plot(*scores, "o-", color="tab:orange", label="Dice (held-out cases)")
            right.set_ylabel("mean volume Dice")
            right.set_ylim(0, 1)
        figure.legend(loc="outside upper right", ncols=2)
        with atomic_path(path) as partial:
            figure.savefig(partial, dpi=120)

    def _column(self, name: str) -> tuple[list[float], list[float]]:
        rows = [row for row in self.rows if name in row]
        return [row["step"] for row in rows], [row[name] for row in rows]


def epoch_summary(
    row: dict[str, float], *, steps: int, history: TrainingHistory, left: float
) -> str:
    """Return the line that is shown after an epoch."""
    parts: list[Any] = [f"step {row['step']:.0f}/{steps}", f"loss {row['loss']:.3f}"]
    if "dice" in row:
        parts.append(f"Dice {row['dice']:.3f} on held-out cases")
        if history.best is not None:
            parts.append(f"best {history.best:.3f}")
    minutes, seconds = divmod(round(left), 60)
    parts.append(f"{minutes}:{seconds:02d} min left" if left > 0 else "last step")
    return ", ".join(parts)
