"""From options to a network that is loaded, in this process or in others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unet_med import backends
from unet_med.bundle import Bundle, open_bundle
from unet_med.errors import BundleError
from unet_med.inference import check_memory
from unet_med.segmenter.segmenter import Segmenter
from unet_med.volumes import ReadRules

if TYPE_CHECKING:
    from pathlib import Path

    from unet_med.backends import Execution
    from unet_med.recipe import Recipe


@dataclass(frozen=True, slots=True)
class SegmenterLoader:
    """Which network is to be run and how: resolved once, opened by every process that runs it.

    Attributes:
        bundle: The opened bundle.
        sha256: Its identity when it was opened.
        execution: How the network is run, resolved.
        memory_gb: As for ``load_segmenter``.
        rules: How scans are read.
    """

    bundle: Bundle
    sha256: str
    execution: Execution
    memory_gb: float | None = None
    rules: ReadRules = field(default_factory=ReadRules)

    @property
    def recipe(self) -> Recipe:
        """The bundle's recipe."""
        return self.bundle.recipe

    @property
    def key(self) -> tuple[str, str, Execution, float | None, ReadRules]:
        """What tells loaders apart."""
        return str(self.bundle.root), self.sha256, self.execution, self.memory_gb, self.rules

    def load(self) -> Segmenter:
        """Load the network as it was resolved.

        Raises:
            WeightsError, BundleError: The weights or the export do not fit.
        """
        predictor = backends.open_predictor(self.recipe, self.bundle.weights_path, self.execution)
        return Segmenter(self.bundle, self.execution, predictor, self.memory_gb, self.rules)

    def load_elsewhere(self) -> Segmenter:
        """Load it in another process, maybe on another machine, from the same folder.

        Raises:
            BundleError: Here the folder holds another bundle or export, or none.
            InputError, MissingExtraError: This process cannot run it so.
        """
        here = open_bundle(self.bundle.root)
        asked = self.execution
        found = backends.resolve(
            here.recipe,
            weights=here.weights_path,
            backend=asked.backend,
            precision=asked.precision,
            device=asked.device,
            threads=asked.threads,
        )
        if here.sha256 != self.sha256 or found.model_sha256 != asked.model_sha256:
            msg = (
                f"the bundle {here.root} is not the one this batch began with (its digests "
                "differ): put the same bundle there and start again"
            )
            raise BundleError(msg)
        return self.load()


def resolve_segmenter(
    bundle: Path | str | None = None,
    *,
    device: str = "auto",
    backend: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    memory_gb: float | None = None,
) -> SegmenterLoader:
    """Open a bundle and resolve how its network is run, without loading it.

    Args:
        bundle: As for ``load_segmenter``, like everything else here.
        device: As above.
        backend: As above.
        precision: As above.
        threads: As above.
        memory_gb: As above.

    Returns:
        What any process can load it by.

    Raises:
        BundleError, RecipeError: The bundle cannot be used.
        InputError: An option cannot be met.
    """
    check_memory(memory_gb)
    opened = open_bundle(bundle)
    execution = backends.resolve(
        opened.recipe,
        weights=opened.weights_path,
        backend=backend,
        precision=precision,
        device=device,
        threads=threads,
    )
    return SegmenterLoader(opened, opened.sha256, execution, memory_gb)


def load_segmenter(
    bundle: Path | str | None = None,
    *,
    device: str = "auto",
    backend: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    memory_gb: float | None = None,
) -> Segmenter:
    """Open a bundle and load its network.

    Args:
        bundle: Bundle folder; ``None`` = the one that comes with the program.
        device: ``auto``, ``cpu`` or ``cuda``.
        backend: ``auto`` or a backend's name.
        precision: ``auto``, ``fp32``, ``bf16`` or ``int8``.
        threads: CPU threads of the network; ``None`` = the processors of this process.
        memory_gb: What slices, activations and logits may take at once, in 10⁹ bytes, besides
            libraries and weights; ``None`` = 1, or one slice if that needs more. It limits the
            batch where labels do not depend on it (openvino); no label changes.

    Returns:
        The segmenter, ready for use.

    Raises:
        BundleError, RecipeError, WeightsError: The bundle cannot be used.
        InputError: An option cannot be met.
    """
    return resolve_segmenter(
        bundle,
        device=device,
        backend=backend,
        precision=precision,
        threads=threads,
        memory_gb=memory_gb,
    ).load()
