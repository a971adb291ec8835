from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.bundles import make_bundle
from unet_med.bundle import default_bundle, demo_data, folder, open_bundle
from unet_med.errors import BundleError, RecipeError

ROOT = Path(__file__).parents[2]


def test_the_default_bundle_is_the_checkout():
    assert default_bundle() == ROOT
    assert (demo_data() / "images").is_dir()


def test_the_default_bundle_of_a_wheel_lies_in_the_package(tmp_path, monkeypatch):
    make_bundle(tmp_path / "unet_med" / "_bundle")
    monkeypatch.setattr(folder, "_PACKAGE", tmp_path / "unet_med")
    assert default_bundle() == tmp_path / "unet_med" / "_bundle"


def test_no_default_bundle_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "_PACKAGE", tmp_path / "unet_med")
    with pytest.raises(BundleError, match="--bundle"):
        default_bundle()


def test_identity_covers_recipe_and_weights(tmp_path):
    first = open_bundle(make_bundle(tmp_path / "a"))
    same = open_bundle(make_bundle(tmp_path / "b"))
    other_weights = open_bundle(make_bundle(tmp_path / "c", seed=1))
    other_recipe = open_bundle(make_bundle(tmp_path / "d", slice_axis="coronal"))
    assert first.sha256 == same.sha256
    assert len({first.sha256, other_weights.sha256, other_recipe.sha256}) == 3


def test_missing_parts_are_named(tmp_path):
    with pytest.raises(BundleError, match="no bundle folder"):
        open_bundle(tmp_path / "nowhere")
    with pytest.raises(BundleError, match=r"it has no configs/recipe\.json"):
        open_bundle(tmp_path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "metadata.json").write_text("{}")
    with pytest.raises(BundleError, match="another program"):
        open_bundle(tmp_path)
    make_bundle(tmp_path)
    (tmp_path / "models" / "model.pt").unlink()
    with pytest.raises(BundleError, match=r"no models/model\.pt"):
        open_bundle(tmp_path)


def test_broken_metadata_and_recipes_are_refused(tmp_path):
    make_bundle(tmp_path)
    (tmp_path / "configs" / "metadata.json").write_text("{")
    with pytest.raises(BundleError, match="not valid JSON"):
        open_bundle(tmp_path)
    (tmp_path / "configs" / "metadata.json").write_text(json.dumps({"version": "1.2"}))
    assert open_bundle(tmp_path).version == "1.2"
    (tmp_path / "configs" / "recipe.json").write_text('{"__import__": "os"}')
    with pytest.raises(RecipeError, match="unknown keys"):
        open_bundle(tmp_path)


def lending_environment(folder):
    """Make an environment without this package; its dependencies are lent by this one."""
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    lent = [path for path in sys.path if path.endswith("site-packages")]
    (site / "lent.pth").write_text("\n".join(lent))
    return folder / "bin" / "python", site


def where_the_default_bundle_is(python, *, cwd):
    """Ask a fresh process of another environment, in an empty folder."""
    where = "import unet_med.bundle as b; print(b.default_bundle(), b.demo_data().is_dir())"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    found = subprocess.run(
        [python, "-c", where], cwd=cwd, env=environment, capture_output=True, text=True, check=True
    )
    return found.stdout.split()


def test_the_default_bundle_of_an_editable_install_is_its_checkout(tmp_path):
    """The editable finder maps the package alone, so the bundle beside it is found by its path."""
    checkout, empty = tmp_path / "checkout", tmp_path / "empty"
    for name in ("unet_med", "configs", "models", "sample_data/demo"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, checkout / name, ignore=ignored)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, checkout / name)
    empty.mkdir()
    python, _ = lending_environment(tmp_path / "venv")
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--quiet"]
    subprocess.run([*install, "--no-build-isolation", "-e", checkout], check=True)
    assert where_the_default_bundle_is(python, cwd=empty) == [str(checkout), "True"]


def test_the_built_wheel_runs_the_demo_in_an_empty_folder(tmp_path):
    """A wheel in a new environment; its dependencies are lent by this one, without this package."""
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    python, site = lending_environment(tmp_path / "venv")
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--quiet"]
    subprocess.run([*install, "--target", site, wheel], check=True)
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    result = subprocess.run(
        [python, "-m", "unet_med", "demo", "--output", "out"],
        cwd=empty,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert list(empty.glob("out/**/*.png"))
    assert where_the_default_bundle_is(python, cwd=empty) == [
        str(site / "unet_med/_bundle"),
        "True",
    ]
