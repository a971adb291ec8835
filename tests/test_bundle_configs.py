"""The bundle configs: MONAI's own tools accept them, and they do what the commands do."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow, scripts

from tests.bundles import make_bundle
from tests.monai.scans import write_scan
from unet_med._files import sha256_file
from unet_med.errors import InputError, OutputError, WeightsError
from unet_med.evaluation import evaluate_cohort
from unet_med.networks import UNet2D
from unet_med.preprocessing import Context
from unet_med.recipe import Recipe
from unet_med.segmenter import load_segmenter
from unet_med.volumes import verify_mask

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs"
SCHEMA = Path(__file__).parent / "meta_schema_20240725.json"
CONTEXT = Context(3, 3.2)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A bundle with the shipped configs and a tiny network with context and resampling."""
    root = make_bundle(tmp_path_factory.mktemp("bundle"), context=CONTEXT, in_plane_spacing_mm=1.5)
    for name in ("inference.yaml", "evaluate.yaml", "logging.conf"):
        shutil.copy(CONFIGS / name, root / "configs" / name)
    metadata = json.loads((CONFIGS / "metadata.json").read_text())
    formats = metadata["network_data_format"]
    formats["inputs"]["image"]["num_channels"] = CONTEXT.slices
    formats["outputs"]["pred"]["num_channels"] = 3
    (root / "configs" / "metadata.json").write_text(json.dumps(metadata))
    return root


@pytest.fixture
def data(tmp_path):
    """A labeled folder of two scans, one in a sub-folder."""
    rng = np.random.default_rng(0)
    for number, case in enumerate(("a", "ward 3/b")):
        scan = write_scan(
            tmp_path / "data/images" / f"{case}.nii.gz", shape=(19, 23, 5 + number), seed=number
        )
        affine, shape = nib.load(scan).affine, nib.load(scan).shape
        label = nib.Nifti1Image(rng.integers(0, 3, shape).astype(np.uint8), affine)
        path = tmp_path / "data/labels" / f"{case}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(label, path)
    return tmp_path / "data"


def workflow(bundle, name, **override):
    return ConfigWorkflow(
        config_file=str(bundle / "configs" / name),
        meta_file=str(bundle / "configs/metadata.json"),
        logging_file=False,
        workflow_type="infer",
        bundle_root=str(bundle),
        threads=1,
        **override,
    )


def run(bundle, name, **override):
    work = workflow(bundle, name, **override)
    work.initialize()
    work.run()
    work.finalize()


@pytest.mark.parametrize("name", ["inference.yaml", "evaluate.yaml"])
def test_no_property_is_missing(bundle, data, tmp_path, name):
    folder = data / "images" if name == "inference.yaml" else data
    work = workflow(bundle, name, dataset_dir=str(folder), output_dir=str(tmp_path / "out"))
    work.initialize()
    assert work.check_properties() == []
    assert isinstance(work.network_def, UNet2D)
    assert work.version == "0.1.0"


@pytest.mark.parametrize("name", ["inference.yaml", "evaluate.yaml"])
def test_the_repository_is_a_bundle_that_needs_no_edit(tmp_path, name):
    work = workflow(ROOT, name, output_dir=str(tmp_path / "out"))
    work.initialize()
    assert work.check_properties() == []
    (item,) = work.parser.get_parsed_content("dataset").data
    assert item["case"] == "colin27"
    scripts.verify_net_in_out("network_def", device="cpu", **tool_arguments(ROOT, name))


def test_inference_gives_the_segmenters_masks(bundle, data, tmp_path):
    run(bundle, "inference.yaml", dataset_dir=str(data / "images"), output_dir=str(tmp_path / "m"))
    segmenter = load_segmenter(bundle, threads=1)
    for case in ("a", "ward 3/b"):
        scan, mask = data / "images" / f"{case}.nii.gz", tmp_path / "m" / f"{case}.nii.gz"
        expected = segmenter.segment(scan).labels
        assert len(np.unique(expected)) > 1
        np.testing.assert_array_equal(np.asarray(nib.load(mask).dataobj), expected)
        assert verify_mask(scan, mask) == []
    found = sorted(path.relative_to(tmp_path / "m") for path in (tmp_path / "m").rglob("*.*"))
    assert found == [Path("a.nii.gz"), Path("ward 3/b.nii.gz")]


