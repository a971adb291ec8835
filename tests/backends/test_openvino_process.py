"""What an OpenVINO run loads, looks up and leaves behind, in processes of their own."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.bundles import make_bundle
from tests.exports import make_export, needs_openvino, write_scan

needs_openvino()

ROOT = Path(__file__).parents[2]
SPY = """
import os, socket

def spy(name):
    def refuse(*args, **kwargs):
        with open(os.environ["SPY_LOG"], "a") as log:
            log.write(f"{name} {args[:1]}\\n")
        raise OSError("no network in this test")
    return refuse

for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "create_connection"):
    setattr(socket, name, spy(name))
socket.socket.connect = spy("connect")
"""
"""Loaded by every Python process below, children included."""

RUN = """
import json, sys
from unet_med.cli import main
codes = [main(arguments) for arguments in json.loads(sys.argv[1])]
print(json.dumps({"codes": codes, "modules": sorted(sys.modules)}))
"""


def run_commands(folder, *commands):
    """Run commands in a fresh process, spied on; return exit codes, modules, log and home."""
    home, spies = folder / "home", folder / "spies"
    home.mkdir()
    spies.mkdir()
    (spies / "sitecustomize.py").write_text(SPY)
    environment = {  # nothing else: no CI variable, no cache folder
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": os.pathsep.join([str(spies), str(ROOT)]),
        "SPY_LOG": str(folder / "log"),
        "OMP_NUM_THREADS": "1",
        "MPLCONFIGDIR": str(folder / "matplotlib"),
    }
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps([[str(a) for a in c] for c in commands])],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    log = folder / "log"
    return found, log.read_text() if log.exists() else "", sorted(home.rglob("*")), done.stderr


def test_segment_on_openvino_loads_neither_torch_nor_monai(tmp_path):
    scan = write_scan(tmp_path / "scan.nii.gz")
    bundle = make_export(tmp_path / "bundle", scan)
    mask = tmp_path / "masks" / "scan.nii.gz"
    found, looked_up, home, said = run_commands(
        tmp_path,
        ["segment", scan, "--bundle", bundle, "--output", mask.parent, "--threads", 1, "--json"],
    )
    assert found["codes"] == [0], said
    assert "openvino" in found["modules"]
    assert not {"torch", "monai", "ignite", "nncf"} & set(found["modules"])
    slow_to_load = {"scipy.ndimage", "scipy.sparse", "scipy.optimize"}
    slow_to_load |= {"unet_med.evaluation", "unet_med.reporting"}
    assert not slow_to_load & set(found["modules"])
    assert looked_up == ""
    assert home == []
    assert len(np.unique(np.asarray(nib.load(mask).dataobj))) > 1
    sidecar = json.loads((mask.parent / "scan.json").read_text())
    assert sidecar["execution"]["backend"] == "openvino"
    assert len(sidecar["execution"]["model_sha256"]) == 64


def test_export_looks_up_no_host_and_writes_nothing_at_home(tmp_path):
    scan = write_scan(tmp_path / "scan.nii.gz")
    bundle = make_bundle(tmp_path / "bundle")
    int8 = ["--int8", scan] if importlib.util.find_spec("nncf") else ["--scans", scan]
    found, looked_up, home, said = run_commands(
        tmp_path,
        ["export", "--bundle", bundle, *int8, "--slices", 2, "--threads", 1],
    )
    assert found["codes"] == [0], said
    assert "openvino" in found["modules"]
    assert looked_up == ""
    assert home == []


def test_the_spy_sees_what_it_should(tmp_path):
    """Otherwise the tests above could not fail."""
    code = "import socket, contextlib\nwith contextlib.suppress(OSError):\n"
    (tmp_path / "spies").mkdir()
    (tmp_path / "spies" / "sitecustomize.py").write_text(SPY)
    subprocess.run(
        [sys.executable, "-c", f"{code}    socket.getaddrinfo('example.org', 80)\n"],
        env={"PYTHONPATH": str(tmp_path / "spies"), "SPY_LOG": str(tmp_path / "log")},
        check=True,
    )
    assert "example.org" in (tmp_path / "log").read_text()


def test_the_python_door_and_monais_door_run_the_export(tmp_path):
    """The same mask from SlicewiseInferer, which is handed a network that gives nothing."""
    import torch

    from unet_med import backends
    from unet_med.bundle import open_bundle
    from unet_med.errors import InputError
    from unet_med.monai import SlicewiseInferer
    from unet_med.monai.transforms import LoadVolumed, NormalizeVolumed
    from unet_med.segmenter import load_segmenter

    scan = write_scan(tmp_path / "scan.nii.gz")
    opened = open_bundle(make_export(tmp_path / "bundle", scan))
    segmenter = load_segmenter(opened.root, threads=1)
    expected = segmenter.segment(scan).labels
    execution = backends.resolve_execution(opened.recipe, weights=opened.weights_path, threads=1)
    assert execution == segmenter.execution
    rules = [channel.normalization for channel in opened.recipe.channels]
    data = LoadVolumed("image", n_channels=1)({"image": str(scan)})
    volume = NormalizeVolumed("image", normalizations=rules)(data)["image"]
    settings = {"recipe": opened.recipe, "execution": execution, "output": "labels"}
    inferer = SlicewiseInferer(**settings, weights=opened.weights_path)
    labels = inferer(volume[None], torch.nn.Identity())
    np.testing.assert_array_equal(labels[0, 0].numpy(), expected)
    with pytest.raises(InputError, match="weights="):
        SlicewiseInferer(**settings)
