"""Training on random slices of 3D-deformed heads instead of the scans' own slices."""

from __future__ import annotations

from dataclasses import replace

from unet_med.training import OptimizerPlan, TrainingPlan

SYNTHESIS_OPTIMIZER = OptimizerPlan("adamw", 2e-3, 1e-4, "cosine")
SYNTHESIS_PATCH_SIZE = (160, 160)
SYNTHESIS_BATCH_SIZE = 16
SYNTHESIS_EMA_DECAY = 0.995
SYNTHESIS_NOTE = (
    "augmentation synthesis: random slices of all cases, 160 × 160 pixels, mirrored left-right; "
    "none is held out: score the bundle on other scans"
)


def for_synthesis(plan: TrainingPlan) -> TrainingPlan:
    """Return a plan that trains on random slices, with what was found good for the sample model."""
    return replace(
        plan,
        augmentation="synthesis",
        patch_size=SYNTHESIS_PATCH_SIZE,
        batch_size=SYNTHESIS_BATCH_SIZE,
        mirror_axes=("left-right",),
        optimizer=SYNTHESIS_OPTIMIZER,
        ema_decay=SYNTHESIS_EMA_DECAY,
        validation=(),
        notes=(*plan.notes, SYNTHESIS_NOTE),
    )
