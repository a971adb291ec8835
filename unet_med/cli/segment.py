"""``unet-med segment``: scans in, masks with verified headers out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from unet_med.cli.options import add_execution_options, execution_options_from

if TYPE_CHECKING:
    import argparse

FORMATS = ("nifti", "nrrd", "mha", "mgz", "dicom-seg", "input")
"""Names of ``volumes.MASK_FORMATS``, which the help need not load, and ``input``."""

_DESCRIPTION = """\
Segment files, folders (with everything below them) or quoted globs. Each case gives
DIR/<relative folder>/<id>.nii.gz, a sidecar <id>.json with provenance, volumes and warnings, and
lines in DIR/ledger.jsonl. Run again, only what is new or changed is done. An --output that ends in
.nii or .nii.gz is the one mask of one case; its ledger lies in the same folder."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command's arguments."""
    parser = subparsers.add_parser(
        "segment", help="segment scans, folders of scans or globs", description=_DESCRIPTION
    )
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="file, folder or quoted glob")
    parser.add_argument(
        "-o", "--output", required=True, type=Path, metavar="DIR", help="output folder"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON summary, nothing else")
    add_execution_options(parser)
    batch = parser.add_argument_group("batch")
    _add_batch_options(batch)
    _add_resource_options(batch)
    _add_file_options(batch)
    parser.set_defaults(
        run=run,
        on_interrupt="stopped; what is finished is kept, the same command goes on with the rest",
    )


def _add_batch_options(group: argparse._ArgumentGroup) -> None:
    """Describe which cases are done, when, and what is written of each."""
    group.add_argument(
        "--overwrite", action="store_true", help="make all masks again, and replace foreign files"
    )
    group.add_argument(
        "--retry-failed", action="store_true", help="try cases again that killed the process"
    )
    group.add_argument(
        "--save-maps",
        type=_comma_list,
        default=(),
        metavar="MAPS",
        help="also write maps <id>.MAP.nii.gz, joined by commas: probabilities (one volume per "
        "label), uncertainty (chance that the label is wrong), entropy",
    )
    group.add_argument(
        "--limit", type=int, metavar="N", help="make N masks at the most; the rest is left"
    )
    group.add_argument(
        "--dry-run", action="store_true", help="say what would be done and why; write nothing"
    )
    group.add_argument(
        "--watch", action="store_true", help="go on with what comes into the folders, until told"
    )
    group.add_argument(
        "--stable-seconds",
        type=float,
        metavar="SECONDS",
        help="a watch takes files unchanged for so long; 0 = files are renamed in when complete; "
        "default: 10",
    )


def _add_resource_options(group: argparse._ArgumentGroup) -> None:
    """Describe which processes do it, in how much memory."""
    group.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="processes, which share the threads"
    )
    group.add_argument(
        "--dask", metavar="ADDRESS", help="let the workers of this Dask scheduler do it"
    )
    group.add_argument(
        "--memory",
        type=float,
        metavar="GB",
        help="what slices and the network may take at once besides libraries and weights; "
        "labels do not depend on it; default: 1, or one slice",
    )


def _add_file_options(group: argparse._ArgumentGroup) -> None:
    """Describe what is taken of the files of scans, and how masks are stored."""
    group.add_argument(
        "--max-voxels",
        type=int,
        metavar="N",
        help="refuse scans whose header says more; default: 2^33, 16 GB of int16",
    )
    group.add_argument(
        "--format",
        choices=FORMATS,
        default="nifti",
        help="of the masks; input = that of each scan, for a DICOM series dicom-seg",
    )
    group.add_argument(
        "--series",
        metavar="N|UID|PATTERN",
        help="series of DICOM folders, by number, UID or description ('*T1*'); default: the only "
        "one of the recipe's modality that is no localizer",
    )
    group.add_argument(
        "--keep-identifiers",
        action="store_true",
        help="put patient and series of a DICOM scan into the sidecar; default: into nothing but "
        "a DICOM segmentation, which an archive files by them",
    )
    frames = group.add_mutually_exclusive_group()
    frames.add_argument(
        "--channel", type=int, metavar="N", help="take frame N (from 0) of 4D files"
    )
    frames.add_argument("--frames", action="store_true", help="one mask per frame of 4D files")


def _comma_list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


def run(args: argparse.Namespace) -> int:
    """Segment, and say how it went."""
    if args.standalone:
        from unet_med.cli.entry_point import skip_unused_imports

        skip_unused_imports()
    from unet_med import api
    from unet_med.cli.progress import batch_progress

    with batch_progress() as listener:
        report = api.segment(
            args.inputs,
            args.output,
            bundle=args.bundle,
            listener=listener,
            overwrite=args.overwrite,
            retry_failed=args.retry_failed,
            limit=args.limit,
            dry_run=args.dry_run,
            watch=args.watch,
            stable_seconds=args.stable_seconds,
            jobs=args.jobs,
            dask=args.dask,
            channel=args.channel,
            frames=args.frames,
            save_maps=args.save_maps,
            max_voxels=args.max_voxels,
            series=args.series,
            keep_identifiers=args.keep_identifiers,
            format=args.format,
            command_line=args.command_line,
            **execution_options_from(args, memory_gb=args.memory),
        )
    print(json.dumps(report.as_dict(), indent=2) if args.json else report.summary())
    return report.exit_code
