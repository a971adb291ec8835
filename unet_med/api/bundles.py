"""Calibrate and export bundles."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from unet_med._progress import CaseProgress
from unet_med.api.types import Backend, File, Names, StrPath, optional_path
from unet_med.errors import InputError

if TYPE_CHECKING:
    from unet_med.bundle import Bundle
    from unet_med.exporting import ExportResult
    from unet_med.exporting.samples import Scan
    from unet_med.segmenter import Calibration


def calibrate(
    images: File,
    labels: File,
    *,
    bundle: File | None = None,
    backend: Backend = "auto",
    threads: int | None = None,
    write: bool = False,
    figure: File | None = None,
    progress: CaseProgress | None = None,
) -> "Calibration":
    """Fit the temperature of a bundle's probabilities.

    Compare the probabilities of a bundle with labeled scans that it was NOT trained on, and fit the
    temperature that divides its logits. Labels do not depend on it; expected Dice, entropy and
    saved probabilities do. Nothing is changed unless it is asked to write.

    Args:
        images: Folder of scans.
        labels: Folder of references of the same names.
        bundle: Bundle folder. Default: the one shipped.
        backend: Library that runs the network.
        threads: CPU threads. Default: all processors of this process.
        write: Put the temperature into the bundle's recipe.
        figure: PNG file for the reliability diagram.
        progress: Called before each scan.

    Returns:
        Temperature, and reliability before and after.

    Raises:
        InputError: A scan has no reference, or the reverse.
        GeometryError: A reference lies on another grid than its scan.

    Example:
        >>> from unet_med.bundle import demo_data
        >>> calibrate(demo_data() / "labels", "no such folder")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        unet_med.errors.InputError: no such folder ...
    """
    from unet_med.batch.datalist import labeled_datalist
    from unet_med.segmenter import calibrate as fit
    from unet_med.segmenter import load_segmenter

    segmenter = load_segmenter(optional_path(bundle), backend=backend, threads=threads)
    found = labeled_datalist(images, labels, recipe=segmenter.recipe)
    cases = [([Path(path) for path in item["image"]], Path(item["label"])) for item in found]
    calibration = fit(segmenter, cases, progress=progress)
    if figure is not None:
        from unet_med.reporting.charts import write_reliability

        write_reliability(calibration, Path(figure))
    if write:
        recipe = replace(segmenter.recipe, temperature=calibration.temperature)
        recipe.save(segmenter.bundle.root / "configs" / "recipe.json")
    return calibration


def export(
    bundle: File | None = None,
    *,
    output: File | None = None,
    formats: Names = ("openvino",),
    int8: File | None = None,
    scans: File | None = None,
    references: File | None = None,
    slices: int = 64,
    threads: int | None = None,
    log: Callable[[str], None] | None = None,
) -> "ExportResult":
    """Make the fast models of a bundle.

    Make models/openvino (and models/model.onnx) from a bundle's weights, for the fast CPU backend.
    Each precision is compared with torch in fp32 on slices of real scans. What was measured goes
    into the bundle's recipe: precision auto takes only precisions that were verified so. An export
    is replaced as a whole: without scans for int8 it holds no int8 model.

    Args:
        bundle: Bundle folder. Default: the one shipped.
        output: New folder for a copy of the bundle, with the export.
        formats: Formats of the models: openvino, onnx.
        int8: Scans to calibrate an int8 model on, which is then made too.
        scans: Scans to measure on. Default: those of int8, else the bundle's demo scan.
        references: References of the scans to measure on, with the same names.
        slices: Slices to measure on.
        threads: CPU threads. Default: all processors of this process.
        log: Called with a line before each step.

    Returns:
        Files that were made, and what was measured of each precision.

    Raises:
        UnetMedError: Scans, weights or the output folder cannot be used.

    Example:
        >>> export(formats=("tensorrt",))
        Traceback (most recent call last):
        unet_med.errors.InputError: cannot export to tensorrt: use openvino, onnx
    """
    from unet_med.bundle import open_bundle
    from unet_med.exporting import ExportSettings, export_bundle

    opened = open_bundle(optional_path(bundle))
    settings = ExportSettings(
        formats=tuple(formats),
        calibration=() if int8 is None else find_scans(opened, int8),
        scans=_scans_to_measure(opened, scans or int8, references),
        n_slices=slices,
        threads=threads,
        output=optional_path(output),
    )
    return export_bundle(opened, settings, say=log or (lambda _: None))


def _scans_to_measure(
    bundle: "Bundle", scans: StrPath | None, references: StrPath | None
) -> "tuple[Scan, ...]":
    if scans is not None:
        return find_scans(bundle, scans, references)
    demo = bundle.root / "sample_data" / "demo"
    if not (demo / "images").is_dir():
        return ()
    labels = demo / "labels"
    return find_scans(bundle, demo / "images", labels if labels.is_dir() else None)


def find_scans(
    bundle: "Bundle", source: StrPath, references: StrPath | None = None
) -> "tuple[Scan, ...]":
    """Find scans for an export by the rule that every command finds cases by.

    Args:
        bundle: States the channels.
        source: Folder or file.
        references: Folder of references, named as the cases.

    Raises:
        InputError: A case is not complete, or no reference has the name of a case.

    Example:
        >>> from unet_med.bundle import demo_data, open_bundle
        >>> scans = find_scans(open_bundle(), demo_data() / "images", demo_data() / "labels")
        >>> [scan.reference is not None for scan in scans]
        [True]
    """
    from unet_med.cases import find_cases, find_masks
    from unet_med.evaluation.pairing import match_reference_names
    from unet_med.exporting.samples import Scan

    names: Sequence[str] = [channel.name for channel in bundle.recipe.channels]
    found = find_cases([Path(source)], n_channels=len(names), output=None, channel_names=names)
    for case in found.cases:
        if case.problem:
            raise InputError(case.problem)
    masks = {} if references is None else find_masks(Path(references))
    cases = match_reference_names({case.key: case for case in found.cases}, masks)
    scans = [Scan(case.paths, next(iter(masks.get(key, [])), None)) for key, case in cases.items()]
    if references is not None and not any(scan.reference for scan in scans):
        msg = f"no mask in {references} has the name of a scan in {source}, as {found.cases[0].id}"
        raise InputError(msg)
    return tuple(scans)
