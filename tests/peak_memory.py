"""Segment one scan in this process and print the most memory it had, in bytes.

Arguments: bundle folder, scan, mask; a fourth one has everything spooled that may be. Run it as
``python -m tests.peak_memory``: the figure of a test's own process would hide what is asked.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.batches import make_segmenter
from unet_med.volumes import across, compressed, stored


def peak_bytes():
    """Return the peak resident memory; ru_maxrss would begin with that of the parent process."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) * 1024


def main():
    bundle, scan, mask, *spool = sys.argv[1:]
    if spool:
        across.LARGEST_KEPT_BYTES = compressed.LARGEST_KEPT_BYTES = 0
        stored.BLOCK_BYTES = across.BLOCK_BYTES = 1 << 20
        stored.PIECE_BYTES = across.PIECE_BYTES = 1 << 19
    make_segmenter(Path(bundle)).segment_to(Path(scan), Path(mask))
    sys.stdout.write(f"{peak_bytes()}\n")


if __name__ == "__main__":
    main()
