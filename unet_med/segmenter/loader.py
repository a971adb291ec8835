"""From options to networks that are loaded, in this process or in others."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from unet_med import backends
from unet_med.bundle import Bundle, open_bundle
from unet_med.errors import BundleError
from unet_med.inference import check_memory
from unet_med.segmenter.bundles import LoadedBundle, identity, joint_execution, open_bundles
from unet_med.segmenter.segmenter import Segmenter
from unet_med.volumes import ReadOptions

if TYPE_CHECKING:
    from unet_med.backends import Execution
    from unet_med.recipe import Recipe
    from unet_med.segmenter.bundles import Bundles


@dataclass(frozen=True, slots=True)
class SegmenterLoader:
    """Which networks are to be run and how: resolved once, opened by every process that runs them.

    Attributes:
        bundles: The opened bundle, or all of an ensemble.
        sha256: Their identity when they were opened.
        executions: How each network is run, resolved.
        memory_gb: As for ``load_segmenter``.
        rules: How scans are read.
    """

    bundles: tuple[Bundle, ...]
    sha256: str
    executions: tuple[Execution, ...]
    memory_gb: float | None = None
    rules: ReadOptions = field(default_factory=ReadOptions)

    @property
    def bundle(self) -> Bundle:
        """The bundle; of an ensemble, the first."""
        return self.bundles[0]

    @property
    def execution(self) -> Execution:
        """How the network is run; of an ensemble, how all of them are."""
        return joint_execution(self.executions)

    @property
    def recipe(self) -> Recipe:
        """The bundle's recipe."""
        return self.bundle.recipe

    @property
    def key(self) -> tuple[str, str, Execution, float | None, ReadOptions]:
        """What tells loaders apart."""
        folders = "\n".join(str(bundle.root) for bundle in self.bundles)
        return folders, self.sha256, self.execution, self.memory_gb, self.rules

    def identity(self) -> dict[str, Any]:
        """As ``Segmenter.identity``."""
        return identity(self.bundles)

    def load(self) -> Segmenter:
        """Load the networks as they were resolved.

        Raises:
            WeightsError, BundleError: The weights or the export do not fit.
        """
        loaded = [
            LoadedBundle(
                bundle, how, backends.open_predictor(bundle.recipe, bundle.weights_path, how)
            )
            for bundle, how in zip(self.bundles, self.executions, strict=True)
        ]
        return Segmenter(
            self.bundle,
            self.execution,
            loaded[0].predictor,
            self.memory_gb,
            self.rules,
            tuple(loaded[1:]),
        )

    def load_in_worker(self) -> Segmenter:
        """Load them in another process, maybe on another machine, from the same folders.

        Raises:
            BundleError: There a folder holds another bundle or export, or none.
            InputError, MissingExtraError: That process cannot run it so.
        """
        self.check_in_worker()
        return self.load()

    def check_in_worker(self) -> None:
        """Show that this process has the same bundles and can run them as was resolved.

        Raises:
            BundleError, InputError, MissingExtraError: As for ``load_in_worker``.
        """
        for bundle, asked in zip(self.bundles, self.executions, strict=True):
            _check_bundle(bundle, asked)
        if self.identity()["sha256"] != self.sha256:
            raise BundleError(_changed(self.bundle))


def _check_bundle(bundle: Bundle, asked: Execution) -> None:
    """Refuse a folder that does not hold what it held when the bundle was opened."""
    here = open_bundle(bundle.root)
    here = replace(here, recipe=replace(here.recipe, tta=bundle.recipe.tta))
    found = backends.resolve_execution(
        here.recipe,
        weights=here.weights_path,
        backend=asked.backend,
        precision=asked.precision,
        device=asked.device,
        threads=asked.threads,
        warn=False,  # the process that resolved it did
    )
    if here.sha256 != bundle.sha256 or found.model_sha256 != asked.model_sha256:
        raise BundleError(_changed(here))


def _changed(bundle: Bundle) -> str:
    return (
        f"the bundle {bundle.root} is not the one this batch began with (its digests "
        "differ): put the same bundle there and start again"
    )


def resolve_segmenter(
    bundle: Bundles = None,
    *,
    tta: str = "recipe",
    memory_gb: float | None = None,
    **execution: Any,  # noqa: ANN401 - of `load_segmenter`, which types them
) -> SegmenterLoader:
    """Open a bundle, or several, and resolve how the networks are run, without loading them.

    Args:
        bundle: As for ``load_segmenter``, like everything else here.
        tta: As above.
        memory_gb: As above.
        **execution: ``device``, ``backend``, ``precision`` and ``threads``, as above.

    Returns:
        What any process can load it by.

    Raises:
        BundleError, RecipeError: A bundle cannot be used, or they do not fit together.
        InputError: An option cannot be met.
    """
    check_memory(memory_gb)
    bundles = open_bundles(bundle, tta=tta)
    executions = backends.resolve_ensemble(
        [(opened.recipe, opened.weights_path) for opened in bundles], **execution
    )
    return SegmenterLoader(bundles, identity(bundles)["sha256"], executions, memory_gb)


def load_segmenter(  # noqa: PLR0913 - one per option of the command line
    bundle: Bundles = None,
    *,
    tta: str = "recipe",
    device: str = "auto",
    backend: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    memory_gb: float | None = None,
) -> Segmenter:
    """Open a bundle, or several as an ensemble, and load what it runs.

    Args:
        bundle: Bundle folder, or a list of them, whose probabilities are averaged; ``None`` = the
            one that comes with the program.
        tta: Test-time mirroring: ``recipe``, ``none``, or axes joined by commas.
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
        BundleError, RecipeError, WeightsError: A bundle cannot be used, or several do not fit.
        InputError: An option cannot be met.
    """
    return resolve_segmenter(
        bundle,
        tta=tta,
        device=device,
        backend=backend,
        precision=precision,
        threads=threads,
        memory_gb=memory_gb,
    ).load()
