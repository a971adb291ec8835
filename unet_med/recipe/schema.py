"""The recipe: everything but the weights that turns a scan into labels, as data only."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from unet_med._files import write_json
from unet_med.errors import RecipeError
from unet_med.geometry import ANATOMICAL_AXES, SLICE_ORIENTATIONS, AnatomicalAxis, SliceAxis
from unet_med.preprocessing import Context, Normalization
from unet_med.recipe.decoding import check_schema_version, decode, load_json
from unet_med.recipe.postprocessing import PostprocessingRule, postprocessing_problems
from unet_med.recipe.sliding_window import SlidingWindow

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SCHEMA_VERSION = 2
"""Raised when keys change, or an older program could misread a newer recipe."""


Activation = Literal["softmax", "sigmoid"]

MAX_LABEL = (1 << 32) - 1

MAX_FEATURES = 1 << 14
"""Most channels anywhere in a network: a recipe must not ask for absurd memory."""


@dataclass(frozen=True, slots=True)
class NetworkRecipe:
    """State the arguments of ``UNet2D``.

    Attributes:
        in_channels: Channels × context slices.
        out_channels: Labels + 1 with softmax, labels with sigmoid.
        sizes: Features per level; they double from level to level.

    Example:
        >>> NetworkRecipe(in_channels=3, out_channels=2, sizes=(16, 32, 64)).multiple
        8
    """

    in_channels: int = 1
    out_channels: int = 1
    sizes: tuple[int, ...] = (64, 128, 256, 512)

    @property
    def multiple(self) -> int:
        """The network's padding multiple, 2^levels."""
        return int(2 ** len(self.sizes))


@dataclass(frozen=True, slots=True)
class Channel:
    """Describe one input channel.

    Attributes:
        name: Name, as in file or folder names.
        modality: DICOM modality, such as ``MR``.
        normalization: How its intensities are scaled.

    Example:
        >>> Channel("T1", "MR").normalization.method
        'zscore'
    """

    name: str
    modality: str = "n/a"
    normalization: Normalization = field(default_factory=Normalization)


