"""Reading TensorBoard's event files, record by record."""

from __future__ import annotations


def points(folder):
    """Every stored point of every tag, in the order of the files, doubles and all."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.util.tensor_util import make_ndarray

    found = {}
    for path in sorted(folder.iterdir()):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                number = make_ndarray(value.tensor).item()
                found.setdefault(value.tag, []).append((event.step, number))
    return found
