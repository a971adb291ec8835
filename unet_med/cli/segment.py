"""``unet-med segment``: scans in, masks with verified headers out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unet_med.api.segmentation import segment
from unet_med.cli.parser import Command
from unet_med.cli.progress import batch_progress, print_result

if TYPE_CHECKING:
    import argparse

EXECUTION = ("bundle", "tta", "device", "backend", "precision", "threads", "memory_gb")
COMMAND = Command(
    segment,
    arguments=("inputs",),
    hidden=frozenset({"listener", "command_line"}),
    groups={
        "execution": EXECUTION,
        "batch": (
            "overwrite", "retry_failed", "limit", "dry_run", "watch", "stable_seconds", "jobs",
            "dask",
        ),
        "files": (
            "save_maps", "format", "max_voxels", "series", "keep_identifiers", "channel", "frames",
        ),
    },
    exclusive=(("channel", "frames"),),
    on_interrupt="stopped; what is finished is kept, the same command goes on with the rest",
)  # fmt: skip


def run(args: argparse.Namespace, options: dict[str, Any]) -> int:
    """Segment, and say how it went."""
    if args.standalone:
        from unet_med.cli.entry_point import skip_unused_imports

        skip_unused_imports()
    with batch_progress() as listener:
        report = segment(**options, listener=listener, command_line=args.command_line)
    print_result(report, as_json=args.json)
    return report.exit_code
