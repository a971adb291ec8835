from __future__ import annotations

import pytest
import torch
from monai.utils import set_determinism


@pytest.fixture(autouse=True)
def _restored_state():
    """Undo what a config's ``initialize`` sets for the whole process."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    set_determinism(None)
