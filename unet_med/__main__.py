"""``python -m unet_med`` is ``unet-med``."""

from __future__ import annotations

from unet_med.cli.entry_point import run

if __name__ == "__main__":
    run()
