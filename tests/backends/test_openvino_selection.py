"""What auto means with an export, and what is refused."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import pytest

from tests.bundles import make_bundle
from tests.exports import copy_of, make_export, needs_openvino, precision_report_of, write_scan
from unet_med import backends
from unet_med.backends import openvino_backend, selection
from unet_med.backends.precision_report import load_precision_report, model_sha256
from unet_med.bundle import open_bundle
from unet_med.errors import BundleError, InputError, MissingExtraError, WeightsError
from unet_med.recipe import VerifiedPrecision
from unet_med.segmenter import load_segmenter
from unet_med.segmenter.loader import resolve_segmenter

needs_openvino()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    scan = write_scan(tmp_path_factory.mktemp("scan") / "scan.nii.gz")
    return make_export(tmp_path_factory.mktemp("exported") / "bundle", scan)


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch):
    monkeypatch.setattr(selection, "may_have_cuda", lambda: False)


def resolve(bundle, recipe=None, **options):
    opened = open_bundle(bundle)
    return backends.resolve_execution(
        recipe or opened.recipe, weights=opened.weights_path, **options
    )


def with_verdicts(bundle, **verified):
    opened = open_bundle(bundle)
    report = load_precision_report(opened.weights_path)
    digests = {name: model_sha256(report, name) for name in ("fp32", "bf16")}
    entries = tuple(
        VerifiedPrecision(
            "openvino", name, verified=ok, model_sha256=digests.get(name, "0" * 64)
        )
        for name, ok in verified.items()
    )  # fmt: skip
    return replace(opened.recipe, precisions=entries)


def test_auto_is_openvino_where_there_is_an_export(bundle):
    execution = resolve(bundle)
    assert (execution.backend, execution.device) == ("openvino", "cpu")
    assert len(execution.model_sha256) == 64


def test_auto_is_torch_without_an_export(tmp_path):
    execution = resolve(make_bundle(tmp_path))
    assert (execution.backend, execution.model_sha256) == ("torch", "")
    assert "run unet-med export" in execution.reason


def test_auto_is_torch_without_openvino(bundle, monkeypatch):
    monkeypatch.setattr(selection, "is_installed", lambda: False)
    execution = resolve(bundle)
    assert execution.backend == "torch"
    assert "pip install openvino" in execution.reason


def test_auto_is_torch_without_weights_to_look_beside(bundle):
    assert backends.resolve_execution(open_bundle(bundle).recipe).backend == "torch"


def test_openvino_that_does_not_load_is_one_line_of_advice(monkeypatch):
    monkeypatch.setitem(openvino_backend.sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match="pip install openvino") as caught:
        openvino_backend.load_openvino()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("pays", "verified", "expected"),
    [(True, True, "bf16"), (True, False, "fp32"), (False, True, "fp32")],
)
def test_auto_takes_bf16_only_if_verified_and_faster(
    bundle, monkeypatch, pays, verified, expected
):  # fmt: skip
    monkeypatch.setitem(openvino_backend.PRECISIONS, "bf16", pays)
    assert resolve(bundle, with_verdicts(bundle, bf16=verified)).precision == expected


@pytest.mark.parametrize("digest", ["", "0" * 64])
def test_a_verdict_of_another_model_is_none(bundle, monkeypatch, digest):
    monkeypatch.setitem(openvino_backend.PRECISIONS, "bf16", True)
    recipe = with_verdicts(bundle, bf16=True)
    assert resolve(bundle, recipe).precision == "bf16"
    (entry,) = recipe.precisions
    foreign = replace(recipe, precisions=(replace(entry, model_sha256=digest),))
    assert resolve(bundle, foreign).precision == "fp32"
    assert "unverified" in resolve(bundle, foreign, precision="bf16").reason


@pytest.mark.parametrize("files", [{"model.xml": 1, "model.bin": None}, ["model.xml"]])
def test_a_precision_report_of_other_types_is_refused_and_auto_falls_back(bundle, tmp_path, files):
    odd = copy_of(bundle, tmp_path / "odd")
    path, content = precision_report_of(odd)
    path.write_text(json.dumps(content | {"files": files}))
    with pytest.raises(BundleError, match="not a precision report that this version understands"):
        resolve(odd, backend="openvino")
    assert resolve(odd).backend == "torch"


def test_auto_does_not_take_int8_that_was_not_exported(bundle, monkeypatch):
    monkeypatch.setitem(openvino_backend.PRECISIONS, "int8", True)
    monkeypatch.setitem(openvino_backend.PRECISIONS, "bf16", False)
    assert resolve(bundle, with_verdicts(bundle, int8=True, bf16=True)).precision == "fp32"


def test_int8_that_was_not_exported_is_refused(bundle):
    with pytest.raises(BundleError, match="--int8"):
        resolve(bundle, precision="int8")


def test_an_unverified_precision_runs_with_one_warning(bundle, caplog):
    with caplog.at_level(logging.WARNING):
        execution = resolve(bundle, with_verdicts(bundle, bf16=False), precision="bf16")
    assert len(caplog.records) == 1
    assert "unverified" in execution.reason


def test_a_worker_does_not_warn_again(tmp_path, caplog):
    bundle = make_bundle(tmp_path)  # nothing is verified for it
    with caplog.at_level(logging.WARNING):
        loader = resolve_segmenter(bundle, backend="torch", precision="bf16", device="cpu")
        assert len(caplog.records) == 1
        loader.check_in_worker()
    assert len(caplog.records) == 1


@pytest.mark.parametrize("options", [{"device": "cuda"}, {"precision": "fp16"}])
def test_what_openvino_cannot_do_is_refused(bundle, options):
    with pytest.raises(InputError):
        resolve(bundle, backend="openvino", **options)


def test_a_stale_export_is_refused_and_auto_falls_back(bundle, tmp_path):
    stale = copy_of(bundle, tmp_path / "stale")
    make_bundle(stale, seed=5)  # other weights, the old export
    with pytest.raises(BundleError, match=r"stale.*run unet-med export"):
        load_segmenter(stale, backend="openvino")
    segmenter = load_segmenter(stale)
    assert segmenter.execution.backend == "torch"
    assert "stale" in segmenter.execution.reason


def test_a_foreign_model_is_refused(bundle, tmp_path):
    foreign = copy_of(bundle, tmp_path / "foreign")
    precision_report_of(foreign)[0].unlink()
    with pytest.raises(BundleError, match="foreign"):
        resolve(foreign, backend="openvino")


@pytest.mark.parametrize("name", ["model.xml", "model.bin"])
@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_damaged_model_files_are_refused(bundle, tmp_path, name, damage):
    damaged = copy_of(bundle, tmp_path / "damaged")
    path = damaged / "models" / "openvino" / name
    if damage == "missing":
        path.unlink()
    else:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    with pytest.raises(BundleError, match=f"{name} is not the file"):
        load_segmenter(damaged, backend="openvino")


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"schema_version": 99, "weights_sha256": "", "files": {}}']
)
def test_damaged_precision_reports_are_refused(bundle, tmp_path, content):
    damaged = copy_of(bundle, tmp_path / "damaged")
    precision_report_of(damaged)[0].write_text(content)
    with pytest.raises(BundleError, match="run unet-med export"):
        resolve(damaged, backend="openvino")
    assert resolve(damaged).backend == "torch"


def test_an_export_of_another_network_is_refused(bundle, tmp_path):
    """A report that claims the weights does not make a model of two labels one of three."""
    other = make_bundle(tmp_path / "other", labels={1: "a", 2: "b", 3: "c"})
    copy_of(bundle / "models" / "openvino", other / "models" / "openvino")
    path, content = precision_report_of(other)
    content["weights_sha256"] = open_bundle(other).recipe.weights_sha256
    path.write_text(json.dumps(content))
    with pytest.raises(BundleError, match="does not fit the recipe"):
        load_segmenter(other, backend="openvino")


def test_weights_that_the_recipe_does_not_name_are_refused(bundle):
    opened = open_bundle(bundle)
    recipe = replace(opened.recipe, weights_sha256="0" * 64)
    execution = resolve(bundle, backend="openvino")
    with pytest.raises(WeightsError, match="not the file its recipe names"):
        backends.open_predictor(recipe, opened.weights_path, execution)
