"""NIfTI header extensions, read with bounds: their lengths are whatever a file says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unet_med.volumes.gzip_stream import open_stream
from unet_med.volumes.nifti_header import header_and_data, read_header, reading

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES = 1 << 24
"""Extensions behind this many bytes are not looked at."""

_CODE_BYTES = 8  # length and code, in front of each extension's content
_FLAG_BYTES = 4


def read_extensions(path: Path) -> list[tuple[int, bytes]]:
    """Return code and content of each header extension of a .nii, .nii.gz or .hdr file.

    Reading ends without a word at the first length that cannot be.

    Raises:
        VolumeError: The file cannot be read as NIfTI.
    """
    file, data_path = header_and_data(path)
    header = read_header(file, data_path=data_path)
    start = len(header.raw)
    n_bytes = header.offset - start if data_path is None else MOST_BYTES
    with reading(file), open_stream(file) as stream:
        stream.seek(start)
        area = stream.read(min(n_bytes, MOST_BYTES))
    order = "little" if int.from_bytes(header.raw[:4], "little") == start else "big"
    found: list[tuple[int, bytes]] = []
    place = _FLAG_BYTES
    while any(area[:1]) and place + _CODE_BYTES <= len(area):
        size, code = (
            int.from_bytes(area[place + n : place + n + 4], order, signed=True)  # type: ignore[arg-type]
            for n in (0, 4)
        )
        if size < _CODE_BYTES or place + size > len(area):
            break
        found.append((code, area[place + _CODE_BYTES : place + size]))
        place += size
    return found
