"""The recipe: everything but the weights that turns a scan into labels, as data only."""

from __future__ import annotations

import json
import types
import typing
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from unet_med._files import write_json
from unet_med.errors import RecipeError
from unet_med.preprocessing import Context, Normalisation
from unet_med.windows import WindowRule

SCHEMA_VERSION = 1
"""Raised when an older program could misread a newer recipe."""

SliceAxis = Literal["axial", "coronal", "sagittal", "thickest"]
Activation = Literal["softmax", "sigmoid"]
MAX_LABEL = (1 << 32) - 1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NetworkRecipe:
    """Arguments of ``UNet2D``."""

    in_channels: int = 1
    out_channels: int = 1
    sizes: tuple[int, ...] = (64, 128, 256, 512)

    @property
    def multiple(self) -> int:
        """The network's padding multiple, 2^levels."""
        return int(2 ** len(self.sizes))


@dataclass(frozen=True, slots=True)
class Channel:
    """One input channel."""

    name: str
    modality: str = "n/a"
    normalisation: Normalisation = field(default_factory=Normalisation)


@dataclass(frozen=True, slots=True)
class VerifiedPrecision:
    """One precision of one backend with its measured agreement with fp32."""

    backend: str
    precision: str
    verified: bool
    agreement: float | None = None
    max_logit_difference: float | None = None
    mean_logit_difference: float | None = None
    voxels_changed: float | None = None
    dice_change: float | None = None
    n_slices: int | None = None


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What the training scans were like; ranges are (smallest, largest)."""

    n_cases: int | None = None
    slice_spacing_mm: tuple[float, float] | None = None
    in_plane_spacing_mm: tuple[float, float] | None = None
    slice_size_mm: tuple[float, float] | None = None
    n_slices: tuple[int, int] | None = None
    intensity: dict[str, tuple[float, float]] = field(default_factory=dict)
    volumes_ml: dict[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A whole recipe, valid once built.

    Attributes:
        name: Short name of the bundle.
        labels: Label value to name, in the order of the network's channels: with softmax
            channel 0 is background and channel k the k-th label; with sigmoid channel k - 1.
        weights_sha256: Digest of ``models/model.pt``; empty = not stated.
        temperature: Divides the logits before probabilities; labels do not depend on it.
        postprocessing, tta: Reserved; only the neutral empty values are accepted so far.
    """

    name: str
    network: NetworkRecipe
    channels: tuple[Channel, ...]
    labels: dict[int, str]
    slice_axis: SliceAxis = "axial"
    in_plane_spacing_mm: float | None = None
    activation: Activation = "softmax"
    context: Context = field(default_factory=Context)
    window: WindowRule = field(default_factory=WindowRule)
    postprocessing: dict[str, Any] = field(default_factory=dict)
    tta: tuple[str, ...] = ()
    temperature: float = 1.0
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
        try:
            content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
            return cls.from_dict(content)
        except OSError as exc:
            msg = f"cannot read the recipe {path}: {exc.strerror or exc}; name a bundle folder"
            raise RecipeError(msg) from exc
        except (ValueError, RecursionError) as exc:
            msg = f"{path} is not a valid recipe: {exc}"
            raise RecipeError(msg) from exc

    @classmethod
    def from_dict(cls, content: Any) -> Recipe:  # noqa: ANN401 - parsed JSON
        """Build a recipe from parsed JSON.

        Raises:
            RecipeError: Unknown keys, missing keys or wrong values.
        """
        version = content.get("schema_version", SCHEMA_VERSION) if isinstance(content, dict) else 0
        if isinstance(version, int) and version > SCHEMA_VERSION:
            msg = (
                f"the recipe has schema version {version}, this program knows up to "
                f"{SCHEMA_VERSION}: install a newer unet_med"
            )
            raise RecipeError(msg)
        return _decode(cls, content, "recipe")

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready content; ``from_dict`` gives the recipe back."""
        content = asdict(self)
        content["labels"] = {str(value): name for value, name in self.labels.items()}
        return {"schema_version": content.pop("schema_version"), **content}

    def save(self, path: Path) -> None:
        """Write the recipe atomically as JSON."""
        write_json(path, self.to_dict())


def _refuse_constant(text: str) -> None:
    msg = f"{text} is no JSON number; use null"
    raise RecipeError(msg)


def _problems(recipe: Recipe) -> typing.Iterator[str]:
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
    bad = [value for value in recipe.labels if not 0 < value <= MAX_LABEL]
    if bad:
        yield f"label values must be 1 to {MAX_LABEL}, got {bad}; 0 is background"
    yield from _setting_problems(recipe)


def _setting_problems(recipe: Recipe) -> typing.Iterator[str]:
    if recipe.in_plane_spacing_mm is not None and not recipe.in_plane_spacing_mm > 0:
        yield f"in_plane_spacing_mm must be > 0 or null, got {recipe.in_plane_spacing_mm}"
    if not recipe.temperature > 0:
        yield f"temperature must be > 0, got {recipe.temperature}"
    if recipe.postprocessing or recipe.tta:
        yield "postprocessing and tta must be empty: this version cannot carry them out"
    sizes = recipe.network.sizes
    doubled = all(b == 2 * a for a, b in zip(sizes, sizes[1:], strict=False))
    if not sizes or sizes[0] < 1 or not doubled:
        yield f"network.sizes must double per level, got {list(sizes)}"


def _decode(kind: type[T], content: Any, where: str) -> T:  # noqa: ANN401 - parsed JSON
    """Build a dataclass from parsed JSON; every wrong key or type is an error that names it."""
    if not isinstance(content, dict):
        msg = f"{where} must be an object, got {type(content).__name__}"
        raise RecipeError(msg)
    hints = typing.get_type_hints(kind)
    known = {item.name for item in fields(kind)}  # type: ignore[arg-type]  # always a dataclass
    if unknown := sorted(set(content) - known):
        msg = f"{where} has unknown keys {unknown}; known are {sorted(known)}"
        raise RecipeError(msg)
    values = {key: _value(hints[key], value, f"{where}.{key}") for key, value in content.items()}
    try:
        return kind(**values)
    except (TypeError, ValueError) as exc:
        msg = str(exc) if isinstance(exc, RecipeError) else f"{where}: {exc}"
        raise RecipeError(msg) from exc


def _value(hint: Any, value: Any, where: str) -> Any:  # noqa: ANN401 - parsed JSON
    origin, arguments = typing.get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if is_dataclass(hint) and isinstance(hint, type):
        return _decode(hint, value, where)
    if origin in {typing.Union, types.UnionType}:
        return None if value is None else _value(arguments[0], value, where)
    if origin is Literal:
        return _checked(value in arguments, value, f"{where} must be one of {arguments}")
    if origin is tuple:
        return _decode_tuple(arguments, value, where)
    if origin is dict:
        return _decode_dict(arguments, value, where)
    return _scalar(hint, value, where)


def _decode_tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:  # noqa: ANN401
    _checked(isinstance(value, list | tuple), value, f"{where} must be a list")
    hints = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
    _checked(len(hints) == len(value), value, f"{where} must have {len(hints)} entries")
    return tuple(
        _value(hint, item, f"{where}[{n}]")
        for n, (hint, item) in enumerate(zip(hints, value, strict=True))
    )


def _decode_dict(arguments: tuple[Any, ...], value: Any, where: str) -> dict[Any, Any]:  # noqa: ANN401
    _checked(isinstance(value, dict), value, f"{where} must be an object")
    decoded = {}
    for key, item in value.items():
        if arguments[0] is int:
            _checked(str(key).isdecimal(), key, f"keys of {where} must be whole numbers")
            key = int(key)  # noqa: PLW2901 - JSON keys are text
        decoded[key] = _value(arguments[1], item, f"{where}.{key}")
    return decoded


def _scalar(hint: Any, value: Any, where: str) -> Any:  # noqa: ANN401 - parsed JSON
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    fits = isinstance(value, hint) and (hint is bool or not isinstance(value, bool))
    return _checked(fits, value, f"{where} must be {hint.__name__}")


def _checked(fits: bool, value: T, requirement: str) -> T:  # noqa: FBT001 - a plain check
    if not fits:
        msg = f"{requirement}, got {value!r}"
        raise RecipeError(msg)
    return value
