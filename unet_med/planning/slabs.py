"""Training on random slabs of 3D-deformed heads instead of the scans' own slices."""

from __future__ import annotations

from dataclasses import replace

from unet_med.training import OptimizerPlan, TrainingPlan

SLAB_OPTIMIZER = OptimizerPlan("adamw", 2e-3, 1e-4, "cosine")
SLAB_CROP = (160, 160)
SLAB_BATCH = 16
SLAB_EMA = 0.995
SLAB_NOTE = (
    "augmentation slabs: random slabs of all cases, 160 × 160 pixels, mirrored left-right; none is "
    "held out: score the bundle on other scans"
)


def for_slabs(plan: TrainingPlan) -> TrainingPlan:
    """Return a plan that trains on random slabs, with what was found good for the sample model."""
    return replace(
        plan,
        augmentation="slabs",
        crop=SLAB_CROP,
        batch=SLAB_BATCH,
        mirror=("left-right",),
        optimizer=SLAB_OPTIMIZER,
        ema=SLAB_EMA,
        validation=(),
        notes=(*plan.notes, SLAB_NOTE),
    )