@dataclass(frozen=True, slots=True)
class VerifiedPrecision:
    """Record the measured agreement of one precision of one backend with torch in fp32.

    Attributes:
        model_sha256: Digest of what was measured: for torch of the weights, for openvino of the
            precision's model files. The verdict holds for nothing else.

    Example:
        >>> VerifiedPrecision("torch", "bf16", verified=True, agreement=0.999).verified
        True
    """

    backend: str
    precision: str
    verified: bool
    agreement: float | None = None
    max_logit_difference: float | None = None
    mean_logit_difference: float | None = None
    voxels_changed: float | None = None
    dice_change: float | None = None
    n_slices: int | None = None
    model_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Record the ranges of the training scans, each as (smallest, largest).

    Example:
        >>> Fingerprint(n_cases=4, slice_spacing_mm=(1.0, 5.0)).slice_spacing_mm
        (1.0, 5.0)
    """

    n_cases: int | None = None
    slice_spacing_mm: tuple[float, float] | None = None
    in_plane_spacing_mm: tuple[float, float] | None = None
    slice_size_mm: tuple[float, float] | None = None
    n_slices: tuple[int, int] | None = None
    intensity: dict[str, tuple[float, float]] = field(default_factory=dict)
    volumes_ml: dict[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Hold everything but the weights that turns a scan into labels; valid once built.

    Attributes:
        name: Short name of the bundle.
        labels: Label value to name, in the order of the network's channels: with softmax
            channel 0 is background and channel k the k-th label; with sigmoid channel k - 1.
        weights_sha256: Digest of ``models/model.pt``; empty = not stated.
        terminology: Per label value its coded entry for DICOM: code, coding scheme and meaning,
            such as ``["389080008", "SCT", "Gray matter"]``; labels do not depend on it.
        temperature: Divides the logits before probabilities; labels do not depend on it.
        review_below: Slices with a lower quality score are to be looked at; ``None`` = the
            program's own value.
        postprocessing: Rule per label value (as text) or label name; see `PostprocessingRule`.
        tta: Test-time augmentation: axes that slices are flipped along, each by itself and all
            together; a scan's through-plane axis (``thickest``) is left out for that scan.

    Example:
        >>> recipe = Recipe("liver", NetworkRecipe(1, 2), (Channel("CT", "CT"),), {1: "liver"})
        >>> recipe.slice_axis, Recipe.from_dict(recipe.to_dict()) == recipe
        ('axial', True)
    """

    name: str
    network: NetworkRecipe
    channels: tuple[Channel, ...]
    labels: dict[int, str]
    slice_axis: SliceAxis = "axial"
    in_plane_spacing_mm: float | None = None
    activation: Activation = "softmax"
    context: Context = field(default_factory=Context)
    window: SlidingWindow = field(default_factory=SlidingWindow)
    postprocessing: dict[str, PostprocessingRule] = field(default_factory=dict)
    tta: tuple[AnatomicalAxis, ...] = ()
    temperature: float = 1.0
    terminology: dict[int, tuple[str, str, str]] = field(default_factory=dict)
    review_below: float | None = None
    fingerprint: Fingerprint = field(default_factory=Fingerprint)
    precisions: tuple[VerifiedPrecision, ...] = ()
    weights_sha256: str = ""
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        """Check that the parts fit together."""
        for problem in _problems(self):
            raise RecipeError(problem)

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """Read a recipe.

        Raises:
            RecipeError: The file cannot be read, is no JSON, has unknown keys or wrong values.
        """
        return load_json(path, cls.from_dict, what="recipe", advice="name a bundle folder")

    @classmethod
    def from_dict(cls, content: Any) -> Recipe:  # noqa: ANN401 - parsed JSON
        """Build a recipe from parsed JSON.

        Raises:
            RecipeError: Unknown keys, missing keys or wrong values.
        """
        check_schema_version(content, SCHEMA_VERSION, what="recipe")
        return decode(cls, content, where="recipe")

    def with_tta(self, tta: str) -> Recipe:
        """Return the recipe with the test-time augmentation asked for in place of its own.

        Args:
            tta: ``recipe`` (no change), ``none``, or axes joined by commas.

        Raises:
            RecipeError: An axis is unknown, or is the through-plane axis.
        """
        return replace(self, tta=parse_tta(tta, self.tta))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready content; ``from_dict`` gives the recipe back."""
        content = asdict(self)
        entries = self.terminology.items()
        content["terminology"] = {str(value): list(entry) for value, entry in entries}
        content["labels"] = {str(value): name for value, name in self.labels.items()}
        return {"schema_version": content.pop("schema_version"), **content}

    def save(self, path: Path) -> None:
        """Write the recipe atomically as JSON."""
        write_json(path, self.to_dict())


def _problems(recipe: Recipe) -> Iterator[str]:
    expected_in = len(recipe.channels) * recipe.context.slices
    if recipe.network.in_channels != expected_in:
        yield (
            f"network.in_channels must be channels × context slices = {expected_in}, "
            f"got {recipe.network.in_channels}"
        )
    k = recipe.network.out_channels
    background = 1 if recipe.activation == "softmax" and k > 1 else 0
    if len(recipe.labels) != k - background:
        yield (
            f"{len(recipe.labels)} labels do not fit {k} network outputs with "
            f"{recipe.activation}: state {k - background}"
        )
    if surplus := sorted(set(recipe.terminology) - set(recipe.labels)):
        yield f"terminology names {surplus}, which are no labels"
    bad = [value for value in recipe.labels if not 0 < value <= MAX_LABEL]
    if bad:
        yield f"label values must be 1 to {MAX_LABEL}, got {bad}; 0 is background"
    yield from _setting_problems(recipe)


def _setting_problems(recipe: Recipe) -> Iterator[str]:
    if recipe.in_plane_spacing_mm is not None and not recipe.in_plane_spacing_mm > 0:
        yield f"in_plane_spacing_mm must be > 0 or null, got {recipe.in_plane_spacing_mm}"
    if not recipe.temperature > 0:
        yield f"temperature must be > 0, got {recipe.temperature}"
    if recipe.review_below is not None and not 0 <= recipe.review_below <= 1:
        yield f"review_below must be 0 to 1 or null, got {recipe.review_below}"
    yield from tta_problems(recipe.tta, recipe.slice_axis)
    yield from postprocessing_problems(recipe.postprocessing, recipe.labels)
    sizes = recipe.network.sizes
    doubled = all(after == 2 * before for before, after in pairwise(sizes))
    if not sizes or sizes[0] < 1 or not doubled:
        yield f"network.sizes must double per level, got {list(sizes)}"
    widest = max(*sizes, recipe.network.in_channels, recipe.network.out_channels)
    if widest > MAX_FEATURES:
        yield f"the network has {widest} channels somewhere; the most is {MAX_FEATURES}"


def parse_tta(text: object, recipe_tta: Sequence[AnatomicalAxis]) -> tuple[AnatomicalAxis, ...]:
    """Parse the axes of test-time augmentation that a user asks for.

    Args:
        text: ``recipe``, ``none``, or axes joined by commas.
        recipe_tta: What the recipe says.

    Raises:
        RecipeError: An axis is unknown, or it is no text.

    Example:
        >>> parse_tta("left-right,anterior-posterior", ())
        ('left-right', 'anterior-posterior')
        >>> parse_tta("none", ("left-right",))
        ()
    """
    if not isinstance(text, str):  # such as a list in a bundle config
        msg = f"tta must be recipe, none, or axes joined by commas, got {text!r}"
        raise RecipeError(msg)
    if text == "recipe":
        return tuple(recipe_tta)
    if text == "none":
        return ()
    names = [part.strip() for part in text.split(",")]
    known = {str(axis): axis for axis in ANATOMICAL_AXES}
    if unknown := [name for name in names if name not in known]:
        some = ",".join(ANATOMICAL_AXES)
        msg = f"no axis {unknown[0]!r} for tta: use none, recipe, or some of {some}"
        raise RecipeError(msg)
    return tuple(known[name] for name in names)


def tta_problems(tta: Sequence[str], slice_axis: str) -> Iterator[str]:
    """Yield what is wrong with a recipe's ``tta``, each as a text."""
    if len(set(tta)) < len(tta):
        yield f"tta names an axis twice: {list(tta)}"
    through_plane = dict(zip(SLICE_ORIENTATIONS, ANATOMICAL_AXES, strict=True)).get(slice_axis)
    if through_plane in tta:
        yield f"tta cannot flip {slice_axis} slices through-plane: leave {through_plane} out"
