"""Segment one scan in this process and print the most memory it had, in bytes.

Arguments: bundle folder, scan, mask; a fourth one has all that may be in temporary files
put there. Run it as ``python -m tests.peak_memory``: the figure of a test's own process would
hide what is asked.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.batch_helpers import make_segmenter
from unet_med.volumes import gzip_voxels, raw_voxels, reslice


def peak_bytes():
    """Return the peak resident memory; ru_maxrss would begin with that of the parent process."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) * 1024


def main():
    bundle, scan, mask, *on_disk = sys.argv[1:]
    if on_disk:
        reslice.MAX_IN_MEMORY_BYTES = gzip_voxels.MAX_IN_MEMORY_BYTES = 0
        raw_voxels.BLOCK_BYTES = reslice.BLOCK_BYTES = 1 << 20
        raw_voxels.CHUNK_BYTES = reslice.CHUNK_BYTES = 1 << 19
    make_segmenter(Path(bundle)).segment_to(Path(scan), Path(mask))
    sys.stdout.write(f"{peak_bytes()}\n")


if __name__ == "__main__":
    main()
