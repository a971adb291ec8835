"""Put the bundle of the repository root into the wheel, as unet_med/_bundle.

Everything else stands in pyproject.toml. An editable install uses the root itself.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
BUNDLE_FILES = (
    "LICENSE",
    "configs/*.json",
    "configs/*.yaml",
    "configs/*.conf",
    "docs/model_card.md",
    "models/model.pt",
    "models/openvino/*",
    "sample_data/*.txt",
    "sample_data/demo/**/*",
)


class BuildWithBundle(build_py):
    """``build_py`` that copies the bundle's files into the package that is built."""

    def run(self) -> None:
        """Build the package, then add the bundle unless the install is editable."""
        super().run()
        if not self.editable_mode:
            for pattern in BUNDLE_FILES:
                for source in filter(Path.is_file, ROOT.glob(pattern)):
                    target = Path(self.build_lib, "unet_med", "_bundle", source.relative_to(ROOT))
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source, target)


setup(cmdclass={"build_py": BuildWithBundle})
