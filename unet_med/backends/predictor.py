"""Define what a backend gives: a predictor, and how it is run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class SlicePredictor(Protocol):
    """Turn slices (N, C, H, W) float32 into logits (N, K, H, W) float32, any H and W.

    One that can run asynchronously also has ``submit(slices)``, which returns a function that
    waits for the logits, or None where it must be called as usual. A function will do, too.

    Example:
        >>> import numpy as np
        >>> predictor: SlicePredictor = lambda slices: -slices
        >>> predictor(np.ones((2, 1, 3, 4), np.float32)).shape
        (2, 1, 3, 4)
    """

    def __call__(self, slices: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Run the network."""
        ...


@dataclass(frozen=True, slots=True)
class Execution:
    """How the network is run, with every ``auto`` resolved.

    Attributes:
        backend: Name in ``BACKENDS``.
        precision: ``fp32``, ``bf16`` or ``int8``.
        device: ``cpu`` or ``cuda``.
        threads: CPU threads the network may use, at least 1.
        reason: Why backend and precision were chosen, for people.
        model_sha256: Digest of the exported model that is run; empty = the weights themselves.

    Example:
        >>> Execution("torch", "fp32", "cpu", 2, "torch was asked for").as_dict()["precision"]
        'fp32'
    """

    backend: str
    precision: str
    device: str
    threads: int
    reason: str
    model_sha256: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-ready content."""
        return asdict(self)
