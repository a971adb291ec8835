from __future__ import annotations

import json

import pytest

from tests.bundles import make_bundle
from unet_med.cli import main
from unet_med.cli.bench import parse_size


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundle"))


def bench(bundle, *options):
    quick = ("--size", "24x40", "--slices", "1", "--rounds", "1", "--threads", "1", "--no-memory")
    return main(["bench", "--bundle", str(bundle), *quick, *options])


@pytest.mark.slow
def test_the_table_names_every_way_and_what_is_missing(bundle, capsys):
    assert bench(bundle) == 0
    lines = capsys.readouterr().out.splitlines()
    (monai,) = [line for line in lines if line.startswith("monai fp32 whole")]
    assert monai.split()[-2] == "1.0x"
    assert any(line.startswith("openvino int8 whole") and " - " in line for line in lines)
    assert any("openvino fp32 whole: " in line and "unet-med export" in line for line in lines)


def test_json_is_json_alone(bundle, capsys):
    assert bench(bundle, "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["size"] == [24, 40]
    assert content["threads"] == 1
    assert {row["way"]["backend"] for row in content["rows"]} == {"monai", "torch", "openvino"}


@pytest.mark.parametrize("text", ["512", "0x5", "5x-1", "axb", "1x2x3"])
def test_sizes_that_are_none_are_refused(bundle, text, capsys):
    assert main(["bench", "--bundle", str(bundle), "--size", text]) == 2
    assert "no size" in capsys.readouterr().err


def test_sizes_are_rows_by_columns():
    assert parse_size("512X384") == (512, 384)
