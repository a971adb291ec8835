"""Exporting a whole bundle: models, precision report and verified precisions."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from unet_med._files import sha256_file
from unet_med._version import __version__
from unet_med.backends import Execution, available_threads
from unet_med.backends.hardware import processor_name
from unet_med.backends.openvino_backend import OpenVINOPredictor
from unet_med.backends.precision_report import (
    MODELS,
    ONNX,
    PrecisionReport,
    export_folder,
    model_files,
    model_sha256,
)
from unet_med.backends.torch_backend import build_network, wrap_network
from unet_med.bundle import RECIPE, Bundle, open_bundle
from unet_med.bundle.weights import load_weights
from unet_med.errors import InputError, OutputError
from unet_med.exporting.conversion import (
    CALIBRATION_SLICES,
    quantize,
    save_onnx,
    save_openvino,
    to_openvino,
)
from unet_med.exporting.folders import atomic_folder, copy_bundle, refuse_read_only
from unet_med.exporting.samples import Scan, iter_samples, network_inputs
from unet_med.exporting.verification import (
    REFERENCE,
    PrecisionComparison,
    Variant,
    compare_precisions,
)
from unet_med.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from torch import nn

    from unet_med.backends import SlicePredictor
    from unet_med.recipe import VerifiedPrecision

FORMATS = ("openvino", "onnx")
MEASURED_SLICES = 64
"""Few slices flatter: int8 of the sample network passes on 16 slices of Colin27, not on 90."""
_PACKAGES = ("torch", "openvino", "nncf")


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """What to export and what to measure it on.

    Attributes:
        formats: Names in ``FORMATS``.
        calibration: Scans for int8; empty = no int8 model.
        scans: Scans to measure on; empty = those of the calibration, else nothing is measured.
        n_calibration: Slices for calibration, over all scans.
        n_slices: Slices to measure on, over all scans.
        threads: CPU threads; ``None`` = the processors of this process.
        output: Folder for a copy of the bundle with the export; ``None`` = into the bundle.
    """

    formats: tuple[str, ...] = ("openvino",)
    calibration: tuple[Scan, ...] = ()
    scans: tuple[Scan, ...] = ()
    n_calibration: int = CALIBRATION_SLICES
    n_slices: int = MEASURED_SLICES
    threads: int | None = None
    output: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        unknown = [name for name in self.formats if name not in FORMATS]
        if unknown or not self.formats:
            msg = f"cannot export to {', '.join(unknown) or 'nothing'}: use {', '.join(FORMATS)}"
            raise InputError(msg)
        if self.calibration and "openvino" not in self.formats:
            msg = "int8 is made for OpenVINO only: add openvino to the formats"
            raise InputError(msg)
        if min(self.n_calibration, self.n_slices, self.threads or 1) < 1:
            msg = "slices and threads must be at least 1"
            raise InputError(msg)


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What an export has made.

    Attributes:
        root: The bundle that now carries it.
        files: The model files, relative to the bundle.
        precisions: What was measured, the same as in the recipe.
        missing_labels: Names of labels that were in no slice measured; nothing is verified then.
    """

    root: Path
    files: tuple[str, ...]
    precisions: tuple[VerifiedPrecision, ...]
    missing_labels: tuple[str, ...] = ()


def export_bundle(
    bundle: Bundle, settings: ExportSettings, *, say: Callable[[str], None] = lambda _: None
) -> ExportResult:
    """Export a bundle's network and measure every precision against torch in fp32.

    The folder ``models/openvino`` is replaced as a whole, an int8 model of an earlier export
    included. What was measured goes into the recipe and, in detail, into the precision report.

    Args:
        bundle: The bundle.
        settings: What to make.
        say: Told what is being done, one short line at a time.

    Returns:
        What was made.

    Raises:
        OutputError: The bundle cannot be written to, or the output folder is not empty.
        WeightsError, InputError, VolumeError, GeometryError: Weights or scans cannot be used.
        MissingExtraError: A library that a format needs is not installed.
    """
    if settings.output is None:
        refuse_read_only(bundle.root)
        return _export_into(bundle, settings, say)
    target = settings.output
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        msg = f"{target} exists and is not an empty folder: name a new one with --output"
        raise OutputError(msg)
    with atomic_folder(target) as partial_root:
        copy_bundle(bundle.root, partial_root)
        result = _export_into(open_bundle(partial_root), settings, say)
    return replace(result, root=target)


def _export_into(
    bundle: Bundle, settings: ExportSettings, say: Callable[[str], None]
) -> ExportResult:
    network = build_network(bundle.recipe)
    load_weights(network, bundle.weights_path, sha256=bundle.recipe.weights_sha256)
    network.eval()
    files: list[str] = []
    if "onnx" in settings.formats:
        say("converting to ONNX")
        path = bundle.root / ONNX
        digest = sha256_file(bundle.weights_path)
        save_onnx(
            network, bundle.recipe.network.in_channels, path=path, weights_sha256=digest
        )  # fmt: skip
        files.append(path.relative_to(bundle.root).as_posix())
    if "openvino" in settings.formats:
        made = _export_openvino(bundle, network, settings=settings, say=say)
        return replace(made, files=(*files, *made.files))
    return ExportResult(bundle.root, tuple(files), bundle.recipe.precisions)


