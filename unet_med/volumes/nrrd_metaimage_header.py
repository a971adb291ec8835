"""The text headers of NRRD and MetaImage files: fields, sizes, voxel type, where the data lie.

They are read here and not by ITK, which crashes on damaged headers and fills what a file lacks
with zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from unet_med.errors import VolumeError
from unet_med.volumes.file_io import check_file_size, check_trailing_bytes, translate_read_errors

_MAX_HEADER_BYTES = 1 << 16
_TYPES = {
    "char": "i1", "signed char": "i1", "int8": "i1", "int8_t": "i1", "uchar": "u1",
    "unsigned char": "u1", "uint8": "u1", "uint8_t": "u1", "short": "i2", "short int": "i2",
    "signed short": "i2", "int16": "i2", "int16_t": "i2", "ushort": "u2", "unsigned short": "u2",
    "uint16": "u2", "uint16_t": "u2", "int": "i4", "signed int": "i4", "int32": "i4",
    "int32_t": "i4", "uint": "u4", "unsigned int": "u4", "uint32": "u4", "uint32_t": "u4",
    "longlong": "i8", "long long": "i8", "int64": "i8", "int64_t": "i8", "ulonglong": "u8",
    "unsigned long long": "u8", "uint64": "u8", "uint64_t": "u8", "float": "f4", "double": "f8",
    "met_char": "i1", "met_uchar": "u1", "met_short": "i2", "met_ushort": "u2", "met_int": "i4",
    "met_uint": "u4", "met_long_long": "i8", "met_ulong_long": "u8", "met_float": "f4",
    "met_double": "f8",
}  # fmt: skip
_DETACHED = {".nhdr", ".mhd"}
_MAX_AXES = 4


@dataclass(frozen=True, slots=True)
class NrrdMetaImageHeader:
    """What a header says.

    Attributes:
        path: The file.
        fields: Key, in small letters, to text.
        sizes: Points along each axis of the file, fastest first; channels are an axis, too.
        dtype: Type of the voxels, byte order included.
        data_path: The file with the voxels.
        offset: Where they begin in it.
        compressed: Whether they are deflated.
    """

    path: Path
    fields: dict[str, str]
    sizes: tuple[int, ...]
    dtype: np.dtype[np.generic]
    data_path: Path
    offset: int
    compressed: bool

    @property
    def is_nrrd(self) -> bool:
        """Whether it is NRRD rather than MetaImage."""
        return is_nrrd(self.path)

    @property
    def n_bytes(self) -> int:
        """Bytes of all voxels."""
        return prod(self.sizes) * self.dtype.itemsize


def is_nrrd(path: Path) -> bool:
    """Whether a file is NRRD, by its name."""
    return path.suffix.lower() in {".nrrd", ".nhdr"}


def read_nrrd_metaimage_header(path: Path) -> NrrdMetaImageHeader:
    """Read and check the header of a .nrrd, .nhdr, .mha or .mhd file; no voxel is read.

    Raises:
        VolumeError: It is none, is cut off, names data outside its folder, is of a kind that is
            not read, or promises more or far less than its file holds.
    """
    with translate_read_errors(path), path.open("rb") as stream:
        start = stream.read(_MAX_HEADER_BYTES)
    fields, end = _nrrd_fields(start, path) if is_nrrd(path) else _metaimage_fields(start, path)
    data_path = _data_path(path, fields)
    offset = end if data_path == path else 0
    compressed = _is_compressed(path, fields)
    header = NrrdMetaImageHeader(
        path, fields, _sizes(path, fields), _dtype(path, fields), data_path, offset, compressed
    )
    with translate_read_errors(data_path):
        found = data_path.stat().st_size - offset
    check_file_size(data_path, found=found, needed=header.n_bytes, compressed=compressed)
    if not compressed:
        check_trailing_bytes(data_path, found - header.n_bytes)
    return header


def parse_numbers(text: str, count: int, *, path: Path, what: str) -> list[float]:
    """Return so many finite numbers from a text.

    Raises:
        VolumeError: There are others.
    """
    try:
        found = [float(part) for part in text.split()]
    except ValueError:
        found = []
    if len(found) != count or not np.isfinite(found).all():
        msg = f"{path} has {what} {text!r:.60}; it takes {count} numbers"
        raise VolumeError(msg)
    return found


def _nrrd_fields(start: bytes, path: Path) -> tuple[dict[str, str], int]:
    if not start.startswith(b"NRRD000"):
        msg = f"{path} is not a NRRD file: it starts with {start[:8]!r}; check what it is"
        raise VolumeError(msg)
    ends = [(start.find(mark), len(mark)) for mark in (b"\n\n", b"\r\n\r\n")]
    place, length = min((end for end in ends if end[0] >= 0), default=(-1, 0))
    if place < 0 and path.suffix.lower() != ".nhdr":
        msg = f"{path} has a header without an end; copy or download it again"
        raise VolumeError(msg)
    text = start if place < 0 else start[:place]
    lines = [line for line in text.decode("latin-1").splitlines() if not line.startswith("#")]
    return _fields(lines, ":"), place + length


def _metaimage_fields(start: bytes, path: Path) -> tuple[dict[str, str], int]:
    lines: list[str] = []
    place = 0
    for line in start.split(b"\n"):
        lines.append(line.decode("latin-1"))
        place += len(line) + 1
        if line.lower().startswith(b"elementdatafile"):
            return _fields(lines, "="), place
    msg = f"{path} is not a MetaImage: no line says ElementDataFile; check what it is"
    raise VolumeError(msg)


def _fields(lines: list[str], separator: str) -> dict[str, str]:
    pairs = (line.partition(separator) for line in lines if separator in line)
    return {key.strip().lower(): value.lstrip("=").strip() for key, _, value in pairs}


def _data_path(path: Path, fields: dict[str, str]) -> Path:
    """Return the file with the voxels, which must lie beside its header."""
    named = fields.get("data file", fields.get("datafile", fields.get("elementdatafile", "")))
    inside = path.suffix.lower() not in _DETACHED
    if inside and named.upper() in {"", "LOCAL"}:
        return path
    plain = named == Path(named).name and named not in {"", ".", ".."} and named.isprintable()
    if inside or not plain or "%" in named or named.upper().startswith("LIST"):
        msg = f"{path} says that its voxels lie in {named!r:.60}; they must be one file beside it"
        raise VolumeError(msg)
    return path.with_name(named)


def _sizes(path: Path, fields: dict[str, str]) -> tuple[int, ...]:
    text = fields.get("sizes", fields.get("dimsize", ""))
    parts = text.split()
    channels = fields.get("elementnumberofchannels", "1")
    parts = [channels, *parts] if channels != "1" else parts
    whole = all(part.isdecimal() and len(part) < 10 and int(part) > 0 for part in parts)  # noqa: PLR2004
    stated = fields.get("dimension", fields.get("ndims", ""))
    if not whole or not 2 <= len(parts) <= _MAX_AXES or stated != str(len(text.split())):  # noqa: PLR2004 - 2D
        msg = f"{path} has sizes {text!r:.60}; two to four whole numbers above 0 can be read"
        raise VolumeError(msg)
    return tuple(int(part) for part in parts)


def _dtype(path: Path, fields: dict[str, str]) -> np.dtype[np.generic]:
    kind = fields.get("type", fields.get("elementtype", "")).lower()
    if kind not in _TYPES:
        msg = f"{path} holds {kind[:30]!r}, not one real number per voxel; convert it first"
        raise VolumeError(msg)
    msb = fields.get("binarydatabyteordermsb", fields.get("elementbyteordermsb", "")).lower()
    big = fields.get("endian", "").lower() == "big" or msb in {"true", "1"}
    return np.dtype(_TYPES[kind]).newbyteorder(">" if big else "<")


def _is_compressed(path: Path, fields: dict[str, str]) -> bool:
    """Whether the data are deflated; data that are skipped into, or are text, are not read."""
    encoding = fields.get("encoding", "raw").lower()
    skips = [fields.get(key, "0") for key in ("line skip", "lineskip", "byte skip", "byteskip")]
    plain = fields.get("binarydata", "true").lower() in {"true", "1"}
    if encoding not in {"raw", "gzip", "gz"} or {*skips, fields.get("headersize", "0")} != {"0"}:
        plain = False
    if not plain:
        msg = f"{path} has its voxels as text, or behind other data; convert it first"
        raise VolumeError(msg)
    return encoding != "raw" or fields.get("compresseddata", "").lower() in {"true", "1"}