@pytest.mark.parametrize(("no", "yes"), [(False, True), ("false", "true")])
def test_inference_replaces_masks_only_when_told(bundle, data, tmp_path, no, yes):
    """Texts are what ``--overwrite false`` gives, which Python takes for true."""
    mask = tmp_path / "out/a.nii.gz"
    mask.parent.mkdir()
    mask.write_bytes(b"corrected by hand")
    folders = {"dataset_dir": str(data / "images"), "output_dir": str(tmp_path / "out")}
    with pytest.raises(RuntimeError) as caught:
        run(bundle, "inference.yaml", **folders, overwrite=no)
    assert "overwrite" in str(root_cause(caught.value))
    assert isinstance(root_cause(caught.value), OutputError)
    assert mask.read_bytes() == b"corrected by hand"
    run(bundle, "inference.yaml", **folders, overwrite=yes)
    assert verify_mask(data / "images/a.nii.gz", mask) == []


def root_cause(error):
    while error.__cause__ is not None:
        error = error.__cause__
    return error


@pytest.mark.parametrize(
    "option", [{"backend": "no such"}, {"precision": "fp7"}, {"dataset_dir": "/no/such"}]
)
def test_wrong_options_are_named(bundle, data, tmp_path, option):
    options = {"dataset_dir": str(data / "images"), "output_dir": str(tmp_path / "out"), **option}
    with pytest.raises(RuntimeError) as caught:
        run(bundle, "inference.yaml", **options)
    assert isinstance(root_cause(caught.value), InputError)
    assert str(next(iter(option.values()))) in str(root_cause(caught.value))
    assert not (tmp_path / "out").exists()


def test_foreign_weights_are_refused(bundle, data, tmp_path):
    copy = shutil.copytree(bundle, tmp_path / "bundle")
    torch.save(UNet2D(3, 3, (8, 16)).state_dict(), copy / "models/model.pt")
    with pytest.raises(RuntimeError) as caught:
        run(
            copy, "inference.yaml", dataset_dir=str(data / "images"), output_dir=str(tmp_path / "m")
        )
    assert isinstance(root_cause(caught.value), WeightsError)
    assert "sha256" in str(root_cause(caught.value))
    assert not (tmp_path / "m").exists()


def test_evaluate_writes_the_commands_files(bundle, data, tmp_path):
    run(bundle, "evaluate.yaml", dataset_dir=str(data), output_dir=str(tmp_path / "scores"))
    run(bundle, "inference.yaml", dataset_dir=str(data / "images"), output_dir=str(tmp_path / "m"))
    evaluate_cohort(tmp_path / "m", data / "labels").write(tmp_path / "expected")
    names = sorted(path.name for path in (tmp_path / "expected").iterdir())
    assert {"slices.csv", "cases.csv", "summary.json"} <= set(names)
    for name in ("slices.csv", "cases.csv"):
        expected = (tmp_path / "expected" / name).read_text()
        assert (tmp_path / "scores" / name).read_text() == expected
        assert len(expected.splitlines()) > 2
    page = (tmp_path / "scores" / "report.html").read_text(encoding="utf-8")
    assert '"atlases":["' in page  # the scans are in it


def test_evaluate_reports_the_volume_dice(bundle, data, tmp_path):
    work = workflow(
        bundle, "evaluate.yaml", dataset_dir=str(data), output_dir=str(tmp_path / "scores")
    )
    work.initialize()
    work.run()
    rows = (tmp_path / "scores/cases.csv").read_text().splitlines()
    header = rows[0].split(",")
    column = next(header.index(name) for name in ("volume_dice", "dice") if name in header)
    dice = [float(row.split(",")[column]) for row in rows[1:]]
    measured = work.parser.get_parsed_content("evaluator").state.metrics["volume_dice"]
    assert measured == pytest.approx(np.mean(dice), abs=1e-6)


