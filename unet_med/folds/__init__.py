"""Cross-validation: every case is segmented once by a model that has not seen its patient."""

from __future__ import annotations

from unet_med.folds.run import FoldsResult, cross_validate
from unet_med.folds.start import plan_folds, train_folds

__all__ = ["FoldsResult", "cross_validate", "plan_folds", "train_folds"]
