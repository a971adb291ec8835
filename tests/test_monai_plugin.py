"""Registration with MONAI, each way in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NETWORK = {"in_channels": 3, "out_channels": 2, "sizes": [2, 4]}
IMPORTS = ["$import unet_med.monai_plugin"]


def run_python(code, *, cwd):
    """Run code in a fresh interpreter that can import the package; return what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_registers_nothing_and_stays_light(tmp_path):
    code = """
    import sys, unet_med
    print(sorted({"torch", "monai", "unet_med.monai_plugin"} & set(sys.modules)))
    """
    assert run_python(code, cwd=tmp_path) == "[]"


def test_import_from_monai(tmp_path):
    code = """
    import pickle
    from monai.networks import nets
    before = dict(vars(nets))
    import unet_med.monai_plugin
    from monai.networks.nets import UNet2D
    import unet_med.networks
    assert UNet2D is unet_med.networks.UNet2D
    assert UNet2D.__module__ == "unet_med.networks.unet"
    assert pickle.loads(pickle.dumps(UNet2D)) is UNet2D
    changed = {name for name in before if vars(nets)[name] is not before[name]}
    print(changed, sorted(set(vars(nets)) - set(before)))
    """
    assert run_python(code, cwd=tmp_path) == "set() ['UNet2D', 'unet_med']"


PARSE = """
from monai.bundle import ConfigParser
parser = ConfigParser({config!r})
network = parser.get_parsed_content("network_def")
print(type(network).__module__, type(network).__name__, network.down[0].block[0].in_channels)
"""


@pytest.mark.parametrize(
    ("target", "imports"),
    [
        ("UNet2D", {"imports": IMPORTS}),
        ("unet_med.networks.UNet2D", {}),
        ("monai.networks.nets.UNet2D", {"imports": IMPORTS}),
    ],
)
def test_target_resolves(tmp_path, target, imports):
    config = {**imports, "network_def": {"_target_": target, **NETWORK}}
    found = run_python(PARSE.format(config=config), cwd=tmp_path)
    assert found == "unet_med.networks.unet UNet2D 3"


def test_short_name_needs_the_import(tmp_path):
    config = {"network_def": {"_target_": "UNet2D", **NETWORK}}
    code = f"""
    from monai.bundle import ConfigParser
    try:
        ConfigParser({config!r}).get_parsed_content("network_def")
    except ModuleNotFoundError as exc:
        print(type(exc).__name__)
    """
    assert run_python(code, cwd=tmp_path) == "ModuleNotFoundError"


def test_networks_of_monai_keep_their_names(tmp_path):
    config = {
        "imports": IMPORTS,
        "network_def": {
            "_target_": "Unet",
            "spatial_dims": 2,
            "in_channels": 1,
            "out_channels": 1,
            "channels": [4, 8],
            "strides": [2],
        },
    }
    code = f"""
    from monai.bundle import ConfigParser
    from monai.networks.nets import UNet
    assert type(ConfigParser({config!r}).get_parsed_content("network_def")) is UNet
    """
    run_python(code, cwd=tmp_path)


def test_every_component_resolves_by_short_name_and_keeps_its_own(tmp_path):
    """In one process: the import line stays light, and nothing of MONAI's is replaced."""
    code = f"""
    import pickle, sys, warnings
    import monai
    from monai.bundle import ConfigParser
    warnings.simplefilter("error", UserWarning)
    before = dict(vars(monai))
    ConfigParser({{"imports": {IMPORTS!r}}}).get_parsed_content("imports")
    assert not {{"openvino", "unet_med.reporting", "unet_med.training"}} & set(sys.modules)
    assert {{name for name in before if vars(monai)[name] is not before[name]}} == set()
    assert set(vars(monai)) - set(before) == {{"unet_med"}}
    from unet_med import monai as ours
    arguments = {{
        "LoadVolume": {{}}, "LoadVolumed": {{"keys": "image"}}, "LoadVolumeD": {{"keys": "image"}},
        "StackContextDict": {{"keys": "image", "context": {{"slices": 3, "reach_mm": 1}}}},
        "SliceDiceMetric": {{"ignore_empty": False}}, "SlicewiseInferer": {{"roi_size": 64}},
        "SliceMetricsSaver": {{"output_dir": "out"}},
    }}
    config = {{name: {{"_target_": name, **given}} for name, given in arguments.items()}}
    parser = ConfigParser({{"imports": {IMPORTS!r}, **config}})
    for name in arguments:
        found = parser.get_parsed_content(name)
        assert type(found) is getattr(ours, name), name
        assert type(found).__module__.startswith("unet_med.monai."), name
    assert type(pickle.loads(pickle.dumps(found))) is type(found)
    factories = vars(sys.modules["monai.unet_med"])
    assert set(ours.COMPONENTS) <= set(factories)
    """
    run_python(code, cwd=tmp_path)


