"""Test a reader of volumes against the contract of `unet_med.volumes.Volume`."""

from __future__ import annotations

import itertools
import shutil
import tracemalloc
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from unet_med.errors import VolumeError
from unet_med.volumes import Limits, MaskMetadata, open_volume, verify_mask, write_labels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from unet_med.volumes import Volume

_SHAPE = (6, 5, 4)  # unequal sides, so that swapped axes cannot pass
_SPACING_MM = (0.9, 1.1, 3.0)
_ORIGIN_MM = (30.5, -40.25, 9.125)
_HEADER_BYTES_DAMAGED = 400
_N_DAMAGED = 60


class ReaderContract:
    """Check a reader of volumes: grid, slabs, types, limits and damaged files.

    Subclass it in a test module, set the attributes and write `write`; pytest then collects the
    checks. Every check takes an empty folder, ``tmp_path``. The reader is found by its ending,
    so its row in `unet_med.volumes.OPENERS` is checked as well.

    Attributes:
        name: Name of a file of the format, such as ``scan.nrrd``.
        dtypes: NumPy types of voxels that the format stores.
        has_channels: Whether it stores several channels; `write` then takes (i, j, k, C).
        tolerance_mm: Largest displacement of a voxel by the format's own rounding.

    Source:
        ``zarr.testing.store.StoreTests``, whose form this has.

    Example:
        >>> class TestNifti(ReaderContract):
        ...     name = "scan.nii"
        ...
        ...     def write(self, path, voxels, affine):
        ...         import nibabel
        ...
        ...         nibabel.save(nibabel.Nifti1Image(voxels, affine), path)
        >>> import tempfile, pathlib
        >>> TestNifti().test_slabs_are_the_whole(pathlib.Path(tempfile.mkdtemp()))
    """

    name: ClassVar[str]
    dtypes: ClassVar[tuple[str, ...]] = ("int16",)
    has_channels: ClassVar[bool] = False
    tolerance_mm: ClassVar[float] = 2e-5

    def write(self, path: Path, voxels: NDArray[Any], affine: NDArray[np.float64]) -> None:
        """Write a file of the format without the reader under test.

        Args:
            path: Where; its name is `name`.
            voxels: Values (i, j, k) of one of `dtypes`, or (i, j, k, C) if `has_channels`.
            affine: Voxel index to RAS+ mm, shape (4, 4).
        """
        raise NotImplementedError

    def test_volume_and_voxels(self, tmp_path: Path) -> None:
        """Open each type: grid, stored type and values are those that were written."""
        for dtype in self.dtypes:
            voxels = _voxels(dtype)
            path = self._written(tmp_path / dtype, voxels)
            volume = open_volume(path)
            place = volume.geometry.voxel_to_world
            assert volume.geometry.shape == _SHAPE
            np.testing.assert_allclose(place, next(_oblique_affines()), atol=self.tolerance_mm)
            assert volume.path == path
            assert volume.name == str(path)
            assert volume.n_channels == 1
            assert volume.stored_dtype.newbyteorder("=") == np.dtype(dtype)
            slab = _whole(volume)
            assert slab.dtype == np.float32
            np.testing.assert_array_equal(slab[0], voxels)

    def test_orientations(self, tmp_path: Path) -> None:
        """Find every voxel at its place in the world, in all 48 orientations."""
        for number, affine in enumerate(_oblique_affines()):
            voxels = _voxels(self.dtypes[0])
            volume = open_volume(self._written(tmp_path / str(number), voxels, affine))
            to_index = np.linalg.inv(volume.geometry.voxel_to_world) @ affine
            places = np.indices(_SHAPE).reshape(3, -1)
            index = to_index[:3, :3] @ places + to_index[:3, 3:]
            nearest = np.rint(index).astype(int)
            off_mm = np.abs(index - nearest).max() * max(volume.geometry.spacing_mm)
            assert off_mm <= self.tolerance_mm, f"voxels are {off_mm:.2g} mm off in {affine}"
            slab = _whole(volume)[0]
            np.testing.assert_array_equal(slab[tuple(nearest)], voxels[tuple(places)])

    def test_slabs_are_the_whole(self, tmp_path: Path) -> None:
        """Read slabs along each axis, in any order: they are parts of the whole volume."""
        volume = open_volume(self._written(tmp_path / "a", _voxels(self.dtypes[0])))
        whole = _whole(volume)
        assert whole.shape == (1, *_SHAPE)
        for axis in (1, 0, 2, 0):
            for start, stop in ((1, 3), (0, 1), (2, _SHAPE[axis])):
                slab = volume.read(start, stop, axis=axis)
                np.testing.assert_array_equal(slab, whole.take(range(start, stop), axis + 1))
                slab += 1  # a slab is a copy: the next one must not show this

    def test_slabs_outside_are_refused(self, tmp_path: Path) -> None:
        """Refuse a slab beyond the volume with ValueError, instead of clipping it."""
        volume = open_volume(self._written(tmp_path / "a", _voxels(self.dtypes[0])))
        for start, stop, axis in ((0, 7, 0), (-1, 2, 1), (2, 2, 2), (0, 1, 3)):
            error = _error(partial(volume.read, start, stop, axis=axis))
            assert isinstance(error, ValueError), f"slab [{start}, {stop}) on axis {axis}: {error}"

    def test_opening_reads_no_voxels(self, tmp_path: Path) -> None:
        """Open a file of some megabytes: only its header comes into memory."""
        voxels = _voxels(self.dtypes[0], (512, 512, 12))
        path = self._written(tmp_path / "a", voxels)
        open_volume(path)  # what the libraries import and keep
        tracemalloc.start()
        try:
            open_volume(path)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < voxels.nbytes / 4, f"opening took {peak} bytes for {voxels.nbytes}"

    def test_channels(self, tmp_path: Path) -> None:
        """Read one channel of several; refuse one that is not there."""
        voxels = _voxels(self.dtypes[0], (*_SHAPE, 3) if self.has_channels else _SHAPE)
        path = self._written(tmp_path / "a", voxels)
        volume = open_volume(path)
        last = volume.n_channels - 1
        assert last == (2 if self.has_channels else 0)
        both = volume.read(1, 3, axis=1)
        one = open_volume(path, channel=last)
        assert one.n_channels == 1
        np.testing.assert_array_equal(one.read(1, 3, axis=1), both[last:])
        if self.has_channels:
            np.testing.assert_array_equal(both, np.moveaxis(voxels, 3, 0)[:, :, 1:3])
        for channel in (last + 1, -1):
            _refused(path, partial(open_volume, path, channel=channel))

    def test_limits(self, tmp_path: Path) -> None:
        """Refuse a header that claims more voxels than the limit."""
        path = self._written(tmp_path / "a", _voxels(self.dtypes[0]))
        n_voxels = int(np.prod(_SHAPE))
        open_volume(path, limits=Limits(max_voxels=n_voxels))
        _refused(path, lambda: open_volume(path, limits=Limits(max_voxels=n_voxels - 1)))

    def test_a_missing_file(self, tmp_path: Path) -> None:
        """Refuse a path at which nothing is."""
        path = tmp_path / self.name
        assert "does not exist" in _refused(path, lambda: open_volume(path))

    def test_cut_off_files(self, tmp_path: Path) -> None:
        """Refuse empty files and halves."""
        path = self._written(tmp_path / "a", _voxels(self.dtypes[0]))
        intact = {part: part.read_bytes() for part in _files(path)}
        # A slice more or less at the end of a folder cannot be seen: its files go together.
        together = [list(intact)] if path.is_dir() else [[part] for part in intact]
        for parts in together:
            for share in (0.0, 0.5):
                for part in parts:
                    part.write_bytes(intact[part][: int(share * len(intact[part]))])
                _refused(path, lambda: _read(path))
            for part in parts:
                part.write_bytes(intact[part])

    def test_foreign_files(self, tmp_path: Path) -> None:
        """Refuse a file of another kind."""
        path = self._written(tmp_path / "a", _voxels(self.dtypes[0]))
        for part in _files(path) if path.is_dir() else [path]:
            part.write_bytes(b"nothing of the kind" * 30)
        _refused(path, lambda: _read(path))

    def test_a_file_that_vanishes(self, tmp_path: Path) -> None:
        """Open a file, remove it, read: the voxels, or one VolumeError."""
        path = self._written(tmp_path / "a", _voxels(self.dtypes[0]))
        whole = _read(path)
        volume = open_volume(path)
        shutil.rmtree(path.parent)
        found: list[NDArray[np.float32]] = []
        error = _error(lambda: found.append(_whole(volume)))
        assert isinstance(error, VolumeError) or np.array_equal(found[0], whole)

    def test_damaged_bytes(self, tmp_path: Path) -> None:
        """Change bytes of the header: the file is read, or refused by one VolumeError."""
        path = self._written(tmp_path / "a", _voxels(self.dtypes[0]))
        random = np.random.default_rng(1)
        part = _files(path)[0]
        intact = part.read_bytes()
        for _ in range(_N_DAMAGED):
            data = bytearray(intact)
            for place in random.integers(0, min(len(data), _HEADER_BYTES_DAMAGED), 3):
                data[place] = random.integers(256)
            part.write_bytes(data)
            error = _error(lambda: _read(path, Limits(max_voxels=1 << 20)))
            assert error is None or _is_clear(error, path), f"{type(error).__name__}: {error}"

    def test_a_mask_lies_on_its_scan(self, tmp_path: Path) -> None:
        """Write a NIfTI mask for the volume and verify its place against the file."""
        path = self._written(tmp_path / "a", _voxels(self.dtypes[0]))
        volume = open_volume(path)
        labels = (_whole(volume)[0] > 0).astype(np.uint8)
        mask = tmp_path / "mask.nii.gz"
        metadata = MaskMetadata({1: "above zero"})
        write_labels([labels], mask, like=volume, dtype=labels.dtype, metadata=metadata)
        assert verify_mask(path, mask) == []

    def _written(
        self, folder: Path, voxels: NDArray[Any], affine: NDArray[np.float64] | None = None
    ) -> Path:
        folder.mkdir()
        path = folder / self.name
        self.write(path, voxels, next(_oblique_affines()) if affine is None else affine)
        return path


