"""Handlers for MONAI's engines: load verified weights, save slice-wise metrics."""

from __future__ import annotations

import logging
import shutil
import weakref
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

import ignite.distributed as idist
import numpy as np
from ignite.engine import Events
from monai.data import decollate_batch

from unet_med.bundle.weights import load_weights
from unet_med.cases import case_id
from unet_med.errors import InputError, UnetMedError
from unet_med.evaluation import (
    CaseScores,
    CohortScores,
    EvaluationSettings,
    FailedCase,
    assemble_cohort,
    score_volumes,
    with_file_label_names,
)
from unet_med.metrics import EmptyPolicy
from unet_med.monai.meta_tensor import filename_of, label_volume
from unet_med.monai.transforms.io import reopen_volume
from unet_med.reporting.case_images import CaseVolumes, case_image_data
from unet_med.reporting.evaluation_report import evaluation_report
from unet_med.reporting.html_report import write_report
from unet_med.reporting.report_data import CaseImageStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ignite.engine import Engine
    from torch import nn

    from unet_med.volumes import Volume

logger = logging.getLogger(__name__)


class SliceMetricsSaver:
    """Write slices.csv, cases.csv, summary.json and report.html of an evaluator's run.

    The files are those of ``unet-med evaluate`` for the same masks. Predictions must be label
    maps, one channel, on the grid of the reference file: put ``AsDiscreted(argmax=True)`` and
    ``Invertd`` into the postprocessing and do not reorient the reference. A case that does not
    fit is listed as failed and does not stop the run.

    Args:
        output_dir: Folder for the files.
        pred_key: Key of the predicted labels in the engine's output.
        label_key: Key of the reference labels there.
        data_root_dir: Folder that case ids are relative to; None takes the bare file names.
        settings: ``slice_axis``, ``empty``, ``labels`` and ``label_names``, as
            `EvaluationSettings` has them.
        image_key: Key of the scans, whose files report.html shows; None writes no report.html,
            which spares a validation that runs after every epoch of a training the time.
        failed: Reference file → why its case was left out of the run; listed as failed.

    As ``key_val_metric`` it also puts the volume Dice, mean over labels, then cases, into the
    engine's metrics.
    """

    def __init__(  # noqa: PLR0913 - what a config can state
        self,
        output_dir: str | Path,
        *,
        pred_key: str = "pred",
        label_key: str = "label",
        data_root_dir: str | Path | None = None,
        settings: EvaluationSettings | Mapping[str, Any] | None = None,
        image_key: str | None = None,
        failed: Mapping[str, str] | None = None,
    ) -> None:
        self.image_key = image_key
        self.output_dir = Path(output_dir)
        self.pred_key = pred_key
        self.label_key = label_key
        self.data_root_dir = None if data_root_dir is None else Path(data_root_dir).resolve()
        self.settings = _settings(settings)
        self.failed = dict(failed or {})
        self._metric: str | None = None
        self._results: dict[str, CaseScores | FailedCase] = {}
        self._files: dict[str, str] = {}
        self._new_store()

    def attach(self, engine: Engine, name: str | None = None) -> None:
        """Collect during an epoch of the engine and write at its end.

        Args:
            engine: MONAI's evaluator.
            name: Name of the metric, when it is attached as one.
        """
        self._metric = name
        engine.add_event_handler(Events.EPOCH_STARTED, self._reset)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the files; of several processes the first one writes for all."""
        cohort = self.cohort()
        if self._metric is not None:
            engine.state.metrics[self._metric] = _mean_dice(cohort)
        if self.image_key is not None and idist.get_world_size() > 1:
            self._gather_pictures()
        if idist.get_rank() == 0:
            cohort.write(self.output_dir)
            if self.image_key is not None:
                for case in cohort.failed:  # its labels may have shown to be others at the end
                    self._pictures.discard(case.case)
                write_report(evaluation_report(cohort), self._pictures, self.output_dir)

    def cohort(self) -> CohortScores:
        """Put the cases of this epoch together, those of all processes."""
        results = dict(self._results)
        if idist.get_world_size() > 1:
            for part in idist.all_gather(self._results):
                results = {**part, **results}  # samplers repeat cases to fill the last batch
        cases = results.values()
        return assemble_cohort(
            [case for case in cases if isinstance(case, CaseScores)],
            failed=[case for case in cases if isinstance(case, FailedCase)],
            settings=self.settings,
        )

    def raise_if_failed(self) -> None:
        """Raise when the tables are written without some of the cases.

        Raises:
            InputError: A case has failed.
        """
        failed = self.cohort().failed
        if failed:
            n_cases = len(self._results)
            msg = (
                f"{len(failed)} of {n_cases} cases could not be scored, first {failed[0].case}: "
                f"{failed[0].error}; the others are in {self.output_dir}"
            )
            raise InputError(msg)

    def _reset(self, _engine: Engine) -> None:
        self._results.clear()
        for file, why in self.failed.items():
            case = self._case_id(file)
            self._results[case] = FailedCase(case, why)
        self._files.clear()
        self._new_store()

    def _new_store(self) -> None:
        """Begin with no pictures; they lie in a folder that goes when this handler does."""
        if self.image_key is None:
            return
        folder = mkdtemp(prefix="unet_med-report-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._pictures = CaseImageStore(Path(folder))

    def _gather_pictures(self) -> None:
        """Bring the pictures of all processes together."""
        mine = {case: self._pictures.read(case) for case in self._pictures.cases}
        for part in idist.all_gather(mine):
            for case, pictures in part.items():
                if case not in self._pictures:
                    self._pictures.add(case, pictures)

    def _collect(self, engine: Engine) -> None:
        output = engine.state.output
        for item in decollate_batch(output) if isinstance(output, dict) else output:
            file = filename_of(item[self.label_key])
            case = self._case_id(file) or f"case {len(self._results)}"
            if self._files.setdefault(case, file) != file:
                msg = (
                    f"two references have this name: {self._files[case]} and {file}; set "
                    "data_root_dir to the folder above both"
                )
                self._results[case] = FailedCase(case, msg)
                continue
            self._results[case] = self._score(item, case, file=file)

    def _case_id(self, file: str) -> str:
        path = Path(file)
        if self.data_root_dir is None or not path.resolve().is_relative_to(self.data_root_dir):
            return case_id(path.name)
        inside = path.resolve().relative_to(self.data_root_dir)
        return inside.with_name(case_id(inside.name)).as_posix()

    def _score(self, item: Mapping[str, Any], case: str, *, file: str) -> CaseScores | FailedCase:
        try:
            prediction = label_volume(item[self.pred_key], "prediction")
            reference = label_volume(item[self.label_key], "reference")
            scores = score_volumes(
                prediction,
                reference,
                labels=self.settings.labels,
                slice_axis=self.settings.slice_axis,
                case=case,
                metrics=self.settings.metrics,
            )
            if self.image_key is not None:
                scan, note = _stored_scan(item.get(self.image_key))
                volumes = CaseVolumes(prediction, reference, scan, note)
                self._pictures.add(case, case_image_data(volumes, slice_axis=scores.slice_axis))
        except UnetMedError as exc:
            logger.error("%s: %s", case, exc)  # noqa: TRY400 - the text says all
            return FailedCase(case, str(exc))
        return with_file_label_names(scores, Path(file))


def _mean_dice(cohort: CohortScores) -> float:
    """Return the volume Dice, mean over labels, then cases; NaN when nothing was scored."""
    by_case: dict[object, list[float]] = {}
    for row in cohort.cases:
        if row["volume_dice"] is not None:
            by_case.setdefault(row["case"], []).append(float(row["volume_dice"]))
    means = [np.mean(values) for values in by_case.values()]
    return float(np.mean(means)) if means else float("nan")


def _settings(settings: EvaluationSettings | Mapping[str, Any] | None) -> EvaluationSettings:
    """Take settings as an object or, from a config file, as a mapping."""
    if isinstance(settings, EvaluationSettings):
        return settings
    values = dict(settings or {})
    if "empty" in values:
        values["empty"] = EmptyPolicy(values["empty"])
    if values.get("labels") is not None:
        values["labels"] = tuple(int(label) for label in values["labels"])
    names = values.pop("label_names", None) or {}
    named = {int(value): str(name) for value, name in names.items()}
    return EvaluationSettings(label_names=named, **values)


def _stored_scan(image: Any) -> tuple[Volume | None, str]:  # noqa: ANN401 - a MetaTensor or a plain tensor
    """Open the file of a scan as it is stored: the network's input is normalized."""
    if not filename_of(image):
        return None, "The scan has no file name in its metadata, so the masks stand alone."
    try:
        return reopen_volume(image.meta), ""
    except UnetMedError as exc:
        return None, f"The scan cannot be shown: {exc}."


class WeightsLoader:
    """Load a bundle's weights when an engine starts, strictly and as plain tensors only.

    Unlike MONAI's ``CheckpointLoader`` it refuses weights that do not fit the recipe, by their
    digest, keys and shapes, with one line that says what to do.

    Args:
        network: The module to fill, in place.
        path: ``models/model.pt``.
        sha256: Digest that the recipe states; empty = not checked.
    """

    def __init__(self, network: nn.Module, *, path: str | Path, sha256: str = "") -> None:
        self.network = network
        self.path = Path(path)
        self.sha256 = sha256

    def attach(self, engine: Engine) -> None:
        """Load at the start of every run of the engine."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, _engine: Engine) -> None:
        """Load the weights."""
        load_weights(self.network, self.path, sha256=self.sha256)
