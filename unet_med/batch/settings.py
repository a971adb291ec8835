"""Define the settings of a batch."""

from __future__ import annotations

from dataclasses import dataclass, field

from unet_med.batch.report import Listener, NullListener
from unet_med.batch.resume import ResumePolicy
from unet_med.errors import InputError
from unet_med.segmenter import check_map_kinds


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """State what the user asks of a batch.

    Attributes:
        overwrite: Make every mask again, and replace files that are not ours.
        retry_failed: Try cases again that killed the process before.
        limit: So many masks are made at the most; what is up to date or fails does not count.
        channel: Channel or frame to take of 4D files, for recipes with one channel.
        frames: One mask per frame of 4D files.
        save_maps: Maps wanted beside every mask: probabilities, uncertainty, entropy.
        command_line: For the sidecars.
        listener: Follows the run.

    Raises:
        InputError: Settings contradict each other, or are no numbers of masks or channels.

    Example:
        >>> BatchSettings(limit=2, save_maps=("entropy",)).policy
        ResumePolicy(overwrite=False, retry_failed=False)
        >>> BatchSettings(frames=True, channel=0)
        Traceback (most recent call last):
        unet_med.errors.InputError: frames takes every frame and channel takes one: give only ...
    """

    overwrite: bool = False
    retry_failed: bool = False
    limit: int | None = None
    channel: int | None = None
    frames: bool = False
    save_maps: tuple[str, ...] = ()
    command_line: str = ""
    listener: Listener = field(default_factory=NullListener)

    def __post_init__(self) -> None:
        check_map_kinds(self.save_maps)
        if self.frames and self.channel is not None:
            msg = "frames takes every frame and channel takes one: give only one of them"
            raise InputError(msg)
        if self.channel is not None and self.channel < 0:
            msg = f"channels are counted from 0, got {self.channel}"
            raise InputError(msg)
        if self.limit is not None and self.limit < 1:
            msg = f"limit is a number of masks, 1 or more; got {self.limit}"
            raise InputError(msg)

    @property
    def policy(self) -> ResumePolicy:
        """What may be replaced and tried again."""
        return ResumePolicy(self.overwrite, self.retry_failed)
