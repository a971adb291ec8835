"""Faults planted in scans, never in masks: noise, bias field, motion, lost slices.

Every function takes a scan (i, j, k) with axial slices along k and returns float32 of the same
shape. All randomness comes from the generator given.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

Scan = np.ndarray
Fault = Callable[[Scan, np.random.Generator], Scan]


def noise(scan: Scan, random: np.random.Generator, *, level: float) -> Scan:
    """Return the magnitude of the scan with complex noise; level = share of the 99th percentile."""
    deviation = level * np.percentile(scan, 99)
    real = scan + deviation * random.standard_normal(scan.shape)
    imaginary = deviation * random.standard_normal(scan.shape)
    return np.hypot(real, imaginary).astype(np.float32)


def bias_field(scan: Scan, random: np.random.Generator, *, strength: float) -> Scan:
    """Multiply by exp(strength · f), f a smooth random polynomial within ±1."""
    axes = (np.linspace(-1, 1, size, dtype=np.float32) for size in scan.shape)
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    terms = (x, y, z, x * y, y * z, x * z, x**2, y**2, z**2)
    field = sum(weight * term for weight, term in zip(random.normal(size=9), terms, strict=True))
    field = field - (field.max() + field.min()) / 2
    return (scan * np.exp(strength * field / np.abs(field).max())).astype(np.float32)


def motion(scan: Scan, random: np.random.Generator, *, shift_mm: float) -> Scan:
    """Move the head while the lines of k-space of some slices are taken.

    Four blocks of twelve slices each: along the phase axis (j) one to three stretches of lines
    come from the head shifted by up to ``shift_mm`` voxels along i and j, which gives ghosts.
    Shifts count from where the head lay when the middle line was taken: there the picture shows
    it, and there the clean scan's labels are the truth.
    """
    moved = scan.astype(np.float32)
    n_lines = scan.shape[1]
    lines = np.fft.fftfreq(n_lines)[None, :, None]
    columns = np.fft.fftfreq(scan.shape[0])[:, None, None]
    for start in random.choice(scan.shape[2] - 12, 4, replace=False):
        block = slice(start, start + 12)
        space = np.fft.fft2(scan[..., block], axes=(0, 1))
        shifts = np.zeros((2, n_lines))
        for _ in range(random.integers(1, 4)):
            shift = random.uniform(-shift_mm, shift_mm, 2)
            first = random.integers(0, n_lines)
            taken = np.arange(first, first + random.integers(n_lines // 8, n_lines // 3)) % n_lines
            shifts[:, taken] += shift[:, None]
        di, dj = (shifts - shifts[:, :1])[:, None, :, None]
        space *= np.exp(-2j * np.pi * (di * columns + dj * lines))
        moved[..., block] = np.abs(np.fft.ifft2(space, axes=(0, 1)))
    return moved


def lost_slices(scan: Scan, random: np.random.Generator, *, share: float) -> Scan:
    """Lose the signal of some slices: single ones and runs of up to four, at 0 to 20 % of it."""
    kept = scan.astype(np.float32)
    left = int(share * scan.shape[2])
    while left > 0:
        run = int(random.integers(1, 5))
        start = int(random.integers(0, scan.shape[2] - run))
        kept[..., start : start + run] *= random.choice([0.0, 0.05, 0.2])
        left -= run
    return kept


FAULTS: dict[str, Fault] = {
    "none": lambda scan, _random: scan.astype(np.float32),
    "noise 0.06": partial(noise, level=0.06),
    "noise 0.12": partial(noise, level=0.12),
    "noise 0.25": partial(noise, level=0.25),
    "bias 0.4": partial(bias_field, strength=0.4),
    "bias 0.8": partial(bias_field, strength=0.8),
    "bias 1.5": partial(bias_field, strength=1.5),
    "motion 3": partial(motion, shift_mm=3.0),
    "motion 8": partial(motion, shift_mm=8.0),
    "motion 20": partial(motion, shift_mm=20.0),
    "lost slices": partial(lost_slices, share=0.12),
}
"""Name and fault; the same list for the templates and for the held-out scan."""