def test_a_component_of_monai_stays_and_ours_has_its_dotted_path(tmp_path):
    code = """
    import sys, types, warnings
    import monai
    theirs = types.ModuleType("monai.theirs")
    exec("class LoadVolumed: pass", vars(theirs))
    theirs.LoadVolumed.__module__ = "monai.theirs"
    sys.modules["monai.theirs"], monai.theirs = theirs, theirs
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        from unet_med import monai_plugin
    texts = [str(one.message) for one in caught if "of its own" in str(one.message)]
    assert len(texts) == 1, texts
    assert texts[0].endswith("_target_: unet_med.monai.LoadVolumed"), texts
    assert "LoadVolumed" not in monai_plugin.register()
    from monai.bundle import ConfigParser
    parser = ConfigParser({"it": {"_target_": "LoadVolumed"}})
    assert type(parser.get_parsed_content("it")) is theirs.LoadVolumed
    """
    run_python(code, cwd=tmp_path)


TAKEN = {
    "attribute": "nets.UNet2D = Theirs",
    "component": """
module = types.ModuleType("monai_theirs")
Theirs.__name__ = Theirs.__qualname__ = "UNet2D"
Theirs.__module__, module.UNet2D = "monai_theirs", Theirs
sys.modules["monai_theirs"] = module
""",
}


@pytest.mark.parametrize("where", TAKEN)
def test_a_taken_name_stays_and_is_warned_of_once(tmp_path, where):
    config = {"network_def": {"_target_": "unet_med.networks.UNet2D", **NETWORK}}
    code = f"""
import sys, types, warnings
from monai.networks import nets
class Theirs:
    pass
{TAKEN[where]}
before = dict(vars(nets))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import unet_med.monai_plugin
    assert "UNet2D" not in unet_med.monai_plugin.register()
assert dict(vars(nets)) == before
assert "monai.networks.nets.unet_med" not in sys.modules
texts = [str(one.message) for one in caught if "UNet2D of its own" in str(one.message)]
assert len(texts) == 1 and "unet_med.networks.UNet2D" in texts[0], texts
from monai.bundle import ConfigParser
ConfigParser({config!r}).get_parsed_content("network_def")
"""
    run_python(code, cwd=tmp_path)


def test_registering_again_changes_nothing(tmp_path):
    code = """
    import importlib, sys, warnings
    from monai.networks import nets
    import unet_med.monai_plugin as plugin
    import monai
    modules = [sys.modules["monai.networks.nets.unet_med"], sys.modules["monai.unet_med"]]
    before, names = [dict(vars(m)) for m in (nets, monai, *modules)], plugin.register()
    warnings.simplefilter("error", UserWarning)
    assert {"UNet2D", "LoadVolumed"} < set(names)
    assert plugin.register() == importlib.reload(plugin).register() == names
    assert [dict(vars(m)) for m in (nets, monai, *modules)] == before
    assert sys.modules["monai.unet_med"] is modules[1]
    """
    run_python(code, cwd=tmp_path)


TOOLS = {
    "verify_net_in_out": """
scripts.verify_net_in_out("network_def", meta_file="metadata.json", config_file="config.json", p=2)
""",
    "ckpt_export": """
torch.save(UNet2D(3, 2, (2, 4)).state_dict(), "model.pt")
scripts.ckpt_export("network_def", "model.ts", ckpt_file="model.pt", meta_file="metadata.json",
                    config_file="config.json")
assert torch.jit.load("model.ts")(torch.zeros(1, 3, 5, 7)).shape == (1, 2, 5, 7)
""",
    "onnx_export": """
torch.save(UNet2D(3, 2, (2, 4)).state_dict(), "model.pt")
scripts.onnx_export("network_def", "model.onnx", ckpt_file="model.pt", meta_file="metadata.json",
                    config_file="config.json", input_shape=[1, 3, 8, 12])
import onnx
onnx.checker.check_model(onnx.load("model.onnx"))
""",
}


@pytest.mark.parametrize("tool", TOOLS)
def test_bundle_tools_take_the_short_name(tmp_path, tool):
    tensor = {"type": "image", "format": "magnitude", "dtype": "float32", "value_range": []}
    channels = {"image": 3, "pred": 2}
    image, pred = (
        {**tensor, "num_channels": count, "spatial_shape": ["4*n", "4*n"]}
        for count in channels.values()
    )
    metadata = {"network_data_format": {"inputs": {"image": image}, "outputs": {"pred": pred}}}
    config = {
        "imports": IMPORTS,
        "device": "$torch.device('cpu')",
        "network_def": {"_target_": "UNet2D", **NETWORK},
    }
    (tmp_path / "metadata.json").write_text(json.dumps(metadata))
    (tmp_path / "config.json").write_text(json.dumps(config))
    head = "import torch\nfrom monai.bundle import scripts\nfrom unet_med.networks import UNet2D\n"
    run_python(head + TOOLS[tool], cwd=tmp_path)
