"""TensorBoard's view of a run: what log.csv has per round, and the loss and rate of every step."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from ignite.engine import Events

from unet_med._optional import require
from unet_med.errors import OutputError
from unet_med.training.processes import agreed, is_first

if TYPE_CHECKING:
    from ignite.engine import Engine

    from unet_med.training.rounds import Rounds

FOLDER = "tensorboard"
"""Name of the folder of event files, beside log.csv."""

_DICE = "dice "
"""Start of the columns of log.csv that hold the Dice of one label."""


def require_tensorboard() -> None:
    """Check, before anything is read, that TensorBoard's files can be written.

    Raises:
        MissingExtraError: The package is not installed.
    """
    require("tensorboard", extra="tensorboard")


def tensorboard_folder(run: Path | str, *, wanted: bool) -> Path | None:
    """Return where the event files go; ``None`` = nowhere.

    A run that goes on goes on with its event files, too, where there are some and TensorBoard
    is installed.

    Args:
        run: The run's folder, as `prepare_folder` leaves it: without the files of earlier runs.
        wanted: Whether they were asked for.

    Raises:
        MissingExtraError: They were, and TensorBoard is not installed.
    """
    folder = Path(run) / FOLDER
    if wanted:
        require_tensorboard()
        return folder
    return folder if agreed(folder.is_dir() and _is_installed()) else None


def _is_installed() -> bool:
    try:
        require_tensorboard()
    except ImportError:
        return False
    return True


class TensorBoardLog:
    """Handler that writes event files after every round, in the first process alone.

    ``loss/step`` and ``learning_rate`` have a point per optimizer step, ``loss/round``,
    ``dice/mean`` and ``dice/label/<name>`` one per round. They are written when the round's
    checkpoint is on disk, so a run that was killed and goes on writes no point twice; one that
    starts to log only then begins with the rounds of log.csv.

    Args:
        folder: For the event files.
        rounds: The run's rounds, attached to the same trainer.
    """

    def __init__(self, folder: Path | str, *, rounds: Rounds) -> None:
        self.folder = Path(folder)
        self.rounds = rounds
        self._steps: list[tuple[int, torch.Tensor, float]] = []
        self._writer: Any = None  # a SummaryWriter while the trainer runs

    def attach(self, engine: Engine) -> None:
        """Remember every step, write after every round."""
        if is_first():
            engine.add_event_handler(Events.STARTED, self._open)
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._remember)
            engine.add_event_handler(Events.COMPLETED, self._close)
            self.rounds.listeners.append(self._write)

    def _open(self, engine: Engine) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._steps = []
        done = engine.state.iteration
        if not done:  # what lies there belongs to no checkpoint
            shutil.rmtree(self.folder, ignore_errors=True)
        is_new = not any(self.folder.glob("*"))
        # An older checkpoint may have been put back: points after it are hidden.
        self._writer = SummaryWriter(str(self.folder), purge_step=done + 1 if done else None)
        for row in self.rounds.history.rows if is_new else ():
            self._write_round(row)

    def _remember(self, engine: Engine) -> None:
        rate = float(self.rounds.optimizer.param_groups[0]["lr"])
        self._steps.append((engine.state.iteration, engine.state.output["loss"].detach(), rate))

    def _write(self, row: dict[str, float]) -> None:
        try:
            self._write_steps()
            self._write_round(row)
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

    def _write_round(self, row: dict[str, float]) -> None:
        tags = {"loss": "loss/round", "dice": "dice/mean"}
        tags |= {name: f"dice/label/{name[len(_DICE) :]}" for name in row if name.startswith(_DICE)}
        for name, tag in tags.items():
            if name in row:
                self._writer.add_scalar(tag, row[name], int(row["step"]))

    def _close(self, _engine: Engine) -> None:
        self._writer.close()
