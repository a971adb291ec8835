"""A disk that is full: the kernel lets no file grow beyond a size."""

from __future__ import annotations

import resource
from contextlib import contextmanager


@contextmanager
def disk_full_after(n_bytes):
    """Let every write beyond so many bytes of a file fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