def _export_openvino(
    bundle: Bundle, network: nn.Module, *, settings: ExportSettings, say: Callable[[str], None]
) -> ExportResult:
    target = export_folder(bundle.weights_path)
    with _no_precisions_meanwhile(bundle) as forget, atomic_folder(target) as folder:
        _write_models(bundle, network, folder, settings=settings, say=say)
        names = sorted(path.name for path in folder.iterdir())
        digests = {name: sha256_file(folder / name) for name in names}
        comparisons = _compare_variants(bundle, network, folder, settings=settings, say=say)
        report = PrecisionReport(
            weights_sha256=sha256_file(bundle.weights_path),
            files=digests,
            versions=_versions(),
            calibration=_calibration(settings),
            processor=processor_name(),
        )
        precisions = tuple(
            comparison.verified_precision(variant, model_sha256=_digest(variant, report))
            for variant, comparison in comparisons.items()
        )
        details = [
            asdict(result) | comparison.details(bundle.recipe)
            for result, comparison in zip(precisions, comparisons.values(), strict=True)
        ]
        replace(report, precisions=details).save(folder)
        forget()
    _save_precisions(bundle, precisions)
    root = target.relative_to(bundle.root)
    missing_labels = {
        name: None
        for comparison in comparisons.values()
        for name in comparison.missing_labels(bundle.recipe)
    }
    files = tuple((root / name).as_posix() for name in names)
    return ExportResult(bundle.root, files, precisions, tuple(missing_labels))


def _digest(variant: Variant, report: PrecisionReport) -> str:
    """Return the digest of what a variant ran, as ``backends.resolve_execution`` compares it."""
    backend, precision = variant
    return report.weights_sha256 if backend == "torch" else model_sha256(report, precision)


def _write_models(
    bundle: Bundle,
    network: nn.Module,
    folder: Path,
    *,
    settings: ExportSettings,
    say: Callable[[str], None],
) -> None:
    say("converting to OpenVINO")
    arguments = bundle.recipe.network
    model = to_openvino(network, arguments.in_channels)
    save_openvino(model, folder / model_files("fp32")[0])
    if settings.calibration:
        say("calibrating int8")
        samples = iter_samples(
            settings.calibration, bundle.recipe, n_slices=settings.n_calibration
        )  # fmt: skip
        int8 = quantize(model, network_inputs(samples, arguments.out_channels))
        save_openvino(int8, folder / model_files("int8")[0])


def _compare_variants(
    bundle: Bundle,
    network: nn.Module,
    folder: Path,
    *,
    settings: ExportSettings,
    say: Callable[[str], None],
) -> dict[Variant, PrecisionComparison]:
    scans = settings.scans or settings.calibration
    if not scans:
        return {}
    say(f"measuring on {settings.n_slices} slices")
    threads = settings.threads or available_threads()
    predictors = _predictors(network, folder, threads)
    samples = iter_samples(scans, bundle.recipe, n_slices=settings.n_slices)
    return compare_precisions(samples, predictors, recipe=bundle.recipe)


def _predictors(network: nn.Module, folder: Path, threads: int) -> dict[Variant, SlicePredictor]:
    """Open every variant that this processor can run; bf16 is left out where it has none."""
    predictors: dict[Variant, SlicePredictor] = {}
    for precision in ("fp32", "bf16"):
        execution = Execution("torch", precision, "cpu", threads, "")
        predictors["torch", precision] = wrap_network(network, execution)
    assert REFERENCE in predictors
    for precision in MODELS:
        path = folder / model_files(precision)[0]
        if path.is_file():
            with suppress(InputError):  # bf16 without the instructions
                openvino = partial(OpenVINOPredictor, precision=precision, threads=threads)
                predictors["openvino", precision] = openvino(path)
    return predictors


@contextmanager
def _no_precisions_meanwhile(bundle: Bundle) -> Iterator[Callable[[], None]]:
    """Yield what empties the recipe's verdicts just before the models are replaced.

    Those of an earlier export are not those of this one, not even if the process is killed in
    between. When the models are not replaced after all, the earlier verdicts come back.
    """
    try:
        yield partial(_save_precisions, bundle, ())
    except Exception:
        _save_precisions(bundle, bundle.recipe.precisions)
        raise


def _save_precisions(bundle: Bundle, precisions: tuple[VerifiedPrecision, ...]) -> None:
    if Recipe.load(bundle.root / RECIPE).precisions != precisions:
        replace(bundle.recipe, precisions=precisions).save(bundle.root / RECIPE)


def _calibration(settings: ExportSettings) -> dict[str, Any]:
    if not settings.calibration:
        return {}
    scans = [scan.paths[0].name for scan in settings.calibration]
    return {"n_slices": settings.n_calibration, "scans": scans}


def _versions() -> dict[str, str]:
    found = {"unet_med": __version__}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
