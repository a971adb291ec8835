"""Write TensorBoard's event files of a run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from ignite.engine import Events

from unet_med._optional import import_optional
from unet_med.errors import OutputError
from unet_med.training.distributed import broadcast, is_main_process

if TYPE_CHECKING:
    from ignite.engine import Engine

    from unet_med.training.engine.epochs import EpochHandler

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

    Example:
        >>> tensorboard_folder("no_such_run", wanted=False) is None
        True
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
    """Write event files after every epoch, in the first process alone.

    ``loss/step`` and ``learning_rate`` have a point per optimizer step, ``loss/epoch``,
    ``dice/mean`` and ``dice/label/<name>`` one per epoch. They are written when the epoch's
    checkpoint is on disk, so a run that was killed and goes on writes no point twice. One that
    starts to log only then begins with the epochs of log.csv.

    Args:
        folder: For the event files.
        epoch_handler: The run's epochs, attached to the same trainer.

    Example:
        >>> from types import SimpleNamespace
        >>> from ignite.engine import Engine
        >>> log = TensorBoardLog("events", epoch_handler=SimpleNamespace(listeners=[]))
        >>> log.attach(Engine(lambda engine, batch: None))  # opened when the engine starts
        >>> log.folder.name
        'events'
    """

    def __init__(self, folder: Path | str, *, epoch_handler: EpochHandler) -> None:
        self.folder = Path(folder)
        self.epoch_handler = epoch_handler

    def attach(self, engine: Engine) -> None:
        """Open the files when the trainer starts."""
        if is_main_process():
            engine.add_event_handler(Events.STARTED, self._open)

    def _open(self, engine: Engine) -> None:
        from torch.utils.tensorboard import SummaryWriter

        done = engine.state.iteration
        if not done:  # what lies there belongs to no checkpoint
            shutil.rmtree(self.folder, ignore_errors=True)
        is_new = not any(self.folder.glob("*"))
        # An older checkpoint may have been put back: points after it are hidden.
        writer = SummaryWriter(str(self.folder), purge_step=done + 1 if done else None)
        events = _EventFiles(writer, self.epoch_handler.optimizer)
        for row in self.epoch_handler.history.rows if is_new else ():
            events.write_epoch(row)
        engine.add_event_handler(Events.ITERATION_COMPLETED, events.remember)
        engine.add_event_handler(Events.COMPLETED, events.close)
        self.epoch_handler.listeners.append(events.write)


class _EventFiles:
    """The open event files of one run."""

    def __init__(self, writer: Any, optimizer: torch.optim.Optimizer) -> None:  # noqa: ANN401 - not typed
        self.writer = writer
        self.optimizer = optimizer
        self.steps: list[tuple[int, torch.Tensor, float]] = []

    def remember(self, engine: Engine) -> None:
        """Keep a step's loss, still on its device."""
        rate = float(self.optimizer.param_groups[0]["lr"])
        self.steps.append((engine.state.iteration, engine.state.output["loss"].detach(), rate))

    def write(self, row: dict[str, float]) -> None:
        """Write the steps since the last epoch, and the epoch."""
        try:
            self._write_steps()
            self.write_epoch(row)
            self.writer.flush()
        except OSError as exc:
            msg = f"cannot write to {self.writer.log_dir}: {exc.strerror or exc}"
            raise OutputError(msg) from exc

    def _write_steps(self) -> None:
        losses = torch.stack([loss for _, loss, _ in self.steps]).tolist()
        for (step, _, rate), loss in zip(self.steps, losses, strict=True):
            self.writer.add_scalar("loss/step", loss, step)
            self.writer.add_scalar("learning_rate", rate, step)
        self.steps = []

    def write_epoch(self, row: dict[str, float]) -> None:
        """Write the points of one epoch."""
        tags = {"loss": "loss/epoch", "dice": "dice/mean"}
        tags |= {name: f"dice/label/{name[len(_DICE) :]}" for name in row if name.startswith(_DICE)}
        for name, tag in tags.items():
            if name in row:
                self.writer.add_scalar(tag, row[name], int(row["step"]))

    def close(self, _engine: Engine) -> None:
        """Close the files."""
        self.writer.close()