def _voxels(dtype: str, shape: tuple[int, ...] = _SHAPE) -> NDArray[Any]:
    """Make voxels that are all different where the type allows it."""
    n_voxels = int(np.prod(shape))
    order = np.random.default_rng(0).permutation(n_voxels) % np.iinfo(np.int8).max
    return order.reshape(shape).astype(dtype)


def _oblique_affines() -> Iterator[NDArray[np.float64]]:
    """Return an affine for each way to assign and flip the axes, turned out of the world's."""
    angle = np.radians(12.0)
    turn = np.eye(3)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    for axes in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            affine = np.eye(4)
            affine[:3, :3] = turn @ np.eye(3)[:, axes] * signs * _SPACING_MM
            affine[:3, 3] = _ORIGIN_MM
            yield affine


def _files(path: Path) -> list[Path]:
    """Return the files of a volume that stands alone in its folder, the named one first."""
    folder = path if path.is_dir() else path.parent
    return sorted(folder.iterdir(), key=lambda part: (part != path, part))


def _whole(volume: Volume) -> NDArray[np.float32]:
    return volume.read(0, volume.geometry.shape[2], axis=2)


def _read(path: Path, limits: Limits | None = None) -> NDArray[np.float32]:
    return _whole(open_volume(path, limits=limits))


def _error(action: Callable[[], object]) -> Exception | None:
    """Return what an action raises."""
    try:
        action()
    except Exception as exc:  # noqa: BLE001 - the checks tell the kinds apart
        return exc
    return None


def _refused(path: Path, action: Callable[[], object]) -> str:
    """Return the message with which a file is refused."""
    error = _error(action)
    assert error is not None, f"{path} was not refused"
    assert _is_clear(error, path), f"{type(error).__name__}: {error}"
    return str(error)


def _is_clear(error: Exception, path: Path) -> bool:
    """Return whether an error is a VolumeError of one line that names the file, or its half."""
    text = str(error)
    return isinstance(error, VolumeError) and "\n" not in text and path.stem in text
