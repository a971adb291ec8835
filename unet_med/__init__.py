"""Slice-wise segmentation of medical volumes with a 2D U-Net, as a MONAI plugin.

Importing this package loads neither torch nor monai and registers nothing.
"""

from __future__ import annotations

__version__ = "0.1.0"