def test_evaluate_scores_the_others_when_cases_do_not_fit(bundle, data, tmp_path):
    def add(name, voxels, shift=0):
        affine = nib.load(write_scan(data / f"images/{name}.nii.gz", shape=(19, 23, 5))).affine
        affine[0, 3] += shift
        nib.save(nib.Nifti1Image(voxels, affine), data / f"labels/{name}.nii.gz")

    voxels = np.zeros((19, 23, 5), np.uint8)
    voxels[3:9, 3:9] = 1
    add("odd", voxels, shift=7)
    add("half", voxels * np.float32(0.6))
    voxels[5:7] = 4  # no label of the recipe
    add("more", voxels)
    add("other", voxels // 4 * 9)
    with pytest.raises(RuntimeError) as caught:
        run(bundle, "evaluate.yaml", dataset_dir=str(data), output_dir=str(tmp_path / "scores"))
    assert "3 of 6 cases could not be scored" in str(root_cause(caught.value))
    summary = json.loads((tmp_path / "scores/summary.json").read_text())
    assert summary["cases"]["scored"] == ["a", "more", "ward 3/b"]
    failed = {one["case"]: one["error"] for one in summary["cases"]["failed"]}
    assert "different grids" in failed["odd"]
    assert "no label" in failed["half"]
    assert "share none" in failed["other"]
    assert (tmp_path / "scores/report.html").exists()


def test_a_case_without_reference_is_named(bundle, data, tmp_path):
    (data / "labels/a.nii.gz").unlink()
    with pytest.raises(RuntimeError) as caught:
        run(bundle, "evaluate.yaml", dataset_dir=str(data), output_dir=str(tmp_path / "scores"))
    assert "a; name them alike" in str(root_cause(caught.value))


def tool_arguments(bundle, config="inference.yaml"):
    return {
        "config_file": str(bundle / "configs" / config),
        "meta_file": str(bundle / "configs/metadata.json"),
        "bundle_root": str(bundle),
    }


@pytest.mark.parametrize("config", ["inference.yaml", "evaluate.yaml"])
def test_verify_net_in_out(bundle, config):
    scripts.verify_net_in_out("network_def", device="cpu", **tool_arguments(bundle, config))


def test_ckpt_export_in_script_mode(bundle, tmp_path):
    scripts.ckpt_export(
        "network_def",
        str(tmp_path / "model.ts"),
        ckpt_file=str(bundle / "models/model.pt"),
        **tool_arguments(bundle),
    )
    network = UNet2D(3, 3, (4, 8)).eval()
    network.load_state_dict(torch.load(bundle / "models/model.pt", weights_only=True))
    images = torch.randn(1, 3, 9, 14)
    with torch.inference_mode():
        assert torch.equal(torch.jit.load(tmp_path / "model.ts")(images), network(images))


def test_onnx_export(bundle, tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch and onnxscript deprecate parts of themselves
        scripts.onnx_export(
            "network_def",
            str(tmp_path / "model.onnx"),
            ckpt_file=str(bundle / "models/model.pt"),
            **tool_arguments(bundle),
        )
    onnx.checker.check_model(onnx.load(tmp_path / "model.onnx"))


def verify_metadata(path, folder):
    """Run MONAI's tool; it downloads the schema only if it is not there."""
    schema = Path(shutil.copy(SCHEMA, folder / "schema.json"))
    scripts.verify_metadata(
        str(path), filepath=str(schema), hash_val=sha256_file(schema), hash_type="sha256"
    )


@pytest.mark.parametrize("root", ["tiny", "repository"])
def test_verify_metadata_offline(bundle, tmp_path, root):
    pytest.importorskip("jsonschema")
    folder = bundle if root == "tiny" else ROOT
    verify_metadata(folder / "configs/metadata.json", tmp_path)


@pytest.mark.parametrize("broken", ["authors", "network_data_format"])
def test_the_schema_refuses_incomplete_metadata(tmp_path, broken):
    pytest.importorskip("jsonschema")
    metadata = json.loads((CONFIGS / "metadata.json").read_text())
    del metadata[broken]
    (tmp_path / "metadata.json").write_text(json.dumps(metadata))
    with pytest.raises(ValueError, match=broken):
        verify_metadata(tmp_path / "metadata.json", tmp_path)


def test_metadata_describe_the_recipe():
    recipe = Recipe.load(CONFIGS / "recipe.json")
    metadata = json.loads((CONFIGS / "metadata.json").read_text())
    image = metadata["network_data_format"]["inputs"]["image"]
    pred = metadata["network_data_format"]["outputs"]["pred"]
    assert image["num_channels"] == len(image["channel_def"]) == recipe.network.in_channels
    assert pred["num_channels"] == len(pred["channel_def"]) == recipe.network.out_channels
    described = metadata["pred_classes"]
    for value, name in recipe.labels.items():
        assert f"{value} {name}" in described
        assert name in pred["channel_def"][str(list(recipe.labels).index(value) + 1)]
    assert metadata["version"] in metadata["changelog"]


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_every_target_is_a_full_path_that_resolves(path):
    from monai.utils import optional_import

    def targets(content):
        if isinstance(content, dict):
            yield from [content["_target_"]] if "_target_" in content else []
            content = list(content.values())
        if isinstance(content, list):
            for item in content:
                yield from targets(item)

    found = set(targets(ConfigParser.load_config_file(path)))
    for target in found:
        module, _, name = target.rpartition(".")
        assert module, f"{target} is a bare name"
        assert optional_import(module, name=name)[1], target
