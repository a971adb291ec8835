"""Test a predictor of a backend against the contract of `unet_med.backends.SlicePredictor`."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from unet_med.errors import UnetMedError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from unet_med.backends import SlicePredictor

_SIZES = ((1, 1, 1), (2, 37, 53), (1, 64, 48), (3, 7, 130))
"""Batches (N, H, W): one pixel, odd sizes, sizes that every network takes, a narrow slice."""


class PredictorContract:
    """Check a predictor: shapes, dtype, any size, any batch, submitted calls, a damaged model.

    Subclass it in a test module, set the attributes and write `make`; pytest then collects the
    checks. Every check takes an empty folder, ``tmp_path``.

    Attributes:
        in_channels: Channels C of a slice.
        out_channels: Logits K of a pixel.
        batch_tolerance: Largest difference of a slice's logits in another batch; 0 = equal bit by
            bit, which a backend must be to be one of those whose batch a memory budget chooses.
        picklable: Whether a pickled copy must give the same logits.

    Source:
        ``zarr.testing.store.StoreTests``, whose form this has.

    Example:
        >>> class TestNegation(PredictorContract):
        ...     def make(self, folder, *, damaged=False):
        ...         if damaged:
        ...             raise UnetMedError("the model is damaged; export it again")
        ...         return lambda slices: -slices
        >>> TestNegation().test_any_size(None)
        >>> TestNegation().test_a_damaged_model_is_one_clear_error(None)
    """

    in_channels: ClassVar[int] = 1
    out_channels: ClassVar[int] = 1
    batch_tolerance: ClassVar[float] = 0.0
    picklable: ClassVar[bool] = False

    def make(self, folder: Path, *, damaged: bool = False) -> SlicePredictor:
        """Return a predictor, the same network in every call.

        Args:
            folder: An empty folder, for the files of a model.
            damaged: Damage the model's files before they are opened.
        """
        raise NotImplementedError

    def test_any_size(self, tmp_path: Path) -> None:
        """Give finite float32 logits (N, K, H, W) for any number of slices, rows and columns."""
        predictor = self.make(tmp_path)
        for size in _SIZES:
            n, height, width = size
            logits = predictor(self._slices(*size))
            assert isinstance(logits, np.ndarray)
            assert logits.shape == (n, self.out_channels, height, width)
            assert logits.dtype == np.float32
            assert np.isfinite(logits).all()

    def test_logits_follow_the_content(self, tmp_path: Path) -> None:
        """Give the same logits for the same slices, and others for others."""
        predictor = self.make(tmp_path)
        slices = self._slices(2, 24, 40)
        logits = predictor(slices)
        np.testing.assert_array_equal(predictor(slices.copy()), logits)
        assert not np.array_equal(predictor(slices[::-1] + 1), logits)

    def test_any_batch(self, tmp_path: Path) -> None:
        """Give a slice the same logits alone as among others, within `batch_tolerance`."""
        predictor = self.make(tmp_path)
        slices = self._slices(7, 48, 40)
        together = predictor(slices)
        for step in (1, 3):
            parts = [predictor(slices[n : n + step]) for n in range(0, len(slices), step)]
            np.testing.assert_allclose(
                np.concatenate(parts), together, rtol=0, atol=self.batch_tolerance
            )

    def test_arrays_belong_to_the_caller(self, tmp_path: Path) -> None:
        """Leave the slices alone, and logits that were returned before."""
        predictor = self.make(tmp_path)
        slices = self._slices(2, 16, 24)
        given = slices.copy()
        first = predictor(slices)
        kept = first.copy()
        np.testing.assert_array_equal(slices, given)
        predictor(slices[::-1] * 5)  # not contiguous, another content
        slices[:] = 0
        np.testing.assert_array_equal(first, kept)
        first[:] = 7
        np.testing.assert_array_equal(predictor(given), kept)

    def test_calls_from_several_threads(self, tmp_path: Path) -> None:
        """Give every thread the logits of its own slices."""
        predictor = self.make(tmp_path)
        batches = [self._slices(1, 24 + 8 * n, 32) for n in range(4)]
        expected = [predictor(batch) for batch in batches]
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(predictor, batches))
        for logits, wanted in zip(found, expected, strict=True):
            np.testing.assert_array_equal(logits, wanted)

    def test_submitted_calls(self, tmp_path: Path) -> None:
        """Give the logits of a call for submitted ones, taken in any order, if there is `submit`.

        Where ``submit`` returns None the call is to be made as usual, which must also work while
        others are not finished.
        """
        predictor = self.make(tmp_path)
        submit = getattr(predictor, "submit", None)
        if submit is None:
            return
        batches = [self._slices(n, 48, 40) for n in (4, 3, 4, 2)]
        expected = [predictor(batch) for batch in batches]
        for order in ((0, 1, 2, 3), (2, 0, 3, 1)):
            results = [submit(batch) for batch in batches]
            for n in order:
                wait, batch = results[n], batches[n]
                logits = predictor(batch) if wait is None else wait()
                np.testing.assert_allclose(logits, expected[n], rtol=0, atol=self.batch_tolerance)

    def test_a_pickled_copy(self, tmp_path: Path) -> None:
        """Give the same logits after pickling, if `picklable` promises it."""
        if self.picklable:
            predictor, slices = self.make(tmp_path), self._slices(2, 24, 40)
            copy = pickle.loads(pickle.dumps(predictor))  # noqa: S301 - pickled in this line
            np.testing.assert_array_equal(copy(slices), predictor(slices))

    def test_a_damaged_model_is_one_clear_error(self, tmp_path: Path) -> None:
        """Refuse a damaged model with an error of ours, in one line."""
        try:
            self.make(tmp_path, damaged=True)
        except UnetMedError as error:
            message = str(error)
        else:
            message = ""
        assert message, "a damaged model was opened without an error"
        assert "\n" not in message

    def _slices(self, n: int, height: int, width: int) -> NDArray[np.float32]:
        random = np.random.default_rng(n * height * width)
        shape = (n, self.in_channels, height, width)
        return random.normal(size=shape).astype(np.float32)
