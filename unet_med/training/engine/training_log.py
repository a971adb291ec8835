"""Logs of a run: one row an epoch as CSV and as a curve, and TensorBoard's event files."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from ignite.engine import Events

from unet_med._files import atomic_path
from unet_med._optional import import_optional
from unet_med.errors import OutputError
from unet_med.training.distributed import broadcast, is_main_process

if TYPE_CHECKING:
    from ignite.engine import Engine

    from unet_med.training.engine.epochs import EpochHandler


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


FOLDER = "tensorboard"
"""Name of the folder of event files, beside log.csv."""


_DICE = "dice "
"""Start of the columns of log.csv that hold the Dice of one label."""


def require_tensorboard() -> None:
    """Check, before anything is read, that TensorBoard's files can be written.

    Raises:
        MissingExtraError: The package is not installed.
    """
    import_optional("tensorboard", extra="tensorboard")


def tensorboard_folder(run: Path | str, *, wanted: bool) -> Path | None:
    """Return where the event files go; ``None`` = nowhere.

    A run that goes on goes on with its event files, too, where there are some and TensorBoard
    is installed.

    Args:
        run: The run's folder, as `prepare_output_dir` leaves it: without the files of earlier runs.
        wanted: Whether they were asked for.

    Raises:
        MissingExtraError: They were, and TensorBoard is not installed.
    """
    folder = Path(run) / FOLDER
    if wanted:
        require_tensorboard()
        return folder
    return folder if broadcast(folder.is_dir() and _is_installed()) else None


def _is_installed() -> bool:
    try:
        require_tensorboard()
    except ImportError:
        return False
    return True


class TensorBoardLog:
    """Handler that writes event files after every epoch, in the first process alone.

    ``loss/step`` and ``learning_rate`` have a point per optimizer step, ``loss/epoch``,
    ``dice/mean`` and ``dice/label/<name>`` one per epoch. They are written when the epoch's
    checkpoint is on disk, so a run that was killed and goes on writes no point twice; one that
    starts to log only then begins with the epochs of log.csv.

    Args:
        folder: For the event files.
        epoch_handler: The run's epochs, attached to the same trainer.
    """

    def __init__(self, folder: Path | str, *, epoch_handler: EpochHandler) -> None:
        self.folder = Path(folder)
        self.epoch_handler = epoch_handler
        self._steps: list[tuple[int, torch.Tensor, float]] = []
        self._writer: Any = None  # a SummaryWriter while the trainer runs

    def attach(self, engine: Engine) -> None:
        """Remember every step, write after every epoch."""
        if is_main_process():
            engine.add_event_handler(Events.STARTED, self._open)
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._remember)
            engine.add_event_handler(Events.COMPLETED, self._close)
            self.epoch_handler.listeners.append(self._write)

    def _open(self, engine: Engine) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._steps = []
        done = engine.state.iteration
        if not done:  # what lies there belongs to no checkpoint
            shutil.rmtree(self.folder, ignore_errors=True)
        is_new = not any(self.folder.glob("*"))
        # An older checkpoint may have been put back: points after it are hidden.
        self._writer = SummaryWriter(str(self.folder), purge_step=done + 1 if done else None)
        for row in self.epoch_handler.history.rows if is_new else ():
            self._write_epoch(row)

    def _remember(self, engine: Engine) -> None:
        rate = float(self.epoch_handler.optimizer.param_groups[0]["lr"])
        self._steps.append((engine.state.iteration, engine.state.output["loss"].detach(), rate))

    def _write(self, row: dict[str, float]) -> None:
        try:
            self._write_steps()
            self._write_epoch(row)
            self._writer.flush()
        except OSError as exc:
            msg = f"cannot write to {self.folder}: {exc.strerror or exc}"
            raise OutputError(msg) from exc

    def _write_steps(self) -> None:
        losses = torch.stack([loss for _, loss, _ in self._steps]).tolist()
        for (step, _, rate), loss in zip(self._steps, losses, strict=True):
            self._writer.add_scalar("loss/step", loss, step)
            self._writer.add_scalar("learning_rate", rate, step)
        self._steps = []

    def _write_epoch(self, row: dict[str, float]) -> None:
        tags = {"loss": "loss/epoch", "dice": "dice/mean"}
        tags |= {name: f"dice/label/{name[len(_DICE) :]}" for name in row if name.startswith(_DICE)}
        for name, tag in tags.items():
            if name in row:
                self._writer.add_scalar(tag, row[name], int(row["step"]))

    def _close(self, _engine: Engine) -> None:
        self._writer.close()
