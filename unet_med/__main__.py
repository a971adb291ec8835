"""``python -m unet_med`` is ``unet-med``."""

from __future__ import annotations

import sys

from unet_med.cli import main

if __name__ == "__main__":
    sys.exit(main())
