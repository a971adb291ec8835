"""Decide whether a case needs work: its fingerprint, and what may be skipped or replaced."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from unet_med._files import sha256_file
from unet_med.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from unet_med.batch.ledger import OutputHistory


def case_fingerprint(
    inputs: Sequence[str], *, bundle_sha256: str, settings: Mapping[str, Any], version: str
) -> str:
    """Return the SHA-256 over everything that determines the voxels of a mask.

    Args:
        inputs: Digests of the input files, in channel order.
        bundle_sha256: Identity of recipe and weights.
        settings: What is resolved of backend, precision, device, threads and channel.
        version: Version of this program.

    Example:
        >>> one = case_fingerprint(["a"], bundle_sha256="b", settings={"threads": 1}, version="1")
        >>> two = case_fingerprint(["a"], bundle_sha256="b", settings={"threads": 2}, version="1")
        >>> len(one), one == two
        (64, False)
    """
    content = {
        "inputs": list(inputs),
        "bundle": bundle_sha256,
        "settings": dict(settings),
        "version": version,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ResumePolicy:
    """State what a run may replace and try again.

    Attributes:
        overwrite: Make every mask again, and replace files that are not ours.
        retry_failed: Try cases again that killed the process before.

    Example:
        >>> ResumePolicy(overwrite=True)
        ResumePolicy(overwrite=True, retry_failed=False)
    """

    overwrite: bool = False
    retry_failed: bool = False


class ResumeDecision(Enum):
    """What is to be done with a case."""

    RUN = "run"
    SKIP = "skip"
    KILLED = "killed"


def decide_resume(
    target: Path, *, fingerprint: str, history: OutputHistory, policy: ResumePolicy
) -> ResumeDecision:
    """Decide whether a case needs work, and whether its target may be written.

    Args:
        target: The mask's path.
        fingerprint: SHA-256 of everything that determines the voxels.
        history: What the ledger knows of the target.
        policy: What the user allows.

    Returns:
        SKIP = the mask there is the result of this very work; KILLED = the work killed the
        process before and is not tried again unasked; RUN otherwise.

    Raises:
        OutputError: A file stands at the target that the ledger did not write, or that was
            changed since.
    """
    if not policy.overwrite:
        mask_sha256 = _digest(target)
        if mask_sha256 is not None and mask_sha256 not in history.written:
            was = "was changed since it was written" if history.written else "is not in the ledger"
            msg = f"{target} {was}: move it away, or replace it with --overwrite"
            raise OutputError(msg)
        done = history.done
        if done is not None and done.fingerprint == fingerprint and done.mask_sha256 == mask_sha256:
            return ResumeDecision.SKIP
    if history.killed_process(fingerprint) and not policy.retry_failed:
        return ResumeDecision.KILLED
    return ResumeDecision.RUN


def _digest(target: Path) -> str | None:
    if not target.exists() and not target.is_symlink():
        return None
    try:
        return sha256_file(target)
    except OSError as exc:
        msg = f"cannot read {target}: {exc.strerror or exc}; move it away"
        raise OutputError(msg) from exc
